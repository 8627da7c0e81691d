//! An expected value: exact, or a range.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An expected value: the value itself, or `{"min": a, "max": b}` with either end left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected<T> {
    /// Exactly this value.
    Exact(T),
    /// Any value from `min` to `max`, both included.
    Range {
        /// The least value; `None` leaves this end open.
        min: Option<T>,
        /// The greatest value; `None` leaves this end open.
        max: Option<T>,
    },
}

impl<T: PartialOrd> Expected<T> {
    /// Whether a value is as expected.
    #[must_use]
    pub fn matches(&self, value: &T) -> bool {
        match self {
            Self::Exact(exact) => value == exact,
            Self::Range { min, max } => {
                min.as_ref().is_none_or(|min| value >= min)
                    && max.as_ref().is_none_or(|max| value <= max)
            }
        }
    }
}

/// `5`, `3 to 9`, `at least 3`, `at most 9`, `anything`.
impl<T: fmt::Display> fmt::Display for Expected<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(exact) => write!(f, "{exact}"),
            Self::Range {
                min: Some(min),
                max: Some(max),
            } => write!(f, "{min} to {max}"),
            Self::Range {
                min: Some(min),
                max: None,
            } => write!(f, "at least {min}"),
            Self::Range {
                min: None,
                max: Some(max),
            } => write!(f, "at most {max}"),
            Self::Range {
                min: None,
                max: None,
            } => f.write_str("anything"),
        }
    }
}

/// The JSON object of a range.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Range<T> {
    #[serde(skip_serializing_if = "Option::is_none", default = "none")]
    min: Option<T>,
    #[serde(skip_serializing_if = "Option::is_none", default = "none")]
    max: Option<T>,
}

/// A default without asking `T` for one.
fn none<T>() -> Option<T> {
    None
}

impl<T: Serialize> Serialize for Expected<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Exact(exact) => exact.serialize(serializer),
            Self::Range { min, max } => Range {
                min: min.as_ref(),
                max: max.as_ref(),
            }
            .serialize(serializer),
        }
    }
}

impl<'de, T: Deserialize<'de> + PartialOrd> Deserialize<'de> for Expected<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueOrRange<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + PartialOrd> Visitor<'de> for ValueOrRange<T> {
            type Value = Expected<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a range such as {\"min\": ..., \"max\": ...}")
            }
            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Expected<T>, E> {
                T::deserialize(value.into_deserializer()).map(Expected::Exact)
            }
            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Expected<T>, E> {
                T::deserialize(value.into_deserializer()).map(Expected::Exact)
            }
            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Expected<T>, E> {
                T::deserialize(value.into_deserializer()).map(Expected::Exact)
            }
            fn visit_str<E: de::Error>(self, value: &str) -> Result<Expected<T>, E> {
                T::deserialize(value.into_deserializer()).map(Expected::Exact)
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Expected<T>, A::Error> {
                let Range { min, max } = Range::deserialize(MapAccessDeserializer::new(map))?;
                if min.is_none() && max.is_none() {
                    return Err(de::Error::custom("a range needs `min`, `max` or both"));
                }
                if let (Some(low), Some(high)) = (&min, &max)
                    && low > high
                {
                    return Err(de::Error::custom(
                        "the range is empty: `min` is above `max`",
                    ));
                }
                Ok(Expected::Range { min, max })
            }
        }
        deserializer.deserialize_any(ValueOrRange(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Expected<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Expected{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({
            "anyOf": [
                value,
                {
                    "type": "object",
                    "properties": { "min": value, "max": value },
                    "minProperties": 1,
                    "additionalProperties": false,
                },
            ],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::duration::Micros;

    #[test]
    fn exact_values_and_ranges_print_as_they_were_read() {
        for json in ["3", r#"{"min":3,"max":9}"#, r#"{"min":3}"#] {
            let expected: Expected<u64> = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_string(&expected).unwrap(), json);
        }
        let time: Expected<Micros> = serde_json::from_str(r#"{"max":"6ms"}"#).unwrap();
        assert!(time.matches(&Micros(6_000)) && !time.matches(&Micros(6_001)));
    }

    #[test]
    fn both_ends_of_a_range_are_included() {
        let range = Expected::Range {
            min: Some(3),
            max: Some(9),
        };
        assert_eq!(
            [2, 3, 9, 10].map(|n| range.matches(&n)),
            [false, true, true, false]
        );
    }

    #[test]
    fn an_empty_range_is_refused() {
        for json in [
            "{}",
            r#"{"min":9,"max":3}"#,
            r#"{"mn":9}"#,
            "-1",
            "1.5",
            "true",
            "[]",
        ] {
            assert!(
                serde_json::from_str::<Expected<u64>>(json).is_err(),
                "{json}"
            );
        }
    }
}
