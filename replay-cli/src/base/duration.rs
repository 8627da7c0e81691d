//! Durations and sizes as scenario files write them: strings with a unit.
//!
//! A bare number in a test file is a guess about its unit, so there is none: `"42ms"`, `"1.5s"`, `"2h"`, `"8MiB"`. Both types
//! print in one canonical form, because files written by the tool are compared as text.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of virtual time in microseconds, written as a string with a unit (`us`, `ms`, `s`, `min`, `h`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub u64);

/// A number of bytes, written as an integer or as a string with a unit (`B`, `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// Why a duration or a size could not be read; the text is fit for a diagnostic.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct QuantityError(String);

/// Units of time with their length in microseconds.
const TIME_UNITS: [(&str, u64); 5] = [
    ("us", 1),
    ("ms", 1_000),
    ("s", 1_000_000),
    ("min", 60_000_000),
    ("h", 3_600_000_000),
];

/// Units of size with their length in bytes, the binary ones last because they are preferred in print.
const SIZE_UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

const DURATION_FORM: &str = "a duration is a string of a number and a unit, such as \"250us\", \"42ms\", \"1.5s\", \"5min\" or \"2h\"";
const SIZE_FORM: &str =
    "a size is a number of bytes, or a number and a unit, such as \"512KiB\" or \"8MiB\"";

impl Micros {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// The span in microseconds.
    #[must_use]
    pub fn as_micros(self) -> u64 {
        self.0
    }
}

impl From<Micros> for std::time::Duration {
    fn from(span: Micros) -> Self {
        Self::from_micros(span.0)
    }
}

impl FromStr for Micros {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text, &TIME_UNITS, "microseconds")
            .map(Self)
            .map_err(|why| match why {
                Some(why) => QuantityError(format!("duration {text:?} {why}")),
                None => QuantityError(format!("{text:?} is no duration; {DURATION_FORM}")),
            })
    }
}

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("0ms"),
            n if n % 3_600_000_000 == 0 => write!(f, "{}h", n / 3_600_000_000),
            n if n % 60_000_000 == 0 => write!(f, "{}min", n / 60_000_000),
            n if n >= 1_000_000 => write_decimal(f, n, 1_000_000, 6, "s"),
            n if n >= 1_000 => write_decimal(f, n, 1_000, 3, "ms"),
            n => write!(f, "{n}us"),
        }
    }
}

impl Size {
    /// The size in bytes.
    #[must_use]
    pub fn as_bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        if let Ok(bytes) = text.parse() {
            return Ok(Self(bytes));
        }
        parse(text, &SIZE_UNITS, "bytes")
            .map(Self)
            .map_err(|why| match why {
                Some(why) => QuantityError(format!("size {text:?} {why}")),
                None => QuantityError(format!("{text:?} is no size; {SIZE_FORM}")),
            })
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, length) in SIZE_UNITS.iter().rev().take(3) {
            if self.0 != 0 && self.0.is_multiple_of(*length) {
                return write!(f, "{}{unit}", self.0 / length);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// Reads `1.5s`-like text as a whole number of base units; `Err(None)` means that it is not of that form at all.
fn parse(text: &str, units: &[(&str, u64)], base: &str) -> Result<u64, Option<String>> {
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .ok_or(None)?;
    let (number, unit) = text.split_at_checked(split).ok_or(None)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.ends_with('.')
    {
        return Err(None);
    }
    let unit = unit.trim_start();
    let Some((_, length)) = units.iter().find(|(name, _)| *name == unit) else {
        let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        return Err(Some(format!(
            "has the unit `{unit}`; the units are {}",
            names.join(", ")
        )));
    };
    let too_long = || Some("is too large".to_owned());
    let whole: u64 = if whole.is_empty() {
        0
    } else {
        whole.parse().map_err(|_| too_long())?
    };
    let total = whole.checked_mul(*length).ok_or_else(too_long)?;
    let rest = fraction_of(fraction, *length)
        .ok_or_else(|| Some(format!("is not a whole number of {base}")))?;
    total.checked_add(rest).ok_or_else(too_long)
}

/// `0.FRACTION * length`, if that is a whole number.
pub(crate) fn fraction_of(fraction: &str, length: u64) -> Option<u64> {
    let digits = fraction.trim_end_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    let value = digits
        .parse::<u128>()
        .ok()?
        .checked_mul(u128::from(length))?;
    let scale = 10u128.checked_pow(u32::try_from(digits.len()).ok()?)?;
    (value % scale == 0)
        .then_some(value / scale)
        .and_then(|n| u64::try_from(n).ok())
}

/// Prints `value / unit` exactly, without trailing zeros; `places` is the number of decimals one unit has.
fn write_decimal(
    f: &mut fmt::Formatter<'_>,
    value: u64,
    unit: u64,
    places: usize,
    name: &str,
) -> fmt::Result {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return write!(f, "{whole}{name}");
    }
    let decimals = format!("{rest:0places$}");
    write!(f, "{whole}.{}{name}", decimals.trim_end_matches('0'))
}

impl Serialize for Micros {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Micros {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Micros;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration with its unit, such as \"42ms\"")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Micros, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Text)
    }
}

impl Serialize for Size {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrText;
        impl Visitor<'_> for NumberOrText {
            type Value = Size;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size, such as 65536 or \"8MiB\"")
            }
            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<Size, E> {
                Ok(Size(bytes))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Size, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(NumberOrText)
    }
}

impl JsonSchema for Micros {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": r"^([0-9]+(\.[0-9]+)?|\.[0-9]+) *(us|ms|s|min|h)$",
            "description": "A span of virtual time: a number and a unit (us, ms, s, min, h), a whole number of microseconds.",
        })
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "integer", "minimum": 0 },
                { "type": "string", "pattern": r"^([0-9]+(\.[0-9]+)?|\.[0-9]+) *(B|kB|MB|GB|KiB|MiB|GiB)$" },
            ],
            "description": "A number of bytes: an integer, or a number with a unit (B, kB, MB, GB, KiB, MiB, GiB).",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_of_time_is_read_in_microseconds() {
        let cases = [
            ("250us", 250),
            ("42ms", 42_000),
            ("1.5s", 1_500_000),
            ("5min", 300_000_000),
            ("2h", 7_200_000_000),
            (".25ms", 250),
        ];
        for (text, micros) in cases {
            assert_eq!(text.parse(), Ok(Micros(micros)), "{text}");
        }
    }

    #[test]
    fn a_duration_prints_in_its_largest_fitting_unit() {
        let cases = [
            (0, "0ms"),
            (7, "7us"),
            (1_448, "1.448ms"),
            (42_000, "42ms"),
            (1_500_000, "1.5s"),
            (61_234_567, "61.234567s"),
            (90_000_000, "90s"),
            (120_000_000, "2min"),
            (7_200_000_000, "2h"),
        ];
        for (micros, text) in cases {
            assert_eq!(Micros(micros).to_string(), text);
            assert_eq!(text.parse(), Ok(Micros(micros)));
        }
    }

    #[test]
    fn text_that_is_no_duration_says_what_one_looks_like() {
        for text in ["", "42", "ms", "1.2.3s", "-1s", "1.s", "+1s"] {
            let error = text.parse::<Micros>().unwrap_err().to_string();
            assert!(error.contains("such as \"250us\""), "{text}: {error}");
        }
    }

    #[test]
    fn a_wrong_unit_lists_the_units() {
        let error = "3sec".parse::<Micros>().unwrap_err().to_string();
        assert_eq!(
            error,
            "duration \"3sec\" has the unit `sec`; the units are us, ms, s, min, h"
        );
    }

    #[test]
    fn time_below_a_microsecond_is_refused() {
        let error = "1.5us".parse::<Micros>().unwrap_err().to_string();
        assert_eq!(
            error,
            "duration \"1.5us\" is not a whole number of microseconds"
        );
    }

    #[test]
    fn a_duration_beyond_the_range_is_an_error_not_a_panic() {
        for text in [
            "99999999999999999999h",
            "18446744073709551615s",
            "0.00000000000000000000000000000000000000000000001s",
        ] {
            assert!(text.parse::<Micros>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_with_binary_and_decimal_units_and_printed_binary() {
        for (text, bytes, canonical) in [
            ("8MiB", 8 << 20, "8MiB"),
            ("1.5KiB", 1536, "1536B"),
            ("2kB", 2000, "2000B"),
            ("0B", 0, "0B"),
            ("100", 100, "100B"),
        ] {
            let size: Size = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, canonical));
        }
    }
}
