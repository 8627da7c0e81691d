//! What a capture may be packed in: gzip, zstd, xz, lz4, recognized by its first bytes.
//!
//! Whatever ends a packed file early, what was decoded before goes out first and the damage follows on the next call:
//! the decoders of others drop or hold back what they had, so that each is driven here a little at a time.

use std::fmt;
use std::io::{self, BufReader, Read};

use thiserror::Error;

use super::gzip::{self, GzipReader};

mod check;
mod lz4;
mod xxh32;
mod xz;
mod zstd;

/// How a capture file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The .xz format, version 1.
    Xz,
    /// The LZ4 frame format.
    Lz4,
}

impl Packing {
    /// The kind of packing by the first bytes of a file.
    pub(super) fn recognise(first: &[u8]) -> Option<Self> {
        if first.starts_with(&gzip::MAGIC) {
            Some(Self::Gzip)
        } else if first.starts_with(&zstd::MAGIC) || is_skippable(first) {
            Some(Self::Zstd)
        } else if first.starts_with(&xz::MAGIC) {
            Some(Self::Xz)
        } else if first.starts_with(&lz4::MAGIC) || first.starts_with(&lz4::LEGACY_MAGIC) {
            Some(Self::Lz4)
        } else {
            None
        }
    }

    /// Its name, as in "gzip".
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Lz4 => "lz4",
        }
    }

    /// Unpacks what `reader` gives from the first byte on.
    pub(super) fn unpack(self, reader: impl Read + 'static) -> Box<dyn Read> {
        let input = BufReader::with_capacity(INPUT, reader);
        match self {
            Self::Gzip => Box::new(GzipReader::new(input)),
            Self::Zstd => Box::new(zstd::ZstdReader::new(input)),
            Self::Xz => Box::new(xz::XzReader::new(input)),
            Self::Lz4 => Box::new(lz4::Lz4Reader::new(input)),
        }
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Zstd's frames without data, which tools put before the first one.
fn is_skippable(first: &[u8]) -> bool {
    matches!(first, [low, 0x2a, 0x4d, 0x18, ..] if low & 0xf0 == 0x50)
}

/// What is wrong with a packed file, as a lower-case fragment behind its packing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PackingDamage {
    /// The file ends before what is packed in it does.
    #[error("file is cut short")]
    CutShort,
    /// A header is not one of its format.
    #[error("header is invalid")]
    Header,
    /// The packed data cannot be decoded.
    #[error("data is corrupt")]
    Data,
    /// A checksum or length does not match what was decoded.
    #[error("checksum or length does not match")]
    Checksum,
    /// Bytes that are neither more of it nor zero padding follow the end.
    #[error("data is followed by bytes that are not")]
    Trailing,
    /// It wants more memory, a dictionary or a filter that is not there.
    #[error(
        "data asks for what is not supported: more than 128 MiB of window, a dictionary or a filter"
    )]
    Unsupported,
}

/// The error of a reader that met damage.
#[derive(Clone, Copy, Debug, Error)]
#[error("the {0} {1}")]
pub(super) struct Damaged(pub(super) Packing, pub(super) PackingDamage);

impl Damaged {
    pub(super) fn error(self) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, self)
    }

    /// The damage that a read error reports, if it does.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref::<Self>().copied()
    }
}

/// Packed bytes read at a time.
const INPUT: usize = 64 << 10;

/// The most memory that packed data may ask for: what `xz -9` and `zstd --long` take, bytes.
const WINDOW: u32 = 128 << 20;

#[cfg(test)]
mod tests;
