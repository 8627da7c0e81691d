//! Each kind of expectation, met and not met: a check that could not fail would be worth nothing.

use crate::verdict::run::{RunOptions, run_file};

/// One scenario with an expectation of every kind, each of which is met.
const SOUND: &str = r#"{
  "schema": 1,
  "title": "a bit of everything",
  "flows": {
    "get": "tcp 10.0.0.2:40000 > 93.184.216.34:80",
    "dns": "udp 10.0.0.2:50000 > 192.0.2.53:53"
  },
  "input": {
    "frames": [
      "0 < get S 0:0(0) win 65535 <mss 1460>",
      "+0 > get S. 0:0(0) ack 1 <*>",
      "+.01 < get . 1:1(0) ack 1",
      "+0 < get P. 1:6(5) ack 1",
      "+0 > get P. 1:4(3) ack 6",
      "+.01 < get F. 6:6(0) ack 4",
      "+0 > get F. 4:4(0) ack 7",
      "+.01 < get . 7:7(0) ack 5",
      "1 < dns udp 27 hex:1234010000010000000000000161076578616d706c650000010001",
      "~ > dns udp 61",
      "2 < get S 90000:90000(0) win 65535 <mss 1460>",
      "+0 > get#2 R. 0:0(0) ack 90001"
    ],
    "until": "3s"
  },
  "dialer": {
    "rules": [
      { "when": { "flow": "get#2" }, "dial": { "result": "refused" } },
      { "when": { "to": "*:53" }, "then": [ { "read": 1 }, { "send": { "hex": "1234818000010002000000000161076578616d706c650000010001c00c000500010000012c00040162c00e0162c00e000100010000003c0004c0000201" } } ] },
      { "then": [ { "read": 5 }, { "send": { "text": "abc" } }, { "read_eof": true }, { "shutdown": true } ] }
    ]
  },
  "expect": {
    "dials": [ { "flow": "get", "at": "0s" }, { "flow": "dns", "name": "" }, { "flow": "get#2" } ],
    "streams": { "get": { "upstream": { "bytes": 5 }, "downstream": { "bytes": 3, "sha256": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" } } },
    "half_closes": [ { "flow": "get", "by": "device" } ],
    "closes": [ { "flow": "get", "by": "device", "how": "fin" }, { "flow": "get#2", "by": "remote", "how": "refused" } ],
    "dns": [ { "name": "a.example", "addresses": ["192.0.2.1"], "ttl": 60 } ],
    "counters": { "tcp_dials": 2 },
    "packets": [ "0 > get S. 0:0(0) ack 1 <*>", "~ > get P. 1:4(3) ack 6", "~ > get F. 4:4(0) ack 7" ],
    "never": [ { "flow": "get", "flags": "R" } ]
  }
}"#;

/// What is written instead of something in it, and the failures that this must give.
const ALTERED: &[(&str, &str, &[&str])] = &[
    (
        "/expect/dials/0/flow",
        r#""get#3""#,
        &[
            "unexpected-dial: get was dialed, which is not in the list",
            "missing-dial: flow get#3 was never dialed",
        ],
    ),
    (
        "/expect/dials",
        "[]",
        &[
            "unexpected-dial: get was dialed, which is not in the list",
            "unexpected-dial: dns was dialed, which is not in the list",
            "unexpected-dial: get#2 was dialed, which is not in the list",
        ],
    ),
    (
        "/expect/dials",
        r#"[{"flow": "dns"}, {"others": "allow"}]"#,
        &[],
    ),
    (
        "/expect/dials/0/at",
        r#""5ms""#,
        &["wrong-time: flow get was dialed at 0.000000 s, expected 5ms"],
    ),
    (
        "/expect/dials/1/name",
        r#""other.example""#,
        &["wrong-name: the dial of flow dns carried another name (no name)"],
    ),
    (
        "/expect/streams/get/upstream/bytes",
        "6",
        &["wrong-stream: the upstream of get has 5 bytes"],
    ),
    (
        "/expect/streams/get/downstream/sha256",
        r#""0000000000000000000000000000000000000000000000000000000000000000""#,
        &["wrong-stream: the downstream of get has the right length but other bytes"],
    ),
    (
        "/expect/streams",
        r#"{"get#3": {"upstream": {"bytes": 1}}}"#,
        &["unknown-flow: flow get#3 (tcp 10.0.0.2:40000 > 93.184.216.34:80 #3) was never dialed"],
    ),
    (
        "/expect/half_closes",
        "[]",
        &["unexpected-half-close: get was half-closed by device, which is not in the list"],
    ),
    (
        "/expect/half_closes/0/by",
        r#""remote""#,
        &[
            "unexpected-half-close: get was half-closed by device, which is not in the list",
            "missing-half-close: flow get was never half-closed by remote",
        ],
    ),
    (
        "/expect/half_closes",
        r#"[{"flow": "dns"}, {"others": "allow"}]"#,
        &["missing-half-close: flow dns was never half-closed"],
    ),
    (
        "/expect/half_closes/0/at",
        r#""5ms""#,
        &["wrong-time: flow get was half-closed by device at 0.020000 s, expected 5ms"],
    ),
    (
        "/expect/closes",
        "[]",
        &[
            "unexpected-close: get was closed, which is not in the list (by device, fin)",
            "unexpected-close: get#2 was closed, which is not in the list (by remote, refused)",
        ],
    ),
    (
        "/expect/closes",
        r#"[{"flow": "dns", "how": "idle"}, {"others": "allow"}]"#,
        &["missing-close: flow dns is still open at the end (open)"],
    ),
    (
        "/expect/closes/0/by",
        r#""remote""#,
        &["wrong-close: flow get ended in another way (by device, fin)"],
    ),
    (
        "/expect/closes/0/how",
        r#""reset""#,
        &["wrong-close: flow get ended in another way (by device, fin)"],
    ),
    (
        "/expect/closes/0/at",
        r#""5ms""#,
        &["wrong-time: flow get was closed at 0.030000 s, expected 5ms (by device, fin)"],
    ),
    (
        "/expect/dns",
        "[]",
        &[
            "unexpected-dns: a DNS record for a.example, which is not in the list (1.000000 a.example -> 192.0.2.1 ttl 60)",
        ],
    ),
    ("/expect/dns", r#"[{"others": "allow"}]"#, &[]),
    (
        "/expect/dns/0/name",
        r#""b.example""#,
        &[
            "unexpected-dns: a DNS record for a.example, which is not in the list (1.000000 a.example -> 192.0.2.1 ttl 60)",
            "missing-dns: no DNS record for b.example came that matches",
        ],
    ),
    ("/expect/dns/0/name", r#""A.EXAMPLE.""#, &[]),
    (
        "/expect/dns/0/ttl",
        "61",
        &[
            "unexpected-dns: a DNS record for a.example, which is not in the list (1.000000 a.example -> 192.0.2.1 ttl 60)",
            "missing-dns: no DNS record for a.example came that matches (1.000000 a.example -> 192.0.2.1 ttl 60)",
        ],
    ),
    (
        "/expect/dns/0/addresses",
        r#"["192.0.2.2"]"#,
        &[
            "unexpected-dns: a DNS record for a.example, which is not in the list (1.000000 a.example -> 192.0.2.1 ttl 60)",
            "missing-dns: no DNS record for a.example came that matches (1.000000 a.example -> 192.0.2.1 ttl 60)",
        ],
    ),
    (
        "/expect/dns/0/at",
        r#""5ms""#,
        &[
            "unexpected-dns: a DNS record for a.example, which is not in the list (1.000000 a.example -> 192.0.2.1 ttl 60)",
            "missing-dns: no DNS record for a.example came that matches (1.000000 a.example -> 192.0.2.1 ttl 60)",
        ],
    ),
    (
        "/expect/dns",
        r#"[{"name": "a.example"}, {"name": "a.example"}]"#,
        &[
            "missing-dns: no DNS record for a.example came that matches (1.000000 a.example -> 192.0.2.1 ttl 60)",
        ],
    ),
    (
        "/expect/counters/tcp_dials",
        "3",
        &["wrong-counter: counter tcp_dials is 2 (2)"],
    ),
    (
        "/expect/counters",
        r#"{"tcp_dialss": 3}"#,
        &["wrong-counter: there is no counter `tcp_dialss`"],
    ),
    (
        "/expect/packets/0",
        r#""0.5 > get S. 0:0(0) ack 1 <*>""#,
        &[
            "wrong-time: it came at 0.000000 s, 0.000000 s after the one before (0 > get S. 0:0(0) ack 1 win 16384 <mss 1460>)",
        ],
    ),
    (
        "/expect/packets/1",
        r#""~ > get P. 1:4(3) ack 7""#,
        &["wrong-packet: ack: expected 7, got 6 (0.01 > get P. 1:4(3) ack 6 win 16379)"],
    ),
    (
        "/expect/packets/2",
        r#""~ > get R. 4:4(0) ack 7""#,
        &["wrong-packet: flags: expected R., got F. (0.02 > get F. 4:4(0) ack 7 win 16378)"],
    ),
    (
        "/expect/packets",
        r#"["~ > get S. 0:0(0) ack 1 <*>"]"#,
        &[
            "unexpected-packet: flow get got a packet beyond all that was expected (0.01 > get P. 1:4(3) ack 6 win 16379)",
            "unexpected-packet: flow get got a packet beyond all that was expected (0.02 > get F. 4:4(0) ack 7 win 16378)",
        ],
    ),
    (
        "/expect/packets",
        r#"["~ > get F. 4:4(0) ack 7", "~ > get P. 1:4(3) ack 6"]"#,
        &[
            "wrong-packet: flags: expected F., got S.; sequence: expected 4, got 0; ack: expected 7, got 1 (0 > get S. 0:0(0) ack 1 win 16384 <mss 1460>)",
            "unexpected-packet: flow get got a packet beyond all that was expected (0.02 > get F. 4:4(0) ack 7 win 16378)",
        ],
    ),
    ("/expect/packets", r#"["~ > dns udp 61"]"#, &[]),
    (
        "/expect/packets",
        r#"["~ > dns udp 61", "~ > dns udp 61"]"#,
        &["missing-packet: nothing more came on this flow that could be it"],
    ),
    (
        "/expect/never",
        r#"[{"flow": "get", "flags": "F."}]"#,
        &[
            "forbidden-packet: a packet came that must never come (0.02 > get F. 4:4(0) ack 7 win 16378)",
        ],
    ),
    (
        "/expect/never",
        r#"[{"proto": "udp"}]"#,
        &["forbidden-packet: a packet came that must never come (1 > dns udp 61)"],
    ),
    (
        "/expect/never",
        r#"[{"proto": "icmp"}, {"proto": "tcp", "length": {"min": 4}}, {"flow": "dns", "flags": "S"}]"#,
        &[],
    ),
    (
        "/expect/never",
        r#"[{"length": 3}]"#,
        &[
            "forbidden-packet: a packet came that must never come (0.01 > get P. 1:4(3) ack 6 win 16379)",
        ],
    ),
    (
        "/expect/never",
        r#"[{"window": {"max": 100}}, {"at": {"min": "3s"}}]"#,
        &[
            "forbidden-packet: a packet came that must never come (2 > get#2 R. 0:0(0) ack 90001 win 0)",
        ],
    ),
    (
        "/input/frames/1",
        r#""+.005 > get S. 0:0(0) ack 1 <*>""#,
        &[
            "wrong-time: it came at 0.000000 s, expected at 0.005000 s (0 > get S. 0:0(0) ack 1 win 16384 <mss 1460>)",
        ],
    ),
    (
        "/input/frames/4",
        r#""+0 > get P. 1:4(3) ack 5""#,
        &["wrong-packet: ack: expected 5, got 6 (0.01 > get P. 1:4(3) ack 6 win 16379)"],
    ),
    (
        "/input/frames/4",
        r#""+0 > get P. 1:5(4) ack 6""#,
        &["wrong-packet: len: expected 4, got 3 (0.01 > get P. 1:4(3) ack 6 win 16379)"],
    ),
    (
        "/input/frames/6",
        r#""+0 > get . 4:4(0) ack 7""#,
        &[
            "unexpected-packet: flow get got a packet beyond all that was expected (0.02 > get F. 4:4(0) ack 7 win 16378)",
        ],
    ),
    (
        "/input/frames/9",
        r#""~ > dns udp 60""#,
        &["wrong-packet: len: expected 60, got 61 (1 > dns udp 61)"],
    ),
    (
        "/input/frames/11",
        r#""+0 > get R. 0:0(0) ack 90001""#,
        &[
            "missing-packet: nothing came that matches, at 2.000000 s (last emitted: 2 > get#2 R. 0:0(0) ack 90001 win 0)",
        ],
    ),
    (
        "/input/frames/9",
        r#""~ > get#2 R. 0:0(0) ack 90001""#,
        &["missing-packet: nothing came that matches, at any time (last emitted: 1 > dns udp 61)"],
    ),
    (
        "/faults",
        r#"[{"on": "input", "flow": "dns", "nth": 1, "do": "drop"}]"#,
        &[
            "missing-packet: nothing came that matches, at any time (last emitted: 0.02 > get F. 4:4(0) ack 7 win 16378)",
            "missing-dial: flow dns was never dialed",
            "missing-dns: no DNS record for a.example came that matches",
        ],
    ),
];

/// An upload that the far side stops to read for two seconds, and a download that the device stops to read for one.
const STALLED: &str = r#"{
  "schema": 1,
  "title": "both stop",
  "engine": { "rx_buffer": "4KiB" },
  "flows": { "put": "tcp 10.0.0.2:40000 > 93.184.216.34:80" },
  "input": {
    "frames": [
      "0 < put S 0:0(0) win 65535 <mss 1460>",
      "+0 > put S. 0:0(0) ack 1 <*>",
      "0 < put . 1:1(0) ack 1",
      "1 < put . 1:4097(4096) ack 1",
      "4 < put . 4097:4097(0) ack 1 win 0",
      "5 < put . 4097:4097(0) ack 1",
      "6 < put R. 4097:4097(0) ack 1"
    ]
  },
  "dialer": { "rules": [ { "then": [ { "block": true }, { "wait": "3s" }, { "unblock": true } ] } ] },
  "expect": {
    "stalls": [
      { "flow": "put", "direction": "upstream", "by": "remote", "at": "1s", "lasts": "2s" },
      { "flow": "put", "direction": "downstream", "by": "device", "at": "4s", "lasts": "1s" }
    ]
  }
}"#;

const ALTERED_STALLS: &[(&str, &str, &[&str])] = &[
    (
        "/dialer/rules/0/then",
        "[]",
        &["missing-stall: put upstream by remote never stalled"],
    ),
    (
        "/dialer/rules/0/then/1/wait",
        r#""4s""#,
        &["wrong-stall: the stall of put upstream by remote lasted 3.000000 s, expected 2s"],
    ),
    (
        "/expect/stalls/0/at",
        r#""1.5s""#,
        &["wrong-stall: the stall of put upstream by remote began at 1.000000 s, expected 1.5s"],
    ),
    ("/expect/stalls/0", r#"{"others": "allow"}"#, &[]),
    (
        "/expect/stalls",
        "[]",
        &[
            "unexpected-stall: the upstream of put stalled for 2.000000 s, which is not in the list",
            "unexpected-stall: the downstream of put stalled for 1.000000 s, which is not in the list",
        ],
    ),
    (
        "/expect/stalls/1",
        r#"{"flow": "put", "lasts": {"max": "1s"}}"#,
        &[],
    ),
    (
        "/expect/stalls",
        r#"[{"flow": "put"}, {"flow": "put"}, {"flow": "put"}]"#,
        &["missing-stall: put a stream never stalled"],
    ),
];

/// The failures of a scenario, in the order of their times.
fn failures(scenario: &serde_json::Value) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("altered.json");
    std::fs::write(&path, scenario.to_string()).unwrap();
    let outcome = run_file(&path, &RunOptions::default()).remove(0);
    assert_eq!(
        outcome.passed(),
        outcome.failures.is_empty(),
        "{:?}",
        outcome.verdict
    );
    let told = outcome.failures.iter().map(|failure| {
        let line = format!("{}: {}", failure.kind.label(), failure.what);
        match &failure.actual {
            Some(actual) if !actual.contains("sha256") && line.len() + actual.len() < 160 => {
                format!("{line} ({actual})")
            }
            _ => line,
        }
    });
    told.collect()
}

#[test]
fn what_is_met_passes_and_what_is_not_fails_for_its_own_reason() {
    altered(SOUND, ALTERED);
}

#[test]
fn a_stall_is_met_by_who_took_no_more_and_by_its_times() {
    altered(STALLED, ALTERED_STALLS);
}

/// Each alteration of a scenario that passes gives its failures.
fn altered(sound: &str, alterations: &[(&str, &str, &[&str])]) {
    let sound: serde_json::Value = serde_json::from_str(sound).unwrap();
    assert_eq!(failures(&sound), [""; 0]);
    for (pointer, instead, wanted) in alterations {
        let mut scenario = sound.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let instead_of = scenario.pointer_mut(parent).unwrap();
        match key.parse::<usize>() {
            Ok(index) => instead_of[index] = serde_json::from_str(instead).unwrap(),
            Err(_) => instead_of[key] = serde_json::from_str(instead).unwrap(),
        }
        assert_eq!(failures(&scenario), *wanted, "{pointer}: {instead}");
    }
}

#[test]
fn through_the_driver_exact_times_are_left_to_the_core_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sound.json");
    std::fs::write(&path, SOUND).unwrap();
    let options = RunOptions {
        via: crate::stack::Via::Driver,
        ..RunOptions::default()
    };
    let outcome = run_file(&path, &options).remove(0);
    assert!(outcome.passed(), "{:?}", outcome.failures);
    // Of the timeline four lines, of the expectations the dial and the packet at 0 s.
    assert_eq!(outcome.core_only, 6);
    assert_eq!(run_file(&path, &RunOptions::default())[0].core_only, 0);
}
