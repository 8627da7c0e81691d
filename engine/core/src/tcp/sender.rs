//! The sending side: what waits for the device, how far it may go, and which segment leaves next.

use core::time::Duration;

use crate::api::time::Micros;
use crate::tcp::congestion::{Controller, NewReno, Unlimited};
use crate::tcp::recovery::{Delivered, Scoreboard};
use crate::tcp::ring::{Pool, Ring};
use crate::tcp::seq::Seq;
use crate::tcp::timers::{LONGEST_TIMEOUT, RoundTrip};

/// Duplicates after which a segment counts as lost (RFC 5681 section 3.2).
const DUPLICATES: u32 = 3;
/// How long data is held back from a silly window at the most (RFC 9293 section 3.8.6.2.1; 0.1 to 1 s are allowed).
const OVERRIDE: Duration = Duration::from_millis(200);

/// What an acknowledgement was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AckKind {
    /// Something is acknowledged for the first time.
    Advance,
    /// Nothing but the window is new.
    WindowUpdate,
    /// It reports that a segment arrived beyond one that did not (RFC 5681 section 2, RFC 6675 section 2).
    Duplicate,
    /// Older than others, or nothing new.
    Stale,
}

/// A segment as an acknowledgement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ack<'a> {
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    /// The window field.
    pub(crate) window: u16,
    /// It carries nothing else.
    pub(crate) bare: bool,
    /// Its SACK blocks.
    pub(crate) blocks: &'a [(Seq, Seq)],
}

/// The next segment to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) seq: Seq,
    /// Bytes of payload.
    pub(crate) len: u32,
    pub(crate) fin: bool,
    /// It holds the last byte that waits.
    pub(crate) push: bool,
    kind: PieceKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PieceKind {
    New,
    Again,
    /// One byte into a closed window.
    WindowProbe,
}

impl Piece {
    /// Whether it left before.
    pub(crate) fn is_again(&self) -> bool {
        self.kind != PieceKind::New
    }
}

/// Why bytes are sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    Loss,
    Timeout,
    /// What was out was not taken, for its size or a window that had closed: the path is not to blame.
    NotThePath,
}

#[derive(Clone, Copy, Debug)]
struct Recovery {
    cause: Cause,
    /// One past all that had left when it began: it ends there.
    until: Seq,
    /// The timeout may have been none: nothing that left afterwards was acknowledged yet.
    judged: bool,
}

/// What is probed for: the end of a flight (RFC 8985 section 7).
#[derive(Clone, Copy, Debug)]
struct TailProbe {
    end: Seq,
    /// It carried nothing new.
    again: bool,
}

/// A closed window that is probed (RFC 9293 section 3.8.6.1).
#[derive(Clone, Copy, Debug)]
struct Persist {
    since: Micros,
    interval: Duration,
}

/// The sending side of a connection.
#[derive(Debug)]
pub(crate) struct Sender {
    ring: Ring,
    /// How many bytes may come to wait.
    most: usize,
    /// Bytes acknowledged since the ring's bound grew last, and whether it was full since.
    counted: usize,
    was_full: bool,
    /// The first sequence number not acknowledged (SND.UNA).
    una: Seq,
    /// The next that is to leave (SND.NXT).
    next: Seq,
    /// One past the highest that ever left: a window probe goes beyond SND.NXT.
    highest: Seq,
    /// One past the last byte that waits; the FIN is there.
    end: Seq,
    fin_wanted: bool,
    fin_sent: bool,
    mss: u32,
    nagle: bool,
    /// The end of a flight is probed for.
    probes: bool,
    /// The device permits selective acknowledgements.
    sack: bool,
    window_field: u16,
    /// SND.WND.
    window: u32,
    /// The sequence number that came with it (SND.WL1).
    window_seq: Seq,
    scale: u8,
    /// MAX.SND.WND of RFC 5961 section 5.
    max_window: u32,
    board: Scoreboard,
    trip: RoundTrip,
    control: Box<dyn Controller>,
    recovery: Option<Recovery>,
    /// Where the last recovery ended or will: duplicates below it answer what was sent again (RFC 6582 section 3.2).
    recover: Seq,
    duplicates: u32,
    /// Bytes that have left the path according to duplicates without SACK blocks (RFC 5681 section 3.2, steps 2 and 4).
    credit: u32,
    /// What was in flight at the first duplicate.
    flight: u32,
    /// The next retransmission may leave beyond the congestion window (RFC 6675 section 5, step 4.3).
    force: bool,
    /// Bytes sent again since the window was last reduced, less those that the device reports as duplicates (RFC 2883).
    suspect: u32,
    timeouts: u32,
    /// Since when the retransmission timer runs.
    armed: Micros,
    /// When what is in flight may count as lost for what overtook it.
    reorder: Option<Micros>,
    tail: Option<TailProbe>,
    tail_due: bool,
    persist: Option<Persist>,
    persist_due: bool,
    /// The window has opened that was closed over what was out.
    shut_over_data: bool,
    /// Since when bytes are held back from a silly window.
    withheld: Option<Micros>,
    /// When something left last, and how long the last new segment was.
    sent_at: Micros,
    last_len: u32,
}

/// What a sender needs to know to begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) isn: Seq,
    pub(crate) device_isn: Seq,
    pub(crate) mss: u16,
    pub(crate) scale: u8,
    pub(crate) sack: bool,
    /// Bytes that may wait, and how many that may become.
    pub(crate) bound: usize,
    pub(crate) most: usize,
    pub(crate) nagle: bool,
    pub(crate) controlled: bool,
    pub(crate) probes: bool,
    pub(crate) least_timeout: Duration,
}

impl Sender {
    pub(crate) fn new(now: Micros, start: &Start) -> Self {
        let first = start.isn.plus(1);
        let mss = u32::from(start.mss);
        Self {
            ring: Ring::new(start.bound),
            most: start.most,
            counted: 0,
            was_full: false,
            una: start.isn,
            next: first,
            highest: first,
            end: first,
            fin_wanted: false,
            fin_sent: false,
            mss,
            nagle: start.nagle,
            probes: start.probes,
            sack: start.sack,
            window_field: 0,
            window: 0,
            window_seq: start.device_isn,
            scale: start.scale,
            max_window: 0,
            board: Scoreboard::new(),
            trip: RoundTrip::new(start.least_timeout),
            control: if start.controlled {
                Box::new(NewReno::new(mss, false))
            } else {
                Box::new(Unlimited)
            },
            recovery: None,
            recover: first,
            duplicates: 0,
            credit: 0,
            flight: 0,
            force: false,
            suspect: 0,
            timeouts: 0,
            armed: now,
            reorder: None,
            tail: None,
            tail_due: false,
            persist: None,
            persist_due: false,
            shut_over_data: false,
            withheld: None,
            sent_at: now,
            last_len: 0,
        }
    }

    /// The handshake is done: the SYN-ACK was acknowledged after `round_trip`, or left more than once.
    pub(crate) fn established(&mut self, round_trip: Option<Duration>) {
        match round_trip {
            Some(round_trip) => self.trip.measured(round_trip),
            None => {
                self.trip.syn_ack_was_repeated();
                if self.control.window() < u32::MAX >> 2 {
                    // The path loses, so that one segment must do (RFC 5681 section 3.1).
                    self.control = Box::new(NewReno::new(self.mss, true));
                }
            }
        }
    }

    /// The first sequence number that the device has not acknowledged.
    #[inline]
    pub(crate) fn una(&self) -> Seq {
        self.una
    }

    /// One past the highest that ever left.
    #[inline]
    pub(crate) fn highest(&self) -> Seq {
        self.highest
    }

    /// Bytes that wait or are not acknowledged.
    #[inline]
    pub(crate) fn queue(&self) -> usize {
        self.ring.len()
    }

    pub(crate) fn space(&self) -> usize {
        self.ring.space()
    }

    pub(crate) fn bound(&self) -> usize {
        self.ring.bound()
    }

    pub(crate) fn mss(&self) -> u32 {
        self.mss
    }

    pub(crate) fn max_window(&self) -> u32 {
        self.max_window
    }

    pub(crate) fn fin_sent(&self) -> bool {
        self.fin_sent
    }

    /// Whether the device acknowledged the FIN.
    pub(crate) fn fin_acknowledged(&self) -> bool {
        self.fin_sent && self.una.is_after(self.end)
    }

    /// Whether every byte left at least once.
    pub(crate) fn all_sent(&self) -> bool {
        !self.next.is_before(self.end)
    }

    /// Whether something left that is not acknowledged.
    pub(crate) fn unacknowledged(&self) -> bool {
        self.highest.is_after(self.una)
    }

    /// The sequence number with which the device looks at a segment without payload: one past all that ever left, but within
    /// the window, should the device have shrunk it.
    #[inline]
    pub(crate) fn next_out(&self) -> Seq {
        let edge = self.una.plus(self.window);
        // Before the handshake is done no window is known.
        if self.max_window > 0 && self.highest.is_after(edge) {
            edge
        } else {
            self.highest
        }
    }

    /// Takes bytes in to be sent; returns how many.
    pub(crate) fn offer(&mut self, pool: &mut Pool, bytes: &[u8]) -> usize {
        let taken = self.ring.append(pool, bytes);
        self.was_full |= self.ring.space() == 0;
        self.end = self.end.plus(u32::try_from(taken).unwrap_or(0));
        taken
    }

    /// By how many bytes more may come to wait: the ring was full, and two of its size have gone through.
    #[inline]
    pub(crate) fn wants_room(&self) -> usize {
        let bound = self.ring.bound();
        if !self.was_full || self.counted < 2 * bound || bound >= self.most {
            return 0;
        }
        bound.min(self.most - bound)
    }

    /// Lets so many bytes more wait.
    pub(crate) fn widen(&mut self, more: usize) {
        self.ring.widen(more);
        (self.counted, self.was_full) = (0, false);
    }

    /// The FIN follows the last byte.
    pub(crate) fn finish(&mut self) {
        self.fin_wanted = true;
    }

    /// The payload of a piece.
    #[inline]
    pub(crate) fn payload(&self, piece: &Piece) -> [&[u8]; 2] {
        let offset = usize::try_from(piece.seq.minus(self.base())).unwrap_or(0);
        self.ring
            .slices(offset, usize::try_from(piece.len).unwrap_or(0))
    }

    /// The sequence number of the ring's first byte.
    #[inline]
    fn base(&self) -> Seq {
        Seq(self
            .end
            .0
            .wrapping_sub(u32::try_from(self.ring.len()).unwrap_or(0)))
    }

    /// Segments are no longer than `mss` from now on. What is out was lost for its size, not to congestion, and goes out
    /// once more: the window stays (RFC 1191 section 6.4).
    pub(crate) fn narrow(&mut self, mss: u16) {
        self.mss = u32::from(mss).max(1);
        self.control.narrow(self.mss);
        if self.window > 0 {
            self.send_all_again();
        }
    }

    fn send_all_again(&mut self) {
        self.board.lose_all(false);
        if self.board.has_lost() {
            self.force = true;
            self.recovery = Some(Recovery {
                cause: Cause::NotThePath,
                until: self.next,
                judged: true,
            });
        }
    }

    /// Takes in an acknowledgement of something that left, of a segment that may be looked at.
    #[inline]
    pub(crate) fn acknowledge(&mut self, pool: &mut Pool, now: Micros, ack: &Ack<'_>) -> AckKind {
        if ack.ack.is_before(self.una) || ack.ack.is_after(self.highest) {
            return AckKind::Stale;
        }
        let advance = ack.ack.is_after(self.una);
        if !advance && ack.seq.is_before(self.window_seq) {
            // A newer segment has updated the window already (RFC 9293 section 3.10.7.4, fifth).
            return AckKind::Stale;
        }
        self.window_seq = self.window_seq.latest(ack.seq);
        let same = ack.window == self.window_field;
        self.note_window(now, ack.window);
        let limited = self.in_flight().saturating_mul(2) >= self.control.window();
        // What ends a recovery opens no window beside.
        let growing = self
            .recovery
            .is_none_or(|recovery| recovery.cause != Cause::Loss);
        let mut delivered = Delivered::default();
        if advance {
            delivered = self.advance(pool, now, ack.ack);
        }
        let mut news = false;
        if !ack.blocks.is_empty() && self.sack {
            news = self.hear_blocks(now, ack, &mut delivered);
        }
        let out = !self.board.is_empty() && self.queue() > 0;
        let duplicate = !advance && out && (news || (ack.blocks.is_empty() && ack.bare && same));
        if let Some(round_trip) = delivered.round_trip {
            self.trip.measured(round_trip);
        }
        if advance {
            self.progress(now, ack, &delivered);
        }
        if core::mem::take(&mut self.shut_over_data) && self.next.is_after(self.una) {
            // The window had closed over what was out, which was not taken, or it would be acknowledged.
            self.send_all_again();
        }
        if duplicate {
            self.duplicate(ack.blocks.is_empty());
        }
        if !self.board.is_clean() {
            self.find_losses(now);
        }
        // What only leaves the path makes room for new segments as it is; the window opens for what is acknowledged.
        if advance && delivered.bytes > 0 && growing && limited {
            let round_trip = self.trip.smoothed().unwrap_or_default();
            self.control.acknowledged(now, delivered.bytes, round_trip);
        }
        match (advance, duplicate) {
            (true, _) => AckKind::Advance,
            (_, true) => AckKind::Duplicate,
            _ if same => AckKind::Stale,
            _ => AckKind::WindowUpdate,
        }
    }

    fn note_window(&mut self, now: Micros, field: u16) {
        let was_closed = self.window == 0;
        self.window_field = field;
        self.window = u32::from(field) << self.scale;
        self.max_window = self.max_window.max(self.window);
        if self.window > 0 {
            if was_closed {
                // A FIN takes no room: that it is in flight means nothing.
                let data = self.una.is_before(self.end);
                self.shut_over_data = data && self.next.is_after(self.una);
                self.armed = now;
            }
            self.persist = None;
            self.persist_due = false;
        }
    }

    /// Takes what is acknowledged for the first time off the ring.
    #[inline]
    fn advance(&mut self, pool: &mut Pool, now: Micros, ack: Seq) -> Delivered {
        let delivered = self.board.acknowledged(ack, now);
        let upto = if ack.is_after(self.end) {
            self.end
        } else {
            ack
        };
        let bytes = usize::try_from(upto.minus(self.base())).unwrap_or(0);
        self.ring.consume(pool, bytes);
        self.counted += bytes;
        self.una = ack;
        // The byte of a window probe, which nothing else counts.
        self.next = self.next.latest(ack);
        delivered
    }

    fn progress(&mut self, now: Micros, ack: &Ack<'_>, delivered: &Delivered) {
        self.timeouts = 0;
        self.armed = now;
        if let Some(persist) = &mut self.persist {
            persist.since = now;
        }
        if let Some(tail) = self.tail
            && !ack.ack.is_before(tail.end)
        {
            self.tail = None;
            if tail.again && self.sack && ack.blocks.is_empty() && self.recovery.is_none() {
                // RFC 8985 section 7.4.2: the probe repaired a loss, which counts as any other.
                self.control.lost(now, self.in_flight().max(self.mss));
            }
        }
        let Some(recovery) = &mut self.recovery else {
            (self.duplicates, self.credit, self.flight) = (0, 0, 0);
            return;
        };
        if recovery.cause == Cause::Timeout && !recovery.judged {
            recovery.judged = true;
            if self.sack && delivered.first_copy && self.board.revive() {
                // RFC 5682 section 3: what left once and arrives now was late, not lost.
                self.control.undo();
                self.recovery = None;
                (self.duplicates, self.credit) = (0, 0);
                return;
            }
        }
        if !ack.ack.is_before(recovery.until) {
            if recovery.cause == Cause::Loss {
                self.control.recovered(self.outstanding());
            }
            self.recovery = None;
            (self.duplicates, self.credit) = (0, 0);
            return;
        }
        if recovery.cause == Cause::Loss && self.board.sacked() == 0 {
            // The next hole (RFC 6582 section 3.2, step 3).
            self.credit = self
                .credit
                .saturating_sub(delivered.bytes.saturating_sub(self.mss));
            self.board.lose_first(self.mss);
            self.force = true;
        }
    }

    /// Takes in SACK blocks; returns whether they reported anything new.
    fn hear_blocks(&mut self, now: Micros, ack: &Ack<'_>, delivered: &mut Delivered) -> bool {
        let before = delivered.bytes;
        for (at, (left, right)) in ack.blocks.iter().copied().enumerate() {
            let known = |(l, r): &(Seq, Seq)| !left.is_before(*l) && !right.is_after(*r);
            let twice =
                at == 0 && (!right.is_after(ack.ack) || ack.blocks.get(1).is_some_and(known));
            if !right.is_after(left) || right.is_after(self.highest) {
                continue;
            }
            if twice {
                self.came_twice(right.minus(left).unsigned_abs());
            } else if right.is_after(self.una) {
                let more = self.board.sack(left.latest(self.una), right, now);
                delivered.bytes += more.bytes;
                delivered.round_trip = delivered.round_trip.or(more.round_trip);
            }
        }
        delivered.bytes > before
    }

    /// The device has got bytes twice (RFC 2883): what was sent again need not have been.
    fn came_twice(&mut self, bytes: u32) {
        self.board.was_hasty();
        self.tail = None;
        if self.suspect > 0 {
            self.suspect = self.suspect.saturating_sub(bytes);
            if self.suspect == 0 {
                self.control.undo();
            }
        }
    }

    fn duplicate(&mut self, without_blocks: bool) {
        if self.recovery.is_none() {
            if self.duplicates == 0 {
                self.flight = self.outstanding();
            }
            self.duplicates = self.duplicates.saturating_add(1);
        }
        if without_blocks {
            // Each means that a segment has left the path.
            self.credit = self.credit.saturating_add(self.mss).min(self.outstanding());
            let enough = self.duplicates >= self.threshold() && self.recovery.is_none();
            // Below the last loss they are answers to what was sent again (RFC 6582 section 3.2, step 1).
            if enough && !self.una.is_before(self.recover) {
                self.board.lose_first(self.mss);
            }
        }
    }

    /// How many duplicates indicate a loss: less if there are too few segments to draw three (RFC 5827).
    fn threshold(&self) -> u32 {
        let segments = self.flight.div_ceil(self.mss.max(1));
        if segments < 4 && self.all_sent() {
            segments.saturating_sub(1).max(1)
        } else {
            DUPLICATES
        }
    }

    /// Looks for what is lost by now.
    fn find_losses(&mut self, now: Micros) {
        let sure = self.recovery.is_some()
            || self.duplicates >= DUPLICATES
            || self.board.sacked() >= DUPLICATES * self.mss;
        let (_, later) = self.board.detect(now, sure);
        self.reorder = later;
        if self.board.has_lost() && self.recovery.is_none() {
            let flight = if self.flight > 0 {
                self.flight
            } else {
                self.outstanding()
            };
            self.control.lost(now, flight);
            self.recovery = Some(Recovery {
                cause: Cause::Loss,
                until: self.next,
                judged: true,
            });
            self.recover = self.next;
            self.flight = 0;
            self.suspect = 0;
            self.force = true;
            self.tail = None;
        }
    }

    /// Bytes that left and are not acknowledged (FlightSize of RFC 5681).
    fn outstanding(&self) -> u32 {
        u32::try_from(self.next.minus(self.una)).unwrap_or(0)
    }

    /// Bytes on their way.
    #[inline]
    fn in_flight(&self) -> u32 {
        self.board.in_flight().saturating_sub(self.credit)
    }

    /// The next segment, with at most `size` bytes of payload, if one may leave.
    pub(crate) fn choose(&mut self, now: Micros, size: u32) -> Option<Piece> {
        let size = size.min(self.mss).max(1);
        if self.window == 0 {
            if self.persist_due {
                self.persist_due = false;
                let probe = self.piece(self.una_byte(), 1, PieceKind::WindowProbe);
                return Some(Piece {
                    fin: probe.push && self.fin_sent,
                    ..probe
                });
            }
            // A FIN takes no room.
            return match self.board.first_lost() {
                Some((start, end)) if start == self.end => self.lost_piece(start, end, size),
                _ => self.fin_piece(),
            };
        }
        if let Some((start, end)) = self.board.first_lost() {
            return self.lost_piece(start, end, size);
        }
        if core::mem::take(&mut self.tail_due) && !self.board.is_empty() {
            return Some(self.tail_piece(size));
        }
        let unsent = u32::try_from(self.end.minus(self.next)).unwrap_or(0);
        if unsent == 0 {
            self.withheld = None;
            return self.fin_piece();
        }
        if self.board.is_empty() && now > self.sent_at.plus(self.trip.timeout()) {
            self.control.rested();
        }
        let len = unsent.min(size);
        let usable = u32::try_from(self.una.plus(self.window).minus(self.next)).unwrap_or(0);
        let room = self.control.window().saturating_sub(self.in_flight());
        if len > usable.min(room) {
            return self.part_piece(now, usable);
        }
        self.withheld = None;
        if self.nagle && len < size && !self.board.is_empty() && !self.fin_wanted {
            return None;
        }
        Some(self.piece(self.next, len, PieceKind::New))
    }

    /// A window that has room for a part of what waits, and for no full segment: an acknowledgement will make room, or
    /// the part goes if it is half of the largest window seen, or has waited (RFC 9293 section 3.8.6.2.1).
    fn part_piece(&mut self, now: Micros, usable: u32) -> Option<Piece> {
        if !self.board.is_empty() || usable == 0 {
            self.withheld = None;
            return None;
        }
        if usable < self.mss.min(self.max_window / 2) {
            let since = *self.withheld.get_or_insert(now);
            if now < since.plus(OVERRIDE) {
                return None;
            }
        }
        self.withheld = None;
        Some(self.piece(self.next, usable.min(self.mss), PieceKind::New))
    }

    fn lost_piece(&self, start: Seq, end: Seq, size: u32) -> Option<Piece> {
        if start == self.end {
            return Some(Piece {
                fin: true,
                ..self.piece(start, 0, PieceKind::Again)
            });
        }
        let end = if end.is_after(self.end) {
            self.end
        } else {
            end
        };
        let usable = u32::try_from(self.una.plus(self.window).minus(start)).unwrap_or(0);
        let len = end.minus(start).unsigned_abs().min(size).min(usable);
        let room = self.control.window().saturating_sub(self.in_flight());
        if len == 0 || (len > room && !self.force && self.in_flight() > 0) {
            return None;
        }
        let piece = self.piece(start, len, PieceKind::Again);
        Some(Piece {
            // A FIN that is to be sent again leaves with the last byte.
            fin: piece.push && self.fin_sent && self.board.is_lost(self.end),
            ..piece
        })
    }

    /// The probe for the end of a flight: something new if there is any, or else the last segment again.
    fn tail_piece(&mut self, size: u32) -> Piece {
        let usable = u32::try_from(self.una.plus(self.window).minus(self.next)).unwrap_or(0);
        let unsent = u32::try_from(self.end.minus(self.next)).unwrap_or(0);
        let len = unsent.min(size);
        let piece = if len > 0 && len <= usable {
            self.piece(self.next, len, PieceKind::New)
        } else {
            let (start, end) = self
                .board
                .tail(size.min(self.last_len))
                .unwrap_or((self.una, self.una));
            let fin = end.is_after(self.end);
            let start = if fin { self.end } else { start };
            let len = if fin {
                0
            } else {
                end.minus(start).unsigned_abs()
            };
            Piece {
                fin,
                ..self.piece(start, len, PieceKind::Again)
            }
        };
        self.tail = Some(TailProbe {
            end: self
                .next
                .latest(piece.seq.plus(piece.len + u32::from(piece.fin))),
            again: piece.is_again(),
        });
        piece
    }

    fn fin_piece(&self) -> Option<Piece> {
        (self.fin_wanted && !self.fin_sent && self.next == self.end).then(|| Piece {
            fin: true,
            ..self.piece(self.end, 0, PieceKind::New)
        })
    }

    fn piece(&self, seq: Seq, len: u32, kind: PieceKind) -> Piece {
        Piece {
            seq,
            len,
            fin: false,
            push: len > 0 && seq.plus(len) == self.end,
            kind,
        }
    }

    /// The byte that a closed window is probed with.
    fn una_byte(&self) -> Seq {
        self.una.latest(self.base())
    }

    /// Notes that a piece left.
    #[inline]
    pub(crate) fn left(&mut self, now: Micros, piece: &Piece) {
        let end = piece.seq.plus(piece.len + u32::from(piece.fin));
        match piece.kind {
            PieceKind::New => {
                if self.board.is_empty() {
                    self.armed = now;
                }
                self.board.sent(piece.seq, end, now);
                self.next = end;
                self.last_len = piece.len + u32::from(piece.fin);
                self.fin_sent |= piece.fin;
            }
            PieceKind::Again => {
                if self.force {
                    self.armed = now;
                    self.force = false;
                }
                let data = piece.seq.plus(piece.len);
                if piece.len > 0 {
                    self.board.sent_again(piece.seq, data, now);
                }
                if piece.fin {
                    self.board.sent_again(data, end, now);
                }
                // What probes for the end of a flight was sent for no loss that could be undone.
                let lost = |recovery: &Recovery| recovery.cause != Cause::NotThePath;
                if self.recovery.as_ref().is_some_and(lost) {
                    self.suspect = self.suspect.saturating_add(piece.len);
                }
            }
            PieceKind::WindowProbe => {}
        }
        self.highest = self.highest.latest(end);
        self.sent_at = now;
    }

    /// Whether bytes or a FIN wait that a closed window keeps back.
    fn waits_for_window(&self) -> bool {
        self.window == 0 && self.queue() > 0
    }

    /// Sees to whatever has come due.
    pub(crate) fn tick(&mut self, now: Micros) {
        if self.waits_for_window() {
            let timeout = self.trip.timeout();
            let persist = self.persist.get_or_insert(Persist {
                since: now,
                interval: timeout,
            });
            if now >= persist.since.plus(persist.interval) {
                persist.since = now;
                persist.interval = (persist.interval * 2).min(LONGEST_TIMEOUT);
                self.persist_due = true;
            }
            return;
        }
        if self.board.is_empty() {
            return;
        }
        if self.reorder.is_some_and(|at| at <= now) {
            self.find_losses(now);
        }
        if self.timeout_at() <= now {
            self.time_out(now);
        } else if self.probe_at().is_some_and(|at| at <= now) {
            self.tail_due = true;
            self.armed = now;
            // Nothing else is probed for until it is answered.
            self.tail = Some(TailProbe {
                end: self.next,
                again: false,
            });
        }
    }

    fn timeout_at(&self) -> Micros {
        self.armed.plus(self.trip.timeout())
    }

    fn probe_at(&self) -> Option<Micros> {
        let troubled = self.recovery.is_some() || !self.board.is_clean();
        if !self.probes || self.tail.is_some() || troubled {
            return None;
        }
        if self.board.in_flight() <= self.mss {
            return None;
        }
        let since = self.armed.max(self.sent_at);
        let at = since.plus(self.trip.probe()?);
        (at < self.timeout_at()).then_some(at)
    }

    /// The retransmission timeout has struck (RFC 6298 section 5.4, RFC 5681 section 3.1).
    fn time_out(&mut self, now: Micros) {
        self.timeouts = self.timeouts.saturating_add(1);
        self.trip.back_off();
        let first = self.timeouts == 1;
        self.control.timed_out(now, self.outstanding(), first);
        // A device that reneges on SACK is not believed for ever (RFC 2018 section 8).
        self.board.lose_all(!first || self.board.has_reneged());
        if !first || self.recovery.is_none() {
            self.suspect = 0;
        }
        self.recovery = Some(Recovery {
            cause: Cause::Timeout,
            until: self.next,
            judged: false,
        });
        self.recover = self.next;
        (self.duplicates, self.credit, self.flight) = (0, 0, 0);
        (self.tail, self.tail_due, self.reorder) = (None, false, None);
        self.armed = now;
        self.force = true;
    }

    /// When [`Sender::tick`] or [`Sender::choose`] has something to do without anything coming.
    pub(crate) fn deadline(&self) -> Option<Micros> {
        if self.waits_for_window() {
            return self
                .persist
                .map(|persist| persist.since.plus(persist.interval));
        }
        let override_at = self.withheld.map(|since| since.plus(OVERRIDE));
        if self.board.is_empty() {
            return override_at;
        }
        let times = [self.probe_at(), self.reorder, override_at];
        let first = times.into_iter().flatten().min();
        Some(first.map_or_else(|| self.timeout_at(), |at| at.min(self.timeout_at())))
    }
}
