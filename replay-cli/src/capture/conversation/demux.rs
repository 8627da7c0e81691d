//! Packets to flows: by tuple, and for TCP by the SYN that begins each use of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::echo::Echoes;
use super::fragments::Fragments;
use super::raw::{Part, RawFlow, RawPacket};
use super::recorded::{RawEvent, RawKind, Recording};
use super::store::{CaptureBytes, Span};
use super::{Pair, ReadOptions, cut};
use crate::base::index::Index;
use crate::capture::recording::{self, Event, EventKind};
use crate::capture::{CaptureError, CapturedPacket, CustomBlock, Direction, Spool};
use crate::packet::{Checksum, Packet, Transport};
use crate::scenario::Protocol;

mod connection;
mod finish;
mod other;

/// Collects a capture's packets by flow.
#[derive(Debug, Default)]
pub(crate) struct Demux {
    options: ReadOptions,
    fragments: Fragments<Part>,
    /// Packets put together from fragments.
    rebuilt: Spool,
    /// What went wrong with those.
    failure: Option<CaptureError>,
    /// IP packets that may be replayed, fragments and what they make included.
    usable: u64,
    largest: usize,
    oversize: u64,
    flows: Vec<RawFlow>,
    /// The newest flow of a pair. Looked up with every packet, and never gone through.
    current: Index,
    echoes: Echoes,
    path_mtu: Option<u32>,
    skipped: BTreeMap<String, u64>,
    packets_read: u64,
    first_ns: Option<i64>,
    /// The earliest time of any frame, whatever it holds.
    first_frame_ns: Option<i64>,
    /// The earliest and the latest time of an IP packet.
    span_ns: Option<(i64, i64)>,
    recording: Option<Recording>,
    /// The number of the present packet.
    number: u64,
    /// Which way the present packet went, in a recording: inbound is the device's.
    direction: Option<Direction>,
    /// Where the present packet belongs, for [`Placing`](super::Placing); with it no more of a flow is kept than is needed to tell its packets apart.
    pub(crate) placed: Option<Placed>,
    pub(crate) places_only: bool,
}

/// The flow that a packet belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) flow: usize,
    /// Numbers of the fragments that it was put together from.
    pub(crate) parts: Vec<u32>,
}

impl Demux {
    pub(crate) fn new(options: ReadOptions) -> Self {
        Self {
            options,
            ..Self::default()
        }
    }

    /// What is known of the flows so far, in the order in which they were opened.
    pub(crate) fn raw_flows(&self) -> &[RawFlow] {
        &self.flows
    }

    /// How many flows there are so far.
    pub(crate) fn flows(&self) -> usize {
        self.flows.len() + self.echoes.len()
    }

    pub(crate) fn packet(&mut self, captured: &CapturedPacket<'_>) {
        self.packets_read += 1;
        self.number = captured.number;
        let now = captured.time_ns;
        self.first_frame_ns = self.first_frame_ns.into_iter().chain([now]).min();
        self.direction = captured.direction.filter(|_| self.recording.is_some());
        let ip = match &captured.content {
            Ok(ip) => ip,
            Err(reason) => return self.skip(reason.to_string()),
        };
        self.first_ns.get_or_insert(now);
        let (earliest, latest) = self.span_ns.unwrap_or((now, now));
        self.span_ns = Some((earliest.min(now), latest.max(now)));
        let packet = match ip.packet() {
            Ok(packet) => packet,
            Err(problem) => return self.skip(format!("malformed: {problem}")),
        };
        let mut part = Part {
            span: Span::new(captured.offset, ip.bytes.len()),
            number: u32::try_from(captured.number).unwrap_or(u32::MAX),
        };
        // What the snap length cut within headers, or within a fragment, goes on as what it would have been.
        let mended = if packet.fragment.is_some() && ip.cut {
            Some(cut::filled_up(&packet))
        } else {
            cut::tcp_headers(&packet)
        };
        let packet = match &mended {
            Some(bytes) => {
                let Some(place) = self.rebuild(bytes) else {
                    return;
                };
                part.span = Span::new(place, bytes.len());
                Packet::parse_within(bytes, packet.total_len).unwrap_or(packet)
            }
            None => packet,
        };
        if packet.fragment.is_some() {
            return self.fragment(&packet, now, part);
        }
        if !matches!(packet.transport, Transport::Tcp(_) | Transport::Udp(_)) {
            return self.other(&packet, now, part);
        }
        self.note_size(&packet);
        self.whole(&packet, now, part, Vec::new());
    }

    fn fragment(&mut self, packet: &Packet<'_>, time_ns: i64, part: Part) {
        self.note_size(packet);
        let Some(whole) = self.fragments.insert(packet, part) else {
            return;
        };
        if whole.cut {
            return self.skip_many(
                "fragments of a datagram cut by the snap length",
                whole.frames.len() as u64,
            );
        }
        // Its bytes are not looked at again.
        let kept: &[u8] = if self.places_only { &[] } else { &whole.packet };
        let Some(place) = self.rebuild(kept) else {
            return;
        };
        let part = Part {
            span: Span::new(place, whole.packet.len()),
            ..part
        };
        if let Ok(packet) = Packet::whole(&whole.packet) {
            self.note_size(&packet);
            self.whole(&packet, time_ns, part, whole.frames);
        }
    }

    /// Keeps a packet that is in the capture in another form; none if it cannot be kept.
    fn rebuild(&mut self, packet: &[u8]) -> Option<u64> {
        match self.rebuilt.push(packet) {
            Ok(at) => Some(CaptureBytes::rebuilt(at)),
            Err(source) => {
                let path = "temporary file".into();
                self.failure
                    .get_or_insert(CaptureError::Io { path, source });
                None
            }
        }
    }

    /// Remembers the largest packet, which the engine's MTU must admit; what no device sends is segmentation offload.
    fn note_size(&mut self, packet: &Packet<'_>) {
        self.usable += 1;
        if packet.total_len > MTU_BOUND {
            self.oversize += 1;
        } else {
            self.largest = self.largest.max(packet.total_len);
        }
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
            Some(Ok(event)) => self.event(&event, block),
        }
    }

    fn event(&mut self, event: &Event<'_>, block: &CustomBlock<'_>) {
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
        let (Some(flow), Some(kind)) = (event.flow, RawKind::of(event.kind, block)) else {
            return;
        };
        let pair = Pair::of(flow.protocol, flow.client, flow.server);
        let known = self
            .current
            .find(&pair, |index| pair_of(&self.flows, index));
        if let Some(flow) = known.filter(|_| self.places_only) {
            self.placed = Some(Placed {
                flow,
                parts: Vec::new(),
            });
            return;
        }
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

    /// A packet that is whole; `parts` are its fragments, if it came in some.
    fn whole(&mut self, packet: &Packet<'_>, time_ns: i64, part: Part, parts: Vec<Part>) {
        let many = parts.len().max(1) as u64;
        let protocol = match packet.transport {
            Transport::Tcp(_) => Protocol::Tcp,
            Transport::Udp(_) => Protocol::Udp,
            _ => return self.other(packet, time_ns, part),
        };
        let Some((source, destination)) = packet.ends() else {
            return;
        };
        if let Some(reason) = no_flow(packet.source, packet.destination) {
            return self.skip_many(reason, many);
        }
        if source.port() == 0 || destination.port() == 0 {
            return self.skip_many("port zero", many);
        }
        let pair = Pair::of(protocol, source, destination);
        let flow = match packet.transport {
            Transport::Tcp(tcp) => self.tcp_flow(pair, source, destination, &tcp),
            _ => match self.newest(&pair) {
                Some(flow) => flow,
                None => self.open(pair, source, destination),
            },
        };
        self.placed = Some(Placed {
            flow,
            parts: parts.iter().map(|part| part.number).collect(),
        });
        let spoiled = self.options.checksums && packet.checksums().transport == Checksum::Invalid;
        if let Some(flow) = self.flows.get_mut(flow) {
            let from_client = flow.client == source;
            let mut raw = RawPacket::of(packet, part, time_ns);
            raw.set(RawPacket::FROM_CLIENT, from_client);
            raw.set(RawPacket::SPOILED, spoiled);
            let mended = protocol == Protocol::Tcp
                && CaptureBytes::is_rebuilt(part.span.place)
                && parts.is_empty();
            flow.cut_options += u64::from(mended);
            if self.places_only {
                flow.note(raw);
            } else {
                flow.push(raw, parts);
            }
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
        self.flows.push(RawFlow::new(pair.protocol, client, server));
        let flows = &self.flows;
        self.current
            .insert(&pair, index, |index| pair_of(flows, index));
        index
    }

    /// The newest flow of a pair.
    fn newest(&self, pair: &Pair) -> Option<usize> {
        self.current.find(pair, |index| pair_of(&self.flows, index))
    }

    fn skip(&mut self, reason: impl Into<String>) {
        self.skip_many(reason, 1);
    }

    fn skip_many(&mut self, reason: impl Into<String>, packets: u64) {
        *self.skipped.entry(reason.into()).or_default() += packets;
    }
}

fn pair_of(flows: &[RawFlow], index: usize) -> Option<Pair> {
    let flow = flows.get(index)?;
    Some(Pair::of(flow.protocol, flow.client, flow.server))
}

/// Larger frames than any device sends are segmentation offload, and are cut: import sets no MTU above this.
pub(crate) const MTU_BOUND: usize = 9216;

/// Why packets between these addresses are no flow.
pub(crate) fn no_flow(source: IpAddr, destination: IpAddr) -> Option<&'static str> {
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
