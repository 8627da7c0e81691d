//! The device: all clients of the load behind one address, in turns.

use std::collections::VecDeque;

use engine::{FrameBatch, Micros};

use super::client::{Client, Outlet};
use super::datagrams::Datagrams;
use super::pattern::Pattern;
use super::plan::{DatagramPlan, FlowPlan};
use super::troubles::Troubles;
use super::wire::{self, Received};

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
#[derive(Debug, Default)]
pub struct Device {
    pattern: Pattern,
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
    to_connect: usize,
    held: bool,
    totals: DeviceTotals,
    troubles: Troubles,
}

const NOBODY: u32 = u32::MAX;
/// Without progress for so long a client sends again, microseconds.
const PATIENCE: u64 = 250_000;

impl DeviceTotals {
    /// Counts what a flow carried.
    fn add(&mut self, client: &Client) {
        self.received += client.received();
        self.served += u64::from(client.is_served());
        self.resets += u64::from(client.reset);
        self.retransmissions += client.retransmissions;
    }
}

impl Device {
    /// A device without flows, on a link of this MTU.
    #[must_use]
    pub fn new(mtu: usize) -> Self {
        Self {
            mtu,
            by_port: vec![NOBODY; 1 << 16],
            next_port: FIRST_PORT,
            patience: PATIENCE,
            ..Self::default()
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
        let client = Client::new(number, plan, port, self.mtu, self.patience);
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
            self.to_connect += usize::from(plan.held);
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

    /// Gives the flow with this number a new life, on a new port, which is returned.
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
            self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
            let free = |place: &&mut u32| **place == NOBODY;
            if let Some(place) = self.by_port.get_mut(usize::from(port)).filter(free) {
                *place = index;
                return port;
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

    /// The index of the client or socket that has a port.
    fn index_on(&self, port: u16) -> u32 {
        let index = self.by_port.get(usize::from(port));
        index.copied().unwrap_or(NOBODY)
    }

    /// The number of the TCP flow on a port of the device.
    #[must_use]
    pub fn flow_on(&self, port: u16) -> Option<u64> {
        let client = self.clients.get(self.index_on(port) as usize)?;
        Some(client.number)
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

    /// Appends at most `most` frames to `frames`, one of each flow in its turn.
    pub fn emit(&mut self, now: Micros, most: usize, frames: &mut FrameBatch) {
        while self.waiting.last().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, index)) = self.waiting.pop() {
                self.list(index);
            }
        }
        let before = frames.len();
        self.datagrams.start(now);
        while frames.len() - before < most {
            let Some(index) = self.ready.pop_front() else {
                return;
            };
            let clients = self.clients.len();
            match self.clients.get_mut(index as usize) {
                Some(client) => {
                    let pattern = &self.pattern;
                    if client.send(&mut Outlet {
                        now,
                        pattern,
                        frames,
                    }) {
                        self.ready.push_back(index);
                    } else {
                        client.listed = false;
                    }
                }
                None => self.emit_datagram(now, index as usize - clients, frames),
            }
        }
    }

    fn emit_datagram(&mut self, now: Micros, socket: usize, frames: &mut FrameBatch) {
        let Some((port, tag)) = self.datagrams.next(now, socket) else {
            return;
        };
        let len = self.datagrams.plan().len;
        wire::udp(frames, port, &self.pattern, tag, len);
        self.totals.datagrams.0 += 1;
        self.ready.push_back((self.clients.len() + socket) as u32);
    }

    /// Takes in a frame from the stack.
    pub fn receive(&mut self, now: Micros, frame: &[u8]) {
        self.totals.frames += 1;
        match wire::read(frame) {
            Received::Tcp {
                header,
                options,
                payload,
            } => {
                let index = self.index_on(header.port);
                let Some(client) = self.clients.get_mut(index as usize) else {
                    return;
                };
                let (was_open, had) = (client.is_open(), client.received());
                client.receive(now, &self.pattern, &header, options, payload);
                if client.received() > had {
                    self.arrived = now;
                }
                if !was_open && client.is_open() && client.plan.held {
                    self.to_connect -= 1;
                }
                if client.has_something_to_send() {
                    self.list(index);
                } else if !payload.is_empty() {
                    self.pending.push(index);
                }
            }
            Received::Udp { port, payload } => {
                let at = (self.index_on(port) as usize).wrapping_sub(self.clients.len());
                match self.datagrams.receive(now, at, &self.pattern, payload) {
                    Ok(()) => {
                        self.totals.datagrams.1 += 1;
                        self.wake_sockets(now);
                    }
                    Err(trouble) => self.troubles.add(|| trouble),
                }
            }
            Received::Other => {}
            Received::Broken(what) => self.troubles.add(|| what.to_owned()),
        }
    }

    /// Nothing else is going on: single segments are acknowledged. Says whether any was.
    pub fn quiet(&mut self) -> bool {
        let mut pending = core::mem::take(&mut self.pending);
        for index in pending.drain(..) {
            if let Some(client) = self.clients.get_mut(index as usize) {
                client.flush();
                if client.has_something_to_send() {
                    self.list(index);
                }
            }
        }
        self.pending = pending;
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
    pub fn timeout(&mut self, now: Micros, frames: &mut FrameBatch) {
        self.datagrams.timeout(now);
        self.wake_sockets(now);
        for index in 0..self.clients.len() as u32 {
            if let Some(client) = self.clients.get_mut(index as usize) {
                client.timeout(now, frames);
                if client.is_open() && client.has_something_to_send() {
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
    pub fn all_connected(&self) -> bool {
        self.held && self.to_connect == 0
    }

    /// Lets the flows that hold their bytes back send them.
    pub fn release(&mut self) {
        self.held = false;
        for index in 0..self.clients.len() as u32 {
            if let Some(client) = self.clients.get_mut(index as usize)
                && client.plan.held
            {
                client.release();
                if client.has_something_to_send() && client.is_open() {
                    self.list(index);
                }
            }
        }
    }

    /// Counts a flow that ended, before it is forgotten.
    fn settle(&mut self, number: u32) {
        if let Some(client) = self.clients.get_mut(number as usize) {
            self.totals.add(client);
            if let Some(trouble) = client.trouble.take() {
                self.troubles.add(|| format!("flow {number}: {trouble}"));
            }
        }
    }

    /// What the device saw in all.
    #[must_use]
    pub fn totals(&self) -> DeviceTotals {
        let mut totals = self.totals;
        for client in &self.clients {
            totals.add(client);
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
        let ended = self.troubles.all().iter().cloned();
        ended.chain(clients.take(20)).collect()
    }
}
