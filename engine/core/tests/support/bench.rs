//! An engine on a bench: inputs with their time, every output read and kept, every drain bounded.

use core::time::Duration;
use std::collections::BTreeSet;

use engine::{
    Close, Config, DialResult, DnsRecord, Engine, FlowId, FlowKey, LogRecord, Micros, Output,
    QueryId, QueryKind, RemoteEnd, Resolution,
};

use super::{Device, Packet, Tcp};

/// One output, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A frame and how many came in the same batch.
    Frame(Packet),
    Dial(FlowId, FlowKey),
    Data(FlowId, Vec<u8>),
    /// Its destination is the server that was dialed.
    Datagram(FlowId, Vec<u8>),
    HalfClose(FlowId),
    Resume(FlowId, usize),
    Close(FlowId, Close),
    Dns(Option<FlowId>, DnsRecord),
    Resolve(QueryId, String, QueryKind),
}

/// More outputs than any drain of these tests can have.
const DRAIN: usize = 20_000;

/// The engine, its time, and every byte it ever put out.
pub(crate) struct Bench {
    pub(crate) engine: Engine,
    pub(crate) now: Micros,
    /// How many bytes of each `Data` the dialer takes; `None`: all.
    pub(crate) takes: Option<usize>,
    /// Flows whose dialer takes nothing until it says that it is writable.
    pub(crate) blocked: BTreeSet<FlowId>,
    /// Frames as emitted, for comparisons byte by byte.
    pub(crate) wire: Vec<Vec<u8>>,
    /// The sizes of all batches.
    pub(crate) batches: Vec<usize>,
    /// The names that dials carried, in the order of the dials.
    pub(crate) names: Vec<Option<String>>,
    /// What the log got; beside the outputs, so that tests with and without compare.
    pub(crate) lines: Vec<LogRecord>,
}

impl Bench {
    pub(crate) fn new(mut config: Config) -> Self {
        config.seed.get_or_insert(1);
        Self {
            engine: Engine::new(config).expect("a sound configuration"),
            now: Micros::from_secs(1000),
            takes: None,
            blocked: BTreeSet::new(),
            wire: Vec::new(),
            batches: Vec::new(),
            names: Vec::new(),
            lines: Vec::new(),
        }
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        Self::new(config)
    }

    /// Hands in a batch of frames and drains.
    pub(crate) fn feed<F: AsRef<[u8]>>(
        &mut self,
        frames: impl IntoIterator<Item = F>,
    ) -> Vec<Seen> {
        let frames: Vec<F> = frames.into_iter().collect();
        self.engine
            .handle_frames(self.now, frames.iter().map(AsRef::as_ref));
        self.drain()
    }

    /// Everything the engine has to say.
    pub(crate) fn drain(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        let mtu = self.engine.config().mtu;
        for _ in 0..DRAIN {
            let Some(output) = self.engine.poll_output(self.now) else {
                self.check_deadline();
                return seen;
            };
            match output {
                Output::Frames(frames) => {
                    assert!(
                        (1..=64).contains(&frames.len()),
                        "a batch of {}",
                        frames.len()
                    );
                    self.batches.push(frames.len());
                    for frame in &mut frames.iter() {
                        assert!(frame.len() <= mtu, "{} bytes of {mtu}", frame.len());
                        self.wire.push(frame.to_vec());
                        seen.push(Seen::Frame(Packet::read(frame)));
                    }
                }
                Output::Dial { flow, key, name } => {
                    self.names.push(name.map(str::to_owned));
                    seen.push(Seen::Dial(flow, key));
                }
                Output::Data { flow, bytes } => {
                    assert!(!bytes.is_empty(), "empty data");
                    let count = bytes.len();
                    let take = self.takes.unwrap_or(count).min(count);
                    let taken = bytes.took(take);
                    if take > 0 {
                        seen.push(Seen::Data(flow, taken.to_vec()));
                    }
                    if take < count {
                        self.blocked.insert(flow);
                    }
                }
                Output::Datagram { flow, payload, .. } => {
                    seen.push(Seen::Datagram(flow, payload.to_vec()));
                }
                Output::HalfClose { flow } => seen.push(Seen::HalfClose(flow)),
                Output::Resume { flow, space } => seen.push(Seen::Resume(flow, space)),
                Output::Close { flow, close, .. } => seen.push(Seen::Close(flow, close)),
                Output::Dns { flow, record } => seen.push(Seen::Dns(flow, record)),
                Output::Resolve { query, name, kind } => {
                    seen.push(Seen::Resolve(query, name.to_owned(), kind));
                }
                Output::Log(record) => self.lines.push(record),
                other => panic!("an output that no test knows: {other:?}"),
            }
        }
        panic!(
            "the drain did not end; last: {:?}",
            &seen[seen.len() - 20..]
        );
    }

    /// After a drain nothing may be due at once: a host that honours the deadline would spin.
    fn check_deadline(&mut self) {
        if let Some(deadline) = self.engine.poll_timeout() {
            assert!(
                deadline.at > self.now,
                "{deadline:?} is due right after a drain at {:?}",
                self.now
            );
        }
    }

    /// Lets time pass, honouring every deadline on the way.
    pub(crate) fn wait(&mut self, time: Duration) -> Vec<Seen> {
        let until = self.now.plus(time);
        let mut seen = Vec::new();
        for _ in 0..DRAIN {
            match self.engine.poll_timeout() {
                Some(deadline) if deadline.at <= until => {
                    self.now = self.now.max(deadline.at);
                    self.engine.handle_timeout(self.now);
                    seen.extend(self.drain());
                }
                _ => {
                    self.now = until;
                    return seen;
                }
            }
        }
        panic!(
            "the deadlines did not end: {:?}",
            self.engine.poll_timeout()
        );
    }

    pub(crate) fn dialed(&mut self, flow: FlowId, result: DialResult) -> Vec<Seen> {
        self.engine
            .dial_result(self.now, flow, result)
            .expect("a pending dial");
        self.drain()
    }

    /// Offers bytes of the far side; returns how many were taken.
    pub(crate) fn remote(&mut self, flow: FlowId, bytes: &[u8]) -> (usize, Vec<Seen>) {
        let taken = self
            .engine
            .remote_data(self.now, flow, bytes)
            .expect("an open flow");
        (taken, self.drain())
    }

    pub(crate) fn end(&mut self, flow: FlowId, end: RemoteEnd) -> Vec<Seen> {
        self.engine
            .remote_closed(self.now, flow, end)
            .expect("an open flow");
        self.drain()
    }

    pub(crate) fn datagram(&mut self, flow: FlowId, payload: &[u8]) -> Vec<Seen> {
        let taken = self
            .engine
            .remote_datagram(self.now, flow, payload)
            .expect("an open flow");
        assert!(taken, "the datagram was taken");
        self.drain()
    }

    /// Answers an intercepted query.
    pub(crate) fn resolved(&mut self, query: QueryId, resolution: Resolution) -> Vec<Seen> {
        self.engine
            .resolved(self.now, query, resolution)
            .expect("a pending query");
        self.drain()
    }

    pub(crate) fn block(&mut self, flow: FlowId) {
        self.blocked.insert(flow);
        self.engine
            .remote_blocked(self.now, flow)
            .expect("an open flow");
    }

    /// No dialer that takes bytes is kept waiting for them: what is drained has lent all.
    pub(crate) fn check_lent(&mut self) {
        for flow in self.engine.inspect(self.now).flows {
            assert!(
                flow.upstream_queue == 0
                    || flow.state == "DIALING"
                    || self.blocked.contains(&flow.flow),
                "{} bytes wait for a dialer that takes them: {flow:?}",
                flow.upstream_queue
            );
        }
    }

    pub(crate) fn writable(&mut self, flow: FlowId) -> Vec<Seen> {
        self.blocked.remove(&flow);
        self.engine
            .remote_writable(self.now, flow)
            .expect("an open flow");
        self.drain()
    }

    /// Sends the device's SYN; the flow that was asked for.
    pub(crate) fn knock(&mut self, device: &mut Device) -> FlowId {
        let seen = self.feed([device.syn()]);
        let dials = dials(&seen);
        assert_eq!(dials.len(), 1, "one dial for one SYN: {seen:?}");
        assert_eq!(packets(&seen), [], "nothing is answered before the dial is");
        dials[0].0
    }

    /// Brings a flow up to ESTABLISHED.
    pub(crate) fn connect(&mut self, device: &mut Device) -> FlowId {
        let flow = self.knock(device);
        let seen = self.dialed(flow, DialResult::Connected);
        device.receive(&seen);
        assert_eq!(device.received_syn, 1, "a SYN-ACK: {seen:?}");
        assert_eq!(self.feed([device.ack()]), []);
        flow
    }

    pub(crate) fn counter(&self, name: &str) -> u64 {
        self.engine
            .counters()
            .get(name)
            .expect("a counter of that name")
    }
}

/// All dial requests.
pub(crate) fn dials(seen: &[Seen]) -> Vec<(FlowId, FlowKey)> {
    seen.iter()
        .filter_map(|seen| match seen {
            Seen::Dial(flow, key) => Some((*flow, *key)),
            _ => None,
        })
        .collect()
}

/// All frames.
pub(crate) fn packets(seen: &[Seen]) -> Vec<Packet> {
    seen.iter()
        .filter_map(|seen| match seen {
            Seen::Frame(packet) => Some(packet.clone()),
            _ => None,
        })
        .collect()
}

/// All TCP segments.
pub(crate) fn tcp(seen: &[Seen]) -> Vec<Tcp> {
    packets(seen)
        .into_iter()
        .filter_map(|packet| match packet {
            Packet::Tcp(tcp) => Some(tcp),
            _ => None,
        })
        .collect()
}

/// All closes, as `by how`.
pub(crate) fn closes(seen: &[Seen]) -> Vec<String> {
    seen.iter()
        .filter_map(|seen| match seen {
            Seen::Close(_, close) => Some(format!("{} {}", close.by, close.how.label())),
            _ => None,
        })
        .collect()
}

/// All bytes of the device's stream.
pub(crate) fn stream(seen: &[Seen]) -> Vec<u8> {
    seen.iter()
        .filter_map(|seen| match seen {
            Seen::Data(_, bytes) => Some(bytes.as_slice()),
            _ => None,
        })
        .collect::<Vec<_>>()
        .concat()
}

/// All datagrams from the device.
pub(crate) fn datagrams(seen: &[Seen]) -> Vec<Vec<u8>> {
    seen.iter()
        .filter_map(|seen| match seen {
            Seen::Datagram(_, payload) => Some(payload.clone()),
            _ => None,
        })
        .collect()
}
