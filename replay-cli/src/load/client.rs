//! One TCP client of the load: honours window and segment size, acknowledges every second segment, goes back to the
//! first unacknowledged byte when nothing moves, keeps no data. On a path it is a TCP of its own: see [`Flight`].

use engine::{FrameBatch, Micros};

use super::flight::Flight;
use super::plan::FlowPlan;
use super::ranges::Ranges;

mod options;
mod receive;
mod send;

pub(super) use send::Outlet;

/// By how much the client's window fields are shifted.
const SHIFT: u8 = 7;
/// The window field of a client whose app reads.
const OPEN: u16 = 0xffff;
/// The receive window of a client whose app reads, bytes.
pub const DEVICE_WINDOW: u64 = (OPEN as u64) << SHIFT;
/// Bytes that wait at most for an app that reads slowly.
const APP: u64 = 64 << 10;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Idle,
    SynSent,
    Open,
    Closed,
}

/// Places in both streams count bytes; the handshake and the FIN are kept apart.
#[derive(Clone, Debug, Default)]
pub(super) struct Client {
    /// The flow's number: which pattern it carries.
    pub(super) number: u64,
    pub(super) plan: FlowPlan,
    port: u16,
    state: State,
    mss: u32,
    window: u64,
    shift: u8,
    peer_isn: u32,
    sent: u64,
    acked: u64,
    furthest: u64,
    got: u64,
    /// Received beyond a hole.
    early: Ranges,
    /// Received twice, and not reported yet (RFC 2883).
    twice: Option<(u64, u64)>,
    unacknowledged: u8,
    owes_ack: bool,
    fin_sent: bool,
    /// It was sent once, though it may have to be sent again.
    fin_left: bool,
    fin_acked: bool,
    peer_fin: Option<u64>,
    moved: Micros,
    /// Without progress for so long it sends again, microseconds.
    patience: u64,
    duplicates: u8,
    /// The turn of question and answer it is in, from 0 on, and the bytes it may send by now.
    turn: u32,
    limit: u64,
    /// When it has something to do that no frame brings: a thought ends, an app has read.
    wake: Option<Micros>,
    /// Since when the app reads.
    opened: Micros,
    /// How far the window has been open, in bytes of the stream.
    edge: u64,
    /// Whether it asks what the window is.
    probes: bool,
    /// What it knows of what it sent, on a path.
    flight: Option<Box<Flight>>,
    /// How long an acknowledgement of a single segment waits on a path, microseconds, and until when one does.
    ack_delay: u64,
    ack_at: Option<Micros>,
    pub(super) retransmissions: u64,
    /// Whether the device lists it as having something to send.
    pub(super) listed: bool,
    pub(super) reset: bool,
    pub(super) trouble: Option<String>,
}

const ISN: u32 = 1000;

impl Client {
    pub(super) fn new(number: u64, plan: FlowPlan, port: u16, mtu: usize, patience: u64) -> Self {
        let most = mtu as u32 - 40;
        let segment = (plan.segment > 0).then_some(plan.segment);
        Self {
            number,
            plan,
            port,
            mss: segment.map_or(most, |bytes| bytes.min(most)),
            patience,
            limit: if plan.held { 0 } else { plan.share(plan.up, 1) },
            ..Self::default()
        }
    }

    /// It is on a path: it keeps to a congestion window, repairs what is lost by selective acknowledgements, and
    /// acknowledges every segment, or every second one and a single one after `ack_delay` microseconds.
    pub(super) fn on_path(mut self, ack_delay: u64) -> Self {
        self.flight = Some(Box::new(Flight::new(self.mss)));
        self.ack_delay = ack_delay;
        self
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn received(&self) -> u64 {
        self.got
    }

    /// Whether the client has nothing left to do.
    pub(super) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether the connection stands.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether every byte of both streams has arrived.
    pub(super) fn is_served(&self) -> bool {
        self.acked == self.plan.up && self.got == self.plan.down
    }

    fn reads(&self, now: Micros) -> bool {
        now >= self.plan.device_stalls_until
    }

    /// Bytes that the app can have read by now.
    fn consumed(&self, now: Micros) -> u64 {
        let micros = u128::from(now.0.saturating_sub(self.opened.0));
        let read = micros * u128::from(self.plan.device_reads) / 1_000_000;
        u64::try_from(read).unwrap_or(u64::MAX).min(self.got)
    }

    /// The window field: open wide, shut, or as far as an app has read that reads slowly.
    fn window_field(&mut self, now: Micros) -> u16 {
        if !self.reads(now) {
            return 0;
        }
        if self.plan.device_reads == 0 {
            return OPEN;
        }
        let edge = self.consumed(now) + APP;
        // It opens in steps worth a segment, never less far than before (RFC 9293 section 3.8.6.2.2).
        if edge >= self.edge + u64::from(self.mss) {
            self.edge = edge;
        }
        u16::try_from((self.edge - self.got.min(self.edge)).div_ceil(1 << SHIFT)).unwrap_or(OPEN)
    }

    /// Acknowledges what was received, though it is a single segment.
    pub(super) fn flush(&mut self) {
        self.owes_ack |= self.unacknowledged > 0 && self.ack_delay == 0;
    }

    /// When the client wants [`Client::timeout`].
    pub(super) fn deadline(&self) -> Option<Micros> {
        let stalled = self.plan.device_stalls_until;
        let reads = (stalled > self.moved && self.state == State::Open).then_some(stalled);
        let flight = self.flight.as_ref().and_then(|flight| flight.deadline());
        [reads, self.wake, self.again(), self.ack_at, flight]
            .into_iter()
            .flatten()
            .min()
    }

    /// When it sends again, or asks for the window.
    fn again(&self) -> Option<Micros> {
        let waits = match self.state {
            State::SynSent => true,
            State::Open => {
                self.acked < self.sent || (self.fin_sent && !self.fin_acked) || self.is_shut_out()
            }
            State::Idle | State::Closed => false,
        };
        let patience = self
            .flight
            .as_ref()
            .map_or(self.patience, |of| of.timeout());
        waits.then_some(Micros(self.moved.0 + patience))
    }

    /// Whether there is something to send and no window for it.
    fn is_shut_out(&self) -> bool {
        self.window == 0 && self.acked == self.sent && self.sent < self.limit
    }

    /// Sends again from the first unacknowledged byte, goes on after a thought, or opens the window at last.
    pub(super) fn timeout(&mut self, now: Micros, frames: &mut FrameBatch) {
        if self.deadline().is_none_or(|at| at > now) {
            return;
        }
        if self.wake.take_if(|at| *at <= now).is_some() {
            self.limit = self.limit.max(self.plan.share(self.plan.up, self.turn + 1));
            if self.plan.device_reads > 0 && self.state == State::Open {
                self.owes_ack = true;
                self.reads_on(now);
            }
        }
        self.owes_ack |= self.ack_at.take_if(|at| *at <= now).is_some();
        if let Some(flight) = &mut self.flight {
            flight.tick(now);
        }
        if self.deadline().is_none_or(|at| at > now) {
            return;
        }
        let silent = self.again().is_some_and(|at| at <= now);
        self.moved = now;
        match self.state {
            State::SynSent => {
                self.retransmissions += 1;
                self.send_syn(frames);
                if let Some(flight) = &mut self.flight {
                    flight.backs_off();
                }
            }
            State::Open => {
                self.probes = self.is_shut_out();
                self.owes_ack = true;
                match &mut self.flight {
                    Some(flight) if self.probes => flight.backs_off(),
                    Some(flight) if silent => flight.times_out(),
                    Some(_) => {}
                    None => self.go_back(),
                }
            }
            State::Idle | State::Closed => {}
        }
    }

    /// Both sides may send from now on.
    pub(super) fn release(&mut self) {
        self.plan.held = false;
        self.limit = self.plan.share(self.plan.up, self.turn + 1);
    }

    /// The next turn begins, now or after a thought, when the answer has come whole.
    fn take_turn(&mut self, now: Micros) {
        let (plan, next) = (&self.plan, self.turn + 1);
        let answered =
            self.acked >= plan.share(plan.up, next) && self.got >= plan.share(plan.down, next);
        if next >= plan.turns || !answered || self.plan.held {
            return;
        }
        self.turn = next;
        if self.plan.think.0 == 0 {
            self.limit = self.plan.share(self.plan.up, next + 1);
        } else {
            self.wake = Some(Micros(now.0 + self.plan.think.0));
        }
    }

    /// Says when the app will have read enough for the window to open further.
    fn reads_on(&mut self, now: Micros) {
        let rate = self.plan.device_reads;
        if rate == 0 || self.wake.is_some() || self.consumed(now) == self.got {
            return;
        }
        let wait = (APP / 4).saturating_mul(1_000_000) / rate;
        self.wake = Some(Micros(now.0 + wait.max(10_000)));
    }

    fn go_back(&mut self) {
        self.sent = self.acked;
        self.fin_sent &= self.fin_acked;
    }
}
