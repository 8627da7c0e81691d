//! What is made of the one table of settings: the fields of [`Config`](crate::Config) with their documentation, defaults and ranges, and access
//! to them by name for borders that cannot pass a [`Config`](crate::Config) as it is.

use core::ops::{Bound, RangeBounds};
use core::time::Duration;

use super::{DialFailure, Martians, PathPolicy, Refusal, UdpFiltering, UdpMapping};

/// What a setting is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes; by name in decimal.
    Bytes,
    /// A number; by name in decimal.
    Count,
    /// A time; by name in microseconds, and ranges likewise.
    Time,
    /// Yes or no; by name `true` or `false`.
    Switch,
    /// One of the words that [`Setting::words`] lists.
    Word,
}

/// A setting, as the table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// Its field of [`Config`](crate::Config).
    pub name: &'static str,
    /// What it is for: lines of Markdown.
    pub doc: &'static str,
    /// What it is counted in.
    pub unit: Unit,
    /// Whether it may be absent: by name `none`.
    pub optional: bool,
    /// The least value that [`Config::check`](crate::Config::check) takes, in its unit.
    pub least: u64,
    /// The most likewise.
    pub most: u64,
    /// The words it has, if it is a [`Unit::Word`].
    pub words: &'static [&'static str],
    /// The default, as [`Config::named`](crate::Config::named) gives it.
    pub default: String,
}

/// A setting out of its range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} must be {range}, not {value}")]
#[non_exhaustive]
pub struct ConfigError {
    /// The field of [`Config`](crate::Config).
    pub setting: &'static str,
    /// What it was.
    pub value: String,
    /// What it may be, with its unit.
    pub range: String,
}

impl Setting {
    /// What it may be, with its unit, in words: `576 to 65,535 bytes`.
    #[must_use]
    pub fn range(&self) -> String {
        let amount = |value| amount(value, self.unit);
        let unit = if self.unit == Unit::Bytes {
            " bytes"
        } else {
            ""
        };
        match (self.least, self.most) {
            (0, u64::MAX) => "anything".to_owned(),
            (least, u64::MAX) => format!("at least {}{unit}", amount(least)),
            (least, most) => format!("{} to {}{unit}", amount(least), amount(most)),
        }
    }

    pub(super) fn new<T: Value>(
        name: &'static str,
        doc: &'static str,
        unit: Unit,
        range: impl RangeBounds<u64>,
        default: &T,
    ) -> Self {
        let end = |bound: Bound<&u64>, open| match bound {
            Bound::Included(end) | Bound::Excluded(end) => *end,
            Bound::Unbounded => open,
        };
        Self {
            name,
            doc,
            unit,
            optional: T::OPTIONAL,
            least: end(range.start_bound(), 0),
            most: end(range.end_bound(), u64::MAX),
            words: T::WORDS,
            default: default.text(),
        }
    }

    pub(super) fn check(&self, measure: Option<u64>) -> Option<ConfigError> {
        let value = measure.filter(|value| !(self.least..=self.most).contains(value))?;
        Some(ConfigError {
            setting: self.name,
            value: amount(value, self.unit),
            range: self.range(),
        })
    }
}

/// A number as people write it: digits in groups of three, times with a unit.
fn amount(value: u64, unit: Unit) -> String {
    if unit == Unit::Time {
        return format!("{:?}", Duration::from_micros(value));
    }
    let digits = value.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The value of a setting, which can be written as text.
pub(super) trait Value: Sized {
    const OPTIONAL: bool = false;
    const WORDS: &'static [&'static str] = &[];

    fn text(&self) -> String;
    fn parse(text: &str) -> Option<Self>;

    /// What is held against the range of the setting.
    fn measure(&self) -> Option<u64> {
        None
    }
}

macro_rules! numbers {
    ($($kind:ty)+) => {$(
        impl Value for $kind {
            fn text(&self) -> String {
                self.to_string()
            }

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }

            fn measure(&self) -> Option<u64> {
                u64::try_from(*self).ok()
            }
        }
    )+};
}

numbers!(u8 u32 u64 usize);

impl Value for bool {
    fn text(&self) -> String {
        self.to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for Duration {
    fn text(&self) -> String {
        self.as_micros().to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().map(Self::from_micros)
    }

    fn measure(&self) -> Option<u64> {
        Some(u64::try_from(self.as_micros()).unwrap_or(u64::MAX))
    }
}

impl<T: Value> Value for Option<T> {
    const OPTIONAL: bool = true;
    const WORDS: &'static [&'static str] = T::WORDS;

    fn text(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), T::text)
    }

    fn parse(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(None);
        }
        T::parse(text).map(Some)
    }

    fn measure(&self) -> Option<u64> {
        self.as_ref().and_then(T::measure)
    }
}

macro_rules! words {
    ($($kind:ident { $($variant:ident $word:literal)+ })+) => {$(
        impl Value for $kind {
            const WORDS: &'static [&'static str] = &[$($word),+];

            fn text(&self) -> String {
                match self {
                    $(Self::$variant => $word,)+
                }
                .to_owned()
            }

            fn parse(text: &str) -> Option<Self> {
                match text {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    )+};
}

words! {
    Martians { Drop "drop" Admit "admit" }
    Refusal { Drop "drop" Reset "reset" Icmp "icmp" }
    DialFailure { Reset "reset" Icmp "icmp" }
    UdpMapping {
        AddressAndPortDependent "address_and_port_dependent"
        EndpointIndependent "endpoint_independent"
    }
    UdpFiltering {
        AddressAndPortDependent "address_and_port_dependent"
        AddressDependent "address_dependent"
        EndpointIndependent "endpoint_independent"
    }
    PathPolicy { Keep "keep" Close "close" Redial "redial" }
}

/// Makes [`Config`](crate::Config) from its table. An entry is documentation, `name: type, unit (range) = default;`, the range in the unit,
/// times in microseconds. What follows `rust only:` has no name outside of Rust.
macro_rules! settings {
    (
        $(#[$about:meta])*
        pub struct Config {
            $(
                $(#[doc = $doc:literal])+
                $name:ident: $type:ty, $unit:ident ($range:expr) = $default:expr;
            )+
            rust only:
            $(
                $(#[doc = $plain_doc:literal])+
                $plain:ident: $plain_type:ty = $plain_default:expr;
            )+
        }
    ) => {
        $(#[$about])*
        pub struct Config {
            $($(#[doc = $doc])+ #[doc = concat!("\n\nDefault: `", stringify!($default), "`.")] pub $name: $type,)+
            $($(#[doc = $plain_doc])+ #[doc = concat!("\n\nDefault: `", stringify!($plain_default), "`.")] pub $plain: $plain_type,)+
        }

        impl Default for Config {
            fn default() -> Self {
                Self {
                    $($name: $default,)+
                    $($plain: $plain_default,)+
                }
            }
        }

        impl Config {
            /// The names of all settings that have one outside of Rust, in the order of [`Config::settings`].
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),+];

            /// The table of settings: what borders, schemas and documentation are made from.
            #[must_use]
            pub fn settings() -> Vec<Setting> {
                let default = Self::default();
                vec![$(Setting::new(
                    stringify!($name),
                    concat!($($doc, "\n"),+),
                    Unit::$unit,
                    $range,
                    &default.$name,
                )),+]
            }

            /// Every setting but the level and mask of the log, as name and text: what [`Config::set`] takes.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, String)> {
                vec![$((stringify!($name), Value::text(&self.$name))),+]
            }

            /// Sets the field of this name from a text: durations in microseconds, sizes and counts in decimal, `true` and
            /// `false`, words with underscores, `none` for what may be absent. `false`, and nothing changes, if there is no
            /// such setting or it has no such value; whether the value is within its range is [`Config::check`]'s matter.
            pub fn set(&mut self, name: &str, text: &str) -> bool {
                match name {
                    $(stringify!($name) => match Value::parse(text) {
                        Some(value) => self.$name = value,
                        None => return false,
                    },)+
                    _ => return false,
                }
                true
            }

            /// Every setting out of its range.
            #[must_use]
            pub fn faults(&self) -> Vec<ConfigError> {
                let measures = [$(Value::measure(&self.$name)),+];
                Self::settings()
                    .iter()
                    .zip(measures)
                    .filter_map(|(setting, measure)| setting.check(measure))
                    .collect()
            }
        }
    };
}

pub(super) use settings;

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    #[test]
    fn what_is_named_can_be_set() {
        let odd = Config {
            pending_dials: Some(3),
            keep_alive: Some(Duration::from_micros(7_200_000_001)),
            martians: Martians::Admit,
            admission_refusal: Refusal::Icmp,
            dial_failure: DialFailure::Icmp,
            udp_mapping: UdpMapping::EndpointIndependent,
            udp_filtering: UdpFiltering::AddressDependent,
            path_policy: PathPolicy::Redial,
            nagle: true,
            seed: Some(0),
            ..Config::many_flows()
        };
        let mut copy = Config::default();
        for (name, text) in odd.named() {
            assert!(copy.set(name, &text), "{name} {text}");
        }
        assert_eq!(copy, odd);
    }

    #[test]
    fn ranges_are_said_with_their_unit() {
        let settings = Config::settings();
        let range = |name| {
            settings
                .iter()
                .find(|setting| setting.name == name)
                .map(Setting::range)
        };
        let ranges = ["mtu", "tcp_idle", "keep_alive", "pending_dials", "seed"].map(range);
        assert_eq!(
            ranges.map(Option::unwrap_or_default),
            [
                "576 to 65,535",
                "at least 1ms",
                "at least 1s",
                "at least 1",
                "anything"
            ]
        );
    }

    #[test]
    fn what_cannot_be_changes_nothing() {
        let mut config = Config::default();
        for (name, text) in [
            ("mtu", "-1"),
            ("mtu", "none"),
            ("nagle", "1"),
            ("hop_limit", "256"),
            ("path_policy", "Keep"),
            ("log_level", "info"),
            ("", ""),
        ] {
            assert!(!config.set(name, text), "{name} {text}");
        }
        assert_eq!(config, Config::default());
    }
}
