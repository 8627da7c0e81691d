//! Damage done to frames on their way into or out of the engine.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::duration::Micros;

/// One fault: which frames, and what happens to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Where it strikes.
    pub on: FaultPoint,
    /// The flow whose frames are meant; every flow if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The frame by its number, from 1: in the capture or among the input lines, or among the frames emitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub frame: Option<u64>,
    /// The n-th frame of those meant, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub nth: Option<u64>,
    /// The share of frames struck, from 0 to 1; needs `seed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub rate: Option<f64>,
    /// The seed of `rate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What happens to the frame.
    #[serde(rename = "do")]
    pub action: FaultAction,
    /// How much: the delay, the frames a reordered one falls behind, the copies, or the byte that is corrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<FaultAmount>,
}

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultPoint {
    /// Frames on their way into the engine.
    Input,
    /// Frames the engine emitted.
    Output,
}

/// What happens to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FaultAction {
    /// It is lost.
    Drop,
    /// It arrives more than once: `by` extra copies, 1 if absent.
    Duplicate,
    /// One bit of it flips, in the byte at offset `by`; the last byte if absent.
    Corrupt,
    /// It arrives later, by the duration `by`.
    Delay,
    /// It arrives after the `by` frames that follow it, 1 if absent.
    Reorder,
}

/// How much: a duration or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultAmount {
    /// A duration, for `delay`.
    Time(Micros),
    /// A number of frames, copies or bytes.
    Count(u64),
}

impl Serialize for FaultAmount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Time(span) => span.serialize(serializer),
            Self::Count(count) => count.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for FaultAmount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TimeOrCount;
        impl Visitor<'_> for TimeOrCount {
            type Value = FaultAmount;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as \"20ms\" or a whole number")
            }
            fn visit_u64<E: de::Error>(self, count: u64) -> Result<FaultAmount, E> {
                Ok(FaultAmount::Count(count))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<FaultAmount, E> {
                text.parse().map(FaultAmount::Time).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(TimeOrCount)
    }
}

impl JsonSchema for FaultAmount {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "FaultAmount".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let time = generator.subschema_for::<Micros>();
        json_schema!({ "anyOf": [time, { "type": "integer", "minimum": 0 }] })
    }
}
