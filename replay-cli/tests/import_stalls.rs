//! Uploads whose server stops reading: what `try` makes of the far side's backpressure, and what `import` writes of it.

use replay::capture::import::{ImportOptions, import};
use replay::scenario::{Scenario, Side, Step};
use replay::verdict::attempt::{Attempt, FlowVerdict};
use replay::verdict::outcome::ScenarioOutcome;
use replay::verdict::run::{RunOptions, run_file};

mod trace;

use trace::{ACK, FIN_ACK, RST_ACK, Trace, moved, passed};

/// What the server's buffer holds, and what it has read by the time it stops.
const BUFFER: u32 = 20_000;
const READ: u32 = 40_000;

/// An upload in segments of 1,000 bytes to a server that stops reading: its window is zero for three seconds, which the
/// device probes once a second.
fn stalled() -> Trace {
    let mut trace = Trace::open();
    trace.step_us = 200;
    for at in (0..READ + BUFFER).step_by(1000) {
        trace.device(ACK, 1 + at, 1, &[7; 1000]);
        let unread = (at + 1000).saturating_sub(READ);
        acknowledge(&mut trace, at + 1000, BUFFER - unread);
    }
    for _ in 0..3 {
        trace.at_us += 1_000_000 - 400;
        trace.device(ACK, READ + BUFFER, 1, b"");
        acknowledge(&mut trace, READ + BUFFER, 0);
    }
    trace
}

fn acknowledge(trace: &mut Trace, count: u32, window: u32) {
    let before = trace.window;
    trace.window = u16::try_from(window).unwrap();
    trace.server(ACK, 1, 1 + count, b"");
    trace.window = before;
}

fn resumed() -> Trace {
    let mut trace = stalled();
    let all = READ + BUFFER;
    acknowledge(&mut trace, all, BUFFER);
    trace.device(ACK, 1 + all, 1, &[8; 1000]);
    trace.server(ACK, 1, 1001 + all, b"thanks");
    trace.device(FIN_ACK, 1001 + all, 7, b"");
    trace.server(FIN_ACK, 7, 1002 + all, b"");
    trace.device(ACK, 1002 + all, 8, b"");
    trace
}

#[test]
fn an_upload_that_stalls_and_resumes_does_so_in_the_replay() {
    let trace = resumed();
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert_eq!(moved(flow), (61_000, 6));
    assert!(said(&attempt).contains("the far side took no more from 0.02"));
    let stalls = expected_stalls(&trace);
    assert_eq!(stalls, [(Some(Side::Remote), "2.875s".to_owned())]);
}

#[test]
fn a_device_that_gives_up_an_upload_by_a_reset_does_so_in_the_stall() {
    let mut trace = stalled();
    trace.device(RST_ACK, 1 + READ + BUFFER, 1, b"");
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert_eq!(flow.close, Some(("device".to_owned(), "reset".to_owned())));
    // As much as lets the window close where it did.
    assert!(flow.upstream.bytes < u64::from(READ + BUFFER), "{flow:?}");
    assert!(said(&attempt).contains("it ended as one side gave up"));
    assert_eq!(expected_stalls(&trace).len(), 1);
}

#[test]
fn a_device_that_gives_up_an_upload_by_its_fin_does_so_in_the_stall() {
    let mut trace = stalled();
    trace.device(FIN_ACK, 1 + READ + BUFFER, 1, b"");
    acknowledge(&mut trace, READ + BUFFER + 1, 0);
    trace.at_us += 400_000;
    trace.server(RST_ACK, 1, READ + BUFFER + 2, b"");
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert_eq!(flow.close, Some(("remote".to_owned(), "reset".to_owned())));
    assert!(flow.upstream.bytes < u64::from(READ + BUFFER), "{flow:?}");
    assert_eq!(expected_stalls(&trace).len(), 1);
}

#[test]
fn a_capture_that_ends_in_the_stall_is_replayed_to_there() {
    let attempt = stalled().replayed();
    assert_eq!(passed(&attempt, 0).close, None);
    assert!(said(&attempt).contains("to the end of the capture"));
}

#[test]
fn a_server_that_stops_twice_stalls_the_device_twice() {
    let mut trace = stalled();
    let mut sent = READ + BUFFER;
    acknowledge(&mut trace, sent, BUFFER);
    for at in (0..BUFFER).step_by(1000) {
        trace.device(ACK, 1 + sent + at, 1, &[8; 1000]);
        acknowledge(&mut trace, sent + at + 1000, BUFFER - at - 1000);
    }
    sent += BUFFER;
    trace.at_us += 800_000;
    acknowledge(&mut trace, sent, BUFFER);
    trace.device(FIN_ACK, 1 + sent, 1, b"");
    trace.server(FIN_ACK, 1, 2 + sent, b"");
    trace.device(ACK, 2 + sent, 2, b"");
    passed(&trace.replayed(), 0);
    assert_eq!(expected_stalls(&trace).len(), 2);
}

#[test]
fn an_answer_within_the_stall_comes_within_it() {
    let mut trace = stalled();
    trace.server(ACK, 1, 1 + READ + BUFFER, b"wait");
    trace.device(ACK, 1 + READ + BUFFER, 5, b"");
    trace.at_us += 700_000;
    trace.device(RST_ACK, 1 + READ + BUFFER, 5, b"");
    assert_eq!(passed(&trace.replayed(), 0).downstream.bytes, 4);
}

#[test]
fn the_scenario_of_a_stall_fails_without_the_backpressure() {
    for trace in [stalled(), resumed()] {
        assert!(ran(&trace, |_| ()).passed());
        let outcome = ran(&trace, |scenario| {
            for rule in &mut scenario.dialer.rules {
                rule.then.retain(|step| {
                    !matches!(step, Step::Take(_) | Step::Block(_) | Step::Unblock(_))
                });
            }
        });
        let missing =
            |failure: &replay::scenario::failure::Failure| failure.kind.label() == "missing-stall";
        assert!(
            outcome.failures.iter().any(missing),
            "{:#?}",
            outcome.failures
        );
    }
}

#[test]
fn a_device_that_stops_reading_does_so_in_the_replay() {
    let mut trace = Trace::open();
    trace.server(ACK, 1, 1, &[7; 1000]);
    let open = std::mem::take(&mut trace.window);
    trace.device(ACK, 1, 1001, b"");
    trace.at_us += 2_000_000;
    trace.window = open;
    trace.device(ACK, 1, 1001, b"");
    trace.server(ACK, 1001, 1, &[7; 1000]);
    trace.device(ACK, 1, 2001, b"");
    assert_eq!(moved(passed(&trace.replayed(), 0)), (0, 2000));
    let stalls = expected_stalls(&trace);
    assert_eq!(stalls, [(Some(Side::Device), "1.876s".to_owned())]);
}

#[test]
fn a_window_that_never_closes_for_long_changes_nothing() {
    let mut trace = Trace::open();
    for at in (0..50_000).step_by(1000) {
        trace.device(ACK, 1 + at, 1, &[7; 1000]);
        acknowledge(
            &mut trace,
            at + 1000,
            if at % 10_000 == 0 { 0 } else { 9000 },
        );
    }
    passed(&trace.replayed(), 0);
    let scenario = scenario(&trace);
    assert_eq!(
        (scenario.engine.get("rx_buffer"), scenario.expect.stalls),
        (None, None)
    );
    let held = |step: &Step| matches!(step, Step::Take(_) | Step::Block(_) | Step::Unblock(_));
    assert!(!scenario.dialer.rules[0].then.iter().any(held));
}

#[test]
fn a_stall_before_two_segments_is_said_and_not_replayed() {
    let mut trace = Trace::open();
    trace.device(ACK, 1, 1, &[7; 1000]);
    acknowledge(&mut trace, 1000, 0);
    trace.at_us += 2_000_000;
    acknowledge(&mut trace, 1000, 9000);
    trace.device(ACK, 1001, 1, &[7; 1000]);
    acknowledge(&mut trace, 2000, 9000);
    let attempt = trace.replayed();
    assert_eq!(moved(passed(&attempt, 0)), (2000, 0));
    assert!(said(&attempt).contains("1 stall(s) of far sides not replayed"));
}

fn said(attempt: &Attempt) -> String {
    let of_flows = attempt.flows.iter().flat_map(|flow| &flow.notes);
    let notes: Vec<&str> = attempt
        .notes
        .iter()
        .chain(of_flows)
        .map(String::as_str)
        .collect();
    assert!(
        attempt
            .flows
            .iter()
            .all(|flow| flow.verdict == FlowVerdict::Pass)
    );
    notes.join("\n")
}

fn scenario(trace: &Trace) -> Scenario {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("a.pcap");
    std::fs::write(&capture, trace.file()).unwrap();
    let (imported, _) = import(&capture, "./a.pcap", &ImportOptions::default()).unwrap();
    imported.scenario
}

/// By whom each stall is that the imported scenario expects, and for how long at the least.
fn expected_stalls(trace: &Trace) -> Vec<(Option<Side>, String)> {
    let stalls = scenario(trace).expect.stalls.unwrap_or_default().items;
    let least = |stall: &replay::scenario::StallExpectation| match stall.lasts {
        Some(replay::scenario::Expected::Range { min: Some(min), .. }) => min.to_string(),
        other => format!("{other:?}"),
    };
    stalls
        .iter()
        .map(|stall| (stall.by, least(stall)))
        .collect()
}

/// Runs the imported scenario with a change.
fn ran(trace: &Trace, change: impl Fn(&mut Scenario)) -> ScenarioOutcome {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.pcap"), trace.file()).unwrap();
    let mut scenario = scenario(trace);
    change(&mut scenario);
    let path = folder.path().join("a.json");
    std::fs::write(&path, scenario.to_canonical_string()).unwrap();
    run_file(&path, &RunOptions::default()).remove(0)
}
