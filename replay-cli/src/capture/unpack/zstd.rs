//! Zstandard (RFC 8878), by ruzstd's frame decoder.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::{Damaged, Packing, PackingDamage, WINDOW};

/// The first four bytes of a frame (section 3.1.1).
pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// A reader of all frames of a file, one after the other.
pub(super) struct ZstdReader<R> {
    input: Watched<R>,
    decoder: FrameDecoder,
    state: State,
}

enum State {
    /// Before a frame; the flag says whether one came before.
    Frame {
        seen: bool,
    },
    /// Within one.
    Blocks,
    /// Behind all that can be decoded; the rest of it goes out, then this.
    Ending(io::Error),
    Ended(Option<PackingDamage>),
}

impl<R: BufRead> ZstdReader<R> {
    pub(super) fn new(input: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(WINDOW.into());
        Self {
            input: Watched::new(input),
            decoder,
            state: State::Frame { seen: false },
        }
    }

    fn begin(&mut self, seen: bool) -> io::Result<State> {
        if seen && self.input.is_at_end()? {
            return Ok(State::Ended(None));
        }
        match self.decoder.reset(&mut self.input) {
            Ok(()) => Ok(State::Blocks),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let mut skipped = (&mut self.input).take(length.into());
                if io::copy(&mut skipped, &mut io::sink())? < length.into() {
                    return Err(damage(PackingDamage::CutShort));
                }
                Ok(State::Frame { seen: true })
            }
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::BadMagicNumber(
                _,
            ))) if seen => Err(self.input.why(PackingDamage::Trailing)),
            Err(
                FrameDecoderError::DictNotProvided { .. }
                | FrameDecoderError::WindowSizeTooBig { .. },
            ) => Err(damage(PackingDamage::Unsupported)),
            Err(_) => Err(self.input.why(PackingDamage::Header)),
        }
    }

    /// Decodes a block more, once what was decoded before it is gone.
    fn block(&mut self) -> State {
        let one = || BlockDecodingStrategy::UptoBlocks(1);
        if self.decoder.is_finished() {
            let sums = (
                self.decoder.get_checksum_from_data(),
                self.decoder.get_calculated_checksum(),
            );
            if let (Some(said), Some(is)) = sums
                && said != is
            {
                return State::Ended(Some(PackingDamage::Checksum));
            }
            return State::Frame { seen: true };
        }
        if self.decoder.decode_blocks(&mut self.input, one()).is_ok() {
            return State::Blocks;
        }
        let why = self.input.why(PackingDamage::Data);
        // The decoder holds back a window until the last block: an empty one, with a checksum that nobody looks at,
        // makes it give all it has.
        let _ = self.decoder.decode_blocks(LAST_BLOCK.as_slice(), one());
        State::Ending(why)
    }
}

/// The header of an empty raw block that is the last (section 3.1.1.2), and room for a checksum.
const LAST_BLOCK: [u8; 7] = [1, 0, 0, 0, 0, 0, 0];

impl<R: BufRead> Read for ZstdReader<R> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        if output.is_empty() {
            return Ok(0);
        }
        loop {
            match &mut self.state {
                State::Ended(None) => return Ok(0),
                State::Ended(Some(what)) => return Err(damage(*what)),
                State::Frame { seen } => {
                    let seen = *seen;
                    match self.begin(seen) {
                        Ok(state) => self.state = state,
                        Err(error) => {
                            let what = Damaged::of(&error).map(|Damaged(_, what)| what);
                            self.state = State::Ended(what);
                            return Err(error);
                        }
                    }
                }
                State::Blocks => {
                    let count = self.decoder.read(output)?;
                    if count > 0 {
                        return Ok(count);
                    }
                    self.state = self.block();
                }
                State::Ending(_) => {
                    let count = self.decoder.read(output)?;
                    if count > 0 {
                        return Ok(count);
                    }
                    if let State::Ending(error) =
                        std::mem::replace(&mut self.state, State::Ended(None))
                    {
                        let what = Damaged::of(&error).map(|Damaged(_, what)| what);
                        self.state = State::Ended(what);
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// An input that remembers what a decoder which reads it does not tell: whether it ended, and how reading it failed.
struct Watched<R> {
    input: R,
    ended: bool,
    failure: Option<io::Error>,
}

impl<R: BufRead> Watched<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            ended: false,
            failure: None,
        }
    }

    /// Whether nothing is left.
    fn is_at_end(&mut self) -> io::Result<bool> {
        loop {
            match self.input.fill_buf() {
                Ok(left) => return Ok(left.is_empty()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Why a decoder gave up: the input failed, or ended, or held `otherwise`.
    fn why(&mut self, otherwise: PackingDamage) -> io::Error {
        if let Some(failure) = self.failure.take() {
            return failure;
        }
        let what = if self.ended {
            PackingDamage::CutShort
        } else {
            otherwise
        };
        damage(what)
    }
}

impl<R: BufRead> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buffer) {
            Ok(count) => {
                self.ended |= count == 0 && !buffer.is_empty();
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => {
                let kind = error.kind();
                self.failure = Some(error);
                Err(kind.into())
            }
        }
    }
}

fn damage(what: PackingDamage) -> io::Error {
    Damaged(Packing::Zstd, what).error()
}
