//! Files made from code: the JSON Schema, the C header, the conformance page, and scenario files, which have one canonical form.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use engine::{Config, Counters, Mark, Setting, Unit};
use replay::base::output::{self, Existing};
use replay::load::stress;
use replay::report;
use replay::report::conformance::{Column, markdown};
use replay::scenario::{load, schema};
use replay::verdict::conformance::Matrix;
use replay::verdict::coverage::Coverage;
use replay::verdict::outcome::ScenarioOutcome;
use replay::verdict::run::{RunOptions, run_folder};

use super::{files_below, header, scenario_files, shown};

/// Where the schema of scenario files is kept.
const SCHEMA: &str = "replay-cli/schemas/scenario.schema.json";
/// Where the schema of stress scenarios is kept.
const STRESS_SCHEMA: &str = "replay-cli/schemas/stress.schema.json";
/// Where the schema of what they come to is kept.
const STRESS_REPORT_SCHEMA: &str = "replay-cli/schemas/stress-report.schema.json";

/// Where the counters are listed.
const COUNTERS: &str = "docs/generated/COUNTERS.md";
/// Where the settings are listed.
const SETTINGS: &str = "docs/generated/SETTINGS.md";

/// The conformance matrix, and a folder with JSON reports of other stacks, each a column of it.
const CONFORMANCE: &str = "docs/generated/CONFORMANCE.md";
const RIVALS: &str = "docs/generated/rivals";

/// What the scenarios exercise.
const COVERAGE: &str = "docs/generated/COVERAGE.md";

/// What a file has, and what it should have.
pub(crate) struct Generated {
    path: PathBuf,
    wanted: String,
}

impl Generated {
    fn is_current(&self) -> bool {
        fs::read_to_string(&self.path).is_ok_and(|text| text == self.wanted)
    }

    /// Writes the file if it differs; returns which.
    pub(crate) fn write(self) -> Result<Option<PathBuf>, String> {
        if self.is_current() {
            return Ok(None);
        }
        output::write(&self.path, self.wanted.as_bytes(), Existing::Replace, &[])
            .map_err(|problem| problem.to_string())?;
        Ok(Some(self.path))
    }
}

/// Every generated file, or why it cannot be made.
pub(crate) fn files(root: &Path) -> Vec<Result<Generated, String>> {
    let mut files: Vec<_> = [
        (SCHEMA, schema::scenario_schema_text()),
        (COUNTERS, counters_page()),
        (SETTINGS, settings_page()),
        (STRESS_SCHEMA, stress::schema_text()),
        (STRESS_REPORT_SCHEMA, stress::report_schema_text()),
    ]
    .into_iter()
    .map(|(path, wanted)| {
        let path = root.join(path);
        Ok(Generated { path, wanted })
    })
    .collect();
    files.push(header::file(root).map(|(path, wanted)| Generated { path, wanted }));
    files.extend(pages_of_scenarios(root));
    files.extend(scenario_files(root).into_iter().map(|path| {
        if let Some(stress) = stress_scenario(&path) {
            return stress;
        }
        let loaded = load::load(&path).map_err(|problems| joined(&problems))?;
        let wanted = loaded.scenario.to_canonical_string();
        Ok(Generated { path, wanted })
    }));
    files
}

fn joined(problems: &[impl ToString]) -> String {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    problems.join("; ")
}

/// A stress scenario in its canonical form, if that is what the file is.
fn stress_scenario(path: &Path) -> Option<Result<Generated, String>> {
    let text = fs::read_to_string(path).ok()?;
    let value: serde_json::Value = serde_json::from_str(&text).ok()?;
    (value.get("kind")?.as_str()? == "stress").then(|| {
        let stress = stress::parse(path, &text).map_err(|problem| problem.to_string())?;
        let wanted =
            serde_json::to_string_pretty(&stress).map_err(|problem| problem.to_string())?;
        Ok(Generated {
            path: path.to_owned(),
            wanted: wanted + "\n",
        })
    })
}

/// Every counter of the engine, group by group.
fn counters_page() -> String {
    let mut page = String::from(COUNTERS_HEAD);
    let mut group = "";
    for info in Counters::describe() {
        if info.group != group {
            group = info.group;
            let head = "| counter | counts | compared |\n|---|---|---|\n";
            let section = format!("\n## {group}\n\n{head}");
            page.push_str(&section);
        }
        let compared = match info.mark {
            Mark::Semantic => "always",
            Mark::Timing => "same way in",
            Mark::Gauge => "gauge",
        };
        let row = format!("| `{}` | {} | {compared} |\n", info.name, info.help());
        page.push_str(&row);
    }
    page
}

const COUNTERS_HEAD: &str = "\
# Counters

Made from engine/core/src/api/counters.rs and drop_reason.rs by `cargo xtask generate`.

`Engine::counters` gives them at any time; they are never reset while the engine lives. `Counters::to_text`, `to_json` and
`to_openmetrics` write them all; `Config::metrics_interval` sends those that are not zero to the log. Scenarios name them under
`expect.counters`.

*compared*: `always` is a matter of what was done, and equal whichever way the engine is driven; `same way in` is a matter of
batches and instants as well; a `gauge` says how things stand and goes up and down.

Between any two calls these hold, and every scenario checks them after every step (`Counters::broken_law`):

* `frames_in` = the sum of all `taken_*` and all `drop_*`
* `taken_datagram` = `upstream_datagrams` + `udp_waiting` + `udp_given_up`
* `tcp_dials` + `dns_streams` = `tcp_closes` + `tcp_flows`, and `udp_dials` = `udp_closes` + `udp_flows`
* `tcp_backpressure_drops` = 0
";

/// Every setting of the engine.
fn settings_page() -> String {
    let mut page = String::from(SETTINGS_HEAD);
    for setting in Config::settings() {
        let doc = setting.doc.split_whitespace().collect::<Vec<_>>().join(" ");
        let doc = doc.replace("[`Config::", "`").replace("`]", "`");
        let kind = kind(&setting);
        let row = format!("\n## `{}`\n\n{kind}\n\n{doc}\n", setting.name);
        page.push_str(&row);
    }
    page
}

/// What a setting may be, and what it is by default.
fn kind(setting: &Setting) -> String {
    let kind = match setting.unit {
        Unit::Bytes => "bytes".to_owned(),
        Unit::Count => "a number".to_owned(),
        Unit::Time => "a time".to_owned(),
        Unit::Switch => "`true` or `false`".to_owned(),
        Unit::Word => format!("`{}`", setting.words.join("`, `")),
    };
    let range = match setting.range().as_str() {
        "anything" => String::new(),
        range => format!("; {range}"),
    };
    let default = match (setting.unit, setting.default.parse()) {
        (Unit::Time, Ok(micros)) => format!("{:?}", Duration::from_micros(micros)),
        _ => setting.default.clone(),
    };
    let optional = if setting.optional { ", or none" } else { "" };
    format!("{kind}{optional}{range}. Default: {default}.")
}

const SETTINGS_HEAD: &str = "\
# Settings

Made from the table in engine/core/src/api/config.rs by `cargo xtask generate`.

The same names everywhere: a field of `engine::Config` in Rust, `engine` of a scenario (sizes and times with a unit there: `\"64KiB\"`,
`\"200ms\"`), and `BridgeEngineSet` of the C ABI (sizes and counts in decimal, times in microseconds, `none` for what may be absent).
A value out of its range is refused with the name and the range.
";

/// The pages that a run of all scenarios makes: the conformance matrix, with the reports of other stacks kept beside it, and what is
/// exercised.
fn pages_of_scenarios(root: &Path) -> Vec<Result<Generated, String>> {
    let options = RunOptions {
        coverage: true,
        ..RunOptions::default()
    };
    match run_folder(&root.join("expectations"), &options) {
        Ok(outcomes) => vec![
            conformance_page(root, &outcomes),
            coverage_page(root, &outcomes),
        ],
        Err(problems) => vec![Err(joined(&problems))],
    }
}

fn coverage_page(root: &Path, outcomes: &[ScenarioOutcome]) -> Result<Generated, String> {
    let coverage = Coverage::new(outcomes, true);
    if !coverage.problems.is_empty() {
        return Err(coverage.problems.join("\n  "));
    }
    Ok(Generated {
        path: root.join(COVERAGE),
        wanted: report::coverage::markdown(&coverage),
    })
}

fn conformance_page(root: &Path, outcomes: &[ScenarioOutcome]) -> Result<Generated, String> {
    let matrix = Matrix::new(outcomes, true);
    let reports = files_below(&root.join(RIVALS));
    let is_report = |path: &&PathBuf| {
        let name = path.to_string_lossy();
        name.ends_with(".json") && !name.ends_with(".notes.json")
    };
    let column = |path: &PathBuf| {
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(path).map_err(|error| error.to_string());
        text.and_then(|text| Column::read(&name, &text))
            .map_err(|problem| format!("{}: {problem}", shown(path, root)))
    };
    let columns = reports.iter().filter(is_report).map(column);
    let columns: Vec<Column> = columns.collect::<Result<_, _>>()?;
    Ok(Generated {
        path: root.join(CONFORMANCE),
        wanted: markdown(&matrix, &columns),
    })
}

pub(super) fn check(root: &Path) -> Vec<String> {
    let judge = |file: Result<Generated, String>| match file {
        Err(problem) => Some(problem),
        Ok(file) if file.is_current() => None,
        Ok(file) => Some(format!(
            "{} is out of date: `cargo xtask generate` writes it",
            shown(&file.path, root)
        )),
    };
    files(root).into_iter().filter_map(judge).collect()
}
