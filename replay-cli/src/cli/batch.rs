//! Scenario files that several commands run: chosen by the command line, side by side on every core, delivered in order.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Stop, bug, code_if};
use crate::base::diagnostic::Diagnostic;
use crate::base::exit_code;
use crate::base::term::Terminal;
use crate::scenario::discover::{Discovery, Found, FoundKind, discover};
use crate::scenario::failure::{Failure, FailureKind};
use crate::simulation::timeline::failure_at;
use crate::verdict::outcome::{ScenarioOutcome, Verdict};
use crate::verdict::run::{RunOptions, run_file};

mod side_by_side;

/// What one file came to.
#[derive(Debug)]
pub(super) struct FileResult {
    pub(super) outcomes: Vec<ScenarioOutcome>,
    pub(super) panicked: bool,
}

/// Refuses a folder of captures that is none.
pub(super) fn check_captures(captures: Option<&Path>) -> Result<(), Stop> {
    let Some(folder) = captures.filter(|folder| !folder.is_dir()) else {
        return Ok(());
    };
    let what = if folder.exists() {
        "this is a file, not a folder"
    } else {
        "no such folder"
    };
    let help = "--captures names the folder captures are in";
    Err(Stop::input(
        Diagnostic::new(what).in_file(folder).help(help),
    ))
}

/// The files the command line means; without any, those of `default` below the nearest folder expectations/.
pub(super) fn select(paths: &[PathBuf], default: &str) -> Result<Discovery, Stop> {
    let mut paths: Vec<PathBuf> = paths.iter().map(|path| by_name(path)).collect();
    if paths.is_empty() {
        paths.push(expectations(default)?);
    }
    discover(&paths).map_err(|problems| Stop::Refused(problems, exit_code::BAD_INPUT))
}

/// The file of a scenario that is named as reports name it; any other path as it is.
fn by_name(path: &Path) -> PathBuf {
    if path.exists() {
        return path.to_owned();
    }
    let name = path.to_string_lossy();
    // A twin of one family is made from the same file.
    let name = name.split(" (").next().unwrap_or_default();
    let named = ["", ".json", ".pkt"].map(|end| format!("{name}{end}"));
    let beside = named.iter().map(PathBuf::from);
    let below = expectations_upward("");
    let below = below
        .iter()
        .flat_map(|folder| named.iter().map(|name| folder.join(name)));
    let found = beside.chain(below).find(|candidate| candidate.exists());
    found.unwrap_or_else(|| path.to_owned())
}

/// The folder `below` in the nearest expectations/.
pub(super) fn expectations(below: &str) -> Result<PathBuf, Stop> {
    expectations_upward(below).ok_or_else(|| {
        let folder = Path::new("expectations").join(below);
        let folder = folder.display();
        let what = format!("nothing selected: there is no folder {folder} here or above");
        let help = "name scenario files or folders: `replay run PATH...`";
        Stop::nothing(Diagnostic::new(what).help(help))
    })
}

/// A folder of the nearest expectations, as short as it can be written from here.
fn expectations_upward(below: &str) -> Option<PathBuf> {
    let here = std::env::current_dir().ok()?;
    let mut folders = here.ancestors().map(|folder| folder.join("expectations"));
    let found = folders.find(|path| path.is_dir())?;
    let short = found.strip_prefix(&here).unwrap_or(&found);
    let folder = if below.is_empty() {
        short.to_owned()
    } else {
        short.join(below)
    };
    folder.is_dir().then_some(folder)
}

/// Reports which of the folders named had nothing in them; that alone is an exit code.
pub(super) fn report_missing(
    discovery: &Discovery,
    terminal: &mut Terminal<'_>,
) -> Result<u8, Stop> {
    for folder in &discovery.empty_folders {
        let folder = folder.display();
        terminal.say(&format!("nothing selected: {folder} holds no scenario"))?;
    }
    let nothing = discovery.found.is_empty() || !discovery.empty_folders.is_empty();
    Ok(code_if(nothing, exit_code::NOTHING_SELECTED))
}

fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// Runs the files, as many at a time as asked for, and delivers what each came to in their order until it is to stop.
pub(super) fn run_files(
    found: &[Found],
    jobs: Option<NonZeroUsize>,
    options: &RunOptions,
    deliver: impl FnMut(FileResult) -> Result<bool, Stop>,
) -> Result<(), Stop> {
    let work = |file: &Found| {
        let started = Instant::now();
        let mut result = run_one(file, |path| run_file(path, options));
        let several = u32::try_from(result.outcomes.len()).unwrap_or(u32::MAX);
        for outcome in &mut result.outcomes {
            outcome.wall = started.elapsed() / several.max(1);
        }
        result
    };
    side_by_side::in_order(found, jobs.unwrap_or_else(cores), work, deliver)
}

/// Does some other work on each file, side by side, and delivers the results in order.
pub(super) fn each<R: Send>(
    found: &[Found],
    jobs: Option<NonZeroUsize>,
    work: impl Fn(&Found) -> R + Sync,
    mut deliver: impl FnMut(R) -> Result<(), Stop>,
) -> Result<(), Stop> {
    side_by_side::in_order(found, jobs.unwrap_or_else(cores), work, |result| {
        deliver(result).map(|()| true)
    })
}

/// One file's outcomes; a panic in it is a failure of it and of nothing else.
fn run_one(file: &Found, run: impl FnOnce(&Path) -> Vec<ScenarioOutcome>) -> FileResult {
    if file.kind == FoundKind::Stress {
        let verdict = Verdict::Skipped("a stress scenario: `replay stress` runs it".to_owned());
        return FileResult {
            outcomes: vec![without_run(file, verdict)],
            panicked: false,
        };
    }
    let outcomes = bug::guard(|| run(&file.path));
    let panicked = outcomes.is_err();
    let outcomes = match outcomes {
        Ok(outcomes) => outcomes,
        Err(bug) => {
            let mut outcome = without_run(file, Verdict::Fail);
            outcome.failures.push(Failure {
                help: bug.help,
                ..failure_at(FailureKind::Invariant, bug.what, None)
            });
            vec![outcome]
        }
    };
    FileResult { outcomes, panicked }
}

/// The outcome of a file that was not run, by the name it was found under.
fn without_run(file: &Found, verdict: Verdict) -> ScenarioOutcome {
    ScenarioOutcome {
        name: file.name.clone(),
        ..ScenarioOutcome::without_run(&file.path, verdict)
    }
}

/// A bar on standard error, hidden unless there is a terminal and it took a while.
pub(super) struct Progress {
    pub(super) bar: ProgressBar,
    hidden_since: Option<Instant>,
}

/// How long a run may take before progress is drawn.
const PATIENCE: Duration = Duration::from_millis(300);

impl Progress {
    pub(super) fn of(files: usize, watched: bool) -> Self {
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

    pub(super) fn step(&mut self) {
        let late = |since: &mut Instant| since.elapsed() > PATIENCE;
        if self.hidden_since.take_if(late).is_some() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.inc(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Totals;

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
        assert!(matches!(result.outcomes[0].verdict, Verdict::Skipped(_)));
    }
}
