//! Scenarios that notice nothing: what was observed of a run is changed, one thing at a time, and a scenario that claims to check
//! that kind of thing must notice at least one of the changes.
//!
//! Only what was observed is changed, not the run: a lost frame is not made good by a retransmission. Broken invariants do not count as
//! noticing, they are always there. The changes are the same each time.

use std::path::Path;

use crate::base::diagnostic::Place;
use crate::notation::packetdrill;
use crate::notation::{Action, Line};
use crate::scenario::claim::Claim;
use crate::scenario::failure::FailureKind;
use crate::scenario::{ClosedList, Expectations, load};
use crate::simulation::mutation::{FrameChange, Mutation};
use crate::verdict::outcome::{ScenarioOutcome, Verdict};
use crate::verdict::run::{RunOptions, run_file, run_mutated};

/// A claim that no change was noticed for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vacuous {
    /// The scenario's name.
    pub name: String,
    /// Its file.
    pub path: std::path::PathBuf,
    /// What it claims to check.
    pub claim: Claim,
    /// How many changes were tried.
    pub changes: u64,
}

/// What a file came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Kinds of things it claims to check and that could be changed.
    pub claims: u64,
    /// Changes made.
    pub changes: u64,
    /// Claims without a check.
    pub vacuous: Vec<Vacuous>,
}

/// Frames of a run that are changed: the first so many, and the last.
const FRAMES: u64 = 12;

/// Changes what is observed of a scenario's run and says which of its claims notice nothing.
#[must_use]
pub fn try_file(path: &Path, options: &RunOptions) -> Tried {
    let mut tried = Tried::default();
    let base = run_file(path, options);
    let runs = |outcome: &ScenarioOutcome| {
        matches!(outcome.verdict, Verdict::Pass | Verdict::Deviation(_))
    };
    // What fails, or does not run, is told by the run itself.
    let Some(first) = base.first().filter(|_| base.iter().all(runs)) else {
        return tried;
    };
    let noticed = signature(&base);
    for (claim, counters) in claims(path) {
        let changes = changes(claim, first, &counters);
        let mut made = 0;
        let found = changes.iter().any(|change| {
            made += 1;
            signature(&run_mutated(path, options, change)) != noticed
        });
        tried.changes += made;
        if changes.is_empty() {
            continue;
        }
        tried.claims += 1;
        if !found {
            tried.vacuous.push(Vacuous {
                name: crate::scenario::discover::scenario_name(path),
                path: path.to_owned(),
                claim,
                changes: made,
            });
        }
    }
    tried
}

/// Everything that the checks of a scenario said, its invariants left out.
fn signature(outcomes: &[ScenarioOutcome]) -> Vec<(String, FailureKind, String, Option<Place>)> {
    let mut said = Vec::new();
    for outcome in outcomes {
        for failure in &outcome.failures {
            // A verdict on the deviation is a consequence of the others.
            if failure.kind.may_deviate() {
                said.push((
                    outcome.name.clone(),
                    failure.kind,
                    failure.what.clone(),
                    failure.place.clone(),
                ));
            }
        }
    }
    said
}

/// What a file claims to check, counters with their names.
fn claims(path: &Path) -> Vec<(Claim, Vec<String>)> {
    if path.extension().is_some_and(|ending| ending == "pkt") {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        return match packetdrill::parse(&text) {
            Ok(script) if script.expects_packets() => vec![(Claim::Packets, Vec::new())],
            _ => Vec::new(),
        };
    }
    let Ok(loaded) = load::load(path) else {
        return Vec::new();
    };
    let scenario = &loaded.scenario;
    let Expectations {
        dials,
        packets,
        never,
        streams,
        half_closes,
        closes,
        dns,
        counters,
        ..
    } = &scenario.expect;
    let expects = |text: &String| {
        Line::parse(text).is_ok_and(|line| matches!(line.action, Action::Expect(_)))
    };
    let lines = scenario.input.frames.iter().any(expects);
    let mut claims: Vec<(Claim, Vec<String>)> = [
        (
            Claim::Packets,
            lines || !packets.is_empty() || !never.is_empty(),
        ),
        (Claim::Streams, !streams.is_empty()),
        (Claim::Dials, dials.as_ref().is_some_and(speaks)),
        (Claim::HalfCloses, half_closes.as_ref().is_some_and(speaks)),
        (Claim::Closes, closes.as_ref().is_some_and(speaks)),
        (Claim::Dns, dns.as_ref().is_some_and(speaks)),
    ]
    .into_iter()
    .filter(|(_, claimed)| *claimed)
    .map(|(claim, _)| (claim, Vec::new()))
    .collect();
    if !counters.is_empty() {
        let names = counters.iter().map(|(name, _)| name.to_owned()).collect();
        claims.push((Claim::Counters, names));
    }
    claims
}

/// Whether a list says more than that anything may be.
fn speaks<T>(list: &ClosedList<T>) -> bool {
    !list.others_allowed || !list.items.is_empty()
}

/// The changes that a claim must notice one of.
fn changes(claim: Claim, base: &ScenarioOutcome, counters: &[String]) -> Vec<Mutation> {
    let index = |count: u64| usize::try_from(count).unwrap_or(0);
    let flows = 0..index(base.figures.flows);
    let each = |make: &[fn(usize) -> Mutation]| -> Vec<Mutation> {
        flows
            .clone()
            .flat_map(|flow| make.iter().map(move |make| make(flow)))
            .collect()
    };
    match claim {
        Claim::Packets => {
            let out = base.figures.frames_out;
            let last = (out > FRAMES).then(|| index(out - 1));
            let frames = (0..index(out.min(FRAMES))).chain(last);
            frames
                .flat_map(|frame| {
                    FrameChange::ALL
                        .into_iter()
                        .map(move |change| Mutation::Frame(frame, change))
                })
                .collect()
        }
        Claim::Streams => each(&[Mutation::TruncateUpstream, Mutation::TruncateDownstream]),
        Claim::Dials => {
            let mut all = each(&[Mutation::RemoveDial]);
            all.push(Mutation::InventDial);
            all
        }
        Claim::HalfCloses => each(&[Mutation::RemoveHalfClose, Mutation::InventHalfClose]),
        Claim::Closes => each(&[
            Mutation::OtherClose,
            Mutation::RemoveClose,
            Mutation::InventClose,
        ]),
        Claim::Dns => vec![Mutation::InventDns, Mutation::RemoveDns(0)],
        // By one, and far out of any range.
        Claim::Counters => counters
            .iter()
            .flat_map(|name| {
                [1, -1, 1 << 40, -(1 << 40)].map(|by| Mutation::Counter(name.clone(), by))
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"{ "schema": 1, "title": "refused",
  "flows": { "get": "tcp 10.0.0.2:40000 > 93.184.216.34:80" },
  "dialer": { "otherwise": "refused" },
  "input": { "frames": ["0 < get S 0:0(0) win 65535 <mss 1460>""#;

    fn tried(frames: &str, expect: &str) -> Vec<&'static str> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let text = format!("{HEAD}{frames}] }}, \"expect\": {{ {expect} }} }}");
        std::fs::write(&path, text).unwrap();
        let options = RunOptions::default();
        let outcome = run_file(&path, &options).remove(0);
        assert!(
            outcome.passed(),
            "{:?} {:?}",
            outcome.verdict,
            outcome.failures
        );
        let tried = try_file(&path, &options);
        tried
            .vacuous
            .iter()
            .map(|found| found.claim.word())
            .collect()
    }

    #[test]
    fn what_is_checked_is_noticed() {
        let line = r#", "0 > get R. 0:0(0) ack 1""#;
        let all = r#""dials": [{ "flow": "get" }], "closes": [{ "flow": "get", "how": "refused" }],
            "half_closes": [], "dns": [], "counters": { "tcp_dial_fail": 1 }"#;
        assert!(tried(line, all).is_empty());
    }

    #[test]
    fn an_expectation_that_anything_meets_is_vacuous() {
        let all = r#""dials": [{ "others": "allow" }],
            "counters": { "tcp_dial_fail": { "min": 0 } },
            "streams": { "get": { "upstream": { "bytes": { "min": 0 } } } },
            "never": [{ "flow": "get", "flags": "SFRPEW" }]"#;
        assert_eq!(tried("", all), ["packets", "streams", "counters"]);
    }
}
