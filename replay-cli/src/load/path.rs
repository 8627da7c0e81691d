//! A path between the device and a stack, in virtual time: delay, jitter, bandwidth with a queue, loss one by one or in
//! bursts, reordering, each way by itself. A seed decides what it does.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use engine::{FrameBatch, Frames, Micros};

use super::weather::Way;

/// What a path does one way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lane {
    /// How long a frame is on its way at the least, microseconds.
    pub delay: u64,
    /// By how much longer at the most, microseconds; none overtakes another for that.
    pub jitter: u64,
    /// Bytes a second; 0: any number.
    pub bandwidth: u64,
    /// Bytes that may wait for the bandwidth; what does not fit is dropped.
    pub queue: u64,
    /// Share of the frames that are lost, each by itself.
    pub loss: f64,
    /// Losses in bursts (E. N. Gilbert, 1960): with which probability a frame begins one, in which all are lost, and with
    /// which the next frame ends it.
    pub bursts: (f64, f64),
    /// Share of the frames that are held back, so that others overtake them.
    pub reorder: f64,
    /// For how long, microseconds.
    pub reorder_by: u64,
}

/// What became of the frames of one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneTotals {
    /// Frames that set out.
    pub frames: u64,
    /// Frames that were lost.
    pub lost: u64,
    /// Frames that found the queue full.
    pub overflowed: u64,
    /// Frames that were held back.
    pub reordered: u64,
}

/// Both ways of a path, and what is on its way.
#[derive(Debug, Default)]
pub struct Path {
    ways: [Passage; 2],
    arrived: FrameBatch,
}

impl Path {
    /// A path that does so much to frames from the device and toward it.
    #[must_use]
    pub fn new(up: Lane, down: Lane, seed: u64) -> Self {
        let down_seed = seed ^ 0xa5a5_a5a5_a5a5_a5a5;
        Self {
            ways: [Passage::new(up, seed), Passage::new(down, down_seed)],
            ..Self::default()
        }
    }

    /// Frames set out.
    pub(super) fn send<'a>(
        &mut self,
        way: Way,
        now: Micros,
        frames: impl IntoIterator<Item = &'a [u8]>,
    ) {
        for frame in frames {
            self.ways[way as usize].send(now, frame);
        }
    }

    /// The next frames that have arrived by now, at most `most`.
    pub(super) fn arrived(&mut self, way: Way, now: Micros, most: usize) -> Frames<'_> {
        let passage = &mut self.ways[way as usize];
        for frame in core::iter::from_fn(|| passage.due(now)).take(most) {
            self.arrived.push(&frame);
        }
        self.arrived.take(usize::MAX)
    }

    /// When the next frame arrives.
    pub(super) fn deadline(&self) -> Option<Micros> {
        self.ways.iter().filter_map(Passage::deadline).min()
    }

    /// What became of the frames from the device and of those toward it.
    #[must_use]
    pub fn totals(&self) -> [LaneTotals; 2] {
        self.ways.each_ref().map(|way| way.totals)
    }
}

/// One way.
#[derive(Debug, Default)]
struct Passage {
    lane: Lane,
    dice: Dice,
    in_burst: bool,
    /// Until when the bandwidth is taken, nanoseconds.
    taken_until: u64,
    /// When the last frame arrives that keeps its place.
    last: Micros,
    /// By arrival, then in the order in which they set out.
    on_way: BinaryHeap<Reverse<(Micros, u64, Vec<u8>)>>,
    totals: LaneTotals,
}

impl Passage {
    fn new(lane: Lane, seed: u64) -> Self {
        Self {
            lane,
            dice: Dice(seed),
            ..Self::default()
        }
    }

    fn send(&mut self, now: Micros, frame: &[u8]) {
        self.totals.frames += 1;
        if self.loses() {
            self.totals.lost += 1;
            return;
        }
        let Some(left) = self.passes_queue(now, frame.len() as u64) else {
            self.totals.overflowed += 1;
            return;
        };
        let Lane { delay, jitter, .. } = self.lane;
        let mut at = left.0.saturating_add(delay);
        if jitter > 0 {
            at = at.saturating_add(self.dice.roll() % (jitter + 1));
        }
        if self.dice.strikes(self.lane.reorder) {
            self.totals.reordered += 1;
            at = at.saturating_add(self.lane.reorder_by);
        } else {
            at = at.max(self.last.0);
            self.last = Micros(at);
        }
        let place = (Micros(at), self.totals.frames, frame.to_vec());
        self.on_way.push(Reverse(place));
    }

    fn loses(&mut self) -> bool {
        let (begin, end) = self.lane.bursts;
        if begin > 0.0 {
            let share = if self.in_burst { end } else { begin };
            self.in_burst ^= self.dice.strikes(share);
        }
        self.in_burst || self.dice.strikes(self.lane.loss)
    }

    /// When a frame of so many bytes has left the queue; `None` if it does not fit.
    fn passes_queue(&mut self, now: Micros, len: u64) -> Option<Micros> {
        let rate = self.lane.bandwidth;
        if rate == 0 {
            return Some(now);
        }
        let start = now.0.saturating_mul(1000).max(self.taken_until);
        let waits = u128::from(start - now.0.saturating_mul(1000)) * u128::from(rate);
        let waits = u64::try_from(waits / 1_000_000_000).unwrap_or(u64::MAX);
        if waits > 0 && waits.saturating_add(len) > self.lane.queue {
            return None;
        }
        self.taken_until = start.saturating_add(len.saturating_mul(1_000_000_000) / rate);
        Some(Micros(self.taken_until.div_ceil(1000)))
    }

    fn due(&mut self, now: Micros) -> Option<Vec<u8>> {
        if self.deadline()? > now {
            return None;
        }
        self.on_way.pop().map(|Reverse((_, _, frame))| frame)
    }

    fn deadline(&self) -> Option<Micros> {
        self.on_way.peek().map(|Reverse((at, ..))| *at)
    }
}

/// Numbers that follow from a seed (SplitMix64).
#[derive(Clone, Copy, Debug, Default)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn strikes(&mut self, share: f64) -> bool {
        share > 0.0 && ((self.roll() >> 11) as f64) < share * (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Micros = Micros(1_000_000);

    /// When each of `count` frames of 1,000 bytes arrives that set out at once, in the order of their arrival: number and time.
    fn arrivals(lane: Lane, count: u32) -> Vec<(u32, u64)> {
        let mut path = Path::new(lane, Lane::default(), 7);
        for number in 0..count {
            let mut frame = vec![0; 1000];
            frame[..4].copy_from_slice(&number.to_be_bytes());
            path.send(Way::In, NOW, [frame.as_slice()]);
        }
        let mut seen = Vec::new();
        while let Some(at) = path.deadline() {
            for frame in path.arrived(Way::In, at, 1) {
                let number = frame.first_chunk().expect("a number");
                seen.push((u32::from_be_bytes(*number), at.0 - NOW.0));
            }
        }
        seen
    }

    #[test]
    fn a_frame_takes_the_delay_and_at_most_the_jitter_more_and_overtakes_none() {
        let lane = Lane {
            delay: 10_000,
            jitter: 5_000,
            ..Lane::default()
        };
        let seen = arrivals(lane, 100);
        assert!(seen.iter().map(|(number, _)| *number).eq(0..100));
        let times: Vec<u64> = seen.iter().map(|(_, at)| *at).collect();
        assert!(times.iter().all(|at| (10_000..=15_000).contains(at)));
        assert!(times.last() > times.first(), "{times:?}");
    }

    #[test]
    fn a_bandwidth_spreads_frames_and_its_queue_drops_what_does_not_fit() {
        let lane = Lane {
            bandwidth: 1_000_000,
            queue: 5_000,
            ..Lane::default()
        };
        let seen = arrivals(lane, 20);
        let wanted: Vec<(u32, u64)> = (0..5).map(|at| (at, 1000 * u64::from(at + 1))).collect();
        assert_eq!(seen, wanted);
    }

    #[test]
    fn losses_are_as_many_as_asked_for_and_bursts_last() {
        let lane = Lane {
            loss: 0.1,
            ..Lane::default()
        };
        let got = arrivals(lane, 10_000).len();
        assert!((8_800..9_200).contains(&got), "{got}");
        let lane = Lane {
            bursts: (0.02, 0.25),
            ..Lane::default()
        };
        let seen = arrivals(lane, 10_000);
        assert!((9_000..9_500).contains(&seen.len()), "{}", seen.len());
        let gaps = seen
            .windows(2)
            .filter(|two| two[1].0 > two[0].0 + 1)
            .count();
        let mean = (10_000 - seen.len()) as f64 / gaps as f64;
        assert!((3.0..5.0).contains(&mean), "{mean} frames a burst");
    }

    #[test]
    fn a_frame_that_is_held_back_is_overtaken() {
        let lane = Lane {
            reorder: 0.05,
            reorder_by: 3_000,
            ..Lane::default()
        };
        let seen = arrivals(lane, 1000);
        let late = seen.iter().filter(|(_, at)| *at == 3_000).count();
        assert!((25..80).contains(&late), "{late}");
        assert_eq!(seen.len(), 1000);
    }

    #[test]
    fn the_same_seed_does_the_same_and_both_ways_differ() {
        let lane = Lane {
            loss: 0.3,
            ..Lane::default()
        };
        assert_eq!(arrivals(lane, 200), arrivals(lane, 200));
        let mut path = Path::new(lane, lane, 7);
        for _ in 0..200 {
            path.send(Way::In, NOW, [&[0_u8; 40][..]]);
            path.send(Way::Out, NOW, [&[0_u8; 40][..]]);
        }
        let [up, down] = path.totals();
        assert!(up.lost > 0 && down.lost > 0 && up.lost != down.lost);
    }
}
