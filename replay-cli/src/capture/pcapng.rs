//! The block format: sections, each with its own byte order and interfaces, and packets that refer to them.
//!
//! Packets are enhanced, simple and obsolete packet blocks. Other blocks are passed over and counted, of any length;
//! custom blocks are also handed out. Options that are malformed end their list, no more: the packet before them is
//! good. Layout: draft-ietf-opsawg-pcapng; section numbers below are its own.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use super::byte_order::ByteOrder;
use super::error::{DamageReason, Stop};
use super::source::Source;
use super::{CaptureInfo, Direction, Frame, Interface, Item, MAX_CAPTURED};

mod block;
pub(crate) mod options;
mod time;

use block::{Block, CUSTOM_NOT_COPIED};
pub(crate) use block::{
    CUSTOM, ENHANCED_PACKET, INTERFACE_DESCRIPTION, OBSOLETE_PACKET, SECTION_HEADER, SIMPLE_PACKET,
};
pub(crate) use options::Options;
use time::Clock;
pub(crate) use time::{MICROSECONDS, units_in_second};

/// State of a pcapng file while it is read.
#[derive(Debug)]
pub(crate) struct Pcapng {
    order: ByteOrder,
    orders: BTreeSet<ByteOrder>,
    interfaces: Vec<Described>,
    /// Index into `interfaces` of the current section's first.
    section_start: usize,
    last_time_ns: i64,
    file_comments: Vec<String>,
    comments: u64,
    skipped: BTreeMap<u32, u64>,
    /// The block that was read last, as it stands.
    last: Standing,
}

/// A block as it stands in the file.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    pub(crate) kind: u32,
    pub(crate) order: ByteOrder,
    /// Its body's place in the source until the next one is read; `None` if it was too large to hold.
    pub(crate) body: Option<Range<usize>>,
}

/// The fields of an interface description block.
#[derive(Debug)]
struct Described {
    link: u16,
    snap_len: u32,
    name: Option<String>,
    clock: Clock,
}

impl Described {
    fn interface(&self) -> Interface {
        Interface {
            link_type: self.link,
            name: self.name.clone(),
        }
    }
}

/// Whether a file begins as a pcapng does.
pub(crate) fn recognise(first: &[u8]) -> bool {
    ByteOrder::Big.u32(first, 0) == Some(SECTION_HEADER)
}

impl Pcapng {
    /// Reads the first section header; its type is known to be there.
    pub(crate) fn open(source: &mut Source) -> Result<Self, Stop> {
        let mut new = Self {
            order: ByteOrder::Little,
            orders: BTreeSet::new(),
            interfaces: Vec::new(),
            section_start: 0,
            last_time_ns: 0,
            file_comments: Vec::new(),
            comments: 0,
            skipped: BTreeMap::new(),
            last: Standing {
                kind: SECTION_HEADER,
                order: ByteOrder::Little,
                body: None,
            },
        };
        new.block(source)?;
        Ok(new)
    }

    /// Reads blocks up to the next one that is a frame; `None` at the end of the file.
    pub(crate) fn advance(&mut self, source: &mut Source) -> Result<Option<Item>, Stop> {
        loop {
            match self.step(source)? {
                None => return Ok(None),
                Some(None) => {}
                Some(item) => return Ok(item),
            }
        }
    }

    /// Reads one block, whatever it is; `None` at the end of the file.
    pub(crate) fn step(&mut self, source: &mut Source) -> Result<Option<Option<Item>>, Stop> {
        if source.peek(1).is_empty() {
            return source.failure(source.offset()).map_or(Ok(None), Err);
        }
        self.block(source).map(Some)
    }

    /// The block that was read last; the first section header at the beginning.
    pub(crate) fn last(&self) -> Standing {
        self.last.clone()
    }

    /// Adds what is known of the file and its interfaces so far.
    pub(crate) fn describe(&self, info: &mut CaptureInfo) {
        info.format = self.format();
        info.interfaces = self.interfaces.iter().map(Described::interface).collect();
        info.file_comments.clone_from(&self.file_comments);
        info.comments = self.comments;
        info.skipped_blocks.clone_from(&self.skipped);
    }

    /// What kind of file it is, in one line.
    fn format(&self) -> String {
        let orders: Vec<_> = self.orders.iter().map(|order| order.name()).collect();
        let clocks = self.interfaces.iter().map(|each| each.clock);
        let resolutions: BTreeSet<u8> = clocks.filter_map(Clock::resolution).collect();
        let resolutions: Vec<_> = resolutions.into_iter().map(time::resolution_name).collect();
        let resolution = if resolutions.is_empty() {
            "default 10^-6".into()
        } else {
            resolutions.join(",")
        };
        format!("pcapng, {} endian, tsresol {resolution}", orders.join("+"))
    }

    /// Reads one block; `None` if it is no frame.
    fn block(&mut self, source: &mut Source) -> Result<Option<Item>, Stop> {
        let Block {
            kind,
            order,
            offset,
            body,
        } = block::next(source, self.order)?;
        self.last = Standing {
            kind,
            order,
            body: body.clone(),
        };
        let Some(range) = body else {
            self.count_skipped(kind);
            return Ok(block::is_numbered(kind).then_some(Item::OtherFrame));
        };
        let start = range.start;
        self.body(order, kind, source.taken(range), start)
            .map_err(|reason| Stop::Damaged { offset, reason })
    }

    /// Reads a whole block's body, which begins at `start` in the source.
    fn body(
        &mut self,
        order: ByteOrder,
        kind: u32,
        body: &[u8],
        start: usize,
    ) -> Result<Option<Item>, DamageReason> {
        match kind {
            SECTION_HEADER => self.section_header(order, body).map(|()| None),
            INTERFACE_DESCRIPTION => self.interface_description(body).map(|()| None),
            ENHANCED_PACKET => self.enhanced_packet(body, start).map(Some),
            OBSOLETE_PACKET => self.obsolete_packet(body, start).map(Some),
            SIMPLE_PACKET => self.simple_packet(body, start).map(Some),
            CUSTOM | CUSTOM_NOT_COPIED => {
                self.count_skipped(kind);
                let enterprise = self.order.u32(body, 0).unwrap_or_default();
                let data = start.saturating_add(4)..start.saturating_add(body.len());
                Ok(Some(Item::Custom { enterprise, data }))
            }
            other => {
                self.count_skipped(other);
                Ok(block::is_numbered(other).then_some(Item::OtherFrame))
            }
        }
    }

    /// Section 4.1: magic, major, minor, section length, options.
    fn section_header(&mut self, order: ByteOrder, body: &[u8]) -> Result<(), DamageReason> {
        let major = order.u16(body, 4).unwrap_or_default();
        let minor = order.u16(body, 6).unwrap_or_default();
        // 1.2 is what some writers called 1.0; the specification has readers take it as such.
        if major != 1 || !matches!(minor, 0 | 2) {
            return Err(DamageReason::Version { major, minor });
        }
        self.order = order;
        self.orders.insert(order);
        self.section_start = self.interfaces.len();
        let comments = Options::of(order, body, 16).comments();
        if let Some(comment) = comments {
            self.comments = self.comments.saturating_add(1);
            if self.file_comments.len() < MAX_FILE_COMMENTS {
                self.file_comments.push(comment);
            }
        }
        Ok(())
    }

    /// Section 4.2: link type, reserved, snap length, options.
    fn interface_description(&mut self, body: &[u8]) -> Result<(), DamageReason> {
        if self.interfaces.len() >= MAX_INTERFACES as usize {
            return Err(DamageReason::TooManyInterfaces {
                limit: MAX_INTERFACES,
            });
        }
        let link = self.order.u16(body, 0).unwrap_or_default();
        let snap_len = self.order.u32(body, 4).unwrap_or_default();
        let mut described = Described {
            link,
            snap_len,
            name: None,
            clock: Clock::default(),
        };
        for (code, value) in Options::of(self.order, body, 8) {
            match code {
                IF_NAME => described.name = Some(options::text(value)),
                IF_TSRESOL => described.clock.set_resolution(value),
                IF_TSOFFSET => described.clock.set_offset(self.order.i64(value, 0)),
                options::COMMENT => self.comments = self.comments.saturating_add(1),
                _ => {}
            }
        }
        self.interfaces.push(described);
        Ok(())
    }

    /// Section 4.3: interface, time, captured length, original length, data, options.
    fn enhanced_packet(&mut self, body: &[u8], start: usize) -> Result<Item, DamageReason> {
        self.packet(body, start, self.order.u32(body, 0).unwrap_or_default())
    }

    /// Appendix A: as an enhanced packet, but the interface shares its place with a drop count.
    fn obsolete_packet(&mut self, body: &[u8], start: usize) -> Result<Item, DamageReason> {
        self.packet(
            body,
            start,
            self.order.u16(body, 0).unwrap_or_default().into(),
        )
    }

    fn packet(&mut self, body: &[u8], start: usize, interface: u32) -> Result<Item, DamageReason> {
        let word = |at| self.order.u32(body, at).unwrap_or_default();
        let (interface, described) = self.interface(interface)?;
        let time_ns = described
            .clock
            .nanoseconds(u64::from(word(4)) << 32 | u64::from(word(8)));
        let link = described.link;
        let data = data_range(body, PACKET_FIELDS, word(12), start)?;
        let original_len = word(16) as usize;
        let padded = PACKET_FIELDS.saturating_add(data.len().next_multiple_of(4));
        let options = || Options::of(self.order, body, padded);
        let comment = options().comments();
        let direction = options()
            .find(|(code, _)| *code == EPB_FLAGS)
            .and_then(|(_, value)| match self.order.u32(value, 0)? & 3 {
                1 => Some(Direction::Inbound),
                2 => Some(Direction::Outbound),
                _ => None,
            });
        self.last_time_ns = time_ns;
        Ok(Item::Packet(Frame {
            time_ns,
            interface,
            link,
            original_len,
            data,
            comment,
            direction,
        }))
    }

    /// Section 4.4: original length, data. It belongs to the section's first interface and has no time.
    fn simple_packet(&self, body: &[u8], start: usize) -> Result<Item, DamageReason> {
        let original = self.order.u32(body, 0).unwrap_or_default();
        let (interface, described) = self.interface(0)?;
        let captured = match described.snap_len {
            0 => original,
            limit => original.min(limit),
        };
        Ok(Item::Packet(Frame {
            time_ns: self.last_time_ns,
            interface,
            link: described.link,
            original_len: original as usize,
            data: data_range(body, 4, captured, start)?,
            comment: None,
            direction: None,
        }))
    }

    /// Finds a section's interface and its index over all sections.
    fn interface(&self, interface: u32) -> Result<(u32, &Described), DamageReason> {
        let section = self
            .interfaces
            .get(self.section_start..)
            .unwrap_or_default();
        let described = section.len() as u32;
        let found = section.get(interface as usize);
        let found = found.ok_or(DamageReason::UnknownInterface {
            interface,
            described,
        })?;
        Ok(((self.section_start as u32).saturating_add(interface), found))
    }

    fn count_skipped(&mut self, kind: u32) {
        // Only a hostile file has more types than this; their sum is of no use to anybody.
        if self.skipped.len() < MAX_BLOCK_TYPES || self.skipped.contains_key(&kind) {
            let count = self.skipped.entry(kind).or_default();
            *count = count.saturating_add(1);
        }
    }
}

/// The if_tsresol of an interface description, if it has one.
pub(crate) fn resolution_of(order: ByteOrder, body: &[u8]) -> Option<u8> {
    let mut options = Options::of(order, body, 8);
    let (_, value) = options.find(|(code, _)| *code == IF_TSRESOL)?;
    value.first().copied()
}

/// Places a packet's data within the source.
fn data_range(
    body: &[u8],
    at: usize,
    captured: u32,
    start: usize,
) -> Result<Range<usize>, DamageReason> {
    if captured > MAX_CAPTURED {
        return Err(DamageReason::PacketTooLong {
            claimed: captured,
            limit: MAX_CAPTURED,
        });
    }
    let room = body.len().saturating_sub(at);
    if captured as usize > room {
        return Err(DamageReason::PacketOutsideBlock {
            claimed: captured,
            room: room as u32,
        });
    }
    let begin = start.saturating_add(at);
    Ok(begin..begin.saturating_add(captured as usize))
}

/// Options of an interface description (section 4.2).
const IF_NAME: u16 = 2;
pub(crate) const IF_TSRESOL: u16 = 9;
const IF_TSOFFSET: u16 = 14;

/// Option of a packet block: direction and more (section 4.3.1); an obsolete one has the same.
const EPB_FLAGS: u16 = 2;

/// Fixed fields of a packet block before its data.
const PACKET_FIELDS: usize = 20;

/// Enough for merged captures of every host of a large network; keeps a file of nothing but interfaces cheap.
const MAX_INTERFACES: u32 = 65_536;
/// Comments are up to 64 KiB each.
const MAX_FILE_COMMENTS: usize = 16;
/// The registry has about twenty.
const MAX_BLOCK_TYPES: usize = 256;
