//! The range of many times, in little memory.

/// The least, the middle and the greatest of some times, nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub min: u64,
    /// The middle one: exact up to 32 times, then that of every second, fourth and so on.
    pub median: u64,
    /// The greatest.
    pub max: u64,
    /// How many there are.
    pub count: u64,
}

/// Times, of which at most [`KEPT`] are kept, evenly spread.
#[derive(Clone, Debug, Default)]
pub(super) struct Samples {
    kept: Vec<u64>,
    /// One in two to the power of this is kept.
    thinned: u32,
    count: u64,
    min: u64,
    max: u64,
}

/// Times that are kept.
const KEPT: usize = 32;

impl Samples {
    pub(super) fn add(&mut self, time: u64) {
        self.min = if self.count == 0 {
            time
        } else {
            self.min.min(time)
        };
        self.max = self.max.max(time);
        if self.count.trailing_zeros() >= self.thinned {
            if self.kept.len() == KEPT {
                let mut nth = 0;
                self.kept.retain(|_| {
                    nth += 1;
                    nth % 2 == 1
                });
                self.thinned += 1;
            }
            if self.count.trailing_zeros() >= self.thinned {
                self.kept.push(time);
            }
        }
        self.count += 1;
    }

    pub(super) fn range(mut self) -> Option<Range> {
        self.kept.sort_unstable();
        let median = *self.kept.get(self.kept.len().saturating_sub(1) / 2)?;
        Some(Range {
            min: self.min,
            median,
            max: self.max,
            count: self.count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(times: impl Iterator<Item = u64>) -> Option<Range> {
        let mut samples = Samples::default();
        times.for_each(|time| samples.add(time));
        assert!(samples.kept.len() <= KEPT);
        samples.range()
    }

    #[test]
    fn few_times_have_their_exact_middle() {
        let of = |times: &[u64]| range(times.iter().copied()).map(|r| (r.min, r.median, r.max));
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7, 3, 900]), Some((3, 7, 900)));
        assert_eq!(of(&[4, 2, 8, 6]), Some((2, 4, 8)));
    }

    #[test]
    fn many_times_take_no_more_memory_and_keep_their_ends() {
        let range = range((0..100_000).map(|nth| (nth * 7919) % 100_000)).unwrap();
        assert_eq!((range.min, range.max, range.count), (0, 99_999, 100_000));
        assert!((30_000..70_000).contains(&range.median), "{range:?}");
    }
}
