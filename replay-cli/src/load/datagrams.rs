//! The device's UDP sockets: which datagram goes next, how many may be on their way, which came back how often.

use std::collections::VecDeque;

use engine::Micros;

use super::pattern::Pattern;
use super::plan::DatagramPlan;
use super::wire::{self, Tag};

/// Without any answer for so long, what is on its way counts as lost; microseconds.
const PATIENCE: u64 = 500_000;

/// All sockets, and what they may send.
#[derive(Clone, Debug, Default)]
pub(super) struct Datagrams {
    plan: DatagramPlan,
    sockets: Vec<Socket>,
    /// Sockets that have something to send and may not now.
    gated: VecDeque<usize>,
    began: Option<Micros>,
    sent: u64,
    /// Datagrams whose last answer has not come.
    on_their_way: u64,
    heard: Micros,
}

#[derive(Clone, Debug)]
struct Socket {
    port: u16,
    left: u64,
    /// How often each that went out came back.
    back: Vec<u8>,
}

impl Datagrams {
    pub(super) fn new(plan: DatagramPlan) -> Self {
        Self {
            plan,
            sockets: Vec::with_capacity(plan.sockets),
            gated: VecDeque::with_capacity(plan.sockets),
            ..Self::default()
        }
    }

    pub(super) fn plan(&self) -> &DatagramPlan {
        &self.plan
    }

    /// Opens the next socket.
    pub(super) fn open(&mut self, port: u16) {
        let sockets = self.plan.sockets as u64;
        let left = self.plan.count / sockets
            + u64::from((self.sockets.len() as u64) < self.plan.count % sockets);
        self.sockets.push(Socket {
            port,
            left,
            back: Vec::with_capacity(left as usize),
        });
    }

    /// The load begins, if it has not.
    pub(super) fn start(&mut self, now: Micros) {
        if self.began.is_none() {
            self.began = Some(now);
            self.heard = now;
        }
    }

    /// Port and tag of the socket's next datagram; `None`: it has none, or may not send it now.
    pub(super) fn next(&mut self, now: Micros, at: usize) -> Option<(u16, Tag)> {
        let gated = !self.may_send(now);
        let socket = self.sockets.get_mut(at).filter(|socket| socket.left > 0)?;
        if gated {
            self.gated.push_back(at);
            return None;
        }
        let number = socket.back.len() as u32;
        socket.left -= 1;
        socket.back.push(0);
        if self.on_their_way == 0 {
            self.heard = now;
        }
        self.sent += 1;
        self.on_their_way += u64::from(self.plan.replies > 0);
        let tag = Tag {
            socket: at as u32,
            number,
        };
        Some((socket.port, tag))
    }

    fn may_send(&self, now: Micros) -> bool {
        if self.plan.per_second > 0 {
            return self.due(self.sent) <= now;
        }
        self.on_their_way < self.plan.in_flight
    }

    /// When the datagram with this number may go, at the rate that is set.
    fn due(&self, number: u64) -> Micros {
        let after = u128::from(number) * 1_000_000 / u128::from(self.plan.per_second.max(1));
        let after = u64::try_from(after).unwrap_or(u64::MAX);
        Micros(self.began.unwrap_or_default().0.saturating_add(after))
    }

    /// Sockets that may send again.
    pub(super) fn woken(&mut self, now: Micros) -> impl Iterator<Item = usize> {
        let room = match self.may_send(now) {
            false => 0,
            true if self.plan.per_second > 0 => usize::MAX,
            true => (self.plan.in_flight - self.on_their_way) as usize,
        };
        self.gated.drain(..self.gated.len().min(room))
    }

    /// An answer for a socket.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn receive(
        &mut self,
        now: Micros,
        at: usize,
        pattern: &Pattern,
        payload: &[u8],
    ) -> Result<(), String> {
        let wrong = |what: &str| Err(format!("socket {at}: {what}"));
        if payload.len() != self.plan.len || !wire::is_datagram(pattern, payload) {
            return wrong("a datagram is not what was sent");
        }
        let Some(tag) = Tag::of(payload).filter(|tag| tag.socket as usize == at) else {
            return wrong("a datagram of another socket came");
        };
        let Some(socket) = self.sockets.get_mut(at) else {
            return wrong("it is none of the load's");
        };
        let Some(count) = socket.back.get_mut(tag.number as usize) else {
            return wrong("a datagram came that was never sent");
        };
        if *count >= self.plan.replies {
            return wrong("a datagram came back more often than it was sent");
        }
        *count += 1;
        if *count == self.plan.replies {
            self.on_their_way = self.on_their_way.saturating_sub(1);
        }
        self.heard = now;
        Ok(())
    }

    /// What is on its way and has been silent for too long is given up.
    pub(super) fn timeout(&mut self, now: Micros) {
        if self.on_their_way > 0 && now.0 >= self.heard.0 + PATIENCE {
            self.on_their_way = 0;
        }
    }

    pub(super) fn deadline(&self) -> Option<Micros> {
        let lost = (self.on_their_way > 0).then_some(Micros(self.heard.0 + PATIENCE));
        let paced = self.plan.per_second > 0 && !self.gated.is_empty();
        let next = paced.then(|| self.due(self.sent));
        lost.into_iter().chain(next).min()
    }

    /// Whether all went out, and came back or is given up.
    pub(super) fn is_done(&self) -> bool {
        self.on_their_way == 0 && self.sockets.iter().all(|socket| socket.left == 0)
    }
}
