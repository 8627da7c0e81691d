//! The demux hash: seeded, a few multiplications a packet. Its order never reaches an output.

use core::hash::{BuildHasher, Hasher};

/// Builds [`FoldHasher`]s from a secret, so that a device cannot aim flows at one bucket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoldState(u64);

impl FoldState {
    pub(crate) fn new(secret: u64) -> Self {
        Self(secret | 1)
    }
}

impl BuildHasher for FoldState {
    type Hasher = FoldHasher;

    #[inline]
    fn build_hasher(&self) -> FoldHasher {
        FoldHasher {
            secret: self.0,
            state: self.0.rotate_left(32),
        }
    }
}

/// Folded 64 x 64 -> 128 bit multiplication over the words of a key.
#[derive(Debug)]
pub(crate) struct FoldHasher {
    secret: u64,
    state: u64,
}

impl FoldHasher {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the fold takes both halves of the product"
    )]
    #[inline]
    fn fold(&mut self, word: u64) {
        let product =
            u128::from(self.state ^ word) * u128::from(self.secret ^ 0x9e37_79b9_7f4a_7c15);
        self.state = (product as u64 ^ (product >> 64) as u64).wrapping_add(word.rotate_left(29));
    }
}

impl Hasher for FoldHasher {
    #[inline]
    fn finish(&self) -> u64 {
        self.state ^ self.state >> 32
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut()
                .zip(chunk)
                .for_each(|(to, from)| *to = *from);
            self.fold(u64::from_le_bytes(word));
        }
    }

    #[inline]
    fn write_u64(&mut self, word: u64) {
        self.fold(word);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::flow::key::{FlowKey, PackedKey, Proto};

    /// A scan from one device: every address of a network, every port of a range.
    fn scan() -> Vec<PackedKey> {
        let server = |at: u32| (0xc612_0000 + at / 64, 1000 + (at % 64) as u16);
        (0..16_384)
            .map(server)
            .map(|(address, port)| FlowKey {
                proto: Proto::Tcp,
                client: ([10, 0, 0, 2], 40_000).into(),
                server: (address.to_be_bytes(), port).into(),
            })
            .map(|key| PackedKey::from(&key))
            .collect()
    }

    #[test]
    fn a_scan_spreads_over_the_table_whatever_bits_it_goes_by() {
        for secret in [0, 1, 0x5eed_5eed_5eed_5eed, u64::MAX] {
            let state = FoldState::new(secret);
            let hashes: Vec<u64> = scan().iter().map(|key| state.hash_one(key)).collect();
            let all: BTreeSet<u64> = hashes.iter().copied().collect();
            assert_eq!(all.len(), hashes.len(), "no two are equal");
            // A table takes its place from the low bits and its tag from the high ones.
            for (name, shift) in [("low", 0), ("middle", 28), ("high", 56)] {
                let mut buckets = [0; 256];
                for hash in &hashes {
                    buckets[usize::from((hash >> shift) as u8)] += 1;
                }
                // 64 are expected in each; eight standard deviations are 64.
                let most = buckets.iter().max().expect("256 of them");
                assert!(*most < 128, "{name} bits: {most} of 16384 in one of 256");
            }
        }
    }

    #[test]
    fn another_secret_gives_another_order() {
        let of = |secret| {
            let state = FoldState::new(secret);
            scan()
                .iter()
                .map(|key| state.hash_one(key) as u8)
                .collect::<Vec<_>>()
        };
        let (one, other) = (of(2), of(4));
        let same = one.iter().zip(&other).filter(|(a, b)| a == b).count();
        assert!(same < 128, "{same} of 16384 keep their bucket of 256");
    }
}
