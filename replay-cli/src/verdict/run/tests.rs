//! Captures whose device must do what the recording does not hold as it stands.

mod lines;

use std::net::SocketAddr;

use crate::packet::build::{TcpSpec, tcp, udp};
use crate::packet::{Flags, Seq};
use crate::simulation::Figures;
use crate::verdict::run::{RunOptions, run_file};

/// Sequence numbers of both sides' SYN.
type Isns = (u32, u32);

const FIRST: Isns = (1000, 5000);

fn end(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A segment with numbers that count from the SYNs.
fn segment(
    up: bool,
    (device, far): Isns,
    flags: &str,
    numbers: (u32, u32),
    window: u16,
    payload: &[u8],
) -> Vec<u8> {
    let (client, server) = (end("10.0.0.2:40000"), end("192.0.2.1:80"));
    let ((from, to), (mine, theirs)) = if up {
        ((client, server), (device, far))
    } else {
        ((server, client), (far, device))
    };
    let letters = flags.chars().filter_map(Flags::from_letter);
    tcp(&TcpSpec {
        sequence: Seq(mine).plus(numbers.0),
        acknowledgement: Seq(theirs).plus(numbers.1),
        flags: letters.fold(Flags(0), Flags::with),
        window,
        payload,
        ..TcpSpec::new(from, to)
    })
}

/// SYN, SYN-ACK and acknowledgement, a millisecond apart; `late` more before the last.
fn handshake(at: u64, late: u64, isns: Isns, window: u16) -> Vec<(u64, Vec<u8>)> {
    vec![
        (at, segment(true, isns, "S", (0, 0), window, b"")),
        (at + 1, segment(false, isns, "S.", (0, 1), 65_535, b"")),
        (at + 2 + late, segment(true, isns, ".", (1, 1), window, b"")),
    ]
}

/// Plays packets, with their times in milliseconds, to a dialer with these rules; all must be as expected.
fn play(packets: &[(u64, Vec<u8>)], settings: &str, rules: &str, expect: &str) -> Figures {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 101] {
        file.extend(word.to_le_bytes());
    }
    for (millis, packet) in packets {
        let words = [
            millis / 1000,
            millis % 1000 * 1000,
            packet.len() as u64,
            packet.len() as u64,
        ];
        for word in words {
            file.extend(u32::try_from(word).unwrap().to_le_bytes());
        }
        file.extend(packet);
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.pcap"), file).unwrap();
    let scenario = format!(
        r#"{{ "schema": 1, "title": "t", "input": {{ "capture": "x.pcap" }}, "engine": {{ {settings} }},
            "flows": {{ "get": "tcp 10.0.0.2:40000 > 192.0.2.1:80", "dns": "udp 10.0.0.2:50000 > 192.0.2.53:53" }},
            "dialer": {{ "rules": [{rules}] }}, "expect": {{ {expect} }} }}"#
    );
    let scenario = if packets.iter().any(|(_, packet)| packet.get(9) == Some(&17)) {
        scenario
    } else {
        scenario.replace(r#", "dns": "udp 10.0.0.2:50000 > 192.0.2.53:53""#, "")
    };
    let path = folder.path().join("x.json");
    std::fs::write(&path, scenario).unwrap();
    let options = RunOptions {
        captures: Some(folder.path().to_owned()),
        ..RunOptions::default()
    };
    let outcome = run_file(&path, &options).remove(0);
    assert!(
        outcome.passed(),
        "{:?} {:?}",
        outcome.verdict,
        outcome.failures
    );
    let told = outcome.notes.iter().any(|note| note.contains("made up"));
    assert_eq!(told, outcome.figures.synthetic > 0, "{:?}", outcome.notes);
    outcome.figures
}

#[test]
fn a_tuple_used_again_begins_though_the_connection_before_never_ended() {
    let mut packets = handshake(0, 0, FIRST, 65_535);
    packets.extend(handshake(5000, 0, (900_000, 7), 65_535));
    let dials = r#""dials": [{ "flow": "get" }, { "flow": "get#2" }]"#;
    let figures = play(&packets, "", r#"{ "then": [] }"#, dials);
    assert_eq!(figures.synthetic, 1, "a reset for the one before");
}

#[test]
fn what_was_sent_ahead_of_the_recording_is_left_out_when_its_turn_comes() {
    // The first half was recorded after the second, which this engine has no room for before.
    let mut packets = handshake(0, 0, FIRST, 65_535);
    let halves = [[b'a'; 900], [b'b'; 900]];
    packets.extend([
        (10, segment(true, FIRST, "P.", (901, 1), 65_535, &halves[1])),
        (11, segment(false, FIRST, ".", (1, 1), 65_535, b"")),
        (50, segment(true, FIRST, ".", (1, 1), 65_535, &halves[0])),
        (51, segment(false, FIRST, ".", (1, 1801), 65_535, b"")),
    ]);
    let whole = format!(
        r#""streams": {{ "get": {{ "upstream": {{ "bytes": 1800, "sha256": "{}" }} }} }}"#,
        crate::base::sha256::sha256(&halves.concat())
    );
    let figures = play(
        &packets,
        r#""rx_buffer": 1000"#,
        r#"{ "then": [] }"#,
        &whole,
    );
    assert_eq!((figures.synthetic, figures.left_out), (1, 1));
}

#[test]
fn a_window_that_ends_where_the_next_acknowledgement_stands_is_left_as_it_is() {
    let mut packets = handshake(0, 0, FIRST, 100);
    packets.extend([
        (
            30,
            segment(false, FIRST, "P.", (1, 1), 65_535, &[b'x'; 100]),
        ),
        (31, segment(true, FIRST, ".", (1, 101), 100, b"")),
    ]);
    let rules = r#"{ "then": [{ "wait": "28ms" }, { "send": { "capture": "get", "from": 0, "to": 100 } }] }"#;
    let expect = r#""streams": { "get": { "downstream": { "bytes": 100 } } }"#;
    assert_eq!(play(&packets, "", rules, expect).synthetic, 0);
}

#[test]
fn the_devices_own_step_of_the_handshake_is_waited_for() {
    let mut packets = handshake(0, 3000, FIRST, 65_535);
    packets.push((3003, segment(true, FIRST, "P.", (1, 1), 65_535, b"hello")));
    let expect = r#""streams": { "get": { "upstream": { "bytes": 5 } } }"#;
    let figures = play(&packets, "", r#"{ "then": [] }"#, expect);
    assert_eq!(figures.synthetic, 0);
    assert!(figures.frames_out > 2, "the SYN-ACK was repeated meanwhile");
}

#[test]
fn a_connection_to_an_address_learnt_waits_for_the_answer_that_told_it() {
    let question =
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01";
    let answer =
        b"\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01\
        \xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01";
    let (device, resolver) = (end("10.0.0.2:50000"), end("192.0.2.53:53"));
    let mut packets = vec![
        (0, udp(device, resolver, question)),
        (20, udp(resolver, device, answer)),
    ];
    packets.extend(handshake(30, 0, FIRST, 65_535));
    let rules = format!(
        r#"{{ "when": {{ "to": "*:53" }}, "then": [{{ "read": 1 }}, {{ "wait": "500ms" }},
            {{ "send": {{ "capture": "dns", "from": 0, "to": {} }} }}] }}, {{ "then": [] }}"#,
        answer.len()
    );
    let expect = r#""dials": [{ "flow": "dns" }, { "flow": "get", "at": "500ms" }]"#;
    assert_eq!(play(&packets, "", &rules, expect).synthetic, 0);
}
