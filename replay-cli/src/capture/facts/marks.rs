//! What a frame is, by the rules of Wireshark's TCP analysis: from its header and a few numbers of either side.
//!
//! Two rules of it are kept though they are odd, because the frames that it marks are what people look for: a number of zero
//! counts as not known, and a window as it stands in a SYN-ACK is not scaled.

use super::{Header, Seen};
use crate::packet::{Flags, Seq};

/// What a frame is: any of several things at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Marks(u16);

impl Marks {
    /// A segment sent again; of those below none is one.
    pub const RETRANSMISSION: Self = Self(1);
    /// Sent again within 20 ms of the second duplicate acknowledgement that asks for it, or a later one.
    pub const FAST_RETRANSMISSION: Self = Self(2);
    /// Sent again though it had been acknowledged.
    pub const SPURIOUS_RETRANSMISSION: Self = Self(4);
    /// Overtaken by others, within a round trip.
    pub const OUT_OF_ORDER: Self = Self(8);
    /// Repeats the acknowledgement before it.
    pub const DUPLICATE_ACK: Self = Self(16);
    /// At most one byte, of the number before the next.
    pub const KEEP_ALIVE: Self = Self(32);
    /// Offers a window of zero.
    pub const ZERO_WINDOW: Self = Self(64);
    /// One byte into a window of zero.
    pub const ZERO_WINDOW_PROBE: Self = Self(128);
    /// Ends where the window of the other side does.
    pub const WINDOW_FULL: Self = Self(256);
    /// Carries a SYN.
    pub(super) const SYN: Self = Self(512);

    /// Whether every mark of `other` is set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether a SYN was sent again.
    #[must_use]
    pub fn is_syn_again(self) -> bool {
        self.contains(Self::SYN) && self.contains(Self::RETRANSMISSION)
    }

    pub(super) fn set(&mut self, mark: Self) {
        self.0 |= mark.0;
    }
}

/// What the rules need of a flow.
#[derive(Debug, Default)]
pub(super) struct Analysis {
    halves: [Half; 2],
    /// When the latest SYN left, and how long it was until the handshake was done.
    syn_ns: Option<i64>,
    pub(super) handshake_ns: Option<u64>,
}

/// What the rules need of one side.
#[derive(Debug, Default)]
struct Half {
    /// The number after the highest sent; zero counts as unknown.
    next: Seq,
    /// When that was sent.
    next_ns: i64,
    window: u16,
    /// How far its windows are shifted.
    scale: Scale,
    /// Its last segment with an acknowledgement was a SYN, whose window is not scaled.
    unscaled: bool,
    acknowledged: Seq,
    acknowledged_ns: i64,
    duplicates: u32,
    /// What its latest segment was.
    last: Marks,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Scale {
    /// No SYN was seen.
    #[default]
    Unknown,
    /// Not by scaling.
    None,
    By(u8),
}

/// The largest shift (RFC 7323 section 2.3).
const MOST_SHIFT: u8 = 14;

/// How soon after duplicate acknowledgements a retransmission is a fast one, nanoseconds.
const FAST_NS: u64 = 20_000_000;

/// How long a segment may be overtaken by others where the round trip is not known, nanoseconds.
const OVERTAKEN_NS: u64 = 3_000_000;

impl Analysis {
    /// What a frame is.
    pub(super) fn mark(&mut self, seen: &Seen) -> Marks {
        let (time_ns, len, header) = (seen.since.at_ns, seen.payload_len, seen.tcp);
        let [first, second] = &mut self.halves;
        let (this, other) = if seen.end == 0 {
            (first, second)
        } else {
            (second, first)
        };
        let has = |flag| header.flags.contains(flag);
        let (syn, fin) = (has(Flags::SYN), has(Flags::FIN));
        let plain = !(syn || fin || has(Flags::RST));
        if syn {
            offer_scale(&header, this, other);
        }
        if syn && !has(Flags::ACK) {
            self.syn_ns = Some(time_ns);
        } else if !syn && has(Flags::ACK) && !has(Flags::RST) && self.handshake_ns.is_none() {
            self.handshake_ns = self.syn_ns.map(|sent| since(sent, time_ns));
        }
        let mut marks = Marks::default();
        if syn {
            marks.set(Marks::SYN);
        }
        let known = this.next != Seq(0);
        let at_next = known && header.sequence == this.next;
        let before_next = known && header.sequence.plus(1) == this.next;
        if len == 1 && at_next && other.window == 0 {
            marks.set(Marks::ZERO_WINDOW_PROBE);
        } else {
            if header.window == 0 && plain {
                marks.set(Marks::ZERO_WINDOW);
            }
            if len <= 1 && before_next && plain {
                marks.set(Marks::KEEP_ALIVE);
            }
            if len > 0 && plain && other.edge() == Some(header.sequence.plus(len)) {
                marks.set(Marks::WINDOW_FULL);
            }
            let repeats = len == 0
                && header.window != 0
                && header.window == this.window
                && at_next
                && header.acknowledgement == this.acknowledged
                && plain;
            if repeats && !other.last.contains(Marks::KEEP_ALIVE) {
                this.duplicates = this.duplicates.saturating_add(1);
                marks.set(Marks::DUPLICATE_ACK);
            }
        }
        if header.acknowledgement != this.acknowledged {
            this.duplicates = 0;
        }
        let takes_numbers = len > 0 || syn || fin;
        if takes_numbers && !marks.contains(Marks::KEEP_ALIVE) {
            let most = self.handshake_ns.unwrap_or(OVERTAKEN_NS);
            if let Some(again) = again(seen, this, other, most) {
                marks.set(again);
            }
        }
        let after = header.sequence.plus(len).plus(u32::from(syn || fin));
        if (this.next == Seq(0) || after.after(this.next))
            && !marks.contains(Marks::ZERO_WINDOW_PROBE)
        {
            (this.next, this.next_ns) = (after, time_ns);
        }
        this.window = header.window;
        (this.acknowledged, this.acknowledged_ns) = (header.acknowledgement, time_ns);
        this.last = marks;
        if has(Flags::ACK) {
            this.unscaled = syn;
        }
        marks
    }
}

/// Which kind of sent again a segment that takes numbers is, if any.
fn again(seen: &Seen, this: &Half, other: &Half, most_ns: u64) -> Option<Marks> {
    let (len, header) = (seen.payload_len, &seen.tcp);
    // One that begins with the byte of a probe and brings more is new.
    let grown = len > 1 && header.sequence.plus(1) == this.next;
    let is_old = this.next != Seq(0) && header.sequence.before(this.next) && !grown;
    let end = header.sequence.plus(len);
    if len > 0 && other.acknowledged != Seq(0) && !end.after(other.acknowledged) {
        return Some(Marks::SPURIOUS_RETRANSMISSION);
    }
    if !is_old {
        return None;
    }
    if other.duplicates >= 2
        && other.acknowledged == header.sequence
        && since(other.acknowledged_ns, seen.since.at_ns) < FAST_NS
    {
        return Some(Marks::FAST_RETRANSMISSION);
    }
    let closes = header.flags.contains(Flags::SYN) || header.flags.contains(Flags::FIN);
    let is_highest = end.plus(u32::from(closes)) == this.next;
    if since(this.next_ns, seen.since.at_ns) < most_ns && !is_highest {
        return Some(Marks::OUT_OF_ORDER);
    }
    Some(Marks::RETRANSMISSION)
}

/// Takes the shift that a SYN offers: without one on both sides there is none (RFC 7323 section 2.2).
fn offer_scale(header: &Header, this: &mut Half, other: &mut Half) {
    if let Some(shift) = header.scale {
        this.scale = Scale::By(shift.min(MOST_SHIFT));
    }
    if this.scale == Scale::Unknown {
        (this.scale, other.scale) = (Scale::None, Scale::None);
    } else if header.flags.contains(Flags::ACK) && other.scale == Scale::None {
        this.scale = Scale::None;
    }
}

impl Half {
    /// The number behind the last that its window admits, if the scale of it is known.
    fn edge(&self) -> Option<Seq> {
        let shift = match self.scale {
            Scale::Unknown => return None,
            Scale::None => 0,
            Scale::By(_) if self.unscaled => 0,
            Scale::By(shift) => shift,
        };
        Some(self.acknowledged.plus(u32::from(self.window) << shift))
    }
}

/// Nanoseconds from one time to another; none where the clock ran back, which rules take as very long.
fn since(from_ns: i64, to_ns: i64) -> u64 {
    u64::try_from(to_ns.saturating_sub(from_ns)).unwrap_or(u64::MAX)
}
