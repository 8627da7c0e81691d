//! `!field=value`: fields forced to a value in a sent packet, or asked of an expected one.

use std::fmt;
use std::net::IpAddr;

use super::cursor::{Fault, Span};
use super::number::{Num, parse_plain};
use super::payload::parse_hex;
use crate::base::hex::Hex;

/// One `!field=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    /// The field.
    pub field: Field,
    /// Its value.
    pub value: Value,
}

/// A field that can be overridden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `tcp.checksum`.
    TcpChecksum,
    /// `tcp.offset`: the data offset in 32-bit words.
    TcpOffset,
    /// `tcp.reserved`: the four reserved bits.
    TcpReserved,
    /// `tcp.seq`: the sequence number as it is on the wire.
    TcpSequence,
    /// `tcp.urgent`: the urgent pointer.
    TcpUrgent,
    /// `udp.checksum`; 0 means none.
    UdpChecksum,
    /// `udp.len`: header and payload, in bytes.
    UdpLength,
    /// `icmp.checksum`.
    IcmpChecksum,
    /// `ip.ttl`: time to live or hop limit.
    IpTtl,
    /// `ip.id`; IPv4 only.
    IpIdentification,
    /// `ip.checksum`; IPv4 only.
    IpChecksum,
    /// `ip.len`: the length field as it stands: of the packet in IPv4, of the payload in IPv6.
    IpLength,
    /// `ip.version`.
    IpVersion,
    /// `ip.ihl`: the header length in 32-bit words; IPv4 only.
    IpHeaderLength,
    /// `ip.proto`: the protocol number.
    IpProtocol,
    /// `ip.flags`: `df`, `mf`, `evil`, joined by commas, or `none`; IPv4 only.
    IpFlags,
    /// `ip.offset`: the fragment offset in bytes; IPv4 only.
    IpOffset,
    /// `ip.options`: option bytes; IPv4 only.
    IpOptions,
    /// `ip.src`.
    IpSource,
    /// `ip.dst`.
    IpDestination,
    /// `ip.tos`: type of service or traffic class, ECN included.
    IpTos,
    /// `ip.ecn`.
    IpEcn,
    /// `ip6.ext`: extension headers; IPv6 only.
    IpExtensions,
    /// `frame.cut`: only this many bytes of the packet arrive.
    FrameCut,
    /// `frame.pad`: this many zero bytes follow the packet.
    FramePad,
    /// `frame.repeat`: so often the packet is sent.
    FrameRepeat,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A number.
    Number(u32),
    /// A sequence number, which an expectation may bind to a name.
    Sequence(Num),
    /// A checksum that is wrong.
    Bad,
    /// IPv4 flags: 1 more fragments, 2 don't fragment, 4 reserved.
    Flags(u8),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An address.
    Address(IpAddr),
    /// IPv6 extension headers in order.
    Extensions(Vec<Extension>),
}

/// One IPv6 extension header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extension {
    /// Protocol number.
    pub number: u8,
    /// What follows next header and length; absent: harmless content of the least size.
    pub content: Option<Vec<u8>>,
}

/// What may stand after the `=`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Number(u32),
    Sequence,
    Checksum,
    Flags,
    Bytes,
    Address,
    Extensions,
}

/// Name, form, and whether an expectation may ask for it.
const TABLE: [(Field, &str, Form, bool); 26] = [
    (Field::TcpChecksum, "tcp.checksum", Form::Checksum, true),
    (Field::TcpOffset, "tcp.offset", Form::Number(15), false),
    (Field::TcpReserved, "tcp.reserved", Form::Number(15), true),
    (Field::TcpSequence, "tcp.seq", Form::Sequence, true),
    (Field::TcpUrgent, "tcp.urgent", Form::Number(0xffff), true),
    (Field::UdpChecksum, "udp.checksum", Form::Checksum, true),
    (Field::UdpLength, "udp.len", Form::Number(0xffff), false),
    (Field::IcmpChecksum, "icmp.checksum", Form::Checksum, true),
    (Field::IpTtl, "ip.ttl", Form::Number(0xff), true),
    (Field::IpIdentification, "ip.id", Form::Number(0xffff), true),
    (Field::IpChecksum, "ip.checksum", Form::Checksum, true),
    (Field::IpLength, "ip.len", Form::Number(0xffff), true),
    (Field::IpVersion, "ip.version", Form::Number(15), false),
    (Field::IpHeaderLength, "ip.ihl", Form::Number(15), false),
    (Field::IpProtocol, "ip.proto", Form::Number(0xff), true),
    (Field::IpFlags, "ip.flags", Form::Flags, true),
    (Field::IpOffset, "ip.offset", Form::Number(0xfff8), true),
    (Field::IpOptions, "ip.options", Form::Bytes, false),
    (Field::IpSource, "ip.src", Form::Address, true),
    (Field::IpDestination, "ip.dst", Form::Address, true),
    (Field::IpTos, "ip.tos", Form::Number(0xff), true),
    (Field::IpEcn, "ip.ecn", Form::Number(3), true),
    (Field::IpExtensions, "ip6.ext", Form::Extensions, true),
    (Field::FrameCut, "frame.cut", Form::Number(0xffff), false),
    (Field::FramePad, "frame.pad", Form::Number(0xffff), false),
    (
        Field::FrameRepeat,
        "frame.repeat",
        Form::Number(1_000_000),
        false,
    ),
];

impl Field {
    /// The name written after `!`.
    #[must_use]
    pub fn name(self) -> &'static str {
        TABLE
            .iter()
            .find(|(field, ..)| *field == self)
            .map_or("?", |(_, name, ..)| name)
    }
}

impl Override {
    /// Reads a word that starts with `!`.
    pub(crate) fn parse(word: Span<'_>, expected: bool) -> Result<Self, Fault> {
        let inner = word.strip_prefix("!").unwrap_or(word);
        let (name, value) = match inner.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (inner, None),
        };
        let Some((field, known, form, askable)) =
            TABLE.iter().find(|(_, known, ..)| *known == name.text)
        else {
            let names: Vec<&str> = TABLE.iter().map(|(_, known, ..)| *known).collect();
            return Err(name.unknown("field", &names));
        };
        if expected && !askable {
            return Err(name.fault(format!("'{known}' can be sent, not expected")));
        }
        let value = value.ok_or_else(|| {
            name.fault(format!("'{known}' has no value"))
                .help(format!("write !{known}={}", form.example()))
        })?;
        Ok(Self {
            field: *field,
            value: form.parse(value, expected)?,
        })
    }
}

impl Form {
    fn example(self) -> &'static str {
        match self {
            Self::Number(_) | Self::Sequence => "1",
            Self::Checksum => "bad",
            Self::Flags => "df",
            Self::Bytes => "hex digits",
            Self::Address => "192.0.2.1",
            Self::Extensions => "hopopts,dstopts",
        }
    }

    fn parse(self, value: Span<'_>, expected: bool) -> Result<Value, Fault> {
        match self {
            Self::Sequence if expected => Num::parse(value, u32::MAX).map(Value::Sequence),
            Self::Sequence => {
                parse_plain(value, u32::MAX).map(|number| Value::Sequence(Num::of(number)))
            }
            Self::Number(max) => parse_plain(value, max).map(Value::Number),
            Self::Checksum if value.text == "bad" => Ok(Value::Bad),
            Self::Checksum => parse_plain(value, 0xffff).map(Value::Number),
            Self::Flags => parse_flags(value).map(Value::Flags),
            Self::Bytes => {
                let bytes = parse_hex(value.strip_prefix("hex:").unwrap_or(value))?;
                if bytes.len() > 40 {
                    return Err(value.fault("an IPv4 header has room for 40 bytes of options"));
                }
                Ok(Value::Bytes(bytes))
            }
            Self::Address => value
                .text
                .parse()
                .map(Value::Address)
                .map_err(|_| value.fault(format!("'{}' is no IP address", value.text))),
            Self::Extensions => value
                .list()
                .map(parse_extension)
                .collect::<Result<_, _>>()
                .map(Value::Extensions),
        }
    }
}

const FLAGS: [(&str, u8); 3] = [("df", 2), ("mf", 1), ("evil", 4)];

fn parse_flags(value: Span<'_>) -> Result<u8, Fault> {
    if value.text == "none" {
        return Ok(0);
    }
    let mut bits = 0;
    for word in value.list() {
        let known = FLAGS.iter().find(|(name, _)| *name == word.text);
        let (_, bit) =
            known.ok_or_else(|| word.unknown("IP flag", &["df", "mf", "evil", "none"]))?;
        bits |= bit;
    }
    Ok(bits)
}

const EXTENSIONS: [(&str, u8); 6] = [
    ("hopopts", 0),
    ("routing", 43),
    ("frag", 44),
    ("ah", 51),
    ("dstopts", 60),
    ("mobility", 135),
];

fn parse_extension(word: Span<'_>) -> Result<Extension, Fault> {
    let (name, content) = match word.split_once(':') {
        Some((name, digits)) => (name, Some(parse_hex(digits)?)),
        None => (word, None),
    };
    let known = EXTENSIONS
        .iter()
        .find(|(known, _)| *known == name.text)
        .map(|(_, number)| *number);
    let number = match known {
        Some(number) => number,
        None if name.text.starts_with(|c: char| c.is_ascii_digit()) => {
            u8::try_from(parse_plain(name, 0xff)?).unwrap_or(u8::MAX)
        }
        None => {
            let names: Vec<&str> = EXTENSIONS.iter().map(|(known, _)| *known).collect();
            return Err(name.unknown("extension header", &names));
        }
    };
    Ok(Extension { number, content })
}

impl fmt::Display for Override {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "!{}={}", self.field.name(), self.value)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(value) => write!(f, "{value}"),
            Self::Sequence(value) => write!(f, "{value}"),
            Self::Bad => write!(f, "bad"),
            Self::Flags(0) => write!(f, "none"),
            Self::Flags(bits) => {
                let names: Vec<&str> = FLAGS
                    .iter()
                    .filter(|(_, bit)| bits & bit != 0)
                    .map(|(name, _)| *name)
                    .collect();
                write!(f, "{}", names.join(","))
            }
            Self::Bytes(bytes) => write!(f, "{}", Hex(bytes)),
            Self::Address(address) => write!(f, "{address}"),
            Self::Extensions(headers) => {
                let words: Vec<String> = headers.iter().map(Extension::to_string).collect();
                write!(f, "{}", words.join(","))
            }
        }
    }
}

impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match EXTENSIONS.iter().find(|(_, number)| *number == self.number) {
            Some((name, _)) => write!(f, "{name}")?,
            None => write!(f, "{}", self.number)?,
        }
        self.content
            .iter()
            .try_for_each(|content| write!(f, ":{}", Hex(content)))
    }
}
