//! Counters: each counts its own thing by one, and together they balance.

use core::time::Duration;

use engine::{Config, Counters, DialResult, RemoteEnd};

use crate::support::{Bench, Device, Family, Udp, dials};

/// Counters in balance, with something in every term of every law.
const BALANCED: &[(&str, u64)] = &[
    ("taken_text", 1),
    ("taken_control", 2),
    ("taken_syn", 3),
    ("taken_datagram", 4),
    ("taken_fragment", 5),
    ("taken_icmp", 6),
    ("taken_answered", 7),
    ("drop_malformed_ip", 8),
    ("drop_queue_full", 9),
    ("frames_in", 45),
    ("upstream_datagrams", 1),
    ("udp_waiting", 1),
    ("udp_given_up", 2),
    ("tcp_dials", 5),
    ("dns_streams", 2),
    ("tcp_closes", 4),
    ("tcp_flows", 3),
    ("udp_dials", 7),
    ("udp_closes", 5),
    ("udp_flows", 2),
];

#[test]
fn every_term_of_a_law_counts() {
    let balanced = || BALANCED.iter().copied();
    assert_eq!(Counters::from_named(balanced()).broken_law(), None);
    let broken = ["tcp_backpressure_drops"];
    for name in balanced().map(|(name, _)| name).chain(broken) {
        let value = balanced().find(|(known, _)| *known == name);
        let more = value.map_or(0, |(_, value)| value) + 1;
        let counters = Counters::from_named(balanced().chain([(name, more)]));
        assert!(counters.broken_law().is_some(), "one more {name}");
    }
    let lost = Counters::from_named(balanced().chain([("tcp_flows", 2)]));
    assert_eq!(
        lost.broken_law().expect("a flow is missing"),
        "7 TCP dials and intercepted connections, but 6 closed and open"
    );
}

/// A way to let a flow of this device time out, and the counters that say so.
type Expiry = (
    &'static str,
    &'static [&'static str],
    fn(&mut Bench, &mut Device),
);

const EXPIRIES: &[Expiry] = &[
    ("a dial", &["tcp_dial_fail"], |bench, device| {
        bench.knock(device);
    }),
    (
        "a handshake",
        &["tcp_handshake_timeout"],
        |bench, device| {
            let flow = bench.knock(device);
            bench.dialed(flow, DialResult::Connected);
        },
    ),
    ("silence", &["tcp_idle_timeout"], |bench, device| {
        bench.connect(device);
    }),
    (
        "silence after the device's end",
        &["tcp_idle_timeout", "tcp_half_closed_timeout"],
        |bench, device| {
            bench.connect(device);
            bench.feed([device.fin()]);
        },
    ),
    (
        "silence after the remote's end",
        &["tcp_idle_timeout", "tcp_fin_wait_timeout"],
        |bench, device| {
            let flow = bench.connect(device);
            let seen = bench.end(flow, RemoteEnd::Eof);
            device.receive(&seen);
            bench.feed([device.ack()]);
        },
    ),
    (
        "payload nobody acknowledges",
        &["tcp_abandoned"],
        |bench, device| {
            let flow = bench.connect(device);
            bench.remote(flow, b"never acknowledged");
        },
    ),
    (
        "payload before a reset",
        &["tcp_linger_timeout"],
        |bench, device| {
            device.window = 0;
            let flow = bench.connect(device);
            bench.remote(flow, b"never read");
            bench.end(flow, RemoteEnd::Reset);
        },
    ),
    ("a datagram's dial", &["udp_dial_fail"], |bench, device| {
        bench.feed([Udp::new(Family::V4, device.local.port(), 7).send(b"?")]);
    }),
    ("a quiet mapping", &["udp_idle_timeout"], |bench, device| {
        let udp = Udp::new(Family::V4, device.local.port(), 7);
        let flow = dials(&bench.feed([udp.send(b"?")]))[0].0;
        bench.dialed(flow, DialResult::Connected);
    }),
    (
        "a quiet mapping to a name server",
        &["udp_idle_timeout", "dns_idle_timeout"],
        |bench, device| {
            let udp = Udp::new(Family::V4, device.local.port(), 53);
            let flow = dials(&bench.feed([udp.send(b"?")]))[0].0;
            bench.dialed(flow, DialResult::Connected);
        },
    ),
];

#[test]
fn each_expiry_is_counted_once_and_as_nothing_else() {
    let mut all: Vec<&str> = EXPIRIES
        .iter()
        .flat_map(|expiry| expiry.1)
        .copied()
        .collect();
    all.sort_unstable();
    all.dedup();
    for (what, counted, begin) in EXPIRIES {
        let mut bench = Bench::with(|_| {});
        for times in 1..=2 {
            begin(
                &mut bench,
                &mut Device::on_port(Family::V4, 40_000 + times, 443),
            );
            bench.wait(Duration::from_secs(24 * 3600));
            for name in &all {
                let wanted = if counted.contains(name) {
                    u64::from(times)
                } else {
                    0
                };
                assert_eq!(bench.counter(name), wanted, "{name} after {what}");
            }
        }
        assert_eq!(bench.engine.counters().broken_law(), None, "{what}");
    }
}

#[test]
fn a_session_without_trouble_hits_no_guard_and_repeats_nothing() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.connect(&mut device);
        for _ in 0..20 {
            bench.feed([device.data(b"question")]);
            let seen = bench.remote(flow, &[7; 4000]).1;
            device.receive(&seen);
            bench.feed([device.ack()]);
            bench.wait(Duration::from_secs(5));
        }
        device.receive(&bench.end(flow, RemoteEnd::Eof));
        bench.feed([device.fin()]);
        assert_eq!(device.received.len(), 80_000);
        for name in ["guard_hits", "tcp_retransmissions", "log_lines_dropped"] {
            assert_eq!(bench.counter(name), 0, "{name}");
        }
    }
}

#[test]
fn gauges_say_what_the_configuration_makes_of_a_connection() {
    let mut bench = Bench::with(|config| {
        config.rx_buffer = Some(20_000);
        config.tx_buffer = Some(30_000);
    });
    for (count, port) in (1..).zip([1, 2, 3]) {
        bench.connect(&mut Device::on_port(Family::V4, port, 443));
        assert_eq!(bench.counter("ring_bytes"), count * 50_000);
        assert_eq!(bench.counter("tcp_connected"), count);
    }
}

#[test]
fn rings_hold_four_segments_of_a_large_mtu_and_no_less_than_16_kib() {
    for (mtu, ring) in [
        (1500, 16_384),
        (4136, 16_384),
        (9000, 35_840),
        (65_535, 65_535),
    ] {
        let config = Config {
            mtu,
            ..Config::default()
        };
        assert_eq!(
            (config.rx_ring(), config.tx_ring()),
            (ring, ring),
            "MTU {mtu}"
        );
    }
}
