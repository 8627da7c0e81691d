//! Room for flows: a ledger of bytes, and the TCP flows that are not established yet in the order of their SYNs.

use std::collections::VecDeque;

use crate::api::time::Micros;

/// What a TCP flow costs while its dial is pending, bytes: its place in the tables and the held SYN.
pub(crate) const PENDING: usize = 1024;

/// What a TCP flow with a socket costs beyond its two rings, bytes.
pub(crate) const SOCKET: usize = 2048;

/// What a UDP flow costs beyond the datagrams that wait in it, bytes: its place in the tables and the frame that an ICMP
/// error would quote.
pub(crate) const MAPPING: usize = 2048;

/// The ledger and the queues of those that could make room.
#[derive(Debug)]
pub(crate) struct Room {
    budget: usize,
    used: usize,
    /// By slot: since when a flow has gone without being established, and which queue it is in.
    marks: Vec<Option<Mark>>,
    dialing: Queue,
    half_open: Queue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    opened: Micros,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Dialing,
    HalfOpen,
}

/// Flows of one stage in the order in which they came to it. Those that left it stay until they come to the front, or
/// until they are the greater part: nearly every flow leaves in a moment.
#[derive(Debug, Default)]
struct Queue {
    order: VecDeque<(Mark, u32)>,
    standing: usize,
}

/// Obsolete entries that may remain, beside as many as are current, before they are removed.
const STALE: usize = 64;

impl Queue {
    fn push(&mut self, mark: Mark, slot: u32) {
        self.standing += 1;
        self.order.push_back((mark, slot));
    }

    /// A flow has left the stage, as `marks` say.
    fn left(&mut self, marks: &[Option<Mark>]) {
        self.standing -= 1;
        let stands = |(mark, slot): &(Mark, u32)| {
            marks.get(*slot as usize).copied().flatten() == Some(*mark)
        };
        if self.order.len() > 2 * self.standing + STALE {
            self.order.retain(stands);
            self.order.shrink_to(4 * (self.standing + STALE));
        }
        while self.order.front().is_some_and(|first| !stands(first)) {
            self.order.pop_front();
        }
    }

    fn first(&self) -> Option<(Micros, u32)> {
        self.order.front().map(|(mark, slot)| (mark.opened, *slot))
    }
}

impl Room {
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            budget,
            used: 0,
            marks: Vec::new(),
            dialing: Queue::default(),
            half_open: Queue::default(),
        }
    }

    /// Bytes charged.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Whether `bytes` more stay within the budget.
    pub(crate) fn fits(&self, bytes: usize) -> bool {
        self.used.saturating_add(bytes) <= self.budget
    }

    pub(crate) fn charge(&mut self, bytes: usize) {
        self.used = self.used.saturating_add(bytes);
    }

    pub(crate) fn release(&mut self, bytes: usize) {
        self.used = self.used.saturating_sub(bytes);
    }

    /// Pending dials of TCP flows.
    pub(crate) fn dialing(&self) -> usize {
        self.dialing.standing
    }

    /// A TCP flow asked for its dial.
    pub(crate) fn dials(&mut self, opened: Micros, slot: u32) {
        self.forget(slot);
        let place = slot as usize;
        if self.marks.len() <= place {
            self.marks.resize(place + 1, None);
        }
        let stage = Stage::Dialing;
        let mark = Mark { opened, stage };
        if let Some(place) = self.marks.get_mut(place) {
            *place = Some(mark);
            self.dialing.push(mark, slot);
        }
    }

    /// The dial of a TCP flow connected; the device owes its part of the handshake.
    pub(crate) fn connected(&mut self, slot: u32) {
        if let Some(Some(mark)) = self.marks.get_mut(slot as usize)
            && mark.stage == Stage::Dialing
        {
            mark.stage = Stage::HalfOpen;
            let mark = *mark;
            self.half_open.push(mark, slot);
            self.dialing.left(&self.marks);
        }
    }

    /// A flow is established, or gone.
    pub(crate) fn forget(&mut self, slot: u32) {
        let mark = self.marks.get_mut(slot as usize).and_then(Option::take);
        match mark.map(|mark| mark.stage) {
            Some(Stage::Dialing) => self.dialing.left(&self.marks),
            Some(Stage::HalfOpen) => self.half_open.left(&self.marks),
            None => {}
        }
    }

    /// The flow whose dial has been pending for longest.
    pub(crate) fn oldest_dial(&self) -> Option<(Micros, u32)> {
        self.dialing.first()
    }

    /// Of the flow whose dial has been pending for longest and the one that has been half-open for longest, the one whose
    /// SYN came first.
    pub(crate) fn oldest(&self) -> Option<(Micros, u32)> {
        let half_open = self.half_open.first();
        self.oldest_dial().into_iter().chain(half_open).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_a_pending_dial_or_a_half_open_flow() {
        let mut room = Room::new(0);
        room.dials(Micros(1), 7);
        room.dials(Micros(2), 8);
        room.connected(7);
        assert_eq!(
            (room.oldest(), room.oldest_dial()),
            (Some((Micros(1), 7)), Some((Micros(2), 8)))
        );
        room.forget(7);
        assert_eq!(room.oldest(), Some((Micros(2), 8)));
        room.forget(8);
        assert_eq!(room.oldest(), None);
    }

    #[test]
    fn flows_that_come_and_go_leave_no_entries_behind() {
        let mut room = Room::new(0);
        room.dials(Micros(0), 0);
        for at in 1..10_000 {
            room.dials(Micros(at), 1);
            room.connected(1);
            room.forget(1);
        }
        assert_eq!((room.dialing(), room.oldest()), (1, Some((Micros(0), 0))));
        assert!(room.dialing.order.len() <= 2 + STALE + 1);
        assert!(room.half_open.order.len() <= STALE);
        room.forget(0);
        assert_eq!((room.dialing(), room.oldest()), (0, None));
    }

    #[test]
    fn a_ledger_is_full_at_its_budget_and_never_below_zero() {
        let mut room = Room::new(10);
        room.charge(9);
        assert!(room.fits(1) && !room.fits(2));
        room.release(20);
        assert_eq!(room.used(), 0);
    }
}
