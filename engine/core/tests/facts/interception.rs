//! Queries answered by the host instead of being dialed.

use core::time::Duration;
use std::net::IpAddr;

use engine::{Misuse, QueryId, QueryKind, Resolution};

use crate::support::{Bench, Device, Family, Packet, Seen, Udp, closes, datagrams, dials, packets};

/// A query for `www.example` of a type.
fn query(id: u8, kind: u8) -> Vec<u8> {
    let mut message = vec![0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend(b"\x03www\x07example\x00\x00");
    message.extend([kind, 0, 1]);
    message
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

fn bench() -> Bench {
    Bench::with(|config| config.dns_interception = true)
}

fn resolves(seen: &[Seen]) -> Vec<(QueryId, QueryKind)> {
    seen.iter()
        .filter_map(|seen| match seen {
            Seen::Resolve(query, name, kind) => {
                assert_eq!(name, "www.example");
                Some((*query, *kind))
            }
            _ => None,
        })
        .collect()
}

fn found(family: Family) -> Resolution {
    Resolution::Addresses {
        addresses: vec![Family::V4.server(), Family::V6.server(), family.server()],
        ttl: 60,
    }
}

/// The one datagram: from where it came, its RCODE, and how many answers it has.
fn reply(seen: &[Seen]) -> (std::net::SocketAddr, u8, u8) {
    match packets(seen).as_slice() {
        [Packet::Udp { from, payload, .. }] => (*from, payload[3] & 15, payload[7]),
        other => panic!("one datagram, not {other:?}"),
    }
}

#[test]
fn a_datagram_is_answered_from_the_address_that_was_asked() {
    for family in Family::BOTH {
        let mut bench = bench();
        let device = Udp::new(family, 5000, 53);
        let kind = if family == Family::V4 { 1 } else { 28 };
        let seen = bench.feed([device.send(&query(7, kind))]);
        assert_eq!((dials(&seen), datagrams(&seen).len()), (vec![], 0));
        let asked = resolves(&seen);
        assert_eq!(asked.len(), 1);
        let seen = bench.resolved(asked[0].0, found(family));
        assert_eq!(reply(&seen), (device.remote, 0, 2));
        // What the host found is known from then on.
        let mut tcp = Device::new(family);
        tcp.remote.set_ip(family.server());
        bench.knock(&mut tcp);
        assert_eq!(bench.names.last(), Some(&Some("www.example".to_owned())));
        assert_eq!(
            (bench.counter("udp_dials"), bench.counter("dns_resolved")),
            (0, 1)
        );
    }
}

#[test]
fn a_connection_is_accepted_and_answered_by_the_engine() {
    for family in Family::BOTH {
        for chunk in [1, 3, 100] {
            let mut bench = bench();
            let mut device = Device::on_port(family, 40_000, 53);
            let seen = bench.feed([device.syn()]);
            assert_eq!(dials(&seen), []);
            device.receive(&seen);
            assert_eq!(device.received_syn, 1);
            bench.feed([device.ack()]);
            let mut asked = Vec::new();
            let two = [framed(&query(1, 1)), framed(&query(2, 28))].concat();
            for part in two.chunks(chunk) {
                let seen = bench.feed([device.data(part)]);
                device.receive(&seen);
                asked.extend(resolves(&seen));
            }
            assert_eq!(asked.len(), 2);
            // The second first: the device matches them by their ids.
            for (query, _) in asked.iter().rev() {
                let seen = bench.resolved(*query, found(family));
                device.receive(&seen);
            }
            assert_eq!(device.received[3], 2, "the id of the first reply");
            let seen = bench.feed([device.ack(), device.fin()]);
            device.receive(&seen);
            assert!(
                device.received_fin,
                "the engine closes once all is answered"
            );
            let seen = bench.feed([device.ack()]);
            assert_eq!(closes(&seen), [] as [String; 0], "nothing was dialed");
            assert_eq!(bench.counter("tcp_flows"), 0);
            assert_eq!(
                (bench.counter("tcp_dials"), bench.counter("dns_streams")),
                (0, 1)
            );
            assert_eq!(bench.engine.counters().broken_law(), None);
        }
    }
}

#[test]
fn what_an_intercepted_connection_had_to_say_when_it_ended_reaches_nobody() {
    for family in Family::BOTH {
        let mut bench = bench();
        let mut device = Device::on_port(family, 40_000, 53);
        // Over before it began.
        let frames = [device.syn(), device.raw("R", device.next, b"", b"")];
        assert_eq!(bench.feed(frames), []);
        // Over with a half-close and a query on their way to the host.
        let seen = bench.feed([device.syn()]);
        device.receive(&seen);
        let question = device.data(&framed(&query(1, 1)));
        let frames = [device.ack(), question, device.fin(), device.rst()];
        let seen = bench.feed(frames);
        assert_eq!((dials(&seen), closes(&seen)), (vec![], vec![]));
        // The query came before the end, and is over with it.
        let frames = |seen: &&Seen| !matches!(seen, Seen::Frame(_) | Seen::Resolve(..));
        assert_eq!(seen.iter().find(frames), None);
        assert_eq!(
            (bench.counter("tcp_flows"), bench.counter("dns_pending")),
            (0, 0)
        );
        assert_eq!(bench.engine.counters().broken_law(), None);
    }
}

#[test]
fn a_query_that_is_over_before_the_host_got_it_is_not_put_to_it() {
    let mut bench = bench();
    let device = Udp::new(Family::V4, 5000, 53);
    let now = bench.now;
    let frame = device.send(&query(7, 1));
    bench.engine.handle_frames(now, [frame.as_slice()]);
    bench.engine.stop(now);
    assert_eq!(bench.drain(), []);
}

#[test]
fn a_device_that_half_closes_still_gets_its_answer() {
    let mut bench = bench();
    let mut device = Device::on_port(Family::V4, 40_000, 53);
    let seen = bench.feed([device.syn()]);
    device.receive(&seen);
    bench.feed([device.ack()]);
    let seen = bench.feed([device.data(&framed(&query(1, 1))), device.fin()]);
    device.receive(&seen);
    assert!(!device.received_fin);
    let seen = bench.resolved(resolves(&seen)[0].0, found(Family::V4));
    device.receive(&seen);
    assert!(device.received.len() > 2 && device.received_fin);
}

#[test]
fn failures_are_told_apart() {
    for (resolution, rcode) in [(Resolution::Failed, 2), (Resolution::NotFound, 3)] {
        let mut bench = bench();
        let device = Udp::new(Family::V4, 5000, 53);
        let asked = resolves(&bench.feed([device.send(&query(7, 1))]));
        let seen = bench.resolved(asked[0].0, resolution);
        assert_eq!(reply(&seen), (device.remote, rcode, 0));
    }
}

#[test]
fn a_host_that_does_not_answer_is_a_failure_in_time() {
    let mut bench = bench();
    let device = Udp::new(Family::V4, 5000, 53);
    let asked = resolves(&bench.feed([device.send(&query(7, 1))]));
    assert_eq!(bench.wait(Duration::from_micros(3_999_999)), []);
    let seen = bench.wait(Duration::from_micros(1));
    assert_eq!(reply(&seen), (device.remote, 2, 0));
    assert_eq!(bench.counter("dns_resolve_timeout"), 1);
    let now = bench.now;
    let late = bench.engine.resolved(now, asked[0].0, Resolution::Failed);
    assert_eq!(late, Err(Misuse::StaleQuery));
}

#[test]
fn a_query_repeated_is_put_to_the_host_once() {
    let mut bench = bench();
    let device = Udp::new(Family::V4, 5000, 53);
    let asked = resolves(&bench.feed([device.send(&query(7, 1)), device.send(&query(7, 1))]));
    assert_eq!(asked.len(), 1);
}

#[test]
fn queries_under_way_are_bounded() {
    let mut bench = Bench::with(|config| {
        config.dns_interception = true;
        config.resolve_limit = 2;
    });
    let device = Udp::new(Family::V4, 5000, 53);
    let seen = bench.feed([1, 2, 3].map(|id| device.send(&query(id, 1))));
    assert_eq!(resolves(&seen).len(), 2);
    assert_eq!(reply(&seen), (device.remote, 2, 0));
    assert_eq!(
        (
            bench.counter("dns_pending"),
            bench.counter("dns_queries_refused")
        ),
        (2, 1)
    );
}

#[test]
fn what_is_no_query_for_addresses_is_answered_without_the_host() {
    let device = Udp::new(Family::V4, 5000, 53);
    // HTTPS: no such record. ANY: not served. A name cut short: malformed.
    let cut = query(1, 1)[..18].to_vec();
    for (message, rcode) in [(query(1, 65), 0), (query(1, 255), 4), (cut, 1)] {
        let mut bench = bench();
        let seen = bench.feed([device.send(&message)]);
        assert_eq!(resolves(&seen), []);
        assert_eq!(reply(&seen), (device.remote, rcode, 0));
    }
    let mut bench = bench();
    let mut response = query(1, 1);
    response[2] |= 0x80;
    assert_eq!(bench.feed([device.send(&response), device.send(b"?")]), []);
    assert_eq!(
        (
            bench.counter("drop_no_query"),
            bench.counter("dns_malformed")
        ),
        (2, 2)
    );
}

#[test]
fn other_ports_are_dialed_as_ever() {
    let mut bench = bench();
    for port in [853, 443, 5353] {
        let device = Udp::new(Family::V4, 5000, port);
        assert_eq!(dials(&bench.feed([device.send(&query(7, 1))])).len(), 1);
        let mut device = Device::on_port(Family::V4, 40_000, port);
        bench.knock(&mut device);
    }
}

#[test]
fn a_connection_on_which_nothing_is_asked_ends() {
    let mut bench = bench();
    let mut device = Device::on_port(Family::V4, 40_000, 53);
    let seen = bench.feed([device.syn()]);
    device.receive(&seen);
    bench.feed([device.ack()]);
    let seen = bench.wait(Duration::from_secs(31));
    device.receive(&seen);
    assert!(device.received_rst);
    assert_eq!(bench.counter("tcp_flows"), 0);
}

#[test]
fn a_device_that_reads_no_answer_loses_its_connection() {
    let mut bench = bench();
    let mut device = Device::on_port(Family::V4, 40_000, 53);
    device.window = 0;
    let seen = bench.feed([device.syn()]);
    device.receive(&seen);
    bench.feed([device.ack()]);
    for _ in 0..3000 {
        let seen = bench.feed([device.data(&framed(&query(1, 65)))]);
        device.receive(&seen);
        if device.received_rst {
            break;
        }
    }
    assert!(device.received_rst);
    let address: IpAddr = Family::V4.server();
    assert_eq!(device.remote.ip(), address);
    assert_eq!(bench.counter("dns_replies_dropped"), 1);
}
