//! What scenarios exercise: for people, for programs, and as the page docs/generated/COVERAGE.md.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::json::SCHEMA;
use super::table::{Align, Table};
use crate::base::term::{Paint, Style};
use crate::verdict::coverage::{Area, Coverage, Item};

/// Scenarios that are named of those that exercise something; the others are counted.
const NAMED: usize = 3;

/// The report programs read; a later version only adds to it.
#[must_use]
pub fn json(coverage: &Coverage) -> Value {
    let item = |item: &Item| {
        let mut value = json!({
            "name": item.name,
            "scenarios": item.scenarios.len(),
            "first": item.scenarios.iter().take(NAMED).collect::<Vec<_>>(),
        });
        if let Some(reason) = &item.reason {
            value["reason"] = json!(reason);
        }
        value
    };
    let mut report = Map::new();
    report.insert("schema".to_owned(), json!(SCHEMA));
    for area in Area::ALL {
        let items: Vec<Value> = coverage.of(area).map(item).collect();
        report.insert(area.label().to_owned(), json!(items));
    }
    let others = coverage.others.iter().map(|other| {
        let mut value = item(other);
        value["area"] = json!(other.area.label());
        value
    });
    report.insert("others".to_owned(), others.collect());
    report.insert("problems".to_owned(), json!(coverage.problems));
    Value::Object(report)
}

/// Prints how much of each area is exercised, and what is not.
///
/// # Errors
/// Writing failed.
pub fn human(out: &mut dyn Write, coverage: &Coverage, style: Style) -> io::Result<()> {
    let mut totals = Table::new([
        ("AREA", Align::Left),
        ("THERE ARE", Align::Right),
        ("EXERCISED", Align::Right),
        ("NOT", Align::Right),
    ]);
    let mut left = Table::new([
        ("NOT EXERCISED", Align::Left),
        ("AREA", Align::Left),
        ("REASON", Align::Left),
    ]);
    for area in Area::ALL {
        let all = coverage.of(area).count();
        let not: Vec<&Item> = coverage
            .of(area)
            .filter(|one| !one.is_exercised())
            .collect();
        totals.row([
            area.label().to_owned(),
            all.to_string(),
            (all - not.len()).to_string(),
            not.len().to_string(),
        ]);
        for item in not {
            let reason = item.reason.clone().unwrap_or_else(|| "-".to_owned());
            left.row([item.name.clone(), area.label().to_owned(), reason]);
        }
    }
    totals.print(out, style, |_| None)?;
    writeln!(out)?;
    left.print(out, style, |_| Some(Paint::Attention))
}

const HEAD: &str = "\
# Coverage

What the scenarios of expectations/ exercise of the engine, and why none exercises the rest. Made by `replay coverage --format markdown`; `cargo xtask
generate` writes it, and `cargo xtask check` fails where something is neither exercised nor has its reason in
[replay-cli/catalogue/uncovered.json](../../replay-cli/catalogue/uncovered.json), or is exercised and has one. The requirements of the catalogue are in
[CONFORMANCE.md](CONFORMANCE.md).

The engine is looked at after every frame or batch, every call and every output, and a transition is from one look to the next. A counter is
exercised where it is above 0, a setting where a scenario sets it to something else than the default.
";

/// The page: each area with a scenario for each item, or the reason why there is none.
#[must_use]
pub fn markdown(coverage: &Coverage) -> String {
    let mut page = String::from(HEAD);
    for area in Area::ALL {
        if area == Area::Clauses {
            continue;
        }
        let all = coverage.of(area).count();
        let exercised = coverage.of(area).filter(|one| one.is_exercised()).count();
        // Writing into a string cannot fail.
        let _ = write!(
            page,
            "\n## {}\n\n{exercised} of {all}.\n\n| | exercised by, among others |\n|---|---|\n",
            area.label()
        );
        for item in coverage.of(area) {
            let by = match (item.scenarios.first(), &item.reason) {
                (Some(first), _) => first.clone(),
                (None, Some(reason)) => format!("none: {reason}"),
                (None, None) => "none".to_owned(),
            };
            let _ = writeln!(page, "| {} | {by} |", item.name);
        }
    }
    page
}
