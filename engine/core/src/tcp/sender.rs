//! What smoltcp lacks as a sender: a congestion window (RFC 5681), limited transmit (RFC 3042), fast recovery that
//! repairs one hole after another (RFC 6582), small segments avoided (RFC 9293 section 3.8.6.2.1).
//!
//! smoltcp sends whatever the device's window admits. So it is shown a smaller one: as far as the congestion window
//! reaches, and only as far as whole segments fill it. Its own count of duplicate acknowledgements is kept at rest.

use core::time::Duration;

use crate::api::time::Micros;
use crate::tcp::seq::Seq;
use crate::tcp::stack::Emitted;

/// Segments of the initial window (RFC 6928).
const INITIAL_SEGMENTS: u32 = 10;
/// The initial window's octets for large segments (RFC 6928 section 2).
const INITIAL_OCTETS: u32 = 14_600;
/// The congestion window beyond which it means nothing: no window field and no ring reaches that far.
const FULL: u32 = 1 << 30;
/// smoltcp's least retransmission timeout (RFC 6298 section 2.4).
pub(crate) const LEAST_TIMEOUT: Duration = Duration::from_secs(1);
/// After so long a silence nothing is known of the path.
const IDLE: Duration = LEAST_TIMEOUT;

/// The sending side of a flow, as far as smoltcp does not see to it.
#[derive(Debug)]
pub(crate) struct Sender {
    mss: u32,
    /// Whether the congestion window limits anything.
    controlled: bool,
    cwnd: u32,
    ssthresh: u32,
    /// smoltcp's own SND.NXT, which a retransmission timeout takes back to SND.UNA.
    next: Seq,
    /// The window that smoltcp believes in, octets.
    shown: u32,
    duplicates: u32,
    /// What was out when the first duplicate came: limited transmit does not count (RFC 5681 section 3.2).
    flight: u32,
    /// One past all that had left at the last loss: recovery ends there, and no other begins before.
    recover: Seq,
    recovering: bool,
    /// The timeout has struck since the last progress: the threshold is set once for each flight.
    timed_out: bool,
    repair: Repair,
    sent_at: Micros,
}

/// A segment to be sent again before its timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Repair {
    None,
    Wanted,
    /// smoltcp was told; the next segment at SND.UNA is this one and no timeout.
    Ordered,
}

/// What an acknowledgement said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// So many octets are acknowledged for the first time.
    Progress(u32),
    /// Nothing but the window may be new.
    Same,
    /// The same and the same window: a duplicate if text is out (RFC 5681 section 2).
    Nothing,
    /// Older than others.
    Old,
}

impl Sender {
    pub(crate) fn new(now: Micros, isn: Seq, mss: u16, controlled: bool) -> Self {
        let mss = u32::from(mss);
        let mut sender = Self {
            mss,
            controlled,
            cwnd: 0,
            ssthresh: FULL,
            next: isn.plus(1),
            shown: 0,
            duplicates: 0,
            flight: 0,
            recover: isn.plus(1),
            recovering: false,
            timed_out: false,
            repair: Repair::None,
            sent_at: now,
        };
        sender.cwnd = sender.initial_window();
        sender
    }

    fn initial_window(&self) -> u32 {
        (INITIAL_SEGMENTS * self.mss).min(INITIAL_OCTETS.max(2 * self.mss))
    }

    /// The SYN-ACK had to be repeated: the path loses, so that one segment must do (RFC 5681 section 3.1).
    pub(crate) fn syn_ack_again(&mut self) {
        self.cwnd = self.mss;
    }

    /// Segments are no longer than `mss` from now on.
    pub(crate) fn narrow(&mut self, mss: u16) {
        self.mss = u32::from(mss).max(1);
    }

    /// All beyond `acked` was lost for its size, not to congestion, and goes out once more: the window stays
    /// (RFC 1191 section 6.4).
    pub(crate) fn rewind(&mut self, acked: Seq) {
        self.next = acked;
        self.recovering = false;
        self.duplicates = 0;
        self.repair = Repair::None;
    }

    /// Octets out, as smoltcp counts them.
    fn out(&self, acked: Seq) -> u32 {
        u32::try_from(self.next.minus(acked)).unwrap_or(0)
    }

    /// The window to show smoltcp, octets: what the device and the path admit, in whole segments.
    pub(crate) fn offer(&self, acked: Seq, device: u32, queue: u32) -> u32 {
        if device == 0 {
            // It must know, to probe.
            return 0;
        }
        let window = device.min(self.limit());
        let out = self.out(acked);
        let room = window.saturating_sub(out);
        if out == 0 || queue <= out.saturating_add(room) {
            window
        } else {
            // An acknowledgement will make room for the rest.
            (out + room - room % self.mss).min(device)
        }
    }

    fn limit(&self) -> u32 {
        if !self.controlled {
            return FULL;
        }
        let extra = if self.recovering {
            0
        } else {
            self.duplicates.min(2) * self.mss
        };
        self.cwnd.saturating_add(extra)
    }

    pub(crate) fn shown(&self) -> u32 {
        self.shown
    }

    pub(crate) fn show(&mut self, window: u32) {
        self.shown = window;
    }

    /// After a silence the old window says nothing about the path any more (RFC 5681 section 4.1).
    pub(crate) fn before_sending(&mut self, now: Micros, acked: Seq) {
        if self.out(acked) == 0 && now > self.sent_at.plus(IDLE) {
            self.cwnd = self.cwnd.min(self.initial_window());
        }
    }

    /// An acknowledgement of `acked` that left `out` octets unacknowledged.
    pub(crate) fn progress(&mut self, acked: Seq, octets: u32, out: u32) {
        if acked.is_after(self.next) {
            self.next = acked;
        }
        self.timed_out = false;
        if !self.recovering {
            self.duplicates = 0;
            let growth = if self.cwnd < self.ssthresh {
                octets.min(self.mss)
            } else {
                (self.mss * self.mss / self.cwnd.max(1)).max(1)
            };
            self.cwnd = self.cwnd.saturating_add(growth).min(FULL);
        } else if acked.is_before(self.recover) {
            // The next hole (RFC 6582 section 3.2, step 3).
            self.repair = Repair::Wanted;
            let kept = if octets >= self.mss { self.mss } else { 0 };
            self.cwnd = (self.cwnd.saturating_sub(octets) + kept).max(self.mss);
        } else {
            self.recovering = false;
            self.duplicates = 0;
            self.cwnd = self.ssthresh.min(out.max(self.mss) + self.mss);
        }
    }

    /// A duplicate of the acknowledgement of `acked`, with all before `emitted` sent.
    pub(crate) fn duplicate(&mut self, acked: Seq, emitted: Seq) {
        if self.recovering {
            // Each says that a segment has left the path.
            self.cwnd = self.cwnd.saturating_add(self.mss).min(FULL);
            return;
        }
        if self.duplicates == 0 {
            self.flight = u32::try_from(emitted.minus(acked)).unwrap_or(0);
        }
        self.duplicates = self.duplicates.saturating_add(1);
        // Below the last loss they are answers to what was sent again (RFC 6582 section 3.2, step 1).
        if self.duplicates == 3 && !acked.is_before(self.recover) {
            self.ssthresh = (self.flight / 2).max(2 * self.mss);
            self.cwnd = self.ssthresh + 3 * self.mss;
            self.recover = emitted;
            self.recovering = true;
            self.repair = Repair::Wanted;
        }
    }

    /// Whether smoltcp sends again what had left before, all before `emitted`.
    pub(crate) fn is_repeating(&self, emitted: Seq) -> bool {
        self.next.is_before(emitted) || self.repair != Repair::None
    }

    /// Whether nothing is lost as far as is known, and smoltcp goes on behind all before `emitted`.
    pub(crate) fn is_untroubled(&self, emitted: Seq) -> bool {
        self.next == emitted && !self.recovering && self.repair == Repair::None
    }

    /// Whether the first unacknowledged segment is to be sent again now.
    pub(crate) fn wants_repair(&self) -> bool {
        self.repair == Repair::Wanted
    }

    /// smoltcp has been told to send it.
    pub(crate) fn repair_ordered(&mut self) {
        self.repair = Repair::Ordered;
    }

    /// Notes a segment with text or a FIN that smoltcp emitted, with all before `emitted` sent earlier.
    pub(crate) fn sent(&mut self, now: Micros, sent: Emitted, acked: Seq, emitted: Seq) {
        self.sent_at = now;
        let end = sent.seq.plus(sent.payload + u32::from(sent.fin));
        if sent.payload == 1 && !acked.plus(self.shown).is_after(sent.seq) {
            // A probe of a closed window: smoltcp does not count it.
            return;
        }
        if !sent.seq.is_before(self.next) {
            self.next = end;
        } else if self.repair == Repair::Ordered {
            self.repair = Repair::None;
            self.next = self.next.latest(end);
        } else {
            self.timeout(acked, emitted);
            self.next = end;
        }
    }

    /// The retransmission timeout has struck (RFC 5681 section 3.1).
    fn timeout(&mut self, acked: Seq, emitted: Seq) {
        if !self.timed_out {
            let flight = u32::try_from(emitted.minus(acked)).unwrap_or(0);
            self.ssthresh = (flight / 2).max(2 * self.mss);
        }
        self.timed_out = true;
        self.cwnd = self.mss;
        self.recover = emitted;
        self.recovering = false;
        self.duplicates = 0;
        self.repair = Repair::None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1000;
    const START: Seq = Seq(1001);

    fn sender() -> Sender {
        Sender::new(Micros(0), Seq(1000), 1000, true)
    }

    /// So many segments have left, without an acknowledgement.
    fn after(segments: u32) -> Sender {
        let mut sender = sender();
        sender.next = START.plus(segments * MSS);
        sender
    }

    #[test]
    fn the_first_two_duplicates_admit_one_new_segment_each() {
        let mut sender = after(10);
        let emitted = START.plus(10 * MSS);
        for admitted in [11, 12] {
            sender.duplicate(START, emitted);
            assert_eq!(sender.limit(), admitted * MSS, "RFC 3042");
        }
    }

    #[test]
    fn a_third_duplicate_halves_the_flight_but_keeps_two_segments() {
        for (out, threshold) in [(20, 10), (10, 5), (3, 2), (1, 2)] {
            let mut sender = after(out);
            for _ in 0..3 {
                sender.duplicate(START, START.plus(out * MSS));
            }
            assert_eq!(sender.ssthresh, threshold * MSS, "RFC 5681 equation (4)");
            assert_eq!(sender.limit(), (threshold + 3) * MSS, "{out} segments out");
            assert!(sender.wants_repair());
        }
    }

    #[test]
    fn beyond_the_threshold_the_window_grows_by_a_segment_a_round_trip() {
        let mut sender = sender();
        sender.ssthresh = 10 * MSS;
        sender.cwnd = 10 * MSS;
        for segment in 1..=10 {
            sender.progress(START.plus(segment * MSS), MSS, 9 * MSS);
        }
        let grown = sender.cwnd - 10 * MSS;
        assert!(
            (900..=1000).contains(&grown),
            "RFC 5681 equation (3): {grown}"
        );
    }

    #[test]
    fn below_the_threshold_it_grows_by_what_was_acknowledged_up_to_a_segment() {
        let mut sender = sender();
        sender.progress(START.plus(300), 300, 0);
        assert_eq!(sender.cwnd, 10 * MSS + 300);
        sender.progress(START.plus(300 + 2 * MSS), 2 * MSS, 0);
        assert_eq!(sender.cwnd, 11 * MSS + 300, "RFC 5681 equation (2)");
    }

    #[test]
    fn a_window_is_shown_in_whole_segments_while_more_text_waits_than_it_holds() {
        let sender = after(2);
        let out = 2 * MSS;
        assert_eq!(sender.offer(START, 4500, 9 * MSS), out + 2 * MSS);
        assert_eq!(sender.offer(START, 4500, 4 * MSS), 4500, "all of it fits");
        assert_eq!(
            sender.offer(START, 1500, 9 * MSS),
            1500,
            "a window that shrank"
        );
        assert_eq!(sender.offer(START, 0, 9 * MSS), 0);
    }
}
