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

/// The two ends of the load's path.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub(super) device: Ipv4Addr,
    pub(super) server: Ipv4Addr,
}

/// The fields of a segment that change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) port: u16,
    pub(super) server_port: u16,
    pub(super) seq: u32,
    pub(super) ack: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
}

/// What a frame toward the device holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Heard<'a> {
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
pub(super) fn tcp(
    out: &mut FrameBatch,
    ends: &Ends,
    header: &Header,
    options: &[u8],
    payload: &[u8],
) {
    let len = IP + TCP + options.len() + payload.len();
    out.push_with(len, |frame| {
        ipv4(frame, ends, 6);
        let Some(segment) = frame.get_mut(IP..) else {
            return;
        };
        let (head, rest) = segment.split_at_mut(TCP);
        head[0..2].copy_from_slice(&header.port.to_be_bytes());
        head[2..4].copy_from_slice(&header.server_port.to_be_bytes());
        head[4..8].copy_from_slice(&header.seq.to_be_bytes());
        head[8..12].copy_from_slice(&header.ack.to_be_bytes());
        head[12] = ((TCP + options.len()) as u8 / 4) << 4;
        head[13] = header.flags;
        head[14..16].copy_from_slice(&header.window.to_be_bytes());
        head[16..20].fill(0);
        let (place, body) = rest.split_at_mut(options.len());
        place.copy_from_slice(options);
        body.copy_from_slice(payload);
        let sum = !fold(pseudo(ends, 6, len - IP) + sum(segment));
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
    fn to_octets(self) -> [u8; TAG] {
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

    /// What stands behind it.
    fn text(self, pattern: &Pattern, len: usize) -> &[u8] {
        pattern.slice(
            upstream(self.socket.into()),
            u64::from(self.number) * 8,
            len,
        )
    }
}

/// Whether a payload is what its tag says.
pub(super) fn is_datagram(pattern: &Pattern, payload: &[u8]) -> bool {
    Tag::of(payload).is_some_and(|tag| {
        let text = payload.get(TAG..).unwrap_or_default();
        text == tag.text(pattern, text.len())
    })
}

/// Appends a datagram from the device, with a payload of `len` bytes.
pub(super) fn udp(
    out: &mut FrameBatch,
    ends: &Ends,
    (port, server_port): (u16, u16),
    pattern: &Pattern,
    tag: Tag,
    len: usize,
) {
    let text = tag.text(pattern, len.saturating_sub(TAG));
    let len = IP + UDP + TAG + text.len();
    out.push_with(len, |frame| {
        ipv4(frame, ends, 17);
        let Some(datagram) = frame.get_mut(IP..) else {
            return;
        };
        let (head, body) = datagram.split_at_mut(UDP);
        head[0..2].copy_from_slice(&port.to_be_bytes());
        head[2..4].copy_from_slice(&server_port.to_be_bytes());
        head[4..6].copy_from_slice(&((len - IP) as u16).to_be_bytes());
        head[6..8].fill(0);
        body[..TAG].copy_from_slice(&tag.to_octets());
        body[TAG..].copy_from_slice(text);
        let sum = !fold(pseudo(ends, 17, len - IP) + sum(datagram));
        let sum = if sum == 0 { 0xffff } else { sum };
        datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    });
}

/// Reads a frame toward the device.
pub(super) fn read<'a>(ends: &Ends, frame: &'a [u8]) -> Heard<'a> {
    let Some((ip, body)) = frame.split_at_checked(IP) else {
        return Heard::Broken("a frame shorter than its header");
    };
    if ip[0] != 0x45 || usize::from(word(ip, 2)) != frame.len() {
        return Heard::Broken("a frame with another version or length");
    }
    if fold(sum(ip)) != 0xffff {
        return Heard::Broken("a wrong IPv4 checksum");
    }
    if word(ip, 6) & 0x3fff != 0 || !matches!(ip[9], 6 | 17) {
        return Heard::Other;
    }
    if fold(pseudo(ends, ip[9], body.len()) + sum(body)) != 0xffff {
        return Heard::Broken("a wrong TCP or UDP checksum");
    }
    if ip[9] == 17 {
        return match body.split_at_checked(UDP) {
            Some((head, payload)) => Heard::Udp {
                port: word(head, 2),
                payload,
            },
            None => Heard::Broken("a datagram shorter than its header"),
        };
    }
    let offset = body.get(12).map_or(0, |byte| usize::from(byte >> 4) * 4);
    let (Some(payload), Some(options)) = (body.get(offset..), body.get(TCP..offset)) else {
        return Heard::Broken("a segment shorter than its header");
    };
    Heard::Tcp {
        header: Header {
            port: word(body, 2),
            server_port: word(body, 0),
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

fn ipv4(frame: &mut [u8], ends: &Ends, protocol: u8) {
    let len = frame.len() as u16;
    let Some(head) = frame.get_mut(..IP) else {
        return;
    };
    head.copy_from_slice(&[
        0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ]);
    head[2..4].copy_from_slice(&len.to_be_bytes());
    head[12..16].copy_from_slice(&ends.device.octets());
    head[16..20].copy_from_slice(&ends.server.octets());
    let checksum = !fold(sum(head));
    head[10..12].copy_from_slice(&checksum.to_be_bytes());
}

fn pseudo(ends: &Ends, protocol: u8, len: usize) -> u64 {
    let address = |address: Ipv4Addr| {
        let bits = u64::from(address.to_bits());
        (bits >> 16) + (bits & 0xffff)
    };
    address(ends.device) + address(ends.server) + u64::from(protocol) + len as u64
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
