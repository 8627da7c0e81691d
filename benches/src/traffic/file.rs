//! The two formats, Ethernet frames, microseconds.

use std::io::{self, Write};

/// A capture's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The classic one.
    Pcap,
    /// Blocks.
    Pcapng,
}

/// A capture being written.
pub(super) struct File<W> {
    out: W,
    format: Format,
    count: u64,
}

/// When the capture begins, microseconds since the epoch.
const EPOCH_US: u64 = 1_700_000_000_000_000;

const ETHERNET: usize = 14;

impl<W: Write> File<W> {
    pub(super) fn begin(out: W, format: Format) -> io::Result<Self> {
        let mut file = Self {
            out,
            format,
            count: 0,
        };
        let words: &[u32] = match format {
            // Magic, 2.4, zone, accuracy, snap length, Ethernet.
            Format::Pcap => &[0xa1b2_c3d4, 0x0004_0002, 0, 0, 262_144, 1],
            // A section header without a length, then an interface: Ethernet, snap length.
            Format::Pcapng => &[
                0x0a0d_0d0a,
                28,
                0x1a2b_3c4d,
                1,
                u32::MAX,
                u32::MAX,
                28,
                1,
                20,
                1,
                262_144,
                20,
            ],
        };
        file.words(words)?;
        Ok(file)
    }

    /// Writes an IP packet at `at_ns` after the beginning.
    pub(super) fn packet(&mut self, at_ns: u64, packet: &[u8]) -> io::Result<()> {
        let micros = EPOCH_US + at_ns / 1000;
        let length = (ETHERNET + packet.len()) as u32;
        let padded = length.next_multiple_of(4);
        match self.format {
            Format::Pcap => self.words(&[
                (micros / 1_000_000) as u32,
                (micros % 1_000_000) as u32,
                length,
                length,
            ])?,
            Format::Pcapng => self.words(&[
                6,
                32 + padded,
                0,
                (micros >> 32) as u32,
                micros as u32,
                length,
                length,
            ])?,
        }
        let v6 = packet.first().is_some_and(|first| first >> 4 == 6);
        let kind = if v6 { [0x86, 0xdd] } else { [8, 0] };
        self.bytes(&[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2])?;
        self.bytes(&kind)?;
        self.bytes(packet)?;
        if self.format == Format::Pcapng {
            self.bytes([0; 3].get(..(padded - length) as usize).unwrap_or_default())?;
            self.words(&[32 + padded])?;
        }
        Ok(())
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    pub(super) fn end(mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn words(&mut self, words: &[u32]) -> io::Result<()> {
        for word in words {
            self.bytes(&word.to_le_bytes())?;
        }
        Ok(())
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.count += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}
