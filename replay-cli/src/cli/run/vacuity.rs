//! `replay run --vacuity`: scenarios that notice nothing.

use serde_json::json;

use super::RunArgs;
use crate::base::exit_code;
use crate::base::term::{Paint, Terminal, printable};
use crate::base::wording::counted;
use crate::cli::arguments::Format;
use crate::cli::{Stop, batch};
use crate::report;
use crate::scenario::discover::{Found, FoundKind};
use crate::stack::Via;
use crate::verdict::run::{RunOptions, Tracing};
use crate::verdict::vacuity::{Tried, Vacuous, try_file};

pub(super) fn run(
    args: &RunArgs,
    found: &[Found],
    terminal: &mut Terminal<'_>,
) -> Result<u8, Stop> {
    let options = RunOptions {
        captures: args.files.captures.clone(),
        trace: Tracing::Never,
        via: Via::Core,
        allow_outside: args.files.allow_outside,
    };
    let mut all = Tried::default();
    let mut progress = batch::Progress::of(found.len(), terminal.progress);
    let work = |file: &Found| match file.kind {
        FoundKind::Stress => Tried::default(),
        FoundKind::Scenario | FoundKind::Packetdrill => try_file(&file.path, &options),
    };
    batch::each(found, args.jobs, work, |tried: Tried| {
        progress.step();
        all.claims += tried.claims;
        all.changes += tried.changes;
        all.vacuous.extend(tried.vacuous);
        Ok(())
    })?;
    progress.bar.finish_and_clear();
    let Tried {
        claims,
        changes,
        vacuous,
    } = &all;
    match args.format {
        Format::Human => {
            let style = terminal.style;
            for Vacuous {
                name,
                claim,
                changes,
                ..
            } in vacuous
            {
                let word = style.paint(Paint::Bad, "VACUOUS");
                let changes = counted(*changes, "change");
                let name = printable(name);
                let claim = claim.word();
                writeln!(
                    terminal.out(),
                    "{word} {name}: {changes} to its {claim}, and it notices none"
                )?;
            }
            let files = counted(found.len() as u64, "file");
            let claims = counted(*claims, "claim");
            let changes = counted(*changes, "change");
            let count = vacuous.len();
            writeln!(
                terminal.out(),
                "{files}: {claims} held against {changes}; {count} vacuous"
            )?;
        }
        Format::Json => {
            let vacuous = vacuous.iter().map(|found| {
                json!({
                    "name": found.name,
                    "path": found.path.to_string_lossy(),
                    "claim": found.claim.word(),
                    "changes": found.changes,
                })
            });
            let vacuous: Vec<_> = vacuous.collect();
            let report = json!({ "schema": report::json::SCHEMA, "claims": claims, "changes": changes, "vacuous": vacuous });
            writeln!(terminal.out(), "{report:#}")?;
        }
    }
    Ok(if vacuous.is_empty() {
        exit_code::SUCCESS
    } else {
        exit_code::EXPECTATION_FAILED
    })
}
