//! ICMP and ICMPv6 messages by one set of words, the flow's family deciding the numbers.

use std::fmt;

use super::cursor::{Cursor, Fault, Span};
use super::number::{Num, parse_plain};
use super::parse::LENGTH_MAX;
use super::payload::{Payload, parse_hex};
use super::print::optional;
use crate::base::hex::Hex;

/// A message of ICMP (RFC 792) or ICMPv6 (RFC 4443).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IcmpMessage {
    /// `icmp echo request id 7 seq 1 56`.
    Echo {
        /// Whether it is the reply.
        reply: bool,
        /// Identifier.
        identifier: Num,
        /// Sequence number.
        sequence: Num,
        /// Bytes of data.
        len: Num,
        /// The data; absent: a pattern when sent, not compared when expected.
        payload: Option<Payload>,
    },
    /// `icmp unreachable port`.
    Unreachable {
        /// What cannot be reached.
        reason: Unreachable,
        /// The packet it is about.
        quote: Quote,
    },
    /// `icmp too-big mtu 1400`: fragmentation needed (RFC 1191), or packet too big.
    TooBig {
        /// MTU of the next hop in bytes.
        mtu: Num,
        /// The packet it is about.
        quote: Quote,
    },
    /// `icmp time-exceeded hops`, or `reassembly`.
    TimeExceeded {
        /// Whether it was the time to reassemble, not the hops.
        reassembly: bool,
        /// The packet it is about.
        quote: Quote,
    },
    /// `icmp parameter-problem code 1 pointer 40`.
    ParameterProblem {
        /// Code field.
        code: Num,
        /// Offset of the byte in question.
        pointer: Num,
        /// The packet it is about.
        quote: Quote,
    },
    /// `icmp type 13 code 0 hex:...`.
    Other {
        /// Type field.
        kind: u8,
        /// Code field.
        code: u8,
        /// What follows the checksum; absent: four zero bytes when sent, not compared when expected.
        body: Option<Vec<u8>>,
    },
    /// `icmp type 4 code 0 quoting seq 1`: an error by its numbers.
    OtherError {
        /// Type field.
        kind: u8,
        /// Code field.
        code: u8,
        /// The packet it is about.
        quote: Quote,
    },
}

/// What cannot be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreachable {
    /// The network; in IPv6, there is no route.
    Net,
    /// The host; in IPv6, the address.
    Host,
    /// The protocol; IPv4 only.
    Protocol,
    /// The port.
    Port,
    /// Forbidden by policy.
    Admin,
}

/// The packet an error message is about: one the other side of the flow sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Quote {
    /// Not written: the flow's addresses and ports when sent, not compared when expected.
    Flow,
    /// `quoting seq 1449`: a segment with that sequence number (RFC 5927 section 4.1).
    Sequence(Num),
    /// `quoting hex:...`: these bytes.
    Bytes(Vec<u8>),
}

impl Unreachable {
    const TABLE: [(&str, Self, u8, Option<u8>); 5] = [
        ("net", Self::Net, 0, Some(0)),
        ("host", Self::Host, 1, Some(3)),
        ("protocol", Self::Protocol, 2, None),
        ("port", Self::Port, 3, Some(4)),
        ("admin", Self::Admin, 13, Some(1)),
    ];

    /// The code in one family; ICMPv6 has none for a protocol.
    pub(crate) fn code(self, v4: bool) -> Option<u8> {
        let (_, _, four, six) = Self::TABLE.iter().find(|(_, reason, ..)| *reason == self)?;
        if v4 { Some(*four) } else { *six }
    }

    /// The reason a code of one family stands for.
    pub(crate) fn from_code(code: u8, v4: bool) -> Option<Self> {
        let known = |four: u8, six: Option<u8>| if v4 { four == code } else { six == Some(code) };
        Self::TABLE
            .iter()
            .find(|(_, _, four, six)| known(*four, *six))
            .map(|(_, reason, ..)| *reason)
    }

    fn word(self) -> &'static str {
        Self::TABLE
            .iter()
            .find(|(_, reason, ..)| *reason == self)
            .map_or("net", |(word, ..)| word)
    }
}

const WORDS: [&str; 6] = [
    "echo",
    "unreachable",
    "too-big",
    "time-exceeded",
    "parameter-problem",
    "type",
];

impl IcmpMessage {
    /// Reads what follows the word `icmp`.
    pub(crate) fn parse(words: &mut Cursor<'_>) -> Result<Self, Fault> {
        let word = words.expect("an ICMP message")?;
        match word.text {
            "echo" => parse_echo(words),
            "unreachable" => parse_unreachable(words),
            "too-big" | "packet-too-big" => parse_too_big(words),
            "time-exceeded" => {
                let reassembly = words.take("reassembly");
                if !reassembly {
                    words.take("hops");
                }
                Ok(Self::TimeExceeded {
                    reassembly,
                    quote: Quote::parse(words)?,
                })
            }
            "parameter-problem" => {
                let code = labelled(words, "code", 0xff)?;
                let pointer = labelled(words, "pointer", u32::MAX)?;
                Ok(Self::ParameterProblem {
                    code,
                    pointer,
                    quote: Quote::parse(words)?,
                })
            }
            "type" => {
                let kind = byte(words.expect("a type")?)?;
                words.keyword("code", "")?;
                let code = byte(words.expect("a code")?)?;
                if words.peek().is_some_and(|word| word.text == "quoting") {
                    let quote = Quote::parse(words)?;
                    return Ok(Self::OtherError { kind, code, quote });
                }
                let digits = words.peek().and_then(|word| word.strip_prefix("hex:"));
                let body = digits.map(parse_hex).transpose()?;
                if body.is_some() {
                    words.next();
                }
                Ok(Self::Other { kind, code, body })
            }
            _ => Err(word.unknown("ICMP message", &WORDS)),
        }
    }

    /// Every number of the message.
    pub(crate) fn numbers(&self) -> Vec<&Num> {
        match self {
            Self::Echo {
                identifier,
                sequence,
                len,
                ..
            } => vec![identifier, sequence, len],
            Self::TooBig { mtu, quote } => [mtu].into_iter().chain(quote.number()).collect(),
            Self::ParameterProblem {
                code,
                pointer,
                quote,
            } => [code, pointer].into_iter().chain(quote.number()).collect(),
            Self::Unreachable { quote, .. }
            | Self::TimeExceeded { quote, .. }
            | Self::OtherError { quote, .. } => quote.number().into_iter().collect(),
            Self::Other { .. } => Vec::new(),
        }
    }
}

impl Quote {
    fn parse(words: &mut Cursor<'_>) -> Result<Self, Fault> {
        if !words.take("quoting") {
            return Ok(Self::Flow);
        }
        let word = words.expect("what is quoted")?;
        if let Some(digits) = word.strip_prefix("hex:") {
            return parse_hex(digits).map(Self::Bytes);
        }
        if word.text == "seq" {
            return Num::parse(words.expect("a sequence number")?, u32::MAX).map(Self::Sequence);
        }
        Err(word
            .fault(format!("cannot quote '{}'", word.text))
            .help("write quoting seq N or quoting hex:..."))
    }

    fn number(&self) -> Option<&Num> {
        match self {
            Self::Sequence(number) => Some(number),
            Self::Flow | Self::Bytes(_) => None,
        }
    }
}

fn parse_echo(words: &mut Cursor<'_>) -> Result<IcmpMessage, Fault> {
    let word = words.expect("'request' or 'reply'")?;
    let reply = match word.text {
        "request" => false,
        "reply" => true,
        _ => return Err(word.unknown("kind of echo", &["request", "reply"])),
    };
    let identifier = labelled(words, "id", 0xffff)?;
    let sequence = labelled(words, "seq", 0xffff)?;
    let (len, payload) = parse_sized(words)?;
    Ok(IcmpMessage::Echo {
        reply,
        identifier,
        sequence,
        len,
        payload,
    })
}

fn parse_unreachable(words: &mut Cursor<'_>) -> Result<IcmpMessage, Fault> {
    let word = words.expect("what is unreachable")?;
    if word.text == "fragmentation" {
        words.keyword("needed", "")?;
        return parse_too_big(words);
    }
    let known = Unreachable::TABLE
        .iter()
        .find(|(name, ..)| *name == word.text);
    let Some((_, reason, ..)) = known else {
        let names: Vec<&str> = Unreachable::TABLE.iter().map(|(name, ..)| *name).collect();
        return Err(word.unknown("reason", &names));
    };
    Ok(IcmpMessage::Unreachable {
        reason: *reason,
        quote: Quote::parse(words)?,
    })
}

fn parse_too_big(words: &mut Cursor<'_>) -> Result<IcmpMessage, Fault> {
    let mtu = labelled(words, "mtu", u32::MAX)?;
    Ok(IcmpMessage::TooBig {
        mtu,
        quote: Quote::parse(words)?,
    })
}

/// Reads `33`, `33 hex:...` or `hex:...`: a length, a payload, or both, which must then agree.
pub(crate) fn parse_sized(words: &mut Cursor<'_>) -> Result<(Num, Option<Payload>), Fault> {
    let first = words.expect("a length in bytes")?;
    if let Some(payload) = Payload::parse(first).transpose()? {
        let len = payload.len().and_then(|len| i64::try_from(len).ok());
        let len = len.ok_or_else(|| first.fault("a pattern needs its length before it"))?;
        return Ok((Num::Value(len), Some(payload)));
    }
    let len = Num::parse(first, LENGTH_MAX)?;
    let Some(word) = words.peek() else {
        return Ok((len, None));
    };
    let Some(payload) = Payload::parse(word).transpose()? else {
        return Ok((len, None));
    };
    words.next();
    check_length(word, &len, &payload)?;
    Ok((len, Some(payload)))
}

/// A payload with a length of its own must have the one the line states.
pub(crate) fn check_length(word: Span<'_>, stated: &Num, payload: &Payload) -> Result<(), Fault> {
    let own = payload.len().and_then(|len| i64::try_from(len).ok());
    match (stated, own) {
        (Num::Value(stated), Some(own)) if *stated != own => Err(word.fault(format!(
            "the payload has {own} bytes, the line says {stated}"
        ))),
        _ => Ok(()),
    }
}

fn labelled(words: &mut Cursor<'_>, label: &str, max: u32) -> Result<Num, Fault> {
    words.keyword(label, "")?;
    Num::next(words, max)
}

fn byte(span: Span<'_>) -> Result<u8, Fault> {
    parse_plain(span, 0xff).map(|value| u8::try_from(value).unwrap_or(u8::MAX))
}

impl fmt::Display for IcmpMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Echo {
                reply,
                identifier,
                sequence,
                len,
                payload,
            } => {
                let kind = if *reply { "reply" } else { "request" };
                write!(f, "icmp echo {kind} id {identifier} seq {sequence} {len}")?;
                optional(f, " ", payload.as_ref())
            }
            Self::Unreachable { reason, quote } => {
                write!(f, "icmp unreachable {}{quote}", reason.word())
            }
            Self::TooBig { mtu, quote } => write!(f, "icmp too-big mtu {mtu}{quote}"),
            Self::TimeExceeded { reassembly, quote } => {
                write!(
                    f,
                    "icmp time-exceeded {}{quote}",
                    if *reassembly { "reassembly" } else { "hops" }
                )
            }
            Self::ParameterProblem {
                code,
                pointer,
                quote,
            } => {
                write!(
                    f,
                    "icmp parameter-problem code {code} pointer {pointer}{quote}"
                )
            }
            Self::OtherError { kind, code, quote } => {
                write!(f, "icmp type {kind} code {code}{quote}")
            }
            Self::Other { kind, code, body } => {
                write!(f, "icmp type {kind} code {code}")?;
                body.iter()
                    .try_for_each(|body| write!(f, " hex:{}", Hex(body)))
            }
        }
    }
}

/// Prints with a space before, or nothing.
impl fmt::Display for Quote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flow => Ok(()),
            Self::Sequence(number) => write!(f, " quoting seq {number}"),
            Self::Bytes(bytes) => write!(f, " quoting hex:{}", Hex(bytes)),
        }
    }
}
