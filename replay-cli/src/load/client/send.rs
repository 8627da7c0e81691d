//! What a client sends: the next segment, what is to be sent again, acknowledgements.

use engine::{FrameBatch, Micros};

use super::super::pattern::{Pattern, upstream};
use super::super::plan::Side;
use super::super::wire::{self, ACK, FIN, Header, PSH, SYN};
use super::{Client, ISN, OPEN, SHIFT, State, options};

/// Where the segments of a client go, and the time at which they leave.
pub(in crate::load) struct Outlet<'a> {
    pub(in crate::load) now: Micros,
    pub(in crate::load) pattern: &'a Pattern,
    pub(in crate::load) frames: &'a mut FrameBatch,
}

impl Client {
    /// The sequence number of a byte of its stream.
    pub(super) const fn seq(place: u64) -> u32 {
        ISN.wrapping_add(1).wrapping_add(place as u32)
    }

    /// Appends the next segment, if there is one to send now; whether more follow.
    pub(in crate::load) fn send(&mut self, out: &mut Outlet<'_>) -> bool {
        match self.state {
            State::Idle => {
                self.state = State::SynSent;
                self.moved = out.now;
                self.send_syn(out.frames);
                false
            }
            State::Open => self.send_open(out),
            State::SynSent | State::Closed => false,
        }
    }

    pub(super) fn send_syn(&self, frames: &mut FrameBatch) {
        let options = options::of_syn(self.mss as u16, SHIFT, self.flight.is_some());
        let header = Header {
            port: self.port,
            seq: ISN,
            ack: 0,
            flags: SYN,
            window: OPEN,
        };
        wire::tcp(frames, &header, &options, &[]);
    }

    /// Appends a segment of the open connection, which acknowledges all that has come.
    fn segment(
        &mut self,
        out: &mut Outlet<'_>,
        seq: u32,
        flags: u8,
        options: &[u8],
        payload: &[u8],
    ) {
        let fin = u64::from(self.peer_fin == Some(self.got));
        let header = Header {
            port: self.port,
            seq,
            ack: self.peer_isn.wrapping_add((1 + self.got + fin) as u32),
            flags: flags | ACK,
            window: self.window_field(out.now),
        };
        wire::tcp(out.frames, &header, options, payload);
        self.unacknowledged = 0;
        self.owes_ack = false;
        self.ack_at = None;
    }

    /// Bytes of the next segment that leaves for the first time; 0 if none may.
    fn fresh(&self) -> u64 {
        let mut room = (self.acked + self.window).saturating_sub(self.sent);
        if let Some(flight) = &self.flight {
            room = room.min(flight.room());
        }
        let left = self.limit.saturating_sub(self.sent);
        let len = left.min(room).min(u64::from(self.mss));
        // No tiny segments while more is to come and something is on its way (RFC 9293 section 3.8.6.2.1).
        let full = len == left || len == u64::from(self.mss) || self.sent == self.acked;
        if full { len } else { 0 }
    }

    /// Whether an acknowledgement is due that has more to report than a segment with payload could.
    fn owes_report(&self) -> bool {
        self.owes_ack && self.flight.is_some() && (self.twice.is_some() || !self.early.is_empty())
    }

    /// The segment that is to be sent again now, on a path.
    fn lost(&self) -> Option<(u64, u64)> {
        self.flight.as_ref()?.next_lost()
    }

    fn retransmit(&mut self, out: &mut Outlet<'_>, (start, end): (u64, u64)) {
        let data = end.min(self.plan.up);
        let fin = if end > data { FIN } else { 0 };
        let payload = (out.pattern).slice(upstream(self.number), start, (data - start) as usize);
        self.segment(out, Self::seq(start), fin, &[], payload);
        self.retransmissions += 1;
        self.moved = out.now;
        if let Some(flight) = &mut self.flight {
            flight.sent_again(out.now);
        }
    }

    fn send_ack(&mut self, out: &mut Outlet<'_>) {
        let next = Self::seq(self.sent).wrapping_add(u32::from(self.fin_sent));
        let (options, len) = if self.flight.is_some() {
            let blocks = self.twice.take().into_iter().chain(self.early.iter());
            options::sack(self.peer_isn.wrapping_add(1), blocks)
        } else {
            options::sack(0, core::iter::empty())
        };
        self.segment(out, next, 0, options.get(..len).unwrap_or_default(), &[]);
        if self.fin_acked && self.peer_fin == Some(self.got) {
            self.state = State::Closed;
        }
    }

    fn send_open(&mut self, out: &mut Outlet<'_>) -> bool {
        if self.owes_report() {
            self.send_ack(out);
            return self.has_something_to_send();
        }
        if let Some(lost) = self.lost() {
            self.retransmit(out, lost);
            return self.has_something_to_send();
        }
        let len = self.fresh();
        if len > 0 {
            self.send_data(out, len);
            return self.sent < self.limit || self.fin_due();
        }
        if self.fin_due() {
            self.segment(out, Self::seq(self.sent), FIN, &[], &[]);
            if let Some(flight) = &mut self.flight {
                flight.sent(self.sent, self.sent + 1, out.now);
            }
            self.fin_sent = true;
            self.fin_left = true;
            self.moved = out.now;
        } else if core::mem::take(&mut self.probes) {
            // One byte before the window: a stack must answer with where it stands (RFC 9293 section 3.10.7.4).
            self.segment(out, Self::seq(self.sent).wrapping_sub(1), 0, &[], &[]);
        } else if self.owes_ack {
            self.send_ack(out);
        }
        false
    }

    /// The next `len` bytes, for the first time, or again after it went back.
    fn send_data(&mut self, out: &mut Outlet<'_>, len: u64) {
        let end = self.sent + len;
        let fin = end == self.plan.up && self.plan.fin_with_data && self.may_end();
        let push = if end == self.limit { PSH } else { 0 };
        let flags = if fin { push | FIN } else { push };
        let payload = (out.pattern).slice(upstream(self.number), self.sent, len as usize);
        self.segment(out, Self::seq(self.sent), flags, &[], payload);
        if self.sent == self.acked {
            self.moved = out.now;
        }
        self.retransmissions += u64::from(self.sent < self.furthest);
        if let Some(flight) = &mut self.flight {
            flight.sent(self.sent, end + u64::from(fin), out.now);
        }
        self.sent = end;
        self.fin_sent |= fin;
        self.fin_left |= fin;
        self.furthest = self.furthest.max(end);
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

    /// Whether [`Client::send`] would send something now.
    pub(in crate::load) fn has_something_to_send(&self) -> bool {
        match self.state {
            State::Idle => true,
            State::SynSent | State::Closed => false,
            State::Open => {
                self.fresh() > 0
                    || self.fin_due()
                    || self.owes_ack
                    || self.probes
                    || self.lost().is_some()
            }
        }
    }
}
