//! The classic format: one file header, then records until the file ends.
//!
//! All four magic numbers in both byte orders are read: microseconds, nanoseconds, and Kuznetzov's variant with eight
//! more bytes in each record header. Layout: draft-ietf-opsawg-pcap sections 4 and 5.

use super::byte_order::ByteOrder;
use super::error::{DamageReason, Stop};
use super::source::Source;
use super::{Frame, MAX_CAPTURED};

/// State of a classic file while it is read.
#[derive(Debug)]
pub(crate) struct Pcap {
    order: ByteOrder,
    variant: Variant,
    version: (u16, u16),
    link: u16,
}

impl Pcap {
    /// Reads the file header; the magic number is known to be `order` and `variant`.
    pub(crate) fn open(
        source: &mut Source,
        (order, variant): (ByteOrder, Variant),
    ) -> Result<Self, Stop> {
        let header = source.peek(FILE_HEADER);
        let fields = || {
            Some((
                order.u16(header, 4)?,
                order.u16(header, 6)?,
                order.u32(header, 20)?,
            ))
        };
        let Some((major, minor, link)) = fields() else {
            let got = header.len() as u64;
            return Err(source.cut_short(0, "file header", FILE_HEADER as u64, got));
        };
        if major != 2 {
            return Err(Stop::Damaged {
                offset: 0,
                reason: DamageReason::Version { major, minor },
            });
        }
        source.take(FILE_HEADER);
        // The upper half holds flags and the length of a frame check sequence.
        let link = (link & 0xffff) as u16;
        Ok(Self {
            order,
            variant,
            version: (major, minor),
            link,
        })
    }

    /// Reads the next record; `None` at the end of the file.
    pub(crate) fn advance(&self, source: &mut Source) -> Result<Option<Frame>, Stop> {
        let offset = source.offset();
        let header_len = match self.variant {
            Variant::Microseconds | Variant::Nanoseconds => RECORD_HEADER,
            Variant::Modified => RECORD_HEADER + MODIFIED_FIELDS,
        };
        let header = source.peek(header_len);
        if header.is_empty() {
            return source.failure(offset).map_or(Ok(None), Err);
        }
        let got = header.len() as u64;
        let Some((seconds, fraction, captured, original)) = self.record_header(header, header_len)
        else {
            return Err(source.cut_short(offset, "record header", header_len as u64, got));
        };
        if captured > MAX_CAPTURED {
            let reason = DamageReason::PacketTooLong {
                claimed: captured,
                limit: MAX_CAPTURED,
            };
            return Err(Stop::Damaged { offset, reason });
        }
        let record_len = header_len.saturating_add(captured as usize);
        let got = source.peek(record_len).len();
        if got < record_len {
            return Err(source.cut_short(offset, "packet", record_len as u64, got as u64));
        }
        source.take(header_len);
        let scale = if self.variant == Variant::Nanoseconds {
            1
        } else {
            1_000
        };
        Ok(Some(Frame {
            // Cannot overflow: 2^32 s and 2^32 us are both far below 2^63 ns.
            time_ns: i64::from(seconds) * 1_000_000_000 + i64::from(fraction) * scale,
            interface: 0,
            link: self.link,
            original_len: original as usize,
            data: source.take(captured as usize),
            comment: None,
            direction: None,
        }))
    }

    /// What kind of file it is, in one line.
    pub(crate) fn format(&self) -> String {
        let (kind, unit) = match self.variant {
            Variant::Microseconds => ("pcap", "usec"),
            Variant::Nanoseconds => ("pcap", "nsec"),
            Variant::Modified => ("modified pcap", "usec"),
        };
        let (major, minor) = self.version;
        format!(
            "{kind} {major}.{minor}, {} endian, {unit}",
            self.order.name()
        )
    }

    /// The link type of all its frames.
    pub(crate) fn link(&self) -> u16 {
        self.link
    }

    fn record_header(&self, header: &[u8], header_len: usize) -> Option<(u32, u32, u32, u32)> {
        header.get(..header_len)?;
        let field = |at| self.order.u32(header, at);
        let (captured, original) = (field(8)?, field(12)?);
        // Before 2.3 the two lengths stood the other way round; in 2.3 writers disagreed.
        let swapped = match self.version.1 {
            0..=2 => true,
            3 => captured > original,
            _ => false,
        };
        let (captured, original) = if swapped {
            (original, captured)
        } else {
            (captured, original)
        };
        Some((field(0)?, field(4)?, captured, original))
    }
}

/// What a classic file's magic number determines beside the byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    Microseconds,
    Nanoseconds,
    /// Microseconds, and eight bytes more in each record header: interface index, protocol, packet type.
    Modified,
}

/// Recognises a classic file by its first bytes.
pub(crate) fn recognise(first: &[u8]) -> Option<(ByteOrder, Variant)> {
    [ByteOrder::Big, ByteOrder::Little]
        .into_iter()
        .find_map(|order| {
            let variant = match order.u32(first, 0)? {
                0xa1b2_c3d4 => Variant::Microseconds,
                0xa1b2_3c4d => Variant::Nanoseconds,
                0xa1b2_cd34 => Variant::Modified,
                _ => return None,
            };
            Some((order, variant))
        })
}

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const MODIFIED_FIELDS: usize = 8;
