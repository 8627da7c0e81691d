//! Decompresses gzip files (RFC 1952) and reports exactly where the good data ends.
//!
//! flate2's own gzip reader drops what it had decoded in the call that met the damage, up to a whole buffer of good
//! packets; here the framing around its decoder gives those bytes first and reports the damage on the next call. Zero
//! padding after the last member is passed over, as tapes and some appliances write it.

use std::io::{self, BufRead, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::unpack::{Damaged, Packing, PackingDamage};

/// The first two bytes of a member (RFC 1952 section 2.3.1).
pub(crate) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A reader of all members of a gzip file, one after the other.
pub(crate) struct GzipReader<R> {
    input: R,
    state: State,
    decoder: Decompress,
    checksum: Crc,
}

enum State {
    /// Before a member; the flag is set if one came before.
    Member {
        seen: bool,
    },
    Data,
    Trailer,
    Ended(Option<PackingDamage>),
}

impl<R: BufRead> GzipReader<R> {
    /// Reads members from `input`, which stands at the first one.
    pub(crate) fn new(input: R) -> Self {
        Self {
            input,
            state: State::Member { seen: false },
            decoder: Decompress::new(false),
            checksum: Crc::new(),
        }
    }

    /// Reads a member's header; `false` at the end of the file (RFC 1952 section 2.3).
    fn begin_member(&mut self, seen: bool) -> io::Result<bool> {
        let first = loop {
            match self.next_byte()? {
                None if seen => return Ok(false),
                None => return Err(damage(PackingDamage::CutShort)),
                Some(0) if seen => {}
                Some(byte) => break byte,
            }
        };
        let wrong = if seen {
            PackingDamage::Trailing
        } else {
            PackingDamage::Header
        };
        if first != MAGIC[0] || self.next_byte()? != Some(MAGIC[1]) {
            return Err(damage(wrong));
        }
        let [method, flags, ..] = self.field::<8>()?;
        // CM must be 8 (deflate); reserved FLG bits must be zero (RFC 1952 section 2.3.1.2).
        if method != 8 || flags & 0xe0 != 0 {
            return Err(damage(PackingDamage::Header));
        }
        if flags & EXTRA != 0 {
            for _ in 0..u16::from_le_bytes(self.field()?) {
                self.field::<1>()?;
            }
        }
        for text in [NAME, COMMENT] {
            while flags & text != 0 && self.field::<1>()? != [0] {}
        }
        if flags & HEADER_CRC != 0 {
            self.field::<2>()?;
        }
        self.decoder.reset(false);
        self.checksum.reset();
        Ok(true)
    }

    /// Decodes into `output`; returns the bytes written, and whether the member's data ended.
    fn decode(&mut self, output: &mut [u8]) -> io::Result<(usize, bool)> {
        loop {
            let input = self.input.fill_buf()?;
            let at_end = input.is_empty();
            let (before_in, before_out) = (self.decoder.total_in(), self.decoder.total_out());
            let result = self
                .decoder
                .decompress(input, output, FlushDecompress::None);
            let consumed = self.decoder.total_in().saturating_sub(before_in) as usize;
            let written =
                (self.decoder.total_out().saturating_sub(before_out) as usize).min(output.len());
            self.input.consume(consumed);
            self.checksum
                .update(output.get(..written).unwrap_or_default());
            match result {
                Ok(Status::StreamEnd) => return Ok((written, true)),
                // What was decoded before the corruption is good: it goes out, the damage follows.
                Err(_) if written > 0 => {
                    self.state = State::Ended(Some(PackingDamage::Data));
                    return Ok((written, false));
                }
                Err(_) => return Err(damage(PackingDamage::Data)),
                Ok(_) if written > 0 => return Ok((written, false)),
                Ok(_) if at_end => return Err(damage(PackingDamage::CutShort)),
                Ok(_) => {}
            }
        }
    }

    /// Compares the member's trailer, CRC-32 and length modulo 2^32 (RFC 1952 section 2.3.1).
    fn end_member(&mut self) -> io::Result<()> {
        let checksum = u32::from_le_bytes(self.field()?);
        let length = u32::from_le_bytes(self.field()?);
        if checksum != self.checksum.sum() || length != self.checksum.amount() {
            return Err(damage(PackingDamage::Checksum));
        }
        Ok(())
    }

    fn advance(&mut self, output: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.state {
                State::Ended(None) => return Ok(0),
                State::Ended(Some(reason)) => return Err(damage(reason)),
                State::Member { seen } => {
                    self.state = if self.begin_member(seen)? {
                        State::Data
                    } else {
                        State::Ended(None)
                    };
                }
                State::Data => {
                    let (written, ended) = self.decode(output)?;
                    if ended {
                        self.state = State::Trailer;
                    }
                    // A bad trailer must not cost the bytes just decoded: they go out first.
                    if written > 0 {
                        return Ok(written);
                    }
                }
                State::Trailer => {
                    self.end_member()?;
                    self.state = State::Member { seen: true };
                }
            }
        }
    }

    fn field<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut field = [0; N];
        for byte in &mut field {
            *byte = self
                .next_byte()?
                .ok_or_else(|| damage(PackingDamage::CutShort))?;
        }
        Ok(field)
    }

    fn next_byte(&mut self) -> io::Result<Option<u8>> {
        let byte = loop {
            match self.input.fill_buf() {
                Ok(buffer) => break buffer.first().copied(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        };
        if byte.is_some() {
            self.input.consume(1);
        }
        Ok(byte)
    }
}

impl<R: BufRead> Read for GzipReader<R> {
    fn read(&mut self, output: &mut [u8]) -> io::Result<usize> {
        if output.is_empty() {
            return Ok(0);
        }
        let result = self.advance(output);
        if let Err(error) = &result
            && let Some(reason) = reason_of(error)
        {
            self.state = State::Ended(Some(reason));
        }
        result
    }
}

/// FLG bits (RFC 1952 section 2.3.1).
const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;

fn damage(reason: PackingDamage) -> io::Error {
    Damaged(Packing::Gzip, reason).error()
}

fn reason_of(error: &io::Error) -> Option<PackingDamage> {
    Damaged::of(error).map(|Damaged(_, what)| what)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, GzBuilder};

    use super::*;

    fn member(data: &[u8]) -> Vec<u8> {
        let mut writer = GzBuilder::new()
            .filename("a.pcap")
            .comment("made here")
            .extra(vec![1, 2, 3])
            .write(Vec::new(), Compression::default());
        writer.write_all(data).unwrap();
        writer.finish().unwrap()
    }

    /// All bytes before the end, and how it ended.
    fn read_all(bytes: &[u8]) -> (Vec<u8>, Option<PackingDamage>) {
        let mut reader = GzipReader::new(bytes);
        let mut out = Vec::new();
        let mut buffer = [0; 100_000];
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return (out, None),
                Ok(count) => out.extend_from_slice(&buffer[..count]),
                Err(error) => return (out, Some(reason_of(&error).unwrap())),
            }
        }
    }

    /// Data that does not compress, so that file positions and data positions agree roughly.
    fn noise(length: usize) -> Vec<u8> {
        let next = |state: &u64| {
            Some(
                state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1),
            )
        };
        std::iter::successors(Some(1), next)
            .map(|state: u64| (state >> 56) as u8)
            .take(length)
            .collect()
    }

    #[test]
    fn members_are_joined_and_zero_padding_is_ignored() {
        let mut bytes = [member(b"one "), member(b""), member(b"two")].concat();
        bytes.extend([0; 512]);
        assert_eq!(read_all(&bytes), (b"one two".to_vec(), None));
    }

    #[test]
    fn a_cut_file_gives_all_that_was_decoded() {
        let data = noise(50_000);
        let bytes = member(&data);
        let (out, end) = read_all(&bytes[..bytes.len() - 8]);
        assert_eq!(
            (out.len(), end),
            (data.len(), Some(PackingDamage::CutShort))
        );
        let (out, end) = read_all(&bytes[..bytes.len() / 2]);
        assert!(
            data.starts_with(&out) && out.len() > 10_000,
            "{}",
            out.len()
        );
        assert_eq!(end, Some(PackingDamage::CutShort));
    }

    #[test]
    fn corrupt_data_gives_what_came_before_it() {
        // A first deflate block stored plainly, then a block of the reserved type 3 (RFC 1951 section 3.2.3).
        let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
        bytes.extend([0, 5, 0, 0xfa, 0xff]);
        bytes.extend(b"hello");
        bytes.extend([0x07; 20]);
        assert_eq!(
            read_all(&bytes),
            (b"hello".to_vec(), Some(PackingDamage::Data))
        );
    }

    #[test]
    fn a_wrong_checksum_is_reported_after_the_data() {
        let mut bytes = member(b"data");
        let at = bytes.len() - 8;
        bytes[at] ^= 1;
        assert_eq!(
            read_all(&bytes),
            (b"data".to_vec(), Some(PackingDamage::Checksum))
        );
    }

    #[test]
    fn other_bytes_after_the_last_member_are_damage() {
        let mut bytes = member(b"data");
        bytes.extend(b"log line");
        assert_eq!(
            read_all(&bytes),
            (b"data".to_vec(), Some(PackingDamage::Trailing))
        );
    }

    #[test]
    fn a_header_of_another_method_is_damage() {
        assert_eq!(
            read_all(&[0x1f, 0x8b, 9, 0, 0, 0, 0, 0, 0, 3, 0]).1,
            Some(PackingDamage::Header)
        );
        assert_eq!(read_all(&[0x1f, 0x8b, 8]).1, Some(PackingDamage::CutShort));
    }
}
