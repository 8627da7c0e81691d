//! Files for what reads nothing but files.

use std::io::Write;
use std::path::Path;

use tempfile::{Builder, NamedTempFile};

/// A file with these bytes, in memory where the system has such a place: a fuzzer makes thousands a second.
pub(crate) fn file(bytes: &[u8], suffix: &str) -> NamedTempFile {
    let memory = Path::new("/dev/shm");
    let mut builder = Builder::new();
    builder.prefix("fuzz").suffix(suffix);
    let made = builder.tempfile_in(memory).or_else(|_| builder.tempfile());
    let mut file = made.expect("a temporary file");
    let written = file.write_all(bytes).and_then(|()| file.flush());
    written.expect("a temporary file can be written");
    file
}
