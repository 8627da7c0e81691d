//! Virtual or real time as the core sees it: microseconds that the caller supplies.

use core::fmt;
use core::time::Duration;

/// A point in time, in microseconds since an origin the caller chose.
///
/// The core never reads a clock; every input carries its time. The origin must lie
/// before the first input (time zero itself is reserved: smoltcp takes it for "at once").
///
/// ```
/// use core::time::Duration;
/// use engine::Micros;
///
/// let later = Micros::from_secs(1).plus(Duration::from_millis(5));
/// assert_eq!(later, Micros(1_005_000));
/// assert_eq!(later.since(Micros::from_secs(1)), Duration::from_millis(5));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(pub u64);

impl Micros {
    /// Builds a time from whole seconds since the origin.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1_000_000))
    }

    /// The time `after` later; saturates at the end of time.
    #[must_use]
    pub fn plus(self, after: Duration) -> Self {
        let micros = u64::try_from(after.as_micros()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(micros))
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// The engine's own time, which only passes: what the host's clock has gone forward since the first input.
///
/// As long as the host's clock does the same the two are equal. A clock that goes back passes no time, so that what was
/// due in a second still is; one that leaps by more than a century passes a century.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    /// The host's latest time; `None` before the first.
    host: Option<Micros>,
    own: Micros,
}

/// The longest leap that counts: a century, longer than any limit that is not for ever.
const LEAP: u64 = 100 * 365 * 24 * 3600 * 1_000_000;
/// The end of the engine's own time: what is added to it must not overflow, in smoltcp's signed numbers either.
const END: u64 = 1 << 61;

impl Clock {
    /// The engine's own time at an input of the host's time `host`.
    #[inline]
    pub(crate) fn at(&mut self, host: Micros) -> Micros {
        match self.host {
            Some(before) if before == host => return self.own,
            Some(before) => {
                let passed = host.0.saturating_sub(before.0).min(LEAP);
                self.own = Micros(self.own.0.saturating_add(passed).min(END));
            }
            None => self.own = Micros(host.0.min(LEAP)),
        }
        self.host = Some(host);
        self.own
    }

    /// The host's latest time.
    pub(crate) fn host(&self) -> Micros {
        self.host.unwrap_or_default()
    }

    /// When the host's clock will show what is `at` here; `None` if it never does.
    pub(crate) fn for_host(&self, at: Micros) -> Option<Micros> {
        let left = at.0.saturating_sub(self.own.0);
        self.host().0.checked_add(left).map(Micros)
    }
}

impl fmt::Debug for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}s", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_goes_back_passes_no_time_and_then_goes_on() {
        let mut clock = Clock::default();
        assert_eq!(clock.at(Micros(1_000)), Micros(1_000));
        assert_eq!(clock.at(Micros(100)), Micros(1_000));
        assert_eq!(clock.for_host(Micros(1_050)), Some(Micros(150)));
        assert_eq!(clock.at(Micros(150)), Micros(1_050));
    }

    #[test]
    fn the_end_of_the_hosts_time_is_not_the_end_of_ours() {
        let mut clock = Clock::default();
        for _ in 0..100 {
            let before = clock.at(Micros(5));
            let leapt = clock.at(Micros(u64::MAX));
            assert!(leapt > before && leapt.0 < END);
            assert_eq!(clock.for_host(Micros(leapt.0 + 1)), None);
        }
    }
}
