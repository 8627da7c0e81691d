//! Help, colour, and readers that go away.

use std::io::Read as _;
use std::process::Stdio;

use super::output::get_capture;
use crate::{command, folder, replay_in};

#[test]
fn short_help_fits_a_screen_and_points_to_the_long_one() {
    let root = folder(&[]);
    let ran = replay_in(root.path(), ["-h"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(ran.out.lines().count() <= 40, "{}", ran.out);
    assert!(
        ran.out.lines().all(|line| line.chars().count() <= 100),
        "{}",
        ran.out
    );
    assert!(
        ran.out
            .contains("`replay --help` has examples and the exit codes"),
        "{}",
        ran.out
    );
}

#[test]
fn the_version_is_one_line() {
    let root = folder(&[]);
    let ran = replay_in(root.path(), ["--version"]);
    assert_eq!(
        (ran.code, ran.out),
        (0, format!("replay {}\n", env!("CARGO_PKG_VERSION")))
    );
}

#[test]
fn a_wrong_command_line_is_usage() {
    let root = folder(&[]);
    for arguments in [
        vec![],
        vec!["rnu"],
        vec!["try"],
        vec!["try", "a", "--device", "phone"],
    ] {
        let ran = replay_in(root.path(), &arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}");
        assert!(!ran.err.is_empty(), "{arguments:?}");
    }
}

#[test]
fn the_schema_is_json() {
    let root = folder(&[]);
    let ran = replay_in(root.path(), ["schema", "scenario"]);
    let schema: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (ran.code, &schema["properties"]["schema"]["const"]),
        (0, &1.into())
    );
}

#[test]
fn colour_is_for_terminals_unless_asked_for() {
    let root = folder(&[]);
    let plain = replay_in(root.path(), ["try", "gone"]);
    assert!(!plain.err.contains('\u{1b}'), "{}", plain.err);
    let coloured = replay_in(root.path(), ["try", "gone", "--color", "always"]);
    assert!(
        coloured
            .err
            .contains("\u{1b}[1;31merror:\u{1b}[0m gone: no such file"),
        "{}",
        coloured.err
    );
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let root = folder(&[("a.pcap", &get_capture())]);
    for arguments in [
        &["schema"][..],
        &["inspect", "a.pcap"],
        &["try", "a.pcap", "--format", "json"],
    ] {
        let mut child = command(root.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the command starts");
        drop(child.stdout.take());
        let mut said = String::new();
        child
            .stderr
            .take()
            .expect("a pipe")
            .read_to_string(&mut said)
            .expect("text");
        let status = child.wait().expect("the command ends");
        assert_eq!(status.code(), Some(0), "{arguments:?}");
        assert!(
            !said.contains("panicked") && !said.contains("error"),
            "{arguments:?}: {said}"
        );
    }
}

#[test]
fn a_report_that_cannot_be_written_is_usage() {
    let root = folder(&[("expectations/a.json", b"{}"), ("file", b"")]);
    let ran = replay_in(root.path(), ["run", "--junit", "file/junit.xml"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(
        ran.err.contains("the JUnit report cannot be written"),
        "{}",
        ran.err
    );
}

/// A capture of the repository that replays.
fn sound_capture() -> Vec<u8> {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures/http/get.pcapng");
    std::fs::read(path).expect("a capture")
}

#[test]
fn a_gzip_of_a_capture_replays_like_the_capture() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, &sound_capture()).unwrap();
    let root = folder(&[
        ("a.pcapng", &sound_capture()),
        ("a.pcapng.gz", &gzip.finish().unwrap()),
    ]);
    let [plain, packed] = ["a.pcapng", "a.pcapng.gz"]
        .map(|name| replay_in(root.path(), ["try", name, "--format", "json"]));
    assert_eq!((packed.code, packed.out), (0, plain.out));
}

#[cfg(target_os = "linux")]
#[test]
fn a_capture_from_a_pipe_replays() {
    let root = folder(&[]);
    let mut child = command(root.path())
        .args(["try", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::io::Write::write_all(&mut stdin, &sound_capture()).unwrap();
    drop(stdin);
    let ran = child.wait_with_output().unwrap();
    let out = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(0), "{out}");
    assert!(out.contains("1 flow: 1 passed"), "{out}");
}
