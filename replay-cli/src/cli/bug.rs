//! Panics, which are bugs: caught, named, and turned into a request for a report.

use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::{Mutex, Once, PoisonError};

use crate::base::diagnostic::Diagnostic;

/// The message of the latest panic of each thread.
static REPORTS: Mutex<Vec<(std::thread::ThreadId, String)>> = Mutex::new(Vec::new());

/// Does the work; a panic in it becomes a diagnostic.
pub(crate) fn guard<T>(work: impl FnOnce() -> T) -> Result<T, Diagnostic> {
    static HOOK: Once = Once::new();
    HOOK.call_once(remember_reports);
    panic::catch_unwind(AssertUnwindSafe(work)).map_err(|_| diagnostic(&take_report()))
}

/// From here on a panic is remembered instead of printed; with RUST_BACKTRACE set it is printed as well.
fn remember_reports() {
    let usual = panic::take_hook();
    let verbose = std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0");
    panic::set_hook(Box::new(move |info| {
        // The threads of a test are the test harness's to report.
        if verbose || cfg!(test) {
            usual(info);
        }
        let report = describe(info);
        let thread = std::thread::current().id();
        let mut reports = REPORTS.lock().unwrap_or_else(PoisonError::into_inner);
        reports.retain(|(other, _)| *other != thread);
        reports.push((thread, report));
    }));
}

/// The message of this thread's latest panic.
fn take_report() -> String {
    let thread = std::thread::current().id();
    let mut reports = REPORTS.lock().unwrap_or_else(PoisonError::into_inner);
    match reports.iter().position(|(other, _)| *other == thread) {
        Some(index) => reports.swap_remove(index).1,
        None => "nothing more is known".to_owned(),
    }
}

/// The diagnostic of a panic.
fn diagnostic(report: &str) -> Diagnostic {
    Diagnostic::new(format!("this is a bug in replay: {report}")).help(HELP)
}

/// What to do about a bug.
const HELP: &str = concat!(
    "please report it with the command line and, if you can, the input file: ",
    env!("CARGO_PKG_REPOSITORY"),
    "/issues (replay ",
    env!("CARGO_PKG_VERSION"),
    ")"
);

fn describe(info: &PanicHookInfo<'_>) -> String {
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message");
    match info.location() {
        Some(place) => format!("{message} ({}:{})", place.file(), place.line()),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_a_request_for_a_report() {
        let text = guard(|| panic!("ring of {} bytes", 7))
            .unwrap_err()
            .to_string();
        assert!(
            text.starts_with(
                "error: this is a bug in replay: ring of 7 bytes (replay-cli/src/cli/bug.rs:"
            ),
            "{text}"
        );
        assert!(
            text.contains("\n  help: please report it with the command line"),
            "{text}"
        );
    }

    #[test]
    fn work_that_ends_well_is_left_alone() {
        assert_eq!(guard(|| 3), Ok(3));
    }
}
