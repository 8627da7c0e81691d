//! The first pass: every address and name that a capture has, and how each stream begins.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use super::addresses::of_bytes;
use crate::base::diagnostic::Diagnostic;
use crate::capture::conversation::{Placed, PlacedFlow, Placing};
use crate::capture::recording::{self, EventKind};
use crate::capture::structure::{self, PartKind, Structure};
use crate::capture::{CaptureReader, CapturedPacket, CustomBlock, Record};
use crate::packet::{Flags, Packet, Seq, Tcp, Transport};

/// A stream of a flow: its index, and whether it is the client's.
pub(super) type StreamKey = (usize, bool);

/// What a capture names.
#[derive(Debug, Default)]
pub(crate) struct Known {
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Labels of names, in lower case.
    pub(super) labels: BTreeSet<Vec<u8>>,
    /// Whole names, likewise.
    pub(super) names: BTreeSet<String>,
    pub(super) flows: Vec<PlacedFlow>,
    /// How streams begin, with the structure in it.
    pub(super) heads: BTreeMap<StreamKey, (Vec<u8>, Structure)>,
    /// The number of each stream's first byte.
    pub(super) bases: BTreeMap<StreamKey, Seq>,
    pub(super) first_ns: Option<i64>,
    pieces: BTreeMap<StreamKey, Vec<(Seq, Vec<u8>)>>,
    /// Bytes of each far side's stream that events have.
    reported: BTreeMap<usize, Vec<u8>>,
}

/// Bytes of a stream in which structure is looked for.
const HEAD: usize = 65_536;

impl Known {
    pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Self, Diagnostic> {
        let mut known = Self::default();
        let mut placing = Placing::new();
        let mut reader = CaptureReader::from_read(name, std::io::Cursor::new(bytes.to_vec()))?;
        while let Some(record) = reader.next_record()? {
            match record {
                Record::Packet(packet) => {
                    known.first_ns.get_or_insert(packet.time_ns);
                    let placed = placing.packet(&packet);
                    known.packet(&packet, placed.as_ref(), &placing);
                }
                Record::Custom(block) => {
                    let placed = placing.custom(&block);
                    known.event(&block, placed.as_ref());
                }
            }
        }
        known.flows = placing.flows();
        known.find_heads();
        Ok(known)
    }

    /// Whether a sender is the client of a flow.
    pub(super) fn is_client(&self, flow: usize, sender: SocketAddr) -> bool {
        self.flows
            .get(flow)
            .is_some_and(|flow| flow.client == sender)
    }

    fn packet(
        &mut self,
        captured: &CapturedPacket<'_>,
        placed: Option<&Placed>,
        placing: &Placing,
    ) {
        let Ok(ip) = &captured.content else { return };
        let Ok(packet) = ip.packet() else { return };
        self.ip(&packet);
        match packet.transport {
            Transport::Udp(udp) if is_of_dns(udp.source_port, udp.destination_port) => {
                self.message(udp.payload);
            }
            Transport::Tcp(tcp) => {
                let known = placed.and_then(|placed| placing.ends(placed.flow));
                if let (Some(placed), Some((_, client, _))) = (placed, known)
                    && let Some((sender, _)) = packet.ends()
                {
                    self.segment((placed.flow, sender == client), &tcp);
                }
            }
            Transport::Icmp(icmp) => {
                let quoted = icmp.quoted(packet.is_v4());
                if let Some(Ok(quoted)) = quoted.map(|bytes| Packet::parse(bytes, bytes.len())) {
                    self.ip(&quoted);
                }
            }
            _ => {}
        }
    }

    fn ip(&mut self, packet: &Packet<'_>) {
        self.addresses.extend([packet.source, packet.destination]);
    }

    fn segment(&mut self, key: StreamKey, tcp: &Tcp<'_>) {
        let syn = u32::from(tcp.flags.contains(Flags::SYN));
        let first = tcp.sequence.plus(syn);
        let known = self.bases.entry(key).or_insert(first);
        // A SYN says where the stream begins, whatever came before it.
        if syn == 1 {
            *known = first;
        }
        let pieces = self.pieces.entry(key).or_default();
        let kept: usize = pieces.iter().map(|(_, bytes)| bytes.len()).sum();
        if !tcp.payload.is_empty() && kept < HEAD {
            pieces.push((first, tcp.payload.to_vec()));
        }
    }

    fn event(&mut self, block: &CustomBlock<'_>, placed: Option<&Placed>) {
        let Some(Ok(event)) = recording::decode(block) else {
            return;
        };
        if let Some(flow) = event.flow {
            self.addresses.extend([flow.client.ip(), flow.server.ip()]);
        }
        match event.kind {
            EventKind::Dial(name) => self.name(name),
            EventKind::RemoteData(bytes) => {
                if let Some(placed) = placed {
                    let reported = self.reported.entry(placed.flow).or_default();
                    let room = HEAD.saturating_sub(reported.len());
                    reported.extend(bytes.iter().take(room));
                }
            }
            EventKind::RemoteDatagram(bytes)
                if event
                    .flow
                    .is_some_and(|flow| is_of_dns(flow.server.port(), 0)) =>
            {
                self.message(bytes);
            }
            _ => {}
        }
    }

    /// Takes note of a name written out.
    pub(super) fn name(&mut self, name: &str) {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        if name.is_empty() {
            return;
        }
        let labels = name.split('.').map(|label| label.as_bytes().to_vec());
        self.labels.extend(labels.filter(|label| !label.is_empty()));
        self.names.insert(name);
    }

    fn message(&mut self, bytes: &[u8]) {
        if let Some(found) = structure::message(bytes) {
            self.structure(bytes, &found);
        }
        if let Ok(message) = simple_dns::Packet::parse(bytes) {
            let asked = message.questions.iter().map(|question| &question.qname);
            let owners = message.answers.iter().map(|record| &record.name);
            for name in asked.chain(owners) {
                self.name(&name.to_string());
            }
        }
    }

    fn structure(&mut self, bytes: &[u8], found: &Structure) {
        for part in &found.parts {
            let Some(bytes) = bytes.get(part.at.clone()) else {
                continue;
            };
            match part.kind {
                PartKind::Name => self.name(&String::from_utf8_lossy(bytes)),
                PartKind::Label => drop(self.labels.insert(bytes.to_ascii_lowercase())),
                PartKind::Address => self.addresses.extend(of_bytes(bytes)),
                PartKind::Opaque | PartKind::Text => {}
            }
        }
    }

    /// Puts the beginnings of streams together and finds their structure.
    fn find_heads(&mut self) {
        let mut heads: BTreeMap<StreamKey, Vec<u8>> = BTreeMap::new();
        for (key, pieces) in std::mem::take(&mut self.pieces) {
            let base = self.bases.get(&key).copied().unwrap_or_default();
            heads.insert(key, joined(base, pieces));
        }
        for (flow, reported) in std::mem::take(&mut self.reported) {
            heads.insert((flow, false), reported);
        }
        for ((flow, up), head) in heads {
            let ports = self
                .flows
                .get(flow)
                .map(|flow| (flow.client.port(), flow.server.port()));
            let (client, server) = ports.unwrap_or_default();
            let found = if is_of_dns(client, server) {
                Some(structure::messages(&head))
            } else if up {
                structure::first_flight(&head)
            } else {
                None
            };
            if let Some(found) = found {
                if is_of_dns(client, server) {
                    let mut at = 0;
                    while let Some(length) = head.get(at..at + 2) {
                        let end = at + 2 + usize::from(length[0]) * 256 + usize::from(length[1]);
                        self.message(head.get(at + 2..end).unwrap_or_default());
                        at = end;
                    }
                }
                self.structure(&head, &found);
                self.heads.insert((flow, up), (head, found));
            }
        }
    }
}

/// Whether ports are those of DNS, or of its multicast kin.
pub(super) fn is_of_dns(one: u16, other: u16) -> bool {
    [53, 5353, 5355]
        .iter()
        .any(|port| *port == one || *port == other)
}

/// The bytes from a number on, as far as they are there without a hole; of bytes that came twice the first count.
fn joined(base: Seq, mut pieces: Vec<(Seq, Vec<u8>)>) -> Vec<u8> {
    pieces.sort_by_key(|(seq, _)| seq.minus(base));
    let mut head = Vec::new();
    for (seq, bytes) in pieces {
        let at = seq.minus(base);
        let have = i32::try_from(head.len()).unwrap_or(i32::MAX);
        if at > have {
            break;
        }
        let skip = usize::try_from(i64::from(have) - i64::from(at)).unwrap_or(0);
        head.extend_from_slice(bytes.get(skip..).unwrap_or_default());
    }
    head
}
