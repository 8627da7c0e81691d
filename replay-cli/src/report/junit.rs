//! The report continuous integration reads: JUnit XML, a suite for each folder, a case for each scenario.
//!
//! `time` is real time, which is nothing a verdict depends on; virtual time is a property of the case.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::human;
use super::reporter::{Ended, Reporter, Unwritten};
use crate::base::diagnostic::Diagnostic;
use crate::base::output::{self, Existing};
use crate::base::wording::{counted, seconds};
use crate::stack::Via;
use crate::verdict::outcome::{ScenarioOutcome, Verdict};

#[cfg(test)]
mod schema;

/// The report as a file, written at the end.
#[derive(Clone, Copy, Debug)]
pub struct Junit<'a> {
    /// The file.
    pub file: &'a Path,
    /// The folder of captures that the command named.
    pub captures: Option<&'a Path>,
    /// Whether payload bytes are shown.
    pub payload: bool,
}

impl Reporter for Junit<'_> {
    fn end(&mut self, _: &mut dyn Write, run: &Ended<'_>) -> Result<(), Unwritten> {
        let xml = report(run.outcomes, self.captures, self.payload);
        output::write(self.file, xml.as_bytes(), Existing::Replace, &[])
            .map_err(|problem| Unwritten::File(unwritten(problem)))
    }
}

/// Says of a diagnostic that it is about the report.
#[must_use]
pub fn unwritten(problem: Diagnostic) -> Diagnostic {
    Diagnostic {
        what: format!("the JUnit report cannot be written: {}", problem.what),
        ..problem
    }
}

/// The report of a run; `captures` is the folder the command named, for the line that runs a scenario again; `payload`:
/// whether payload bytes are shown.
#[must_use]
pub fn report(outcomes: &[ScenarioOutcome], captures: Option<&Path>, payload: bool) -> String {
    let mut suites: BTreeMap<&str, Vec<&ScenarioOutcome>> = BTreeMap::new();
    for outcome in outcomes {
        suites
            .entry(suite_of(&outcome.name))
            .or_default()
            .push(outcome);
    }
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing into a string cannot fail.
    let _ = write_suites(&mut xml, outcomes, &suites, (captures, payload));
    xml
}

fn write_suites(
    xml: &mut String,
    outcomes: &[ScenarioOutcome],
    suites: &BTreeMap<&str, Vec<&ScenarioOutcome>>,
    (captures, payload): (Option<&Path>, bool),
) -> fmt::Result {
    writeln!(xml, "<testsuites name=\"replay\" {}>", Counts::of(outcomes))?;
    for (name, cases) in suites {
        let counts = Counts::of(cases.iter().copied());
        writeln!(xml, "  <testsuite name=\"{}\" {counts}>", Escaped(name))?;
        for case in cases {
            write_case(xml, name, case, (captures, payload))?;
        }
        writeln!(xml, "  </testsuite>")?;
    }
    writeln!(xml, "</testsuites>")
}

fn write_case(
    xml: &mut String,
    suite: &str,
    outcome: &ScenarioOutcome,
    (captures, payload): (Option<&Path>, bool),
) -> fmt::Result {
    let file = outcome.path.to_string_lossy();
    let name = &outcome.name;
    let name = name
        .strip_prefix(suite)
        .unwrap_or(name)
        .trim_start_matches('/');
    write!(
        xml,
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\"",
        Escaped(suite),
        Escaped(name),
        Escaped(&file)
    )?;
    write!(xml, " time=\"{:.3}\"", outcome.wall.as_secs_f64())?;
    if let Some(line) = line_of(outcome) {
        write!(xml, " line=\"{line}\"")?;
    }
    writeln!(xml, ">")?;
    writeln!(xml, "      <properties>")?;
    for (name, value) in properties(outcome) {
        let value = Escaped(&value);
        writeln!(xml, "        <property name=\"{name}\" value=\"{value}\"/>")?;
    }
    writeln!(xml, "      </properties>")?;
    let text = || human::plain(outcome, captures, payload);
    match &outcome.verdict {
        Verdict::Pass => {}
        Verdict::Fail | Verdict::Nondeterministic => {
            let (kind, what) = outcome.failures.first().map_or(("failure", ""), |first| {
                (first.kind.label(), first.what.as_str())
            });
            write_problem(xml, "failure", kind, what, &text())?;
        }
        Verdict::Invalid(diagnostics) => {
            let what = match diagnostics.as_slice() {
                [only] => only.what.clone(),
                several => counted(several.len() as u64, "problem"),
            };
            write_problem(xml, "error", "invalid", &what, &text())?;
        }
        Verdict::NotApplicable(unmapped) => {
            let what = unmapped.iter().map(ToString::to_string).collect::<Vec<_>>();
            write_skipped(xml, &format!("not applicable: {}", what.join("; ")))?;
        }
        Verdict::Deviation(reason) => write_skipped(xml, &format!("deviation: {reason}"))?,
        Verdict::Skipped(reason) => write_skipped(xml, reason)?,
    }
    writeln!(xml, "    </testcase>")
}

/// The properties of a case, by name.
fn properties(outcome: &ScenarioOutcome) -> Vec<(&'static str, String)> {
    let mut properties = vec![
        ("virtual_time_s", seconds(outcome.figures.virtual_us)),
        ("checks", outcome.checks.to_string()),
    ];
    if outcome.via != Via::Core {
        properties.push(("via", outcome.via.label().to_owned()));
        properties.push(("core_only", outcome.core_only.to_string()));
    }
    let attached = outcome.trace_file.iter();
    properties
        .extend(attached.map(|file| ("attachment", file.path.to_string_lossy().into_owned())));
    properties
}

fn write_skipped(xml: &mut String, message: &str) -> fmt::Result {
    writeln!(xml, "      <skipped message=\"{}\"/>", Escaped(message))
}

fn write_problem(xml: &mut String, tag: &str, kind: &str, what: &str, text: &str) -> fmt::Result {
    let (what, text) = (Escaped(what), Escaped(text));
    writeln!(
        xml,
        "      <{tag} type=\"{kind}\" message=\"{what}\">{text}</{tag}>"
    )
}

/// The folder of a scenario's name, which is its suite.
fn suite_of(name: &str) -> &str {
    name.rsplit_once('/')
        .map_or("expectations", |(folder, _)| folder)
}

/// The line of the scenario file that speaks of the first problem.
fn line_of(outcome: &ScenarioOutcome) -> Option<u32> {
    let place = match &outcome.verdict {
        Verdict::Invalid(diagnostics) => diagnostics.first()?.where_.as_ref(),
        _ => outcome.failures.first()?.place.as_ref(),
    };
    place?.position.map(|position| position.line)
}

/// The attributes that count cases.
#[derive(Default)]
struct Counts {
    tests: u64,
    failures: u64,
    errors: u64,
    skipped: u64,
    wall: Duration,
}

impl Counts {
    fn of<'a>(outcomes: impl IntoIterator<Item = &'a ScenarioOutcome>) -> Self {
        let mut counts = Self::default();
        for outcome in outcomes {
            counts.tests += 1;
            counts.wall += outcome.wall;
            match outcome.verdict {
                Verdict::Pass => {}
                Verdict::Fail | Verdict::Nondeterministic => counts.failures += 1,
                Verdict::Invalid(_) => counts.errors += 1,
                Verdict::Skipped(_) | Verdict::Deviation(_) | Verdict::NotApplicable(_) => {
                    counts.skipped += 1;
                }
            }
        }
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tests,
            failures,
            errors,
            skipped,
            wall,
        } = self;
        write!(
            f,
            "tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\" time=\"{:.3}\"",
            wall.as_secs_f64()
        )
    }
}

/// Text as XML 1.0 holds it, in content and in attributes.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&apos;")?,
                '\n' | '\t' => f.write_char(character)?,
                // Characters that XML 1.0 section 2.2 has no way to write, and a carriage return, which it would drop.
                '\u{0}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}' => f.write_char('\u{fffd}')?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::samples;

    #[test]
    fn a_suite_is_a_folder_and_a_case_a_scenario() {
        insta::assert_snapshot!(report(&samples::all(), None, false));
    }

    #[test]
    fn a_report_is_as_the_schema_has_it() {
        let mut outcomes = samples::all();
        let mut traced = samples::failed();
        traced.name = "a<b>/\u{1b}[2J\"&'".into();
        traced.via = Via::Driver;
        traced.trace_file = Some(crate::verdict::outcome::TracePlace {
            path: "target/replay/a & b.pcapng".into(),
            frame: Some(3),
        });
        outcomes.push(traced);
        let mut scripted = samples::passed();
        let lack = Diagnostic::new("a <datagram>").in_file(Path::new("a.pkt"));
        scripted.verdict = Verdict::NotApplicable(vec![lack]);
        outcomes.push(scripted);
        let xml = report(&outcomes, None, true);
        assert_eq!(schema::check(&xml), Ok(()), "{xml}");
        assert_eq!(schema::check(&report(&[], None, false)), Ok(()));
    }

    #[test]
    fn another_way_in_is_a_property_with_the_checks_left_to_the_core() {
        let mut outcome = samples::passed();
        (outcome.via, outcome.core_only) = (Via::Driver, 3);
        let xml = report(&[outcome], None, false);
        assert!(xml.contains("<property name=\"via\" value=\"driver\"/>"));
        assert!(xml.contains("<property name=\"core_only\" value=\"3\"/>"));
    }

    #[test]
    fn text_is_escaped_for_xml() {
        let text = "<a b=\"c\" d='e'>&\u{0}\r\n\u{fffe}ü</a>";
        assert_eq!(
            Escaped(text).to_string(),
            "&lt;a b=&quot;c&quot; d=&apos;e&apos;&gt;&amp;\u{fffd}\u{fffd}\n\u{fffd}ü&lt;/a&gt;"
        );
    }

    #[test]
    fn a_scenario_without_a_folder_is_in_the_top_suite() {
        assert_eq!(
            (suite_of("get"), suite_of("tcp/close/fin")),
            ("expectations", "tcp/close")
        );
    }
}
