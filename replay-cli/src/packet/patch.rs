//! Rewrites a packet in place.
//!
//! A runner that replays a capture translates numbers, windows and echoes into those of the connection at
//! hand. Each function answers whether the field was there to be written; none panics on any bytes, and none
//! touches a checksum except [`repair_checksums`], which comes last.

use std::net::IpAddr;
use std::ops::Range;

use super::read::{u16_at, write_at};
use super::transport::{TcpOption, walk};
use super::{Flags, Fragment, Packet, Seq, Transport, checksum};

/// Writes the checksums the packet should have.
///
/// A transport checksum that covers missing bytes, and that of a fragment, is left alone. An IPv4 UDP
/// checksum of 0 ("none") is left alone too.
pub fn repair_checksums(bytes: &mut [u8]) -> bool {
    let Ok(packet) = Packet::whole(bytes) else {
        return false;
    };
    let ip = checksum::expected_ip(&packet);
    let absent = packet.udp().is_some()
        && packet.is_v4()
        && u16_at(bytes, packet.transport_offset + 6) == Some(0);
    let transport = checksum::expected_transport(&packet).filter(|_| !absent);
    if let Some(value) = ip {
        write_at(bytes, 10, &value.to_be_bytes());
    }
    if let Some((at, value)) = transport {
        write_at(bytes, at, &value.to_be_bytes());
    }
    true
}

/// Writes the source and destination address; both must be of the packet's family.
pub fn set_addresses(bytes: &mut [u8], source: IpAddr, destination: IpAddr) -> bool {
    let version = bytes.first().map(|first| first >> 4);
    match (version, source, destination) {
        (Some(4), IpAddr::V4(source), IpAddr::V4(destination)) => {
            write_at(bytes, 12, &source.octets()) && write_at(bytes, 16, &destination.octets())
        }
        (Some(6), IpAddr::V6(source), IpAddr::V6(destination)) => {
            write_at(bytes, 8, &source.octets()) && write_at(bytes, 24, &destination.octets())
        }
        _ => false,
    }
}

/// Writes the ports of a TCP or UDP packet, or of its first fragment.
pub fn set_ports(bytes: &mut [u8], source: u16, destination: u16) -> bool {
    let Some(at) = Packet::whole(bytes)
        .ok()
        .filter(|packet| packet.ports().is_some())
        .map(|p| p.transport_offset)
    else {
        return false;
    };
    write_at(bytes, at, &source.to_be_bytes())
        && write_at(bytes, at + 2, &destination.to_be_bytes())
}

/// Where the TCP header of a packet stands: found once, written to as often as needed while the headers keep their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpHeader {
    at: usize,
    /// Bytes of options.
    options: usize,
}

impl TcpHeader {
    /// The header of a packet that is a TCP segment with its options.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let packet = Packet::whole(bytes).ok()?;
        let tcp = packet.tcp()?;
        Some(Self {
            at: packet.transport_offset,
            options: tcp.option_bytes.len(),
        })
    }

    /// Writes the sequence number.
    pub fn set_sequence(self, bytes: &mut [u8], sequence: Seq) -> bool {
        write_at(bytes, self.at + 4, &sequence.0.to_be_bytes())
    }

    /// Writes the acknowledgement number.
    pub fn set_acknowledgement(self, bytes: &mut [u8], acknowledgement: Seq) -> bool {
        write_at(bytes, self.at + 8, &acknowledgement.0.to_be_bytes())
    }

    /// Writes the flags.
    pub fn set_flags(self, bytes: &mut [u8], flags: Flags) -> bool {
        write_at(bytes, self.at + 13, &[flags.0])
    }

    /// Writes the window field, not scaled.
    pub fn set_window(self, bytes: &mut [u8], window: u16) -> bool {
        write_at(bytes, self.at + 14, &window.to_be_bytes())
    }

    /// Writes the urgent pointer.
    pub fn set_urgent(self, bytes: &mut [u8], urgent: u16) -> bool {
        write_at(bytes, self.at + 18, &urgent.to_be_bytes())
    }

    /// Puts each edge of a selective acknowledgement through `translate`; false if there is none.
    pub fn map_sack_edges(self, bytes: &mut [u8], mut translate: impl FnMut(Seq) -> Seq) -> bool {
        let Some((at, length)) = self.option(bytes, 5) else {
            return false;
        };
        let edges = bytes
            .get_mut(at..at + length)
            .unwrap_or_default()
            .as_chunks_mut::<4>()
            .0;
        for edge in edges {
            *edge = translate(Seq(u32::from_be_bytes(*edge))).0.to_be_bytes();
        }
        true
    }

    /// Writes the timestamp value and its echo; false if the segment has no timestamps.
    pub fn set_timestamps(self, bytes: &mut [u8], value: u32, echo: u32) -> bool {
        let Some((at, 8)) = self.option(bytes, 8) else {
            return false;
        };
        write_at(bytes, at, &value.to_be_bytes()) && write_at(bytes, at + 4, &echo.to_be_bytes())
    }

    /// Writes the checksums the packet should have, as [`repair_checksums`] does.
    pub fn repair_checksums(self, bytes: &mut [u8]) -> bool {
        // A whole packet of IPv4 that states its length has nothing else to be looked at.
        let Some((Some(ip), tcp)) = self.checksums_v4(bytes) else {
            return repair_checksums(bytes);
        };
        write_at(bytes, 10, &ip.to_be_bytes()) && write_at(bytes, self.at + 16, &tcp.to_be_bytes())
    }

    /// Both checksums of a packet of IPv4 that is whole by its own word: its header's, and the segment's.
    fn checksums_v4(self, bytes: &[u8]) -> Option<(Option<u16>, u16)> {
        let fixed: &[u8; 20] = bytes.first_chunk()?;
        let stated = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        let fragment = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff != 0;
        if fixed[0] >> 4 != 4 || stated != bytes.len() || fragment {
            return None;
        }
        let header = checksum::of_header(bytes.get(..self.at)?);
        let segment = bytes.get(self.at..)?;
        Some((header, checksum::of_tcp_v4(fixed, segment)?))
    }

    /// Overwrites every option of a kind with no-operations, as a middlebox does that removes it; false if there is none.
    pub fn blank_option(self, bytes: &mut [u8], kind: u8) -> bool {
        let mut found = false;
        while let Some((at, length)) = self.option(bytes, kind).filter(|(at, _)| *at >= 2) {
            bytes
                .get_mut(at - 2..at + length)
                .unwrap_or_default()
                .fill(1);
            found = true;
        }
        found
    }

    /// Offset and length of the value of the first option of a kind.
    fn option(self, bytes: &[u8], wanted: u8) -> Option<(usize, usize)> {
        let start = self.at + 20;
        let options = bytes.get(start..start + self.options)?;
        // Most have none of the kind, which is seen at once.
        if !options.contains(&wanted) {
            return None;
        }
        walk(options).find_map(|(at, option)| match option {
            TcpOption::Known { kind, value } if kind == wanted => {
                Some((start + at + 2, value.len()))
            }
            _ => None,
        })
    }
}

/// Keeps `range` of a TCP or UDP payload and sets the lengths; the caller moves the sequence number.
///
/// A range past the captured payload is cut to it.
pub fn cut_payload(bytes: &mut Vec<u8>, range: Range<usize>) -> bool {
    let Ok(packet) = Packet::whole(bytes) else {
        return false;
    };
    let (start, len) = match packet.transport {
        Transport::Tcp(tcp) => (tcp.payload_offset, tcp.payload.len()),
        Transport::Udp(udp) => (packet.transport_offset + 8, udp.payload.len()),
        _ => return false,
    };
    let end = range.end.min(len);
    let from = range.start.min(end);
    bytes.truncate(start + end);
    bytes.drain(start..start + from);
    set_lengths(bytes)
}

/// Replaces a TCP or UDP payload, whatever of it was captured, and sets the lengths.
pub fn set_payload(bytes: &mut Vec<u8>, payload: &[u8]) -> bool {
    let Ok(packet) = Packet::whole(bytes) else {
        return false;
    };
    let start = match packet.transport {
        Transport::Tcp(tcp) => tcp.payload_offset,
        Transport::Udp(_) => packet.transport_offset + 8,
        _ => return false,
    };
    bytes.truncate(start);
    bytes.extend_from_slice(payload);
    set_lengths(bytes)
}

/// Makes the IP and UDP lengths state the bytes there are, as after offload or a cut; a length that does not
/// fit its field becomes 0.
pub fn set_lengths(bytes: &mut [u8]) -> bool {
    let field = |length: usize| u16::try_from(length).unwrap_or(0).to_be_bytes();
    let length = bytes.len();
    let written = match bytes.first().map(|first| first >> 4) {
        Some(4) => write_at(bytes, 2, &field(length)),
        Some(6) => write_at(bytes, 4, &field(length.saturating_sub(40))),
        _ => false,
    };
    // Nothing else has a length of its own; over IPv6 it may stand behind other headers.
    let other = match bytes.first().map(|first| first >> 4) {
        Some(4) => bytes.get(9).is_some_and(|protocol| *protocol != super::UDP),
        _ => bytes.get(6).is_some_and(|protocol| *protocol == super::TCP),
    };
    if other {
        return written;
    }
    let udp = Packet::whole(bytes)
        .ok()
        .filter(|packet| packet.protocol == super::UDP && packet.fragment.is_none())
        .map(|packet| packet.transport_offset);
    if let Some(at) = udp {
        write_at(bytes, at + 4, &field(length.saturating_sub(at)));
    }
    written
}

/// Writes the place of an IPv4 packet in a fragmented datagram; false for IPv6, whose fragments are built.
pub fn set_fragment(bytes: &mut [u8], fragment: Fragment) -> bool {
    if bytes.first().is_none_or(|first| first >> 4 != 4) {
        return false;
    }
    let identification = u16::try_from(fragment.identification & 0xffff).unwrap_or_default();
    let offset = u16::try_from((fragment.offset / 8) & 0x1fff).unwrap_or_default();
    let word = offset | if fragment.more { 0x2000 } else { 0 };
    write_at(bytes, 4, &identification.to_be_bytes()) && write_at(bytes, 6, &word.to_be_bytes())
}
