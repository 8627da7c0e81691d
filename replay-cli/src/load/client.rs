//! One TCP client of the load: honours window and segment size, acknowledges every second segment, goes back to the
//! first unacknowledged octet when nothing moves, keeps no data.

use engine::{FrameBatch, Micros};

use super::pattern::{Pattern, downstream, upstream};
use super::wire::{self, ACK, Ends, FIN, Header, PSH, RST, SYN};

/// Which side closes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// The device, when it has sent and received all.
    #[default]
    Device,
    /// The far side, when it has sent and received all.
    Remote,
}

/// What one flow is to carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowPlan {
    /// Octets from the device.
    pub up: u64,
    /// Octets toward the device.
    pub down: u64,
    /// When its SYN leaves.
    pub start: Micros,
    /// Which side closes first.
    pub closes_first: Side,
    /// Whether it is closed at all once all octets have arrived.
    pub stays_open: bool,
    /// Until when the device's app reads nothing: its window is shut from the handshake on.
    pub device_stalls_until: Micros,
    /// Until when the far side reads nothing.
    pub remote_stalls_until: Micros,
}

impl FlowPlan {
    /// A flow that starts at once, carries so many octets, and is closed by the device.
    #[must_use]
    pub const fn new(up: u64, down: u64) -> Self {
        Self {
            up,
            down,
            start: Micros(0),
            closes_first: Side::Device,
            stays_open: false,
            device_stalls_until: Micros(0),
            remote_stalls_until: Micros(0),
        }
    }
}

/// By how much the client's window fields are shifted.
const SHIFT: u8 = 7;
/// The window field of a client whose app reads.
const OPEN: u16 = 0xffff;
/// Without progress for so long the client sends again.
const PATIENCE: u64 = 250_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    SynSent,
    Open,
    Closed,
}

/// Places in both streams count octets; the handshake and the FIN are kept apart.
#[derive(Clone, Debug)]
pub(super) struct Client {
    /// The flow's number: which pattern it carries.
    pub(super) number: u64,
    pub(super) plan: FlowPlan,
    port: u16,
    server_port: u16,
    state: State,
    mss: u32,
    window: u64,
    shift: u8,
    peer_isn: u32,
    sent: u64,
    acked: u64,
    furthest: u64,
    got: u64,
    /// Received beyond a hole, as ranges.
    early: Vec<(u64, u64)>,
    unacknowledged: u8,
    owes_ack: bool,
    fin_sent: bool,
    fin_acked: bool,
    peer_fin: Option<u64>,
    moved: Micros,
    duplicates: u8,
    pub(super) retransmissions: u64,
    /// Whether the device lists it as having something to say.
    pub(super) listed: bool,
    pub(super) reset: bool,
    pub(super) trouble: Option<String>,
}

const ISN: u32 = 1000;

impl Client {
    pub(super) fn new(
        number: u64,
        plan: FlowPlan,
        port: u16,
        server_port: u16,
        mtu: usize,
    ) -> Self {
        Self {
            number,
            plan,
            port,
            server_port,
            state: State::Idle,
            mss: mtu as u32 - 40,
            window: 0,
            shift: 0,
            peer_isn: 0,
            sent: 0,
            acked: 0,
            furthest: 0,
            got: 0,
            early: Vec::new(),
            unacknowledged: 0,
            owes_ack: false,
            fin_sent: false,
            fin_acked: false,
            peer_fin: None,
            moved: Micros(0),
            duplicates: 0,
            retransmissions: 0,
            listed: false,
            reset: false,
            trouble: None,
        }
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

    /// Whether every octet of both streams has arrived.
    pub(super) fn is_served(&self) -> bool {
        self.acked == self.plan.up && self.got == self.plan.down
    }

    fn reads(&self, now: Micros) -> bool {
        now >= self.plan.device_stalls_until
    }

    fn header(&self, now: Micros, seq: u32, flags: u8) -> Header {
        let fin = u32::from(self.peer_fin == Some(self.got));
        Header {
            port: self.port,
            server_port: self.server_port,
            seq,
            ack: (self.peer_isn.wrapping_add(1).wrapping_add(self.got as u32)).wrapping_add(fin),
            flags,
            window: if self.reads(now) { OPEN } else { 0 },
        }
    }

    const fn at(place: u64) -> u32 {
        ISN.wrapping_add(1).wrapping_add(place as u32)
    }

    /// Appends the next segment, if there is one to send now; says whether more follow.
    pub(super) fn speak(
        &mut self,
        now: Micros,
        ends: &Ends,
        pattern: &Pattern,
        out: &mut FrameBatch,
    ) -> bool {
        match self.state {
            State::Idle => {
                self.state = State::SynSent;
                self.moved = now;
                self.syn(ends, out);
                false
            }
            State::Open => self.speak_open(now, ends, pattern, out),
            State::SynSent | State::Closed => false,
        }
    }

    fn syn(&self, ends: &Ends, out: &mut FrameBatch) {
        let mss = (self.mss as u16).to_be_bytes();
        let options = [2, 4, mss[0], mss[1], 3, 3, SHIFT, 0];
        let header = Header {
            port: self.port,
            server_port: self.server_port,
            seq: ISN,
            ack: 0,
            flags: SYN,
            window: OPEN,
        };
        wire::tcp(out, ends, &header, &options, &[]);
    }

    fn speak_open(
        &mut self,
        now: Micros,
        ends: &Ends,
        pattern: &Pattern,
        out: &mut FrameBatch,
    ) -> bool {
        let room = (self.acked + self.window).saturating_sub(self.sent);
        let left = self.plan.up - self.sent;
        let len = left.min(room).min(u64::from(self.mss));
        // No tiny segments while more is to come and something is on its way (RFC 9293 section 3.8.6.2.1).
        let full = len == left || len == u64::from(self.mss) || self.sent == self.acked;
        if len > 0 && full {
            let last = len == left;
            let header = self.header(now, Self::at(self.sent), if last { ACK | PSH } else { ACK });
            let payload = pattern.slice(upstream(self.number), self.sent, len as usize);
            wire::tcp(out, ends, &header, &[], payload);
            if self.sent == self.acked {
                self.moved = now;
            }
            self.retransmissions += u64::from(self.sent < self.furthest);
            self.sent += len;
            self.furthest = self.furthest.max(self.sent);
            self.acknowledged_now();
            return self.sent < self.plan.up || self.fin_due();
        }
        if self.fin_due() {
            let header = self.header(now, Self::at(self.sent), ACK | FIN);
            wire::tcp(out, ends, &header, &[], &[]);
            self.fin_sent = true;
            self.moved = now;
            self.acknowledged_now();
            return false;
        }
        if core::mem::take(&mut self.owes_ack) {
            let next = Self::at(self.sent).wrapping_add(u32::from(self.fin_sent));
            wire::tcp(out, ends, &self.header(now, next, ACK), &[], &[]);
            self.acknowledged_now();
            if self.fin_acked && self.peer_fin == Some(self.got) {
                self.state = State::Closed;
            }
        }
        false
    }

    fn acknowledged_now(&mut self) {
        self.unacknowledged = 0;
        self.owes_ack = false;
    }

    fn fin_due(&self) -> bool {
        let turn = match self.plan.closes_first {
            Side::Device => self.got == self.plan.down && !self.plan.stays_open,
            Side::Remote => self.peer_fin == Some(self.got),
        };
        !self.fin_sent && self.sent == self.plan.up && turn
    }

    /// Whether [`Client::speak`] would say something now.
    pub(super) fn has_words(&self) -> bool {
        match self.state {
            State::Idle => true,
            State::SynSent | State::Closed => false,
            State::Open => {
                let room = (self.acked + self.window).saturating_sub(self.sent);
                let left = self.plan.up - self.sent;
                let len = left.min(room).min(u64::from(self.mss));
                let full = len == left || len == u64::from(self.mss) || self.sent == self.acked;
                (len > 0 && full) || self.fin_due() || self.owes_ack
            }
        }
    }

    /// Acknowledges what was received, though it is a single segment.
    pub(super) fn flush(&mut self) {
        self.owes_ack |= self.unacknowledged > 0;
    }

    /// When the client wants [`Client::timeout`].
    pub(super) fn deadline(&self) -> Option<Micros> {
        let stalled = self.plan.device_stalls_until;
        let wake = (stalled > self.moved && self.state == State::Open).then_some(stalled);
        let waits = match self.state {
            State::SynSent => true,
            State::Open => self.acked < self.sent || (self.fin_sent && !self.fin_acked),
            State::Idle | State::Closed => false,
        };
        let again = waits.then_some(Micros(self.moved.0 + PATIENCE));
        [wake, again].into_iter().flatten().min()
    }

    /// Sends again from the first unacknowledged octet, or opens the window at last.
    pub(super) fn timeout(&mut self, now: Micros, ends: &Ends, out: &mut FrameBatch) {
        if self.deadline().is_none_or(|at| at > now) {
            return;
        }
        self.moved = now;
        match self.state {
            State::SynSent => {
                self.retransmissions += 1;
                self.syn(ends, out);
            }
            State::Open => {
                self.owes_ack = true;
                self.go_back();
            }
            State::Idle | State::Closed => {}
        }
    }

    fn go_back(&mut self) {
        self.sent = self.acked;
        self.fin_sent &= self.fin_acked;
    }

    /// Takes in a segment.
    pub(super) fn hear(
        &mut self,
        now: Micros,
        pattern: &Pattern,
        header: &Header,
        options: &[u8],
        payload: &[u8],
    ) {
        if header.flags & RST != 0 {
            self.reset = true;
            self.state = State::Closed;
            return;
        }
        if header.flags & SYN != 0 {
            if self.state == State::SynSent {
                self.state = State::Open;
                self.peer_isn = header.seq;
                let (mss, shift) = offers(options);
                self.mss = self.mss.min(u32::from(mss.unwrap_or(536)));
                self.shift = shift.unwrap_or(0);
                self.window = u64::from(header.window);
                self.moved = now;
            }
            self.owes_ack = true;
            return;
        }
        if self.state != State::Open {
            return;
        }
        self.hear_ack(now, header, payload.is_empty());
        let place = u64::from(
            header
                .seq
                .wrapping_sub(self.peer_isn.wrapping_add(1))
                .wrapping_sub(self.got as u32),
        );
        // Sequence numbers are told apart within half their range.
        let behind = place > u64::from(u32::MAX / 2);
        let at = if behind {
            (self.got + place).wrapping_sub(1 << 32)
        } else {
            self.got + place
        };
        let end = at.wrapping_add(payload.len() as u64);
        if !payload.is_empty() {
            if end > self.plan.down {
                self.complain(format!("octets up to {end}, of {}", self.plan.down));
            } else if !pattern.holds(downstream(self.number), at, payload) {
                self.complain(format!("octets {at} to {end} are not what was sent"));
            }
        }
        if header.flags & FIN != 0 {
            self.peer_fin = Some(end);
            self.owes_ack = true;
        }
        if payload.is_empty() {
            return;
        }
        if at > self.got {
            self.early.push((at, end));
            self.owes_ack = true;
            return;
        }
        if end <= self.got {
            self.owes_ack = true;
            return;
        }
        self.got = end;
        while let Some(next) = self.early.iter().position(|(from, _)| *from <= self.got) {
            let (_, until) = self.early.swap_remove(next);
            self.got = self.got.max(until);
        }
        self.unacknowledged += 1;
        if self.unacknowledged >= 2 || !self.early.is_empty() {
            self.owes_ack = true;
        }
    }

    fn hear_ack(&mut self, now: Micros, header: &Header, bare: bool) {
        let ahead = u64::from(header.ack.wrapping_sub(Self::at(self.acked)));
        let fin = u64::from(self.fin_sent);
        if ahead <= self.furthest - self.acked + fin {
            let octets = ahead.min(self.plan.up - self.acked);
            if octets > 0 {
                self.acked += octets;
                self.sent = self.sent.max(self.acked);
                self.moved = now;
                self.duplicates = 0;
            }
            if ahead > octets && self.fin_sent {
                self.fin_acked = true;
                self.moved = now;
            }
            let window = u64::from(header.window) << self.shift;
            if ahead == 0 && bare && window == self.window && self.sent > self.acked {
                self.duplicates = self.duplicates.saturating_add(1);
                if self.duplicates == 3 {
                    self.go_back();
                }
            }
            self.window = window;
        } else if ahead < u64::from(u32::MAX / 2) {
            self.complain(format!(
                "an acknowledgement of octet {}, never sent",
                self.acked + ahead
            ));
        }
        if self.fin_acked && self.peer_fin == Some(self.got) && !self.owes_ack {
            self.state = State::Closed;
        }
    }

    fn complain(&mut self, what: String) {
        self.trouble.get_or_insert(what);
    }
}

/// The segment size and window shift that a SYN offers.
fn offers(mut options: &[u8]) -> (Option<u16>, Option<u8>) {
    let (mut mss, mut shift) = (None, None);
    loop {
        match *options {
            [1, ref rest @ ..] => options = rest,
            [2, 4, high, low, ref rest @ ..] => {
                mss = Some(u16::from_be_bytes([high, low]));
                options = rest;
            }
            [3, 3, by, ref rest @ ..] => {
                shift = Some(by);
                options = rest;
            }
            [kind, len, ..] if kind > 1 && len >= 2 => match options.get(usize::from(len)..) {
                Some(rest) => options = rest,
                None => return (mss, shift),
            },
            _ => return (mss, shift),
        }
    }
}
