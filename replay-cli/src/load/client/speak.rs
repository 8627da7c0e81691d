//! What a client says: the next segment, what is to be sent again, acknowledgements.

use engine::{FrameBatch, Micros};

use super::super::pattern::{Pattern, upstream};
use super::super::plan::Side;
use super::super::wire::{self, ACK, Ends, FIN, Header, PSH, SYN};
use super::{Client, ISN, OPEN, SHIFT, State, options};

impl Client {
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

    pub(super) const fn at(place: u64) -> u32 {
        ISN.wrapping_add(1).wrapping_add(place as u32)
    }

    /// Appends the next segment, if there is one to send now; says whether more follow.
    pub(in crate::load) fn speak(
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

    pub(super) fn syn(&self, ends: &Ends, out: &mut FrameBatch) {
        let options = options::of_syn(self.mss as u16, SHIFT, self.flight.is_some());
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
    fn repair(&self) -> Option<(u64, u64)> {
        self.flight.as_ref()?.next_lost()
    }

    fn say_again(
        &mut self,
        now: Micros,
        ends: &Ends,
        pattern: &Pattern,
        (start, end): (u64, u64),
        out: &mut FrameBatch,
    ) {
        let data = end.min(self.plan.up);
        let fin = if end > data { FIN } else { 0 };
        let payload = pattern.slice(upstream(self.number), start, (data - start) as usize);
        let header = self.header(now, Self::at(start), ACK | fin);
        wire::tcp(out, ends, &header, &[], payload);
        self.retransmissions += 1;
        self.acknowledged_now();
        self.moved = now;
        if let Some(flight) = &mut self.flight {
            flight.sent_again(now);
        }
    }

    fn say_ack(&mut self, now: Micros, ends: &Ends, out: &mut FrameBatch) {
        let next = Self::at(self.sent).wrapping_add(u32::from(self.fin_sent));
        let header = self.header(now, next, ACK);
        if self.flight.is_some() {
            let first = self.peer_isn.wrapping_add(1);
            let blocks = self.twice.take().into_iter().chain(self.early.iter());
            let (options, len) = options::sack(first, blocks);
            let options = options.get(..len).unwrap_or_default();
            wire::tcp(out, ends, &header, options, &[]);
        } else {
            wire::tcp(out, ends, &header, &[], &[]);
        }
        self.acknowledged_now();
        if self.fin_acked && self.peer_fin == Some(self.got) {
            self.state = State::Closed;
        }
    }

    fn speak_open(
        &mut self,
        now: Micros,
        ends: &Ends,
        pattern: &Pattern,
        out: &mut FrameBatch,
    ) -> bool {
        if self.owes_report() {
            self.say_ack(now, ends, out);
            return self.has_words();
        }
        if let Some(lost) = self.repair() {
            self.say_again(now, ends, pattern, lost, out);
            return self.has_words();
        }
        let len = self.fresh();
        if len > 0 {
            let last = self.sent + len == self.limit;
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
            if let Some(flight) = &mut self.flight {
                flight.sent(self.sent, self.sent + len + u64::from(fin), now);
            }
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
            if let Some(flight) = &mut self.flight {
                flight.sent(self.sent, self.sent + 1, now);
            }
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
        if self.owes_ack {
            self.say_ack(now, ends, out);
        }
        false
    }

    fn acknowledged_now(&mut self) {
        self.unacknowledged = 0;
        self.owes_ack = false;
        self.ack_at = None;
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
    pub(in crate::load) fn has_words(&self) -> bool {
        match self.state {
            State::Idle => true,
            State::SynSent | State::Closed => false,
            State::Open => {
                self.fresh() > 0
                    || self.fin_due()
                    || self.owes_ack
                    || self.probes
                    || self.repair().is_some()
            }
        }
    }
}
