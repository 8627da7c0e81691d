//! Reads captures: whatever a device, a router or an analyser wrote, as a stream of IP packets.
//!
//! ```text
//! file -> unpacked? -> window of 1 MiB -> pcap | pcapng | snoop | ERF -> link header -> CapturedPacket
//! ```
//!
//! The format is recognised by content, never by the file's name. Memory does not grow with the file, nor with what a record
//! claims. A damaged file gives every packet before the damage, then one error that says where it is.
//!
//! All formats are parsed here rather than by the pcap-file crate, because a replay tool meets files that are broken
//! but readable. That crate refuses a packet whose captured length exceeds its original length and an interface whose
//! name is not UTF-8; it gives no byte offset for damage in classic files and reports a block larger than its buffer as
//! the end of the file. The tests use it as an independent writer.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    fs::File,
    io::{self, Read},
    ops::Range,
    path::Path,
};

mod ahead;
pub(crate) mod blocks;
pub(crate) mod byte_order;
pub mod conversation;
pub mod cut;
mod decap;
pub(crate) mod editable;
mod erf;
mod error;
pub mod facts;
mod gzip;
pub mod import;
pub mod inspect;
mod kept;
mod link;
mod pcap;
mod pcapng;
pub mod recording;
pub mod scrub;
mod snoop;
mod source;
pub(crate) mod structure;
mod unpack;

pub use error::{CaptureError, DamageReason};
pub(crate) use kept::{Kept, Shared, Spool, UNPACKED};
pub use link::{IpBytes, SkipReason};
pub use unpack::{Packing, PackingDamage};

use crate::scenario::{Decap, Tunnel};
use error::Stop;
use kept::{Copying, Tee};
use pcap::Pcap;
use pcapng::Pcapng;
use snoop::Snoop;
use source::Source;

/// A capture being read, one record at a time.
///
/// ```
/// use replay::capture::CaptureReader;
///
/// let mut reader = CaptureReader::open("../captures/http/get.pcapng".as_ref())?;
/// let mut packets = 0;
/// while reader.next_packet()?.is_some() {
///     packets += 1;
/// }
/// assert_eq!(packets, reader.info().packets);
/// # Ok::<(), replay::capture::CaptureError>(())
/// ```
pub struct CaptureReader {
    name: String,
    source: Source,
    format: Format,
    packing: Option<Packing>,
    decap: Decap,
    frames: u64,
    packets: u64,
    packet_comments: u64,
    link_types: BTreeSet<u16>,
    tunnelled: BTreeMap<Tunnel, u64>,
    finished: bool,
    /// Blocks that begin the file and were given by [`next_block`](Self::next_block).
    begun: u8,
}

impl CaptureReader {
    /// Opens a capture file: pcap, pcapng, snoop or ERF, packed or not.
    ///
    /// # Errors
    /// Every [`CaptureError`]: the file is missing, a directory, unreadable, empty, not a capture, or damaged already
    /// in its first header.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        let (name, file) = open_file(path)?;
        Self::from_read(&name, file)
    }

    /// Opens a capture whose bytes will be looked at again: [`Kept::settle`] once this reader is done. Of one that
    /// cannot be read twice at most `limit` bytes are copied.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_kept(path: &Path, limit: u64) -> Result<(Self, Kept), CaptureError> {
        let (name, file) = open_file(path)?;
        let failed = |source| CaptureError::Io {
            path: name.clone(),
            source,
        };
        let metadata = file.metadata().map_err(failed)?;
        let mut magic = [0; MAGIC];
        if metadata.is_file() {
            kept::read_at(&file, 0, &mut magic).map_err(failed)?;
        }
        if !metadata.is_file() || Packing::recognise(&magic).is_some() {
            let (kept, copy) = Kept::copying(&name, limit);
            let reader = Self::begin(&name, Box::new(file), Some(copy))?;
            return Ok((reader, kept));
        }
        if metadata.len() <= kept::HELD {
            let (kept, bytes) = Kept::held(&name, &file).map_err(failed)?;
            let reader = Self::from_read(&name, io::Cursor::new(bytes))?;
            return Ok((reader, kept));
        }
        let again = file.try_clone().map_err(failed)?;
        let kept = Kept::file(&name, again).map_err(failed)?;
        let source = Source::ahead(file).map_err(failed)?;
        Ok((Self::of_source(&name, source, None)?, kept))
    }

    /// Opens a capture, not compressed, that is held.
    ///
    /// # Errors
    /// As [`open`](Self::open), except for what only a path can be.
    pub(crate) fn of_held(name: &str, bytes: Shared) -> Result<(Self, Kept), CaptureError> {
        let reader = Self::from_read(name, io::Cursor::new(bytes.clone()))?;
        Ok((reader, Kept::shared(name, bytes)))
    }

    /// Reads a capture from any stream, such as standard input; `name` is what messages call it.
    ///
    /// # Errors
    /// As [`open`](Self::open), except for what only a path can be.
    pub fn from_read(name: &str, reader: impl Read + 'static) -> Result<Self, CaptureError> {
        Self::begin(name, Box::new(reader), None)
    }

    fn begin(
        name: &str,
        reader: Box<dyn Read>,
        copy: Option<Copying>,
    ) -> Result<Self, CaptureError> {
        let mut source = Source::new(reader);
        let packing = Packing::recognise(source.peek(MAGIC));
        if let Some(packing) = packing {
            source = Source::new(packing.unpack(source.into_read()));
        }
        // A stream that failed within its first bytes has no more to give; the failure must not be lost.
        if let Some(copy) = copy.filter(|_| !source.has_failed()) {
            let reader = source.into_read();
            source = Source::new(Box::new(Tee { reader, copy }));
        }
        Self::of_source(name, source, packing)
    }

    fn of_source(
        name: &str,
        mut source: Source,
        packing: Option<Packing>,
    ) -> Result<Self, CaptureError> {
        let format = Format::open(&mut source, name)?;
        Ok(Self {
            name: name.into(),
            source,
            format,
            packing,
            decap: Decap::default(),
            frames: 0,
            packets: 0,
            packet_comments: 0,
            link_types: BTreeSet::new(),
            tunnelled: BTreeMap::new(),
            finished: false,
            begun: 0,
        })
    }

    /// Takes these tunnels off the packets from now on.
    #[must_use]
    pub fn without(self, tunnels: Decap) -> Self {
        Self {
            decap: tunnels,
            ..self
        }
    }

    /// Returns the next packet, or `None` at the clean end.
    ///
    /// Records that are no packets are passed over.
    ///
    /// # Errors
    /// [`CaptureError::Damaged`] or [`CaptureError::Io`], after every packet before it; then only `None` follows.
    pub fn next_packet(&mut self) -> Result<Option<CapturedPacket<'_>>, CaptureError> {
        while let Some(item) = self.advance()? {
            if let Item::Packet(frame) = item {
                return Ok(Some(self.packet(frame)));
            }
        }
        Ok(None)
    }

    /// Returns the next packet or custom block, or `None` at the clean end.
    ///
    /// # Errors
    /// As [`next_packet`](Self::next_packet).
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, CaptureError> {
        while let Some(item) = self.advance()? {
            match item {
                Item::Packet(frame) => return Ok(Some(Record::Packet(self.packet(frame)))),
                Item::Custom { enterprise, data } => {
                    return Ok(Some(Record::Custom(self.custom(enterprise, data))));
                }
                Item::OtherFrame => {}
            }
        }
        Ok(None)
    }

    /// What is known of the capture so far; complete once `next_packet` has returned `None` or an error.
    pub fn info(&self) -> CaptureInfo {
        let mut info = CaptureInfo {
            packing: self.packing,
            packets: self.packets,
            link_types: self.link_types.iter().copied().collect(),
            tunnelled: self.tunnelled.clone(),
            ..CaptureInfo::default()
        };
        let only = |link_type| {
            let name = None;
            vec![Interface { link_type, name }]
        };
        match &self.format {
            Format::Pcap(pcap) => {
                (info.format, info.interfaces) = (pcap.format(), only(pcap.link()));
            }
            Format::Snoop(snoop) => {
                (info.format, info.interfaces) = (snoop.format(), only(snoop.link()));
            }
            Format::Erf => erf::FORMAT.clone_into(&mut info.format),
            Format::Pcapng(ng) => ng.describe(&mut info),
        }
        info.comments = info.comments.saturating_add(self.packet_comments);
        info
    }

    fn advance(&mut self) -> Result<Option<Item>, CaptureError> {
        if self.finished {
            return Ok(None);
        }
        let source = &mut self.source;
        let packet = |frame: Option<Frame>| frame.map(Item::Packet);
        let next = match &mut self.format {
            Format::Pcap(pcap) => pcap.advance(source).map(packet),
            Format::Pcapng(ng) => ng.advance(source),
            Format::Snoop(snoop) => snoop.advance(source).map(packet),
            Format::Erf => erf::advance(source),
        };
        let item = self.or_finish(next)?;
        self.frames = self.frames.saturating_add(u64::from(item.is_some()));
        Ok(item)
    }

    /// Hands on what a format's reader gives; after an end or an error nothing follows.
    fn or_finish<T>(&mut self, next: Result<Option<T>, Stop>) -> Result<Option<T>, CaptureError> {
        self.finished = !matches!(next, Ok(Some(_)));
        next.map_err(|stop| located(&self.name, self.frames, stop))
    }

    fn custom(&self, enterprise: u32, data: Range<usize>) -> CustomBlock<'_> {
        CustomBlock {
            number: self.frames,
            enterprise,
            offset: self.source.place(&data),
            data: self.source.taken(data),
        }
    }

    fn packet(&mut self, frame: Frame) -> CapturedPacket<'_> {
        self.count(&frame);
        let reading = (&self.source, self.frames, self.decap);
        Self::look_at(reading, &mut self.tunnelled, frame)
    }

    fn count(&mut self, frame: &Frame) {
        self.packets = self.packets.saturating_add(1);
        self.packet_comments = self
            .packet_comments
            .saturating_add(u64::from(frame.comment.is_some()));
        self.link_types.insert(frame.link);
    }

    fn look_at<'a>(
        (source, number, decap): (&'a Source, u64, Decap),
        tunnelled: &mut BTreeMap<Tunnel, u64>,
        frame: Frame,
    ) -> CapturedPacket<'a> {
        let Frame {
            time_ns,
            interface,
            link,
            original_len,
            data,
            comment,
            direction,
        } = frame;
        let place = source.place(&data);
        let frame = source.taken(data);
        let content = link::ip_packet(link, frame, original_len)
            .and_then(|ip| decap::take_off(ip, decap))
            .map(|(ip, left)| {
                if let Some(tunnel) = left {
                    *tunnelled.entry(tunnel).or_default() += 1;
                }
                ip
            });
        let header = content.map_or(0, |ip| ip.bytes.as_ptr().addr() - frame.as_ptr().addr());
        CapturedPacket {
            number,
            time_ns,
            interface,
            content,
            comment,
            direction,
            offset: place.saturating_add(header as u64),
        }
    }
}

impl fmt::Debug for CaptureReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CaptureReader")
            .field("name", &self.name)
            .field("frames", &self.frames)
            .field("offset", &self.source.offset())
            .finish_non_exhaustive()
    }
}

/// One record of a capture.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Record<'a> {
    /// A captured frame.
    Packet(CapturedPacket<'a>),
    /// A pcapng custom block, in which a recorder keeps what no frame shows.
    Custom(CustomBlock<'a>),
}

/// A captured frame and the IP packet in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedPacket<'a> {
    /// Frame number from 1, as Wireshark counts: custom blocks and journal entries are frames too.
    pub number: u64,
    /// Time since the Unix epoch in nanoseconds, saturating; the interface's offset is applied. A simple packet block
    /// has no time: it gets that of the packet before it, or 0.
    pub time_ns: i64,
    /// The interface it came from, counted from 0 over all sections.
    pub interface: u32,
    /// The IP packet, or why there is none.
    pub content: Result<IpBytes<'a>, SkipReason>,
    /// The comments on this packet, one a line.
    pub comment: Option<String>,
    /// Which way it crossed the interface, where the capture says so.
    pub direction: Option<Direction>,
    /// Where the IP packet begins in the (decompressed) capture, bytes; the frame, if there is none.
    pub offset: u64,
}

/// Which way a packet crossed the interface it was captured at (section 4.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Into whoever captured it.
    Inbound,
    /// Out of whoever captured it.
    Outbound,
}

/// A pcapng custom block (draft-ietf-opsawg-pcapng section 4.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CustomBlock<'a> {
    /// Frame number from 1, in one count with the packets.
    pub number: u64,
    /// The private enterprise number of whoever defines the data.
    pub enterprise: u32,
    /// The data, with the options and padding that only its owner can tell apart.
    pub data: &'a [u8],
    /// Where the data begin in the (decompressed) capture, bytes.
    pub offset: u64,
}

/// What is known of a capture beside its packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CaptureInfo {
    /// Format, version, byte order and time resolution: "pcap 2.4, little endian, usec".
    pub format: String,
    /// What the file is packed in.
    pub packing: Option<Packing>,
    /// Packets given so far.
    pub packets: u64,
    /// Link types of the packets given so far, ascending.
    pub link_types: Vec<u16>,
    /// Packets so far that carry others in a tunnel which was not taken off, by tunnel.
    pub tunnelled: BTreeMap<Tunnel, u64>,
    /// The interfaces described so far, over all sections.
    pub interfaces: Vec<Interface>,
    /// Comments on the file's sections, at most 16.
    pub file_comments: Vec<String>,
    /// How many sections, interfaces and packets have been commented on.
    pub comments: u64,
    /// How many blocks were passed over, by block type; custom blocks count here too.
    pub skipped_blocks: BTreeMap<u32, u64>,
}

impl CaptureInfo {
    /// A note on packets that carry others and were left as they are.
    #[must_use]
    pub fn tunnel_note(&self) -> Option<String> {
        let each = self.tunnelled.iter();
        let each: Vec<_> = each
            .map(|(tunnel, count)| format!("{tunnel} {count}"))
            .collect();
        let count: u64 = self.tunnelled.values().sum();
        (count > 0).then(|| {
            let each = each.join(", ");
            format!("{count} packet(s) carry others in a tunnel ({each}): `--decap auto` reads those in their place")
        })
    }

    /// Whether the capture looks like one made at a tunnel: packets without a link header, or an interface with a tunnel's
    /// name.
    #[must_use]
    pub fn is_of_a_tunnel(&self) -> bool {
        /// DLT_RAW by its numbers, and IPv4 and IPv6 alone.
        const RAW: [u16; 5] = [12, 14, 101, 228, 229];
        const NAMES: [&str; 5] = ["tun", "utun", "wg", "wintun", "ipsec"];
        let name = |interface: &Interface| interface.name.as_deref().map(str::to_ascii_lowercase);
        let names = self.interfaces.iter().filter_map(name);
        let mut tunnels = names.filter(|name| NAMES.iter().any(|start| name.starts_with(start)));
        let bare = !self.link_types.is_empty() && self.link_types.iter().all(|l| RAW.contains(l));
        bare || tunnels.next().is_some()
    }
}

/// An interface that frames were captured at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Link type number.
    pub link_type: u16,
    /// Its name, where the capture gives one.
    pub name: Option<String>,
}

/// A record, with its bytes as a place in the source.
#[derive(Debug)]
enum Item {
    Packet(Frame),
    Custom {
        enterprise: u32,
        data: Range<usize>,
    },
    /// A block that is no packet but has a frame number.
    OtherFrame,
}

/// A packet's record, before its link header is looked at.
#[derive(Debug)]
struct Frame {
    time_ns: i64,
    interface: u32,
    link: u16,
    original_len: usize,
    data: Range<usize>,
    comment: Option<String>,
    direction: Option<Direction>,
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
    Snoop(Snoop),
    Erf,
}

impl Format {
    fn open(source: &mut Source, path: &str) -> Result<Self, CaptureError> {
        let first = source.peek(8).to_vec();
        let opened = if let Some(kind) = pcap::recognise(&first) {
            Pcap::open(source, kind).map(Self::Pcap)
        } else if pcapng::recognise(&first) {
            Pcapng::open(source).map(Self::Pcapng)
        } else if snoop::recognise(&first) {
            Snoop::open(source).map(Self::Snoop)
        } else if erf::recognise(source.peek(erf::LOOK)) {
            Ok(Self::Erf)
        } else if let Some(stop) = source.failure(0) {
            Err(stop)
        } else if first.is_empty() {
            return Err(CaptureError::Empty { path: path.into() });
        } else {
            return Err(CaptureError::NotACapture {
                path: path.into(),
                first,
            });
        };
        opened.map_err(|stop| located(path, 0, stop))
    }
}

/// Opens a file; its path as messages write it.
fn open_file(path: &Path) -> Result<(String, File), CaptureError> {
    let name = path.display().to_string();
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => CaptureError::NotFound { path: name.clone() },
        io::ErrorKind::IsADirectory => CaptureError::IsDirectory { path: name.clone() },
        _ => CaptureError::Io {
            path: name.clone(),
            source,
        },
    };
    if path.metadata().map_err(failed)?.is_dir() {
        return Err(CaptureError::IsDirectory { path: name });
    }
    let file = File::open(path).map_err(failed)?;
    Ok((name, file))
}

fn located(path: &str, after_packet: u64, stop: Stop) -> CaptureError {
    let path = path.into();
    match stop {
        Stop::Damaged { offset, reason } => CaptureError::Damaged {
            path,
            offset,
            after_packet,
            reason,
        },
        Stop::Overfull(limit) => CaptureError::TooLarge { path, limit },
        Stop::Io(source) => CaptureError::Io { path, source },
    }
}

/// The longest frame that is read, in bytes: what libpcap and Wireshark allow on any network link, four times the
/// largest IP packet.
const MAX_CAPTURED: u32 = 262_144;

/// First bytes of a file that show how it is packed.
const MAGIC: usize = 6;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;
