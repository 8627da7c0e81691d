//! The format of Solaris's snoop (RFC 1761): one file header, then records until the file ends, all big endian.

use super::byte_order::ByteOrder::Big;
use super::error::{DamageReason, Stop};
use super::source::Source;
use super::{Frame, MAX_CAPTURED};

/// State of a snoop file while it is read.
#[derive(Debug)]
pub(crate) struct Snoop {
    version: u32,
    link: u16,
    /// What stands behind the last record's packet, bytes.
    padding: u64,
}

/// Recognises a snoop file by its first bytes.
pub(crate) fn recognise(first: &[u8]) -> bool {
    first.starts_with(b"snoop\0\0\0")
}

impl Snoop {
    /// Reads the file header; its magic number is known to be there.
    pub(crate) fn open(source: &mut Source) -> Result<Self, Stop> {
        let header = source.peek(FILE_HEADER);
        let (Some(version), Some(datalink)) = (Big.u32(header, 8), Big.u32(header, 12)) else {
            let got = header.len() as u64;
            return Err(source.cut_short(0, "file header", FILE_HEADER as u64, got));
        };
        let damaged = |reason| Stop::Damaged { offset: 0, reason };
        // 3 to 5 are what hardware of others wrote, with the same records.
        if !(2..=5).contains(&version) {
            let major = u16::try_from(version).unwrap_or(u16::MAX);
            return Err(damaged(DamageReason::Version { major, minor: 0 }));
        }
        let link = link_of(datalink).ok_or_else(|| damaged(DamageReason::Datalink(datalink)))?;
        source.take(FILE_HEADER);
        Ok(Self {
            version,
            link,
            padding: 0,
        })
    }

    /// Reads the next record; `None` at the end of the file.
    pub(crate) fn advance(&mut self, source: &mut Source) -> Result<Option<Frame>, Stop> {
        let padding = std::mem::take(&mut self.padding);
        let at = source.offset();
        let skipped = source.skip(padding);
        if skipped < padding {
            return Err(source.cut_short(at, "packet", padding, skipped));
        }
        let offset = source.offset();
        let header = source.peek(RECORD_HEADER);
        if header.is_empty() {
            return source.failure(offset).map_or(Ok(None), Err);
        }
        let field = |at| Big.u32(header, at);
        let fields = (field(0), field(4), field(8), field(16), field(20));
        let (Some(original), Some(captured), Some(length), Some(seconds), Some(micros)) = fields
        else {
            let got = header.len() as u64;
            return Err(source.cut_short(offset, "record header", RECORD_HEADER as u64, got));
        };
        let damaged = |reason| Err(Stop::Damaged { offset, reason });
        if captured > MAX_CAPTURED {
            return damaged(DamageReason::PacketTooLong {
                claimed: captured,
                limit: MAX_CAPTURED,
            });
        }
        let needed = captured.saturating_add(RECORD_HEADER as u32);
        if length < needed {
            return damaged(DamageReason::RecordLength { length, needed });
        }
        let got = source.peek(needed as usize).len();
        if got < needed as usize {
            return Err(source.cut_short(offset, "packet", needed.into(), got as u64));
        }
        self.padding = u64::from(length - needed);
        source.take(RECORD_HEADER);
        Ok(Some(Frame {
            time_ns: i64::from(seconds) * 1_000_000_000 + i64::from(micros) * 1_000,
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
        format!("snoop {}, big endian, usec", self.version)
    }

    /// The link type of all its frames.
    pub(crate) fn link(&self) -> u16 {
        self.link
    }
}

/// The link type of a datalink type: those of RFC 1761, of Solaris's DLPI, and of its own.
fn link_of(datalink: u32) -> Option<u16> {
    Some(match datalink {
        0 | 4 | 25 => 1,
        8 => 10,
        9 | 14 => 0,
        0x8000_0005 => 226,
        _ => return None,
    })
}

const FILE_HEADER: usize = 16;
const RECORD_HEADER: usize = 24;
