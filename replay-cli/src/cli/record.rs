//! `replay record`: drafts of scenarios whose runs show something else than they expect.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::Args;

use super::arguments::{Reading, refuse_in_ci};
use super::batch::{self, Progress};
use super::{Stop, bug};
use crate::base::diagnostic::{Diagnostic, nearest};
use crate::base::exit_code;
use crate::base::term::{Paint, Terminal, printable};
use crate::base::wording::{counted, seconds};
use crate::golden::draft;
use crate::golden::record::{Recorded, record_file};
use crate::scenario::ExpectationKind;
use crate::scenario::discover::{Found, FoundKind};
use crate::scenario::failure::Failure;
use crate::verdict::expect::behaviours;
use crate::verdict::run::RunOptions;

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct RecordArgs {
    /// Scenario files, folders and patterns of them [default: expectations/, found upward from here].
    paths: Vec<PathBuf>,

    #[arg(long, value_name = "KIND[,KIND]", value_delimiter = ',', value_parser = parse_kind, help = only_help())]
    only: Vec<ExpectationKind>,

    #[command(flatten)]
    files: Reading,

    /// How many scenarios run at a time [default: one for each core].
    #[arg(short, long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
}

const EXAMPLES: &str = "\
Examples:
  replay record expectations/http/get.json
  replay record expectations/tcp --only dials,streams
  replay record 'expectations/**/refused*.json'

A draft is written beside its scenario, NAME.json.new, if a run shows anything else than NAME.json expects. Only \
`expect` is renewed, and only kinds that the scenario expects already, unless --only names others. `never` and `memory` \
stay as they are: a run cannot show what they require. A run that breaks an invariant gets no draft, nor does a scenario with a deviation.

Exit codes; of several, the worst (in the order 70, 2, 3, 1, 5, 4):
  0  every run meets its scenario: no draft
  1  a run shows what no draft can accept
  2  a draft cannot be written, or CI is set
  3  a scenario or one of its files is missing or invalid
  4  nothing was selected
  5  drafts wait for review: `replay review`";

fn only_help() -> String {
    let words = words().collect::<Vec<_>>().join(", ");
    format!("Renew only these: {words}. They are added where a scenario does not have them")
}

/// The words of the kinds that a run can renew.
fn words() -> impl Iterator<Item = &'static str> {
    behaviours()
        .filter(|(_, behaviour)| behaviour.renewal().is_some())
        .map(|(kind, _)| kind.word())
}

/// Reads a kind of expectation.
fn parse_kind(word: &str) -> Result<ExpectationKind, String> {
    let word = word.trim();
    match behaviours().find(|(kind, _)| kind.word() == word) {
        Some((kind, behaviour)) if behaviour.renewal().is_some() => Ok(kind),
        Some(_) => Err(format!(
            "no run can show what `{word}` requires; write it by hand"
        )),
        None => Err(match nearest(word, words()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("kinds are {}", words().collect::<Vec<_>>().join(", ")),
        }),
    }
}

/// What the runs came to.
#[derive(Debug, Default)]
struct Totals {
    unchanged: u64,
    drafted: u64,
    refused: u64,
    left: u64,
    code: u8,
}

pub(crate) fn run(args: &RecordArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    refuse_in_ci("record")?;
    batch::check_captures(args.files.captures.as_deref())?;
    let discovery = batch::select(&args.paths, "")?;
    let only: Option<BTreeSet<ExpectationKind>> =
        (!args.only.is_empty()).then(|| args.only.iter().copied().collect());
    let options = args.files.options();
    let mut totals = Totals::default();
    let mut progress = Progress::of(discovery.found.len(), terminal.progress);
    let work = |file: &Found| (file.path.clone(), record_one(file, only.as_ref(), &options));
    batch::each(&discovery.found, args.jobs, work, |(path, recorded)| {
        let write = || write(args, &path, recorded, &mut totals, terminal);
        let written = progress.bar.suspend(write);
        progress.step();
        written
    })?;
    progress.bar.finish_and_clear();
    let Totals {
        unchanged,
        drafted,
        refused,
        left,
        mut code,
    } = totals;
    let mut counts = vec![
        counted(drafted, "draft"),
        format!("{unchanged} as expected"),
    ];
    if refused > 0 {
        counts.push(format!("{refused} refused"));
    }
    if left > 0 {
        counts.push(format!("{left} left"));
    }
    let scenarios = counted(discovery.found.len() as u64, "scenario");
    writeln!(terminal.out(), "{scenarios}: {}", counts.join(", "))?;
    if drafted > 0 {
        writeln!(terminal.out(), "look at what they change: `replay review`")?;
        code = exit_code::worst(code, exit_code::DRAFTS_PENDING);
    }
    let nothing = unchanged + drafted + refused == 0 && code == exit_code::SUCCESS;
    if nothing && left > 0 {
        terminal.say("nothing selected: nothing of this is recorded")?;
        code = exit_code::NOTHING_SELECTED;
    }
    let missing = batch::report_missing(&discovery, terminal)?;
    Ok(exit_code::worst(code, missing))
}

fn record_one(
    file: &Found,
    only: Option<&BTreeSet<ExpectationKind>>,
    options: &RunOptions,
) -> Result<Recorded, Diagnostic> {
    match file.kind {
        FoundKind::Stress => Ok(Recorded::Skipped(
            "a stress scenario has thresholds, not expectations".to_owned(),
        )),
        FoundKind::Packetdrill => Ok(Recorded::Skipped(
            "a packetdrill script has its lines, and no `expect`".to_owned(),
        )),
        FoundKind::Scenario => bug::guard(|| record_file(&file.path, only, options)),
    }
}

/// Writes what is to be written of one file, and reports what became of it.
fn write(
    args: &RecordArgs,
    path: &Path,
    recorded: Result<Recorded, Diagnostic>,
    totals: &mut Totals,
    terminal: &mut Terminal<'_>,
) -> Result<(), Stop> {
    let mut code = exit_code::SUCCESS;
    match recorded {
        Err(bug) => {
            terminal.diagnose(&bug.in_file(path))?;
            totals.refused += 1;
            code = exit_code::INTERNAL_BUG;
        }
        Ok(Recorded::Unchanged) => {
            totals.unchanged += 1;
            let old = draft::path_of(path);
            // What an earlier run drafted is not what the engine does any more.
            if old.is_file() {
                draft::reject(&old).map_err(Stop::usage)?;
                let gone = format!("removed {}: the run is as expected again", old.display());
                terminal.say(&gone)?;
            }
        }
        Ok(Recorded::Drafted { draft, unmet }) => match draft.write() {
            Err(problem) => {
                terminal.diagnose(&problem)?;
                totals.refused += 1;
                code = exit_code::USAGE;
            }
            Ok(()) => {
                totals.drafted += 1;
                let word = terminal.style.paint(Paint::Attention, "DRAFT");
                let shown = draft.path.display().to_string();
                writeln!(terminal.out(), "{word} {}", printable(&shown))?;
                failures(&unmet, "not met still", terminal)?;
            }
        },
        Ok(Recorded::Refused(why, unmet)) => {
            totals.refused += 1;
            code = exit_code::EXPECTATION_FAILED;
            let word = terminal.style.paint(Paint::Bad, "REFUSED");
            let shown = path.display().to_string();
            writeln!(terminal.out(), "{word} {}: {why}", printable(&shown))?;
            failures(&unmet, "it is", terminal)?;
        }
        Ok(Recorded::Skipped(why)) => {
            totals.left += 1;
            // Of a folder they are counted only.
            if args.paths.iter().any(|named| named == path) {
                terminal.say(&format!("left {}: {why}", path.display()))?;
            }
        }
        Ok(Recorded::Invalid(problems)) => {
            totals.refused += 1;
            code = exit_code::BAD_INPUT;
            problems
                .iter()
                .try_for_each(|problem| terminal.diagnose(problem))?;
        }
    }
    totals.code = exit_code::worst(totals.code, code);
    Ok(())
}

/// Failures, one a line.
fn failures(failures: &[Failure], label: &str, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
    const MOST: usize = 10;
    for failure in failures.iter().take(MOST) {
        let at = failure.at_us.map(|at| format!(", t={}s", seconds(at)));
        let at = at.unwrap_or_default();
        let what = printable(&failure.what).into_owned();
        let kind = failure.kind.label();
        writeln!(terminal.out(), "  {label}: {what} ({kind}{at})")?;
    }
    if let more @ 1.. = failures.len().saturating_sub(MOST) {
        writeln!(terminal.out(), "  and {more} more")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_kind_finds_the_near_one() {
        assert_eq!(parse_kind("streams"), Ok(ExpectationKind::Streams));
        assert_eq!(
            parse_kind("strems"),
            Err("did you mean `streams`?".to_owned())
        );
        assert!(parse_kind("memory").unwrap_err().contains("by hand"));
        assert!(
            parse_kind("everything")
                .unwrap_err()
                .starts_with("kinds are dials, ")
        );
    }
}
