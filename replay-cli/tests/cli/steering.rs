//! Runs that one can steer: by name, by what failed last, by a share; and those that are interrupted.

use crate::{folder, replay_in};

/// A scenario that expects a wrong acknowledgement.
pub(crate) const WRONG: &[u8] = br#"{
  "schema": 1,
  "title": "a wrong acknowledgement is expected",
  "flows": { "get": "tcp 10.0.0.2:40000 > 192.0.2.1:80" },
  "input": {
    "frames": [
      "+0 < get S 0:0(0) win 65535 <mss 1460>",
      "+0 > get S. 0:0(0) ack 1 <*>",
      "+0 < get . 1:1(0) ack 1 win 65535",
      "+0 < get P. 1:11(10) ack 1 win 65535",
      "+0 > get . 1:1(0) ack 12"
    ]
  },
  "dialer": { "otherwise": "connected" },
  "expect": {}
}
"#;

/// The same with the right one.
pub(crate) const RIGHT: &[u8] = br#"{
  "schema": 1,
  "title": "the right acknowledgement is expected",
  "flows": { "get": "tcp 10.0.0.2:40000 > 192.0.2.1:80" },
  "input": {
    "frames": [
      "+0 < get S 0:0(0) win 65535 <mss 1460>",
      "+0 > get S. 0:0(0) ack 1 <*>",
      "+0 < get . 1:1(0) ack 1 win 65535",
      "+0 < get P. 1:11(10) ack 1 win 65535",
      "+0 > get . 1:1(0) ack 11"
    ]
  },
  "dialer": { "otherwise": "connected" },
  "expect": {}
}
"#;

fn both() -> tempfile::TempDir {
    folder(&[
        ("expectations/tcp/right.json", RIGHT),
        ("expectations/tcp/wrong.json", WRONG),
    ])
}

#[test]
fn a_scenario_runs_by_the_name_that_is_printed() {
    let root = both();
    for name in ["tcp/right", "tcp/right (ipv6)"] {
        let ran = replay_in(&root.path().join("expectations"), ["run", name, "-v"]);
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.starts_with("PASS tcp/right"), "{}", ran.out);
    }
}

#[test]
fn a_filter_chooses_by_name() {
    let root = both();
    let listed = |filter: &str| replay_in(root.path(), ["run", "--list", "-k", filter]);
    assert_eq!(listed("tcp and not wrong").out, "tcp/right\n");
    let none = listed("udp");
    assert_eq!(none.code, 4);
    assert!(
        none.err.contains("none of 2 scenarios fits"),
        "{}",
        none.err
    );
    let broken = listed("tcp and");
    assert!(
        broken.code == 2 && broken.err.contains("a word is missing"),
        "{}",
        broken.err
    );
}

#[test]
fn what_failed_last_runs_again_until_it_passes() {
    let root = both();
    assert_eq!(replay_in(root.path(), ["run"]).code, 1);
    let ran = replay_in(root.path(), ["run", "--failed", "-v"]);
    assert!(
        ran.code == 1 && ran.out.contains("1 scenario: 0 passed, 1 failed"),
        "{}",
        ran.out
    );
    std::fs::write(root.path().join("expectations/tcp/wrong.json"), RIGHT).unwrap();
    assert_eq!(replay_in(root.path(), ["run", "--failed"]).code, 0);
    let ran = replay_in(root.path(), ["run", "--failed"]);
    assert_eq!(ran.code, 4);
    assert!(ran.err.contains("failed in the last run"), "{}", ran.err);
}

#[test]
fn shares_run_each_scenario_once() {
    let root = both();
    let share = |share: &str| replay_in(root.path(), ["run", "--list", "--shard", share]).out;
    assert_eq!([share("1/2"), share("2/2")], ["tcp/right\n", "tcp/wrong\n"]);
}

#[test]
fn the_slowest_are_listed_at_the_end() {
    let root = both();
    let ran = replay_in(root.path(), ["run", "-k", "right", "--slowest", "3"]);
    let mut lines = ran.out.lines();
    assert_eq!(lines.next(), Some("slowest:"));
    assert!(
        lines
            .next()
            .is_some_and(|line| line.ends_with(" s  tcp/right")),
        "{}",
        ran.out
    );
}

#[test]
fn a_failure_shows_the_line_of_the_scenario_with_a_caret() {
    let root = both();
    let ran = replay_in(root.path(), ["run", "tcp/wrong"]);
    let shown = "   11 | \"+0 > get . 1:1(0) ack 12\"\n      | ^\n";
    assert!(ran.out.contains(shown), "{}", ran.out);
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_tells_what_has_ended() {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::Stdio;

    let root = folder(&[]);
    let tree = root.path().join("expectations");
    std::fs::create_dir_all(&tree).unwrap();
    for index in 0..3_000 {
        std::fs::write(tree.join(format!("s{index}.json")), RIGHT).unwrap();
    }
    let mut child = crate::command(root.path())
        .args(["run", "-v", "--jobs", "1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    assert!(first.starts_with("PASS "), "{first}");
    let kill = std::process::Command::new("sh")
        .args(["-c", &format!("kill -INT {}", child.id())])
        .status();
    assert!(kill.unwrap().success());
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    let ran = child.wait_with_output().unwrap();
    let err = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(ran.status.code(), Some(130), "{err}");
    let summary = rest.lines().last().unwrap_or_default();
    assert!(
        summary.contains(" passed, ") && summary.contains(" not run"),
        "{summary}"
    );
    assert!(err.contains("interrupted: "), "{err}");
}
