//! The device: all clients of the load behind one address, in turns.

use std::collections::VecDeque;

use engine::{FrameBatch, Micros};

use super::client::Client;
use super::datagrams::Datagrams;
use super::pattern::Pattern;
use super::plan::{DatagramPlan, FlowPlan};
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
    /// Bytes of streams received, each once.
    pub received: u64,
    /// Flows whose bytes all arrived, both ways.
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

/// Many clients that take turns, one segment at a time.
#[derive(Debug)]
pub struct Device {
    pattern: Pattern,
    ends: Ends,
    mtu: usize,
    clients: Vec<Client>,
    datagrams: Datagrams,
    /// Which client or socket has a port; sockets follow the clients.
    by_port: Vec<u32>,
    ready: VecDeque<u32>,
    /// Clients that owe an acknowledgement of a single segment.
    pending: Vec<u32>,
    /// Clients that begin later, the next one last.
    waiting: Vec<(Micros, u32)>,
    next_port: u16,
    patience: u64,
    /// The clients are on a path; how long they delay an acknowledgement, microseconds.
    ack_delay: Option<u64>,
    /// When a client received a byte for the first time last.
    arrived: Micros,
    /// Clients that hold their bytes back and are not connected yet, and whether they wait for a release.
    to_stand: usize,
    held: bool,
    totals: DeviceTotals,
    troubles: Vec<String>,
}

const NOBODY: u32 = u32::MAX;
/// Without progress for so long a client sends again, microseconds.
const PATIENCE: u64 = 250_000;

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
            datagrams: Datagrams::default(),
            by_port: vec![NOBODY; 1 << 16],
            ready: VecDeque::new(),
            pending: Vec::new(),
            waiting: Vec::new(),
            next_port: FIRST_PORT,
            patience: PATIENCE,
            ack_delay: None,
            arrived: Micros(0),
            to_stand: 0,
            held: false,
            totals: DeviceTotals::default(),
            troubles: Vec::new(),
        }
    }

    /// Sets after how much time without progress a client sends again. Default 250 ms.
    pub fn set_patience(&mut self, micros: u64) {
        self.patience = micros;
    }

    /// The clients are on a path: each is a TCP of its own, with a congestion window, that repairs what is lost. It
    /// acknowledges each segment, or every second one and a single one after `ack_delay` microseconds. Call it before
    /// [`Device::add`].
    pub fn set_path(&mut self, ack_delay: u64) {
        self.ack_delay = Some(ack_delay);
    }

    /// When a byte arrived for the first time last.
    #[must_use]
    pub fn arrived(&self) -> Micros {
        self.arrived
    }

    fn client(&self, number: u32, plan: FlowPlan, port: u16) -> Client {
        let number = u64::from(number);
        let client = Client::new(number, plan, port, SERVER_TCP, self.mtu, self.patience);
        match self.ack_delay {
            Some(delay) => client.on_path(delay),
            None => client,
        }
    }

    /// Adds TCP flows; they keep their numbers in order, from 0 on. At most 60,000 may be open at once.
    pub fn add(&mut self, plans: impl IntoIterator<Item = FlowPlan>) {
        for plan in plans {
            let index = self.clients.len() as u32;
            let port = self.take_port(index);
            self.clients.push(self.client(index, plan, port));
            self.to_stand += usize::from(plan.held);
            self.held |= plan.held;
            if plan.start.0 == 0 {
                self.list(index);
            } else {
                self.waiting.push((plan.start, index));
            }
        }
        self.waiting.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Adds UDP sockets that send `count` datagrams in all, of `len` bytes each. Call it after [`Device::add`].
    pub fn add_udp(&mut self, sockets: usize, count: u64, len: usize) {
        self.add_datagrams(DatagramPlan::new(sockets, count, len));
    }

    /// Adds UDP sockets and what they send. Call it after [`Device::add`], and once.
    pub fn add_datagrams(&mut self, plan: DatagramPlan) {
        self.datagrams = Datagrams::new(plan);
        for socket in 0..plan.sockets {
            let index = (self.clients.len() + socket) as u32;
            let port = self.take_port(index);
            self.datagrams.open(port);
            self.ready.push_back(index);
        }
    }

    /// Gives the flow with this number a new life, on a new port; says which.
    pub fn reopen(&mut self, number: u32, now: Micros) -> Option<u16> {
        let old = self.clients.get(number as usize)?;
        let (plan, port) = (old.plan, old.port());
        self.settle(number);
        if let Some(place) = self.by_port.get_mut(usize::from(port)) {
            *place = NOBODY;
        }
        let port = self.take_port(number);
        let plan = FlowPlan { start: now, ..plan };
        let fresh = self.client(number, plan, port);
        if let Some(client) = self.clients.get_mut(number as usize) {
            *client = fresh;
        }
        self.list(number);
        Some(port)
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

    /// How often the far side is to send each datagram back.
    #[must_use]
    pub fn replies(&self) -> u8 {
        self.datagrams.plan().replies
    }

    /// Appends at most `most` frames to `out`, one of each flow in its turn.
    pub fn speak(&mut self, now: Micros, most: usize, out: &mut FrameBatch) {
        while self.waiting.last().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, index)) = self.waiting.pop() {
                self.list(index);
            }
        }
        let before = out.len();
        self.datagrams.start(now);
        while out.len() - before < most {
            let Some(index) = self.ready.pop_front() else {
                return;
            };
            let clients = self.clients.len();
            match self.clients.get_mut(index as usize) {
                Some(client) => {
                    if client.speak(now, &self.ends, &self.pattern, out) {
                        self.ready.push_back(index);
                    } else {
                        client.listed = false;
                    }
                }
                None => self.speak_udp(now, index as usize - clients, out),
            }
        }
    }

    fn speak_udp(&mut self, now: Micros, socket: usize, out: &mut FrameBatch) {
        let Some((port, tag)) = self.datagrams.next(now, socket) else {
            return;
        };
        let (ports, len) = ((port, SERVER_UDP), self.datagrams.plan().len);
        wire::udp(out, &self.ends, ports, &self.pattern, tag, len);
        self.totals.datagrams.0 += 1;
        self.ready.push_back((self.clients.len() + socket) as u32);
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
                let (stood, had) = (client.is_open(), client.received());
                client.hear(now, &self.pattern, &header, options, payload);
                if client.received() > had {
                    self.arrived = now;
                }
                if !stood && client.is_open() && client.plan.held {
                    self.to_stand -= 1;
                }
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
                match self.datagrams.hear(now, at, &self.pattern, payload) {
                    Ok(()) => {
                        self.totals.datagrams.1 += 1;
                        self.wake_sockets(now);
                    }
                    Err(trouble) if self.troubles.len() < 20 => self.troubles.push(trouble),
                    Err(_) => {}
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
        let sockets = self.datagrams.deadline();
        [start, clients, sockets].into_iter().flatten().min()
    }

    fn wake_sockets(&mut self, now: Micros) {
        let clients = self.clients.len();
        let woken = self.datagrams.woken(now);
        self.ready
            .extend(woken.map(|socket| (clients + socket) as u32));
    }

    /// Acts upon what is due.
    pub fn timeout(&mut self, now: Micros, out: &mut FrameBatch) {
        self.datagrams.timeout(now);
        self.wake_sockets(now);
        for index in 0..self.clients.len() as u32 {
            if let Some(client) = self.clients.get_mut(index as usize) {
                client.timeout(now, &self.ends, out);
                if client.is_open() && client.has_words() {
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
        self.clients.iter().all(done) && self.datagrams.is_done()
    }

    /// Whether every flow that holds its bytes back is connected, and none has been released.
    #[must_use]
    pub fn stands(&self) -> bool {
        self.held && self.to_stand == 0
    }

    /// Lets the flows that hold their bytes back send them.
    pub fn release(&mut self) {
        self.held = false;
        for index in 0..self.clients.len() as u32 {
            if let Some(client) = self.clients.get_mut(index as usize)
                && client.plan.held
            {
                client.release();
                if client.has_words() && client.is_open() {
                    self.list(index);
                }
            }
        }
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
