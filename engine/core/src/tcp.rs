//! A TCP flow: a held SYN while the dial is pending, one smoltcp socket after it.
//!
//! ```text
//!   SYN ──> Dialing ──connected──> Live(SYN-RECEIVED) ──ACK──> Live(ESTABLISHED) ──> both closed ──> tombstone
//!              │                        │                          │
//!              └─ refused, RST: closed  └─ handshake timer: closed └─ reset, idle, limit, guard: closed
//! ```
//! The rings of the socket are the only buffers of a flow.

pub(crate) mod challenge;
pub(crate) mod crafted;
mod deadline;
mod incoming;
pub(crate) mod isn;
pub(crate) mod plain;
mod port;
pub(crate) mod sack;
pub(crate) mod sender;
pub(crate) mod seq;
pub(crate) mod silly;
pub(crate) mod stack;
pub(crate) mod tombstone;

pub(crate) use incoming::Placement;

use core::time::Duration;

use crate::api::config::Config;
use crate::api::output::{By, RemoteEnd};
use crate::api::time::Micros;
use crate::dns::Streams;
use crate::ip::build::TcpControl;
use crate::ip::packet::Segment;
use crate::tcp::challenge::Allowance;
use crate::tcp::crafted::Crafted;
use crate::tcp::sack::Holes;
use crate::tcp::sender::{LEAST_TIMEOUT, Sender, Told};
use crate::tcp::seq::Seq;
use crate::tcp::stack::{Emitted, LONGEST_ROW, Socket, State};

/// How far smoltcp's clock is set forward for the first text after a SYN-ACK that was repeated.
pub(crate) const LAG: Duration = Duration::from_secs(1);

/// One TCP flow.
#[derive(Debug)]
pub(crate) struct TcpFlow {
    pub(crate) phase: Phase,
    /// The dialer cannot take bytes for now.
    pub(crate) blocked: bool,
}

/// Where the flow stands between SYN and close.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the flow is boxed, and nearly every one is live"
)]
pub(crate) enum Phase {
    /// The dial is pending; nothing was answered yet.
    Dialing(HeldSyn),
    /// The dial connected; smoltcp speaks with the device.
    Live(Live),
}

/// The newest SYN of a tuple whose dial is pending.
#[derive(Debug)]
pub(crate) struct HeldSyn {
    /// A plain IP packet with the TCP header and no payload.
    pub(crate) frame: Vec<u8>,
    pub(crate) isn: Seq,
    pub(crate) mss: u16,
    pub(crate) window_scale: u8,
    /// Selective acknowledgements are permitted.
    pub(crate) sack: bool,
    pub(crate) since: Micros,
    /// The SYN as it came, if an ICMP error may have to quote it.
    pub(crate) quote: Box<[u8]>,
}

impl HeldSyn {
    /// The least shift of a window field that lets it cover the transmit ring.
    pub(crate) fn shown_scale(&self, config: &Config) -> u8 {
        let ring = config.tx_ring();
        let needed = (0..14).find(|shift| ring >> shift <= 65_535).unwrap_or(14);
        self.window_scale.min(needed)
    }
}

/// A flow with a socket, and what the engine knows beyond smoltcp.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) socket: Socket,
    pub(crate) device_isn: Seq,
    pub(crate) isn: Seq,
    /// The smaller of both sides' segment sizes.
    pub(crate) mss: u16,
    /// Octets of the longest packet that reaches the device, once a router before it said so (RFC 1191).
    pub(crate) path_mtu: Option<usize>,
    /// One past the highest sequence number that ever left: smoltcp rewinds its own at a retransmission.
    pub(crate) emitted: Seq,
    /// The highest acknowledgement of the device.
    pub(crate) acked: Seq,
    /// The window field that came with it.
    pub(crate) device_window: u16,
    /// The highest sequence number that came with a window (SND.WL1 of RFC 9293 section 3.10.7.4).
    pub(crate) window_seq: Seq,
    /// By how much the device's window fields are shifted (RFC 7323 section 2).
    pub(crate) window_scale: u8,
    /// The largest window the device ever offered, octets (MAX.SND.WND of RFC 5961 section 5).
    pub(crate) max_window: u32,
    /// Since when text is held back from a silly window.
    pub(crate) withheld: Option<Micros>,
    /// Selective acknowledgements are permitted.
    pub(crate) sack: bool,
    /// What was received behind a hole, while there is one.
    pub(crate) holes: Option<Box<Holes>>,
    /// The highest acknowledgement that left.
    pub(crate) acknowledged: Seq,
    /// The highest right window edge that was promised to the device.
    pub(crate) edge: Seq,
    /// Octets the dialer took.
    pub(crate) relayed: u32,
    /// Octets put into the transmit ring.
    pub(crate) enqueued: u32,
    pub(crate) sender: Sender,
    /// How far smoltcp's shift of the device's window fields reaches: none while the transmit ring is below 64 KiB,
    /// so that it can be shown any window to the octet.
    pub(crate) shown_scale: u8,
    /// How often the SYN-ACK left.
    pub(crate) syn_acks: u8,
    /// The first text left with smoltcp's clock set forward, so that its timer starts at 3 s.
    pub(crate) lagging: bool,
    /// An acknowledgement was noted that smoltcp has not heard.
    pub(crate) unheard: bool,
    pub(crate) remote_end: Option<RemoteEnd>,
    pub(crate) ended_at: Option<Micros>,
    /// Who closed first, in order.
    pub(crate) first_end: Option<By>,
    /// The device's FIN was handed to the dialer.
    pub(crate) fin_relayed: bool,
    /// Where the FIN of a segment stands that smoltcp could not use yet: behind a hole, or behind text it had.
    pub(crate) fin_at: Option<Seq>,
    pub(crate) challenges: Allowance,
    /// smoltcp has sent something again, or was made to: its socket keeps traces of that.
    pub(crate) worn: bool,
    /// The device reset the flow.
    pub(crate) reset: bool,
    /// The remote was refused room and waits for `Resume`.
    pub(crate) starved: bool,
    pub(crate) opened: Micros,
    pub(crate) last_activity: Micros,
    /// When the device last acknowledged something new or answered with a closed window, or when the first octet came
    /// or left while nothing was owed.
    pub(crate) progress: Micros,
    /// The time to answer after a sleep was granted, and nothing has progressed since.
    pub(crate) forgiven: bool,
    /// Segments emitted at `budget_at` without an input in between: smoltcp can be made to emit for ever.
    pub(crate) budget_at: Micros,
    pub(crate) budget_used: u32,
    /// The handshake was seen done, and the flow no longer counts as half-open.
    pub(crate) established: bool,
    /// When the device was heard last.
    pub(crate) heard: Micros,
    /// Keep-alive probes sent since.
    pub(crate) probes: u32,
    /// Set while the port is 53.
    pub(crate) dns: Option<Box<Streams>>,
}

impl Live {
    pub(crate) fn new(
        now: Micros,
        socket: Socket,
        held: &HeldSyn,
        isn: Seq,
        config: &Config,
        v6: bool,
    ) -> Self {
        let local = largest_segment(config.mtu, v6);
        let mss = held.mss.clamp(48, local.max(48));
        Self {
            socket,
            device_isn: held.isn,
            isn,
            mss,
            path_mtu: None,
            emitted: isn,
            acked: isn,
            device_window: 0,
            window_seq: held.isn,
            window_scale: held.window_scale,
            max_window: 0,
            withheld: None,
            sack: held.sack,
            holes: None,
            acknowledged: held.isn,
            edge: held.isn,
            relayed: 0,
            enqueued: 0,
            sender: Sender::new(now, isn, mss, config.congestion_control),
            shown_scale: held.shown_scale(config),
            syn_acks: 0,
            lagging: false,
            unheard: false,
            remote_end: None,
            ended_at: None,
            first_end: None,
            fin_relayed: false,
            fin_at: None,
            challenges: Allowance::new(now),
            worn: false,
            reset: false,
            starved: false,
            opened: now,
            last_activity: now,
            progress: now,
            forgiven: false,
            established: false,
            heard: now,
            probes: 0,
            budget_at: now,
            budget_used: 0,
            dns: None,
        }
    }

    /// No packet of this flow is longer than `mtu` octets from now on.
    pub(crate) fn narrow(&mut self, mtu: usize, v6: bool) {
        self.path_mtu = Some(mtu);
        self.mss = self.mss.min(largest_segment(mtu, v6));
        self.sender.narrow(self.mss);
        self.budget_used = 0;
    }

    /// Notes what smoltcp emitted; says whether it had been emitted before.
    pub(crate) fn note_emitted(&mut self, now: Micros, sent: Emitted) -> bool {
        if sent.rst {
            // The answer to a wrong acknowledgement stands where that stood: it says nothing about this side.
            return false;
        }
        let length = sent
            .payload
            .wrapping_add(u32::from(sent.syn))
            .wrapping_add(u32::from(sent.fin));
        let end = sent.seq.plus(length);
        let again = length > 0 && sent.seq.is_before(self.emitted);
        self.worn |= again;
        if sent.syn {
            self.syn_acks = self.syn_acks.saturating_add(1);
            if again {
                self.sender.syn_ack_again();
            }
        } else if length > 0 {
            self.sender.sent(now, sent, self.acked, self.emitted);
        }
        if end.is_after(self.emitted) {
            if self.acked == self.emitted {
                self.progress = now;
            }
            self.emitted = end;
        }
        self.acknowledged = self.acknowledged.latest(sent.ack);
        self.edge = self.edge.latest(sent.ack.plus(u32::from(sent.window)));
        again
    }

    /// Whether smoltcp will look at a segment's acknowledgement, or should have, `expected` being RCV.NXT: a receiver
    /// whose window is closed
    /// still reads those of segments at its edge (RFC 9293 section 3.10.7.4, first).
    #[inline]
    pub(crate) fn is_acceptable(&self, expected: Seq, segment: &Segment<'_>) -> bool {
        if segment.seq == expected {
            return true;
        }
        let end = segment.seq.plus(segment.sequence_len());
        segment.seq.is_before(self.edge)
            && (end.is_after(expected) || (end == segment.seq && segment.seq.is_after(expected)))
    }

    /// Notes the acknowledgement and window of an acceptable segment.
    #[inline]
    pub(crate) fn note_ack(&mut self, now: Micros, seq: Seq, ack: Seq, window: u16) -> Told {
        if ack.is_before(self.acked) || ack.is_after(self.emitted) {
            return Told::Old;
        }
        let octets = u32::try_from(ack.minus(self.acked)).unwrap_or(0);
        if octets == 0 && seq.is_before(self.window_seq) {
            // Newer text has told of the window already (RFC 9293 section 3.10.7.4, fifth).
            return Told::Old;
        }
        self.window_seq = self.window_seq.latest(seq);
        let same = window == self.device_window;
        self.device_window = window;
        self.max_window = self.max_window.max(self.send_window());
        if octets > 0 || window == 0 {
            // A device that answers probes may keep its window closed for as long as it likes
            // (RFC 9293 section 3.8.6.1).
            self.progress = now;
            self.forgiven = false;
        }
        if octets > 0 {
            self.acked = ack;
            if self.handshake_done() {
                let out = u32::try_from(self.emitted.minus(ack)).unwrap_or(0);
                self.sender.progress(ack, octets, out);
            }
            Told::Progress(octets)
        } else if same {
            Told::Nothing
        } else {
            Told::Same
        }
    }

    /// Whether a segment carries nothing but an acknowledgement, in its place.
    #[inline]
    pub(crate) fn is_bare(&self, segment: &Segment<'_>) -> bool {
        segment.payload.is_empty() && !segment.fin && segment.seq == self.expected()
    }

    /// Notes a duplicate acknowledgement (RFC 5681 section 2).
    pub(crate) fn note_duplicate(&mut self) {
        // With nothing but a FIN out there is no text to send again: that is left to the timeout.
        if self.unacknowledged() && self.socket.send_queue() > 0 {
            self.sender.duplicate(self.acked, self.emitted);
        }
    }

    /// The window field that smoltcp should believe in.
    pub(crate) fn offered_field(&self) -> u16 {
        // smoltcp's own queue may still hold what the device has acknowledged.
        let end = self.isn.plus(1).plus(self.enqueued);
        let queue = u32::try_from(end.minus(self.acked)).unwrap_or(0);
        let offer = self.sender.offer(self.acked, self.send_window(), queue);
        u16::try_from(offer >> self.shown_scale).unwrap_or(u16::MAX)
    }

    /// The same for a segment with that acknowledgement.
    pub(crate) fn field_for(&self, ack: Seq) -> u16 {
        let offer = self.offered_field();
        if self.socket.state() == State::LastAck {
            // There smoltcp hears the window only with an acknowledgement that advances: one that shrinks it below
            // what is out would be the last word, and nothing would be sent again. All of that left within the
            // window as it was, and may leave again (RFC 9293 section 3.8.6, MAY-7).
            let out = u32::try_from(self.emitted.minus(ack)).unwrap_or(0);
            let least = out.div_ceil(1 << self.shown_scale);
            return offer.max(u16::try_from(least).unwrap_or(u16::MAX)).max(1);
        }
        // Once nothing is left to send a closed window means nothing, but a probe timer that smoltcp armed before
        // would make it emit for ever in FIN-WAIT-2, and it would probe at once for the next octet it is given.
        if ack.is_before(self.isn.plus(1).plus(self.enqueued)) {
            offer
        } else {
            offer.max(1)
        }
    }

    /// Whether the next text is the first, after a SYN-ACK that was repeated once: RFC 6298 section 5.7 wants 3 s
    /// for its timer, and smoltcp has 2.
    pub(crate) fn starts_late(&self) -> bool {
        self.syn_acks == 2 && self.handshake_done() && self.emitted == self.isn.plus(1)
    }

    /// What smoltcp now believes.
    #[inline]
    pub(crate) fn note_shown(&mut self, field: u16) {
        self.sender.show(u32::from(field) << self.shown_scale);
    }

    /// An acknowledgement for smoltcp alone, that tells of the window to go by; `None` if it knows.
    pub(crate) fn tiding(&mut self) -> Option<Crafted> {
        // In LAST-ACK it is deaf to window updates, but not to an acknowledgement that it has not heard.
        if self.socket.state() == State::LastAck && !self.unheard {
            return None;
        }
        let window = self.field_for(self.acked);
        if u32::from(window) << self.shown_scale == self.sender.shown() && !self.unheard {
            return None;
        }
        self.unheard = false;
        self.note_shown(window);
        Some(self.acknowledgement(window))
    }

    /// The device's newest acknowledgement, with another window field.
    pub(crate) fn acknowledgement(&self, window: u16) -> Crafted {
        Crafted {
            seq: self.expected(),
            ack: self.acked,
            window,
            fin: false,
            octet: false,
        }
    }

    /// The window field that smoltcp believes in.
    pub(crate) fn shown_field(&self) -> u16 {
        u16::try_from(self.sender.shown() >> self.shown_scale).unwrap_or(u16::MAX)
    }

    /// The device's window, octets (SND.WND).
    #[inline]
    pub(crate) fn send_window(&self) -> u32 {
        u32::from(self.device_window) << self.window_scale
    }

    /// Notes text that smoltcp was just shown, `expected` being RCV.NXT before it. Says whether it stands behind a
    /// hole.
    #[inline]
    pub(crate) fn note_text(&mut self, expected: Seq, segment: &Segment<'_>) -> bool {
        let ahead = segment.seq.is_after(expected);
        if segment.payload.is_empty() || !(ahead || self.holes.is_some()) {
            return false;
        }
        self.note_hole(expected, segment, ahead);
        ahead
    }

    fn note_hole(&mut self, expected: Seq, segment: &Segment<'_>, ahead: bool) {
        let text = u32::try_from(segment.payload.len()).unwrap_or(u32::MAX);
        let (edge, end) = (self.edge, segment.seq.plus(text));
        let start = if ahead { segment.seq } else { expected };
        let end = if end.is_after(edge) { edge } else { end };
        if end.is_after(start) {
            let holes = self.holes.get_or_insert_with(|| Box::new(Holes::new()));
            let longer = holes.note(expected, start, end);
            let filled = holes.are_filled();
            // Should the two ever differ, silence is safe: a block may be left out, not made up.
            if filled || expected.plus(longer) != self.expected() {
                self.holes = None;
            }
        }
    }

    /// Where a segment without text must stand for the device to look at it: one past all that ever left, but
    /// within the window, should the device have shrunk it.
    #[inline]
    pub(crate) fn next_out(&self) -> Seq {
        let edge = self.acked.plus(self.send_window());
        if self.handshake_done() && self.emitted.is_after(edge) {
            edge
        } else {
            self.emitted
        }
    }

    /// The next octet expected from the device (RCV.NXT), which may be ahead of what was acknowledged.
    #[inline]
    pub(crate) fn expected(&self) -> Seq {
        let unread = u32::try_from(self.socket.unread()).unwrap_or(0);
        let fin = u32::from(self.device_closed());
        self.device_isn
            .plus(1)
            .plus(self.relayed)
            .plus(unread)
            .plus(fin)
    }

    /// Whether the device's FIN has been received in order.
    #[inline]
    pub(crate) fn device_closed(&self) -> bool {
        // An orderly CLOSED is only reached through LAST-ACK here: TIME-WAIT is left to the tombstone.
        self.fin_relayed
            || (self.socket.state() == State::Closed && !self.reset)
            || matches!(
                self.socket.state(),
                State::CloseWait | State::LastAck | State::Closing | State::TimeWait
            )
    }

    #[inline]
    pub(crate) fn handshake_done(&self) -> bool {
        !matches!(self.socket.state(), State::SynReceived | State::Listen)
    }

    /// Octets of the transmit ring that never left.
    fn unsent(&self) -> i32 {
        self.isn.plus(1).plus(self.enqueued).minus(self.emitted)
    }

    /// Whether every octet of the transmit ring left at least once.
    pub(crate) fn all_emitted(&self) -> bool {
        !self.emitted.is_before(self.isn.plus(1).plus(self.enqueued))
    }

    /// Whether smoltcp has nothing to say after what it has just said: to ask it would cost as much as a segment.
    #[inline]
    pub(crate) fn said_all(&self, sent: Emitted) -> bool {
        let end = sent.seq.plus(sent.payload);
        if sent.syn || (sent.fin && end == self.isn.plus(1).plus(self.enqueued)) {
            // The next word is the device's, or a timer's.
            return true;
        }
        // A bare acknowledgement may have been lifted to where all ends.
        let truthful = sent.payload > 0 || self.socket.send_queue() == 0;
        self.is_open() && truthful && end == self.isn.plus(1).plus(self.enqueued)
    }

    /// Whether the device's text is received in order, and nothing out of the ordinary is known or expected of it.
    pub(crate) fn is_in_order(&self) -> bool {
        self.established
            && self.is_open()
            && self.holes.is_none()
            && self.fin_at.is_none()
            && !self.lagging
            && !self.reset
    }

    /// Whether smoltcp may send several segments at once: it sends what never left, and its timer cannot have struck, after
    /// which one segment is all that may go.
    pub(crate) fn sends_rows(&self, now: Micros) -> bool {
        self.established
            && self.is_open()
            && !self.lagging
            && self.sender.is_untroubled(self.emitted)
            && self.unsent() <= LONGEST_ROW
            && (!self.unacknowledged() || now < self.progress.plus(LEAST_TIMEOUT))
    }

    /// Whether smoltcp can be told of the acknowledgement of a segment without text in the flow's turn, with all others
    /// that come until then.
    #[inline]
    pub(crate) fn can_tell_later(&self, segment: &Segment<'_>) -> bool {
        self.established
            && self.is_open()
            && !self.lagging
            && self.device_window > 0
            && self.is_bare(segment)
    }

    /// Whether this side's stream is open and the handshake done.
    #[inline]
    fn is_open(&self) -> bool {
        matches!(self.socket.state(), State::Established | State::CloseWait)
    }

    /// Whether the window that smoltcp believes in has room for all that is not acknowledged.
    pub(crate) fn window_holds_all(&self) -> bool {
        usize::try_from(self.sender.shown()).is_ok_and(|shown| shown >= self.socket.send_queue())
    }

    /// A bare acknowledgement at `sequence` that promises no more window than was promised before.
    pub(crate) fn bare_ack(&self, sequence: Seq) -> TcpControl {
        let expected = self.expected();
        let window = self.edge.minus(expected).clamp(0, 65_535);
        TcpControl::Ack {
            sequence: sequence.0,
            acknowledgement: expected.0,
            window: u16::try_from(window).unwrap_or(0),
        }
    }

    /// Whether something left that the device has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> bool {
        self.emitted.is_after(self.acked)
    }

    /// Whether smoltcp knows of all that the device has acknowledged.
    pub(crate) fn is_heard(&self) -> bool {
        let end = self.isn.plus(1).plus(self.enqueued);
        let queue = usize::try_from(end.minus(self.acked)).unwrap_or(0);
        self.socket.send_queue() == queue && !(self.acked.is_after(end) && self.awaits_ack_of_fin())
    }

    /// Whether smoltcp waits for its FIN to be acknowledged.
    fn awaits_ack_of_fin(&self) -> bool {
        matches!(
            self.socket.state(),
            State::FinWait1 | State::Closing | State::LastAck
        )
    }

    /// Whether the device owes an acknowledgement, sooner or later: of what left, and of what waits for its window. By
    /// smoltcp's word as well, so that no flow lives on because the two differ.
    pub(crate) fn awaits_progress(&self) -> bool {
        self.unacknowledged() || self.socket.send_queue() > 0 || self.awaits_ack_of_fin()
    }

    /// How many segments one turn may emit before it must be a loop.
    pub(crate) fn budget(&self) -> u32 {
        let segments = self.socket.send_queue() / usize::from(self.mss.max(1)) + 8;
        // A device may open its window a few octets at a time, each its own segment.
        u32::try_from(segments * 4).unwrap_or(u32::MAX)
    }
}

/// Octets of text that fit a packet without options.
fn largest_segment(mtu: usize, v6: bool) -> u16 {
    u16::try_from(mtu.saturating_sub(if v6 { 60 } else { 40 })).unwrap_or(u16::MAX)
}
