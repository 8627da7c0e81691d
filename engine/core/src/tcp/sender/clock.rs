//! What comes due without anything coming: timeout, probes, losses inferred from time.

use super::{Cause, OVERRIDE, Persist, Recovery, Sender, TailProbe};
use crate::api::time::Micros;
use crate::tcp::timers::LONGEST_TIMEOUT;

impl Sender {
    /// Whether bytes or a FIN wait that a closed window keeps back.
    pub(super) fn waits_for_window(&self) -> bool {
        self.window == 0 && self.queue() > 0
    }

    /// Sees to whatever has come due.
    pub(crate) fn tick(&mut self, now: Micros) {
        if self.waits_for_window() {
            let timeout = self.trip.timeout();
            let persist = self.persist.get_or_insert(Persist {
                since: now,
                interval: timeout,
            });
            if now >= persist.since.plus(persist.interval) {
                persist.since = now;
                persist.interval = (persist.interval * 2).min(LONGEST_TIMEOUT);
                self.persist_due = true;
            }
            return;
        }
        if self.board.is_empty() {
            return;
        }
        if self.reorder.is_some_and(|at| at <= now) {
            self.find_losses(now);
        }
        if self.timeout_at() <= now {
            self.time_out(now);
        } else if self.probe_at().is_some_and(|at| at <= now) {
            self.tail_due = true;
            self.armed = now;
            // Nothing else is probed for until it is answered.
            self.tail = Some(TailProbe {
                end: self.next,
                again: false,
            });
        }
    }

    pub(super) fn timeout_at(&self) -> Micros {
        self.armed.plus(self.trip.timeout())
    }

    pub(super) fn probe_at(&self) -> Option<Micros> {
        let troubled = self.recovery.is_some() || !self.board.is_clean();
        if !self.probes || self.tail.is_some() || troubled {
            return None;
        }
        if self.board.in_flight() <= self.mss {
            return None;
        }
        let since = self.armed.max(self.sent_at);
        let at = since.plus(self.trip.probe()?);
        (at < self.timeout_at()).then_some(at)
    }

    /// The retransmission timeout has struck (RFC 6298 section 5.4, RFC 5681 section 3.1).
    pub(super) fn time_out(&mut self, now: Micros) {
        self.timeouts = self.timeouts.saturating_add(1);
        self.trip.back_off();
        let first = self.timeouts == 1;
        self.control.timed_out(now, self.outstanding(), first);
        // A device that reneges on SACK is not believed for ever (RFC 2018 section 8).
        self.board.lose_all(!first || self.board.has_reneged());
        if !first || self.recovery.is_none() {
            self.suspect = 0;
        }
        self.recovery = Some(Recovery {
            cause: Cause::Timeout,
            until: self.next,
            judged: false,
        });
        self.recover = self.next;
        (self.duplicates, self.credit, self.flight) = (0, 0, 0);
        (self.tail, self.tail_due, self.reorder) = (None, false, None);
        self.armed = now;
        self.force = true;
    }

    /// When [`Sender::tick`] or [`Sender::choose`] has something to do without anything coming.
    pub(crate) fn deadline(&self) -> Option<Micros> {
        if self.waits_for_window() {
            return self
                .persist
                .map(|persist| persist.since.plus(persist.interval));
        }
        let override_at = self.withheld.map(|since| since.plus(OVERRIDE));
        if self.board.is_empty() {
            return override_at;
        }
        let times = [self.probe_at(), self.reorder, override_at];
        let first = times.into_iter().flatten().min();
        Some(first.map_or_else(|| self.timeout_at(), |at| at.min(self.timeout_at())))
    }
}
