//! Captures: small, with a note on their origin, used by a scenario, and listed as they are.

use std::fs;
use std::path::{Path, PathBuf};

use replay::capture::CaptureReader;
use replay::golden::draft::find::{WITHOUT_SCENARIO, excuses};

use super::{files_below, shown};

/// The most bytes a capture may have.
const LIMIT: u64 = 20_000;

/// What every note says about a capture, as the beginnings of lines.
const NOTED: [&str; 4] = ["# ", "- Client", "- Vantage:", "- Licence:"];

pub(super) fn check(root: &Path) -> Vec<String> {
    let mut problems = Vec::new();
    let folder = root.join("captures");
    let index = fs::read_to_string(folder.join("README.md")).unwrap_or_default();
    let excused = fs::read_to_string(folder.join(WITHOUT_SCENARIO)).unwrap_or_default();
    let mut names = Vec::new();
    for path in files_below(&folder) {
        if !is_capture(&path) {
            continue;
        }
        let name = shown(&path.with_extension(""), &folder);
        let about = |what: String| format!("{}: {what}", shown(&path, root));
        problems.extend(size(&path).map(about));
        problems.extend(note(&path).into_iter().map(about));
        problems.extend(expectation(root, &name, &excused).map(about));
        problems.extend(index_row(&index, &path, &name).map(about));
        names.push(name);
    }
    if names.is_empty() {
        problems.push("captures/ holds no capture".to_owned());
    }
    let listed = index
        .lines()
        .filter_map(|line| line.strip_prefix("| [")?.split(']').next());
    for name in listed.filter(|name| !names.iter().any(|known| known == name)) {
        problems.push(format!(
            "captures/README.md lists {name}, which is not there"
        ));
    }
    for (name, _) in excuses(&excused).filter(|(name, _)| !names.iter().any(|known| known == name))
    {
        problems.push(format!(
            "captures/{WITHOUT_SCENARIO} lists {name}, which is not there"
        ));
    }
    problems
}

fn is_capture(path: &Path) -> bool {
    path.extension()
        .is_some_and(|ending| ending == "pcap" || ending == "pcapng")
}

fn size(path: &Path) -> Option<String> {
    let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
    (size > LIMIT).then(|| format!("{size} bytes, above the limit of {LIMIT}"))
}

fn note(path: &Path) -> Vec<String> {
    let Ok(note) = fs::read_to_string(path.with_extension("md")) else {
        return vec!["no note (.md) beside it says where it comes from".to_owned()];
    };
    let missing = NOTED
        .iter()
        .filter(|start| !note.lines().any(|line| line.starts_with(**start)));
    missing
        .map(|start| format!("its note has no line that starts with `{start}`"))
        .collect()
}

fn expectation(root: &Path, name: &str, list: &str) -> Option<String> {
    let scenario: PathBuf = root.join("expectations").join(format!("{name}.json"));
    let reason = excuses(list)
        .find(|(excused, _)| *excused == name)
        .map(|(_, reason)| reason);
    match (scenario.is_file(), reason) {
        (true, None) => None,
        (false, Some(reason)) if !reason.is_empty() => None,
        (false, _) => Some(format!(
            "no scenario expectations/{name}.json; write one, or a reason into captures/{WITHOUT_SCENARIO}"
        )),
        (true, Some(_)) => Some("has a scenario, and a reason for having none".to_owned()),
    }
}

/// Holds the capture's row of the index against the file.
fn index_row(index: &str, path: &Path, name: &str) -> Option<String> {
    let start = format!("| [{name}]({name}.md) | ");
    let Some(row) = index.lines().find(|line| line.starts_with(&start)) else {
        return Some(
            "captures/README.md does not list it: `captures/record.sh` writes the index".to_owned(),
        );
    };
    let frames = match frames(path) {
        Ok(frames) => frames,
        Err(problem) => return Some(problem),
    };
    let size = fs::metadata(path).map_or(0, |metadata| metadata.len());
    let end = format!(" | {frames} | {size} |");
    (!row.ends_with(&end))
        .then(|| format!("captures/README.md says other than {frames} frames and {size} bytes"))
}

fn frames(path: &Path) -> Result<u64, String> {
    let mut reader = CaptureReader::open(path).map_err(|error| error.to_string())?;
    let mut frames = 0;
    while reader
        .next_packet()
        .map_err(|error| error.to_string())?
        .is_some()
    {
        frames += 1;
    }
    Ok(frames)
}
