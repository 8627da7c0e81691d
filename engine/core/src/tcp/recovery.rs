//! What is in flight, and what of it is lost: a scoreboard of what was sent when (RFC 6675), and loss inferred from time
//! (RACK, RFC 8985).
//!
//! Bytes that left together make one span. A selective acknowledgement or a retransmission cuts spans apart, so that
//! a connection without loss keeps a span for each of its turns, not for each segment.

use core::time::Duration;
use std::collections::VecDeque;

use crate::api::time::Micros;
use crate::tcp::seq::Seq;

/// Spans beyond which a selective acknowledgement cuts none apart: it is advice, and a device could make as many as
/// there are bytes in flight.
const MOST_SPANS: usize = 1024;

/// Spans beyond which those that touch are made one.
const MANY_SPANS: usize = 64;

/// What is known of bytes that left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// On their way, as far as is known.
    InFlight,
    /// The device has them (RFC 2018).
    Sacked,
    /// To be sent again.
    Lost,
}

/// Bytes that left together.
#[derive(Clone, Copy, Debug)]
struct Span {
    start: Seq,
    end: Seq,
    /// When they left last.
    at: Micros,
    fate: Fate,
    /// They left more than once: an acknowledgement gives no round trip (Karn's algorithm).
    again: bool,
}

impl Span {
    fn len(&self) -> u32 {
        u32::try_from(self.end.minus(self.start)).unwrap_or(0)
    }
}

/// What an acknowledgement brought to light.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// Bytes that are known to have arrived for the first time.
    pub(crate) bytes: u32,
    /// The round trip of the newest segment among them that left only once.
    pub(crate) round_trip: Option<Duration>,
    /// Whether bytes that left only once arrived.
    pub(crate) first_copy: bool,
}

/// The bytes between SND.UNA and SND.NXT.
#[derive(Debug)]
pub(crate) struct Scoreboard {
    spans: VecDeque<Span>,
    in_flight: u32,
    sacked: u32,
    lost: u32,
    /// When the newest segment that arrived had left, and where it ended (RACK.xmit_ts, RACK.end_seq).
    newest: Option<(Micros, Seq)>,
    /// Its round trip (RACK.rtt).
    round_trip: Duration,
    least_round_trip: Duration,
    /// Segments were seen to overtake each other.
    reordering: bool,
    /// By how much the window for that is wider than a quarter of the round trip (RACK.reo_wnd_mult).
    patience: u32,
    /// One past the highest byte that arrived (RACK.fack).
    farthest: Option<Seq>,
}

impl Scoreboard {
    pub(crate) fn new() -> Self {
        Self {
            spans: VecDeque::new(),
            in_flight: 0,
            sacked: 0,
            lost: 0,
            newest: None,
            round_trip: Duration::ZERO,
            least_round_trip: Duration::MAX,
            reordering: false,
            patience: 1,
            farthest: None,
        }
    }

    /// Bytes on their way (pipe of RFC 6675).
    #[inline]
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Bytes beyond a hole that the device has.
    pub(crate) fn sacked(&self) -> u32 {
        self.sacked
    }

    /// Whether the device has sacked the first byte that it does not acknowledge: it has dropped it since.
    pub(crate) fn has_reneged(&self) -> bool {
        let first = self.spans.front();
        first.is_some_and(|span| span.fate == Fate::Sacked)
    }

    pub(crate) fn has_lost(&self) -> bool {
        self.lost > 0
    }

    /// Whether no loss or hole is known.
    #[inline]
    pub(crate) fn is_clean(&self) -> bool {
        self.lost == 0 && self.sacked == 0
    }

    fn tally(&mut self, fate: Fate) -> &mut u32 {
        match fate {
            Fate::InFlight => &mut self.in_flight,
            Fate::Sacked => &mut self.sacked,
            Fate::Lost => &mut self.lost,
        }
    }

    /// Notes bytes that left for the first time, behind all others.
    #[inline]
    pub(crate) fn sent(&mut self, start: Seq, end: Seq, now: Micros) {
        self.in_flight += u32::try_from(end.minus(start)).unwrap_or(0);
        if let Some(last) = self.spans.back_mut()
            && last.at == now
            && last.end == start
            && last.fate == Fate::InFlight
            && !last.again
        {
            last.end = end;
            return;
        }
        self.spans.push_back(Span {
            start,
            end,
            at: now,
            fate: Fate::InFlight,
            again: false,
        });
    }

    /// Takes off what a cumulative acknowledgement covers.
    pub(crate) fn acknowledged(&mut self, ack: Seq, now: Micros) -> Delivered {
        let mut delivered = Delivered::default();
        while let Some(first) = self.spans.front_mut() {
            if !ack.is_after(first.start) {
                break;
            }
            let mut part = *first;
            if ack.is_before(first.end) {
                part.end = ack;
                first.start = ack;
            } else {
                self.spans.pop_front();
            }
            *self.tally(part.fate) -= part.len();
            if part.fate != Fate::Sacked {
                self.arrived(&part, now, &mut delivered);
            }
        }
        if self.spans.is_empty() {
            self.farthest = None;
            self.spans.shrink_to(8);
        }
        delivered
    }

    /// Notes that the device has `left` to `right`, and returns what that brought to light.
    pub(crate) fn sack(&mut self, left: Seq, right: Seq, now: Micros) -> Delivered {
        let mut delivered = Delivered::default();
        let mut at = 0;
        // Each pass goes on by a span, or cuts one in two.
        while let Some(span) = self.spans.get(at).copied() {
            if !span.start.is_before(right) {
                break;
            }
            if !span.end.is_after(left) || span.fate == Fate::Sacked {
                at += 1;
                continue;
            }
            if span.start.is_before(left) {
                if !self.cut(at, left) {
                    break;
                }
                at += 1;
                continue;
            }
            if span.end.is_after(right) && !self.cut(at, right) {
                break;
            }
            let Some(span) = self.spans.get_mut(at) else {
                break;
            };
            let old = span.fate;
            span.fate = Fate::Sacked;
            let span = *span;
            *self.tally(old) -= span.len();
            self.sacked += span.len();
            self.arrived(&span, now, &mut delivered);
            at += 1;
        }
        if delivered.bytes > 0 && self.spans.len() > MANY_SPANS {
            self.join();
        }
        delivered
    }

    /// Cuts a span in two, if there is room for another.
    fn cut(&mut self, at: usize, place: Seq) -> bool {
        if self.spans.len() >= MOST_SPANS {
            return false;
        }
        if let Some(span) = self.spans.get_mut(at) {
            let rest = Span {
                start: place,
                ..*span
            };
            span.end = place;
            self.spans.insert(at + 1, rest);
        }
        true
    }

    /// Makes one of selectively acknowledged spans that touch.
    fn join(&mut self) {
        let mut before: Option<Span> = None;
        let mut kept = VecDeque::with_capacity(self.spans.len());
        for span in self.spans.drain(..) {
            match &mut before {
                Some(last) if last.fate == Fate::Sacked && span.fate == Fate::Sacked => {
                    last.end = span.end;
                }
                _ => kept.extend(before.replace(span)),
            }
        }
        kept.extend(before);
        self.spans = kept;
    }

    /// Learns from a segment that arrived (RFC 8985 section 6.2, steps 1 to 3).
    fn arrived(&mut self, span: &Span, now: Micros, delivered: &mut Delivered) {
        delivered.bytes += span.len();
        let round_trip = now.since(span.at);
        if span.again {
            if round_trip < self.least_round_trip {
                // It answers an earlier copy.
                return;
            }
        } else {
            delivered.first_copy = true;
            delivered.round_trip = Some(
                delivered
                    .round_trip
                    .map_or(round_trip, |known| known.min(round_trip)),
            );
            self.least_round_trip = self.least_round_trip.min(round_trip);
            if self.farthest.is_some_and(|far| span.end.is_before(far)) {
                self.reordering = true;
            }
        }
        self.farthest = Some(self.farthest.map_or(span.end, |far| far.latest(span.end)));
        let newer = self
            .newest
            .is_none_or(|(at, end)| span.at > at || (span.at == at && span.end.is_after(end)));
        if newer {
            self.newest = Some((span.at, span.end));
            self.round_trip = round_trip;
        }
    }

    /// A segment arrived twice: what was taken for lost was late (RFC 8985 section 6.2, step 4).
    pub(crate) fn was_hasty(&mut self) {
        self.patience = (self.patience + 1).min(16);
    }

    /// Finds what is lost by now: what left before something that arrived, longer ago than a round trip and the time
    /// segments may overtake each other. Says how many bytes, and when there may be more.
    pub(crate) fn detect(&mut self, now: Micros, sure: bool) -> (u32, Option<Micros>) {
        let Some((newest, end)) = self.newest else {
            return (0, None);
        };
        let window = if sure && !self.reordering {
            Duration::ZERO
        } else {
            (self.least_round_trip.min(self.round_trip) / 4 * self.patience).min(self.round_trip)
        };
        let (mut found, mut later) = (0, None::<Micros>);
        for span in &mut self.spans {
            if span.fate != Fate::InFlight {
                continue;
            }
            let before = span.at < newest || (span.at == newest && span.end.is_before(end));
            // A span may reach beyond what arrived: only what is before that is suspect.
            if !before {
                continue;
            }
            let due = span.at.plus(self.round_trip).plus(window);
            if due <= now {
                span.fate = Fate::Lost;
                found += span.len();
            } else {
                later = Some(later.map_or(due, |known| known.min(due)));
            }
        }
        self.in_flight -= found;
        self.lost += found;
        (found, later)
    }

    /// Takes the first `count` bytes that are in flight or not sacked for lost; returns how many were.
    pub(crate) fn lose_first(&mut self, count: u32) -> u32 {
        let Some(first) = self.spans.front().copied() else {
            return 0;
        };
        if first.fate != Fate::InFlight {
            return 0;
        }
        if first.len() > count {
            self.cut(0, first.start.plus(count));
        }
        let Some(first) = self.spans.front_mut() else {
            return 0;
        };
        first.fate = Fate::Lost;
        let len = first.len();
        self.in_flight -= len;
        self.lost += len;
        len
    }

    /// Takes everything that is in flight for lost; what the device has sacked as well, if it is not to be believed
    /// any more (RFC 2018 section 8).
    pub(crate) fn lose_all(&mut self, sacked_too: bool) {
        for span in &mut self.spans {
            if sacked_too || span.fate == Fate::InFlight {
                span.fate = Fate::Lost;
            }
        }
        self.lost += self.in_flight;
        self.in_flight = 0;
        if sacked_too {
            self.lost += self.sacked;
            self.sacked = 0;
        }
    }

    /// Takes what left once and counts as lost for in flight again; returns whether there was any.
    pub(crate) fn revive(&mut self) -> bool {
        let mut revived = 0;
        for span in &mut self.spans {
            if span.fate == Fate::Lost && !span.again {
                span.fate = Fate::InFlight;
                revived += span.len();
            }
        }
        self.lost -= revived;
        self.in_flight += revived;
        revived > 0
    }

    /// The first bytes that are to be sent again.
    #[inline]
    pub(crate) fn first_lost(&self) -> Option<(Seq, Seq)> {
        if self.lost == 0 {
            return None;
        }
        let lost = self.spans.iter().find(|span| span.fate == Fate::Lost)?;
        Some((lost.start, lost.end))
    }

    /// Whether the byte at `seq` is to be sent again.
    pub(crate) fn is_lost(&self, seq: Seq) -> bool {
        let holds = |span: &&Span| !seq.is_before(span.start) && seq.is_before(span.end);
        let span = self.spans.iter().find(holds);
        span.is_some_and(|span| span.fate == Fate::Lost)
    }

    /// Notes that bytes from `start` on, all of one span, left again.
    pub(crate) fn sent_again(&mut self, start: Seq, end: Seq, now: Micros) {
        let Some(at) = self
            .spans
            .iter()
            .position(|span| !span.start.is_after(start) && span.end.is_after(start))
        else {
            return;
        };
        let Some(span) = self.spans.get(at).copied() else {
            return;
        };
        let mut at = at;
        let mut insert = |at: usize, span: Span| self.spans.insert(at, span);
        if span.start.is_before(start) {
            insert(at, Span { end: start, ..span });
            at += 1;
        }
        let last = if end.is_before(span.end) {
            end
        } else {
            span.end
        };
        if last.is_before(span.end) {
            insert(
                at + 1,
                Span {
                    start: last,
                    ..span
                },
            );
        }
        let again = Span {
            start: start.latest(span.start),
            end: last,
            at: now,
            fate: Fate::InFlight,
            again: true,
        };
        if let Some(span) = self.spans.get_mut(at) {
            *span = again;
        }
        *self.tally(span.fate) -= again.len();
        self.in_flight += again.len();
    }

    /// The last bytes that left, `most` of them, if the device does not have them.
    pub(crate) fn tail(&self, most: u32) -> Option<(Seq, Seq)> {
        let last = self.spans.back()?;
        if last.fate == Fate::Sacked {
            return None;
        }
        let start = if last.len() > most {
            Seq(last.end.0.wrapping_sub(most))
        } else {
            last.start
        };
        Some((start, last.end))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }
}
