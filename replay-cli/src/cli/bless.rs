//! `replay bless`: drafts take the place of their goldens.

use std::path::{Path, PathBuf};

use clap::Args;

use super::arguments::refuse_in_ci;
use super::{Stop, batch};
use crate::base::diagnostic::Diagnostic;
use crate::base::exit_code;
use crate::base::term::Terminal;
use crate::golden::draft::{self, Pending, find};

#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct BlessArgs {
    /// Drafts (.json.new), their scenarios, folders, and patterns of them.
    #[arg(required_unless_present = "all")]
    paths: Vec<PathBuf>,

    /// All drafts below expectations/, found upward from here.
    #[arg(long, conflicts_with = "paths")]
    all: bool,

    /// Throw the drafts away instead, whatever state they are in.
    #[arg(long)]
    reject: bool,
}

const EXAMPLES: &str = "\
Examples:
  replay bless expectations/http/get.json.new
  replay bless expectations/tcp
  replay bless --all --reject

Each golden is replaced in one piece. If one of the drafts cannot be taken (stale, damaged, without a scenario), none is.

Exit codes:
  0  done
  2  a file cannot be written, or CI is set
  3  a draft is missing, stale or damaged
  4  there is no draft";

pub(crate) fn run(args: &BlessArgs, terminal: &mut Terminal<'_>) -> Result<u8, Stop> {
    refuse_in_ci("bless")?;
    let drafts = select(&args.paths)?;
    if drafts.is_empty() {
        terminal.say("nothing selected: no draft waits there")?;
        return Ok(exit_code::NOTHING_SELECTED);
    }
    if args.reject {
        for path in &drafts {
            draft::reject(path).map_err(Stop::usage)?;
            writeln!(terminal.out(), "rejected {}", path.display())?;
        }
        return Ok(exit_code::SUCCESS);
    }
    let read = drafts.iter().map(|path| Pending::read(path));
    let (sound, unfit): (Vec<_>, Vec<_>) = read.partition(Result::is_ok);
    let unfit = unfit.into_iter().filter_map(Result::err).flatten();
    let unfit: Vec<Diagnostic> = unfit.collect();
    if !unfit.is_empty() {
        if drafts.len() > 1 {
            terminal.say("no draft is taken, because not all can be:")?;
        }
        return Err(Stop::Refused(unfit, exit_code::BAD_INPUT));
    }
    for pending in sound.into_iter().flatten() {
        take(&pending, terminal)?;
    }
    Ok(exit_code::SUCCESS)
}

/// Takes one draft and reports it.
pub(super) fn take(pending: &Pending, terminal: &mut Terminal<'_>) -> Result<(), Stop> {
    pending.draft.take().map_err(Stop::usage)?;
    let golden = pending.draft.golden.display();
    writeln!(terminal.out(), "took {golden}")?;
    Ok(())
}

/// The drafts that the command line means; without any paths those below the nearest expectations/.
pub(super) fn select(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Stop> {
    let paths = match paths {
        [] => vec![batch::expectations("")?],
        paths => paths.to_vec(),
    };
    find::drafts(&paths).map_err(|problems| Stop::Refused(problems, exit_code::BAD_INPUT))
}

/// The command that does something with a draft.
pub(super) fn command(reject: bool, draft: &Path) -> String {
    let flag = if reject { "--reject " } else { "" };
    let draft = draft.to_string_lossy();
    format!(
        "replay bless {flag}{}",
        crate::base::wording::shell_word(&draft)
    )
}
