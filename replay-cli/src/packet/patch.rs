//! Rewrites a packet in place.
//!
//! A runner that replays a capture translates numbers, windows and echoes into those of the connection at
//! hand. Each function answers whether the field was there to be written; none panics on any bytes, and none
//! touches a checksum except [`repair_checksums`], which comes last.

use super::read::{u16_at, write_at};
use super::transport::{TcpOption, walk};
use super::{Flags, Packet, Seq, Transport, checksum};

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
