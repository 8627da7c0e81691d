//! Endace's extensible record format: records without a file header, so that a file is recognized by its first two records.

use super::byte_order::ByteOrder::{Big, Little};
use super::error::{DamageReason, Stop};
use super::source::Source;
use super::{Frame, Item};

/// What kind of file it is.
pub(crate) const FORMAT: &str = "ERF, nsec";

/// Every link type that its frames may have.
pub(crate) const LINKS: [u16; 5] = [1, 50, 228, 229, LINKTYPE_ERF];

/// Bytes to look at: the first record and the header of the second.
pub(crate) const LOOK: usize = u16::MAX as usize + RECORD_HEADER;

/// Whether a file begins as an ERF file does.
pub(crate) fn recognise(first: &[u8]) -> bool {
    let Some(record) = Record::of(first).filter(Record::is_sound) else {
        return false;
    };
    // Padding in the beginning belongs to no record; a single record must be the whole file.
    if record.kind == PAD || first.len() < record.length {
        return false;
    }
    let rest = first.get(record.length..).unwrap_or_default();
    rest.is_empty()
        || Record::of(rest).is_some_and(|next| {
            next.is_sound() && next.seconds().abs_diff(record.seconds()) <= A_WEEK
        })
}

/// A record's header.
struct Record {
    /// Seconds in the upper half, their fraction in the lower.
    time: u64,
    kind: u8,
    interface: u8,
    /// Bytes of the record, this header included.
    length: usize,
    /// Bytes of the frame on the wire.
    wire: usize,
    extended: bool,
}

impl Record {
    fn of(bytes: &[u8]) -> Option<Self> {
        let half = |at| Little.u32(bytes, at).map(u64::from);
        let (kind, flags) = (*bytes.get(8)?, *bytes.get(9)?);
        Some(Self {
            time: half(0)? | half(4)? << 32,
            kind: kind & 0x7f,
            interface: flags & 3,
            length: Big.u16(bytes, 10)?.into(),
            wire: Big.u16(bytes, 14)?.into(),
            extended: kind & 0x80 != 0,
        })
    }

    fn is_sound(&self) -> bool {
        (1..=LAST_KIND).contains(&self.kind) && self.wire > 0 && self.length > RECORD_HEADER
            || matches!(self.kind, META | PAD) && self.length >= RECORD_HEADER
    }

    fn seconds(&self) -> u64 {
        self.time >> 32
    }

    fn time_ns(&self) -> i64 {
        let fraction = ((self.time & 0xffff_ffff) * 1_000_000_000) >> 32;
        // Cannot overflow: 2^32 s are far below 2^63 ns.
        (self.seconds() * 1_000_000_000 + fraction) as i64
    }

    /// The link type of the frame, and what stands before it.
    fn link(&self) -> (u16, usize) {
        match self.kind {
            // Ethernet, plain or with a colour or hash: two bytes of offset and padding.
            2 | 11 | 16 | 20 => (1, 2),
            // PPP or Cisco's HDLC; of several channels with four bytes of their own.
            1 | 10 | 15 | 19 => (50, 0),
            5 | 17 => (50, 4),
            22 => (228, 0),
            23 => (229, 0),
            _ => (LINKTYPE_ERF, 0),
        }
    }
}

/// Reads records up to the next one that is a frame; `None` at the end of the file.
pub(crate) fn advance(source: &mut Source) -> Result<Option<Item>, Stop> {
    loop {
        let offset = source.offset();
        let header = source.peek(RECORD_HEADER);
        let got = header.len();
        if got == 0 {
            return source.failure(offset).map_or(Ok(None), Err);
        }
        let Some(record) = Record::of(header).filter(|_| got == RECORD_HEADER) else {
            return Err(source.cut_short(
                offset,
                "record header",
                RECORD_HEADER as u64,
                got as u64,
            ));
        };
        let bytes = source.peek(record.length);
        if bytes.len() < record.length {
            let got = bytes.len() as u64;
            return Err(source.cut_short(offset, "packet", record.length as u64, got));
        }
        let (link, before) = record.link();
        let mut begin = RECORD_HEADER;
        let mut more = record.extended;
        // Extension headers of eight bytes, the first bit of each is set if another follows.
        while more {
            more = bytes.get(begin).is_some_and(|first| first & 0x80 != 0);
            begin += EXTENSION;
        }
        begin += before;
        if record.length < begin && record.kind != PAD {
            let reason = DamageReason::RecordLength {
                length: record.length as u32,
                needed: begin as u32,
            };
            return Err(Stop::Damaged { offset, reason });
        }
        if matches!(record.kind, META | PAD) {
            source.take(record.length.max(RECORD_HEADER));
            if record.kind == META {
                return Ok(Some(Item::OtherFrame));
            }
            continue;
        }
        source.take(begin);
        let room = record.length - begin;
        // Records are filled up to a multiple of eight bytes.
        let captured = room.min(record.wire);
        let data = source.take(captured);
        source.take(room - captured);
        return Ok(Some(Item::Packet(Frame {
            time_ns: record.time_ns(),
            interface: record.interface.into(),
            link,
            original_len: record.wire,
            data,
            comment: None,
            direction: None,
        })));
    }
}

const RECORD_HEADER: usize = 16;
const EXTENSION: usize = 8;

/// What is no packet: facts about the capture, and filling.
const META: u8 = 27;
const PAD: u8 = 48;

/// Kinds of packets are counted from 1 to this.
const LAST_KIND: u8 = 25;

/// LINKTYPE_ERF, of which no frame is read.
const LINKTYPE_ERF: u16 = 197;

/// Between two records of a capture, seconds.
const A_WEEK: u64 = 7 * 24 * 3600;
