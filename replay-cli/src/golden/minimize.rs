//! The least of a scenario or a capture that still shows what it shows.
//!
//! ```text
//! flows ─> expectations ─> frames, lines, steps ─> lengths ─> times        each by delta debugging, round by round until nothing goes any more
//! ```
//! A piece goes if the run without it still does what the `Oracle` keeps: it fails in the same kind, on the same flow, at the same
//! expectation; or it passes and shows a named observation. Trials are made side by side; which is taken does not depend on how many.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::diagnostic::Diagnostic;
use crate::scenario::Scenario;
use crate::verdict::run::RunOptions;

mod ddmin;
mod oracle;
mod reduce;
mod subject;

pub use oracle::Keep;

use ddmin::Trials;
use oracle::Oracle;
use subject::Subject;

/// Options of [`minimize`].
#[derive(Clone, Debug, Default)]
pub struct MinimizeOptions {
    /// What a run that passes is to show still; `None`: that it fails as it does.
    pub keep: Option<Keep>,
    /// How many trials are made at a time; 0 for one on each core.
    pub jobs: usize,
    /// How runs find their files.
    pub run: RunOptions,
    /// Set to end with the best so far.
    pub stop: Arc<AtomicBool>,
}

/// What is left.
#[derive(Clone, Debug)]
pub struct Minimized {
    /// The scenario; of a capture the one that replays it.
    pub scenario: Scenario,
    /// The capture that it needs, a pcapng.
    pub capture: Option<Vec<u8>>,
    /// What the run shows: one line.
    pub shows: String,
    /// What it had before, and what it has.
    pub before: Size,
    /// Likewise.
    pub after: Size,
    /// Runs that were made, those that were thrown away not counted.
    pub runs: u64,
    /// Whether it was stopped before nothing went any more.
    pub interrupted: bool,
}

/// How large a scenario is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Flows.
    pub flows: usize,
    /// Packets of its capture, or lines of its input.
    pub packets: usize,
    /// Steps of the far side.
    pub steps: usize,
    /// Expectations.
    pub expectations: usize,
    /// Bytes of the scenario as a file.
    pub bytes: usize,
    /// Bytes of its capture.
    pub capture: usize,
}

/// Why nothing was made smaller.
#[derive(Debug)]
pub enum NotMinimized {
    /// The scenario or the capture cannot be used.
    Invalid(Vec<Diagnostic>),
    /// The run does not do at all what is to be kept.
    NeverHeld(Diagnostic),
    /// Two runs of what was left did not do the same.
    Unsteady(Diagnostic),
}

/// Makes a scenario file smaller.
///
/// # Errors
/// [`NotMinimized`].
pub fn minimize(path: &Path, options: &MinimizeOptions) -> Result<Minimized, NotMinimized> {
    let subject = Subject::of_scenario(path, &options.run).map_err(NotMinimized::Invalid)?;
    of_subject(subject, None, options)
}

/// Makes a capture smaller that is held; `flow` is the number of the one that is meant, if one is.
///
/// # Errors
/// [`NotMinimized`].
pub fn minimize_capture(
    name: &str,
    bytes: &[u8],
    flow: Option<usize>,
    options: &MinimizeOptions,
) -> Result<Minimized, NotMinimized> {
    let subject =
        Subject::of_capture(name, bytes).map_err(|problem| NotMinimized::Invalid(vec![problem]))?;
    of_subject(subject, flow, options)
}

fn of_subject(
    subject: Subject,
    flow: Option<usize>,
    options: &MinimizeOptions,
) -> Result<Minimized, NotMinimized> {
    let run = |subject: &Subject| {
        subject
            .run(&options.run, true)
            .map_err(NotMinimized::Invalid)
    };
    let seen = run(&subject)?;
    let oracle = Oracle::of(&subject, &seen, flow, options.keep.as_ref())
        .map_err(NotMinimized::NeverHeld)?;
    let before = subject.size();
    let jobs = match options.jobs {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        jobs => jobs,
    };
    let mut trials = Trials::new(&oracle, options, jobs);
    let least = reduce::all(subject, &mut trials);
    for _ in 0..2 {
        if !oracle.holds(&least, &run(&least)?) {
            let what = format!("what was left does not always show it: {}", oracle.shows());
            let help = "this is a bug of replay: a run is a function of its input";
            return Err(NotMinimized::Unsteady(Diagnostic::new(what).help(help)));
        }
    }
    Ok(Minimized {
        shows: oracle.shows(),
        before,
        after: least.size(),
        runs: trials.runs + 3,
        interrupted: options.stop.load(Ordering::Relaxed),
        scenario: least.scenario().map_err(NotMinimized::Invalid)?,
        capture: least.capture(),
    })
}

#[cfg(test)]
mod tests;
