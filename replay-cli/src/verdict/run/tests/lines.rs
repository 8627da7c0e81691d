//! Lines of a timeline that leave to a stack what is its own matter.

use crate::scenario::failure::FailureKind;
use crate::verdict::outcome::ScenarioOutcome;
use crate::verdict::run::{RunOptions, run_file};

/// Plays lines behind a handshake; the far side does `then`.
fn play(lines: &str, then: &str, expect: &str) -> ScenarioOutcome {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.json");
    let text = format!(
        r#"{{ "schema": 1, "title": "t", "flows": {{ "get": "tcp 10.0.0.2:40000 > 192.0.2.1:80" }},
            "dialer": {{ "rules": [{{ "then": [{then}] }}] }},
            "input": {{ "frames": ["0 < get S 0:0(0) win 65535 <mss 1000>", "+0 > get S. 0:0(0) ack 1 <*>",
                "+.01 < get . 1:1(0) ack 1", {lines}] }},
            "expect": {{ {expect} }} }}"#
    );
    std::fs::write(&path, text).unwrap();
    run_file(&path, &RunOptions::default()).remove(0)
}

fn passes(lines: &str, then: &str, expect: &str) {
    let outcome = play(lines, then, expect);
    assert!(outcome.passed(), "{lines}: {:?}", outcome.failures);
}

fn fails(lines: &str, then: &str, kind: FailureKind) {
    let outcome = play(lines, then, "");
    let first = outcome.failures.first().map(|first| first.kind);
    assert_eq!(first, Some(kind), "{lines}: {:?}", outcome.failures);
}

const SEND: &str = r#"{ "send": { "pattern": { "bytes": 2500, "seed": 0 } } }"#;

#[test]
fn segments_of_any_size_make_up_a_range() {
    passes(
        r#""~ > get P. 1:2501(+) ack 1", "+.01 < get . 1:1(0) ack 2501""#,
        SEND,
        "",
    );
    // Neither less nor more than the range, nor at another time, nor other bytes.
    let wrong = FailureKind::WrongPacket;
    fails(r#""~ > get P. 1:2401(+) ack 1""#, SEND, wrong);
    fails(r#""~ > get P. 2:2501(+) ack 1""#, SEND, wrong);
    fails(r#""~ > get P. 1:2501(+) ack 1 pattern:9""#, SEND, wrong);
    fails(
        r#""0~0.02 > get P. 1:2502(+) ack 1""#,
        SEND,
        FailureKind::MissingPacket,
    );
    fails(
        r#""0.5~1 > get P. 1:2501(+) ack 1""#,
        SEND,
        FailureKind::WrongTime,
    );
}

#[test]
fn the_end_of_a_range_that_is_not_said_is_what_came() {
    passes(
        r#""0~0.015 > get . 1:$end(+) ack 1", "0.015 < get . 1:1(0) ack $end""#,
        SEND,
        r#""streams": { "get": { "downstream": { "bytes": 2500 } } }"#,
    );
    let nothing = r#"{ "wait": "1s" }"#;
    fails(
        r#""0~0.1 > get . 1:*(+) ack 1""#,
        nothing,
        FailureKind::MissingPacket,
    );
}

#[test]
fn a_device_that_acknowledges_draws_more_than_the_first_flight() {
    let send = r#"{ "send": { "pattern": { "bytes": 14000, "seed": 0 } } }"#;
    let end = r#""+.01 < get . 1:1(0) ack 14001""#;
    passes(
        &format!(r#""0~.1 > get P. 1:14001(acked) ack 1", {end}"#),
        send,
        "",
    );
    let alone = format!(r#""0~.1 > get P. 1:14001(+) ack 1", {end}"#);
    fails(&alone, send, FailureKind::MissingPacket);
    // It does not offer more than it did.
    let closed = r#"".01 < get . 1:1(0) ack 1 win 3000", "0~.1 > get . 1:3001(acked) ack 1",
        "+.001 < get . 1:1(0) ack 3001 win 0", "silence until .2""#;
    let late = r#"{ "wait": "50ms" }, { "send": { "pattern": { "bytes": 14000, "seed": 0 } } }"#;
    let probes = r#""~ >* get . 3001:*(*) ack 1", "~ >* get R. *:*(0) ack 1""#;
    passes(&format!("{closed}, {probes}"), late, "");
}

#[test]
fn the_window_that_is_offered_can_be_filled_and_overrun() {
    let filled = r#""+0 < get . 1:$edge(+) ack 1", "~ > get . 1:1(0) ack $edge win 0",
        "+.01 < get . $edge:$edge+100(100) ack 1", "+0 > get . 1:1(0) ack $next win 0""#;
    passes(filled, r#"{ "block": true }"#, "");
    // What lies beyond the window is no part of the stream: the next byte is the one at its edge.
    let next =
        format!(r#"{filled}, "~ > get . 1:1(0) ack $next", "+.01 < get F. $next:$next(0) ack 1""#);
    let then = r#"{ "block": true }, { "wait": "1s" }, { "unblock": true }, { "read_eof": true }, { "shutdown": true }"#;
    let ending = r#""closes": [{ "flow": "get", "by": "device", "how": "fin" }]"#;
    passes(
        &format!(r#"{next}, "~ > get F. 1:1(0) ack $next", "+.01 < get . $next:$next(0) ack 2""#),
        then,
        ending,
    );
}

#[test]
fn what_a_line_allows_is_passed_over_and_nothing_else() {
    let send = r#"{ "send": { "pattern": { "bytes": 100, "seed": 0 } } }"#;
    let out = r#""~ > get P. 1:101(100) ack 1""#;
    let end = r#""9 < get . 1:1(0) ack 101""#;
    passes(
        &format!(r#"{out}, "~ >* get P. 1:101(100) ack 1", "silence until 9", {end}"#),
        send,
        "",
    );
    passes(
        &format!(r#"{out}, "~ >* get P. 1:101(100) ack 1", {end}"#),
        send,
        "",
    );
    fails(
        &format!(r#"{out}, "~ >* get P. 1:101(100) ack 2", {end}"#),
        send,
        FailureKind::UnexpectedPacket,
    );
    fails(
        &format!(r#"{out}, "silence until 9", {end}"#),
        send,
        FailureKind::BrokenSilence,
    );
}
