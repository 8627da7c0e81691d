//! `cut`, `scrub` and `minimize` over the captures and scenarios of this project.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use engine::seeded_fault::{self, Fault};
use replay::capture::cut::{Selection, cut};
use replay::capture::scrub::{Payload, ScrubOptions, scrub};
use replay::golden::minimize::{MinimizeOptions, Minimized, minimize, minimize_capture};
use replay::scenario::failure::FailureKind;
use replay::verdict::attempt::{Attempt, TryOptions, try_held};
use replay::verdict::run::{RunOptions, run_file};
use replay::verdict::same::same;
use serde_json::{Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn captures() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join("captures")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|end| end == "pcap" || end == "pcapng")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn tried(bytes: &[u8]) -> Attempt {
    let options = TryOptions {
        hashes: true,
        ..TryOptions::default()
    };
    try_held("a capture", Arc::new(bytes.to_vec()), &options).expect("a capture")
}

/// A flow of a capture alone.
fn cut_to(path: &Path, flow: usize) -> Vec<u8> {
    let selection = Selection {
        flows: BTreeSet::from([flow]),
        ..Selection::default()
    };
    let mut out = Vec::new();
    cut(path, &selection, &mut out).expect("a capture");
    out
}

fn whole(path: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    cut(path, &Selection::default(), &mut out).expect("a capture");
    out
}

#[test]
fn a_flow_that_was_cut_out_comes_to_what_it_came_to() {
    let mut flows = 0;
    for path in captures() {
        let before = tried(&whole(&path));
        for (index, flow) in before.flows.iter().enumerate() {
            if flow.protocol == replay::scenario::Protocol::Icmp {
                // Echo is no flow that is cut out.
                continue;
            }
            let after = tried(&cut_to(&path, index + 1));
            let same = after.flows.iter().any(|cut| {
                (cut.client, cut.server, &cut.verdict) == (flow.client, flow.server, &flow.verdict)
                    && (&cut.upstream, &cut.downstream, &cut.close)
                        == (&flow.upstream, &flow.downstream, &flow.close)
            });
            assert!(
                same,
                "{}, flow {}: {flow:?}\n{:?}",
                path.display(),
                index + 1,
                after.flows
            );
            flows += 1;
        }
    }
    assert!(flows > 50, "{flows}");
}

#[test]
fn the_first_bytes_of_streams_replay_without_holes() {
    for path in captures() {
        let selection = Selection {
            bytes: Some(100),
            ..Selection::default()
        };
        let mut out = Vec::new();
        cut(&path, &selection, &mut out).expect("a capture");
        let (before, after) = (tried(&whole(&path)), tried(&out));
        for (before, after) in before.flows.iter().zip(&after.flows) {
            assert!(
                after.upstream.bytes <= before.upstream.bytes,
                "{}",
                path.display()
            );
            assert!(
                after.invented_bytes <= before.invented_bytes,
                "{}: {after:?}",
                path.display()
            );
        }
    }
}

#[test]
fn dns_messages_stay_that_name_the_server_of_a_chosen_flow() {
    let path = root().join("captures/http/name_then_get.pcapng");
    let selection = Selection {
        ports: vec![80],
        ..Selection::default()
    };
    let mut out = Vec::new();
    let report = cut(&path, &selection, &mut out).expect("a capture");
    assert_eq!((report.flows, report.dns), ((4, 2), 4));
    assert_eq!(tried(&out).dns.len(), 2);
    let selection = Selection {
        names: vec!["example.com".to_owned()],
        ..Selection::default()
    };
    let named = cut(&path, &selection, &mut Vec::new()).expect("a capture");
    assert!(named.flows.1 >= 2, "{named:?}");
}

#[test]
fn a_scrubbed_capture_comes_to_what_it_came_to() {
    for path in captures() {
        let bytes = whole(&path);
        for payload in [Payload::Pattern, Payload::Zero] {
            let options = ScrubOptions {
                key: ScrubOptions::key_of("test"),
                payload,
                options: false,
            };
            let name = path.display().to_string();
            let clean = scrub(&name, &bytes, &options).unwrap_or_else(|error| panic!("{error}"));
            same(&tried(&bytes), &tried(&clean.bytes))
                .unwrap_or_else(|what| panic!("{name}: {what}"));
        }
    }
}

/// What tshark finds of names and addresses in a capture.
fn fields(path: &Path) -> BTreeSet<String> {
    let names = [
        "ip.addr",
        "ipv6.addr",
        "eth.addr",
        "dns.qry.name",
        "dns.a",
        "dns.aaaa",
        "dns.cname",
        "http.host",
        "tls.handshake.extensions_server_name",
    ];
    let fields = names.iter().flat_map(|name| ["-e", name]);
    let ran = Command::new("tshark")
        .arg("-r")
        .arg(path)
        .args(["-n", "-T", "fields"])
        .args(fields)
        .output();
    let out = ran.expect("tshark runs").stdout;
    let text = String::from_utf8_lossy(&out).into_owned();
    text.split(['\t', '\n', ','])
        .filter(|word| word.len() > 5)
        .map(str::to_owned)
        .collect()
}

#[test]
fn tshark_finds_nothing_of_a_corpus_file_in_what_it_was_scrubbed_to() {
    let Some(folder) = std::env::var_os("REPLAY_CORPUS") else {
        println!("skipped: REPLAY_CORPUS does not name a folder with captures");
        return;
    };
    if Command::new("tshark").arg("-v").output().is_err() {
        println!("skipped: there is no tshark");
        return;
    }
    let work = tempfile::tempdir().expect("a folder");
    let mut files = 0;
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let small = entry
            .metadata()
            .is_ok_and(|data| (1..500_000).contains(&data.len()));
        let name = path.display().to_string();
        if !small || !name.contains(".pcap") {
            continue;
        }
        let options = ScrubOptions {
            key: ScrubOptions::key_of("corpus"),
            payload: Payload::Pattern,
            options: false,
        };
        let clean = scrub(&name, &whole(&path), &options).unwrap_or_else(|error| panic!("{error}"));
        let file = work.path().join("clean.pcapng");
        std::fs::write(&file, &clean.bytes).expect("a file");
        // Groups, and addresses of no host, stay.
        let stays = |word: &String| {
            let parsed: Option<std::net::IpAddr> = word.parse().ok();
            let group = ["ff:ff", "33:33", "01:00:5e", "01:80", "00:00:00:00:00:00"];
            parsed.is_some_and(|a| a.is_multicast() || a.is_loopback() || a.is_unspecified())
                || word == "255.255.255.255"
                || group.iter().any(|start| word.starts_with(start))
                || word.ends_with(".local")
                || word == "localhost"
                || word.starts_with("example.")
        };
        let (old, new) = (fields(&path), fields(&file));
        let left: Vec<&String> = old.intersection(&new).filter(|word| !stays(word)).collect();
        assert!(left.is_empty(), "{name}: {left:?}");
        files += 1;
    }
    assert!(files > 20, "{files}");
}

/// A scenario of this project that expects something else.
fn altered(scenario: &str, expect: Value) -> (tempfile::TempDir, PathBuf) {
    let text =
        std::fs::read_to_string(root().join("expectations").join(scenario)).expect("a scenario");
    let mut json: Value = serde_json::from_str(&text).expect("JSON");
    json["expect"] = expect;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("wrong.json");
    std::fs::write(&path, json.to_string()).expect("a file");
    (folder, path)
}

fn options() -> MinimizeOptions {
    MinimizeOptions {
        run: RunOptions {
            captures: Some(root().join("captures")),
            ..RunOptions::default()
        },
        ..MinimizeOptions::default()
    }
}

/// Writes what is left, and says how the first run of it fails.
fn written(least: &Minimized, folder: &Path) -> (PathBuf, Vec<FailureKind>) {
    let path = folder.join("least.json");
    let mut scenario = least.scenario.clone();
    if let Some(capture) = &least.capture {
        std::fs::write(folder.join("least.pcapng"), capture).expect("a file");
        scenario.input.capture = Some("./least.pcapng".to_owned());
    }
    std::fs::write(&path, scenario.to_canonical_string()).expect("a file");
    let outcomes = run_file(&path, &options().run);
    let failures = outcomes.iter().flat_map(|outcome| &outcome.failures);
    (path, failures.map(|failure| failure.kind).collect())
}

#[test]
fn ten_wrong_expectations_are_made_small_and_fail_as_they_did() {
    let capture = "tcp/device_half_closes.json";
    let lines = "engine/data/bytes_go_both_ways.json";
    let wrong = [
        (
            capture,
            json!({ "streams": { "tcp1": { "upstream": { "bytes": 501 } } } }),
            "wrong-stream",
        ),
        (
            capture,
            json!({ "closes": [{ "flow": "tcp1", "by": "device", "how": "reset" }] }),
            "wrong-close",
        ),
        (capture, json!({ "closes": [] }), "unexpected-close"),
        (
            capture,
            json!({ "half_closes": [] }),
            "unexpected-half-close",
        ),
        (capture, json!({ "dials": [] }), "unexpected-dial"),
        (
            capture,
            json!({ "never": [{ "flow": "tcp1", "flags": "S." }] }),
            "forbidden-packet",
        ),
        (
            lines,
            json!({ "closes": [{ "flow": "get", "by": "device" }] }),
            "missing-close",
        ),
        (
            lines,
            json!({ "half_closes": [{ "flow": "get", "by": "remote" }] }),
            "missing-half-close",
        ),
        (
            lines,
            json!({ "counters": { "dials": 7 } }),
            "wrong-counter",
        ),
        (
            lines,
            json!({ "packets": ["~ > get S. 0:0(0) ack 9"] }),
            "wrong-packet",
        ),
    ];
    let mut kinds = BTreeSet::new();
    for (scenario, expect, kind) in wrong {
        let (folder, path) = altered(scenario, expect.clone());
        let least = minimize(&path, &options()).unwrap_or_else(|why| panic!("{kind}: {why:?}"));
        assert!(least.after.packets <= 12, "{kind}: {least:?}");
        let (path, failed) = written(&least, folder.path());
        assert!(
            failed.iter().any(|one| one.label() == kind),
            "{kind}: {failed:?}"
        );
        let again = minimize(&path, &options()).unwrap_or_else(|why| panic!("{kind}: {why:?}"));
        assert_eq!(
            (again.after, &again.capture),
            (again.before, &least.capture),
            "{kind}"
        );
        kinds.insert(kind);
    }
    assert_eq!(kinds.len(), 10);
}

#[test]
fn what_is_left_does_not_depend_on_how_many_trials_are_made_at_a_time() {
    let (_folder, path) = altered(
        "tcp/lossy_retransmission_sack.json",
        json!({ "closes": [{ "flow": "tcp1", "by": "engine" }] }),
    );
    let made = |jobs| {
        let options = MinimizeOptions { jobs, ..options() };
        let least = minimize(&path, &options).expect("it fails");
        (least.scenario, least.capture, least.runs)
    };
    assert_eq!(made(1), made(3));
}

#[test]
fn an_observation_is_kept_of_a_capture_that_passes() {
    let bytes = std::fs::read(root().join("captures/tcp/lossy_retransmission_sack.pcapng"))
        .expect("a capture");
    let options = MinimizeOptions {
        keep: Some("reset".parse().expect("a word")),
        ..options()
    };
    assert!(
        minimize_capture("a", &bytes, None, &options).is_err(),
        "it shows no reset"
    );
    let bytes = std::fs::read(root().join("captures/tcp/refused.pcapng")).expect("a capture");
    let least =
        minimize_capture("a", &bytes, None, &options).unwrap_or_else(|why| panic!("{why:?}"));
    assert!(least.after.packets <= 2, "{least:?}");
}

/// A scenario of this project and what it is to expect besides, for a fault that shows in no stream.
type Case = (Fault, &'static str, Option<Value>);

#[test]
fn ten_faults_of_an_engine_are_made_small_and_fail_as_they_did() {
    let orderly = json!({ "half_closes": [{ "flow": "tcp1", "by": "device" }] });
    let cases: [Case; 10] = [
        (
            Fault::WindowUpdate,
            "engine/data/blocked_remote_closes_the_window.json",
            None,
        ),
        (
            Fault::HalfClose,
            "tcp/device_half_closes.json",
            Some(orderly),
        ),
        (Fault::DoubledByte, "http/get.json", None),
        (
            Fault::LateAck,
            "conformance/tcp-close/TCP-CLOSE-TW-UNACCEPTABLE.json",
            None,
        ),
        (Fault::DialTwice, "http/get.json", None),
        (Fault::EarlyIdle, "tcp/idle_then_more_data.json", None),
        (
            Fault::SegmentSize,
            "conformance/tcp-options/TCP-OPT-MSS-SENT.json",
            None,
        ),
        (
            Fault::Resume,
            "engine/data/slow_device_holds_the_remote_back.json",
            None,
        ),
        (Fault::Checksum, "http/get.json", None),
        (Fault::Datagram, "udp/echo_ipv6.json", None),
    ];
    let mut found = Vec::new();
    for (fault, scenario, expect) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let mut path = root().join("expectations").join(scenario);
        let _kept;
        if let Some(expect) = expect {
            let (folder, altered) = altered(scenario, expect);
            (path, _kept) = (altered, folder);
        }
        let before = run_file(&path, &options().run);
        assert!(
            before.iter().all(|outcome| outcome.passed()),
            "{fault:?}: {before:?}"
        );
        let options = MinimizeOptions {
            jobs: 1,
            ..options()
        };
        seeded_fault::arm_one(Some(fault));
        let least = minimize(&path, &options);
        let held = least.as_ref().map(|least| {
            let (path, failed) = written(least, folder.path());
            (failed, minimize(&path, &options).map(|again| again.after))
        });
        seeded_fault::arm_one(None);
        match (&least, held) {
            (Ok(least), Ok((failed, Ok(again)))) => {
                let kind = failed.iter().any(|kind| least.shows.contains(kind.label()));
                if !kind || least.after.packets > 12 || again.packets != least.after.packets {
                    found.push(format!(
                        "{fault:?}: {:?} {failed:?} {} again {again:?}",
                        least.after, least.shows
                    ));
                }
                println!(
                    "{fault:?}: {} packets, {} runs: {}",
                    least.after.packets, least.runs, least.shows
                );
            }
            (why, _) => found.push(format!("{fault:?}: {why:?}")),
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
