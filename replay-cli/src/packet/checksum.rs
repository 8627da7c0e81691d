//! Internet checksums (RFC 1071), to judge and to repair.

use std::net::IpAddr;

use super::read::u16_at;
use super::{ICMP, ICMPV6, Packet, TCP, Transport, UDP};

/// What a checksum field was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    /// It fits what it covers.
    Valid,
    /// It does not fit what it covers.
    Invalid,
    /// It cannot be checked: bytes are missing, or the packet is a fragment, malformed or still to be routed on.
    Uncheckable,
    /// There is none: IPv6 headers, UDP over IPv4 that states 0, protocols without.
    Absent,
}

/// The checksums of one packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checksums {
    /// The IPv4 header's.
    pub ip: Checksum,
    /// The transport's.
    pub transport: Checksum,
}

impl Checksums {
    /// Whether no checksum is wrong.
    #[must_use]
    pub fn are_sound(self) -> bool {
        self.ip != Checksum::Invalid && self.transport != Checksum::Invalid
    }
}

pub(super) fn check(packet: &Packet<'_>) -> Checksums {
    Checksums {
        ip: check_ip(packet),
        transport: check_transport(packet),
    }
}

fn check_ip(packet: &Packet<'_>) -> Checksum {
    if !packet.is_v4() {
        return Checksum::Absent;
    }
    // An IPv4 header length is known to be captured once a packet exists.
    judge(
        packet
            .bytes
            .get(..packet.transport_offset)
            .is_some_and(|header| fold(sum(header)) == 0xffff),
    )
}

fn check_transport(packet: &Packet<'_>) -> Checksum {
    match packet.transport {
        Transport::Fragment | Transport::Cut | Transport::Malformed(_) => {
            return Checksum::Uncheckable;
        }
        Transport::Other(_) => return Checksum::Absent,
        Transport::Tcp(_) | Transport::Udp(_) | Transport::Icmp(_) => {}
    }
    let Some((_, covered)) = covered(packet) else {
        return Checksum::Uncheckable;
    };
    if matches!(packet.transport, Transport::Udp(_)) && u16_at(covered, 6) == Some(0) {
        // RFC 768 allows "none" over IPv4; RFC 8200 section 8.1 forbids it over IPv6.
        return if packet.is_v4() {
            Checksum::Absent
        } else {
            Checksum::Invalid
        };
    }
    judge(fold(pseudo_header(packet, covered.len()) + sum(covered)) == 0xffff)
}

/// Where the transport checksum lies in the packet and the value it should have; none if it has none or
/// bytes it covers are missing.
pub(super) fn expected_transport(packet: &Packet<'_>) -> Option<(usize, u16)> {
    let (field, covered) = covered(packet)?;
    let value = !fold(pseudo_header(packet, covered.len()) + sum_without(covered, field)?);
    let value = if packet.protocol == UDP && value == 0 {
        0xffff
    } else {
        value
    };
    Some((packet.transport_offset + field, value))
}

/// The value an IPv4 header's checksum field should have.
pub(super) fn expected_ip(packet: &Packet<'_>) -> Option<u16> {
    let header = packet
        .bytes
        .get(..packet.transport_offset)
        .filter(|_| packet.is_v4())?;
    of_header(header)
}

/// The checksum of the bytes of an IPv4 header, whatever the values of its fields.
pub(crate) fn of_header(header: &[u8]) -> Option<u16> {
    Some(!fold(sum_without(header, 10)?))
}

/// The checksum of a TCP segment behind the first 20 bytes of its IPv4 header.
pub(super) fn of_tcp_v4(header: &[u8; 20], segment: &[u8]) -> Option<u16> {
    let (_, addresses) = header.split_at(12);
    let pseudo = sum(addresses) + u64::from(TCP) + segment.len() as u64;
    Some(!fold(pseudo + sum_without(segment, 16)?))
}

/// Offset of the checksum field in the transport, and the bytes it covers besides the pseudo-header.
fn covered<'a>(packet: &Packet<'a>) -> Option<(usize, &'a [u8])> {
    if packet.is_cut() || packet.routed || packet.fragment.is_some() {
        return None;
    }
    let bytes = packet.payload();
    match (packet.protocol, packet.is_v4()) {
        (TCP, _) => Some((16, bytes)),
        (UDP, _) => match packet.transport {
            Transport::Udp(udp) => Some((6, bytes.get(..udp.payload_len + 8)?)),
            _ => Some((6, bytes)),
        },
        (ICMP, true) | (ICMPV6, false) => Some((2, bytes)),
        _ => None,
    }
}

fn pseudo_header(packet: &Packet<'_>, length: usize) -> u64 {
    let addresses = match (packet.source, packet.destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) if packet.protocol != ICMP => {
            sum(&source.octets()) + sum(&destination.octets())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            sum(&source.octets()) + sum(&destination.octets())
        }
        _ => return 0,
    };
    addresses + u64::from(packet.protocol) + length as u64
}

fn judge(fits: bool) -> Checksum {
    if fits {
        Checksum::Valid
    } else {
        Checksum::Invalid
    }
}

/// Sum of 16-bit words, folded. They are taken four at a time in the machine's own order, each carry put back in, and the
/// bytes of the result change places: RFC 1071 section 2 (B) and (C). An odd last byte is padded with zero.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    // Two sums beside each other, because an addition waits for the carry of the one before.
    let (mut one, mut two) = (0, 0);
    let (pairs, rest) = bytes.as_chunks::<16>();
    for pair in pairs {
        let (words, _) = pair.as_chunks::<8>();
        if let [first, second] = words {
            one = add(one, u64::from_ne_bytes(*first));
            two = add(two, u64::from_ne_bytes(*second));
        }
    }
    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        one = add(one, u64::from_ne_bytes(*word));
    }
    let mut last = [0; 8];
    for (byte, rest) in last.iter_mut().zip(rest) {
        *byte = *rest;
    }
    let all = add(add(one, two), u64::from_ne_bytes(last));
    u64::from(u16::from_be(fold(all)))
}

/// Addition in ones' complement.
fn add(sum: u64, word: u64) -> u64 {
    let (sum, carry) = sum.overflowing_add(word);
    sum + u64::from(carry)
}

/// As [`sum`], the two bytes at the even offset `field` left out.
fn sum_without(bytes: &[u8], field: usize) -> Option<u64> {
    Some(sum(bytes.get(..field)?) + sum(bytes.get(field + 2..)?))
}

pub(crate) fn fold(mut sum: u64) -> u16 {
    sum = (sum & 0xffff_ffff) + (sum >> 32);
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}
