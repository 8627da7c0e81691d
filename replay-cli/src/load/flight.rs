//! What a client on a path knows of the bytes it has sent: NewReno's window (RFC 5681, counting bytes as RFC 3465),
//! losses found by selective acknowledgements and time (RFC 8985, with a fixed reordering window of a quarter of the
//! least round trip), a probe for the end of a flight, and the timeout of RFC 6298, at least 200 ms beyond the round trip as
//! Linux has it. It shares no code with the engine's sender.

use std::collections::VecDeque;

use engine::Micros;

/// The timeout before a round trip was measured, the least beyond one, and the longest, microseconds.
const FIRST_TIMEOUT: u64 = 1_000_000;
const LEAST_BEYOND: u64 = 200_000;
const LONGEST_TIMEOUT: u64 = 60_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    OnItsWay,
    Arrived,
    Lost,
}

#[derive(Clone, Copy, Debug)]
struct Segment {
    start: u64,
    end: u64,
    /// When it left last.
    at: Micros,
    fate: Fate,
    again: bool,
}

impl Segment {
    fn len(&self) -> u64 {
        self.end - self.start
    }
}

/// The segments between the first byte not acknowledged and the last that left, by places of the stream; a FIN is the
/// byte behind the last.
#[derive(Clone, Debug, Default)]
pub(super) struct Flight {
    mss: u64,
    segments: VecDeque<Segment>,
    on_its_way: u64,
    lost: u64,
    window: u64,
    threshold: u64,
    /// Bytes that arrived since the window grew last, beyond the threshold.
    counted: u64,
    /// What had left when the last loss was found: until it has arrived, no other reduces the window.
    recover: Option<u64>,
    /// One segment may leave beyond the window.
    forced: bool,
    /// Smoothed round trip and its variation, microseconds.
    smoothed: Option<(u64, u64)>,
    least_round_trip: u64,
    /// When the newest segment that arrived had left, its end, and its round trip.
    newest: Option<(Micros, u64, u64)>,
    /// When segments count as lost for what overtook them.
    judge_at: Option<Micros>,
    timeouts: u32,
    /// When something left or arrived last.
    active: Micros,
    probed: bool,
}

impl Flight {
    pub(super) fn new(mss: u32) -> Self {
        let mss = u64::from(mss);
        Self {
            mss,
            window: 10 * mss,
            threshold: u64::MAX,
            least_round_trip: u64::MAX,
            ..Self::default()
        }
    }

    /// The handshake's round trip, and the segment size that came of it.
    pub(super) fn begins(&mut self, mss: u32, round_trip: Option<u64>) {
        self.mss = u64::from(mss);
        // One segment after a SYN that was lost (RFC 5681 section 3.1).
        self.window = if self.timeouts == 0 { 10 } else { 1 } * self.mss;
        self.timeouts = 0;
        if let Some(round_trip) = round_trip {
            self.measured(round_trip);
        }
    }

    /// Bytes that the congestion window still admits.
    pub(super) fn room(&self) -> u64 {
        self.window.saturating_sub(self.on_its_way)
    }

    /// How long nothing may be acknowledged before everything counts as lost, microseconds.
    pub(super) fn timeout(&self) -> u64 {
        let base = self.smoothed.map_or(FIRST_TIMEOUT, |(mean, variation)| {
            mean + (4 * variation).max(LEAST_BEYOND)
        });
        (base << self.timeouts.min(16)).min(LONGEST_TIMEOUT)
    }

    /// A segment left for the first time.
    pub(super) fn sent(&mut self, start: u64, end: u64, now: Micros) {
        self.on_its_way += end - start;
        self.active = now;
        self.segments.push_back(Segment {
            start,
            end,
            at: now,
            fate: Fate::OnItsWay,
            again: false,
        });
    }

    /// The segment to be sent again now.
    pub(super) fn next_lost(&self) -> Option<(u64, u64)> {
        if self.lost == 0 {
            return None;
        }
        let lost = self.segments.iter().find(|of| of.fate == Fate::Lost)?;
        let fits = self.forced || lost.len() <= self.room();
        fits.then_some((lost.start, lost.end))
    }

    /// The segment that [`Flight::next_lost`] gave has left.
    pub(super) fn sent_again(&mut self, now: Micros) {
        let Some(lost) = self.segments.iter_mut().find(|of| of.fate == Fate::Lost) else {
            return;
        };
        (lost.fate, lost.again, lost.at) = (Fate::OnItsWay, true, now);
        let len = lost.len();
        self.lost -= len;
        self.on_its_way += len;
        (self.forced, self.active) = (false, now);
    }

    fn takes_off(&mut self, segment: &Segment) {
        match segment.fate {
            Fate::OnItsWay => self.on_its_way -= segment.len(),
            Fate::Lost => self.lost -= segment.len(),
            Fate::Arrived => {}
        }
    }

    /// Takes in an acknowledgement: everything before `upto`, and the blocks beyond.
    pub(super) fn acknowledged(
        &mut self,
        now: Micros,
        upto: u64,
        blocks: impl Iterator<Item = (u64, u64)>,
    ) {
        let busy = self.on_its_way * 2 >= self.window;
        let (mut bytes, mut round_trip) = (0, None);
        while let Some(first) = self.segments.front_mut() {
            let mut part = *first;
            if upto <= part.start {
                break;
            }
            if upto < part.end {
                part.end = upto;
                first.start = upto;
            } else {
                self.segments.pop_front();
            }
            self.takes_off(&part);
            bytes += part.len();
            if part.fate != Fate::Arrived {
                self.arrived(now, &part, &mut round_trip);
            }
        }
        for (from, to) in blocks {
            for at in 0..self.segments.len() {
                let Some(&part) = self.segments.get(at) else {
                    break;
                };
                if part.start >= from && part.end <= to && part.fate != Fate::Arrived {
                    self.takes_off(&part);
                    self.arrived(now, &part, &mut round_trip);
                    if let Some(segment) = self.segments.get_mut(at) {
                        segment.fate = Fate::Arrived;
                    }
                }
            }
        }
        if let Some(round_trip) = round_trip {
            self.measured(round_trip);
        }
        if bytes > 0 {
            (self.timeouts, self.active, self.probed) = (0, now, false);
            if self.recover.is_none() && busy {
                self.grows(bytes);
            }
            if self.recover.is_some_and(|end| upto >= end) {
                self.recover = None;
            }
        }
        self.judge(now);
    }

    fn arrived(&mut self, now: Micros, part: &Segment, sample: &mut Option<u64>) {
        let round_trip = now.0.saturating_sub(part.at.0);
        if part.again && round_trip < self.least_round_trip {
            // It answers an earlier copy.
            return;
        }
        if !part.again {
            *sample = Some(sample.map_or(round_trip, |known| known.min(round_trip)));
            self.least_round_trip = self.least_round_trip.min(round_trip);
        }
        let newer = |(at, end, _): (Micros, u64, u64)| (part.at, part.end) > (at, end);
        if self.newest.is_none_or(newer) {
            self.newest = Some((part.at, part.end, round_trip));
        }
    }

    fn measured(&mut self, round_trip: u64) {
        self.smoothed = Some(match self.smoothed {
            None => (round_trip, round_trip / 2),
            Some((mean, variation)) => (
                (7 * mean + round_trip) / 8,
                (3 * variation + mean.abs_diff(round_trip)) / 4,
            ),
        });
    }

    fn grows(&mut self, bytes: u64) {
        if self.window < self.threshold {
            self.window += bytes.min(2 * self.mss);
            return;
        }
        self.counted += bytes;
        if self.counted >= self.window {
            self.counted -= self.window;
            self.window += self.mss;
        }
    }

    /// Finds what is lost by now.
    fn judge(&mut self, now: Micros) {
        self.judge_at = None;
        let Some((newest, end, round_trip)) = self.newest else {
            return;
        };
        let patience = round_trip + self.least_round_trip.min(round_trip) / 4;
        let mut found = 0;
        for segment in &mut self.segments {
            let before = (segment.at, segment.end) < (newest, end);
            if segment.fate != Fate::OnItsWay || !before {
                continue;
            }
            let due = Micros(segment.at.0 + patience);
            if due <= now {
                segment.fate = Fate::Lost;
                found += segment.len();
            } else {
                self.judge_at = Some(self.judge_at.map_or(due, |known| known.min(due)));
            }
        }
        self.on_its_way -= found;
        self.lost += found;
        if found > 0 && self.recover.is_none() {
            self.reduces();
            self.window = self.threshold;
        }
    }

    fn reduces(&mut self) {
        let out: u64 = self.segments.iter().map(Segment::len).sum();
        self.threshold = (out / 2).max(2 * self.mss);
        self.recover = self.segments.back().map(|last| last.end);
        (self.counted, self.forced) = (0, true);
    }

    /// Nothing was answered for the timeout that has to do with the path's bytes: a SYN, a closed window.
    pub(super) fn backs_off(&mut self) {
        self.timeouts += 1;
    }

    /// Nothing was acknowledged for the timeout.
    pub(super) fn times_out(&mut self) {
        if self.timeouts == 0 {
            self.reduces();
        }
        self.timeouts += 1;
        for segment in &mut self.segments {
            if segment.fate == Fate::OnItsWay {
                segment.fate = Fate::Lost;
            }
        }
        self.lost += core::mem::take(&mut self.on_its_way);
        (self.window, self.forced, self.judge_at) = (self.mss, true, None);
    }

    /// When [`Flight::tick`] has something to do.
    pub(super) fn deadline(&self) -> Option<Micros> {
        let probe = self.smoothed.and_then(|(mean, _)| {
            let idle = self.probed || self.on_its_way == 0 || self.recover.is_some();
            (!idle && 2 * mean < self.timeout()).then(|| Micros(self.active.0 + 2 * mean))
        });
        [probe, self.judge_at].into_iter().flatten().min()
    }

    /// Judges what was overtaken, or probes for the end of the flight.
    pub(super) fn tick(&mut self, now: Micros) {
        if self.deadline().is_none_or(|at| at > now) {
            return;
        }
        if self.judge_at.is_some_and(|at| at <= now) {
            self.judge(now);
            return;
        }
        self.probed = true;
        if let Some(last) = self.segments.back_mut()
            && last.fate == Fate::OnItsWay
        {
            last.fate = Fate::Lost;
            self.on_its_way -= last.len();
            self.lost += last.len();
            self.forced = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u64 = 1000;

    /// Ten segments that left at 0, after a round trip of 10 ms was measured.
    fn ten() -> Flight {
        let mut flight = Flight::new(1000);
        flight.begins(1000, Some(10_000));
        for at in 0..10 {
            flight.sent(at * MSS, (at + 1) * MSS, Micros(0));
        }
        flight
    }

    fn none() -> impl Iterator<Item = (u64, u64)> {
        core::iter::empty()
    }

    #[test]
    fn what_was_overtaken_is_sent_again_a_quarter_of_a_round_trip_later_and_halves_the_window() {
        let mut flight = ten();
        flight.acknowledged(Micros(10_000), 2 * MSS, [(3 * MSS, 6 * MSS)].into_iter());
        assert_eq!(flight.next_lost(), None);
        assert_eq!(flight.deadline(), Some(Micros(12_500)));
        flight.tick(Micros(12_500));
        assert_eq!(flight.next_lost(), Some((2 * MSS, 3 * MSS)));
        flight.sent_again(Micros(12_500));
        assert_eq!((flight.next_lost(), flight.window), (None, 4 * MSS));
        // That is lost as well, and what leaves later arrives.
        flight.sent(10 * MSS, 11 * MSS, Micros(13_000));
        flight.acknowledged(Micros(23_000), 2 * MSS, [(3 * MSS, 11 * MSS)].into_iter());
        flight.tick(Micros(30_000));
        assert_eq!(flight.next_lost(), Some((2 * MSS, 3 * MSS)));
    }

    #[test]
    fn the_end_of_a_silent_flight_is_probed_for_once_then_the_timeout_doubles() {
        let mut flight = ten();
        assert_eq!(flight.deadline(), Some(Micros(20_000)));
        flight.tick(Micros(20_000));
        assert_eq!(flight.next_lost(), Some((9 * MSS, 10 * MSS)));
        flight.sent_again(Micros(20_000));
        assert_eq!(flight.deadline(), None);
        assert_eq!(flight.timeout(), 210_000);
        flight.times_out();
        assert_eq!(flight.timeout(), 420_000);
        assert_eq!(flight.next_lost(), Some((0, MSS)));
        flight.sent_again(Micros(200_000));
        assert_eq!(flight.next_lost(), None, "a window of one segment");
    }

    #[test]
    fn the_window_doubles_a_round_trip_at_first() {
        let (mut flight, mut next) = (ten(), 10);
        for at in 1..=5 {
            flight.acknowledged(Micros(10_000), at * 2 * MSS, none());
            while flight.room() >= MSS {
                flight.sent(next * MSS, (next + 1) * MSS, Micros(10_000));
                next += 1;
            }
        }
        assert_eq!(next, 30, "ten acknowledged, twenty on their way");
    }
}
