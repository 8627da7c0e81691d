//! A running hash of all outputs with their times: two runs must give the same.

use engine::FlowId;
use sha2::{Digest as _, Sha256};

use super::observe::Seen;

/// The hash so far, and how many outputs it is of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Digest {
    /// One word for each output, so that the first difference can be named.
    pub(crate) words: Vec<u64>,
}

impl Digest {
    pub(crate) fn output(&mut self, now: u64, output: &Seen) {
        let mut hash = Fnv::new();
        hash.add(&now.to_le_bytes());
        match output {
            Seen::Frame(frame) => {
                hash.add(&(frame.len() as u64).to_le_bytes());
                hash.add(frame);
            }
            Seen::Datagram(flow, to, bytes) => {
                hash.add(&flow.to_bits().to_le_bytes());
                hash.add(to.to_string().as_bytes());
                hash.add(bytes);
            }
            Seen::Data(flow, bytes) => {
                hash.add(&flow.to_bits().to_le_bytes());
                hash.add(bytes);
            }
            Seen::Resume(flow, space) => {
                hash.add(&flow.to_bits().to_le_bytes());
                hash.add(&space.to_le_bytes());
            }
            Seen::Dns(flow, record) => {
                hash.add(&flow.map_or(0, FlowId::to_bits).to_le_bytes());
                hash.add(format!("{record:?}").as_bytes());
            }
            other => hash.add(format!("{other:?}").as_bytes()),
        }
        self.words.push(hash.0);
    }

    /// The index of the first output that differs, if one does.
    pub(crate) fn difference(&self, other: &Self) -> Option<usize> {
        if self.words == other.words {
            return None;
        }
        let same = self
            .words
            .iter()
            .zip(&other.words)
            .take_while(|(a, b)| a == b)
            .count();
        Some(same)
    }
}

/// FNV-1a over words of eight octets: quick, and good enough to tell two runs apart.
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.mix(u64::from(*byte));
        }
    }

    fn mix(&mut self, word: u64) {
        self.0 = (self.0 ^ word)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23);
    }
}

/// The SHA-256 of a stream in hex, as expectations write it.
#[must_use]
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            use std::fmt::Write as _;
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}
