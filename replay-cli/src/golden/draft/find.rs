//! Finds drafts, and what is left over: drafts without a golden, captures that no scenario replays.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::golden_of;
use crate::base::diagnostic::Diagnostic;
use crate::scenario::discover::{CAPTURES, EXPECTATIONS, capture_of, expand, files_below};

/// The file beside captures that lists those without a scenario, one a line: the name, a blank, the reason.
pub const WITHOUT_SCENARIO: &str = "without_scenario.txt";

/// What waits to be looked at, below some folders.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Drafts beside their goldens.
    pub drafts: Vec<PathBuf>,
    /// Orphaned files.
    pub strays: Vec<Stray>,
}

/// An orphaned file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stray {
    /// The file.
    pub path: PathBuf,
    /// What it lacks.
    pub why: &'static str,
}

impl Waiting {
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.drafts.is_empty() && self.strays.is_empty()
    }
}

/// Drafts of files and folders, sorted, each once: a draft itself, a scenario's, or all below a folder.
///
/// # Errors
/// One diagnostic for each path that does not exist, has no draft, or is of another sort.
pub fn drafts(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let mut found = BTreeSet::new();
    let expanded = expand(paths, |path| {
        path.is_dir() || golden_of(path).is_some() || super::path_of(path).is_file()
    })?;
    for path in &expanded {
        let wrong = |what: &str, help: &str| Diagnostic::new(what).in_file(path).help(help);
        if path.is_dir() {
            found.extend(files_below(path, &mut errors, |file| {
                golden_of(file).is_some()
            }));
        } else if golden_of(path).is_some() {
            if path.is_file() {
                found.insert(path.clone());
            } else {
                errors.push(wrong(
                    "no such draft",
                    "`replay review` lists those there are",
                ));
            }
        } else if super::path_of(path).is_file() {
            found.insert(super::path_of(path));
        } else if path.is_file() {
            errors.push(wrong(
                "no draft waits beside it",
                "`replay record` writes one",
            ));
        } else {
            let help = "name a draft (.json.new), its scenario, or a folder";
            errors.push(wrong("no such file or folder", help));
        }
    }
    if errors.is_empty() {
        Ok(found.into_iter().collect())
    } else {
        Err(errors)
    }
}

/// What waits below folders of scenarios. Of a folder expectations/ this includes the captures beside it that no scenario of it
/// replays, `captures` if they are elsewhere.
#[must_use]
pub fn waiting(folders: &[PathBuf], captures: Option<&Path>) -> Waiting {
    let mut waiting = Waiting::default();
    // What cannot be read is reported where scenarios are looked for.
    let mut unread = Vec::new();
    let mut drafts = BTreeSet::new();
    let mut strays = BTreeSet::new();
    for folder in folders {
        for path in files_below(folder, &mut unread, |file| golden_of(file).is_some()) {
            if golden_of(&path).is_some_and(|golden| golden.is_file()) {
                drafts.insert(path);
            } else {
                let why = "a draft without a scenario";
                strays.insert(Stray { path, why });
            }
        }
        strays.extend(unreplayed(folder, captures));
    }
    waiting.drafts.extend(drafts);
    waiting.strays.extend(strays);
    waiting
}

/// Captures that no scenario of a folder expectations/ replays, and that are not excused.
fn unreplayed(folder: &Path, captures: Option<&Path>) -> Vec<Stray> {
    let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let beside = whole.ends_with(EXPECTATIONS).then(|| match captures {
        Some(captures) => captures.to_owned(),
        None => folder.parent().unwrap_or(folder).join(CAPTURES),
    });
    let Some(home) = beside.filter(|home| home.is_dir()) else {
        return Vec::new();
    };
    let mut unread = Vec::new();
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let scenarios = files_below(folder, &mut unread, |file| {
        file.extension().is_some_and(|ending| ending == "json")
    });
    let replayed = scenarios
        .iter()
        .flat_map(|scenario| capture_of(scenario, captures));
    let replayed: BTreeSet<PathBuf> = replayed.map(|capture| real(&capture)).collect();
    let excused = fs::read_to_string(home.join(WITHOUT_SCENARIO)).unwrap_or_default();
    let is_excused = |file: &Path| {
        let name = file.strip_prefix(&home).unwrap_or(file).with_extension("");
        excuses(&excused).any(|(excused, _)| Path::new(excused) == name)
    };
    files_below(&home, &mut unread, is_capture)
        .into_iter()
        .filter(|file| !replayed.contains(&real(file)) && !is_excused(file))
        .map(|path| Stray {
            path,
            why: "a capture without a scenario",
        })
        .collect()
}

/// The names and reasons of a list of captures without a scenario.
pub fn excuses(list: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_entry = |line: &&str| !line.starts_with('#') && !line.trim().is_empty();
    let lines = list.lines().filter(is_entry);
    lines.map(|line| line.split_once(' ').unwrap_or((line, "")))
}

fn is_capture(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending == "pcap" || ending == "pcapng")
}
