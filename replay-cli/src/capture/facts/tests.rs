use super::*;

const SECOND: i64 = 1_000_000_000;

/// Packets of one TCP flow, end 0 being the device.
struct Script {
    facts: FlowFacts,
    frame: u64,
    now_ns: i64,
}

impl Script {
    fn new(protocol: Protocol, server: &str) -> Self {
        let (first, second) = ("10.0.0.2:40000".parse().unwrap(), server.parse().unwrap());
        Self {
            facts: FlowFacts::new(protocol, first, second),
            frame: 0,
            now_ns: 100 * SECOND,
        }
    }

    fn tcp() -> Self {
        Self::new(Protocol::Tcp, "192.0.2.1:80")
    }

    /// A flow whose handshake took 20 ms, without window scaling.
    fn open() -> Self {
        let mut script = Self::tcp();
        script
            .up("S", 100, 0, 0, 8000)
            .wait(20_000_000)
            .down("S.", 500, 101, 0, 4000)
            .up(".", 101, 501, 0, 8000);
        script
    }

    fn wait(&mut self, ns: i64) -> &mut Self {
        self.now_ns += ns;
        self
    }

    fn segment(
        &mut self,
        end: usize,
        flags: &str,
        numbers: [u32; 2],
        len: u32,
        window: u16,
    ) -> Marks {
        self.frame += 1;
        let flags = flags.chars().filter_map(Flags::from_letter);
        let seen = Seen {
            since: Since {
                at_ns: self.now_ns,
                frame: self.frame,
            },
            end,
            payload_len: len,
            tcp: Header {
                sequence: Seq(numbers[0]),
                acknowledgement: Seq(numbers[1]),
                flags: flags.fold(Flags::default(), Flags::with),
                window,
                scale: None,
                mss: None,
            },
        };
        self.facts.packet(&seen, &[])
    }

    fn up(&mut self, flags: &str, sequence: u32, ack: u32, len: u32, window: u16) -> &mut Self {
        self.segment(0, flags, [sequence, ack], len, window);
        self
    }

    fn down(&mut self, flags: &str, sequence: u32, ack: u32, len: u32, window: u16) -> &mut Self {
        self.segment(1, flags, [sequence, ack], len, window);
        self
    }

    fn datagram(&mut self, end: usize, payload: &[u8]) -> &mut Self {
        self.frame += 1;
        let seen = Seen {
            since: Since {
                at_ns: self.now_ns,
                frame: self.frame,
            },
            end,
            payload_len: u32::try_from(payload.len()).unwrap(),
            tcp: Header::default(),
        };
        assert!(self.facts.wants(&seen) || self.frame > 1);
        self.facts.packet(&seen, payload);
        self
    }

    fn done(&mut self) -> Facts {
        let empty = Self::tcp().facts;
        std::mem::replace(&mut self.facts, empty).finish(0).0
    }

    fn only(&mut self, kind: FactKind) -> Option<Fact> {
        let facts = self.done();
        let mut found = facts.list.into_iter().filter(|fact| fact.kind == kind);
        let fact = found.next();
        assert_eq!(found.next(), None);
        fact
    }
}

#[test]
fn a_server_that_stops_reading_has_stalled_the_flow_until_the_device_gives_up() {
    let mut script = Script::open();
    script
        .up("P.", 101, 501, 4000, 8000)
        .wait(20_000_000)
        .down(".", 501, 4101, 0, 0)
        .wait(SECOND)
        .up(".", 4101, 501, 1, 8000)
        .wait(20_000_000)
        .down(".", 501, 4101, 0, 0)
        .wait(2 * SECOND)
        .up("R.", 4101, 501, 0, 0);
    let facts = script.done();
    assert_eq!(facts.trouble(), Some(FactKind::Stalled));
    let stalled = &facts.list[0];
    assert_eq!(
        (stalled.kind, stalled.by, stalled.frame),
        (FactKind::Stalled, Some(Side::Remote), 5)
    );
    assert_eq!(stalled.at_ns, 100 * SECOND + 40_000_000);
    assert_eq!(stalled.lasted_ns, Some(3_020_000_000));
    assert_eq!(stalled.ending, Some(Ending::Reset));
    let counts: Vec<_> = facts
        .list
        .iter()
        .map(|f| (f.kind.label(), f.count))
        .collect();
    let wanted = [
        ("stalled", 1),
        ("reset", 1),
        ("zero-window", 2),
        ("zero-window-probe", 1),
        ("window-full", 1),
        ("rtt", 2),
    ];
    assert_eq!(counts, wanted);
    assert_eq!(
        facts.list[1].detail,
        Detail::During(During::Stall(Side::Remote))
    );
}

#[test]
fn a_stall_that_ends_is_told_from_one_that_is_open_at_the_end() {
    let stalled = |reopens: bool| {
        let mut script = Script::open();
        script.down(".", 501, 101, 0, 0).wait(SECOND);
        if reopens {
            script.down(".", 501, 101, 0, 4000);
        }
        script.wait(SECOND).up(".", 101, 501, 0, 8000);
        let fact = script.only(FactKind::Stalled).unwrap();
        (fact.lasted_ns, fact.ending)
    };
    let second = SECOND.unsigned_abs();
    assert_eq!(stalled(true), (Some(second), Some(Ending::Resumed)));
    assert_eq!(stalled(false), (Some(2 * second), Some(Ending::Open)));
}

#[test]
fn a_window_closed_for_less_than_a_delayed_acknowledgement_is_no_stall() {
    let mut script = Script::open();
    script
        .down(".", 501, 101, 0, 0)
        .wait(199_000_000)
        .down(".", 501, 101, 0, 4000);
    assert_eq!(script.only(FactKind::Stalled), None);
}

#[test]
fn several_stalls_are_one_fact_with_the_longest() {
    let mut script = Script::open();
    for seconds in [1, 3, 2] {
        script
            .down(".", 501, 101, 0, 0)
            .wait(seconds * SECOND)
            .down(".", 501, 101, 0, 4000);
    }
    let fact = script.only(FactKind::Stalled).unwrap();
    assert_eq!((fact.count, fact.lasted_ns), (3, Some(3_000_000_000)));
    assert_eq!(fact.frame, 6);
}

#[test]
fn a_peer_that_acknowledges_nothing_is_told_with_how_long() {
    let mut script = Script::open();
    script.up("P.", 101, 501, 100, 8000);
    for _ in 0..3 {
        script.wait(SECOND).up("P.", 101, 501, 100, 8000);
    }
    script.wait(SECOND).down(".", 501, 201, 0, 4000);
    let facts = script.done();
    let slow = &facts.list[0];
    assert_eq!(
        (slow.kind, slow.by, slow.lasted_ns, slow.ending),
        (
            FactKind::Unacknowledged,
            Some(Side::Remote),
            Some(4_000_000_000),
            Some(Ending::Resumed)
        )
    );
    let again = facts
        .list
        .iter()
        .find(|f| f.kind == FactKind::Retransmission);
    assert_eq!(
        again.map(|f| (f.by, f.count)),
        Some((Some(Side::Device), 3))
    );
}

#[test]
fn syns_without_answer_are_counted_and_nothing_else_is_said() {
    let mut script = Script::tcp();
    for _ in 0..3 {
        script.up("S", 100, 0, 0, 8000).wait(SECOND);
    }
    let facts = script.done();
    let kinds: Vec<_> = facts.list.iter().map(|f| (f.kind, f.count)).collect();
    assert_eq!(
        kinds,
        [
            (FactKind::SynUnanswered, 3),
            (FactKind::SynRetransmission, 2)
        ]
    );
    assert_eq!(facts.list[0].lasted_ns, Some(2_000_000_000));
}

#[test]
fn a_reset_in_answer_to_a_syn_is_a_refusal() {
    let mut script = Script::tcp();
    script.up("S", 100, 0, 0, 8000).down("R.", 0, 101, 0, 0);
    let fact = script.only(FactKind::Refused).unwrap();
    assert_eq!(fact.by, Some(Side::Remote));
}

#[test]
fn a_reset_says_in_the_middle_of_what_it_came() {
    let during = |play: fn(&mut Script)| {
        let mut script = Script::open();
        play(&mut script);
        script.up("R", 101, 0, 0, 0);
        script.only(FactKind::Reset).map(|fact| fact.detail)
    };
    let some = |during| Some(Detail::During(during));
    assert_eq!(
        during(|s| {
            s.down("P.", 501, 101, 1000, 4000);
        }),
        some(During::Sending(Side::Remote))
    );
    assert_eq!(
        during(|s| {
            s.down("F.", 501, 101, 0, 4000).up(".", 101, 502, 0, 8000);
        }),
        some(During::HalfClose(Side::Remote))
    );
    assert_eq!(during(|_| ()), some(During::Quiet));
    // After both have closed it harms nobody.
    assert_eq!(
        during(|s| {
            s.down("F.", 501, 101, 0, 4000).up("F.", 101, 502, 0, 8000);
        }),
        None
    );
}

#[test]
fn a_side_that_does_not_close_is_told_with_how_long_it_was_waited_for() {
    let mut script = Script::open();
    script
        .up("F.", 101, 501, 0, 8000)
        .down(".", 501, 102, 0, 4000)
        .wait(5 * SECOND)
        .down("F.", 501, 102, 0, 4000);
    let facts = script.done();
    let fact = &facts.list[0];
    assert_eq!(
        (fact.kind, fact.by, fact.lasted_ns, fact.ending),
        (
            FactKind::HalfClosed,
            Some(Side::Remote),
            Some(5_000_000_000),
            Some(Ending::Resumed)
        )
    );
    assert!(facts.list.iter().all(|f| f.kind != FactKind::OpenAtEnd));
}

#[test]
fn open_at_the_end_is_told_from_closed() {
    let mut script = Script::open();
    let fact = script.only(FactKind::OpenAtEnd).unwrap();
    assert_eq!((fact.by, fact.frame), (None, 3));
    let mut script = Script::open();
    script
        .up("F.", 101, 501, 0, 8000)
        .down("F.", 501, 102, 0, 4000);
    assert_eq!(script.only(FactKind::OpenAtEnd), None);
}

#[test]
fn round_trips_are_of_first_copies_alone() {
    let mut script = Script::open();
    let mut number = 101;
    for ms in [30, 10, 20] {
        script
            .up("P.", number, 501, 100, 8000)
            .wait(ms * 1_000_000)
            .down(".", 501, number + 100, 0, 4000);
        number += 100;
    }
    script
        .up("P.", number, 501, 100, 8000)
        .wait(400_000_000)
        .up("P.", number, 501, 100, 8000)
        .wait(1_000_000)
        .down(".", 501, number + 100, 0, 4000);
    let facts = script.done();
    let rtt = facts
        .list
        .iter()
        .find(|f| f.by == Some(Side::Remote) && f.kind == FactKind::Rtt);
    let range = Range {
        min: 10_000_000,
        median: 20_000_000,
        max: 30_000_000,
        count: 4,
    };
    let detail = Detail::Times(Some(20_000_000), Some(range));
    assert_eq!(rtt.map(|fact| &fact.detail), Some(&detail));
}

#[test]
fn full_segments_that_only_come_through_in_pieces_make_the_path_suspect() {
    let mut script = Script::open();
    for _ in 0..5 {
        script.up(".", 101, 501, 1460, 8000).wait(SECOND);
    }
    script
        .up(".", 101, 501, 536, 8000)
        .down(".", 501, 637, 0, 4000);
    let fact = script.only(FactKind::PmtuSuspect).unwrap();
    assert_eq!(
        (fact.by, fact.count, fact.detail),
        (Some(Side::Device), 5, Detail::Bytes(1460))
    );
}

#[test]
fn what_routers_say_about_sizes_is_told_from_their_other_errors() {
    let mut script = Script::open();
    let since = |frame| Since {
        at_ns: script.now_ns,
        frame,
    };
    let (first, second) = (since(4), since(5));
    script.facts.icmp(first, 3, 4, true);
    script.facts.icmp(second, 3, 1, false);
    let facts = script.done();
    let kinds: Vec<_> = facts
        .list
        .iter()
        .map(|f| (f.kind.label(), f.frame))
        .collect();
    assert_eq!(kinds[..2], [("packet-too-big", 4), ("icmp-error", 5)]);
}

/// A DNS message about `a.example`.
fn dns(id: u16, flags: [u8; 2]) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend(flags);
    message.extend([0, 1, 0, 0, 0, 0, 0, 0]);
    message.extend(b"\x01a\x07example\0\0\x01\0\x01");
    message
}

#[test]
fn dns_questions_are_told_by_what_became_of_them() {
    let mut script = Script::new(Protocol::Udp, "192.0.2.53:53");
    script
        .datagram(0, &dns(1, [1, 0]))
        .wait(20_000_000)
        .datagram(1, &dns(1, [0x81, 0x80]))
        .datagram(0, &dns(2, [1, 0]))
        .wait(40_000_000)
        .datagram(1, &dns(2, [0x81, 0x83]))
        .datagram(0, &dns(3, [1, 0]))
        .wait(30_000_000)
        .datagram(1, &dns(3, [0x81, 0x82]))
        .datagram(0, &dns(4, [1, 0]))
        .datagram(0, &dns(4, [1, 0]));
    let facts = script.done();
    let kinds: Vec<_> = facts
        .list
        .iter()
        .map(|f| (f.kind.label(), f.count))
        .collect();
    let wanted = [
        ("dns-unanswered", 1),
        ("dns-servfail", 1),
        ("dns-nxdomain", 1),
        ("dns-answer", 3),
    ];
    assert_eq!(kinds, wanted);
    let names = Detail::Names(vec!["a.example".to_owned()]);
    assert!(facts.list[..3].iter().all(|fact| fact.detail == names));
    let range = Range {
        min: 20_000_000,
        median: 30_000_000,
        max: 40_000_000,
        count: 3,
    };
    assert_eq!(facts.list[3].detail, Detail::Times(None, Some(range)));
}

#[test]
fn datagrams_without_answer_are_told_and_quic_by_its_name() {
    let protocol = |server: &str, payload: &[u8]| {
        let mut script = Script::new(Protocol::Udp, server);
        script.datagram(0, payload).datagram(0, payload);
        let facts = script.done();
        facts.list.first().map(|fact| (fact.kind, fact.count))
    };
    let initial = [0xc3, 0, 0, 0, 1, 8];
    assert_eq!(
        protocol("192.0.2.1:443", &initial),
        Some((FactKind::QuicUnanswered, 2))
    );
    assert_eq!(
        protocol("192.0.2.1:443", b"other"),
        Some((FactKind::Unanswered, 2))
    );
    assert_eq!(protocol("224.0.0.251:443", b"other"), None);
}

#[test]
fn every_kind_has_a_name_of_its_own_in_kebab_case() {
    let names: std::collections::BTreeSet<_> = FactKind::ALL.iter().map(|k| k.label()).collect();
    assert_eq!(names.len(), FactKind::ALL.len());
    let kebab = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
    assert!(names.iter().all(|name| kebab(name)));
}
