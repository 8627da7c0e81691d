//! Which scenarios a run means.

use crate::{folder, replay_in};

const FILES: [(&str, &[u8]); 3] = [
    ("expectations/tcp/b.json", b"{}"),
    ("expectations/tcp/a.pkt", b""),
    (
        "expectations/stress/c.json",
        br#"{ "schema": 1, "kind": "stress" }"#,
    ),
];

#[test]
fn scenarios_are_listed_by_name() {
    let root = folder(&FILES);
    let ran = replay_in(root.path(), ["run", "--list"]);
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (0, "stress/c\ntcp/a.pkt\ntcp/b\n", "")
    );
}

#[test]
fn expectations_are_found_upward() {
    let root = folder(&FILES);
    let ran = replay_in(&root.path().join("expectations/tcp"), ["run", "--list"]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 3));
}

#[test]
fn a_list_for_programs_has_paths_and_kinds() {
    let root = folder(&FILES);
    let ran = replay_in(
        root.path(),
        ["run", "--list", "--format", "json", "expectations/tcp"],
    );
    let listed: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let expected = serde_json::json!({ "schema": 1, "scenarios": [
        { "name": "tcp/a.pkt", "path": "expectations/tcp/a.pkt", "kind": "packetdrill" },
        { "name": "tcp/b", "path": "expectations/tcp/b.json", "kind": "scenario" },
    ]});
    assert_eq!(listed, expected);
}

#[test]
fn an_empty_folder_beside_a_full_one_is_not_forgotten() {
    let root = folder(&[FILES[0], ("empty/readme.md", b"")]);
    let ran = replay_in(root.path(), ["run", "--list", "expectations", "empty"]);
    assert_eq!((ran.code, ran.out.as_str()), (4, "tcp/b\n"));
    assert_eq!(ran.err, "nothing selected: empty holds no scenario\n");
}
