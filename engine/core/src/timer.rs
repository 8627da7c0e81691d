//! Deadlines by name, so that an endless wake-up names its culprit.

use std::collections::BTreeSet;

use crate::table::FlowId;
use crate::time::Micros;

/// Who asked to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum TimerName {
    /// The dialer owes a result.
    Dial,
    /// The device owes the last step of the handshake.
    Handshake,
    /// smoltcp wants to send: retransmission, zero-window probe, delayed acknowledgement.
    Transmit,
    /// Bytes are out and nothing acknowledges them: the retransmission limit (R2).
    RetransmissionLimit,
    /// A flow that is on its way out is cut after this.
    Linger,
    /// A fragment waits for the rest of its datagram.
    Reassembly,
    /// The host owes the addresses of a name.
    Resolve,
    /// A keep-alive probe is due, or the answer to the last one overdue.
    KeepAlive,
    /// A flow on which nothing moves.
    Idle,
    /// A flow with one side closed on which nothing moves.
    HalfClosed,
    /// A flow whose far side has ended, as the device knows, and on which nothing moves.
    FinWait,
}

impl TimerName {
    /// Stable name in tables and reports.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Dial => "dial",
            Self::Handshake => "handshake",
            Self::Transmit => "transmit",
            Self::RetransmissionLimit => "retransmission_limit",
            Self::Linger => "linger",
            Self::Reassembly => "reassembly",
            Self::Resolve => "resolve",
            Self::KeepAlive => "keep_alive",
            Self::Idle => "idle",
            Self::HalfClosed => "half_closed",
            Self::FinWait => "fin_wait",
        }
    }

    /// Whether only the passing of idle time is waited for: nothing else is owed to anybody.
    #[must_use]
    pub const fn is_idle(self) -> bool {
        matches!(self, Self::Idle | Self::HalfClosed | Self::FinWait)
    }
}

/// When the engine wants [`Engine::handle_timeout`](crate::Engine::handle_timeout), and for whom.
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
#[derive(Debug, Default)]
pub(crate) struct Timers {
    queue: BTreeSet<(Micros, u32)>,
    /// The first entry after it was looked at, until something happens: an engine on which nothing does is asked for
    /// it at every tick.
    known: Option<Deadline>,
}

impl Timers {
    /// Arms `slot` for `at` and returns what its armed time is from now on.
    pub(crate) fn arm(
        &mut self,
        slot: u32,
        armed: Option<Micros>,
        at: Option<Micros>,
    ) -> Option<Micros> {
        match (armed, at) {
            (Some(armed), Some(at)) if armed <= at => Some(armed),
            (armed, Some(at)) => {
                if let Some(armed) = armed {
                    self.queue.remove(&(armed, slot));
                }
                self.queue.insert((at, slot));
                self.known = None;
                Some(at)
            }
            (armed, None) => armed,
        }
    }

    pub(crate) fn disarm(&mut self, slot: u32, armed: Option<Micros>) {
        if let Some(armed) = armed {
            self.queue.remove(&(armed, slot));
            self.known = None;
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
    pub(crate) fn first_until(&self, now: Micros) -> Option<(Micros, u32)> {
        if self.known.is_some_and(|known| known.at > now) {
            return None;
        }
        self.first().filter(|(at, _)| *at <= now)
    }

    pub(crate) fn first(&self) -> Option<(Micros, u32)> {
        self.queue.first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_deadline_leaves_the_armed_one_in_place() {
        let mut timers = Timers::default();
        let armed = timers.arm(7, None, Some(Micros(10)));
        assert_eq!(timers.arm(7, armed, Some(Micros(20))), Some(Micros(10)));
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
        timers.arm(7, None, Some(Micros(10)));
        timers.know(known);
        assert_eq!(timers.arm(8, None, Some(Micros(20))), Some(Micros(20)));
        assert_eq!(timers.known(), None);
        timers.know(known);
        timers.disarm(8, Some(Micros(20)));
        assert_eq!(timers.known(), None);
        timers.know(known);
        assert_eq!(timers.first_until(Micros(9)), None);
        assert_eq!(timers.first_until(Micros(10)), Some((Micros(10), 7)));
    }

    #[test]
    fn an_earlier_deadline_replaces_the_armed_one() {
        let mut timers = Timers::default();
        let armed = timers.arm(7, None, Some(Micros(10)));
        assert_eq!(timers.arm(7, armed, Some(Micros(5))), Some(Micros(5)));
        assert_eq!(timers.first(), Some((Micros(5), 7)));
        timers.disarm(7, Some(Micros(5)));
        assert_eq!(timers.first(), None);
    }
}
