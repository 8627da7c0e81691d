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

/// A scenario that expects a wrong acknowledgement.
fn wrong_scenario(folder: &Path) -> PathBuf {
    let scenario = folder.join("wrong.json");
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
    scenario
}

#[test]
fn the_first_divergence_is_named_at_its_frame() {
    let folder = tempfile::tempdir().unwrap();
    let outcome = traced(&wrong_scenario(folder.path()));
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

/// The comments of a trace.
fn comments(outcome: &ScenarioOutcome) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.pcapng");
    let file = trace::pcapng(outcome.trace.as_ref().unwrap(), outcome.failures.first()).unwrap();
    std::fs::write(&path, file.bytes).unwrap();
    let comments = inspect(&path, replay::scenario::Decap::default())
        .unwrap()
        .comments;
    comments.into_iter().map(|(_, comment)| comment).collect()
}

#[test]
fn a_frame_of_the_device_says_which_line_it_comes_from() {
    let folder = tempfile::tempdir().unwrap();
    let comments = comments(&traced(&wrong_scenario(folder.path())));
    let from: Vec<_> = comments
        .iter()
        .filter(|comment| comment.contains(" < get "))
        .filter_map(|comment| comment.split_once("\nline "))
        .collect();
    assert_eq!(from.len(), 3, "{comments:#?}");
    assert!(from[0].0.contains("< get S 0:0(0)"), "{from:?}");
    // Its frames stand on the second line of the file.
    assert!(
        from.iter()
            .all(|(_, place)| place.contains("wrong.json:2:")),
        "{from:?}"
    );
}

#[test]
fn a_frame_for_the_device_says_what_was_expected_of_it_and_where() {
    let folder = tempfile::tempdir().unwrap();
    let path = wrong_scenario(folder.path());
    let all = comments(&traced(&path));
    let met = all
        .iter()
        .find(|comment| comment.contains("> get S. "))
        .expect("an answer");
    assert!(
        met.contains("\nas expected: +0 > get S. 0:0(0) ack 1 <*>\nline ")
            && met.contains("wrong.json:2:"),
        "{met}"
    );
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("ack 1 <*>", "ack 2 <*>")).unwrap();
    let all = comments(&traced(&path));
    let unmet = all
        .iter()
        .find(|comment| comment.starts_with("FIRST DIVERGENCE"))
        .expect("a divergence");
    let line = "\nnot as expected: +0 > get S. 0:0(0) ack 2 <*>\nline ";
    assert!(unmet.contains(line), "{unmet}");
}

#[test]
fn a_frame_says_which_line_of_packets_it_was_held_against() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("list.json");
    let text = r#"{"schema": 1, "title": "two lists", "flows": {"get": "tcp 10.0.0.2:40000 > 192.0.2.1:80"},
        "input": {"frames": ["+0 < get S 0:0(0) win 65535 <mss 1460>"]}, "dialer": {"otherwise": "connected"},
        "expect": {"packets": ["+0 > get S. 0:0(0) ack 1 <*>"]}}"#;
    std::fs::write(&path, text).unwrap();
    let comments = comments(&traced(&path));
    let answer = comments.iter().find(|comment| comment.contains("> get S."));
    let line = "\nas expected: +0 > get S. 0:0(0) ack 1 <*>\nline ";
    assert!(
        answer.is_some_and(|answer| answer.contains(line) && answer.contains("list.json:3:")),
        "{comments:#?}"
    );
}

const SCRIPT: &str = "// answered\n0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 listen(3, 1) = 0\n\
    +0 < S 0:0(0) win 65535 <mss 1000>\n+0 > S. 0:0(0) ack 1 <...>\n+.1 < . 1:1(0) ack 1 win 65535\n\
    +0 accept(3, ..., ...) = 4\n+.1 < P. 1:11(10) ack 1 win 65535\n+0~+.2 > . 1:1(0) ack 12\n";

#[test]
fn the_trace_of_a_script_has_its_dial_its_lines_and_its_divergence() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wrong.pkt");
    std::fs::write(&path, SCRIPT).unwrap();
    let options = RunOptions {
        trace: Tracing::OnFailure,
        ..RunOptions::default()
    };
    let outcome = run_file(&path, &options).remove(0);
    assert!(!outcome.passed(), "{:?}", outcome.verdict);
    let place = trace::write(folder.path(), &outcome).unwrap();
    assert!(place.expect("a trace").frame.is_some());
    let comments = comments(&outcome);
    let starting = |start: &str| comments.iter().find(|comment| comment.contains(start));
    assert!(starting("dial of ").is_some(), "{comments:#?}");
    let syn = starting(" S 0:0(0)").expect("a SYN");
    assert!(syn.ends_with("wrong.pkt:4:1"), "{syn}");
    let answer = starting(" S. 0:0(0)").expect("an answer");
    assert!(
        answer.contains("\nas expected: +0 > S. 0:0(0) ack 1 <...>\nline "),
        "{answer}"
    );
    let unmet = starting("FIRST DIVERGENCE").expect("a divergence");
    assert!(
        unmet.contains("expected +0~+.2 > . 1:1(0) ack 12\n") && unmet.contains("ack 11"),
        "{unmet}"
    );
    let passed = path.with_file_name("right.pkt");
    std::fs::write(&passed, SCRIPT.replace("ack 12", "ack 11")).unwrap();
    let outcome = run_file(&passed, &options).remove(0);
    assert!(outcome.passed() && outcome.trace.is_none(), "{outcome:?}");
}

#[test]
fn a_frame_of_a_capture_says_which_packet_it_comes_from() {
    let outcome = traced(&root().join("expectations/http/get.json"));
    let comments = comments(&outcome);
    let first = comments
        .iter()
        .find(|comment| comment.contains("< tcp1 S "));
    assert!(
        first.is_some_and(|first| first.ends_with("packet 1 of the capture")),
        "{first:?}"
    );
    let sent = comments
        .iter()
        .filter(|comment| comment.contains("< tcp1"))
        .count();
    let said = comments
        .iter()
        .filter(|comment| comment.contains(" of the capture"))
        .count();
    assert_eq!(sent, said, "{comments:#?}");
}

#[cfg(unix)]
#[test]
fn a_trace_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let outcome = traced(&root().join("expectations/http/get.json"));
    let folder = tempfile::tempdir().unwrap();
    let place = trace::write(folder.path(), &outcome)
        .unwrap()
        .expect("a trace");
    let mode = std::fs::metadata(&place.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// tshark, or a line that says that it is not there.
fn tshark() -> Option<std::process::Command> {
    let there = std::process::Command::new("tshark")
        .arg("--version")
        .output();
    if there.is_err() {
        eprintln!("SKIPPED: tshark is not installed");
        return None;
    }
    Some(std::process::Command::new("tshark"))
}

#[test]
fn tshark_reads_every_trace_without_a_warning() {
    if tshark().is_none() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wrong = wrong_scenario(folder.path());
    let mut scenarios = Vec::new();
    for below in ["http", "tcp", "udp", "dns"] {
        let entries = std::fs::read_dir(root().join("expectations").join(below)).unwrap();
        scenarios.extend(entries.map(|entry| entry.unwrap().path()));
    }
    scenarios.retain(|path| path.extension().is_some_and(|ext| ext == "json"));
    assert!(scenarios.len() > 30);
    scenarios.sort_unstable();
    // A start of tshark takes as long as all the rest: a sample, with the one that fails.
    let sample = scenarios.into_iter().step_by(6).chain([wrong]);
    for scenario in sample {
        let outcome = traced(&scenario);
        let place = trace::write(folder.path(), &outcome)
            .unwrap()
            .expect("a trace");
        let events = outcome.trace.unwrap().events.len();
        let mut tshark = tshark().unwrap();
        tshark.arg("-r").arg(&place.path);
        // Checksums are those that were emitted, and are looked at.
        for protocol in ["ip", "tcp", "udp"] {
            tshark.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
        }
        tshark.args([
            "-T",
            "fields",
            "-e",
            "frame.interface_name",
            "-e",
            "_ws.malformed",
        ]);
        tshark.args(["-e", "ip.checksum.status", "-e", "tcp.checksum.status"]);
        let ran = tshark.output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        let said: Vec<_> = said
            .lines()
            .filter(|line| !line.starts_with("Running as user"))
            .collect();
        assert!(
            ran.status.success() && said.is_empty(),
            "{}: {said:?}",
            scenario.display()
        );
        let out = String::from_utf8_lossy(&ran.stdout);
        let engine = out.lines().filter(|line| line.starts_with("to the device"));
        for line in engine {
            let fields: Vec<_> = line.split('\t').collect();
            assert_eq!(fields[1], "", "{}: {line}", scenario.display());
            // 0 is bad.
            assert!(
                !fields[2..]
                    .iter()
                    .any(|status| status.split(',').any(|one| one == "0")),
                "{}: {line}",
                scenario.display()
            );
        }
        assert!(out.lines().count() >= events, "{}", scenario.display());
    }
}
