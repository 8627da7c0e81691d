//! `replay run`: scenarios, side by side on every core, reported in order.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{ArgAction, Args};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::arguments::Format;
use super::{Stop, bug};
use crate::diagnostic::Diagnostic;
use crate::exit_code;
use crate::outcome::{Failure, FailureKind, Figures, ScenarioOutcome, Verdict};
use crate::report::human::{self, Detail, Look};
use crate::report::{self, Totals};
use crate::runner::{RunOptions, Via, run_file};
use crate::scenario::discover::{Discovery, Found, FoundKind, discover};
use crate::term::Terminal;

mod side_by_side;

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// Scenario files (.json, .pkt) and folders of them [default: expectations/, found upward from here].
    paths: Vec<PathBuf>,

    /// The folder captures are relative to [default: captures/, found upward from each scenario].
    #[arg(long, value_name = "DIR")]
    captures: Option<PathBuf>,

    /// How many scenarios run at a time [default: one for each core].
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// The form of the report.
    #[arg(long, value_enum, default_value_t)]
    format: Format,

    /// Write a JUnit XML report as well.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Print failures only, no summary.
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,

    /// Print what passed as well; twice: figures and notes of every run.
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,

    /// Stop at the first scenario that does not pass.
    #[arg(long)]
    fail_fast: bool,

    /// Print the names of the scenarios instead of running them.
    #[arg(long, conflicts_with_all = ["junit", "fail_fast"])]
    list: bool,
}

const EXAMPLES: &str = "\
Examples:
  replay run                                  every scenario of expectations/
  replay run expectations/tcp/half_close.json -vv
  replay run --junit target/junit.xml --format json > target/run.json
  replay run --list expectations/udp

Exit codes; of several, the worst (in the order 70, 2, 3, 6, 1, 4):
  0   every expectation was met
  1   an expectation failed
  3   a scenario or one of its files is missing or invalid
  4   nothing was selected, so nothing was tested
  6   two runs of a scenario gave different outputs
  70  a bug in replay or in the engine";

/// What all runs came to.
#[derive(Debug, Default)]
struct Results {
    outcomes: Vec<ScenarioOutcome>,
    totals: Totals,
}

/// What one file came to.
#[derive(Debug)]
struct FileResult {
    outcomes: Vec<ScenarioOutcome>,
    panicked: bool,
}

pub(crate) fn run(args: &RunArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let started = Instant::now();
    if let Some(folder) = args.captures.as_deref().filter(|folder| !folder.is_dir()) {
        let what = if folder.exists() {
            "this is a file, not a folder"
        } else {
            "no such folder"
        };
        return Err(Stop::input(
            Diagnostic::new(what)
                .in_file(folder)
                .help("--captures names the folder captures are in"),
        ));
    }
    let discovery = select(args)?;
    if args.list {
        list(args, &discovery.found, terminal)?;
        return said_what_is_missing(&discovery, terminal);
    }
    let results = run_all(args, &discovery.found, terminal)?;
    report(args, &results, started.elapsed(), terminal)?;
    let missing = said_what_is_missing(&discovery, terminal)?;
    if missing == exit_code::SUCCESS && results.totals.exit_code() == exit_code::NOTHING_SELECTED {
        terminal.say(
            "nothing selected: every scenario is left to `replay stress`, nothing was tested",
        )?;
    }
    Ok(exit_code::worst(missing, results.totals.exit_code()))
}

/// The files the command line means.
fn select(args: &RunArgs) -> Result<Discovery, Stop> {
    let mut paths = args.paths.clone();
    if paths.is_empty() {
        let default = expectations_upward().ok_or_else(|| {
            let what = "nothing selected: there is no folder expectations/ here or above";
            let help = "name scenario files or folders: `replay run PATH...`";
            Stop::Refused(
                vec![Diagnostic::new(what).help(help)],
                exit_code::NOTHING_SELECTED,
            )
        })?;
        paths.push(default);
    }
    discover(&paths).map_err(|problems| Stop::Refused(problems, exit_code::BAD_INPUT))
}

/// The nearest folder of expectations, as short as it can be written from here.
fn expectations_upward() -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let found = here
        .ancestors()
        .map(|folder| folder.join("expectations"))
        .find(|path| path.is_dir())?;
    Some(
        found
            .strip_prefix(&here)
            .map(Path::to_owned)
            .unwrap_or(found),
    )
}

/// Says which of the folders named had nothing in them; that alone is an exit code.
fn said_what_is_missing(discovery: &Discovery, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    for folder in &discovery.empty_folders {
        terminal.say(&format!(
            "nothing selected: {} holds no scenario",
            folder.display()
        ))?;
    }
    let nothing = discovery.found.is_empty() || !discovery.empty_folders.is_empty();
    Ok(if nothing {
        exit_code::NOTHING_SELECTED
    } else {
        exit_code::SUCCESS
    })
}

fn list(args: &RunArgs, found: &[Found], terminal: &mut Terminal<'_>) -> Result<(), Stop> {
    let kind = |kind| match kind {
        FoundKind::Scenario => "scenario",
        FoundKind::Stress => "stress",
        FoundKind::Packetdrill => "packetdrill",
    };
    match args.format {
        Format::Human => {
            for Found { name, .. } in found {
                writeln!(terminal.out(), "{}", crate::term::printable(name))?;
            }
        }
        Format::Json => {
            let scenarios = found.iter().map(|file| {
                let path = file.path.to_string_lossy();
                json!({ "name": file.name, "path": path, "kind": kind(file.kind) })
            });
            let scenarios: Vec<_> = scenarios.collect();
            let listed = json!({ "schema": report::json::SCHEMA, "scenarios": scenarios });
            writeln!(terminal.out(), "{listed:#}")?;
        }
    }
    Ok(())
}

/// Runs the files and prints each verdict as soon as those before it are there.
fn run_all(args: &RunArgs, found: &[Found], terminal: &mut Terminal<'_>) -> Result<Results, Stop> {
    let options = RunOptions {
        captures: args.captures.clone(),
        trace: args.verbose > 1,
        via: Via::Core,
    };
    let cores = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let jobs = args.jobs.unwrap_or_else(cores);
    let mut results = Results::default();
    let mut progress = Progress::of(found.len(), terminal.progress);
    let mut run_files = 0_u64;
    let work = |file: &Found| run_one(file, |path| run_file(path, &options));
    side_by_side::in_order(
        found,
        jobs,
        work,
        |result: FileResult| -> Result<bool, Stop> {
            run_files += 1;
            results.totals.bugs += u64::from(result.panicked);
            let mut all_passed = true;
            for outcome in result.outcomes {
                all_passed &= outcome.passed();
                results.totals.add(&outcome);
                if args.format == Format::Human {
                    let look = look(args, terminal);
                    progress
                        .bar
                        .suspend(|| human::outcome(terminal.out(), &outcome, look))?;
                }
                results.outcomes.push(outcome);
            }
            if args.format == Format::Human {
                terminal.flush()?;
            }
            progress.step();
            Ok(all_passed || !args.fail_fast)
        },
    )?;
    progress.bar.finish_and_clear();
    results.totals.not_run = (found.len() as u64).saturating_sub(run_files);
    Ok(results)
}

/// One file's outcomes; a panic in it is a failure of it and of nothing else.
fn run_one(file: &Found, run: impl FnOnce(&Path) -> Vec<ScenarioOutcome>) -> FileResult {
    if file.kind == FoundKind::Stress {
        let verdict = Verdict::Left("left to `replay stress`".to_owned());
        return FileResult {
            outcomes: vec![without_run(file, verdict)],
            panicked: false,
        };
    }
    match bug::guard(|| run(&file.path)) {
        Ok(outcomes) => FileResult {
            outcomes,
            panicked: false,
        },
        Err(bug) => {
            let mut outcome = without_run(file, Verdict::Fail);
            outcome.failures.push(Failure {
                kind: FailureKind::Invariant,
                what: bug.what,
                expected: None,
                actual: None,
                flow: None,
                frame: None,
                at_us: None,
                place: None,
                help: bug.help,
            });
            FileResult {
                outcomes: vec![outcome],
                panicked: true,
            }
        }
    }
}

fn without_run(file: &Found, verdict: Verdict) -> ScenarioOutcome {
    ScenarioOutcome {
        name: file.name.clone(),
        path: file.path.clone(),
        title: String::new(),
        covers: Vec::new(),
        verdict,
        failures: Vec::new(),
        checks: 0,
        figures: Figures::default(),
        notes: Vec::new(),
    }
}

/// Prints what comes after the last verdict, and writes the files asked for.
fn report(
    args: &RunArgs,
    results: &Results,
    wall: Duration,
    terminal: &mut Terminal<'_>,
) -> Result<(), Stop> {
    match args.format {
        Format::Human if args.quiet => {}
        Format::Human => writeln!(terminal.out(), "{}", human::summary(&results.totals, wall))?,
        Format::Json => {
            let run = report::json::run(&results.outcomes, &results.totals);
            writeln!(terminal.out(), "{run:#}")?;
        }
    }
    terminal.flush()?;
    match &args.junit {
        Some(file) => {
            let xml = report::junit::report(&results.outcomes, args.captures.as_deref());
            write_junit(file, &xml).map_err(Stop::usage)
        }
        None => Ok(()),
    }
}

fn write_junit(file: &Path, xml: &str) -> Result<(), Diagnostic> {
    let failed = |error: std::io::Error| {
        Diagnostic::new(format!("the JUnit report cannot be written: {error}"))
            .in_file(file)
            .help("check the folder and its permissions")
    };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(file, xml).map_err(failed)
}

fn look<'a>(args: &'a RunArgs, terminal: &Terminal<'_>) -> Look<'a> {
    let detail = match (args.quiet, args.verbose) {
        (true, _) => Detail::Failures,
        (false, 0) => Detail::Summary,
        (false, 1) => Detail::Verdicts,
        (false, 2..) => Detail::Notes,
    };
    Look {
        style: terminal.style,
        detail,
        captures: args.captures.as_deref(),
    }
}

/// A bar on standard error, hidden unless somebody watches and has waited for a while.
struct Progress {
    bar: ProgressBar,
    hidden_since: Option<Instant>,
}

/// How long a run may take before progress is drawn.
const PATIENCE: Duration = Duration::from_millis(300);

impl Progress {
    fn of(files: usize, watched: bool) -> Self {
        let bar = ProgressBar::with_draw_target(Some(files as u64), ProgressDrawTarget::hidden());
        let bar = match ProgressStyle::with_template("{bar:40} {pos}/{len} files, {eta} left") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        Self {
            bar,
            hidden_since: (watched && files > 1).then(Instant::now),
        }
    }

    fn step(&mut self) {
        if self
            .hidden_since
            .take_if(|since| since.elapsed() > PATIENCE)
            .is_some()
        {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: FoundKind) -> Found {
        Found {
            path: "expectations/a.json".into(),
            name: "a".into(),
            kind,
        }
    }

    #[test]
    fn a_panic_fails_its_own_scenario_and_is_a_bug() {
        let result = run_one(&found(FoundKind::Scenario), |_| panic!("out of step"));
        let [outcome] = result.outcomes.as_slice() else {
            panic!("one outcome");
        };
        assert!(result.panicked && !outcome.passed());
        assert!(
            outcome.failures[0]
                .what
                .contains("this is a bug in replay: out of step")
        );
        let mut totals = Totals {
            bugs: 1,
            ..Totals::default()
        };
        totals.add(outcome);
        assert_eq!(totals.exit_code(), exit_code::INTERNAL_BUG);
    }

    #[test]
    fn stress_scenarios_are_left_without_being_run() {
        let result = run_one(&found(FoundKind::Stress), |_| panic!("must not run"));
        assert!(matches!(result.outcomes[0].verdict, Verdict::Left(_)));
    }
}
