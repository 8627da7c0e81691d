//! What an IP packet carries.

use super::read::{array_at, u16_at, u32_at};
use super::{Flags, ICMP, ICMPV6, Malformed, Packet, Seq, TCP, UDP};

/// What an IP packet carries, as far as it was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport<'a> {
    /// A TCP segment whose header, options included, is there.
    Tcp(Tcp<'a>),
    /// A UDP datagram.
    Udp(Udp<'a>),
    /// An ICMP message of the packet's own family.
    Icmp(Icmp<'a>),
    /// One piece of a fragmented datagram, the first one included: see [`Packet::payload`].
    Fragment,
    /// Another protocol, by its number.
    Other(u8),
    /// The transport header was not wholly captured.
    Cut,
    /// The transport header was captured and is wrong.
    Malformed(Malformed),
}

/// A TCP segment (RFC 9293 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tcp<'a> {
    /// Sender's port.
    pub source_port: u16,
    /// Receiver's port.
    pub destination_port: u16,
    /// Sequence number of the first byte, or of the SYN.
    pub sequence: Seq,
    /// Next sequence number expected of the other side; meaningful with [`Flags::ACK`].
    pub acknowledgement: Seq,
    /// Control bits.
    pub flags: Flags,
    /// The window field as it stands, not scaled.
    pub window: u16,
    /// The urgent pointer as it stands.
    pub urgent: u16,
    /// The options understood.
    pub options: Options,
    /// The option bytes, padding included.
    pub option_bytes: &'a [u8],
    /// The payload that was captured.
    pub payload: &'a [u8],
    /// Bytes of payload on the wire.
    pub payload_len: usize,
    /// Where the payload starts, from the start of the IP header.
    pub payload_offset: usize,
    /// The four reserved bits between data offset and flags; 0 from an honest sender.
    pub reserved: u8,
}

impl Tcp<'_> {
    /// Sequence numbers the segment takes: payload, SYN and FIN (`SEG.LEN` of RFC 9293 section 3.4).
    #[must_use]
    pub fn sequence_len(&self) -> u32 {
        u32::try_from(self.payload_len)
            .unwrap_or(u32::MAX)
            .wrapping_add(self.flags.sequence_len())
    }

    /// Sequence number just after the segment.
    #[must_use]
    pub fn sequence_end(&self) -> Seq {
        self.sequence.plus(self.sequence_len())
    }
}

/// A UDP datagram (RFC 768).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Udp<'a> {
    /// Sender's port.
    pub source_port: u16,
    /// Receiver's port.
    pub destination_port: u16,
    /// The payload that was captured.
    pub payload: &'a [u8],
    /// Bytes of payload on the wire.
    pub payload_len: usize,
}

/// An ICMP message (RFC 792, RFC 4443); the IP version determines which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Icmp<'a> {
    /// Type field.
    pub kind: u8,
    /// Code field.
    pub code: u8,
    /// What was captured after type, code and checksum: four bytes that depend on the type, then data.
    pub body: &'a [u8],
    /// Bytes of `body` on the wire.
    pub body_len: usize,
}

/// TCP options of one segment; the first of a kind counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Maximum segment size in bytes (RFC 9293 section 3.7.1).
    pub mss: Option<u16>,
    /// Window shift (RFC 7323 section 2).
    pub window_scale: Option<u8>,
    /// Selective acknowledgement permitted (RFC 2018 section 2).
    pub sack_permitted: bool,
    /// Blocks of a selective acknowledgement, the first `sack_count` of them; read them with [`Options::sack`].
    pub sack_blocks: [(Seq, Seq); 4],
    /// How many blocks there are.
    pub sack_count: usize,
    /// Timestamp value and echo (RFC 7323 section 3).
    pub timestamps: Option<(u32, u32)>,
    /// An option's length is wrong for its kind or runs past the header.
    pub malformed: bool,
}

impl<'a> Icmp<'a> {
    /// The MTU of the link for which a packet was too big, if the message carries it (RFC 1191 section 4, RFC 4443 section 3.2).
    #[must_use]
    pub fn too_big(&self, v4: bool) -> Option<u32> {
        let mtu = match (v4, self.kind, self.code) {
            (true, 3, 4) => u16_at(self.body, 2)?.into(),
            (false, 2, _) => u32_at(self.body, 0)?,
            _ => return None,
        };
        (mtu > 0).then_some(mtu)
    }

    /// The bytes of the packet an error message quotes, if it is one and quotes any: read them with
    /// [`Packet::parse`], which takes a cut packet.
    #[must_use]
    pub fn quoted(&self, v4: bool) -> Option<&'a [u8]> {
        let error = if v4 {
            matches!(self.kind, 3 | 4 | 5 | 11 | 12)
        } else {
            self.kind < 128
        };
        self.body
            .get(4..)
            .filter(|quoted| error && !quoted.is_empty())
    }
}

impl Options {
    /// The blocks of a selective acknowledgement: first number, number after the last.
    #[must_use]
    pub fn sack(&self) -> &[(Seq, Seq)] {
        self.sack_blocks.get(..self.sack_count).unwrap_or_default()
    }

    /// Reads option bytes as they stand in a header.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Self {
        let mut options = Self::default();
        match *bytes {
            [] => return options,
            // What is left where they were taken away.
            [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1] => return options,
            // Timestamps alone, aligned as appendix A of RFC 7323 has it: the options of nearly every segment.
            [1, 1, 8, 10, a, b, c, d, e, f, g, h] => {
                let (value, echo) = ([a, b, c, d], [e, f, g, h]);
                options.timestamps = Some((u32::from_be_bytes(value), u32::from_be_bytes(echo)));
                return options;
            }
            _ => {}
        }
        for (_, option) in walk(bytes) {
            match option {
                TcpOption::End | TcpOption::Nop => {}
                TcpOption::Known { kind, value } => options.note(kind, value),
                TcpOption::Malformed => options.malformed = true,
            }
        }
        options
    }

    fn note(&mut self, kind: u8, value: &[u8]) {
        match (kind, value.len()) {
            (2, 2) => self.mss = self.mss.or_else(|| u16_at(value, 0)),
            (3, 1) => self.window_scale = self.window_scale.or_else(|| value.first().copied()),
            (4, 0) => self.sack_permitted = true,
            (5, 8 | 16 | 24 | 32) => {
                for edges in value.chunks_exact(8) {
                    let (Some(left), Some(right)) = (u32_at(edges, 0), u32_at(edges, 4)) else {
                        continue;
                    };
                    if let Some(block) = self.sack_blocks.get_mut(self.sack_count) {
                        *block = (Seq(left), Seq(right));
                        self.sack_count += 1;
                    }
                }
            }
            (8, 8) => {
                let pair = u32_at(value, 0).zip(u32_at(value, 4));
                self.timestamps = self.timestamps.or(pair);
            }
            (2..=5 | 8, _) => self.malformed = true,
            _ => {}
        }
    }
}

/// One option as it stands in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TcpOption<'a> {
    /// End of the list.
    End,
    /// Padding between options.
    Nop,
    /// A kind with a length that fits; its value has not been judged.
    Known {
        /// Option kind.
        kind: u8,
        /// The bytes after kind and length.
        value: &'a [u8],
    },
    /// A length under 2 or past the header; nothing after it can be read.
    Malformed,
}

/// The options in order, each with its offset in `bytes`; ends after an end of list or a malformed one.
pub(crate) fn walk(bytes: &[u8]) -> impl Iterator<Item = (usize, TcpOption<'_>)> {
    let mut at = 0;
    let mut done = false;
    std::iter::from_fn(move || {
        if done {
            return None;
        }
        let start = at;
        let option = match *bytes.get(start)? {
            0 => TcpOption::End,
            1 => TcpOption::Nop,
            kind => {
                let length = bytes
                    .get(start + 1)
                    .map_or(0, |length| usize::from(*length));
                bytes
                    .get(start + 2..start + length)
                    .map_or(TcpOption::Malformed, |value| TcpOption::Known {
                        kind,
                        value,
                    })
            }
        };
        at += match option {
            TcpOption::End | TcpOption::Nop | TcpOption::Malformed => 1,
            TcpOption::Known { value, .. } => value.len() + 2,
        };
        done = matches!(option, TcpOption::End | TcpOption::Malformed);
        Some((start, option))
    })
}

impl<'a> Transport<'a> {
    /// Decodes what `packet`, whose other fields are final, carries.
    #[inline]
    pub(super) fn parse(packet: &Packet<'a>) -> Self {
        if packet.fragment.is_some() {
            return Self::Fragment;
        }
        match (packet.protocol, packet.is_v4()) {
            (TCP, _) => Self::parse_tcp(packet),
            (UDP, _) => Self::parse_udp(packet),
            (ICMP, true) | (ICMPV6, false) => Self::parse_icmp(packet),
            (other, _) => Self::Other(other),
        }
    }

    #[inline]
    fn parse_tcp(packet: &Packet<'a>) -> Self {
        let bytes = packet.payload();
        let wire_len = packet.total_len.saturating_sub(packet.transport_offset);
        let Some(fixed) = array_at::<20>(bytes, 0) else {
            return Self::short(packet, 20);
        };
        let header = usize::from(fixed[12] >> 4) * 4;
        if header < 20 || header > wire_len {
            return Self::Malformed(Malformed::TcpOffset(header));
        }
        let Some(option_bytes) = bytes.get(20..header) else {
            return Self::Cut;
        };
        let word = |at| u32_at(&fixed, at).unwrap_or_default();
        let half = |at| u16_at(&fixed, at).unwrap_or_default();
        Self::Tcp(Tcp {
            source_port: half(0),
            destination_port: half(2),
            sequence: Seq(word(4)),
            acknowledgement: Seq(word(8)),
            flags: Flags(fixed[13]),
            window: half(14),
            urgent: half(18),
            options: Options::parse(option_bytes),
            option_bytes,
            payload: bytes.get(header..).unwrap_or_default(),
            payload_len: wire_len - header,
            payload_offset: packet.transport_offset + header,
            reserved: fixed[12] & 0x0f,
        })
    }

    fn parse_udp(packet: &Packet<'a>) -> Self {
        let bytes = packet.payload();
        let wire_len = packet.total_len.saturating_sub(packet.transport_offset);
        let Some(fixed) = array_at::<8>(bytes, 0) else {
            return Self::short(packet, 8);
        };
        let stated = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        // Offload leaves 0 here as it does in the IP header; RFC 2675 gives 0 the same meaning.
        let length = if stated == 0 && packet.declared_len == 0 {
            wire_len
        } else {
            stated
        };
        if length < 8 || length > wire_len {
            return Self::Malformed(Malformed::UdpLength(stated));
        }
        Self::Udp(Udp {
            source_port: u16::from_be_bytes([fixed[0], fixed[1]]),
            destination_port: u16::from_be_bytes([fixed[2], fixed[3]]),
            payload: bytes
                .get(8..length)
                .or_else(|| bytes.get(8..))
                .unwrap_or_default(),
            payload_len: length - 8,
        })
    }

    fn parse_icmp(packet: &Packet<'a>) -> Self {
        let bytes = packet.payload();
        let wire_len = packet.total_len.saturating_sub(packet.transport_offset);
        if wire_len < 8 {
            return Self::short(packet, 8);
        }
        let Some([kind, code, _, _]) = array_at::<4>(bytes, 0) else {
            return Self::Cut;
        };
        Self::Icmp(Icmp {
            kind,
            code,
            body: bytes.get(4..).unwrap_or_default(),
            body_len: wire_len - 4,
        })
    }

    /// A header that is not there: missing from the capture, or from the packet itself.
    fn short(packet: &Packet<'a>, needed: usize) -> Self {
        let present = packet.total_len.saturating_sub(packet.transport_offset);
        if present < needed {
            return Self::Malformed(Malformed::TransportShort {
                protocol: packet.protocol,
                present,
            });
        }
        Self::Cut
    }
}
