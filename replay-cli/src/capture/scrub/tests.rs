use std::path::{Path, PathBuf};

use super::*;

fn captures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    let mut found = Vec::new();
    for folder in std::fs::read_dir(root).unwrap().flatten() {
        for file in std::fs::read_dir(folder.path())
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = file.path();
            if path
                .extension()
                .is_some_and(|end| end == "pcap" || end == "pcapng")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn options(payload: Payload) -> ScrubOptions {
    ScrubOptions {
        key: [7; 16],
        payload,
        options: false,
    }
}

#[test]
fn every_capture_is_scrubbed_and_proves_it() {
    for path in captures() {
        let bytes = std::fs::read(&path).unwrap();
        for payload in [Payload::Pattern, Payload::Zero] {
            let scrubbed = scrub(&path.display().to_string(), &bytes, &options(payload));
            let scrubbed = scrubbed.unwrap_or_else(|error| panic!("{error}"));
            assert!(scrubbed.report.packets.1 > 0, "{}", path.display());
        }
    }
}

#[test]
fn one_key_gives_one_file() {
    let path = captures().remove(0);
    let bytes = std::fs::read(&path).unwrap();
    let made = |key: u8| {
        let options = ScrubOptions {
            key: [key; 16],
            ..options(Payload::Pattern)
        };
        scrub("a", &bytes, &options).unwrap().bytes
    };
    assert_eq!(made(1), made(1));
    assert_ne!(made(1), made(2));
}
