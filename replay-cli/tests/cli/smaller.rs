//! `cut`, `scrub`, `minimize`, `import` in one journey, and `bundle`: what they write, and that they write all of it or nothing.

use std::path::Path;

use super::super::{Ran, folder, replay_in};

fn capture(name: &str) -> Vec<u8> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures");
    std::fs::read(root.join(name)).expect("a capture")
}

/// A folder like this repository, with one capture that is not in it yet.
fn repository() -> tempfile::TempDir {
    let index = "# Captures\n\n| capture | what it shows | file, link type | frames | bytes |\n|---|---|---|---:|---:|\n";
    folder(&[
        ("phone.pcapng", &capture("tcp/refused.pcapng")),
        ("captures/README.md", index.as_bytes()),
        ("expectations/.keep", b""),
    ])
}

const JOURNEY: [&str; 12] = [
    "import",
    "phone.pcapng",
    "--flow",
    "1",
    "--minimize",
    "--keep",
    "reset",
    "--scrub",
    "--key",
    "test",
    "-o",
    "expectations/field/refused.json",
];

fn files(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            if entry.path().is_dir() {
                folders.push(entry.path());
            } else {
                let path = entry.path();
                found.push(
                    path.strip_prefix(root)
                        .expect("below")
                        .display()
                        .to_string(),
                );
            }
        }
    }
    found.sort();
    found
}

#[test]
fn one_command_leads_from_a_capture_to_a_scenario_that_passes_as_it_did() {
    let root = repository();
    let Ran { code, out, err } = replay_in(root.path(), JOURNEY);
    assert_eq!(code, 0, "{out}{err}");
    assert!(
        out.contains("result: 2 packet(s)") || out.contains("result: 1 packet(s)"),
        "{out}"
    );
    let written = files(root.path());
    for name in [
        "captures/field/refused.md",
        "captures/field/refused.pcapng",
        "expectations/field/refused.json",
    ] {
        assert!(written.iter().any(|file| file == name), "{written:?}");
        assert!(err.contains(&format!("wrote {name}")), "{err}");
    }
    let scenario = std::fs::metadata(root.path().join("expectations/field/refused.json"));
    assert!(scenario.expect("it is there").len() < 2000);
    let index = std::fs::read_to_string(root.path().join("captures/README.md")).expect("an index");
    assert!(
        index.contains("| [field/refused](field/refused.md) | Refused | pcapng, ether |"),
        "{index}"
    );
    let ran = replay_in(root.path(), ["run", "expectations"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
}

#[test]
fn a_journey_that_cannot_end_leaves_nothing() {
    let root = repository();
    // Where the capture would go there is a file.
    std::fs::write(root.path().join("captures/field"), "").expect("a file");
    let before = files(root.path());
    let Ran { code, err, .. } = replay_in(root.path(), JOURNEY);
    assert_eq!((code, files(root.path())), (2, before), "{err}");
    let index = std::fs::read_to_string(root.path().join("captures/README.md")).expect("an index");
    assert!(!index.contains("refused"));
}

#[test]
fn a_bundle_runs_anywhere_and_takes_no_capture_that_was_not_scrubbed() {
    let root = repository();
    std::fs::create_dir_all(root.path().join("captures/tcp")).expect("a folder");
    std::fs::copy(
        root.path().join("phone.pcapng"),
        root.path().join("captures/tcp/raw.pcapng"),
    )
    .expect("a copy");
    replay_in(
        root.path(),
        [
            "import",
            "captures/tcp/raw.pcapng",
            "-o",
            "expectations/tcp/raw.json",
        ],
    );
    let refused = replay_in(
        root.path(),
        ["bundle", "expectations/tcp/raw.json", "-o", "raw.zip"],
    );
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("was not scrubbed") && !root.path().join("raw.zip").exists());
    replay_in(root.path(), JOURNEY);
    let bundled = replay_in(
        root.path(),
        ["bundle", "expectations/field/refused.json", "-o", "bug.zip"],
    );
    assert_eq!(bundled.code, 0, "{}", bundled.err);
    for part in [
        "captures/refused.pcapng",
        "report.txt",
        "trace/refused.pcapng",
        "versions.json",
    ] {
        assert!(
            bundled.err.contains(&format!("packed {part}")),
            "{}",
            bundled.err
        );
    }
    let elsewhere = folder(&[]);
    std::fs::copy(
        root.path().join("bug.zip"),
        elsewhere.path().join("bug.zip"),
    )
    .expect("a copy");
    let ran = replay_in(elsewhere.path(), ["run", "bug.zip"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("1 passed"), "{}", ran.out);
    std::fs::write(elsewhere.path().join("no.zip"), "PK nothing").expect("a file");
    assert_eq!(replay_in(elsewhere.path(), ["run", "no.zip"]).code, 3);
}

#[test]
fn bad_input_leaves_no_file() {
    let mut damaged = capture("tcp/refused.pcapng");
    damaged.truncate(damaged.len() - 7);
    let root = folder(&[
        ("damaged.pcapng", &damaged),
        ("good.pcapng", &capture("tcp/refused.pcapng")),
        ("taken", b""),
    ]);
    let cases: [(&[&str], i32); 8] = [
        (&["cut", "damaged.pcapng", "-o", "out.pcapng"], 3),
        (
            &["cut", "good.pcapng", "-o", "out.pcapng", "--flow", "9"],
            4,
        ),
        (&["cut", "good.pcapng", "-o", "taken/out.pcapng"], 2),
        (&["scrub", "damaged.pcapng", "-o", "out.pcapng"], 3),
        (&["scrub", "good.pcapng", "-o", "taken/out.pcapng"], 2),
        (&["minimize", "damaged.pcapng", "-o", "out.json"], 3),
        // It passes: there is no failure to keep.
        (&["minimize", "good.pcapng", "-o", "out.json"], 4),
        (
            &[
                "minimize",
                "good.pcapng",
                "-o",
                "taken/out.json",
                "--keep",
                "reset",
            ],
            2,
        ),
    ];
    let before = files(root.path());
    for (arguments, code) in cases {
        let ran = replay_in(root.path(), arguments);
        assert_eq!(
            (ran.code, files(root.path())),
            (code, before.clone()),
            "{arguments:?}: {}",
            ran.err
        );
    }
}

#[test]
fn a_scenario_that_import_made_is_scrubbed_with_its_capture() {
    let root = folder(&[("captures/get.pcapng", &capture("http/name_then_get.pcapng"))]);
    replay_in(
        root.path(),
        [
            "import",
            "captures/get.pcapng",
            "-o",
            "expectations/get.json",
        ],
    );
    let ran = replay_in(
        root.path(),
        [
            "scrub",
            "expectations/get.json",
            "-o",
            "expectations/clean.json",
            "--key",
            "k",
        ],
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let clean =
        std::fs::read_to_string(root.path().join("expectations/clean.json")).expect("a scenario");
    assert!(
        !clean.contains("www.") && !clean.contains("198.51.100.10"),
        "{clean}"
    );
    let ran = replay_in(root.path(), ["run", "expectations/clean.json"]);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let by_hand = folder(&[(
        "a.json",
        br#"{"schema":1,"title":"a","input":{"frames":["+1h sleep"]}}"#,
    )]);
    let ran = replay_in(by_hand.path(), ["scrub", "a.json", "-o", "b.json"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
}
