//! What a client does with a segment that it receives.

use engine::Micros;

use super::super::pattern::{Pattern, downstream};
use super::super::wire::{FIN, Header, RST, SYN};
use super::options::{self, Offers};
use super::{Client, State};

impl Client {
    /// Takes in a segment.
    pub(in crate::load) fn receive(
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
                let offers = Offers::read(options);
                self.mss = self.mss.min(u32::from(offers.mss.unwrap_or(536)));
                self.shift = offers.shift.unwrap_or(0);
                self.window = u64::from(header.window);
                if let Some(flight) = &mut self.flight {
                    let once = self.retransmissions == 0;
                    flight.begins(self.mss, once.then(|| now.0.saturating_sub(self.moved.0)));
                }
                self.moved = now;
                self.opened = now;
            }
            self.owes_ack = true;
            return;
        }
        if self.state != State::Open {
            return;
        }
        self.receive_ack(now, header, options, payload.is_empty());
        self.take_turn(now);
        let next = self.peer_isn.wrapping_add((1 + self.got) as u32);
        // Beyond half the range of sequence numbers it is behind what has come.
        let ahead = header.seq.wrapping_sub(next).cast_signed();
        let at = self.got.wrapping_add_signed(ahead.into());
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
        if at > self.got || end <= self.got {
            if end <= self.got || self.early.add(at, end) {
                self.twice = Some((at, end));
            }
            self.owes_ack = true;
            return;
        }
        let filled = !self.early.is_empty();
        self.got = self.early.join(end);
        self.reads_on(now);
        self.unacknowledged += 1;
        let each = self.flight.is_some() && self.ack_delay == 0;
        if each || self.unacknowledged >= 2 || filled {
            self.owes_ack = true;
        } else if self.ack_delay > 0 {
            self.ack_at = Some(Micros(now.0 + self.ack_delay));
        }
        self.take_turn(now);
    }

    fn receive_ack(&mut self, now: Micros, header: &Header, options: &[u8], bare: bool) {
        let ahead = u64::from(header.ack.wrapping_sub(Self::seq(self.acked)));
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
                if self.duplicates == 3 && self.flight.is_none() {
                    self.go_back();
                }
            }
            self.window = window;
            if let Some(flight) = &mut self.flight {
                let upto = self.acked + u64::from(self.fin_acked);
                let place = |seq: u32| upto + u64::from(seq.wrapping_sub(header.ack));
                let blocks = options::blocks(options);
                // What is below the acknowledgement was received twice.
                let beyond = blocks.filter(|(left, _)| left.wrapping_sub(header.ack) < 1 << 31);
                flight.acknowledged(now, upto, beyond.map(|(l, r)| (place(l), place(r))));
            }
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
