//! The report programs read: JSON with `"schema": 1`, to which a later version only adds.
//!
//! Nothing in it depends on real time or on the machine, so that two reports of the same run are equal byte for byte.

use serde_json::{Value, json};

use std::collections::BTreeMap;
use std::io::Write;

use super::Totals;
use super::reporter::{Ended, Reporter, Unwritten};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::golden::draft::find::{Stray, Waiting};
use crate::scenario::failure::Failure;
use crate::verdict::outcome::{Compared, ScenarioOutcome, TracePlace, Verdict};

/// The number of the report format.
pub const SCHEMA: u32 = 1;

/// The report for programs, one object at the end.
#[derive(Clone, Copy, Debug)]
pub struct Json {
    /// Whether payload bytes are shown.
    pub payload: bool,
}

impl Reporter for Json {
    fn end(&mut self, out: &mut dyn Write, ended: &Ended<'_>) -> Result<(), Unwritten> {
        let mut report = run(ended.outcomes, ended.totals, self.payload);
        let Waiting { drafts, strays } = ended.waiting;
        report["drafts"] = drafts.iter().map(|path| path.to_string_lossy()).collect();
        report["strays"] = strays
            .iter()
            .map(|Stray { path, why }| json!({ "path": path.to_string_lossy(), "why": why }))
            .collect();
        writeln!(out, "{report:#}")?;
        Ok(())
    }
}

/// The report of a run; `payload`: whether payload bytes are shown.
#[must_use]
pub fn run(outcomes: &[ScenarioOutcome], totals: &Totals, payload: bool) -> Value {
    let mut sums = json!({ "scenarios": totals.scenarios() });
    if let (Value::Object(sums), Value::Object(counts)) = (&mut sums, json!(totals)) {
        sums.extend(counts);
    }
    json!({
        "schema": SCHEMA,
        "scenarios": outcomes.iter().map(|outcome| scenario(outcome, payload)).collect::<Vec<_>>(),
        "totals": sums,
    })
}

fn scenario(outcome: &ScenarioOutcome, payload: bool) -> Value {
    let ScenarioOutcome {
        name,
        path,
        title,
        covers,
        verdict,
        failures,
        via,
        checks,
        core_only,
        figures,
        notes,
        trace: _,
        wall: _,
        trace_file,
        script,
        // `replay coverage` reports it.
        exercised: _,
    } = outcome;
    let mut value = json!({
        "name": name,
        "path": path.to_string_lossy(),
        "title": title,
        "covers": covers,
        "verdict": verdict.word(),
        "failures": failures.iter().map(|one| failure(one, payload)).collect::<Vec<_>>(),
        "via": via.label(),
        "checks": checks,
        "core_only": core_only,
        "figures": figures,
        "notes": notes,
    });
    if let Some(TracePlace { path, frame }) = trace_file {
        value["trace"] = json!({ "path": path.to_string_lossy(), "frame": frame });
    }
    if let Some(Compared {
        lines,
        compared,
        passed_over,
        not_compared,
    }) = script
    {
        value["script"] = json!({
            "lines": lines,
            "compared": compared,
            "passed_over": passed_over.iter().map(diagnostic).collect::<Vec<_>>(),
            "not_compared": not_compared.iter().map(diagnostic).collect::<Vec<_>>(),
        });
    }
    match verdict {
        Verdict::Invalid(diagnostics) | Verdict::NotApplicable(diagnostics) => {
            value["diagnostics"] = diagnostics.iter().map(diagnostic).collect();
        }
        Verdict::Skipped(reason) | Verdict::Deviation(reason) => value["reason"] = json!(reason),
        Verdict::Pass | Verdict::Fail | Verdict::Nondeterministic => {}
    }
    value
}

fn failure(failure: &Failure, shows_payload: bool) -> Value {
    let Failure {
        kind,
        what,
        expected,
        actual,
        payload,
        flow,
        frame,
        at_us,
        place,
        help,
    } = failure;
    let mut value = json!({
        "kind": kind.label(),
        "what": what,
        "expected": expected,
        "actual": actual,
        "flow": flow,
        "frame": frame,
        "at_us": at_us,
        "place": place.as_ref().map(self::place),
        "help": help,
    });
    if shows_payload {
        value["payload"] = json!(payload);
    }
    value
}

/// How many packets of a capture were skipped, for each reason.
pub(crate) fn skipped(skipped: &BTreeMap<String, u64>) -> Value {
    let skipped = skipped.iter();
    skipped
        .map(|(reason, count)| json!({ "reason": reason, "count": count }))
        .collect()
}

/// A diagnostic: where, what, what next.
pub(crate) fn diagnostic(diagnostic: &Diagnostic) -> Value {
    let Diagnostic { where_, what, help } = diagnostic;
    json!({ "place": where_.as_ref().map(place), "what": what, "help": help })
}

fn place(place: &Place) -> Value {
    let Place { path, position } = place;
    json!({
        "path": path.to_string_lossy(),
        "line": position.map(|position| position.line),
        "column": position.map(|position| position.column),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::samples;

    #[test]
    fn every_verdict_has_its_place_in_the_report() {
        let outcomes = samples::all();
        let mut totals = Totals::default();
        totals.extend(&outcomes);
        insta::assert_snapshot!(format!("{:#}", run(&outcomes, &totals, false)));
    }

    #[test]
    fn a_run_of_nothing_is_still_a_report() {
        let report = run(&[], &Totals::default(), false);
        assert_eq!(
            (&report["schema"], &report["scenarios"]),
            (&json!(1), &json!([]))
        );
    }
}
