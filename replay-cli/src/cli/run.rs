//! `replay run`: scenarios, side by side on every core, reported in order.

use crate::base::term::Style;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::{ArgAction, Args};
use serde_json::json;

use super::arguments::{self, OtherStack, ReportFormat, Unpacked, WayIn};
use super::batch::{self, Progress};
use super::{Stop, code_if};
use crate::base::exit_code;
use crate::base::output;
use crate::base::term::Terminal;
use crate::base::wording::counted;
use crate::golden::draft::find::{self, Stray, Waiting};
use crate::report::github::Github;
use crate::report::html::Html;
use crate::report::human::{Detail, Human, Look};
use crate::report::json::Json;
use crate::report::junit::{self, Junit};
use crate::report::reporter::{Ended, Reporter, Unwritten};
use crate::report::{self, Totals, trace};
use crate::scenario::discover::{Discovery, Found, FoundKind, files_named};
use crate::verdict::outcome::ScenarioOutcome;
use crate::verdict::run::RunOptions;

mod choice;
mod vacuity;

use choice::Choice;

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct RunArgs {
    /// Scenario files (.json, .pkt), bundles (.zip) and folders of scenarios [default: expectations/, found upward from here].
    paths: Vec<PathBuf>,

    /// How many scenarios run at a time [default: one for each core].
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// How the engine is driven. With another way than the core each scenario runs through the core as well, and
    /// what must be equal is compared.
    #[arg(long, value_enum, default_value_t, conflicts_with = "stack")]
    via: WayIn,

    #[command(flatten)]
    other: OtherStack,

    #[command(flatten)]
    unpacked: Unpacked,

    /// The form of the report.
    #[arg(long, value_enum, default_value_t = default_format())]
    format: ReportFormat,

    #[command(flatten)]
    traces: arguments::Traces,

    /// Write a report as a page that needs no network into this folder.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["list", "vacuity"])]
    html: Option<PathBuf>,

    #[command(flatten)]
    choice: Choice,

    /// Print the scenarios that took longest, at the end.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        hide_short_help = true
    )]
    slowest: usize,

    /// Write a JUnit XML report as well.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Show payload bytes of failures, in every report; without it lengths and hashes tell.
    #[arg(long, hide_short_help = true, conflicts_with_all = ["list", "vacuity"])]
    show_payload: bool,

    #[command(flatten)]
    files: arguments::Reading,

    /// Print failures only, no summary.
    #[arg(short, long, conflicts_with = "verbose")]
    quiet: bool,

    /// Print what passed as well; twice: figures and notes of every run.
    #[arg(short, long, action = ArgAction::Count)]
    verbose: u8,

    /// Stop at the first scenario that does not pass.
    #[arg(long)]
    fail_fast: bool,

    /// Change what is observed of each run and report scenarios that notice nothing of the kind they check.
    #[arg(long, hide_short_help = true, conflicts_with_all = ["junit", "fail_fast", "list", "stack"])]
    vacuity: bool,

    /// Print the names of the scenarios instead of running them.
    #[arg(long, conflicts_with_all = ["junit", "fail_fast"])]
    list: bool,
}

const EXAMPLES: &str = "\
Examples:
  replay run                                  every scenario of expectations/
  replay run expectations/tcp/half_close.json -vv
  replay run --junit target/junit.xml --format json > target/run.json
  replay run --via driver                     through the driver's turns
  replay run --via ffi                        through the C ABI
  replay run --stack exec:./my-stack          another stack
  replay run --list expectations/udp
  replay run handshake.pkt                    a packetdrill script, server side
  replay run bug.zip                          what `replay bundle` made
  replay run -k 'tcp and not close'           those whose names match
  replay run --html target/report             a page with a ladder per failure

A scenario reads files below its folder expectations/ (elsewhere: below its own folder) and below the folder of captures, links \
resolved; a file of its steps has at most 64 MiB, all of them 256 MiB, the scenario itself 64 MiB; a capture may have any size. \
Reports show streams by length and SHA-256. docs/STACK_PROTOCOL.md says how another stack is connected.

Exit codes; of several, the worst (in the order 130, 70, 2, 3, 6, 1, 5, 4):
  0   every expectation was met
  1   an expectation failed
  2   results or the report cannot be written, or the report would replace an input
  3   a scenario or one of its files is missing or invalid
  4   nothing was selected, so nothing was tested
  5   below a folder named, drafts wait for review or files are orphaned
  6   two runs of a scenario gave different outputs
  70  a bug in replay or in the engine
  130 interrupted";

/// What all runs came to.
#[derive(Debug, Default)]
struct Results {
    outcomes: Vec<ScenarioOutcome>,
    totals: Totals,
}

impl From<Unwritten> for Stop {
    fn from(problem: Unwritten) -> Self {
        match problem {
            Unwritten::Output(error) => error.into(),
            Unwritten::File(problem) => Self::usage(problem),
        }
    }
}

pub(crate) fn run(args: &RunArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let started = Instant::now();
    let captures = args.files.captures.as_deref();
    batch::check_captures(captures)?;
    let (paths, _unpacked) = super::bundle::unpacked(&args.paths)?;
    let mut discovery = batch::select(&paths, "")?;
    let all = discovery.found.len();
    let last = arguments::kept_dir().join("failed.json");
    args.choice.narrow(&mut discovery.found, &last);
    if discovery.found.is_empty() && all > 0 {
        return nothing_chosen(args, all, terminal);
    }
    let junit = args.junit.as_deref();
    junit.map_or(Ok(()), |file| refuse_inputs(file, &discovery, captures))?;
    if args.list {
        list(args, &discovery.found, terminal)?;
        return batch::report_missing(&discovery, terminal);
    }
    if args.vacuity {
        let code = vacuity::run(args, &discovery.found, terminal)?;
        let missing = batch::report_missing(&discovery, terminal)?;
        return Ok(exit_code::worst(missing, code));
    }
    let mut reporters = reporters(args, &discovery.found, terminal.style);
    let results = run_all(args, &discovery.found, &mut reporters, terminal)?;
    let waiting = find::waiting(&discovery.folders, args.files.captures.as_deref());
    let ended = Ended {
        outcomes: &results.outcomes,
        totals: &results.totals,
        waiting: &waiting,
        wall: started.elapsed(),
    };
    for reporter in &mut reporters {
        reporter.end(terminal.out(), &ended)?;
    }
    terminal.flush()?;
    let failed = results.outcomes.iter().filter(|outcome| !outcome.passed());
    choice::keep_failed(&last, failed.map(|outcome| outcome.path.as_path()))
        .map_err(Stop::usage)?;
    if output::interrupted() {
        let left = results.totals.not_run;
        terminal.say(&format!("interrupted: {left} not run"))?;
        return Ok(exit_code::INTERRUPTED);
    }
    let unreviewed = report_waiting(&waiting, terminal)?;
    let missing = batch::report_missing(&discovery, terminal)?;
    if missing == exit_code::SUCCESS && results.totals.exit_code() == exit_code::NOTHING_SELECTED {
        let why = if results.totals.not_applicable > 0 {
            "no script says anything about an engine"
        } else {
            "every scenario is a stress scenario: `replay stress` runs it"
        };
        terminal.say(&format!("nothing selected: {why}, nothing was tested"))?;
    }
    let missing = exit_code::worst(missing, unreviewed);
    Ok(exit_code::worst(missing, results.totals.exit_code()))
}

/// Says that nothing of what there is was chosen.
fn nothing_chosen(args: &RunArgs, all: usize, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    let why = match args.choice.failed {
        true => "failed in the last run and fits",
        false => "fits",
    };
    let all = counted(all as u64, "scenario");
    terminal.say(&format!(
        "nothing selected: none of {all} {why}; `replay run --list` has their names"
    ))?;
    Ok(exit_code::NOTHING_SELECTED)
}

/// Reports which drafts wait for review, and which files are orphaned; that is an exit code.
fn report_waiting(waiting: &Waiting, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    for draft in &waiting.drafts {
        terminal.say(&format!("draft: {} waits for review", draft.display()))?;
    }
    for Stray { path, why } in &waiting.strays {
        terminal.say(&format!("stray: {} is {why}", path.display()))?;
    }
    if !waiting.drafts.is_empty() {
        terminal.say("  help: look at drafts with `replay review`")?;
    }
    if !waiting.strays.is_empty() {
        terminal.say(&format!(
            "  help: throw away a draft with `replay bless --reject`; give a capture a scenario with `replay import`, or a reason in captures/{}",
            find::WITHOUT_SCENARIO
        ))?;
    }
    Ok(code_if(!waiting.is_empty(), exit_code::DRAFTS_PENDING))
}

/// Every reporter that the command line asks for.
fn reporters<'a>(args: &'a RunArgs, found: &[Found], style: Style) -> Vec<Box<dyn Reporter + 'a>> {
    let (captures, payload) = (args.files.captures.as_deref(), args.show_payload);
    let human = || {
        let detail = match (args.quiet, args.verbose) {
            (true, _) => Detail::Failures,
            (false, 0) => Detail::Summary,
            (false, 1) => Detail::Verdicts,
            (false, 2..) => Detail::Notes,
        };
        Box::new(Human {
            look: Look {
                style,
                detail,
                payload,
                captures,
            },
            scripts: is_of_scripts(found),
            slowest: args.slowest,
        })
    };
    let mut reporters: Vec<Box<dyn Reporter + 'a>> = match args.format {
        ReportFormat::Human => vec![human()],
        ReportFormat::Json => vec![Box::new(Json { payload })],
        ReportFormat::Github => {
            let summary = std::env::var_os("GITHUB_STEP_SUMMARY").map(PathBuf::from);
            vec![human(), Box::new(Github { summary })]
        }
    };
    if let Some(file) = &args.junit {
        reporters.push(Box::new(Junit {
            file,
            captures,
            payload,
        }));
    }
    if let Some(folder) = &args.html {
        let html = Html::new(folder.clone(), arguments::command_line());
        reporters.push(Box::new(html));
    }
    reporters
}

/// Annotations where GitHub Actions runs the command.
fn default_format() -> ReportFormat {
    if std::env::var_os("GITHUB_ACTIONS").is_some_and(|on| on == "true") {
        ReportFormat::Github
    } else {
        ReportFormat::Human
    }
}

fn list(args: &RunArgs, found: &[Found], terminal: &mut Terminal<'_>) -> Result<(), Stop> {
    let kind = |kind| match kind {
        FoundKind::Scenario => "scenario",
        FoundKind::Stress => "stress",
        FoundKind::Packetdrill => "packetdrill",
    };
    match args.format {
        ReportFormat::Human | ReportFormat::Github => {
            for Found { name, .. } in found {
                writeln!(terminal.out(), "{}", crate::base::term::printable(name))?;
            }
        }
        ReportFormat::Json => {
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

/// Runs the files; every reporter gets each outcome as soon as those before it are there.
fn run_all(
    args: &RunArgs,
    found: &[Found],
    reporters: &mut [Box<dyn Reporter + '_>],
    terminal: &mut Terminal<'_>,
) -> Result<Results, Stop> {
    let options = RunOptions {
        trace: args.traces.when(),
        via: arguments::via(args.via, &args.other)?,
        max_unpacked: args.unpacked.limit(),
        ..args.files.options()
    };
    let traces = args.traces.folder();
    let mut results = Results::default();
    let mut progress = Progress::of(found.len(), terminal.progress);
    let mut run_files = 0_u64;
    batch::run_files(found, args.jobs, &options, |result| {
        if output::interrupted() {
            return Ok(false);
        }
        run_files += 1;
        results.totals.bugs += u64::from(result.panicked);
        let mut all_passed = true;
        for mut outcome in result.outcomes {
            all_passed &= outcome.passed();
            results.totals.add(&outcome);
            outcome.trace_file = trace::write(&traces, &outcome).map_err(Stop::usage)?;
            progress.bar.suspend(|| {
                let mut all = reporters.iter_mut();
                all.try_for_each(|reporter| reporter.scenario(terminal.out(), &outcome))
            })?;
            // Its events have been reported, and take memory.
            outcome.trace = None;
            results.outcomes.push(outcome);
        }
        progress.step();
        Ok(all_passed || !args.fail_fast)
    })?;
    progress.bar.finish_and_clear();
    results.totals.not_run = (found.len() as u64).saturating_sub(run_files);
    Ok(results)
}

/// Whether the files are packetdrill scripts, and more than one.
fn is_of_scripts(found: &[Found]) -> bool {
    found.len() > 1 && found.iter().all(|file| file.kind == FoundKind::Packetdrill)
}

/// Refuses to write the report in the place of a scenario or of a file that one names, before anything is run.
fn refuse_inputs(file: &Path, found: &Discovery, captures: Option<&Path>) -> Result<(), Stop> {
    if !file.is_file() {
        return Ok(());
    }
    let inputs = found.found.iter().flat_map(|found| {
        let named = files_named(&found.path, captures);
        named.into_iter().chain([found.path.clone()])
    });
    let inputs: Vec<PathBuf> = inputs.collect();
    output::refuse_input(file, &inputs).map_err(|problem| Stop::usage(junit::unwritten(problem)))
}
