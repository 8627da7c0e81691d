//! A capture made up: many flows of a device, as large as asked for, the same for the same seed.
//!
//! ```text
//! flows (64 at a time) ── each a queue of its next packets ── the earliest first ── pcap | pcapng
//! ```
//! TCP with uploads and downloads in rounds of a window, delayed acknowledgements, timestamps, one segment in some
//! hundreds lost and sent again, either side closing first, some resets; names asked for over DNS; UDP as QUIC sends it. A quarter of it
//! is IPv6. The capture is the device's own: what was lost on the way to it is not in it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

mod file;
mod flow;

pub use file::Format;

use file::File;
use flow::Flow;

/// What to make.
#[derive(Clone, Copy, Debug)]
pub struct Traffic {
    /// Bytes of the file; exceeded by what it takes to close the last flows.
    pub size: u64,
    /// Another seed, another capture.
    pub seed: u64,
    /// The file's format.
    pub format: Format,
}

/// What was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Packets.
    pub packets: u64,
    /// Flows, DNS and other UDP included.
    pub flows: u64,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Flows that are open at a time.
const AT_A_TIME: usize = 64;

impl Traffic {
    /// Writes the capture.
    ///
    /// # Errors
    /// `out` cannot be written.
    pub fn write(&self, out: impl Write) -> io::Result<Made> {
        let mut random = Random::new(self.seed);
        let mut file = File::begin(out, self.format)?;
        let payload = payload();
        let mut made = Made::default();
        let mut open: Vec<Option<Flow>> = Vec::with_capacity(AT_A_TIME);
        let mut next = BinaryHeap::new();
        for place in 0..AT_A_TIME {
            let at = random.below(2_000_000_000);
            let flow = Flow::new(made.flows, at, &mut random);
            made.flows += 1;
            next.push(Reverse((flow.due(), place)));
            open.push(Some(flow));
        }
        while let Some(Reverse((at, place))) = next.pop() {
            let Some(flow) = open.get_mut(place).and_then(Option::as_mut) else {
                continue;
            };
            let full = file.count() >= self.size;
            if let Some(packet) = flow.next(full, &payload, &mut random) {
                made.packets += 1;
                file.packet(at, &packet)?;
                next.push(Reverse((flow.due(), place)));
            } else if !full {
                let pause = random.below(50_000_000);
                let successor = Flow::new(made.flows, at + pause, &mut random);
                made.flows += 1;
                next.push(Reverse((successor.due(), place)));
                *flow = successor;
            }
        }
        made.bytes = file.count();
        file.end()?;
        Ok(made)
    }
}

/// Bytes that streams are cut from: nothing that compresses.
fn payload() -> Vec<u8> {
    let mut random = Random::new(1);
    let words = (0..PAYLOAD / 8).map(|_| random.next().to_le_bytes());
    words.flatten().collect()
}

/// Bytes of payload to choose from.
const PAYLOAD: usize = 1 << 17;

/// xorshift64*: quick, and the same everywhere.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        // A state of zero would stay zero.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit.max(1)
    }

    /// True once in `times`.
    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A size of which each power of two up to `2^most` is as likely: many small ones, few large ones.
    fn size(&mut self, least: u32, most: u32) -> u64 {
        let power = u64::from(least) + self.below(u64::from(most - least) + 1);
        (1 << power) + self.below(1 << power)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_capture() {
        let make = |seed| {
            let mut out = Vec::new();
            let traffic = Traffic {
                size: 1_000_000,
                seed,
                format: Format::Pcapng,
            };
            let made = traffic.write(&mut out).unwrap();
            assert_eq!(made.bytes, out.len() as u64);
            out
        };
        let one = make(7);
        assert_eq!(one, make(7));
        assert_ne!(one, make(8));
    }
}
