//! A scenario's expectations, renewed from what a run of it shows.
//!
//! ```text
//! golden (NAME.json) ──run──> witness ──renew──> draft (NAME.json.new) ──review, bless──> golden
//! ```
//! Only `expect` is renewed, and of it only what a run can show: what must never come, and a ceiling
//! on memory, stay as they are. A draft keeps the kinds of claims that the scenario makes: what is met stays as it is written, a range
//! stays a range, a time is written where one was written before.

use std::collections::BTreeSet;
use std::path::Path;

use crate::base::diagnostic::Diagnostic;
use crate::golden::draft::Draft;
use crate::golden::witness::{Witness, witnesses};
use crate::notation::{Action, Line};
use crate::scenario::failure::Failure;
use crate::scenario::load::{self, LoadedScenario};
use crate::scenario::{ExpectationKind, Expectations, Scenario};
use crate::verdict::expect::{Shown, behaviours};
use crate::verdict::run::RunOptions;

/// What a run of a scenario file gave.
///
/// ```
/// use replay::golden::record::{Recorded, record_file};
/// use replay::verdict::run::RunOptions;
///
/// let path = "../expectations/http/get.json".as_ref();
/// assert!(matches!(record_file(path, None, &RunOptions::default()), Recorded::Unchanged));
/// ```
#[derive(Clone, Debug)]
pub enum Recorded {
    /// The run shows what the scenario expects: there is nothing to draft.
    Unchanged,
    /// The scenario with its expectations renewed.
    Drafted {
        /// The draft, not yet written.
        draft: Draft,
        /// What the scenario does not meet still, because it was not to be renewed.
        unmet: Vec<Failure>,
    },
    /// The run shows what no draft can accept: why, and each such thing.
    Refused(&'static str, Vec<Failure>),
    /// The scenario is not one to be recorded: why.
    Skipped(String),
    /// The scenario or one of its files cannot be used.
    Invalid(Vec<Diagnostic>),
}

/// Runs a scenario through the core and renews its expectations; writes nothing.
///
/// With `only` just these kinds are renewed, and added if the scenario does not have them. Without, it is all kinds that the scenario
/// has, or for a scenario that expects nothing: dials, streams, half-closes, closes, and DNS records if there are any.
#[must_use]
pub fn record_file(
    path: &Path,
    only: Option<&BTreeSet<ExpectationKind>>,
    options: &RunOptions,
) -> Recorded {
    let loaded = match load::load(path) {
        Ok(loaded) => loaded,
        Err(problems) => return Recorded::Invalid(problems),
    };
    if loaded.scenario.deviation.is_some() {
        let why = "it is known to fail: it states what is required, not what is done";
        return Recorded::Skipped(why.to_owned());
    }
    let witnesses = match witnesses(&loaded, options) {
        Ok(witnesses) => witnesses,
        Err(problems) => return Recorded::Invalid(problems),
    };
    recorded(&loaded, only, &witnesses)
}

fn recorded(
    loaded: &LoadedScenario,
    only: Option<&BTreeSet<ExpectationKind>>,
    witnesses: &[Witness],
) -> Recorded {
    let broken: Vec<Failure> = of_runs(witnesses, |failure| !failure.kind.may_deviate());
    if !broken.is_empty() {
        return Recorded::Refused("what must always hold is broken", broken);
    }
    let astray: Vec<Failure> = of_runs(witnesses, |_| true);
    if !astray.is_empty() {
        let why = "the lines of `input` are not met, and they are not recorded";
        return Recorded::Refused(why, astray);
    }
    let Some(witness) = witnesses.first() else {
        return Recorded::Unchanged;
    };
    let unmet_before = of_checks(witnesses, loaded);
    if unmet_before.is_empty() && only.is_none() && !expects_nothing(&loaded.scenario) {
        return Recorded::Unchanged;
    }
    // Lines that were aligned with the run are tried first; if they do not match after all, packets are written anew.
    let mut refusal = Vec::new();
    for keep_lines in [true, false] {
        let scenario = Scenario {
            expect: renewed(&loaded.scenario, only, witness, keep_lines),
            ..loaded.scenario.clone()
        };
        let drafted = match load::parse(scenario.to_canonical_string(), &loaded.path) {
            Ok(drafted) => drafted,
            Err(problems) => return Recorded::Invalid(problems),
        };
        let unmet = of_checks(witnesses, &drafted);
        let known = |failure: &Failure| {
            let same =
                |before: &Failure| (before.kind, &before.what) == (failure.kind, &failure.what);
            unmet_before.iter().any(same)
        };
        if unmet.is_empty() || (only.is_some() && unmet.iter().all(known)) {
            return if scenario == loaded.scenario {
                Recorded::Unchanged
            } else {
                Recorded::Drafted {
                    draft: Draft::new(&loaded.path, &loaded.text, &scenario),
                    unmet,
                }
            };
        }
        refusal = unmet;
    }
    let why = match witnesses.len() {
        2.. => "no draft can mend it: `never` or `memory` is not met, or its families differ",
        _ => "`never` or `memory` is not met, which no draft can mend",
    };
    Recorded::Refused(why, refusal)
}

/// Whether a scenario makes no claim at all, neither under `expect` nor by lines of its input.
fn expects_nothing(scenario: &Scenario) -> bool {
    let is_claim = |text: &String| {
        Line::parse(text)
            .is_ok_and(|line| matches!(line.action, Action::Expect(_) | Action::Silence { .. }))
    };
    scenario.expect.is_empty() && !scenario.input.frames.iter().any(is_claim)
}

/// Failures of the runs themselves.
fn of_runs(witnesses: &[Witness], wanted: impl Fn(&Failure) -> bool) -> Vec<Failure> {
    let failures = witnesses.iter().flat_map(|witness| &witness.run.failures);
    failures
        .filter(|failure| wanted(failure))
        .cloned()
        .collect()
}

/// Failures of the runs against a scenario's expectations.
fn of_checks(witnesses: &[Witness], loaded: &LoadedScenario) -> Vec<Failure> {
    let witnesses = witnesses.iter();
    witnesses
        .flat_map(|witness| witness.failures(loaded))
        .collect()
}

/// The expectations of a scenario as its run meets them.
fn renewed(
    scenario: &Scenario,
    only: Option<&BTreeSet<ExpectationKind>>,
    witness: &Witness,
    keep_lines: bool,
) -> Expectations {
    let shown = Shown {
        view: witness.view(),
        run: &witness.run,
        keep_lines,
    };
    let fresh = expects_nothing(scenario);
    let mut new = scenario.expect.clone();
    for (kind, behaviour) in behaviours() {
        let wanted = match only {
            Some(only) => only.contains(&kind),
            None if fresh => behaviour.is_drafted(&witness.run),
            None => scenario.expect.has(kind),
        };
        if let Some(renew) = behaviour.renewal().filter(|_| wanted) {
            renew(&shown, &mut new);
        }
    }
    new
}
