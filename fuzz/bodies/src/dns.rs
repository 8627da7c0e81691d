//! DNS at the engine, over UDP and TCP, passing by and intercepted, held against another reader of messages.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use engine::{Config, DialResult, DnsRecord, Engine, FlowId, Micros, Output, QueryId, Resolution};
use replay::packet::build::{self, TcpSpec};
use replay::packet::{Flags, Packet, Seq};
use simple_dns::rdata::RData;

const NOW: Micros = Micros::from_secs(1);

/// Body of the target `dns`: flags, the length of a query (two bytes), the query, and an answer.
pub fn dns(data: &[u8]) {
    let Some((&[flags, high, low], rest)) = data.split_first_chunk() else {
        return;
    };
    let length = usize::from(u16::from_be_bytes([high, low])) % 2_048;
    let (query, answer) = rest.split_at(length.min(rest.len()));
    let answer = answer.get(..1_400).unwrap_or(answer);
    let mut scene = Scene::new(flags & 1 != 0);
    match (flags & 1 != 0, flags & 2 != 0) {
        (intercepted, true) => scene.over_tcp(query, answer, intercepted),
        (false, false) => scene.passing(query, answer),
        (true, false) => {
            scene.udp(query);
            scene.resolve(flags);
        }
    }
    scene.finish(query);
}

/// What came out of the engine.
#[derive(Default)]
struct Seen {
    dials: Vec<FlowId>,
    queries: Vec<(QueryId, String)>,
    records: Vec<DnsRecord>,
    /// Payload of UDP to the device, and TCP's initial number.
    datagrams: Vec<Vec<u8>>,
    stream: Option<u32>,
}

struct Scene {
    engine: Engine,
    client: SocketAddr,
    server: SocketAddr,
    intercepted: bool,
    seen: Seen,
}

impl Scene {
    fn new(intercepted: bool) -> Self {
        let config = Config {
            seed: Some(1),
            dns_interception: intercepted,
            ..Config::default()
        };
        Self {
            engine: Engine::new(config).expect("settings within bounds"),
            client: "10.0.0.2:40000".parse().expect("an address"),
            server: "203.0.113.53:53".parse().expect("an address"),
            intercepted,
            seen: Seen::default(),
        }
    }

    fn udp(&mut self, message: &[u8]) {
        let frame = build::udp(self.client, self.server, message);
        self.frame(&frame);
    }

    fn frame(&mut self, frame: &[u8]) {
        self.engine.handle_frames(NOW, [frame]);
        self.drain();
    }

    fn passing(&mut self, query: &[u8], answer: &[u8]) {
        self.udp(query);
        let Some(flow) = self.seen.dials.pop() else {
            return;
        };
        let done = self.engine.dial_result(NOW, flow, DialResult::Connected);
        assert_eq!(done, Ok(()), "the flow asked for it");
        self.drain();
        let taken = self.engine.remote_datagram(NOW, flow, answer);
        self.drain();
        if taken == Ok(true) {
            let arrived = self.seen.datagrams.last().map(Vec::as_slice);
            assert_eq!(arrived, Some(answer), "an answer passes as it came");
        }
        if let Some(record) = self.seen.records.first() {
            in_answer(record, answer);
        }
        assert!(self.seen.records.len() <= 1, "one answer, one record");
    }

    fn over_tcp(&mut self, query: &[u8], answer: &[u8], intercepted: bool) {
        let (client, server) = (self.client, self.server);
        let segment = |sequence, acknowledgement, flags, payload: &[u8]| {
            build::tcp(&TcpSpec {
                sequence: Seq(sequence),
                acknowledgement: Seq(acknowledgement),
                flags,
                payload,
                ..TcpSpec::new(client, server)
            })
        };
        let syn = segment(100, 0, Flags::SYN, &[]);
        let with_length = [&(query.len() as u16).to_be_bytes(), query].concat();
        let text = |first: u32| {
            // In two pieces: a message may begin anywhere.
            let (one, two) = with_length.split_at(with_length.len() / 2);
            let next = 101 + one.len() as u32;
            let ack = first.wrapping_add(1);
            [
                segment(101, ack, Flags::ACK, one),
                segment(next, ack, Flags::ACK.with(Flags::PSH), two),
            ]
        };
        self.engine.handle_frames(NOW, [syn.as_slice()]);
        let dialed = self.dials();
        if !intercepted {
            let Some(flow) = dialed else {
                return;
            };
            let _ = self.engine.dial_result(NOW, flow, DialResult::Connected);
        }
        self.drain();
        let Some(first) = self.seen.stream else {
            return;
        };
        for frame in text(first) {
            self.frame(&frame);
        }
        if intercepted {
            return self.resolve(answer.first().copied().unwrap_or(0));
        }
        if let Some(flow) = dialed {
            let whole = [&(answer.len() as u16).to_be_bytes(), answer].concat();
            for piece in whole.chunks(700) {
                let _ = self.engine.remote_data(NOW, flow, piece);
                self.drain();
            }
            for record in &self.seen.records {
                in_answer(record, answer);
            }
        }
    }

    fn dials(&mut self) -> Option<FlowId> {
        self.drain();
        self.seen.dials.pop()
    }

    fn resolve(&mut self, what: u8) {
        let Some((query, name)) = self.seen.queries.pop() else {
            return;
        };
        let usual =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        assert!(
            name.bytes().all(usual),
            "a name that is no host's: {name:?}"
        );
        let mut addresses: Vec<IpAddr> = Vec::new();
        for at in 0..what {
            addresses.push(Ipv4Addr::new(198, 51, 100, at).into());
            addresses.push(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, at.into()).into());
        }
        let resolution = match what % 5 {
            0 => Resolution::NotFound,
            1 => Resolution::Failed,
            _ => Resolution::Addresses {
                addresses,
                ttl: u32::from(what) << 24,
            },
        };
        assert_eq!(self.engine.resolved(NOW, query, resolution), Ok(()));
        self.drain();
    }

    fn finish(&mut self, query: &[u8]) {
        if self.intercepted {
            for reply in &self.seen.datagrams {
                assert_eq!(reply.get(..2), query.get(..2), "the id of the query");
                // That reader knows fewer types than there are: a reply repeats its query's.
                let read = simple_dns::Packet::parse(reply);
                let readable = read.is_ok() || simple_dns::Packet::parse(query).is_err();
                assert!(readable, "{read:?}: {reply:02x?}");
            }
        }
        for record in &self.seen.records {
            assert!(!record.addresses.is_empty(), "a record without an address");
            assert_eq!(
                record.name,
                record.name.to_lowercase(),
                "names in lower case"
            );
        }
        self.engine.stop(NOW);
        self.drain();
        assert_eq!(self.engine.counters().broken_law(), None);
        assert_eq!(self.engine.poll_timeout(), None);
    }

    fn drain(&mut self) {
        let seen = &mut self.seen;
        while let Some(output) = self.engine.poll_output(NOW) {
            match output {
                Output::Dial { flow, .. } => seen.dials.push(flow),
                Output::Resolve { query, name, .. } => seen.queries.push((query, name.to_owned())),
                Output::Dns { record, .. } => seen.records.push(record),
                Output::Frames(frames) => {
                    for frame in frames {
                        let packet = Packet::whole(frame).expect("a sound packet");
                        assert!(packet.checksums().are_sound(), "a checksum");
                        if let Some(udp) = packet.udp() {
                            seen.datagrams.push(udp.payload.to_vec());
                        }
                        if let Some(tcp) = packet.tcp()
                            && tcp.flags.contains(Flags::SYN)
                        {
                            seen.stream = Some(tcp.sequence.0);
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

/// Holds a record against the answer as another reader understands it.
fn in_answer(record: &DnsRecord, answer: &[u8]) {
    let read = simple_dns::Packet::parse(answer);
    let read = read.unwrap_or_else(|problem| panic!("a record out of {problem:?}"));
    let asked = read
        .questions
        .first()
        .map(|question| question.qname.to_string());
    let asked = asked.unwrap_or_default().to_lowercase();
    assert_eq!(
        asked.trim_end_matches('.'),
        record.name,
        "the name that was asked for"
    );
    for address in &record.addresses {
        let holds = |data: &RData<'_>| match (data, address) {
            (RData::A(a), IpAddr::V4(v4)) => a.address == u32::from(*v4),
            (RData::AAAA(aaaa), IpAddr::V6(v6)) => aaaa.address == u128::from(*v6),
            _ => false,
        };
        let there = read.answers.iter().any(|answer| holds(&answer.rdata));
        assert!(there, "{address} is not in the answer");
    }
}
