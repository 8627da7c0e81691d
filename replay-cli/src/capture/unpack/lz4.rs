//! LZ4 frames, version 1.6.1 of their format, and the older one that the Linux kernel uses.
//!
//! A block may hold 4 MiB, and `lz4` makes them that large: of one that is cut or damaged its beginning is decoded, which
//! no decoder at hand does. Section names below are the format's own.

use std::io::{self, BufRead, Read};

use super::xxh32::Xxh32;
use super::{Damaged, Packing, PackingDamage};

/// The first four bytes of a frame, and of one of the format before it.
pub(super) const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
pub(super) const LEGACY_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];

/// A reader of all frames of a file, one after the other.
pub(super) struct Lz4Reader<R> {
    input: R,
    state: State,
    /// What was decoded last, and before it what matches may refer to.
    out: Vec<u8>,
    /// Bytes of it that were handed out.
    given: usize,
    packed: Vec<u8>,
    content: Xxh32,
}

#[derive(Clone, Copy)]
enum State {
    /// Before a frame; the flag says whether one came before.
    Frame {
        seen: bool,
    },
    Blocks(Frame),
    Ended(Option<PackingDamage>),
}

/// What a frame's descriptor says.
#[derive(Clone, Copy)]
struct Frame {
    legacy: bool,
    /// Blocks do not refer to those before them.
    independent: bool,
    block_checksums: bool,
    content_checksum: bool,
    /// The most bytes that a block holds.
    block: usize,
}

impl<R: BufRead> Lz4Reader<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            state: State::Frame { seen: false },
            out: Vec::new(),
            given: 0,
            packed: Vec::new(),
            content: Xxh32::new(),
        }
    }

    /// Reads a frame's magic number and descriptor; none at the end of the file.
    fn begin(&mut self, seen: bool) -> io::Result<Option<Frame>> {
        let mut magic = [0; 4];
        let got = self.fill(&mut magic)?;
        if got == 0 && seen {
            return Ok(None);
        }
        if got < magic.len() {
            let begun = magic.get(..got).unwrap_or_default();
            let known = [MAGIC, LEGACY_MAGIC]
                .iter()
                .any(|known| known.starts_with(begun));
            return Err(damage(if seen && !known {
                PackingDamage::Trailing
            } else {
                PackingDamage::CutShort
            }));
        }
        // A frame without data, which other tools put between others.
        if magic[0] & 0xf0 == 0x50 && magic[1..] == [0x2a, 0x4d, 0x18] {
            let length = u32::from_le_bytes(self.field()?);
            let skipped = io::copy(&mut (&mut self.input).take(length.into()), &mut io::sink())?;
            return if skipped < length.into() {
                Err(damage(PackingDamage::CutShort))
            } else {
                self.begin(true)
            };
        }
        self.out.clear();
        self.given = 0;
        self.content = Xxh32::new();
        if magic == LEGACY_MAGIC {
            return Ok(Some(Frame {
                legacy: true,
                independent: true,
                block_checksums: false,
                content_checksum: false,
                block: LEGACY_BLOCK,
            }));
        }
        if magic != MAGIC {
            return Err(damage(if seen {
                PackingDamage::Trailing
            } else {
                PackingDamage::Header
            }));
        }
        self.descriptor().map(Some)
    }

    fn descriptor(&mut self) -> io::Result<Frame> {
        let [flags, sizes] = self.field()?;
        let mut descriptor = vec![flags, sizes];
        if flags & CONTENT_SIZE != 0 {
            descriptor.extend(self.field::<8>()?);
        }
        if flags & DICTIONARY != 0 {
            descriptor.extend(self.field::<4>()?);
        }
        let mut hash = Xxh32::new();
        hash.update(&descriptor);
        let [check] = self.field()?;
        // Version 1, and the reserved bits.
        let sound = flags & 0xc2 == 0x40 && sizes & 0x8f == 0 && sizes >= 0x40;
        if !sound || check != (hash.finish() >> 8) as u8 {
            return Err(damage(PackingDamage::Header));
        }
        if flags & DICTIONARY != 0 {
            return Err(damage(PackingDamage::Unsupported));
        }
        Ok(Frame {
            legacy: false,
            independent: flags & INDEPENDENT != 0,
            block_checksums: flags & BLOCK_CHECKSUMS != 0,
            content_checksum: flags & CONTENT_CHECKSUM != 0,
            // 64 KiB, 256 KiB, 1 MiB, 4 MiB.
            block: 1 << (8 + 2 * (sizes >> 4)),
        })
    }

    /// Decodes the next block, or as much of it as can be; the state is what comes behind that.
    fn block(&mut self, frame: Frame) -> io::Result<State> {
        let mut size = [0; 4];
        match self.fill(&mut size)? {
            4 => {}
            // The older format has no end of its own.
            0 if frame.legacy => return Ok(State::Ended(None)),
            _ => return Ok(State::Ended(Some(PackingDamage::CutShort))),
        }
        if frame.legacy && (size == LEGACY_MAGIC || size == MAGIC) {
            // Another frame: what is behind its magic number is read as what it is.
            self.content = Xxh32::new();
            return Ok(State::Blocks(if size == MAGIC {
                self.descriptor()?
            } else {
                frame
            }));
        }
        let word = u32::from_le_bytes(size);
        if word == 0 && !frame.legacy {
            return self.end(frame);
        }
        let stored = !frame.legacy && word >> 31 == 1;
        let length = (word & 0x7fff_ffff) as usize;
        // What does not pack becomes larger by one byte in 255.
        let most = if frame.legacy {
            frame.block + frame.block / 255 + 16
        } else {
            frame.block
        };
        if length > most {
            return Ok(State::Ended(Some(PackingDamage::Data)));
        }
        let mut packed = std::mem::take(&mut self.packed);
        packed.resize(length, 0);
        let got = self.fill(&mut packed)?;
        packed.truncate(got);
        // Matches reach 64 KiB back.
        let keep = if frame.independent {
            0
        } else {
            HISTORY.min(self.out.len())
        };
        self.out.drain(..self.out.len() - keep);
        self.given = keep;
        let whole = if stored {
            self.out.extend_from_slice(&packed);
            true
        } else {
            decode(&packed, &mut self.out, frame.block)
        };
        let behind = if got < length {
            State::Ended(Some(PackingDamage::CutShort))
        } else if !whole {
            State::Ended(Some(PackingDamage::Data))
        } else if frame.block_checksums && !self.is_sealed(&packed)? {
            State::Ended(Some(PackingDamage::Checksum))
        } else {
            State::Blocks(frame)
        };
        self.packed = packed;
        self.content
            .update(self.out.get(keep..).unwrap_or_default());
        Ok(behind)
    }

    fn end(&mut self, frame: Frame) -> io::Result<State> {
        let sound =
            !frame.content_checksum || u32::from_le_bytes(self.field()?) == self.content.finish();
        Ok(if sound {
            State::Frame { seen: true }
        } else {
            State::Ended(Some(PackingDamage::Checksum))
        })
    }

    /// Whether the checksum of a block follows.
    fn is_sealed(&mut self, packed: &[u8]) -> io::Result<bool> {
        let mut hash = Xxh32::new();
        hash.update(packed);
        Ok(u32::from_le_bytes(self.field()?) == hash.finish())
    }

    fn field<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut field = [0; N];
        if self.fill(&mut field)? == N {
            Ok(field)
        } else {
            Err(damage(PackingDamage::CutShort))
        }
    }

    /// Reads as many bytes as there are, up to the length of `to`.
    fn fill(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while let Some(rest) = to.get_mut(count..).filter(|rest| !rest.is_empty()) {
            match self.input.read(rest) {
                Ok(0) => break,
                Ok(more) => count += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(count)
    }
}

impl<R: BufRead> Read for Lz4Reader<R> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        loop {
            let rest = self.out.get(self.given..).unwrap_or_default();
            let count = rest.len().min(output.len());
            if count > 0 || output.is_empty() {
                if let (Some(to), Some(rest)) = (output.get_mut(..count), rest.get(..count)) {
                    to.copy_from_slice(rest);
                }
                self.given += count;
                return Ok(count);
            }
            let next = match self.state {
                State::Ended(None) => return Ok(0),
                State::Ended(Some(what)) => return Err(damage(what)),
                State::Frame { seen } => self
                    .begin(seen)
                    .map(|frame| frame.map_or(State::Ended(None), State::Blocks)),
                State::Blocks(frame) => self.block(frame),
            };
            match next {
                Ok(state) => self.state = state,
                Err(error) => {
                    let what = Damaged::of(&error).map(|Damaged(_, what)| what);
                    self.state = State::Ended(what);
                    // What the block gave before its checksum goes out first.
                    if self.given == self.out.len() || what.is_none() {
                        return Err(error);
                    }
                }
            }
        }
    }
}

/// Decodes a block behind what is in `out`, `most` bytes of it; false if it ends within a sequence or is none, and then
/// what came before that is decoded.
fn decode(packed: &[u8], out: &mut Vec<u8>, most: usize) -> bool {
    let end = out.len() + most;
    let mut rest = packed;
    loop {
        let Some(token) = take(&mut rest) else {
            return false;
        };
        let Some(literals) = length(usize::from(token >> 4), &mut rest) else {
            return false;
        };
        let there = literals.min(rest.len()).min(end - out.len());
        let (copied, behind) = rest.split_at(there);
        out.extend_from_slice(copied);
        rest = behind;
        if there < literals {
            return false;
        }
        if rest.is_empty() {
            // The last sequence has no match.
            return true;
        }
        let (Some(low), Some(high)) = (take(&mut rest), take(&mut rest)) else {
            return false;
        };
        let offset = usize::from(u16::from_le_bytes([low, high]));
        let Some(matched) = length(usize::from(token & 15), &mut rest) else {
            return false;
        };
        let mut left = matched + 4;
        if offset == 0 || offset > out.len() || left > end - out.len() {
            return false;
        }
        let from = out.len() - offset;
        while left > 0 {
            // A match may reach into itself.
            let count = left.min(out.len() - from);
            out.extend_from_within(from..from + count);
            left -= count;
        }
    }
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (first, behind) = rest.split_first()?;
    *rest = behind;
    Some(*first)
}

/// A length of which the token has four bits: 15 of them say that bytes follow, to be added up to the first below 255.
fn length(begun: usize, rest: &mut &[u8]) -> Option<usize> {
    let mut length = begun;
    let mut more = begun == 15;
    while more {
        let byte = take(rest)?;
        length += usize::from(byte);
        more = byte == 255;
    }
    Some(length)
}

/// FLG bits.
const DICTIONARY: u8 = 1;
const CONTENT_CHECKSUM: u8 = 1 << 2;
const CONTENT_SIZE: u8 = 1 << 3;
const BLOCK_CHECKSUMS: u8 = 1 << 4;
const INDEPENDENT: u8 = 1 << 5;

/// What matches may reach back, bytes.
const HISTORY: usize = 64 << 10;

/// What a block of the older format holds, bytes.
const LEGACY_BLOCK: usize = 8 << 20;

fn damage(what: PackingDamage) -> io::Error {
    Damaged(Packing::Lz4, what).error()
}
