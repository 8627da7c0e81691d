//! One TCP client of the load: honours window and segment size, acknowledges every second segment, goes back to the
//! first unacknowledged byte when nothing moves, keeps no data.

use engine::{FrameBatch, Micros};

use super::pattern::{Pattern, downstream, upstream};
use super::plan::{FlowPlan, Side};
use super::wire::{self, ACK, Ends, FIN, Header, PSH, RST, SYN};

/// By how much the client's window fields are shifted.
const SHIFT: u8 = 7;
/// The window field of a client whose app reads.
const OPEN: u16 = 0xffff;
/// Bytes that wait at most for an app that reads slowly.
const APP: u64 = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Idle,
    SynSent,
    Open,
    Closed,
}

/// Places in both streams count bytes; the handshake and the FIN are kept apart.
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
        patience: u64,
    ) -> Self {
        let most = mtu as u32 - 40;
        let mss = if plan.segment == 0 {
            most
        } else {
            most.min(plan.segment)
        };
        let limit = if plan.held { 0 } else { plan.share(plan.up, 1) };
        Self {
            number,
            plan,
            port,
            server_port,
            state: State::Idle,
            mss,
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
            fin_left: false,
            fin_acked: false,
            peer_fin: None,
            moved: Micros(0),
            patience,
            duplicates: 0,
            turn: 0,
            limit,
            wake: None,
            opened: Micros(0),
            edge: 0,
            probes: false,
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

    fn header(&mut self, now: Micros, seq: u32, flags: u8) -> Header {
        let window = self.window_field(now);
        let fin = u32::from(self.peer_fin == Some(self.got));
        Header {
            port: self.port,
            server_port: self.server_port,
            seq,
            ack: (self.peer_isn.wrapping_add(1).wrapping_add(self.got as u32)).wrapping_add(fin),
            flags,
            window,
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
        let left = self.limit.saturating_sub(self.sent);
        let len = left.min(room).min(u64::from(self.mss));
        // No tiny segments while more is to come and something is on its way (RFC 9293 section 3.8.6.2.1).
        let full = len == left || len == u64::from(self.mss) || self.sent == self.acked;
        if len > 0 && full {
            let last = len == left;
            let fin = self.sent + len == self.plan.up && self.plan.ends_with_text && self.may_end();
            let flags = match (last, fin) {
                (false, _) => ACK,
                (true, false) => ACK | PSH,
                (true, true) => ACK | PSH | FIN,
            };
            let header = self.header(now, Self::at(self.sent), flags);
            let payload = pattern.slice(upstream(self.number), self.sent, len as usize);
            wire::tcp(out, ends, &header, &[], payload);
            if self.sent == self.acked {
                self.moved = now;
            }
            self.retransmissions += u64::from(self.sent < self.furthest);
            self.sent += len;
            self.fin_sent |= fin;
            self.fin_left |= fin;
            self.furthest = self.furthest.max(self.sent);
            self.acknowledged_now();
            return self.sent < self.limit || self.fin_due();
        }
        if self.fin_due() {
            let header = self.header(now, Self::at(self.sent), ACK | FIN);
            wire::tcp(out, ends, &header, &[], &[]);
            self.fin_sent = true;
            self.fin_left = true;
            self.moved = now;
            self.acknowledged_now();
            return false;
        }
        if core::mem::take(&mut self.probes) {
            // One byte before the window: a stack must answer with where it stands (RFC 9293 section 3.10.7.4).
            let before = Self::at(self.sent).wrapping_sub(1);
            wire::tcp(out, ends, &self.header(now, before, ACK), &[], &[]);
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
        !self.fin_sent && self.sent == self.plan.up && self.may_end()
    }

    /// Whether its stream may end when all is sent.
    fn may_end(&self) -> bool {
        let all = self.plan.ends_early || self.got == self.plan.down;
        match self.plan.closes_first {
            Side::Device => all && !self.plan.stays_open,
            Side::Remote => self.peer_fin == Some(self.got),
        }
    }

    /// Whether [`Client::speak`] would say something now.
    pub(super) fn has_words(&self) -> bool {
        match self.state {
            State::Idle => true,
            State::SynSent | State::Closed => false,
            State::Open => {
                let room = (self.acked + self.window).saturating_sub(self.sent);
                let left = self.limit.saturating_sub(self.sent);
                let len = left.min(room).min(u64::from(self.mss));
                let full = len == left || len == u64::from(self.mss) || self.sent == self.acked;
                (len > 0 && full) || self.fin_due() || self.owes_ack || self.probes
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
        let reads = (stalled > self.moved && self.state == State::Open).then_some(stalled);
        [reads, self.wake, self.again()].into_iter().flatten().min()
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
        waits.then_some(Micros(self.moved.0 + self.patience))
    }

    /// Whether there is something to send and no window for it.
    fn is_shut_out(&self) -> bool {
        self.window == 0 && self.acked == self.sent && self.sent < self.limit
    }

    /// Sends again from the first unacknowledged byte, goes on after a thought, or opens the window at last.
    pub(super) fn timeout(&mut self, now: Micros, ends: &Ends, out: &mut FrameBatch) {
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
                self.probes = self.is_shut_out();
                self.owes_ack = true;
                self.go_back();
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
                self.opened = now;
            }
            self.owes_ack = true;
            return;
        }
        if self.state != State::Open {
            return;
        }
        self.hear_ack(now, header, payload.is_empty());
        self.take_turn(now);
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
                self.complain(format!("bytes up to {end}, of {}", self.plan.down));
            } else if !pattern.holds(downstream(self.number), at, payload) {
                self.complain(format!("bytes {at} to {end} are not what was sent"));
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
        self.reads_on(now);
        while let Some(next) = self.early.iter().position(|(from, _)| *from <= self.got) {
            let (_, until) = self.early.swap_remove(next);
            self.got = self.got.max(until);
        }
        self.unacknowledged += 1;
        if self.unacknowledged >= 2 || !self.early.is_empty() {
            self.owes_ack = true;
        }
        self.take_turn(now);
    }

    fn hear_ack(&mut self, now: Micros, header: &Header, bare: bool) {
        let ahead = u64::from(header.ack.wrapping_sub(Self::at(self.acked)));
        let fin = u64::from(self.fin_left);
        if ahead <= self.furthest - self.acked + fin {
            let bytes = ahead.min(self.plan.up - self.acked);
            if bytes > 0 {
                self.acked += bytes;
                self.sent = self.sent.max(self.acked);
                self.moved = now;
                self.duplicates = 0;
            }
            if ahead > bytes && self.fin_left {
                self.fin_acked = true;
                self.fin_sent = true;
                self.sent = self.plan.up;
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
                "an acknowledgement of byte {}, never sent",
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
