//! The queue of dialer events: two lanes, so that a flood of datagrams holds no stream up.
//!
//! The first lane has the events of UDP flows as they came, payloads copied once: a dial's answer, datagrams and
//! the end of a flow keep their order, and so do flows among each other. As the frame ring it has two sides: dialers append
//! to the back, under the mailbox's lock; the turn reads the front without it, and takes the back for it once the front is
//! read. The second lane has the flows whose [`Inbox`](super::inbox::Inbox) has events (of a stream all, of a UDP flow its
//! readiness), each once, in the order in which they got some.

use std::collections::VecDeque;
use std::net::SocketAddr;

use engine::{DialResult, FlowId, Micros, RemoteEnd};

use super::buffer::Buffer;
use super::event::{Event, cost_of};

/// Bytes of payloads, and events, for which an empty side keeps its memory.
const KEPT: usize = 256 << 10;
const KEPT_EVENTS: usize = 4096;

/// An [`Event`] of a UDP flow whose payload lies apart.
#[derive(Clone, Copy, Debug)]
enum Entry {
    Dialed(DialResult),
    /// The source, and the length of the payload.
    Datagram(Option<SocketAddr>, usize),
    Ended(RemoteEnd),
}

/// One side of the lane of UDP flows.
#[derive(Debug, Default)]
pub(crate) struct Events {
    entries: Vec<(FlowId, Entry)>,
    /// How many of them were read.
    read: usize,
    /// The payloads of the datagrams among them, back to back.
    payloads: Buffer,
    /// When the first of them came.
    since: Option<Micros>,
}

impl Events {
    pub(crate) fn is_empty(&self) -> bool {
        self.read == self.entries.len()
    }

    /// When the oldest event came, at the latest.
    pub(crate) const fn since(&self) -> Option<Micros> {
        self.since
    }

    /// The next event.
    pub(crate) fn next(&mut self) -> Option<(FlowId, Event<'_>)> {
        let (flow, entry) = *self.entries.get(self.read)?;
        self.read += 1;
        let event = match entry {
            Entry::Dialed(result) => Event::Dialed(result),
            Entry::Ended(end) => Event::Ended(end),
            Entry::Datagram(from, len) => Event::Datagram(from, self.payloads.next(len)),
        };
        Some((flow, event))
    }

    fn clear(&mut self) {
        self.entries.clear();
        self.read = 0;
        self.payloads.clear();
        self.since = None;
    }

    /// Gives back what a burst had needed.
    pub(crate) fn trim(&mut self) {
        let large = self.payloads.memory() > KEPT || self.entries.capacity() > KEPT_EVENTS;
        if large && self.is_empty() {
            *self = Self::default();
        }
    }
}

/// The back of the lane of UDP flows with what counts toward the bounds, and the lane of flows that are ready.
#[derive(Debug, Default)]
pub(crate) struct EventQueue {
    back: Events,
    /// Bytes that the back counts for.
    back_cost: usize,
    /// The same of the front when it was taken: it counts until the next is taken.
    front_cost: usize,
    /// How often the back became the front.
    epoch: u32,
    /// Flows whose inbox has events, and since when each waits here.
    ready: VecDeque<(FlowId, Micros)>,
}

impl EventQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.back.is_empty() && self.ready.is_empty()
    }

    /// Bytes that events of UDP flows count for, on both sides.
    pub(crate) const fn cost(&self) -> usize {
        self.front_cost + self.back_cost
    }

    /// Changes whenever the back has become the front: what was counted of a flow before, counts no longer.
    pub(crate) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Appends a dial's answer that came at `at`.
    pub(crate) fn dialed(&mut self, at: Micros, flow: FlowId, result: DialResult) {
        self.push(at, flow, Entry::Dialed(result), &[]);
    }

    /// Appends the end of a flow that came at `at`.
    pub(crate) fn ended(&mut self, at: Micros, flow: FlowId, end: RemoteEnd) {
        self.push(at, flow, Entry::Ended(end), &[]);
    }

    /// Appends a copy of a datagram that came at `at`.
    pub(crate) fn datagram(
        &mut self,
        at: Micros,
        flow: FlowId,
        from: Option<SocketAddr>,
        payload: &[u8],
    ) {
        self.push(at, flow, Entry::Datagram(from, payload.len()), payload);
    }

    #[inline]
    fn push(&mut self, at: Micros, flow: FlowId, entry: Entry, payload: &[u8]) {
        self.back.since.get_or_insert(at);
        self.back_cost += cost_of(payload.len());
        self.back.entries.push((flow, entry));
        self.back.payloads.append(payload);
    }

    /// Puts a flow whose inbox got events at `at` behind the others.
    pub(crate) fn push_ready(&mut self, at: Micros, flow: FlowId) {
        self.ready.push_back((flow, at));
    }

    /// The next of them, and since when it waited here.
    pub(crate) fn next_ready(&mut self) -> Option<(FlowId, Micros)> {
        self.ready.pop_front()
    }

    /// Makes the back the new front, if the front is read.
    pub(crate) fn refill(&mut self, front: &mut Events) {
        if !front.is_empty() {
            return;
        }
        front.clear();
        self.front_cost = core::mem::take(&mut self.back_cost);
        if !self.back.is_empty() {
            core::mem::swap(front, &mut self.back);
            self.epoch = self.epoch.wrapping_add(1);
        }
    }

    pub(crate) fn trim(&mut self) {
        self.back.trim();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(slot: u64) -> FlowId {
        FlowId::from_bits(1 << 32 | slot)
    }

    fn datagram(payload: &[u8]) -> Event<'_> {
        Event::Datagram(None, payload)
    }

    #[test]
    fn events_come_out_in_the_order_they_went_in_across_refills() {
        let (mut queue, mut front) = (EventQueue::default(), Events::default());
        queue.dialed(Micros(7), flow(1), DialResult::Connected);
        queue.datagram(Micros(8), flow(1), None, b"one");
        queue.datagram(Micros(9), flow(2), None, b"");
        queue.refill(&mut front);
        assert_eq!(front.since(), Some(Micros(7)));
        let answer = Event::Dialed(DialResult::Connected);
        assert_eq!(front.next(), Some((flow(1), answer)));
        queue.ended(Micros(9), flow(2), RemoteEnd::Eof);
        queue.refill(&mut front);
        assert_eq!(front.next(), Some((flow(1), datagram(b"one"))));
        assert_eq!(front.next(), Some((flow(2), datagram(b""))));
        assert!(front.is_empty() && !queue.is_empty());
        queue.refill(&mut front);
        assert_eq!(front.next(), Some((flow(2), Event::Ended(RemoteEnd::Eof))));
        assert_eq!(front.next(), None);
    }

    #[test]
    fn the_front_counts_until_the_next_is_taken() {
        let (mut queue, mut front) = (EventQueue::default(), Events::default());
        queue.datagram(Micros(7), flow(1), None, &[0; 36]);
        let epoch = queue.epoch();
        queue.refill(&mut front);
        assert_ne!(queue.epoch(), epoch);
        queue.datagram(Micros(7), flow(1), None, &[0; 6]);
        assert_eq!(queue.cost(), 100 + 70);
        assert!(front.next().is_some());
        queue.refill(&mut front);
        assert_eq!(queue.cost(), 70);
    }

    #[test]
    fn a_burst_leaves_no_memory_behind() {
        for size in [0, 1200] {
            let (mut queue, mut front) = (EventQueue::default(), Events::default());
            for _ in 0..10_000 {
                queue.datagram(Micros(7), flow(1), None, &[1; 1200][..size]);
            }
            queue.refill(&mut front);
            front.trim();
            assert!(!front.is_empty(), "what waits is kept");
            while front.next().is_some() {}
            front.trim();
            queue.trim();
            assert_eq!(front.payloads.memory() + front.entries.capacity(), 0);
        }
    }
}
