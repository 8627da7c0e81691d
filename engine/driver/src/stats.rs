//! What a [`Turn`](crate::Turn) measures about itself, beside the engine's own counters.

use engine::Counters;

use crate::histogram::Histogram;

/// Numbers of the loop. They only grow.
///
/// ```
/// let stats = engine_driver::Stats::default();
/// for (name, count) in stats.counts() {
///     println!("{name} {count}");
/// }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Turns taken.
    pub turns: u64,
    /// Frames that entered the ring.
    pub ring_frames: u64,
    /// Frames refused because the ring was full, or because they are no IP packet's length (over 65,535 bytes).
    pub ring_overflow_frames: u64,
    /// Bytes of those frames.
    pub ring_overflow_bytes: u64,
    /// Frames handed in after the engine was stopped.
    pub frames_after_stop: u64,
    /// Most bytes the ring ever held.
    pub ring_high_water: u64,
    /// Bytes of far sides that a full inbox refused; they come again after `resume`.
    pub inbox_refused_bytes: u64,
    /// Datagrams of far sides dropped because their flow's inbox was full.
    pub inbox_dropped_datagrams: u64,
    /// Datagrams of the device that are lost because the host refused them, or because it had refused one before and too
    /// many waited behind that, or until the flow's end.
    pub host_dropped_datagrams: u64,
    /// Datagrams of the device that had to wait at the border because the host had refused one before them.
    pub host_delayed_datagrams: u64,
    /// Bytes of the device's streams that the host did not take at once; they stay in the engine.
    pub host_refused_bytes: u64,
    /// Batches of frames that the host did not take whole at once; the rest is offered again.
    pub host_refused_batches: u64,
    /// Turns that ended with work left because their budget was spent.
    pub budget_spent: u64,
    /// Bytes of far sides that a reset overtook: the device took none of them for
    /// [`Config::linger`](engine::Config::linger).
    pub lingered_bytes: u64,
    /// How long turns took.
    pub turn_duration: Histogram,
    /// How late turns came: how long the oldest frame, the first news since the turn before, a deadline, or the work
    /// that the turn before had left, had waited.
    pub lag: Histogram,
    /// How long each flow with news stood in the queue, and the oldest of the datagrams that a turn took up together. Under more than the engine can do it is as long as the round of
    /// all flows takes, however punctual the turns are.
    pub inbox_wait: Histogram,
}

impl Stats {
    /// Every number but the histograms, by name.
    #[must_use]
    pub const fn counts(&self) -> [(&'static str, u64); 14] {
        [
            ("turns", self.turns),
            ("ring_frames", self.ring_frames),
            ("ring_overflow_frames", self.ring_overflow_frames),
            ("ring_overflow_bytes", self.ring_overflow_bytes),
            ("frames_after_stop", self.frames_after_stop),
            ("ring_high_water", self.ring_high_water),
            ("inbox_refused_bytes", self.inbox_refused_bytes),
            ("inbox_dropped_datagrams", self.inbox_dropped_datagrams),
            ("host_dropped_datagrams", self.host_dropped_datagrams),
            ("host_delayed_datagrams", self.host_delayed_datagrams),
            ("host_refused_bytes", self.host_refused_bytes),
            ("host_refused_batches", self.host_refused_batches),
            ("budget_spent", self.budget_spent),
            ("lingered_bytes", self.lingered_bytes),
        ]
    }

    /// Makes `copy`, which nothing else writes to, equal to these.
    pub(crate) fn copy_into(&mut self, copy: &mut Self) {
        let Self {
            turns,
            ring_frames,
            ring_overflow_frames,
            ring_overflow_bytes,
            frames_after_stop,
            ring_high_water,
            inbox_refused_bytes,
            inbox_dropped_datagrams,
            host_dropped_datagrams,
            host_delayed_datagrams,
            host_refused_bytes,
            host_refused_batches,
            budget_spent,
            lingered_bytes,
            turn_duration,
            lag,
            inbox_wait,
        } = self;
        turn_duration.copy_into(&mut copy.turn_duration);
        lag.copy_into(&mut copy.lag);
        inbox_wait.copy_into(&mut copy.inbox_wait);
        copy.turns = *turns;
        copy.ring_frames = *ring_frames;
        copy.ring_overflow_frames = *ring_overflow_frames;
        copy.ring_overflow_bytes = *ring_overflow_bytes;
        copy.frames_after_stop = *frames_after_stop;
        copy.ring_high_water = *ring_high_water;
        copy.inbox_refused_bytes = *inbox_refused_bytes;
        copy.inbox_dropped_datagrams = *inbox_dropped_datagrams;
        copy.host_dropped_datagrams = *host_dropped_datagrams;
        copy.host_delayed_datagrams = *host_delayed_datagrams;
        copy.host_refused_bytes = *host_refused_bytes;
        copy.host_refused_batches = *host_refused_batches;
        copy.budget_spent = *budget_spent;
        copy.lingered_bytes = *lingered_bytes;
    }
}

/// Everything countable at the end of a turn.
///
/// ```no_run
/// # let mailbox: &engine_driver::Mailbox = unimplemented!();
/// let now = mailbox.snapshot();
/// println!("{} flows, lag p99 {:?}", now.counters.tcp_flows, now.stats.lag.quantile(0.99));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The engine's counters.
    pub counters: Counters,
    /// The loop's own numbers.
    pub stats: Stats,
}
