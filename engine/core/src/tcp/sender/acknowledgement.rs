//! What an acknowledgement brings: bytes that leave the ring, losses, the window.

use super::{Ack, AckKind, Cause, DUPLICATES, Recovery, Sender};
use crate::api::time::Micros;
use crate::tcp::recovery::Delivered;
use crate::tcp::ring::Pool;
use crate::tcp::seq::Seq;

impl Sender {
    /// Takes in an acknowledgement of something that left, of a segment that may be looked at.
    #[inline]
    pub(crate) fn acknowledge(&mut self, pool: &mut Pool, now: Micros, ack: &Ack<'_>) -> AckKind {
        if ack.ack.is_before(self.una) || ack.ack.is_after(self.highest) {
            return AckKind::Stale;
        }
        let advance = ack.ack.is_after(self.una);
        if !advance && ack.seq.is_before(self.window_seq) {
            // A newer segment has updated the window already (RFC 9293 section 3.10.7.4, fifth).
            return AckKind::Stale;
        }
        self.window_seq = self.window_seq.latest(ack.seq);
        let same = ack.window == self.window_field;
        self.note_window(now, ack.window);
        let limited = self.in_flight().saturating_mul(2) >= self.control.window();
        // What ends a recovery opens no window beside.
        let growing = self
            .recovery
            .is_none_or(|recovery| recovery.cause != Cause::Loss);
        let mut delivered = Delivered::default();
        if advance {
            delivered = self.advance(pool, now, ack.ack);
        }
        let mut news = false;
        if !ack.blocks.is_empty() && self.sack {
            news = self.take_blocks(now, ack, &mut delivered);
        }
        let out = !self.board.is_empty() && self.queue() > 0;
        let duplicate = !advance && out && (news || (ack.blocks.is_empty() && ack.bare && same));
        // What left once and arrived says it to the microsecond, a timestamp to a tick, and of what was sent again as well
        // (RFC 7323 section 4.1).
        if let Some(round_trip) = delivered
            .round_trip
            .or_else(|| ack.echoed.filter(|_| advance))
        {
            self.trip.measured(round_trip);
        }
        if advance {
            self.progress(now, ack, &delivered);
        }
        if core::mem::take(&mut self.shut_over_data) && self.next.is_after(self.una) {
            // The window had closed over what was out, which was not taken, or it would be acknowledged.
            self.send_all_again();
        }
        if duplicate {
            self.duplicate(ack.blocks.is_empty());
        }
        if !self.board.is_clean() {
            self.find_losses(now);
        }
        // What only leaves the path makes room for new segments as it is; the window opens for what is acknowledged.
        if advance && delivered.bytes > 0 && growing && limited {
            let round_trip = self.trip.smoothed().unwrap_or_default();
            self.control.acknowledged(now, delivered.bytes, round_trip);
        }
        match (advance, duplicate) {
            (true, _) => AckKind::Advance,
            (_, true) => AckKind::Duplicate,
            _ if same => AckKind::Stale,
            _ => AckKind::WindowUpdate,
        }
    }

    pub(super) fn note_window(&mut self, now: Micros, field: u16) {
        let was_closed = self.window == 0;
        self.window_field = field;
        self.window = u32::from(field) << self.scale;
        self.max_window = self.max_window.max(self.window);
        if self.window > 0 {
            if was_closed {
                // A FIN takes no room: that it is in flight means nothing.
                let data = self.una.is_before(self.end);
                self.shut_over_data = data && self.next.is_after(self.una);
                self.armed = now;
            }
            self.persist = None;
            self.persist_due = false;
        }
    }

    /// Takes what is acknowledged for the first time off the ring.
    #[inline]
    pub(super) fn advance(&mut self, pool: &mut Pool, now: Micros, ack: Seq) -> Delivered {
        let delivered = self.board.acknowledged(ack, now);
        let upto = if ack.is_after(self.end) {
            self.end
        } else {
            ack
        };
        let bytes = usize::try_from(upto.minus(self.base())).unwrap_or(0);
        self.ring.consume(pool, bytes);
        self.counted += bytes;
        self.una = ack;
        // The byte of a window probe, which nothing else counts.
        self.next = self.next.latest(ack);
        delivered
    }

    pub(super) fn progress(&mut self, now: Micros, ack: &Ack<'_>, delivered: &Delivered) {
        self.timeouts = 0;
        self.armed = now;
        if let Some(persist) = &mut self.persist {
            persist.since = now;
        }
        if let Some(tail) = self.tail
            && !ack.ack.is_before(tail.end)
        {
            self.tail = None;
            if tail.again && self.sack && ack.blocks.is_empty() && self.recovery.is_none() {
                // RFC 8985 section 7.4.2: the probe repaired a loss, which counts as any other.
                self.control.lost(now, self.in_flight().max(self.mss));
            }
        }
        let Some(recovery) = &mut self.recovery else {
            (self.duplicates, self.credit, self.flight) = (0, 0, 0);
            return;
        };
        if recovery.cause == Cause::Timeout && !recovery.judged {
            recovery.judged = true;
            if self.sack && delivered.first_copy && self.board.revive() {
                // RFC 5682 section 3: what left once and arrives now was late, not lost.
                self.control.undo();
                self.recovery = None;
                (self.duplicates, self.credit) = (0, 0);
                return;
            }
        }
        if !ack.ack.is_before(recovery.until) {
            if recovery.cause == Cause::Loss {
                self.control.recovered(self.outstanding());
            }
            self.recovery = None;
            (self.duplicates, self.credit) = (0, 0);
            return;
        }
        if recovery.cause == Cause::Loss && self.board.sacked() == 0 {
            // The next hole (RFC 6582 section 3.2, step 3).
            self.credit = self
                .credit
                .saturating_sub(delivered.bytes.saturating_sub(self.mss));
            self.board.lose_first(self.mss);
            self.force = true;
        }
    }

    /// Takes in SACK blocks; returns whether they reported anything new.
    pub(super) fn take_blocks(
        &mut self,
        now: Micros,
        ack: &Ack<'_>,
        delivered: &mut Delivered,
    ) -> bool {
        let before = delivered.bytes;
        for (at, (left, right)) in ack.blocks.iter().copied().enumerate() {
            let known = |(l, r): &(Seq, Seq)| !left.is_before(*l) && !right.is_after(*r);
            let twice =
                at == 0 && (!right.is_after(ack.ack) || ack.blocks.get(1).is_some_and(known));
            if !right.is_after(left) || right.is_after(self.highest) {
                continue;
            }
            if twice {
                self.came_twice(right.minus(left).unsigned_abs());
            } else if right.is_after(self.una) {
                let more = self.board.sack(left.latest(self.una), right, now);
                delivered.bytes += more.bytes;
                delivered.round_trip = delivered.round_trip.or(more.round_trip);
            }
        }
        delivered.bytes > before
    }

    /// The device has got bytes twice (RFC 2883): what was sent again need not have been.
    pub(super) fn came_twice(&mut self, bytes: u32) {
        self.board.was_hasty();
        self.tail = None;
        if self.suspect > 0 {
            self.suspect = self.suspect.saturating_sub(bytes);
            if self.suspect == 0 {
                self.control.undo();
            }
        }
    }

    pub(super) fn duplicate(&mut self, without_blocks: bool) {
        if self.recovery.is_none() {
            if self.duplicates == 0 {
                self.flight = self.outstanding();
            }
            self.duplicates = self.duplicates.saturating_add(1);
        }
        if without_blocks {
            // Each means that a segment has left the path.
            self.credit = self.credit.saturating_add(self.mss).min(self.outstanding());
            let enough = self.duplicates >= self.threshold() && self.recovery.is_none();
            // Below the last loss they are answers to what was sent again (RFC 6582 section 3.2, step 1).
            if enough && !self.una.is_before(self.recover) {
                self.board.lose_first(self.mss);
            }
        }
    }

    /// How many duplicates indicate a loss: less if there are too few segments to draw three (RFC 5827).
    pub(super) fn threshold(&self) -> u32 {
        let segments = self.flight.div_ceil(self.mss.max(1));
        if segments < 4 && self.all_sent() {
            segments.saturating_sub(1).max(1)
        } else {
            DUPLICATES
        }
    }

    /// Looks for what is lost by now.
    pub(super) fn find_losses(&mut self, now: Micros) {
        let sure = self.recovery.is_some()
            || self.duplicates >= DUPLICATES
            || self.board.sacked() >= DUPLICATES * self.mss;
        let (_, later) = self.board.detect(now, sure);
        self.reorder = later;
        if self.board.has_lost() && self.recovery.is_none() {
            let flight = if self.flight > 0 {
                self.flight
            } else {
                self.outstanding()
            };
            self.control.lost(now, flight);
            self.recovery = Some(Recovery {
                cause: Cause::Loss,
                until: self.next,
                judged: true,
            });
            self.recover = self.next;
            self.flight = 0;
            self.suspect = 0;
            self.force = true;
            self.tail = None;
        }
    }
}
