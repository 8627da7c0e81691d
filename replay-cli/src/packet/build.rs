//! Makes packets from fields, lengths and checksums right.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use super::patch::repair_checksums;
use super::{Flags, ICMP, ICMPV6, Packet, Seq, TCP, UDP};

/// The fields of a TCP segment; what is left out of a literal comes from `TcpSpec::new`.
#[derive(Debug, Clone, Copy)]
pub struct TcpSpec<'a> {
    /// Sender.
    pub source: SocketAddr,
    /// Receiver.
    pub destination: SocketAddr,
    /// Sequence number.
    pub sequence: Seq,
    /// Acknowledgement number; written whether or not the ACK flag is set.
    pub acknowledgement: Seq,
    /// Control bits.
    pub flags: Flags,
    /// Window field, not scaled.
    pub window: u16,
    /// Urgent pointer.
    pub urgent: u16,
    /// Option bytes; padded to whole words with end-of-list, cut at 40 bytes.
    pub options: &'a [u8],
    /// Payload.
    pub payload: &'a [u8],
    /// Time to live, or hop limit.
    pub ttl: u8,
    /// IPv4 identification; unused for IPv6.
    pub identification: u16,
}

impl TcpSpec<'_> {
    /// A segment without flags, options or payload, window 65,535, time to live 64.
    #[must_use]
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        Self {
            source,
            destination,
            sequence: Seq(0),
            acknowledgement: Seq(0),
            flags: Flags(0),
            window: 65_535,
            urgent: 0,
            options: &[],
            payload: &[],
            ttl: 64,
            identification: 0,
        }
    }
}

/// A TCP segment.
#[must_use]
pub fn tcp(spec: &TcpSpec<'_>) -> Vec<u8> {
    let TcpSpec {
        source,
        destination,
        sequence,
        acknowledgement,
        flags,
        window,
        urgent,
        ..
    } = *spec;
    let mut options = spec.options.get(..40).unwrap_or(spec.options).to_vec();
    options.resize(options.len().next_multiple_of(4), 0);
    let words = u8::try_from(5 + options.len() / 4).unwrap_or(15);
    let mut segment = Vec::with_capacity(20 + options.len() + spec.payload.len());
    segment.extend(source.port().to_be_bytes());
    segment.extend(destination.port().to_be_bytes());
    segment.extend(sequence.0.to_be_bytes());
    segment.extend(acknowledgement.0.to_be_bytes());
    segment.extend([words << 4, flags.0]);
    segment.extend(window.to_be_bytes());
    segment.extend([0, 0]);
    segment.extend(urgent.to_be_bytes());
    segment.extend(options);
    segment.extend_from_slice(spec.payload);
    let mut packet = ip(
        source.ip(),
        destination.ip(),
        TCP,
        spec.ttl,
        spec.identification,
        &segment,
    );
    repair_checksums(&mut packet);
    packet
}

/// A UDP datagram, time to live 64.
#[must_use]
pub fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::with_capacity(8 + payload.len());
    datagram.extend(source.port().to_be_bytes());
    datagram.extend(destination.port().to_be_bytes());
    datagram.extend(u16::try_from(payload.len() + 8).unwrap_or(0).to_be_bytes());
    // Not 0, which would state "no checksum" and be left alone by the repair.
    datagram.extend([0xff, 0xff]);
    datagram.extend_from_slice(payload);
    let mut packet = ip(source.ip(), destination.ip(), UDP, 64, 0, &datagram);
    repair_checksums(&mut packet);
    packet
}

/// An ICMP message of the addresses' family: type, code, the four bytes after the checksum, and data.
#[must_use]
pub fn icmp(
    source: IpAddr,
    destination: IpAddr,
    kind: u8,
    code: u8,
    rest: [u8; 4],
    data: &[u8],
) -> Vec<u8> {
    let protocol = if source.is_ipv4() && destination.is_ipv4() {
        ICMP
    } else {
        ICMPV6
    };
    let mut message = Vec::with_capacity(8 + data.len());
    message.extend([kind, code, 0, 0]);
    message.extend(rest);
    message.extend_from_slice(data);
    let mut packet = ip(source, destination, protocol, 64, 0, &message);
    repair_checksums(&mut packet);
    packet
}

/// An ICMP echo request, or its reply, of the addresses' family.
#[must_use]
pub fn icmp_echo(
    source: IpAddr,
    destination: IpAddr,
    reply: bool,
    identifier: u16,
    sequence: u16,
    data: &[u8],
) -> Vec<u8> {
    let v4 = source.is_ipv4() && destination.is_ipv4();
    let kind = match (v4, reply) {
        (true, false) => 8,
        (true, true) => 0,
        (false, false) => 128,
        (false, true) => 129,
    };
    let [a, b] = identifier.to_be_bytes();
    let [c, d] = sequence.to_be_bytes();
    icmp(source, destination, kind, 0, [a, b, c, d], data)
}

/// An ICMP destination unreachable of the addresses' family, quoting as much of a packet as the RFCs ask.
///
/// RFC 792 quotes the header and eight bytes of payload, RFC 4443 section 3.1 as much as fits in 1,280 bytes.
#[must_use]
pub fn icmp_unreachable(source: IpAddr, destination: IpAddr, code: u8, quoted: &[u8]) -> Vec<u8> {
    let v4 = source.is_ipv4() && destination.is_ipv4();
    icmp(
        source,
        destination,
        if v4 { 3 } else { 1 },
        code,
        [0; 4],
        quote(quoted),
    )
}

/// The part of a packet an ICMP error quotes (RFC 792, RFC 4443 section 2.4).
#[must_use]
pub fn quote(packet: &[u8]) -> &[u8] {
    let length = match packet.first() {
        Some(first) if first >> 4 == 4 => usize::from(first & 0x0f) * 4 + 8,
        _ => 1280 - 48,
    };
    packet.get(..length).unwrap_or(packet)
}

/// An IP packet around a payload; addresses of two families are both written as IPv6.
#[must_use]
pub fn ip(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    ttl: u8,
    identification: u16,
    payload: &[u8],
) -> Vec<u8> {
    let mut packet = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let length = u16::try_from(payload.len() + 20).unwrap_or(0).to_be_bytes();
            let [id_high, id_low] = identification.to_be_bytes();
            let mut header = Vec::with_capacity(20 + payload.len());
            header.extend([
                0x45, 0, length[0], length[1], id_high, id_low, 0, 0, ttl, protocol, 0, 0,
            ]);
            header.extend(source.octets());
            header.extend(destination.octets());
            header
        }
        _ => {
            let length = u16::try_from(payload.len()).unwrap_or(0).to_be_bytes();
            let mut header = Vec::with_capacity(40 + payload.len());
            header.extend([0x60, 0, 0, 0, length[0], length[1], protocol, ttl]);
            header.extend(mapped(source).octets());
            header.extend(mapped(destination).octets());
            header
        }
    };
    packet.extend_from_slice(payload);
    repair_checksums_of_header(&mut packet);
    packet
}

/// Cuts a packet into fragments of at most `mtu` bytes each, at least 8 bytes of payload in each; a packet
/// that fits is returned as it is.
///
/// IPv6 fragments get a fragment header after the packet's own chain (RFC 8200 section 4.5).
#[must_use]
pub fn fragments(packet: &[u8], mtu: usize, identification: u32) -> Vec<Vec<u8>> {
    let Ok(parsed) = Packet::whole(packet) else {
        return vec![packet.to_vec()];
    };
    if packet.len() <= mtu {
        return vec![packet.to_vec()];
    }
    let header = parsed.transport_offset + if parsed.is_v4() { 0 } else { 8 };
    let room = (mtu.saturating_sub(header) & !7).max(8);
    let payload = parsed.payload();
    let mut pieces = Vec::new();
    for (index, piece) in payload.chunks(room).enumerate() {
        let offset = index * room;
        let more = offset + piece.len() < payload.len();
        pieces.push(fragment(packet, identification, offset, more, piece));
    }
    pieces
}

/// One fragment with the headers of `packet`: its place and its bytes are the caller's, right or wrong.
#[must_use]
pub fn fragment(
    packet: &[u8],
    identification: u32,
    offset: usize,
    more: bool,
    piece: &[u8],
) -> Vec<u8> {
    let Ok(parsed) = Packet::whole(packet) else {
        return packet.to_vec();
    };
    let units = u16::try_from((offset / 8) & 0x1fff).unwrap_or_default();
    let mut bytes = packet
        .get(..parsed.transport_offset)
        .unwrap_or_default()
        .to_vec();
    if parsed.is_v4() {
        let id = u16::try_from(identification & 0xffff)
            .unwrap_or_default()
            .to_be_bytes();
        let word = (units | if more { 0x2000 } else { 0 }).to_be_bytes();
        if let Some(fields) = bytes.get_mut(4..8) {
            fields.copy_from_slice(&[id[0], id[1], word[0], word[1]]);
        }
    } else {
        set_last_next_header(&mut bytes, 44);
        let word = ((units << 3) | u16::from(more)).to_be_bytes();
        bytes.extend([parsed.protocol, 0, word[0], word[1]]);
        bytes.extend(identification.to_be_bytes());
    }
    bytes.extend_from_slice(piece);
    super::patch::set_lengths(&mut bytes);
    repair_checksums_of_header(&mut bytes);
    bytes
}

/// Inserts IPv6 extension headers, given as (protocol number, whole header with any next-header byte), before
/// the transport header; lengths are set, checksums are not. An IPv4 packet is left alone.
#[must_use]
pub fn with_extension_headers(packet: &[u8], headers: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let parsed = match Packet::whole(packet) {
        Ok(parsed) if !parsed.is_v4() => parsed,
        _ => return packet.to_vec(),
    };
    let mut bytes = packet
        .get(..parsed.transport_offset)
        .unwrap_or_default()
        .to_vec();
    let mut link = last_next_header(&bytes);
    for (number, header) in headers {
        write(&mut bytes, link, *number);
        link = bytes.len();
        bytes.extend_from_slice(header);
    }
    write(&mut bytes, link, parsed.protocol);
    bytes.extend_from_slice(parsed.payload());
    super::patch::set_lengths(&mut bytes);
    bytes
}

fn write(bytes: &mut [u8], at: usize, value: u8) {
    if let Some(byte) = bytes.get_mut(at) {
        *byte = value;
    }
}

/// Offset of the byte that names what follows the headers in `bytes`, which are nothing but IPv6 headers.
pub(crate) fn last_next_header(bytes: &[u8]) -> usize {
    let mut link = 6;
    let mut at = 40;
    while let (Some(number), Some([_, length])) =
        (bytes.get(link), super::read::array_at::<2>(bytes, at))
    {
        link = at;
        at += super::extension_len(*number, length);
    }
    link
}

fn set_last_next_header(bytes: &mut [u8], number: u8) {
    let link = last_next_header(bytes);
    write(bytes, link, number);
}

/// The IPv4 header's checksum alone: a payload of unknown kind keeps its own.
fn repair_checksums_of_header(bytes: &mut [u8]) {
    let value = Packet::whole(bytes)
        .ok()
        .and_then(|packet| super::checksum::expected_ip(&packet));
    if let (Some(value), Some(field)) = (value, bytes.get_mut(10..12)) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

fn mapped(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}
