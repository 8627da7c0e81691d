//! Scenarios in a test of one's own.

use std::fmt;
use std::path::Path;

use super::{Totals, human};
use crate::base::exit_code;
use crate::scenario::discover::{FoundKind, discover};
use crate::verdict::run::{RunOptions, run_file};

/// Runs a scenario, or all of a folder, as `replay run` does: for a test of another project.
///
/// ```
/// let totals = replay::check("../expectations/http/get.json")?;
/// assert_eq!(totals.passed, 1);
/// # Ok::<(), replay::Failed>(())
/// ```
///
/// Paths count from where the test runs, which under `cargo test` is the folder of its `Cargo.toml`; captures are found as by
/// the command, in the folder `captures` nearest to the scenarios. Scenarios for `replay stress` are left out.
///
/// # Errors
/// What did not pass, as `replay run` prints it; that there is no scenario; that a path cannot be read.
pub fn check(path: impl AsRef<Path>) -> Result<Totals, Failed> {
    let path = path.as_ref();
    let discovery = discover(&[path.to_owned()]).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        Failed(lines.join("\n"))
    })?;
    let mut totals = Totals::default();
    let mut report = Vec::new();
    let scenarios = discovery.found.iter();
    for found in scenarios.filter(|found| found.kind != FoundKind::Stress) {
        for outcome in run_file(&found.path, &RunOptions::default()) {
            totals.add(&outcome);
            if !outcome.passed() {
                report.push(human::plain(&outcome, None, false));
            }
        }
    }
    match totals.exit_code() {
        exit_code::SUCCESS => Ok(totals),
        exit_code::NOTHING_SELECTED => Err(Failed(format!(
            "{}: no scenario, so nothing was tested",
            path.display()
        ))),
        _ => Err(Failed(report.join("\n"))),
    }
}

/// What did not pass, as `replay run` prints it, also by `Debug`: a test that returns it shows the report.
#[derive(Clone, PartialEq, Eq)]
pub struct Failed(String);

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\n{}", self.0)
    }
}

impl std::error::Error for Failed {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_is_reported_as_by_the_command() {
        let folder = tempfile::tempdir().unwrap();
        let scenario = r#"{
            "schema": 1,
            "title": "t",
            "flows": { "get": "tcp 10.0.0.2:40000 > 192.0.2.1:80" },
            "input": { "frames": ["0 < get S 0:0(0) win 65535"] },
            "expect": { "dials": [] }
        }"#;
        std::fs::write(folder.path().join("dial.json"), scenario).unwrap();
        let failed = check(folder.path()).unwrap_err().to_string();
        assert!(failed.starts_with("FAIL "), "{failed}");
        assert!(failed.contains("error[unexpected-dial]"), "{failed}");
        assert!(failed.contains("  reproduce: replay run "), "{failed}");
    }

    #[test]
    fn a_folder_without_scenarios_is_no_success() {
        let folder = tempfile::tempdir().unwrap();
        let failed = check(folder.path()).unwrap_err().to_string();
        assert!(
            failed.ends_with("no scenario, so nothing was tested"),
            "{failed}"
        );
    }
}
