use super::super::Line;

#[test]
fn bad_lines_say_where_and_what_to_do() {
    let table = [
        ("", "column 1: the line ends where a time is expected"),
        (
            "< get S 0:0(0)",
            "column 1: the line starts with '<', not with a time; a time comes first, such as +0 or ~",
        ),
        (
            "+0",
            "column 3: the line ends where '<', '>', 'sleep', 'path', 'address', 'output', 'stop' or 'silence' is expected",
        ),
        (
            "soon > get .",
            "column 1: 'soon' is no time; a time is in seconds, such as 0.042, +.1, 0.1~0.3 or ~, or has a unit, such as +2h",
        ),
        (
            "+1.2.3 > get .",
            "column 2: '1.2.3' is no time; a time is in seconds, such as 0.042, +.1, 0.1~0.3 or ~, or has a unit, such as +2h",
        ),
        (
            "0.0000001 > get .",
            "column 1: '0.0000001' is finer than a microsecond",
        ),
        (
            "99999999999999999d sleep",
            "column 1: '99999999999999999d' is too long a time",
        ),
        (
            "0.3~0.1 > get .",
            "column 1: the range ends before it starts",
        ),
        (
            "~ < get S 0:0(0)",
            "column 1: an injected packet needs one time; write +0.1 or 0.1, not a range or ~",
        ),
        (
            "+0 <get S 0:0(0)",
            "column 4: '<get S 0:0(0)' runs into the next word; write a space after it",
        ),
        (
            "+0 sleeep",
            "column 4: unknown action 'sleeep'; did you mean 'sleep'?",
        ),
        (
            "+0 path wifi",
            "column 9: 'wifi' is no change of path; write path wifi>cellular",
        ),
        (
            "silence till 5",
            "column 9: expected 'until', found 'till'; write silence until 5",
        ),
        (
            "+0 < get SX 0:0(0)",
            "column 10: unknown flag 'X'; flags are S F R P E W . U, or - for none",
        ),
        (
            "+0 < get upd 33",
            "column 10: unknown kind of packet 'upd'; did you mean 'udp'?",
        ),
        (
            "+0 < get .",
            "column 10: an injected segment needs its sequence range; write one after the flags, such as 1:1(0)",
        ),
        (
            "+0 < get . 1:1(0)",
            "column 10: the flags say '.', the line has no acknowledgement number; write ack N after the range",
        ),
        (
            "+0 < get S 0:0",
            "column 12: '0:0' is no sequence range; write start:end(length), such as 1:79(78)",
        ),
        (
            "+0 < get P. 1:80(78) ack 1",
            "column 13: 1:80 spans 79 bytes, not 78",
        ),
        (
            "+0 < get . 1:1(0) ack *",
            "column 10: '*' and '!$' say nothing to send; write every value of an injected packet",
        ),
        (
            "~ > get . ack",
            "column 14: the line ends where a number is expected",
        ),
        (
            "~ > get . ack ten",
            "column 15: expected a number, found 'ten'",
        ),
        (
            "~ > get . ack 1 ack 2",
            "column 17: 'ack' comes a second time",
        ),
        (
            "~ > get . win 65536",
            "column 15: 65536 is out of range; expected 0 to 65535",
        ),
        (
            "~ > get . ack $",
            "column 15: '$' is no name; a name is $ and letters, digits or _, such as $a or $a+10",
        ),
        (
            "~ > get . wim 5",
            "column 11: unknown word 'wim'; did you mean 'win'?",
        ),
        (
            "~ > get S. <mss 1460,wscal 7>",
            "column 22: unknown option 'wscal'; did you mean 'wscale'?",
        ),
        (
            "~ > get S. <mss 1460",
            "column 12: the options are not closed with '>'",
        ),
        (
            "~ > get . <sack 1-5>",
            "column 17: '1-5' is no block; write sack 1449:2897",
        ),
        (
            "~ > get . <TS 5 6>",
            "column 15: expected 'val', found '5'; write TS val 100 ecr 0",
        ),
        (
            "+0 < get S 0:0(0) <sack 1:2 3:4 5:6 7:8,TS val 1 ecr 2>",
            "column 19: the options take 44 bytes; a header has room for 40",
        ),
        (
            "+0 < dns udp 3 hex:1a2b",
            "column 16: the payload has 2 bytes, the line says 3",
        ),
        (
            "+0 < dns udp 3 hex:1a2",
            "column 20: an odd number of hex digits",
        ),
        (
            "+0 < dns udp 3 text:'ab",
            "column 21: text is not in quotes; write text:'...', a quote inside as \\'",
        ),
        (
            "+0 < dns icmp unreachable prot",
            "column 27: unknown reason 'prot'; did you mean 'port'?",
        ),
        (
            "+0 < dns frag id 9 4:8",
            "column 20: a fragment cannot start at 4; it starts at a multiple of 8",
        ),
        (
            "~ > dns frag id 9 0:8 of udp 3",
            "column 23: 'of' says what to send; an expected fragment has id, range and more",
        ),
        (
            "+0 < get R 1:1(0) !tcp.chksum=bad",
            "column 20: unknown field 'tcp.chksum'; did you mean 'tcp.checksum'?",
        ),
        (
            "+0 < get R 1:1(0) !ip.ttl",
            "column 20: 'ip.ttl' has no value; write !ip.ttl=1",
        ),
        (
            "+0 < get R 1:1(0) !ip.ttl=256",
            "column 27: 256 is out of range; expected 0 to 255",
        ),
        (
            "~ > get . !ip.version=5",
            "column 12: 'ip.version' can be sent, not expected",
        ),
        (
            "+0 < get R 1:1(0) !ip6.ext=hopopt",
            "column 28: unknown extension header 'hopopt'; did you mean 'hopopts'?",
        ),
        (
            "silence until 5 now",
            "column 17: unexpected 'now' at the end of the line",
        ),
        (
            "~ > gét . äck 5",
            "column 11: unknown word 'äck'; did you mean 'ack'?",
        ),
        (
            "+0 >* get S. 0:0(0) ack 1",
            "column 1: what may come has no time; write ~ >* get S. 0:0(0) ack 1",
        ),
        (
            "~ > get . *:9(+) ack 1",
            "column 11: a range in several segments needs its beginning; write 1:4001(+), or 1:*(+) for all that comes in the line's time",
        ),
        (
            "+0 < get . 1:9(acked) ack 1",
            "column 10: 'acked' is about what the device gets, not about what it sends; write (+) for as many segments as it takes",
        ),
        (
            "~ > get . 1:4(+) ack 1 text:'abc'",
            "column 24: a range in several segments has no payload of its own; write pattern:N, or leave the payload out",
        ),
        (
            "+0 < get . 1:1(0) ack !$a",
            "column 10: '*' and '!$' say nothing to send; write every value of an injected packet",
        ),
        (
            "~ > get . ack !$",
            "column 15: '!$' is no name; a name is $ and letters, digits or _, such as $a or $a+10",
        ),
        (
            "+0 < dns udp 3 !tcp.checksum=bad",
            "column 16: a UDP datagram has no field 'tcp.checksum'",
        ),
        (
            "~ > dns frag id 9 0:8 more !udp.checksum=bad",
            "column 28: a fragment has no field 'udp.checksum'",
        ),
    ];
    for (text, expected) in table {
        let error = Line::parse(text).expect_err(text).to_string();
        assert_eq!(error, expected, "{text}");
    }
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC*") {
        let _ = Line::parse(&text);
    }

    #[test]
    fn no_almost_right_line_makes_the_parser_panic(
        text in "(\\+|~|)[0-9.]{0,3}(h|~| ) ?(<|>) ?get (S|\\.|udp|icmp|frag|raw|é)? ?([a-z0-9:()$*!=.,<>'-]{0,6} ){0,6}"
    ) {
        let _ = Line::parse(&text);
    }
}
