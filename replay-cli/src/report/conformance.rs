//! The conformance matrix: for people, for programs, and as the page docs/generated/CONFORMANCE.md.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use stack_protocol::Time;

use super::json::SCHEMA;
use super::table::{Align, Table};
use crate::base::term::{Paint, Style};
use crate::stack::StackProgram;
use crate::verdict::conformance::{Counts, Matrix, Row, Verdict, share_passed};

/// An earlier report of another stack, to stand beside this one's verdicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The stack's name.
    pub name: String,
    /// Its version, if the report has it.
    version: String,
    /// Its verdicts by requirement, each with the reason in a word.
    verdicts: Vec<(String, Verdict, Option<String>)>,
}

/// How reasons begin of rows that do not apply to another stack, and the word for each.
const REASONS: [(&str, &str); 3] = [
    ("not comparable: ", "not comparable"),
    ("the stack has no setting", "no setting"),
    ("the stack runs in real time", "too long"),
];

impl Column {
    /// Reads a report that [`json()`] made.
    ///
    /// # Errors
    /// Why the text is no such report.
    pub fn read(name: &str, text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Report {
            requirements: Vec<Requirement>,
            #[serde(default)]
            stack: Stack,
        }
        #[derive(Default, Deserialize)]
        struct Stack {
            version: String,
        }
        #[derive(Deserialize)]
        struct Requirement {
            id: String,
            verdict: Verdict,
            #[serde(default)]
            reason: String,
            #[serde(default)]
            failures: Vec<String>,
        }
        let report: Report = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let word = |row: &Requirement| match row.verdict {
            Verdict::Fail => row.failures.first().map(|kind| kind.replace('-', " ")),
            Verdict::NotApplicable => {
                let begins = |(start, _): &&(&str, &str)| row.reason.starts_with(start);
                let word = REASONS.iter().find(begins).map(|(_, word)| *word);
                Some(word.unwrap_or("cannot").to_owned())
            }
            _ => None,
        };
        let verdicts = report.requirements.into_iter();
        Ok(Self {
            name: name.to_owned(),
            version: report.stack.version,
            verdicts: verdicts
                .map(|row| {
                    let word = word(&row);
                    (row.id, row.verdict, word)
                })
                .collect(),
        })
    }

    fn verdict(&self, id: &str) -> Option<Verdict> {
        self.row(id).map(|(_, verdict, _)| *verdict)
    }

    fn row(&self, id: &str) -> Option<&(String, Verdict, Option<String>)> {
        self.verdicts.iter().find(|(known, ..)| known == id)
    }

    /// The verdict and its reason in a word.
    fn cell(&self, id: &str) -> String {
        match self.row(id) {
            None => "-".to_owned(),
            Some((_, Verdict::NotApplicable, Some(word))) => word.clone(),
            Some((_, verdict, None)) => verdict.word().replace('_', " "),
            Some((_, verdict, Some(word))) => format!("**{}**: {word}", verdict.word()),
        }
    }
}

/// The report programs read, of the engine or of another stack; a later version only adds to it.
#[must_use]
pub fn json(matrix: &Matrix, stack: Option<&StackProgram>) -> Value {
    let requirement = |row: &Row| {
        let mut value = json!({
            "id": row.requirement.id,
            "level": row.requirement.level.word(),
            "group": row.requirement.group,
            "verdict": row.verdict.word(),
            "scenarios": row.scenarios,
        });
        if let Some(reason) = &row.reason {
            value["reason"] = json!(reason);
        }
        if row.verdict == Verdict::Fail {
            let kinds: Vec<&str> = row.kinds.iter().map(|kind| kind.label()).collect();
            value["failures"] = json!(kinds);
        }
        value
    };
    let totals: Map<String, Value> = matrix
        .by_level()
        .into_iter()
        .map(|(level, counts)| (level.word().to_owned(), self::counts(&counts)))
        .collect();
    let mut report = json!({
        "schema": SCHEMA,
        "requirements": matrix.rows.iter().map(requirement).collect::<Vec<_>>(),
        "totals": totals,
    });
    if let Some(StackProgram { hello, .. }) = stack {
        let time = match hello.time {
            Time::Virtual => "virtual",
            Time::Real => "real",
        };
        report["stack"] = json!({
            "name": hello.name,
            "version": hello.version,
            "time": time,
            "tolerance_us": hello.tolerance,
        });
    }
    report
}

fn counts(counts: &Counts) -> Value {
    let count = |verdict: Verdict| {
        let count = counts.get(&verdict).copied().unwrap_or(0);
        (verdict.word().to_owned(), json!(count))
    };
    Value::Object(Verdict::ALL.into_iter().map(count).collect())
}

/// Prints the matrix and its totals.
///
/// # Errors
/// Writing failed.
pub fn human(out: &mut dyn Write, matrix: &Matrix, style: Style) -> io::Result<()> {
    let mut table = Table::new([
        ("VERDICT", Align::Left),
        ("REQUIREMENT", Align::Left),
        ("LEVEL", Align::Left),
        ("CLAUSE", Align::Left),
        ("SCENARIO", Align::Left),
    ]);
    for row in &matrix.rows {
        let last = match (row.scenarios.is_empty(), &row.reason) {
            (true, Some(reason)) => reason.clone(),
            _ => row.scenarios.join(", "),
        };
        table.row([
            row.verdict.word().to_owned(),
            row.requirement.id.clone(),
            row.requirement.level.word().to_owned(),
            row.requirement.clause(),
            last,
        ]);
    }
    table.print(out, style, |word| match word {
        "pass" => Some(Paint::Good),
        "fail" => Some(Paint::Bad),
        "deviation" | "missing" => Some(Paint::Attention),
        _ => Some(Paint::Faint),
    })?;
    writeln!(out)?;
    totals(matrix).print(out, style, |_| None)
}

/// The totals of each level and of each group.
fn totals(matrix: &Matrix) -> Table<7> {
    let mut table = Table::new([
        ("TOTAL", Align::Left),
        ("PASS", Align::Right),
        ("FAIL", Align::Right),
        ("DEVIATION", Align::Right),
        ("MISSING", Align::Right),
        ("NOT APPLICABLE", Align::Right),
        ("PASSED", Align::Right),
    ]);
    for (name, counts) in sums(matrix) {
        let [pass, fail, deviation, missing, not_applicable] = numbers(&counts);
        let share = share(&counts);
        table.row([name, pass, fail, deviation, missing, not_applicable, share]);
    }
    table
}

fn sums(matrix: &Matrix) -> Vec<(String, Counts)> {
    let levels = matrix.by_level().into_iter();
    let groups = matrix.by_group().into_iter();
    levels
        .map(|(level, counts)| (level.word().to_owned(), counts))
        .chain(groups.map(|(group, counts)| (group.to_owned(), counts)))
        .chain([("all".to_owned(), matrix.counts(|_| true))])
        .collect()
}

fn numbers(counts: &Counts) -> [String; 5] {
    Verdict::ALL.map(|verdict| counts.get(&verdict).copied().unwrap_or(0).to_string())
}

fn share(counts: &Counts) -> String {
    share_passed(counts).map_or_else(|| "-".to_owned(), |share| format!("{share:.1} %"))
}

const HEAD: &str = "\
# Conformance

What this engine does right, requirement by requirement. Made by `replay conformance --format markdown`; `cargo xtask generate` writes it,
`cargo xtask check` holds it against the scenarios. The requirements with their stimulus and expectation are in
[replay-cli/catalogue/requirements.json](../../replay-cli/catalogue/requirements.json).

* **pass**: every scenario that covers it passes. **fail**: one does not.
* **deviation**: it fails as [DEVIATIONS.md](../DEVIATIONS.md) says it will; the day it passes, that is a failure of the list.
* **missing**: no scenario covers it. **not applicable**: it cannot apply, for the reason given; it leaves the denominator.
";

/// The page: totals, then the requirements group by group, with the columns of other stacks.
#[must_use]
pub fn markdown(matrix: &Matrix, columns: &[Column]) -> String {
    let mut page = String::from(HEAD);
    // Writing into a string cannot fail.
    let _ = write_stacks(&mut page, columns);
    let _ = write_page(&mut page, matrix, columns);
    page
}

const STACKS: &str = "
## Other stacks

The other columns are of other stacks, each with a page of its own made by

```sh
replay conformance expectations/conformance --stack NAME --notes docs/generated/rivals/NAME.notes.json --format json > docs/generated/rivals/NAME.json
```

They run the same scenarios behind [the protocol for stacks](../STACK_PROTOCOL.md), with programs of benches/rivals that do with them what their
own examples do: in virtual time, but for Linux, whose own TCP runs in real time on a TUN, with what a kernel's timers are off by allowed.

A row **passes** if every scenario that could be run passes. It **fails** only if the failure was looked at by hand and found to be the
stack's: behind it stands the kind of the first failure. Everything else does not apply, and has a word for why: **no setting**, the stack has
none that the scenario sets; **not comparable**, by the RFC it may do otherwise than the scenario has it, or nobody has looked at it yet;
**too long**, for real time; **cannot**, it has no way to say or to be told something. The reports give the reason of each. The totals have
passes / failures / the rest: they are no ranking.

";

fn write_stacks(page: &mut String, columns: &[Column]) -> std::fmt::Result {
    if columns.is_empty() {
        return Ok(());
    }
    page.push_str(STACKS);
    columns.iter().try_for_each(|column| {
        let Column { name, version, .. } = column;
        writeln!(page, "* [{name}](rivals/{name}.json) {version}")
    })
}

/// Passes, failures, and the rest.
fn triple(counts: &Counts) -> String {
    let count = |verdict| counts.get(&verdict).copied().unwrap_or(0);
    let (pass, fail) = (count(Verdict::Pass), count(Verdict::Fail));
    let rest = counts.values().sum::<u64>() - pass - fail;
    format!("{pass} / {fail} / {rest}")
}

fn write_page(page: &mut String, matrix: &Matrix, columns: &[Column]) -> std::fmt::Result {
    let names: String = columns
        .iter()
        .map(|column| format!(" {} |", column.name))
        .collect();
    let several = columns.len();
    writeln!(
        page,
        "\n## Totals\n\n| | pass | fail | deviation | missing | not applicable | passed |{names}"
    )?;
    writeln!(
        page,
        "|---|---:|---:|---:|---:|---:|---:|{}",
        "---:|".repeat(several)
    )?;
    for (name, counts) in sums(matrix) {
        let numbers = numbers(&counts).join(" | ");
        write!(page, "| {name} | {numbers} | {} |", share(&counts))?;
        for column in columns {
            let belongs = |row: &&Row| {
                name == "all"
                    || row.requirement.group == name
                    || row.requirement.level.word() == name
            };
            let mut theirs = Counts::new();
            for row in matrix.rows.iter().filter(belongs) {
                if let Some(verdict) = column.verdict(&row.requirement.id) {
                    *theirs.entry(verdict).or_default() += 1;
                }
            }
            write!(page, " {} |", triple(&theirs))?;
        }
        writeln!(page)?;
    }
    for (group, _) in matrix.by_group() {
        writeln!(
            page,
            "\n## {group}\n\n| requirement | level | clause | verdict | scenarios |{names}"
        )?;
        writeln!(page, "|---|---|---|---|---|{}", "---|".repeat(several))?;
        let mut rows = matrix
            .rows
            .iter()
            .filter(|row| row.requirement.group == group);
        rows.try_for_each(|row| write_row(page, row, columns))?;
    }
    Ok(())
}

fn write_row(page: &mut String, row: &Row, columns: &[Column]) -> std::fmt::Result {
    let id = &row.requirement.id;
    write!(
        page,
        "| {id}: {} | {} | {} | ",
        cell(&row.requirement.title),
        row.requirement.level.word(),
        row.requirement.clause(),
    )?;
    match row.verdict {
        Verdict::Deviation => {
            write!(page, "[deviation](../DEVIATIONS.md#{})", id.to_lowercase())?;
        }
        Verdict::NotApplicable => write!(page, "not applicable")?,
        verdict => write!(page, "{}", verdict.word())?,
    }
    write!(page, " | ")?;
    match (&row.reason, row.verdict) {
        (Some(reason), Verdict::NotApplicable) => write!(page, "{}", cell(reason))?,
        _ => {
            let short = |name: &str| name.rsplit('/').next().unwrap_or(name).to_owned();
            let links: Vec<String> = row
                .scenarios
                .iter()
                .map(|name| format!("[{}](../../expectations/{})", short(name), file_of(name)))
                .collect();
            write!(page, "{}", links.join(", "))?;
        }
    }
    write!(page, " |")?;
    for column in columns {
        write!(page, " {} |", column.cell(id))?;
    }
    writeln!(page)
}

/// The file of a scenario's name.
fn file_of(name: &str) -> String {
    if name.ends_with(".pkt") {
        name.to_owned()
    } else {
        format!("{name}.json")
    }
}

/// Text within a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::samples;

    fn matrix() -> Matrix {
        let mut outcomes = [
            samples::passed(),
            samples::deviating(),
            samples::failed(),
            samples::left(),
        ];
        for (outcome, id) in outcomes.iter_mut().zip([
            "TCP-HS-SYNACK",
            "TCP-DATA-OLD-ACK",
            "ENG-DIAL-FIRST",
            "UDP-RELAY",
        ]) {
            outcome.covers = vec![id.to_owned()];
        }
        Matrix::new(&outcomes, false)
    }

    #[test]
    fn the_report_for_programs_has_verdicts_and_totals() {
        insta::assert_snapshot!(format!("{:#}", json(&matrix(), None)));
    }

    #[test]
    fn the_report_for_people_has_a_line_for_each_requirement() {
        let mut out = Vec::new();
        human(&mut out, &matrix(), Style::default()).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn the_page_has_the_columns_of_other_stacks() {
        let other = Column::read("other", &json(&matrix(), None).to_string()).unwrap();
        insta::assert_snapshot!(markdown(&matrix(), &[other]));
    }

    #[test]
    fn what_does_not_apply_to_another_stack_has_a_word_for_why() {
        let cell = |reason: &str| {
            let row = json!({"id": "A", "verdict": "not_applicable", "reason": reason});
            let report = json!({ "requirements": [row] }).to_string();
            Column::read("other", &report).unwrap().cell("A")
        };
        assert_eq!(cell("the stack has no setting `nagle`"), "no setting");
        assert_eq!(cell("not comparable: the seed is fixed"), "not comparable");
        assert_eq!(cell("the stack has no `take`"), "cannot");
    }

    #[test]
    fn a_column_that_is_no_report_says_why() {
        let error = Column::read(
            "other",
            "{\"requirements\": [{\"id\": \"A\", \"verdict\": \"good\"}]}",
        );
        assert!(error.unwrap_err().contains("unknown variant `good`"));
    }
}
