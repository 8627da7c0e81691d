use super::*;

fn problems(text: &str) -> Vec<String> {
    match parse(text) {
        Ok(_) => Vec::new(),
        Err(found) => found
            .iter()
            .map(|problem| format!("{}: {}", problem.at, problem.what))
            .collect(),
    }
}

const OPEN: &str = "\
// A title
// covers: TCP-HS-SYNACK, TCP-DATA-INORDER
--tolerance_usecs=10000
`../common/defaults.sh`
 0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
+0 bind(3, ..., ...) = 0
+0 listen(3, 1) = 0
+0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
+0 > S. 0:0(0) ack 1 <...>   /* any
   options */
+.1 < . 1:1(0) ack 1 win 257
+0 accept(3, ..., ...) = 4
";

#[test]
fn a_script_has_a_title_requirements_and_events() {
    let script = parse(OPEN).unwrap();
    assert_eq!(script.title, "A title");
    let covers: Vec<&str> = script
        .covers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(covers, ["TCP-HS-SYNACK", "TCP-DATA-INORDER"]);
    assert_eq!(script.events.len(), 4);
    assert!(matches!(script.events[3].what, What::Call(Call::Accept)));
    assert_eq!(script.events[2].time, TimeSpec::Relative(100_000));
}

#[test]
fn every_form_of_time_is_read() {
    let times = |word: &str| time(word);
    assert_eq!(times("0"), Some(TimeSpec::Absolute(0)));
    assert_eq!(times("1.5"), Some(TimeSpec::Absolute(1_500_000)));
    assert_eq!(times(".2"), Some(TimeSpec::Absolute(200_000)));
    assert_eq!(times("+.1"), Some(TimeSpec::Relative(100_000)));
    assert_eq!(times("*"), Some(TimeSpec::Any));
    assert_eq!(
        times("0.1~0.2"),
        Some(TimeSpec::RangeAbsolute(100_000, 200_000))
    );
    assert_eq!(times("+0~+.2"), Some(TimeSpec::RangeRelative(0, 200_000)));
    assert_eq!(times("~"), None);
    let script = format!("{OPEN}+0...0.2 read(4, ..., 10) = 10\n");
    assert_eq!(parse(&script).unwrap().events[4].end, Some(200_000));
}

#[test]
fn calls_are_mapped_onto_the_far_side() {
    let script = format!(
        "{OPEN}+0 read(4, ..., 100) = 60\n+0 recv(4, ..., 9, MSG_DONTWAIT) = -1 EAGAIN (Resource temporarily unavailable)\n\
         +0 write(4, ..., 5) = 5\n+0 shutdown(4, SHUT_WR) = 0\n+0 close(4) = 0\n+0 setsockopt(4, SOL_SOCKET, SO_LINGER, {{onoff=1, linger=0}}, 8) = 0\n+0 close(4) = 0\n"
    );
    let calls: Vec<Call> = parse(&script)
        .unwrap()
        .events
        .into_iter()
        .filter_map(|event| match event.what {
            What::Call(call) => Some(call),
            What::Packet(_) => None,
        })
        .collect();
    let read = |most, got| Call::Read { most, got };
    assert_eq!(
        calls,
        [
            Call::Accept,
            read(100, Got::Octets(60)),
            read(9, Got::Nothing),
            Call::Write(5),
            Call::Shutdown,
            Call::Close,
            Call::Abort
        ]
    );
}

#[test]
fn what_cannot_be_mapped_is_named_with_its_place() {
    let script = "\
`sysctl -q net.ipv4.tcp_sack=0`
--define=X=1
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0 setsockopt(3, IPPROTO_TCP, TCP_CORK, [1], 4) = 0
+0 %{ assert tcpi_snd_cwnd == 10,
  tcpi_snd_cwnd }%
  +0 < icmp unreachable [1:1001(1000)]
+0 > [ect0] P. 1:1001(1000) ack 1
+0 < S 0:0(0) win 100 <mss 1000,FO abcd>
";
    assert_eq!(
        problems(script),
        [
            "1:1: shell command `sysctl -q net.ipv4.tcp_sack=0`: there is no kernel to set up",
            "2:1: option --define=X=1: it has no counterpart here",
            "4:4: connect: the engine's device opens every connection",
            "5:4: setsockopt: socket option TCP_CORK is not mapped",
            "6:1: code in %{ }%: there is no TCP_INFO to ask",
            "8:7: `icmp` packets: only TCP segments of the one connection are mapped",
            "9:5: `[ect0]`: fields of the IP header are not mapped",
            "10:5: option `FO abcd` is not mapped",
        ]
    );
}

#[test]
fn expected_options_that_are_not_written_are_none() {
    let line = |text: &str| match &parse(&format!("{OPEN}{text}\n")).unwrap().events[4].what {
        What::Packet(line) => line.to_string(),
        What::Call(call) => format!("{call:?}"),
    };
    assert_eq!(line("+0 > . 1:1(0) ack 5"), "+0 > c . 1:1(0) ack 5 <>");
    assert_eq!(line("+0 > . 1:1(0) ack 5 <...>"), "+0 > c . 1:1(0) ack 5");
    assert_eq!(
        line("* > . 1:1(0) ack 5 win 7 <nop,nop,sack 9:11>"),
        "~ > c . 1:1(0) ack 5 win 7 <sack 9:11>"
    );
    assert_eq!(
        line("+0 < P. 1:5(4) ack 1 win 9"),
        "+0 < c P. 1:5(4) ack 1 win 9"
    );
}

#[test]
fn no_text_makes_the_reader_panic() {
    let mut hostile = String::from(OPEN);
    for end in 0..OPEN.len() {
        let _ = parse(&OPEN[..end]);
    }
    hostile.push_str("+0 read(4, = )\n+0 \u{fffd}\n%{\n`\n/*");
    assert!(parse(&hostile).is_err());
}
