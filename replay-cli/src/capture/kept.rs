//! The bytes of a capture that was read, to be looked at again.
//!
//! A file is read again where its bytes are wanted; a small one is held. What cannot be read twice (a pipe, what is
//! packed) is copied on the way: held while it is small, and beyond that in an unnamed temporary file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use super::CaptureError;

/// What is held in memory of a source, bytes.
pub(crate) const HELD: u64 = 8 << 20;

/// What is copied of a source that cannot be read twice unless it is said, bytes: a gzip of a few megabytes may hold as
/// many gigabytes, which would all go to the temporary folder.
pub(crate) const UNPACKED: u64 = 512 << 20;

/// Bytes by place, as they stood in the (decompressed) capture.
#[derive(Debug)]
pub(crate) struct Kept {
    name: String,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Held(Shared),
    File { file: File, mark: Mark },
    Copying(Copying),
    Copied(Spool),
}

/// A copy that the reader of the capture makes.
#[derive(Clone, Debug)]
pub(super) struct Copying {
    spool: Arc<Mutex<Spool>>,
    /// The most bytes it may have.
    limit: u64,
}

/// Why a copy cannot go on: it would have more bytes than this.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("more than {0} bytes")]
pub(super) struct Overfull(pub(super) u64);

/// A whole file in memory.
#[derive(Clone, Debug)]
pub(crate) struct Shared(pub(crate) Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// What shows that a file is not the one it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    len: u64,
    changed: Option<SystemTime>,
}

impl Mark {
    fn of(file: &File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        Ok(Self {
            len: metadata.len(),
            changed: metadata.modified().ok(),
        })
    }
}

impl Kept {
    /// A small file, all of it.
    pub(super) fn held(name: &str, mut file: &File) -> io::Result<(Self, Shared)> {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let shared = Shared(Arc::new(bytes));
        let kept = Self {
            name: name.into(),
            bytes: Bytes::Held(shared.clone()),
        };
        Ok((kept, shared))
    }

    /// Bytes that are held already.
    pub(super) fn shared(name: &str, bytes: Shared) -> Self {
        Self {
            name: name.into(),
            bytes: Bytes::Held(bytes),
        }
    }

    /// These bytes.
    #[cfg(test)]
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self {
            name: "bytes".into(),
            bytes: Bytes::Held(Shared(Arc::new(bytes.to_vec()))),
        }
    }

    /// A file that stays where it is.
    pub(super) fn file(name: &str, file: File) -> io::Result<Self> {
        let mark = Mark::of(&file)?;
        Ok(Self {
            name: name.into(),
            bytes: Bytes::File { file, mark },
        })
    }

    /// A source that is copied while it is read, up to `limit` bytes.
    pub(super) fn copying(name: &str, limit: u64) -> (Self, Copying) {
        let copy = Copying {
            spool: Arc::default(),
            limit,
        };
        let kept = Self {
            name: name.into(),
            bytes: Bytes::Copying(copy.clone()),
        };
        (kept, copy)
    }

    /// Takes the copy over from the reader, which is gone.
    pub(crate) fn settle(&mut self) {
        if let Bytes::Copying(copy) = &self.bytes {
            let spool = &copy.spool;
            let spool = std::mem::take(&mut *spool.lock().unwrap_or_else(PoisonError::into_inner));
            self.bytes = Bytes::Copied(spool);
        }
    }

    /// All bytes, if they are held.
    pub(crate) fn all(&self) -> Option<&[u8]> {
        match &self.bytes {
            Bytes::Held(shared) => Some(shared.as_ref()),
            Bytes::Copied(spool) => spool.all(),
            Bytes::File { .. } | Bytes::Copying(_) => None,
        }
    }

    /// Reads bytes from `place` on, as many as there are up to the length of `to`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(crate) fn read_at(&self, place: u64, to: &mut [u8]) -> Result<usize, CaptureError> {
        let read = match &self.bytes {
            Bytes::Held(shared) => Ok(copy_at(shared.as_ref(), place, to)),
            Bytes::File { file, .. } => read_at(file, place, to),
            Bytes::Copied(spool) => spool.read_at(place, to),
            Bytes::Copying(_) => Ok(0),
        };
        read.map_err(|source| CaptureError::Io {
            path: self.name.clone(),
            source,
        })
    }

    /// What it means that bytes which were there are not there any more.
    pub(crate) fn gone(&self, place: u64) -> CaptureError {
        CaptureError::Changed {
            path: self.name.clone(),
            offset: Some(place),
        }
    }

    /// Says whether the file is still what it was; that it has grown does not matter.
    ///
    /// # Errors
    /// [`CaptureError::Changed`].
    pub(crate) fn unchanged(&self) -> Result<(), CaptureError> {
        let Bytes::File { file, mark } = &self.bytes else {
            return Ok(());
        };
        match Mark::of(file) {
            Ok(now) if now == *mark || now.len > mark.len => Ok(()),
            _ => Err(CaptureError::Changed {
                path: self.name.clone(),
                offset: None,
            }),
        }
    }
}

/// Bytes put by: in memory first, in an unnamed temporary file once they are many.
#[derive(Debug, Default)]
pub(crate) struct Spool {
    held: Vec<u8>,
    file: Option<File>,
    len: u64,
}

impl Spool {
    /// Appends bytes and returns where they stand.
    ///
    /// # Errors
    /// The temporary file cannot be made or written.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let place = self.len;
        if self.file.is_none() && place + bytes.len() as u64 > HELD {
            let mut file = tempfile::tempfile()?;
            file.write_all(&self.held)?;
            self.held = Vec::new();
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes)?,
            None => self.held.extend_from_slice(bytes),
        }
        self.len += bytes.len() as u64;
        Ok(place)
    }

    /// All bytes, if they are held.
    pub(crate) fn all(&self) -> Option<&[u8]> {
        self.file.is_none().then_some(self.held.as_slice())
    }

    /// Reads bytes from `place` on, as many as there are up to the length of `to`.
    pub(crate) fn read_at(&self, place: u64, to: &mut [u8]) -> io::Result<usize> {
        match &self.file {
            Some(file) => read_at(file, place, to),
            None => Ok(copy_at(&self.held, place, to)),
        }
    }
}

/// Copies what it reads.
pub(super) struct Tee<R> {
    pub(super) reader: R,
    pub(super) copy: Copying,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        let read = buffer.get(..count).unwrap_or_default();
        let Copying { spool, limit } = &self.copy;
        let mut copy = spool.lock().unwrap_or_else(PoisonError::into_inner);
        if copy.len + count as u64 > *limit {
            return Err(io::Error::other(Overfull(*limit)));
        }
        copy.push(read).map_err(|error| {
            let what = format!("no temporary copy of it can be kept: {error}");
            io::Error::new(error.kind(), what)
        })?;
        Ok(count)
    }
}

/// Reads at a place without moving any other reader, until `to` is full or the file ends.
pub(super) fn read_at(file: &File, place: u64, to: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = to.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match read_once(file, place + count as u64, rest) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

#[cfg(unix)]
fn read_once(file: &File, place: u64, to: &mut [u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, to, place)
}

#[cfg(windows)]
fn read_once(file: &File, place: u64, to: &mut [u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, to, place)
}

fn copy_at(bytes: &[u8], place: u64, to: &mut [u8]) -> usize {
    let from = usize::try_from(place).unwrap_or(usize::MAX);
    let there = bytes.get(from..).unwrap_or_default();
    let count = there.len().min(to.len());
    if let (Some(to), Some(there)) = (to.get_mut(..count), there.get(..count)) {
        to.copy_from_slice(there);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_gives_back_what_was_put_by_on_both_sides_of_the_bound() {
        let mut spool = Spool::default();
        let piece = vec![7; 3 << 20];
        for nth in 0..4_u64 {
            assert_eq!(spool.push(&piece).unwrap(), nth * (3 << 20));
            assert_eq!(spool.all().is_some(), nth < 2);
        }
        spool.push(b"end").unwrap();
        let mut end = [0; 8];
        assert_eq!(spool.read_at((12 << 20) - 2, &mut end).unwrap(), 5);
        assert_eq!(end, [7, 7, b'e', b'n', b'd', 0, 0, 0]);
    }

    #[test]
    fn a_file_that_shrinks_is_told_and_one_that_grows_is_not() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"capture").unwrap();
        let kept = Kept::file("a.pcap", file.reopen().unwrap()).unwrap();
        file.write_all(b" goes on").unwrap();
        assert!(kept.unchanged().is_ok());
        file.as_file().set_len(3).unwrap();
        let error = kept.unchanged().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("a.pcap: changed while it was read"),
            "{error}"
        );
    }
}
