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
    /// What the medium says.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Makes the present file the older one, in place of the one before, and begins an empty one.
    ///
    /// # Errors
    /// What the medium says.
    fn rotate(&mut self) -> io::Result<()>;
}

/// Two files: `flight.pcapng` and, older, `flight.1.pcapng`.
#[derive(Debug)]
pub struct FileStore {
    path: PathBuf,
    file: File,
}

impl FileStore {
    /// Makes the file, in place of one that is there, and takes away an older one of the same name.
    ///
    /// # Errors
    /// The file cannot be made, or the older one cannot be taken away.
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        match fs::remove_file(Self::older(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Self {
            path: path.to_owned(),
            file,
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
        self.file = File::create(&self.path)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_older_file_keeps_its_extension() {
        let older = |path: &str| FileStore::older(Path::new(path));
        assert_eq!(older("a/flight.pcapng"), Path::new("a/flight.1.pcapng"));
        assert_eq!(older("flight"), Path::new("flight.1"));
    }
}
