//! `replay coverage`: what is exercised, by which scenario, and the exit code of what is not.

use crate::{folder, replay_in};

/// A refused dial, with a setting.
const REFUSED: &str = r#"{ "schema": 1, "title": "refused", "covers": ["ENG-DIAL-REFUSED"],
  "engine": { "hop_limit": 63 },
  "flows": { "get": "tcp 10.0.0.2:40000 > 93.184.216.34:80" },
  "input": { "frames": ["0 < get S 0:0(0) win 65535 <mss 1460>", "+0 > get R. 0:0(0) ack 1 <>"] },
  "dialer": { "otherwise": "refused" } }"#;

/// A script in which the far side closes first.
const CLOSED: &str = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 listen(3, 1) = 0\n+0 < S 0:0(0) win 1000 <mss 1000>\n+0 > S. 0:0(0) ack 1 <...>\n+.1 < . 1:1(0) ack 1 win 1000\n+0 accept(3, ..., ...) = 4\n+0 close(4) = 0\n+0 > F. 1:1(0) ack 1\n+.1 < F. 1:1(0) ack 2 win 1000\n+0 > . 2:2(0) ack 2\n";

fn report(arguments: &[&str]) -> (i32, serde_json::Value, String) {
    let files: [(&str, &[u8]); 2] = [
        ("expectations/refused.json", REFUSED.as_bytes()),
        ("expectations/closed.pkt", CLOSED.as_bytes()),
    ];
    let root = folder(&files);
    let all = [&["coverage", "--format", "json"], arguments].concat();
    let ran = replay_in(root.path(), all);
    let report = serde_json::from_str(&ran.out).expect("a report");
    (ran.code, report, ran.err)
}

/// The first scenario that exercises an item.
fn first(report: &serde_json::Value, area: &str, name: &str) -> Option<String> {
    let items = report[area].as_array().expect("an area");
    let item = items.iter().find(|item| item["name"] == name);
    let item = item.unwrap_or_else(|| panic!("{area} has no {name}"));
    item["first"][0].as_str().map(str::to_owned)
}

#[test]
fn each_item_has_the_scenarios_that_exercise_it() {
    let (code, report, _) = report(&[]);
    assert_eq!(code, 0, "{report}");
    let refused = Some("refused".to_owned());
    let closed = Some("closed.pkt".to_owned());
    for (area, name, by) in [
        ("states", "SYN-HELD", &closed),
        ("states", "TIME-WAIT", &closed),
        ("states", "CLOSING", &None),
        ("transitions", "SYN-HELD > CLOSED", &refused),
        ("transitions", "FIN-WAIT-1 > TIME-WAIT", &closed),
        ("transitions", "ESTABLISHED > CLOSE-WAIT", &None),
        ("ends", "remote refused", &refused),
        ("ends", "remote fin", &closed),
        ("counters", "tcp_dial_refused", &refused),
        ("counters", "ring_bytes", &closed),
        ("counters", "udp_waiting", &None),
        ("drops", "martian_source", &None),
        ("settings", "hop_limit", &refused),
        ("settings", "tcp_limit", &None),
        ("clauses", "ENG-DIAL-REFUSED", &refused),
        ("clauses", "ENG-DIAL-FIRST", &None),
    ] {
        assert_eq!(&first(&report, area, name), by, "{area} {name}");
    }
}

#[test]
fn what_has_no_reason_fails_the_check() {
    let (code, report, err) = report(&["--check"]);
    assert_eq!(code, 1);
    let problems = report["problems"].as_array().expect("problems");
    assert!(!problems.is_empty());
    assert!(
        err.contains("drops: no scenario exercises `martian_source`"),
        "{err}"
    );
}
