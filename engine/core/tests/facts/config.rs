//! What a setting of zero does: it is refused by name, or means what its field says.

use core::time::Duration;

use engine::{Config, DialResult, Engine, RemoteEnd};

use crate::support::{Bench, Device, Family, Seen, Udp, closes, datagrams, dials, tcp};

const ZERO_MEANS_NOTHING: [&str; 26] = [
    "rx_limit",
    "tx_limit",
    "min_rto",
    "ack_delay",
    "mtu",
    "hop_limit",
    "pending_dials",
    "byte_budget",
    "rx_buffer",
    "tx_buffer",
    "keep_alive_probes",
    "udp_path_mtu",
    "output_limit",
    "resolve_limit",
    "dial_timeout",
    "handshake_timeout",
    "tcp_idle",
    "tcp_half_closed",
    "tcp_fin_wait",
    "keep_alive",
    "keep_alive_interval",
    "retransmission_limit",
    "udp_idle",
    "dns_idle",
    "resolve_timeout",
    "metrics_interval",
];

const ZERO_IS_EXPLAINED: [&str; 9] = [
    "tcp_limit",
    "udp_limit",
    "admission_grace",
    "seed",
    "linger",
    "udp_queue",
    "tombstone",
    "dns_names",
    "time_wait",
];

#[test]
fn zero_is_refused_by_name_or_has_a_meaning() {
    for (name, _) in Config::default().named() {
        let mut config = Config {
            seed: Some(1),
            ..Config::default()
        };
        if !config.set(name, "0") {
            continue;
        }
        if ZERO_IS_EXPLAINED.contains(&name) {
            Engine::new(config).expect(name);
        } else {
            assert!(
                ZERO_MEANS_NOTHING.contains(&name),
                "{name}: what does 0 do?"
            );
            let refused = Engine::new(config).expect_err(name);
            assert_eq!(refused.setting, name);
            assert!(refused.to_string().starts_with(&format!("{name} must be ")));
        }
    }
}

#[test]
fn an_engine_without_a_seed_is_refused() {
    let refused = Engine::new(Config::default()).expect_err("no seed");
    let message = "seed must be drawn anew at every start, not none";
    assert_eq!(refused.to_string(), message);
}

#[test]
fn every_setting_out_of_its_range_is_named() {
    let mut config = Config::default();
    for (name, value) in [("mtu", "575"), ("tcp_idle", "999"), ("hop_limit", "0")] {
        assert!(config.set(name, value), "{name}");
    }
    let named: Vec<_> = config.faults().iter().map(|fault| fault.setting).collect();
    assert_eq!(named, ["mtu", "hop_limit", "tcp_idle"]);
    let first = config.check().expect_err("three faults").to_string();
    assert_eq!(first, "mtu must be 576 to 65,535, not 575");
}

#[test]
fn limits_without_an_end_are_taken() {
    let mut config = Config::default();
    for limit in [
        &mut config.tcp_idle,
        &mut config.dial_timeout,
        &mut config.retransmission_limit,
        &mut config.linger,
        &mut config.time_wait,
    ] {
        *limit = Duration::MAX;
    }
    let mut bench = Bench::new(config);
    let mut device = Device::new(Family::V4);
    bench.connect(&mut device);
    assert_eq!(bench.wait(Duration::from_secs(1_000_000_000)), []);
    assert_eq!(bench.counter("tcp_flows"), 1);
}

#[test]
fn a_flow_limit_of_zero_admits_none() {
    let mut bench = Bench::with(|config| (config.tcp_limit, config.udp_limit) = (0, 0));
    let mut device = Device::new(Family::V4);
    let udp = Udp::new(Family::V4, 5000, 443);
    let seen = bench.feed([device.syn(), udp.send(b"x")]);
    assert_eq!(seen, []);
    assert_eq!(bench.counter("drop_admission"), 2);
}

#[test]
fn without_grace_a_newcomer_takes_the_place_of_a_pending_dial_at_once() {
    let mut bench = Bench::with(|config| {
        config.tcp_limit = 1;
        config.admission_grace = Duration::ZERO;
    });
    let first = bench.knock(&mut Device::on_port(Family::V4, 1, 443));
    let seen = bench.feed([Device::on_port(Family::V4, 2, 443).syn()]);
    assert!(matches!(seen[0], Seen::Close(flow, _) if flow == first));
    assert_eq!(dials(&seen).len(), 1);
}

#[test]
fn without_linger_a_reset_is_not_put_off() {
    let mut bench = Bench::with(|config| config.linger = Duration::ZERO);
    let mut device = Device::new(Family::V4);
    device.window = 10;
    let flow = bench.connect(&mut device);
    bench.remote(flow, &[7; 100]);
    bench.end(flow, RemoteEnd::Reset);
    let seen = bench.wait(Duration::from_millis(1));
    assert_eq!(closes(&seen), ["remote reset"]);
}

#[test]
fn a_queue_of_zero_keeps_one_datagram() {
    let mut bench = Bench::with(|config| config.udp_queue = 0);
    let udp = Udp::new(Family::V4, 5000, 443);
    let seen = bench.feed([udp.send(b"one"), udp.send(b"two")]);
    let flow = dials(&seen)[0].0;
    let seen = bench.dialed(flow, DialResult::Connected);
    assert_eq!(datagrams(&seen), [b"one"]);
}

#[test]
fn a_tuple_that_is_not_remembered_meets_with_a_reset() {
    for first in ["device", "remote"] {
        let mut bench = Bench::with(|config| {
            (config.tombstone, config.time_wait) = (Duration::ZERO, Duration::ZERO);
        });
        let mut device = Device::new(Family::V4);
        let flow = bench.connect(&mut device);
        let seen = if first == "device" {
            bench.feed([device.fin()]);
            bench.end(flow, RemoteEnd::Eof)
        } else {
            let seen = bench.end(flow, RemoteEnd::Eof);
            device.receive(&seen);
            bench.feed([device.fin()])
        };
        device.receive(&seen);
        let seen = bench.feed([device.ack()]);
        let (closed, late) = (closes(&seen), bench.feed([device.ack()]));
        assert!(closed.len() <= 1 && bench.counter("tcp_flows") == 0);
        assert!(tcp(&late)[0].has('R'), "{first}: {late:?}");
    }
}
