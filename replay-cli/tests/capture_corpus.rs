//! Reads a corpus of captures made elsewhere and compares with what other tools count in them.
//!
//! The corpus is a folder with the captures and a `MANIFEST.json`; the environment variable `REPLAY_CORPUS` names it.

use std::{env, fs, path::Path};

use replay::capture::{CaptureError, CaptureReader};
use serde_json::Value;

#[test]
fn every_capture_gives_the_packets_that_other_tools_count() {
    let Some(folder) = env::var_os("REPLAY_CORPUS") else {
        println!(
            "skipped: REPLAY_CORPUS does not name a folder with captures and their MANIFEST.json"
        );
        return;
    };
    let folder = Path::new(&folder);
    let manifest =
        fs::read_to_string(folder.join("MANIFEST.json")).expect("the corpus has a MANIFEST.json");
    let manifest: Value = serde_json::from_str(&manifest).expect("the manifest is JSON");
    let entries = manifest.as_array().expect("the manifest is a list");
    assert!(!entries.is_empty());
    let differences: Vec<_> = entries
        .iter()
        .flat_map(|entry| differences(folder, entry))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

fn differences(folder: &Path, entry: &Value) -> Vec<String> {
    let file = entry["file"].as_str().expect("an entry names its file");
    let damaged = entry.get("file_damage").is_some();
    let mut found = Vec::new();
    let mut differ = |what: &str, here: String, manifest: &Value| {
        found.push(format!(
            "{file}: {what} is {here}, the manifest says {manifest}"
        ));
    };
    let mut reader = match CaptureReader::open(&folder.join(file)) {
        Ok(reader) => reader,
        Err(CaptureError::Empty { .. }) if damaged && entry["bytes"] == 0 => return found,
        Err(error) => return vec![error.to_string()],
    };
    let mut packets = 0_u64;
    let error = loop {
        match reader.next_packet() {
            Ok(Some(_)) => packets += 1,
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    if entry["packets"] != packets {
        differ(
            "the number of packets",
            packets.to_string(),
            &entry["packets"],
        );
    }
    if error.is_some() != damaged {
        differ("the damage", format!("{error:?}"), &entry["file_damage"]);
    }
    let info = reader.info();
    if entry["format"] != info.format.as_str() {
        differ("the format", info.format, &entry["format"]);
    }
    let mut links: Vec<_> = info
        .interfaces
        .iter()
        .map(|interface| interface.link_type)
        .collect();
    links.sort_unstable();
    links.dedup();
    if entry["linktypes"] != Value::from(links.clone()) {
        differ("the link types", format!("{links:?}"), &entry["linktypes"]);
    }
    found
}
