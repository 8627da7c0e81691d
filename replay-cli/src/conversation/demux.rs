//! Packets to flows: by tuple, and for TCP by the SYN that begins each use of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::fragments::Fragments;
use super::recorded::{RawEvent, RawKind, Recording};
use super::{Conversation, Conversations, FrameStore, Pair, ReadOptions, Talk, tcp, udp};
use crate::capture::{CapturedPacket, CustomBlock, Direction};
use crate::packet::{Flags, Packet, Seq, Transport};
use crate::recording::{self, Event, EventKind};
use crate::scenario::{FlowSpec, Protocol};

/// Collects a capture's packets by flow.
#[derive(Debug)]
pub(crate) struct Demux {
    options: ReadOptions,
    frames: FrameStore,
    fragments: Fragments,
    flows: Vec<RawFlow>,
    current: BTreeMap<Pair, usize>,
    skipped: BTreeMap<String, u64>,
    packets_read: u64,
    first_ns: Option<i64>,
    earliest_ns: i64,
    latest_ns: i64,
    recording: Option<Recording>,
    /// Which way the present packet went, in a recording: inbound is the device's.
    direction: Option<Direction>,
}

/// A flow's packets before they are looked at.
#[derive(Debug)]
pub(crate) struct RawFlow {
    pub(crate) protocol: Protocol,
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) packets: Vec<RawPacket>,
    /// The ISN of the client's SYN, if the capture holds it.
    client_isn: Option<Seq>,
    server_isn: Option<Seq>,
    /// The far side refused before it ever answered.
    refused: bool,
    established: bool,
    /// The far side has sent something other than a SYN or a reset.
    far_spoke: bool,
    /// The SYN that begins the flow came after other packets of it, before which it belongs.
    syn_is_late: bool,
    /// Errors that quote the flow: kind, code, whether v4, and after how many packets they came.
    pub(crate) icmp: Vec<QuotedError>,
    /// What a flight recorder kept of it, in order.
    pub(crate) events: Vec<RawEvent>,
}

/// How many packets a tap may show before the SYN that they follow, and how many octets of a stream.
const LATE_PACKETS: usize = 64;
const LATE_OCTETS: i32 = 65_536;

impl RawFlow {
    /// Whether this SYN is the beginning that the flow lacks: a tap that reorders shows it behind what it led to.
    fn is_begun_by(&self, source: SocketAddr, isn: Seq, frames: &FrameStore) -> bool {
        let near = |seq: Seq| (0..LATE_OCTETS).contains(&seq.minus(isn.plus(1)));
        let opener_is_client = self.client == source;
        self.client_isn.is_none()
            && self.packets.len() <= LATE_PACKETS
            && self.packets.iter().all(|packet| {
                let tcp = frames
                    .get(packet.frame)
                    .and_then(|frame| Packet::parse(frame.bytes, frame.original_len).ok())
                    .and_then(|packet| packet.tcp().copied());
                tcp.is_some_and(|tcp| {
                    if packet.from_client == opener_is_client {
                        near(tcp.sequence)
                    } else {
                        tcp.flags.contains(Flags::ACK) && near(tcp.acknowledgement)
                    }
                })
            })
    }

    /// Takes a SYN as the beginning of what came before it.
    fn begin_with(&mut self, client: SocketAddr, server: SocketAddr, isn: Seq) {
        if self.client != client {
            for packet in &mut self.packets {
                packet.from_client = !packet.from_client;
            }
        }
        (self.client, self.server) = (client, server);
        (self.client_isn, self.syn_is_late) = (Some(isn), true);
    }

    /// Whether a flight recorder saw it dialed.
    fn was_dialed(&self) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event.kind, RawKind::Dial))
    }

    /// The flow if it holds a packet, with a client that says something: of one whose client's datagrams are all cut,
    /// the server is all there is.
    fn with_a_device(mut self) -> Option<Self> {
        let silent = !self.packets.iter().any(|packet| packet.from_client);
        if self.protocol == Protocol::Udp && silent {
            std::mem::swap(&mut self.client, &mut self.server);
            for packet in &mut self.packets {
                packet.from_client = true;
            }
        }
        (!self.packets.is_empty()).then_some(self)
    }
}

/// One packet of a flow.
#[derive(Clone, Debug)]
pub(crate) struct RawPacket {
    /// The packet to read.
    pub(crate) frame: usize,
    /// The packets to inject: its fragments, or itself.
    pub(crate) parts: Vec<usize>,
    pub(crate) from_client: bool,
}

/// An ICMP error about a flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuotedError {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) v4: bool,
    pub(crate) time_ns: i64,
}

impl QuotedError {
    /// One line for the flow's notes.
    pub(crate) fn describe(&self) -> String {
        format!(
            "an ICMP{} error quoted it: type {}, code {}",
            if self.v4 { "" } else { "v6" },
            self.kind,
            self.code
        )
    }
}

impl Demux {
    pub(crate) fn new(options: ReadOptions) -> Self {
        Self {
            options,
            frames: FrameStore::default(),
            fragments: Fragments::default(),
            flows: Vec::new(),
            current: BTreeMap::new(),
            skipped: BTreeMap::new(),
            packets_read: 0,
            first_ns: None,
            earliest_ns: i64::MAX,
            latest_ns: i64::MIN,
            recording: None,
            direction: None,
        }
    }

    pub(crate) fn packet(&mut self, captured: &CapturedPacket<'_>) {
        self.packets_read += 1;
        self.direction = captured.direction.filter(|_| self.recording.is_some());
        let ip = match &captured.content {
            Ok(ip) => ip,
            Err(reason) => return self.skip(reason.to_string()),
        };
        self.first_ns.get_or_insert(captured.time_ns);
        self.earliest_ns = self.earliest_ns.min(captured.time_ns);
        self.latest_ns = self.latest_ns.max(captured.time_ns);
        let packet = match Packet::parse(ip.bytes, ip.original_len) {
            Ok(packet) => packet,
            Err(problem) => return self.skip(format!("malformed: {problem}")),
        };
        if packet.fragment.is_some() {
            let frame =
                self.frames
                    .push(ip.bytes, ip.original_len, captured.number, captured.time_ns);
            let Some(whole) = self.fragments.insert(&packet, frame) else {
                return;
            };
            if whole.cut {
                return self.skip_many(
                    "fragments of a datagram cut by the snap length",
                    whole.frames.len() as u64,
                );
            }
            let rebuilt = self.frames.push(
                &whole.packet,
                whole.packet.len(),
                captured.number,
                captured.time_ns,
            );
            if let Ok(packet) = Packet::whole(&whole.packet) {
                self.whole(&packet, captured.time_ns, rebuilt, whole.frames);
            }
            return;
        }
        if !matches!(packet.transport, Transport::Tcp(_) | Transport::Udp(_)) {
            return self.other(&packet, captured.time_ns);
        }
        let frame = self
            .frames
            .push(ip.bytes, ip.original_len, captured.number, captured.time_ns);
        self.whole(&packet, captured.time_ns, frame, vec![frame]);
    }

    /// A custom block: an event of a flight recorder, or somebody else's.
    pub(crate) fn custom(&mut self, block: &CustomBlock<'_>) {
        match recording::decode(block) {
            // Somebody else's; `inspect` counts them.
            None => {}
            Some(Err(unreadable)) => self
                .recording
                .get_or_insert_default()
                .pass_over(unreadable.to_string()),
            Some(Ok(event)) => self.event(&event),
        }
    }

    fn event(&mut self, event: &Event<'_>) {
        let recording = self.recording.get_or_insert_default();
        match event.kind {
            EventKind::Settings(text) => {
                recording.set(text);
                for (limit, name) in [
                    (&mut self.options.tcp_idle_us, "tcp_idle"),
                    (&mut self.options.udp_idle_us, "udp_idle"),
                    (&mut self.options.dns_idle_us, "dns_idle"),
                ] {
                    *limit = limit.or(recording.number(name));
                }
                return;
            }
            EventKind::Path(what) => recording.paths.push(what.to_owned()),
            _ => {}
        }
        recording.events += 1;
        let (Some(flow), Some(kind)) = (event.flow, RawKind::of(event.kind)) else {
            return;
        };
        let pair = Pair::of(flow.protocol, flow.client, flow.server);
        let known = self.current.get(&pair).copied();
        match known.and_then(|index| self.flows.get_mut(index)) {
            Some(known) => known.events.push(RawEvent {
                after: known.packets.len(),
                time_ns: event.time_ns,
                kind,
            }),
            None => {
                recording.pass_over(
                    "recorded event of a flow whose packets are not in the file".to_owned(),
                );
            }
        }
    }

    /// A packet that is not a TCP segment or a UDP datagram as it stands.
    fn other(&mut self, packet: &Packet<'_>, time_ns: i64) {
        match packet.transport {
            Transport::Cut => self.skip("transport header cut by the snap length"),
            Transport::Malformed(problem) => self.skip(format!("malformed: {problem}")),
            Transport::Icmp(icmp) => {
                let v4 = packet.is_v4();
                let quoted = icmp
                    .quoted(v4)
                    .and_then(|bytes| Packet::parse(bytes, bytes.len()).ok());
                let known = quoted.and_then(|quoted| {
                    let (from, to) = quoted.ports()?;
                    let protocol = match quoted.protocol {
                        crate::packet::TCP => Protocol::Tcp,
                        crate::packet::UDP => Protocol::Udp,
                        _ => return None,
                    };
                    let pair = Pair::of(
                        protocol,
                        SocketAddr::new(quoted.source, from),
                        SocketAddr::new(quoted.destination, to),
                    );
                    self.current.get(&pair).copied()
                });
                match known.and_then(|flow| self.flows.get_mut(flow)) {
                    Some(flow) => {
                        flow.icmp.push(QuotedError {
                            kind: icmp.kind,
                            code: icmp.code,
                            v4,
                            time_ns,
                        });
                        self.skip("icmp error about a flow (noted there)");
                    }
                    None => self.skip("icmp"),
                }
            }
            Transport::Other(2) => self.skip("igmp"),
            Transport::Other(protocol) => self.skip(format!("ip protocol {protocol}")),
            Transport::Tcp(_) | Transport::Udp(_) | Transport::Fragment => {}
        }
    }

    fn whole(&mut self, packet: &Packet<'_>, time_ns: i64, frame: usize, parts: Vec<usize>) {
        let many = parts.len() as u64;
        let (protocol, from, to) = match packet.transport {
            Transport::Tcp(tcp) => (Protocol::Tcp, tcp.source_port, tcp.destination_port),
            Transport::Udp(udp) => (Protocol::Udp, udp.source_port, udp.destination_port),
            _ => return self.other(packet, time_ns),
        };
        if let Some(reason) = no_flow(packet.source, packet.destination) {
            return self.skip_many(reason, many);
        }
        if from == 0 || to == 0 {
            return self.skip_many("port zero", many);
        }
        let source = SocketAddr::new(packet.source, from);
        let destination = SocketAddr::new(packet.destination, to);
        let pair = Pair::of(protocol, source, destination);
        let flow = match packet.transport {
            Transport::Tcp(tcp) => self.tcp_flow(pair, source, destination, &tcp),
            Transport::Udp(udp) if udp.payload.len() < udp.payload_len => {
                // What cannot be injected still says who opened the flow.
                if !self.current.contains_key(&pair) {
                    self.open(pair, source, destination);
                }
                return self.skip_many("udp datagram cut by the snap length", many);
            }
            _ => match self.current.get(&pair) {
                Some(flow) => *flow,
                None => self.open(pair, source, destination),
            },
        };
        if let Some(flow) = self.flows.get_mut(flow) {
            let from_client = flow.client == source;
            let place = if std::mem::take(&mut flow.syn_is_late) {
                0
            } else {
                flow.packets.len()
            };
            let packet = RawPacket {
                frame,
                parts,
                from_client,
            };
            flow.packets.insert(place, packet);
        }
    }

    fn open(&mut self, pair: Pair, client: SocketAddr, server: SocketAddr) -> usize {
        let index = self.flows.len();
        // A recording knows whose the first packet is; of a flow that began before it, it may be the far side's.
        let (client, server) = if self.direction == Some(Direction::Outbound) {
            (server, client)
        } else {
            (client, server)
        };
        self.flows.push(RawFlow {
            protocol: pair.protocol,
            client,
            server,
            packets: Vec::new(),
            client_isn: None,
            server_isn: None,
            refused: false,
            established: false,
            far_spoke: false,
            syn_is_late: false,
            icmp: Vec::new(),
            events: Vec::new(),
        });
        self.current.insert(pair, index);
        index
    }

    /// The flow of a segment. Each SYN with an ISN of its own begins a new use of the tuple.
    fn tcp_flow(
        &mut self,
        pair: Pair,
        source: SocketAddr,
        destination: SocketAddr,
        tcp: &crate::packet::Tcp<'_>,
    ) -> usize {
        let syn = tcp.flags.contains(Flags::SYN);
        let ack = tcp.flags.contains(Flags::ACK);
        let rst = tcp.flags.contains(Flags::RST);
        let known = self.current.get(&pair).copied();
        if let Some(flow) = known.and_then(|index| self.flows.get_mut(index))
            && (syn && !ack && !rst)
            && flow.is_begun_by(source, tcp.sequence, &self.frames)
        {
            flow.begin_with(source, destination, tcp.sequence);
            return known.unwrap_or(0);
        }
        let Some(flow) = known.and_then(|index| self.flows.get_mut(index)) else {
            // Without a SYN the one who speaks first counts as the client, but a SYN-ACK gives its sender away.
            let (client, server) = if syn && ack {
                (destination, source)
            } else {
                (source, destination)
            };
            let index = self.open(pair, client, server);
            if let Some(flow) = self.flows.get_mut(index) {
                if syn && !ack && !rst {
                    flow.client_isn = Some(tcp.sequence);
                } else if syn && ack {
                    flow.server_isn = Some(tcp.sequence);
                }
            }
            return index;
        };
        let index = known.unwrap_or(0);
        let from_client = flow.client == source;
        if syn && !ack && !rst {
            let isn = if from_client {
                flow.client_isn
            } else {
                flow.server_isn
            };
            let same = isn == Some(tcp.sequence);
            // The far side's SYN before it has answered is a simultaneous open or a split handshake. One that has
            // spoken before its SYN opens a connection of its own, which the client's SYN-ACK answers.
            let answer = !from_client
                && !flow.established
                && !flow.far_spoke
                && flow.server_isn.is_none()
                && flow.client_isn.is_some();
            if answer {
                flow.server_isn = Some(tcp.sequence);
            } else if !same || (from_client && flow.refused) {
                let index = self.open(pair, source, destination);
                if let Some(flow) = self.flows.get_mut(index) {
                    flow.client_isn = Some(tcp.sequence);
                }
                return index;
            }
        } else if syn && ack && !from_client {
            flow.server_isn = Some(tcp.sequence);
        } else if rst && !from_client && flow.server_isn.is_none() && flow.client_isn.is_some() {
            flow.refused = true;
        } else if from_client && ack && flow.server_isn.is_some() {
            flow.established = true;
        } else if !from_client && !syn && !rst {
            flow.far_spoke = true;
        }
        index
    }

    fn skip(&mut self, reason: impl Into<String>) {
        self.skip_many(reason, 1);
    }

    fn skip_many(&mut self, reason: impl Into<String>, packets: u64) {
        *self.skipped.entry(reason.into()).or_default() += packets;
    }

    pub(crate) fn finish(mut self) -> Conversations {
        let orphans = self.fragments.orphans();
        if orphans > 0 {
            self.skip_many("fragments without the rest of their datagram", orphans);
        }
        let Self {
            options,
            frames,
            flows,
            skipped,
            packets_read,
            first_ns,
            earliest_ns,
            latest_ns,
            recording,
            ..
        } = self;
        let start_ns = first_ns.unwrap_or(0);
        let mut used: BTreeMap<(Protocol, SocketAddr, SocketAddr), u32> = BTreeMap::new();
        let flows = flows
            .into_iter()
            .filter_map(RawFlow::with_a_device)
            .map(|raw| {
                let raw = &raw;
                let mut flow = conversation(raw, &frames, &options, start_ns);
                if recording.is_some() && flow.unreplayable.is_none() && !raw.was_dialed() {
                    flow.unreplayable = Some(
                        "no dial request of it is in the recording: refused, or begun before it"
                            .to_owned(),
                    );
                }
                if let crate::scenario::Device::Addresses(addresses) = &options.device
                    && !addresses.contains(&raw.client.ip())
                {
                    flow.unreplayable = Some(format!(
                        "opened by {}, which is not the device",
                        raw.client.ip()
                    ));
                }
                if flow.unreplayable.is_none() {
                    let count = used
                        .entry((raw.protocol, raw.client, raw.server))
                        .or_default();
                    *count += 1;
                    flow.spec.occurrence = *count;
                }
                flow
            })
            .collect();
        let mut conversations = Conversations {
            frames,
            flows,
            packets_read,
            skipped,
            notes: Vec::new(),
            damage: None,
            start_ns,
            duration_us: u64::try_from(latest_ns.saturating_sub(earliest_ns).max(0) / 1000)
                .unwrap_or(0),
            format: String::new(),
            recording,
        };
        link_dns(&mut conversations);
        conversations
    }
}

fn conversation(
    raw: &RawFlow,
    frames: &FrameStore,
    options: &ReadOptions,
    start_ns: i64,
) -> Conversation {
    let time = |packet: &RawPacket| {
        frames
            .get(packet.frame)
            .map_or(start_ns, |frame| frame.time_ns)
    };
    let offset = |ns: i64| {
        u64::try_from((i128::from(ns) - i128::from(start_ns)).max(0) / 1000).unwrap_or(u64::MAX)
    };
    let first = raw.packets.first();
    let start_us = first.map_or(0, |packet| offset(time(packet)));
    let spec = FlowSpec {
        protocol: raw.protocol,
        client: raw.client,
        server: raw.server,
        occurrence: 1,
    };
    let mut flow = Conversation {
        spec,
        first_packet: first
            .and_then(|packet| frames.get(packet.frame))
            .map_or(0, |frame| frame.number),
        packets: raw
            .packets
            .iter()
            .map(|packet| packet.parts.len() as u64)
            .sum(),
        start_us,
        end_us: raw
            .packets
            .iter()
            .map(|packet| offset(time(packet)))
            .max()
            .unwrap_or(start_us),
        unreplayable: None,
        notes: Vec::new(),
        after_dns: None,
        talk: Talk::Udp(Box::default()),
    };
    if raw.protocol == Protocol::Udp {
        let talk = udp::read(raw, frames, options, &mut flow.notes);
        flow.talk = Talk::Udp(Box::new(talk));
    } else {
        let isn = raw.client_isn;
        let talk = tcp::read(raw, isn, frames, options, &mut flow.notes);
        if isn.is_none() {
            flow.unreplayable = Some("its beginning is not in the capture: no SYN".to_owned());
        }
        flow.talk = Talk::Tcp(Box::new(talk));
    }
    flow
}

/// Why packets between these addresses are no flow.
fn no_flow(source: IpAddr, destination: IpAddr) -> Option<&'static str> {
    let broadcast = IpAddr::V4(Ipv4Addr::BROADCAST);
    if destination.is_multicast() {
        Some("multicast")
    } else if destination == broadcast {
        Some("broadcast")
    } else if source.is_unspecified() || destination.is_unspecified() {
        Some("unspecified address")
    } else if source.is_multicast() || source == broadcast {
        Some("multicast or broadcast source")
    } else {
        None
    }
}

/// Ties flows to the DNS answers that named their servers.
fn link_dns(conversations: &mut Conversations) {
    let mut answers: BTreeMap<IpAddr, Vec<(u64, usize, usize)>> = BTreeMap::new();
    for (index, flow) in conversations.flows.iter().enumerate() {
        let Talk::Udp(udp) = &flow.talk else { continue };
        if flow.spec.server.port() != 53 || flow.unreplayable.is_some() {
            continue;
        }
        for (nth, datagram) in udp.far.iter().enumerate() {
            let Some(bytes) = udp.far_bytes.get(datagram.from..datagram.to) else {
                continue;
            };
            let Ok(message) = simple_dns::Packet::parse(bytes) else {
                continue;
            };
            for answer in &message.answers {
                let address = match &answer.rdata {
                    simple_dns::rdata::RData::A(a) => IpAddr::V4(Ipv4Addr::from_bits(a.address)),
                    simple_dns::rdata::RData::AAAA(a) => {
                        IpAddr::V6(std::net::Ipv6Addr::from_bits(a.address))
                    }
                    _ => continue,
                };
                answers.entry(address).or_default().push((
                    flow.start_us.saturating_add(datagram.at_us),
                    index,
                    nth,
                ));
            }
        }
    }
    /// How long after an answer a connection still counts as its consequence, microseconds.
    const WINDOW_US: u64 = 30_000_000;
    for flow in &mut conversations.flows {
        let Some(known) = answers.get(&flow.spec.server.ip()) else {
            continue;
        };
        let start = flow.start_us;
        flow.after_dns = known
            .iter()
            .filter(|(at, _, _)| *at <= start && start - at <= WINDOW_US)
            .max_by_key(|(at, _, _)| *at)
            .map(|(_, index, nth)| (*index, *nth));
    }
}
