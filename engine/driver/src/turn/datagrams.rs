//! What dialers say of UDP flows waits here: one queue for all of them, copied once, handed over whole.
//!
//! As the frame ring it has two sides: dialers append to the back, under the mailbox's lock; the turn reads the front
//! without it, and takes the back for it once the front is read. A dial's answer, datagrams and the end of a flow keep the
//! order in which they came, and so do flows among each other.

use std::net::SocketAddr;

use engine::{DialResult, FlowId, Micros, RemoteEnd};

/// What a waiting datagram costs beside its payload: an empty one is not free.
const COST: usize = 64;

/// Octets of payloads, and words, for which an empty side keeps its memory.
const KEPT: usize = 256 << 10;
const KEPT_WORDS: usize = 4096;

/// One thing that a dialer said of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Word<'a> {
    Dialed(DialResult),
    /// A datagram, and where it came from if not from where the flow was dialed to.
    Datagram(Option<SocketAddr>, &'a [u8]),
    Ended(RemoteEnd),
}

impl Word<'_> {
    /// Octets that it counts for.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Datagram(_, payload) => cost_of(payload.len()),
            Self::Dialed(_) | Self::Ended(_) => COST,
        }
    }
}

/// Octets that a datagram counts for.
pub(crate) const fn cost_of(payload: usize) -> usize {
    payload.saturating_add(COST)
}

/// A [`Word`] whose payload lies apart.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Dialed(DialResult),
    /// The source, and the length of the payload.
    Datagram(Option<SocketAddr>, usize),
    Ended(RemoteEnd),
}

/// Words in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Words {
    kinds: Vec<(FlowId, Kind)>,
    /// How many of them were read.
    read: usize,
    /// The payloads of the datagrams among them, back to back.
    payloads: Vec<u8>,
    /// Octets of them that were read.
    read_octets: usize,
    /// When the first of them came.
    since: Option<Micros>,
}

impl Words {
    pub(crate) fn is_empty(&self) -> bool {
        self.read == self.kinds.len()
    }

    /// When the oldest word came, at the latest.
    pub(crate) const fn since(&self) -> Option<Micros> {
        self.since
    }

    /// The next word.
    pub(crate) fn next(&mut self) -> Option<(FlowId, Word<'_>)> {
        let (flow, kind) = *self.kinds.get(self.read)?;
        self.read += 1;
        let word = match kind {
            Kind::Dialed(result) => Word::Dialed(result),
            Kind::Ended(end) => Word::Ended(end),
            Kind::Datagram(from, len) => {
                let start = self.read_octets;
                self.read_octets += len;
                let payload = self.payloads.get(start..self.read_octets);
                Word::Datagram(from, payload.unwrap_or_default())
            }
        };
        Some((flow, word))
    }

    fn clear(&mut self) {
        self.kinds.clear();
        self.read = 0;
        self.payloads.clear();
        self.read_octets = 0;
        self.since = None;
    }

    /// Gives back what a burst had needed.
    pub(crate) fn trim(&mut self) {
        let large = self.payloads.capacity() > KEPT || self.kinds.capacity() > KEPT_WORDS;
        if large && self.is_empty() {
            *self = Self::default();
        }
    }
}

/// The back, and what counts toward the bounds.
#[derive(Debug, Default)]
pub(crate) struct WordQueue {
    back: Words,
    /// Octets that the back counts for.
    back_cost: usize,
    /// The same of the front when it was taken: it counts until the next is taken.
    front_cost: usize,
    /// How often the back became the front.
    epoch: u32,
}

impl WordQueue {
    pub(crate) fn is_empty(&self) -> bool {
        self.back.is_empty()
    }

    /// Octets that both sides count for.
    pub(crate) const fn cost(&self) -> usize {
        self.front_cost + self.back_cost
    }

    /// Changes whenever the back has become the front: what was counted of a flow before, counts no longer.
    pub(crate) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Appends a dial's answer that came at `at`.
    pub(crate) fn dialed(&mut self, at: Micros, flow: FlowId, result: DialResult) {
        self.push(at, flow, Kind::Dialed(result), COST);
    }

    /// Appends the end of a flow that came at `at`.
    pub(crate) fn ended(&mut self, at: Micros, flow: FlowId, end: RemoteEnd) {
        self.push(at, flow, Kind::Ended(end), COST);
    }

    /// Appends a copy of a datagram that came at `at`.
    pub(crate) fn datagram(
        &mut self,
        at: Micros,
        flow: FlowId,
        from: Option<SocketAddr>,
        payload: &[u8],
    ) {
        let kind = Kind::Datagram(from, payload.len());
        self.push(at, flow, kind, cost_of(payload.len()));
        self.back.payloads.extend_from_slice(payload);
    }

    fn push(&mut self, at: Micros, flow: FlowId, kind: Kind, cost: usize) {
        self.back.since.get_or_insert(at);
        self.back_cost += cost;
        self.back.kinds.push((flow, kind));
    }

    /// Makes the back the new front, if the front is read.
    pub(crate) fn refill(&mut self, front: &mut Words) {
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

    fn datagram(payload: &[u8]) -> Word<'_> {
        Word::Datagram(None, payload)
    }

    #[test]
    fn words_come_out_in_the_order_they_went_in_across_refills() {
        let (mut queue, mut front) = (WordQueue::default(), Words::default());
        queue.dialed(Micros(7), flow(1), DialResult::Connected);
        queue.datagram(Micros(8), flow(1), None, b"one");
        queue.datagram(Micros(9), flow(2), None, b"");
        queue.refill(&mut front);
        assert_eq!(front.since(), Some(Micros(7)));
        let answer = Word::Dialed(DialResult::Connected);
        assert_eq!(front.next(), Some((flow(1), answer)));
        queue.ended(Micros(9), flow(2), RemoteEnd::Eof);
        queue.refill(&mut front);
        assert_eq!(front.next(), Some((flow(1), datagram(b"one"))));
        assert_eq!(front.next(), Some((flow(2), datagram(b""))));
        assert!(front.is_empty() && !queue.is_empty());
        queue.refill(&mut front);
        assert_eq!(front.next(), Some((flow(2), Word::Ended(RemoteEnd::Eof))));
        assert_eq!(front.next(), None);
    }

    #[test]
    fn the_front_counts_until_the_next_is_taken() {
        let (mut queue, mut front) = (WordQueue::default(), Words::default());
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
            let (mut queue, mut front) = (WordQueue::default(), Words::default());
            for _ in 0..10_000 {
                queue.datagram(Micros(7), flow(1), None, &[1; 1200][..size]);
            }
            queue.refill(&mut front);
            front.trim();
            assert!(!front.is_empty(), "what waits is kept");
            while front.next().is_some() {}
            front.trim();
            queue.trim();
            assert_eq!(front.payloads.capacity() + front.kinds.capacity(), 0);
        }
    }
}
