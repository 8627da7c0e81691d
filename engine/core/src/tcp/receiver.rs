//! The receiving side: what the device sent, in order and beyond holes, the window it is offered, and what is to be
//! acknowledged.

use smoltcp::storage::Assembler;

use crate::tcp::ring::{Pool, Ring};
use crate::tcp::segment::Options;
use crate::tcp::seq::Seq;

/// Ranges whose newest segment is remembered: as many as one segment reports.
const BLOCKS: usize = 4;

/// What a segment's payload was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Nothing that counts: no payload and no FIN, or a copy of what was received.
    Nothing,
    /// The next bytes, or the FIN behind the last of them.
    Next,
    /// Beyond a hole, filling one in part, a copy, or without room: to be answered at once (RFC 5681 section 4.2).
    OutOfOrder,
}

/// The receiving side of a connection.
#[derive(Debug)]
pub(crate) struct Receiver {
    ring: Ring,
    /// The next sequence number expected (RCV.NXT), the FIN not counted.
    next: Seq,
    /// The highest right edge of the window that was offered.
    edge: Seq,
    /// How far window fields are shifted (RFC 7323 section 2.3).
    scale: u8,
    /// Bytes that may be unread, and how many that may become.
    bound: usize,
    most: usize,
    /// Bytes received since the bound grew last.
    counted: usize,
    /// By how much the edge moves at the least (RFC 9293 section 3.8.6.2.2): a segment, or half the ring.
    step: u32,
    /// What was received beyond a hole, while there is one.
    holes: Option<Box<Holes>>,
    /// The sequence number of the device's FIN, once it has come.
    fin: Option<Seq>,
    /// Nothing is missing before the FIN.
    closed: bool,
    /// The highest acknowledgement that left.
    acknowledged: Seq,
    /// What came twice, to be reported once (RFC 2883).
    duplicate: Option<(Seq, Seq)>,
    /// An acknowledgement is due at once.
    prompt: bool,
}

/// What was received beyond a hole.
#[derive(Debug)]
struct Holes {
    ranges: Assembler,
    /// Where the newest segment of each of the ranges received last stood, newest first.
    recent: Vec<Seq>,
}

impl Receiver {
    pub(crate) fn new(isn: Seq, (bound, most): (usize, usize), scale: u8, step: usize) -> Self {
        let step = u32::try_from(step.min(bound / 2).max(1)).unwrap_or(1);
        // The window of a SYN-ACK is never shifted (RFC 7323 section 2.2).
        let first = u32::try_from(bound.min(65_535)).unwrap_or(65_535);
        Self {
            // The window is advertised in units of the shift, and rounded up: an edge never moves back.
            ring: Ring::new(bound + (1 << scale) - 1),
            next: isn.plus(1),
            edge: isn.plus(1).plus(first),
            scale,
            bound,
            most,
            counted: 0,
            step,
            holes: None,
            fin: None,
            closed: false,
            acknowledged: isn,
            duplicate: None,
            prompt: false,
        }
    }

    /// The next sequence number expected (RCV.NXT), which may be ahead of what was acknowledged.
    #[inline]
    pub(crate) fn expected(&self) -> Seq {
        self.next.plus(u32::from(self.closed))
    }

    /// The right edge of the window that was offered.
    pub(crate) fn edge(&self) -> Seq {
        self.edge
    }

    /// Whether the device's FIN was received, and all before it.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether bytes come in their order, and nothing else is known or expected.
    #[inline]
    pub(crate) fn is_in_order(&self) -> bool {
        self.holes.is_none() && self.fin.is_none()
    }

    /// Bytes received in order that the dialer has not taken.
    #[inline]
    pub(crate) fn unread(&self) -> usize {
        self.ring.len()
    }

    /// The next of them, as far as they lie in one piece.
    #[inline]
    pub(crate) fn peek(&self) -> &[u8] {
        self.ring.front()
    }

    /// Notes that the dialer has taken the next `count` bytes.
    #[inline]
    pub(crate) fn consume(&mut self, pool: &mut Pool, count: usize) {
        self.ring.consume(pool, count);
    }

    /// By how many bytes the window is to open: the dialer has kept up with two windows of this size.
    #[inline]
    pub(crate) fn wants_room(&self) -> usize {
        if self.counted < 2 * self.bound || self.bound >= self.most {
            return 0;
        }
        if self.ring.len() * 2 > self.bound {
            return 0;
        }
        self.bound.min(self.most - self.bound)
    }

    /// Lets the window open by so many bytes.
    pub(crate) fn widen(&mut self, more: usize) {
        self.bound += more;
        self.counted = 0;
        self.ring.widen(more);
    }

    /// Whether a segment may be looked at at all (RFC 9293 section 3.10.7.4, first).
    #[inline]
    pub(crate) fn is_acceptable(&self, seq: Seq, len: u32) -> bool {
        let expected = self.expected();
        if seq == expected {
            return true;
        }
        let end = seq.plus(len);
        seq.is_before(self.edge) && (end.is_after(expected) || (len == 0 && seq.is_after(expected)))
    }

    /// Takes in the payload and FIN of a segment, as far as they lie within the window. Returns what it was, and whether a
    /// FIN was not believed because its payload overran the window.
    #[inline]
    pub(crate) fn accept(
        &mut self,
        pool: &mut Pool,
        seq: Seq,
        payload: &[u8],
        fin: bool,
    ) -> (Arrival, bool) {
        if !payload.is_empty() && !fin && self.carry_on(pool, seq, payload) {
            return (Arrival::Next, false);
        }
        self.accept_odd(pool, seq, payload, fin)
    }

    /// Takes in payload if it is the next, in order and within the window; says whether it was.
    #[inline]
    pub(crate) fn carry_on(&mut self, pool: &mut Pool, seq: Seq, payload: &[u8]) -> bool {
        let end = seq.plus(length(payload));
        if seq != self.next || !self.is_in_order() || end.is_after(self.edge) {
            return false;
        }
        self.ring.write(pool, self.ring.len(), payload);
        self.ring.extend(payload.len());
        self.next = end;
        self.counted += payload.len();
        true
    }

    fn accept_odd(
        &mut self,
        pool: &mut Pool,
        seq: Seq,
        payload: &[u8],
        fin: bool,
    ) -> (Arrival, bool) {
        let end = seq.plus(length(payload));
        if payload.is_empty() && !fin {
            return (Arrival::Nothing, false);
        }
        if self.closed {
            // RFC 9293 section 3.10.7.4, seventh and eighth: nothing can come after a FIN.
            self.note_duplicate(seq, end);
            return (Arrival::OutOfOrder, false);
        }
        let overrun = end.is_after(self.edge);
        if fin && !overrun && !end.is_before(self.next) {
            self.fin.get_or_insert(end);
        }
        if seq.is_before(self.next) {
            self.note_duplicate(seq, earliest(end, self.next));
            // A report waits for nothing, although the rest of the segment is the next in order.
            self.prompt = true;
        }
        let from = seq.latest(self.next);
        let mut to = if overrun { self.edge } else { end };
        if let Some(fin) = self.fin {
            to = earliest(to, fin);
        }
        let (before, in_order) = (self.expected(), self.is_in_order());
        if to.is_after(from) {
            let skip = usize::try_from(from.minus(seq)).unwrap_or(0);
            let count = usize::try_from(to.minus(from)).unwrap_or(0);
            let bytes = payload.get(skip..skip + count).unwrap_or_default();
            self.store(pool, from, to, bytes);
        }
        if self.fin == Some(self.next) {
            self.closed = true;
            self.holes = None;
            self.ring.forget_beyond(pool);
        }
        let arrival = if self.expected() == before {
            Arrival::OutOfOrder
        } else {
            // What fills a hole is acknowledged at once.
            self.prompt |= !in_order;
            Arrival::Next
        };
        (arrival, fin && overrun)
    }

    /// Puts bytes in their place.
    fn store(&mut self, pool: &mut Pool, from: Seq, to: Seq, bytes: &[u8]) {
        let offset = usize::try_from(from.minus(self.next)).unwrap_or(0);
        if offset == 0 && self.holes.is_none() {
            self.ring.write(pool, self.ring.len(), bytes);
            self.ring.extend(bytes.len());
            self.next = to;
            return;
        }
        let holes = self.holes.get_or_insert_with(|| Box::new(Holes::new()));
        // Of a segment that came in part before, the first such part is reported (RFC 2883 section 4).
        if self.duplicate.is_none() {
            self.duplicate = holes.overlap(self.next, from, to);
        }
        if let Some(known) = holes.block(self.next, from)
            && !to.is_after(known.1)
        {
            self.duplicate = Some((from, to));
            holes.renew(self.next, from);
            return;
        }
        let Ok(longer) = holes.ranges.add_then_remove_front(offset, bytes.len()) else {
            // Too many holes: the device sends it again.
            return;
        };
        self.ring.write(pool, self.ring.len() + offset, bytes);
        self.ring.extend(longer);
        self.next = self.next.plus(u32::try_from(longer).unwrap_or(0));
        if holes.ranges.is_empty() {
            self.holes = None;
        } else {
            holes.renew(self.next, from);
        }
    }

    /// Notes bytes that came twice, to be reported with the next acknowledgement.
    pub(crate) fn note_duplicate(&mut self, left: Seq, right: Seq) {
        if right.is_after(left) {
            self.duplicate = Some((left, right));
        }
    }

    /// Whether an acknowledgement is due at once.
    pub(crate) fn is_prompt(&self) -> bool {
        self.prompt
    }

    /// Whether the device waits for an acknowledgement.
    #[inline]
    pub(crate) fn owes(&self) -> bool {
        self.prompt || self.expected().is_after(self.acknowledged)
    }

    /// Bytes received that were not acknowledged.
    pub(crate) fn unacknowledged(&self) -> u32 {
        u32::try_from(self.expected().minus(self.acknowledged)).unwrap_or(0)
    }

    /// Whether the window has opened so far that an update of it leaves by itself: to twice of what was offered, and by a
    /// step at the least.
    #[inline]
    pub(crate) fn has_window_update(&self) -> bool {
        #[cfg(feature = "seeded-fault")]
        if crate::seeded_fault::is(crate::seeded_fault::Fault::WindowUpdate) {
            return false;
        }
        let left = u32::try_from(self.edge.minus(self.expected())).unwrap_or(0);
        let free = self.free();
        !self.closed && free >= left.saturating_mul(2) && free - left >= self.step
    }

    /// Room for bytes from the next one on.
    fn free(&self) -> u32 {
        u32::try_from(self.bound.saturating_sub(self.ring.len())).unwrap_or(u32::MAX)
    }

    /// The window field for a segment that leaves now: the edge moves on by whole steps only, and never back.
    #[inline]
    pub(crate) fn window_field(&mut self) -> u16 {
        let expected = self.expected();
        let left = self.edge.minus(expected).max(0).unsigned_abs();
        let free = self.free();
        let window = if free >= left.saturating_add(self.step) {
            free
        } else {
            left
        };
        let units = window.div_ceil(1 << self.scale);
        let field = u16::try_from(units).unwrap_or(u16::MAX);
        self.edge = self
            .edge
            .latest(expected.plus(u32::from(field) << self.scale));
        field
    }

    /// Notes that a segment left that acknowledges everything.
    #[inline]
    pub(crate) fn note_ack_sent(&mut self) {
        self.acknowledged = self.acknowledged.latest(self.expected());
        self.prompt = false;
        self.duplicate = None;
    }

    /// Adds the SACK option of a segment that leaves now, if there is anything to report.
    #[inline]
    pub(crate) fn push_blocks(&self, options: &mut Options) {
        if self.duplicate.is_none() && self.holes.is_none() {
            return;
        }
        // RFC 2883 section 4: what came twice is the first block.
        let others = self.holes.iter().flat_map(|holes| holes.blocks(self.next));
        options.push_blocks(self.duplicate.into_iter().chain(others));
    }

    /// Whether a segment begins no later than where the last acknowledgement ended.
    #[inline]
    pub(crate) fn reaches_back(&self, seq: Seq) -> bool {
        !seq.is_after(self.acknowledged)
    }
}

/// The earlier of the two.
fn earliest(one: Seq, two: Seq) -> Seq {
    if one.is_before(two) { one } else { two }
}

fn length(payload: &[u8]) -> u32 {
    u32::try_from(payload.len()).unwrap_or(u32::MAX)
}

impl Holes {
    fn new() -> Self {
        Self {
            ranges: Assembler::new(),
            recent: Vec::with_capacity(BLOCKS),
        }
    }

    /// Makes the range that holds `seq` the newest.
    fn renew(&mut self, next: Seq, seq: Seq) {
        if let Some(block) = self.block(next, seq) {
            self.recent.retain(|seq| !holds(block, *seq));
            self.recent.insert(0, seq);
            self.recent.truncate(BLOCKS);
        }
    }

    /// The ranges to report, the newest first.
    fn blocks(&self, next: Seq) -> impl Iterator<Item = (Seq, Seq)> {
        let newest = self
            .recent
            .iter()
            .filter_map(move |seq| self.block(next, *seq));
        let others = self
            .all(next)
            .filter(|block| !self.recent.iter().any(|seq| holds(*block, *seq)));
        newest.chain(others).take(BLOCKS)
    }

    /// The first part of a segment that lies in one of the ranges.
    fn overlap(&self, next: Seq, from: Seq, to: Seq) -> Option<(Seq, Seq)> {
        self.all(next)
            .map(|(left, right)| (left.latest(from), earliest(right, to)))
            .find(|(left, right)| left.is_before(*right))
    }

    fn block(&self, next: Seq, seq: Seq) -> Option<(Seq, Seq)> {
        self.all(next).find(|block| holds(*block, seq))
    }

    fn all(&self, next: Seq) -> impl Iterator<Item = (Seq, Seq)> {
        let at = move |offset: usize| next.plus(u32::try_from(offset).unwrap_or(0));
        self.ranges
            .iter_data()
            .map(move |(left, right)| (at(left), at(right)))
    }
}

fn holds((left, right): (Seq, Seq), seq: Seq) -> bool {
    !seq.is_before(left) && seq.is_before(right)
}
