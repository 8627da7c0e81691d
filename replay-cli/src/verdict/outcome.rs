//! The result of a run: the one source of every report.

use crate::base::diagnostic::{Diagnostic, Place};
use crate::scenario::Deviation;
use crate::scenario::discover;
use crate::scenario::failure::Failure;
use crate::scenario::failure::FailureKind;
use crate::simulation::Figures;
use crate::stack::event::Trace;
use crate::stack::{Exercised, Via};
use std::path::Path;
use std::time::Duration;

/// What became of one scenario.
///
/// ```
/// use replay::report::human;
/// use replay::verdict::run::{RunOptions, run_file};
///
/// for outcome in run_file("../expectations/http/get.json".as_ref(), &RunOptions::default()) {
///     assert!(outcome.passed(), "{}", human::plain(&outcome, None, false));
/// }
/// ```
#[derive(Clone, Debug)]
pub struct ScenarioOutcome {
    /// Its name: the path under expectations/ without `.json`, ` (ipv6)` behind it for a twin.
    pub name: String,
    /// The scenario file.
    pub path: std::path::PathBuf,
    /// The title it has.
    pub title: String,
    /// Requirements it covers.
    pub covers: Vec<String>,
    /// How it ended.
    pub verdict: Verdict,
    /// Everything that was not as expected, in order of virtual time; the first divergence first.
    pub failures: Vec<Failure>,
    /// Which way in was taken.
    pub via: Via,
    /// Expectations and invariants that were checked.
    pub checks: u64,
    /// Expectations that only a run through the core can be held to: an exact time, a counter of batches and instants,
    /// the heap. None of them on a run through the core.
    pub core_only: u64,
    /// How the run went, whatever its verdict.
    pub figures: Figures,
    /// What the runner had to do on its own, and what it left out: one line each.
    pub notes: Vec<String>,
    /// Real time that its runs took; of a file with several, its share.
    pub wall: Duration,
    /// What crossed the engine's border, if its events were kept.
    pub trace: Option<Trace>,
    /// Where they were written.
    pub trace_file: Option<TracePlace>,
    /// Of a packetdrill script that was played: how much of it was compared.
    pub script: Option<Compared>,
    /// What its run made the engine do, if that was asked for.
    pub exercised: Option<Exercised>,
}

/// How much of a packetdrill script was compared, and what was not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// Its `>` lines and results of calls.
    pub lines: u64,
    /// Those of them that were held against the run.
    pub compared: u64,
    /// Steps that only a kernel could notice: each with its place.
    pub passed_over: Vec<Diagnostic>,
    /// Lines and results that depend on such a step, or that are not known here, and why.
    pub not_compared: Vec<Diagnostic>,
}

/// A trace that was written, and the number in it of the frame at which the first failure shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracePlace {
    /// The file.
    pub path: std::path::PathBuf,
    /// The frame's number, from 1.
    pub frame: Option<u64>,
}

/// How a scenario ended.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// All that was expected was met.
    Pass,
    /// An expectation or an invariant was not met.
    Fail,
    /// It failed just as the scenario's `deviation` has it: the reason.
    Deviation(String),
    /// Two runs gave different outputs.
    Nondeterministic,
    /// The scenario or one of its files cannot be used.
    Invalid(Vec<Diagnostic>),
    /// It asks for what an engine between a device and a dialer does not have: each such thing, with its place.
    NotApplicable(Vec<Diagnostic>),
    /// It is not for this command: the reason.
    Skipped(String),
}

impl Verdict {
    /// The word in reports for programs; `_` is a space where people read it.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Deviation(_) => "deviation",
            Self::Nondeterministic => "nondeterministic",
            Self::Invalid(_) => "invalid",
            Self::NotApplicable(_) => "not_applicable",
            Self::Skipped(_) => "left",
        }
    }

    /// The words for people.
    #[must_use]
    pub fn words(&self) -> String {
        self.word().replace('_', " ")
    }
}

impl ScenarioOutcome {
    /// What there is to say of a file that was not run.
    #[must_use]
    pub fn without_run(path: &Path, verdict: Verdict) -> Self {
        Self {
            name: discover::scenario_name(path),
            path: path.to_owned(),
            title: String::new(),
            covers: Vec::new(),
            verdict,
            failures: Vec::new(),
            via: Via::Core,
            checks: 0,
            core_only: 0,
            figures: Figures::default(),
            notes: Vec::new(),
            wall: Duration::ZERO,
            trace: None,
            trace_file: None,
            script: None,
            exercised: None,
        }
    }

    /// Whether nothing is wrong with it that is not known and accepted.
    #[must_use]
    pub fn passed(&self) -> bool {
        matches!(
            self.verdict,
            Verdict::Pass | Verdict::Deviation(_) | Verdict::NotApplicable(_) | Verdict::Skipped(_)
        )
    }

    /// Holds the failures against what the scenario is known to fail with, and sets the verdict.
    pub(crate) fn judge(&mut self, deviation: Option<&Deviation>, place: Option<Place>) {
        let kinds = self.failures.iter().map(|failure| failure.kind);
        self.verdict = match deviation {
            None if self.failures.is_empty() => Verdict::Pass,
            None => Verdict::Fail,
            Some(deviation) if deviation.is(kinds.clone()) => {
                Verdict::Deviation(deviation.why.clone())
            }
            Some(deviation) => {
                let list = |kinds: &mut dyn Iterator<Item = FailureKind>| {
                    let mut labels: Vec<&str> = kinds.map(FailureKind::label).collect();
                    labels.sort_unstable();
                    labels.dedup();
                    labels.join(", ")
                };
                let (kind, what, help) = if self.failures.is_empty() {
                    (
                        FailureKind::UnexpectedPass,
                        "the scenario is known to fail, and passed",
                        "take out `deviation`, and the section of docs/DEVIATIONS.md with it",
                    )
                } else {
                    (
                        FailureKind::WrongDeviation,
                        "the scenario is known to fail, but failed in another way",
                        "mend what is new, or say in `deviation.fails` what is so",
                    )
                };
                let expected = list(&mut deviation.fails.iter().copied());
                let actual = list(&mut kinds.clone());
                self.failures.push(Failure {
                    kind,
                    what: what.to_owned(),
                    expected: Some(expected),
                    actual: (!actual.is_empty()).then_some(actual),
                    payload: None,
                    flow: None,
                    frame: None,
                    at_us: None,
                    place,
                    help: Some(help.to_owned()),
                });
                Verdict::Fail
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_the_words_of_scenario_files() {
        for kind in FailureKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.label());
        }
    }
}
