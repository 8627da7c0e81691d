use super::*;
use crate::scenario::{Bytes, Device, Step};

/// The example of the format's description, with a digest in place of its dots.
const EXAMPLE: &str = r#"{
  "schema": 1,
  "title": "the device half-closes after its request; the answer still arrives",
  "covers": ["TCP-CLOSE-HALF"],
  "engine": { "mtu": 1500, "tcp_limit": 128, "udp_limit": 128, "seed": 1 },
  "flows": { "get": "tcp 10.0.0.2:40000 > 93.184.216.34:80" },
  "input": { "capture": "tcp/half_close_upload.pcapng", "device": "any", "timing": "causal", "checksums": "repair" },
  "dialer": {
    "rules": [ { "when": { "proto": "tcp", "to": "93.184.216.34:80", "occurrence": 1 },
                 "dial": { "result": "connected", "after": "42ms" },
                 "then": [ { "read": 78 }, { "read_eof": true }, { "wait": "10ms" }, { "send": { "capture": "get", "from": 0, "to": 1448 } }, { "shutdown": true } ] } ],
    "otherwise": "refused"
  },
  "faults": [ { "on": "input", "flow": "get", "nth": 4, "do": "drop" } ],
  "expect": {
    "dials":   [ { "flow": "get", "at": "0ms" } ],
    "packets": [ "0.042 > get S. 0:0(0) ack 1 <mss 1460,*>", "~ > get . 1:1449(1448) ack 80", "~ > get F. 1449:1449(0) ack 80" ],
    "never":   [ { "flow": "get", "flags": "R" } ],
    "streams": { "get": { "upstream": { "bytes": 78, "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" }, "downstream": { "bytes": 1448 } } },
    "half_closes": [ { "flow": "get", "by": "device" } ],
    "closes":  [ { "flow": "get", "by": "device", "how": "fin" } ],
    "dns":     [ { "name": "example.com", "addresses": ["93.184.216.34"], "ttl": 300 } ],
    "counters": { "tcp_admission_fail": 0, "frames_out": { "min": 3, "max": 9 } },
    "memory":  { "peak_heap": "8MiB" }
  }
}
"#;

const EXAMPLE_IN_CANONICAL_FORM: &str = r#"{
  "schema": 1,
  "title": "the device half-closes after its request; the answer still arrives",
  "covers": ["TCP-CLOSE-HALF"],
  "engine": { "mtu": 1500, "seed": 1, "tcp_limit": 128, "udp_limit": 128 },
  "flows": { "get": "tcp 10.0.0.2:40000 > 93.184.216.34:80" },
  "input": {
    "capture": "tcp/half_close_upload.pcapng",
    "device": "any",
    "timing": "causal",
    "checksums": "repair"
  },
  "dialer": {
    "rules": [
      {
        "when": { "proto": "tcp", "to": "93.184.216.34:80", "occurrence": 1 },
        "dial": { "result": "connected", "after": "42ms" },
        "then": [
          { "read": 78 },
          { "read_eof": true },
          { "wait": "10ms" },
          { "send": { "capture": "get", "from": 0, "to": 1448 } },
          { "shutdown": true }
        ]
      }
    ],
    "otherwise": "refused"
  },
  "faults": [ { "on": "input", "flow": "get", "nth": 4, "do": "drop" } ],
  "expect": {
    "dials": [ { "flow": "get", "at": "0ms" } ],
    "packets": [
      "0.042 > get S. 0:0(0) ack 1 <mss 1460,*>",
      "~ > get . 1:1449(1448) ack 80",
      "~ > get F. 1449:1449(0) ack 80"
    ],
    "never": [ { "flow": "get", "flags": "R" } ],
    "streams": {
      "get": {
        "upstream": {
          "bytes": 78,
          "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        },
        "downstream": { "bytes": 1448 }
      }
    },
    "half_closes": [ { "flow": "get", "by": "device" } ],
    "closes": [ { "flow": "get", "by": "device", "how": "fin" } ],
    "dns": [ { "name": "example.com", "addresses": ["93.184.216.34"], "ttl": 300 } ],
    "counters": { "tcp_admission_fail": 0, "frames_out": { "min": 3, "max": 9 } },
    "memory": { "peak_heap": "8MiB" }
  }
}
"#;

/// Scenarios with these members besides `schema` and `title`, on line 2, and what is said about them.
const BAD_FILES: &str = r##"
> "input": { "frames": ["+0 < get S"] }, "expect": { "strems": {} }
2:52: unknown field `strems` in `expect`
  help: did you mean `streams`?

> "input": { "frames": ["a"] }, "expects": {}
2:31: unknown field `expects` in the scenario
  help: did you mean `expect`?

> "input": { "frames": ["a"], "zzzzzz": 1 }
2:29: unknown field `zzzzzz` in `input`
  help: it takes `capture`, `capture_sha256`, `device`, `decap`, `adopted`, `timing`, `checksums`, `retransmissions`, `settings`, `frames`, `families`, `batch`, `until`

> "input": { "capture": "a", "timing": "casual" }
2:38: unknown value `casual` for `timing`
  help: did you mean `causal`?

> "input": { "frames": ["a"] }, "engine": { "mtu": "1500" }
2:50: `mtu` should be a whole number, not "1500"

> "input": { "frames": ["a"] }, "engine": { "mtu": 1.5 }
2:50: `mtu` should be a whole number, not 1.5

> "input": { "frames": ["a"] }, "engine": { "mtu": -1 }
2:50: `mtu` should be a whole number from 0, not -1

> "input": { "frames": ["a"] }, "engine": { "mtu": null }
2:50: `mtu` should be a whole number, not null

> "input": { "frames": ["a"] }, "engine": []
2:41: `engine` should be an object, not a list

> "input": { "frames": ["a"] }, "engine": { "mtu": 40, "rx_buffer": "17MiB", "tx_buffer": 0 }
2:50: mtu must be 576 to 65,535, not 40
2:67: rx_buffer must be 1 to 16,777,216 bytes, not 17,825,792
2:89: tx_buffer must be 1 to 16,777,216 bytes, not 0

> "input": { "frames": ["a"] }, "engine": { "tcp_idle": "0s" }
2:55: tcp_idle must be at least 1ms, not 0ns

> "input": { "frames": ["a"], "until": "30" }
2:38: "30" is no duration; a duration is a string of a number and a unit, such as "250us", "42ms", "1.5s", "5min" or "2h"

> "input": { "frames": ["a"], "until": "30sec" }
2:38: duration "30sec" has the unit `sec`; the units are us, ms, s, min, h

> "input": { "frames": ["a"], "capture": "b" }
2:10: the input has both `capture` and `frames`; it takes one of them

> "input": {}
2:10: the input has neither `capture` nor `frames`; it takes one of them

> "input": { "frames": ["a"], "timing": "asap", "families": [4, 5, 4], "batch": 0 }
2:39: `timing` speaks of a capture, but this input has `frames`
2:63: 5 is no IP version; `families` takes 4 and 6
2:66: family 4 is listed twice
2:79: a batch holds at least one frame

> "flows": { "get": "tcp 10.0.0.2:1 > 10.0.0.3" }, "input": { "frames": ["a"] }
2:19: `10.0.0.3` is no address with a port, such as 10.0.0.2:40000 or [fd00::2]:40000

> "flows": { "get": "tcp 10.0.0.2:1 > 10.0.0.3:1", "raw": "tcp 10.0.0.2:2 > 10.0.0.3:1", "a b": "tcp 10.0.0.2:1 > 10.0.0.3:1" }, "input": { "frames": ["a"] }
2:57: `raw` is a word of the line notation and cannot name a flow
2:95: "a b" cannot name a flow
  help: names have letters, digits, `_`, `-` and `.`, and begin with a letter or `_`
2:95: `a b` is the same flow as `get`

> "flows": { "get": "tcp 10.0.0.2:1 > 10.0.0.3:1" }, "input": { "frames": ["a"] }, "expect": { "dials": [{ "flow": "gte" }], "closes": [{ "flow": "put" }, { "flow": "tcp 10.0.0.2 > 10.0.0.3:1" }] }
2:114: unknown flow `gte`
  help: did you mean `get`?
2:145: unknown flow `put`
  help: name it in `flows`, or write it out as "tcp 10.0.0.2:40000 > 93.184.216.34:80"
2:164: `10.0.0.2` is no address with a port, such as 10.0.0.2:40000 or [fd00::2]:40000

> "input": { "frames": ["a"] }, "dialer": { "rules": [{ "when": { "to": "10.0.0.1" } }] }
2:71: "10.0.0.1" is no destination; write "93.184.216.34:80", "[2001:db8::1]:443", "10.0.0.0/8:80", "*:443" or "*"

> "input": { "frames": ["a"] }, "dialer": { "rules": [{ "then": [{ "sned": { "text": "a" } }, { "read": "x" }, "reset", { "read": 1, "reset": true }, {}, 5, { "reset": false }] }] }
2:66: unknown field `sned` in `then[0]`
  help: did you mean `send`?
2:103: `read` should be a whole number, not "x"
2:110: `then[2]` should be an object with one member, such as {"read": 78}, not a word alone
2:119: the object has more than one member; `reset` needs an object of its own
2:149: the object is empty; it takes one of `read`, `read_until`, `read_eof`, `wait`, `send`, `send_from`, `take`, `block`, `unblock`, `shutdown`, `reset`, `fail`, `echo`, `reply`, `recorded`
2:153: `then[5]` should be one of `read`, `read_until`, `read_eof`, `wait`, `send`, `send_from`, `take`, `block`, `unblock`, `shutdown`, `reset`, `fail`, `echo`, `reply`, `recorded`, not 5
2:167: only `true` can be written here; leave it out to mean the opposite

> "input": { "frames": ["a"] }, "dialer": { "rules": [{ "then": [{ "send": { "hex": "0g" } }, { "send": { "text": "a", "hex": "00" } }, { "send": {} }, { "send": { "file": "./none.bin" } }, { "send": { "capture": "a", "from": 0, "to": 1 } }] }] }
2:83: 'g' is no hex digit
2:103: bytes are written in one way, here in 2: `text` and `hex`
2:145: bytes need one of `text`, `hex`, `file`, `pattern` or `capture`; `{}` has none

> "input": { "frames": ["a"] }, "dialer": { "rules": [{}, { "dial": { "result": "refused" }, "then": [{ "reset": true }] }] }
2:57: no dial reaches this rule; `rules[0]` has no condition and answers every one
2:100: a dial that is `refused` has no connection to take steps on

> "input": { "frames": ["a"] }, "dialer": { "rules": [{ "dial": { "result": "never", "after": "1s" } }] }
2:93: a dial that is `never` answered has no `after`

> "input": { "frames": ["a"] }, "dialer": { "otherwise": "refuse" }
2:56: unknown value `refuse` for `otherwise`
  help: did you mean `refused`?

> "input": { "frames": ["a"] }, "faults": [{ "on": "input" }, { "on": "input", "do": "delay" }, { "on": "input", "do": "drop", "rate": 0.5 }, { "on": "input", "do": "drop", "nth": 1, "frame": 0 }]
2:42: missing field `do` in `faults[0]`

> "input": { "frames": ["a"] }, "expect": { "closes": [{ "how": "fin" }, { "others": "deny" }, { "flw": "get" }, { "flow": "tcp 10.0.0.2:1 > 10.0.0.3:1", "open": true, "by": "device" }] }
2:54: missing field `flow` in `closes[0]`
2:84: unknown value `deny` for `others`
  help: it takes `allow`
2:96: unknown field `flw` in `closes[2]`
  help: did you mean `flow`?

> "flows": { "get": "tcp 10.0.0.2:1 > 10.0.0.3:1" }, "input": { "frames": ["a"] }, "expect": { "closes": [{ "flow": "get", "open": true, "by": "device" }, { "flow": "get" }], "never": [{}, { "flags": "X" }], "streams": { "get": { "upstream": { "bytes": 1, "sha256": "abc" } }, "got": {} } }
2:130: a flow that is `open` has no `by`, `how` or `at`
2:164: `get` has a close in this list already; a flow closes once
2:184: the element has no condition, so it forbids every packet
2:199: "X" are no TCP flags; they are written S F R P E W .
2:265: a SHA-256 has 64 lower-case hex digits
2:283: unknown flow `got`
  help: did you mean `get`?
2:283: the streams of a flow need `upstream`, `downstream` or both

> "input": { "frames": ["a"] }, "expect": { "counters": { "a": "b", "c": { "min": 9, "max": 3 }, "d": {} } }
2:62: `a` should be a whole number, not "b"
2:72: the range is empty: `min` is above `max`
2:101: a range needs `min`, `max` or both

> "input": { "frames": ["a"] }, "input": { "frames": ["b"] }
2:31: duplicate key `input`
  help: it stands on line 2 already

> "input": { "frames": ["a"], }
2:27: a comma before `}`
  help: remove the comma

> "input": { "frames": ["a"] }, "engine": { "mtu": 4294967296 }
2:50: mtu must be 576 to 65,535, not 4,294,967,296

> "input": { "frames": ["a"], "timing": 5 }
2:39: `timing` should be one of `causal`, `strict`, `asap`, not 5

> "input": { "frames": ["a"] }, "dialer": { "rules": [{ "when": { "proto": "tcp" }, "then": [{ "reply": [{ "text": "a" }] }, { "send": { "file": "./none.bin" } }, { "send": { "capture": "a", "from": 0, "to": 1 } }] }] }
2:92: `reply` answers datagrams, but the rule is for tcp
  help: use `read` and `send`
2:144: no such file `./none.bin`
  help: the path is relative to the scenario file
2:185: bytes of a `capture` need an input that is one

> "input": { "frames": ["a"] }, "faults": [{ "on": "input", "do": "delay" }, { "on": "input", "do": "drop", "rate": 0.5 }, { "on": "input", "do": "drop", "nth": 1, "frame": 0 }, { "on": "input", "do": "drop", "rate": 2, "seed": 1 }, { "on": "output", "do": "reorder", "by": "1s" }]
2:42: `delay` takes a duration as `by`, such as "20ms"
2:115: `rate` needs a `seed`
  help: add "seed": 1, so that every run strikes the same frames
2:160: frames are chosen in one way, here by `frame` and `nth`
2:172: `frame` counts from 1
2:216: a rate of 2 is out of range; it goes from 0 to 1
2:273: only `delay` takes a duration as `by`; this takes a whole number

> "input": "tcp/x.pcap", "expect": { "packets": [], "closes": "none" }
2:10: `input` should be an object, not "tcp/x.pcap"
2:61: `closes` should be a list, not "none"
"##;

fn file() -> &'static Path {
    Path::new("expectations/tcp/x.json")
}

fn parse_text(text: &str) -> Result<LoadedScenario, Vec<Diagnostic>> {
    parse(text.to_owned(), file())
}

/// What is said about a scenario with these members besides `schema` and `title`; the members stand on line 2.
fn complaints(members: &str) -> String {
    let text = format!("{{ \"schema\": 1, \"title\": \"t\",\n{members}\n}}");
    all(parse_text(&text).err().unwrap_or_default())
}

fn all(errors: Vec<Diagnostic>) -> String {
    errors
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("\n")
        .replace("error: expectations/tcp/x.json:", "")
}

#[test]
fn the_example_of_the_description_is_read_in_full() {
    let loaded = parse_text(EXAMPLE).unwrap();
    let Scenario {
        input,
        dialer,
        faults,
        expect,
        ..
    } = &loaded.scenario;
    assert_eq!(loaded.name, "tcp/x");
    assert_eq!(input.device, Some(Device::Any));
    assert_eq!(
        dialer.rules[0].then[3],
        Step::Send(Bytes::Capture {
            flow: "get".into(),
            from: 0,
            to: 1448
        })
    );
    assert_eq!(
        (faults.len(), expect.packets.len(), expect.counters.len()),
        (1, 3, 2)
    );
}

#[test]
fn the_example_prints_in_canonical_form() {
    let loaded = parse_text(EXAMPLE).unwrap();
    assert_eq!(
        loaded.scenario.to_canonical_string(),
        EXAMPLE_IN_CANONICAL_FORM
    );
}

#[test]
fn bad_files_say_what_is_wrong_and_what_to_do() {
    let mut actual = String::new();
    for members in BAD_FILES.lines().filter_map(|line| line.strip_prefix("> ")) {
        actual.extend(["> ", members, "\n", &complaints(members), "\n\n"]);
    }
    assert_eq!(actual.trim_end(), BAD_FILES.trim());
}

#[test]
fn files_of_another_sort_are_not_judged_by_the_rules_of_this_one() {
    for (text, complaint) in [
        (
            "{\"title\": \"t\"}",
            "1:1: missing field `schema` in the scenario\n  help: add \"schema\": 1",
        ),
        (
            "{\"schema\": 2, \"new\": 1}",
            "1:12: schema 2 is unknown; this version reads schema 1\n  help: write \"schema\": 1, or use the version the file was made for",
        ),
        (
            "{\"schema\": 1, \"kind\": \"stress\", \"load\": {}}",
            "1:23: this is a stress scenario, which has a schema of its own\n  help: run it with `replay stress`",
        ),
        (
            "[]",
            "1:1: a scenario is a JSON object\n  help: a scenario begins with { \"schema\": 1, \"title\": \"...\", \"input\": { ... } }",
        ),
        (
            "{\"schema\": \"1\", \"title\": \" \", \"input\": {\"frames\": [\"a\"]}}",
            "1:12: `schema` should be a whole number, not \"1\"",
        ),
        (
            "{\"schema\": 1, \"title\": \" \", \"covers\": [\"A\", \"A\"], \"input\": {\"frames\": [\"a\"]}}",
            "1:24: the title is empty\n  help: say in a sentence what the scenario shows\n1:45: requirement `A` is listed twice",
        ),
        (
            "{\"schema\": 1, \"title\": \"t\", \"covers\": [\"TCP-CLOSE-HLAF\"], \"input\": {\"frames\": [\"a\"]}}",
            "1:40: requirement `TCP-CLOSE-HLAF` is not in the conformance catalogue\n  help: did you mean `TCP-CLOSE-HALF`?",
        ),
        (
            "{\"schema\": 1, \"title\": \"t\", \"deviation\": {\"fails\": [\"invariant\", \"wrong-packt\"], \"why\": \"w\"}, \"input\": {\"frames\": [\"a\"]}}",
            "1:66: unknown value `wrong-packt` for `fails[1]`\n  help: did you mean `wrong-packet`?",
        ),
        (
            "{\"schema\": 1, \"title\": \"t\", \"deviation\": {\"fails\": [\"invariant\"], \"why\": \"\"}, \"input\": {\"frames\": [\"a\"]}}",
            "1:42: a deviation is from a requirement, but `covers` names none\n  help: name it in `covers`\n1:53: `invariant` is never accepted: it must always hold\n1:74: the reason is empty",
        ),
    ] {
        assert_eq!(all(parse_text(text).unwrap_err()), complaint, "{text}");
    }
}

#[test]
fn what_cannot_be_read_says_why_and_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let first_of = |name: &str, content: Option<&[u8]>| {
        let path = root.path().join(name);
        if let Some(content) = content {
            std::fs::write(&path, content).unwrap();
        }
        let error = load(&path).unwrap_err().remove(0);
        let place = error.where_.unwrap();
        assert_eq!(place.path, path);
        (
            place.position.map(|position| position.to_string()),
            error.what,
            error.help.unwrap(),
        )
    };
    let fact = |position: Option<&str>, what: &str, help: &str| {
        (
            position.map(str::to_owned),
            what.to_owned(),
            help.to_owned(),
        )
    };
    assert_eq!(
        first_of("gone.json", None),
        fact(
            None,
            "no such file",
            "scenarios are .json files under expectations/"
        )
    );
    assert_eq!(
        first_of("", None),
        fact(
            None,
            "this is a folder, not a scenario",
            "name one of the scenarios in it"
        )
    );
    assert_eq!(
        first_of("empty.json", Some(b" \n")),
        fact(None, "the file is empty", FIRST_LINES)
    );
    assert_eq!(
        first_of("capture.json", Some(&[0x0a, 0x0d, 0x0d, 0x0a])),
        fact(
            None,
            "this is a capture, not a scenario",
            "replay it with `replay try`"
        )
    );
    assert_eq!(
        first_of("latin1.json", Some(b"{\n  \"title\": \"\xe9\"}")),
        fact(
            Some("2:13"),
            "this is not UTF-8 text",
            "scenarios are JSON files in UTF-8"
        )
    );
}

#[test]
fn a_failure_can_point_at_the_line_of_its_expectation() {
    let loaded = parse_text(EXAMPLE_IN_CANONICAL_FORM).unwrap();
    let error = loaded.diagnostic("/expect/packets/1", "no such packet");
    assert_eq!(
        error.to_string(),
        "error: expectations/tcp/x.json:34:7: no such packet"
    );
}

#[test]
fn flows_are_meant_by_name_by_name_with_a_number_and_in_full() {
    let scenario = parse_text(EXAMPLE).unwrap().scenario;
    let first = scenario.flow("get").unwrap();
    let second = scenario.flow("get#2").unwrap();
    assert_eq!((first.occurrence, second.occurrence), (1, 2));
    assert_eq!(
        scenario.flow("tcp 10.0.0.2:40000 > 93.184.216.34:80 #2"),
        Some(second)
    );
    assert_eq!(
        (scenario.flow_name(&first), scenario.flow_name(&second)),
        (Some("get"), None)
    );
    assert_eq!(scenario.flow("get#0"), None);
}

#[test]
fn the_canonical_form_reads_back_as_the_same_scenario_and_prints_the_same_again() {
    let loaded = parse_text(EXAMPLE).unwrap();
    let again = parse_text(&loaded.scenario.to_canonical_string()).unwrap();
    assert_eq!(again.scenario, loaded.scenario);
    assert_eq!(again.scenario.to_canonical_string(), again.text);
}

#[test]
fn what_is_left_out_is_left_out_again() {
    let text = "{\n  \"schema\": 1,\n  \"title\": \"t\",\n  \"input\": { \"frames\": [\"+0 < get S\"] },\n  \"expect\": { \"dials\": [] }\n}\n";
    assert_eq!(
        parse_text(text).unwrap().scenario.to_canonical_string(),
        text
    );
}

#[test]
fn files_named_by_bytes_are_looked_for_beside_the_scenario() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a.json");
    std::fs::write(root.path().join("answer.bin"), "x").unwrap();
    let send = r#"[ { "send": { "file": "./answer.bin" } } ]"#;
    let text = format!(
        r#"{{"schema": 1, "title": "t", "input": {{"frames": ["a"]}}, "dialer": {{"rules": [{{"then": {send}}}]}}}}"#
    );
    std::fs::write(&path, text).unwrap();
    assert!(load(&path).is_ok());
    std::fs::remove_file(root.path().join("answer.bin")).unwrap();
    assert_eq!(
        load(&path).unwrap_err()[0].what,
        "no such file `./answer.bin`"
    );
}
