//! Exactly one close for each dial, with who and how.

use core::time::Duration;

use engine::{Config, DialResult, FlowId, How, PathChange, PathPolicy, RemoteEnd};

use crate::support::{Bench, Device, Family, Seen, closes, dials, stream, tcp};

/// Every way a TCP flow can end: the label of its close, and how to get there.
type Ending = fn(&mut Bench, &mut Device) -> Vec<Seen>;

fn connected(bench: &mut Bench, device: &mut Device) -> (FlowId, Vec<Seen>) {
    let mut seen = bench.feed([device.syn()]);
    let flow = dials(&seen)[0].0;
    let answer = bench.dialed(flow, DialResult::Connected);
    device.receive(&answer);
    seen.extend(answer);
    seen.extend(bench.feed([device.ack()]));
    (flow, seen)
}

const ENDINGS: &[(&str, Ending)] = &[
    ("device fin", |bench, device| {
        let (flow, mut seen) = connected(bench, device);
        seen.extend(bench.feed([device.fin()]));
        let fin = bench.end(flow, RemoteEnd::Eof);
        device.receive(&fin);
        seen.extend(fin);
        seen.extend(bench.feed([device.ack()]));
        seen
    }),
    ("remote fin", |bench, device| {
        let (flow, mut seen) = connected(bench, device);
        let fin = bench.end(flow, RemoteEnd::Eof);
        device.receive(&fin);
        seen.extend(fin);
        seen.extend(bench.feed([device.fin()]));
        seen
    }),
    ("device reset", |bench, device| {
        let (_, mut seen) = connected(bench, device);
        seen.extend(bench.feed([device.rst()]));
        seen
    }),
    ("device reset", |bench, device| {
        let mut seen = bench.feed([device.syn()]);
        let flow = dials(&seen)[0].0;
        seen.extend(bench.dialed(flow, DialResult::Connected));
        seen.extend(bench.feed([device.raw("R", device.next, b"", b"")]));
        seen
    }),
    ("remote reset", |bench, device| {
        let (flow, mut seen) = connected(bench, device);
        seen.extend(bench.end(flow, RemoteEnd::Reset));
        seen
    }),
    ("remote error", |bench, device| {
        let (flow, mut seen) = connected(bench, device);
        seen.extend(bench.end(flow, RemoteEnd::Error));
        seen
    }),
    ("remote reset", |bench, device| {
        let (flow, mut seen) = connected(bench, device);
        seen.extend(bench.end(flow, RemoteEnd::Eof));
        seen.extend(bench.end(flow, RemoteEnd::Reset));
        seen
    }),
    ("remote refused", |bench, device| {
        let mut seen = bench.feed([device.syn()]);
        seen.extend(bench.dialed(dials(&seen)[0].0, DialResult::Refused));
        seen
    }),
    ("engine timed_out", |bench, device| {
        bench.feed([device.syn()])
    }),
    ("engine handshake", |bench, device| {
        let mut seen = bench.feed([device.syn()]);
        seen.extend(bench.dialed(dials(&seen)[0].0, DialResult::Connected));
        seen
    }),
    ("engine idle", |bench, device| connected(bench, device).1),
    ("engine half_closed", |bench, device| {
        let (_, mut seen) = connected(bench, device);
        seen.extend(bench.feed([device.fin()]));
        seen
    }),
    ("engine half_closed", |bench, device| {
        let (flow, mut seen) = connected(bench, device);
        let fin = bench.end(flow, RemoteEnd::Eof);
        device.receive(&fin);
        seen.extend(fin);
        seen.extend(bench.feed([device.ack()]));
        seen
    }),
    ("engine abandoned", |bench, device| {
        let (flow, mut seen) = connected(bench, device);
        seen.extend(bench.remote(flow, b"never acknowledged").1);
        seen
    }),
    ("engine stopped", |bench, device| {
        let (_, mut seen) = connected(bench, device);
        bench.engine.stop(bench.now);
        seen.extend(bench.drain());
        seen
    }),
    ("engine path", |bench, device| {
        let (_, mut seen) = connected(bench, device);
        bench.engine.path_changed(bench.now, PathChange::Network);
        seen.extend(bench.drain());
        seen
    }),
];

#[test]
fn every_ending_is_exactly_one_close_with_its_name() {
    for family in Family::BOTH {
        for (name, ending) in ENDINGS {
            let config = Config {
                path_policy: PathPolicy::Close,
                ..Config::default()
            };
            let mut bench = Bench::new(config);
            let mut device = Device::new(family);
            let mut seen = ending(&mut bench, &mut device);
            seen.extend(bench.wait(Duration::from_secs(24 * 3600)));
            assert_eq!(closes(&seen), [*name], "{family:?}");
            assert_eq!(dials(&seen).len(), 1);
            assert_eq!(bench.counter("tcp_flows"), 0, "{name}");
            assert_eq!(
                bench.engine.poll_timeout(),
                None,
                "{name}: nothing waits any more"
            );
            let close = seen.iter().position(|seen| matches!(seen, Seen::Close(..)));
            let later = &seen[close.expect("a close")..];
            assert!(
                tcp(later)
                    .iter()
                    .all(|s| s.payload.is_empty() && !s.has('S') && !s.has('F')),
                "{name}: only a bare ACK or RST after the close"
            );
        }
    }
}

#[test]
fn an_ending_by_the_engine_resets_the_device_where_it_listens() {
    for (name, ending) in ENDINGS {
        if !name.starts_with("engine") && !name.starts_with("remote e") {
            continue;
        }
        let config = Config {
            path_policy: PathPolicy::Close,
            ..Config::default()
        };
        let mut bench = Bench::new(config);
        let mut device = Device::new(Family::V4);
        let mut seen = ending(&mut bench, &mut device);
        seen.extend(bench.wait(Duration::from_secs(24 * 3600)));
        let segments = tcp(&seen);
        let reset = segments.last().expect("a reset");
        assert_eq!(reset.flags, "R.", "{name}");
        let sent = segments.iter().rev().find(|s| !s.has('R'));
        assert_eq!(
            reset.seq,
            sent.map_or(0, |s| s.end()),
            "{name}: beyond all that was sent"
        );
        assert_eq!(reset.ack, device.next, "{name}");
    }
}

#[test]
fn a_remote_reset_comes_after_the_bytes_before_it() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        device.window = 5;
        let flow = bench.connect(&mut device);
        let (_, mut seen) = bench.remote(flow, b"last words");
        seen.extend(bench.end(flow, RemoteEnd::Reset));
        assert_eq!(closes(&seen), [""; 0]);
        device.receive(&seen);
        let seen = bench.feed([device.ack()]);
        device.receive(&seen);
        assert_eq!(device.received, b"last words");
        assert!(device.received_rst);
        assert_eq!(closes(&seen), ["remote reset"]);
    }
}

#[test]
fn a_remote_reset_lingers_only_so_long() {
    let mut bench = Bench::with(|config| config.linger = Duration::from_secs(3));
    let mut device = Device::new(Family::V4);
    device.window = 0;
    let flow = bench.connect(&mut device);
    bench.remote(flow, b"never read");
    bench.end(flow, RemoteEnd::Reset);
    let seen = bench.wait(Duration::from_secs(4));
    assert_eq!(closes(&seen), ["remote reset"]);
    assert_eq!(tcp(&seen).last().expect("a reset").flags, "R.");
}

#[test]
fn a_remote_error_keeps_its_name_through_the_linger() {
    let mut bench = Bench::with(|config| config.linger = Duration::from_secs(3));
    let mut device = Device::new(Family::V4);
    device.window = 0;
    let flow = bench.connect(&mut device);
    bench.remote(flow, b"never read");
    bench.end(flow, RemoteEnd::Error);
    assert_eq!(
        closes(&bench.wait(Duration::from_secs(4))),
        ["remote error"]
    );
}

#[test]
fn bytes_before_a_reset_of_the_device_are_handed_over() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    bench.connect(&mut device);
    let data = device.data(b"before");
    let seen = bench.feed([data, device.rst()]);
    assert_eq!(stream(&seen), b"before");
    assert_eq!(closes(&seen), ["device reset"]);
    assert_eq!(bench.counter("tcp_reset_by_device"), 1);
}

#[test]
fn a_reset_that_carries_payload_counts() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|config| config.rx_buffer = Some(8));
        let mut device = Device::new(family);
        let flow = bench.connect(&mut device);
        bench.engine.remote_blocked(bench.now, flow).expect("open");
        bench.feed([device.data(b"12345678")]);
        let seen = bench.feed([device.raw("R.", device.next, b"", b"why: crashed")]);
        assert_eq!(closes(&seen), ["device reset"]);
    }
}

#[test]
fn a_reset_and_a_fin_of_the_device_are_told_apart_after_a_fin() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    bench.connect(&mut device);
    bench.feed([device.fin()]);
    assert_eq!(closes(&bench.feed([device.rst()])), ["device reset"]);
}

#[test]
fn a_kept_path_closes_nothing() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    bench.connect(&mut device);
    bench.engine.path_changed(bench.now, PathChange::Network);
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.counter("tcp_flows"), 1);
}

#[test]
fn a_stopped_engine_answers_nothing() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    bench.connect(&mut device);
    bench.engine.stop(bench.now);
    bench.drain();
    let mut other = Device::on_port(Family::V6, 1, 2);
    assert_eq!(bench.feed([device.data(b"x"), other.syn()]), []);
    assert_eq!(bench.counter("drop_stopped"), 2);
    assert_eq!(bench.engine.poll_timeout(), None);
}

#[test]
fn labels_of_endings_are_what_scenarios_write() {
    assert_eq!(
        How::Dial(DialResult::HostUnreachable).label(),
        "host_unreachable"
    );
    assert_eq!(How::HalfClosed.label(), "half_closed");
}
