//! Tables in Markdown.

use std::fmt::Write;

use super::measure::{Cell, ROWS, Table};
use crate::contender::{Contender, Preset};
use crate::stacks::Kind;
use crate::workload::Workload;

/// Columns that are compared with ours.
const OTHERS: [&str; 4] = ["netstack-smoltcp", "ipstack", "lwip", "smoltcp"];
const OURS: Contender = Contender::Ours(Preset::Default);

/// Versions, settings, and what was done.
pub(super) fn conditions(table: &Table) -> String {
    let config = engine::Config::default();
    let small = engine::Config::many_flows();
    let kib = |bytes: usize| bytes / 1024;
    let versions: Vec<String> = Kind::ALL
        .iter()
        .map(|kind| format!("{} {}", kind.name(), kind.version()))
        .collect();
    format!(
        "Ours: `Config::default()`, rings of up to {} KiB + {} KiB, and `Config::many_flows()`, {} KiB + {} KiB, both with room for the \
         flows of the cell. Others: {}, smoltcp 0.14.0. MTU 1500. Medians of {}; a repetition of all cells after the other; {} s in \
         all. Noisy (marked ~): the runs of either differ by more than 25 % of the median.\n",
        kib(config.rx_limit),
        kib(config.tx_limit),
        kib(small.rx_ring()),
        kib(small.tx_ring()),
        versions.join(", "),
        table.reps,
        table.seconds,
    )
}

/// What others cost, by what ours costs in the driver's loop.
pub(super) fn ratios(table: &Table) -> String {
    let mut text = String::from(
        "| workload | ours | many-flows | core | netstack-smoltcp | ipstack | lwip | smoltcp |\n|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows(table) {
        let Some(ours) = table.cell(row, OURS) else {
            continue;
        };
        let own = [Contender::Ours(Preset::ManyFlows), Contender::Core]
            .map(|contender| ratio(ours, table.cell(row, contender)));
        let others = OTHERS.map(|column| ratio(ours, table.best(row, column)));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} |",
            row.0.title(row.1),
            absolute(ours),
            own.join(" | "),
            others.join(" | "),
        );
    }
    text
}

/// What is claimed, and whether it holds.
pub(super) fn claims(table: &Table) -> String {
    let mut text = String::from(
        "| workload | better of netstack-smoltcp and ipstack | wanted | lwip | wanted |\n|---|---|---|---|---|\n",
    );
    for row in rows(table) {
        let Some(ours) = table.cell(row, OURS) else {
            continue;
        };
        let wanted = match row.0 {
            Workload::Idle | Workload::Used => continue,
            Workload::Churn | Workload::ChurnRemote => 3.0,
            _ => 2.0,
        };
        let peers = ["netstack-smoltcp", "ipstack"]
            .iter()
            .filter_map(|column| factor(ours, table.best(row, column)))
            .fold(f64::INFINITY, f64::min);
        let judge = |factor: f64, wanted: f64| {
            let verdict = if factor >= wanted {
                "met"
            } else {
                "**not met**"
            };
            format!("{wanted}: {verdict}")
        };
        let (peer, peer_verdict) = if peers.is_finite() {
            (format!("{peers:.2}"), judge(peers, wanted))
        } else {
            ("both fail".to_owned(), format!("{wanted}: met"))
        };
        let (lwip, lwip_verdict) = match table.best(row, "lwip") {
            None => ("cannot run".to_owned(), "-".to_owned()),
            Some(cell) => match factor(ours, Some(cell)) {
                Some(factor) => (format!("{factor:.2}"), judge(factor, 1.0)),
                None => ("fails".to_owned(), "1: met".to_owned()),
            },
        };
        let _ = writeln!(
            text,
            "| {} | {peer} | {peer_verdict} | {lwip} | {lwip_verdict} |",
            row.0.title(row.1)
        );
    }
    text
}

/// Every cell with its spread.
pub(super) fn costs(table: &Table) -> String {
    let mut text = String::from(
        "| workload | contender | cost, median (min to max) | wall s | frames in / out | sent again |\n|---|---|---|---|---|---|\n",
    );
    for cell in &table.cells {
        let title = cell.workload.title(cell.flows);
        let name = cell.contender.name();
        let Some((median, least, most)) = cell.cost() else {
            let why = cell.failures.first().map_or("", String::as_str);
            let _ = writeln!(text, "| {title} | {name} | fails: {why} | | | |");
            continue;
        };
        let mut walls: Vec<u64> = cell.runs.iter().map(|run| run.wall).collect();
        walls.sort_unstable();
        let wall = walls.get(walls.len() / 2).copied().unwrap_or(0) as f64 / 1e9;
        let frames = cell.runs.first().map_or((0, 0), |run| run.frames);
        let again = cell.runs.iter().map(|run| run.retransmissions).max();
        let _ = writeln!(
            text,
            "| {title} | {name} | {median:.0} ({least:.0} to {most:.0}) {}{} | {wall:.2}{} | {} / {} | {} |",
            cell.workload.unit(),
            if cell.is_noisy() { " ~" } else { "" },
            if cell.waits() { ", waits" } else { "" },
            frames.0,
            frames.1,
            again.unwrap_or(0),
        );
    }
    text
}

fn rows(table: &Table) -> impl Iterator<Item = (Workload, usize)> + '_ {
    ROWS.into_iter()
        .filter(|row| table.cell(*row, OURS).is_some())
}

fn absolute(cell: &Cell) -> String {
    let Some((median, _, _)) = cell.cost() else {
        return "fails".to_owned();
    };
    let noisy = if cell.is_noisy() { " ~" } else { "" };
    if cell.workload.weighs() {
        return format!("{:.1} KiB{noisy}", median / 1024.0);
    }
    format!("{median:.0} ns{noisy}")
}

fn factor(ours: &Cell, other: Option<&Cell>) -> Option<f64> {
    Some(other?.cost()?.0 / ours.cost()?.0)
}

fn ratio(ours: &Cell, other: Option<&Cell>) -> String {
    let Some(cell) = other else {
        return "-".to_owned();
    };
    let Some(factor) = factor(ours, other) else {
        let why = cell.failures.first().map_or("ours failed", String::as_str);
        return format!("fails ({why})");
    };
    let mut marks = String::new();
    if let Some(setting) = cell.contender.setting() {
        let _ = write!(marks, " {setting}");
    }
    if cell.waits() {
        marks += " waits";
    }
    if cell.is_noisy() || ours.is_noisy() {
        marks += " ~";
    }
    format!("{factor:.2}{marks}")
}
