//! Room for flows: a ledger of octets, and the TCP flows that are not established yet in the order of their SYNs.

use std::collections::BTreeSet;

use crate::time::Micros;

/// What a TCP flow costs while its dial is pending, octets: its place in the tables and the held SYN.
pub(crate) const PENDING: usize = 1024;

/// What a TCP flow with a socket costs beyond its two rings, octets.
pub(crate) const SOCKET: usize = 2048;

/// What a UDP flow costs beyond the datagrams it holds, octets: its place in the tables and the frame that an ICMP
/// error would quote.
pub(crate) const MAPPING: usize = 2048;

/// The ledger and the queue of those that could make room.
#[derive(Debug)]
pub(crate) struct Room {
    budget: usize,
    used: usize,
    dialing: BTreeSet<(Micros, u32)>,
    half_open: BTreeSet<(Micros, u32)>,
}

impl Room {
    pub(crate) fn new(budget: usize) -> Self {
        Self {
            budget,
            used: 0,
            dialing: BTreeSet::new(),
            half_open: BTreeSet::new(),
        }
    }

    /// Octets charged.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    /// Whether `octets` more stay within the budget.
    pub(crate) fn fits(&self, octets: usize) -> bool {
        self.used.saturating_add(octets) <= self.budget
    }

    pub(crate) fn charge(&mut self, octets: usize) {
        self.used = self.used.saturating_add(octets);
    }

    pub(crate) fn release(&mut self, octets: usize) {
        self.used = self.used.saturating_sub(octets);
    }

    /// Pending dials of TCP flows.
    pub(crate) fn dialing(&self) -> usize {
        self.dialing.len()
    }

    /// A TCP flow asked for its dial.
    pub(crate) fn dials(&mut self, opened: Micros, slot: u32) {
        self.dialing.insert((opened, slot));
    }

    /// The dial of a TCP flow connected; the device owes its part of the handshake.
    pub(crate) fn connected(&mut self, opened: Micros, slot: u32) {
        if self.dialing.remove(&(opened, slot)) {
            self.half_open.insert((opened, slot));
        }
    }

    /// A flow is established, or gone.
    pub(crate) fn forget(&mut self, opened: Micros, slot: u32) {
        if !self.dialing.remove(&(opened, slot)) {
            self.half_open.remove(&(opened, slot));
        }
    }

    /// The flow whose dial has been pending for longest.
    pub(crate) fn oldest_dial(&self) -> Option<(Micros, u32)> {
        self.dialing.first().copied()
    }

    /// The flow that has gone without being established for longest.
    pub(crate) fn oldest(&self) -> Option<(Micros, u32)> {
        let half_open = self.half_open.first().copied();
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
        room.connected(Micros(1), 7);
        assert_eq!(
            (room.oldest(), room.oldest_dial()),
            (Some((Micros(1), 7)), Some((Micros(2), 8)))
        );
        room.forget(Micros(1), 7);
        assert_eq!(room.oldest(), Some((Micros(2), 8)));
        room.forget(Micros(2), 8);
        assert_eq!(room.oldest(), None);
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
