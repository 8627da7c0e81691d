//! Writes the packets the engine makes itself: IP headers and UDP datagrams.
//!
//! Every packet goes straight into the [`FrameBatch`]; headers are small arrays on the
//! stack and payloads are copied once. ICMP messages are in [`icmp`](crate::ip::icmp), TCP segments in
//! [`tcp::segment`](crate::tcp::segment), splitting at the MTU is in [`fragment`](crate::ip::fragment).

use crate::api::batch::FrameBatch;
use crate::ip::checksum::{self, Sum};
use crate::ip::fragment::{self, Identifications};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Protocol numbers as IPv4's protocol and IPv6's next header field carry them.
pub(crate) mod protocol {
    pub(crate) const ICMP: u8 = 1;
    pub(crate) const TCP: u8 = 6;
    pub(crate) const UDP: u8 = 17;
    pub(crate) const AUTHENTICATION: u8 = 51;
    pub(crate) const ICMPV6: u8 = 58;
    /// RFC 8200 section 4.7.
    pub(crate) const NO_NEXT_HEADER: u8 = 59;
}

/// Length of an IPv4 header without options.
pub(crate) const IPV4_HEADER_LEN: usize = 20;
/// Length of the IPv6 base header.
pub(crate) const IPV6_HEADER_LEN: usize = 40;

pub(crate) const UDP_HEADER_LEN: usize = 8;

/// An IPv4 packet that is never split is atomic: its identification means nothing (RFC 6864 section 4.1).
const DONT_FRAGMENT: u16 = 0x4000;

/// Source and destination of a packet, of one address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Addresses {
    V4 {
        source: Ipv4Addr,
        destination: Ipv4Addr,
    },
    V6 {
        source: Ipv6Addr,
        destination: Ipv6Addr,
    },
}

impl Addresses {
    /// Pairs two addresses; nothing if their families differ.
    pub(crate) const fn new(source: IpAddr, destination: IpAddr) -> Option<Self> {
        match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Some(Self::V4 {
                source,
                destination,
            }),
            (IpAddr::V6(source), IpAddr::V6(destination)) => Some(Self::V6 {
                source,
                destination,
            }),
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => None,
        }
    }

    /// Reads the addresses of a raw packet; nothing if its base header is cut.
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Some(Self::V4 {
                source: Ipv4Addr::from(*packet.get(12..)?.first_chunk::<4>()?),
                destination: Ipv4Addr::from(*packet.get(16..)?.first_chunk::<4>()?),
            }),
            6 => Some(Self::V6 {
                source: Ipv6Addr::from(*packet.get(8..)?.first_chunk::<16>()?),
                destination: Ipv6Addr::from(*packet.get(24..)?.first_chunk::<16>()?),
            }),
            _ => None,
        }
    }

    pub(crate) const fn source(&self) -> IpAddr {
        match *self {
            Self::V4 { source, .. } => IpAddr::V4(source),
            Self::V6 { source, .. } => IpAddr::V6(source),
        }
    }

    pub(crate) const fn destination(&self) -> IpAddr {
        match *self {
            Self::V4 { destination, .. } => IpAddr::V4(destination),
            Self::V6 { destination, .. } => IpAddr::V6(destination),
        }
    }

    /// Length of the IP header the engine writes for this family.
    pub(crate) const fn header_len(&self) -> usize {
        match self {
            Self::V4 { .. } => IPV4_HEADER_LEN,
            Self::V6 { .. } => IPV6_HEADER_LEN,
        }
    }

    /// The longest IP payload: IPv4 counts its header in the 16-bit length, IPv6 does not.
    pub(crate) const fn max_payload(&self) -> usize {
        match self {
            Self::V4 { .. } => 65_535 - IPV4_HEADER_LEN,
            Self::V6 { .. } => 65_535,
        }
    }
}

/// Why a packet cannot be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsendable {
    /// Source and destination are of different address families.
    MixedFamilies,
    /// The payload does not fit the 16-bit length fields.
    TooLong,
    /// Not even eight bytes of payload fit a fragment.
    MtuTooSmall,
}

/// Emits a UDP datagram, in fragments if it exceeds `mtu` bytes.
pub(crate) fn udp(
    batch: &mut FrameBatch,
    identifications: &mut Identifications,
    source: SocketAddr,
    destination: SocketAddr,
    payload: &[u8],
    mtu: usize,
) -> Result<(), Unsendable> {
    let addresses =
        Addresses::new(source.ip(), destination.ip()).ok_or(Unsendable::MixedFamilies)?;
    let len = UDP_HEADER_LEN.saturating_add(payload.len());
    let len_field = u16::try_from(len).map_err(|_| Unsendable::TooLong)?;

    let [s0, s1] = source.port().to_be_bytes();
    let [d0, d1] = destination.port().to_be_bytes();
    let [l0, l1] = len_field.to_be_bytes();
    let mut header = [s0, s1, d0, d1, l0, l1, 0, 0];
    let check = Sum::pseudo(&addresses, protocol::UDP, len)
        .with_word(u64::from_le_bytes(header))
        .add(payload)
        .finish();
    // RFC 768: zero in the field says "no checksum", so a computed zero is sent as ones.
    let check = if check == 0 { 0xffff } else { check };
    [header[6], header[7]] = check.to_be_bytes();

    if addresses.header_len() + len > mtu {
        let (udp, parts) = (protocol::UDP, [&header, payload]);
        return fragment::emit(batch, identifications, &addresses, udp, parts, mtu);
    }
    match whole_header(batch.hop_limit(), &addresses, protocol::UDP, len)? {
        IpHeader::V4(ip) => push_datagram(batch, &ip, &header, payload),
        IpHeader::V6(ip) => push_datagram(batch, &ip, &header, payload),
    }
    Ok(())
}

/// Emits a datagram that fits: its two headers have lengths that the compiler knows.
#[inline]
fn push_datagram<const N: usize>(
    batch: &mut FrameBatch,
    ip: &[u8; N],
    header: &[u8; UDP_HEADER_LEN],
    payload: &[u8],
) {
    batch.push_with(N + UDP_HEADER_LEN + payload.len(), |space| {
        if let Some((to, rest)) = space.split_first_chunk_mut::<N>() {
            *to = *ip;
            if let Some((to, rest)) = rest.split_first_chunk_mut::<UDP_HEADER_LEN>() {
                *to = *header;
                if let Some(to) = rest.get_mut(..payload.len()) {
                    to.copy_from_slice(payload);
                }
            }
        }
    });
}

/// Emits one unfragmented packet whose payload is the two parts one after the other.
pub(crate) fn whole(
    batch: &mut FrameBatch,
    addresses: &Addresses,
    protocol: u8,
    [head, tail]: [&[u8]; 2],
) -> Result<(), Unsendable> {
    let payload_len = head.len().saturating_add(tail.len());
    let header = whole_header(batch.hop_limit(), addresses, protocol, payload_len)?;
    push(batch, &header, [&[], head, tail]);
    Ok(())
}

/// Emits a packet: the header and three parts of payload one after the other.
pub(crate) fn push(batch: &mut FrameBatch, header: &IpHeader, [a, b, c]: [&[u8]; 3]) {
    let header: &[u8] = match header {
        IpHeader::V4(header) => header,
        IpHeader::V6(header) => header,
    };
    let parts = [header, a, b, c];
    let len = parts.iter().map(|part| part.len()).sum();
    batch.push_with(len, |space| concatenate(space, parts));
}

/// The bytes of an IP header.
pub(crate) enum IpHeader {
    V4([u8; IPV4_HEADER_LEN]),
    V6([u8; IPV6_HEADER_LEN]),
}

/// Makes the header of a packet that is not split: atomic on IPv4, with DF set (RFC 6864 section 4.1).
#[inline]
pub(crate) fn whole_header(
    hop_limit: u8,
    addresses: &Addresses,
    protocol: u8,
    payload_len: usize,
) -> Result<IpHeader, Unsendable> {
    ip_header(
        hop_limit,
        addresses,
        protocol,
        payload_len,
        0,
        DONT_FRAGMENT,
    )
}

/// Makes the header of a packet with `payload_len` bytes behind the base header.
///
/// Identification and the flags-and-offset field exist on IPv4 only.
#[inline]
pub(crate) fn ip_header(
    hop_limit: u8,
    addresses: &Addresses,
    protocol: u8,
    payload_len: usize,
    identification: u16,
    flags_offset: u16,
) -> Result<IpHeader, Unsendable> {
    if payload_len > addresses.max_payload() {
        return Err(Unsendable::TooLong);
    }
    match *addresses {
        Addresses::V4 {
            source,
            destination,
        } => {
            let len = payload_len.saturating_add(IPV4_HEADER_LEN);
            let [l0, l1] = u16::try_from(len)
                .map_err(|_| Unsendable::TooLong)?
                .to_be_bytes();
            let [i0, i1] = identification.to_be_bytes();
            let [f0, f1] = flags_offset.to_be_bytes();
            let [s0, s1, s2, s3] = source.octets();
            let [d0, d1, d2, d3] = destination.octets();
            let mut header = [
                0x45, 0, l0, l1, i0, i1, f0, f1, hop_limit, protocol, 0, 0, s0, s1, s2, s3, d0, d1,
                d2, d3,
            ];
            [header[10], header[11]] = checksum::of_header(&header).to_be_bytes();
            Ok(IpHeader::V4(header))
        }
        Addresses::V6 {
            source,
            destination,
        } => {
            let [l0, l1] = u16::try_from(payload_len)
                .map_err(|_| Unsendable::TooLong)?
                .to_be_bytes();
            let mut header = [0; IPV6_HEADER_LEN];
            let start = [0x60, 0, 0, 0, l0, l1, protocol, hop_limit];
            let parts = [&start[..], &source.octets(), &destination.octets()];
            concatenate(&mut header, parts);
            Ok(IpHeader::V6(header))
        }
    }
}

/// Copies the parts one behind the other; what does not fit is left out.
#[inline]
pub(crate) fn concatenate<const N: usize>(mut space: &mut [u8], parts: [&[u8]; N]) {
    for part in parts {
        let Some((to, rest)) = space.split_at_mut_checked(part.len()) else {
            return;
        };
        to.copy_from_slice(part);
        space = rest;
    }
}

#[cfg(test)]
mod tests;
