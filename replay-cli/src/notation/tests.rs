use std::net::SocketAddr;

use super::*;
use crate::packet::{Checksum, Checksums, Malformed, Packet, Seq, TCP, Transport, UDP};

mod errors;
mod roundtrip;

const NUMBERING: Numbering = Numbering {
    device_isn: Some(Seq(1000)),
    engine_isn: Some(Seq(u32::MAX)),
};

fn ends(protocol: u8, v6: bool) -> Ends {
    let far = if v6 {
        "[2001:db8::1]:80"
    } else {
        "192.0.2.1:80"
    };
    let device = if v6 {
        "[fd00::2]:40000"
    } else {
        "10.0.0.2:40000"
    };
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    Ends {
        protocol,
        device: address(device),
        far: address(far),
    }
}

fn try_build(text: &str, protocol: u8, v6: bool) -> Result<Vec<u8>, BuildError> {
    let line = Line::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let (direction, segment) = line.segment().unwrap();
    segment.build(
        direction,
        &ends(protocol, v6),
        &NUMBERING,
        &Bindings::default(),
    )
}

fn build(text: &str, v6: bool) -> Vec<u8> {
    let protocol = if text.contains("udp") { UDP } else { TCP };
    try_build(text, protocol, v6).unwrap()
}

fn compare(expected: &str, sent: &str, bindings: &mut Bindings) -> Vec<String> {
    let bytes = build(sent, false);
    let packet = Packet::whole(&bytes).unwrap();
    let line = Line::parse(expected).unwrap_or_else(|error| panic!("{expected}: {error}"));
    let (direction, segment) = line.segment().unwrap();
    let differences = segment.compare(&packet, direction, &NUMBERING, bindings);
    differences.iter().map(Difference::to_string).collect()
}

fn matches(expected: &str, sent: &str) -> bool {
    compare(expected, sent, &mut Bindings::default()).is_empty()
}

#[test]
fn numbers_go_in_relative_to_their_own_sides() {
    let bytes = build("+.1 < get P. 1:79(78) ack 1 win 512 <sack 5:9>", false);
    let packet = Packet::whole(&bytes).unwrap();
    let tcp = packet.tcp().unwrap();
    assert_eq!(
        (tcp.sequence, tcp.acknowledgement, tcp.window),
        (Seq(1001), Seq(0), 512)
    );
    assert_eq!(tcp.options.sack(), [(Seq(4), Seq(8))]);
    assert_eq!(tcp.payload, pattern_bytes(0, 0, 78));
    assert_eq!(
        (packet.source, packet.ports()),
        ("10.0.0.2".parse().unwrap(), Some((40000, 80)))
    );
}

#[test]
fn default_payload_continues_the_stream() {
    let first = build("0 < get . 1:11(10) ack 1", true);
    let second = build("0 < get . 11:21(10) ack 1", true);
    let payload = |bytes: &[u8]| {
        Packet::whole(bytes)
            .unwrap()
            .tcp()
            .unwrap()
            .payload
            .to_vec()
    };
    assert_eq!(
        [payload(&first), payload(&second)].concat(),
        pattern_bytes(0, 0, 20)
    );
}

#[test]
fn pattern_tells_seeds_and_places_apart() {
    let base = pattern_bytes(0, 0, 64);
    for other in [
        pattern_bytes(1, 0, 64),
        pattern_bytes(0, 1, 64),
        pattern_bytes(0, 256, 64),
        pattern_bytes(0, 65_536, 64),
    ] {
        let same = base
            .iter()
            .zip(&other)
            .filter(|(one, other)| one == other)
            .count();
        assert!(same < 8, "{same} of 64 bytes agree");
    }
}

#[test]
fn an_expectation_compares_only_what_it_says() {
    let sent = "0 > get P. 1:5(4) ack 80 win 700 <mss 1460,nop,wscale 7>";
    for expected in [
        "~ > get P.",
        "~ > get P. 1:5(4)",
        "~ > get P. ack 80",
        "~ > get P. win 700",
        "~ > get P. *:*(4) win *",
    ] {
        assert!(matches(expected, sent), "{expected}");
    }
}

#[test]
fn each_written_field_is_compared() {
    let sent = "0 > get P. 1:5(4) ack 80 win 700 <mss 1460> text:'abcd'";
    let table = [
        ("~ > get .", "flags: expected ., got P."),
        ("~ > get P. 2:6(4)", "sequence: expected 2, got 1"),
        ("~ > get P. 1:4(3)", "len: expected 3, got 4"),
        ("~ > get P. ack 81", "ack: expected 81, got 80"),
        ("~ > get P. win 701", "win: expected 701, got 700"),
        ("~ > get P. urg 1", "urg: expected 1, got 0"),
        (
            "~ > get P. <mss 1400>",
            "options: expected <mss 1400>, got <mss 1460>",
        ),
        (
            "~ > get P. text:'abxd'",
            "payload: expected text:'abxd', got others from byte 2 on",
        ),
        ("~ > get P. !ip.ttl=9", "ip.ttl: expected 9, got 64"),
        (
            "~ > get P. !tcp.checksum=bad",
            "tcp.checksum: expected bad, got ",
        ),
        (
            "~ > get udp 4",
            "packet: expected udp 4, got P. 1:5(4) ack 80 win 700 <mss 1460>",
        ),
    ];
    for (expected, difference) in table {
        let found = compare(expected, sent, &mut Bindings::default());
        assert_eq!(found.len(), 1, "{expected}: {found:?}");
        assert!(found[0].starts_with(difference), "{expected}: {found:?}");
    }
}

#[test]
fn options_are_an_exact_set_in_any_order_unless_a_star_is_there() {
    let sent = "0 > get S. 0:0(0) <mss 1460,nop,wscale 7,sackOK>";
    for (options, met) in [
        ("<sackOK,wscale 7,mss 1460>", true),
        ("<mss 1460,nop,wscale 7,sackOK>", true),
        ("<mss 1460,nop,nop,wscale 7,sackOK>", false),
        ("<mss 1460,wscale 7>", false),
        ("<mss 1460,*>", true),
        ("<mss *,wscale *,sackOK>", true),
        ("<...>", true),
        ("<>", false),
        ("<TS val * ecr *,*>", false),
        ("<hex:0204 05b4,*>", false),
        ("<hex:020405b4,*>", true),
    ] {
        let text = format!("~ > get S. {options}");
        let found = Line::parse(&text).is_ok_and(|_| matches(&text, sent));
        assert_eq!(found, met, "{options}");
    }
}

#[test]
fn a_name_is_bound_by_the_first_match_and_asked_of_the_next() {
    let mut bindings = Bindings::default();
    assert!(compare("~ > get . ack $a", "0 > get . ack 80", &mut bindings).is_empty());
    assert_eq!(bindings.value("a"), Some(80));
    assert!(compare("~ > get . ack $a+10", "0 > get . ack 90", &mut bindings).is_empty());
    let found = compare("~ > get . ack $a", "0 > get . ack 81", &mut bindings);
    assert_eq!(found, ["ack: expected $a (80), got 81"]);
}

#[test]
fn a_sequence_number_on_the_wire_can_be_sent_expected_and_bound() {
    let sent = "0 > get S. 0:0(0) !tcp.seq=4294967290";
    let mut bindings = Bindings::default();
    assert!(compare("~ > get S. !tcp.seq=4294967290", sent, &mut bindings).is_empty());
    assert!(compare("~ > get S. !tcp.seq=$isn", sent, &mut bindings).is_empty());
    let later = "0 > get S. 0:0(0) !tcp.seq=4";
    assert!(compare("~ > get S. !tcp.seq=$isn+10", later, &mut bindings).is_empty());
    let found = compare("~ > get S. !tcp.seq=$isn", later, &mut bindings);
    assert_eq!(found, ["tcp.seq: expected $isn, got 4"]);
    assert!(Line::parse("0 < get S 0:0(0) !tcp.seq=$isn").is_err());
}

#[test]
fn a_packet_that_does_not_match_binds_nothing() {
    let mut bindings = Bindings::default();
    assert!(!compare("~ > get P. ack $a", "0 > get . ack 80", &mut bindings).is_empty());
    assert_eq!(bindings, Bindings::default());
}

#[test]
fn a_number_that_must_differ_is_every_other_one() {
    let mut bindings = Bindings::default();
    bindings.bind("a", 5);
    let differs = |text: &str, bindings: &mut Bindings| {
        compare(
            &format!("~ > get . ack !${text}"),
            "+0 > get . 1:1(0) ack 6",
            bindings,
        )
    };
    assert_eq!(differs("a", &mut bindings), [""; 0]);
    bindings.bind("a", 6);
    assert_eq!(
        differs("a", &mut bindings),
        ["ack: expected !$a (6), got 6"]
    );
    // What nobody has bound differs from nothing.
    assert_eq!(differs("b", &mut bindings), ["ack: expected !$b, got 6"]);
}

#[test]
fn an_unbound_name_cannot_be_sent() {
    let error = try_build("0 < get . 1:1(0) ack $a", TCP, false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "$a has no value yet; an expected packet binds it"
    );
}

#[test]
fn only_the_checksum_called_bad_is_bad() {
    let table = [
        ("!tcp.checksum=bad", Checksum::Valid, Checksum::Invalid),
        ("!ip.checksum=bad", Checksum::Invalid, Checksum::Valid),
        (
            "!ip.ttl=0 !ip.id=7 !ip.tos=3 !ip.flags=df",
            Checksum::Valid,
            Checksum::Valid,
        ),
        ("!ip.options=01010101", Checksum::Valid, Checksum::Valid),
        (
            "!ip.src=1.2.3.4 !tcp.urgent=5",
            Checksum::Valid,
            Checksum::Valid,
        ),
    ];
    for (overrides, ip, transport) in table {
        let bytes = build(&format!("0 < get . 1:11(10) ack 1 {overrides}"), false);
        let packet = Packet::whole(&bytes).unwrap();
        assert_eq!(
            packet.checksums(),
            Checksums { ip, transport },
            "{overrides}"
        );
    }
}

#[test]
fn overrides_write_the_field_they_name() {
    let bytes = |overrides: &str| build(&format!("0 < get . 1:11(10) ack 1 {overrides}"), false);
    let frame = bytes(
        "!ip.ttl=9 !ip.id=513 !ip.tos=252 !ip.ecn=1 !ip.flags=df !ip.offset=0 !ip.dst=9.8.7.6",
    );
    let packet = Packet::whole(&frame).unwrap();
    assert_eq!(
        (packet.ttl, packet.identification, packet.tos, packet.ecn),
        (9, 513, 253, 1)
    );
    assert!(packet.dont_fragment);
    assert_eq!(packet.destination.to_string(), "9.8.7.6");
    assert_eq!(
        Packet::whole(&bytes("!ip.version=5")),
        Err(Malformed::Version(5))
    );
    assert_eq!(
        Packet::whole(&bytes("!ip.ihl=4")),
        Err(Malformed::HeaderLength(16))
    );
    assert_eq!(
        Packet::whole(&bytes("!ip.len=9")),
        Err(Malformed::TotalLength {
            stated: 9,
            headers: 20
        })
    );
    let frame = bytes("!tcp.offset=4");
    assert_eq!(
        Packet::whole(&frame).unwrap().transport,
        Transport::Malformed(Malformed::TcpOffset(16))
    );
    let frame = bytes("!tcp.reserved=5 !tcp.urgent=6");
    let tcp = *Packet::whole(&frame).unwrap().tcp().unwrap();
    assert_eq!((tcp.reserved, tcp.urgent), (5, 6));
    let frame = bytes("!ip.proto=132");
    assert_eq!(
        Packet::whole(&frame).unwrap().transport,
        Transport::Other(132)
    );
    let frame = bytes("!ip.flags=mf !ip.offset=16");
    let fragment = Packet::whole(&frame).unwrap().fragment.unwrap();
    assert_eq!((fragment.offset, fragment.more), (16, true));
    assert_eq!(
        (bytes("!frame.cut=30").len(), bytes("!frame.pad=6").len()),
        (30, 56)
    );
}

#[test]
fn udp_overrides_write_length_and_checksum() {
    let frame = build("0 < dns udp 4 !udp.checksum=0", false);
    assert_eq!(
        Packet::whole(&frame).unwrap().checksums().transport,
        Checksum::Absent
    );
    let frame = build("0 < dns udp 4 !udp.len=13", false);
    assert_eq!(
        Packet::whole(&frame).unwrap().transport,
        Transport::Malformed(Malformed::UdpLength(13))
    );
}

#[test]
fn extension_headers_go_between_header_and_segment() {
    let frame = build(
        "0 < get S 0:0(0) !ip6.ext=hopopts,dstopts:c20400000000",
        true,
    );
    let packet = Packet::whole(&frame).unwrap();
    assert_eq!((packet.transport_offset, packet.protocol), (56, TCP));
    assert_eq!(packet.checksums().transport, Checksum::Valid);
    assert_eq!(frame.get(50..54), Some(&[0xc2, 4, 0, 0][..]));
    for (expected, met) in [
        ("hopopts,dstopts", true),
        ("hopopts,dstopts:c20400000000", true),
        ("dstopts", false),
    ] {
        let line = Line::parse(&format!("~ > get S !ip6.ext={expected}")).unwrap();
        let (direction, segment) = line.segment().unwrap();
        let found = segment.compare(&packet, direction, &NUMBERING, &mut Bindings::default());
        assert_eq!(found.is_empty(), met, "{expected}: {found:?}");
    }
}

#[test]
fn a_field_of_the_other_family_is_refused() {
    for (text, v6, what) in [
        (
            "0 < get . 1:1(0) ack 1 !ip.id=1",
            true,
            "IPv6 has no field ip.id",
        ),
        (
            "0 < get . 1:1(0) ack 1 !ip.checksum=bad",
            true,
            "IPv6 has no field ip.checksum",
        ),
        (
            "0 < get . 1:1(0) ack 1 !ip6.ext=hopopts",
            false,
            "IPv4 has no field ip6.ext",
        ),
        (
            "0 < get icmp unreachable protocol",
            true,
            "IPv6 has no such ICMP message",
        ),
    ] {
        assert_eq!(try_build(text, TCP, v6).unwrap_err().to_string(), what);
    }
}

#[test]
fn icmp_words_become_each_familys_numbers() {
    let table = [
        ("echo request id 7 seq 1 56", (8, 0), (128, 0)),
        ("echo reply id 7 seq 1 56", (0, 0), (129, 0)),
        ("unreachable port", (3, 3), (1, 4)),
        ("unreachable host", (3, 1), (1, 3)),
        ("unreachable admin", (3, 13), (1, 1)),
        ("unreachable fragmentation needed mtu 1400", (3, 4), (2, 0)),
        ("too-big mtu 1400", (3, 4), (2, 0)),
        ("time-exceeded hops", (11, 0), (3, 0)),
        ("time-exceeded reassembly", (11, 1), (3, 1)),
        ("parameter-problem code 1 pointer 40", (12, 1), (4, 1)),
        ("type 13 code 2 hex:0102030405", (13, 2), (13, 2)),
    ];
    for (text, four, six) in table {
        for (v6, (kind, code)) in [(false, four), (true, six)] {
            let frame = build(&format!("0 < dns icmp {text}"), v6);
            let packet = Packet::whole(&frame).unwrap();
            let Transport::Icmp(icmp) = packet.transport else {
                panic!("{text}: {packet:?}")
            };
            assert_eq!((icmp.kind, icmp.code), (kind, code), "{text}");
            assert_eq!(packet.checksums().transport, Checksum::Valid, "{text}");
        }
    }
}

#[test]
fn an_error_message_quotes_a_packet_of_the_other_side() {
    for v6 in [false, true] {
        let frame = build("0 < get icmp too-big mtu 1400 quoting seq 1449", v6);
        let packet = Packet::whole(&frame).unwrap();
        let Transport::Icmp(icmp) = packet.transport else {
            panic!("{packet:?}")
        };
        let quoted = icmp.quoted(!v6).unwrap();
        let quoted = Packet::parse(quoted, 100).unwrap();
        assert_eq!(
            (quoted.source, quoted.ports()),
            (packet.destination, Some((80, 40000)))
        );
        for (number, met) in [("1449", true), ("1", false), ("*", true)] {
            let line =
                Line::parse(&format!("~ > get icmp too-big mtu * quoting seq {number}")).unwrap();
            let Action::Expect(segment) = line.action else {
                panic!()
            };
            let found = segment.compare(
                &packet,
                Direction::FromDevice,
                &NUMBERING,
                &mut Bindings::default(),
            );
            assert_eq!(found.is_empty(), met, "{number}: {found:?}");
        }
    }
}

#[test]
fn fragments_of_a_packet_make_the_packet() {
    for v6 in [false, true] {
        let whole = build("0 < dns udp 100", v6);
        let first = build("0 < dns frag id 9 0:64 more of udp 100", v6);
        let last = build("0 < dns frag id 9 64:108 of udp 100", v6);
        let (first, last) = (
            Packet::whole(&first).unwrap(),
            Packet::whole(&last).unwrap(),
        );
        assert_eq!(
            first
                .fragment
                .map(|fragment| (fragment.identification, fragment.more)),
            Some((9, true))
        );
        assert_eq!(
            last.fragment
                .map(|fragment| (fragment.offset, fragment.more)),
            Some((64, false))
        );
        let joined = [first.payload(), last.payload()].concat();
        assert_eq!(joined, Packet::whole(&whole).unwrap().payload());
    }
}

#[test]
fn a_fragment_past_the_end_of_its_packet_is_refused() {
    let error = try_build("0 < dns frag id 9 64:109 of udp 100", UDP, false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the fragment ends at byte 109 of a payload of 108 bytes"
    );
}

#[test]
fn a_raw_packet_goes_in_as_it_stands() {
    assert_eq!(
        build("0 < raw hex:4500001400", false),
        [0x45, 0, 0, 0x14, 0]
    );
}

#[test]
fn times_open_the_window_they_say() {
    let window = |text: &str| {
        Line::parse(&format!("{text} > get ."))
            .unwrap()
            .time
            .window(1_000_000)
    };
    assert_eq!(window("0.042"), (42_000, 42_000));
    assert_eq!(window("+.1"), (1_100_000, 1_100_000));
    assert_eq!(window("+250us"), (1_000_250, 1_000_250));
    assert_eq!(window("0.1~0.3"), (100_000, 300_000));
    assert_eq!(window("+0.1~+0.3"), (1_100_000, 1_300_000));
    assert_eq!(window("+.1~.3"), (1_100_000, 1_300_000));
    assert_eq!(window("+2h"), (7_201_000_000, 7_201_000_000));
    assert_eq!(window("~"), (0, u64::MAX));
}

#[test]
fn numbering_learns_from_syns_and_keeps_the_first() {
    let mut numbering = Numbering::default();
    for (text, expected) in [
        ("0 < get . 1:1(0) ack 1", None),
        ("0 < get S 0:0(0)", Some(Seq(1000))),
        ("0 < get S 9:9(0)", Some(Seq(1000))),
    ] {
        let frame = build(text, false);
        numbering.learn(
            Direction::FromDevice,
            Packet::whole(&frame).unwrap().tcp().unwrap(),
        );
        assert_eq!(numbering.device_isn, expected, "{text}");
    }
}

#[test]
fn a_repeated_line_counts_identifications_and_echoes_up() {
    let line = Line::parse("+0 < dns frag id 9 0:8 more !frame.repeat=3").unwrap();
    let (_, segment) = line.segment().unwrap();
    assert_eq!(segment.repetitions(), 3);
    let Body::Fragment(third) = segment.repetition(2).body else {
        panic!("no fragment");
    };
    assert_eq!(third.identification, Num::Value(11));

    let line = Line::parse("+0 < dns udp 5").unwrap();
    let (_, segment) = line.segment().unwrap();
    assert_eq!(segment.repetitions(), 1);
    assert_eq!(segment.repetition(7), *segment);
}
