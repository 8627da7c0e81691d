//! The project's own scenarios: they pass, they are stored canonically, and they bite.

use std::path::{Path, PathBuf};

use replay::scenario::discover::{FoundKind, discover};
use replay::scenario::{Scenario, load};
use replay::stack::Via;
use replay::verdict::outcome::{ScenarioOutcome, Verdict};
use replay::verdict::run::{RunOptions, Tracing, run_file};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every way in to the engine.
const WAYS: [Via; 3] = [Via::Core, Via::Driver, Via::Ffi];

fn run(path: &Path, via: &Via) -> Vec<ScenarioOutcome> {
    run_file(
        path,
        &RunOptions {
            captures: Some(repository().join("captures")),
            trace: Tracing::Never,
            via: via.clone(),
            ..RunOptions::default()
        },
    )
}

fn all() -> Vec<PathBuf> {
    let found = discover(&[repository().join("expectations")]).expect("the expectations folder");
    found
        .found
        .into_iter()
        .filter(|found| found.kind == FoundKind::Scenario)
        .map(|found| found.path)
        .collect()
}

/// Runs an altered copy of a scenario, by every way in; says the kinds of its failures through the core.
fn altered(name: &str, alter: impl FnOnce(&mut Scenario)) -> Vec<String> {
    let path = repository()
        .join("expectations")
        .join(name)
        .with_extension("json");
    let mut scenario = load::load(&path).expect("a sound scenario").scenario;
    alter(&mut scenario);
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("altered.json");
    std::fs::write(&copy, scenario.to_canonical_string()).expect("a file");
    let by = |via: &Via| -> Vec<String> {
        let outcomes = run(&copy, via);
        let failures = outcomes.iter().flat_map(|outcome| &outcome.failures);
        failures
            .map(|failure| failure.kind.label().to_owned())
            .collect()
    };
    let [core, others @ ..] = WAYS.map(|via| (by(&via), via));
    for (kinds, via) in others {
        assert_eq!(kinds, core.0, "{}", via.label());
    }
    core.0
}

#[test]
fn every_scenario_passes() {
    every_scenario_passes_by(&Via::Core);
}

#[test]
fn every_scenario_passes_through_the_driver() {
    let core_only = every_scenario_passes_by(&Via::Driver);
    assert!(core_only > 500, "{core_only} checks are core only");
}

#[test]
fn every_scenario_passes_through_the_c_abi() {
    let core_only = every_scenario_passes_by(&Via::Ffi);
    assert!(core_only > 500, "{core_only} checks are core only");
}

/// Runs all of them; says how many checks were left to the core.
fn every_scenario_passes_by(via: &Via) -> u64 {
    let paths = all();
    assert!(paths.len() >= 90, "{} scenarios", paths.len());
    let mut core_only = 0;
    // What asks for the heap needs the binary's allocator: the command runs those.
    let needs_binary = |path: &PathBuf| {
        std::fs::read_to_string(path).is_ok_and(|text| text.contains("\"memory\""))
    };
    for path in paths.iter().filter(|path| !needs_binary(path)) {
        for outcome in run(path, via) {
            core_only += outcome.core_only;
            assert!(
                matches!(outcome.verdict, Verdict::Pass | Verdict::Deviation(_)),
                "{}: {:?} {:?}",
                outcome.name,
                outcome.verdict,
                outcome.failures
            );
        }
    }
    core_only
}

/// `UPDATE_EXPECTATIONS=1` rewrites what is not canonical.
#[test]
fn every_scenario_is_stored_canonically() {
    let mut odd = Vec::new();
    for path in all() {
        let loaded = load::load(&path).expect("a sound scenario");
        let canonical = loaded.scenario.to_canonical_string();
        if loaded.text != canonical {
            if std::env::var_os("UPDATE_EXPECTATIONS").is_some() {
                std::fs::write(&path, canonical).expect("a file");
            } else {
                odd.push(path);
            }
        }
    }
    assert!(
        odd.is_empty(),
        "not canonical (UPDATE_EXPECTATIONS=1 rewrites them): {odd:?}"
    );
}

#[test]
fn every_capture_has_a_scenario_or_a_reason() {
    let waiting = replay::golden::draft::find::waiting(&[repository().join("expectations")], None);
    assert_eq!(waiting.strays, []);
}

#[test]
fn altered_bytes_of_a_capture_are_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let capture = repository().join("captures/http/get.pcapng");
    let mut bytes = std::fs::read(capture).expect("the capture");
    let at = bytes
        .windows(5)
        .position(|window| window == b"GET /")
        .expect("the request");
    bytes[at + 4] = b'?';
    std::fs::create_dir_all(folder.path().join("captures/http")).expect("a folder");
    std::fs::write(folder.path().join("captures/http/get.pcapng"), bytes).expect("a file");
    let options = RunOptions {
        captures: Some(folder.path().join("captures")),
        ..RunOptions::default()
    };
    let outcomes = run_file(&repository().join("expectations/http/get.json"), &options);
    let kinds: Vec<&str> = outcomes
        .iter()
        .flat_map(|outcome| &outcome.failures)
        .map(|failure| failure.kind.label())
        .collect();
    assert_eq!(kinds, ["wrong-stream"]);
}

#[test]
fn a_dialer_step_that_is_missing_is_noticed() {
    let kinds = altered("tcp/device_half_closes", |scenario| {
        scenario.dialer.rules[0]
            .then
            .retain(|step| !matches!(step, replay::scenario::Step::Send(_)));
    });
    assert!(kinds.contains(&"wrong-stream".to_owned()), "{kinds:?}");
}

#[test]
fn a_far_fin_that_is_missing_is_noticed() {
    let kinds = altered("tcp/remote_half_closes", |scenario| {
        scenario.dialer.rules[0]
            .then
            .retain(|step| !matches!(step, replay::scenario::Step::Shutdown(_)));
    });
    assert!(
        kinds.contains(&"missing-half-close".to_owned()),
        "{kinds:?}"
    );
}

#[test]
fn a_lost_frame_of_the_device_is_noticed_or_repaired() {
    // The runner sends it again, as the device would: the stream is whole, the frame counts.
    let kinds = altered("http/get", |scenario| {
        scenario.faults.push(replay::scenario::Fault {
            on: replay::scenario::FaultPoint::Input,
            flow: None,
            frame: None,
            nth: Some(3),
            rate: None,
            seed: None,
            action: replay::scenario::FaultAction::Drop,
            by: None,
        });
    });
    assert_eq!(kinds, Vec::<String>::new());
}

/// What a scenario that is known to fail comes to: its verdict and the kinds of its failures.
fn deviating(name: &str, fails: &str, alter: impl FnOnce(&mut Scenario)) -> (Verdict, Vec<String>) {
    let path = repository()
        .join("expectations")
        .join(name)
        .with_extension("json");
    let mut scenario = load::load(&path).expect("a sound scenario").scenario;
    scenario.deviation = Some(replay::scenario::Deviation {
        fails: serde_json::from_str(fails).expect("kinds"),
        why: "it is only said to".to_owned(),
    });
    scenario.covers = vec!["OWN-1".to_owned()];
    alter(&mut scenario);
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("deviating.json");
    std::fs::write(&copy, scenario.to_canonical_string()).expect("a file");
    let outcome = run(&copy, &Via::Core).remove(0);
    let kinds = outcome.failures.iter().map(|f| f.kind.label().to_owned());
    (outcome.verdict.clone(), kinds.collect())
}

const REFUSED: &str = "engine/handshake/dial_refused_resets_the_device";

/// Expects another number of dials than there are.
fn wrong_counter(scenario: &mut Scenario) {
    let other = replay::scenario::Expected::Exact(7);
    scenario.expect.counters.0 = vec![("tcp_dial_fail".to_owned(), other)];
}

#[test]
fn a_scenario_that_fails_as_it_is_known_to_is_a_deviation() {
    let (verdict, kinds) = deviating(REFUSED, r#"["wrong-counter"]"#, wrong_counter);
    assert!(matches!(verdict, Verdict::Deviation(why) if why == "it is only said to"));
    assert_eq!(kinds, ["wrong-counter"]);
}

#[test]
fn a_scenario_that_is_known_to_fail_and_passes_is_a_failure() {
    let (verdict, kinds) = deviating(REFUSED, r#"["wrong-counter"]"#, |_| ());
    assert!(matches!(verdict, Verdict::Fail));
    assert_eq!(kinds, ["unexpected-pass"]);
}

#[test]
fn a_scenario_that_fails_otherwise_than_it_is_known_to_is_a_failure() {
    for fails in [r#"["wrong-close"]"#, r#"["wrong-close", "wrong-counter"]"#] {
        let (verdict, kinds) = deviating(REFUSED, fails, wrong_counter);
        assert!(matches!(verdict, Verdict::Fail));
        assert_eq!(kinds, ["wrong-counter", "wrong-deviation"]);
    }
}
