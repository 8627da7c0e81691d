//! Timestamps (RFC 7323): a clock that the device echoes, and what is remembered of its own.

use core::time::Duration;

use crate::api::time::Micros;

/// Bytes that the option takes of every segment, padding included.
pub(crate) const LEN: u16 = 12;

/// Microseconds of a tick (RFC 7323 section 5.4: 1 ms to 1 s).
const TICK: u64 = 1000;

/// After so long without a newer one the device's last timestamp means nothing: its clock may have gone half round
/// (RFC 7323 section 5.5).
const OUTDATED: Duration = Duration::from_secs(24 * 24 * 60 * 60);

/// A timestamps option, as it came: TSval and TSecr.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) value: u32,
    pub(crate) echo: u32,
}

/// Both clocks of a connection that has agreed on timestamps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timestamps {
    /// What is added to the engine's time (RFC 7323 section 5.4).
    offset: u32,
    /// The first timestamp that may have left.
    first: u32,
    /// The device's timestamp to echo (TS.Recent), and since when it is.
    recent: u32,
    since: Micros,
}

impl Timestamps {
    /// The device's SYN had `value`.
    pub(crate) fn new(now: Micros, offset: u32, value: u32) -> Self {
        let mut stamps = Self {
            offset,
            first: 0,
            recent: value,
            since: now,
        };
        stamps.first = stamps.clock(now);
        stamps
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the clock goes round: RFC 7323 section 5.4"
    )]
    fn clock(&self, now: Micros) -> u32 {
        ((now.0 / TICK) as u32).wrapping_add(self.offset)
    }

    /// What a segment carries that leaves now.
    #[inline]
    pub(crate) fn stamp(&self, now: Micros) -> Stamp {
        Stamp {
            value: self.clock(now),
            echo: self.recent,
        }
    }

    /// Whether a segment is older than one that came before: its number may be of another time round (PAWS, RFC 7323
    /// section 5.3, R1).
    #[inline]
    pub(crate) fn is_old(&self, now: Micros, stamp: Stamp) -> bool {
        is_before(stamp.value, self.recent) && now < self.since.plus(OUTDATED)
    }

    /// Whether a SYN is newer than all of this connection (RFC 6191 section 2).
    pub(crate) fn is_newer(&self, stamp: Stamp) -> bool {
        is_before(self.recent, stamp.value)
    }

    /// Notes the timestamp of a segment that begins no later than where the last acknowledgement ended (RFC 7323
    /// section 4.3, (2)).
    #[inline]
    pub(crate) fn note(&mut self, now: Micros, stamp: Stamp) {
        if !self.is_old(now, stamp) {
            (self.recent, self.since) = (stamp.value, now);
        }
    }

    /// How long ago what the device echoes had left, to the next tick; `None` if that never left.
    #[inline]
    pub(crate) fn round_trip(&self, now: Micros, stamp: Stamp) -> Option<Duration> {
        let now = self.clock(now);
        let ticks = now.wrapping_sub(stamp.echo);
        let most = now.wrapping_sub(self.first);
        (ticks <= most).then(|| Duration::from_micros(u64::from(ticks.max(1)) * TICK))
    }
}

/// Whether one timestamp is older than another, modulo 2^32.
fn is_before(one: u32, other: u32) -> bool {
    other.wrapping_sub(one).wrapping_sub(1) < 1 << 31
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn at(ms: u64) -> Micros {
        Micros::from_secs(1).plus(Duration::from_millis(ms))
    }

    fn stamp(value: u32, echo: u32) -> Stamp {
        Stamp { value, echo }
    }

    #[test]
    fn what_comes_back_tells_the_round_trip_and_what_never_left_nothing() {
        let stamps = Timestamps::new(at(0), u32::MAX - 5, 7);
        let left = stamps.stamp(at(10));
        assert_eq!(left.echo, 7);
        let trip = |ms| stamps.round_trip(at(ms), stamp(8, left.value));
        assert_eq!((trip(25), trip(10)), (Some(15 * MS), Some(MS)));
        assert_eq!(trip(9), None, "of the future");
        assert_eq!(stamps.round_trip(at(25), stamp(8, left.value - 11)), None);
    }

    #[test]
    fn an_older_timestamp_is_old_until_the_clock_may_have_gone_round() {
        let mut stamps = Timestamps::new(at(0), 0, u32::MAX);
        stamps.note(at(1), stamp(3, 0));
        assert_eq!(stamps.stamp(at(1)).echo, 3, "beyond the wrap");
        assert!(stamps.is_old(at(2), stamp(2, 0)) && !stamps.is_old(at(2), stamp(3, 0)));
        stamps.note(at(2), stamp(2, 0));
        assert_eq!(stamps.stamp(at(2)).echo, 3);
        assert!(!stamps.is_old(at(1).plus(OUTDATED), stamp(2, 0)));
        assert!(stamps.is_newer(stamp(4, 0)) && !stamps.is_newer(stamp(3, 0)));
    }
}
