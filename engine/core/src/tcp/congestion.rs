//! How much may be in flight: policy, apart from the mechanism that finds what is lost.

use core::fmt;
use core::time::Duration;

use crate::api::time::Micros;

/// The congestion window beyond which it means nothing: no window of a device and no ring reaches that far.
const FULL: u32 = 1 << 30;
/// Segments of the initial window, and its bytes for large segments (RFC 6928 section 2).
const INITIAL_SEGMENTS: u32 = 10;
const INITIAL_BYTES: u32 = 14_600;

/// What decides how much may be in flight, by acknowledgements and losses, each loss episode once.
pub(crate) trait Controller: fmt::Debug + Send {
    /// Bytes that may be in flight.
    fn window(&self) -> u32;
    /// `bytes` arrived that were in flight, with the window in use.
    fn acknowledged(&mut self, now: Micros, bytes: u32, round_trip: Duration);
    /// Something of `flight` bytes was lost, and the rest still arrives.
    fn lost(&mut self, now: Micros, flight: u32);
    /// Nothing arrives any more, with `flight` bytes out; `first`: since the last that did.
    fn timed_out(&mut self, now: Micros, flight: u32, first: bool);
    /// All that was out at the last loss has arrived, and `flight` bytes are out: no burst follows (RFC 6582 section
    /// 3.2, step 3).
    fn recovered(&mut self, flight: u32);
    /// The last loss or timeout was none.
    fn undo(&mut self);
    /// Nothing was sent for so long that what was known of the path is old (RFC 5681 section 4.1).
    fn rested(&mut self);
    /// Segments are no longer than `mss` from now on.
    fn narrow(&mut self, mss: u32);
}

/// The initial window (RFC 6928 section 2).
fn initial_window(mss: u32) -> u32 {
    (INITIAL_SEGMENTS * mss).min(INITIAL_BYTES.max(2 * mss))
}

/// NewReno's window (RFC 5681, RFC 6582), with bytes counted (RFC 3465).
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewReno {
    mss: u32,
    cwnd: u32,
    ssthresh: u32,
    /// Bytes that arrived since the window last grew by a segment, beyond the threshold.
    counted: u32,
    /// A timeout struck, and what was out then is not all acknowledged: slow start counts a segment for each
    /// acknowledgement (RFC 3465 section 2.3).
    cautious: bool,
    /// Window and threshold before the last loss.
    before: (u32, u32),
}

impl NewReno {
    pub(crate) fn new(mss: u32, single: bool) -> Self {
        let cwnd = if single { mss } else { initial_window(mss) };
        Self {
            mss,
            cwnd,
            ssthresh: FULL,
            counted: 0,
            cautious: false,
            before: (cwnd, FULL),
        }
    }
}

impl Controller for NewReno {
    fn window(&self) -> u32 {
        self.cwnd
    }

    fn acknowledged(&mut self, _: Micros, bytes: u32, _: Duration) {
        if self.cwnd < self.ssthresh {
            // RFC 3465 section 2.2: at most two segments for each acknowledgement.
            let most = if self.cautious {
                self.mss
            } else {
                2 * self.mss
            };
            let room = self.ssthresh - self.cwnd;
            self.cwnd = (self.cwnd + bytes.min(most).min(room.max(self.mss))).min(FULL);
            return;
        }
        self.cautious = false;
        // RFC 3465 section 2.1: a segment for each window that arrived.
        self.counted = self.counted.saturating_add(bytes);
        if self.counted >= self.cwnd {
            self.counted -= self.cwnd;
            self.cwnd = (self.cwnd + self.mss).min(FULL);
        }
    }

    fn lost(&mut self, _: Micros, flight: u32) {
        self.before = (self.cwnd, self.ssthresh);
        self.ssthresh = (flight / 2).max(2 * self.mss);
        self.cwnd = self.ssthresh;
        self.counted = 0;
    }

    fn timed_out(&mut self, _: Micros, flight: u32, first: bool) {
        if first {
            self.before = (self.cwnd, self.ssthresh);
            self.ssthresh = (flight / 2).max(2 * self.mss);
        }
        self.cwnd = self.mss;
        self.counted = 0;
        self.cautious = true;
    }

    fn recovered(&mut self, flight: u32) {
        let most = flight.max(self.mss).saturating_add(self.mss);
        self.cwnd = self.cwnd.min(most);
    }

    fn undo(&mut self) {
        let (cwnd, ssthresh) = self.before;
        self.cwnd = self.cwnd.max(cwnd);
        self.ssthresh = self.ssthresh.max(ssthresh);
        self.before = (self.cwnd, self.ssthresh);
        self.cautious = false;
    }

    fn rested(&mut self) {
        self.cwnd = self.cwnd.min(initial_window(self.mss));
        self.counted = 0;
    }

    fn narrow(&mut self, mss: u32) {
        self.mss = mss.max(1);
    }
}

/// No window at all: for a device on a link that loses nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unlimited;

impl Controller for Unlimited {
    fn window(&self) -> u32 {
        FULL
    }
    fn acknowledged(&mut self, _: Micros, _: u32, _: Duration) {}
    fn lost(&mut self, _: Micros, _: u32) {}
    fn timed_out(&mut self, _: Micros, _: u32, _: bool) {}
    fn recovered(&mut self, _: u32) {}
    fn undo(&mut self) {}
    fn rested(&mut self) {}
    fn narrow(&mut self, _: u32) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;
    const NOW: Micros = Micros(0);

    fn acknowledge(window: &mut NewReno, bytes: u32) {
        window.acknowledged(NOW, bytes, Duration::ZERO);
    }

    #[test]
    fn the_first_window_is_ten_segments_or_one_after_a_repeated_syn_ack() {
        assert_eq!(NewReno::new(MSS, false).window(), 10 * MSS);
        assert_eq!(NewReno::new(9000, false).window(), 18_000, "RFC 6928");
        assert_eq!(NewReno::new(MSS, true).window(), MSS);
    }

    #[test]
    fn below_the_threshold_it_grows_by_what_arrived_up_to_two_segments() {
        let mut window = NewReno::new(MSS, false);
        acknowledge(&mut window, 300);
        assert_eq!(window.window(), 10 * MSS + 300);
        acknowledge(&mut window, 5 * MSS);
        assert_eq!(window.window(), 12 * MSS + 300, "RFC 3465 section 2.2");
    }

    #[test]
    fn after_a_timeout_it_grows_by_one_segment_for_each_acknowledgement() {
        let mut window = NewReno::new(MSS, false);
        window.timed_out(NOW, 10 * MSS, true);
        assert_eq!(window.window(), MSS);
        acknowledge(&mut window, 2 * MSS);
        assert_eq!(window.window(), 2 * MSS, "RFC 3465 section 2.3");
    }

    #[test]
    fn beyond_the_threshold_it_grows_by_a_segment_for_each_window_that_arrived() {
        let mut window = NewReno::new(MSS, false);
        window.lost(NOW, 20 * MSS);
        assert_eq!(window.window(), 10 * MSS);
        for _ in 0..9 {
            acknowledge(&mut window, MSS);
        }
        assert_eq!(window.window(), 10 * MSS);
        acknowledge(&mut window, MSS);
        assert_eq!(window.window(), 11 * MSS, "RFC 3465 section 2.1");
    }

    #[test]
    fn a_loss_halves_the_flight_but_keeps_two_segments() {
        for (flight, left) in [(20, 10), (10, 5), (3, 2), (1, 2)] {
            let mut window = NewReno::new(MSS, false);
            window.lost(NOW, flight * MSS);
            assert_eq!(window.window(), left * MSS, "RFC 5681 equation (4)");
        }
    }

    #[test]
    fn a_loss_that_was_none_is_undone() {
        let mut window = NewReno::new(MSS, false);
        window.timed_out(NOW, 10 * MSS, true);
        window.timed_out(NOW, MSS, false);
        window.undo();
        assert_eq!(window.window(), 10 * MSS);
        acknowledge(&mut window, MSS);
        assert_eq!(window.window(), 11 * MSS, "slow start goes on");
    }
}
