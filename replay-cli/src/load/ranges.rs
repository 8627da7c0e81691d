//! Bytes that came beyond a hole.

/// Ranges of a stream that do not touch, the one that grew last first: the order in which SACK blocks report them
/// (RFC 2018 section 4).
#[derive(Clone, Debug, Default)]
pub(super) struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a range; whether all of it was there.
    pub(super) fn add(&mut self, from: u64, to: u64) -> bool {
        let (mut from, mut to, mut known) = (from, to, false);
        self.0.retain(|&(left, right)| {
            known |= left <= from && to <= right;
            let apart = right < from || to < left;
            if !apart {
                (from, to) = (from.min(left), to.max(right));
            }
            apart
        });
        self.0.insert(0, (from, to));
        known
    }

    /// How far the stream is whole that is so up to `place`; what that covers is taken out.
    pub(super) fn join(&mut self, mut place: u64) -> u64 {
        while let Some(at) = self.0.iter().position(|(from, _)| *from <= place) {
            let (_, to) = self.0.remove(at);
            place = place.max(to);
        }
        place
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.0.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_become_one_and_the_newest_is_first() {
        let mut ranges = Ranges::default();
        assert!(!ranges.add(10, 20));
        assert!(!ranges.add(40, 50));
        assert!(!ranges.add(20, 30));
        assert!(ranges.iter().eq([(10, 30), (40, 50)]));
        assert!(ranges.add(42, 50), "it was there");
        assert!(ranges.iter().eq([(40, 50), (10, 30)]));
    }

    #[test]
    fn a_filled_hole_takes_the_ranges_behind_it() {
        let mut ranges = Ranges::default();
        ranges.add(10, 20);
        ranges.add(20, 30);
        ranges.add(40, 50);
        assert_eq!(ranges.join(5), 5);
        assert_eq!(ranges.join(12), 30);
        assert!(ranges.iter().eq([(40, 50)]));
        assert_eq!(ranges.join(60), 60);
        assert!(ranges.is_empty());
    }
}
