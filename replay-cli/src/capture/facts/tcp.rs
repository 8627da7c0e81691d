//! The facts of a TCP flow: marks are counted, and what lasts is timed.

use super::marks::{Analysis, Marks};
use super::samples::Samples;
use super::tally::{Errors, Since, Spells, Tallies, fact};
use super::{
    Detail, During, Ending, Fact, FactKind, HALF_CLOSED_NS, Header, STALL_NS, Seen, Side,
    UNACKNOWLEDGED_NS, side,
};
use crate::packet::{Flags, Seq};

/// Collects the facts of one flow.
#[derive(Debug, Default)]
pub(super) struct TcpFacts {
    analysis: Analysis,
    tallies: Tallies,
    ends: [End; 2],
    /// The first reset: whose, when, and in the middle of what.
    reset: Option<(usize, Since, Middle)>,
    resets: u64,
    pub(super) errors: Errors,
    last_ns: i64,
}

/// What one end did, and what the other one did about it.
#[derive(Debug, Default)]
struct End {
    syn: Option<Since>,
    syns: u64,
    fin: Option<Since>,
    /// It sent anything but a reset.
    has_sent: bool,
    /// The number after the highest that it sent.
    sent: Option<Seq>,
    /// The highest that the other one acknowledged.
    acknowledged: Option<Seq>,
    /// Since when bytes that it sent wait for acknowledgement, or for more of it.
    waits: Option<Since>,
    /// The segment whose round trip is measured: its end, and when it left.
    timed: Option<(Seq, Since)>,
    round_trips: Samples,
    /// Since when its window is closed.
    closed: Option<Since>,
    stalls: Spells,
    /// How long it left what the other one sent without acknowledgement.
    slow: Spells,
    stuck: Stuck,
    mss: Option<(u16, Since)>,
    /// Its first segment with payload, and its latest of any kind.
    first_sent: Option<Since>,
    last: Option<Since>,
}

/// A segment that is sent again and again.
#[derive(Debug, Default)]
struct Stuck {
    /// The segment that was sent last among those large enough: sequence number, bytes, when first.
    segment: Option<(Seq, u32, Since)>,
    times: u32,
    /// The first of which only smaller pieces came through, or none: bytes, when first, how often it was sent.
    suspect: Option<(u32, Since, u32)>,
}

/// [`During`], with an end in place of a side.
#[derive(Clone, Copy, Debug)]
enum Middle {
    Refused,
    Handshake,
    Stall(usize),
    Sending(usize),
    HalfClose(usize),
    Quiet,
    Closed,
}

/// The kinds that are nothing but marks.
const COUNTED: [(Marks, FactKind); 8] = [
    (Marks::ZERO_WINDOW, FactKind::ZeroWindow),
    (Marks::ZERO_WINDOW_PROBE, FactKind::ZeroWindowProbe),
    (Marks::WINDOW_FULL, FactKind::WindowFull),
    (Marks::FAST_RETRANSMISSION, FactKind::FastRetransmission),
    (
        Marks::SPURIOUS_RETRANSMISSION,
        FactKind::SpuriousRetransmission,
    ),
    (Marks::OUT_OF_ORDER, FactKind::OutOfOrder),
    (Marks::DUPLICATE_ACK, FactKind::DuplicateAck),
    (Marks::KEEP_ALIVE, FactKind::KeepAlive),
];

/// How often a full segment is sent again before its size is suspected.
const SUSPECT: u32 = 3;

/// A segment below this is not suspected for its size, bytes: what IPv6 carries everywhere, without headers.
const NEVER_TOO_BIG: u32 = 1220;

/// The least maximum segment size that every host takes, bytes (RFC 9293 section 3.7.1).
const LEAST_MSS: u16 = 536;

impl TcpFacts {
    pub(super) fn packet(&mut self, seen: &Seen) -> Marks {
        let marks = self.analysis.mark(seen);
        let since = seen.since;
        self.last_ns = self.last_ns.max(since.at_ns);
        if marks.contains(Marks::RETRANSMISSION) {
            let kind = if marks.is_syn_again() {
                FactKind::SynRetransmission
            } else {
                FactKind::Retransmission
            };
            self.tallies.add(kind, seen.end, since);
        }
        if marks != Marks::default() {
            for (mark, kind) in COUNTED {
                if marks.contains(mark) {
                    self.tallies.add(kind, seen.end, since);
                }
            }
        }
        if seen.tcp.flags.contains(Flags::RST) {
            self.resets += 1;
            if self.reset.is_none() {
                self.reset = Some((seen.end, since, self.middle(seen)));
                self.end_spells(since.at_ns, Ending::Reset);
            }
            return marks;
        }
        if seen.tcp.flags.contains(Flags::SYN)
            && matches!(self.reset, Some((_, _, Middle::Refused)))
        {
            // Whoever asks again may be answered.
            self.reset = None;
        }
        let [first, second] = &mut self.ends;
        let (this, other) = if seen.end == 0 {
            (first, second)
        } else {
            (second, first)
        };
        this.sends(seen, since);
        if seen.tcp.flags.contains(Flags::ACK) {
            other.hears(this, &seen.tcp, since);
        }
        marks
    }

    /// In the middle of what the first reset comes.
    fn middle(&self, seen: &Seen) -> Middle {
        let [first, second] = &self.ends;
        let both = |of: fn(&End) -> bool| of(first) && of(second);
        let sender = self.ends.get(seen.end);
        let peer = seen.end ^ 1;
        if both(|end| end.fin.is_some()) {
            return Middle::Closed;
        }
        if !both(|end| end.has_sent) {
            let silent = sender.is_some_and(|end| !end.has_sent);
            return if silent {
                Middle::Refused
            } else {
                Middle::Handshake
            };
        }
        let which = |of: fn(&End) -> bool| {
            // The peer of who resets first: that is what the reset cut off.
            [peer, seen.end]
                .into_iter()
                .find(|end| self.ends.get(*end).is_some_and(of))
        };
        if let Some(end) = which(|end| end.closed.is_some()) {
            return Middle::Stall(end);
        }
        if let Some(end) = which(|end| end.fin.is_some()) {
            return Middle::HalfClose(end);
        }
        match which(|end| end.waits.is_some()) {
            Some(end) => Middle::Sending(end),
            None => Middle::Quiet,
        }
    }

    /// Ends what still lasts.
    fn end_spells(&mut self, now_ns: i64, ending: Ending) {
        let answered = self.ends.iter().all(|end| end.has_sent);
        for (this, other) in [(0, 1), (1, 0)] {
            let Ok([this, other]) = self.ends.get_disjoint_mut([this, other]) else {
                continue;
            };
            if let Some(since) = this.closed.take() {
                this.stalls.add(since, now_ns, STALL_NS, ending);
                other.waits = None;
            }
        }
        for (this, other) in [(0, 1), (1, 0)] {
            let Ok([this, other]) = self.ends.get_disjoint_mut([this, other]) else {
                continue;
            };
            if let Some(since) = this.waits.take().filter(|_| answered) {
                other.slow.add(since, now_ns, UNACKNOWLEDGED_NS, ending);
            }
        }
    }

    pub(super) fn finish(mut self, device: usize) -> Vec<Fact> {
        self.end_spells(self.last_ns, Ending::Open);
        let mut facts: Vec<Fact> = self.errors.facts().collect();
        for (index, end) in self.ends.iter().enumerate() {
            facts.extend(end.stalls.fact(FactKind::Stalled, index, device));
            facts.extend(end.slow.fact(FactKind::Unacknowledged, index, device));
            let peer_last = self.ends.get(index ^ 1).and_then(|peer| peer.last);
            facts.extend(end.sizes(side(index, device), peer_last));
        }
        facts.extend(self.unanswered(device));
        facts.extend(self.half_closed(device));
        facts.extend(self.end(device));
        let Self {
            analysis,
            tallies,
            ends: [first, second],
            ..
        } = self;
        // Who acknowledged what an end sent is the other one.
        let mut handshake = analysis.handshake_ns;
        let begun = first.syn.or(second.syn);
        let ranges = [
            (1, first.round_trips.range(), first.first_sent),
            (0, second.round_trips.range(), second.first_sent),
        ];
        for (index, range, sent) in ranges {
            let by = side(index, device);
            let handshake = if by == Side::Remote {
                handshake.take()
            } else {
                None
            };
            let Some(since) = begun.filter(|_| handshake.is_some()).or(sent) else {
                continue;
            };
            if handshake.is_none() && range.is_none() {
                continue;
            }
            facts.push(Fact {
                by: Some(by),
                detail: Detail::Times(handshake, range),
                ..fact(FactKind::Rtt, since, range.map_or(1, |range| range.count))
            });
        }
        facts.extend(tallies.facts(device));
        facts
    }

    /// SYNs without any answer.
    fn unanswered(&self, device: usize) -> Option<Fact> {
        let (index, end) = self.ends.iter().enumerate().find(|(_, end)| end.syns > 0)?;
        let other = self.ends.get(index ^ 1)?;
        let since = end.syn?;
        if other.has_sent || self.reset.is_some() {
            return None;
        }
        Some(Fact {
            by: Some(side(index ^ 1, device)),
            lasted_ns: Some(since.until(self.last_ns)),
            ..fact(FactKind::SynUnanswered, since, end.syns)
        })
    }

    /// One side closed long before the other one did, or did anything else that ends the flow.
    fn half_closed(&self, device: usize) -> Option<Fact> {
        let fin = |index: usize| self.ends.get(index).and_then(|end| end.fin);
        let reset = self.reset.map(|(_, since, _)| since);
        let (first, since) = match (fin(0), fin(1)) {
            (Some(a), Some(b)) if b.at_ns < a.at_ns => (1, b),
            (Some(a), _) => (0, a),
            (None, Some(b)) => (1, b),
            (None, None) => return None,
        };
        let (until_ns, ending) = match (fin(first ^ 1), reset) {
            (Some(other), _) => (other.at_ns, Ending::Resumed),
            (None, Some(reset)) => (reset.at_ns, Ending::Reset),
            (None, None) => (self.last_ns, Ending::Open),
        };
        let lasted_ns = since.until(until_ns);
        (lasted_ns >= HALF_CLOSED_NS).then(|| Fact {
            by: Some(side(first ^ 1, device)),
            lasted_ns: Some(lasted_ns),
            ending: Some(ending),
            ..fact(FactKind::HalfClosed, since, 1)
        })
    }

    /// How it ended, unless both sides closed.
    fn end(&self, device: usize) -> Option<Fact> {
        if let Some((index, since, middle)) = self.reset {
            let (kind, during) = match middle {
                Middle::Closed => return None,
                Middle::Refused => (FactKind::Refused, None),
                Middle::Handshake => (FactKind::Reset, Some(During::Handshake)),
                Middle::Quiet => (FactKind::Reset, Some(During::Quiet)),
                Middle::Stall(end) => (FactKind::Reset, Some(During::Stall(side(end, device)))),
                Middle::Sending(end) => (FactKind::Reset, Some(During::Sending(side(end, device)))),
                Middle::HalfClose(end) => {
                    (FactKind::Reset, Some(During::HalfClose(side(end, device))))
                }
            };
            return Some(Fact {
                by: Some(side(index, device)),
                detail: during.map_or(Detail::None, Detail::During),
                ..fact(kind, since, self.resets)
            });
        }
        let [first, second] = &self.ends;
        let closed = first.fin.is_some() && second.fin.is_some();
        let (Some(since), false) = (first.last.max(second.last), closed) else {
            return None;
        };
        let answered = first.has_sent && second.has_sent || first.syns + second.syns == 0;
        answered.then(|| fact(FactKind::OpenAtEnd, since, 1))
    }
}

impl End {
    fn sends(&mut self, seen: &Seen, since: Since) {
        let Seen {
            payload_len,
            tcp: header,
            ..
        } = seen;
        (self.has_sent, self.last) = (true, Some(since));
        if header.flags.contains(Flags::SYN) {
            self.syns += 1;
            self.syn.get_or_insert(since);
            self.mss = self.mss.or_else(|| header.mss.map(|mss| (mss, since)));
        }
        if header.flags.contains(Flags::FIN) {
            self.fin.get_or_insert(since);
        }
        let takes = payload_len.wrapping_add(header.flags.sequence_len());
        if takes == 0 {
            return;
        }
        let end = header.sequence.plus(takes);
        if *payload_len > 0 {
            self.first_sent.get_or_insert(since);
            self.stuck.sent(header.sequence, *payload_len, since);
        }
        if self.sent.is_none_or(|sent| end.after(sent)) {
            self.sent = Some(end);
            if *payload_len > 0 {
                self.waits.get_or_insert(since);
            }
            self.timed.get_or_insert((end, since));
        } else if let Some((timed, _)) = self.timed
            && header.sequence.before(timed)
        {
            // Nobody knows which of two copies is acknowledged (RFC 6298 section 3).
            self.timed = None;
        }
    }

    /// The other end acknowledges, and offers a window.
    fn hears(&mut self, by: &mut Self, header: &Header, since: Since) {
        let plain = header.flags.sequence_len() == 0;
        if header.window == 0 && plain {
            by.closed.get_or_insert(since);
        } else if header.window > 0
            && let Some(closed) = by.closed.take()
        {
            by.stalls
                .add(closed, since.at_ns, STALL_NS, Ending::Resumed);
            self.waits = self.waits.map(|_| since);
        }
        let (ack, Some(sent)) = (header.acknowledgement, self.sent) else {
            return;
        };
        if self.acknowledged.is_some_and(|known| !ack.after(known)) {
            return;
        }
        self.acknowledged = Some(ack);
        self.stuck.acknowledged(ack);
        if let Some(waited) = self.waits.take()
            && by.closed.is_none()
        {
            by.slow
                .add(waited, since.at_ns, UNACKNOWLEDGED_NS, Ending::Resumed);
        }
        // A FIN alone is waited for as well, but that is a matter of closing.
        let fin = u32::from(self.fin.is_some());
        self.waits = ack.plus(fin).before(sent).then_some(since);
        if let Some((end, left)) = self.timed
            && !ack.before(end)
        {
            self.round_trips.add(left.until(since.at_ns));
            self.timed = None;
        }
    }

    /// What is wrong with the sizes of its segments. `peer_last` is when the other end sent last.
    fn sizes(&self, by: Side, peer_last: Option<Since>) -> impl Iterator<Item = Fact> {
        let low = self.mss.filter(|(mss, _)| *mss < LEAST_MSS);
        let low = low.map(|(mss, since)| Fact {
            by: Some(by),
            detail: Detail::Bytes(mss.into()),
            ..fact(FactKind::MssLow, since, 1)
        });
        let suspect = self.stuck.suspect(peer_last);
        let suspect = suspect.map(|(len, since, times)| Fact {
            by: Some(by),
            detail: Detail::Bytes(len),
            ..fact(FactKind::PmtuSuspect, since, times.into())
        });
        [low, suspect].into_iter().flatten()
    }
}

impl Stuck {
    fn sent(&mut self, sequence: Seq, len: u32, since: Since) {
        match self.segment {
            Some((first, known, _)) if first == sequence && known == len => self.times += 1,
            Some((first, known, at))
                if first == sequence && len < known && self.times > SUSPECT =>
            {
                let times = self.times;
                self.suspect = self.suspect.or(Some((known, at, times)));
            }
            Some((first, ..)) if sequence.before(first) => {
                // The oldest that waits is what is stuck.
                self.segment = (len >= NEVER_TOO_BIG).then_some((sequence, len, since));
                self.times = 1;
            }
            Some(_) => {}
            None if len >= NEVER_TOO_BIG => {
                (self.segment, self.times) = (Some((sequence, len, since)), 1);
            }
            None => {}
        }
    }

    fn acknowledged(&mut self, ack: Seq) {
        if self.segment.is_some_and(|(first, ..)| ack.after(first)) {
            self.segment = None;
        }
    }

    /// What is suspected: also what never came through, while the other end still sent.
    fn suspect(&self, peer_last: Option<Since>) -> Option<(u32, Since, u32)> {
        self.suspect.or_else(|| {
            let (_, len, since) = self.segment?;
            let peer_sent = peer_last.is_some_and(|last| last.at_ns > since.at_ns);
            (self.times > SUSPECT && peer_sent).then_some((len, since, self.times))
        })
    }
}
