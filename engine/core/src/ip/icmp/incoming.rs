//! ICMP errors of the device, and of routers before it, about packets the engine sent.

use core::net::{IpAddr, SocketAddr};

use crate::flow::key::{FlowKey, Proto};
use crate::ip::build::protocol;
use crate::ip::checksum;
use crate::ip::packet::IpPacket;
use crate::tcp::seq::Seq;

use super::{HEADER_LEN, Upper};

/// An ICMP error, and the packet it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Incoming {
    pub(crate) kind: Kind,
    /// The flow of the packet that it quotes.
    pub(crate) key: FlowKey,
    /// The sequence number of a TCP segment.
    pub(crate) sequence: Option<Seq>,
}

/// What an error means for a flow (RFC 9293 section 3.9.2.2, RFC 4443).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The destination will not answer: protocol or port unreachable, prohibited by policy.
    Hard,
    /// It may pass: no route for now, a loop, a congested router, a field somebody dislikes.
    Soft,
    /// The packet was too long for a link with this MTU in bytes; 0 if a router does not say (RFC 1191 section 5).
    TooBig { mtu: u32 },
}

impl Incoming {
    /// Reads an ICMP or ICMPv6 message; `None` if it is no sound error about a packet of a flow.
    pub(crate) fn parse(ip: &IpPacket<'_>) -> Option<Self> {
        let sound = if ip.is_v6() {
            ip.verifies(protocol::ICMPV6, ip.payload)
        } else {
            checksum::verifies(ip.payload)
        };
        if !sound {
            return None;
        }
        let (header, quote) = ip.payload.split_first_chunk::<HEADER_LEN>()?;
        let kind = if ip.is_v6() {
            Kind::of_icmpv6(header)?
        } else {
            Kind::of_icmp(header)?
        };
        let (key, sequence) = quoted(quote)?;
        // What the engine sent from one address is reported to that address.
        (key.server.ip() == ip.destination).then_some(Self {
            kind,
            key,
            sequence,
        })
    }
}

impl Kind {
    fn of_icmp(header: &[u8; HEADER_LEN]) -> Option<Self> {
        match *header {
            [3, 2 | 3, ..] => Some(Self::Hard),
            [3, 4, _, _, _, _, high, low] => Some(Self::TooBig {
                mtu: u32::from(u16::from_be_bytes([high, low])),
            }),
            // Unreachable for now, source quench (RFC 6633), time exceeded, parameter problem.
            [3 | 4 | 11 | 12, ..] => Some(Self::Soft),
            _ => None,
        }
    }

    fn of_icmpv6(header: &[u8; HEADER_LEN]) -> Option<Self> {
        match *header {
            [1, 1 | 4, ..] => Some(Self::Hard),
            [2, _, _, _, m0, m1, m2, m3] => Some(Self::TooBig {
                mtu: u32::from_be_bytes([m0, m1, m2, m3]),
            }),
            [1 | 3 | 4, ..] => Some(Self::Soft),
            _ => None,
        }
    }
}

/// The flow of a packet that the engine sent, and the sequence number of its segment. Eight bytes behind the IP
/// header are enough (RFC 792).
fn quoted(packet: &[u8]) -> Option<(FlowKey, Option<Seq>)> {
    let upper = Upper::of(packet).filter(|upper| !upper.later_fragment)?;
    let [s0, s1, d0, d1, q0, q1, q2, q3] = *packet.get(upper.offset..)?.first_chunk::<8>()?;
    let (proto, sequence) = match upper.protocol {
        protocol::TCP => {
            let sequence = u32::from_be_bytes([q0, q1, q2, q3]);
            (Proto::Tcp, Some(Seq(sequence)))
        }
        protocol::UDP => (Proto::Udp, None),
        _ => return None,
    };
    let end =
        |address: IpAddr, high, low| SocketAddr::new(address, u16::from_be_bytes([high, low]));
    let key = FlowKey {
        proto,
        server: end(upper.addresses.source(), s0, s1),
        client: end(upper.addresses.destination(), d0, d1),
    };
    Some((key, sequence))
}
