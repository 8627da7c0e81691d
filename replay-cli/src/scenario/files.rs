//! The files that a scenario names: where they may be, and what is in them.
//!
//! A scenario may come from anywhere, and what it reads may stand in a report. So it reads only below its own tree, regular
//! files only, and of each no more than fits a test.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::discover::{EXPECTATIONS, captures_dir};
use super::load::LoadedScenario;
use super::{Bytes, Scenario, Step};
use crate::base::diagnostic::Diagnostic;

/// The most bytes that one `file` of a scenario has.
pub const MAX_BYTES: u64 = 64 << 20;

/// The most bytes that all `file`s of a scenario have, each counted once.
pub const MAX_TOTAL: u64 = 256 << 20;

/// The folders in which a scenario's files may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// Without links; none of them where all is allowed.
    folders: Option<Vec<PathBuf>>,
}

impl Reach {
    /// The nearest folder `expectations` above the scenario, or else the folder it is in; and the folder of captures, which is
    /// found upward from it if none is named. With `allow_outside` there is no limit.
    #[must_use]
    pub fn of(scenario: &Path, captures: Option<&Path>, allow_outside: bool) -> Self {
        if allow_outside {
            return Self { folders: None };
        }
        let captures = captures
            .map(Path::to_owned)
            .or_else(|| captures_dir(scenario));
        let folders = tree(scenario).into_iter().chain(captures);
        // A folder that does not exist holds no file.
        let real = folders.filter_map(|folder| folder.canonicalize().ok());
        Self {
            folders: Some(real.collect()),
        }
    }

    /// A path without links, if that is within reach; `name` is how the scenario writes it.
    ///
    /// # Errors
    /// It is outside. The diagnostic has no place.
    pub fn refuse_outside(&self, name: &str, path: &Path) -> Result<PathBuf, Diagnostic> {
        let real = real(path);
        if let Some(folders) = &self.folders
            && !folders.iter().any(|folder| real.starts_with(folder))
        {
            let what = format!("`{name}` is outside of the scenario's tree");
            let folders: Vec<_> = folders.iter().map(|f| f.display().to_string()).collect();
            let help = format!(
                "a scenario reads files below {}; --allow-outside lifts this for scenarios that you trust",
                folders.join(" and ")
            );
            return Err(Diagnostic::new(what).help(help));
        }
        Ok(real)
    }

    /// The file at a path, with links resolved.
    fn admit(&self, name: &str, path: &Path) -> Result<PathBuf, Diagnostic> {
        let real = self.refuse_outside(name, path)?;
        let found = real.metadata().map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Diagnostic::new(format!("no such file `{name}`"))
                .help(format!("looked for {}", path.display())),
            _ => Diagnostic::new(format!("`{name}` cannot be read: {error}")),
        })?;
        if found.is_file() {
            return Ok(real);
        }
        Err(
            Diagnostic::new(format!("`{name}` is {}, not a file", kind(&found)))
                .help("name a regular file"),
        )
    }
}

/// The folder that a scenario belongs to.
fn tree(scenario: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(scenario).ok()?;
    let folder = absolute.parent()?;
    let winding = folder
        .components()
        .any(|part| part == std::path::Component::ParentDir);
    let folder = if winding {
        folder.canonicalize().ok()?
    } else {
        folder.to_owned()
    };
    let mut above = folder.ancestors();
    let tree = above.find(|folder| folder.ends_with(EXPECTATIONS));
    Some(tree.unwrap_or(&folder).to_owned())
}

/// A path without links, as far as it exists.
fn real(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (path.parent(), path.file_name()) {
        (Some(folder), Some(name)) => real(folder).join(name),
        // It ends in `..`: what is not there has nothing above.
        (Some(folder), None) => real(folder),
        (None, _) => path,
    }
}

/// What something is that is no regular file.
pub(crate) fn kind(found: &Metadata) -> &'static str {
    if found.is_dir() {
        return "a folder";
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        let kind = found.file_type();
        if kind.is_fifo() {
            return "a pipe";
        }
        if kind.is_socket() {
            return "a socket";
        }
    }
    "a device"
}

/// What the files have that a scenario's steps name, read once.
#[derive(Clone, Debug, Default)]
pub struct Files(BTreeMap<String, Arc<[u8]>>);

impl Files {
    /// Reads all of them.
    ///
    /// # Errors
    /// Everything that is wrong with any of them, with its place.
    pub fn read(loaded: &LoadedScenario, reach: &Reach) -> Result<Self, Vec<Diagnostic>> {
        let mut files = BTreeMap::new();
        let mut problems = Vec::new();
        let mut room = MAX_TOTAL;
        for (pointer, name) in named(&loaded.scenario) {
            if files.contains_key(name) {
                continue;
            }
            let content = reach
                .admit(name, &loaded.folder().join(name))
                .and_then(|path| content(name, &path, room));
            match content {
                Ok(content) => {
                    room = room.saturating_sub(content.len() as u64);
                    files.insert(name.to_owned(), content);
                }
                Err(problem) => problems.push(Diagnostic {
                    where_: Some(loaded.place(&pointer)),
                    ..problem
                }),
            }
        }
        if problems.is_empty() {
            Ok(Self(files))
        } else {
            Err(problems)
        }
    }

    /// What a file has, by the name that the scenario has for it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<[u8]>> {
        self.0.get(name)
    }
}

fn content(name: &str, path: &Path, room: u64) -> Result<Arc<[u8]>, Diagnostic> {
    let most = room.min(MAX_BYTES);
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(most.saturating_add(1)).read_to_end(&mut content))
        .map_err(|error| Diagnostic::new(format!("`{name}` cannot be read: {error}")))?;
    if content.len() as u64 <= most {
        return Ok(content.into());
    }
    let what = if room < MAX_BYTES {
        format!("with `{name}` the scenario's files have more than {MAX_TOTAL} bytes")
    } else {
        format!("`{name}` has more than {MAX_BYTES} bytes")
    };
    Err(Diagnostic::new(what).help("cut it, or generate a long stream with `pattern`"))
}

/// The names of files in a scenario's steps, each with its pointer.
pub(super) fn named(scenario: &Scenario) -> impl Iterator<Item = (String, &str)> {
    let rules = scenario.dialer.rules.iter().enumerate();
    let steps = rules.flat_map(|(rule, written)| {
        let steps = written.then.iter().enumerate();
        steps.map(move |(at, step)| (format!("/dialer/rules/{rule}/then/{at}"), step))
    });
    steps.flat_map(|(pointer, step)| {
        let named: Vec<(String, &Bytes)> = match step {
            Step::ReadUntil(bytes) => vec![(format!("{pointer}/read_until"), bytes)],
            Step::Send(bytes) => vec![(format!("{pointer}/send"), bytes)],
            Step::SendFrom(sent) => vec![(format!("{pointer}/send_from/bytes"), &sent.bytes)],
            Step::Reply(replies) => {
                let replies = replies.iter().enumerate();
                replies
                    .map(|(nth, bytes)| (format!("{pointer}/reply/{nth}"), bytes))
                    .collect()
            }
            _ => Vec::new(),
        };
        named
            .into_iter()
            .filter_map(|(pointer, bytes)| match bytes {
                Bytes::File(name) => Some((format!("{pointer}/file"), name.as_str())),
                _ => None,
            })
    })
}
