//! The sending side: what waits for the device, how far it may go, and which segment leaves next.

use core::time::Duration;

use crate::api::time::Micros;
use crate::tcp::congestion::{Controller, NewReno, Unlimited};
use crate::tcp::recovery::Scoreboard;
use crate::tcp::ring::{Pool, Ring};
use crate::tcp::seq::Seq;
use crate::tcp::timers::RoundTrip;

mod acknowledgement;
mod choice;
mod clock;

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
    /// How long ago what it answers had left, by the timestamp that it echoes.
    pub(crate) echoed: Option<Duration>,
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

    /// `len` bytes of payload from `seq` on.
    #[inline]
    pub(crate) fn payload(&self, seq: Seq, len: u32) -> [&[u8]; 2] {
        let offset = usize::try_from(seq.minus(self.base())).unwrap_or(0);
        self.ring.slices(offset, usize::try_from(len).unwrap_or(0))
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

    /// Bytes that left and are not acknowledged (FlightSize of RFC 5681).
    fn outstanding(&self) -> u32 {
        u32::try_from(self.next.minus(self.una)).unwrap_or(0)
    }

    /// Bytes on their way.
    #[inline]
    fn in_flight(&self) -> u32 {
        self.board.in_flight().saturating_sub(self.credit)
    }
}
