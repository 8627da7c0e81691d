//! What a scenario may read, and what of it a report shows.

use std::path::Path;

use crate::{Ran, command, folder, replay_in};

/// A scenario that sends what a file has, and expects another stream.
fn sends(file: &str) -> String {
    format!(
        r#"{{
  "schema": 1,
  "title": "a far side sends a file",
  "flows": {{ "get": "tcp 10.0.0.2:40000 > 93.184.216.34:80" }},
  "input": {{
    "frames": ["0 < get S 0:0(0) win 65535 <mss 1460>", "0.01 < get . 1:1(0) ack 1 win 65535"]
  }},
  "dialer": {{ "rules": [ {{
    "dial": {{ "result": "connected" }},
    "then": [ {{ "send": {{ "file": "{file}" }} }} ]
  }} ] }},
  "expect": {{ "streams": {{ "get": {{ "downstream": {{ "bytes": 1 }} }} }} }}
}}
"#
    )
}

/// A scenario that replays a capture.
fn replays(capture: &str) -> String {
    format!(
        r#"{{
  "schema": 1,
  "title": "a capture is replayed",
  "input": {{ "capture": "{capture}" }}
}}
"#
    )
}

fn get_capture() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures/http/get.pcapng");
    std::fs::read(path).expect("a capture")
}

const SECRET: &[u8] = b"a secret of 18 byt";

/// Refused at this place of a/expectations/s.json, with these words, and without a word of what the file has.
fn refused(ran: &Ran, place: &str, what: &str) {
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    let message = format!("error: expectations/s.json:{place}: {what}");
    assert!(ran.out.contains(&message), "{}", ran.out);
    assert!(!ran.out.contains("a secret"), "{}", ran.out);
}

#[test]
fn a_file_outside_of_the_tree_is_refused_with_its_place() {
    let root = folder(&[("secret", SECRET), ("a/sub/x", b"")]);
    let outside = root.path().join("secret");
    for name in ["../../secret", "./../../secret", outside.to_str().unwrap()] {
        let root = folder(&[
            ("secret", SECRET),
            ("a/expectations/s.json", sends(name).as_bytes()),
        ]);
        let ran = replay_in(&root.path().join("a"), ["run"]);
        let what = format!("`{name}` is outside of the scenario's tree");
        refused(&ran, "10:35", &what);
        assert!(ran.out.contains("--allow-outside"), "{}", ran.out);
    }
}

#[test]
fn a_file_of_the_tree_is_read_from_any_depth() {
    let root = folder(&[
        ("expectations/data/x", SECRET),
        ("expectations/a/b/s.json", sends("../../data/x").as_bytes()),
    ]);
    let ran = replay_in(root.path(), ["run"]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("has 18 bytes"), "{}", ran.out);
}

#[test]
fn a_scenario_outside_of_expectations_has_its_own_folder() {
    let root = folder(&[
        ("secret", SECRET),
        ("own/x", SECRET),
        ("own/inside.json", sends("./x").as_bytes()),
        ("own/outside.json", sends("../secret").as_bytes()),
    ]);
    assert_eq!(replay_in(root.path(), ["run", "own/inside.json"]).code, 1);
    let ran = replay_in(root.path(), ["run", "own/outside.json"]);
    assert_eq!(ran.code, 3, "{}", ran.out);
}

#[test]
fn what_is_outside_is_read_when_that_is_allowed() {
    let root = folder(&[
        ("secret", SECRET),
        ("a/expectations/s.json", sends("../../secret").as_bytes()),
    ]);
    let ran = replay_in(&root.path().join("a"), ["run", "--allow-outside"]);
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("has 18 bytes"), "{}", ran.out);
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_outside_is_outside() {
    let root = folder(&[
        ("secret", SECRET),
        ("a/expectations/s.json", sends("./link").as_bytes()),
    ]);
    let link = root.path().join("a/expectations/link");
    std::os::unix::fs::symlink(root.path().join("secret"), link).unwrap();
    let ran = replay_in(&root.path().join("a"), ["run"]);
    refused(&ran, "10:35", "`./link` is outside of the scenario's tree");
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused_without_waiting() {
    let root = folder(&[
        ("expectations/s.json", sends("./pipe").as_bytes()),
        ("expectations/folder/x", b""),
    ]);
    let pipe = root.path().join("expectations/pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let scenario = root.path().join("expectations/s.json");
    for (name, kind) in [("./pipe", "a pipe"), ("./folder", "a folder")] {
        std::fs::write(&scenario, sends(name)).unwrap();
        let ran = replay_in(root.path(), ["run"]);
        refused(&ran, "10:35", &format!("`{name}` is {kind}, not a file"));
    }
    std::fs::write(&scenario, sends("/dev/zero")).unwrap();
    let ran = replay_in(root.path(), ["run", "--allow-outside"]);
    refused(&ran, "10:35", "`/dev/zero` is a device, not a file");
    std::fs::write(&scenario, replays("./pipe")).unwrap();
    let ran = replay_in(root.path(), ["run"]);
    refused(&ran, "4:25", "capture `./pipe` is a pipe");
    // As a scenario itself.
    let script = root.path().join("expectations/pipe.json");
    std::fs::rename(&pipe, &script).unwrap();
    let ran = replay_in(root.path(), ["run", "expectations/pipe.json"]);
    assert_eq!(ran.code, 3, "{}", ran.out);
    assert!(
        ran.out.contains("this is a pipe, not a scenario"),
        "{}",
        ran.out
    );
}

#[test]
fn a_file_has_at_most_64_mib() {
    let root = folder(&[("expectations/s.json", sends("./large").as_bytes())]);
    let large = std::fs::File::create(root.path().join("expectations/large")).unwrap();
    large.set_len((64 << 20) + 1).unwrap();
    let ran = replay_in(root.path(), ["run"]);
    refused(&ran, "10:35", "`./large` has more than 67108864 bytes");
}

#[test]
fn a_capture_outside_of_the_tree_is_refused_with_its_place() {
    let root = folder(&[
        ("secret.pcapng", &get_capture()),
        ("a/captures/in.pcapng", &get_capture()),
        ("a/expectations/s.json", b""),
    ]);
    let at = root.path().join("a");
    let scenario = at.join("expectations/s.json");
    for name in ["../../secret.pcapng", "../secret.pcapng", "/etc/passwd"] {
        std::fs::write(&scenario, replays(name)).unwrap();
        let ran = replay_in(&at, ["run", "expectations/s.json"]);
        let what = format!("`{name}` is outside of the scenario's tree");
        refused(&ran, "4:25", &what);
    }
    for name in ["in.pcapng", "../captures/in.pcapng"] {
        std::fs::write(&scenario, replays(name)).unwrap();
        let ran = replay_in(&at, ["run", "expectations/s.json"]);
        assert_ne!(ran.code, 3, "{}{}", ran.out, ran.err);
    }
    std::fs::write(&scenario, replays("../../secret.pcapng")).unwrap();
    for flags in [&["--allow-outside"][..], &["--captures", ".."]] {
        let ran = replay_in(&at, [&["run", "expectations/s.json"][..], flags].concat());
        assert_ne!(ran.code, 3, "{}{}", ran.out, ran.err);
    }
}

#[test]
fn payload_is_shown_on_demand_only_in_every_report() {
    let root = folder(&[
        ("expectations/x", SECRET),
        ("expectations/s.json", sends("./x").as_bytes()),
    ]);
    for format in ["human", "json"] {
        for shown in [false, true] {
            let mut run = command(root.path());
            run.args(["run", "--junit", "junit.xml", "--format", format]);
            if shown {
                run.arg("--show-payload");
            }
            let ran = run.output().unwrap();
            assert_eq!(ran.status.code(), Some(1));
            let out = String::from_utf8(ran.stdout).unwrap();
            let xml = std::fs::read_to_string(root.path().join("junit.xml")).unwrap();
            for report in [&out, &xml] {
                assert_eq!(report.contains("secret"), shown, "{report}");
                assert!(report.contains("18 bytes, sha256 "), "{report}");
            }
        }
    }
}

#[test]
fn payload_of_a_packet_is_shown_on_demand_only() {
    let scenario = sends("./x").replace(
        r#""expect": { "streams": { "get": { "downstream": { "bytes": 1 } } } }"#,
        r#""expect": { "packets": ["~ > get S.", "~ > get P. 1:19(18) ack 1 text:'other bytes, other'"] }"#,
    );
    let root = folder(&[
        ("expectations/x", SECRET),
        ("expectations/s.json", scenario.as_bytes()),
    ]);
    let hidden = replay_in(root.path(), ["run"]);
    let bytes: String = SECRET[..8].iter().map(|b| format!("{b:02x}")).collect();
    assert!(
        hidden.out.contains("got others from byte 0 on"),
        "{}",
        hidden.out
    );
    assert!(!hidden.out.contains(&bytes), "{}", hidden.out);
    let shown = replay_in(root.path(), ["run", "--show-payload"]);
    assert!(shown.out.contains(&bytes), "{}", shown.out);
}
