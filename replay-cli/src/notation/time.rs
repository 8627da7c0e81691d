//! When a line happens: packetdrill's forms, in seconds.

use std::fmt;

use super::cursor::{Fault, Span};
use crate::base::duration::fraction_of;
use crate::base::wording::seconds;

/// When a line happens, or may happen; microseconds from the first input or from the line before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeSpec {
    /// `~`: whenever its turn comes.
    Any,
    /// `0.042`: at that time.
    Absolute(u64),
    /// `+.1`: that long after the line before.
    Relative(u64),
    /// `0.1~0.3`: between two times, both included.
    RangeAbsolute(u64, u64),
    /// `+0.1~+0.3`: between two delays after the line before, both included.
    RangeRelative(u64, u64),
}

impl TimeSpec {
    /// First and last microsecond the line may happen at, the line before having happened at `previous`.
    #[must_use]
    pub fn window(self, previous: u64) -> (u64, u64) {
        let after = |delay| previous.saturating_add(delay);
        match self {
            Self::Any => (0, u64::MAX),
            Self::Absolute(at) => (at, at),
            Self::Relative(delay) => (after(delay), after(delay)),
            Self::RangeAbsolute(from, to) => (from, to),
            Self::RangeRelative(from, to) => (after(from), after(to)),
        }
    }

    /// Whether the line may happen at `at`, the line before having happened at `previous`.
    #[must_use]
    pub fn accepts(self, at: u64, previous: u64) -> bool {
        let (from, to) = self.window(previous);
        (from..=to).contains(&at)
    }

    /// Whether it is one time and not a choice of many.
    #[must_use]
    pub fn is_exact(self) -> bool {
        matches!(self, Self::Absolute(_) | Self::Relative(_))
    }

    pub(crate) fn parse(span: Span<'_>) -> Result<Self, Fault> {
        if span.text == "~" {
            return Ok(Self::Any);
        }
        if let Some((from, to)) = span.split_once('~') {
            let relative = from.strip_prefix("+");
            let low = duration(relative.unwrap_or(from))?;
            let high = duration(
                to.strip_prefix("+")
                    .filter(|_| relative.is_some())
                    .unwrap_or(to),
            )?;
            if low > high {
                return Err(span.fault("the range ends before it starts"));
            }
            return Ok(match relative {
                Some(_) => Self::RangeRelative(low, high),
                None => Self::RangeAbsolute(low, high),
            });
        }
        match span.strip_prefix("+") {
            Some(delay) => duration(delay).map(Self::Relative),
            None => duration(span).map(Self::Absolute),
        }
    }
}

impl fmt::Display for TimeSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Any => write!(f, "~"),
            Self::Absolute(at) => write!(f, "{}", Seconds(at)),
            Self::Relative(delay) => write!(f, "+{}", Seconds(delay)),
            Self::RangeAbsolute(from, to) => write!(f, "{}~{}", Seconds(from), Seconds(to)),
            Self::RangeRelative(from, to) => write!(f, "+{}~+{}", Seconds(from), Seconds(to)),
        }
    }
}

/// Prints microseconds as seconds, without needless zeros.
pub(crate) struct Seconds(pub(crate) u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&seconds(self.0))
    }
}

/// Units a time may carry, in microseconds; without one it is seconds.
const UNITS: [(&str, u64); 8] = [
    ("", 1_000_000),
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("min", 60_000_000),
    ("m", 60_000_000),
    ("h", 3_600_000_000),
    ("d", 86_400_000_000),
];

/// Reads `5`, `.1`, `0.042`, `250us`, `2h` as microseconds.
pub(crate) fn duration(span: Span<'_>) -> Result<u64, Fault> {
    let end = span
        .text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(span.text.len());
    let (number, unit) = span.text.split_at_checked(end).unwrap_or((span.text, ""));
    let known = UNITS.iter().find(|(name, _)| *name == unit);
    let scale = known.map(|(_, scale)| *scale);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let no_number = whole.is_empty() && fraction.is_empty() || fraction.contains('.');
    let (Some(scale), false) = (scale, no_number) else {
        return Err(span.fault(format!("'{}' is no time", span.text)).help(
            "a time is in seconds, such as 0.042, +.1, 0.1~0.3 or ~, or has a unit, such as +2h",
        ));
    };
    let too_long = || span.fault(format!("'{}' is too long a time", span.text));
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| too_long())?
    };
    let part = fraction_of(fraction, scale)
        .ok_or_else(|| span.fault(format!("'{}' is finer than a microsecond", span.text)))?;
    whole
        .checked_mul(scale)
        .and_then(|micros| micros.checked_add(part))
        .ok_or_else(too_long)
}
