//! A turn, a host that remembers, and a device, in a time that the test sets.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use engine::{
    Close, Config, DialResult, DnsRecord, FlowId, FlowKey, Frames, How, LogRecord, Micros, QueryId,
    QueryKind, RemoteEnd,
};
use engine_driver::{Host, Limits, Mailbox, ManualClock, Notice, Turn};

use crate::support::{Device, Packet};

/// What a host was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Dial(FlowId),
    Data(FlowId, usize),
    Datagram(FlowId, Vec<u8>),
    HalfClose(FlowId),
    Resume(FlowId, usize),
    Close(FlowId, How),
    Resolve(QueryId, String, QueryKind),
    Notice(Notice),
}

/// A host that takes as much as the test allows.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) frames: Vec<Vec<u8>>,
    pub(crate) told: Vec<Told>,
    pub(crate) sent: Vec<u8>,
    pub(crate) lines: Vec<String>,
    /// Frames it takes before it refuses; `None`: all.
    pub(crate) frame_credit: Option<usize>,
    /// Bytes it takes of each `data`, in turn; then all.
    pub(crate) data_credit: VecDeque<usize>,
    pub(crate) refuses_datagrams: bool,
    /// Leaves names to the turn's resolver.
    pub(crate) leaves_names: bool,
    /// Answers dials at once, from within the call.
    pub(crate) answers: Option<Arc<Mailbox>>,
}

impl Host for Recorder {
    fn frames(&mut self, frames: Frames<'_>) -> usize {
        let most = self.frame_credit.unwrap_or(usize::MAX).min(frames.len());
        if let Some(credit) = &mut self.frame_credit {
            *credit -= most;
        }
        let taken = frames.iter().take(most);
        self.frames.extend(taken.map(<[u8]>::to_vec));
        most
    }

    fn dial(&mut self, flow: FlowId, _key: FlowKey, _name: Option<&str>) {
        self.told.push(Told::Dial(flow));
        if let Some(mailbox) = &self.answers {
            mailbox
                .dialed(flow, DialResult::Connected)
                .expect("the flow is known before it is dialed");
        }
    }

    fn data(&mut self, flow: FlowId, bytes: &[u8]) -> usize {
        let taken = self.data_credit.pop_front().unwrap_or(bytes.len());
        self.sent.extend(&bytes[..taken]);
        self.told.push(Told::Data(flow, taken));
        taken
    }

    fn datagram(&mut self, flow: FlowId, _to: SocketAddr, payload: &[u8]) -> bool {
        if self.refuses_datagrams {
            return false;
        }
        self.told.push(Told::Datagram(flow, payload.to_vec()));
        true
    }

    fn half_close(&mut self, flow: FlowId) {
        self.told.push(Told::HalfClose(flow));
    }

    fn resume(&mut self, flow: FlowId, space: usize) {
        self.told.push(Told::Resume(flow, space));
    }

    fn close(&mut self, flow: FlowId, _key: FlowKey, close: Close) {
        self.told.push(Told::Close(flow, close.how));
    }

    fn dns(&mut self, _flow: Option<FlowId>, _record: &DnsRecord) {}

    fn resolve(&mut self, query: QueryId, name: &str, kind: QueryKind) -> bool {
        self.told.push(Told::Resolve(query, name.to_owned(), kind));
        !self.leaves_names
    }

    fn log(&mut self, record: &LogRecord) {
        self.lines.push(record.to_string());
    }

    fn notice(&mut self, notice: &Notice) {
        self.told.push(Told::Notice(*notice));
    }
}

pub(crate) struct Scene {
    pub(crate) turn: Turn,
    pub(crate) host: Recorder,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) wakes: Arc<AtomicUsize>,
    pub(crate) now: Micros,
}

impl Scene {
    pub(crate) fn new(config: Config, limits: Limits) -> Self {
        let clock = Arc::new(ManualClock::new(Micros::from_secs(1)));
        let wakes = Arc::new(AtomicUsize::new(0));
        let woken = Arc::clone(&wakes);
        let turn = Turn::new(config, limits, Arc::clone(&clock) as _, move || {
            woken.fetch_add(1, Ordering::Relaxed);
        });
        Self {
            turn: turn.expect("sound settings"),
            host: Recorder::default(),
            clock,
            wakes,
            now: Micros::from_secs(1),
        }
    }

    pub(crate) fn mailbox(&self) -> Arc<Mailbox> {
        Arc::clone(self.turn.mailbox())
    }

    pub(crate) fn pass(&mut self, micros: u64) {
        self.now = Micros(self.now.0 + micros);
        self.clock.set(self.now);
    }

    pub(crate) fn run(&mut self) -> Option<Micros> {
        self.turn.run(self.now, &mut self.host)
    }

    /// Turns at one instant until none is wanted at once.
    pub(crate) fn settle(&mut self) -> Option<Micros> {
        for _ in 0..10_000 {
            let next = self.run();
            if next != Some(self.now) {
                return next;
            }
        }
        panic!("the turn never rests");
    }

    pub(crate) fn frame(&self, frame: &[u8]) {
        assert!(self.mailbox().frame(frame), "the ring has room");
    }

    /// Lets the device hear every frame that came out, and forgets them.
    pub(crate) fn receive(&mut self, device: &mut Device) {
        for frame in self.host.frames.drain(..) {
            if let Packet::Tcp(segment) = Packet::read(&frame)
                && segment.to == device.local
            {
                device.take(&segment);
            }
        }
    }

    /// Opens a TCP flow from SYN to the end of the handshake.
    pub(crate) fn open(&mut self, device: &mut Device) -> FlowId {
        self.frame(&device.syn());
        self.settle();
        let flow = self.last_dial();
        self.mailbox()
            .dialed(flow, DialResult::Connected)
            .expect("a fresh flow");
        self.settle();
        self.receive(device);
        self.frame(&device.ack());
        self.settle();
        flow
    }

    pub(crate) fn last_dial(&self) -> FlowId {
        let dial = self.host.told.iter().rev().find_map(|told| match told {
            Told::Dial(flow) => Some(*flow),
            _ => None,
        });
        dial.expect("a dial")
    }

    /// Acknowledges all that comes until nothing more does.
    pub(crate) fn read_all(&mut self, device: &mut Device) {
        for _ in 0..1000 {
            self.settle();
            if self.host.frames.is_empty() {
                return;
            }
            self.receive(device);
            self.frame(&device.ack());
        }
        panic!("the download never ends");
    }

    pub(crate) fn send(&self, flow: FlowId, bytes: &[u8]) -> usize {
        self.mailbox().data(flow, bytes).expect("an open flow")
    }

    pub(crate) fn end(&self, flow: FlowId, end: RemoteEnd) {
        self.mailbox().ended(flow, end).expect("an open flow");
    }
}
