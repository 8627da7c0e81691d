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
