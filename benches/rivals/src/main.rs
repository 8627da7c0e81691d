//! `rivals table` measures all stacks and prints ratios; `rivals cell` runs one cell in this process.

use std::process::ExitCode;

use rivals::cell;
use rivals::contender::Contender;
use rivals::probes::{self, Probe};
use rivals::table::{self, Options};
use rivals::workload::Workload;

const USAGE: &str = "\
usage: rivals table [--reps N] [--quick] [--only WORD]... [--json FILE] [--write]
       rivals probes
       rivals cell CONTENDER WORKLOAD FLOWS [--quick]
       rivals probe CONTENDER PROBE

table   every cell in a process of its own, a repetition after the other; prints a table of ratios
        --reps N     repetitions of each cell, 5 unless said otherwise
        --quick      a sixteenth of the work, one repetition: for smoke, not for figures
        --only WORD  cells whose contender or workload contains the word
        --json FILE  raw figures
        --write      the generated parts of docs/RIVALS.md
probes  what stacks do where they are known to go wrong; exit code 1 if the engine fails one
cell, probe  one of it in this process; a line of JSON";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["cell", contender, workload, flows, rest @ ..] => {
            let quick = rest.contains(&"--quick");
            let parsed = (
                Contender::named(contender),
                Workload::named(workload),
                flows.parse(),
            );
            let (Some(contender), Some(workload), Ok(flows)) = parsed else {
                return usage();
            };
            cell::run(contender, workload, flows, quick)
                .and_then(|figure| {
                    serde_json::to_string(&figure).map_err(|problem| problem.to_string())
                })
                .map(|line| println!("{line}"))
        }
        ["probe", contender, probe] => {
            let (Some(contender), Some(probe)) = (Contender::named(contender), Probe::named(probe))
            else {
                return usage();
            };
            probes::run(probe, contender)
                .and_then(|finding| {
                    serde_json::to_string(&finding).map_err(|problem| problem.to_string())
                })
                .map(|line| println!("{line}"))
        }
        ["probes"] => probes::all(false).and_then(|rows| {
            println!("{}", probes::render(&rows));
            if probes::ours_passes(&rows) {
                Ok(())
            } else {
                Err("the engine fails a probe".to_owned())
            }
        }),
        ["table", rest @ ..] => match Options::parse(rest) {
            Some(options) => table::run(&options),
            None => return usage(),
        },
        _ => return usage(),
    };
    match done {
        // Stacks may have left threads behind that wait for nothing.
        Ok(()) => std::process::exit(0),
        Err(problem) => {
            eprintln!("{problem}");
            std::process::exit(1)
        }
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}
