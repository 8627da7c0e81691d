//! A flow's packets before they are looked at: of each what its headers say, and where it stands.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::recorded::{RawEvent, RawKind};
use super::store::Span;
use crate::packet::{Flags, Packet, Seq, Transport};
use crate::scenario::Protocol;

/// A flow's packets before they are looked at.
#[derive(Debug)]
pub(crate) struct RawFlow {
    pub(crate) protocol: Protocol,
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) packets: Vec<RawPacket>,
    /// The ISN of the client's SYN, if the capture holds it.
    pub(crate) client_isn: Option<Seq>,
    pub(crate) server_isn: Option<Seq>,
    /// The far side refused before it ever answered.
    pub(crate) refused: bool,
    pub(crate) established: bool,
    /// The far side has sent something other than a SYN or a reset.
    pub(crate) far_sent: bool,
    /// Its beginning is not in the capture, and made up.
    pub(crate) adopted: bool,
    /// The SYN that begins the flow came after other packets of it, before which it belongs.
    syn_is_late: bool,
    /// The fragments of the packets that came in some, by the packet's number.
    parts: BTreeMap<u32, Vec<Part>>,
    /// Segments that the snap length cut within their options.
    pub(crate) cut_options: u64,
    /// Errors that quote the flow: kind, code, whether v4, and after how many packets they came.
    pub(crate) icmp: Vec<QuotedError>,
    /// What a flight recorder kept of it, in order.
    pub(crate) events: Vec<RawEvent>,
}

/// How many packets a tap may show before the SYN that they follow, and how many bytes of a stream.
const LATE_PACKETS: usize = 64;
const LATE_BYTES: i32 = 65_536;

impl RawFlow {
    pub(crate) fn new(protocol: Protocol, client: SocketAddr, server: SocketAddr) -> Self {
        Self {
            protocol,
            client,
            server,
            packets: Vec::new(),
            client_isn: None,
            server_isn: None,
            refused: false,
            established: false,
            far_sent: false,
            adopted: false,
            syn_is_late: false,
            parts: BTreeMap::new(),
            cut_options: 0,
            icmp: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Takes a packet; `parts` are its fragments, if it came in some.
    pub(crate) fn push(&mut self, mut packet: RawPacket, parts: Vec<Part>) {
        if !parts.is_empty() {
            packet.set(RawPacket::IN_PARTS, true);
            self.parts.insert(packet.number, parts);
        }
        if std::mem::take(&mut self.syn_is_late) {
            self.packets.insert(0, packet);
        } else {
            self.packets.push(packet);
        }
    }

    /// Takes note of a packet: keeps the first ones, which tell a late SYN, and the first of the client.
    pub(crate) fn note(&mut self, packet: RawPacket) {
        let silent = || !self.packets.iter().any(RawPacket::is_from_client);
        if self.packets.len() <= LATE_PACKETS || (packet.is_from_client() && silent()) {
            self.push(packet, Vec::new());
        }
    }

    /// The packets to inject for one that was read: its fragments, or itself.
    pub(crate) fn parts(&self, packet: &RawPacket) -> Option<&[Part]> {
        if !packet.is(RawPacket::IN_PARTS) {
            return None;
        }
        self.parts.get(&packet.number).map(Vec::as_slice)
    }

    /// Packets as they were captured.
    pub(crate) fn captured(&self) -> u64 {
        let more: usize = self
            .parts
            .values()
            .map(|parts| parts.len().saturating_sub(1))
            .sum();
        (self.packets.len() + more) as u64
    }

    /// Whether this SYN is the beginning that the flow lacks: a tap that reorders shows it behind what it led to.
    pub(crate) fn is_begun_by(&self, source: SocketAddr, isn: Seq) -> bool {
        let near = |seq: Seq| (0..LATE_BYTES).contains(&seq.minus(isn.plus(1)));
        let opener_is_client = self.client == source;
        self.client_isn.is_none()
            && self.packets.len() <= LATE_PACKETS
            && self.packets.iter().all(|packet| {
                if packet.is_from_client() == opener_is_client {
                    near(packet.sequence)
                } else {
                    packet.flags.contains(Flags::ACK) && near(packet.acknowledgement)
                }
            })
    }

    /// Takes a SYN as the beginning of what came before it.
    pub(crate) fn begin_with(&mut self, client: SocketAddr, server: SocketAddr, isn: Seq) {
        if self.client != client {
            self.turn();
        }
        (self.client, self.server) = (client, server);
        (self.client_isn, self.syn_is_late) = (Some(isn), true);
    }

    /// Takes each end for the other.
    pub(crate) fn turn(&mut self) {
        for packet in &mut self.packets {
            packet.set(RawPacket::FROM_CLIENT, !packet.is_from_client());
        }
        std::mem::swap(&mut self.client, &mut self.server);
        std::mem::swap(&mut self.client_isn, &mut self.server_isn);
    }

    /// Whether a flight recorder saw it dialed.
    pub(crate) fn was_dialed(&self) -> bool {
        self.events
            .iter()
            .any(|event| matches!(event.kind, RawKind::Dial))
    }

    /// The flow if it holds a packet, with a client that says something: of one whose client's datagrams are all cut,
    /// the server is all there is.
    pub(crate) fn with_a_device(mut self) -> Option<Self> {
        let silent = !self.packets.iter().any(RawPacket::is_from_client);
        if self.protocol == Protocol::Udp && silent {
            std::mem::swap(&mut self.client, &mut self.server);
            for packet in &mut self.packets {
                packet.set(RawPacket::FROM_CLIENT, true);
            }
        }
        (!self.packets.is_empty()).then_some(self)
    }
}

/// One packet of a flow: 48 bytes of memory, whatever it carries.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawPacket {
    pub(crate) time_ns: i64,
    /// Where its IP header begins.
    place: u64,
    /// Bytes of it that were captured.
    len: u32,
    /// Its number in the capture, from 1.
    pub(crate) number: u32,
    pub(crate) sequence: Seq,
    pub(crate) acknowledgement: Seq,
    /// Bytes of payload on the wire.
    pub(crate) payload_len: u32,
    /// Where its payload begins, from its IP header on.
    pub(crate) payload_at: u16,
    pub(crate) window: u16,
    pub(crate) flags: Flags,
    /// The window shift that it offers; [`NO_SCALE`] for none.
    scale: u8,
    marks: u8,
}

/// No window shift is offered.
const NO_SCALE: u8 = u8::MAX;

impl RawPacket {
    /// The flow's client sent it.
    pub(crate) const FROM_CLIENT: u8 = 1;
    /// It came in fragments.
    pub(crate) const IN_PARTS: u8 = 2;
    /// Its transport checksum is wrong.
    pub(crate) const SPOILED: u8 = 4;

    pub(crate) fn of(packet: &Packet<'_>, part: Part, time_ns: i64) -> Self {
        let mut raw = Self {
            time_ns,
            place: part.span.place,
            len: part.span.len,
            number: part.number,
            sequence: Seq(0),
            acknowledgement: Seq(0),
            payload_len: 0,
            payload_at: 0,
            window: 0,
            flags: Flags(0),
            scale: NO_SCALE,
            marks: 0,
        };
        let at = |at: usize| u16::try_from(at).unwrap_or(u16::MAX);
        let len = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        match packet.transport {
            Transport::Tcp(tcp) => {
                raw.sequence = tcp.sequence;
                raw.acknowledgement = tcp.acknowledgement;
                raw.payload_len = len(tcp.payload_len);
                raw.payload_at = at(tcp.payload_offset);
                raw.window = tcp.window;
                raw.flags = tcp.flags;
                raw.scale = tcp.options.window_scale.unwrap_or(NO_SCALE);
            }
            Transport::Udp(udp) => {
                raw.payload_len = len(udp.payload_len);
                raw.payload_at = at(packet.transport_offset + UDP_HEADER);
            }
            _ => {}
        }
        raw
    }

    pub(crate) fn is(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    pub(crate) fn set(&mut self, mark: u8, holds: bool) {
        self.marks = if holds {
            self.marks | mark
        } else {
            self.marks & !mark
        };
    }

    pub(crate) fn is_from_client(&self) -> bool {
        self.is(Self::FROM_CLIENT)
    }

    pub(crate) fn window_scale(&self) -> Option<u8> {
        (self.scale != NO_SCALE).then_some(self.scale)
    }

    /// All of it, as captured.
    pub(crate) fn span(&self) -> Span {
        Span {
            place: self.place,
            len: self.len,
        }
    }

    /// Its payload, as far as it was captured.
    pub(crate) fn payload(&self) -> Span {
        self.span()
            .behind(self.payload_at.into())
            .up_to(self.payload_len.into())
    }
}

const UDP_HEADER: usize = 8;

/// A packet as it was captured, or a fragment of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it stands.
    pub(crate) span: Span,
    /// Its number in the capture, from 1.
    pub(crate) number: u32,
}

/// An ICMP error about a flow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QuotedError {
    pub(crate) kind: u8,
    pub(crate) code: u8,
    pub(crate) v4: bool,
    /// Its number in the capture, from 1.
    pub(crate) number: u64,
    pub(crate) time_ns: i64,
    /// Packets of the flow before it.
    pub(crate) after: usize,
    /// It quotes a packet of the client.
    pub(crate) about_client: bool,
    /// The MTU of the link that the packet was too big for, if it says so.
    pub(crate) mtu: Option<u32>,
}

impl QuotedError {
    /// Whether the far side is out of reach by what it says, and nothing of the flow came after it.
    pub(crate) fn ends(&self, flow: &RawFlow) -> bool {
        let unreachable = self.kind == if self.v4 { 3 } else { 1 };
        unreachable && self.mtu.is_none() && self.about_client && self.after == flow.packets.len()
    }

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
