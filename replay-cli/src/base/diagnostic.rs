//! The one error shape of the whole tool: where, what, and what to do next.
//!
//! ```text
//! error: expectations/tcp/x.json:12:7: unknown field `strems` in `expect`
//!   help: did you mean `streams`?
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

/// One thing that is wrong with an input, fit to be printed as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The file, and where known the line, that is at fault.
    pub where_: Option<Place>,
    /// What is wrong: a lower-case fragment without blame.
    pub what: String,
    /// What to do next.
    pub help: Option<String>,
}

/// A file, or a position in one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The file, as the user named it.
    pub path: PathBuf,
    /// The position within it; `None` speaks of the file as a whole.
    pub position: Option<Position>,
}

/// A line and a column, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

impl Diagnostic {
    /// A diagnostic without a place; add one with [`at`](Self::at) or [`in_file`](Self::in_file).
    #[must_use]
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            where_: None,
            what: what.into(),
            help: None,
        }
    }

    /// Places it at a position of a file.
    #[must_use]
    pub fn at(mut self, path: impl AsRef<Path>, position: Position) -> Self {
        self.where_ = Some(Place {
            path: path.as_ref().to_owned(),
            position: Some(position),
        });
        self
    }

    /// Places it in a file as a whole.
    #[must_use]
    pub fn in_file(mut self, path: impl AsRef<Path>) -> Self {
        self.where_ = Some(Place {
            path: path.as_ref().to_owned(),
            position: None,
        });
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match self.position {
            Some(position) => write!(f, ":{position}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("error: ")?;
        if let Some(place) = &self.where_ {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.what)?;
        if let Some(help) = &self.help {
            write!(f, "\n  help: {help}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostic {}

/// The longest word that is looked for among known ones, bytes.
pub(crate) const LONGEST_WORD: usize = 200;

/// The known word nearest to a mistyped one, if any is near enough to be meant.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Nobody mistypes so long a word, and looking for it would take as long.
    if word.len() > LONGEST_WORD {
        return None;
    }
    // One slip, and one more for every four letters: `strems` finds `streams`, `a` finds nothing.
    let allowed = 1 + word.chars().count() / 4;
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&lower, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= allowed && *distance < candidate.chars().count()
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diagnostic_prints_where_what_and_what_next() {
        let error = Diagnostic::new("unknown field `strems` in `expect`")
            .at(
                "expectations/tcp/x.json",
                Position {
                    line: 12,
                    column: 7,
                },
            )
            .help("did you mean `streams`?");
        assert_eq!(
            error.to_string(),
            "error: expectations/tcp/x.json:12:7: unknown field `strems` in `expect`\n  help: did you mean `streams`?"
        );
    }

    #[test]
    fn a_diagnostic_without_a_position_names_the_file_alone() {
        assert_eq!(
            Diagnostic::new("no such file")
                .in_file("a.json")
                .to_string(),
            "error: a.json: no such file"
        );
    }

    #[test]
    fn the_nearest_word_is_offered_only_when_it_is_near() {
        let known = ["dials", "packets", "streams", "closes"];
        assert_eq!(nearest("strems", known), Some("streams"));
        assert_eq!(nearest("Dials", known), Some("dials"));
        assert_eq!(nearest("expectations", known), None);
        assert_eq!(nearest("a", ["b"]), None);
    }
}
