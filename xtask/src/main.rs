//! `cargo xtask`: what keeps this repository consistent with itself.
//!
//! * `check` looks for drift and changes nothing: `.ci/run` calls it.
//! * `generate` writes what `check` compares: the JSON Schema, and scenario files in their canonical form.
//! * `instructions` counts the engine's instructions under callgrind and writes the table of them; with `--check` it
//!   fails when one grew.
//! * `replay ARGS` is the `replay` command in this process, so that commands in the documentation can be tried.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod check;
mod instructions;

/// As in the `replay` binary: scenarios may expect how much heap the engine holds.
#[global_allocator]
static HEAP: replay::base::heap::EngineHeap = replay::base::heap::EngineHeap;

const USAGE: &str = "\
Usage: cargo xtask COMMAND

Commands:
  check          Look for drift: schema, scenario files, captures, documentation
  generate       Write the schema and put scenario files into their canonical form
  instructions   Count the engine's instructions under callgrind and write docs/generated/instructions.json;
                 --check fails when one grew by more than 3 %, or a bound between two does not hold";

fn main() -> ExitCode {
    replay::base::heap::installed();
    let mut arguments = std::env::args_os().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<OsString> = arguments.collect();
    match (command.to_str(), rest.is_empty()) {
        (Some("check"), true) => check::all(&root()),
        (Some("generate"), true) => generate(&root()),
        (Some("instructions"), true) => instructions::run(&root(), false),
        (Some("instructions"), false) if rest == ["--check"] => instructions::run(&root(), true),
        (Some("replay"), _) => {
            replay::cli::main([OsString::from("replay")].into_iter().chain(rest))
        }
        (Some("help" | "-h" | "--help"), true) => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// The repository's root.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn generate(root: &Path) -> ExitCode {
    let mut failed = false;
    for file in check::generated::files(root) {
        let done = file.and_then(|file| file.write());
        match done {
            Ok(Some(path)) => println!("written: {}", path.display()),
            Ok(None) => {}
            Err(problem) => {
                eprintln!("{problem}");
                failed = true;
            }
        }
    }
    ExitCode::from(u8::from(failed))
}
