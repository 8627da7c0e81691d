//! Commands in the documentation, run for real, and what they print held against what is written.
//!
//! A block marked `console` has commands after `$ ` and their output below, results first, then diagnostics. A line
//! `...` stands for any number of lines, `[..]` within a line for anything. Commands of one page run one after the other
//! in one folder, which has copies of captures/, expectations/ and docs/examples/.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{files_below, shown};

/// The two ways in which pages write the command.
const REPLAY: [&str; 2] = ["cargo run --release -p replay-cli -- ", "replay "];

/// What pages do to the copies beside.
const EDITS: [&str; 2] = ["sed -i ", "cp "];

/// One command with the output written below it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Example {
    /// Its line in the page, from 1.
    pub(super) line: usize,
    pub(super) command: String,
    pub(super) output: Vec<String>,
}

/// The examples of a page's `console` blocks.
pub(super) fn examples(page: &str) -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut inside = false;
    for (index, line) in page.lines().enumerate() {
        if line.starts_with("```") {
            inside = !inside && line == "```console";
        } else if inside && let Some(command) = line.strip_prefix("$ ") {
            examples.push(Example {
                line: index + 1,
                command: command.to_owned(),
                output: Vec::new(),
            });
        } else if inside && let Some(example) = examples.last_mut() {
            example.output.push(line.to_owned());
        }
    }
    examples
}

/// Runs the examples that are `replay` commands, and the edits by `sed` and copies between them; returns where the output
/// differs from what is written.
pub(super) fn run(root: &Path, examples: &[Example]) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    for name in ["captures", "expectations", "docs/examples"] {
        copy(&root.join(name), &folder.path().join(name)).map_err(|error| error.to_string())?;
    }
    let mut problems = Vec::new();
    for example in examples {
        let Some(arguments) = REPLAY
            .iter()
            .find_map(|start| example.command.strip_prefix(start))
        else {
            if EDITS.iter().any(|start| example.command.starts_with(start)) {
                problems.extend(edit(folder.path(), example)?);
            }
            continue;
        };
        let printed = replay(folder.path(), arguments)?;
        let actual: Vec<&str> = printed.lines().collect();
        let expected: Vec<&str> = example.output.iter().map(String::as_str).collect();
        if !lines_match(&expected, &actual) {
            problems.push(format!(
                "line {}: `{}` printed:\n{printed}",
                example.line, example.command
            ));
        }
    }
    Ok(problems)
}

/// An edit that must succeed and print nothing.
fn edit(folder: &Path, example: &Example) -> Result<Option<String>, String> {
    let output = Command::new("sh")
        .args(["-c", &example.command])
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let clean = output.status.success() && output.stdout.is_empty();
    Ok((!clean).then(|| {
        let printed = String::from_utf8_lossy(&output.stderr);
        format!("line {}: `{}`: {printed}", example.line, example.command)
    }))
}

fn replay(folder: &Path, arguments: &str) -> Result<String, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new(program)
        .arg("replay")
        .args(arguments.split_whitespace())
        .current_dir(folder)
        // Pages show what a person sees, also where the gate runs; what is written goes into copies.
        .env_remove("CI")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(text(&output.stdout) + &text(&output.stderr))
}

fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    for file in files_below(from) {
        let target = to.join(shown(&file, from));
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::copy(&file, target)?;
    }
    Ok(())
}

fn lines_match(expected: &[&str], actual: &[&str]) -> bool {
    match expected.split_first() {
        None => actual.is_empty(),
        Some((&"...", rest)) => {
            (0..=actual.len()).any(|from| lines_match(rest, actual.get(from..).unwrap_or(&[])))
        }
        Some((line, rest)) => actual
            .split_first()
            .is_some_and(|(first, others)| line_matches(line, first) && lines_match(rest, others)),
    }
}

fn line_matches(expected: &str, actual: &str) -> bool {
    // Blanks at the end of a line do not survive editors.
    let (expected, actual) = (expected.trim_end(), actual.trim_end());
    match expected.split_once("[..]") {
        None => expected == actual,
        Some((start, rest)) => actual.strip_prefix(start).is_some_and(|tail| {
            tail.char_indices()
                .map(|(at, _)| at)
                .chain([tail.len()])
                .any(|at| tail.get(at..).is_some_and(|tail| line_matches(rest, tail)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_block_gives_commands_with_their_output() {
        let page = "text\n```console\n$ replay run\none\n\n$ ls\n```\n```sh\n$ no\n```\n";
        let lines = |output: &[&str]| output.iter().map(|line| (*line).to_owned()).collect();
        let first = Example {
            line: 3,
            command: "replay run".to_owned(),
            output: lines(&["one", ""]),
        };
        let second = Example {
            line: 6,
            command: "ls".to_owned(),
            output: lines(&[]),
        };
        assert_eq!(examples(page), [first, second]);
    }

    #[test]
    fn dots_stand_for_any_lines() {
        assert!(lines_match(&["a", "...", "d"], &["a", "b", "c", "d"]));
        assert!(lines_match(&["a", "..."], &["a"]));
        assert!(!lines_match(&["a", "...", "d"], &["a", "b"]));
        assert!(!lines_match(&["a"], &["a", "b"]));
    }

    #[test]
    fn bracketed_dots_stand_for_anything_within_a_line() {
        assert!(line_matches("took [..] s", "took 0.02 s"));
        assert!(line_matches("[..]a[..]", "xay"));
        assert!(!line_matches("took [..] s", "took 0.02 ms!"));
    }
}
