use proptest::prelude::*;

use super::super::*;
use super::{NUMBERING, ends};
use crate::packet::{Packet, TCP, UDP};

/// Lines in canonical form: each is printed as it was written.
const CANONICAL: &[&str] = &[
    "+0 < get S 0:0(0) win 65535 <mss 1460,sackOK,wscale 7>",
    "+0 > get S. 0:0(0) ack 1 <*>",
    "+0.1 < get P. 1:79(78) ack 1",
    "~ > get . 1:1449(1448) ack 80",
    "0.042 > get S. 0:0(0) ack 1 <mss 1460,*>",
    "0.1~0.3 > get .",
    "+0.1~+0.3 > get . ack $a+10",
    "+0 < get . 79:89(10) ack 1 !tcp.checksum=bad !ip.ttl=0",
    "+0 < get . -1:0(1) ack 1 win 0 urg 5 <nop,nop,sack 1:5 9:12,eol> hex:ff",
    "+0 < get - 1:1(0) <TS val 100 ecr 0,hex:fd040102>",
    "+0 < get P.U $a:$b($n) ack 1 text:'it\\'s \\\\ \"x\"\\r\\n' !ip.flags=df,mf !ip.options=01010101",
    "+0 < get#2 S 0:4(4) pattern:7 !ip6.ext=hopopts:0104,60,99 !ip.src=fd00::1",
    "+0 < dns udp 3 hex:1a2b3c",
    "~ > dns udp *",
    "+0 < raw hex:4500",
    "+0 < get raw hex:4500 !frame.cut=1",
    "+0 < ping icmp echo request id 7 seq 1 56",
    "~ > ping icmp echo reply id 7 seq * 56 pattern:0",
    "+0 < dns icmp unreachable port",
    "+0 < get icmp too-big mtu 1400 quoting seq 1449",
    "+0 < get icmp time-exceeded reassembly quoting hex:45",
    "~ > get icmp parameter-problem code 1 pointer 40",
    "+0 < get icmp type 13 code 0 hex:00010002",
    "+0 < dns frag id 9 0:1480 more of udp 3000",
    "+0 < dns frag id 9 8:11 hex:010203",
    "~ > dns frag id * 0:1480 more",
    "~ > get P. 1:4001(+) ack 1",
    "~ > get F. $a:$b+1(acked) ack !$a win 5",
    "+0 < get P. $next:$edge(+) ack 1 pattern:7",
    "~ > get S. !tcp.seq=!$isn",
    "~ >* get S. 0:0(0) ack 1 <*>",
    "+7200 sleep",
    "+0 path wifi>cellular",
    "+0.5 address get lost",
    "+1 stop",
    "silence until 5",
];

#[test]
fn canonical_lines_print_as_they_were_read() {
    for text in CANONICAL {
        let line = Line::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let expected = text.replace("60,99", "dstopts,99");
        assert_eq!(line.to_string(), expected);
        assert_eq!(Line::parse(&line.to_string()).as_ref(), Ok(&line));
    }
}

#[test]
fn other_spellings_print_as_the_canonical_one() {
    for (text, canonical) in [
        (
            "  +.10  <  get  P.  win 5  ack 1  1:1(0) ",
            "+0.1 < get P. 1:1(0) ack 1 win 5",
        ),
        ("+2h sleep", "+7200 sleep"),
        ("+0 path wifi > cellular", "+0 path wifi>cellular"),
        ("~ > get . <mss 1 , ...>", "~ > get . <mss 1,*>"),
        ("+0 < dns udp text:\"abc\"", "+0 < dns udp 3 text:'abc'"),
        (
            "+0 < get icmp unreachable fragmentation needed mtu 9",
            "+0 < get icmp too-big mtu 9",
        ),
        (
            "+0 < get icmp packet-too-big mtu 9",
            "+0 < get icmp too-big mtu 9",
        ),
        (
            "~ > get icmp time-exceeded",
            "~ > get icmp time-exceeded hops",
        ),
    ] {
        let printed = Line::parse(text)
            .map(|line| line.to_string())
            .unwrap_or_default();
        assert_eq!(printed, canonical, "{text}");
    }
}

#[test]
fn every_example_of_the_reference_is_a_line() {
    let reference = include_str!("../../../../docs/NOTATION.md");
    let mut examples = 0;
    let mut code = false;
    for line in reference.lines() {
        if line.starts_with("```") {
            code = line == "```line";
        } else if code && !line.trim().is_empty() {
            let text = line.split("   #").next().unwrap_or(line);
            if let Err(error) = Line::parse(text) {
                panic!("{text}: {error}");
            }
            examples += 1;
        }
    }
    assert!(examples > 50, "{examples} examples");
}

/// The printed line matches the packet, names the same packet kind, and is printed the same again.
fn check(bytes: &[u8], original_len: usize, direction: Direction) -> Result<(), TestCaseError> {
    let Ok(packet) = Packet::parse(bytes, original_len) else {
        return Ok(());
    };
    let time = TimeSpec::Absolute(42_000);
    let text = print_packet(&packet, &NUMBERING, time, "get", direction);
    let line =
        Line::parse(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
    let (parsed_direction, segment) = line.segment().unwrap();
    prop_assert_eq!(parsed_direction, direction);
    let differences = segment.compare(&packet, direction, &NUMBERING, &mut Bindings::default());
    prop_assert!(differences.is_empty(), "{}: {:?}", text, differences);
    prop_assert_eq!(line.to_string(), text);
    Ok(())
}

fn direction() -> impl Strategy<Value = Direction> {
    prop::sample::select(vec![Direction::FromDevice, Direction::FromEngine])
}

/// Texts of bodies with numbers of every size.
fn body() -> impl Strategy<Value = String> {
    let number = any::<u32>();
    prop_oneof![
        (
            "[SFRPEW.U]{1,8}",
            number,
            0u32..1500,
            any::<(u32, u16, u16)>(),
            options()
        )
            .prop_map(|(flags, start, len, (ack, window, urgent), options)| {
                let end = start.wrapping_add(len);
                format!(
                    "{flags} {start}:{end}({len}) ack {ack} win {window} urg {urgent} {options}"
                )
            }),
        (0u32..1500).prop_map(|len| format!("udp {len}")),
        (any::<(u16, u16)>(), 0u32..100).prop_map(|((id, seq), len)| {
            format!(
                "icmp echo {} id {id} seq {seq} {len}",
                if len % 2 == 0 { "request" } else { "reply" }
            )
        }),
        prop::sample::select(vec!["port", "net", "host", "admin"])
            .prop_map(|word| format!("icmp unreachable {word}")),
        any::<u16>().prop_map(|mtu| format!("icmp too-big mtu {mtu}")),
        any::<(u8, u8)>()
            .prop_map(|(code, at)| format!("icmp parameter-problem code {code} pointer {at}")),
        any::<(u8, u8)>().prop_map(|(kind, code)| format!("icmp type {kind} code {code}")),
        (any::<u16>(), 0u32..8191, 0u32..100).prop_map(|(id, unit, len)| {
            format!("frag id {id} {}:{} more", unit * 8, unit * 8 + len)
        }),
    ]
}

fn options() -> impl Strategy<Value = String> {
    let one = prop_oneof![
        any::<u16>().prop_map(|size| format!("mss {size}")),
        any::<u8>().prop_map(|shift| format!("wscale {shift}")),
        any::<(u32, u32)>().prop_map(|(left, right)| format!("sack {left}:{right}")),
        any::<(u32, u32)>().prop_map(|(value, echo)| format!("TS val {value} ecr {echo}")),
        Just("sackOK".to_owned()),
        Just("nop".to_owned()),
        "(fd04|0504|0804)[0-9a-f]{4}|1306[0-9a-f]{8}".prop_map(|digits| format!("hex:{digits}")),
    ];
    prop::collection::vec(one, 0..4).prop_map(|options| format!("<{}>", options.join(",")))
}

/// Overrides that the body can have.
fn overrides(body: &str, choice: usize) -> &'static str {
    let own = match body.split(' ').next() {
        Some("udp") => ["!udp.checksum=bad", "!udp.checksum=0"],
        Some("icmp") => ["!icmp.checksum=bad", "!icmp.checksum=9"],
        Some("frag") => ["", "!ip.tos=5"],
        _ => ["!tcp.checksum=bad", "!tcp.reserved=3"],
    };
    ["", "!ip.ttl=1", own[0], own[1]][choice]
}

proptest! {
    #[test]
    fn a_printed_packet_reads_back_and_matches(
        body in body(),
        choice in 0usize..4,
        v6 in any::<bool>(),
        udp in any::<bool>(),
        direction in direction(),
        extended in any::<bool>(),
    ) {
        let overrides = overrides(&body, choice);
        let extended = if v6 && extended { "!ip6.ext=hopopts,frag" } else { "" };
        let text = format!("0 < get {body} {overrides} {extended}");
        let line = Line::parse(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        let (_, segment) = line.segment().unwrap();
        let protocol = if udp { UDP } else { TCP };
        let bytes = segment.build(direction, &ends(protocol, v6), &NUMBERING, &Bindings::default()).unwrap();
        check(&bytes, bytes.len(), direction)?;
        let whole = Packet::whole(&bytes).unwrap();
        let found = segment.compare(&whole, direction, &NUMBERING, &mut Bindings::default());
        prop_assert!(found.is_empty(), "{text}: {found:?}");
    }

    #[test]
    fn any_bytes_print_as_a_line_that_matches_them(
        mut bytes in prop::collection::vec(any::<u8>(), 20..120),
        version in prop::sample::select(vec![0x45u8, 0x46, 0x60]),
        protocol in prop::sample::select(vec![0u8, 6, 17, 1, 58, 44, 60]),
        sizes in (any::<bool>(), any::<bool>(), 0usize..200_000),
        direction in direction(),
    ) {
        bytes[0] = version;
        bytes[if version == 0x60 { 6 } else { 9 }] = protocol;
        if sizes.0 {
            bytes[2..6].fill(0);
        }
        if sizes.1 {
            bytes[6] &= 0x40;
            bytes[7] = 0;
        }
        check(&bytes, sizes.2, direction)?;
    }
}
