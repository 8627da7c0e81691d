//! The trace of a run as a file: it is read again, and what is imported from it passes.

use std::path::{Path, PathBuf};

use replay::capture::inspect::inspect;
use replay::report::trace;
use replay::verdict::attempt::{FlowVerdict, TryOptions, try_capture};
use replay::verdict::outcome::ScenarioOutcome;
use replay::verdict::run::{RunOptions, Tracing, run_file};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn traced(scenario: &Path) -> ScenarioOutcome {
    let options = RunOptions {
        trace: Tracing::Always,
        ..RunOptions::default()
    };
    run_file(scenario, &options).remove(0)
}

#[test]
fn the_trace_of_a_run_that_passed_replays_with_equal_streams() {
    let outcome = traced(&root().join("expectations/http/get.json"));
    assert!(outcome.passed());
    let file = trace::pcapng(&outcome.trace.unwrap(), None).unwrap();
    assert_eq!(file.divergence, None);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.pcapng");
    std::fs::write(&path, file.bytes).unwrap();
    let attempt = try_capture(&path, &TryOptions::default()).unwrap();
    let [flow] = attempt.flows.as_slice() else {
        panic!("{:?}", attempt.flows);
    };
    assert!(matches!(flow.verdict, FlowVerdict::Pass), "{flow:?}");
    assert_eq!((flow.upstream.bytes, flow.downstream.bytes), (85, 4233));
}

#[test]
fn the_first_divergence_is_named_at_its_frame() {
    let folder = tempfile::tempdir().unwrap();
    let scenario = folder.path().join("wrong.json");
    let lines = [
        r#""+0 < get S 0:0(0) win 65535 <mss 1460>""#,
        r#""+0 > get S. 0:0(0) ack 1 <*>""#,
        r#""+0 < get . 1:1(0) ack 1 win 65535""#,
        r#""+0 < get P. 1:11(10) ack 1 win 65535""#,
        r#""+0 > get . 1:1(0) ack 12""#,
    ];
    let text = format!(
        r#"{{"schema": 1, "title": "a wrong acknowledgement is expected", "flows": {{"get": "tcp 10.0.0.2:40000 > 192.0.2.1:80"}},
        "input": {{"frames": [{}]}}, "dialer": {{"otherwise": "connected"}}, "expect": {{}}}}"#,
        lines.join(", ")
    );
    std::fs::write(&scenario, text).unwrap();
    let outcome = traced(&scenario);
    assert!(!outcome.passed(), "{:?}", outcome.verdict);
    let file = trace::pcapng(&outcome.trace.unwrap(), outcome.failures.first()).unwrap();
    let divergence = file.divergence.expect("a frame");
    let path = folder.path().join("trace.pcapng");
    std::fs::write(&path, file.bytes).unwrap();
    let seen = inspect(&path, Default::default()).unwrap();
    let marked = seen
        .comments
        .iter()
        .find(|(_, comment)| comment.starts_with("FIRST DIVERGENCE error["));
    assert_eq!(
        marked.map(|(number, _)| *number),
        Some(divergence),
        "{:#?}",
        seen.comments
    );
}
