//! The IPv4 packets of the load: fixed headers, written and read in place.

use core::net::Ipv4Addr;

use engine::FrameBatch;

use super::pattern::{Pattern, upstream};

/// Bytes of an IPv4 header without options.
const IP: usize = 20;
/// Bytes of a TCP header without options.
const TCP: usize = 20;
/// Bytes of a UDP header.
const UDP: usize = 8;

pub(super) const FIN: u8 = 1;
pub(super) const SYN: u8 = 2;
pub(super) const RST: u8 = 4;
pub(super) const PSH: u8 = 8;
pub(super) const ACK: u8 = 16;

/// The device's address.
const DEVICE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
/// The address that all flows ask for, and the ports of TCP and UDP flows.
const SERVER: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const SERVER_TCP: u16 = 80;
const SERVER_UDP: u16 = 7;

/// The fields of a segment that change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    /// The device's port.
    pub(super) port: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
}

/// What a frame toward the device holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Received<'a> {
    Tcp {
        header: Header,
        options: &'a [u8],
        payload: &'a [u8],
    },
    Udp {
        port: u16,
        payload: &'a [u8],
    },
    /// ICMP, or a fragment.
    Other,
    /// A checksum or a length is wrong.
    Broken(&'static str),
}

/// Appends a segment from the device.
pub(super) fn tcp(out: &mut FrameBatch, header: &Header, options: &[u8], payload: &[u8]) {
    let len = IP + TCP + options.len() + payload.len();
    out.push_with(len, |frame| {
        ipv4(frame, 6);
        let Some(segment) = frame.get_mut(IP..) else {
            return;
        };
        let (head, rest) = segment.split_at_mut(TCP);
        head[0..2].copy_from_slice(&header.port.to_be_bytes());
        head[2..4].copy_from_slice(&SERVER_TCP.to_be_bytes());
        head[4..8].copy_from_slice(&header.seq.to_be_bytes());
        head[8..12].copy_from_slice(&header.ack.to_be_bytes());
        head[12] = ((TCP + options.len()) as u8 / 4) << 4;
        head[13] = header.flags;
        head[14..16].copy_from_slice(&header.window.to_be_bytes());
        head[16..20].fill(0);
        let (place, body) = rest.split_at_mut(options.len());
        place.copy_from_slice(options);
        body.copy_from_slice(payload);
        let sum = !fold(pseudo(6, len - IP) + sum(segment));
        segment[16..18].copy_from_slice(&sum.to_be_bytes());
    });
}

/// Whose a datagram is and which: its first eight bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tag {
    /// The number of its socket.
    pub(super) socket: u32,
    /// Its number among those of the socket.
    pub(super) number: u32,
}

/// Bytes of a [`Tag`].
pub(super) const TAG: usize = 8;

impl Tag {
    fn to_bytes(self) -> [u8; TAG] {
        (u64::from(self.socket) << 32 | u64::from(self.number)).to_be_bytes()
    }

    /// The tag of a payload.
    pub(super) fn of(payload: &[u8]) -> Option<Self> {
        let tag = u64::from_be_bytes(*payload.first_chunk::<TAG>()?);
        Some(Self {
            socket: (tag >> 32) as u32,
            number: tag as u32,
        })
    }

    /// The payload behind it, of `len` bytes.
    fn rest(self, pattern: &Pattern, len: usize) -> &[u8] {
        let stream = upstream(self.socket.into());
        pattern.slice(stream, u64::from(self.number) * 8, len)
    }
}

/// Whether a payload is what its tag says.
pub(super) fn is_datagram(pattern: &Pattern, payload: &[u8]) -> bool {
    Tag::of(payload).is_some_and(|tag| {
        let rest = payload.get(TAG..).unwrap_or_default();
        rest == tag.rest(pattern, rest.len())
    })
}

/// Appends a datagram from the device, with a payload of `len` bytes.
pub(super) fn udp(out: &mut FrameBatch, port: u16, pattern: &Pattern, tag: Tag, len: usize) {
    let rest = tag.rest(pattern, len.saturating_sub(TAG));
    let len = IP + UDP + TAG + rest.len();
    out.push_with(len, |frame| {
        ipv4(frame, 17);
        let Some(datagram) = frame.get_mut(IP..) else {
            return;
        };
        let (head, body) = datagram.split_at_mut(UDP);
        head[0..2].copy_from_slice(&port.to_be_bytes());
        head[2..4].copy_from_slice(&SERVER_UDP.to_be_bytes());
        head[4..6].copy_from_slice(&((len - IP) as u16).to_be_bytes());
        head[6..8].fill(0);
        body[..TAG].copy_from_slice(&tag.to_bytes());
        body[TAG..].copy_from_slice(rest);
        let sum = !fold(pseudo(17, len - IP) + sum(datagram));
        let sum = if sum == 0 { 0xffff } else { sum };
        datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    });
}

/// Reads a frame toward the device.
pub(super) fn read(frame: &[u8]) -> Received<'_> {
    let Some((ip, body)) = frame.split_at_checked(IP) else {
        return Received::Broken("a frame shorter than its header");
    };
    if ip[0] != 0x45 || usize::from(word(ip, 2)) != frame.len() {
        return Received::Broken("a frame with another version or length");
    }
    if fold(sum(ip)) != 0xffff {
        return Received::Broken("a wrong IPv4 checksum");
    }
    if word(ip, 6) & 0x3fff != 0 || !matches!(ip[9], 6 | 17) {
        return Received::Other;
    }
    if fold(pseudo(ip[9], body.len()) + sum(body)) != 0xffff {
        return Received::Broken("a wrong TCP or UDP checksum");
    }
    if ip[9] == 17 {
        return match body.split_at_checked(UDP) {
            Some((head, payload)) => Received::Udp {
                port: word(head, 2),
                payload,
            },
            None => Received::Broken("a datagram shorter than its header"),
        };
    }
    let offset = body.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4);
    let (Some(payload), Some(options)) = (body.get(offset..), body.get(TCP..offset)) else {
        return Received::Broken("a segment shorter than its header");
    };
    Received::Tcp {
        header: Header {
            port: word(body, 2),
            seq: u32::from(word(body, 4)) << 16 | u32::from(word(body, 6)),
            ack: u32::from(word(body, 8)) << 16 | u32::from(word(body, 10)),
            flags: body[13],
            window: word(body, 14),
        },
        options,
        payload,
    }
}

fn word(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..at + 2) {
        Some(&[high, low]) => u16::from_be_bytes([high, low]),
        _ => 0,
    }
}

fn ipv4(frame: &mut [u8], protocol: u8) {
    let len = frame.len() as u16;
    let Some(head) = frame.get_mut(..IP) else {
        return;
    };
    head.copy_from_slice(&[
        0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ]);
    head[2..4].copy_from_slice(&len.to_be_bytes());
    head[12..16].copy_from_slice(&DEVICE.octets());
    head[16..20].copy_from_slice(&SERVER.octets());
    let checksum = !fold(sum(head));
    head[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// The sum of the pseudo header.
fn pseudo(protocol: u8, len: usize) -> u64 {
    let addresses = u64::from(DEVICE.to_bits()) + u64::from(SERVER.to_bits());
    addresses + u64::from(protocol) + len as u64
}

/// The one's complement sum of big-endian words (RFC 1071), not folded.
fn sum(bytes: &[u8]) -> u64 {
    let mut total = 0_u64;
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        total += u64::from(u32::from_be_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]));
    }
    let mut tail = [0; 4];
    let rest = chunks.remainder();
    tail[..rest.len()].copy_from_slice(rest);
    total + u64::from(u32::from_be_bytes(tail))
}

fn fold(mut total: u64) -> u16 {
    while total > 0xffff {
        total = (total >> 16) + (total & 0xffff);
    }
    total as u16
}
