//! Which of the scenarios found are run: by an expression over their names, by what failed last, by a share.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use serde_json::Value;

use crate::base::diagnostic::Diagnostic;
use crate::base::output::{self, Existing};
use crate::scenario::discover::Found;

/// What narrows a run.
#[derive(Debug, Args)]
pub(crate) struct Choice {
    /// Run those whose names match: words, `and`, `or`, `not`, parentheses.
    #[arg(short = 'k', long = "filter", value_name = "EXPR")]
    filter: Option<Filter>,

    /// Run those that failed in the last run.
    #[arg(long)]
    pub(super) failed: bool,

    /// Run one share of several, so that machines can have one each.
    #[arg(long, value_name = "I/N", hide_short_help = true)]
    shard: Option<Shard>,
}

impl Choice {
    /// Takes out what is not chosen. `last` has what failed in the last run.
    pub(super) fn narrow(&self, found: &mut Vec<Found>, last: &Path) {
        if let Some(filter) = &self.filter {
            found.retain(|file| filter.0.accepts(&file.name.to_lowercase()));
        }
        if self.failed {
            let failed = failed_last(last);
            found.retain(|file| failed.contains(&identity(&file.path)));
        }
        if let Some(Shard { nth, of }) = self.shard {
            let mut index = 0;
            found.retain(|_| {
                index += 1;
                (index - 1) % of == nth - 1
            });
        }
    }
}

/// What a file is known by from one run to the next.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// The files that failed in the last run; none if there was none.
fn failed_last(file: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let Ok(Value::Array(paths)) = serde_json::from_str(&text) else {
        return Vec::new();
    };
    let paths = paths.iter().filter_map(Value::as_str);
    paths.map(PathBuf::from).collect()
}

/// Keeps which files failed, for `--failed`. Nothing is written where nothing failed and nothing had.
pub(super) fn keep_failed<'a>(
    file: &Path,
    failed: impl Iterator<Item = &'a Path>,
) -> Result<(), Diagnostic> {
    let mut failed: Vec<String> = failed
        .map(|path| identity(path).to_string_lossy().into_owned())
        .collect();
    failed.dedup();
    if failed.is_empty() && !file.exists() {
        return Ok(());
    }
    let text = format!("{:#}\n", Value::from(failed));
    output::write(file, text.as_bytes(), Existing::Replace, &[])
}

/// One share of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shard {
    nth: usize,
    of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no share; the second of four is 2/4");
        let (nth, of) = text.split_once('/').ok_or_else(wrong)?;
        let number = |text: &str| text.parse().map_err(|_| wrong());
        let (nth, of) = (number(nth)?, number(of)?);
        if nth == 0 || nth > of {
            return Err(wrong());
        }
        Ok(Self { nth, of })
    }
}

/// An expression over names.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filter(Term);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Term {
    Word(String),
    Not(Box<Self>),
    All(Vec<Self>),
    Any(Vec<Self>),
}

impl Term {
    fn accepts(&self, name: &str) -> bool {
        match self {
            Self::Word(word) => name.contains(word.as_str()),
            Self::Not(term) => !term.accepts(name),
            Self::All(terms) => terms.iter().all(|term| term.accepts(name)),
            Self::Any(terms) => terms.iter().any(|term| term.accepts(name)),
        }
    }
}

/// Parentheses and `not`s within each other, at the most.
const DEPTH: usize = 50;

impl FromStr for Filter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.to_lowercase();
        let spaced = text.replace('(', " ( ").replace(')', " ) ");
        let words: Vec<&str> = spaced.split_whitespace().collect();
        let mut words = words.as_slice();
        let term = any(&mut words, 0)?;
        match words.first() {
            None => Ok(Self(term)),
            Some(word) => Err(format!(
                "`{word}` is one too many; an expression is `tcp and not (close or reset)`"
            )),
        }
    }
}

fn any(words: &mut &[&str], depth: usize) -> Result<Term, String> {
    let mut terms = vec![all(words, depth)?];
    while next_is(words, "or") {
        terms.push(all(words, depth)?);
    }
    Ok(single(terms, Term::Any))
}

fn all(words: &mut &[&str], depth: usize) -> Result<Term, String> {
    let mut terms = vec![one(words, depth)?];
    while next_is(words, "and") {
        terms.push(one(words, depth)?);
    }
    Ok(single(terms, Term::All))
}

fn one(words: &mut &[&str], depth: usize) -> Result<Term, String> {
    if depth > DEPTH {
        return Err("the expression is nested too deeply".to_owned());
    }
    if next_is(words, "not") {
        return one(words, depth + 1).map(|term| Term::Not(Box::new(term)));
    }
    if next_is(words, "(") {
        let term = any(words, depth + 1)?;
        return if next_is(words, ")") {
            Ok(term)
        } else {
            Err("a parenthesis is not closed".to_owned())
        };
    }
    match words.split_first() {
        Some((word, rest)) if !matches!(*word, "and" | "or" | ")") => {
            *words = rest;
            Ok(Term::Word((*word).to_owned()))
        }
        Some((word, _)) => Err(format!("a word is missing before `{word}`")),
        None => Err("a word is missing at the end".to_owned()),
    }
}

fn next_is(words: &mut &[&str], wanted: &str) -> bool {
    match words.split_first() {
        Some((word, rest)) if *word == wanted => {
            *words = rest;
            true
        }
        _ => false,
    }
}

fn single(mut terms: Vec<Term>, several: fn(Vec<Term>) -> Term) -> Term {
    match (terms.len(), terms.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            terms.extend(last);
            several(terms)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::discover::FoundKind;

    fn accepted(filter: &str) -> Vec<&'static str> {
        let filter: Filter = filter.parse().unwrap();
        ["tcp/close/fin", "tcp/close/reset", "udp/echo", "tcp/data"]
            .into_iter()
            .filter(|name| filter.0.accepts(name))
            .collect()
    }

    #[test]
    fn a_filter_combines_words() {
        assert_eq!(accepted("udp"), ["udp/echo"]);
        assert_eq!(accepted("tcp and not close"), ["tcp/data"]);
        assert_eq!(accepted("ECHO or fin"), ["tcp/close/fin", "udp/echo"]);
        assert_eq!(
            accepted("tcp and (reset or data)"),
            ["tcp/close/reset", "tcp/data"]
        );
        assert_eq!(accepted("not not udp"), ["udp/echo"]);
    }

    #[test]
    fn a_broken_filter_says_what_is_missing() {
        for broken in ["", "and", "tcp and", "(tcp", "tcp )", "a b"] {
            assert!(broken.parse::<Filter>().is_err(), "{broken}");
        }
        let deep = "(".repeat(10_000);
        assert!(deep.parse::<Filter>().is_err());
    }

    #[test]
    fn every_scenario_is_in_one_share() {
        let file = |name: usize| Found {
            path: name.to_string().into(),
            name: name.to_string(),
            kind: FoundKind::Scenario,
        };
        let all: Vec<Found> = (0..10).map(file).collect();
        let mut seen = Vec::new();
        for nth in 1..=3 {
            let choice = Choice {
                filter: None,
                failed: false,
                shard: Some(Shard { nth, of: 3 }),
            };
            let mut own = all.clone();
            choice.narrow(&mut own, Path::new("none"));
            seen.extend(
                own.into_iter()
                    .map(|file| file.name.parse::<usize>().unwrap()),
            );
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..10).collect::<Vec<_>>());
    }

    #[test]
    fn a_share_outside_of_its_count_is_refused() {
        for wrong in ["0/2", "3/2", "1", "a/b", "1/0"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_failed_last_is_kept_until_nothing_fails() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("failed.json");
        keep_failed(&file, std::iter::empty()).unwrap();
        assert!(!file.exists());
        let path = folder.path().join("a.json");
        std::fs::write(&path, "").unwrap();
        keep_failed(&file, [path.as_path()].into_iter()).unwrap();
        assert_eq!(failed_last(&file), [identity(&path)]);
        keep_failed(&file, std::iter::empty()).unwrap();
        assert_eq!(failed_last(&file), Vec::<PathBuf>::new());
    }
}
