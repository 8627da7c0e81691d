//! Files that commands write: whole or not at all, and never in the place of what was read.
//!
//! A file gets its name when all of it is on the disk: a full disk, a crash or an interrupt leaves what was there before.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::{Builder, NamedTempFile};

use crate::base::diagnostic::Diagnostic;

/// What becomes of a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It stays, and nothing is written.
    Keep,
    /// It is replaced.
    Replace,
}

impl Existing {
    /// What a command does with it, which was given `--force` or not.
    pub(crate) const fn forced(force: bool) -> Self {
        if force { Self::Replace } else { Self::Keep }
    }

    /// Refuses a file that is there and is to be kept, before anything is done.
    pub(crate) fn admit(self, file: &Path) -> Result<(), Diagnostic> {
        match self {
            Self::Keep if file.symlink_metadata().is_ok() => Err(exists(file)),
            Self::Keep | Self::Replace => Ok(()),
        }
    }
}

/// Writes a file in one piece. What is no regular file (a pipe, a device) is written to as it is; a link is followed.
///
/// # Errors
/// The file is one of `inputs`, is there and to be kept, or cannot be written; what was there is there still.
pub fn write(
    path: &Path,
    content: &[u8],
    existing: Existing,
    inputs: &[PathBuf],
) -> Result<(), Diagnostic> {
    refuse_input(path, inputs)?;
    put(path, existing, |out| out.write_all(content)).map_err(|error| unwritten(path, &error))
}

/// Writes a file as [`write()`] does, piece by piece, as `content` gives it.
///
/// # Errors
/// As [`write()`], or the error of `content`: then too what was there is there still.
pub fn write_through(
    path: &Path,
    existing: Existing,
    inputs: &[PathBuf],
    content: impl FnOnce(&mut dyn io::Write) -> Result<(), Written>,
) -> Result<(), Written> {
    refuse_input(path, inputs).map_err(Written::Not)?;
    let mut failure = None;
    let done = put(path, existing, |out| {
        let mut out = io::BufWriter::with_capacity(1 << 16, out);
        match content(&mut out) {
            Ok(()) => out.flush(),
            Err(Written::Failed(error)) => Err(error),
            Err(other) => {
                failure = Some(other);
                Err(io::ErrorKind::Other.into())
            }
        }
    });
    match (done, failure) {
        (_, Some(other)) => Err(other),
        (Ok(()), None) => Ok(()),
        (Err(error), None) => Err(Written::Not(unwritten(path, &error))),
    }
}

/// Why a file was not written.
#[derive(Debug)]
pub enum Written {
    /// What was to be written cannot be had: an input is at fault.
    Source(Diagnostic),
    /// The place cannot be written to.
    Not(Diagnostic),
    /// Writing a piece of it failed.
    Failed(io::Error),
}

impl From<io::Error> for Written {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// A file of several that are written together.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Where.
    pub path: PathBuf,
    /// All of it.
    pub content: Vec<u8>,
    /// What becomes of what is there.
    pub existing: Existing,
}

/// Writes several files, all of them or none.
///
/// # Errors
/// As [`write()`], of any of them: then every place has what it had before.
pub fn write_together(files: &[Planned], inputs: &[PathBuf]) -> Result<(), Diagnostic> {
    let mut ready = Vec::new();
    for file in files {
        let failed = |error: io::Error| unwritten(&file.path, &error);
        refuse_input(&file.path, inputs)?;
        if file.existing == Existing::Keep && file.path.symlink_metadata().is_ok() {
            return Err(exists(&file.path));
        }
        let before = match fs::read(&file.path) {
            Ok(before) => Some(before),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(failed(error)),
        };
        let path = followed(&file.path);
        let folder = folder_of(&path);
        fs::create_dir_all(folder).map_err(failed)?;
        let mut unfinished = Unfinished::begin(folder, &path).map_err(failed)?;
        let inner = unfinished.file.as_file_mut();
        inner.write_all(&file.content).map_err(failed)?;
        inner.sync_all().map_err(failed)?;
        ready.push((path, file.existing, before, unfinished));
    }
    let mut done: Vec<(PathBuf, Option<Vec<u8>>)> = Vec::new();
    for (path, existing, before, unfinished) in ready {
        if let Err(error) = unfinished.finish(&path, existing) {
            for (path, before) in done.into_iter().rev() {
                // What cannot be put back cannot be helped: the error is reported all the same.
                let _ = match before {
                    Some(before) => fs::write(&path, before),
                    None => fs::remove_file(&path),
                };
            }
            return Err(unwritten(&path, &error));
        }
        done.push((path, before));
    }
    Ok(())
}

fn unwritten(path: &Path, error: &io::Error) -> Diagnostic {
    match error.kind() {
        io::ErrorKind::AlreadyExists => exists(path),
        io::ErrorKind::IsADirectory => Diagnostic::new("this is a folder, not a file")
            .in_file(path)
            .help("name a file in it"),
        _ => Diagnostic::new(format!("cannot be written: {error}"))
            .in_file(path)
            .help("check the folder, its permissions and the space on its disk"),
    }
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// Refuses to write to a file that is one of the inputs, under whatever name or by whatever link.
///
/// # Errors
/// It is one of them.
pub fn refuse_input(path: &Path, inputs: &[PathBuf]) -> Result<(), Diagnostic> {
    // A terminal or /dev/null may be both.
    let Some(output) = fs::metadata(path).ok().filter(Metadata::is_file) else {
        return Ok(());
    };
    let same = |input: &&PathBuf| {
        fs::metadata(input).is_ok_and(|input_data| is_same(&output, path, &input_data, input))
    };
    match inputs.iter().find(same) {
        None => Ok(()),
        Some(input) => {
            let what = format!("this is the input {}", input.display());
            let help = "name another file: what is read is never replaced";
            Err(Diagnostic::new(what).in_file(path).help(help))
        }
    }
}

/// The answer to a file that is there and is to be kept.
fn exists(path: &Path) -> Diagnostic {
    Diagnostic::new("the file exists")
        .in_file(path)
        .help("name another file, or overwrite it with --force")
}

#[cfg(unix)]
fn is_same(one: &Metadata, _: &Path, other: &Metadata, _: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(_: &Metadata, one: &Path, _: &Metadata, other: &Path) -> bool {
    matches!((one.canonicalize(), other.canonicalize()), (Ok(one), Ok(other)) if one == other)
}

/// Writes a file in one piece that its owner alone may read.
///
/// # Errors
/// What the file system reports; what was there is there still.
pub fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder)?;
    let mut unfinished = Unfinished::begin(folder, path)?;
    let file = unfinished.file.as_file_mut();
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    file.write_all(content)?;
    unfinished.finish(path, Existing::Replace)
}

fn put(
    path: &Path,
    existing: Existing,
    content: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> io::Result<()> {
    if existing == Existing::Keep && path.symlink_metadata().is_ok() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    let before = fs::metadata(path).ok();
    if let Some(special) = before.as_ref().filter(|before| !before.is_file()) {
        if special.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let mut file = File::options().write(true).open(path)?;
        content(&mut file)?;
        return file.flush();
    }
    let path = followed(path);
    let folder = folder_of(&path);
    fs::create_dir_all(folder)?;
    let mut unfinished = Unfinished::begin(folder, &path)?;
    let file = unfinished.file.as_file_mut();
    content(file)?;
    if let Some(before) = before {
        file.set_permissions(before.permissions())?;
    }
    file.sync_all()?;
    unfinished.finish(&path, existing)
}

/// Where a link leads to, even if nothing is there yet; any other path as it is.
fn followed(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    match (fs::read_link(path), path.parent()) {
        (Ok(target), Some(folder)) => folder.join(target),
        _ => path.to_owned(),
    }
}

/// Files under their first names, for an interrupt to take away. Whoever holds this can rely on none of them getting its last.
static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

fn unfinished() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file under its first name; gone with the value unless it is finished.
struct Unfinished {
    file: NamedTempFile,
    _listed: Listed,
}

/// A name in the list, as long as this is there.
struct Listed(PathBuf);

impl Drop for Listed {
    fn drop(&mut self) {
        unfinished().remove(&self.0);
    }
}

impl Unfinished {
    fn begin(folder: &Path, path: &Path) -> io::Result<Self> {
        let mut prefix = OsString::from(".");
        prefix.push(path.file_name().unwrap_or_default());
        prefix.push(".");
        let mut builder = Builder::new();
        builder.prefix(&prefix);
        // As any new file: what the user's mask leaves.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut known = unfinished();
        let file = builder.tempfile_in(folder)?;
        let name = file.path().to_owned();
        known.insert(name.clone());
        drop(known);
        Ok(Self {
            file,
            _listed: Listed(name),
        })
    }

    fn finish(self, path: &Path, existing: Existing) -> io::Result<()> {
        let Self { file, _listed } = self;
        // An interrupt comes before the file has its name, or after.
        let known = unfinished();
        let named = match existing {
            Existing::Keep => file.persist_noclobber(path),
            Existing::Replace => file.persist(path),
        };
        drop(known);
        named.map(drop).map_err(|failed| failed.error)
    }
}

#[cfg(unix)]
fn take_away(known: &BTreeSet<PathBuf>) {
    for path in known {
        let _ = fs::remove_file(path);
    }
}

/// From here on SIGINT, SIGTERM and SIGHUP take unfinished files away, do what else is to be done, and end the process with 128 and the
/// signal's number.
pub(crate) fn clean_up_when_interrupted(also: fn()) {
    listen(also, false);
}

/// Whether the command was interrupted, after [`stop_when_interrupted`].
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// As [`clean_up_when_interrupted`], but the first SIGINT is only noted, for a command that looks at [`interrupted`] and ends in
/// an orderly way.
pub(crate) fn stop_when_interrupted(also: fn()) {
    listen(also, true);
}

/// Whether the user wants the command to end.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

#[cfg(unix)]
fn listen(also: fn(), orderly: bool) {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

    // Without the thread a signal ends the process as it always does.
    let Ok(mut signals) = signal_hook::iterator::Signals::new([SIGINT, SIGTERM, SIGHUP]) else {
        return;
    };
    let listener = std::thread::Builder::new().name("interrupt".to_owned());
    let _ = listener.spawn(move || {
        for signal in signals.forever() {
            if orderly && signal == SIGINT && !INTERRUPTED.swap(true, Ordering::Relaxed) {
                let what = "interrupted: what is running is waited for; once more ends it at once";
                let _ = writeln!(io::stderr(), "{what}");
                continue;
            }
            // Held until the end: no other thread begins or finishes a file any more.
            let known = unfinished();
            take_away(&known);
            also();
            let code = if signal == SIGINT {
                i32::from(crate::base::exit_code::INTERRUPTED)
            } else {
                128 + signal
            };
            std::process::exit(code);
        }
    });
}

/// Elsewhere an interrupt ends the process as it always does.
#[cfg(not(unix))]
fn listen(_: fn(), _: bool) {}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn names(folder: &Path) -> Vec<OsString> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_there_whole_and_alone() {
        let root = folder();
        let path = root.path().join("new/a.json");
        write(&path, b"whole", Existing::Keep, &[]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(names(path.parent().unwrap()), ["a.json"]);
    }

    #[test]
    fn a_file_that_is_there_is_replaced_only_on_demand() {
        let root = folder();
        let path = root.path().join("a.json");
        fs::write(&path, "old").unwrap();
        let kept = write(&path, b"new", Existing::Keep, &[]).unwrap_err();
        assert_eq!(kept.what, "the file exists");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write(&path, b"new", Existing::Replace, &[]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(root.path()), ["a.json"]);
    }

    #[test]
    fn a_folder_is_no_file_to_write() {
        let root = folder();
        let refused = write(root.path(), b"new", Existing::Replace, &[]).unwrap_err();
        assert_eq!(refused.what, "this is a folder, not a file");
    }

    #[cfg(unix)]
    #[test]
    fn an_input_is_not_replaced_by_whatever_name() {
        let root = folder();
        let input = root.path().join("a.pcap");
        fs::write(&input, "packets").unwrap();
        let [soft, hard] = ["soft", "hard"].map(|name| root.path().join(name));
        std::os::unix::fs::symlink(&input, &soft).unwrap();
        fs::hard_link(&input, &hard).unwrap();
        for path in [&input, &soft, &hard, &root.path().join("./a.pcap")] {
            let inputs = std::slice::from_ref(&input);
            let refused = write(path, b"new", Existing::Replace, inputs).unwrap_err();
            assert!(refused.what.starts_with("this is the input "), "{path:?}");
        }
        assert_eq!(fs::read(&input).unwrap(), b"packets");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_what_it_leads_to_is_replaced() {
        let root = folder();
        let [file, link] = ["file", "link"].map(|name| root.path().join(name));
        std::os::unix::fs::symlink("file", &link).unwrap();
        for text in ["first", "second"] {
            write(&link, text.as_bytes(), Existing::Replace, &[]).unwrap();
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
            assert!(link.symlink_metadata().unwrap().is_symlink());
        }
    }

    #[cfg(unix)]
    #[test]
    fn permissions_are_those_of_the_file_before_or_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = folder();
        let [plain, ours] = ["plain", "ours"].map(|name| root.path().join(name));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
        fs::write(&plain, "").unwrap();
        write(&ours, b"", Existing::Keep, &[]).unwrap();
        assert_eq!(mode(&ours), mode(&plain));
        fs::set_permissions(&ours, fs::Permissions::from_mode(0o640)).unwrap();
        write(&ours, b"", Existing::Replace, &[]).unwrap();
        assert_eq!(mode(&ours) & 0o777, 0o640);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        let full = Path::new("/dev/full");
        let refused = write(full, b"new", Existing::Replace, &[]).unwrap_err();
        assert!(refused.what.starts_with("cannot be written: "));
        write(Path::new("/dev/null"), b"new", Existing::Replace, &[]).unwrap();
        assert!(!full.metadata().unwrap().is_file());
    }

    #[test]
    fn a_file_that_cannot_get_its_name_leaves_nothing() {
        let root = folder();
        let file = Unfinished::begin(root.path(), Path::new("a.json")).unwrap();
        assert!(unfinished().contains(file.file.path()));
        drop(file);
        assert!(names(root.path()).is_empty());
    }

    #[test]
    fn an_interrupt_takes_unfinished_files_away() {
        let root = folder();
        let file = Unfinished::begin(root.path(), Path::new("a.json")).unwrap();
        let mine = BTreeSet::from([file.file.path().to_owned()]);
        assert!(unfinished().is_superset(&mine));
        take_away(&mine);
        assert!(names(root.path()).is_empty());
    }
}
