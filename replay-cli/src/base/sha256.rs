//! SHA-256 in hex, as expectations write it.

use std::fs::File;
use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::hex::Hex;

/// The SHA-256 of a stream in hex, as expectations write it.
#[must_use]
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Hex(&Sha256::digest(bytes)).to_string()
}

/// The SHA-256 of a file in hex.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn of_file(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(Hex(&hash.finalize()).to_string())
}
