use super::syntax::{Expression, PacketBody, TcpOption, What};
use super::*;
use crate::notation::TimeSpec;

const OPEN: &str = "\
// A title
// covers: TCP-HS-SYNACK, TCP-DATA-INORDER
// engine: { \"mtu\": 1280 }
--tolerance_usecs=10000
`../common/defaults.sh`
 0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <...>   /* any
   options */
+.1 < . 1:1(0) ack 1 win 257
+0 accept(3, ..., ...) = 4
";

/// The last event of a script with a line more.
fn last(line: &str) -> syntax::Event {
    let script =
        parse(&format!("{OPEN}{line}\n")).map_err(|problem| format!("{line}: {problem:?}"));
    script.unwrap().events.pop().unwrap()
}

fn tcp(line: &str) -> syntax::TcpLine {
    match last(line).what {
        What::Packet(packet) => packet.tcp().unwrap().clone(),
        other => panic!("{other:?}"),
    }
}

fn call(line: &str) -> syntax::Call {
    match last(line).what {
        What::Call(call) => call,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_script_has_a_title_requirements_settings_and_events() {
    let script = parse(OPEN).unwrap();
    assert_eq!(script.title, "A title");
    let covers: Vec<&str> = script
        .covers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(covers, ["TCP-HS-SYNACK", "TCP-DATA-INORDER"]);
    assert_eq!(script.engine.unwrap().0, "{ \"mtu\": 1280 }");
    assert_eq!((script.options.len(), script.events.len()), (1, 7));
    assert_eq!(script.events[4].text, "+0 > S. 0:0(0) ack 1 <...>");
}

#[test]
fn every_form_of_time_is_read() {
    let time = |word: &str| last(&format!("{word} > . 1:1(0) ack 1")).time;
    assert_eq!(time("0"), TimeSpec::Absolute(0));
    assert_eq!(time("1.5"), TimeSpec::Absolute(1_500_000));
    assert_eq!(time("+.1"), TimeSpec::Relative(100_000));
    assert_eq!(time("*"), TimeSpec::Any);
    assert_eq!(time("0.1~0.2"), TimeSpec::RangeAbsolute(100_000, 200_000));
    assert_eq!(time("+0~+.2"), TimeSpec::RangeRelative(0, 200_000));
    assert_eq!(last("+0...0.2 read(4, ..., 10) = 10").end, Some(200_000));
    assert_eq!(last("+.1 ... .2 read(4, ..., 10) = 10").end, Some(200_000));
}

#[test]
fn every_form_of_packet_is_read() {
    let line = tcp("+0 > FP. 1:11(10) ack 5 win 6 urg 7 <nop,nop,sack 1:2 3:4,TS val 8 ecr 9,eol>");
    assert_eq!(
        (line.flags.as_str(), line.start, line.len),
        ("FP.", Some(1), 10)
    );
    assert_eq!(
        (line.ack, line.window, line.urgent),
        (Some(5), Some(6), Some(7))
    );
    let options = line.options.unwrap();
    assert_eq!(options[2], TcpOption::Sack(vec![(1, 2), (3, 4)]));
    assert_eq!(options[3], TcpOption::Timestamps(8, 9));
    assert_eq!(tcp("+0 > . 1:1(0) ack 5 <...>").options, None);
    assert_eq!(tcp("+0 > - 1:1(0)").flags, "");
    assert_eq!(
        tcp("+0 < SEW 4294967295:4294967295(0)").start,
        Some(0xffff_ffff)
    );
    assert_eq!(tcp("+0 > S. ...(0) ack 5").start, None);
    assert!(tcp("+0 > R. 0:0(0)! ack 5").absolute);
    assert!(tcp("+0 > P.5 1:2(1) ack 5").accurate_ecn);
    for foreign in [
        "FO",
        "FO 0102030405060708091011121314151617",
        "FOEXP abcd",
        "md5 valid",
        "ECN e1b 1 ceb 2",
        "mss MSS",
    ] {
        let options = tcp(&format!("+0 < S 0:0(0) win 5 <{foreign},nop>"))
            .options
            .unwrap();
        assert!(matches!(options[0], TcpOption::Foreign(_)), "{foreign}");
    }
    for other in [
        "+0 < [ect0] P. 1:2(1) ack 1 win 5",
        "+0 > (tos 0x04) . 1:1(0) ack 1",
        "+0 > [flowlabel 0x1] . 1:1(0) ack 1",
        "+0 > (hlim 4) . 1:1(0) ack 1",
        "+0 > 8080 > 1234 . 1:1(0) ack 1",
        "+0 < S. 0:0(0) ack 1 win 5 <mss 1452>/udp(1 > 9811)",
        "+0 > encap psp spi 0x1 P. 1:2(1) ack 1",
        "+0 < ipv4 192.0.2.1 > 192.0.2.2: gre: . 1:1(0) ack 1 win 5",
        "+0 < ipv6 2001:db8::1 > fd3d:fa7b:d17d::1: mpls (label 0, tc 0, [S], ttl 0): . 1:1(0) ack 1 win 5",
        "+0 < udp (1000)",
        "+0 > udp 4500 > 4501 (1000)",
        "+0 < icmp unreachable frag_needed mtu 640 [1:1001(1000)]",
        "+0 < icmp echo_request id 7",
        "+0 < icmp unreachable host_prohibited [0:0(0)/udp(9812 > 1)]",
    ] {
        assert!(matches!(last(other).what, What::Packet(_)), "{other}");
    }
    let What::Packet(packet) = last("+0 < icmp unreachable port_unreachable [7:8(1)]").what else {
        panic!();
    };
    assert!(matches!(
        packet.body,
        PacketBody::Icmp {
            echoed: Some(7),
            ..
        }
    ));
}

#[test]
fn every_form_of_argument_is_read() {
    let message = call(
        "+0 sendmsg(4, {msg_name(...)=..., msg_iov(2)=[{..., 100}, {..., 5}], msg_flags=0, msg_control=[{cmsg_level=SOL_SOCKET, \
         cmsg_type=SCM_TIMESTAMPING, cmsg_data={scm_sec=0,scm_nsec=1}}]}, MSG_MORE|MSG_EOR) = 105",
    );
    let parts = message.arguments[1].field("msg_iov").unwrap();
    assert!(matches!(parts, Expression::List(list) if list.len() == 2));
    assert_eq!(message.arguments[2].words(), ["MSG_MORE", "MSG_EOR"]);
    let refused = call("+0 read(4, ..., 9) = -1 EAGAIN (Resource temporarily unavailable)");
    assert_eq!(
        (refused.result.number(), refused.error.as_deref()),
        (Some(-1), Some("EAGAIN"))
    );
    assert_eq!(
        call("+0 fcntl(4, F_GETFL) = 0x02 (flags O_RDWR)")
            .result
            .number(),
        Some(2)
    );
    for other in [
        "+0 bind(3, {sa_family = AF_INET, sin_port = htons(8080), sin_addr = inet_addr(\"192.0.2.1\")}, ...) = 0",
        "+0 setsockopt(4, SOL_TCP, TCP_CONGESTION, \"cu\" \"bic\", 4) = 0",
        "+0 poll([{fd=4, events=POLLIN|POLLOUT, revents=POLLOUT}], 1, 0) = 1",
        "+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, u32=4}) = 0",
        "+0 write(4, \"a\"..., 10) = 10",
        "+0 ioctl(4, SIOCSIFADDR, {flags [none], sum 0, off 0, key = 0, seq 0}) = 0",
        "+0 getsockopt(4, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, [8]) = 0",
    ] {
        call(other);
    }
}

#[test]
fn names_and_conditions_are_followed() {
    let text = "--define=N=5\n#ifdef STANDARD\n0 close(N) = 0\n#else\n?\n#endif\n#ifndef STANDARD\n?\n#endif\n";
    let script = parse(text).unwrap();
    let What::Call(call) = &script.events[0].what else {
        panic!();
    };
    assert_eq!(
        (script.events.len(), call.arguments[0].number()),
        (1, Some(5))
    );
    assert!(parse("#ifdef STANDARD\n0 close(3) = 0\n").is_err());
    assert!(parse("0 close(3) = 0\n#endif\n").is_err());
}

#[test]
fn no_text_makes_the_reader_panic() {
    for end in 0..OPEN.len() {
        let _ = parse(&OPEN[..end]);
    }
    let mut hostile = String::from(OPEN);
    hostile.push_str("+0 read(4, = )\n+0 \u{fffd}\n%{\n`\n/*");
    assert!(parse(&hostile).is_err());
    let deep = format!("{OPEN}+0 read({}1 = 0\n", "[".repeat(100_000));
    assert!(parse(&deep).is_err());
}
