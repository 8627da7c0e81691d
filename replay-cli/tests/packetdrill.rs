//! Scripts in packetdrill's syntax: those of this project pass, and they bite.

use std::path::{Path, PathBuf};

use replay::scenario::discover::discover;
use replay::verdict::outcome::{ScenarioOutcome, Verdict};
use replay::verdict::run::{RunOptions, run_file};
use replay::verdict::vacuity::try_file;

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
fn at_least_eighty_scripts_of_this_project_pass() {
    let found = discover(&[folder()]).expect("the scripts").found;
    assert!(found.len() >= 80, "{}", found.len());
    for file in found {
        for outcome in run_file(&file.path, &RunOptions::default()) {
            let passed = matches!(outcome.verdict, Verdict::Pass);
            assert!(passed, "{}: {:?}", outcome.name, outcome.failures);
            assert!(!outcome.title.is_empty());
            // Those of `constructs` show what a script may say, the others what a stack must do.
            let construct = outcome.name.contains("constructs");
            assert!(construct || !outcome.covers.is_empty());
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
    let late = altered("data/blocking_read.pkt", "+0...0.2", "+0...0.1");
    assert_eq!(kinds(&late)[0], "wrong-stream");
    let early = altered("data/blocking_read.pkt", "+0...0.2", "+0...0.5");
    assert_eq!(kinds(&early)[0], "wrong-time");
}

#[test]
fn a_write_that_is_left_out_is_noticed() {
    let outcome = altered("data/both_ways.pkt", "+0 write(4, ..., 300) = 300\n", "");
    assert_eq!(kinds(&outcome)[0], "missing-packet");
}

#[test]
fn an_application_that_reads_is_no_reset() {
    let read = "+0 read(4, ..., 200) = 100\n+0 close(4) = 0";
    let outcome = altered("close/unread_bytes.pkt", "+0 close(4) = 0", read);
    assert_eq!(kinds(&outcome)[0], "wrong-packet");
}

fn not_applicable(outcome: &ScenarioOutcome) -> String {
    let Verdict::NotApplicable(problems) = &outcome.verdict else {
        panic!("{:?} {:?}", outcome.verdict, outcome.failures);
    };
    problems[0].to_string()
}

#[test]
fn a_script_with_a_construct_of_the_kernel_is_not_applicable() {
    let cookie = "+0 setsockopt(4, IPPROTO_TCP, TCP_FASTOPEN, [1], 4) = 0\n+0 write";
    let what = not_applicable(&altered("data/both_ways.pkt", "+0 write", cookie));
    assert!(what.contains("altered.pkt:14:1: Fast Open"), "{what}");
    let syn = "+0 > S 0:0(0)\n+1 > S 0:0(0)\n";
    let from = "+0 > S 0:0(0) <...>\n";
    let what = not_applicable(&altered("constructs/opened_by_both.pkt", from, syn));
    assert!(what.contains("altered.pkt:5:1: SYN-SENT"), "{what}");
}

#[test]
fn what_depends_on_a_step_that_is_passed_over_is_not_compared() {
    let option = "+0 setsockopt(4, IPPROTO_TCP, TCP_MAXSEG, [500], 4) = 0\n+0 write";
    let outcome = altered(
        "constructs/opened_by_the_application.pkt",
        "+0 write(3",
        &format!("{}(3", option.replace('4', "3")),
    );
    let script = outcome.script.as_ref().expect("it was played");
    assert!(script.compared < script.lines);
    assert!(script.not_compared[0].what.contains("TCP_MAXSEG"));
    // So much of it depends on that that it does not count.
    assert!(not_applicable(&outcome).contains("TCP_MAXSEG"));
}

#[test]
fn a_script_without_a_checked_line_asserts_nothing() {
    let root = tempfile::tempdir().expect("a folder");
    let path = root.path().join("a.pkt");
    let text =
        "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 < R 1:1(0) win 0\n+0 close(3) = 0\n";
    std::fs::write(&path, text).expect("a file");
    let outcome = run_file(&path, &RunOptions::default()).remove(0);
    assert!(not_applicable(&outcome).contains("asserts nothing"));
}

#[test]
fn what_is_no_script_is_invalid_with_its_place_and_what_was_expected() {
    for (from, to, told) in [
        (
            "> . 1:1(0) ack 101",
            "> X. 1:1(0) ack 101",
            "13:10: expected TCP flags",
        ),
        (
            "win 65535\n+0~",
            "win 65536\n+0~",
            "12:30: expected a window field, up to 65535, found `65536`",
        ),
        (
            "1:101(100)",
            "1:102(100)",
            "12:15: expected the 101 bytes from 1 to 102, found `100`",
        ),
        (
            "read(4, ..., 50) = 50",
            "read(4, ..., 50)",
            "17:1: expected `=`, found `+`",
        ),
        (
            "+0 accept",
            "+0.1~+0.2 accept",
            "10:11: expected a packet that is expected",
        ),
        (
            "<mss 1000,",
            "<mss 1000;",
            "7:34: expected `,` or `>`, found `;`",
        ),
        (
            "// Bytes",
            "/* Bytes",
            "1:1: expected `*/`, found a comment that goes on to the end",
        ),
    ] {
        let outcome = altered("data/in_order.pkt", from, to);
        let Verdict::Invalid(problems) = &outcome.verdict else {
            panic!("{to}: {:?}", outcome.verdict);
        };
        let what = problems[0].to_string();
        assert!(
            what.contains(&format!("altered.pkt:{told}")),
            "{to}: {what}"
        );
    }
}

#[test]
fn a_window_may_stand_back_by_less_than_a_segment() {
    let run = |window: u32| {
        let to = format!("win {window}");
        kinds(&altered(
            "window/unread_bytes_close_it.pkt",
            "win 63535",
            &to,
        ))
    };
    assert!(run(63_535 + 1_459).is_empty());
    assert_eq!(run(63_535 + 1_460), ["wrong-packet"]);
    assert_eq!(run(63_534), ["wrong-packet"]);
}

#[test]
fn a_requirement_that_is_not_in_the_catalogue_is_invalid() {
    let outcome = altered("data/in_order.pkt", "TCP-DATA-INORDER", "TCP-DATA-INODER");
    assert!(matches!(outcome.verdict, Verdict::Invalid(_)));
}

#[test]
fn changes_of_what_is_observed_are_noticed_by_scripts() {
    let path = folder().join("data/in_order.pkt");
    let tried = try_file(&path, &RunOptions::default());
    assert!(tried.claims == 1 && tried.changes > 0, "{tried:?}");
    assert!(tried.vacuous.is_empty());
}

#[test]
fn a_write_behind_the_own_end_is_no_write() {
    let refused = "+0 write(4, ..., 1000) = -1 EPIPE (Broken pipe)";
    let outcome = altered(
        "constructs/shut_both_ways.pkt",
        refused,
        "+0 write(4, ..., 1000) = 1000",
    );
    assert_eq!(kinds(&outcome)[0], "wrong-stream");
}

#[test]
fn a_reset_without_ack_is_compared_without_an_acknowledgement_number() {
    let name = "constructs/rst_without_acknowledgement.pkt";
    let outcome = altered(name, "> R 1:1(0) ack 0", "> R 1:1(0) ack 77");
    assert!(kinds(&outcome).is_empty(), "{:?}", outcome.failures);
    let with = altered(name, "> R 1:1(0) ack 0", "> R. 1:1(0) ack 0");
    assert_eq!(kinds(&with), ["wrong-packet"]);
}

#[test]
fn datagrams_are_counted_one_by_one() {
    let name = "constructs/datagrams.pkt";
    let cut = altered(name, "50, 0, ..., ...) = 50", "50, 0, ..., ...) = 100");
    assert_eq!(kinds(&cut), ["wrong-stream"]);
    let longer = altered(name, "> udp (300)", "> udp (301)");
    assert_eq!(kinds(&longer)[0], "wrong-packet");
    let bound = altered(name, "+.1 close(3) = 0\n", "");
    assert_eq!(kinds(&bound), ["missing-packet"]);
}

#[test]
fn what_an_application_sends_before_the_device_is_not_compared() {
    let name = "constructs/datagrams.pkt";
    let first = "+.1 sendto(3, ..., 10, 0, ..., ...) = 10\n+.1 < udp (100)";
    let what = not_applicable(&altered(name, "+.1 < udp (100)", first));
    assert!(what.contains("a device begins every flow"), "{what}");
}

#[test]
fn fragments_are_put_together_before_they_are_compared() {
    let name = "constructs/fragments.pkt";
    let outcome = altered(name, "> udp (4000)", "> udp (3999)");
    assert_eq!(kinds(&outcome)[0], "wrong-packet");
    let short = altered(
        name,
        "read(3, ..., 5000) = 3000",
        "read(3, ..., 5000) = 1232",
    );
    assert_eq!(kinds(&short), ["wrong-stream"]);
}

#[test]
fn ports_say_whose_a_packet_is() {
    let name = "constructs/ports.pkt";
    let outcome = altered(
        name,
        "> 8080 > 5001 P. 1:51(50)",
        "> 8080 > 5000 P. 101:151(50)",
    );
    assert_eq!(kinds(&outcome)[0], "wrong-packet");
}

#[test]
fn an_edge_is_told_once() {
    let name = "constructs/epoll_by_edge.pkt";
    let outcome = altered(name, "EPOLLIN|EPOLLET", "EPOLLIN");
    assert_eq!(kinds(&outcome)[0], "wrong-stream");
    let name = "constructs/epoll_once.pkt";
    let outcome = altered(name, "EPOLLIN|EPOLLONESHOT", "EPOLLIN");
    assert_eq!(kinds(&outcome)[0], "wrong-stream");
}

#[test]
fn options_of_timers_are_settings_of_the_engine() {
    let outcome = altered(
        "constructs/keep_alive.pkt",
        "TCP_KEEPIDLE, [10]",
        "TCP_KEEPIDLE, [20]",
    );
    assert_eq!(kinds(&outcome)[0], "missing-packet");
    let outcome = altered(
        "constructs/keep_alive.pkt",
        "TCP_KEEPCNT, [2]",
        "TCP_KEEPCNT, [3]",
    );
    assert_eq!(kinds(&outcome)[0], "wrong-packet");
    let outcome = altered("constructs/user_timeout.pkt", "[600]", "[900]");
    assert_eq!(kinds(&outcome)[0], "missing-packet");
    // Two connections may not have one setting.
    let other =
        "+0 accept(3, ..., ...) = -1 EAGAIN (none waits)\n+0 setsockopt(4, SOL_TCP, TCP_USER";
    let two = altered(
        "constructs/user_timeout.pkt",
        "+0 setsockopt(4, SOL_TCP, TCP_USER",
        other,
    );
    assert!(not_applicable(&two).contains("TCP_USER_TIMEOUT"));
}

#[test]
fn the_segment_size_of_an_application_is_that_of_the_engine() {
    let outcome = altered("constructs/segment_size.pkt", "[1100]", "[1000]");
    assert_eq!(kinds(&outcome)[0], "wrong-packet");
}
