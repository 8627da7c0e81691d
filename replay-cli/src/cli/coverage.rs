//! `replay coverage`: what scenarios exercise of the engine, and what none of them does.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::batch::{self, Progress};
use super::{Stop, arguments, code_if};
use crate::base::exit_code;
use crate::base::term::Terminal;
use crate::report::{Totals, coverage as report};
use crate::verdict::coverage::Coverage;
use crate::verdict::run::RunOptions;

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct CoverageArgs {
    /// Scenario files and folders [default: expectations/, found upward from here].
    paths: Vec<PathBuf>,

    #[command(flatten)]
    files: arguments::Reading,

    /// How many scenarios run at a time [default: one for each core].
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    format: CoverageFormat,

    /// Fail where something is neither exercised nor has a reason, or has one and is exercised: the reasons are those of this
    /// project's own scenarios.
    #[arg(long)]
    check: bool,
}

/// What form the report has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum CoverageFormat {
    /// Text to read.
    #[default]
    Human,
    /// One JSON object, `"schema": 1`.
    Json,
    /// The page docs/generated/COVERAGE.md.
    Markdown,
}

const EXAMPLES: &str = "\
Examples:
  replay coverage                               what expectations/ exercises, and what it does not
  replay coverage expectations/tcp --format json
  replay coverage --check                       everything is exercised, or has its reason

Exit codes; of several, the worst (in the order 70, 2, 3, 6, 1, 4):
  0   the scenarios pass
  1   a scenario fails; with --check, something is not exercised without a reason
  3   a scenario or one of its files is missing or invalid
  4   nothing was selected
  6   two runs of a scenario gave different outputs
  70  a bug in replay or in the engine";

pub(crate) fn run(args: &CoverageArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    batch::check_captures(args.files.captures.as_deref())?;
    let discovery = batch::select(&args.paths, "")?;
    let options = RunOptions {
        coverage: true,
        ..args.files.options()
    };
    let mut totals = Totals::default();
    let mut outcomes = Vec::new();
    let mut progress = Progress::of(discovery.found.len(), terminal.progress);
    batch::run_files(&discovery.found, args.jobs, &options, |result| {
        totals.bugs += u64::from(result.panicked);
        totals.extend(&result.outcomes);
        outcomes.extend(result.outcomes);
        progress.step();
        Ok(true)
    })?;
    progress.bar.finish_and_clear();
    let coverage = Coverage::new(&outcomes, args.check);
    let style = terminal.style;
    match args.format {
        CoverageFormat::Human => report::human(terminal.out(), &coverage, style)?,
        CoverageFormat::Json => writeln!(terminal.out(), "{:#}", report::json(&coverage))?,
        CoverageFormat::Markdown => write!(terminal.out(), "{}", report::markdown(&coverage))?,
    }
    terminal.flush()?;
    for problem in &coverage.problems {
        terminal.say(problem)?;
    }
    for outcome in outcomes.iter().filter(|outcome| !outcome.passed()) {
        let name = &outcome.name;
        terminal.say(&format!("{name} does not pass: `replay run` says why"))?;
    }
    let missing = batch::report_missing(&discovery, terminal)?;
    let unmet = code_if(!coverage.problems.is_empty(), exit_code::EXPECTATION_FAILED);
    Ok(exit_code::worst(
        totals.exit_code(),
        exit_code::worst(missing, unmet),
    ))
}
