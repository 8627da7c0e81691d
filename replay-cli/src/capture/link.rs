//! Finds the IP packet inside a captured frame, by link type.
//!
//! The outermost IP header counts: VLAN tags, LLC/SNAP and PPPoE are links and are taken off, tunnels inside IP are
//! not: that is for [`decap`](super::decap). Whatever holds no IP packet is a [`SkipReason`], so that nothing disappears unexplained. Numbers are those of
//! the registry at <https://www.tcpdump.org/linktypes.html>.

use std::fmt;

use super::byte_order::ByteOrder::{self, Big, Little};
use crate::packet::{Malformed, Packet};

mod pseudo;
mod serial;
mod wireless;

/// An IP packet as captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpBytes<'a> {
    /// The packet from its IP header on, as captured; link padding behind the length that IP gives is taken off.
    pub bytes: &'a [u8],
    /// Length in bytes of the IP packet on the wire, never less than that of `bytes`.
    pub original_len: usize,
    /// Whether the capture holds only the beginning of the packet.
    pub cut: bool,
    /// Whether the IP header states more than the link's own length field leaves for the packet: then `original_len`
    /// is what the link leaves.
    pub overstated: bool,
}

impl<'a> IpBytes<'a> {
    /// The packet, no longer than its link has it.
    ///
    /// # Errors
    /// As [`Packet::parse`].
    pub fn packet(&self) -> Result<Packet<'a>, Malformed> {
        if self.overstated {
            Packet::parse_within(self.bytes, self.original_len)
        } else {
            Packet::parse(self.bytes, self.original_len)
        }
    }
}

/// Why a captured frame holds no IP packet that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SkipReason {
    /// The record holds no bytes.
    Empty,
    /// The frame ends inside its link header, or right behind it.
    LinkHeaderCut,
    /// The link type of the interface is not one that is read.
    LinkType(u32),
    /// Another protocol, by its ethertype.
    Ethertype(u16),
    /// Another protocol, by the address family of a loopback header.
    AddressFamily(u32),
    /// Another protocol, by its PPP protocol number.
    PppProtocol(u16),
    /// Another protocol, by its network layer protocol identifier (RFC 2427).
    Nlpid(u8),
    /// An IEEE 802.11 frame without a packet that can be read: what it is.
    Wireless(&'static str),
    /// An IEEE 802.3 frame with an LLC header that announces no ethertype, such as spanning tree.
    Llc,
    /// More VLAN tags, one in another, than any network has.
    TooManyTags,
    /// The packet's version field is neither what the link header announced nor, without one, 4 or 6.
    IpVersion(u8),
    /// Encrypted by IPsec (RFC 4303).
    Esp,
    /// Behind an authentication header of IPsec (RFC 4302).
    Ah,
    /// A fragment of a packet that carries others in a tunnel.
    TunnelFragment,
    /// More tunnels, one in another, than are taken off.
    TooManyTunnels,
    /// A PKTAP or NFLOG record that carries metadata only.
    NoPacket,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty record"),
            Self::LinkHeaderCut => f.write_str("link header cut short"),
            Self::LinkType(number) => write!(f, "link type {number} not supported"),
            Self::Ethertype(number) => match ethertype_name(*number) {
                Some(name) => write!(f, "not IP: ethertype {number:#06x} ({name})"),
                None => write!(f, "not IP: ethertype {number:#06x}"),
            },
            Self::AddressFamily(number) => write!(f, "not IP: address family {number}"),
            Self::PppProtocol(number) => write!(f, "not IP: PPP protocol {number:#06x}"),
            Self::Nlpid(number) => write!(f, "not IP: NLPID {number:#04x}"),
            Self::Wireless(what) => write!(f, "802.11: {what}"),
            Self::Llc => f.write_str("not IP: 802.3 LLC"),
            Self::TooManyTags => write!(f, "more than {MAX_TAGS} VLAN tags or labels"),
            Self::IpVersion(version) => write!(f, "IP version field of {version}"),
            Self::Esp => f.write_str("esp: encrypted by IPsec"),
            Self::Ah => f.write_str("ah: authenticated by IPsec"),
            Self::TunnelFragment => f.write_str("fragment of a packet that carries others"),
            Self::TooManyTunnels => f.write_str("more than 4 tunnels, one in another"),
            Self::NoPacket => f.write_str("metadata without a packet"),
        }
    }
}

/// Takes the link header of type `link` off a frame of `original_len` bytes on the wire.
pub(crate) fn ip_packet(
    link: u16,
    frame: &[u8],
    original_len: usize,
) -> Result<IpBytes<'_>, SkipReason> {
    dispatch(
        link,
        Rest {
            bytes: frame,
            original_len,
            link_len: None,
        },
        true,
    )
}

/// A frame from some header on.
#[derive(Clone, Copy)]
struct Rest<'a> {
    bytes: &'a [u8],
    /// What of the frame on the wire remains from here on.
    original_len: usize,
    /// What the innermost length field so far says remains from here on.
    link_len: Option<usize>,
}

impl Rest<'_> {
    fn behind(self, header: usize) -> Result<Self, SkipReason> {
        let bytes = self.bytes.get(header..).ok_or(SkipReason::LinkHeaderCut)?;
        Ok(Self {
            bytes,
            original_len: self.original_len.saturating_sub(header),
            link_len: self.link_len.map(|len| len.saturating_sub(header)),
        })
    }

    /// No more than what a length field says; what is behind that is padding.
    fn up_to(self, len: usize) -> Self {
        let len = self.link_len.map_or(len, |outer| outer.min(len));
        Self {
            bytes: self.bytes.get(..len).unwrap_or(self.bytes),
            original_len: self.original_len.min(len),
            link_len: Some(len),
        }
    }

    fn u8(self, at: usize) -> Result<u8, SkipReason> {
        let byte = self.bytes.get(at).copied();
        byte.ok_or(SkipReason::LinkHeaderCut)
    }

    fn u16(self, at: usize) -> Result<u16, SkipReason> {
        Big.u16(self.bytes, at).ok_or(SkipReason::LinkHeaderCut)
    }

    fn u16_little(self, at: usize) -> Result<u16, SkipReason> {
        Little.u16(self.bytes, at).ok_or(SkipReason::LinkHeaderCut)
    }

    fn u32_little(self, at: usize) -> Result<u32, SkipReason> {
        Little.u32(self.bytes, at).ok_or(SkipReason::LinkHeaderCut)
    }
}

fn dispatch(link: u16, frame: Rest<'_>, outermost: bool) -> Result<IpBytes<'_>, SkipReason> {
    if frame.bytes.is_empty() {
        return Err(SkipReason::Empty);
    }
    match link {
        // NULL is in the byte order of the host that captured, LOOP in network order; both are met in either.
        0 | 108 => pseudo::loopback(frame),
        1 => ethertype(frame.u16(12)?, frame.behind(14)?, 0),
        8 => ip(frame.behind(SLIP_HEADER)?, None),
        // A PPP link may as well speak Cisco's HDLC, which has ethertypes.
        9 | 50 | 104 if serial::is_cisco_hdlc(frame) => serial::cisco_hdlc(frame),
        9 | 50 => serial::ppp(frame),
        10 => fddi(frame),
        12 | 14 | 101 => ip(frame, None),
        51 => serial::pppoe(frame),
        105 => wireless::ieee80211(frame, false),
        107 => serial::frame_relay(frame),
        109 => pseudo::enc(frame),
        // LINUX_SLL ends with the protocol, LINUX_SLL2 begins with it.
        113 => cooked(frame.u16(14)?, frame.behind(16)?),
        276 => cooked(frame.u16(0)?, frame.behind(20)?),
        117 => pseudo::pflog(frame),
        119 => wireless::prism(frame),
        127 => wireless::radiotap(frame),
        // IP over IEEE 1394: two addresses of eight bytes, then the ethertype.
        138 => ethertype(frame.u16(16)?, frame.behind(18)?, 0),
        166 => serial::pppd(frame),
        192 if outermost => wireless::ppi(frame),
        226 => pseudo::ipnet(frame),
        228 => ip(frame, Some(4)),
        229 => ip(frame, Some(6)),
        239 => pseudo::nflog(frame),
        258 if outermost => pktap(frame),
        // Apple wrote PKTAP under DLT_USER2 before it had a number; others use that number for anything.
        149 if outermost && is_pktap(frame) => pktap(frame),
        // Switch tags: Broadcom's behind the addresses or before them, Marvell's of four bytes, and of eight.
        281 | 282 | 284 => ethertype(frame.u16(16)?, frame.behind(18)?, 0),
        285 => ethertype(frame.u16(20)?, frame.behind(22)?, 0),
        other => Err(SkipReason::LinkType(other.into())),
    }
}

/// FDDI: frame control and two addresses of six bytes; what carries LLC has a frame control of 0x50 to 0x5f.
fn fddi(frame: Rest<'_>) -> Result<IpBytes<'_>, SkipReason> {
    if frame.u8(0)? & 0xf0 == 0x50 {
        llc(frame.behind(13)?, 0)
    } else {
        Err(SkipReason::Llc)
    }
}

/// The IP version of an address family as any system numbers it.
fn version_of(family: u32) -> Result<u8, SkipReason> {
    match family {
        2 => Ok(4),
        // AF_INET6: Linux, NetBSD and OpenBSD, Solaris, FreeBSD, macOS and iOS.
        10 | 24 | 26 | 28 | 30 => Ok(6),
        other => Err(SkipReason::AddressFamily(other)),
    }
}

/// Linux says "802.2" where Ethernet has a length: a number of its own, which bounds nothing.
fn cooked(number: u16, rest: Rest<'_>) -> Result<IpBytes<'_>, SkipReason> {
    if number == LINUX_802_2 {
        llc(rest, 0)
    } else if number <= 1500 {
        Err(SkipReason::Ethertype(number))
    } else {
        ethertype(number, rest, 0)
    }
}

fn ethertype(number: u16, rest: Rest<'_>, tags: usize) -> Result<IpBytes<'_>, SkipReason> {
    match number {
        0x0800 => ip(rest, Some(4)),
        0x86dd => ip(rest, Some(6)),
        // IEEE 802.1Q, 802.1ad, and the number QinQ had before.
        0x8100 | 0x88a8 | 0x9100 if tags == MAX_TAGS => Err(SkipReason::TooManyTags),
        0x8100 | 0x88a8 | 0x9100 => {
            ethertype(rest.u16(2)?, rest.behind(4)?, tags.saturating_add(1))
        }
        0x8847 | 0x8848 => mpls(rest, 0),
        0x8864 => serial::pppoe(rest),
        // Cisco metadata and Marvell's switch tag: six bytes, then the ethertype.
        0x8909 | 0xdada if tags == MAX_TAGS => Err(SkipReason::TooManyTags),
        0x8909 | 0xdada => ethertype(rest.u16(6)?, rest.behind(8)?, tags.saturating_add(1)),
        // IEEE 802.3: up to 1500 it is a length, with an LLC header behind it.
        0..=1500 => llc(rest.up_to(number.into()), tags),
        other => Err(SkipReason::Ethertype(other)),
    }
}

/// LLC carries an ethertype only as SNAP with OUI 0 (RFC 1042).
fn llc(rest: Rest<'_>, tags: usize) -> Result<IpBytes<'_>, SkipReason> {
    if !rest.bytes.starts_with(&[0xaa, 0xaa, 3, 0, 0, 0]) {
        return Err(SkipReason::Llc);
    }
    let inner = rest.u16(6)?;
    // A length inside SNAP would lead back here; no network sends it.
    if inner <= 1500 {
        Err(SkipReason::Llc)
    } else {
        ethertype(inner, rest.behind(8)?, tags)
    }
}

/// Labels of four bytes each (RFC 3032); what is behind the last one shows by its version.
fn mpls(rest: Rest<'_>, labels: usize) -> Result<IpBytes<'_>, SkipReason> {
    if labels == MAX_TAGS {
        return Err(SkipReason::TooManyTags);
    }
    let bottom = rest.u16(2)? & 0x0100 != 0;
    let behind = rest.behind(4)?;
    if bottom {
        ip(behind, None)
    } else {
        mpls(behind, labels + 1)
    }
}

/// Apple's header: its length, the record type and the inner link type lead it, little endian.
fn pktap(frame: Rest<'_>) -> Result<IpBytes<'_>, SkipReason> {
    let length = frame.u32_little(0)?;
    let kind = frame.u32_little(4)?;
    let inner = frame.u32_little(8)?;
    if kind != PKTAP_PACKET {
        return Err(SkipReason::NoPacket);
    }
    let length = usize::try_from(length).map_err(|_| SkipReason::LinkHeaderCut)?;
    let inner = u16::try_from(inner).map_err(|_| SkipReason::LinkType(inner))?;
    dispatch(inner, frame.behind(length.max(12))?, false)
}

fn is_pktap(frame: Rest<'_>) -> bool {
    let (Ok(length), Ok(kind)) = (frame.u32_little(0), frame.u32_little(4)) else {
        return false;
    };
    kind <= PKTAP_PACKET && (PKTAP_SHORTEST..=PKTAP_LONGEST).contains(&length)
}

fn ip(packet: Rest<'_>, announced: Option<u8>) -> Result<IpBytes<'_>, SkipReason> {
    let Rest {
        bytes,
        original_len,
        link_len,
    } = packet;
    let version = bytes.first().ok_or(SkipReason::LinkHeaderCut)? >> 4;
    if !matches!(version, 4 | 6) || announced.is_some_and(|announced| announced != version) {
        return Err(SkipReason::IpVersion(version));
    }
    // A length of zero is what segmentation offload leaves (and IPv6 jumbograms), one below the header is a lie:
    // neither tells where the packet ends.
    let told = match version {
        4 => Big
            .u16(bytes, 2)
            .map(usize::from)
            .filter(|total| *total >= 20),
        _ => Big
            .u16(bytes, 4)
            .filter(|payload| *payload > 0)
            .map(|payload| usize::from(payload).saturating_add(40)),
    };
    let end = told.unwrap_or(usize::MAX);
    let bytes = bytes.get(..end).unwrap_or(bytes);
    let original_len = original_len.min(end).max(bytes.len());
    Ok(IpBytes {
        bytes,
        original_len,
        cut: bytes.len() < original_len,
        overstated: told.zip(link_len).is_some_and(|(told, len)| told > len),
    })
}

fn ethertype_name(number: u16) -> Option<&'static str> {
    Some(match number {
        0x0806 => "ARP",
        0x8035 => "RARP",
        0x8809 => "LACP",
        0x8847 | 0x8848 => "MPLS",
        0x8863 => "PPPoE discovery",
        0x888e => "EAPOL",
        0x88cc => "LLDP",
        0x9000 => "loopback test",
        _ => return None,
    })
}

/// The BSD header of SLIP: direction, kind, and room for a compressed header; the packet behind it is a whole one.
const SLIP_HEADER: usize = 16;

/// Two are met in practice (QinQ); a few more cost nothing, and a bound keeps hostile frames cheap.
const MAX_TAGS: usize = 8;

/// ETH_P_802_2 of Linux.
const LINUX_802_2: u16 = 4;

/// PTH_TYPE_PACKET: a packet follows the header.
const PKTAP_PACKET: u32 = 1;
/// The first published header, and a generous multiple of the newest one.
const PKTAP_SHORTEST: u32 = 108;
const PKTAP_LONGEST: u32 = 4096;

#[cfg(test)]
mod tests;
