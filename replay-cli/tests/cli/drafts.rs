//! Drafts on their way: recorded, reviewed, blessed; and what is left lying.

use std::path::Path;

use crate::{Ran, command, empty_capture, folder, replay_in};

/// A dial that is refused: what is expected of it is wrong by a number, an ending and a packet.
const WRONG: &str = r#"{
  "schema": 1,
  "title": "a refused dial is a reset",
  "covers": ["OWN-1"],
  "flows": { "get": "tcp 10.0.0.2:40000 > 93.184.216.34:80" },
  "input": { "frames": ["0 < get S 0:0(0) win 65535 <mss 1460>"], "families": [4, 6] },
  "dialer": {
    "rules": [ { "dial": { "result": "refused", "after": "30ms" } } ]
  },
  "expect": {
    "dials": [ { "flow": "get" } ],
    "packets": ["~ > get S."],
    "closes": [ { "flow": "get", "by": "device", "how": "refused", "at": { "max": "20ms" } } ],
    "counters": { "tcp_dial_fail": 7, "frames_out": { "min": 1 } }
  }
}
"#;

/// The same, as it is.
const RIGHT: &str = r#"{
  "schema": 1,
  "title": "a refused dial is a reset",
  "covers": ["OWN-1"],
  "flows": { "get": "tcp 10.0.0.2:40000 > 93.184.216.34:80" },
  "input": { "frames": ["0 < get S 0:0(0) win 65535 <mss 1460>"], "families": [4, 6] },
  "dialer": {
    "rules": [ { "dial": { "result": "refused", "after": "30ms" } } ]
  },
  "expect": {
    "dials": [ { "flow": "get" } ],
    "packets": ["~ > get R."],
    "closes": [ { "flow": "get", "by": "remote", "how": "refused", "at": { "max": "30ms" } } ],
    "counters": { "tcp_dial_fail": 1, "frames_out": { "min": 1 } }
  }
}
"#;

const GOLDEN: &str = "expectations/a.json";
const DRAFT: &str = "expectations/a.json.new";

fn text(root: &Path, name: &str) -> String {
    std::fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A folder with a draft of the wrong scenario.
fn drafted() -> tempfile::TempDir {
    let root = folder(&[(GOLDEN, WRONG.as_bytes())]);
    assert_eq!(replay_in(root.path(), ["record"]).code, 5);
    root
}

#[test]
fn a_draft_is_the_golden_as_the_run_has_it_and_one_line_more() {
    let root = folder(&[(GOLDEN, WRONG.as_bytes())]);
    let ran = replay_in(root.path(), ["record"]);
    assert_eq!((ran.code, ran.err.as_str()), (5, ""));
    assert_eq!(
        ran.out,
        "DRAFT expectations/a.json.new\n1 scenario: 1 draft, 0 as expected\n\
         look at what they change: `replay review`\n"
    );
    assert_eq!(text(root.path(), GOLDEN), WRONG);
    let draft = text(root.path(), DRAFT);
    let golden: Vec<&str> = draft
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("  \"draft\": "))
        .collect();
    assert_eq!(golden.concat(), RIGHT);
}

#[test]
fn a_blessed_draft_takes_its_goldens_place() {
    let root = drafted();
    let ran = replay_in(root.path(), ["bless", DRAFT]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "took expectations/a.json\n")
    );
    assert_eq!(text(root.path(), GOLDEN), RIGHT);
    let names: Vec<_> = std::fs::read_dir(root.path().join("expectations"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(names, ["a.json"]);
    assert_eq!(replay_in(root.path(), ["run"]).code, 0);
}

#[test]
fn a_run_as_expected_drafts_nothing_and_takes_an_old_draft_away() {
    let root = drafted();
    std::fs::write(root.path().join(GOLDEN), RIGHT).unwrap();
    let ran = replay_in(root.path(), ["record", GOLDEN]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "1 scenario: 0 drafts, 1 as expected\n")
    );
    assert!(!root.path().join(DRAFT).exists());
}

#[test]
fn only_what_is_named_is_renewed_or_added() {
    let root = folder(&[(GOLDEN, WRONG.as_bytes())]);
    let only = "counters,half_closes";
    let ran = replay_in(root.path(), ["record", GOLDEN, "--only", only]);
    assert_eq!(ran.code, 5, "{}", ran.err);
    assert!(ran.out.contains("(wrong-close, t=0.03s)\n"), "{}", ran.out);
    let draft = text(root.path(), DRAFT);
    let kept = [
        r#""~ > get S.""#,
        r#""by": "device""#,
        r#"{ "max": "20ms" }"#,
    ];
    for part in kept
        .iter()
        .chain(&[r#""tcp_dial_fail": 1"#, r#""half_closes": []"#])
    {
        assert!(draft.contains(part), "{part} is missing in {draft}");
    }
}

#[test]
fn a_mistyped_kind_is_a_usage_error_with_the_near_word() {
    let root = folder(&[(GOLDEN, WRONG.as_bytes())]);
    let ran = replay_in(root.path(), ["record", "--only", "dials,strems"]);
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("did you mean `streams`?"), "{}", ran.err);
}

#[test]
fn patterns_name_scenarios_and_match_something() {
    let root = folder(&[
        ("expectations/x/a.json", WRONG.as_bytes()),
        ("expectations/y/b.json", WRONG.as_bytes()),
        ("expectations/x/a.md", b""),
    ]);
    let ran = replay_in(root.path(), ["record", "expectations/*/a*"]);
    assert!(
        ran.out
            .starts_with("DRAFT expectations/x/a.json.new\n1 scenario: "),
        "{}",
        ran.out
    );
    let ran = replay_in(root.path(), ["record", "expectations/*/c*"]);
    assert_eq!(
        (ran.code, ran.err.lines().next()),
        (
            3,
            Some("error: expectations/*/c*: nothing matches this pattern")
        )
    );
}

#[test]
fn a_known_deviation_is_left_as_it_states_the_requirement() {
    let deviation = r#""deviation": { "fails": ["wrong-close"], "why": "so" },"#;
    let known = WRONG.replace("\"flows\"", &[deviation, " \"flows\""].concat());
    let root = folder(&[(GOLDEN, known.as_bytes())]);
    let ran = replay_in(root.path(), ["record", GOLDEN]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (4, "1 scenario: 0 drafts, 0 as expected, 1 left\n")
    );
    assert!(
        ran.err
            .contains("it states what is required, not what is done"),
        "{}",
        ran.err
    );
    assert!(!root.path().join(DRAFT).exists());
}

#[test]
fn what_must_never_come_is_not_recorded_away() {
    let never = r#""never": [ { "flags": "R" } ], "closes""#;
    let promised = WRONG.replace("\"closes\"", never);
    let root = folder(&[(GOLDEN, promised.as_bytes())]);
    let ran = replay_in(root.path(), ["record"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(
        ran.out
            .contains("a packet came that must never come (forbidden-packet"),
        "{}",
        ran.out
    );
    assert!(!root.path().join(DRAFT).exists());
}

#[test]
fn lines_of_the_input_that_are_not_met_give_no_draft() {
    let line = "<mss 1460>\", \"+1 > get S. 0:0(0)\"";
    let astray = WRONG.replace("<mss 1460>\"", line);
    let root = folder(&[(GOLDEN, astray.as_bytes())]);
    let ran = replay_in(root.path(), ["record"]);
    assert_eq!(ran.code, 1, "{}", ran.out);
    assert!(
        ran.out
            .starts_with("REFUSED expectations/a.json: the lines of `input` are not met"),
        "{}",
        ran.out
    );
    assert!(!root.path().join(DRAFT).exists());
}

#[test]
fn without_a_terminal_review_prints_what_changes_and_the_commands() {
    let root = drafted();
    let ran = replay_in(root.path(), ["review"]);
    assert_eq!((ran.code, ran.err.as_str()), (5, ""));
    assert_eq!(
        ran.out,
        "expectations/a.json.new  (a refused dial is a reset)\n\
         \x20 packets\n\
         \x20   - ~ > get S.\n\
         \x20   + ~ > get R.\n\
         \x20 closes\n\
         \x20   - get by device, refused at at most 20ms\n\
         \x20   + get by remote, refused at at most 30ms\n\
         \x20 counters\n\
         \x20   - tcp_dial_fail 7\n\
         \x20   + tcp_dial_fail 1\n\
         \x20     frames_out at least 1\n\
         \x20 accept: replay bless expectations/a.json.new\n\
         \x20 reject: replay bless --reject expectations/a.json.new\n\
         \n\
         1 draft waits for review; to accept all below expectations/: replay bless --all\n"
    );
}

#[test]
fn nothing_to_review_is_success_and_said() {
    let root = folder(&[(GOLDEN, RIGHT.as_bytes())]);
    let ran = replay_in(root.path(), ["review"]);
    assert_eq!(
        (ran.code, ran.err.as_str()),
        (0, "nothing to review: no draft waits\n")
    );
    assert_eq!(replay_in(root.path(), ["bless", "--all"]).code, 4);
}

#[test]
fn a_rejected_draft_is_gone_and_its_golden_is_as_before() {
    let root = drafted();
    let ran = replay_in(root.path(), ["bless", "--reject", GOLDEN]);
    assert_eq!(
        (ran.code, ran.out.as_str()),
        (0, "rejected expectations/a.json.new\n")
    );
    assert!(!root.path().join(DRAFT).exists());
    assert_eq!(text(root.path(), GOLDEN), WRONG);
}

#[test]
fn to_bless_needs_to_be_told_what() {
    let root = drafted();
    assert_eq!(replay_in(root.path(), ["bless"]).code, 2);
    assert_eq!(text(root.path(), GOLDEN), WRONG);
}

/// What a draft that cannot be taken comes to; the golden stays as it is.
fn refused(root: &Path, message: &str) {
    let before = text(root, GOLDEN);
    let ran = replay_in(root, ["bless", DRAFT]);
    let first = ran.err.lines().next().unwrap_or_default();
    assert_eq!((ran.code, first), (3, message), "{}", ran.err);
    assert_eq!(text(root, GOLDEN), before);
    assert_eq!(replay_in(root, ["review"]).code, 3);
}

#[test]
fn a_draft_of_a_golden_that_has_changed_is_stale() {
    let root = drafted();
    let changed = WRONG.replace("\"at\": { \"max\": \"20ms\" }", "\"at\": \"30ms\"");
    std::fs::write(root.path().join(GOLDEN), changed).unwrap();
    refused(
        root.path(),
        "error: expectations/a.json.new: a stale draft: expectations/a.json has changed since it was recorded",
    );
}

#[test]
fn a_damaged_draft_is_not_taken() {
    let root = drafted();
    let draft = root.path().join(DRAFT);
    let sound = text(root.path(), DRAFT);
    let (half, _) = sound.split_at(sound.len() / 2);
    std::fs::write(&draft, half).unwrap();
    refused(
        root.path(),
        "error: expectations/a.json.new: a damaged draft: it is no scenario",
    );
    std::fs::write(&draft, sound.replace("a refused dial", "another dial")).unwrap();
    refused(
        root.path(),
        "error: expectations/a.json.new: a damaged draft: more than `expect` is changed",
    );
    std::fs::write(&draft, RIGHT).unwrap();
    refused(
        root.path(),
        "error: expectations/a.json.new:2:1: a damaged draft: it does not say what it is a draft of",
    );
    std::fs::write(&draft, [0xff, 0, 0x80, 0xfe]).unwrap();
    refused(
        root.path(),
        "error: expectations/a.json.new:1:1: this is not UTF-8 text",
    );
    std::fs::write(&draft, "").unwrap();
    refused(
        root.path(),
        "error: expectations/a.json.new:2:1: a damaged draft: it does not say what it is a draft of",
    );
}

#[test]
fn one_draft_that_cannot_be_taken_keeps_the_others_waiting() {
    let root = folder(&[
        (GOLDEN, WRONG.as_bytes()),
        ("expectations/b.json", WRONG.as_bytes()),
    ]);
    assert_eq!(replay_in(root.path(), ["record"]).code, 5);
    std::fs::write(root.path().join("expectations/b.json"), RIGHT).unwrap();
    let ran = replay_in(root.path(), ["bless", "--all"]);
    assert_eq!((ran.code, ran.out.as_str()), (3, ""));
    assert!(
        ran.err
            .starts_with("no draft is taken, because not all can be:\n"),
        "{}",
        ran.err
    );
    assert_eq!(text(root.path(), GOLDEN), WRONG);
}

#[test]
fn every_bad_path_of_drafts_is_reported() {
    let root = folder(&[(GOLDEN, RIGHT.as_bytes())]);
    for command in ["bless", "review"] {
        let ran = replay_in(root.path(), [command, GOLDEN, "gone.json", "gone.json.new"]);
        assert_eq!(ran.code, 3, "{command}");
        let what: Vec<&str> = ran
            .err
            .lines()
            .filter(|line| line.starts_with("error: "))
            .collect();
        assert_eq!(
            what,
            [
                "error: expectations/a.json: no draft waits beside it",
                "error: gone.json: no such file or folder",
                "error: gone.json.new: no such draft",
            ]
        );
    }
}

#[test]
fn a_draft_that_cannot_be_written_is_a_usage_error() {
    let root = folder(&[
        (GOLDEN, WRONG.as_bytes()),
        ("expectations/a.json.new/in_the_way", b""),
    ]);
    let ran = replay_in(root.path(), ["record", GOLDEN]);
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(
        ran.err
            .starts_with("error: expectations/a.json.new: this is a folder, not a file\n"),
        "{}",
        ran.err
    );
    let names = std::fs::read_dir(root.path().join("expectations")).unwrap();
    assert_eq!(names.count(), 2, "nothing is left beside");
}

#[test]
fn continuous_integration_writes_nothing() {
    let root = drafted();
    let draft = text(root.path(), DRAFT);
    for arguments in [
        ["record", GOLDEN].as_slice(),
        &["bless", DRAFT],
        &["bless", "--reject", "--all"],
    ] {
        let output = command(root.path())
            .env("CI", "true")
            .args(arguments)
            .output()
            .expect("the command starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(
            said.contains("writes nothing in continuous integration"),
            "{said}"
        );
    }
    assert_eq!(text(root.path(), GOLDEN), WRONG);
    assert_eq!(text(root.path(), DRAFT), draft);
}

#[test]
fn a_run_of_a_folder_reports_drafts_that_wait() {
    let root = drafted();
    std::fs::write(root.path().join(GOLDEN), RIGHT).unwrap();
    let ran = replay_in(root.path(), ["run", "expectations"]);
    assert_eq!(ran.code, 5);
    assert_eq!(
        ran.err,
        "draft: expectations/a.json.new waits for review\n  help: look at drafts with `replay review`\n"
    );
    // A failure is worse than a draft that may mend it; a file that is named is about itself.
    std::fs::write(root.path().join(GOLDEN), WRONG).unwrap();
    assert_eq!(replay_in(root.path(), ["run"]).code, 1);
    std::fs::write(root.path().join(GOLDEN), RIGHT).unwrap();
    assert_eq!(replay_in(root.path(), ["run", GOLDEN]).code, 0);
}

#[test]
fn a_run_of_a_folder_reports_orphaned_files() {
    let root = folder(&[
        (GOLDEN, RIGHT.as_bytes()),
        ("expectations/gone.json.new", b"{}"),
        ("captures/x/alone.pcap", &empty_capture()),
        ("captures/x/excused.pcap", &empty_capture()),
        (
            "captures/without_scenario.txt",
            b"# why\nx/excused it has no packet\n",
        ),
    ]);
    let Ran { code, out, err } = replay_in(root.path(), ["run", "--format", "json"]);
    assert_eq!(code, 5, "{err}");
    let lines: Vec<&str> = err.lines().collect();
    assert_eq!(
        lines[..2],
        [
            "stray: captures/x/alone.pcap is a capture without a scenario",
            "stray: expectations/gone.json.new is a draft without a scenario",
        ]
    );
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["drafts"], serde_json::json!([]));
    assert_eq!(
        report["strays"][1],
        serde_json::json!({ "path": "expectations/gone.json.new", "why": "a draft without a scenario" })
    );
    let ran = replay_in(root.path(), ["bless", "expectations/gone.json.new"]);
    assert_eq!(
        (ran.code, ran.err.lines().next()),
        (
            3,
            Some(
                "error: expectations/gone.json.new: a stray draft: there is no expectations/gone.json"
            )
        )
    );
    assert_eq!(
        replay_in(root.path(), ["bless", "--all", "--reject"]).code,
        0
    );
}
