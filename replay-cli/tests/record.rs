//! What is recorded of a run: all that the scenario claims, no more, and never what must not be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use engine::seeded_fault;
use replay::golden::record::{Recorded, record_file};
use replay::scenario::discover::{FoundKind, discover};
use replay::scenario::failure::FailureKind;
use replay::scenario::{ExpectationKind, Expectations, Scenario, load};
use replay::verdict::run::{RunOptions, run_file};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn options() -> RunOptions {
    RunOptions {
        captures: Some(repository().join("captures")),
        ..RunOptions::default()
    }
}

fn golden(name: &str) -> Scenario {
    let path = repository().join("expectations").join(name);
    load::load(&path.with_extension("json"))
        .expect("a sound scenario")
        .scenario
}

fn record(scenario: &Scenario, only: &[ExpectationKind]) -> (tempfile::TempDir, PathBuf, Recorded) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.json");
    std::fs::write(&path, scenario.to_canonical_string()).expect("a file");
    let only: BTreeSet<ExpectationKind> = only.iter().copied().collect();
    let recorded = record_file(&path, (!only.is_empty()).then_some(&only), &options());
    (folder, path, recorded)
}

/// The scenario that a run makes of another, by way of its draft.
fn drafted(scenario: &Scenario, only: &[ExpectationKind]) -> Scenario {
    let (_folder, path, recorded) = record(scenario, only);
    let Recorded::Drafted { draft, unmet } = recorded else {
        panic!("{recorded:?}");
    };
    assert!(unmet.is_empty(), "{unmet:?}");
    draft.write().expect("a draft");
    draft.take().expect("a golden");
    assert!(
        run_file(&path, &options())
            .iter()
            .all(|outcome| outcome.passed())
    );
    load::load(&path).expect("a sound scenario").scenario
}

#[test]
fn every_scenario_of_the_project_is_recorded_as_it_is() {
    let found = discover(&[repository().join("expectations")]).expect("the folder");
    let scenarios = found
        .found
        .iter()
        .filter(|found| found.kind == FoundKind::Scenario);
    for found in scenarios {
        let text = std::fs::read_to_string(&found.path).expect("a scenario");
        // What asks for the heap needs the binary's allocator.
        if text.contains("\"memory\"") {
            continue;
        }
        let recorded = record_file(&found.path, None, &options());
        assert!(
            matches!(recorded, Recorded::Unchanged | Recorded::Skipped(_)),
            "{}: {recorded:?}",
            found.name
        );
    }
}

#[test]
fn all_kinds_that_are_named_are_recorded_as_they_are_where_they_hold() {
    for name in [
        "http/name_then_get",
        "tcp/remote_half_closes",
        "engine/data/bytes_go_both_ways",
    ] {
        let scenario = golden(name);
        let (.., recorded) = record(
            &scenario,
            &[ExpectationKind::Streams, ExpectationKind::Counters],
        );
        match recorded {
            Recorded::Unchanged => {}
            Recorded::Drafted { draft, .. } => {
                assert!(scenario.expect.counters.is_empty(), "{name}: {draft:?}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn a_scenario_without_expectations_gets_what_import_would_give_it() {
    for name in [
        "http/get",
        "tcp/device_half_closes",
        "tcp/remote_resets_midstream",
    ] {
        let scenario = golden(name);
        let bare = Scenario {
            expect: Expectations::default(),
            ..scenario.clone()
        };
        let mut wanted = scenario;
        wanted.expect.dns = None;
        assert_eq!(drafted(&bare, &[]), wanted, "{name}");
    }
}

#[test]
fn packets_that_are_asked_for_are_lines_that_pass() {
    let scenario = drafted(&golden("http/get"), &[ExpectationKind::Packets]);
    let first = scenario.expect.packets.first().map(String::as_str);
    assert!(
        first.is_some_and(|line| line.contains(" > tcp1 S. 0:0(0) ack 1 <mss ")),
        "{first:?}"
    );
    assert!(
        scenario
            .expect
            .packets
            .iter()
            .all(|line| !line.contains(" win "))
    );
}

#[test]
fn lines_that_match_stay_as_they_are_written() {
    let mut scenario = drafted(&golden("http/get"), &[ExpectationKind::Packets]);
    let lines = scenario.expect.packets.clone();
    assert!(lines.len() > 3, "{lines:?}");
    // One is written in another way, one is wrong, one is missing.
    scenario.expect.packets[0] = "~ > tcp1 S.".to_owned();
    scenario.expect.packets[1] = "~ > tcp1 P. 7:8(1) ack 1".to_owned();
    scenario.expect.packets.pop();
    let renewed = drafted(&scenario, &[]).expect.packets;
    assert_eq!(renewed.len(), lines.len());
    assert_eq!(renewed[0], "~ > tcp1 S.");
    // A new line says when as the first does, and no more than the others do.
    let (_, what) = lines[1].split_once(' ').expect("a line");
    assert_eq!(renewed[1], ["~ ", what].concat());
    assert_eq!(renewed[2..lines.len() - 1], lines[2..lines.len() - 1]);
}

#[test]
fn an_invariant_that_is_broken_yields_no_draft() {
    let mut scenario = golden("tcp/device_half_closes");
    scenario.expect.dials = None;
    seeded_fault::arm(true);
    let (.., recorded) = record(&scenario, &[]);
    seeded_fault::arm(false);
    let Recorded::Refused(why, broken) = recorded else {
        panic!("{recorded:?}");
    };
    assert_eq!(why, "what must always hold is broken");
    assert!(
        broken
            .iter()
            .all(|failure| failure.kind == FailureKind::Invariant),
        "{broken:?}"
    );
}

#[test]
fn twins_that_differ_yield_no_draft() {
    let mut scenario = golden("engine/data/bytes_go_both_ways");
    scenario.input.frames.truncate(1);
    scenario.dialer.rules[0].then.clear();
    scenario.expect = Expectations::default();
    scenario.input.families = vec![4];
    let lines = drafted(&scenario, &[ExpectationKind::Packets])
        .expect
        .packets;
    assert!(
        lines.iter().any(|line| line.contains("mss 1460")),
        "{lines:?}"
    );
    // Headers of IPv6 are longer: its SYN-ACK has another segment size.
    scenario.input.families = vec![4, 6];
    let (.., recorded) = record(&scenario, &[ExpectationKind::Packets]);
    let Recorded::Refused(why, _) = recorded else {
        panic!("{recorded:?}");
    };
    assert!(why.contains("its families differ"), "{why}");
    assert!(
        drafted(&scenario, &[ExpectationKind::Dials])
            .expect
            .packets
            .is_empty()
    );
}
