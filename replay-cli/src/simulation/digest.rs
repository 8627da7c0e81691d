//! A running hash of all outputs with their times: two runs must give the same.

use std::hash::{Hash as _, Hasher};

use engine::FlowId;

use crate::stack::OwnedOutput;

/// Hashes of the outputs so far: one for each while they are few, and one for each stretch of outputs once they are many,
/// so that the first difference can be named and a long run takes no more memory than a short one.
#[derive(Clone, Debug)]
pub(crate) struct Digest {
    words: Vec<u64>,
    /// Outputs that a word is of.
    stretch: u64,
    /// The word under way, and how many outputs it is of.
    word: Fnv,
    filled: u64,
    outputs: u64,
}

/// Words that are kept.
const WORDS: usize = 1 << 16;

impl Default for Digest {
    fn default() -> Self {
        Self {
            words: Vec::new(),
            stretch: 1,
            word: Fnv::new(),
            filled: 0,
            outputs: 0,
        }
    }
}

impl Digest {
    pub(crate) fn output(&mut self, now: u64, output: &OwnedOutput) {
        let hash = &mut self.word;
        hash.mix(now);
        hash.mix(output.number());
        match output {
            OwnedOutput::Frame(frame) => {
                hash.add(&(frame.len() as u64).to_le_bytes());
                hash.add(frame);
            }
            OwnedOutput::Datagram(flow, to, bytes) => {
                hash.add(&flow.to_bits().to_le_bytes());
                hash.add(to.to_string().as_bytes());
                hash.add(bytes);
            }
            OwnedOutput::Data(flow, bytes) => {
                hash.add(&flow.to_bits().to_le_bytes());
                hash.add(bytes);
            }
            OwnedOutput::Resume(flow, space) => {
                hash.add(&flow.to_bits().to_le_bytes());
                hash.add(&space.to_le_bytes());
            }
            OwnedOutput::Dial(flow, key, name) => {
                hash.mix(flow.to_bits());
                key.hash(hash);
                hash.mix(name.is_some().into());
                hash.add(name.as_deref().unwrap_or_default().as_bytes());
            }
            OwnedOutput::Close(flow, close) => {
                hash.mix(flow.to_bits());
                close.hash(hash);
            }
            OwnedOutput::Resolve(query, name, kind) => {
                hash.add(format!("{query:?} {name} {kind:?}").as_bytes());
            }
            OwnedOutput::Batch(frames) => hash.add(&(*frames as u64).to_le_bytes()),
            OwnedOutput::HalfClose(flow) => hash.add(&flow.to_bits().to_le_bytes()),
            OwnedOutput::Dns(flow, record) => {
                hash.add(&flow.map_or(0, FlowId::to_bits).to_le_bytes());
                hash.add(format!("{record:?}").as_bytes());
            }
        }
        self.outputs += 1;
        self.filled += 1;
        if self.filled == self.stretch {
            self.words.push(self.word.0);
            (self.word, self.filled) = (Fnv::new(), 0);
            if self.words.len() == WORDS {
                self.coarsen();
            }
        }
    }

    /// Makes one word of every two.
    fn coarsen(&mut self) {
        self.stretch *= 2;
        let pairs = self.words.chunks(2).map(|pair| {
            let mut word = Fnv::new();
            pair.iter().for_each(|half| word.mix(*half));
            word.0
        });
        self.words = pairs.collect();
    }

    /// How many outputs there were.
    pub(crate) fn outputs(&self) -> u64 {
        self.outputs
    }

    /// The index of the first output that differs, if one does; of a long run, that of the stretch it is in.
    pub(crate) fn difference(&self, other: &Self) -> Option<u64> {
        if self.outputs == other.outputs && self.words == other.words && self.word == other.word {
            return None;
        }
        let (mut one, mut two) = (self.clone(), other.clone());
        while one.stretch < two.stretch {
            one.coarsen();
        }
        while two.stretch < one.stretch {
            two.coarsen();
        }
        let pairs = one.words.iter().zip(&two.words);
        let same = pairs.take_while(|(a, b)| a == b).count() as u64;
        Some((same * one.stretch).min(self.outputs).min(other.outputs))
    }
}

/// FNV-1a over words of eight bytes: quick, and good enough to distinguish two runs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fnv(u64);

impl Fnv {
    fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn add(&mut self, bytes: &[u8]) {
        // Four at a time, so that no multiplication waits for the one before.
        let (blocks, rest) = bytes.as_chunks::<32>();
        if !blocks.is_empty() {
            let mut lanes = [1, 2, 3, 4].map(|nth| Self(self.0 ^ nth));
            for block in blocks {
                let (words, _) = block.as_chunks::<8>();
                for (lane, word) in lanes.iter_mut().zip(words) {
                    lane.mix(u64::from_le_bytes(*word));
                }
            }
            for lane in &lanes {
                self.mix(lane.0);
            }
        }
        let (words, rest) = rest.as_chunks::<8>();
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

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        self.add(bytes);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(outputs: usize, odd: Option<usize>) -> Digest {
        let mut digest = Digest::default();
        for nth in 0..outputs {
            let frames = if odd == Some(nth) { 2 } else { 1 };
            digest.output(nth as u64, &OwnedOutput::Batch(frames));
        }
        digest
    }

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(run(10, None).difference(&run(10, None)), None);
        assert_eq!(run(10, None).difference(&run(10, Some(7))), Some(7));
        assert_eq!(run(10, None).difference(&run(10, Some(0))), Some(0));
        assert_eq!(run(9, None).difference(&run(10, None)), Some(9));
        assert_eq!(run(10, None).difference(&run(9, None)), Some(9));
    }

    #[test]
    fn of_a_long_run_the_stretch_is_named_and_the_words_stay_few() {
        let long = run(1_000_000, None);
        assert!(long.words.len() < WORDS);
        assert_eq!(long.difference(&run(1_000_000, None)), None);
        let found = long.difference(&run(1_000_000, Some(765_432))).unwrap();
        assert!(
            (765_432 - long.stretch..=765_432).contains(&found),
            "{found}"
        );
        let shorter = long.difference(&run(100_000, None)).unwrap();
        assert!(
            (100_000 - long.stretch..=100_000).contains(&shorter),
            "{shorter}"
        );
    }

    #[test]
    fn time_and_every_byte_count() {
        let of = |now, bytes: &[u8]| {
            let mut digest = Digest::default();
            digest.output(now, &OwnedOutput::Frame(bytes.to_vec()));
            digest
        };
        let one = of(5, b"ninebytes");
        assert_eq!(one.difference(&of(5, b"ninebytes")), None);
        for other in [
            of(6, b"ninebytes"),
            of(5, b"Ninebytes"),
            of(5, b"ninebyteS"),
            of(5, b"ninebytes\0"),
        ] {
            assert_eq!(one.difference(&other), Some(0));
        }
    }
}
