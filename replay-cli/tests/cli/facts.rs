//! What a capture shows of its flows is said by the commands that read it, in words and for programs.

use std::net::SocketAddr;

use replay::packet::build::{TcpSpec, tcp, udp};
use replay::packet::{Flags, Seq};
use serde_json::{Value, json};

use crate::{folder, replay_in};

const DEVICE: &str = "10.0.0.2:40000";
const SERVER: &str = "192.0.2.1:80";

/// A capture of raw IP packets with their times, microseconds.
fn capture(packets: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        file.extend(word.to_le_bytes());
    }
    for (micros, packet) in packets {
        let length = u32::try_from(packet.len()).unwrap();
        for word in [micros / 1_000_000, micros % 1_000_000, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

fn segment(up: bool, flags: &str, numbers: [u32; 2], window: u16, payload: &[u8]) -> Vec<u8> {
    let ends = [DEVICE, SERVER].map(|end| end.parse::<SocketAddr>().unwrap());
    let [from, to] = if up { ends } else { [ends[1], ends[0]] };
    let flags = flags.chars().filter_map(Flags::from_letter);
    let acknowledgement = Seq(numbers[1]);
    tcp(&TcpSpec {
        sequence: Seq(numbers[0]),
        acknowledgement,
        flags: flags.fold(Flags::default(), Flags::with),
        window,
        payload,
        ..TcpSpec::new(from, to)
    })
}

/// An upload whose server reads 2,000 bytes and then nothing, its window closed for three seconds; then the app gives up.
fn hanging_upload() -> Vec<u8> {
    let head = b"POST /upload HTTP/1.1\r\nHost: upload.example\r\n\r\n";
    let mut first = head.to_vec();
    first.resize(1000, b'x');
    let more = [b'x'; 1000];
    let mut packets = vec![
        (0, segment(true, "S", [99, 0], 60_000, b"")),
        (20_000, segment(false, "S.", [499, 100], 2000, b"")),
        (20_500, segment(true, ".", [100, 500], 60_000, b"")),
        (21_000, segment(true, ".", [100, 500], 60_000, &first)),
        (21_100, segment(true, "P.", [1100, 500], 60_000, &more)),
        (42_000, segment(false, ".", [500, 2100], 0, b"")),
    ];
    for at in [300_000, 900_000, 2_100_000] {
        packets.push((at, segment(true, ".", [2099, 500], 60_000, b"")));
        packets.push((at + 20_000, segment(false, ".", [500, 2100], 0, b"")));
    }
    packets.push((3_042_000, segment(true, "R.", [2100, 500], 0, b"")));
    capture(&packets)
}

fn facts_of<'a>(report: &'a Value, kind: &str) -> Vec<&'a Value> {
    let facts = report["flows"][0]["facts"].as_array().unwrap();
    facts.iter().filter(|fact| fact["kind"] == kind).collect()
}

#[test]
fn an_upload_that_hangs_is_said_to_be_stalled_by_whom_when_and_how_long() {
    let root = folder(&[("a.pcap", &hanging_upload())]);
    for command in ["inspect", "try"] {
        let ran = replay_in(root.path(), [command, "a.pcap"]);
        let line = ran
            .out
            .lines()
            .find(|line| line.contains("upload.example:80"));
        let line = line.unwrap_or_else(|| panic!("{command}: {}", ran.out));
        assert!(line.contains("stalled 3.00 s by remote"), "{line}");
        let ran = replay_in(root.path(), [command, "a.pcap", "--flow", "1"]);
        for words in [
            "stalled 3.00 s by remote from 0.042 s, until the reset (frame 6)",
            "reset by device at 3.042 s while remote read nothing (frame 13)",
            "4 zero windows by remote (frame 6)",
        ] {
            assert!(ran.out.contains(words), "{command}: {words}: {}", ran.out);
        }
        let ran = replay_in(root.path(), [command, "a.pcap", "--format", "json"]);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        assert_eq!(report["flows"][0]["name"], "upload.example", "{command}");
        let stalled = json!({
            "kind": "stalled", "by": "remote", "at": 0.042, "seconds": 3.0, "ending": "reset",
            "count": 1, "frames": { "first": 6 },
        });
        assert_eq!(facts_of(&report, "stalled"), [&stalled], "{command}");
        let zero = json!({
            "kind": "zero-window", "by": "remote", "at": 0.042, "count": 4,
            "frames": { "first": 6, "count": 4 },
        });
        assert_eq!(facts_of(&report, "zero-window"), [&zero], "{command}");
    }
}

#[test]
fn payload_is_not_among_the_facts() {
    let root = folder(&[("a.pcap", &hanging_upload())]);
    for command in ["inspect", "try"] {
        for more in [&["--flow", "1"][..], &["--format", "json"], &["--all"]] {
            let ran = replay_in(root.path(), [&[command, "a.pcap"], more].concat());
            assert!(!ran.out.contains("xxxx"), "{command} {more:?}: {}", ran.out);
            assert!(!ran.out.contains("POST"), "{command} {more:?}: {}", ran.out);
        }
    }
}

/// So many datagrams of flows of their own to two servers, of which every tenth is not answered.
fn many_flows(count: u16) -> Vec<u8> {
    let mut packets = Vec::new();
    for nth in 0..count {
        let device = format!("10.0.0.2:{}", 20_000 + nth).parse().unwrap();
        let server = format!("192.0.2.{}:7000", 1 + nth % 2).parse().unwrap();
        let at = u32::from(nth) * 1000;
        packets.push((at, udp(device, server, b"question")));
        if nth % 10 != 0 {
            packets.push((at + 500, udp(server, device, b"answer")));
        }
    }
    capture(&packets)
}

#[test]
fn three_thousand_flows_fit_a_screen_and_are_all_there_if_asked_for() {
    let root = folder(&[("a.pcap", &many_flows(3000))]);
    for command in ["inspect", "try"] {
        let ran = replay_in(root.path(), [command, "a.pcap"]);
        let lines: Vec<&str> = ran.out.lines().collect();
        assert!(lines.len() <= 40, "{command}: {}", ran.out);
        // Rows are cut; sentences are for the terminal to break.
        let sentence = |line: &str| {
            ["note: ", "  time ", "  5700 packets read; "]
                .iter()
                .any(|s| line.starts_with(s))
        };
        let long = lines
            .iter()
            .filter(|line| !sentence(line) && line.chars().count() > 80);
        assert_eq!(long.count(), 0, "{command}: {}", ran.out);
        let ran = replay_in(root.path(), [command, "a.pcap", "--all"]);
        assert!(ran.out.lines().count() > 3000, "{command}");
    }
}

#[test]
fn flows_are_chosen_by_number_port_address_and_name() {
    let root = folder(&[("a.pcap", &many_flows(40)), ("b.pcap", &hanging_upload())]);
    let chosen = |command: &str, file: &str, wanted: &str| -> Vec<u64> {
        let ran = replay_in(
            root.path(),
            [command, file, "--flow", wanted, "--format", "json"],
        );
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        let flows = report["flows"].as_array().unwrap();
        let number = |flow: &Value| flow["number"].as_u64().unwrap();
        flows.iter().map(number).collect()
    };
    for command in ["inspect", "try"] {
        assert_eq!(chosen(command, "a.pcap", "7"), [7]);
        assert_eq!(chosen(command, "a.pcap", ":20004"), [5]);
        assert_eq!(chosen(command, "a.pcap", "20004"), [5]);
        assert_eq!(chosen(command, "a.pcap", "192.0.2.2").len(), 20);
        assert_eq!(chosen(command, "a.pcap", "10.0.0.2:20002"), [3]);
        assert_eq!(chosen(command, "b.pcap", "Upload"), [1]);
        assert_eq!(chosen(command, "b.pcap", "other.example"), [0_u64; 0]);
        let ran = replay_in(root.path(), [command, "b.pcap", "--flow", "other.example"]);
        assert_eq!(ran.code, 4, "{command}: {}", ran.out);
        assert!(ran.err.contains("no flow is "), "{command}: {}", ran.err);
    }
}

#[test]
fn failed_flows_are_those_in_which_something_went_wrong() {
    let root = folder(&[("b.pcap", &hanging_upload()), ("a.pcap", &many_flows(40))]);
    for command in ["inspect", "try"] {
        let flows = |file: &str| {
            let ran = replay_in(root.path(), [command, file, "--failed", "--format", "json"]);
            let report: Value = serde_json::from_str(&ran.out).unwrap();
            report["flows"].as_array().unwrap().len()
        };
        assert_eq!(flows("b.pcap"), 1, "{command}");
        assert_eq!(flows("a.pcap"), 0, "{command}");
    }
}

#[test]
fn times_are_those_of_the_clock_on_the_wall_if_asked_for() {
    let root = folder(&[("a.pcap", &hanging_upload())]);
    let arguments = ["inspect", "a.pcap", "--flow", "1", "--time", "wall"];
    let ran = replay_in(root.path(), arguments);
    assert!(ran.out.contains("from 00:00:00.042, "), "{}", ran.out);
}

#[test]
fn tunnels_are_warned_about_where_the_capture_looks_like_one() {
    let ethernet = super::output::get_capture();
    let root = folder(&[
        ("tunnel.pcap", &hanging_upload()),
        ("cable.pcapng", &ethernet),
    ]);
    let warned = |file: &str| {
        let ran = replay_in(root.path(), ["try", file]);
        ran.out.contains("made at a tunnel")
    };
    assert!(warned("tunnel.pcap"));
    assert!(!warned("cable.pcapng"));
}
