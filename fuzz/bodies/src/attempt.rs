//! `replay try`: a capture is read, taken apart and replayed, twice, and both times alike.

mod file;
mod made;

use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};
use replay::verdict::attempt::{TryOptions, try_capture};

pub(crate) use file::Pcapng;
use made::Made;

use crate::temporary;

/// Body of the target `try`: a capture file if the bytes begin as one does, otherwise packets of both sides of a few flows.
pub fn attempt(data: &[u8]) {
    if is_capture(data) {
        return try_file(data);
    }
    if let Ok(made) = Made::arbitrary_take_rest(Unstructured::new(data)) {
        try_file(&made.file());
    }
}

/// Whether bytes begin as a pcap, a pcapng, a snoop file or a packed one does.
pub(crate) fn is_capture(data: &[u8]) -> bool {
    const MAGICS: [&[u8]; 10] = [
        &[0xa1, 0xb2],
        &[0xd4, 0xc3],
        &[0x4d, 0x3c],
        &[0xa1, 0x78],
        &[0x0a, 0x0d, 0x0d, 0x0a],
        &[0x1f, 0x8b],
        &[0x28, 0xb5],
        &[0xfd, 0x37],
        &[0x04, 0x22],
        b"snoop",
    ];
    MAGICS.iter().any(|magic| data.starts_with(magic))
}

/// Tries a capture file twice.
pub(crate) fn try_file(bytes: &[u8]) {
    let file = temporary::file(bytes, ".pcapng");
    let first = once(file.path());
    assert_eq!(first, once(file.path()), "tried twice");
}

fn once(path: &Path) -> String {
    let options = TryOptions {
        hashes: true,
        ..TryOptions::default()
    };
    match try_capture(path, &options) {
        Ok(attempt) => {
            assert!(attempt.deterministic, "two runs differ");
            format!("{attempt:?}")
        }
        Err(problem) => format!("{problem:?}"),
    }
}
