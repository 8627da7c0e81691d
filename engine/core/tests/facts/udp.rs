//! Datagrams both ways, with a dial first and an idle end.

use core::time::Duration;

use engine::{DialResult, FlowId, Misuse, RemoteEnd, TimerName, UdpMapping};

use crate::support::{Bench, Family, Packet, Seen, Udp, closes, datagrams, dials, packets};

fn opened(bench: &mut Bench, udp: Udp) -> FlowId {
    let flow = dials(&bench.feed([udp.send(b"hello")]))[0].0;
    assert_eq!(
        datagrams(&bench.dialed(flow, DialResult::Connected)),
        [b"hello"]
    );
    flow
}

#[test]
fn datagrams_are_relayed_both_ways() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let udp = Udp::new(family, 5000, 7);
        let flow = opened(&mut bench, udp);
        let seen = bench.feed([udp.send(b"a"), udp.send(b""), udp.send(b"ccc")]);
        assert_eq!(datagrams(&seen), [&b"a"[..], b"", b"ccc"]);
        for payload in [&b"reply"[..], b""] {
            let seen = bench.datagram(flow, payload);
            let reply = Packet::Udp {
                from: udp.remote,
                to: udp.local,
                payload: payload.to_vec(),
            };
            assert_eq!(packets(&seen), [reply]);
        }
        assert_eq!(bench.counter("upstream_datagrams"), 4);
        assert_eq!(bench.counter("downstream_datagrams"), 2);
    }
}

#[test]
fn datagrams_before_the_dial_result_wait_in_order() {
    let mut bench = Bench::with(|_| {});
    let udp = Udp::new(Family::V4, 5000, 7);
    let seen = bench.feed([udp.send(b"1"), udp.send(b"2")]);
    assert_eq!(datagrams(&seen), [[0u8; 0]; 0]);
    assert_eq!(dials(&seen).len(), 1);
    assert_eq!(bench.feed([udp.send(b"3")]), []);
    let seen = bench.dialed(dials(&seen)[0].0, DialResult::Connected);
    assert_eq!(datagrams(&seen), [b"1", b"2", b"3"]);
}

#[test]
fn what_waits_is_bounded_and_the_rest_counted() {
    let mut bench = Bench::with(|config| config.udp_queue = 2 * (100 + 64));
    let udp = Udp::new(Family::V4, 5000, 7);
    let frames: Vec<_> = (0..5u8).map(|fill| udp.send(&[fill; 100])).collect();
    let flow = dials(&bench.feed(&frames))[0].0;
    assert_eq!(bench.counter("udp_backpressure_drops"), 3);
    assert_eq!(bench.counter("drop_queue_full"), 3);
    let seen = bench.dialed(flow, DialResult::Connected);
    assert_eq!(datagrams(&seen), [vec![0; 100], vec![1; 100]]);
}

#[test]
fn a_blocked_remote_makes_datagrams_wait() {
    let mut bench = Bench::with(|_| {});
    let udp = Udp::new(Family::V4, 5000, 7);
    let flow = opened(&mut bench, udp);
    bench.engine.remote_blocked(bench.now, flow).expect("open");
    assert_eq!(bench.feed([udp.send(b"1"), udp.send(b"2")]), []);
    assert_eq!(datagrams(&bench.writable(flow)), [b"1", b"2"]);
    assert_eq!(datagrams(&bench.feed([udp.send(b"3")])), [b"3"]);
}

#[test]
fn a_quiet_flow_ends_idle() {
    for family in Family::BOTH {
        for (port, limit) in [(7, 300), (53, 30)] {
            let mut bench = Bench::with(|_| {});
            let udp = Udp::new(family, 5000, port);
            let flow = opened(&mut bench, udp);
            let timer = bench.engine.poll_timeout().expect("idle").timer;
            assert_eq!(timer, TimerName::Idle);
            assert_eq!(bench.wait(Duration::from_secs(limit - 1)), []);
            bench.feed([udp.send(b"alive")]);
            assert_eq!(bench.wait(Duration::from_secs(limit - 1)), []);
            bench.datagram(flow, b"\0");
            assert_eq!(bench.wait(Duration::from_secs(limit - 1)), []);
            assert_eq!(closes(&bench.wait(Duration::from_secs(2))), ["engine idle"]);
            assert_eq!(bench.counter("udp_idle_timeout"), 1);
            assert_eq!(bench.counter("udp_flows"), 0);
            assert_eq!(bench.engine.poll_timeout(), None);
        }
    }
}

#[test]
fn a_failed_dial_tells_the_device_why() {
    let reasons = [
        (DialResult::Refused, (3, 3), (1, 4)),
        (DialResult::HostUnreachable, (3, 1), (1, 3)),
        (DialResult::NetworkUnreachable, (3, 0), (1, 0)),
        (DialResult::Denied, (3, 13), (1, 1)),
        (DialResult::TimedOut, (3, 1), (1, 3)),
    ];
    for family in Family::BOTH {
        // The longer one exceeds what an error may quote.
        for payload in [&b"anyone there?"[..], &[9; 1400]] {
            for (result, v4, v6) in reasons {
                let mut bench = Bench::with(|_| {});
                let frame = Udp::new(family, 5000, 7).send(payload);
                let flow = dials(&bench.feed([&frame]))[0].0;
                let seen = bench.dialed(flow, result);
                assert_eq!(closes(&seen), [format!("remote {}", result.label())]);
                let [
                    Packet::Icmp {
                        from,
                        to,
                        kind,
                        code,
                        rest,
                    },
                ] = &packets(&seen)[..]
                else {
                    panic!("one ICMP error: {seen:?}");
                };
                assert_eq!((*from, *to), (family.server(), family.client()));
                assert_eq!((*kind, *code), if family == Family::V4 { v4 } else { v6 });
                let quoted = &rest[4..];
                // RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 (c).
                let most = if family == Family::V4 {
                    576 - 28
                } else {
                    1280 - 48
                };
                assert_eq!(quoted.len(), frame.len().min(most));
                assert_eq!(
                    quoted,
                    &frame[..quoted.len()],
                    "what it sent, as it sent it"
                );
                assert_eq!(bench.counter("udp_dial_fail"), 1);
            }
        }
    }
}

#[test]
fn an_unanswered_dial_ends_in_time() {
    let mut bench = Bench::with(|_| {});
    let flow = dials(&bench.feed([Udp::new(Family::V4, 5000, 7).send(b"x")]))[0].0;
    assert_eq!(
        closes(&bench.wait(Duration::from_secs(76))),
        ["engine timed_out"]
    );
    let late = bench
        .engine
        .dial_result(bench.now, flow, DialResult::Connected);
    assert_eq!(late, Err(Misuse::StaleFlow));
}

#[test]
fn the_remote_may_end_a_flow_and_the_next_datagram_opens_another() {
    for (end, name) in [
        (RemoteEnd::Eof, "remote fin"),
        (RemoteEnd::Reset, "remote reset"),
        (RemoteEnd::Error, "remote error"),
    ] {
        let mut bench = Bench::with(|_| {});
        let udp = Udp::new(Family::V4, 5000, 7);
        let flow = opened(&mut bench, udp);
        assert_eq!(closes(&bench.end(flow, end)), [name]);
        let again = dials(&bench.feed([udp.send(b"again")]));
        assert_eq!(again.len(), 1);
        assert_ne!(again[0].0, flow);
    }
}

#[test]
fn one_port_may_talk_to_many() {
    let mut bench = Bench::with(|_| {});
    let (a, b) = (Udp::new(Family::V4, 5000, 7), Udp::new(Family::V4, 5000, 8));
    let (first, second) = (opened(&mut bench, a), opened(&mut bench, b));
    let seen = bench.feed([a.send(b"to a"), b.send(b"to b")]);
    let wanted = [
        Seen::Datagram(first, b"to a".to_vec()),
        Seen::Datagram(second, b"to b".to_vec()),
    ];
    assert_eq!(seen, wanted);
}

#[test]
fn a_datagram_no_packet_can_carry_is_refused_and_counted() {
    let mut bench = Bench::with(|_| {});
    let flow = opened(&mut bench, Udp::new(Family::V4, 5000, 7));
    let answer = bench.engine.remote_datagram(bench.now, flow, &[0; 65_536]);
    assert_eq!(answer, Ok(false));
    assert_eq!(bench.counter("udp_backpressure_drops"), 1);
    assert_eq!(bench.drain(), []);
}

#[test]
fn datagrams_beyond_the_output_limit_are_refused_and_counted() {
    let mut bench = Bench::with(|config| config.output_limit = 64);
    let flow = opened(&mut bench, Udp::new(Family::V4, 5000, 7));
    let now = bench.now;
    let taken = (0..100).filter(|_| bench.engine.remote_datagram(now, flow, b"x") == Ok(true));
    assert_eq!(taken.count(), 64);
    assert_eq!(packets(&bench.drain()).len(), 64);
    assert_eq!(bench.counter("udp_backpressure_drops"), 36);
}

#[test]
fn a_mapping_that_talks_to_more_than_name_servers_lives_as_long_as_any_other() {
    let name_server = Udp::new(Family::V4, 5000, 53);
    for (other, limit) in [(53, 30), (7, 300)] {
        let mut bench = Bench::with(|config| config.udp_mapping = UdpMapping::EndpointIndependent);
        let mut to = Udp::new(Family::V4, 5000, other);
        to.remote.set_ip([203, 0, 113, 9].into());
        opened(&mut bench, name_server);
        assert_eq!(datagrams(&bench.feed([to.send(b"?")])), [b"?"]);
        bench.feed([name_server.send(b"again")]);
        assert_eq!(bench.wait(Duration::from_secs(limit - 1)), []);
        assert_eq!(closes(&bench.wait(Duration::from_secs(2))), ["engine idle"]);
    }
}

#[test]
fn a_second_dial_result_is_misuse() {
    let mut bench = Bench::with(|_| {});
    let udp = Udp::new(Family::V4, 5000, 7);
    let flow = opened(&mut bench, udp);
    for result in [DialResult::Connected, DialResult::Refused] {
        let again = bench.engine.dial_result(bench.now, flow, result);
        assert_eq!(again, Err(Misuse::DialAnswered));
    }
    assert_eq!(
        datagrams(&bench.feed([udp.send(b"still here")])),
        [b"still here"]
    );
}
