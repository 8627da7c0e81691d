//! What `import` writes and `run` replays comes to the same as `try`, for captures made elsewhere.
//!
//! The environment variables `REPLAY_CORPUS` and `REPLAY_FAULTS` each name a folder with captures. Without them nothing
//! is tested, and a line says so.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

#[test]
fn import_and_run_come_to_what_try_comes_to() {
    let folders: Vec<PathBuf> = ["REPLAY_CORPUS", "REPLAY_FAULTS"]
        .iter()
        .filter_map(env::var_os)
        .map(PathBuf::from)
        .collect();
    if folders.is_empty() {
        println!("skipped: neither REPLAY_CORPUS nor REPLAY_FAULTS names a folder with captures");
        return;
    }
    let captures: Vec<PathBuf> = folders.iter().flat_map(|folder| captures(folder)).collect();
    assert!(!captures.is_empty(), "no capture in {folders:?}");
    let differences: Vec<String> = captures
        .iter()
        .filter_map(|path| difference(path))
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    println!("{} captures", captures.len());
}

fn captures(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the folder is there");
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.retain(|path| {
        let name = path.to_string_lossy();
        name.contains(".pcap")
    });
    paths.sort();
    paths
}

/// What the three commands say differently, if anything.
fn difference(capture: &Path) -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let scenario = folder.path().join("a.json");
    let tried = replay([OsStr::new("try"), capture.as_os_str()]);
    let imported = replay([
        OsStr::new("import"),
        capture.as_os_str(),
        OsStr::new("-o"),
        scenario.as_os_str(),
    ]);
    let code = |output: &Output| output.status.code();
    let say = |what: &str, output: &Output| {
        format!(
            "{}: `try` {:?}, `{what}` {:?}\n{}{}",
            capture.display(),
            code(&tried),
            code(output),
            String::from_utf8_lossy(&tried.stdout),
            String::from_utf8_lossy(&output.stdout)
        )
    };
    match (code(&tried), code(&imported)) {
        (Some(tried @ (3 | 4)), Some(imported)) if tried == imported => None,
        (Some(0 | 1), Some(0)) => {
            let ran = replay([OsStr::new("run"), scenario.as_os_str()]);
            (code(&ran) != code(&tried)).then(|| say("run", &ran))
        }
        _ => Some(say("import", &imported)),
    }
}

fn replay<const N: usize>(arguments: [&OsStr; N]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_replay"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the command starts")
}
