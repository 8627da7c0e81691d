//! Runs cells in processes of their own, a repetition of all after the other.

use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Options;
use crate::cell::Figure;
use crate::contender::Contender;
use crate::workload::Workload;

/// A cell that takes longer has failed.
const LIMIT: Duration = Duration::from_secs(15);
/// Failures of a cell after which it is not tried again.
const TRIES: usize = 2;

/// Rows of the tables.
pub(super) const ROWS: [(Workload, usize); 14] = [
    (Workload::Up, 1),
    (Workload::Down, 1),
    (Workload::Up, 16),
    (Workload::Up, 128),
    (Workload::Up, 1024),
    (Workload::Up, 4096),
    (Workload::Down, 128),
    (Workload::Down, 1024),
    (Workload::Churn, 64),
    (Workload::ChurnRemote, 64),
    (Workload::Udp, 64),
    (Workload::Udp, 1024),
    (Workload::Idle, 1000),
    (Workload::Used, 1000),
];

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub(super) struct Table {
    /// Repetitions.
    pub(super) reps: usize,
    /// Seconds it took.
    pub(super) seconds: u64,
    /// The cells, in the order of rows and contenders.
    pub(super) cells: Vec<Cell>,
}

/// All runs of a cell.
#[derive(Debug, Serialize)]
pub(super) struct Cell {
    #[serde(serialize_with = "workload_name")]
    pub(super) workload: Workload,
    pub(super) flows: usize,
    #[serde(serialize_with = "contender_name")]
    pub(super) contender: Contender,
    pub(super) runs: Vec<Figure>,
    pub(super) failures: Vec<String>,
}

fn workload_name<S: serde::Serializer>(it: &Workload, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(it.name())
}

fn contender_name<S: serde::Serializer>(it: &Contender, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&it.name())
}

impl Cell {
    /// Median, least and largest cost; `None` if any run failed.
    pub(super) fn cost(&self) -> Option<(f64, f64, f64)> {
        if !self.failures.is_empty() {
            return None;
        }
        let mut costs: Vec<f64> = self.runs.iter().map(|run| run.cost).collect();
        costs.sort_by(f64::total_cmp);
        Some((
            *costs.get(costs.len() / 2)?,
            *costs.first()?,
            *costs.last()?,
        ))
    }

    /// Whether its runs differ by more than a quarter of the median.
    pub(super) fn is_noisy(&self) -> bool {
        self.cost()
            .is_some_and(|(median, least, most)| most - least > 0.25 * median)
    }

    /// Whether it had nothing to do for more than a fifth of the time.
    pub(super) fn waits(&self) -> bool {
        let (parked, wall) = self.runs.iter().fold((0, 0), |(parked, wall), run| {
            (parked + run.parked, wall + run.wall)
        });
        !self.workload.weighs() && parked * 5 > wall
    }
}

impl Table {
    /// The cell of a contender in a row.
    pub(super) fn cell(&self, row: (Workload, usize), contender: Contender) -> Option<&Cell> {
        self.cells
            .iter()
            .find(|cell| (cell.workload, cell.flows) == row && cell.contender == contender)
    }

    /// The cell in this column of a row, the cheapest of those that share it, or one that failed if all did.
    pub(super) fn best(&self, row: (Workload, usize), column: &str) -> Option<&Cell> {
        let cells = self
            .cells
            .iter()
            .filter(|cell| (cell.workload, cell.flows) == row && cell.contender.column() == column);
        cells.min_by(|a, b| {
            let cost = |cell: &Cell| cell.cost().map_or(f64::INFINITY, |(median, _, _)| median);
            cost(a).total_cmp(&cost(b))
        })
    }
}

/// Runs all cells that are wanted.
pub(super) fn run(options: &Options) -> Result<Table, String> {
    let began = Instant::now();
    let wanted = |name: &str, workload: &str| {
        options.only.is_empty()
            || options
                .only
                .iter()
                .any(|word| name.contains(word.as_str()) || workload == word)
    };
    let mut cells = Vec::new();
    for (workload, flows) in ROWS {
        for contender in Contender::ALL {
            if contender.runs(workload, flows) && wanted(&contender.name(), workload.name()) {
                cells.push(Cell {
                    workload,
                    flows,
                    contender,
                    runs: Vec::new(),
                    failures: Vec::new(),
                });
            }
        }
    }
    let program = std::env::current_exe().map_err(|problem| problem.to_string())?;
    for rep in 0..options.reps {
        for cell in &mut cells {
            if cell.failures.len() >= TRIES {
                continue;
            }
            let (name, workload) = (cell.contender.name(), cell.workload.name());
            let mut command = Command::new(&program);
            command.args(["cell", &name, workload, &cell.flows.to_string()]);
            if options.quick {
                command.arg("--quick");
            }
            match output(command, LIMIT) {
                Ok(text) => match serde_json::from_str::<Figure>(&text) {
                    Ok(figure) => {
                        eprintln!(
                            "{}/{} {name} {workload} {}: {:.1}",
                            rep + 1,
                            options.reps,
                            cell.flows,
                            figure.cost
                        );
                        cell.runs.push(figure);
                    }
                    Err(problem) => cell.failures.push(problem.to_string()),
                },
                Err(problem) => {
                    eprintln!("{name} {workload} {}: {problem}", cell.flows);
                    cell.failures.push(problem);
                }
            }
        }
    }
    Ok(Table {
        reps: options.reps,
        seconds: began.elapsed().as_secs(),
        cells,
    })
}

/// What a command prints, if it succeeds within the limit.
pub(crate) fn output(mut command: Command, limit: Duration) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|problem| problem.to_string())?;
    let began = Instant::now();
    // What is printed is a line: no pipe fills up.
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) if began.elapsed() > limit => {
                let killed = child.kill().and_then(|()| child.wait());
                return Err(match killed {
                    Ok(_) => format!("not done in {} s", limit.as_secs()),
                    Err(problem) => problem.to_string(),
                });
            }
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(problem) => return Err(problem.to_string()),
        }
    };
    let mut text = String::new();
    let mut trouble = String::new();
    let read = |from: Option<&mut dyn Read>, to: &mut String| {
        from.map_or(Ok(0), |from| from.read_to_string(to))
            .map_err(|problem| problem.to_string())
    };
    read(
        child.stdout.as_mut().map(|pipe| pipe as &mut dyn Read),
        &mut text,
    )?;
    read(
        child.stderr.as_mut().map(|pipe| pipe as &mut dyn Read),
        &mut trouble,
    )?;
    if status.success() {
        Ok(text)
    } else {
        Err(trouble.lines().last().unwrap_or("died").to_owned())
    }
}
