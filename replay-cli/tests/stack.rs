//! Other stacks as child processes: the protocol loses nothing, and whatever a child does, the run goes on.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

const ENGINE: &str = concat!("exec:", env!("CARGO_BIN_EXE_replay-stack-engine"));

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// A run of the command: exit code, report, standard error.
fn replay(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_replay"))
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the command starts");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    let code = ran.status.code().expect("an exit code");
    (code, text(ran.stdout), text(ran.stderr))
}

/// Name, verdict, kinds of failures and figures of a scenario.
type Outcome = (String, String, Vec<String>, Value);

/// The scenarios of a run with all that must not depend on the way in, and how many checks were left out.
fn verdicts(arguments: &[&str]) -> (Vec<Outcome>, u64) {
    let arguments = [&["run", "--format", "json"], arguments].concat();
    let (_, out, err) = replay(&repository(), &arguments);
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("a report: {err}"));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let scenario = |scenario: &Value| {
        let failures = scenario["failures"].as_array().cloned().unwrap_or_default();
        let mut figures = scenario["figures"].clone();
        // While output is held nobody polls, so that deadlines are heard of late.
        figures["steps"] = Value::Null;
        if text(&scenario["name"]).ends_with(".pkt") {
            // A call that blocks waits for as long as another stack may be late.
            figures["virtual_us"] = Value::Null;
        }
        (
            text(&scenario["name"]),
            text(&scenario["verdict"]),
            failures
                .iter()
                .map(|failure| text(&failure["kind"]))
                .collect(),
            figures,
        )
    };
    let scenarios = report["scenarios"].as_array().expect("scenarios");
    let core_only = report["totals"]["core_only"].as_u64().expect("a total");
    (scenarios.iter().map(scenario).collect(), core_only)
}

#[test]
fn the_engine_through_the_protocol_does_what_it_does_through_the_core() {
    let (core, none) = verdicts(&[]);
    let (other, left_out) = verdicts(&["--stack", ENGINE]);
    assert_eq!(core.len(), other.len());
    let mut away = 0;
    for (core, other) in core.iter().zip(&other) {
        if other.1 == "not_applicable" {
            away += 1;
        } else {
            assert_eq!(core, other);
        }
    }
    assert!(
        away <= 5,
        "scripts that peek or watch descriptors need the core"
    );
    assert_eq!(none, 0);
    assert!(left_out > 0, "counters are checked through the core only");
}

/// A datagram that is echoed, and the same with a stack that this shell script is.
#[cfg(unix)]
fn with_script(script: &str) -> (i32, Value, String) {
    use std::os::unix::fs::PermissionsExt as _;

    let root = tempfile::tempdir().expect("a folder");
    let folder = root.path().join("expectations");
    std::fs::create_dir(&folder).expect("a folder");
    let scenario = r#"{ "schema": 1, "title": "an echo", "flows": { "q": "udp 10.0.0.2:50000 > 198.51.100.7:9000" },
  "input": { "frames": ["0 < q udp 4", "~ > q udp 4"] },
  "dialer": { "rules": [ { "dial": { "result": "connected" }, "then": [ { "echo": 1 } ] } ] } }"#;
    for name in ["a.json", "b.json"] {
        std::fs::write(folder.join(name), scenario).expect("a file");
    }
    let program = root.path().join("stack");
    std::fs::write(&program, format!("#!/bin/sh\n{script}")).expect("a file");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("a program");
    let arguments = [
        "run",
        "--stack",
        "exec:./stack",
        "--stack-timeout",
        "1",
        "--format",
        "json",
    ];
    let (code, out, err) = replay(root.path(), &arguments);
    (code, serde_json::from_str(&out).unwrap_or_default(), err)
}

/// What both scenarios failed with first.
#[cfg(unix)]
fn broken(script: &str) -> String {
    let (code, report, err) = with_script(script);
    assert_eq!(code, 1, "{err}");
    let failures: Vec<&Value> = report["scenarios"]
        .as_array()
        .expect("scenarios")
        .iter()
        .map(|scenario| &scenario["failures"][0])
        .collect();
    assert_eq!(failures.len(), 2, "the run goes on");
    assert!(
        failures
            .iter()
            .all(|failure| failure["kind"] == "broken-stack"),
        "{failures:#?}"
    );
    failures[1]["what"].as_str().expect("a sentence").to_owned()
}

#[test]
#[cfg(unix)]
fn a_stack_that_crashes_fails_its_scenario_with_its_last_words() {
    let what = broken("echo hello 1 bad 1.0; read line; echo out of luck >&2; exit 3");
    assert!(
        what.contains("it ended by itself: exit status: 3"),
        "{what}"
    );
    assert!(what.contains("out of luck"), "{what}");
}

#[test]
#[cfg(unix)]
fn a_stack_that_hangs_fails_its_scenario_and_is_killed() {
    let what = broken("echo hello 1 bad 1.0; while read line; do :; done; true");
    assert!(what.contains("it has not answered for 1 s"), "{what}");
    let what = broken("echo hello 1 bad 1.0; exec tail -f /dev/null");
    assert!(what.contains("it has not answered for 1 s"), "{what}");
}

#[test]
#[cfg(unix)]
fn a_stack_that_talks_garbage_fails_its_scenario() {
    let answering = |answer: &str| {
        format!(
            "echo hello 1 bad 1.0; while read word rest; do [ $word = poll ] && echo '{answer}'; done; true"
        )
    };
    let what = broken(&answering("what?"));
    assert!(
        what.contains("it said `what?`, which is no line of the protocol"),
        "{what}"
    );
    let what = broken(&answering("data 7 00"));
    assert!(
        what.contains("it speaks of flow 7, which is not open"),
        "{what}"
    );
    let what = broken(&answering("took 1"));
    assert!(
        what.contains("it said `took 1`, which is not due"),
        "{what}"
    );
}

#[test]
#[cfg(unix)]
fn a_stack_that_wants_to_be_polled_again_and_again_is_stalled() {
    let polled = |answer: &str| {
        format!(
            "echo hello 1 bad 1.0; while read word at; do case $word in at) now=$at;; poll) {answer};; esac; done; true"
        )
    };
    for answer in ["echo next 0", "echo next $((now + 1))"] {
        let what = broken(&polled(answer));
        assert!(
            what.contains("it has stalled for 1 s of real time"),
            "{what}"
        );
    }
}

#[test]
#[cfg(unix)]
fn a_stack_that_floods_waits_for_the_runner_and_is_broken() {
    let frame = "frame 45000014000100004001000001020304050607081111";
    let what = broken(&format!(
        "echo hello 1 bad 1.0; read line; exec yes '{frame}'"
    ));
    assert!(
        what.contains("it put out more than 64 MiB without a `next`"),
        "{what}"
    );
}

/// Nobody is left of what a stack has started, in its group or out of it.
#[test]
#[cfg(target_os = "linux")]
fn what_a_stack_has_started_ends_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = ["ignores", "apart"].map(|name| folder.path().join(name));
    for name in &names {
        std::os::unix::fs::symlink("/bin/sleep", name).expect("a link");
    }
    let [ignores, apart] = names.each_ref().map(|name| name.display());
    let script = format!(
        "echo hello 1 bad 1.0; (trap '' TERM HUP INT; exec {ignores} 1000) & (exec setsid {apart} 1000) & exec sleep 1000"
    );
    broken(&script);
    let running = || {
        let processes = std::fs::read_dir("/proc").expect("processes");
        let lines = processes
            .flatten()
            .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
        let ours = folder.path().display().to_string();
        lines
            .filter(|line| String::from_utf8_lossy(line).contains(&ours))
            .count()
    };
    // They were killed; the system takes a moment to clear them away.
    for _ in 0..1_000 {
        if running() == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    panic!("{} processes are left", running());
}

#[test]
#[cfg(unix)]
fn a_stack_that_closes_its_output_fails_its_scenario() {
    let what = broken("echo hello 1 bad 1.0; exec tail -f /dev/null > /dev/null");
    assert!(what.contains("it closed its standard output"), "{what}");
}

#[test]
#[cfg(unix)]
fn a_stack_that_says_no_hello_is_refused_before_anything_runs() {
    for (script, what) in [
        ("echo good morning", "`good` is no reply"),
        (
            "echo hello 2 bad 1.0",
            "version 2 of the protocol; known is 1",
        ),
        ("exit 4", "it ended by itself: exit status: 4"),
    ] {
        let (code, _, err) = with_script(script);
        assert_eq!(code, 3, "{err}");
        assert!(
            err.contains("the stack says no hello") && err.contains(what),
            "{err}"
        );
        assert!(err.contains("help: "), "{err}");
    }
}

#[test]
#[cfg(unix)]
fn a_name_is_looked_for_beside_the_command_and_on_the_path() {
    let scenario = "expectations/tcp/device_half_closes.json";
    let (code, _, err) = replay(&repository(), &["run", "--stack", "engine", scenario]);
    assert_eq!(code, 0, "beside: {err}");

    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("replay-stack-elsewhere");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_replay-stack-engine"), &program).unwrap();
    let ran = Command::new(env!("CARGO_BIN_EXE_replay"))
        .current_dir(repository())
        .env("PATH", folder.path())
        .args(["run", "--stack", "elsewhere", scenario])
        .output()
        .expect("the command starts");
    let err = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(0), "on the path: {err}");
}

#[test]
fn a_stack_that_is_not_there_is_named_with_what_to_do() {
    for (stack, what) in [
        ("nowhere", "there is no program replay-stack-nowhere"),
        ("exec:./nothing", "the stack cannot be started"),
        ("a/b", "`a/b` is no name of a stack"),
    ] {
        let (code, _, err) = replay(&repository(), &["run", "--stack", stack]);
        assert_eq!(code, 3, "{err}");
        assert!(err.contains(what) && err.contains("help: "), "{err}");
    }
}

/// A scenario with these lines against a program of tests/stacks; `None` where there is no python3.
#[cfg(unix)]
fn with_stack(name: &str, flow: &str, lines: &str, rest: &str) -> Option<(i32, Value, String)> {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no python3 here, so {name} is not tried");
        return None;
    }
    let root = tempfile::tempdir().expect("a folder");
    let scenario = format!(
        r#"{{ "schema": 1, "title": "lines", "flows": {{ "a": "{flow}" }}, "input": {{ "frames": [{lines}] }}, {rest} }}"#
    );
    std::fs::write(root.path().join("a.json"), scenario).expect("a file");
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stacks");
    let stack = format!("exec:{}", program.join(name).display());
    let arguments = ["run", "a.json", "--stack", &stack, "--format", "json"];
    let (code, out, err) = replay(root.path(), &arguments);
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("a report: {err}"));
    Some((code, report["scenarios"][0].clone(), err))
}

#[cfg(unix)]
const ECHO: &str = r#""dialer": { "rules": [ { "dial": { "result": "connected" }, "then": [ { "echo": 9 } ] } ] }"#;
#[cfg(unix)]
const UDP: &str = "udp 10.0.0.2:50000 > 198.51.100.7:9000";

#[test]
#[cfg(unix)]
fn a_stack_in_real_time_gets_the_time_that_a_scenario_takes() {
    let started = std::time::Instant::now();
    let lines = r#""0 < a udp 4", "~ > a udp 4", "0.6 < a udp 5", "0.6 > a udp 5""#;
    let Some((code, scenario, err)) = with_stack("in_real_time", UDP, lines, ECHO) else {
        return;
    };
    assert_eq!(code, 0, "{scenario:#}{err}");
    assert!(started.elapsed().as_millis() >= 600);
}

#[test]
#[cfg(unix)]
fn a_silence_at_the_end_is_cut_short_in_real_time() {
    let lines = r#""0 < a udp 4", "~ > a udp 4", "silence until 300""#;
    let Some((code, scenario, err)) = with_stack("in_real_time", UDP, lines, ECHO) else {
        return;
    };
    assert_eq!(code, 0, "{scenario:#}{err}");
    let took = scenario["figures"]["virtual_us"].as_u64();
    assert!(took.is_some_and(|took| took < 10_000_000), "{scenario:#}");
}

#[test]
#[cfg(unix)]
fn a_scenario_of_more_than_20_s_is_left_in_real_time() {
    let lines = r#""0 < a udp 4", "~ > a udp 4", "30 < a udp 5", "30 > a udp 5""#;
    let Some((code, scenario, err)) = with_stack("in_real_time", UDP, lines, ECHO) else {
        return;
    };
    assert_eq!(code, 4, "{scenario:#}{err}");
    assert_eq!(scenario["verdict"], "left");
}

#[test]
#[cfg(unix)]
fn a_second_connection_on_a_tuple_is_told_apart_before_it_is_dialed() {
    let lines = r#""0 < a S 0:0(0)", "0 > a S. 0:0(0) ack 1", "+.01 < a . 1:1(0) ack 1", "+.1 < a R 1:1(0)",
        "1 < a S 90000:90000(0)", "1 > a#2 S. 0:0(0) ack 90001", "+.01 < a#2 . 90001:90001(0) ack 1""#;
    let rest = r#""dialer": { "rules": [ {} ] }, "expect": { "dials": [ { "flow": "a" }, { "flow": "a#2" } ] }"#;
    let tcp = "tcp 10.0.0.2:40000 > 93.184.216.34:80";
    let Some((code, scenario, err)) = with_stack("accepts_first", tcp, lines, rest) else {
        return;
    };
    assert_eq!(code, 0, "{scenario:#}{err}");
}

#[test]
#[cfg(unix)]
fn a_timer_that_is_due_while_output_is_held_is_no_livelock() {
    let lines = r#""0 < a udp 4", "1 output held", "2 output taken", "+.1 < a udp 5""#;
    let Some((code, scenario, err)) = with_stack("wants_polls", UDP, lines, ECHO) else {
        return;
    };
    assert_eq!(code, 0, "{scenario:#}{err}");
}

#[test]
#[cfg(unix)]
fn the_example_in_python_passes_what_it_knows() {
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no python3 here, so the example is not tried");
        return;
    }
    let passing = [
        "icmp/ICMP-UNKNOWN.json",
        "udp/UDP-CSUM-OUT.json",
        "udp/UDP-CSUM-ZERO.json",
        "udp/UDP-RELAY.json",
    ];
    let names = passing.map(|name| format!("expectations/conformance/{name}"));
    let mut arguments = vec!["run", "--stack", "exec:docs/examples/replay-stack-python"];
    arguments.extend(names.iter().map(String::as_str));
    let (code, out, err) = replay(&repository(), &arguments);
    assert_eq!(code, 0, "{out}{err}");

    let tcp = "expectations/conformance/tcp-handshake/TCP-HS-SYNACK.json";
    let stack = "exec:docs/examples/replay-stack-python";
    let report = ["conformance", "--stack", stack, "--format", "json", tcp];
    let (code, out, _) = replay(&repository(), &report);
    assert_eq!(code, 1, "it knows no TCP");
    let report: Value = serde_json::from_str(&out).expect("a report");
    assert_eq!(report["stack"]["name"], "python");
}

#[test]
fn a_setting_that_a_stack_does_not_follow_makes_a_scenario_not_applicable() {
    let python = "exec:docs/examples/replay-stack-python";
    let ttl = "expectations/conformance/ipv4/IP4-TTL--setting.json";
    if Command::new("python3").arg("--version").output().is_err() {
        eprintln!("SKIPPED: there is no python3 here");
        return;
    }
    let report = ["conformance", "--stack", python, "--format", "json", ttl];
    let (_, out, _) = replay(&repository(), &report);
    let report: Value = serde_json::from_str(&out).expect("a report");
    let row = &report["requirements"][0];
    assert_eq!(row["verdict"], "not_applicable", "{row:#}");
    assert_eq!(row["reason"], "the stack has no setting `hop_limit`");
}
