//! The verdict of a run of the scenarios on each requirement of the [catalogue].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::scenario::catalogue::{self, Level, Requirement};
use crate::scenario::discover;
use crate::scenario::failure::FailureKind;
use crate::verdict::outcome::{ScenarioOutcome, Verdict as Outcome};

pub mod baseline;

/// The verdict on a requirement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Every scenario that covers it passes; of another stack, every one that could be run.
    Pass,
    /// A scenario that covers it fails, unexplained.
    Fail,
    /// A scenario that covers it fails as it is known to; none fails otherwise.
    Deviation,
    /// No scenario covers it.
    Missing,
    /// It cannot apply, for a reason.
    NotApplicable,
}

impl Verdict {
    /// Every verdict, in the order of reports.
    pub const ALL: [Self; 5] = [
        Self::Pass,
        Self::Fail,
        Self::Deviation,
        Self::Missing,
        Self::NotApplicable,
    ];

    /// The word in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Deviation => "deviation",
            Self::Missing => "missing",
            Self::NotApplicable => "not_applicable",
        }
    }
}

/// One requirement with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The requirement.
    pub requirement: &'static Requirement,
    /// The verdict on it.
    pub verdict: Verdict,
    /// The names of the scenarios that cover it.
    pub scenarios: Vec<String>,
    /// Why it deviates or does not apply; of a failure, what failed first.
    pub reason: Option<String>,
    /// The kinds of all failures of the scenarios that cover it, each once, in the order in which they came.
    pub kinds: Vec<FailureKind>,
}

/// The catalogue with a verdict for each requirement, in the catalogue's order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    /// The requirements.
    pub rows: Vec<Row>,
}

/// What was found by hand of another stack's rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes(BTreeMap<String, Note>);

/// What was found of one requirement that fails.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Note {
    /// Why it fails, or why it cannot be compared.
    reason: String,
    /// [`Verdict::NotApplicable`] if it cannot be compared.
    verdict: Option<Verdict>,
}

impl Notes {
    /// Reads notes from JSON.
    ///
    /// # Errors
    /// The text is none, names an unknown requirement, or makes a verdict of what is only a reason.
    pub fn read(text: &str) -> Result<Self, String> {
        let notes: BTreeMap<String, Note> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        for (id, note) in &notes {
            if catalogue::unknown(id).is_some() {
                return Err(format!("there is no requirement `{id}`"));
            }
            let comparable = !note.reason.starts_with(NOT_COMPARABLE);
            match note.verdict {
                None if comparable => {}
                Some(Verdict::NotApplicable) if !comparable => {}
                _ => {
                    return Err(format!(
                        "{id}: a note changes no verdict, except to not_applicable with a reason that begins with \
                         `{NOT_COMPARABLE}`"
                    ));
                }
            }
        }
        Ok(Self(notes))
    }
}

/// How the reason begins of a row that proves nothing of a stack.
const NOT_COMPARABLE: &str = "not comparable: ";

/// How many requirements have which verdict.
pub type Counts = BTreeMap<Verdict, u64>;

impl Matrix {
    /// The verdicts that a run's outcomes come to; `whole` asks for every requirement, otherwise only those covered are in it.
    #[must_use]
    pub fn new(outcomes: &[ScenarioOutcome], whole: bool) -> Self {
        let mut covering: BTreeMap<&str, Vec<&ScenarioOutcome>> = BTreeMap::new();
        for outcome in outcomes {
            for id in &outcome.covers {
                covering.entry(id).or_default().push(outcome);
            }
        }
        let row = |requirement: &'static Requirement| {
            let outcomes = covering.get(requirement.id.as_str());
            (whole || outcomes.is_some())
                .then(|| Row::new(requirement, outcomes.map_or(&[], Vec::as_slice)))
        };
        Self {
            rows: catalogue::requirements().iter().filter_map(row).collect(),
        }
    }

    /// Puts what was found by hand beside the failures it is about; the requirements of which it does not hold any more.
    #[must_use]
    pub fn note(&mut self, notes: &Notes) -> Vec<String> {
        let mut stale = Vec::new();
        for row in &mut self.rows {
            let Some(note) = notes.0.get(&row.requirement.id) else {
                continue;
            };
            if row.verdict == Verdict::Fail {
                row.verdict = note.verdict.unwrap_or(Verdict::Fail);
                row.reason = Some(note.reason.clone());
            } else {
                stale.push(row.requirement.id.clone());
            }
        }
        stale
    }

    /// The counts of the requirements that `belongs` picks.
    #[must_use]
    pub fn counts(&self, belongs: impl Fn(&Requirement) -> bool) -> Counts {
        let mut counts = Counts::new();
        for row in self.rows.iter().filter(|row| belongs(row.requirement)) {
            *counts.entry(row.verdict).or_default() += 1;
        }
        counts
    }

    /// The counts of each level that has requirements.
    #[must_use]
    pub fn by_level(&self) -> Vec<(Level, Counts)> {
        let counts = |level| (level, self.counts(|row| row.level == level));
        let levels = Level::ALL.into_iter().map(counts);
        levels.filter(|(_, counts)| !counts.is_empty()).collect()
    }

    /// The groups in the catalogue's order, with their counts.
    #[must_use]
    pub fn by_group(&self) -> Vec<(&'static str, Counts)> {
        let mut groups: Vec<&'static str> = Vec::new();
        for row in &self.rows {
            if !groups.contains(&row.requirement.group.as_str()) {
                groups.push(&row.requirement.group);
            }
        }
        let counts = |group| (group, self.counts(|row| row.group == group));
        groups.into_iter().map(counts).collect()
    }
}

/// Of a hundred requirements that apply, how many pass; `None` if none applies.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
pub fn share_passed(counts: &Counts) -> Option<f64> {
    let count = |verdict| counts.get(&verdict).copied().unwrap_or(0);
    let apply: u64 = counts.values().sum::<u64>() - count(Verdict::NotApplicable);
    (apply > 0).then(|| 100.0 * count(Verdict::Pass) as f64 / apply as f64)
}

impl Row {
    fn new(requirement: &'static Requirement, outcomes: &[&ScenarioOutcome]) -> Self {
        let scenarios: BTreeSet<String> = outcomes
            .iter()
            .map(|outcome| discover::scenario_name(&outcome.path))
            .collect();
        let (verdict, reason) = judge(&requirement.id, outcomes);
        let failed = outcomes.iter().filter(|outcome| !outcome.passed());
        let mut kinds = Vec::new();
        for failure in failed.flat_map(|outcome| &outcome.failures) {
            if !kinds.contains(&failure.kind) {
                kinds.push(failure.kind);
            }
        }
        Self {
            requirement,
            verdict,
            scenarios: scenarios.into_iter().collect(),
            reason,
            kinds,
        }
    }
}

fn judge(id: &str, outcomes: &[&ScenarioOutcome]) -> (Verdict, Option<String>) {
    let failed = outcomes.iter().find_map(|outcome| match &outcome.verdict {
        Outcome::Fail | Outcome::Nondeterministic => {
            let what = outcome.failures.first().map_or("", |first| &first.what);
            Some(format!("{}: {what}", outcome.name))
        }
        Outcome::Invalid(problems) => {
            let what = problems.first().map_or("", |first| &first.what);
            Some(format!("{}: {what}", outcome.name))
        }
        Outcome::Pass | Outcome::Deviation(_) | Outcome::NotApplicable(_) | Outcome::Skipped(_) => {
            None
        }
    });
    if let Some(reason) = failed {
        return (Verdict::Fail, Some(reason));
    }
    let deviation = outcomes.iter().find_map(|outcome| match &outcome.verdict {
        Outcome::Deviation(why) => Some(why.clone()),
        _ => None,
    });
    if let Some(why) = deviation {
        return (Verdict::Deviation, Some(why));
    }
    let passed = |outcome: &&ScenarioOutcome| matches!(outcome.verdict, Outcome::Pass);
    if outcomes.iter().any(passed) {
        return (Verdict::Pass, None);
    }
    let cannot = outcomes.iter().find_map(|outcome| {
        outcome.via.stack()?;
        match &outcome.verdict {
            Outcome::NotApplicable(lacks) => lacks.first().map(|lack| lack.what.clone()),
            Outcome::Skipped(why) => Some(why.clone()),
            _ => None,
        }
    });
    if let Some(reason) = cannot {
        return (Verdict::NotApplicable, Some(reason));
    }
    match catalogue::not_applicable().get(id) {
        Some(reason) => (Verdict::NotApplicable, Some(reason.clone())),
        None => (Verdict::Missing, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::samples;

    fn covering(id: &str, outcome: ScenarioOutcome) -> ScenarioOutcome {
        ScenarioOutcome {
            covers: vec![id.to_owned()],
            ..outcome
        }
    }

    fn verdict(outcomes: &[ScenarioOutcome]) -> Verdict {
        let matrix = Matrix::new(outcomes, true);
        let row = |row: &&Row| row.requirement.id == "TCP-HS-SYNACK";
        matrix.rows.iter().find(row).unwrap().verdict
    }

    #[test]
    fn the_worst_of_its_scenarios_is_the_verdict_of_a_requirement() {
        let of = |outcome| covering("TCP-HS-SYNACK", outcome);
        assert_eq!(verdict(&[]), Verdict::Missing);
        assert_eq!(verdict(&[of(samples::left())]), Verdict::Missing);
        assert_eq!(verdict(&[of(samples::passed())]), Verdict::Pass);
        let two = [of(samples::passed()), of(samples::deviating())];
        assert_eq!(verdict(&two), Verdict::Deviation);
        let three = [two.to_vec(), vec![of(samples::failed())]].concat();
        assert_eq!(verdict(&three), Verdict::Fail);
        assert_eq!(verdict(&[of(samples::invalid())]), Verdict::Fail);
        assert_eq!(verdict(&[of(samples::nondeterministic())]), Verdict::Fail);
    }

    #[test]
    fn a_part_of_the_suite_says_nothing_of_the_rest() {
        let outcomes = [covering("TCP-HS-SYNACK", samples::passed())];
        assert_eq!(Matrix::new(&outcomes, false).rows.len(), 1);
        let whole = Matrix::new(&outcomes, true);
        assert_eq!(whole.rows.len(), catalogue::requirements().len());
        let total: u64 = whole
            .by_level()
            .iter()
            .flat_map(|(_, counts)| counts.values())
            .sum();
        assert_eq!(total, whole.rows.len() as u64);
    }

    #[test]
    fn what_does_not_apply_leaves_the_denominator() {
        let counts = Counts::from([
            (Verdict::Pass, 3),
            (Verdict::Deviation, 1),
            (Verdict::NotApplicable, 6),
        ]);
        assert_eq!(share_passed(&counts), Some(75.0));
        assert_eq!(
            share_passed(&Counts::from([(Verdict::NotApplicable, 6)])),
            None
        );
    }
}
