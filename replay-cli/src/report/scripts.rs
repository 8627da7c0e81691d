//! Packetdrill scripts in tables: each script, and how many of a folder ended how for which reason.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::table::{Align, Table};
use crate::base::diagnostic::Diagnostic;
use crate::base::term::{Paint, Style};
use crate::base::wording::counted;
use crate::scenario::failure::Failure;
use crate::verdict::outcome::{Compared, ScenarioOutcome, Verdict};

/// What was compared of a script, in words: `ran, 7 steps passed over`.
#[must_use]
pub fn compared(script: &Compared) -> String {
    let ran = match script.compared == script.lines {
        true => "ran".to_owned(),
        false => format!(
            "ran, {} of {} lines and results compared",
            script.compared, script.lines
        ),
    };
    match script.passed_over.len() as u64 {
        0 => ran,
        steps => format!("{ran}, {} passed over", counted(steps, "step")),
    }
}

/// The problem of a diagnostic, its line and column before it.
#[must_use]
pub fn placed(problem: &Diagnostic) -> String {
    match problem.where_.as_ref().and_then(|at| at.position) {
        Some(position) => format!("{position}: {}", problem.what),
        None => problem.what.clone(),
    }
}

/// Prints a line for each script, with what failed first, why it does not count, or how much of it was compared.
///
/// # Errors
/// Writing failed.
pub fn table(out: &mut dyn Write, outcomes: &[ScenarioOutcome], style: Style) -> io::Result<()> {
    let mut table = Table::new([
        ("VERDICT", Align::Left),
        ("SCRIPT", Align::Left),
        ("REASON", Align::Left),
    ]);
    for outcome in outcomes {
        let reason = match &outcome.verdict {
            Verdict::NotApplicable(problems) | Verdict::Invalid(problems) => {
                problems.iter().map(placed).collect::<Vec<_>>().join("; ")
            }
            Verdict::Pass => outcome.script.as_ref().map_or_else(String::new, compared),
            _ => outcome
                .failures
                .first()
                .map_or_else(String::new, |first| first.what.clone()),
        };
        let word = outcome.verdict.words();
        table.row([word, outcome.name.clone(), reason]);
    }
    print(&table, out, style)
}

/// Prints how many scripts of each folder ended how, for which reason.
///
/// # Errors
/// Writing failed.
pub fn reasons(out: &mut dyn Write, outcomes: &[ScenarioOutcome], style: Style) -> io::Result<()> {
    let mut counts: BTreeMap<(String, String, String), u64> = BTreeMap::new();
    for outcome in outcomes {
        let folder = outcome.path.parent().unwrap_or(&outcome.path);
        let word = outcome.verdict.words();
        let key = (folder.display().to_string(), word, reason(outcome));
        *counts.entry(key).or_default() += 1;
    }
    let mut table = Table::new([
        ("VERDICT", Align::Left),
        ("SCRIPTS", Align::Right),
        ("FOLDER", Align::Left),
        ("REASON", Align::Left),
    ]);
    for ((folder, word, reason), count) in counts {
        table.row([word, count.to_string(), folder, reason]);
    }
    print(&table, out, style)
}

fn print<const N: usize>(table: &Table<N>, out: &mut dyn Write, style: Style) -> io::Result<()> {
    table.print(out, style, |word| match word {
        "pass" => Some(Paint::Good),
        "not applicable" => Some(Paint::Attention),
        _ => Some(Paint::Bad),
    })?;
    writeln!(out)
}

/// Why a script ended as it did, without what is of this script alone.
#[must_use]
pub fn reason(outcome: &ScenarioOutcome) -> String {
    match &outcome.verdict {
        Verdict::NotApplicable(problems) | Verdict::Invalid(problems) => problems
            .first()
            .map_or_else(String::new, |first| first.what.clone()),
        Verdict::Pass => String::new(),
        _ => outcome.failures.first().map_or_else(String::new, kind),
    }
}

/// A failure by its kind and the fields that differ.
fn kind(failure: &Failure) -> String {
    let fields = failure
        .what
        .split("; ")
        .filter_map(|part| part.split_once(": expected "));
    let fields: Vec<&str> = fields.map(|(field, _)| field).collect();
    match (fields.as_slice(), failure.what.split_once('`')) {
        ([], Some((_, rest))) if failure.what.starts_with('`') => {
            let call = rest.split('`').next().unwrap_or_default();
            format!("{}: {call}", failure.kind.label())
        }
        ([], _) => failure.kind.label().to_owned(),
        (fields, _) => format!("{}: {}", failure.kind.label(), fields.join(", ")),
    }
}
