//! What a stack is known to fail, so that a run can report what is new.

use std::collections::{BTreeMap, BTreeSet};

use super::{Matrix, Row, Verdict};
use crate::scenario::catalogue;
use crate::scenario::failure::FailureKind;
use crate::verdict::outcome::{ScenarioOutcome, Verdict as Outcome};

/// The requirements that a stack is known to fail, each with the kinds of its failures.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline(BTreeMap<String, BTreeSet<FailureKind>>);

/// A matrix held against a [`Baseline`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Requirements that fail, each in no way but those that are known.
    pub known: BTreeSet<String>,
    /// Requirements that fail and are not known to, or not in this way: the kinds that are new.
    pub new: BTreeMap<String, BTreeSet<FailureKind>>,
    /// Requirements that are known to fail, were run, and do not.
    pub mended: BTreeSet<String>,
}

impl Baseline {
    /// Reads what [`Self::text`] has written.
    ///
    /// # Errors
    /// The text is no such object, or names a requirement or a kind of failure that there is not.
    pub fn read(text: &str) -> Result<Self, String> {
        let rows: BTreeMap<String, BTreeSet<FailureKind>> =
            serde_json::from_str(text).map_err(|error| error.to_string())?;
        match rows.keys().find(|id| catalogue::requirement(id).is_none()) {
            Some(id) => Err(format!("there is no requirement `{id}`")),
            None => Ok(Self(rows)),
        }
    }

    /// The file: one requirement a line, in the order of their names.
    #[must_use]
    pub fn text(&self) -> String {
        let lines = self.0.iter().map(|(id, kinds)| {
            let mut labels: Vec<&str> = kinds.iter().map(|kind| kind.label()).collect();
            labels.sort_unstable();
            format!("  \"{id}\": [\"{}\"]", labels.join("\", \""))
        });
        let lines: Vec<String> = lines.collect();
        match lines.is_empty() {
            true => "{}\n".to_owned(),
            false => format!("{{\n{}\n}}\n", lines.join(",\n")),
        }
    }

    /// What fails now. Of requirements that were not run, what an earlier baseline has.
    #[must_use]
    pub fn renewed(&self, matrix: &Matrix) -> Self {
        let was_run = |id: &String| matrix.rows.iter().any(|row| row.requirement.id == *id);
        let mut rows = self.0.clone();
        rows.retain(|id, _| !was_run(id));
        rows.extend(failing(matrix).map(|row| {
            let kinds = row.kinds.iter().copied().collect();
            (row.requirement.id.clone(), kinds)
        }));
        Self(rows)
    }

    /// Holds a run against it.
    #[must_use]
    pub fn against(&self, matrix: &Matrix) -> Standing {
        let mut standing = Standing::default();
        for row in failing(matrix) {
            let id = &row.requirement.id;
            let known = self.0.get(id);
            let new = row.kinds.iter().copied();
            let new = new.filter(|kind| known.is_none_or(|known| !known.contains(kind)));
            let new: BTreeSet<FailureKind> = new.collect();
            if known.is_some() && new.is_empty() {
                standing.known.insert(id.clone());
            } else {
                standing.new.insert(id.clone(), new);
            }
        }
        let mended = matrix
            .rows
            .iter()
            .filter(|row| row.verdict == Verdict::Pass);
        let mended = mended.filter(|row| self.0.contains_key(&row.requirement.id));
        standing.mended = mended.map(|row| row.requirement.id.clone()).collect();
        standing
    }
}

impl Standing {
    /// Whether a scenario that fails shows nothing but what is known, or was found to say nothing of the stack. What cannot be
    /// used and what differs from run to run is never known.
    #[must_use]
    pub fn knows(&self, outcome: &ScenarioOutcome) -> bool {
        matches!(outcome.verdict, Outcome::Fail)
            && !outcome.covers.is_empty()
            && outcome.covers.iter().all(|id| !self.new.contains_key(id))
            && outcome
                .covers
                .iter()
                .any(|id| catalogue::requirement(id).is_some())
    }
}

fn failing(matrix: &Matrix) -> impl Iterator<Item = &Row> {
    matrix
        .rows
        .iter()
        .filter(|row| row.verdict == Verdict::Fail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::samples;

    fn matrix(outcomes: [(&str, ScenarioOutcome); 2]) -> Matrix {
        let outcomes = outcomes.map(|(id, outcome)| ScenarioOutcome {
            covers: vec![id.to_owned()],
            ..outcome
        });
        Matrix::new(&outcomes, false)
    }

    fn half_failed() -> Matrix {
        matrix([
            ("TCP-HS-SYNACK", samples::failed()),
            ("UDP-RELAY", samples::passed()),
        ])
    }

    #[test]
    fn a_failure_is_new_until_the_baseline_has_it() {
        let matrix = half_failed();
        let standing = Baseline::default().against(&matrix);
        assert!(standing.new.contains_key("TCP-HS-SYNACK") && standing.known.is_empty());
        let standing = Baseline::default().renewed(&matrix).against(&matrix);
        assert!(standing.new.is_empty() && standing.known.contains("TCP-HS-SYNACK"));
    }

    #[test]
    fn a_failure_of_another_kind_is_new() {
        let known = Baseline::read("{\"TCP-HS-SYNACK\": [\"livelock\"]}").unwrap();
        let standing = known.against(&half_failed());
        assert!(!standing.new["TCP-HS-SYNACK"].is_empty());
    }

    #[test]
    fn a_requirement_that_passes_again_is_mended() {
        let known = Baseline::read("{\"UDP-RELAY\": [\"missing-packet\"]}").unwrap();
        let standing = known.against(&half_failed());
        assert_eq!(standing.mended, BTreeSet::from(["UDP-RELAY".to_owned()]));
    }

    #[test]
    fn renewing_by_a_part_of_the_suite_keeps_the_rest() {
        let other = &catalogue::requirements().last().unwrap().id;
        let known = Baseline::read(&format!(
            "{{\"{other}\": [\"wrong-packet\", \"missing-packet\"]}}"
        ));
        let renewed = known.unwrap().renewed(&half_failed());
        let written = renewed.text();
        assert_eq!(Baseline::read(&written), Ok(renewed));
        assert!(written.contains(&format!(
            "\"{other}\": [\"missing-packet\", \"wrong-packet\"]"
        )));
        assert!(written.contains("\"TCP-HS-SYNACK\": ["));
    }

    #[test]
    fn what_is_no_baseline_is_refused() {
        assert!(Baseline::read("{\"TCP-NOPE\": [\"missing-packet\"]}").is_err());
        assert!(Baseline::read("{\"TCP-HS-SYNACK\": [\"bad-mood\"]}").is_err());
        assert!(Baseline::read("[]").is_err());
    }
}
