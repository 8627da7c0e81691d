//! Reports of the result of a run: for people, for programs, for continuous integration.
//!
//! Every reporter reads the same [`ScenarioOutcome`]s and adds nothing of its own, so that no two reports disagree.

use std::path::Path;

use serde::Serialize;

use crate::base::exit_code;
use crate::base::wording::{counted, seconds, shell_word};
use crate::simulation::Figures;
use crate::stack::Via;
use crate::verdict::outcome::{ScenarioOutcome, Verdict};

pub mod attempt;
pub mod check;
pub mod conformance;
pub mod coverage;
pub mod events;
pub mod facts;
pub mod flows;
pub mod github;
pub mod html;
pub mod human;
pub mod inspect;
pub mod json;
pub mod junit;
pub mod ladder;
pub mod likely;
pub mod reporter;
pub mod scripts;
pub mod table;
pub mod trace;

/// How many scenarios ended how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Those whose expectations were all met.
    pub passed: u64,
    /// Those with an expectation that was not met.
    pub failed: u64,
    /// Those that failed just as they are known to.
    pub deviations: u64,
    /// Those of which two runs differed.
    pub nondeterministic: u64,
    /// Those that cannot be used.
    pub invalid: u64,
    /// Scripts that ask for what an engine does not have.
    pub not_applicable: u64,
    /// Those left to another command.
    pub left: u64,
    /// Files that were selected but not run, because an earlier one failed.
    pub not_run: u64,
    /// Runs that ended in a panic; they count as failed too.
    pub bugs: u64,
    /// Expectations and invariants checked.
    pub checks: u64,
    /// Expectations that only a run through the core can be held to.
    pub core_only: u64,
    /// Virtual time of all runs, microseconds.
    pub virtual_us: u64,
}

impl Totals {
    /// Counts one more outcome.
    pub fn add(&mut self, outcome: &ScenarioOutcome) {
        let count = match outcome.verdict {
            Verdict::Pass => &mut self.passed,
            Verdict::Fail => &mut self.failed,
            Verdict::Deviation(_) => &mut self.deviations,
            Verdict::Nondeterministic => &mut self.nondeterministic,
            Verdict::Invalid(_) => &mut self.invalid,
            Verdict::NotApplicable(_) => &mut self.not_applicable,
            Verdict::Skipped(_) => &mut self.left,
        };
        *count = count.saturating_add(1);
        self.checks = self.checks.saturating_add(outcome.checks);
        self.core_only = self.core_only.saturating_add(outcome.core_only);
        self.virtual_us = self.virtual_us.saturating_add(outcome.figures.virtual_us);
    }

    /// All scenarios that have an outcome.
    #[must_use]
    pub fn scenarios(&self) -> u64 {
        [
            self.failed,
            self.deviations,
            self.nondeterministic,
            self.invalid,
            self.not_applicable,
            self.left,
        ]
        .iter()
        .fold(self.passed, |sum, count| sum.saturating_add(*count))
    }

    /// The exit code of the worst of it.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let tested = self.scenarios() > self.left + self.not_applicable;
        worst_of([
            (self.bugs > 0, exit_code::INTERNAL_BUG),
            (self.invalid > 0, exit_code::BAD_INPUT),
            (self.nondeterministic > 0, exit_code::NONDETERMINISM),
            (self.failed > 0, exit_code::EXPECTATION_FAILED),
            (!tested, exit_code::NOTHING_SELECTED),
        ])
    }
}

/// The worst of the exit codes whose condition is met.
fn worst_of<const N: usize>(codes: [(bool, u8); N]) -> u8 {
    let met = codes.into_iter().filter(|(met, _)| *met);
    met.map(|(_, code)| code)
        .fold(exit_code::SUCCESS, exit_code::worst)
}

impl<'a> Extend<&'a ScenarioOutcome> for Totals {
    fn extend<I: IntoIterator<Item = &'a ScenarioOutcome>>(&mut self, outcomes: I) {
        outcomes.into_iter().for_each(|outcome| self.add(outcome));
    }
}

/// The command that runs one scenario again.
#[must_use]
pub fn reproduce(scenario: &Path, captures: Option<&Path>, via: &Via) -> String {
    let captures = captures
        .map(|folder| format!(" --captures {}", shell_word(&folder.to_string_lossy())))
        .unwrap_or_default();
    let via = match via {
        Via::Core => String::new(),
        Via::Stack(program) => format!(" --stack {}", shell_word(&program.spec)),
        other => format!(" --via {}", other.label()),
    };
    format!(
        "replay run {}{captures}{via}",
        shell_word(&scenario.to_string_lossy())
    )
}

/// The numbers of a run, as one line.
pub(crate) fn figures_line(figures: &Figures) -> String {
    let Figures {
        virtual_us,
        frames_in,
        frames_out,
        synthetic,
        left_out,
        flows,
        steps,
    } = figures;
    let mut line = format!(
        "{} s of virtual time, {}, {} in, {} out, {}",
        seconds(*virtual_us),
        counted(*flows, "flow"),
        counted(*frames_in, "frame"),
        counted(*frames_out, "frame"),
        counted(*steps, "step"),
    );
    let extra = [
        (*synthetic, "frame", "made up as the device would"),
        (*left_out, "recorded retransmission", "left out"),
    ];
    for (count, noun, what) in extra.into_iter().filter(|(count, ..)| *count > 0) {
        line = format!("{line}, {} {what}", counted(count, noun));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_the_worst_of_the_outcomes() {
        let some = |f: fn(&mut Totals)| {
            let mut totals = Totals {
                passed: 3,
                failed: 1,
                ..Totals::default()
            };
            f(&mut totals);
            totals.exit_code()
        };
        assert_eq!(some(|_| ()), 1);
        assert_eq!(some(|totals| totals.nondeterministic = 1), 6);
        assert_eq!(
            some(|totals| (totals.nondeterministic, totals.invalid) = (1, 1)),
            3
        );
        assert_eq!(some(|totals| totals.bugs = 1), 70);
    }

    #[test]
    fn only_left_scenarios_are_nothing_selected() {
        assert_eq!(
            Totals {
                left: 2,
                ..Totals::default()
            }
            .exit_code(),
            4
        );
        assert_eq!(
            Totals {
                left: 2,
                passed: 1,
                ..Totals::default()
            }
            .exit_code(),
            0
        );
    }

    #[test]
    fn a_reproduce_line_survives_the_shell() {
        assert_eq!(
            reproduce(Path::new("a/b-1.json"), None, &Via::Driver),
            "replay run a/b-1.json --via driver"
        );
        assert_eq!(
            reproduce(
                Path::new("my test/it's.json"),
                Some(Path::new("caps")),
                &Via::Core
            ),
            r"replay run 'my test/it'\''s.json' --captures caps"
        );
    }

    #[test]
    fn seconds_are_exact_and_short() {
        assert_eq!(
            [0, 42_000, 1_204_000, 7_000_001].map(seconds),
            ["0", "0.042", "1.204", "7.000001"]
        );
    }
}
