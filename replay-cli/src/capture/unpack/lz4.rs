//! LZ4 frames, by lz4_flex's decoder, which takes a file that ends between two blocks for whole.

use std::io::{self, BufRead, Read};

use lz4_flex::frame::{Error, FrameDecoder};

use super::{Damaged, Packing, PackingDamage, Watched};

/// The first four bytes of a frame, and of one of the format before it.
pub(super) const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
pub(super) const LEGACY_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// A reader of all frames of a file, one after the other.
pub(super) struct Lz4Reader<R: BufRead> {
    decoder: FrameDecoder<Watched<R>>,
    legacy: bool,
    seen: bool,
    ended: Option<Option<PackingDamage>>,
}

impl<R: BufRead> Lz4Reader<R> {
    pub(super) fn new(mut input: Watched<R>) -> Self {
        let first = input.input.fill_buf().unwrap_or_default();
        let legacy = first.starts_with(&LEGACY_MAGIC);
        Self {
            decoder: FrameDecoder::new(input),
            legacy,
            seen: false,
            ended: None,
        }
    }

    fn advance(&mut self, output: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.decoder.read(output) {
                Ok(0) => {}
                Ok(count) => return Ok(count),
                Err(error) => {
                    let what = what_of(&error, self.seen && self.decoder.get_ref().count <= 7);
                    return Err(self.decoder.get_mut().why(Packing::Lz4, what));
                }
            }
            // The end of a frame, of the file between two, or of the file within one. A legacy frame has no end of its
            // own.
            let input = self.decoder.get_mut();
            if !input.ended {
                (input.count, self.seen) = (0, true);
            } else if input.count == 0 || self.legacy {
                self.ended = Some(None);
                return Ok(0);
            } else {
                return Err(input.why(Packing::Lz4, PackingDamage::CutShort));
            }
        }
    }
}

/// What an error of the decoder means; `behind` says that it stands behind a frame's end.
fn what_of(error: &io::Error, behind: bool) -> PackingDamage {
    let inner = error.get_ref();
    match inner.and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::WrongMagicNumber | Error::SkippableFrame(_)) if behind => {
            PackingDamage::Trailing
        }
        Some(
            Error::WrongMagicNumber
            | Error::UnsupportedBlocksize(_)
            | Error::UnsupportedVersion(_)
            | Error::ReservedBitsSet
            | Error::HeaderChecksumError,
        ) => PackingDamage::Header,
        Some(
            Error::BlockChecksumError
            | Error::ContentChecksumError
            | Error::ContentLengthError { .. },
        ) => PackingDamage::Checksum,
        Some(Error::DictionaryNotSupported) => PackingDamage::Unsupported,
        _ => PackingDamage::Data,
    }
}

impl<R: BufRead> Read for Lz4Reader<R> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        match self.ended {
            Some(None) => return Ok(0),
            Some(Some(what)) => return Err(Damaged(Packing::Lz4, what).error()),
            None if output.is_empty() => return Ok(0),
            None => {}
        }
        let read = self.advance(output);
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.ended = Some(Damaged::of(error).map(|Damaged(_, what)| what));
        }
        read
    }
}
