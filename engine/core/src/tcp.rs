//! A TCP flow: a held SYN while the dial is pending, one smoltcp socket after it.
//!
//! ```text
//!   SYN ──> Dialing ──connected──> Live(SYN-RECEIVED) ──ACK──> Live(ESTABLISHED) ──> both closed ──> tombstone
//!              │                        │                          │
//!              └─ refused, RST: closed  └─ handshake timer: closed └─ reset, idle, limit, guard: closed
//! ```
//! The rings of the socket are the only buffers of a flow.

pub(crate) mod isn;
pub(crate) mod stack;
pub(crate) mod tombstone;

use crate::config::Config;
use crate::dns::Streams;
use crate::output::{By, RemoteEnd};
use crate::packet::Segment;
use crate::plain::Plain;
use crate::seq::Seq;
use crate::tcp::stack::{Emitted, Socket, State};
use crate::time::Micros;
use crate::timer::TimerName;

/// One TCP flow.
#[derive(Debug)]
pub(crate) struct TcpFlow {
    pub(crate) phase: Phase,
    /// The dialer cannot take bytes for now.
    pub(crate) blocked: bool,
}

/// Where the flow stands between SYN and close.
#[derive(Debug)]
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
    pub(crate) since: Micros,
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
    /// By how much the device's window fields are shifted (RFC 7323 section 2).
    pub(crate) window_scale: u8,
    /// The highest acknowledgement that left.
    pub(crate) acknowledged: Seq,
    /// The highest right window edge that was promised to the device.
    pub(crate) edge: Seq,
    /// Octets the dialer took.
    pub(crate) relayed: u32,
    /// Octets put into the transmit ring.
    pub(crate) enqueued: u32,
    pub(crate) remote_end: Option<RemoteEnd>,
    pub(crate) ended_at: Option<Micros>,
    /// Who closed first, in order.
    pub(crate) first_end: Option<By>,
    /// The device's FIN was handed to the dialer.
    pub(crate) fin_relayed: bool,
    /// The device reset the flow.
    pub(crate) reset: bool,
    /// The remote was refused room and waits for `Resume`.
    pub(crate) starved: bool,
    pub(crate) opened: Micros,
    pub(crate) last_activity: Micros,
    /// When the device last acknowledged something new, or the first octet went out after all was acknowledged.
    pub(crate) progress: Micros,
    /// Segments emitted at `budget_at` without an input in between: smoltcp can be made to emit for ever.
    pub(crate) budget_at: Micros,
    pub(crate) budget_used: u32,
    /// Set while the port is 53.
    pub(crate) dns: Option<Box<Streams>>,
}

impl Live {
    pub(crate) fn new(
        now: Micros,
        socket: Socket,
        held: &HeldSyn,
        isn: Seq,
        mtu: usize,
        v6: bool,
    ) -> Self {
        let local = largest_segment(mtu, v6);
        Self {
            socket,
            device_isn: held.isn,
            isn,
            mss: held.mss.clamp(48, local.max(48)),
            path_mtu: None,
            emitted: isn,
            acked: isn,
            device_window: 0,
            window_scale: held.window_scale,
            acknowledged: held.isn,
            edge: held.isn,
            relayed: 0,
            enqueued: 0,
            remote_end: None,
            ended_at: None,
            first_end: None,
            fin_relayed: false,
            reset: false,
            starved: false,
            opened: now,
            last_activity: now,
            progress: now,
            budget_at: now,
            budget_used: 0,
            dns: None,
        }
    }

    /// No packet of this flow is longer than `mtu` octets from now on.
    pub(crate) fn narrow(&mut self, mtu: usize, v6: bool) {
        self.path_mtu = Some(mtu);
        self.mss = self.mss.min(largest_segment(mtu, v6));
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

    /// Notes the acknowledgement of a segment that is about to be fed.
    pub(crate) fn note_ack(&mut self, now: Micros, ack: Seq, window: u16) {
        if ack.is_after(self.acked) && !ack.is_after(self.emitted) {
            self.acked = ack;
            self.progress = now;
        }
        if ack == self.acked {
            self.device_window = window;
            if window == 0 {
                // A device that answers probes may keep its window closed for as long as it likes
                // (RFC 9293 section 3.8.6.1).
                self.progress = now;
            }
        }
    }

    /// Whether the FIN has left and nothing before it is unacknowledged.
    pub(crate) fn only_fin_is_out(&self) -> bool {
        self.socket.send_queue() == 0 && self.unacknowledged() && self.fin_emitted()
    }

    /// Whether a segment says nothing but what was acknowledged before.
    pub(crate) fn is_bare_duplicate(&self, segment: &Segment<'_>, ack: Seq) -> bool {
        ack == self.acked
            && segment.seq == self.expected()
            && segment.payload.is_empty()
            && !segment.fin
    }

    /// What must be changed about a segment before smoltcp may see it.
    pub(crate) fn repair(&self, segment: &Segment<'_>) -> Option<Plain> {
        let mut plain = Plain::whole(segment);
        let text = u32::try_from(segment.payload.len()).unwrap_or(u32::MAX);
        let end = segment.seq.plus(text);
        let mut needed = false;
        if segment.fin && text > 0 && end.is_after(self.edge) {
            // smoltcp keeps the FIN of a segment whose text it cuts at the window's edge.
            plain.without_fin = true;
            needed = true;
        }
        if text > 0 && self.device_closed() && end.is_after(self.expected()) {
            // RFC 9293 section 3.10.7.4, seventh: text after a FIN is ignored; smoltcp would deliver it.
            plain.payload = false;
            plain.without_fin = true;
            needed = true;
        }
        let ack = segment.ack.unwrap_or(self.acked);
        let behind = self.acked.minus(ack);
        let window = self.socket.send_capacity().max(65_535);
        if self.handshake_done()
            && behind > 0
            && usize::try_from(behind).is_ok_and(|behind| behind <= window)
            && segment.sequence_len() > 0
        {
            // smoltcp drops the text of a segment whose acknowledgement is old; RFC 9293 section 3.10.7.4, fifth,
            // ignores only the acknowledgement.
            plain.ack = Some((self.acked, self.device_window));
            needed = true;
        } else if segment.window == 0 && ack == self.emitted && self.fin_emitted() {
            // Nothing is left to send, so a closed window means nothing, but a probe timer that smoltcp
            // armed before would make it emit for ever in FIN-WAIT-2.
            plain.ack = Some((ack, 1));
            needed = true;
        } else if let Some(window) = self.window_for_last_ack(ack, segment.window) {
            plain.ack = Some((ack, window));
            needed = true;
        }
        needed.then_some(plain)
    }

    /// The window field smoltcp must see in LAST-ACK, if not the one that came. There it hears the window only
    /// with an acknowledgement that advances: one that shrinks it below what is out would be the last word, and
    /// nothing would be sent again. All of that left within the window as it was, and may leave again (RFC 9293
    /// section 3.8.6, MAY-7).
    fn window_for_last_ack(&self, ack: Seq, window: u16) -> Option<u16> {
        if self.socket.state() != State::LastAck {
            return None;
        }
        let out = usize::try_from(self.emitted.minus(ack)).unwrap_or(0);
        if usize::from(window) << self.window_scale >= out {
            return None;
        }
        let field = out.div_ceil(1 << self.window_scale);
        Some(u16::try_from(field).unwrap_or(u16::MAX))
    }

    /// Whether the FIN toward the device has left.
    pub(crate) fn fin_emitted(&self) -> bool {
        self.emitted.is_after(self.isn.plus(1).plus(self.enqueued))
    }

    /// The next octet expected from the device (RCV.NXT), which may be ahead of what was acknowledged.
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
    pub(crate) fn device_closed(&self) -> bool {
        // An orderly CLOSED is only reached through LAST-ACK here: TIME-WAIT is left to the tombstone.
        self.fin_relayed
            || (self.socket.state() == State::Closed && !self.reset)
            || matches!(
                self.socket.state(),
                State::CloseWait | State::LastAck | State::Closing | State::TimeWait
            )
    }

    pub(crate) fn handshake_done(&self) -> bool {
        !matches!(self.socket.state(), State::SynReceived | State::Listen)
    }

    /// Whether every octet of the transmit ring left at least once.
    pub(crate) fn all_emitted(&self) -> bool {
        !self.emitted.is_before(self.isn.plus(1).plus(self.enqueued))
    }

    /// Whether the device's window has room for all that is not acknowledged.
    pub(crate) fn window_holds_all(&self) -> bool {
        usize::from(self.device_window) << self.window_scale >= self.socket.send_queue()
    }

    /// Whether something left that the device has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> bool {
        self.emitted.is_after(self.acked)
    }

    /// How many segments one turn may emit before it must be a loop.
    pub(crate) fn budget(&self) -> u32 {
        let segments = self.socket.send_queue() / usize::from(self.mss.max(1)) + 8;
        // A device may open its window a few octets at a time, each its own segment.
        u32::try_from(segments * 4).unwrap_or(u32::MAX)
    }

    /// The deadlines that are the engine's own, not smoltcp's.
    pub(crate) fn own_deadline(&self, config: &Config) -> (Micros, TimerName) {
        let idle = if self.handshake_done() {
            if self.first_end.is_some() {
                (
                    self.last_activity.plus(config.tcp_half_closed),
                    TimerName::HalfClosed,
                )
            } else {
                (self.last_activity.plus(config.tcp_idle), TimerName::Idle)
            }
        } else {
            (
                self.opened.plus(config.handshake_timeout),
                TimerName::Handshake,
            )
        };
        let limit = (self.handshake_done() && self.unacknowledged()).then(|| {
            (
                self.progress.plus(config.retransmission_limit),
                TimerName::RetransmissionLimit,
            )
        });
        let linger =
            matches!(self.remote_end, Some(RemoteEnd::Reset | RemoteEnd::Error)).then(|| {
                (
                    self.ended_at
                        .unwrap_or(self.last_activity)
                        .plus(config.linger),
                    TimerName::Linger,
                )
            });
        [limit, linger]
            .into_iter()
            .flatten()
            .fold(
                idle,
                |first, other| if other.0 < first.0 { other } else { first },
            )
    }

    /// Where a segment stands in the receive window (RFC 9293 section 3.10.7.4).
    pub(crate) fn reset_placement(&self, segment: &Segment<'_>) -> Placement {
        let expected = self.expected();
        if segment.seq == expected {
            Placement::Exact
        } else if segment.seq.is_after(expected)
            && segment.seq.is_before(self.edge.latest(expected.plus(1)))
        {
            Placement::InWindow
        } else {
            Placement::Outside
        }
    }
}

/// Octets of text that fit a packet without options.
fn largest_segment(mtu: usize, v6: bool) -> u16 {
    u16::try_from(mtu.saturating_sub(if v6 { 60 } else { 40 })).unwrap_or(u16::MAX)
}

/// Where a reset stands (RFC 5961 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Placement {
    /// At RCV.NXT: it counts.
    Exact,
    /// Elsewhere in the window: challenged.
    InWindow,
    /// Outside the window: ignored.
    Outside,
}
