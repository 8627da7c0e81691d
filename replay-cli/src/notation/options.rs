//! TCP options as a line writes them: `<mss 1460,sackOK,wscale 7>`.

use std::fmt;

use super::build::BuildError;
use super::cursor::{Cursor, Fault, Span};
use super::number::{Bindings, Num};
use super::payload::parse_hex;
use crate::base::hex::Hex;
use crate::packet::{Seq, TcpOption, walk_tcp_options};

/// Bytes of options a TCP header has room for.
const OPTION_BYTES_MAX: usize = 40;

/// Options of a segment to send, or those an expected one must have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OptionsPattern {
    /// The options, in the order they are sent; an expectation is met in any order.
    pub options: Vec<OptionPattern>,
    /// `*` among them: any others may be there too.
    pub others: bool,
}

/// One option.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OptionPattern {
    /// `mss 1460`.
    Mss(Num),
    /// `wscale 7`.
    WindowScale(Num),
    /// `sackOK`.
    SackPermitted,
    /// `sack 1449:2897 4345:5793`, relative to the receiver's initial sequence number.
    Sack(Vec<(Num, Num)>),
    /// `TS val 100 ecr 0`.
    Timestamps {
        /// The sender's clock.
        value: Num,
        /// The clock value it echoes.
        echo: Num,
    },
    /// `nop`; in an expectation, padding not written is not compared.
    Nop,
    /// `eol`; likewise.
    End,
    /// `hex:fd04...`: option bytes as they stand, kind and length included.
    Hex(Vec<u8>),
}

const WORDS: [&str; 9] = [
    "mss", "wscale", "sackOK", "sack", "TS", "nop", "eol", "hex:", "*",
];

impl OptionsPattern {
    /// Reads the group, angle brackets included.
    pub(crate) fn parse(group: Span<'_>) -> Result<Self, Fault> {
        let inner = group
            .strip_prefix("<")
            .and_then(|rest| rest.strip_suffix(">"));
        let inner = inner
            .ok_or_else(|| group.fault("the options are not closed with '>'"))?
            .trim();
        let mut pattern = Self::default();
        if inner.text.is_empty() {
            return Ok(pattern);
        }
        for item in inner.list() {
            match item.text {
                "*" | "..." => pattern.others = true,
                _ => pattern.options.push(OptionPattern::parse(item)?),
            }
        }
        let size: usize = pattern.options.iter().map(OptionPattern::size).sum();
        if size > OPTION_BYTES_MAX {
            return Err(group
                .fault(format!("the options take {size} bytes"))
                .help(format!("a header has room for {OPTION_BYTES_MAX}")));
        }
        Ok(pattern)
    }

    /// The option bytes to send, `base` being the receiver's initial sequence number.
    pub(crate) fn encode(&self, base: Seq, bindings: &Bindings) -> Result<Vec<u8>, BuildError> {
        let mut bytes = Vec::new();
        for option in &self.options {
            option.encode(&mut bytes, base, bindings)?;
        }
        Ok(bytes)
    }

    /// Whether option bytes are what the pattern asks; what it leaves out may only be padding, unless `*` is there.
    pub(crate) fn accepts(&self, bytes: &[u8], base: Seq, bindings: &mut Bindings) -> bool {
        let mut found = items(bytes);
        for option in self.options.iter().flat_map(OptionPattern::split) {
            let place = found
                .iter()
                .position(|item| option.accepts(item, base, bindings));
            let Some(place) = place else {
                return false;
            };
            found.remove(place);
        }
        let wrote = |padding| self.options.contains(padding);
        self.others
            || found.iter().all(|item| match item {
                Item::Nop => !wrote(&OptionPattern::Nop),
                Item::End => !wrote(&OptionPattern::End),
                Item::Option { .. } | Item::Broken(_) => false,
            })
    }

    /// The options in option bytes; padding at the end is left out.
    pub(crate) fn of(bytes: &[u8], base: Seq) -> Self {
        let mut options: Vec<_> = items(bytes)
            .iter()
            .map(|item| OptionPattern::of(item, base))
            .collect();
        if options.last() == Some(&OptionPattern::End) {
            options.pop();
        }
        Self {
            options,
            others: false,
        }
    }

    pub(crate) fn numbers(&self) -> impl Iterator<Item = &Num> {
        self.options.iter().flat_map(OptionPattern::numbers)
    }
}

impl fmt::Display for OptionsPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words: Vec<String> = self.options.iter().map(OptionPattern::to_string).collect();
        if self.others {
            words.push("*".to_owned());
        }
        write!(f, "<{}>", words.join(","))
    }
}

/// An option as it stands in a header.
#[derive(Debug, PartialEq, Eq)]
enum Item {
    Nop,
    End,
    Option { kind: u8, value: Vec<u8> },
    Broken(Vec<u8>),
}

fn items(bytes: &[u8]) -> Vec<Item> {
    walk_tcp_options(bytes)
        .map(|(at, option)| match option {
            TcpOption::End => Item::End,
            TcpOption::Nop => Item::Nop,
            TcpOption::Known { kind, value } => Item::Option {
                kind,
                value: value.to_vec(),
            },
            TcpOption::Malformed => Item::Broken(bytes.get(at..).unwrap_or_default().to_vec()),
        })
        .collect()
}

impl OptionPattern {
    fn parse(item: Span<'_>) -> Result<Self, Fault> {
        let mut words = Cursor::within(item);
        let word = words.expect("an option")?;
        let option = match word.text {
            "mss" => Self::Mss(Num::parse(words.expect("a size in bytes")?, 0xffff)?),
            "wscale" => Self::WindowScale(Num::parse(words.expect("a shift")?, 0xff)?),
            "sackOK" => Self::SackPermitted,
            "sack" => Self::Sack(parse_blocks(&mut words)?),
            "TS" => {
                words.keyword("val", TIMESTAMPS)?;
                let value = Num::next(&mut words, u32::MAX)?;
                words.keyword("ecr", TIMESTAMPS)?;
                let echo = Num::next(&mut words, u32::MAX)?;
                Self::Timestamps { value, echo }
            }
            "nop" => Self::Nop,
            "eol" => Self::End,
            _ => match word.strip_prefix("hex:") {
                Some(digits) => Self::Hex(parse_hex(digits)?),
                None => return Err(word.unknown("option", &WORDS)),
            },
        };
        match words.next() {
            Some(extra) => Err(extra
                .fault(format!("unexpected '{}' after an option", extra.text))
                .help("options are separated by commas")),
            None => Ok(option),
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Mss(_) => 4,
            Self::WindowScale(_) => 3,
            Self::SackPermitted => 2,
            Self::Sack(blocks) => 2 + 8 * blocks.len(),
            Self::Timestamps { .. } => 10,
            Self::Nop | Self::End => 1,
            Self::Hex(bytes) => bytes.len(),
        }
    }

    fn numbers(&self) -> Vec<&Num> {
        match self {
            Self::Mss(number) | Self::WindowScale(number) => vec![number],
            Self::Sack(blocks) => blocks
                .iter()
                .flat_map(|(left, right)| [left, right])
                .collect(),
            Self::Timestamps { value, echo } => vec![value, echo],
            Self::SackPermitted | Self::Nop | Self::End | Self::Hex(_) => Vec::new(),
        }
    }

    fn encode(
        &self,
        bytes: &mut Vec<u8>,
        base: Seq,
        bindings: &Bindings,
    ) -> Result<(), BuildError> {
        match self {
            Self::Mss(size) => {
                let [.., high, low] = size.resolve(bindings)?.to_be_bytes();
                bytes.extend([2, 4, high, low]);
            }
            Self::WindowScale(shift) => {
                let [.., shift] = shift.resolve(bindings)?.to_be_bytes();
                bytes.extend([3, 3, shift]);
            }
            Self::SackPermitted => bytes.extend([4, 2]),
            Self::Sack(blocks) => {
                bytes.extend([5, u8::try_from(2 + 8 * blocks.len()).unwrap_or(u8::MAX)]);
                for edge in blocks.iter().flat_map(|(left, right)| [left, right]) {
                    bytes.extend(base.plus(edge.resolve(bindings)?).0.to_be_bytes());
                }
            }
            Self::Timestamps { value, echo } => {
                bytes.extend([8, 10]);
                bytes.extend(value.resolve(bindings)?.to_be_bytes());
                bytes.extend(echo.resolve(bindings)?.to_be_bytes());
            }
            Self::Nop => bytes.push(1),
            Self::End => bytes.push(0),
            Self::Hex(raw) => bytes.extend(raw),
        }
        Ok(())
    }

    /// `hex:` may hold several options; each is compared on its own.
    fn split(&self) -> Vec<Self> {
        let Self::Hex(bytes) = self else {
            return vec![self.clone()];
        };
        items(bytes)
            .into_iter()
            .map(|item| match item {
                Item::Nop => Self::Nop,
                Item::End => Self::End,
                Item::Option { kind, value } => Self::Hex(raw(kind, &value)),
                Item::Broken(rest) => Self::Hex(rest),
            })
            .collect()
    }

    fn accepts(&self, item: &Item, base: Seq, bindings: &mut Bindings) -> bool {
        let (kind, value) = match (self, item) {
            (Self::Nop, Item::Nop) | (Self::End, Item::End) => return true,
            (Self::Hex(bytes), Item::Option { kind, value }) => return *bytes == raw(*kind, value),
            (Self::Hex(bytes), Item::Broken(rest)) => return bytes == rest,
            (_, Item::Option { kind, value }) => (*kind, value.as_slice()),
            _ => return false,
        };
        match (self, kind, value) {
            (Self::Mss(size), 2, [high, low]) => {
                size.accepts(u32::from(u16::from_be_bytes([*high, *low])), bindings)
            }
            (Self::WindowScale(shift), 3, [actual]) => shift.accepts(u32::from(*actual), bindings),
            (Self::SackPermitted, 4, []) => true,
            (Self::Sack(blocks), 5, edges) => {
                let actual = words(edges);
                let wanted: Vec<_> = blocks
                    .iter()
                    .flat_map(|(left, right)| [left, right])
                    .collect();
                edges.len() == wanted.len() * 4
                    && wanted
                        .iter()
                        .zip(actual)
                        .all(|(edge, actual)| edge.accepts(actual.wrapping_sub(base.0), bindings))
            }
            (Self::Timestamps { value, echo }, 8, both) => match words(both).as_slice() {
                [first, second] if both.len() == 8 => {
                    value.accepts(*first, bindings) && echo.accepts(*second, bindings)
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn of(item: &Item, base: Seq) -> Self {
        let (kind, value) = match item {
            Item::Nop => return Self::Nop,
            Item::End => return Self::End,
            Item::Broken(rest) => return Self::Hex(rest.clone()),
            Item::Option { kind, value } => (*kind, value.as_slice()),
        };
        match (kind, value, words(value).as_slice()) {
            (2, [high, low], _) => Self::Mss(Num::of(u16::from_be_bytes([*high, *low]))),
            (3, [shift], _) => Self::WindowScale(Num::of(*shift)),
            (4, [], _) => Self::SackPermitted,
            (5, _, edges) if !value.is_empty() && value.len() % 8 == 0 => {
                let edge = |number: u32| Num::of(number.wrapping_sub(base.0));
                let (pairs, _) = edges.as_chunks::<2>();
                Self::Sack(
                    pairs
                        .iter()
                        .map(|[left, right]| (edge(*left), edge(*right)))
                        .collect(),
                )
            }
            (8, _, [first, second]) if value.len() == 8 => Self::Timestamps {
                value: Num::of(*first),
                echo: Num::of(*second),
            },
            _ => Self::Hex(raw(kind, value)),
        }
    }
}

impl fmt::Display for OptionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mss(size) => write!(f, "mss {size}"),
            Self::WindowScale(shift) => write!(f, "wscale {shift}"),
            Self::SackPermitted => write!(f, "sackOK"),
            Self::Sack(blocks) => {
                write!(f, "sack")?;
                blocks
                    .iter()
                    .try_for_each(|(left, right)| write!(f, " {left}:{right}"))
            }
            Self::Timestamps { value, echo } => write!(f, "TS val {value} ecr {echo}"),
            Self::Nop => write!(f, "nop"),
            Self::End => write!(f, "eol"),
            Self::Hex(bytes) => write!(f, "hex:{}", Hex(bytes)),
        }
    }
}

const TIMESTAMPS: &str = "write TS val 100 ecr 0";

fn parse_blocks(words: &mut Cursor<'_>) -> Result<Vec<(Num, Num)>, Fault> {
    let mut blocks = Vec::new();
    let mut word = words.expect("a block such as 1449:2897")?;
    loop {
        let Some((left, right)) = word.split_once(':') else {
            return Err(word
                .fault(format!("'{}' is no block", word.text))
                .help("write sack 1449:2897"));
        };
        blocks.push((Num::parse(left, u32::MAX)?, Num::parse(right, u32::MAX)?));
        match words.next() {
            Some(next) => word = next,
            None => return Ok(blocks),
        }
    }
}

fn raw(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, u8::try_from(value.len() + 2).unwrap_or(u8::MAX)];
    bytes.extend_from_slice(value);
    bytes
}

fn words(bytes: &[u8]) -> Vec<u32> {
    let (words, _) = bytes.as_chunks::<4>();
    words.iter().map(|word| u32::from_be_bytes(*word)).collect()
}
