//! Two containers of scenario files: the closed list and the map that keeps its order.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, DeserializeSeed, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A list that is complete: what is not in it must not happen, unless one element is `{"others": "allow"}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClosedList<T> {
    /// What must happen.
    pub items: Vec<T>,
    /// Whether more may happen.
    pub others_allowed: bool,
}

/// A JSON object with free keys that keeps the order in which they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<T> Default for ClosedList<T> {
    fn default() -> Self {
        Self {
            items: Vec::new(),
            others_allowed: false,
        }
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Named<T> {
    /// The value of a key.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&T> {
        self.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// Keys and values in the order written.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &T)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The keys in the order written.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.iter().map(|(name, _)| name)
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> FromIterator<(String, T)> for Named<T> {
    fn from_iter<I: IntoIterator<Item = (String, T)>>(entries: I) -> Self {
        Self(entries.into_iter().collect())
    }
}

impl<T: Serialize> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Named<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut entries: Vec<(String, T)> = Vec::new();
                let mut known = BTreeSet::new();
                while let Some((name, value)) = map.next_entry::<String, T>()? {
                    if !known.insert(name.clone()) {
                        return Err(de::Error::custom(format_args!("duplicate key `{name}`")));
                    }
                    entries.push((name, value));
                }
                Ok(Named(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// The word behind `others`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Others {
    Allow,
}

impl<T: Serialize> Serialize for ClosedList<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Marker {
            others: Others,
        }
        let mut list =
            serializer.serialize_seq(Some(self.items.len() + usize::from(self.others_allowed)))?;
        for item in &self.items {
            list.serialize_element(item)?;
        }
        if self.others_allowed {
            list.serialize_element(&Marker {
                others: Others::Allow,
            })?;
        }
        list.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ClosedList<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Items<T> {
            type Value = ClosedList<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ClosedList<T>, A::Error> {
                let mut list = ClosedList::default();
                while let Some(element) = seq.next_element()? {
                    match element {
                        Element::Item(item) => list.items.push(item),
                        Element::OthersAllowed => list.others_allowed = true,
                    }
                }
                Ok(list)
            }
        }
        deserializer.deserialize_seq(Items(PhantomData))
    }
}

/// One element: the marker if its first key is `others`, an item if not.
enum Element<T> {
    Item(T),
    OthersAllowed,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Element<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ElementVisitor<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ElementVisitor<T> {
            type Value = Element<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Element<T>, A::Error> {
                let first: Option<String> = map.next_key()?;
                if first.as_deref() != Some("others") {
                    let whole = WithFirstKey { first, map };
                    return T::deserialize(de::value::MapAccessDeserializer::new(whole))
                        .map(Element::Item);
                }
                let Others::Allow = map.next_value()?;
                match map.next_key::<String>()? {
                    None => Ok(Element::OthersAllowed),
                    Some(other) => Err(de::Error::custom(format_args!(
                        "`others` stands alone in its element, without `{other}`"
                    ))),
                }
            }
        }
        deserializer.deserialize_map(ElementVisitor(PhantomData))
    }
}

/// A map whose first key has been read already and is given out again.
struct WithFirstKey<A> {
    first: Option<String>,
    map: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithFirstKey<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, A::Error> {
        match self.first.take() {
            Some(key) => seed.deserialize(key.into_deserializer()).map(Some),
            None => self.map.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

impl<T: JsonSchema> JsonSchema for ClosedList<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("ClosedListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let item = generator.subschema_for::<T>();
        json_schema!({
            "type": "array",
            "items": {
                "anyOf": [
                    item,
                    {
                        "type": "object",
                        "description": "Opens the list: more than is written may happen.",
                        "properties": { "others": { "const": "allow" } },
                        "required": ["others"],
                        "additionalProperties": false,
                    },
                ],
            },
        })
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("MapOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": value })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Item {
        name: String,
    }

    #[test]
    fn the_marker_opens_a_list_and_is_kept() {
        let json = r#"[{"name":"a"},{"others":"allow"}]"#;
        let list: ClosedList<Item> = serde_json::from_str(json).unwrap();
        assert_eq!(
            list,
            ClosedList {
                items: vec![Item { name: "a".into() }],
                others_allowed: true
            }
        );
        assert_eq!(serde_json::to_string(&list).unwrap(), json);
    }

    #[test]
    fn a_list_without_the_marker_is_closed() {
        let list: ClosedList<Item> = serde_json::from_str("[]").unwrap();
        assert!(!list.others_allowed);
    }

    #[test]
    fn the_marker_takes_only_allow_and_only_alone() {
        for json in [
            r#"[{"others":"deny"}]"#,
            r#"[{"others":"allow","name":"a"}]"#,
            r#"[{"name":"a","others":"allow"}]"#,
        ] {
            assert!(
                serde_json::from_str::<ClosedList<Item>>(json).is_err(),
                "{json}"
            );
        }
    }

    #[test]
    fn a_named_map_keeps_its_order_and_refuses_duplicates() {
        let json = r#"{"z":1,"a":2}"#;
        let map: Named<u32> = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&map).unwrap(), json);
        assert_eq!(map.get("a"), Some(&2));
        assert!(serde_json::from_str::<Named<u32>>(r#"{"a":1,"a":2}"#).is_err());
    }
}
