//! The `replay` command as a user meets it: exit codes and messages.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

mod cli {
    mod bad_input;
    mod conformance;
    mod coverage;
    mod drafts;
    mod facts;
    mod nothing;
    mod output;
    mod reach;
    mod schemas;
    mod scripts;
    mod selection;
    mod show;
    mod smaller;
    mod steering;
    mod streams;
    mod stress;
}

/// What a command came to.
struct Ran {
    code: i32,
    out: String,
    err: String,
}

/// Runs the command in a folder, with an environment that does not depend on where the tests run.
fn replay_in<I: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = I>) -> Ran {
    let Output {
        status,
        stdout,
        stderr,
    } = command(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    Ran {
        code: status.code().expect("the command exits by itself"),
        out: String::from_utf8(stdout).expect("results are UTF-8"),
        err: String::from_utf8(stderr).expect("diagnostics are UTF-8"),
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_replay"));
    command.current_dir(folder);
    for variable in [
        "CI",
        "COLUMNS",
        "NO_COLOR",
        "CLICOLOR_FORCE",
        "RUST_BACKTRACE",
    ] {
        command.env_remove(variable);
    }
    command
}

/// A folder with these files.
fn folder(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    for (name, content) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(path, content).expect("a file");
    }
    root
}

/// A classic capture of link type RAW with no packet in it.
fn empty_capture() -> Vec<u8> {
    [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101]
        .iter()
        .flat_map(|word| word.to_le_bytes())
        .collect()
}

/// As [`empty_capture`], and one ICMP echo request.
fn ping_capture() -> Vec<u8> {
    let packet = [
        0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0x66, 0xdc, 10, 0, 0, 2, 10, 0, 0, 1, 8, 0, 0xf7, 0xfd,
        0, 1, 0, 1,
    ];
    let mut file = empty_capture();
    for word in [1_u32, 0, 28, 28] {
        file.extend(word.to_le_bytes());
    }
    file.extend(packet);
    file
}

/// As [`empty_capture`], and one datagram from 10.0.0.2 to 10.0.0.1.
fn datagram_capture() -> Vec<u8> {
    let ends = ["10.0.0.2:5000", "10.0.0.1:9000"].map(|end| end.parse().unwrap());
    let packet = replay::packet::build::udp(ends[0], ends[1], b"hello");
    let length = u32::try_from(packet.len()).unwrap();
    let mut file = empty_capture();
    for word in [1_u32, 0, length, length] {
        file.extend(word.to_le_bytes());
    }
    file.extend(packet);
    file
}
