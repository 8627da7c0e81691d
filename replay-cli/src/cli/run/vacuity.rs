//! `replay run --vacuity`: scenarios that notice nothing.

use serde_json::json;

use super::RunArgs;
use crate::base::exit_code;
use crate::base::term::{Paint, Terminal, printable};
use crate::base::wording::counted;
use crate::cli::arguments::ReportFormat;
use crate::cli::{Stop, batch, code_if};
use crate::report;
use crate::scenario::discover::{Found, FoundKind};
use crate::verdict::vacuity::{Tried, try_file};

pub(super) fn run(
    args: &RunArgs,
    found: &[Found],
    terminal: &mut Terminal<'_>,
) -> Result<u8, Stop> {
    let options = args.files.options();
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
    let (claims, changes, vacuous) = (all.claims, all.changes, &all.vacuous);
    match args.format {
        ReportFormat::Human | ReportFormat::Github => {
            let style = terminal.style;
            for found in vacuous {
                let word = style.paint(Paint::Bad, "VACUOUS");
                let changes = counted(found.changes, "change");
                let (name, claim) = (printable(&found.name), found.claim.word());
                writeln!(
                    terminal.out(),
                    "{word} {name}: {changes} to its {claim}, and it notices none"
                )?;
            }
            let files = counted(found.len() as u64, "file");
            let claims = counted(claims, "claim");
            let changes = counted(changes, "change");
            let count = vacuous.len();
            writeln!(
                terminal.out(),
                "{files}: {claims} held against {changes}; {count} vacuous"
            )?;
        }
        ReportFormat::Json => {
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
    Ok(code_if(!vacuous.is_empty(), exit_code::EXPECTATION_FAILED))
}
