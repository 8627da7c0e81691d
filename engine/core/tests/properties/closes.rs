//! Exactly one close for each dial, nothing for a flow that the host does not have, and nothing left after a stop.

use std::collections::BTreeSet;

use core::time::Duration;

use engine::{
    Config, DialResult, FlowId, Mark, Micros, PathChange, PathPolicy, RemoteEnd, Resolution,
};
use proptest::prelude::*;

use crate::config;
use crate::support::{Bench, Device, Family, Seen, Udp};

/// What a frame of a batch is.
#[derive(Clone, Copy, Debug)]
enum Sent {
    Syn,
    SynElsewhere,
    Ack,
    Payload,
    Query,
    Fin,
    Reset,
    Datagram,
    Fragment,
}

#[derive(Clone, Debug)]
enum Act {
    /// Frames of clients, by number, in one batch.
    Batch(Vec<(usize, Sent)>),
    Dialed(usize, DialResult),
    Remote(usize, u16),
    Takes(Option<usize>),
    Blocked(usize, bool),
    End(usize, RemoteEnd),
    Resolved(bool),
    Path(bool),
    Wait(u32),
    /// The clock jumps, forward or back.
    Jump(i64),
}

fn acts() -> impl Strategy<Value = Act> {
    use Sent::{Ack, Datagram, Fin, Fragment, Payload, Query, Reset, Syn, SynElsewhere};
    let sent = proptest::sample::select(vec![
        Syn,
        Syn,
        SynElsewhere,
        Ack,
        Ack,
        Payload,
        Query,
        Fin,
        Reset,
        Datagram,
        Fragment,
    ]);
    let result = proptest::sample::select(vec![
        DialResult::Connected,
        DialResult::Connected,
        DialResult::Connected,
        DialResult::Refused,
        DialResult::TimedOut,
    ]);
    let end = proptest::sample::select(vec![RemoteEnd::Eof, RemoteEnd::Reset, RemoteEnd::Error]);
    let flow = 0usize..8;
    prop_oneof![
        8 => proptest::collection::vec((0usize..CLIENTS, sent), 1..8).prop_map(Act::Batch),
        4 => (flow.clone(), result).prop_map(|(flow, result)| Act::Dialed(flow, result)),
        2 => (flow.clone(), 0u16..20_000).prop_map(|(flow, len)| Act::Remote(flow, len)),
        1 => proptest::option::of(0usize..100).prop_map(Act::Takes),
        1 => (flow.clone(), any::<bool>()).prop_map(|(flow, on)| Act::Blocked(flow, on)),
        1 => (flow, end).prop_map(|(flow, end)| Act::End(flow, end)),
        2 => any::<bool>().prop_map(Act::Resolved),
        1 => any::<bool>().prop_map(Act::Path),
        2 => (0u32..200_000).prop_map(Act::Wait),
        1 => prop_oneof![-1_000_000_000i64..1_000_000_000, any::<i64>()].prop_map(Act::Jump),
    ]
}

/// Even ones speak IPv4; the first two ask a resolver.
const CLIENTS: usize = 6;

struct World {
    bench: Bench,
    clients: Vec<(Device, Udp)>,
    open: BTreeSet<FlowId>,
    dials: u64,
    queries: Vec<engine::QueryId>,
}

impl World {
    fn new(settings: Config) -> Self {
        let clients = (0..CLIENTS)
            .map(|client| {
                let family = Family::BOTH[client % 2];
                let port = if client < 2 { 53 } else { 443 };
                let local = 40_000 + client as u16;
                (
                    Device::on_port(family, local, port),
                    Udp::new(family, local, port),
                )
            })
            .collect();
        Self {
            bench: Bench::new(settings),
            clients,
            open: BTreeSet::new(),
            dials: 0,
            queries: Vec::new(),
        }
    }

    fn frame(&mut self, client: usize, sent: Sent) -> Vec<u8> {
        let (device, udp) = &mut self.clients[client];
        match sent {
            Sent::Syn => device.syn(),
            Sent::SynElsewhere => {
                device.isn = device.isn.wrapping_add(100_000);
                device.syn()
            }
            Sent::Ack => device.ack(),
            Sent::Payload => device.data(&[9; 700]),
            Sent::Query => {
                device.data(b"\0\x1d\0\x07\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\0\0\x01\0\x01")
            }
            Sent::Fin => device.fin(),
            Sent::Reset => device.raw("R", device.next, b"", b""),
            Sent::Datagram => {
                udp.send(b"\0\x07\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\0\0\x01\0\x01")
            }
            Sent::Fragment => {
                let mut frame = udp.send(&[5; 64]);
                if frame[0] >> 4 == 4 {
                    frame[6] = 0x20;
                    frame[10..12].fill(0);
                    let sum: u32 = frame[..20]
                        .chunks(2)
                        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
                        .sum();
                    let sum = (sum & 0xffff) + (sum >> 16);
                    frame[10..12].copy_from_slice(&(!(sum as u16)).to_be_bytes());
                }
                frame
            }
        }
    }

    fn see(&mut self, seen: Vec<Seen>) {
        for (device, _) in &mut self.clients {
            device.receive(&seen);
        }
        for seen in seen {
            match seen {
                Seen::Dial(flow, key) => {
                    let intercepted = key.server.port() == 53;
                    assert!(!intercepted, "{key:?} is the engine's own");
                    assert!(self.open.insert(flow), "{flow:?} was dialed before");
                    self.dials += 1;
                }
                Seen::Close(flow, _) => {
                    assert!(self.open.remove(&flow), "{flow:?} was not open");
                }
                Seen::Data(flow, _)
                | Seen::Datagram(flow, _)
                | Seen::HalfClose(flow)
                | Seen::Resume(flow, _) => {
                    assert!(self.open.contains(&flow), "{flow:?} is not open");
                }
                Seen::Resolve(query, ..) => self.queries.push(query),
                Seen::Dns(..) | Seen::Frame(_) => {}
            }
        }
    }

    fn flow(&self, number: usize) -> Option<FlowId> {
        let count = self.open.len().max(1);
        self.open.iter().nth(number % count).copied()
    }

    fn act(&mut self, act: &Act) {
        let now = self.bench.now;
        match act {
            Act::Batch(sent) => {
                let frames: Vec<_> = sent
                    .iter()
                    .map(|(client, sent)| self.frame(*client, *sent))
                    .collect();
                let seen = self.bench.feed(frames);
                return self.see(seen);
            }
            Act::Wait(millis) => {
                let seen = self.bench.wait(Duration::from_millis(u64::from(*millis)));
                return self.see(seen);
            }
            Act::Jump(by) => {
                self.bench.now = Micros(now.0.saturating_add_signed(*by));
                self.bench.engine.handle_timeout(self.bench.now);
            }
            Act::Takes(most) => self.bench.takes = *most,
            Act::Resolved(found) => {
                let resolution = if *found {
                    Resolution::Addresses {
                        addresses: vec![[203, 0, 113, 9].into()],
                        ttl: 60,
                    }
                } else {
                    Resolution::Failed
                };
                if let Some(query) = self.queries.pop() {
                    let _ = self.bench.engine.resolved(now, query, resolution);
                }
            }
            Act::Path(lost) => {
                let change = if *lost {
                    PathChange::AddressLost(Family::V6.client())
                } else {
                    PathChange::Network
                };
                self.bench.engine.path_changed(now, change);
            }
            Act::Dialed(number, _)
            | Act::Remote(number, _)
            | Act::Blocked(number, _)
            | Act::End(number, _) => {
                let Some(flow) = self.flow(*number) else {
                    return;
                };
                let engine = &mut self.bench.engine;
                // Some calls do not fit the flow's state: a host may be wrong, and nothing comes of it.
                let _ = match act {
                    Act::Dialed(_, result) => engine.dial_result(now, flow, *result),
                    Act::Blocked(_, true) => engine.remote_blocked(now, flow),
                    Act::Blocked(..) => engine.remote_writable(now, flow),
                    Act::End(_, end) => engine.remote_closed(now, flow, *end),
                    Act::Remote(_, len) => {
                        let bytes = vec![6; usize::from(*len)];
                        let _ = engine.remote_datagram(now, flow, &bytes);
                        engine.remote_data(now, flow, &bytes).map(drop)
                    }
                    _ => Ok(()),
                };
            }
        }
        let seen = self.bench.drain();
        self.see(seen);
        assert_eq!(self.bench.engine.counters().broken_law(), None);
    }

    /// Nothing is open, and nothing is held for what was.
    fn assert_empty(&mut self) {
        assert_eq!(self.open, BTreeSet::new(), "dials without a close");
        let counters = self.bench.engine.counters();
        for info in engine::Counters::describe() {
            let value = counters.get(info.name).expect("listed");
            // Names outlive flows by their time to live.
            if info.mark == Mark::Gauge && info.name != "dns_names" {
                assert_eq!(value, 0, "{}", info.name);
            }
        }
        assert_eq!(counters.broken_law(), None);
        assert_eq!(self.bench.engine.poll_timeout(), None);
    }
}

fn settings(interception: bool, small: bool, policy: PathPolicy) -> Config {
    let mut settings = Config {
        dns_interception: interception,
        path_policy: policy,
        ..Config::default()
    };
    if small {
        settings.tcp_limit = 2;
        settings.udp_limit = 2;
        settings.byte_budget = Some(40_000);
        settings.rx_buffer = Some(4096);
    }
    settings
}

proptest! {
    #![proptest_config(config(400))]

    #[test]
    fn each_dial_has_one_close(
        acts in proptest::collection::vec(acts(), 1..60),
        small in any::<bool>(),
        policy in proptest::sample::select(vec![PathPolicy::Keep, PathPolicy::Close, PathPolicy::Redial]),
        stop in any::<bool>(),
    ) {
        let mut world = World::new(settings(true, small, policy));
        for act in &acts {
            world.act(act);
        }
        if stop {
            let now = world.bench.now;
            world.bench.engine.stop(now);
            let seen = world.bench.drain();
            world.see(seen);
            prop_assert_eq!(world.bench.counter("dns_names"), 0);
        } else {
            world.bench.now = Micros(world.bench.now.0.min(1 << 60));
            world.bench.engine.handle_timeout(world.bench.now);
            let seen = world.bench.drain();
            world.see(seen);
            // Beyond every limit, whoever is silent.
            let seen = world.bench.wait(Duration::from_secs(100_000));
            world.see(seen);
        }
        world.assert_empty();
    }
}
