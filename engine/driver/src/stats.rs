//! What a [`Turn`](crate::Turn) measures about itself, beside the engine's own counters.

use engine::Counters;

use crate::histogram::Histogram;

macro_rules! stats {
    (
        $(#[$about:meta])*
        pub struct $stats:ident {
            $($(#[doc = $doc:literal])+ $count:ident: u64,)+
            histograms:
            $($(#[doc = $span_doc:literal])+ $span:ident: Histogram,)+
        }
    ) => {
        $(#[$about])*
        pub struct $stats {
            $($(#[doc = $doc])+ pub $count: u64,)+
            $($(#[doc = $span_doc])+ pub $span: Histogram,)+
        }

        impl $stats {
            /// Every number but the histograms, by name.
            #[must_use]
            pub const fn counts(&self) -> [(&'static str, u64); 14] {
                [$((stringify!($count), self.$count),)+]
            }

            /// Makes `copy`, which nothing else writes to, equal to these.
            pub(crate) fn copy_into(&mut self, copy: &mut Self) {
                $(copy.$count = self.$count;)+
                $(self.$span.copy_into(&mut copy.$span);)+
            }
        }
    };
}

stats! {
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
        turns: u64,
        /// Frames that entered the ring.
        ring_frames: u64,
        /// Frames refused because the ring was full, or because they are no IP packet's length (over 65,535 bytes).
        ring_overflow_frames: u64,
        /// Bytes of those frames.
        ring_overflow_bytes: u64,
        /// Frames handed in after the engine was stopped.
        frames_after_stop: u64,
        /// Most bytes the ring ever held.
        ring_high_water: u64,
        /// Bytes of far sides that a full inbox refused; they come again after `resume`.
        inbox_refused_bytes: u64,
        /// Datagrams of far sides dropped because their flow's inbox was full.
        inbox_dropped_datagrams: u64,
        /// Datagrams of the device that are lost because the host refused them, or because it had refused one before and too
        /// many waited behind that, or until the flow's end.
        host_dropped_datagrams: u64,
        /// Datagrams of the device that had to wait at the border because the host had refused one before them.
        host_delayed_datagrams: u64,
        /// Bytes of the device's streams that the host did not take at once; they stay in the engine.
        host_refused_bytes: u64,
        /// Batches of frames that the host did not take whole at once; the rest is offered again.
        host_refused_batches: u64,
        /// Turns that ended with work left because their budget was spent.
        budget_spent: u64,
        /// Bytes of far sides that a reset overtook: the device took none of them for
        /// [`Config::linger`](engine::Config::linger).
        lingered_bytes: u64,

        histograms:
        /// How long turns took.
        turn_duration: Histogram,
        /// How late turns came: how long the oldest frame, the first event since the turn before, a deadline, or the work
        /// that the turn before had left, had waited.
        lag: Histogram,
        /// How long each flow with events stood in the queue, and the oldest of the datagrams that a turn took up together.
        /// Under more than the engine can do it is as long as the round of all flows takes, however punctual the turns are.
        inbox_wait: Histogram,
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
