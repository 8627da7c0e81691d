//! Scripts in packetdrill's syntax: those of this project pass, and they bite.

use std::path::{Path, PathBuf};

use replay::scenario::discover::discover;
use replay::verdict::outcome::{ScenarioOutcome, Verdict};
use replay::verdict::run::{RunOptions, run_file};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../expectations/pkt")
}

/// Runs an altered copy of a script.
fn altered(name: &str, from: &str, to: &str) -> ScenarioOutcome {
    let text = std::fs::read_to_string(folder().join(name)).expect("a script");
    assert!(text.contains(from), "{text}");
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("altered.pkt");
    std::fs::write(&path, text.replacen(from, to, 1)).expect("a file");
    run_file(&path, &RunOptions::default()).remove(0)
}

fn kinds(outcome: &ScenarioOutcome) -> Vec<&'static str> {
    let kinds = outcome.failures.iter().map(|failure| failure.kind.label());
    kinds.collect()
}

#[test]
fn at_least_forty_scripts_of_this_project_pass() {
    let found = discover(&[folder()]).expect("the scripts").found;
    assert!(found.len() >= 40, "{}", found.len());
    for file in found {
        for outcome in run_file(&file.path, &RunOptions::default()) {
            let passed = matches!(outcome.verdict, Verdict::Pass);
            assert!(passed, "{}: {:?}", outcome.name, outcome.failures);
            assert!(!outcome.title.is_empty() && !outcome.covers.is_empty());
        }
    }
}

#[test]
fn a_wrong_number_fails_with_the_line_of_the_script() {
    let outcome = altered("data/in_order.pkt", "ack 101", "ack 100");
    assert_eq!(kinds(&outcome), ["wrong-packet"]);
    let place = outcome.failures[0].place.as_ref().expect("a place");
    assert_eq!(place.position.map(|at| at.line), Some(13));
}

#[test]
fn an_acknowledgement_that_is_not_written_is_noticed() {
    let line = "+0~+.2 > . 1:1(0) ack 101\n";
    assert_eq!(
        kinds(&altered("data/in_order.pkt", line, ""))[0],
        "wrong-packet"
    );
}

#[test]
fn a_packet_at_another_time_fails() {
    let outcome = altered("retransmit/timer.pkt", "+.3 > P.", "+.1 > P.");
    assert_eq!(kinds(&outcome)[0], "missing-packet");
}

#[test]
fn what_a_read_comes_to_is_compared() {
    let outcome = altered(
        "data/in_order.pkt",
        "read(4, ..., 50) = 50",
        "read(4, ..., 50) = 49",
    );
    assert_eq!(kinds(&outcome), ["wrong-stream"]);
    let eof = altered(
        "close/device_first.pkt",
        "read(4, ..., 100) = 0",
        "read(4, ..., 100) = 1",
    );
    assert_eq!(kinds(&eof), ["wrong-stream"]);
    let late = altered("data/blocking_read.pkt", "+0...0.5", "+0...0.1");
    assert_eq!(kinds(&late)[0], "wrong-stream");
}

#[test]
fn a_write_that_is_left_out_is_noticed() {
    let outcome = altered("data/both_ways.pkt", "+0 write(4, ..., 300) = 300\n", "");
    assert_eq!(kinds(&outcome)[0], "missing-packet");
}

#[test]
fn an_application_that_reads_is_no_reset() {
    let read = "+0 read(4, ..., 200) = 100\n+0 close(4) = 0";
    let outcome = altered("close/unread_octets.pkt", "+0 close(4) = 0", read);
    assert_eq!(kinds(&outcome)[0], "wrong-packet");
}

#[test]
fn a_script_with_a_construct_of_the_kernel_is_not_applicable() {
    let cork = "+0 setsockopt(4, IPPROTO_TCP, TCP_CORK, [1], 4) = 0\n+0 write";
    let outcome = altered("data/both_ways.pkt", "+0 write", cork);
    let Verdict::NotApplicable(problems) = &outcome.verdict else {
        panic!("{:?}", outcome.verdict);
    };
    let what = problems[0].to_string();
    assert!(
        what.contains("altered.pkt:14:4: setsockopt: socket option TCP_CORK"),
        "{what}"
    );
}

#[test]
fn a_requirement_that_is_not_in_the_catalogue_is_invalid() {
    let outcome = altered("data/in_order.pkt", "TCP-DATA-INORDER", "TCP-DATA-INODER");
    assert!(matches!(outcome.verdict, Verdict::Invalid(_)));
}
