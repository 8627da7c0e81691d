//! What can be wrong with a capture file, as where, what and what to do next.

use std::{fmt, io};

use thiserror::Error;

use super::unpack::{Packing, PackingDamage};
use crate::base::diagnostic::Diagnostic;
use crate::base::duration::Size;

/// Why a capture cannot be opened, or cannot be read further.
///
/// Each message names the file, what was found in it and what to do next.
#[derive(Debug)]
#[non_exhaustive]
pub enum CaptureError {
    /// There is no such file.
    NotFound {
        /// The path as it was given.
        path: String,
    },
    /// The path names a directory.
    IsDirectory {
        /// The path as it was given.
        path: String,
    },
    /// The file, or what is packed in it, has no bytes at all.
    Empty {
        /// The path as it was given.
        path: String,
    },
    /// The first bytes are those of no format read here.
    NotACapture {
        /// The path as it was given.
        path: String,
        /// The first bytes, at most eight, after decompression where there was any.
        first: Vec<u8>,
    },
    /// The operating system refused to open or read the file.
    Io {
        /// The path as it was given.
        path: String,
        /// The operating system's error.
        source: io::Error,
    },
    /// The file is not the one any more that was read first: its payload is read again where it is wanted.
    Changed {
        /// The path as it was given.
        path: String,
        /// Where bytes are missing that had been there; none if only its length or time tells.
        offset: Option<u64>,
    },
    /// The capture has more flows than are kept apart.
    TooManyFlows {
        /// The path as it was given.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// What a packed file or a pipe holds is more than may be copied to be read again.
    TooLarge {
        /// The path as it was given.
        path: String,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The file is damaged or cut short; every packet before the damage was given.
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

impl CaptureError {
    /// The file, what is wrong with it, and what to do next.
    fn parts(&self) -> (&str, String, &'static str) {
        match self {
            Self::NotFound { path } => (
                path,
                "no such file".to_owned(),
                "check the path; a relative one starts at the current directory",
            ),
            Self::IsDirectory { path } => (
                path,
                "this is a folder, not a capture".to_owned(),
                "name one capture file in it",
            ),
            Self::Empty { path } => (
                path,
                "empty: 0 bytes, not even a capture header".to_owned(),
                "record it again",
            ),
            Self::NotACapture { path, first } => {
                let first: Vec<_> = first.iter().map(|byte| format!("{byte:02x}")).collect();
                let what = "not a pcap, pcapng, snoop or ERF file, packed or not";
                (
                    path,
                    format!("{what}: it begins with {}", first.join(" ")),
                    "check that this is the file meant, or convert it to pcapng",
                )
            }
            Self::Io { path, source } => (
                path,
                format!("cannot be read: {source}"),
                "check its permissions and the disk",
            ),
            Self::Changed { path, offset } => {
                let gone = |at| format!(": what stood at byte {at} is gone");
                let gone = offset.map_or_else(String::new, gone);
                (
                    path,
                    format!("changed while it was read{gone}"),
                    "wait until nothing writes to it, or take a copy",
                )
            }
            Self::TooManyFlows { path, limit } => (
                path,
                format!("has more than {limit} flows, the limit: each takes some 4 KiB of memory"),
                "cut it into parts, by time or by address",
            ),
            Self::TooLarge { path, limit } => (
                path,
                format!("holds more than {} unpacked, the limit", Size(*limit)),
                "allow more with --max-unpacked, or unpack it to a file first, which needs no copy",
            ),
            Self::Damaged {
                path,
                offset,
                after_packet,
                reason,
            } => (
                path,
                format!("damaged at byte {offset}, after frame {after_packet}: {reason}"),
                "the frames before are good; record the rest again, or cut the file there",
            ),
        }
    }
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, what, help) = self.parts();
        write!(f, "{path}: {what}; {help}")
    }
}

impl std::error::Error for CaptureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<&CaptureError> for Diagnostic {
    fn from(error: &CaptureError) -> Self {
        let (path, what, help) = error.parts();
        Self::new(what).in_file(path).help(help)
    }
}

impl From<CaptureError> for Diagnostic {
    fn from(error: CaptureError) -> Self {
        Self::from(&error)
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
             the frames before are good; record the rest again, or cut the file there"
        );
        assert_eq!(
            Diagnostic::from(&error).to_string(),
            "error: a.pcap: damaged at byte 40, after frame 2: the file ends 7 bytes short of the end of this packet\n  \
             help: the frames before are good; record the rest again, or cut the file there"
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
