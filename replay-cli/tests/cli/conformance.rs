//! `replay conformance`: verdicts and exit codes.

use crate::{folder, replay_in};

/// A refused dial; `kind` is what the engine answers with.
fn scenario(flags: &str, deviation: &str) -> String {
    format!(
        r#"{{ "schema": 1, "title": "refused", "covers": ["ENG-DIAL-REFUSED"], {deviation}
  "flows": {{ "get": "tcp 10.0.0.2:40000 > 93.184.216.34:80" }},
  "input": {{ "frames": ["0 < get S 0:0(0) win 65535 <mss 1460>", "0 > get {flags} 0:0(0) ack 1 <>"] }},
  "dialer": {{ "otherwise": "refused" }} }}"#
    )
}

const NAME: &str = "expectations/conformance/engine-dial/ENG-DIAL-REFUSED.json";
const DEVIATION: &str = r#""deviation": { "fails": ["wrong-packet"], "why": "it is so" },"#;

/// The exit code, and the verdict of the one requirement.
fn ran(text: &str, arguments: &[&str]) -> (i32, String) {
    let root = folder(&[(NAME, text.as_bytes())]);
    let all = [&["conformance", "--format", "json"], arguments].concat();
    let ran = replay_in(root.path(), all);
    let report: serde_json::Value = serde_json::from_str(&ran.out).expect("a report");
    let rows = report["requirements"].as_array().expect("requirements");
    let row = rows.iter().find(|row| row["id"] == "ENG-DIAL-REFUSED");
    let verdict = row.expect("the requirement")["verdict"].as_str();
    (ran.code, verdict.expect("a verdict").to_owned())
}

#[test]
fn a_part_of_the_suite_that_passes_is_success() {
    let part = ["expectations"];
    assert_eq!(ran(&scenario("R.", ""), &part), (0, "pass".to_owned()));
    let deviating = scenario("S.", DEVIATION);
    assert_eq!(ran(&deviating, &part), (0, "deviation".to_owned()));
}

#[test]
fn a_requirement_without_a_scenario_has_an_exit_code() {
    assert_eq!(ran(&scenario("R.", ""), &[]), (4, "pass".to_owned()));
}

#[test]
fn a_requirement_that_fails_has_an_exit_code() {
    let part = ["expectations"];
    assert_eq!(ran(&scenario("S.", ""), &part), (1, "fail".to_owned()));
    let passes = scenario("R.", DEVIATION);
    assert_eq!(ran(&passes, &part), (1, "fail".to_owned()));
}
