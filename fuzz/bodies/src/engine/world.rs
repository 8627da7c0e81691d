//! The engine with what is known of it, and the properties that hold whatever goes in.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use engine::{
    Counters, DialResult, Engine, FlowId, FlowKey, Mark, Micros, Misuse, Output, PathChange, Proto,
    QueryId, RemoteEnd, Resolution,
};
use replay::packet::Flags;

use super::device::{Device, end_of, up};
use super::far::{answer, dial_result, down, stranger_of};
use super::input::{Act, Frame, Settings, Time};
use super::judge::{hash, judge};

/// Outputs of one drain that can only mean that it does not end.
const ENDLESS: usize = 100_000;

/// Deadlines in a row, without any input, after which a flow is held to outlive its limits.
const MOST_DEADLINES: usize = 20_000;

/// Times are kept below this, some 73,000 years: sums with any limit stay representable.
const LATEST: u64 = 1 << 61;

/// An open flow.
#[derive(Debug)]
struct Open {
    id: FlowId,
    key: FlowKey,
    blocked: bool,
    half_closed: bool,
    /// Where the device's stream may be by now: sequence numbers of its next byte.
    places: Vec<u32>,
    /// Bytes that were taken from the far side.
    taken: u32,
}

pub(super) struct World {
    engine: Engine,
    now: Micros,
    device: Device,
    open: Vec<Open>,
    closed: BTreeSet<FlowId>,
    queries: Vec<QueryId>,
    takes: Option<usize>,
    /// The most bytes that the far side of any flow of a port gave.
    given: BTreeMap<u16, u32>,
    hash: DefaultHasher,
    stopped: bool,
    watched: bool,
    mtu: usize,
    most_flows: (usize, usize),
}

impl World {
    /// None if the settings are out of their bounds.
    pub(super) fn new(settings: &Settings, watched: bool) -> Option<Self> {
        let config = settings.config();
        let (mtu, most_flows) = (config.mtu, (config.tcp_limit, config.udp_limit));
        Some(Self {
            engine: Engine::new(config).ok()?,
            now: Micros::from_secs(1),
            device: Device::new(),
            open: Vec::new(),
            closed: BTreeSet::new(),
            queries: Vec::new(),
            takes: None,
            given: BTreeMap::new(),
            hash: DefaultHasher::new(),
            stopped: false,
            watched,
            mtu,
            most_flows,
        })
    }

    pub(super) fn outputs(&self) -> u64 {
        self.hash.finish()
    }

    pub(super) fn frames(&mut self, frames: &[Frame]) {
        let mut batch = Vec::new();
        for frame in frames.iter().take(32) {
            self.device.speak(frame, &mut batch);
        }
        let batch = batch.iter().map(Vec::as_slice);
        self.engine.handle_frames(self.now, batch);
        self.settle();
    }

    /// A handshake, whose dial succeeds at once.
    pub(super) fn open(&mut self, tuple: u8) {
        self.frames(&[Frame::segment(tuple, Flags::SYN, 0)]);
        self.far(tuple, &Act::Result(0));
        self.frames(&[Frame::segment(tuple, Flags::ACK, 0)]);
    }

    /// Bytes both ways.
    pub(super) fn talk(&mut self, tuple: u8, up: u16, down: u16) {
        self.frames(&[Frame::segment(tuple, Flags::ACK.with(Flags::PSH), up)]);
        self.far(tuple, &Act::Data(down));
        self.frames(&[Frame::segment(tuple, Flags::ACK, 0)]);
    }

    /// Both ends, in order.
    pub(super) fn shut(&mut self, tuple: u8, device_first: bool) {
        let fin = [Frame::segment(tuple, Flags::ACK.with(Flags::FIN), 0)];
        if device_first {
            self.frames(&fin);
        }
        self.far(tuple, &Act::End(0));
        if !device_first {
            self.frames(&fin);
        }
        self.frames(&[Frame::segment(tuple, Flags::ACK, 0)]);
    }

    /// The far side of a tuple's connection does something, if there is one.
    fn far(&mut self, tuple: u8, act: &Act) {
        let (client, _) = super::device::tuple(tuple);
        let mine = |open: &Open| open.key.proto == Proto::Tcp && open.key.client == client;
        if let Some(at) = self.open.iter().position(mine) {
            self.act(at, act);
        }
    }

    pub(super) fn path(&mut self) {
        self.engine.path_changed(self.now, PathChange::Network);
        self.settle();
    }

    pub(super) fn address_lost(&mut self, v6: bool) {
        let (client, _) = super::device::tuple(u8::from(v6));
        let lost = PathChange::AddressLost(client.ip());
        self.engine.path_changed(self.now, lost);
        self.settle();
    }

    pub(super) fn wait(&mut self, time: Time) {
        let due = self.engine.poll_timeout().map(|due| due.at);
        self.now = Micros(time.after(self.now, due).0.min(LATEST));
        self.engine.handle_timeout(self.now);
        self.settle();
    }

    pub(super) fn stop(&mut self) {
        self.engine.stop(self.now);
        self.stopped = true;
        self.settle();
        assert!(self.open.is_empty(), "without a close: {:?}", self.open);
        self.nothing_is_open("after stop");
    }

    /// Nobody does anything any more: all flows end by their limits.
    pub(super) fn silence(&mut self) {
        for _ in 0..MOST_DEADLINES {
            let Some(due) = self.engine.poll_timeout() else {
                assert!(self.open.is_empty(), "open for ever: {:?}", self.open);
                self.nothing_is_open("after silence");
                return self.stop();
            };
            if due.at.0 > LATEST {
                return;
            }
            self.now = self.now.max(due.at);
            self.engine.handle_timeout(self.now);
            self.settle();
        }
        panic!(
            "flows outlive their limits without progress: {:?}",
            self.open
        );
    }

    pub(super) fn dialer(&mut self, back: u8, act: &Act) {
        if let Act::Resolved {
            result,
            ttl,
            addresses,
        } = act
        {
            return self.resolve(*result, *ttl, *addresses);
        }
        if let Act::Takes(count) = act {
            self.takes = Some(usize::from(*count));
            return;
        }
        if let Act::Stale(bits) = act {
            return self.stale(*bits);
        }
        let Some(at) = self.open.len().checked_sub(1 + usize::from(back) % 8) else {
            return;
        };
        self.act(at, act);
    }

    fn act(&mut self, at: usize, act: &Act) {
        let now = self.now;
        let Some(open) = self.open.get_mut(at) else {
            return;
        };
        let (id, key, engine) = (open.id, open.key, &mut self.engine);
        let done = match act {
            Act::Result(result) => engine.dial_result(now, id, dial_result(*result)),
            Act::Data(length) => {
                let length = u32::from(*length);
                let bytes: Vec<u8> = (open.taken..open.taken.saturating_add(length))
                    .map(down)
                    .collect();
                engine.remote_data(now, id, &bytes).map(|taken| {
                    assert!(taken <= bytes.len(), "more taken than given");
                    open.taken += taken as u32;
                    let given = self.given.entry(key.client.port()).or_default();
                    *given = open.taken.max(*given);
                })
            }
            Act::Datagram(length) => engine
                .remote_datagram(now, id, &vec![0xdd; usize::from(*length)])
                .map(|_| ()),
            Act::DatagramFrom(stranger, length) => {
                let from = stranger_of(key.server, *stranger);
                let payload = vec![0xee; usize::from(*length)];
                engine
                    .remote_datagram_from(now, id, from, &payload)
                    .map(|_| ())
            }
            Act::Answer {
                ttl,
                addresses,
                change,
            } => {
                let query = self.device.queries.get(&key.client.port());
                let answer = answer(query, *ttl, *addresses, *change);
                if key.proto == Proto::Udp {
                    engine.remote_datagram(now, id, &answer).map(|_| ())
                } else {
                    // Not a stream of this module's making: nothing is compared.
                    Ok(())
                }
            }
            Act::Blocked => engine.remote_blocked(now, id).map(|()| open.blocked = true),
            Act::Writable => engine
                .remote_writable(now, id)
                .map(|()| open.blocked = false),
            Act::End(end) => {
                let end = match end % 3 {
                    0 => RemoteEnd::Eof,
                    1 => RemoteEnd::Reset,
                    _ => RemoteEnd::Error,
                };
                engine.remote_closed(now, id, end)
            }
            Act::Resolved { .. } | Act::Takes(_) | Act::Stale(_) => Ok(()),
        };
        assert_ne!(done, Err(Misuse::StaleFlow), "{id:?} is open");
        self.settle();
    }

    /// Handles that are nobody's any more, or never were, change nothing.
    fn stale(&mut self, bits: u64) {
        let now = self.now;
        let random = FlowId::from_bits(bits);
        let known = |open: &Open| open.id == random;
        // Of intercepted connections no host is told.
        let intercepted = self.engine.config().dns_interception;
        let random = (!intercepted && !self.open.iter().any(known)).then_some(random);
        for id in self.closed.last().copied().into_iter().chain(random) {
            let engine = &mut self.engine;
            let stale = Err(Misuse::StaleFlow);
            assert_eq!(engine.dial_result(now, id, DialResult::Connected), stale);
            assert_eq!(engine.remote_data(now, id, b"x"), Err(Misuse::StaleFlow));
            assert_eq!(
                engine.remote_datagram(now, id, b"x"),
                Err(Misuse::StaleFlow)
            );
            assert_eq!(engine.remote_closed(now, id, RemoteEnd::Eof), stale);
            assert_eq!(engine.remote_blocked(now, id), stale);
        }
        let _ = self
            .engine
            .resolved(now, QueryId::from_bits(bits), Resolution::Failed);
        self.queries.retain(|query| query.to_bits() != bits);
        self.settle();
    }

    fn resolve(&mut self, result: u8, ttl: u32, addresses: u8) {
        let Some(query) = self.queries.pop() else {
            return;
        };
        let resolution = match result % 4 {
            0 => Resolution::NotFound,
            1 => Resolution::Failed,
            _ => {
                let mut found: Vec<IpAddr> = Vec::new();
                for at in 0..addresses {
                    found.push(Ipv4Addr::new(198, 51, 100, at).into());
                    found.push(Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, at.into()).into());
                }
                Resolution::Addresses {
                    addresses: found,
                    ttl,
                }
            }
        };
        // Its time may be over.
        let _ = self.engine.resolved(self.now, query, resolution);
        self.settle();
    }

    /// Drains, acts upon what has come due, and looks at how things stand.
    fn settle(&mut self) {
        self.watch();
        self.drain();
        self.watch();
        let due = self.engine.poll_timeout();
        if due.is_some_and(|due| due.at <= self.now) {
            self.engine.handle_timeout(self.now);
            self.drain();
            let due = self.engine.poll_timeout();
            assert!(
                due.is_none_or(|due| due.at > self.now),
                "{due:?} is due again at {:?}, after it was acted upon",
                self.now
            );
        }
        let (bound, due) = (self.engine.timeout_bound(), self.engine.poll_timeout());
        if let Some(due) = due {
            let sound = bound.is_some_and(|bound| bound <= due.at);
            assert!(sound, "the bound {bound:?} is no bound of {due:?}");
        }
        let counters = self.engine.counters();
        assert_eq!(counters.broken_law(), None);
        assert!(
            counters.tcp_flows <= self.most_flows.0 as u64,
            "too many flows"
        );
        assert!(
            counters.udp_flows <= self.most_flows.1 as u64,
            "too many flows"
        );
        assert_eq!(counters.frames_waiting, 0, "a drain leaves no frame");
    }

    /// Looks that must change nothing.
    fn watch(&mut self) {
        if self.watched {
            let _ = self.engine.inspect(self.now).to_json();
            let _ = self.engine.counters();
            let _ = self.engine.timeout_bound();
            let _ = self.engine.poll_timeout();
        }
    }

    fn nothing_is_open(&mut self, when: &str) {
        assert_eq!(self.engine.poll_timeout(), None, "a deadline {when}");
        let counters = self.engine.counters();
        for (info, (name, value)) in Counters::describe().zip(counters.iter()) {
            // What was learnt is kept until it expires.
            if info.mark == Mark::Gauge && name != "dns_names" {
                assert_eq!(value, 0, "{name} {when}");
            }
        }
    }

    fn drain(&mut self) {
        for _ in 0..ENDLESS {
            if !self.output() {
                return;
            }
        }
        panic!("a drain that does not end");
    }

    /// Takes one output; whether there was one.
    fn output(&mut self) -> bool {
        let now = self.now;
        let Some(output) = self.engine.poll_output(now) else {
            return false;
        };
        hash(&mut self.hash, &output);
        let flow_of = |open: &mut Vec<Open>, id: FlowId| -> usize {
            let at = open.iter().position(|open| open.id == id);
            at.unwrap_or_else(|| panic!("{id:?} has no dial, or was closed"))
        };
        match output {
            Output::Frames(frames) => {
                assert!((1..=64).contains(&frames.len()), "{} frames", frames.len());
                for frame in frames {
                    judge(frame, self.mtu, &mut self.device, &self.given);
                }
            }
            Output::Dial { flow, key, .. } => {
                assert!(!self.stopped, "a dial after the stop");
                let fresh = self
                    .open
                    .iter()
                    .all(|open| open.id != flow && open.key != key);
                assert!(
                    fresh && !self.closed.contains(&flow),
                    "{flow:?} was dialed for before"
                );
                let end = end_of(&mut self.device.ends, key.client.port());
                let places = end.map(|end| end.begun.clone()).unwrap_or_default();
                self.open.push(Open {
                    id: flow,
                    key,
                    blocked: false,
                    half_closed: false,
                    places,
                    taken: 0,
                });
            }
            Output::Close { flow, key, .. } => {
                let at = flow_of(&mut self.open, flow);
                let open = self.open.remove(at);
                assert_eq!(open.key.client, key.client, "the close of another flow");
                self.closed.insert(flow);
            }
            Output::Data { flow, bytes } => {
                let at = flow_of(&mut self.open, flow);
                let Some(open) = self.open.get_mut(at) else {
                    return true;
                };
                assert!(!bytes.is_empty(), "no data");
                assert!(!open.half_closed, "data after the end of the stream");
                assert!(!open.blocked, "data for a dialer that is blocked");
                let took = self
                    .takes
                    .take()
                    .map_or(bytes.len(), |most| most.min(bytes.len()));
                if !self.device.wild {
                    let goes_on = |place: &u32| {
                        let mut bytes = bytes.iter().zip(0u32..);
                        bytes.all(|(byte, at)| *byte == up(place.wrapping_add(at)))
                    };
                    // A SYN of the device may have come after the dial.
                    if let Some(end) = end_of(&mut self.device.ends, open.key.client.port())
                        && open.places.len() < 64
                        && open.places.iter().all(|place| end.begun.contains(place))
                    {
                        open.places.clone_from(&end.begun);
                    }
                    open.places.retain(goes_on);
                    assert!(!open.places.is_empty(), "other bytes than the device sent");
                    for place in &mut open.places {
                        *place = place.wrapping_add(took as u32);
                    }
                }
                open.blocked = took < bytes.len();
                bytes.took(took);
            }
            Output::Datagram { flow, .. } => {
                let at = flow_of(&mut self.open, flow);
                let blocked = self.open.get(at).is_some_and(|open| open.blocked);
                assert!(!blocked, "a datagram for a dialer that is blocked");
            }
            Output::HalfClose { flow } => {
                let at = flow_of(&mut self.open, flow);
                if let Some(open) = self.open.get_mut(at) {
                    assert!(!open.half_closed, "half-closed twice");
                    open.half_closed = true;
                }
            }
            Output::Resume { flow, space } => {
                flow_of(&mut self.open, flow);
                assert!(space > 0, "no room to resume with");
            }
            Output::Resolve { query, .. } => self.queries.push(query),
            Output::Dns { flow, .. } => {
                if let Some(flow) = flow
                    && self.closed.contains(&flow)
                {
                    panic!("a DNS record of a flow that has ended");
                }
            }
            _ => {}
        }
        true
    }
}
