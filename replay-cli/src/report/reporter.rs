//! Who reports a run: each reporter sees every outcome in order, then the end. Which of them there are is decided in one place,
//! `cli::run::reporters`.

use std::io::{self, Write};
use std::time::Duration;

use super::Totals;
use crate::base::diagnostic::Diagnostic;
use crate::golden::draft::find::Waiting;
use crate::verdict::outcome::ScenarioOutcome;

/// What a whole run came to.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Every outcome, in order.
    pub outcomes: &'a [ScenarioOutcome],
    /// How many ended how.
    pub totals: &'a Totals,
    /// Drafts and orphaned files below the folders that were named.
    pub waiting: &'a Waiting,
    /// Real time.
    pub wall: Duration,
}

/// A report that could not be made.
#[derive(Debug)]
pub enum Unwritten {
    /// Standard output takes no more.
    Output(io::Error),
    /// A file could not be written.
    File(Diagnostic),
}

impl From<io::Error> for Unwritten {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// One form of report.
pub trait Reporter {
    /// A scenario has ended.
    ///
    /// # Errors
    /// `out` takes no more.
    fn scenario(&mut self, out: &mut dyn Write, outcome: &ScenarioOutcome) -> io::Result<()> {
        let _ = (out, outcome);
        Ok(())
    }

    /// All scenarios have ended.
    ///
    /// # Errors
    /// `out` takes no more, or a file could not be written.
    fn end(&mut self, out: &mut dyn Write, run: &Ended<'_>) -> Result<(), Unwritten>;
}
