//! Deadlines by name, so that an endless wake-up names its culprit.

use core::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::api::label::labelled;
use crate::api::time::Micros;
use crate::flow::table::FlowId;

labelled! {
    /// Who asked to be woken.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    #[non_exhaustive]
    pub enum TimerName {
        /// The dialer owes a result.
        Dial = "dial",
        /// The device owes the last step of the handshake.
        Handshake = "handshake",
        /// TCP wants to send: retransmission, probe of a loss or a closed window, delayed acknowledgement.
        Transmit = "transmit",
        /// Bytes are out and nothing acknowledges them: the retransmission limit (R2).
        RetransmissionLimit = "retransmission_limit",
        /// A flow that is on its way out is cut after this.
        Linger = "linger",
        /// A fragment waits for the rest of its datagram.
        Reassembly = "reassembly",
        /// The host owes the addresses of a name.
        Resolve = "resolve",
        /// A keep-alive probe is due, or the answer to the last one overdue.
        KeepAlive = "keep_alive",
        /// A flow on which nothing moves.
        Idle = "idle",
        /// A flow with one side closed on which nothing moves.
        HalfClosed = "half_closed",
        /// A flow whose far side has ended, as the device knows, and on which nothing moves.
        FinWait = "fin_wait",
    }
}

impl TimerName {
    /// Whether only the passing of idle time is waited for: nothing else is owed to anybody.
    #[must_use]
    pub const fn is_idle(self) -> bool {
        matches!(self, Self::Idle | Self::HalfClosed | Self::FinWait)
    }
}

/// When the engine wants [`Engine::handle_timeout`](crate::Engine::handle_timeout), and for whom.
///
/// ```no_run
/// # let (mut engine, now): (engine::Engine, engine::Micros) = unimplemented!();
/// if let Some(due) = engine.poll_timeout() {
///     println!("{} for {:?}, in {:?}", due.timer.label(), due.flow, due.at.since(now));
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// The time to call at; never earlier than the last input.
    pub at: Micros,
    /// What for.
    pub timer: TimerName,
    /// The flow that asked, if one did.
    pub flow: Option<FlowId>,
}

/// The flows' wake-ups in order of time. Lazy: an entry may be early, never late; it is looked
/// at again when it comes due, so that a packet that only moves a deadline later costs nothing.
///
/// A heap, because most flows come and go without their time ever coming: an obsolete entry is left where
/// it is until it comes to the top, or until such entries are the greater part.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Micros, u32)>>,
    /// For when each slot is armed, if it is: an entry is current if it has the same time.
    armed: Vec<Option<Micros>>,
    /// Slots that are armed.
    standing: usize,
    /// The first entry after it was looked at, until something happens: an engine on which nothing does is asked for
    /// it at every tick.
    known: Option<Deadline>,
}

/// Obsolete entries that may remain, beside as many as are current, before they are removed.
const STALE: usize = 64;

impl Timers {
    /// Arms `slot` for `at`, unless it is armed for an earlier time.
    pub(crate) fn arm(&mut self, slot: u32, at: Micros) {
        let place = slot as usize;
        if self.armed.len() <= place {
            self.armed.resize(place + 1, None);
        }
        let Some(armed) = self.armed.get_mut(place) else {
            return;
        };
        match *armed {
            Some(armed) if armed <= at => return,
            Some(_) => {}
            None => self.standing += 1,
        }
        *armed = Some(at);
        self.heap.push(Reverse((at, slot)));
        self.known = None;
        self.clear();
    }

    pub(crate) fn disarm(&mut self, slot: u32) {
        if let Some(armed) = self.armed.get_mut(slot as usize)
            && armed.take().is_some()
        {
            self.standing -= 1;
            self.known = None;
            self.clear();
        }
    }

    /// Removes obsolete entries if they are too many.
    fn clear(&mut self) {
        let Self { heap, armed, .. } = self;
        if heap.len() > 2 * self.standing + STALE {
            heap.retain(|Reverse(entry)| stands(armed, *entry));
            // A flow that was disarmed and armed again for the same time is there twice, which is harmless.
            heap.shrink_to(4 * (self.standing + STALE));
        }
    }

    /// The true deadline of the first entry, if nothing has happened since it was noted.
    #[inline]
    pub(crate) fn known(&self) -> Option<Deadline> {
        self.known
    }

    pub(crate) fn know(&mut self, first: Deadline) {
        self.known = Some(first);
    }

    /// A flow is about to change: its deadline may be a later one, or another's.
    #[inline]
    pub(crate) fn forget(&mut self) {
        self.known = None;
    }

    /// The first entry, if it is due.
    pub(crate) fn first_until(&mut self, now: Micros) -> Option<(Micros, u32)> {
        if self.known.is_some_and(|known| known.at > now) {
            return None;
        }
        self.first().filter(|(at, _)| *at <= now)
    }

    /// The first current entry.
    pub(crate) fn first(&mut self) -> Option<(Micros, u32)> {
        let Self { heap, armed, .. } = self;
        while let Some(Reverse(entry)) = heap.peek() {
            if stands(armed, *entry) {
                return Some(*entry);
            }
            heap.pop();
        }
        None
    }

    /// A time before which no entry comes up, found without a look at any.
    pub(crate) fn bound(&self) -> Option<Micros> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }
}

fn stands(armed: &[Option<Micros>], (at, slot): (Micros, u32)) -> bool {
    armed.get(slot as usize) == Some(&Some(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_deadline_leaves_the_armed_one_in_place() {
        let mut timers = Timers::default();
        timers.arm(7, Micros(10));
        timers.arm(7, Micros(20));
        assert_eq!(timers.first(), Some((Micros(10), 7)));
    }

    #[test]
    fn what_is_known_of_the_first_entry_is_forgotten_with_any_change() {
        let known = Deadline {
            at: Micros(10),
            timer: TimerName::Idle,
            flow: None,
        };
        let mut timers = Timers::default();
        timers.arm(7, Micros(10));
        timers.know(known);
        timers.arm(8, Micros(20));
        assert_eq!(timers.known(), None);
        timers.know(known);
        timers.disarm(8);
        assert_eq!(timers.known(), None);
        timers.know(known);
        assert_eq!(timers.first_until(Micros(9)), None);
        assert_eq!(timers.first_until(Micros(10)), Some((Micros(10), 7)));
    }

    #[test]
    fn an_earlier_deadline_replaces_the_armed_one() {
        let mut timers = Timers::default();
        timers.arm(7, Micros(10));
        timers.arm(7, Micros(5));
        assert_eq!(timers.first(), Some((Micros(5), 7)));
        timers.disarm(7);
        assert_eq!(timers.first(), None);
    }

    #[test]
    fn flows_that_come_and_go_leave_no_entries_behind() {
        let mut timers = Timers::default();
        timers.arm(0, Micros(1));
        for at in 0..10_000 {
            timers.arm(1, Micros(1_000_000 + at));
            timers.disarm(1);
        }
        assert!(timers.heap.len() <= 2 + STALE + 1);
        assert_eq!(timers.bound(), Some(Micros(1)));
        assert_eq!(timers.first(), Some((Micros(1), 0)));
    }

    #[test]
    fn slots_come_up_in_the_order_of_their_times_whatever_happened_to_others() {
        let mut timers = Timers::default();
        // A permutation of 0..1000.
        for slot in 0..1000 {
            timers.arm(slot, Micros(u64::from(slot) * 617 % 1000));
        }
        for slot in (0..1000).step_by(3) {
            timers.disarm(slot);
        }
        let mut seen = Vec::new();
        while let Some((at, slot)) = timers.first() {
            timers.disarm(slot);
            seen.push(at);
        }
        assert!(seen.is_sorted() && seen.len() == 666, "{}", seen.len());
    }
}
