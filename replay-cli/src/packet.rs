//! One raw IP packet, decoded by hand and without trust.
//!
//! The checker must not share the engine's parser: a mistake both sides make is a mistake nobody sees. This
//! module therefore reads packets on its own, from whatever a capture holds (cut by the snap length, padded
//! by Ethernet, IP length 0 as segmentation offload leaves it) and from what the engine emits.
//!
//! ```text
//! bytes ──parse──▶ Packet { addresses, lengths, transport: Tcp | Udp | Icmp | Fragment | ... }
//!                    └──checksums──▶ Checksums { ip, transport }
//! patch: rewrites a captured packet in place        build: makes a packet from fields
//! ```

pub mod build;
pub(crate) mod checksum;
mod number;
pub mod patch;
pub(crate) mod read;
mod transport;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use checksum::{Checksum, Checksums};
pub use number::{Flags, Seq};
pub use transport::{Icmp, Options, Tcp, Transport, Udp};
pub(crate) use transport::{TcpOption, walk as walk_tcp_options};

use read::{array_at, u16_at, u32_at};

/// IP protocol number of ICMP for IPv4.
pub const ICMP: u8 = 1;
/// IP protocol number of TCP.
pub const TCP: u8 = 6;
/// IP protocol number of UDP.
pub const UDP: u8 = 17;
/// IP protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;

/// Longest chain of IPv6 extension headers followed; real packets have at most three.
const EXTENSION_HEADERS_MAX: usize = 8;

/// One IP packet, borrowed from the bytes it was decoded from.
///
/// ```
/// use replay::packet::{Packet, build};
///
/// let (from, to) = ("10.0.0.2:4000", "203.0.113.53:53");
/// let bytes = build::udp(from.parse()?, to.parse()?, b"a question");
/// let packet = Packet::whole(&bytes).expect("a sound packet");
/// assert_eq!(packet.ports(), Some((4000, 53)));
/// assert!(packet.checksums().are_sound());
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// Source address of the IP header.
    pub source: IpAddr,
    /// Destination address of the IP header.
    pub destination: IpAddr,
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// Protocol of the payload, after any IPv6 extension headers.
    pub protocol: u8,
    /// Where the packet belongs in a fragmented datagram; absent for a whole one and for an atomic fragment (RFC 6946).
    pub fragment: Option<Fragment>,
    /// IPv4 identification; 0 for IPv6.
    pub identification: u32,
    /// IPv4 "don't fragment"; true for IPv6, whose routers never fragment.
    pub dont_fragment: bool,
    /// Bytes of the IP packet on the wire, header included: the header's own word, or the captured frame's
    /// original length where the header has 0 (segmentation offload).
    pub total_len: usize,
    /// The length the IP header states, header included; 0 where it states none.
    pub declared_len: usize,
    /// The captured bytes, from the IP header on, without link-layer padding; shorter than `total_len` if cut.
    pub bytes: &'a [u8],
    /// Where the transport header, or a fragment's payload, starts in `bytes`.
    pub transport_offset: usize,
    /// Explicit congestion notification bits of the IP header (RFC 3168): 0 to 3.
    pub ecn: u8,
    /// Type of service or traffic class, the ECN bits included.
    pub tos: u8,
    /// What the packet carries.
    pub transport: Transport<'a>,
    /// True if an IPv6 routing header still has segments left: the pseudo-header's destination is then elsewhere.
    routed: bool,
}

/// The place of a fragment in its datagram (RFC 791 section 3.2, RFC 8200 section 4.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fragment {
    /// Identification shared by all fragments of the datagram; 16 bits used in IPv4.
    pub identification: u32,
    /// Bytes of the datagram's payload before this fragment.
    pub offset: u32,
    /// Whether more fragments follow.
    pub more: bool,
}

/// Why bytes are no IP packet, or a transport header is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// No byte at all.
    #[error("no bytes")]
    Empty,
    /// The version is neither 4 nor 6.
    #[error("IP version {0}, expected 4 or 6")]
    Version(u8),
    /// The IP header is not wholly there.
    #[error("IP header cut: {present} of {needed} bytes present")]
    HeaderCut {
        /// Bytes the header needs.
        needed: usize,
        /// Bytes there are.
        present: usize,
    },
    /// The IPv4 header length is under 20 bytes.
    #[error("IPv4 header length {0}, expected at least 20")]
    HeaderLength(u8),
    /// The IP length is shorter than the headers it must cover.
    #[error("IP length {stated} is less than its {headers} header bytes")]
    TotalLength {
        /// The length stated.
        stated: usize,
        /// The bytes the headers take.
        headers: usize,
    },
    /// More IPv6 extension headers than any sender has use for.
    #[error("more than {EXTENSION_HEADERS_MAX} IPv6 extension headers")]
    ExtensionHeaders,
    /// The packet ends on the wire before its transport header does.
    #[error("{present} bytes of payload cannot hold a header of protocol {protocol}")]
    TransportShort {
        /// IP protocol number.
        protocol: u8,
        /// Bytes of payload the packet has.
        present: usize,
    },
    /// The TCP data offset, in bytes, is under 20 or past the end of the segment.
    #[error("TCP data offset {0} bytes does not fit its segment")]
    TcpOffset(usize),
    /// The UDP length is under 8 or past the end of the packet.
    #[error("UDP length {0} does not fit its packet")]
    UdpLength(usize),
}

impl<'a> Packet<'a> {
    /// Decodes a packet that had `original_len` bytes on the wire, of which `bytes` were captured.
    ///
    /// # Errors
    /// [`Malformed`] where no IP header can be read. A broken or cut transport header is no error here but a
    /// [`Transport::Malformed`] or [`Transport::Cut`], so that the addresses stay known.
    pub fn parse(bytes: &'a [u8], original_len: usize) -> Result<Self, Malformed> {
        Self::parse_up_to(bytes, original_len, usize::MAX)
    }

    /// Decodes a packet as [`Packet::parse`] does, of which no more than `original_len` bytes were on the wire, whatever
    /// its header states.
    ///
    /// # Errors
    /// As [`Packet::parse`].
    pub fn parse_within(bytes: &'a [u8], original_len: usize) -> Result<Self, Malformed> {
        Self::parse_up_to(bytes, original_len, original_len.max(bytes.len()))
    }

    fn parse_up_to(bytes: &'a [u8], original_len: usize, most: usize) -> Result<Self, Malformed> {
        let original_len = original_len.max(bytes.len());
        let first = bytes.first().ok_or(Malformed::Empty)?;
        match first >> 4 {
            4 => Self::parse_v4(bytes, original_len, most),
            6 => Self::parse_v6(bytes, original_len, most),
            version => Err(Malformed::Version(version)),
        }
    }

    /// Decodes a packet that is wholly there, such as a frame the engine emitted.
    ///
    /// # Errors
    /// As [`Packet::parse`].
    pub fn whole(bytes: &'a [u8]) -> Result<Self, Malformed> {
        Self::parse(bytes, bytes.len())
    }

    /// Whether the packet is IPv4.
    #[must_use]
    pub fn is_v4(&self) -> bool {
        self.source.is_ipv4()
    }

    /// Source and destination port, where the transport header has them and is there.
    ///
    /// A first fragment carries the ports too and answers here.
    #[must_use]
    pub fn ports(&self) -> Option<(u16, u16)> {
        let first = self.fragment.is_none_or(|fragment| fragment.offset == 0);
        if !first || !matches!(self.protocol, TCP | UDP) {
            return None;
        }
        Some((
            u16_at(self.bytes, self.transport_offset)?,
            u16_at(self.bytes, self.transport_offset + 2)?,
        ))
    }

    /// Source and destination with their ports, where [`ports`](Self::ports) has them.
    #[must_use]
    pub fn ends(&self) -> Option<(SocketAddr, SocketAddr)> {
        let (from, to) = self.ports()?;
        Some(((self.source, from).into(), (self.destination, to).into()))
    }

    /// The TCP segment, if the packet is one.
    #[must_use]
    pub fn tcp(&self) -> Option<&Tcp<'a>> {
        match &self.transport {
            Transport::Tcp(tcp) => Some(tcp),
            _ => None,
        }
    }

    /// The UDP datagram, if the packet is one.
    #[must_use]
    pub fn udp(&self) -> Option<&Udp<'a>> {
        match &self.transport {
            Transport::Udp(udp) => Some(udp),
            _ => None,
        }
    }

    /// The captured bytes from the transport header, or a fragment's payload, on.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        self.bytes.get(self.transport_offset..).unwrap_or_default()
    }

    /// Whether bytes of the packet on the wire are missing from the capture.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.bytes.len() < self.total_len
    }

    /// Checks the IP header checksum and the transport checksum.
    #[must_use]
    pub fn checksums(&self) -> Checksums {
        checksum::check(self)
    }

    #[inline]
    fn parse_v4(bytes: &'a [u8], original_len: usize, most: usize) -> Result<Self, Malformed> {
        let cut = |needed| Malformed::HeaderCut {
            needed,
            present: bytes.len(),
        };
        let fixed: &[u8; 20] = bytes.first_chunk().ok_or_else(|| cut(20))?;
        let header = usize::from(fixed[0] & 0x0f) * 4;
        if header < 20 {
            return Err(Malformed::HeaderLength((fixed[0] & 0x0f) * 4));
        }
        if bytes.len() < header {
            return Err(cut(header));
        }
        let declared_len = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        let total_len = if declared_len == 0 {
            original_len
        } else {
            declared_len.min(most)
        };
        if total_len < header {
            return Err(Malformed::TotalLength {
                stated: total_len,
                headers: header,
            });
        }
        let identification = u32::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        let word = u16::from_be_bytes([fixed[6], fixed[7]]);
        let offset = u32::from(word & 0x1fff) * 8;
        let more = word & 0x2000 != 0;
        let mut packet = Self {
            source: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]).into(),
            destination: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]).into(),
            ttl: fixed[8],
            protocol: fixed[9],
            fragment: (offset > 0 || more).then_some(Fragment {
                identification,
                offset,
                more,
            }),
            identification,
            dont_fragment: word & 0x4000 != 0,
            total_len,
            declared_len,
            bytes: bytes.get(..total_len).unwrap_or(bytes),
            transport_offset: header,
            ecn: fixed[1] & 3,
            tos: fixed[1],
            transport: Transport::Cut,
            routed: false,
        };
        packet.transport = Transport::parse(&packet);
        Ok(packet)
    }

    fn parse_v6(bytes: &'a [u8], original_len: usize, most: usize) -> Result<Self, Malformed> {
        let fixed: &[u8; 40] = bytes.first_chunk().ok_or(Malformed::HeaderCut {
            needed: 40,
            present: bytes.len(),
        })?;
        let payload_len = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        let no_next_header = fixed[6] == 59;
        // A jumbogram and an offloaded segment both state 0; "no next header" is the one honest 0.
        let (declared_len, total_len) = match payload_len {
            0 if no_next_header => (40, 40),
            0 => (0, original_len),
            stated => (40 + stated, (40 + stated).min(most)),
        };
        let tos = (fixed[0] << 4) | (fixed[1] >> 4);
        let mut packet = Self {
            source: Ipv6Addr::from(array_at::<16>(bytes, 8).unwrap_or_default()).into(),
            destination: Ipv6Addr::from(array_at::<16>(bytes, 24).unwrap_or_default()).into(),
            ttl: fixed[7],
            protocol: fixed[6],
            fragment: None,
            identification: 0,
            dont_fragment: true,
            total_len,
            declared_len,
            bytes: bytes.get(..total_len).unwrap_or(bytes),
            transport_offset: 40,
            ecn: tos & 3,
            tos,
            transport: Transport::Cut,
            routed: false,
        };
        if packet.skip_extension_headers()? {
            packet.transport = Transport::parse(&packet);
        }
        Ok(packet)
    }

    /// Walks the extension headers; false if the capture ends inside one.
    fn skip_extension_headers(&mut self) -> Result<bool, Malformed> {
        for _ in 0..=EXTENSION_HEADERS_MAX {
            let at = self.transport_offset;
            // HIP, Shim6, hop-by-hop, routing, destination options and mobility share one form (RFC 6564).
            if !matches!(self.protocol, 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140) {
                return Ok(true);
            }
            let Some([next, length]) = array_at::<2>(self.bytes, at) else {
                return self.extension_missing(at + 8);
            };
            let size = extension_len(self.protocol, length);
            if self.bytes.len() < at + size {
                return self.extension_missing(at + size);
            }
            match self.protocol {
                43 => self.routed |= self.bytes.get(at + 3).is_some_and(|left| *left > 0),
                44 => self.note_fragment(at),
                _ => {}
            }
            self.protocol = next;
            self.transport_offset = at + size;
            if self.fragment.is_some_and(|fragment| fragment.offset > 0) {
                // What follows is the middle of a datagram, not another header.
                return Ok(true);
            }
        }
        Err(Malformed::ExtensionHeaders)
    }

    fn note_fragment(&mut self, at: usize) {
        let word = u16_at(self.bytes, at + 2).unwrap_or_default();
        let offset = u32::from(word & 0xfff8);
        let more = word & 1 != 0;
        let identification = u32_at(self.bytes, at + 4).unwrap_or_default();
        // A second fragment header cannot make the first one atomic.
        if self.fragment.is_none() && (offset > 0 || more) {
            self.fragment = Some(Fragment {
                identification,
                offset,
                more,
            });
        }
    }

    /// The capture may end inside a header; the packet itself may not.
    fn extension_missing(&self, headers: usize) -> Result<bool, Malformed> {
        if self.total_len < headers {
            return Err(Malformed::TotalLength {
                stated: self.total_len,
                headers,
            });
        }
        Ok(false)
    }
}

/// Bytes of an IPv6 extension header of a kind, by its length field: fragments have none, authentication counts words (RFC 4302
/// section 2.2), the others count eight bytes beyond the first (RFC 6564).
pub(crate) fn extension_len(kind: u8, length: u8) -> usize {
    match kind {
        44 => 8,
        51 => (usize::from(length) + 2) * 4,
        _ => (usize::from(length) + 1) * 8,
    }
}

#[cfg(test)]
mod tests;
