//! Limits: what no longer fits is refused, counted, and tried again later.

use core::time::Duration;

use engine::Refusal;

use crate::support::{Bench, Device, Family, Packet, Udp, closes, dials, packets, tcp};

#[test]
fn a_syn_beyond_the_limit_is_dropped_and_counted() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|config| config.tcp_limit = 2);
        let mut first = Device::on_port(family, 1, 443);
        bench.connect(&mut first);
        bench.knock(&mut Device::on_port(family, 2, 443));
        let mut third = Device::on_port(family, 3, 443);
        assert_eq!(bench.feed([third.syn()]), []);
        assert_eq!(bench.counter("tcp_admission_fail"), 1);
        assert_eq!(bench.counter("drop_admission"), 1);
        assert_eq!(bench.counter("tcp_flows"), 2);
        bench.feed([first.rst()]);
        assert_eq!(
            dials(&bench.feed([third.syn()])).len(),
            1,
            "its retransmission finds room"
        );
    }
}

#[test]
fn a_syn_beyond_the_limit_may_be_reset() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|config| {
            config.tcp_limit = 0;
            config.admission_refusal = Refusal::Reset;
        });
        let mut device = Device::new(family);
        let seen = bench.feed([device.syn()]);
        assert_eq!(closes(&seen), [""; 0], "a refused admission is no close");
        let resets = tcp(&seen);
        assert_eq!(resets.len(), 1);
        assert_eq!((resets[0].flags.as_str(), resets[0].seq), ("R.", 0));
        assert_eq!(resets[0].ack, device.next);
    }
}

#[test]
fn a_datagram_beyond_the_limit_is_dropped_and_counted() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|config| config.udp_limit = 1);
        bench.feed([Udp::new(family, 1, 7).send(b"in")]);
        assert_eq!(bench.feed([Udp::new(family, 2, 7).send(b"out")]), []);
        assert_eq!(bench.counter("udp_admission_fail"), 1);
        assert_eq!(bench.counter("udp_flows"), 1);
        bench.wait(Duration::from_secs(80));
        assert_eq!(
            dials(&bench.feed([Udp::new(family, 2, 7).send(b"now")])).len(),
            1
        );
    }
}

#[test]
fn a_datagram_beyond_the_limit_may_be_answered_with_an_error() {
    for (family, wanted) in [(Family::V4, (3, 13)), (Family::V6, (1, 1))] {
        let mut bench = Bench::with(|config| {
            config.udp_limit = 0;
            config.admission_refusal = Refusal::Reset;
        });
        let seen = bench.feed([Udp::new(family, 2, 7).send(b"out")]);
        let [
            Packet::Icmp {
                kind, code, from, ..
            },
        ] = &packets(&seen)[..]
        else {
            panic!("one ICMP error: {seen:?}");
        };
        assert_eq!(((*kind, *code), *from), (wanted, family.server()));
    }
}

#[test]
fn limits_of_both_protocols_are_apart() {
    let mut bench = Bench::with(|config| {
        config.tcp_limit = 1;
        config.udp_limit = 1;
    });
    bench.connect(&mut Device::new(Family::V4));
    assert_eq!(
        dials(&bench.feed([Udp::new(Family::V4, 2, 7).send(b"x")])).len(),
        1
    );
}

/// A flood of SYNs from 100,000 tuples in a second: what stood before stands, nothing grows, and a client that comes
/// back as clients do gets in.
#[test]
fn a_flood_of_syns_harms_no_established_flow_and_grows_nothing() {
    let mut bench = Bench::with(|config| config.tcp_limit = 16);
    let mut old = Device::on_port(Family::V4, 1, 443);
    let kept = bench.connect(&mut old);
    let mut most = (0, 0);
    for batch in 0..1000_u32 {
        let syns = (0..100_u32).map(|nth| {
            let port = u16::try_from(2 + (batch * 100 + nth) % 60_000).expect("below 65,536");
            let server = if batch < 600 { 443 } else { 444 };
            Device::on_port(Family::V4, port, server).syn()
        });
        let seen = bench.feed(syns);
        assert_eq!(packets(&seen), [], "a flood is not answered");
        most.0 = most.0.max(bench.counter("tcp_flows"));
        most.1 = most.1.max(bench.counter("flow_bytes"));
        bench.wait(Duration::from_millis(1));
    }
    assert_eq!(most.0, 16);
    assert!(most.1 <= 15 * 1024 + 34 * 1024 + 1024, "{} bytes", most.1);
    assert_eq!(bench.counter("tcp_admission_fail"), 100_000 - 15);
    let mut honest = Device::on_port(Family::V4, 65_000, 443);
    assert_eq!(dials(&bench.feed([honest.syn()])), [], "not at once");
    bench.wait(Duration::from_secs(3));
    let flow = dials(&bench.feed([honest.syn()]))[0].0;
    let answer = bench.dialed(flow, engine::DialResult::Connected);
    assert_eq!(tcp(&answer)[0].flags, "S.");
    let seen = bench.feed([old.data(b"still here")]);
    assert!(seen.contains(&crate::support::Seen::Data(kept, b"still here".to_vec())));
}

#[test]
fn a_flow_that_never_came_up_gives_way_once_its_grace_is_over() {
    for (early, evicted) in [(1, 0), (0, 1)] {
        let mut bench = Bench::with(|config| config.tcp_limit = 1);
        bench.knock(&mut Device::on_port(Family::V4, 1, 443));
        let grace = bench.engine.config().admission_grace;
        bench.wait(grace - Duration::from_micros(early));
        let seen = bench.feed([Device::on_port(Family::V4, 2, 443).syn()]);
        assert_eq!(dials(&seen).len(), evicted);
        assert_eq!(closes(&seen), vec!["engine admission"; evicted]);
        assert_eq!(bench.counter("tcp_evicted"), evicted as u64);
    }
}
