//! Scenarios that notice nothing: what was observed of a run is changed, one thing at a time, and a scenario that claims to check
//! that kind of thing must notice at least one of the changes.
//!
//! Only what was observed is changed, not the run: a lost frame is not made good by a retransmission. Broken invariants do not count as
//! noticing, they are always there. The changes are the same each time.

use std::path::Path;

use crate::base::diagnostic::Place;
use crate::notation::packetdrill;
use crate::scenario::failure::FailureKind;
use crate::scenario::{ExpectationKind, load};
use crate::simulation::Figures;
use crate::simulation::mutation::Mutation;
use crate::verdict::expect::{behaviours, packets};
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
    pub claim: ExpectationKind,
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

/// Changes what is observed of a scenario's run and lists which of its claims notice nothing.
#[must_use]
pub fn try_file(path: &Path, options: &RunOptions) -> Tried {
    let mut tried = Tried::default();
    let base = run_file(path, options);
    let runs = |outcome: &ScenarioOutcome| {
        matches!(outcome.verdict, Verdict::Pass | Verdict::Deviation(_))
    };
    // What fails, or does not run, is reported by the run itself.
    let Some(first) = base.first().filter(|_| base.iter().all(runs)) else {
        return tried;
    };
    let noticed = signature(&base);
    for (claim, changes) in claims(path, &first.figures) {
        let mut made = 0;
        let found = changes.iter().any(|change| {
            made += 1;
            signature(&run_mutated(path, options, change)) != noticed
        });
        tried.changes += made;
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

/// Every failure that the checks of a scenario found, its invariants left out.
fn signature(outcomes: &[ScenarioOutcome]) -> Vec<(String, FailureKind, String, Option<Place>)> {
    let mut found = Vec::new();
    for outcome in outcomes {
        for failure in &outcome.failures {
            // A verdict on the deviation is a consequence of the others.
            if failure.kind.may_deviate() {
                found.push((
                    outcome.name.clone(),
                    failure.kind,
                    failure.what.clone(),
                    failure.place.clone(),
                ));
            }
        }
    }
    found
}

/// What a file claims to check, each with the changes of which it must notice one.
fn claims(path: &Path, figures: &Figures) -> Vec<(ExpectationKind, Vec<Mutation>)> {
    let mut claims = Vec::new();
    if path.extension().is_some_and(|ending| ending == "pkt") {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        if packetdrill::parse(&text).is_ok_and(|script| script.expects_packets()) {
            claims.push((ExpectationKind::Packets, packets::changes(figures)));
        }
    } else if let Ok(loaded) = load::load(path) {
        let all = behaviours();
        claims.extend(
            all.map(|(kind, behaviour)| (kind, behaviour.changes(&loaded.scenario, figures))),
        );
    }
    claims.retain(|(_, changes)| !changes.is_empty());
    claims
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
