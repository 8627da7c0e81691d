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
