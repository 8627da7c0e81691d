//! How long the device may take to answer: the round trip as it was measured, and the timeouts that follow from it.

use core::time::Duration;

/// The timeout before any round trip was measured (RFC 6298 section 2.1).
pub(crate) const FIRST_TIMEOUT: Duration = Duration::from_secs(1);
/// The timeout for data after a SYN-ACK that had to be repeated (RFC 6298 section 5.7).
const TIMEOUT_AFTER_REPEATED_SYN: Duration = Duration::from_secs(3);
/// The longest timeout (RFC 6298 section 2.5: at least 60 s).
pub(crate) const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How precise the caller's clock is taken to be: G of RFC 6298, and the least time before a probe.
const GRANULARITY: Duration = Duration::from_millis(1);

/// The round trip to the device (RFC 6298).
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundTrip {
    smoothed: Option<Duration>,
    variation: Duration,
    /// The least timeout, a setting.
    floor: Duration,
    first: Duration,
    /// How often the timeout has doubled since the last acknowledgement of something new.
    backoff: u8,
}

impl RoundTrip {
    pub(crate) fn new(floor: Duration) -> Self {
        Self {
            smoothed: None,
            variation: Duration::ZERO,
            floor,
            first: FIRST_TIMEOUT,
            backoff: 0,
        }
    }

    /// The SYN-ACK had to be repeated: its round trip is unknown, and the path loses.
    pub(crate) fn syn_ack_was_repeated(&mut self) {
        self.first = TIMEOUT_AFTER_REPEATED_SYN;
        self.backoff = 0;
    }

    /// One more measurement (RFC 6298 section 2.3). Several come in a round trip, so that each weighs as much less.
    pub(crate) fn measured(&mut self, round_trip: Duration) {
        self.backoff = 0;
        let Some(smoothed) = self.smoothed else {
            self.smoothed = Some(round_trip);
            self.variation = round_trip / 2;
            return;
        };
        let off = smoothed.abs_diff(round_trip);
        self.variation = (self.variation * 3 + off) / 4;
        self.smoothed = Some((smoothed * 7 + round_trip) / 8);
    }

    pub(crate) fn smoothed(&self) -> Option<Duration> {
        self.smoothed
    }

    /// The retransmission timeout in force.
    pub(crate) fn timeout(&self) -> Duration {
        let base = match self.smoothed {
            Some(smoothed) => (smoothed + (self.variation * 4).max(GRANULARITY)).max(self.floor),
            None => self.first,
        };
        base.saturating_mul(1 << self.backoff.min(16))
            .min(LONGEST_TIMEOUT)
    }

    /// The timeout has struck (RFC 6298 section 5.5).
    pub(crate) fn back_off(&mut self) {
        self.backoff = self.backoff.saturating_add(1);
    }

    /// After how long the end of a flight of several segments is probed for (RFC 8985 section 7.2); `None`: not before
    /// the timeout. A single segment may wait for a delayed acknowledgement longer than the timeout is off.
    pub(crate) fn probe(&self) -> Option<Duration> {
        let after = (self.smoothed? * 2).max(GRANULARITY * 2);
        (after < self.timeout()).then_some(after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_timeout_follows_the_round_trip_down_to_the_floor() {
        let mut round_trip = RoundTrip::new(200 * MS);
        assert_eq!(round_trip.timeout(), FIRST_TIMEOUT);
        round_trip.measured(100 * MS);
        assert_eq!(round_trip.timeout(), 300 * MS, "RFC 6298 section 2.2");
        for _ in 0..50 {
            round_trip.measured(100 * MS);
        }
        assert_eq!(round_trip.timeout(), 200 * MS, "the floor");
        let mut near = RoundTrip::new(5 * MS);
        near.measured(MS / 10);
        assert_eq!(near.timeout(), 5 * MS);
        near.measured(40 * MS);
        assert!(near.timeout() > 40 * MS, "variation counts four times");
    }

    #[test]
    fn each_timeout_doubles_the_next_up_to_a_minute() {
        let mut round_trip = RoundTrip::new(200 * MS);
        for doubled in [1, 2, 4, 8, 16, 32] {
            assert_eq!(round_trip.timeout(), doubled * FIRST_TIMEOUT);
            round_trip.back_off();
        }
        assert_eq!(round_trip.timeout(), LONGEST_TIMEOUT);
        round_trip.syn_ack_was_repeated();
        assert_eq!(round_trip.timeout(), 3 * FIRST_TIMEOUT);
    }

    #[test]
    fn a_probe_waits_two_round_trips_unless_the_timeout_comes_first() {
        let mut round_trip = RoundTrip::new(200 * MS);
        assert_eq!(round_trip.probe(), None, "nothing is known");
        round_trip.measured(10 * MS);
        assert_eq!(round_trip.probe(), Some(20 * MS));
        for _ in 0..50 {
            round_trip.measured(300 * MS);
        }
        assert_eq!(round_trip.probe(), None);
    }
}
