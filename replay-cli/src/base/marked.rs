//! Indices that are to be looked at, lowest first.

/// A set of indices: a bit for each, and a bit for each word of them.
#[derive(Debug, Default)]
pub(crate) struct Marked {
    words: Vec<u64>,
    /// Which words have a bit.
    summary: Vec<u64>,
}

const BITS: usize = 64;

impl Marked {
    /// Marks an index; once is as often as twice.
    pub(crate) fn insert(&mut self, index: usize) {
        let word = index / BITS;
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
            self.summary.resize(word / BITS + 1, 0);
        }
        if let Some(bits) = self.words.get_mut(word) {
            *bits |= 1 << (index % BITS);
        }
        if let Some(bits) = self.summary.get_mut(word / BITS) {
            *bits |= 1 << (word % BITS);
        }
    }

    /// Takes the lowest index.
    pub(crate) fn pop_first(&mut self) -> Option<usize> {
        let (place, bits) = self
            .summary
            .iter_mut()
            .enumerate()
            .find(|(_, bits)| **bits != 0)?;
        let word = place * BITS + bits.trailing_zeros() as usize;
        let marks = self.words.get_mut(word)?;
        let index = word * BITS + marks.trailing_zeros() as usize;
        // The lowest bit is taken away.
        *marks &= marks.wrapping_sub(1);
        if *marks == 0 {
            *bits &= bits.wrapping_sub(1);
        }
        Some(index)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.summary.iter().all(|bits| *bits == 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn indices_come_out_lowest_first_and_once() {
        let mut marked = Marked::default();
        let mut known = BTreeSet::new();
        for step in 0..5_000_usize {
            let index = step * 7_919 % 10_007;
            marked.insert(index);
            known.insert(index);
            if step % 3 == 0 {
                assert_eq!(marked.pop_first(), known.pop_first());
            }
            assert_eq!(marked.is_empty(), known.is_empty());
        }
        while let Some(index) = known.pop_first() {
            assert_eq!(marked.pop_first(), Some(index));
        }
        assert_eq!((marked.pop_first(), marked.is_empty()), (None, true));
    }
}
