//! Another stack's program: found by its name, asked once who it is.

use std::path::{Path, PathBuf};
use std::time::Duration;

use stack_protocol::Hello;

use super::child::Child;
use crate::base::diagnostic::Diagnostic;

/// What the file name of a stack's program begins with.
const PREFIX: &str = "replay-stack-";

/// A program that speaks the protocol of docs/STACK_PROTOCOL.md.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackProgram {
    /// As the command line names it: `exec:PATH`, or a name.
    pub spec: String,
    /// The program.
    pub path: PathBuf,
    /// What it says of itself.
    pub hello: Hello,
    /// How long it may take to answer.
    pub patience: Duration,
}

impl StackProgram {
    /// Finds the program that `spec` means and asks who it is. `exec:PATH` is a path; a name is `replay-stack-NAME`,
    /// beside this program or on PATH. It is given [`PATIENCE`](Self::PATIENCE).
    ///
    /// # Errors
    /// There is no such program, or it does not speak the protocol.
    pub fn find(spec: &str) -> Result<Self, Diagnostic> {
        Self::find_patiently(spec, Self::PATIENCE)
    }

    /// How long a stack may take to answer unless it is said.
    pub const PATIENCE: Duration = Duration::from_secs(10);

    /// The same for a stack that may take this long to answer.
    ///
    /// # Errors
    /// As of [`find`](Self::find).
    pub fn find_patiently(spec: &str, patience: Duration) -> Result<Self, Diagnostic> {
        let path = match spec.strip_prefix("exec:") {
            Some(path) => PathBuf::from(path),
            None => named(spec)?,
        };
        let (hello, _child) = Child::start(&path, patience)?;
        Ok(Self {
            spec: spec.to_owned(),
            path,
            hello,
            patience,
        })
    }
}

fn named(name: &str) -> Result<PathBuf, Diagnostic> {
    if name.is_empty() || name.contains(['/', '\\']) {
        let what = format!("`{name}` is no name of a stack");
        let help = "`--stack NAME` is the program replay-stack-NAME; a path is `--stack exec:PATH`";
        return Err(Diagnostic::new(what).help(help));
    }
    let file = format!("{PREFIX}{name}{}", std::env::consts::EXE_SUFFIX);
    let here = std::env::current_exe().ok();
    let beside = here.as_deref().and_then(Path::parent).map(Path::to_owned);
    let path = std::env::var_os("PATH").unwrap_or_default();
    beside
        .into_iter()
        .chain(std::env::split_paths(&path))
        .map(|folder| folder.join(&file))
        .find(|path| path.is_file())
        .ok_or_else(|| {
            let what = format!("there is no program {file} beside replay or on PATH");
            let help = "build it, or name it with `--stack exec:PATH`; docs/STACK_PROTOCOL.md says what it must speak";
            Diagnostic::new(what).help(help)
        })
}
