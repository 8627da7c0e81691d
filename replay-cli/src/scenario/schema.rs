//! The JSON Schema of scenario files, for editors and for other tools.
//!
//! It is generated from the types, and a copy is committed under schemas/ so that a change to the format shows up in review.

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::Scenario;

/// The JSON Schema (2020-12) of a scenario file.
#[must_use]
pub fn scenario_schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Scenario>();
    schema.insert("title".to_owned(), "Replay scenario, schema 1".into());
    let mut schema = schema.to_value();
    forbid_null(&mut schema);
    schema
}

/// Takes `null` out of every schema of an optional field: such a field is left out, never written as null.
fn forbid_null(schema: &mut Value) {
    match schema {
        Value::Array(elements) => elements.iter_mut().for_each(forbid_null),
        Value::Object(members) => {
            if let Some(Value::Array(types)) = members.get_mut("type") {
                types.retain(|name| name != "null");
                if let [only] = types.as_slice() {
                    let only = only.clone();
                    members.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(words)) = members.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            if let Some(Value::Array(choices)) = members.get_mut("anyOf") {
                choices.retain(|choice| choice.get("type") != Some(&"null".into()));
                if let [Value::Object(only)] = choices.as_slice() {
                    let only = only.clone();
                    members.remove("anyOf");
                    // The field's own description is the more precise one.
                    only.into_iter().for_each(|(key, value)| {
                        members.entry(key).or_insert(value);
                    });
                }
            }
            members.values_mut().for_each(forbid_null);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The schema as the text of its file.
#[must_use]
pub fn scenario_schema_text() -> String {
    format!("{:#}\n", scenario_schema())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_schema_is_the_generated_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/scenario.schema.json");
        let generated = scenario_schema_text();
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, &generated).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            committed == generated,
            "schemas/scenario.schema.json is out of date; run this test with UPDATE_SCHEMA=1"
        );
    }

    #[test]
    fn every_object_of_the_schema_refuses_unknown_fields() {
        fn check(schema: &Value, path: &str) {
            if let Value::Object(members) = schema {
                if members.get("type") == Some(&"object".into()) {
                    assert!(
                        members.contains_key("additionalProperties"),
                        "{path} admits unknown fields"
                    );
                }
                members
                    .iter()
                    .for_each(|(key, value)| check(value, &format!("{path}/{key}")));
            }
            if let Value::Array(elements) = schema {
                elements.iter().for_each(|element| check(element, path));
            }
        }
        check(&scenario_schema(), "");
    }

    #[test]
    fn no_field_may_be_null() {
        assert!(!scenario_schema_text().contains("null"));
    }

    #[test]
    fn every_field_of_the_schema_has_a_description() {
        let schema = scenario_schema();
        let mut types = vec![&schema];
        types.extend(schema["$defs"].as_object().unwrap().values());
        for object in types {
            for (name, field) in object["properties"].as_object().into_iter().flatten() {
                assert!(
                    field.get("description").is_some(),
                    "{name} has no description"
                );
            }
        }
    }
}
