//! `cargo xtask instructions`: how many instructions the engine takes, counted by callgrind, as a committed table.
//!
//! Each figure is a difference of two runs, the second with more of the same: opening and closing fall out, and what is
//! left is the steady state. The same program on the same input takes the same instructions, so a figure that moves
//! says that the code has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{fs, io};

use replay::base::output::{self, Existing};
use serde_json::Value;

/// By how much a figure may grow before the table must be written anew.
const TOLERANCE: f64 = 0.03;
/// glibc copies large pieces with one instruction that callgrind counts once for every byte; these turn it off.
const TUNABLES: &str =
    "glibc.cpu.x86_rep_movsb_threshold=1000000000:glibc.cpu.x86_rep_stosb_threshold=1000000000";

/// A workload, how many flows, the two amounts for each flow, and the keys of a run's line of JSON whose sum is what the
/// instructions are divided by.
struct Row(&'static str, u32, (u32, u32), &'static [&'static str]);

const FRAMES: &[&str] = &["frames_in", "frames_out"];
const LIVES: &[&str] = &["served"];
const TICKS: &[&str] = &["ticks"];

const ROWS: [Row; 16] = [
    Row("bulk-up", 1, (2000, 6000), FRAMES),
    Row("bare-up", 1, (2000, 6000), FRAMES),
    Row("bulk-down", 1, (2000, 6000), FRAMES),
    Row("bare-down", 1, (2000, 6000), FRAMES),
    Row("many-up", 64, (64, 128), FRAMES),
    Row("many-up", 4096, (1, 3), FRAMES),
    Row("many-up", 20_000, (1, 3), FRAMES),
    Row("many-down", 64, (64, 128), FRAMES),
    Row("many-down", 1024, (4, 8), FRAMES),
    Row("udp", 64, (50, 150), FRAMES),
    Row("udp", 1024, (4, 12), FRAMES),
    Row("churn", 64, (5, 15), LIVES),
    Row("churn-remote", 64, (5, 15), LIVES),
    Row("ticks", 0, (1000, 3000), TICKS),
    Row("ticks", 1, (1000, 3000), TICKS),
    Row("ticks", 10_000, (1000, 3000), TICKS),
];

/// What must hold between two rows, whatever the table says: the first is at most so many times the second.
const BOUNDS: [(&str, &str, f64); 6] = [
    ("bulk-up 1", "bare-up 1", 1.5),
    ("bulk-down 1", "bare-down 1", 1.5),
    ("many-up 4096", "many-up 64", 1.1),
    ("many-up 20000", "many-up 64", 1.2),
    // Ten thousand idle flows cost what one does; that there is a deadline at all costs some thirty instructions.
    ("ticks 10000", "ticks 1", 1.01),
    ("ticks 10000", "ticks 0", 1.15),
];

type Table = BTreeMap<String, u64>;

/// Measures, and writes the table or holds the figures to what was written.
pub(crate) fn run(root: &Path, check: bool) -> ExitCode {
    match measure(root).and_then(|table| conclude(root, check, &table)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}

fn table_path(root: &Path) -> PathBuf {
    root.join("docs/generated/instructions.json")
}

fn measure(root: &Path) -> io::Result<Table> {
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--release", "-p", "benches"])
        .current_dir(root)
        .status()?;
    if !built.success() {
        return Err(io::Error::other("the benches cannot be built"));
    }
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    let program = target.join("release").join("benches");
    let mut table = Table::new();
    for row in &ROWS {
        let Row(workload, flows, shares, _) = row;
        let (few, few_units) = counted(&program, row, shares.0)?;
        let (many, many_units) = counted(&program, row, shares.1)?;
        let units = many_units.saturating_sub(few_units).max(1);
        let each = (many.saturating_sub(few) + units / 2) / units;
        let name = format!("{workload} {flows}");
        println!("{name:20} {each:8}");
        table.insert(name, each);
    }
    Ok(table)
}

/// Instructions of one run within the engine, and how many units it did.
fn counted(program: &Path, row: &Row, share: u32) -> io::Result<(u64, u64)> {
    let Row(workload, flows, _, per) = row;
    let run = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*counted*"])
        .arg("--callgrind-out-file=/dev/null")
        .arg(program)
        .args([*workload, &flows.to_string(), &share.to_string()])
        .env("GLIBC_TUNABLES", TUNABLES)
        .output()
        .map_err(|problem| io::Error::other(format!("valgrind: {problem}")))?;
    let log = String::from_utf8_lossy(&run.stderr);
    let collected = log
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, count)| count.trim().parse().ok());
    let line: Value = serde_json::from_slice(&run.stdout).unwrap_or_default();
    let units: Option<u64> = per.iter().map(|key| line[*key].as_u64()).sum();
    match (collected, units) {
        (Some(collected), Some(units)) if run.status.success() => Ok((collected, units)),
        _ => Err(io::Error::other(format!(
            "{workload} {flows} {share} under callgrind: {log}"
        ))),
    }
}

fn conclude(root: &Path, check: bool, table: &Table) -> io::Result<bool> {
    let path = table_path(root);
    let beyond = beyond(table);
    for problem in &beyond {
        eprintln!("{problem}");
    }
    if !check {
        let text = serde_json::to_string_pretty(table)? + "\n";
        output::write(&path, text.as_bytes(), Existing::Replace, &[]).map_err(io::Error::other)?;
        println!("written: {}", super::check::shown(&path, root));
        return Ok(beyond.is_empty());
    }
    let problems = grown(&serde_json::from_slice(&fs::read(&path)?)?, table);
    for problem in &problems {
        eprintln!("{problem}");
    }
    println!(
        "{} of {} figures hold",
        table.len() - problems.len().min(table.len()),
        table.len()
    );
    Ok(problems.is_empty() && beyond.is_empty())
}

/// Which bounds between rows that were measured do not hold.
fn beyond(table: &Table) -> Vec<String> {
    BOUNDS
        .iter()
        .filter_map(|(name, base, most)| {
            let (each, of) = (*table.get(*name)? as f64, *table.get(*base)? as f64);
            println!(
                "{name:20} {:8.2} times {base}, {most} at the most",
                each / of
            );
            (each > of * most).then(|| {
                format!("{name}: {each} instructions are more than {most} times the {of} of {base}")
            })
        })
        .collect()
}

/// What grew by more than the tolerance, or is not in the committed table.
fn grown(committed: &Table, table: &Table) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, each) in table {
        match committed.get(name) {
            None => problems.push(format!(
                "{name}: not in the table; run `cargo xtask instructions`"
            )),
            Some(before) if *each as f64 > *before as f64 * (1.0 + TOLERANCE) + 1.0 => {
                problems.push(format!(
                    "{name}: {before} instructions became {each}; mend it, or run `cargo xtask instructions` and say why"
                ));
            }
            Some(_) => {}
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_may_grow_by_three_percent_and_no_more() {
        let table =
            |each| Table::from([("udp 64".to_owned(), each), ("udp 1024".to_owned(), 1500)]);
        let committed = table(1000);
        assert!(grown(&committed, &table(1030)).is_empty());
        let problems = grown(&committed, &table(1040));
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("udp 64: 1000 instructions became 1040"));
    }

    #[test]
    fn a_row_beyond_its_bound_is_a_problem_whatever_was_committed() {
        let table = |ticks| {
            Table::from([
                ("ticks 0".to_owned(), 100),
                ("ticks 10000".to_owned(), ticks),
            ])
        };
        assert!(beyond(&table(114)).is_empty());
        assert_eq!(beyond(&table(116)).len(), 1);
    }

    #[test]
    fn a_row_without_a_figure_is_a_problem() {
        let table = Table::from([("udp 64".to_owned(), 1)]);
        assert_eq!(grown(&Table::new(), &table).len(), 1);
    }
}
