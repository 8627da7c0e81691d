use std::io::Cursor;

use super::*;
use crate::base::term::Style;
use crate::capture::CaptureReader;
use crate::capture::inspect::read;
use crate::packet::build::{self, TcpSpec};
use crate::packet::{Flags, Seq};

/// A classic capture of RAW packets; times in microseconds.
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

fn segment(up: bool, flags: &str, sequence: u32, payload: &[u8]) -> Vec<u8> {
    let (client, server) = (
        "10.0.0.2:40000".parse().unwrap(),
        "192.0.2.1:80".parse().unwrap(),
    );
    let (from, to) = if up {
        (client, server)
    } else {
        (server, client)
    };
    let flags = flags.chars().filter_map(Flags::from_letter);
    build::tcp(&TcpSpec {
        sequence: Seq(sequence),
        flags: flags.fold(Flags::default(), Flags::with),
        payload,
        ..TcpSpec::new(from, to)
    })
}

fn seen(file: Vec<u8>) -> Inspection {
    let reader = CaptureReader::from_read("a.pcap", Cursor::new(file)).unwrap();
    read(reader, &mut |_, _| {})
}

fn sample() -> Vec<(u32, Vec<u8>)> {
    let query = build::udp(
        "10.0.0.2:5353".parse().unwrap(),
        "192.0.2.53:53".parse().unwrap(),
        b"query",
    );
    let large = vec![7; 1600];
    vec![
        (0, segment(true, "S", 0, b"")),
        (20_000, segment(false, "S.", 0, b"")),
        (20_500, segment(true, ".", 1, b"")),
        (21_000, segment(true, "P.", 1, b"GET")),
        (40_000, query),
        (39_000, segment(true, "P.", 1, b"GET")),
        (60_000, segment(false, ".", 1, &large)),
        (61_000, segment(false, "F.", 1601, b"")),
        (62_000, segment(true, "R", 4, b"")),
        (70_000, vec![0x45]),
        (
            71_000,
            build::icmp_echo(
                [10, 0, 0, 2].into(),
                [192, 0, 2, 1].into(),
                false,
                1,
                1,
                b"",
            ),
        ),
    ]
}

#[test]
fn a_capture_is_described_for_people() {
    let mut out = Vec::new();
    human(
        &mut out,
        Path::new("a.pcap"),
        &seen(capture(&sample())),
        &View::default(),
        Style::default(),
    )
    .unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}

#[test]
fn a_capture_is_described_for_programs() {
    let value = json(
        Path::new("a.pcap"),
        &seen(capture(&sample())),
        None,
        &View::default(),
    );
    insta::assert_snapshot!(format!("{value:#}"));
}

#[test]
fn a_capture_without_packets_says_so() {
    let mut out = Vec::new();
    human(
        &mut out,
        Path::new("a.pcap"),
        &seen(capture(&[])),
        &View::default(),
        Style::default(),
    )
    .unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.ends_with("nothing to replay: the capture holds no packet\n"),
        "{text}"
    );
}

#[test]
fn what_stands_before_damage_is_described() {
    let mut file = capture(&sample());
    file.truncate(file.len() - 3);
    let seen = seen(file);
    assert_eq!(
        (seen.packets, seen.flows.len(), seen.damage.is_some()),
        (10, 2, true)
    );
}

#[test]
fn fragments_are_counted_and_no_flows() {
    let whole = segment(true, "P.", 1, &[0; 100]);
    let pieces = build::fragments(&whole, 60, 1);
    assert!(pieces.len() > 1);
    let count = pieces.len() as u64;
    let packets: Vec<_> = pieces.into_iter().map(|piece| (0, piece)).collect();
    let seen = seen(capture(&packets));
    assert_eq!((seen.problems.fragments, seen.flows.len()), (count, 0));
}
