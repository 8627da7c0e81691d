//! Outcomes made by hand, one for each verdict.

use crate::base::diagnostic::{Diagnostic, Place, Position};
use crate::scenario::failure::{Failure, FailureKind};
use crate::simulation::Figures;
use crate::stack::Via;
use crate::verdict::outcome::{ScenarioOutcome, Verdict};

fn outcome(name: &str, title: &str, verdict: Verdict) -> ScenarioOutcome {
    ScenarioOutcome {
        name: name.into(),
        path: format!("expectations/{name}.json").into(),
        title: title.into(),
        covers: vec!["TCP-CLOSE-HALF".into()],
        verdict,
        failures: Vec::new(),
        via: Via::Core,
        checks: 12,
        core_only: 0,
        figures: Figures {
            virtual_us: 1_204_000,
            frames_in: 9,
            frames_out: 11,
            synthetic: 0,
            left_out: 0,
            flows: 1,
            steps: 20,
        },
        notes: Vec::new(),
        wall: std::time::Duration::from_millis(7),
        trace: None,
        trace_file: None,
        script: None,
        exercised: None,
    }
}

pub(crate) fn passed() -> ScenarioOutcome {
    outcome("tcp/get", "a request and its answer", Verdict::Pass)
}

pub(crate) fn left() -> ScenarioOutcome {
    let reason = Verdict::Skipped("a stress scenario: `replay stress` runs it".into());
    ScenarioOutcome {
        checks: 0,
        figures: Figures::default(),
        ..outcome("stress/many", "", reason)
    }
}

pub(crate) fn failed() -> ScenarioOutcome {
    let title = "the device half-closes after its request; the answer still arrives";
    let mut failed = outcome("tcp/half_close_upload", title, Verdict::Fail);
    failed.figures.synthetic = 1;
    failed.figures.left_out = 2;
    failed.notes = vec!["frame 9: a recorded retransmission was left out".into()];
    failed.failures = vec![
        Failure {
            kind: FailureKind::UnexpectedPacket,
            what: "flow get got a reset after all that was expected".into(),
            expected: Some("~ > get . 1:1(0) ack 5841".into()),
            actual: Some("1.204000 > get R. 1:1(0) ack 5841".into()),
            payload: None,
            flow: Some("get".into()),
            frame: Some(17),
            at_us: Some(1_204_000),
            place: Some(Place {
                path: "expectations/tcp/half_close_upload.json".into(),
                position: Some(Position {
                    line: 41,
                    column: 5,
                }),
            }),
            help: Some("a reset of the engine: look at what it dropped before".into()),
        },
        Failure {
            kind: FailureKind::WrongStream,
            what: "downstream is <short> & \"cut\"".into(),
            expected: Some("1448 bytes\nsha256 aa".into()),
            actual: Some("512 bytes\nsha256 bb".into()),
            payload: None,
            flow: Some("get".into()),
            frame: None,
            at_us: None,
            place: None,
            help: None,
        },
    ];
    failed
}

pub(crate) fn nondeterministic() -> ScenarioOutcome {
    let mut differs = outcome("udp/echo", "an echo comes back", Verdict::Nondeterministic);
    differs.failures = vec![Failure {
        kind: FailureKind::Nondeterminism,
        what: "two runs differ from output 3 on".into(),
        expected: Some("0.010000 > dns udp 33".into()),
        actual: Some("0.010000 > dns udp 34".into()),
        payload: None,
        flow: None,
        frame: None,
        at_us: Some(10_000),
        place: None,
        help: None,
    }];
    differs
}

pub(crate) fn deviating() -> ScenarioOutcome {
    let why = Verdict::Deviation("smoltcp counts no duplicates".into());
    let mut deviates = outcome("conformance/tcp-data/TCP-DATA-X", "text comes once", why);
    deviates.failures = failed().failures.split_off(1);
    deviates
}

pub(crate) fn invalid() -> ScenarioOutcome {
    let at = |line, column| Position { line, column };
    let path = "expectations/tcp/broken.json";
    let problems = vec![
        Diagnostic::new("unknown field `strems` in `expect`")
            .at(path, at(12, 7))
            .help("did you mean `streams`?"),
        Diagnostic::new("flow `get` is not in `flows`").at(path, at(30, 11)),
    ];
    let verdict = Verdict::Invalid(problems);
    ScenarioOutcome {
        checks: 0,
        figures: Figures::default(),
        ..outcome("tcp/broken", "", verdict)
    }
}

pub(crate) fn all() -> Vec<ScenarioOutcome> {
    vec![
        left(),
        invalid(),
        passed(),
        failed(),
        deviating(),
        nondeterministic(),
    ]
}
