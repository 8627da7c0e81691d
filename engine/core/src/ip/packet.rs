//! One look at a frame: addresses, protocol, the bytes that count. Parsed once, at the edge.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{Ipv4Slice, Ipv6HeaderSlice};

use crate::api::drop_reason::DropReason;
use crate::ip::build::{Addresses, IPV4_HEADER_LEN, IPV6_HEADER_LEN, UDP_HEADER_LEN, protocol};
use crate::ip::checksum;
use crate::ip::extension::{self, Fault};
use crate::tcp::seq::Seq;

/// Length of the TCP header without options.
const TCP_HEADER_LEN: usize = 20;

/// An IP packet, trimmed to its own length.
#[derive(Debug)]
pub(crate) struct IpPacket<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// The protocol after extension headers.
    pub(crate) protocol: u8,
    /// Offset of the field that names it; IPv6 only.
    pub(crate) named_at: u32,
    /// The packet without what the link added behind it.
    pub(crate) frame: &'a [u8],
    /// What the IP header and its extensions carry.
    pub(crate) payload: &'a [u8],
    /// Whether it is a fragment of a larger datagram.
    pub(crate) fragment: bool,
    /// Whether it must not be fragmented on the way: IPv4's DF, and all of IPv6.
    pub(crate) dont_fragment: bool,
}

impl<'a> IpPacket<'a> {
    /// Reads the base header; the extension headers of IPv6 still precede the payload.
    #[inline]
    pub(crate) fn parse(frame: &'a [u8]) -> Result<Self, DropReason> {
        match frame.first().map(|first| first >> 4) {
            Some(4) => Self::parse_v4(frame),
            Some(6) => Self::parse_v6(frame),
            _ => Err(DropReason::MalformedIp),
        }
    }

    #[inline]
    fn parse_v4(frame: &'a [u8]) -> Result<Self, DropReason> {
        let Some((header, _)) = frame.split_first_chunk::<IPV4_HEADER_LEN>() else {
            return Err(DropReason::MalformedIp);
        };
        if header[9] == protocol::AUTHENTICATION {
            return Self::parse_v4_authenticated(frame);
        }
        let header_len = usize::from(header[0] & 0xf) * 4;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let Some(frame) = frame.get(..total) else {
            return Err(DropReason::MalformedIp);
        };
        let Some((whole_header, payload)) = frame.split_at_checked(header_len) else {
            return Err(DropReason::MalformedIp);
        };
        if header_len < IPV4_HEADER_LEN {
            return Err(DropReason::MalformedIp);
        }
        if !checksum::ipv4_header_verifies(whole_header) {
            return Err(DropReason::BadIpChecksum);
        }
        let offset = u16::from_be_bytes([header[6], header[7]]);
        Ok(Self {
            source: IpAddr::from([header[12], header[13], header[14], header[15]]),
            destination: IpAddr::from([header[16], header[17], header[18], header[19]]),
            protocol: header[9],
            named_at: 0,
            frame,
            payload,
            // MF, or anything but the beginning.
            fragment: offset & 0x3fff != 0,
            dont_fragment: offset & 0x4000 != 0,
        })
    }

    /// With an authentication header (RFC 4302), which is stepped over.
    #[cold]
    fn parse_v4_authenticated(frame: &'a [u8]) -> Result<Self, DropReason> {
        let ip = Ipv4Slice::from_slice(frame).map_err(|_| DropReason::MalformedIp)?;
        let header = ip.header();
        if !checksum::verifies(header.slice()) {
            return Err(DropReason::BadIpChecksum);
        }
        let payload = ip.payload();
        Ok(Self {
            source: header.source_addr().into(),
            destination: header.destination_addr().into(),
            protocol: payload.ip_number.0,
            named_at: 0,
            frame: frame
                .get(..usize::from(header.total_len()))
                .ok_or(DropReason::MalformedIp)?,
            payload: payload.payload,
            fragment: payload.fragmented,
            dont_fragment: header.dont_fragment(),
        })
    }

    fn parse_v6(frame: &'a [u8]) -> Result<Self, DropReason> {
        let header = Ipv6HeaderSlice::from_slice(frame).map_err(|_| DropReason::MalformedIp)?;
        let len = usize::from(header.payload_length());
        let total = IPV6_HEADER_LEN + len;
        // A length of 0 with something behind it means a jumbogram (RFC 2675), which no tunnel carries.
        if len == 0 && frame.len() > IPV6_HEADER_LEN {
            return Err(DropReason::MalformedIp);
        }
        let frame = frame.get(..total).ok_or(DropReason::MalformedIp)?;
        Ok(Self {
            source: header.source_addr().into(),
            destination: header.destination_addr().into(),
            protocol: header.next_header().0,
            named_at: 0,
            frame,
            payload: frame.get(IPV6_HEADER_LEN..).unwrap_or(&[]),
            fragment: false,
            dont_fragment: true,
        })
    }

    /// Steps over the extension headers of IPv6, as far as they can be read before reassembly.
    pub(crate) fn enter_extensions(&mut self) -> Result<(), Fault> {
        if !self.is_v6() {
            return Ok(());
        }
        let reached = extension::walk(self.frame, self.destination.is_multicast())?;
        self.protocol = reached.protocol;
        self.named_at = u32::try_from(reached.named_at).unwrap_or(u32::MAX);
        self.payload = self.frame.get(reached.offset..).unwrap_or(&[]);
        self.fragment = reached.fragment;
        Ok(())
    }

    #[inline]
    pub(crate) fn is_v6(&self) -> bool {
        self.source.is_ipv6()
    }

    /// Whether a transport segment carries the right checksum.
    pub(crate) fn verifies(&self, protocol: u8, segment: &[u8]) -> bool {
        Addresses::new(self.source, self.destination)
            .is_some_and(|addresses| checksum::tcp_udp_verifies(&addresses, protocol, segment))
    }

    /// The same, or, where a `partial` one will do, that of the pseudo header in `field`.
    #[inline]
    fn accepts(&self, protocol: u8, segment: &[u8], field: u16, partial: bool) -> bool {
        let of_header = partial
            && Addresses::new(self.source, self.destination).is_some_and(|addresses| {
                checksum::is_partial(&addresses, protocol, segment.len(), field)
            });
        of_header || self.verifies(protocol, segment)
    }
}

/// A TCP segment with a sound header and checksum.
#[derive(Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) seq: Seq,
    pub(crate) ack: Option<Seq>,
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
    /// The window field, unscaled.
    pub(crate) window: u16,
    pub(crate) options: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl<'a> Segment<'a> {
    #[inline]
    pub(crate) fn parse(ip: &IpPacket<'a>, partial: bool) -> Result<Self, DropReason> {
        let Some((header, _)) = ip.payload.split_first_chunk::<TCP_HEADER_LEN>() else {
            return Err(DropReason::MalformedTransport);
        };
        let header_len = usize::from(header[12] >> 4) * 4;
        let (Some(options), Some(payload)) = (
            ip.payload.get(TCP_HEADER_LEN..header_len),
            ip.payload.get(header_len..),
        ) else {
            return Err(DropReason::MalformedTransport);
        };
        if !ip.accepts(
            protocol::TCP,
            ip.payload,
            u16::from_be_bytes([header[16], header[17]]),
            partial,
        ) {
            return Err(DropReason::BadTransportChecksum);
        }
        let source_port = u16::from_be_bytes([header[0], header[1]]);
        let destination_port = u16::from_be_bytes([header[2], header[3]]);
        if source_port == 0 || destination_port == 0 {
            return Err(DropReason::ZeroPort);
        }
        let flags = header[13];
        // A reset is looked at before all else (RFC 9293 section 3.10.7): other flags mean nothing then.
        let rst = flags & 4 != 0;
        let (syn, fin) = (flags & 2 != 0 && !rst, flags & 1 != 0 && !rst);
        Ok(Self {
            source_port,
            destination_port,
            seq: Seq(u32::from_be_bytes([
                header[4], header[5], header[6], header[7],
            ])),
            ack: (flags & 0x10 != 0).then(|| {
                Seq(u32::from_be_bytes([
                    header[8], header[9], header[10], header[11],
                ]))
            }),
            syn,
            fin,
            rst,
            window: u16::from_be_bytes([header[14], header[15]]),
            options,
            payload,
        })
    }

    /// One past all it takes of the sequence space.
    pub(crate) fn end(&self) -> Seq {
        self.seq.plus(self.sequence_len())
    }

    /// Bytes of sequence space it takes (RFC 9293 section 3.4).
    pub(crate) fn sequence_len(&self) -> u32 {
        let payload = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        payload
            .wrapping_add(u32::from(self.syn))
            .wrapping_add(u32::from(self.fin))
    }
}

/// A UDP datagram with a sound header and checksum.
#[derive(Debug)]
pub(crate) struct Datagram<'a> {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) payload: &'a [u8],
}

impl<'a> Datagram<'a> {
    pub(crate) fn parse(ip: &IpPacket<'a>, partial: bool) -> Result<Self, DropReason> {
        let Some((&[s0, s1, d0, d1, l0, l1, c0, c1], _)) =
            ip.payload.split_first_chunk::<UDP_HEADER_LEN>()
        else {
            return Err(DropReason::MalformedTransport);
        };
        let source_port = u16::from_be_bytes([s0, s1]);
        let destination_port = u16::from_be_bytes([d0, d1]);
        let len = u16::from_be_bytes([l0, l1]);
        let sum = u16::from_be_bytes([c0, c1]);
        // Length 0 means a jumbogram (RFC 2675), which cannot come over a tunnel.
        let Some((datagram, payload)) = ip
            .payload
            .get(..usize::from(len))
            .and_then(|datagram| Some((datagram, datagram.get(UDP_HEADER_LEN..)?)))
        else {
            return Err(DropReason::MalformedTransport);
        };
        if sum == 0 {
            if ip.is_v6() {
                return Err(DropReason::MissingChecksum);
            }
        } else if !ip.accepts(protocol::UDP, datagram, sum, partial) {
            return Err(DropReason::BadTransportChecksum);
        }
        if source_port == 0 || destination_port == 0 {
            return Err(DropReason::ZeroPort);
        }
        Ok(Self {
            source_port,
            destination_port,
            payload,
        })
    }
}

/// Whether an address is so ordinary that none of the rules below looks twice at it: nearly every one is.
#[inline]
pub(crate) fn is_ordinary(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            let [first, ..] = a.octets();
            (1..=223).contains(&first) && first != 127
        }
        // 2000::/3, all that is given out (RFC 4291 section 2.4).
        IpAddr::V6(a) => a.octets()[0] >> 5 == 1,
    }
}

/// Why no host can have `address` as its own, if so. Loopback and reserved ones may be admitted by a setting.
pub(crate) fn is_martian(address: IpAddr, admit_local: bool) -> bool {
    match address {
        IpAddr::V4(a) => {
            let unusable = a.is_unspecified() || a.is_multicast() || a == Ipv4Addr::BROADCAST;
            let [first, ..] = a.octets();
            let local = a.is_loopback() || first == 0 || first >= 240;
            unusable || (local && !admit_local)
        }
        IpAddr::V6(a) => {
            // An IPv4-mapped address is for programs, not for the wire (RFC 4942 section 2.2): a dialer's kernel
            // would take ::ffff:127.0.0.1 for its own host.
            let local = a == Ipv6Addr::LOCALHOST || a.to_ipv4_mapped().is_some();
            a.is_unspecified() || a.is_multicast() || (local && !admit_local)
        }
    }
}

/// Whether `address` means nothing beyond one link (RFC 4291 section 2.5.6).
pub(crate) fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(a) if a.is_unicast_link_local())
}

/// Whether `address` names more than one host.
pub(crate) fn is_multicast(address: IpAddr) -> bool {
    address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), v6: bool) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = if v6 { 0x60 } else { 0x45 };
            }
            if let Ok(mut ip) = IpPacket::parse(&bytes)
                && ip.enter_extensions().is_ok()
            {
                let _ = Segment::parse(&ip, v6);
                let _ = Datagram::parse(&ip, v6);
            }
        }
    }

    proptest! {
        #[test]
        fn no_rule_objects_to_an_ordinary_address(v6: bool, bits: u128, low: u32) {
            let address: IpAddr = if v6 {
                Ipv6Addr::from_bits(bits).into()
            } else {
                Ipv4Addr::from_bits(low).into()
            };
            let objects = is_martian(address, false) || is_link_local(address) || is_multicast(address);
            prop_assert!(!(is_ordinary(address) && objects));
        }
    }

    #[test]
    fn loopback_is_martian_unless_admitted() {
        let loopback: IpAddr = Ipv4Addr::LOCALHOST.into();
        assert!(is_martian(loopback, false));
        assert!(!is_martian(loopback, true));
        assert!(is_martian(Ipv4Addr::UNSPECIFIED.into(), true));
    }

    #[test]
    fn an_ipv4_mapped_address_is_no_way_around_the_loopback_rule() {
        let mapped: IpAddr = Ipv4Addr::LOCALHOST.to_ipv6_mapped().into();
        assert!(is_martian(mapped, false));
    }
}
