//! The device: it remembers what an honest one would, and sends what the input asks for.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use replay::packet::build::{self, TcpSpec};
use replay::packet::{Flags, Packet, Seq, patch};

use super::input::{About, Frame, Off, Opt, Tcp, What, Wrap};

/// Ends of flows: two families, streams and datagrams, port 53 among them.
const TUPLES: usize = 8;

/// Frames that can be sent again, and be quoted.
const KEPT: usize = 16;

/// The IPv6 extension header of a fragment.
const FRAGMENT: u8 = 44;

/// Longest payload of a frame.
const LONGEST: usize = 4_000;

/// What the device knows of one of its tuples.
#[derive(Debug, Default)]
pub(crate) struct End {
    next: u32,
    expected: u32,
    /// Sequence numbers of SYNs that were sent: where streams may begin.
    pub(crate) begun: Vec<u32>,
    /// The engine's initial sequence number.
    pub(crate) engines: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) ends: [End; TUPLES],
    sent: Vec<Vec<u8>>,
    heard: Vec<u8>,
    /// The latest query of each device's port: id, question.
    pub(crate) queries: BTreeMap<u16, Vec<u8>>,
    /// Whether a frame was sent whose content is not this module's: streams are not compared from then on.
    pub(crate) wild: bool,
}

/// The device's end and the server of a tuple.
pub(crate) fn tuple(number: u8) -> (SocketAddr, SocketAddr) {
    let number = number % TUPLES as u8;
    let port = 40_000 + u16::from(number);
    let (client, server) = if number.is_multiple_of(2) {
        ("10.0.0.2", "203.0.113.7")
    } else {
        ("2001:db8::2", "2001:db8:1::7")
    };
    let server_port = match number {
        0..=3 => 443,
        4..=5 => 53,
        _ => 4433,
    };
    let at = |address: &str, port| SocketAddr::new(address.parse().expect("an address"), port);
    (at(client, port), at(server, server_port))
}

/// The byte of a stream at a sequence number of the device.
pub(crate) fn up(sequence: u32) -> u8 {
    let [a, b, c, _] = sequence.to_le_bytes();
    a ^ b.wrapping_mul(31) ^ c.wrapping_mul(17)
}

impl Device {
    pub(crate) fn new() -> Self {
        let end = |number: usize| End {
            next: (number as u32).wrapping_mul(0x3fff_ff00),
            ..End::default()
        };
        Self {
            ends: std::array::from_fn(end),
            sent: Vec::new(),
            heard: Vec::new(),
            queries: BTreeMap::new(),
            wild: false,
        }
    }

    /// The frames that one entry of an input comes to.
    pub(crate) fn speak(&mut self, frame: &Frame, into: &mut Vec<Vec<u8>>) {
        let plain = match &frame.what {
            What::Tcp(tcp) => self.segment(tcp),
            What::Udp {
                tuple: number,
                length,
            } => {
                let (client, server) = tuple(*number);
                let length = usize::from(*length).min(LONGEST);
                build::udp(client, server, &vec![*number; length])
            }
            What::Message {
                tuple: number,
                bytes,
            } => {
                let (client, server) = tuple(*number);
                build::udp(client, server, bytes.get(..LONGEST).unwrap_or(bytes))
            }
            What::Query {
                tuple: number,
                id,
                name,
                aaaa,
                edns,
            } => {
                let (client, server) = tuple(*number);
                let message = query(*id, *name, *aaaa, *edns);
                self.queries.insert(client.port(), message.clone());
                build::udp(client, server, &message)
            }
            What::Icmp {
                tuple: number,
                kind,
                code,
                rest,
                about,
            } => {
                let (client, server) = tuple(*number);
                let quoted = match about {
                    About::Engines => &self.heard,
                    About::Devices => self.sent.last().unwrap_or(&self.heard),
                    About::Bytes(bytes) => bytes,
                };
                let quoted = quoted.get(..LONGEST).unwrap_or(quoted);
                build::icmp(
                    client.ip(),
                    server.ip(),
                    *kind,
                    *code,
                    rest.to_be_bytes(),
                    quoted,
                )
            }
            What::Again(back) => {
                let at = self.sent.len().checked_sub(1 + usize::from(*back) % KEPT);
                let Some(again) = at.and_then(|at| self.sent.get(at)) else {
                    return;
                };
                again.clone()
            }
            What::Raw(bytes) => {
                self.wild = true;
                bytes.clone()
            }
        };
        let first = into.len();
        self.wrap(plain, &frame.wrap, into);
        for frame in into.iter().skip(first) {
            if self.sent.len() == KEPT {
                self.sent.remove(0);
            }
            self.sent.push(frame.clone());
        }
    }

    fn segment(&mut self, tcp: &Tcp) -> Vec<u8> {
        let (client, server) = tuple(tcp.tuple);
        let Some(end) = self.ends.get_mut(usize::from(tcp.tuple) % TUPLES) else {
            return Vec::new();
        };
        let sequence = off(end.next, tcp.sequence);
        let flags = Flags(tcp.flags);
        let syn = u32::from(flags.contains(Flags::SYN));
        let text = sequence.wrapping_add(syn);
        let length = u32::from(tcp.length).min(LONGEST as u32);
        let payload: Vec<u8> = (0..length).map(|at| up(text.wrapping_add(at))).collect();
        if syn == 1 && !end.begun.contains(&text) {
            end.begun.push(text);
        }
        if matches!(tcp.sequence, Off::Exact) {
            let fin = u32::from(flags.contains(Flags::FIN));
            end.next = text.wrapping_add(length).wrapping_add(fin);
        }
        let mut options = Vec::new();
        for option in &tcp.options {
            option.write(end, &mut options);
        }
        build::tcp(&TcpSpec {
            sequence: Seq(sequence),
            acknowledgement: Seq(off(end.expected, tcp.acknowledgement)),
            flags,
            window: tcp.window,
            options: &options,
            payload: &payload,
            ..TcpSpec::new(client, server)
        })
    }

    fn wrap(&mut self, plain: Vec<u8>, wrap: &Wrap, into: &mut Vec<Vec<u8>>) {
        match wrap {
            Wrap::None => into.push(plain),
            Wrap::Fragments { size, lost, turned } => {
                let size = usize::from(*size).max(68);
                let mut pieces = build::fragments(&plain, size, u32::from(*lost));
                pieces.truncate(64);
                if *turned {
                    pieces.reverse();
                }
                let kept = |at: usize| at >= 8 || lost & (1 << at) == 0;
                let pieces = pieces.into_iter().enumerate();
                into.extend(pieces.filter(|(at, _)| kept(*at)).map(|(_, piece)| piece));
            }
            Wrap::Fragment {
                offset,
                more,
                length,
            } => {
                self.wild = true;
                let piece = vec![0xa5; usize::from(*length)];
                into.push(build::fragment(
                    &plain,
                    7,
                    usize::from(*offset),
                    *more,
                    &piece,
                ));
            }
            Wrap::Extensions(headers) => {
                let headers: Vec<_> = headers
                    .iter()
                    .take(12)
                    .map(|(number, body)| (extension(*number), [&[0, 0][..], body].concat()))
                    .collect();
                let mut frame = build::with_extension_headers(&plain, &headers);
                patch::repair_checksums(&mut frame);
                self.wild |= headers.iter().any(|(number, _)| *number == FRAGMENT);
                into.push(frame);
            }
            Wrap::Corrupt { at, xor, repaired } => {
                let mut frame = plain;
                let length = frame.len().max(1);
                if let Some(byte) = frame.get_mut(usize::from(*at) % length) {
                    *byte ^= xor;
                }
                if *repaired {
                    patch::repair_checksums(&mut frame);
                }
                // A checksum notices one byte.
                self.wild |= *repaired;
                into.push(frame);
            }
            Wrap::Cut(length) => {
                let mut frame = plain;
                frame.truncate(usize::from(*length));
                into.push(frame);
            }
            Wrap::Padded(more) => {
                let mut frame = plain;
                frame.resize(frame.len() + usize::from(*more), 0x5a);
                into.push(frame);
            }
        }
    }

    /// Notes what the engine sent: the next acknowledgement, and what errors can quote.
    pub(crate) fn hear(&mut self, frame: &[u8], packet: &Packet<'_>) {
        self.heard.clear();
        self.heard.extend_from_slice(frame);
        let (Some(tcp), Some((_, port))) = (packet.tcp(), packet.ports()) else {
            return;
        };
        let Some(end) = end_of(&mut self.ends, port) else {
            return;
        };
        if tcp.flags.contains(Flags::SYN) {
            end.engines = Some(tcp.sequence.0);
            end.expected = tcp.sequence.0.wrapping_add(1);
            return;
        }
        let next = tcp.sequence_end().0;
        if next.wrapping_sub(end.expected) < 1 << 30 {
            end.expected = next;
        }
    }
}

/// What is known of the tuple with this port of the device.
pub(crate) fn end_of(ends: &mut [End; TUPLES], port: u16) -> Option<&mut End> {
    ends.get_mut(usize::from(port.checked_sub(40_000)?))
}

fn off(from: u32, by: Off) -> u32 {
    match by {
        Off::Exact => from,
        Off::Near(by) => from.wrapping_add_signed(by.into()),
        Off::Far(by) => from.wrapping_add_signed(by),
    }
}

/// Extension headers that are known, as often as not.
fn extension(number: u8) -> u8 {
    const KNOWN: [u8; 8] = [0, 60, 43, 44, 51, 59, 135, 139];
    KNOWN.get(usize::from(number)).copied().unwrap_or(number)
}

fn query(id: u8, name: u8, aaaa: bool, edns: bool) -> Vec<u8> {
    let mut message = vec![0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    message.extend([1, b'a' + name % 26, 7]);
    message.extend(b"example\0");
    message.extend([0, if aaaa { 28 } else { 1 }, 0, 1]);
    if edns {
        message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0]);
    }
    message
}

impl Opt {
    fn write(&self, end: &End, into: &mut Vec<u8>) {
        match *self {
            Self::Mss(size) => {
                into.extend([2, 4]);
                into.extend(size.to_be_bytes());
            }
            Self::WindowScale(shift) => into.extend([3, 3, shift]),
            Self::SackPermitted => into.extend([4, 2]),
            Self::Sack(from, to) => {
                into.extend([5, 10]);
                for edge in [from, to] {
                    let edge = end.expected.wrapping_sub(u32::from(edge));
                    into.extend(edge.to_be_bytes());
                }
            }
            Self::Timestamps(value, echo) => {
                into.extend([8, 10]);
                into.extend(value.to_be_bytes());
                into.extend(echo.to_be_bytes());
            }
            Self::Nop => into.push(1),
            Self::End => into.push(0),
            Self::Any(kind, length) => {
                into.extend([kind, length]);
                into.resize(
                    into.len() + usize::from(length.saturating_sub(2)).min(38),
                    0,
                );
            }
        }
    }
}
