//! The device: all clients of the load behind one address, in turns.

use std::collections::VecDeque;

use engine::{FrameBatch, Micros};

use super::client::{Client, FlowPlan};
use super::pattern::{Pattern, upstream};
use super::wire::{self, Ends, Heard};

/// The port that TCP flows ask for.
const SERVER_TCP: u16 = 80;
/// The port that UDP flows ask for.
const SERVER_UDP: u16 = 7;
/// The first port of the device's sockets.
const FIRST_PORT: u16 = 1024;

/// What the device saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceTotals {
    /// Octets of streams received, each once.
    pub received: u64,
    /// Flows whose octets all arrived, both ways.
    pub served: u64,
    /// Flows that were reset.
    pub resets: u64,
    /// Segments sent again.
    pub retransmissions: u64,
    /// Datagrams sent and received.
    pub datagrams: (u64, u64),
    /// Frames received.
    pub frames: u64,
}

/// A UDP socket: how many datagrams went out, and which came back.
#[derive(Clone, Debug)]
struct UdpSocket {
    number: u64,
    left: u64,
    sent: u64,
    back: u64,
}

/// Many clients that take turns, one segment at a time.
#[derive(Debug)]
pub struct Device {
    pattern: Pattern,
    ends: Ends,
    mtu: usize,
    clients: Vec<Client>,
    sockets: Vec<UdpSocket>,
    datagram: usize,
    /// Which client or socket has a port; sockets follow the clients.
    by_port: Vec<u32>,
    ready: VecDeque<u32>,
    /// Clients that owe an acknowledgement of a single segment.
    pending: Vec<u32>,
    /// Clients that begin later, the next one last.
    waiting: Vec<(Micros, u32)>,
    next_port: u16,
    totals: DeviceTotals,
    troubles: Vec<String>,
}

const NOBODY: u32 = u32::MAX;

impl Device {
    /// A device without flows, on a link of this MTU.
    #[must_use]
    pub fn new(mtu: usize) -> Self {
        Self {
            pattern: Pattern::default(),
            ends: Ends {
                device: [10, 0, 0, 2].into(),
                server: [198, 18, 0, 1].into(),
            },
            mtu,
            clients: Vec::new(),
            sockets: Vec::new(),
            datagram: 0,
            by_port: vec![NOBODY; 1 << 16],
            ready: VecDeque::new(),
            pending: Vec::new(),
            waiting: Vec::new(),
            next_port: FIRST_PORT,
            totals: DeviceTotals::default(),
            troubles: Vec::new(),
        }
    }

    /// Adds TCP flows; they keep their numbers in order, from 0 on. At most 60,000 may be open at once.
    pub fn add(&mut self, plans: impl IntoIterator<Item = FlowPlan>) {
        for plan in plans {
            let index = self.clients.len() as u32;
            let port = self.take_port(index);
            self.clients.push(Client::new(
                u64::from(index),
                plan,
                port,
                SERVER_TCP,
                self.mtu,
            ));
            if plan.start.0 == 0 {
                self.list(index);
            } else {
                self.waiting.push((plan.start, index));
            }
        }
        self.waiting.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Adds UDP sockets that send `count` datagrams in all, of `len` octets each. Call it after [`Device::add`].
    pub fn add_udp(&mut self, sockets: usize, count: u64, len: usize) {
        let share = count / sockets.max(1) as u64;
        let rest = count - share * sockets as u64;
        self.datagram = len.max(8);
        for _ in 0..sockets {
            let index = (self.clients.len() + self.sockets.len()) as u32;
            self.take_port(index);
            let number = self.sockets.len() as u64;
            self.sockets.push(UdpSocket {
                number,
                left: share + u64::from(number < rest),
                sent: 0,
                back: 0,
            });
            self.ready.push_back(index);
        }
    }

    /// Gives the flow with this number a new life, on a new port.
    pub fn reopen(&mut self, number: u32, now: Micros) {
        let Some(old) = self.clients.get(number as usize) else {
            return;
        };
        let (plan, port) = (old.plan, old.port());
        self.settle(number);
        if let Some(place) = self.by_port.get_mut(usize::from(port)) {
            *place = NOBODY;
        }
        let port = self.take_port(number);
        let plan = FlowPlan { start: now, ..plan };
        if let Some(client) = self.clients.get_mut(number as usize) {
            *client = Client::new(u64::from(number), plan, port, SERVER_TCP, self.mtu);
        }
        self.list(number);
    }

    fn take_port(&mut self, index: u32) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = if port == u16::MAX {
                FIRST_PORT
            } else {
                port + 1
            };
            match self.by_port.get_mut(usize::from(port)) {
                Some(place) if *place == NOBODY => {
                    *place = index;
                    return port;
                }
                _ => {}
            }
        }
    }

    fn list(&mut self, index: u32) {
        if let Some(client) = self.clients.get_mut(index as usize)
            && !client.listed
        {
            client.listed = true;
            self.ready.push_back(index);
        }
    }

    /// The number of the TCP flow on a port of the device.
    #[must_use]
    pub fn flow_on(&self, port: u16) -> Option<u64> {
        let index = *self.by_port.get(usize::from(port))?;
        self.clients.get(index as usize).map(|client| client.number)
    }

    /// The plan of a flow.
    #[must_use]
    pub fn plan(&self, number: u64) -> Option<&FlowPlan> {
        self.clients.get(number as usize).map(|client| &client.plan)
    }

    /// The pattern that both sides carry.
    #[must_use]
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Appends at most `most` frames to `out`, one of each flow in its turn.
    pub fn speak(&mut self, now: Micros, most: usize, out: &mut FrameBatch) {
        while self.waiting.last().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, index)) = self.waiting.pop() {
                self.list(index);
            }
        }
        let before = out.len();
        while out.len() - before < most {
            let Some(index) = self.ready.pop_front() else {
                return;
            };
            let sockets = self.clients.len();
            match self.clients.get_mut(index as usize) {
                Some(client) => {
                    if client.speak(now, &self.ends, &self.pattern, out) {
                        self.ready.push_back(index);
                    } else {
                        client.listed = false;
                    }
                }
                None => self.speak_udp(index, index as usize - sockets, out),
            }
        }
    }

    fn speak_udp(&mut self, index: u32, at: usize, out: &mut FrameBatch) {
        let Some(socket) = self.sockets.get_mut(at) else {
            return;
        };
        if socket.left == 0 {
            return;
        }
        let payload = self
            .pattern
            .slice(upstream(socket.number), socket.sent * 8, self.datagram);
        wire::udp(
            out,
            &self.ends,
            FIRST_PORT + index as u16,
            SERVER_UDP,
            payload,
        );
        socket.sent += 1;
        socket.left -= 1;
        self.totals.datagrams.0 += 1;
        self.ready.push_back(index);
    }

    /// Takes in a frame from the stack.
    pub fn hear(&mut self, now: Micros, frame: &[u8]) {
        self.totals.frames += 1;
        match wire::read(&self.ends, frame) {
            Heard::Tcp {
                header,
                options,
                payload,
            } => {
                let index = self
                    .by_port
                    .get(usize::from(header.port))
                    .copied()
                    .unwrap_or(NOBODY);
                let Some(client) = self.clients.get_mut(index as usize) else {
                    return;
                };
                client.hear(now, &self.pattern, &header, options, payload);
                if client.has_words() {
                    self.list(index);
                } else if !payload.is_empty() {
                    self.pending.push(index);
                }
            }
            Heard::Udp { port, payload } => {
                let index = self
                    .by_port
                    .get(usize::from(port))
                    .copied()
                    .unwrap_or(NOBODY);
                let at = (index as usize).wrapping_sub(self.clients.len());
                let Some(socket) = self.sockets.get_mut(at) else {
                    return;
                };
                // The answers of a far side that echoes come in the order of the questions.
                let expected =
                    self.pattern
                        .slice(upstream(socket.number), socket.back * 8, self.datagram);
                if payload == expected {
                    socket.back += 1;
                    self.totals.datagrams.1 += 1;
                } else if self.troubles.len() < 20 {
                    self.troubles.push(format!(
                        "datagram {} of socket {at} is not what was sent",
                        socket.back
                    ));
                }
            }
            Heard::Other => {}
            Heard::Broken(what) => {
                if self.troubles.len() < 20 {
                    self.troubles.push(what.to_owned());
                }
            }
        }
    }

    /// Nothing else is going on: single segments are acknowledged. Says whether any was.
    pub fn quiet(&mut self) -> bool {
        let pending = core::mem::take(&mut self.pending);
        for index in &pending {
            if let Some(client) = self.clients.get_mut(*index as usize) {
                client.flush();
                if client.has_words() {
                    self.list(*index);
                }
            }
        }
        self.pending = pending;
        self.pending.clear();
        !self.ready.is_empty()
    }

    /// When the device wants [`Device::timeout`]: a start, a retransmission, an app that reads again.
    #[must_use]
    pub fn deadline(&self) -> Option<Micros> {
        let start = self.waiting.last().map(|(at, _)| *at);
        let clients = self.clients.iter().filter_map(Client::deadline).min();
        [start, clients].into_iter().flatten().min()
    }

    /// Acts upon what is due.
    pub fn timeout(&mut self, now: Micros, out: &mut FrameBatch) {
        for index in 0..self.clients.len() as u32 {
            if let Some(client) = self.clients.get_mut(index as usize) {
                client.timeout(now, &self.ends, out);
                if client.has_words() && client.deadline().is_some() {
                    self.list(index);
                }
            }
        }
    }

    /// Whether a flow has ended, one way or another.
    #[must_use]
    pub fn is_closed(&self, number: u32) -> bool {
        self.clients
            .get(number as usize)
            .is_some_and(Client::is_closed)
    }

    /// Whether every flow has carried all it should, and has closed if it should.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let done = |client: &Client| {
            client.is_closed() || (client.plan.stays_open && client.is_open() && client.is_served())
        };
        self.clients.iter().all(done) && self.sockets.iter().all(|socket| socket.left == 0)
    }

    /// Counts a flow that ended, before it is forgotten.
    fn settle(&mut self, number: u32) {
        if let Some(client) = self.clients.get_mut(number as usize) {
            let totals = &mut self.totals;
            totals.received += client.received();
            totals.served += u64::from(client.is_served());
            totals.resets += u64::from(client.reset);
            totals.retransmissions += client.retransmissions;
            if let Some(trouble) = client.trouble.take()
                && self.troubles.len() < 20
            {
                self.troubles.push(format!("flow {number}: {trouble}"));
            }
        }
    }

    /// What the device saw in all.
    #[must_use]
    pub fn totals(&self) -> DeviceTotals {
        let mut totals = self.totals;
        for client in &self.clients {
            totals.received += client.received();
            totals.served += u64::from(client.is_served());
            totals.resets += u64::from(client.reset);
            totals.retransmissions += client.retransmissions;
        }
        totals
    }

    /// What was wrong, at most some twenty of it.
    #[must_use]
    pub fn troubles(&self) -> Vec<String> {
        let clients = self.clients.iter().filter_map(|client| {
            let trouble = client.trouble.as_ref()?;
            Some(format!("flow {}: {trouble}", client.number))
        });
        self.troubles
            .iter()
            .cloned()
            .chain(clients.take(20))
            .collect()
    }
}
