//! What can be wrong with a capture file, said as where, what and what to do next.

use std::{fmt, io};

use thiserror::Error;

use super::unpack::{Packing, PackingDamage};
use crate::base::duration::Size;

/// Why a capture cannot be opened, or cannot be read further.
///
/// Each message names the file, what was found in it and what to do next.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// There is no such file.
    #[error("{path}: no such file; check the path, a relative one starts at the current directory")]
    NotFound {
        /// The path as it was given.
        path: String,
    },
    /// The path names a directory.
    #[error("{path}: is a directory; name one capture file in it")]
    IsDirectory {
        /// The path as it was given.
        path: String,
    },
    /// The file, or what is packed in it, has no bytes at all.
    #[error("{path}: is empty, 0 bytes, not even a capture header; record it again")]
    Empty {
        /// The path as it was given.
        path: String,
    },
    /// The first bytes are those of no format read here.
    #[error(
        "{path}: not a pcap, pcapng, snoop or ERF file, packed or not, it begins with {}; check that this is the file meant, or convert it to pcapng",
        Hex(.first)
    )]
    NotACapture {
        /// The path as it was given.
        path: String,
        /// The first bytes, at most eight, after decompression where there was any.
        first: Vec<u8>,
    },
    /// The operating system refused to open or read the file.
    #[error("{path}: cannot be read: {source}; check its permissions and the disk")]
    Io {
        /// The path as it was given.
        path: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The file is not the one any more that was read first: its payload is read again where it is wanted.
    #[error(
        "{path}: changed while it was read{}; wait until nothing writes to it, or take a copy",
        At(.offset)
    )]
    Changed {
        /// The path as it was given.
        path: String,
        /// Where bytes are missing that had been there; none if only its length or time tells.
        offset: Option<u64>,
    },
    /// The capture has more flows than are kept apart.
    #[error(
        "{path}: has more than {limit} flows, the limit: each takes some 4 KiB of memory; cut it into parts, by time or by address"
    )]
    TooManyFlows {
        /// The path as it was given.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// What a packed file or a pipe holds is more than may be copied to be read again.
    #[error(
        "{path}: holds more than {} unpacked, the limit; allow more with --max-unpacked, or unpack it to a file first, which needs no copy",
        Size(*.limit)
    )]
    TooLarge {
        /// The path as it was given.
        path: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The file is damaged or cut short; every packet before the damage was given.
    #[error(
        "{path}: damaged at byte {offset}, after frame {after_packet}: {reason}; the frames before are good, record the rest again or cut the file there"
    )]
    Damaged {
        /// The path as it was given.
        path: String,
        /// Where the damaged record begins, in bytes of the (decompressed) capture.
        offset: u64,
        /// The number of the last good frame, 0 if there is none.
        after_packet: u64,
        /// What is wrong there.
        reason: DamageReason,
    },
}

/// What is wrong with a damaged capture, as a lower-case fragment.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DamageReason {
    /// The file ends inside a record.
    #[error("the file ends {missing} bytes short of the end of this {what}")]
    CutShort {
        /// What was being read: "file header", "record header", "packet" or "block".
        what: &'static str,
        /// How many bytes are missing; at least this many.
        missing: u64,
    },
    /// A packet claims to hold more bytes than any frame has.
    #[error("a packet of {claimed} bytes is claimed, more than the {limit} that any frame has")]
    PacketTooLong {
        /// The captured length in the record, in bytes.
        claimed: u32,
        /// The most that is read, in bytes.
        limit: u32,
    },
    /// The version in a file or section header is not one that is read.
    #[error("version {major}.{minor} of the format is not read")]
    Version {
        /// Major version.
        major: u16,
        /// Minor version.
        minor: u16,
    },
    /// A section header has an unknown byte-order magic.
    #[error("the section header has no known byte-order magic")]
    ByteOrderMagic,
    /// A block's length is below its minimum, not a multiple of four, or too large to hold.
    #[error("block type {block:#010x} claims a length of {length} bytes")]
    BlockLength {
        /// The block's type.
        block: u32,
        /// The length it claims, in bytes.
        length: u32,
    },
    /// A block's two lengths differ.
    #[error("block type {block:#010x} begins with length {leading} but ends with {trailing}")]
    BlockLengthsDiffer {
        /// The block's type.
        block: u32,
        /// The length before the body, in bytes.
        leading: u32,
        /// The length after the body, in bytes.
        trailing: u32,
    },
    /// A packet block's captured length does not fit into the block.
    #[error("a packet of {claimed} bytes is claimed in a block with room for {room}")]
    PacketOutsideBlock {
        /// The captured length in the block, in bytes.
        claimed: u32,
        /// The bytes the block has for it.
        room: u32,
    },
    /// A packet names an interface that no description came before.
    #[error("a packet of interface {interface}, but the section has described {described}")]
    UnknownInterface {
        /// The interface the packet names, counted from 0 in its section.
        interface: u32,
        /// How many interfaces the section has described.
        described: u32,
    },
    /// The file describes more interfaces than are kept.
    #[error("more than {limit} interfaces are described")]
    TooManyInterfaces {
        /// The most that is kept.
        limit: u32,
    },
    /// A snoop file is of a link that is not read.
    #[error("its link, snoop's datalink type {0}, is not read")]
    Datalink(u32),
    /// A record claims a length that has no room for its header and the packet.
    #[error("a record claims a length of {length} bytes, and {needed} are in it")]
    RecordLength {
        /// The length it claims, in bytes.
        length: u32,
        /// What it must have, in bytes.
        needed: u32,
    },
    /// The compression around the capture is damaged.
    #[error("the {0} {1}")]
    Packed(Packing, PackingDamage),
}

/// Why a reader stops, before it is known which file it reads.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The capture is damaged where the record at `offset` begins.
    Damaged { offset: u64, reason: DamageReason },
    /// It holds more bytes than may be copied.
    Overfull(u64),
    /// Reading failed.
    Io(io::Error),
}

/// Where a change showed.
pub(crate) struct At<'a>(pub(crate) &'a Option<u64>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(offset) => write!(f, ": what stood at byte {offset} is gone"),
            None => Ok(()),
        }
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for byte in self.0 {
            write!(f, "{separator}{byte:02x}")?;
            separator = " ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damage_message_says_where_what_and_what_next() {
        let error = CaptureError::Damaged {
            path: "a.pcap".into(),
            offset: 40,
            after_packet: 2,
            reason: DamageReason::CutShort {
                what: "packet",
                missing: 7,
            },
        };
        assert_eq!(
            error.to_string(),
            "a.pcap: damaged at byte 40, after frame 2: the file ends 7 bytes short of the end of this packet; \
             the frames before are good, record the rest again or cut the file there"
        );
    }

    #[test]
    fn a_foreign_file_is_shown_by_its_first_bytes() {
        let error = CaptureError::NotACapture {
            path: "a.png".into(),
            first: vec![0x89, 0x50],
        };
        assert!(error.to_string().contains("begins with 89 50;"));
    }
}
