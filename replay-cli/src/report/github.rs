//! Annotations and a job summary, as GitHub Actions reads them from the output of a step.
//!
//! A workflow command is a line `::error file=...,line=...,col=...,title=...::message`; what would end a property or the line is
//! escaped as the runner's toolkit escapes it.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use super::Totals;
use super::reporter::{Ended, Reporter, Unwritten};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::scenario::failure::Failure;
use crate::verdict::outcome::{ScenarioOutcome, Verdict};

/// Annotations as scenarios end, and a summary of the job.
#[derive(Clone, Debug)]
pub struct Github {
    /// Where the summary is appended: `$GITHUB_STEP_SUMMARY`.
    pub summary: Option<PathBuf>,
}

impl Reporter for Github {
    fn scenario(&mut self, out: &mut dyn Write, outcome: &ScenarioOutcome) -> io::Result<()> {
        annotations(out, outcome)
    }

    fn end(&mut self, _: &mut dyn Write, run: &Ended<'_>) -> Result<(), Unwritten> {
        let Some(path) = &self.summary else {
            return Ok(());
        };
        // The file is the runner's, and other steps append to it as well.
        let file = OpenOptions::new().append(true).create(true).open(path);
        file.and_then(|mut file| file.write_all(summary(run.outcomes, run.totals).as_bytes()))
            .map_err(|error| {
                let what = format!("the job summary cannot be written: {error}");
                Unwritten::File(Diagnostic::new(what).in_file(path))
            })
    }
}

/// Writes an annotation for each thing that is wrong with a scenario; nothing if it passed.
///
/// # Errors
/// Writing failed.
pub fn annotations(out: &mut dyn Write, outcome: &ScenarioOutcome) -> io::Result<()> {
    if outcome.passed() {
        return Ok(());
    }
    let own = Place {
        path: outcome.path.clone(),
        position: None,
    };
    let problems: &[Diagnostic] = match &outcome.verdict {
        Verdict::Invalid(problems) => problems,
        _ => &[],
    };
    for Diagnostic { what, where_, help } in problems {
        let title = format!("{}: invalid", outcome.name);
        let text = lines([
            Some(what.clone()),
            help.as_ref().map(|help| format!("help: {help}")),
        ]);
        annotation(out, where_.as_ref().unwrap_or(&own), &title, &text)?;
    }
    for failure in &outcome.failures {
        let Failure {
            kind,
            what,
            expected,
            actual,
            help,
            place,
            ..
        } = failure;
        let text = lines([
            Some(what.clone()),
            expected.as_ref().map(|line| format!("expected {line}")),
            actual.as_ref().map(|line| format!("actual   {line}")),
            help.as_ref().map(|help| format!("help: {help}")),
        ]);
        let title = format!("{}: {}", outcome.name, kind.label());
        annotation(out, place.as_ref().unwrap_or(&own), &title, &text)?;
    }
    Ok(())
}

fn lines<const N: usize>(lines: [Option<String>; N]) -> String {
    lines.into_iter().flatten().collect::<Vec<_>>().join("\n")
}

fn annotation(out: &mut dyn Write, place: &Place, title: &str, text: &str) -> io::Result<()> {
    let file = property(&place.path.to_string_lossy());
    write!(out, "::error file={file}")?;
    if let Some(at) = place.position {
        write!(out, ",line={},col={}", at.line, at.column)?;
    }
    writeln!(out, ",title={}::{}", property(title), data(text))
}

/// A message on one line.
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property's value, which a comma or a colon would end.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

/// The job summary: totals, and a row for each scenario that did not pass.
#[must_use]
pub fn summary(outcomes: &[ScenarioOutcome], totals: &Totals) -> String {
    let mut page = String::from(
        "## replay\n\n| passed | failed | invalid | checks |\n|---:|---:|---:|---:|\n",
    );
    // Writing into a string cannot fail.
    let _ = writeln!(
        page,
        "| {} | {} | {} | {} |",
        totals.passed,
        totals.failed + totals.nondeterministic,
        totals.invalid,
        totals.checks
    );
    let failed = outcomes.iter().filter(|outcome| !outcome.passed());
    let failed: Vec<_> = failed.collect();
    if !failed.is_empty() {
        page.push_str("\n| scenario | first failure |\n|---|---|\n");
    }
    for outcome in failed {
        let first = match &outcome.verdict {
            Verdict::Invalid(problems) => problems.first().map(|problem| problem.what.clone()),
            _ => {
                let first = outcome.failures.first();
                first.map(|first| format!("{}: {}", first.kind.label(), first.what))
            }
        };
        let (name, first) = (cell(&outcome.name), cell(&first.unwrap_or_default()));
        let _ = writeln!(page, "| {name} | {first} |");
    }
    page
}

/// Text in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('|', "\\|")
        .replace(['\r', '\n'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::samples;

    #[test]
    fn a_failure_is_an_annotation_at_its_place() {
        let mut out = Vec::new();
        annotations(&mut out, &samples::failed()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("::error file="), "{text}");
        assert!(
            text.lines().all(|line| line.starts_with("::error ")),
            "{text}"
        );
        assert!(
            text.contains(",line=") && text.contains(",title="),
            "{text}"
        );
    }

    #[test]
    fn what_would_end_a_property_or_a_line_is_escaped() {
        assert_eq!(property("a:b,c%\nd"), "a%3Ab%2Cc%25%0Ad");
        assert_eq!(data("50 %: a, b\r\n"), "50 %25: a, b%0D%0A");
    }

    #[test]
    fn the_summary_has_a_row_for_each_that_did_not_pass() {
        let outcomes = [samples::passed(), samples::failed()];
        let mut totals = Totals::default();
        totals.extend(&outcomes);
        let page = summary(&outcomes, &totals);
        assert_eq!(page.matches("\n| ").count(), 4, "{page}");
        assert!(!page.contains(&outcomes[0].name), "{page}");
    }

    #[test]
    fn a_cell_cannot_leave_its_table() {
        assert_eq!(cell("a|b\nc <d>"), "a\\|b c &lt;d>");
    }
}
