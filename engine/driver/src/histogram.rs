//! Durations in fixed buckets: no allocation, no loss, four buckets to each doubling.

use core::fmt;
use core::ops::Range;
use core::time::Duration;

use engine::Micros;

/// Buckets to each doubling: a quantile is at most a quarter too high.
const STEPS: u64 = 4;

/// Buckets in all; the last one holds everything of 67 s and more.
const BUCKETS: usize = 100;

/// How often something took how long.
///
/// ```
/// use std::time::Duration;
///
/// let mut lag = engine_driver::Histogram::default();
/// lag.record(Duration::from_micros(80));
/// assert_eq!((lag.count(), lag.max()), (1, Duration::from_micros(80)));
/// assert!(lag.quantile(0.99) <= Duration::from_micros(100));
/// ```
#[derive(Clone)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    count: u64,
    sum: u64,
    max: u64,
    /// Buckets that changed since [`Histogram::copy_into`] and lie between the others that did.
    changed: Range<usize>,
}

impl PartialEq for Histogram {
    /// What was counted, whatever of it was copied.
    fn eq(&self, other: &Self) -> bool {
        (self.count, self.sum, self.max) == (other.count, other.sum, other.max)
            && self.buckets == other.buckets
    }
}

impl Eq for Histogram {}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: [0; BUCKETS],
            count: 0,
            sum: 0,
            max: 0,
            changed: 0..0,
        }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, took: Duration) {
        self.record_micros(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts the time from `start` to `end`; none if the end lies before.
    pub(crate) fn record_span(&mut self, start: Micros, end: Micros) {
        self.record_micros(end.0.saturating_sub(start.0));
    }

    fn record_micros(&mut self, micros: u64) {
        let index = bucket_of(micros);
        if let Some(bucket) = self.buckets.get_mut(index) {
            *bucket += 1;
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(micros);
        self.max = self.max.max(micros);
        self.changed = if self.changed.is_empty() {
            index..index + 1
        } else {
            self.changed.start.min(index)..self.changed.end.max(index + 1)
        };
    }

    /// Makes `copy`, which nothing else writes to, equal to this one: only what changed since the last time is copied.
    pub(crate) fn copy_into(&mut self, copy: &mut Self) {
        let changed = core::mem::take(&mut self.changed);
        let places = copy.buckets.get_mut(changed.clone()).into_iter().flatten();
        for (place, bucket) in places.zip(self.buckets.get(changed).into_iter().flatten()) {
            *place = *bucket;
        }
        (copy.count, copy.sum, copy.max) = (self.count, self.sum, self.max);
    }

    /// How many durations were counted.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// All durations together.
    #[must_use]
    pub const fn sum(&self) -> Duration {
        Duration::from_micros(self.sum)
    }

    /// The longest duration, exact.
    #[must_use]
    pub const fn max(&self) -> Duration {
        Duration::from_micros(self.max)
    }

    /// A duration that `share` of all (0.5 the median, 0.99 the p99) did not exceed: the end of the bucket, at most a
    /// quarter too high, never above [`Histogram::max`]. Zero if nothing was counted.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Duration {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank that is one off beyond 2^52 durations harms nobody"
        )]
        let rank = (share.clamp(0.0, 1.0) * self.count as f64).ceil() as u64;
        let mut seen = 0;
        for (index, bucket) in self.buckets.iter().enumerate() {
            seen += bucket;
            if seen >= rank.max(1) {
                return Duration::from_micros(last_of(index).min(self.max));
            }
        }
        Duration::ZERO
    }

    /// Every bucket that is not empty: the longest duration it holds (of the last: `u64::MAX` microseconds) and how
    /// many fell into it.
    pub fn buckets(&self) -> impl Iterator<Item = (Duration, u64)> + '_ {
        let filled = self.buckets.iter().enumerate();
        filled
            .filter(|(_, count)| **count > 0)
            .map(|(index, count)| (Duration::from_micros(last_of(index)), *count))
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Histogram")
            .field("count", &self.count)
            .field("p50", &self.quantile(0.5))
            .field("p99", &self.quantile(0.99))
            .field("max", &self.max())
            .finish()
    }
}

/// 0 to 7 have a bucket each; beyond, the two bits below the highest one choose among four.
fn bucket_of(micros: u64) -> usize {
    if micros < STEPS {
        return usize::try_from(micros).unwrap_or(0);
    }
    let doubling = u64::from(micros.ilog2());
    let step = micros >> (doubling - 2) & (STEPS - 1);
    let index = (doubling - 1) * STEPS + step;
    usize::try_from(index).map_or(BUCKETS - 1, |index| index.min(BUCKETS - 1))
}

/// The longest duration of a bucket.
fn last_of(index: usize) -> u64 {
    let index = index as u64;
    if index < STEPS {
        return index;
    }
    if index as usize >= BUCKETS - 1 {
        return u64::MAX;
    }
    let (doubling, step) = (index / STEPS + 1, index % STEPS);
    ((STEPS + step + 1) << (doubling - 2)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_lies_in_the_bucket_that_claims_it() {
        for micros in (0..5000).chain([65_535, 65_536, 1 << 20, (1 << 26) - 1, 1 << 40]) {
            let index = bucket_of(micros);
            assert!(micros <= last_of(index), "{micros} in {index}");
            assert!(
                index == 0 || micros > last_of(index - 1),
                "{micros} in {index}"
            );
        }
    }

    #[test]
    fn a_quantile_is_at_most_a_quarter_too_high() {
        let mut histogram = Histogram::default();
        for micros in 1..=1000 {
            histogram.record(Duration::from_micros(micros));
        }
        for (share, exact) in [(0.5, 500), (0.9, 900), (0.99, 990), (1.0, 1000)] {
            let found = histogram.quantile(share).as_micros();
            assert!(found >= exact && found <= exact * 5 / 4, "{share}: {found}");
        }
        assert_eq!(histogram.max(), Duration::from_millis(1));
    }

    #[test]
    fn a_copy_that_is_kept_up_is_equal_whatever_was_recorded_between() {
        let (mut histogram, mut copy) = (Histogram::default(), Histogram::default());
        for round in [&[][..], &[7], &[0, 1 << 40, 900], &[], &[3, 3], &[u64::MAX]] {
            for &micros in round {
                histogram.record(Duration::from_micros(micros));
                assert_ne!(histogram, copy);
            }
            histogram.copy_into(&mut copy);
            assert_eq!(histogram, copy);
        }
    }

    #[test]
    fn an_empty_histogram_answers_zero() {
        assert_eq!(Histogram::default().quantile(0.99), Duration::ZERO);
    }
}
