//! Serde's view of a JSON tree, so that errors know the position of the value at fault.

use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{
    self, DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess,
    Visitor,
};

use super::error::{DecodeError, Kind};
use crate::scenario::json::{Member, Node, Value};

impl<'de> de::Deserializer<'de> for &'de Node {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let result = match &self.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Number(number) => match (number.as_u64(), number.as_i64(), number.as_f64()) {
                (Some(number), _, _) => visitor.visit_u64(number),
                (None, Some(number), _) => visitor.visit_i64(number),
                (None, None, Some(number)) => visitor.visit_f64(number),
                (None, None, None) => Err(de::Error::custom(format_args!(
                    "the number {number} is out of range"
                ))),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(elements) => visitor.visit_seq(Elements(elements.iter())),
            Value::Object(members) => visitor.visit_map(Members {
                rest: members.iter(),
                value: None,
            }),
        };
        result.map_err(|error| error.or_at(self.at))
    }

    /// An optional field is left out, never written as null: a value that is there must be of its type.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor
            .visit_some(self)
            .map_err(|error| error.or_at(self.at))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        visitor
            .visit_newtype_struct(self)
            .map_err(|error| error.or_at(self.at))
    }

    /// Fields have names: a list is never taken for an object, though Serde's derived code would count the fields off.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.value {
            Value::Array(_) => {
                let error: DecodeError = de::Error::invalid_type(de::Unexpected::Seq, &"an object");
                Err(error.or_at(self.at))
            }
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        known: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let result = match &self.value {
            Value::String(word) => visitor.visit_enum(word.as_str().into_deserializer()),
            Value::Object(members) => match members.as_slice() {
                [member] => visitor.visit_enum(Tagged(member)),
                [] => Err(de::Error::custom(format_args!(
                    "the object is empty; it takes one of `{}`",
                    known.join("`, `")
                ))),
                [_, second, ..] => Err(DecodeError {
                    at: None,
                    kind: Kind::Other(format!(
                        "the object has more than one member; `{}` needs an object of its own",
                        second.key
                    )),
                }),
            },
            _ => self.deserialize_any(Never(known, visitor)),
        };
        result.map_err(|error| error.or_at(self.at))
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

/// A visitor that takes nothing: every value is a mismatch with the words known.
struct Never<V>(&'static [&'static str], V);

impl<'de, V: Visitor<'de>> Visitor<'de> for Never<V> {
    type Value = V::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "one of `{}`", self.0.join("`, `"))
    }
}

struct Elements<'de>(std::slice::Iter<'de, Node>);

impl<'de> SeqAccess<'de> for Elements<'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        self.0
            .next()
            .map(|element| {
                seed.deserialize(element)
                    .map_err(|error| error.or_at(element.at))
            })
            .transpose()
    }
}

struct Members<'de> {
    rest: std::slice::Iter<'de, Member>,
    value: Option<&'de Node>,
}

impl<'de> MapAccess<'de> for Members<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, DecodeError> {
        let Some(member) = self.rest.next() else {
            return Ok(None);
        };
        self.value = Some(&member.value);
        let key: BorrowedStrDeserializer<'de, DecodeError> =
            BorrowedStrDeserializer::new(&member.key);
        seed.deserialize(key)
            .map(Some)
            .map_err(|error| error.or_at(member.key_at))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(
        &mut self,
        seed: V,
    ) -> Result<V::Value, DecodeError> {
        let value = self
            .value
            .take()
            .ok_or_else(|| de::Error::custom("a value was asked for before its key"))?;
        seed.deserialize(value)
            .map_err(|error| error.or_at(value.at))
    }
}

/// `{"variant": content}`.
struct Tagged<'de>(&'de Member);

impl<'de> EnumAccess<'de> for Tagged<'de> {
    type Error = DecodeError;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Self), DecodeError> {
        let key: BorrowedStrDeserializer<'de, DecodeError> =
            BorrowedStrDeserializer::new(&self.0.key);
        let variant = seed
            .deserialize(key)
            .map_err(|error| error.or_at(self.0.key_at))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Tagged<'de> {
    type Error = DecodeError;

    fn unit_variant(self) -> Result<(), DecodeError> {
        Err(DecodeError {
            at: Some(self.0.key_at),
            kind: Kind::Other(format!("`{}` stands alone, as a string", self.0.key)),
        })
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> Result<T::Value, DecodeError> {
        seed.deserialize(&self.0.value)
            .map_err(|error| error.or_at(self.0.value.at))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, DecodeError> {
        de::Deserializer::deserialize_any(&self.0.value, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        de::Deserializer::deserialize_any(&self.0.value, visitor)
    }
}
