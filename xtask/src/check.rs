//! Drift checks: each gives a list of problems, a line each, and what to do about them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

mod captures;
mod console;
mod deviations;
mod documents;
mod examples;
pub(crate) mod generated;
mod header;
mod rooms;

/// A check's name and what it does.
type Check = (&'static str, fn(&Path) -> Vec<String>);

const CHECKS: [Check; 6] = [
    ("rooms", rooms::check),
    ("generated files", generated::check),
    ("captures", captures::check),
    ("deviations", deviations::check),
    ("documentation", documents::check),
    ("examples of main types", examples::check),
];

/// Runs every check and prints what each found.
pub(crate) fn all(root: &Path) -> ExitCode {
    let mut failed = 0;
    for (name, check) in CHECKS {
        let problems = check(root);
        println!(
            "{name}: {}",
            if problems.is_empty() { "ok" } else { "FAILED" }
        );
        for problem in &problems {
            println!("  {problem}");
        }
        failed += usize::from(!problems.is_empty());
    }
    println!(
        "{} of {} checks passed",
        CHECKS.len() - failed,
        CHECKS.len()
    );
    ExitCode::from(u8::from(failed > 0))
}

/// Every file below a folder, sorted; none if there is no such folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                walk(&path, files)?;
            } else {
                files.push(path);
            }
        }
        Ok(())
    }
    let mut files = Vec::new();
    // A folder that cannot be read has no files as far as a check is concerned, and the checks for its content fail.
    let _ = walk(folder, &mut files);
    files.sort();
    files
}

/// Every scenario file, those of `stress` among them.
fn scenario_files(root: &Path) -> Vec<PathBuf> {
    let mut files = files_below(&root.join("expectations"));
    files.retain(|path| path.extension().is_some_and(|ending| ending == "json"));
    files
}

/// A path as it is written in this repository: relative to its root, with `/`.
pub(crate) fn shown(path: &Path, root: &Path) -> String {
    path.strip_prefix(root)
        .unwrap_or(path)
        .display()
        .to_string()
        .replace('\\', "/")
}
