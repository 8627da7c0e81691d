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

/// Exit code and standard error of a run of the one scenario, with a baseline of this text.
fn held_against(baseline: &str, answer: &str, arguments: &[&str]) -> (i32, String, String) {
    let scenario = scenario(answer, "");
    let files = [
        (NAME, scenario.as_bytes()),
        ("known.json", baseline.as_bytes()),
    ];
    let root = folder(&files);
    let all = ["conformance", "expectations", "--baseline", "known.json"];
    let ran = replay_in(root.path(), [&all, arguments].concat());
    let left = std::fs::read_to_string(root.path().join("known.json")).expect("a baseline");
    (ran.code, ran.err, left)
}

#[test]
fn a_failure_that_the_baseline_has_is_known() {
    let known = r#"{"ENG-DIAL-REFUSED": ["wrong-packet"]}"#;
    let (code, said, left) = held_against(known, "S.", &[]);
    assert_eq!(code, 0);
    assert!(
        said.contains("ENG-DIAL-REFUSED fails, as is known"),
        "{said}"
    );
    assert!(said.contains("0 new failures, 1 known, 0 mended"), "{said}");
    assert_eq!(left, known, "nobody asked for another");
}

#[test]
fn a_failure_that_the_baseline_lacks_is_a_failure() {
    let (code, said, _) = held_against("{}", "S.", &[]);
    assert_eq!(code, 1);
    assert!(said.contains("1 new failure, 0 known"), "{said}");
    let another_kind = r#"{"ENG-DIAL-REFUSED": ["missing-packet"]}"#;
    let (code, said, _) = held_against(another_kind, "S.", &[]);
    assert_eq!(code, 1);
    assert!(
        said.contains("fails, which is new (wrong-packet)"),
        "{said}"
    );
}

#[test]
fn a_mended_requirement_is_told_until_the_baseline_is_renewed() {
    let known = r#"{"ENG-DIAL-REFUSED": ["wrong-packet"]}"#;
    let (code, said, _) = held_against(known, "R.", &[]);
    assert_eq!(code, 0);
    assert!(said.contains("renew it with `--write-baseline`"), "{said}");
    let (code, _, left) = held_against(known, "R.", &["--write-baseline"]);
    assert_eq!((code, left.as_str()), (0, "{}\n"));
}

#[test]
fn a_written_baseline_has_the_kind_of_each_failure() {
    let (code, _, left) = held_against("{}", "S.", &["--write-baseline"]);
    let written = "{\n  \"ENG-DIAL-REFUSED\": [\"wrong-packet\"]\n}\n";
    assert_eq!((code, left.as_str()), (0, written));
}

#[test]
fn a_baseline_that_cannot_be_used_is_bad_input() {
    let (code, said, _) = held_against(r#"{"TCP-NOPE": []}"#, "S.", &[]);
    assert_eq!(code, 3);
    assert!(
        said.contains("there is no requirement `TCP-NOPE`"),
        "{said}"
    );
}
