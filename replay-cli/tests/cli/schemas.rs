//! What commands print for programs is what their schemas say, and nothing beside.

use std::path::Path;

use replay::capture::facts::FactKind;
use serde_json::Value;

use crate::{datagram_capture, folder, replay_in};

/// Where the repository begins: captures and scenarios are named from there.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn schema(of: &str) -> Value {
    serde_json::from_str(&replay_in(root(), ["schema", of]).out).expect("a schema")
}

/// What a value has that the schema does not allow or does not describe.
fn problems(schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(schema, schema, value, "", &mut found);
    found
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    for (keyword, wanted) in schema.as_object().expect("an object") {
        let holds = match keyword.as_str() {
            "$ref" => {
                let pointer = wanted.as_str().unwrap().trim_start_matches('#');
                let target = root.pointer(pointer).expect("what is referred to");
                check(root, target, value, at, found);
                true
            }
            "const" => value == wanted,
            "enum" => wanted.as_array().unwrap().contains(value),
            "minimum" => value
                .as_f64()
                .is_none_or(|it| it >= wanted.as_f64().unwrap()),
            "minItems" => value
                .as_array()
                .is_none_or(|it| it.len() as u64 >= wanted.as_u64().unwrap()),
            "maxItems" => value
                .as_array()
                .is_none_or(|it| it.len() as u64 <= wanted.as_u64().unwrap()),
            "type" => is_of(wanted, value),
            "anyOf" => wanted.as_array().unwrap().iter().any(|choice| {
                let mut tried = Vec::new();
                check(root, choice, value, at, &mut tried);
                tried.is_empty()
            }),
            "items" => {
                for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                    check(root, wanted, item, &format!("{at}/{index}"), found);
                }
                true
            }
            "required" => {
                let names = wanted.as_array().unwrap().iter();
                let mut names = names.map(|name| name.as_str().unwrap());
                value
                    .as_object()
                    .is_none_or(|it| names.all(|name| it.contains_key(name)))
            }
            "properties" | "additionalProperties" => {
                members(root, schema, value, at, found);
                true
            }
            "title" | "description" | "format" | "$schema" | "$defs" => true,
            unknown => panic!("the test does not know {unknown}"),
        };
        if !holds {
            found.push(format!("{at}: {keyword} {wanted} is not met by {value}"));
        }
    }
}

/// Every member has a schema, by its name or as one of many.
fn members(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    for (name, member) in value.as_object().into_iter().flatten() {
        let at = format!("{at}/{name}");
        let named = schema["properties"].get(name);
        match named.or_else(|| schema.get("additionalProperties")) {
            Some(wanted) => check(root, wanted, member, &at, found),
            None => found.push(format!("{at} is not described")),
        }
    }
}

fn is_of(kinds: &Value, value: &Value) -> bool {
    let is = |kind: &Value| match kind.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_u64() || value.is_i64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("the test does not know the type {other}"),
    };
    kinds
        .as_array()
        .map_or_else(|| is(kinds), |kinds| kinds.iter().any(is))
}

/// The report that a command prints in a folder, which is as its schema says.
fn report(of: &str, folder: &Path, command: &[&str]) -> Value {
    let ran = replay_in(folder, [command, &["--format", "json"]].concat());
    let report: Value = serde_json::from_str(&ran.out).expect("one JSON document");
    assert_eq!(report["schema"], 1);
    let found = problems(&schema(of), &report);
    assert!(found.is_empty(), "{command:?}: {found:#?}");
    report
}

const PASSES: &str = r#"{ "schema": 1, "title": "refused", "covers": ["ENG-DIAL-REFUSED"],
  "flows": { "get": "tcp 10.0.0.2:40000 > 93.184.216.34:80" },
  "input": { "frames": ["0 < get S 0:0(0) win 65535 <mss 1460>", "0 > get R. 0:0(0) ack 1 <>"] },
  "dialer": { "otherwise": "refused" } }"#;

#[test]
fn reports_of_runs_are_as_their_schema_says() {
    let fails = PASSES.replace("R. 0:0(0)", "S. 0:0(0)");
    let deviates =
        r#""title": "known", "deviation": { "fails": ["wrong-packet"], "why": "it is so" }"#;
    let deviates = fails.replace(r#""title": "refused""#, deviates);
    let root = folder(&[
        ("expectations/pass.json", PASSES.as_bytes()),
        ("expectations/fail.json", fails.as_bytes()),
        ("expectations/known.json", deviates.as_bytes()),
        ("expectations/invalid.json", b"{ \"schema\": 1 }"),
        (
            "expectations/many.json",
            br#"{"schema": 1, "kind": "stress", "title": "t", "tcp": [{"flows": 1}]}"#,
        ),
        (
            "expectations/script.pkt",
            b"0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 < S 0:0(0) win 1000\n",
        ),
        ("expectations/stray.json.new", b"{}"),
    ]);
    let run = report("run-report", root.path(), &["run", "--show-payload"]);
    let verdicts: Vec<_> = run["scenarios"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["verdict"])
        .collect();
    for wanted in ["pass", "fail", "deviation", "invalid", "left"] {
        assert!(verdicts.iter().any(|it| *it == wanted), "{wanted}: {run:#}");
    }
    report("run-list", root.path(), &["run", "--list"]);
    report(
        "vacuity-report",
        root.path(),
        &["run", "--vacuity", "expectations/pass.json"],
    );
    report(
        "conformance-report",
        root.path(),
        &["conformance", "expectations/pass.json"],
    );
    report(
        "coverage-report",
        root.path(),
        &["coverage", "expectations/pass.json"],
    );
}

#[test]
fn reports_of_the_committed_scripts_are_as_their_schema_says() {
    let folder = "expectations/pkt";
    let run = report("run-report", root(), &["run", folder]);
    assert!(
        run["scenarios"]
            .as_array()
            .unwrap()
            .iter()
            .any(|it| it.get("script").is_some())
    );
}

#[test]
fn reports_of_captures_are_as_their_schemas_say() {
    let mut seen = 0;
    for area in ["dns", "field", "http", "icmp", "tcp", "tls", "udp"] {
        for entry in std::fs::read_dir(root().join("captures").join(area)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending != "md") {
                let path = path.to_str().unwrap();
                report("inspect-report", root(), &["inspect", path]);
                report("try-report", root(), &["try", path]);
                seen += 1;
            }
        }
    }
    assert!(seen > 20);
}

#[test]
fn reports_of_a_damaged_capture_are_as_their_schemas_say() {
    let mut damaged = datagram_capture();
    damaged.extend([0; 7]);
    let root = folder(&[("a.pcap", &damaged)]);
    for command in ["inspect", "try"] {
        let found = report(
            &format!("{command}-report"),
            root.path(),
            &[command, "a.pcap"],
        );
        assert!(found["damage"].is_object(), "{found:#}");
    }
}

#[test]
fn reports_of_stress_are_as_their_schema_says() {
    let scenario =
        br#"{"schema": 1, "kind": "stress", "title": "t", "tcp": [{"flows": 3, "up": "9KiB"}]}"#;
    let root = folder(&[("a.json", scenario)]);
    for via in ["core", "driver"] {
        report(
            "stress-report",
            root.path(),
            &["stress", "--via", via, "a.json"],
        );
    }
}

#[test]
fn the_schemas_of_captures_list_every_kind_of_fact() {
    let labels: Vec<&str> = FactKind::ALL.iter().map(|kind| kind.label()).collect();
    for of in ["inspect-report", "try-report"] {
        assert_eq!(
            schema(of)["$defs"]["fact"]["properties"]["kind"]["enum"],
            serde_json::json!(labels)
        );
    }
}

#[test]
fn what_a_schema_does_not_say_is_a_problem() {
    let schema = schema("run-list");
    let one = |file: Value| serde_json::json!({ "schema": 1, "scenarios": [file] });
    let good = serde_json::json!({ "name": "a", "path": "a.json", "kind": "scenario" });
    assert!(problems(&schema, &one(good.clone())).is_empty());
    for (name, value) in [
        ("kind", "other".into()),
        ("name", 1.into()),
        ("more", true.into()),
    ] {
        let mut bad = good.clone();
        bad[name] = value;
        assert_eq!(problems(&schema, &one(bad)).len(), 1, "{name}");
    }
}
