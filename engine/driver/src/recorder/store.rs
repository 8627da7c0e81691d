//! Where a recording goes.

use core::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// A place for a ring of two files.
pub trait Store: fmt::Debug + Send {
    /// Appends to the present file.
    ///
    /// # Errors
    /// The error of the medium.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the present file the older one, in place of the one before, and begins an empty one.
    ///
    /// # Errors
    /// The error of the medium.
    fn rotate(&mut self) -> io::Result<()>;
}

/// Two files: `flight.pcapng` and, older, `flight.1.pcapng`. They hold private traffic: only their owner
/// may read them, and they are made where the path says, not where a link there leads.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    file: File,
}

impl FileStore {
    /// Makes the file, in place of one that is there, and takes away an older one of the same name. On Unix its mode is 0600.
    ///
    /// # Errors
    /// The file cannot be made, or one of the two cannot be taken away; at one of the two paths stands what is no regular
    /// file: a symbolic link, a device, a folder.
    pub fn create(path: &Path) -> io::Result<Self> {
        let older = Self::older(path);
        for old in [path, &older] {
            match fs::symlink_metadata(old) {
                Ok(old) if old.is_file() => {}
                Ok(_) => {
                    let what = format!("{} is no regular file, and is left alone", old.display());
                    return Err(io::Error::new(io::ErrorKind::AlreadyExists, what));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        for old in [path, &older] {
            match fs::remove_file(old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(Self {
            path: path.to_owned(),
            file: make(path)?,
        })
    }

    /// The name of the older file.
    #[must_use]
    pub fn older(path: &Path) -> PathBuf {
        let mut name = path.file_stem().unwrap_or_default().to_owned();
        name.push(".1");
        if let Some(extension) = path.extension() {
            name.push(".");
            name.push(extension);
        }
        path.with_file_name(name)
    }
}

impl Store for FileStore {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    fn rotate(&mut self) -> io::Result<()> {
        fs::rename(&self.path, Self::older(&self.path))?;
        self.file = make(&self.path)?;
        Ok(())
    }
}

/// Makes a file where there is none; a link that somebody has put there meanwhile is an error.
fn make(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("store-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).expect("a folder");
        folder
    }

    #[cfg(unix)]
    #[test]
    fn only_the_owner_reads_either_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = folder("mode");
        let path = folder.join("flight.pcapng");
        fs::write(&path, "one that everybody could read").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
        let mut store = FileStore::create(&path).expect("made");
        store.write(b"old").expect("written");
        store.rotate().expect("turned");
        store.write(b"new").expect("written");
        for (path, holds) in [(&path, "new"), (&FileStore::older(&path), "old")] {
            let mode = fs::metadata(path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
            assert_eq!(fs::read_to_string(path).expect("read"), holds);
        }
        fs::remove_dir_all(folder).expect("removed");
    }

    #[cfg(unix)]
    #[test]
    fn what_a_link_leads_to_stays_as_it_is() {
        let folder = folder("link");
        let (path, precious) = (folder.join("flight.pcapng"), folder.join("precious"));
        fs::write(&precious, "precious").expect("written");
        for link in [&path, &FileStore::older(&path)] {
            std::os::unix::fs::symlink(&precious, link).expect("a link");
            let error = FileStore::create(&path).expect_err("a refusal");
            assert!(error.to_string().contains("is no regular file"), "{error}");
            fs::remove_file(link).expect("removed");
        }
        // A link that comes later is in the way of the next file.
        let mut store = FileStore::create(&path).expect("made");
        fs::remove_file(&path).expect("removed");
        std::os::unix::fs::symlink(&precious, &path).expect("a link");
        store.rotate().expect("the link is renamed, not followed");
        store.write(b"new").expect("written");
        assert_eq!(fs::read_to_string(&precious).expect("read"), "precious");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn the_older_file_keeps_its_extension() {
        let older = |path: &str| FileStore::older(Path::new(path));
        assert_eq!(older("a/flight.pcapng"), Path::new("a/flight.1.pcapng"));
        assert_eq!(older("flight"), Path::new("flight.1"));
    }
}
