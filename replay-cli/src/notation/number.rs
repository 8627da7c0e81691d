//! Numbers of a line: written out, bound to a name, or anything; and what they are relative to.

use std::collections::BTreeMap;
use std::fmt;

use super::Direction;
use super::build::BuildError;
use super::cursor::{Cursor, Fault, Span};
use crate::packet::{Flags, Seq, Tcp};

/// A number as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Num {
    /// `*`: any value; only in expectations.
    Any,
    /// `1449`, or `-1`, which is one before 0 on the circle of 2^32.
    Value(i64),
    /// `$a`, `$a+10`, `$a-1`: an unbound name is bound by the first packet that matches.
    Name {
        /// The name, without `$`.
        name: String,
        /// What is added to the name's value.
        plus: i64,
    },
    /// `!$a`: any value but that of a name which a packet before has bound; only in expectations.
    Not(String),
}

/// The values names stand for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bindings(BTreeMap<String, i64>);

impl Bindings {
    /// The value of a name.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<i64> {
        self.0.get(name).copied()
    }

    /// Gives a name its value.
    pub fn bind(&mut self, name: &str, value: i64) {
        self.0.insert(name.to_owned(), value);
    }

    /// Gives a name its value, or takes it away.
    pub(crate) fn set(&mut self, name: &str, value: Option<i64>) {
        match value {
            Some(value) => self.bind(name, value),
            None => {
                self.0.remove(name);
            }
        }
    }

    /// Names and values, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

/// The initial sequence numbers that a flow's lines are relative to; an unknown one counts as 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Numbering {
    /// The device's.
    pub device_isn: Option<Seq>,
    /// The engine's.
    pub engine_isn: Option<Seq>,
}

impl Numbering {
    /// Learns an initial sequence number from a SYN, unless that side's is known.
    pub fn learn(&mut self, direction: Direction, tcp: &Tcp<'_>) {
        let isn = match direction {
            Direction::FromDevice => &mut self.device_isn,
            Direction::FromEngine => &mut self.engine_isn,
        };
        if tcp.flags.contains(Flags::SYN) {
            isn.get_or_insert(tcp.sequence);
        }
    }

    /// Initial sequence number of the side that sends in `direction`.
    #[must_use]
    pub fn sender(&self, direction: Direction) -> Option<Seq> {
        match direction {
            Direction::FromDevice => self.device_isn,
            Direction::FromEngine => self.engine_isn,
        }
    }

    /// Initial sequence number of the side that receives in `direction`.
    #[must_use]
    pub fn receiver(&self, direction: Direction) -> Option<Seq> {
        match direction {
            Direction::FromDevice => self.engine_isn,
            Direction::FromEngine => self.device_isn,
        }
    }

    /// Sequence number of a segment, relative; a SYN of a side not yet known is its own base.
    #[must_use]
    pub fn relative_sequence(&self, direction: Direction, tcp: &Tcp<'_>) -> u32 {
        let own = tcp.flags.contains(Flags::SYN).then_some(tcp.sequence);
        let base = self.sender(direction).or(own).unwrap_or_default();
        tcp.sequence.0.wrapping_sub(base.0)
    }

    /// A number of the receiver's space, as in an acknowledgement, relative.
    #[must_use]
    pub fn relative_acknowledgement(&self, direction: Direction, number: Seq) -> u32 {
        number
            .0
            .wrapping_sub(self.receiver(direction).unwrap_or_default().0)
    }
}

impl Num {
    /// The number `value`.
    #[must_use]
    pub fn of(value: impl Into<i64>) -> Self {
        Self::Value(value.into())
    }

    /// Whether `actual` is this number, on the circle of 2^32; binds a name that is not bound.
    pub(crate) fn accepts(&self, actual: u32, bindings: &mut Bindings) -> bool {
        match self {
            Self::Any => true,
            Self::Value(value) => wrap(*value) == actual,
            Self::Not(name) => bindings
                .value(name)
                .is_some_and(|value| wrap(value) != actual),
            Self::Name { name, plus } => match bindings.value(name) {
                Some(value) => wrap(value.wrapping_add(*plus)) == actual,
                None => {
                    bindings.bind(name, i64::from(wrap(i64::from(actual).wrapping_sub(*plus))));
                    true
                }
            },
        }
    }

    /// The value to send.
    pub(crate) fn resolve(&self, bindings: &Bindings) -> Result<u32, BuildError> {
        match self {
            Self::Any | Self::Not(_) => Err(BuildError::Any),
            Self::Value(value) => Ok(wrap(*value)),
            Self::Name { name, plus } => bindings
                .value(name)
                .map(|value| wrap(value.wrapping_add(*plus)))
                .ok_or_else(|| BuildError::Unbound(name.clone())),
        }
    }

    /// As written, with the value of a bound name.
    pub(crate) fn describe(&self, bindings: &Bindings) -> String {
        match self {
            Self::Name { name, plus } if bindings.value(name).is_some() => {
                let value = bindings.value(name).unwrap_or_default().wrapping_add(*plus);
                format!("{self} ({})", wrap(value))
            }
            Self::Not(name) if bindings.value(name).is_some() => {
                let value = bindings.value(name).unwrap_or_default();
                format!("{self} ({})", wrap(value))
            }
            _ => self.to_string(),
        }
    }

    /// Reads the next word as a number.
    pub(crate) fn next(words: &mut Cursor<'_>, max: u32) -> Result<Self, Fault> {
        Self::parse(words.expect("a number")?, max)
    }

    /// Reads a number whose value is at most `max`; only a 32-bit one may be negative.
    pub(crate) fn parse(span: Span<'_>, max: u32) -> Result<Self, Fault> {
        if span.text == "*" {
            return Ok(Self::Any);
        }
        if let Some(other) = span.strip_prefix("!$") {
            return parse_name(span, other.text).map(|()| Self::Not(other.text.to_owned()));
        }
        let Some(named) = span.strip_prefix("$") else {
            return parse_value(span, max).map(Self::Value);
        };
        let end = named.text.find(['+', '-']).unwrap_or(named.text.len());
        let (name, plus) = named.text.split_at_checked(end).unwrap_or((named.text, ""));
        parse_name(span, name)?;
        let plus = match plus {
            "" => Ok(0),
            signed => signed.parse::<i32>().map(i64::from),
        };
        let plus = plus.map_err(|_| span.fault(format!("'{}' adds no number", span.text)))?;
        Ok(Self::Name {
            name: name.to_owned(),
            plus,
        })
    }
}

impl fmt::Display for Num {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => write!(f, "*"),
            Self::Value(value) => write!(f, "{value}"),
            Self::Name { name, plus: 0 } => write!(f, "${name}"),
            Self::Name { name, plus } => write!(f, "${name}{plus:+}"),
            Self::Not(name) => write!(f, "!${name}"),
        }
    }
}

fn parse_name(span: Span<'_>, name: &str) -> Result<(), Fault> {
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(span
            .fault(format!("'{}' is no name", span.text))
            .help("a name is $ and letters, digits or _, such as $a or $a+10"));
    }
    Ok(())
}

/// Reads a plain number of at most `max`.
pub(crate) fn parse_plain(span: Span<'_>, max: u32) -> Result<u32, Fault> {
    let value = parse_value(span, max)?;
    u32::try_from(value).map_err(|_| span.fault(format!("{value} is negative")))
}

fn parse_value(span: Span<'_>, max: u32) -> Result<i64, Fault> {
    let digits = span.text.strip_prefix('-').unwrap_or(span.text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(span.fault(format!("expected a number, found '{}'", span.text)));
    }
    let low = if max == u32::MAX { -i64::from(max) } else { 0 };
    let value = span.text.parse::<i64>().ok();
    value
        .filter(|value| (low..=i64::from(max)).contains(value))
        .ok_or_else(|| {
            span.fault(format!("{} is out of range", span.text))
                .help(format!("expected {low} to {max}"))
        })
}

/// The place of a number on the circle of 2^32.
pub(crate) fn wrap(value: i64) -> u32 {
    u32::try_from(value & 0xffff_ffff).unwrap_or_default()
}
