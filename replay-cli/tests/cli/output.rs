//! Files and streams that are written: whole, never over an input, and not without a word.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;

use crate::{command, folder, ping_capture, replay_in};

pub(crate) fn get_capture() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures/http/get.pcapng");
    std::fs::read(path).expect("a capture")
}

#[cfg(unix)]
#[test]
fn import_does_not_replace_its_capture_by_whatever_name() {
    let root = folder(&[("a.pcap", &ping_capture())]);
    let at = |name: &str| root.path().join(name);
    std::os::unix::fs::symlink("a.pcap", at("soft")).unwrap();
    std::fs::hard_link(at("a.pcap"), at("hard")).unwrap();
    for name in ["a.pcap", "./a.pcap", "soft", "hard"] {
        let ran = replay_in(root.path(), ["import", "a.pcap", "--force", "-o", name]);
        let message = format!("error: {name}: this is the input a.pcap\n");
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.starts_with(&message), "{}", ran.err);
        assert_eq!(std::fs::read(at("a.pcap")).unwrap(), ping_capture());
    }
}

const SCENARIO: &[u8] = br#"{
  "schema": 1,
  "title": "nothing comes",
  "input": { "capture": "a.pcapng" }
}
"#;

#[test]
fn a_report_does_not_replace_what_the_run_reads() {
    let root = folder(&[
        ("captures/a.pcapng", &get_capture()),
        ("expectations/a.json", SCENARIO),
    ]);
    for name in ["captures/a.pcapng", "expectations/a.json"] {
        let before = std::fs::read(root.path().join(name)).unwrap();
        let ran = replay_in(root.path(), ["run", "--junit", name]);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert!(ran.err.contains("this is the input "), "{}", ran.err);
        assert_eq!(std::fs::read(root.path().join(name)).unwrap(), before);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_said_by_every_command() {
    let root = folder(&[
        ("captures/a.pcapng", &get_capture()),
        ("expectations/a.json", SCENARIO),
        ("expectations/b.json.new", b"{}"),
    ]);
    for arguments in [
        &["run"][..],
        &["run", "-v"],
        &["run", "--list"],
        &["run", "--format", "json"],
        &["run", "--vacuity"],
        &["conformance"],
        &["record"],
        &["review"],
        &["try", "captures/a.pcapng"],
        &["try", "captures/a.pcapng", "--format", "json"],
        &["import", "captures/a.pcapng"],
        &["inspect", "captures/a.pcapng"],
        &["schema"],
        &["show", "captures/a.pcapng"],
        &["completions", "bash"],
        &["man"],
        &["stress", "--flows", "1"],
        &["--help"],
        &["run", "-h"],
        &["--version"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ran = command(root.path())
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(full)
            .output()
            .unwrap();
        let err = String::from_utf8(ran.stderr).unwrap();
        assert_eq!(ran.status.code(), Some(2), "{arguments:?}: {err}");
        assert!(
            err.contains("error: results cannot be written: "),
            "{arguments:?}: {err}"
        );
    }
    let ran = replay_in(root.path(), ["run", "--junit", "/dev/full"]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(
        ran.err.contains("the JUnit report cannot be written: "),
        "{}",
        ran.err
    );
}

#[cfg(unix)]
#[test]
fn a_run_whose_reader_goes_away_ends_with_its_verdict() {
    let wrong = br#"{ "schema": 1, "title": "a capture", "input": { "capture": "a.pcapng" },
        "expect": { "counters": { "tcp_dials": 7 } } }"#;
    let root = folder(&[
        ("captures/a.pcapng", &get_capture()),
        ("expectations/a.json", wrong),
    ]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran = command(root.path())
        .args(["run", "-v"])
        .stdout(writer)
        .output()
        .unwrap();
    let err = String::from_utf8(ran.stderr).unwrap();
    assert_eq!((ran.status.code(), err.as_str()), (Some(1), ""));
}

#[cfg(unix)]
#[test]
fn a_capture_that_a_scenario_cannot_name_is_not_imported() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    let root = folder(&[]);
    let name = OsStr::from_bytes(b"p\xffhone.pcapng");
    std::fs::write(root.path().join(name), get_capture()).unwrap();
    let output = [OsStr::new("-o"), OsStr::new("a.json")];
    for more in [&output[..], &[]] {
        let ran = replay_in(
            root.path(),
            [&[OsStr::new("import"), name][..], more].concat(),
        );
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert!(ran.err.contains("its path is not UTF-8"), "{}", ran.err);
    }
    assert!(!root.path().join("a.json").exists());
    // It can be looked at all the same.
    for reader in ["try", "inspect"] {
        assert_eq!(replay_in(root.path(), [OsStr::new(reader), name]).code, 0);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_capture_from_a_pipe_is_not_imported() {
    let root = folder(&[("a.pcapng", &get_capture())]);
    let (reader, writer) = std::io::pipe().unwrap();
    let ran = command(root.path())
        .args(["import", "/dev/stdin", "-o", "a.json"])
        .stdin(reader)
        .output()
        .unwrap();
    drop(writer);
    let err = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(2), "{err}");
    assert!(err.contains("a scenario cannot name this capture"), "{err}");
    assert!(!root.path().join("a.json").exists());
    // A file by that name is a file.
    let ran = command(root.path())
        .args(["import", "/dev/stdin", "-o", "a.json"])
        .stdin(File::open(root.path().join("a.pcapng")).unwrap())
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(0));
    assert_eq!(replay_in(root.path(), ["run", "a.json"]).code, 0);
}

#[test]
fn a_capture_outside_of_the_scenarios_tree_is_named_by_its_digest() {
    let root = folder(&[("a.pcapng", &get_capture())]);
    let ran = replay_in(root.path(), ["import", "a.pcapng", "-o", "new/a.json"]);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("named by its SHA-256"), "{}", ran.err);
    let ran = replay_in(root.path(), ["run", "new/a.json"]);
    assert_eq!(ran.code, 0, "{}", ran.out);
    std::fs::write(root.path().join("a.pcapng"), b"something else").unwrap();
    let ran = replay_in(root.path(), ["run", "new/a.json"]);
    assert_eq!(ran.code, 3, "{}", ran.out);
    assert!(ran.out.contains("another file"), "{}", ran.out);
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupt_is_exit_code_130() {
    use std::time::{Duration, Instant};

    let root = folder(&[]);
    // It waits for a capture that does not come.
    let mut child = command(root.path())
        .args(["try", "/dev/stdin"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // Waiting for a child closes its standard input, and that would be an end of the capture.
    let _held = child.stdin.take();
    let status = format!("/proc/{}/task", child.id());
    let began = Instant::now();
    // Its thread for interrupts is there.
    let listens = || {
        let threads = std::fs::read_dir(&status).into_iter().flatten().flatten();
        let name = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("comm"));
        threads
            .filter_map(|thread| name(thread).ok())
            .any(|name| name.trim() == "interrupt")
    };
    while !listens() && began.elapsed() < Duration::from_secs(20) {
        std::thread::yield_now();
    }
    let kill = std::process::Command::new("sh")
        .args(["-c", &format!("kill -INT {}", child.id())])
        .status();
    assert!(kill.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}
