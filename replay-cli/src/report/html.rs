//! A run as a page that needs nothing but itself: no network, no other file, any browser.
//!
//! One file, `index.html`. What it shows stands in it as JSON in script tags, one for the index and one for each scenario, which the
//! page reads when it is opened; style and script are ours, next to this file.

use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use serde_json::{Value, json};

use super::figures_line;
use super::ladder::{Ladder, Rung};
use super::likely;
use super::reporter::{Ended, Reporter, Unwritten};
use crate::base::diagnostic::{Diagnostic, Place};
use crate::base::output::{self, Existing};
use crate::base::wording::{counted, seconds};
use crate::scenario::failure::Failure;
use crate::verdict::outcome::{ScenarioOutcome, Verdict};

pub mod attempt;
pub mod stress;

const PAGE: &str = include_str!("html/page.html");
const STYLE: &str = include_str!("html/page.css");
const SCRIPT: &str = concat!(include_str!("html/load.js"), include_str!("html/page.js"));

/// Events that a page has of one run, around its divergence.
const RUNGS: usize = 3_000;
/// The largest scenario that is shown, bytes.
const SOURCE: u64 = 256 << 10;

/// The report as a page, written at the end.
#[derive(Debug)]
pub struct Html {
    /// The folder that gets `index.html`.
    folder: PathBuf,
    /// What was run, as on the command line.
    command: String,
    entries: Vec<Value>,
    /// The data of each scenario, escaped.
    pages: Vec<String>,
}

impl Html {
    /// A page in this folder about what the command ran.
    #[must_use]
    pub const fn new(folder: PathBuf, command: String) -> Self {
        Self {
            folder,
            command,
            entries: Vec::new(),
            pages: Vec::new(),
        }
    }
}

impl Reporter for Html {
    fn scenario(&mut self, _: &mut dyn Write, outcome: &ScenarioOutcome) -> io::Result<()> {
        self.entries.push(entry(outcome));
        self.pages.push(escaped(&scenario(outcome, &self.folder)));
        Ok(())
    }

    fn end(&mut self, _: &mut dyn Write, run: &Ended<'_>) -> Result<(), Unwritten> {
        let report = json!({
            "kind": "run",
            "title": "Scenarios",
            "command": self.command,
            "checks": run.totals.checks,
            "virtual_us": run.totals.virtual_us,
            "scenarios": self.entries,
        });
        let mut data = tag("report", &escaped(&report));
        for (index, page) in self.pages.iter().enumerate() {
            data.push_str(&tag(&format!("s{index}"), page));
        }
        write(&self.folder, "replay: scenarios", &data).map_err(Unwritten::File)
    }
}

/// Writes the page of some data.
fn write(folder: &Path, title: &str, data: &str) -> Result<(), Diagnostic> {
    // Data comes last, so that nothing is looked for in it.
    let page = PAGE
        .replace("{title}", title)
        .replace("{style}", STYLE)
        .replace("{script}", SCRIPT)
        .replace("{data}", data);
    let path = folder.join("index.html");
    output::write(&path, page.as_bytes(), Existing::Replace, &[]).map_err(|problem| Diagnostic {
        what: format!("the HTML report cannot be written: {}", problem.what),
        ..problem
    })
}

fn tag(id: &str, data: &str) -> String {
    format!("<script type=\"application/json\" id=\"{id}\">{data}</script>\n")
}

/// JSON as a script tag can hold it: without `<`, neither `</script` nor `<!--` can stand in it.
fn escaped(value: &Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

/// A scenario's line in the index.
fn entry(outcome: &ScenarioOutcome) -> Value {
    let why = match &outcome.verdict {
        Verdict::Invalid(problems) => problems.first().map(|problem| problem.what.clone()),
        _ if outcome.passed() => None,
        _ => outcome.failures.first().map(|first| first.what.clone()),
    };
    json!({
        "name": outcome.name,
        "verdict": outcome.verdict.words(),
        "title": outcome.title,
        "why": why,
        "checks": outcome.checks,
        "virtual_us": outcome.figures.virtual_us,
        "wall_us": u64::try_from(outcome.wall.as_micros()).unwrap_or(u64::MAX),
    })
}

/// All that a scenario's page shows.
fn scenario(outcome: &ScenarioOutcome, folder: &Path) -> Value {
    let first = outcome.failures.first();
    let problems: Vec<Diagnostic> = match &outcome.verdict {
        Verdict::Invalid(problems) | Verdict::NotApplicable(problems) => problems.clone(),
        _ => Vec::new(),
    };
    let known: Vec<&String> = match &outcome.verdict {
        Verdict::Deviation(why) | Verdict::Skipped(why) => vec![why],
        _ => Vec::new(),
    };
    let mut failures: Vec<Value> = problems.iter().map(problem).collect();
    failures.extend(outcome.failures.iter().map(failure));
    let invalid = problems
        .iter()
        .map(|problem| (problem.where_.as_ref(), &problem.what));
    let failed = outcome
        .failures
        .iter()
        .map(|failure| (failure.place.as_ref(), &failure.what));
    let marks = invalid.chain(failed).filter_map(|(place, what)| {
        let at = place.filter(|place| place.path == outcome.path)?.position?;
        Some(json!([at.line, at.column, what]))
    });
    let marks: Vec<Value> = marks.collect();
    let mut page = json!({
        "path": outcome.path.to_string_lossy(),
        "line": format!("{}; {}", counted(outcome.checks, "check"), figures_line(&outcome.figures)),
        "known": known,
        "failures": failures,
        "notes": outcome.notes,
        "marks": marks,
        "source": source(&outcome.path),
    });
    if let Some(trace) = &outcome.trace {
        let ladder = Ladder::of(trace, first);
        let likely = first.and_then(|first| likely::likely(trace, &ladder, first));
        let likely =
            likely.map(|found| json!({ "text": found.text, "proof": found.proof(&ladder) }));
        page["likely"] = likely.into();
        page["counters"] = json!(trace.counters);
        put_ladder(&mut page, &ladder, ladder.window(RUNGS));
    }
    if let Some(file) = &outcome.trace_file {
        let frame = file.frame.map(|frame| format!(", frame {frame}"));
        let frame = frame.unwrap_or_default();
        page["trace"] = json!(link(folder, &file.path));
        page["trace_label"] = json!(format!("trace for Wireshark{frame}"));
    }
    page
}

/// Adds the rungs of a range to the data of a page.
fn put_ladder(page: &mut Value, ladder: &Ladder, range: std::ops::Range<usize>) {
    let flows = ladder.flows();
    let index: std::collections::HashMap<&str, usize> = flows.iter().copied().zip(0..).collect();
    let missing = ladder.forgotten + (ladder.rungs.len() - range.len()) as u64;
    let from = range.start;
    let rungs = ladder.rungs.get(range).unwrap_or_default();
    let rungs = rungs.iter().map(|rung| {
        let Rung {
            event,
            way,
            again,
            behind,
            number,
        } = rung;
        let flow = rung.flow().and_then(|name| index.get(name));
        let flow = flow.map_or(-1, |flow| i64::try_from(*flow).unwrap_or(-1));
        let tcp = event.tcp.as_ref().map(|tcp| {
            let ack = tcp.acknowledgement.map_or(-1, i64::from);
            json!([tcp.sequence, tcp.len, ack, tcp.window, tcp.flags.0])
        });
        let (at, way, again) = (event.at_us, *way as u8, u8::from(*again));
        json!([at, way, flow, again, number, event.what, tcp, behind])
    });
    page["rungs"] = rungs.collect();
    page["flows"] = json!(flows);
    if missing > 0 {
        page["cut"] = json!(format!("{} more are not shown", counted(missing, "event")));
    }
    if let Some(found) = &ladder.divergence {
        page["divergence"] = json!({
            "rung": found.rung.checked_sub(from),
            "what": found.what,
            "expected": found.expected,
            "actual": found.actual,
        });
    }
}

fn failure(failure: &Failure) -> Value {
    json!({
        "kind": failure.kind.label(),
        "what": failure.what,
        "expected": failure.expected,
        "actual": failure.actual,
        "where": failure.place.as_ref().map(Place::to_string),
        "flow": failure.flow,
        "at": failure.at_us.map(|at| format!("{} s", seconds(at))),
        "help": failure.help,
    })
}

fn problem(problem: &Diagnostic) -> Value {
    json!({
        "kind": "invalid",
        "what": problem.what,
        "where": problem.where_.as_ref().map(Place::to_string),
        "help": problem.help,
    })
}

/// The scenario as it is written; none if it is very large or gone.
fn source(path: &Path) -> Option<String> {
    let size = std::fs::metadata(path).ok()?.len();
    (size <= SOURCE).then(|| std::fs::read_to_string(path).ok())?
}

/// The way from a folder to a file, as a link.
fn link(folder: &Path, file: &Path) -> String {
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let (folder, file) = (whole(folder), whole(file));
    let shared = folder.components().zip(file.components());
    let shared = shared.take_while(|(one, other)| one == other).count();
    let up = folder.components().skip(shared).map(|_| "..".to_owned());
    let down = file.components().skip(shared).map(|part| match part {
        Component::Normal(name) => percent(&name.to_string_lossy()),
        other => other.as_os_str().to_string_lossy().into_owned(),
    });
    up.chain(down).collect::<Vec<_>>().join("/")
}

/// A name as a part of a URL (RFC 3986 section 2.1).
fn percent(name: &str) -> String {
    let mut text = String::new();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            text.push(char::from(byte));
        } else {
            // Writing into a string cannot fail.
            let _ = std::fmt::Write::write_fmt(&mut text, format_args!("%{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::golden::draft::find::Waiting;
    use crate::report::Totals;
    use crate::verdict::samples;

    fn page(outcomes: &[ScenarioOutcome]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let mut html = Html::new(folder.path().to_owned(), "replay run".into());
        let mut totals = Totals::default();
        totals.extend(outcomes);
        for outcome in outcomes {
            html.scenario(&mut Vec::new(), outcome).unwrap();
        }
        let ended = Ended {
            outcomes,
            totals: &totals,
            waiting: &Waiting::default(),
            wall: Duration::ZERO,
        };
        html.end(&mut Vec::new(), &ended).unwrap();
        std::fs::read_to_string(folder.path().join("index.html")).unwrap()
    }

    #[test]
    fn no_text_of_a_run_can_leave_its_script_tag() {
        let mut hostile = samples::failed();
        hostile.title = "</script><script>alert(1)</script><!--".into();
        let page = page(&[hostile]);
        assert!(!page.contains("alert(1)</script>"), "{page}");
        assert!(page.contains("\\u003c/script>\\u003cscript>alert(1)"));
        assert_eq!(page.matches("</script>").count(), 3);
    }

    #[test]
    fn the_page_names_nothing_beyond_itself() {
        let page = page(&samples::all());
        for way_out in ["http:", "https:", " src=", "@import", "url(", "fetch("] {
            let found = page
                .replace("http://www.w3.org/2000/svg", "")
                .contains(way_out);
            assert!(!found, "{way_out}");
        }
    }

    #[test]
    fn a_page_without_data_is_small() {
        assert!(PAGE.len() + STYLE.len() + SCRIPT.len() < 80_000);
    }

    #[test]
    fn a_link_leads_from_the_report_to_the_trace() {
        let way = |folder: &str, file: &str| link(Path::new(folder), Path::new(file));
        assert_eq!(
            way("/a/html", "/a/traces/x y.pcapng"),
            "../traces/x%20y.pcapng"
        );
        assert_eq!(way("/a", "/a/x#1.pcapng"), "x%231.pcapng");
    }
}
