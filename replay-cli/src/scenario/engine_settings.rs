//! Engine settings of a scenario, as the engine's own table of settings has them; what is absent keeps its default.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use engine::{Config, Setting, Unit};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::duration::{Micros, Size};

static TABLE: LazyLock<Vec<Setting>> = LazyLock::new(Config::settings);

/// The seed where none is set: a run is the same every time.
const SEED: u64 = 1;

/// Engine settings that differ from the engine's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineSettings {
    /// Settings to begin with instead of the engine's defaults.
    pub preset: Option<Preset>,
    /// The rows of the engine's table that are set, in its order, each with its text.
    rows: BTreeMap<usize, String>,
}

/// Settings for a purpose.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[clap(rename_all = "snake_case")]
pub enum Preset {
    /// Thousands of flows: rings of 4 KiB each way, 2,048 TCP flows, 32 MiB in all.
    ManyFlows,
    /// A phone: MTU 4064, 256 TCP flows, 11 MiB in all.
    Phone,
    /// A desktop or a router: 4,096 TCP flows, rings of up to 1 MiB each way, 384 MiB in all.
    Desktop,
}

impl EngineSettings {
    /// Whether every setting keeps the engine's default.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Sets a setting from what the engine's [`Config::set`] takes; `false`, and nothing changes, if it has no such setting
    /// or no such value.
    pub fn set(&mut self, name: &str, value: impl fmt::Display) -> bool {
        let text = value.to_string();
        let row = TABLE.iter().position(|setting| setting.name == name);
        let row = row.filter(|_| Config::default().set(name, &text));
        row.map(|row| self.rows.insert(row, text)).is_some()
    }

    /// The same, for a setting that is known to exist.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl fmt::Display) -> Self {
        let known = self.set(name, value);
        debug_assert!(known, "{name} is a setting");
        self
    }

    /// What a setting is set to, if it is.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.set_ones()
            .find(|(setting, _)| setting.name == name)
            .map(|(_, text)| text)
    }

    /// The names of settings that are set to something else than the engine's default.
    pub fn changed(&self) -> impl Iterator<Item = &'static str> {
        let changed = self.set_ones().filter(|(one, text)| one.default != *text);
        changed.map(|(setting, _)| setting.name)
    }

    /// The engine's configuration, which has a seed always: the same one where none is set.
    #[must_use]
    pub fn config(&self) -> Config {
        let mut config = match self.preset {
            None => Config::default(),
            Some(Preset::ManyFlows) => Config::many_flows(),
            Some(Preset::Phone) => Config::phone(),
            Some(Preset::Desktop) => Config::desktop(),
        };
        for (setting, text) in self.set_ones() {
            config.set(setting.name, text);
        }
        config.seed.get_or_insert(SEED);
        config
    }

    fn set_ones(&self) -> impl Iterator<Item = (&'static Setting, &str)> {
        let rows = self.rows.iter();
        rows.filter_map(|(row, text)| Some((TABLE.get(*row)?, text.as_str())))
    }
}

impl Serialize for EngineSettings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(preset) = self.preset {
            map.serialize_entry("preset", &preset)?;
        }
        for (setting, text) in self.set_ones() {
            let number = text.parse().unwrap_or_default();
            match setting.unit {
                Unit::Bytes => map.serialize_entry(setting.name, &Size(number))?,
                Unit::Time => map.serialize_entry(setting.name, &Micros(number))?,
                Unit::Count => map.serialize_entry(setting.name, &number)?,
                Unit::Switch => map.serialize_entry(setting.name, &(text == "true"))?,
                Unit::Word => map.serialize_entry(setting.name, text)?,
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for EngineSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = EngineSettings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("struct EngineSettings")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<EngineSettings, M::Error> {
        let mut settings = EngineSettings::default();
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            if name == "preset" {
                settings.preset = Some(map.next_value()?);
                continue;
            }
            let Some((row, setting)) = TABLE.iter().enumerate().find(|(_, row)| row.name == name)
            else {
                return Err(M::Error::unknown_field(&name, Config::NAMES));
            };
            let text = match setting.unit {
                Unit::Bytes => map.next_value::<Size>()?.as_bytes().to_string(),
                Unit::Time => map.next_value::<Micros>()?.as_micros().to_string(),
                Unit::Count => map.next_value::<u64>()?.to_string(),
                Unit::Switch => map.next_value::<bool>()?.to_string(),
                Unit::Word => {
                    let word = map.next_value::<Cow<'_, str>>()?;
                    if !setting.words.contains(&&*word) {
                        return Err(M::Error::unknown_variant(&word, setting.words));
                    }
                    word.into_owned()
                }
            };
            if !Config::default().set(setting.name, &text) {
                return Err(M::Error::custom(format!("must be {}", setting.range())));
            }
            if settings.rows.insert(row, text).is_some() {
                return Err(M::Error::duplicate_field(setting.name));
            }
        }
        Ok(settings)
    }
}

impl JsonSchema for EngineSettings {
    fn schema_name() -> Cow<'static, str> {
        "EngineSettings".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut properties = serde_json::Map::new();
        let mut add = |name: &str, mut schema: Schema, description: String| {
            schema.insert("description".to_owned(), description.into());
            properties.insert(name.to_owned(), schema.to_value());
        };
        let preset = generator.subschema_for::<Preset>();
        let about = "Settings to begin with instead of the engine's defaults.";
        add("preset", preset, about.to_owned());
        for setting in TABLE.iter() {
            let schema = match setting.unit {
                Unit::Bytes => generator.subschema_for::<Size>(),
                Unit::Time => generator.subschema_for::<Micros>(),
                Unit::Count if setting.most == u64::MAX => {
                    json_schema!({ "type": "integer", "minimum": setting.least })
                }
                Unit::Count => {
                    json_schema!({ "type": "integer", "minimum": setting.least, "maximum": setting.most })
                }
                Unit::Switch => json_schema!({ "type": "boolean" }),
                Unit::Word => json_schema!({ "type": "string", "enum": setting.words }),
            };
            add(setting.name, schema, plain(setting.doc));
        }
        json_schema!({
            "type": "object",
            "description": "Engine settings that differ from the engine's defaults.",
            "properties": properties,
            "additionalProperties": false,
        })
    }
}

/// Documentation without what only rustdoc follows: links to fields become their names.
fn plain(doc: &str) -> String {
    let joined = doc.split_whitespace().collect::<Vec<_>>().join(" ");
    joined.replace("[`Config::", "`").replace("`]", "`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_setting_is_read_as_it_is_written() {
        let mut all = EngineSettings::default();
        for setting in TABLE.iter() {
            let text = match (setting.words.last(), setting.unit) {
                (Some(word), _) => (*word).to_owned(),
                (_, Unit::Switch) => "true".to_owned(),
                _ => setting.least.max(1).to_string(),
            };
            assert!(all.set(setting.name, text), "{}", setting.name);
        }
        let json = serde_json::to_string(&all).unwrap();
        assert_eq!(serde_json::from_str::<EngineSettings>(&json).unwrap(), all);
        assert_eq!(all.rows.len(), TABLE.len());
    }

    #[test]
    fn what_the_engine_has_not_is_refused_by_name() {
        let refused = |json: &str| {
            let error = serde_json::from_str::<EngineSettings>(json).unwrap_err();
            error.to_string()
        };
        assert!(refused(r#"{"mut": 1500}"#).starts_with("unknown field `mut`, expected one of"));
        assert!(refused(r#"{"path_policy": "drop"}"#).starts_with("unknown variant `drop`"));
        assert!(refused(r#"{"hop_limit": 256}"#).starts_with("must be 1 to 255"));
        assert!(refused(r#"{"tcp_idle": 5}"#).contains("unit"));
    }
}
