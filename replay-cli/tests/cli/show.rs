//! What happened in a run, in the terminal and as a page.

use crate::cli::output::get_capture;
use crate::cli::steering::{RIGHT, WRONG};
use crate::{folder, replay_in};

#[test]
fn a_scenario_is_shown_as_a_ladder_within_the_width_of_the_terminal() {
    let root = folder(&[("expectations/wrong.json", WRONG)]);
    let ran = replay_in(root.path(), ["show", "wrong", "--ladder"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(
        ran.out.contains("|-- S 0:0(0) win 65535 <mss 1460>"),
        "{}",
        ran.out
    );
    assert!(
        ran.out
            .contains("^ first divergence: error[missing-packet]"),
        "{}",
        ran.out
    );
    let rungs = ran.out.lines().filter(|line| line.contains('|'));
    assert!(
        rungs.clone().all(|line| line.chars().count() <= 80),
        "{}",
        ran.out
    );
}

#[test]
fn one_flow_of_a_capture_is_shown_by_its_number() {
    let root = folder(&[("a.pcapng", &get_capture())]);
    let ran = replay_in(root.path(), ["show", "a.pcapng", "--flow", "1"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.contains(" < tcp ") && ran.out.contains(" > tcp "),
        "{}",
        ran.out
    );
    let ran = replay_in(root.path(), ["show", "a.pcapng", "--flow", "2"]);
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("there is no flow `2`"), "{}", ran.err);
}

#[test]
fn what_lies_around_the_divergence_is_shown() {
    let root = folder(&[("wrong.json", WRONG), ("right.json", RIGHT)]);
    let ran = replay_in(
        root.path(),
        ["show", "wrong.json", "--around", "divergence"],
    );
    assert!(
        ran.out.contains("expected  +0 > get . 1:1(0) ack 12"),
        "{}",
        ran.out
    );
    let ran = replay_in(
        root.path(),
        ["show", "right.json", "--around", "divergence"],
    );
    assert_eq!(ran.code, 3);
    assert!(ran.err.contains("has no divergence"), "{}", ran.err);
}

#[test]
fn two_runs_are_compared_flow_by_flow() {
    let root = folder(&[("wrong.json", WRONG), ("right.json", RIGHT)]);
    let ran = replay_in(
        root.path(),
        ["show", "right.json", "--against", "wrong.json"],
    );
    // They send the same, and expect something else.
    assert_eq!(ran.code, 0, "{}", ran.out);
    assert!(ran.out.contains("get: the same"), "{}", ran.out);
    let other = String::from_utf8_lossy(RIGHT).replace("1:11(10)", "1:21(20)");
    std::fs::write(root.path().join("other.json"), other).unwrap();
    let ran = replay_in(
        root.path(),
        ["show", "right.json", "--against", "other.json"],
    );
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(ran.out.contains("get: differs from event"), "{}", ran.out);
}

#[test]
fn a_page_of_a_run_has_its_failure_and_its_ladder() {
    let root = folder(&[("wrong.json", WRONG), ("right.json", RIGHT)]);
    let ran = replay_in(root.path(), ["run", ".", "--html", "report"]);
    assert_eq!(ran.code, 1, "{}", ran.err);
    let page = std::fs::read_to_string(root.path().join("report/index.html")).unwrap();
    assert!(page.contains("nothing came that matches"));
    // Of the run that passed no events were kept.
    assert_eq!(page.matches("\"rungs\":").count(), 1);
    let ran = replay_in(root.path(), ["conformance", ".", "--html", "matrix"]);
    assert!(
        root.path().join("matrix/index.html").is_file(),
        "{}",
        ran.err
    );
}

#[test]
fn a_page_of_a_capture_has_its_flows() {
    let root = folder(&[("a.pcapng", &get_capture())]);
    let ran = replay_in(root.path(), ["try", "a.pcapng", "--html", "report"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let page = std::fs::read_to_string(root.path().join("report/index.html")).unwrap();
    assert!(page.contains("\"kind\":\"try\"") && page.contains("id=\"ladder\""));
    assert!(
        !root.path().join(".replay").exists(),
        "a trace was not asked for"
    );
}

#[test]
fn a_capture_is_traced_when_it_is_asked_for() {
    let root = folder(&[("a.pcapng", &get_capture())]);
    let ran = replay_in(root.path(), ["try", "a.pcapng", "--trace", "always"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.err.contains("trace: .replay/a.trace.pcapng"),
        "{}",
        ran.err
    );
    let again = replay_in(root.path(), ["try", ".replay/a.trace.pcapng"]);
    assert_eq!(again.code, 0, "{}", again.out);
}

#[test]
fn shells_and_man_have_what_they_read() {
    let root = folder(&[]);
    for (shell, has) in [
        ("bash", "_replay()"),
        ("zsh", "#compdef replay"),
        ("fish", "complete -c replay"),
    ] {
        let ran = replay_in(root.path(), ["completions", shell]);
        assert!(
            ran.code == 0 && ran.out.contains(has),
            "{shell}: {}",
            ran.err
        );
    }
    let ran = replay_in(root.path(), ["man", "run"]);
    assert!(ran.code == 0 && ran.out.contains(".TH"), "{}", ran.err);
    let ran = replay_in(root.path(), ["man", "shwo"]);
    assert!(
        ran.code == 2 && ran.err.contains("did you mean `show`?"),
        "{}",
        ran.err
    );
}
