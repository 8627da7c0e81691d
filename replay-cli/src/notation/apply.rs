//! Puts overrides into a packet: first what moves bytes, then the transport's fields, then the IP header's.
//!
//! A checksum is computed over the fields as overridden, so that only what the line calls wrong is wrong.

use std::net::IpAddr;

use super::build::BuildError;
use super::number::{Num, wrap};
use super::{Extension, Field, Override, Value};
use crate::packet::build::{last_next_header, with_extension_headers};
use crate::packet::patch::{repair_checksums, set_lengths};
use crate::packet::read::{u16_at, write_at};
use crate::packet::{Checksum, ICMP, ICMPV6, Packet, TCP, UDP, checksum, extension_len};

/// Addresses, IPv4 options and IPv6 extension headers.
pub(super) fn shape(packet: &mut Vec<u8>, overrides: &[Override]) -> Result<(), BuildError> {
    for Override { field, value } in overrides {
        let v4 = packet.first().is_none_or(|first| first >> 4 == 4);
        let version = if v4 { 4 } else { 6 };
        let done = match (field, value, v4) {
            (Field::IpSource, Value::Address(IpAddr::V4(address)), true) => {
                write_at(packet, 12, &address.octets())
            }
            (Field::IpSource, Value::Address(IpAddr::V6(address)), false) => {
                write_at(packet, 8, &address.octets())
            }
            (Field::IpDestination, Value::Address(IpAddr::V4(address)), true) => {
                write_at(packet, 16, &address.octets())
            }
            (Field::IpDestination, Value::Address(IpAddr::V6(address)), false) => {
                write_at(packet, 24, &address.octets())
            }
            (Field::IpOptions, Value::Bytes(options), true) => insert_options(packet, options),
            (Field::IpExtensions, Value::Extensions(headers), false) => {
                let headers = headers.iter().map(|header| (header.number, header.bytes()));
                let headers: Vec<_> = headers.collect();
                *packet = with_extension_headers(packet, &headers);
                true
            }
            (
                Field::IpSource | Field::IpDestination | Field::IpOptions | Field::IpExtensions,
                ..,
            ) => false,
            _ => true,
        };
        if !done {
            return Err(BuildError::NoSuchField {
                field: *field,
                version,
            });
        }
    }
    Ok(())
}

/// Fields of the TCP, UDP or ICMP header; of a raw packet the checksum stays as it is unless named.
pub(super) fn transport(packet: &mut [u8], overrides: &[Override], raw: bool) {
    let Ok(parsed) = Packet::whole(packet) else {
        return;
    };
    let (at, protocol) = (parsed.transport_offset, parsed.protocol);
    for (field, value) in numbers(overrides) {
        match (field, protocol) {
            (Field::TcpOffset, TCP) => set_nibble(packet, at + 12, value, true),
            (Field::TcpReserved, TCP) => set_nibble(packet, at + 12, value, false),
            (Field::TcpUrgent, TCP) => set_half(packet, at + 18, value),
            (Field::UdpLength, UDP) => set_half(packet, at + 4, value),
            _ => {}
        }
    }
    if !raw {
        repair_checksums(packet);
    }
    for Override { field, value } in overrides {
        if let (Field::TcpSequence, Value::Sequence(Num::Value(number)), TCP) =
            (field, value, protocol)
        {
            write_at(packet, at + 4, &wrap(*number).to_be_bytes());
            if !raw {
                repair_checksums(packet);
            }
        }
    }
    for Override { field, value } in overrides {
        let offset = match (field, protocol) {
            (Field::TcpChecksum, TCP) => 16,
            (Field::UdpChecksum, UDP) => 6,
            (Field::IcmpChecksum, ICMP | ICMPV6) => 2,
            _ => continue,
        };
        set_checksum(packet, at + offset, value);
    }
}

/// Fields of the IP header, and the frame around the packet.
pub(super) fn ip(packet: &mut Vec<u8>, overrides: &[Override]) -> Result<(), BuildError> {
    let parsed = Packet::whole(packet).ok();
    let v4 = packet.first().is_none_or(|first| first >> 4 == 4);
    let header = parsed.map_or(20, |parsed| parsed.transport_offset);
    for (field, value) in numbers(overrides) {
        write_ip(packet, field, value, v4, header)?;
    }
    if v4
        && overrides
            .iter()
            .any(|one| one.field.name().starts_with("ip."))
    {
        let value = packet.get(..header).and_then(checksum::of_header);
        value
            .into_iter()
            .for_each(|value| set_half(packet, 10, u32::from(value)));
    }
    for Override { field, value } in overrides {
        match (field, value) {
            (Field::IpChecksum, value) if v4 => set_checksum(packet, 10, value),
            (Field::IpChecksum, _) => {
                return Err(BuildError::NoSuchField {
                    field: *field,
                    version: 6,
                });
            }
            (Field::FramePad, Value::Number(bytes)) => {
                packet.resize(packet.len() + *bytes as usize, 0);
            }
            (Field::FrameCut, Value::Number(bytes)) => packet.truncate(*bytes as usize),
            _ => {}
        }
    }
    Ok(())
}

fn write_ip(
    packet: &mut [u8],
    field: Field,
    value: u32,
    v4: bool,
    header: usize,
) -> Result<(), BuildError> {
    match (field, v4) {
        (Field::IpTtl, _) => set_byte(packet, if v4 { 8 } else { 7 }, value),
        (Field::IpLength, _) => set_half(packet, if v4 { 2 } else { 4 }, value),
        (Field::IpVersion, _) => set_nibble(packet, 0, value, true),
        (Field::IpProtocol, true) => set_byte(packet, 9, value),
        (Field::IpProtocol, false) => {
            let link = last_next_header(packet.get(..header).unwrap_or_default());
            set_byte(packet, link, value);
        }
        (Field::IpTos, true) => set_byte(packet, 1, value),
        (Field::IpTos, false) => {
            set_nibble(packet, 0, value >> 4, false);
            set_nibble(packet, 1, value & 15, true);
        }
        (Field::IpEcn, true) => merge(packet, 1, 3, value),
        (Field::IpEcn, false) => merge(packet, 1, 0x30, value << 4),
        (Field::IpIdentification, true) => set_half(packet, 4, value),
        (Field::IpHeaderLength, true) => set_nibble(packet, 0, value, false),
        (Field::IpFlags, true) => merge(packet, 6, 0xe0, value << 5),
        (Field::IpOffset, true) => {
            merge(packet, 6, 0x1f, value >> 11);
            set_byte(packet, 7, (value >> 3) & 0xff);
        }
        (
            Field::IpIdentification | Field::IpHeaderLength | Field::IpFlags | Field::IpOffset,
            false,
        ) => {
            return Err(BuildError::NoSuchField { field, version: 6 });
        }
        _ => {}
    }
    Ok(())
}

/// The value a field of an expected packet has, as `wanted` would be written; none if it has no such field.
pub(super) fn actual(packet: &Packet<'_>, field: Field, wanted: &Value) -> Option<Value> {
    let v4 = packet.is_v4();
    let half = |at| u16_at(packet.bytes, at).map(|value| Value::Number(u32::from(value)));
    let transport = |protocols: [u8; 2], offset: usize| {
        let wrong = packet.checksums().transport == Checksum::Invalid;
        match (protocols.contains(&packet.protocol), wanted) {
            (false, _) => None,
            (true, Value::Bad) if wrong => Some(Value::Bad),
            (true, _) => half(packet.transport_offset + offset),
        }
    };
    let word = packet.fragment;
    match field {
        Field::TcpChecksum => transport([TCP, TCP], 16),
        Field::UdpChecksum => transport([UDP, UDP], 6),
        Field::IcmpChecksum => transport([ICMP, ICMPV6], 2),
        Field::IpChecksum
            if v4 && *wanted == Value::Bad && packet.checksums().ip == Checksum::Invalid =>
        {
            Some(Value::Bad)
        }
        Field::IpChecksum if v4 => half(10),
        Field::IpLength => half(if v4 { 2 } else { 4 }),
        Field::TcpReserved => packet
            .tcp()
            .map(|tcp| Value::Number(u32::from(tcp.reserved))),
        Field::TcpSequence => packet
            .tcp()
            .map(|tcp| Value::Sequence(Num::of(tcp.sequence.0))),
        Field::TcpUrgent => packet.tcp().map(|tcp| Value::Number(u32::from(tcp.urgent))),
        Field::IpTtl => Some(Value::Number(u32::from(packet.ttl))),
        Field::IpIdentification if v4 => Some(Value::Number(packet.identification)),
        Field::IpProtocol => Some(Value::Number(u32::from(packet.protocol))),
        Field::IpFlags if v4 => packet.bytes.get(6).map(|byte| Value::Flags(byte >> 5)),
        Field::IpOffset => Some(Value::Number(word.map_or(0, |fragment| fragment.offset))),
        Field::IpSource => Some(Value::Address(packet.source)),
        Field::IpDestination => Some(Value::Address(packet.destination)),
        Field::IpTos => Some(Value::Number(u32::from(packet.tos))),
        Field::IpEcn => Some(Value::Number(u32::from(packet.ecn))),
        Field::IpExtensions => Some(Value::Extensions(extensions(packet))),
        Field::TcpOffset
        | Field::UdpLength
        | Field::IpChecksum
        | Field::IpIdentification
        | Field::IpFlags
        | Field::IpVersion
        | Field::IpHeaderLength
        | Field::IpOptions
        | Field::FrameCut
        | Field::FramePad
        | Field::FrameRepeat => None,
    }
}

/// The extension headers of a packet, without the one that makes it a fragment.
pub(super) fn extensions(packet: &Packet<'_>) -> Vec<Extension> {
    let headers = packet
        .bytes
        .get(..packet.transport_offset)
        .unwrap_or_default();
    if packet.is_v4() {
        return Vec::new();
    }
    let (mut at, mut next) = (40, headers.get(6).copied());
    let mut found = Vec::new();
    while let (Some(number), Some(rest)) = (next, headers.get(at..).filter(|rest| !rest.is_empty()))
    {
        let size = extension_len(number, rest.get(1).copied().unwrap_or(0));
        let content = rest.get(2..size).map(<[u8]>::to_vec);
        let place = u16_at(rest, 2).map_or(0, |word| word & 0xfff9);
        if number != 44 || place == 0 {
            found.push(Extension { number, content });
        }
        next = rest.first().copied();
        at += size;
    }
    found
}

impl Extension {
    /// The header, its next-header byte still to be written.
    fn bytes(&self) -> Vec<u8> {
        let harmless: &[u8] = match self.number {
            // PadN of four bytes (RFC 8200 section 4.2).
            0 | 60 => &[1, 4, 0, 0, 0, 0],
            51 => &[0; 14],
            _ => &[0; 6],
        };
        let content = self.content.as_deref().unwrap_or(harmless);
        let mut header = vec![0, 0];
        header.extend_from_slice(content);
        header.resize(header.len().next_multiple_of(8), 0);
        let length = match self.number {
            44 => 0,
            51 => header.len() / 4 - 2,
            _ => header.len() / 8 - 1,
        };
        write_at(&mut header, 1, &[u8::try_from(length).unwrap_or(u8::MAX)]);
        header
    }
}

fn insert_options(packet: &mut Vec<u8>, options: &[u8]) -> bool {
    let Some(header) = Packet::whole(packet)
        .ok()
        .map(|packet| packet.transport_offset)
    else {
        return false;
    };
    let mut options = options.to_vec();
    options.resize(options.len().next_multiple_of(4), 0);
    let words = (header + options.len()) / 4;
    let payload = packet.split_off(header);
    packet.extend(options);
    packet.extend(payload);
    set_nibble(packet, 0, u32::try_from(words).unwrap_or(15).min(15), false);
    set_lengths(packet)
}

/// Overrides that are numbers, flags among them.
fn numbers(overrides: &[Override]) -> impl Iterator<Item = (Field, u32)> {
    overrides.iter().filter_map(|one| match one.value {
        Value::Number(value) => Some((one.field, value)),
        Value::Flags(bits) => Some((one.field, u32::from(bits))),
        Value::Bad
        | Value::Sequence(_)
        | Value::Bytes(_)
        | Value::Address(_)
        | Value::Extensions(_) => None,
    })
}

fn set_checksum(packet: &mut [u8], at: usize, value: &Value) {
    let found = u32::from(u16_at(packet, at).unwrap_or_default());
    match value {
        Value::Number(value) => set_half(packet, at, *value),
        // Not the complement: 0 and 65,535 are one sum; and not 0, which UDP reads as none.
        Value::Bad if found == 0x0101 => set_half(packet, at, found ^ 0x0202),
        Value::Bad => set_half(packet, at, found ^ 0x0101),
        Value::Sequence(_)
        | Value::Flags(_)
        | Value::Bytes(_)
        | Value::Address(_)
        | Value::Extensions(_) => {}
    }
}

fn set_half(packet: &mut [u8], at: usize, value: u32) {
    let [.., high, low] = value.to_be_bytes();
    write_at(packet, at, &[high, low]);
}

fn set_byte(packet: &mut [u8], at: usize, value: u32) {
    let [.., low] = value.to_be_bytes();
    write_at(packet, at, &[low]);
}

fn set_nibble(packet: &mut [u8], at: usize, value: u32, high: bool) {
    if high {
        merge(packet, at, 0xf0, value << 4);
    } else {
        merge(packet, at, 0x0f, value);
    }
}

/// Writes the bits of `mask` in one byte.
fn merge(packet: &mut [u8], at: usize, mask: u8, value: u32) {
    let [.., low] = value.to_be_bytes();
    if let Some(byte) = packet.get_mut(at) {
        *byte = (*byte & !mask) | (low & mask);
    }
}
