//! Drafts: scenarios with renewed expectations that wait beside their goldens, `NAME.json.new` beside `NAME.json`.
//!
//! A draft is the scenario in its canonical form, and between the brace and its first field one line more:
//!
//! ```text
//!   "draft": { "of": "the SHA-256 of the golden it was made from" },
//! ```
//! By that a draft knows when its golden has changed since. Without the line it is what the golden will be.

use std::fs;
use std::path::{Path, PathBuf};

use crate::base::diagnostic::{Diagnostic, Position};
use crate::base::output::{self, Existing};
use crate::base::sha256::sha256;
use crate::scenario::load::{self, LoadedScenario};
use crate::scenario::{Expectations, Scenario};

pub mod changes;
pub mod find;

/// What a draft's name has behind its golden's.
pub const ENDING: &str = ".new";

/// A draft, read or to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// The file the draft waits in.
    pub path: PathBuf,
    /// The scenario it would replace.
    pub golden: PathBuf,
    /// The text the golden would have.
    text: String,
    /// SHA-256 of the text the golden had.
    of: String,
}

/// A draft with both scenarios, fit to be shown and taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending {
    /// The draft.
    pub draft: Draft,
    /// The scenario as it is.
    pub golden: Scenario,
    /// The scenario as it would be.
    pub drafted: Scenario,
    /// The scenario's name.
    pub name: String,
}

/// Where the draft of a scenario waits.
#[must_use]
pub fn path_of(golden: &Path) -> PathBuf {
    let mut name = golden.as_os_str().to_owned();
    name.push(ENDING);
    name.into()
}

/// The scenario that a draft is of; `None` if the name is not one of a draft.
#[must_use]
pub fn golden_of(draft: &Path) -> Option<PathBuf> {
    // Names need not be UTF-8.
    let golden = Path::new(draft.file_stem()?);
    let is_draft = draft.extension()? == "new" && golden.extension()? == "json";
    is_draft.then(|| draft.with_file_name(golden))
}

impl Draft {
    /// The draft that would make a golden, whose text is `before`, the scenario given.
    #[must_use]
    pub fn new(golden: &Path, before: &str, scenario: &Scenario) -> Self {
        Self {
            path: path_of(golden),
            golden: golden.to_owned(),
            text: scenario.to_canonical_string(),
            of: sha256(before.as_bytes()),
        }
    }

    /// Writes it, in one piece or not at all.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn write(&self) -> Result<(), Diagnostic> {
        let rest = self.text.strip_prefix("{\n").unwrap_or(&self.text);
        let text = ["{\n", &origin(&self.of), rest].concat();
        // A draft that is its golden by a link would replace it unseen.
        let inputs = [self.golden.clone()];
        output::write(&self.path, text.as_bytes(), Existing::Replace, &inputs)
    }

    /// Makes the golden what the draft is, in one piece or not at all, and takes the draft away.
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn take(&self) -> Result<(), Diagnostic> {
        let (text, inputs) = (self.text.as_bytes(), [self.path.clone()]);
        output::write(&self.golden, text, Existing::Replace, &inputs)?;
        remove(&self.path)
    }
}

impl Pending {
    /// Reads a draft and its golden.
    ///
    /// # Errors
    /// The draft cannot be read, is damaged, has no golden, or was made from another golden than there is now.
    pub fn read(path: &Path) -> Result<Self, Vec<Diagnostic>> {
        let alone = |what: &str| vec![Diagnostic::new(what).in_file(path).help(away(path))];
        let Some(golden) = golden_of(path) else {
            return Err(alone("this is no draft: drafts end in .json.new"));
        };
        let text = load::read(path).map_err(|problem| vec![problem])?;
        if !golden.exists() {
            let golden = golden.display();
            return Err(alone(&format!("a stray draft: there is no {golden}")));
        }
        let unfit = |what: &str| vec![Diagnostic::new(what).in_file(path).help(again(&golden))];
        let (of, text) = split(&text).ok_or_else(|| {
            let what = "a damaged draft: it does not say what it is a draft of";
            let problem = Diagnostic::new(what).at(path, Position { line: 2, column: 1 });
            vec![problem.help(again(&golden))]
        })?;
        let before = load::load(&golden)?;
        let LoadedScenario { scenario, .. } =
            load::parse(text, path).map_err(|_| unfit("a damaged draft: it is no scenario"))?;
        if sha256(before.text.as_bytes()) != of {
            let golden = golden.display();
            let what = format!("a stale draft: {golden} has changed since it was recorded");
            return Err(unfit(&what));
        }
        if without_expectations(&scenario) != without_expectations(&before.scenario) {
            return Err(unfit("a damaged draft: more than `expect` is changed"));
        }
        Ok(Self {
            draft: Draft {
                path: path.to_owned(),
                golden,
                text: scenario.to_canonical_string(),
                of,
            },
            golden: before.scenario,
            drafted: scenario,
            name: before.name,
        })
    }
}

/// Takes a draft away, sound or not.
///
/// # Errors
/// It is no draft, or cannot be removed.
pub fn reject(path: &Path) -> Result<(), Diagnostic> {
    if golden_of(path).is_none() {
        return Err(Diagnostic::new("this is no draft: drafts end in .json.new").in_file(path));
    }
    remove(path)
}

/// The line of a draft that a golden does not have.
fn origin(of: &str) -> String {
    format!("  \"draft\": {{ \"of\": \"{of}\" }},\n")
}

/// The golden's digest that a draft's text names, and the text without the line that does.
fn split(text: &str) -> Option<(String, String)> {
    let after = text.strip_prefix("{\n  \"draft\": { \"of\": \"")?;
    let (of, rest) = after.split_once("\" },\n")?;
    let is_digest = of.len() == 64 && of.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_digest.then(|| (of.to_owned(), ["{\n", rest].concat()))
}

fn without_expectations(scenario: &Scenario) -> Scenario {
    Scenario {
        expect: Expectations::default(),
        ..scenario.clone()
    }
}

/// What to do with a draft that cannot be taken.
fn again(golden: &Path) -> String {
    format!("record it again: `replay record {}`", golden.display())
}

fn away(draft: &Path) -> String {
    format!("throw it away: `replay bless --reject {}`", draft.display())
}

fn remove(path: &Path) -> Result<(), Diagnostic> {
    fs::remove_file(path).map_err(|error| {
        Diagnostic::new(format!("cannot be removed: {error}"))
            .in_file(path)
            .help("check the folder and its permissions")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draft_without_its_line_is_the_golden_to_be() {
        let of = sha256(b"before");
        let text = ["{\n", &origin(&of), "  \"schema\": 1\n}\n"].concat();
        assert_eq!(
            split(&text),
            Some((of, "{\n  \"schema\": 1\n}\n".to_owned()))
        );
    }

    #[test]
    fn a_text_that_names_no_digest_is_no_draft() {
        for text in [
            "",
            "{\n  \"schema\": 1\n}\n",
            "{\n  \"draft\": { \"of\": \"00\" },\n",
            "{\n  \"draft\": { \"of\": \"",
        ] {
            assert_eq!(split(text), None, "{text}");
        }
    }

    #[test]
    fn a_draft_has_its_goldens_name_and_an_ending() {
        assert_eq!(path_of(Path::new("a/b.json")), Path::new("a/b.json.new"));
        assert_eq!(
            golden_of(Path::new("a/b.json.new")),
            Some("a/b.json".into())
        );
        for other in ["a/b.json", "a/b.new", "b.pkt.new"] {
            assert_eq!(golden_of(Path::new(other)), None);
        }
    }
}
