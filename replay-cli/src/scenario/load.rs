//! Reads a scenario file, keeps the position of every value, and reports everything that is wrong with it at once.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::decode::{self, Problem};
use super::files::{self, Reach};
use super::json::{self, Node, Value};
use super::{SCHEMA, Scenario, check, discover};
use crate::base::diagnostic::{Diagnostic, Place, Position};
use crate::base::sha256;

pub use super::positions::{Positions, escape};

/// Files larger than this are no scenarios; the bound keeps a mistaken path from filling the memory.
pub const MAX_FILE_BYTES: u64 = 64 << 20;

/// A scenario with what is needed to report places in its file.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadedScenario {
    /// The scenario.
    pub scenario: Scenario,
    /// Where each of its values stands in the file.
    pub positions: Positions,
    /// The text of the file.
    pub text: String,
    /// The file, as it was named.
    pub path: PathBuf,
    /// The scenario's name: its path under expectations/ without `.json`.
    pub name: String,
}

/// Reads and checks a scenario file.
///
/// # Errors
///
/// Everything that is wrong with the file, in the order of its lines.
pub fn load(path: &Path) -> Result<LoadedScenario, Vec<Diagnostic>> {
    let text = read(path).map_err(|error| vec![error])?;
    parse(text, path)
}

/// Checks the text of a scenario; `path` is what diagnostics call the file, and what relative paths start from.
///
/// # Errors
///
/// Everything that is wrong with the text, in the order of its lines.
pub fn parse(text: String, path: &Path) -> Result<LoadedScenario, Vec<Diagnostic>> {
    if text.trim().is_empty() {
        return Err(vec![empty(path)]);
    }
    let (root, duplicates) =
        json::parse(&text).map_err(|problem| diagnostics(vec![problem], path))?;
    let duplicate = |json::DuplicateKey { at, first_at, key }| {
        let help = format!("it stands on line {} already", first_at.line);
        Problem::new(at, format!("duplicate key `{key}`")).help(help)
    };
    let mut problems: Vec<Problem> = duplicates.into_iter().map(duplicate).collect();
    let scenario = if let Some(problem) = not_for_this_reader(&root) {
        problems.push(problem);
        None
    } else {
        decode::decode::<Scenario>(&root)
            .map_err(|found| problems.extend(found))
            .ok()
    };
    let positions = Positions::of_tree(&root);
    if let Some(scenario) = &scenario {
        problems.extend(
            check::check(scenario, path.parent())
                .into_iter()
                .map(|finding| Problem {
                    at: positions.get(&finding.pointer).unwrap_or(root.at),
                    what: finding.what,
                    help: finding.help,
                }),
        );
    }
    match scenario {
        Some(scenario) if problems.is_empty() => {
            let name = discover::scenario_name(path);
            Ok(LoadedScenario {
                scenario,
                positions,
                text,
                path: path.to_owned(),
                name,
            })
        }
        _ => Err(diagnostics(problems, path)),
    }
}

impl LoadedScenario {
    /// The place of the value at a JSON pointer such as `/expect/packets/3`.
    #[must_use]
    pub fn place(&self, pointer: &str) -> Place {
        Place {
            path: self.path.clone(),
            position: self.positions.get(pointer),
        }
    }

    /// A diagnostic that points at the value at a JSON pointer.
    #[must_use]
    pub fn diagnostic(&self, pointer: &str, what: impl Into<String>) -> Diagnostic {
        Diagnostic {
            where_: Some(self.place(pointer)),
            what: what.into(),
            help: None,
        }
    }

    /// The files that its steps name, as they are written.
    pub(crate) fn files(&self) -> Vec<&str> {
        files::named(&self.scenario).map(|(_, name)| name).collect()
    }

    /// The folder that `./` and `file` start from.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.path.parent().unwrap_or_else(|| Path::new(""))
    }

    /// The capture to replay, if the input is one; `captures` overrides the folder found upward from the scenario.
    ///
    /// # Errors
    ///
    /// A diagnostic at `input.capture` if there is no such file, or it is out of reach.
    pub fn capture_path(
        &self,
        captures: Option<&Path>,
        reach: &Reach,
    ) -> Result<Option<PathBuf>, Diagnostic> {
        let Some(capture) = &self.scenario.input.capture else {
            return Ok(None);
        };
        discover::locate_capture(capture, &self.path, captures)
            .and_then(|path| {
                match &self.scenario.input.capture_sha256 {
                    None => drop(reach.refuse_outside(capture, &path)?),
                    Some(sha256) => refuse_another(capture, &path, sha256)?,
                }
                discover::existing_capture(capture, path)
            })
            .map(Some)
            .map_err(|error| Diagnostic {
                where_: Some(self.place("/input/capture")),
                ..error
            })
    }
}

/// Whoever names the digest of a file knows what is in it: it may stand anywhere.
fn refuse_another(name: &str, path: &Path, sha256: &str) -> Result<(), Diagnostic> {
    if path.is_file() && sha256::of_file(path).is_ok_and(|found| found != sha256) {
        return Err(Diagnostic::new(format!(
            "`{name}` is another file than the one this scenario was made of"
        ))
        .help("its SHA-256 is not `capture_sha256`: import the capture again"));
    }
    Ok(())
}

/// Problems of one file that are reported, the first by their place.
const MOST_PROBLEMS: usize = 100;

fn diagnostics(mut problems: Vec<Problem>, path: &Path) -> Vec<Diagnostic> {
    problems.sort_by_key(|problem| problem.at);
    let more = problems.len().saturating_sub(MOST_PROBLEMS);
    let more = (more > 0).then(|| Diagnostic::new(format!("and {more} more")).in_file(path));
    problems
        .into_iter()
        .take(MOST_PROBLEMS)
        .map(|Problem { at, what, help }| Diagnostic {
            help,
            ..Diagnostic::new(what).at(path, at)
        })
        .chain(more)
        .collect()
}

/// A scenario of another kind or of another schema number, which must not be judged by the rules of this one.
fn not_for_this_reader(root: &Node) -> Option<Problem> {
    let Value::Object(_) = root.value else {
        return Some(Problem::new(root.at, "a scenario is a JSON object").help(FIRST_LINES));
    };
    if let Some(Node {
        value: Value::String(kind),
        at,
    }) = root.member("kind")
        && kind == "stress"
    {
        let what = "this is a stress scenario, which has a schema of its own";
        return Some(Problem::new(*at, what).help("run it with `replay stress`"));
    }
    match root.member("schema") {
        None => {
            let what = "missing field `schema` in the scenario";
            Some(Problem::new(root.at, what).help(format!("add \"schema\": {SCHEMA}")))
        }
        Some(Node {
            value: Value::Number(number),
            at,
        }) if number.as_u64() != Some(u64::from(SCHEMA)) => {
            let what = format!("schema {number} is unknown; this version reads schema {SCHEMA}");
            let help =
                format!("write \"schema\": {SCHEMA}, or use the version the file was made for");
            Some(Problem::new(*at, what).help(help))
        }
        Some(_) => None,
    }
}

const FIRST_LINES: &str =
    "a scenario begins with { \"schema\": 1, \"title\": \"...\", \"input\": { ... } }";

fn empty(path: &Path) -> Diagnostic {
    Diagnostic::new("the file is empty")
        .in_file(path)
        .help(FIRST_LINES)
}

/// The text of a scenario file, if that is what it can be.
pub(crate) fn read(path: &Path) -> Result<String, Diagnostic> {
    let failed = |what: String| Diagnostic::new(what).in_file(path);
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            failed("no such file".to_owned()).help("scenarios are .json files under expectations/")
        }
        _ => failed(format!("cannot be read: {error}")),
    })?;
    if metadata.is_dir() {
        return Err(failed("this is a folder, not a scenario".to_owned())
            .help("name one of the scenarios in it"));
    }
    if !metadata.is_file() {
        // Opening it could wait for ever, and it cannot be read twice.
        let what = format!("this is {}, not a scenario", files::kind(&metadata));
        return Err(failed(what).help("name a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| failed(format!("cannot be read: {error}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let what = format!(
            "{} bytes are too many for a scenario, which has at most {MAX_FILE_BYTES}",
            metadata.len()
        );
        return Err(failed(what)
            .help("keep long byte streams in a file and refer to it with {\"file\": \"./NAME\"}"));
    }
    if is_capture(&bytes) {
        return Err(failed("this is a capture, not a scenario".to_owned())
            .help("replay it with `replay try`"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let sound = error
            .as_bytes()
            .get(..error.utf8_error().valid_up_to())
            .unwrap_or_default();
        let position = end_of(&String::from_utf8_lossy(sound));
        Diagnostic::new("this is not UTF-8 text")
            .at(path, position)
            .help("scenarios are JSON files in UTF-8")
    })
}

/// The position just behind a text.
fn end_of(text: &str) -> Position {
    let line = text.matches('\n').count().saturating_add(1);
    let column = text
        .rsplit('\n')
        .next()
        .unwrap_or_default()
        .chars()
        .count()
        .saturating_add(1);
    Position {
        line: u32::try_from(line).unwrap_or(u32::MAX),
        column: u32::try_from(column).unwrap_or(u32::MAX),
    }
}

/// Whether bytes begin like a pcap file (either byte order, us or ns) or a pcapng file.
fn is_capture(bytes: &[u8]) -> bool {
    const MAGICS: [[u8; 4]; 5] = [
        [0xa1, 0xb2, 0xc3, 0xd4],
        [0xd4, 0xc3, 0xb2, 0xa1],
        [0xa1, 0xb2, 0x3c, 0x4d],
        [0x4d, 0x3c, 0xb2, 0xa1],
        [0x0a, 0x0d, 0x0d, 0x0a],
    ];
    MAGICS.iter().any(|magic| bytes.starts_with(magic))
}

#[cfg(test)]
mod tests;
