//! Files that are missing, of another sort, or damaged: exit code 3 and one message that says what to do.

use crate::{Ran, datagram_capture, empty_capture, folder, ping_capture, replay_in};

const READERS: [&str; 3] = ["try", "import", "inspect"];

/// Bytes without a pattern, the same at every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..length).map(|_| next()).collect()
}

/// Every command that reads captures refuses the file with this message and prints no result.
fn refused(name: &str, content: Option<&[u8]>, message: &str) {
    let files: Vec<_> = content.map(|content| (name, content)).into_iter().collect();
    let root = folder(&files);
    for reader in READERS {
        let Ran { code, out, err } = replay_in(root.path(), [reader, name]);
        assert_eq!(
            (code, out.as_str(), err.as_str()),
            (3, "", message),
            "{reader}"
        );
    }
}

#[test]
fn a_missing_file_is_named() {
    refused(
        "gone.pcap",
        None,
        "error: gone.pcap: no such file\n  help: check the path; a relative one starts at the current directory\n",
    );
}

#[test]
fn an_empty_file_is_no_capture() {
    refused(
        "a.pcap",
        Some(b""),
        "error: a.pcap: empty: 0 bytes, not even a capture header\n  help: record it again\n",
    );
}

#[test]
fn a_text_file_is_shown_by_its_first_bytes() {
    refused(
        "notes.txt",
        Some(b"hello, world"),
        "error: notes.txt: not a pcap, pcapng, snoop or ERF file, packed or not: it begins with 68 65 6c 6c 6f 2c 20 77\n  \
         help: check that this is the file meant, or convert it to pcapng\n",
    );
}

#[test]
fn noise_is_refused() {
    let noise = noise(4096);
    let root = folder(&[("noise", &noise)]);
    for reader in READERS {
        let ran = replay_in(root.path(), [reader, "noise"]);
        assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{reader}");
        assert!(
            ran.err.starts_with(
                "error: noise: not a pcap, pcapng, snoop or ERF file, packed or not: "
            ),
            "{}",
            ran.err
        );
    }
}

#[test]
fn a_folder_is_no_capture() {
    let root = folder(&[("dir/a.txt", b"")]);
    for reader in READERS {
        let ran = replay_in(root.path(), [reader, "dir"]);
        let message =
            "error: dir: this is a folder, not a capture\n  help: name one capture file in it\n";
        assert_eq!(
            (ran.code, ran.out.as_str(), ran.err.as_str()),
            (3, "", message),
            "{reader}"
        );
    }
}

#[test]
fn a_damaged_capture_is_reported_up_to_the_damage() {
    let mut damaged = datagram_capture();
    damaged.extend([1, 0, 0]);
    let root = folder(&[("cut.pcap", &damaged)]);
    for reader in READERS {
        let ran = replay_in(root.path(), [reader, "cut.pcap"]);
        assert_eq!(ran.code, 3, "{reader}: {}", ran.err);
        assert!(!ran.out.is_empty(), "{reader}");
        assert!(
            ran.err
                .contains("error: cut.pcap: damaged at byte 73, after frame 1: "),
            "{reader}: {}",
            ran.err
        );
    }
}

#[test]
fn a_damaged_capture_is_said_in_json_too() {
    let mut damaged = ping_capture();
    damaged.extend([1, 0, 0]);
    let root = folder(&[("cut.pcap", &damaged)]);
    for reader in ["try", "inspect"] {
        let ran = replay_in(root.path(), [reader, "cut.pcap", "--format", "json"]);
        let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!((ran.code, &report["schema"]), (3, &1.into()), "{reader}");
        assert_eq!(report["damage"]["place"]["path"], "cut.pcap", "{reader}");
    }
}

#[test]
fn a_capture_given_as_a_scenario_says_how_to_replay_it() {
    let root = folder(&[("a.pcap", &empty_capture())]);
    let ran = replay_in(root.path(), ["run", "a.pcap"]);
    let message =
        "error: a.pcap: this is a capture, not a scenario\n  help: replay it with `replay try`\n";
    assert_eq!(
        (ran.code, ran.out.as_str(), ran.err.as_str()),
        (3, "", message)
    );
}

#[test]
fn every_bad_path_of_a_run_is_reported() {
    let root = folder(&[("a.txt", b"")]);
    let ran = replay_in(root.path(), ["run", "gone.json", "a.txt"]);
    assert_eq!(
        (ran.code, ran.err.matches("error: ").count()),
        (3, 2),
        "{}",
        ran.err
    );
}

#[test]
fn a_folder_of_captures_that_is_none_is_refused() {
    let root = folder(&[("expectations/a.json", b"{}"), ("file", b"")]);
    let ran = replay_in(root.path(), ["run", "--captures", "gone"]);
    assert_eq!(
        (ran.code, ran.err.lines().next()),
        (3, Some("error: gone: no such folder"))
    );
    let ran = replay_in(root.path(), ["run", "--captures", "file"]);
    assert_eq!(
        (ran.code, ran.err.lines().next()),
        (3, Some("error: file: this is a file, not a folder"))
    );
}

#[test]
fn an_existing_scenario_is_not_overwritten_by_import() {
    let root = folder(&[("a.pcap", &ping_capture()), ("a.json", b"mine")]);
    let ran = replay_in(root.path(), ["import", "a.pcap", "-o", "a.json"]);
    let message =
        "error: a.json: the file exists\n  help: name another file, or overwrite it with --force\n";
    assert_eq!((ran.code, ran.err.as_str()), (2, message));
    assert_eq!(std::fs::read(root.path().join("a.json")).unwrap(), b"mine");
}

/// What is wrong with scenario files in every way that a file can be: a place, a message and exit code 3, never a crash.
#[test]
fn a_damaged_scenario_is_refused_with_its_place() {
    let whole = r#"{
  "schema": 1,
  "title": "t",
  "flows": { "get": "tcp 10.0.0.2:40000 > 93.184.216.34:80" },
  "input": { "frames": ["0 < get S 0:0(0) win 65535"] }
}"#;
    let utf16: Vec<u8> = whole.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), "a.json: the file is empty"),
        (noise(4096), "a.json:"),
        (vec![0; 1000], "a.json:1:1: expected a value, found `\\0`"),
        (utf16, "a.json:1:2: "),
        (
            b"{\"title\": \"\xff\"}".to_vec(),
            "a.json:1:12: this is not UTF-8 text",
        ),
        (
            "[".repeat(1_000_000).into(),
            "a.json:1:66: nested deeper than 64 levels",
        ),
        (
            "{\"a\":".repeat(1_000_000).into(),
            "a.json:1:326: nested deeper than 64 levels",
        ),
        (
            "{\n\"schema\": 1e999}".into(),
            "a.json:2:11: `1e999` is no JSON number",
        ),
        (
            format!("{{\"schema\": {}}}", "1".repeat(100_000)).into(),
            "a.json:1:12: ",
        ),
        (
            "{\"schema\": 1, \"schema\": 1}".into(),
            "a.json:1:15: duplicate key `schema`",
        ),
        (
            whole.replace("\"t\"", "\"t\0\"").into(),
            "a.json:3:14: control character",
        ),
        (
            whole.replace("win 65535", "win 1e999").into(),
            "a.json:5:25: ",
        ),
    ];
    for (content, message) in cases {
        let root = folder(&[("a.json", content.as_slice())]);
        let ran = replay_in(root.path(), ["run", "a.json"]);
        assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
        assert!(
            ran.out.contains(&format!("error: {message}")),
            "{message}: {}",
            ran.out
        );
    }
    for sound in [whole.replace('\n', "\r\n"), format!("\u{feff}{whole}")] {
        let root = folder(&[("a.json", sound.as_bytes())]);
        let ran = replay_in(root.path(), ["run", "a.json"]);
        assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    }
}

/// The first hundred are enough to mend; a generator that is wrong makes a million.
#[test]
fn problems_beyond_a_hundred_are_counted() {
    let text = format!(
        "{{\"schema\": 1, {}\"input\": {{}}}}",
        "\"title\": \"t\", ".repeat(1001)
    );
    let root = folder(&[("a.json", text.as_bytes())]);
    let ran = replay_in(root.path(), ["run", "a.json"]);
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert_eq!(ran.out.matches("duplicate key").count(), 100, "{}", ran.out);
    assert!(ran.out.contains("error: a.json: and "), "{}", ran.out);
}

/// The longest times there are, one after the other.
#[test]
fn times_without_end_are_no_overflow() {
    let long = "18446744073709551615us";
    let scenarios = [
        format!(
            r#"{{ "schema": 1, "title": "t", "flows": {{ "get": "tcp 10.0.0.2:40000 > 93.184.216.34:80" }},
            "input": {{ "frames": ["0 < get S 0:0(0) win 65535"], "until": "{long}" }},
            "dialer": {{ "rules": [ {{ "dial": {{ "result": "connected", "after": "{long}" }},
            "then": [ {{ "wait": "{long}" }}, {{ "wait": "{long}" }} ] }} ] }} }}"#
        ),
        r#"{ "schema": 1, "title": "t", "flows": { "get": "tcp 10.0.0.2:40000 > 93.184.216.34:80" },
            "input": { "frames": ["18446744073709 < get S 0:0(0) win 65535", "+18446744073709 < get . 1:1(0) ack 1 win 1"] } }"#
            .to_owned(),
    ];
    for scenario in scenarios {
        let root = folder(&[("a.json", scenario.as_bytes())]);
        let ran = replay_in(root.path(), ["run", "a.json"]);
        assert!(matches!(ran.code, 0 | 1), "{}{}", ran.out, ran.err);
    }
}

/// A search for the word that was meant takes as long as the word.
#[test]
fn a_word_of_megabytes_is_refused_like_any_other() {
    let word = "x".repeat(4 << 20);
    for more in [
        format!("\"covers\": [\"{word}\"]"),
        format!("\"{word}\": 1"),
    ] {
        let text = format!("{{\"schema\": 1, \"title\": \"t\", \"input\": {{}}, {more}}}");
        let root = folder(&[("a.json", text.as_bytes())]);
        let ran = replay_in(root.path(), ["run", "a.json"]);
        assert_eq!(ran.code, 3);
        assert!(!ran.out.contains("did you mean"));
    }
}
