//! The flows of a capture, as far as they show without putting anything together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;

use crate::capture::facts::{Facts, FlowFacts, Header, Marks, Names, Seen, Since};
use crate::packet::{Flags, Seq, Tcp};
use crate::scenario::Protocol;

/// One flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Transport.
    pub protocol: Protocol,
    /// Who opened it; of a TCP flow whose SYN is not in the capture, the end whose port is less like a server's, else the
    /// first to speak.
    pub client: SocketAddr,
    /// The other end.
    pub server: SocketAddr,
    /// From the client.
    pub up: Traffic,
    /// From the server.
    pub down: Traffic,
    /// The first packet's time, nanoseconds since the Unix epoch.
    pub start_ns: i64,
    /// The latest packet's time, likewise.
    pub end_ns: i64,
    /// What TCP's flags showed.
    pub tcp: Option<TcpSigns>,
    /// What an expert reads out of its packets, and what its server is called.
    pub facts: Facts,
}

/// What one side sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Bytes of payload on the wire, those sent twice counted twice.
    pub bytes: u64,
    /// TCP segments that end at or before what had been sent: retransmissions, and what overtook on the way.
    pub retransmissions: u64,
    highest: Option<Seq>,
}

/// What TCP's flags showed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpSigns {
    /// The client's SYN.
    pub syn: bool,
    /// The server's SYN with ACK.
    pub syn_ack: bool,
    /// The client's ACK after both.
    pub ack: bool,
    /// The first FIN and the first RST of each side, in their order.
    pub ends: [Option<(End, Sender)>; 4],
    isn: Option<Seq>,
}

/// How a side ended a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With a FIN.
    Fin,
    /// With a reset.
    Rst,
}

/// A side of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sender {
    /// The opener.
    Client,
    /// The other one.
    Server,
}

/// One packet of a flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) protocol: Protocol,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    /// Its time and frame.
    pub(crate) since: Since,
    /// Bytes of payload on the wire.
    pub(crate) payload_len: usize,
    /// What of it was captured.
    pub(crate) payload: &'a [u8],
    pub(crate) tcp: Option<&'a Tcp<'a>>,
}

/// The flows seen so far.
#[derive(Debug)]
pub(crate) struct FlowTable {
    room: usize,
    flows: Vec<Flow>,
    /// What is known of each so far, with the end that its packets count from.
    facts: Vec<(SocketAddr, FlowFacts)>,
    /// The flow a tuple means; `None` for one that found no room.
    latest: HashMap<Key, Option<usize>>,
    beyond: u64,
}

/// A tuple without direction: the lower end first.
type Key = (Protocol, SocketAddr, SocketAddr);

/// The most flows that are told apart: some 150 MB of them.
const ROOM: usize = 100_000;

/// How little a port is like a server's: well-known, registered, or of the range that systems give to clients (RFC 6335
/// section 6; Linux begins lower, at 32768).
fn port_class(port: u16) -> u8 {
    match port {
        ..1024 => 0,
        1024..32_768 => 1,
        32_768.. => 2,
    }
}

impl FlowTable {
    pub(crate) fn with_room(room: usize) -> Self {
        Self {
            room,
            flows: Vec::new(),
            facts: Vec::new(),
            latest: HashMap::new(),
            beyond: 0,
        }
    }

    /// Takes a packet, and says what it is.
    pub(crate) fn packet(&mut self, segment: &Segment<'_>) -> Marks {
        let full = self.flows.len() >= self.room;
        let place = match self.latest.entry(key(segment)) {
            Entry::Vacant(_) if full => None,
            Entry::Vacant(entry) => *entry.insert(Some(self.flows.len())),
            Entry::Occupied(mut entry) => {
                let known = entry.get().and_then(|index| self.flows.get(index));
                if known.is_some_and(|flow| flow.is_over(segment)) {
                    entry.insert((!full).then_some(self.flows.len()));
                }
                *entry.get()
            }
        };
        let Some(index) = place else {
            self.beyond = self.beyond.saturating_add(1);
            return Marks::default();
        };
        let Segment {
            protocol,
            source,
            destination,
            ..
        } = *segment;
        if index == self.flows.len() {
            self.flows.push(Flow::opened_by(segment));
            let facts = FlowFacts::new(protocol, source, destination);
            self.facts.push((source, facts));
        }
        if let Some(flow) = self.flows.get_mut(index) {
            flow.note(segment);
        }
        let Some((first, facts)) = self.facts.get_mut(index) else {
            return Marks::default();
        };
        let seen = Seen {
            since: segment.since,
            end: usize::from(*first != source),
            payload_len: u32::try_from(segment.payload_len).unwrap_or(u32::MAX),
            tcp: segment.tcp.map(Header::of).unwrap_or_default(),
        };
        facts.packet(&seen, segment.payload)
    }

    /// Takes an ICMP error about what was sent from one end to the other.
    pub(crate) fn error(&mut self, quoted: &Segment<'_>, kind: u8, code: u8, big: bool) {
        let known = self.latest.get(&key(quoted)).copied().flatten();
        if let Some((_, facts)) = known.and_then(|index| self.facts.get_mut(index)) {
            facts.icmp(quoted.since, kind, code, big);
        }
    }

    /// The flows, and how many packets belong to others.
    pub(crate) fn finish(mut self) -> (Vec<Flow>, u64) {
        let mut names = Names::default();
        for (flow, (first, facts)) in self.flows.iter_mut().zip(self.facts) {
            let device = usize::from(first != flow.client);
            let (found, answers) = facts.finish(device);
            flow.facts = found;
            names.learn(answers);
        }
        names.settle();
        for flow in &mut self.flows {
            names.give(&mut flow.facts, flow.server.ip(), flow.start_ns);
        }
        (self.flows, self.beyond)
    }
}

fn key(segment: &Segment<'_>) -> Key {
    let (a, b) = (segment.source, segment.destination);
    (segment.protocol, a.min(b), a.max(b))
}

impl Default for FlowTable {
    fn default() -> Self {
        Self::with_room(ROOM)
    }
}

impl Flow {
    fn opened_by(segment: &Segment<'_>) -> Self {
        let Segment {
            protocol,
            source,
            destination,
            since,
            tcp,
            ..
        } = *segment;
        let from_server = match tcp {
            Some(tcp) if tcp.flags.contains(Flags::SYN) => tcp.flags.contains(Flags::ACK),
            Some(_) => port_class(source.port()) < port_class(destination.port()),
            None => false,
        };
        let (client, server) = if from_server {
            (destination, source)
        } else {
            (source, destination)
        };
        Self {
            protocol,
            client,
            server,
            up: Traffic::default(),
            down: Traffic::default(),
            start_ns: since.at_ns,
            end_ns: since.at_ns,
            tcp: tcp.map(|_| TcpSigns::default()),
            facts: Facts::default(),
        }
    }

    /// Whether a packet of the same tuple opens another flow.
    fn is_over(&self, segment: &Segment<'_>) -> bool {
        let (Some(signs), Some(tcp)) = (&self.tcp, segment.tcp) else {
            return false;
        };
        let opens = tcp.flags.contains(Flags::SYN) && !tcp.flags.contains(Flags::ACK);
        match signs.isn {
            // A repeated SYN has the same number; the other side's SYN is a simultaneous open.
            Some(isn) => {
                opens && isn != tcp.sequence && (segment.source == self.client || signs.has_ended())
            }
            None => opens && signs.has_ended(),
        }
    }

    fn note(&mut self, segment: &Segment<'_>) {
        self.start_ns = self.start_ns.min(segment.since.at_ns);
        self.end_ns = self.end_ns.max(segment.since.at_ns);
        if let Some(tcp) = segment.tcp {
            self.note_direction(tcp, segment.source);
        }
        let (sender, traffic) = if segment.source == self.client {
            (Sender::Client, &mut self.up)
        } else {
            (Sender::Server, &mut self.down)
        };
        traffic.packets = traffic.packets.saturating_add(1);
        traffic.bytes = traffic.bytes.saturating_add(segment.payload_len as u64);
        if let (Some(signs), Some(tcp)) = (&mut self.tcp, segment.tcp) {
            traffic.note_sequence(tcp);
            signs.note(tcp, sender);
        }
    }

    /// A SYN that comes late still says who the client is.
    fn note_direction(&mut self, tcp: &Tcp<'_>, source: SocketAddr) {
        let opens = tcp.flags.contains(Flags::SYN) && !tcp.flags.contains(Flags::ACK);
        let Some(signs) = &mut self.tcp else { return };
        if !opens || signs.isn.is_some() {
            return;
        }
        signs.isn = Some(tcp.sequence);
        if source == self.client {
            return;
        }
        std::mem::swap(&mut self.client, &mut self.server);
        std::mem::swap(&mut self.up, &mut self.down);
        for (_, sender) in signs.ends.iter_mut().flatten() {
            *sender = match sender {
                Sender::Client => Sender::Server,
                Sender::Server => Sender::Client,
            };
        }
    }
}

impl Traffic {
    fn note_sequence(&mut self, tcp: &Tcp<'_>) {
        if tcp.sequence_len() == 0 {
            return;
        }
        let end = tcp.sequence_end();
        match self.highest {
            Some(highest) if !end.after(highest) => {
                self.retransmissions = self.retransmissions.saturating_add(1);
            }
            Some(_) | None => self.highest = Some(end),
        }
    }
}

impl TcpSigns {
    fn note(&mut self, tcp: &Tcp<'_>, sender: Sender) {
        let has = |flag| tcp.flags.contains(flag);
        match (sender, has(Flags::SYN), has(Flags::ACK)) {
            (Sender::Client, true, false) => self.syn = true,
            (Sender::Server, true, true) => self.syn_ack = true,
            (Sender::Client, false, true) if self.syn_ack && !has(Flags::RST) => self.ack = true,
            _ => {}
        }
        if has(Flags::RST) {
            self.note_end((End::Rst, sender));
        } else if has(Flags::FIN) {
            self.note_end((End::Fin, sender));
        }
    }

    fn note_end(&mut self, end: (End, Sender)) {
        if self.ends.contains(&Some(end)) {
            return;
        }
        // Two kinds from two sides: there is always room.
        if let Some(free) = self.ends.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(end);
        }
    }

    fn has_ended(&self) -> bool {
        let fins = self
            .ends
            .iter()
            .flatten()
            .filter(|(end, _)| *end == End::Fin)
            .count();
        fins == 2 || self.ends.iter().flatten().any(|(end, _)| *end == End::Rst)
    }

    /// How much of the handshake was seen.
    #[must_use]
    pub fn handshake(&self) -> &'static str {
        match (self.syn, self.syn_ack, self.ack) {
            (true, true, true) => "full",
            (true, true, false) => "no ack",
            (true, false, _) => "syn only",
            (false, true, _) => "no syn",
            (false, false, _) => "none",
        }
    }
}

#[cfg(test)]
mod tests;
