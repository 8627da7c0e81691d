//! The .xz format, version 1.1.0: its container here, LZMA2 by lzma-rust2. Sections below are the format's own.
//!
//! The container is taken apart here because that crate's own reader keeps what it decoded before damage to itself. Of
//! filters LZMA2 alone is read, which is all that `xz` writes unless it is asked for more.

use std::io::{self, BufRead, Read};

use flate2::Crc;
use lzma_rust2::{Action, Lzma2Stream, Status};

use super::check::Check;
use super::{Damaged, Packing, PackingDamage, WINDOW};

/// The first six bytes of a stream (2.1.1.1).
pub(super) const MAGIC: [u8; 6] = [0xfd, b'7', b'z', b'X', b'Z', 0];

/// A reader of all streams of a file, one after the other.
pub(super) struct XzReader<R> {
    input: Slices<R>,
    state: State,
    check: Check,
    /// Packed bytes of the present block, without its header.
    packed: u64,
}

enum State {
    /// Before a stream; the flag says whether one came before.
    Stream {
        seen: bool,
    },
    /// Before a block, or the index.
    Block,
    Data(Box<Lzma2Stream>),
    Ended(Option<PackingDamage>),
}

impl<R: BufRead> XzReader<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input: Slices {
                input,
                slice: [0; SLICE],
                at: 0,
                end: 0,
            },
            state: State::Stream { seen: false },
            check: Check::Skipped(0),
            packed: 0,
        }
    }

    /// Reads a stream's header; `false` at the end of the file. Zeros may stand between streams (2.2).
    fn begin_stream(&mut self, seen: bool) -> io::Result<bool> {
        while seen && self.input.fill_buf()?.first() == Some(&0) {
            self.input.consume(1);
        }
        if seen && self.input.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let magic: [u8; 6] = self.field()?;
        if magic != MAGIC {
            return Err(damage(if seen {
                PackingDamage::Trailing
            } else {
                PackingDamage::Header
            }));
        }
        let flags: [u8; 2] = self.field()?;
        self.sealed(&flags)?;
        let [0, kind @ 0..=15] = flags else {
            return Err(damage(PackingDamage::Header));
        };
        self.check = Check::of(kind);
        Ok(true)
    }

    /// Reads a block's header (3.1), or the index and what is behind it, in place of which it is nothing.
    fn begin_block(&mut self) -> io::Result<Option<Box<Lzma2Stream>>> {
        let [size] = self.field()?;
        if size == 0 {
            self.end_stream()?;
            return Ok(None);
        }
        let mut header = vec![0; usize::from(size) * 4];
        if let Some(first) = header.first_mut() {
            *first = size;
        }
        self.fill(header.get_mut(1..).unwrap_or_default())?;
        self.sealed(&header)?;
        let mut fields = header.get(1..).unwrap_or_default();
        let [flags] = take(&mut fields)?;
        if flags & 0x3f != 0 {
            return Err(damage(PackingDamage::Unsupported));
        }
        for length in [0x40, 0x80] {
            if flags & length != 0 {
                number(&mut fields)?;
            }
        }
        if number(&mut fields)? != LZMA2 || number(&mut fields)? != 1 {
            return Err(damage(PackingDamage::Unsupported));
        }
        let [bits] = take(&mut fields)?;
        // The size of the dictionary (5.3.1): 2 or 3 times a power of two.
        let size = match bits {
            0..40 => (2 | u64::from(bits & 1)) << (bits / 2 + 11),
            _ => u64::MAX,
        };
        let size = u32::try_from(size).ok().filter(|size| *size <= WINDOW);
        let size = size.ok_or_else(|| damage(PackingDamage::Unsupported))?;
        self.check.begin();
        self.packed = 0;
        Ok(Some(Box::new(Lzma2Stream::new(size))))
    }

    /// Passes over the index (4), whose numbers nobody needs here, and the footer (2.1.2).
    fn end_stream(&mut self) -> io::Result<()> {
        let mut seal = Crc::new();
        seal.update(&[0]);
        let records = self.index_number(&mut seal)?;
        for _ in 0..records {
            self.index_number(&mut seal)?;
            self.index_number(&mut seal)?;
        }
        while !seal.amount().is_multiple_of(4) {
            seal.update(&self.field::<1>()?);
        }
        if self.field()? != seal.sum().to_le_bytes() {
            return Err(damage(PackingDamage::Checksum));
        }
        let footer: [u8; 12] = self.field()?;
        if footer.ends_with(b"YZ") {
            Ok(())
        } else {
            Err(damage(PackingDamage::Header))
        }
    }

    fn index_number(&mut self, seal: &mut Crc) -> io::Result<u64> {
        let mut bytes = Vec::new();
        loop {
            let [byte] = self.field()?;
            seal.update(&[byte]);
            bytes.push(byte);
            if byte & 0x80 == 0 || bytes.len() == 9 {
                return number(&mut bytes.as_slice());
            }
        }
    }

    /// Checks the CRC-32 that stands behind a header.
    fn sealed(&mut self, header: &[u8]) -> io::Result<()> {
        let mut seal = Crc::new();
        seal.update(header);
        if self.field()? == seal.sum().to_le_bytes() {
            Ok(())
        } else {
            Err(damage(PackingDamage::Header))
        }
    }

    /// Passes over a block's padding and looks at its check.
    fn end_block(&mut self) -> io::Result<()> {
        while !self.packed.is_multiple_of(4) {
            self.field::<1>()?;
            self.packed += 1;
        }
        match self.check.finish() {
            Ok(want) => {
                let mut stands = vec![0; want.len()];
                self.fill(&mut stands)?;
                if stands == want {
                    Ok(())
                } else {
                    Err(damage(PackingDamage::Checksum))
                }
            }
            Err(length) => self.fill(vec![0; length].as_mut_slice()),
        }
    }

    fn advance(&mut self, output: &mut [u8]) -> io::Result<usize> {
        loop {
            match &mut self.state {
                State::Ended(None) => return Ok(0),
                State::Ended(Some(what)) => return Err(damage(*what)),
                State::Stream { seen } => {
                    let seen = *seen;
                    self.state = if self.begin_stream(seen)? {
                        State::Block
                    } else {
                        State::Ended(None)
                    };
                }
                State::Block => {
                    self.state = match self.begin_block()? {
                        Some(data) => State::Data(data),
                        None => State::Stream { seen: true },
                    };
                }
                State::Data(data) => {
                    let input = self.input.fill_buf()?;
                    let action = if input.is_empty() {
                        Action::Finish
                    } else {
                        Action::Run
                    };
                    let at_end = input.is_empty();
                    let (read, given) = (data.total_in(), data.total_out());
                    let decoded = data.process(input, output, action);
                    let read = data.total_in() - read;
                    let given = (data.total_out() - given) as usize;
                    self.input.consume(read as usize);
                    self.packed += read;
                    self.check.update(output.get(..given).unwrap_or_default());
                    let ended = match decoded {
                        Ok(done) => done.status == Status::StreamEnd,
                        Err(_) => {
                            let what = if at_end {
                                PackingDamage::CutShort
                            } else {
                                PackingDamage::Data
                            };
                            self.state = State::Ended(Some(what));
                            false
                        }
                    };
                    if ended {
                        self.state = State::Block;
                        // A bad check must not cost the bytes just decoded: they go out first.
                        if let Err(error) = self.end_block() {
                            let what = Damaged::of(&error).map(|Damaged(_, what)| what);
                            self.state = State::Ended(what);
                            if given == 0 {
                                return Err(error);
                            }
                        }
                    }
                    if given > 0 {
                        return Ok(given);
                    }
                }
            }
        }
    }

    fn field<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut field = [0; N];
        self.fill(&mut field)?;
        Ok(field)
    }

    fn fill(&mut self, to: &mut [u8]) -> io::Result<()> {
        self.input.read_exact(to).map_err(|error| {
            if error.kind() == io::ErrorKind::UnexpectedEof {
                damage(PackingDamage::CutShort)
            } else {
                error
            }
        })
    }
}

/// An input a little at a time: what the decoder makes of one look at it is lost when it meets damage there.
struct Slices<R> {
    input: R,
    slice: [u8; SLICE],
    at: usize,
    end: usize,
}

/// Bytes of a look.
const SLICE: usize = 16;

impl<R: BufRead> Read for Slices<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let count = self.fill_buf()?.read(to)?;
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Slices<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.end {
            (self.at, self.end) = (0, 0);
            while let Some(rest) = self
                .slice
                .get_mut(self.end..)
                .filter(|rest| !rest.is_empty())
            {
                match self.input.read(rest) {
                    Ok(0) => break,
                    Ok(count) => self.end += count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    // What was read before goes first; the error comes again.
                    Err(_) if self.end > 0 => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(self.slice.get(self.at..self.end).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.at = self.end.min(self.at + count);
    }
}

/// The first bytes of a header's fields.
fn take<const N: usize>(fields: &mut &[u8]) -> io::Result<[u8; N]> {
    let (first, rest) = fields
        .split_first_chunk()
        .ok_or_else(|| damage(PackingDamage::Header))?;
    *fields = rest;
    Ok(*first)
}

/// A number of seven bits a byte, the lowest first (1.2).
fn number(fields: &mut &[u8]) -> io::Result<u64> {
    let mut value = 0;
    for shift in (0..63).step_by(7) {
        let [byte] = take(fields)?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(damage(PackingDamage::Header))
}

/// The filter's number (5.3.1).
const LZMA2: u64 = 0x21;

fn damage(what: PackingDamage) -> io::Error {
    Damaged(Packing::Xz, what).error()
}

impl<R: BufRead> Read for XzReader<R> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        if output.is_empty() {
            return Ok(0);
        }
        let read = self.advance(output);
        if let Err(error) = &read
            && error.kind() != io::ErrorKind::Interrupted
        {
            self.state = State::Ended(Damaged::of(error).map(|Damaged(_, what)| what));
        }
        read
    }
}
