//! One look at a frame: addresses, protocol, the bytes that count. Parsed once, at the edge.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{IpSlice, TcpSlice, UdpSlice};

use crate::build::Addresses;
use crate::checksum;
use crate::drop_reason::DropReason;
use crate::seq::Seq;

/// An IP packet, trimmed to its own length.
#[derive(Debug)]
pub(crate) struct IpPacket<'a> {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    /// The protocol after extension headers.
    pub(crate) protocol: u8,
    /// The packet without what the link added behind it.
    pub(crate) frame: &'a [u8],
    /// What the IP header and its extensions carry.
    pub(crate) payload: &'a [u8],
    /// Whether it is a fragment of a larger datagram.
    pub(crate) fragment: bool,
    /// Whether IPv6 extension headers stand before the payload.
    pub(crate) extended: bool,
}

impl<'a> IpPacket<'a> {
    pub(crate) fn parse(frame: &'a [u8]) -> Result<Self, DropReason> {
        let ip = IpSlice::from_slice(frame).map_err(|_| DropReason::MalformedIp)?;
        let payload = ip.payload();
        let (header, total, extended) = match &ip {
            IpSlice::Ipv4(v4) => {
                let header = v4.header();
                if !checksum::verifies(header.slice()) {
                    return Err(DropReason::BadIpChecksum);
                }
                (
                    header.slice().len(),
                    usize::from(header.total_len()),
                    v4.extensions().auth.is_some(),
                )
            }
            IpSlice::Ipv6(v6)
                if v6.header().payload_length() == 0 && !payload.payload.is_empty() =>
            {
                return Err(DropReason::MalformedIp);
            }
            IpSlice::Ipv6(v6) => (
                40,
                40 + usize::from(v6.header().payload_length()),
                !v6.extensions().slice().is_empty(),
            ),
        };
        // A jumbogram's length 0 and a length that the frame does not hold are refused alike.
        let trimmed = frame
            .get(..total)
            .filter(|frame| frame.len() >= header)
            .ok_or(DropReason::MalformedIp)?;
        Ok(Self {
            source: ip.source_addr(),
            destination: ip.destination_addr(),
            protocol: payload.ip_number.0,
            frame: trimmed,
            payload: payload.payload,
            fragment: payload.fragmented,
            extended,
        })
    }

    pub(crate) fn is_v6(&self) -> bool {
        self.source.is_ipv6()
    }

    /// Whether a transport segment carries the right checksum.
    pub(crate) fn verifies(&self, protocol: u8, segment: &[u8]) -> bool {
        Addresses::new(self.source, self.destination)
            .is_some_and(|addresses| checksum::tcp_udp_verifies(&addresses, protocol, segment))
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
    /// The maximum segment size option (RFC 9293 section 3.7.1).
    pub(crate) mss: Option<u16>,
    /// The window scale option of a SYN (RFC 7323 section 2).
    pub(crate) window_scale: Option<u8>,
    pub(crate) header_len: usize,
    pub(crate) options: &'a [u8],
    pub(crate) payload: &'a [u8],
}

impl<'a> Segment<'a> {
    pub(crate) fn parse(ip: &IpPacket<'a>) -> Result<Self, DropReason> {
        let tcp = TcpSlice::from_slice(ip.payload).map_err(|_| DropReason::MalformedTransport)?;
        if !ip.verifies(6, ip.payload) {
            return Err(DropReason::BadTransportChecksum);
        }
        if tcp.source_port() == 0 || tcp.destination_port() == 0 {
            return Err(DropReason::ZeroPort);
        }
        if (tcp.syn() && (tcp.fin() || tcp.rst())) || (tcp.fin() && tcp.rst()) {
            return Err(DropReason::ContradictoryFlags);
        }
        let (mss, window_scale) = if tcp.syn() {
            (mss_option(tcp.options()), scale_option(tcp.options()))
        } else {
            (None, None)
        };
        Ok(Self {
            source_port: tcp.source_port(),
            destination_port: tcp.destination_port(),
            seq: Seq(tcp.sequence_number()),
            ack: tcp.ack().then(|| Seq(tcp.acknowledgment_number())),
            syn: tcp.syn(),
            fin: tcp.fin(),
            rst: tcp.rst(),
            window: tcp.window_size(),
            mss,
            window_scale,
            header_len: tcp.header_slice().len(),
            options: ip.payload.get(20..tcp.header_slice().len()).unwrap_or(&[]),
            payload: tcp.payload(),
        })
    }

    /// Octets of sequence space it takes (RFC 9293 section 3.4).
    pub(crate) fn sequence_len(&self) -> u32 {
        let payload = u32::try_from(self.payload.len()).unwrap_or(u32::MAX);
        payload
            .wrapping_add(u32::from(self.syn))
            .wrapping_add(u32::from(self.fin))
    }
}

/// The window scale option (RFC 7323 section 2.2), 14 at the most.
fn scale_option(options: &[u8]) -> Option<u8> {
    match *find_option(options, 3)? {
        [3, 3, shift, ..] => Some(shift.min(14)),
        _ => None,
    }
}

fn mss_option(options: &[u8]) -> Option<u16> {
    match *find_option(options, 2)? {
        [2, 4, high, low, ..] => Some(u16::from_be_bytes([high, low])),
        _ => None,
    }
}

/// The options from the first of `wanted` kind on.
fn find_option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match *options {
            [kind, ..] if kind == wanted => return Some(options),
            [1, ..] => options = options.get(1..)?,
            [0, ..] | [] | [_] => return None,
            [_, len, ..] => options = options.get(usize::from(len).max(2)..)?,
        }
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
    pub(crate) fn parse(ip: &IpPacket<'a>) -> Result<Self, DropReason> {
        let udp = UdpSlice::from_slice(ip.payload).map_err(|_| DropReason::MalformedTransport)?;
        // Length 0 stands for a jumbogram (RFC 2675), which cannot come over a tunnel.
        if usize::from(udp.length()) < 8 {
            return Err(DropReason::MalformedTransport);
        }
        if udp.checksum() == 0 {
            if ip.is_v6() {
                return Err(DropReason::MissingChecksum);
            }
        } else if !ip.verifies(17, udp.slice()) {
            return Err(DropReason::BadTransportChecksum);
        }
        if udp.source_port() == 0 || udp.destination_port() == 0 {
            return Err(DropReason::ZeroPort);
        }
        Ok(Self {
            source_port: udp.source_port(),
            destination_port: udp.destination_port(),
            payload: udp.payload(),
        })
    }
}

/// Why no host can have `address` as its own, if so. Loopback and reserved ones may be admitted by a setting.
pub(crate) fn is_martian(address: IpAddr, admit_local: bool) -> bool {
    match address {
        IpAddr::V4(a) => {
            let unusable = a.is_unspecified() || a.is_multicast() || a == Ipv4Addr::BROADCAST;
            let local = a.is_loopback()
                || a.octets()
                    .first()
                    .is_some_and(|first| *first == 0 || *first >= 240);
            unusable || (local && !admit_local)
        }
        IpAddr::V6(a) => {
            a.is_unspecified() || a.is_multicast() || (a == Ipv6Addr::LOCALHOST && !admit_local)
        }
    }
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
            if let Ok(ip) = IpPacket::parse(&bytes) {
                let _ = Segment::parse(&ip);
                let _ = Datagram::parse(&ip);
            }
        }
    }

    #[test]
    fn mss_is_found_behind_other_options() {
        assert_eq!(mss_option(&[1, 3, 3, 7, 2, 4, 5, 180]), Some(1460));
        assert_eq!(scale_option(&[1, 3, 3, 7, 2, 4, 5, 180]), Some(7));
        assert_eq!(scale_option(&[3, 3, 200]), Some(14));
        assert_eq!(mss_option(&[8, 0, 0]), None);
    }

    #[test]
    fn loopback_is_martian_unless_admitted() {
        let loopback: IpAddr = Ipv4Addr::LOCALHOST.into();
        assert!(is_martian(loopback, false));
        assert!(!is_martian(loopback, true));
        assert!(is_martian(Ipv4Addr::UNSPECIFIED.into(), true));
    }
}
