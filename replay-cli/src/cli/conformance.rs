//! `replay conformance`: the scenarios of expectations/, reported requirement by requirement.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{Args, ValueEnum};

use super::arguments::{self, OtherStack, WayIn};
use super::batch::{self, Progress};
use super::{Stop, code_if};
use crate::base::diagnostic::Diagnostic;
use crate::base::exit_code;
use crate::base::output::{self, Existing};
use crate::base::term::Terminal;
use crate::base::wording::counted;
use crate::golden::draft::find::Waiting;
use crate::report::conformance::{self as report, Column};
use crate::report::html::Html;
use crate::report::reporter::{Ended, Reporter as _};
use crate::report::{Totals, trace};
use crate::scenario::discover::Discovery;
use crate::verdict::conformance::baseline::{Baseline, Standing};
use crate::verdict::conformance::{Matrix, Notes, Row, Verdict};
use crate::verdict::outcome::ScenarioOutcome;
use crate::verdict::run::RunOptions;

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct ConformanceArgs {
    /// Scenario files and folders; only what they cover is reported [default: expectations/, found upward from here].
    paths: Vec<PathBuf>,

    #[command(flatten)]
    files: arguments::Reading,

    /// How many scenarios run at a time [default: one for each core].
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    format: MatrixFormat,

    #[command(flatten)]
    other: OtherStack,

    #[command(flatten)]
    traces: arguments::Traces,

    /// Write a report as a page that needs no network into this folder.
    #[arg(long, value_name = "DIR")]
    html: Option<PathBuf>,

    /// What was found by hand of another stack's rows, a JSON object of requirements: `reason`, and where it is not
    /// comparable, `verdict`.
    #[arg(long, value_name = "FILE", requires = "stack")]
    notes: Option<PathBuf>,

    /// A JSON report of another stack to stand beside this one in markdown, named for its file; may be repeated.
    #[arg(long, value_name = "FILE")]
    column: Vec<PathBuf>,

    /// Requirements that are known to fail, and how: they are no failure of the run; others that fail are, and those that
    /// pass again are told.
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,

    /// Write the baseline anew from this run; what it says of requirements that were not run stays.
    #[arg(long, requires = "baseline")]
    write_baseline: bool,
}

/// What form the matrix has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum MatrixFormat {
    /// Text to read.
    #[default]
    Human,
    /// One JSON object, `"schema": 1`.
    Json,
    /// The page docs/generated/CONFORMANCE.md.
    Markdown,
}

const EXAMPLES: &str = "\
Examples:
  replay conformance                                     every requirement
  replay conformance expectations/conformance/tcp-close  one group
  replay conformance --format json > conformance.json
  replay conformance --format markdown --column docs/generated/rivals/other.json
  replay conformance --stack other --notes other.notes.json --format json > other.json
  replay conformance --stack other --baseline other.baseline.json --write-baseline
  replay conformance --stack other --baseline other.baseline.json

Exit codes; of several, the worst (in the order 70, 2, 3, 6, 1, 4):
  0   every requirement passes, deviates as is known, fails as the baseline has it, or does not apply
  1   a requirement fails
  3   a scenario or one of its files is missing or invalid
  4   nothing was selected, or a requirement has no scenario
  6   two runs of a scenario gave different outputs
  70  a bug in replay or in the engine";

pub(crate) fn run(args: &ConformanceArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    batch::check_captures(args.files.captures.as_deref())?;
    let columns = args.column.iter().map(|path| column(path));
    let columns = columns
        .collect::<Result<Vec<_>, _>>()
        .map_err(Stop::input)?;
    let notes = args.notes.as_deref().map(notes).transpose();
    let notes = notes.map_err(Stop::input)?;
    let baseline = args.baseline.as_deref();
    let baseline = baseline.map(|path| known(path, args.write_baseline).map(|known| (path, known)));
    let baseline = baseline.transpose().map_err(Stop::input)?;
    let discovery = batch::select(&args.paths, "")?;
    let options = RunOptions {
        via: arguments::via(WayIn::Core, &args.other)?,
        trace: args.traces.when(),
        ..args.files.options()
    };
    let (mut totals, outcomes) = run_all(args, &discovery, &options, terminal)?;
    let mut matrix = Matrix::new(&outcomes, args.paths.is_empty());
    let stale = notes.map_or_else(Vec::new, |notes| matrix.note(&notes));
    let style = terminal.style;
    match args.format {
        MatrixFormat::Human => report::human(terminal.out(), &matrix, style)?,
        MatrixFormat::Json => {
            let report = report::json(&matrix, options.via.stack());
            writeln!(terminal.out(), "{report:#}")?;
        }
        MatrixFormat::Markdown => {
            write!(terminal.out(), "{}", report::markdown(&matrix, &columns))?;
        }
    }
    terminal.flush()?;
    let standing = baseline.as_ref().map(|(_, known)| known.against(&matrix));
    let rows = matrix.rows.iter();
    for row in rows.filter(|row| row.verdict == Verdict::Fail) {
        let reason = row.reason.as_deref().unwrap_or_default();
        let id = &row.requirement.id;
        let how = standing.as_ref().map(|standing| describe(standing, id));
        let how = how.unwrap_or_else(|| "fails".to_owned());
        terminal.say(&format!("{id} {how}: {reason}"))?;
    }
    if let (Some((path, known)), Some(standing)) = (baseline, standing) {
        report_standing(&standing, path, terminal)?;
        let renewed = args.write_baseline.then(|| known.renewed(&matrix));
        if let Some(renewed) = &renewed {
            let inputs: Vec<PathBuf> = discovery
                .found
                .iter()
                .map(|file| file.path.clone())
                .collect();
            output::write(path, renewed.text().as_bytes(), Existing::Replace, &inputs)
                .map_err(Stop::usage)?;
            terminal.say(&format!("wrote {}", path.display()))?;
        }
        let standing = renewed.as_ref().unwrap_or(&known).against(&matrix);
        let excused = outcomes.iter().filter(|outcome| standing.knows(outcome));
        let excused = excused.count() as u64;
        totals.failed = totals.failed.saturating_sub(excused);
        totals.deviations = totals.deviations.saturating_add(excused);
    }
    for id in stale {
        terminal.say(&format!(
            "the note on {id} does not hold any more: the requirement does not fail; take it out"
        ))?;
    }
    let missing = batch::report_missing(&discovery, terminal)?;
    let is_missing = |row: &Row| row.verdict == Verdict::Missing;
    let unmet = code_if(
        matrix.rows.iter().any(is_missing),
        exit_code::NOTHING_SELECTED,
    );
    Ok(exit_code::worst(
        totals.exit_code(),
        exit_code::worst(missing, unmet),
    ))
}

/// Runs the scenarios, and writes their traces and the page as it is asked for.
fn run_all(
    args: &ConformanceArgs,
    discovery: &Discovery,
    options: &RunOptions,
    terminal: &mut Terminal<'_>,
) -> Result<(Totals, Vec<ScenarioOutcome>), Stop> {
    let started = Instant::now();
    let mut totals = Totals::default();
    let mut outcomes = Vec::new();
    let html = args.html.clone();
    let mut html = html.map(|folder| Html::new(folder, arguments::command_line()));
    let traces = args.traces.folder();
    let mut progress = Progress::of(discovery.found.len(), terminal.progress);
    batch::run_files(&discovery.found, args.jobs, options, |result| {
        totals.bugs += u64::from(result.panicked);
        totals.extend(&result.outcomes);
        for mut outcome in result.outcomes {
            outcome.trace_file = trace::write(&traces, &outcome).map_err(Stop::usage)?;
            if let Some(html) = &mut html {
                html.scenario(terminal.out(), &outcome)?;
            }
            outcome.trace = None;
            outcomes.push(outcome);
        }
        progress.step();
        Ok(true)
    })?;
    progress.bar.finish_and_clear();
    if let Some(html) = &mut html {
        let ended = Ended {
            outcomes: &outcomes,
            totals: &totals,
            waiting: &Waiting::default(),
            wall: started.elapsed(),
        };
        html.end(terminal.out(), &ended)?;
    }
    Ok((totals, outcomes))
}

/// The baseline; one that is to be written need not be there.
fn known(path: &Path, write: bool) -> Result<Baseline, Diagnostic> {
    let refused = |problem: String| {
        Diagnostic::new(format!("the baseline cannot be used: {problem}"))
            .in_file(path)
            .help("make one with `--write-baseline`; see docs/STACK_PROTOCOL.md")
    };
    match std::fs::read_to_string(path) {
        Ok(text) => Baseline::read(&text).map_err(refused),
        Err(error) if write && error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Baseline::default())
        }
        Err(error) => Err(refused(error.to_string())),
    }
}

/// Whether a failure is known, and if not by which kinds it is new.
fn describe(standing: &Standing, id: &str) -> String {
    match standing.new.get(id) {
        None => "fails, as is known".to_owned(),
        Some(kinds) => {
            let kinds: Vec<&str> = kinds.iter().map(|kind| kind.label()).collect();
            format!("fails, which is new ({})", kinds.join(", "))
        }
    }
}

/// What was mended since the baseline, and how many rows stand how.
fn report_standing(
    standing: &Standing,
    path: &Path,
    terminal: &mut Terminal<'_>,
) -> Result<(), Stop> {
    let path = path.display();
    for id in &standing.mended {
        terminal.say(&format!(
            "{id} passes, and {path} says that it fails: renew it with `--write-baseline`"
        ))?;
    }
    let failures = counted(standing.new.len() as u64, "new failure");
    let mended = standing.mended.len();
    let known = standing.known.len();
    terminal.say(&format!(
        "held against {path}: {failures}, {known} known, {mended} mended"
    ))?;
    Ok(())
}

fn notes(path: &Path) -> Result<Notes, Diagnostic> {
    let refused = |problem: String| {
        Diagnostic::new(format!("the notes cannot be used: {problem}"))
            .in_file(path)
            .help("a JSON object: {\"TCP-HS-SYNACK\": {\"reason\": \"...\"}}; see docs/STACK_PROTOCOL.md")
    };
    let text = std::fs::read_to_string(path).map_err(|error| refused(error.to_string()))?;
    Notes::read(&text).map_err(refused)
}

fn column(path: &Path) -> Result<Column, Diagnostic> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Diagnostic::new(format!("the report cannot be read: {error}")).in_file(path)
    })?;
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    Column::read(&name, &text).map_err(|problem| {
        Diagnostic::new(format!("this is no conformance report: {problem}"))
            .in_file(path)
            .help("make one with `replay conformance --format json`")
    })
}
