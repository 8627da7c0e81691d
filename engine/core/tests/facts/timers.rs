//! Deadlines: named, never in the past after a drain, and each with its end.

use core::time::Duration;

use engine::{DialResult, Micros, RemoteEnd, TimerName};

use crate::support::{Bench, Device, Family, closes, tcp};

#[test]
fn the_deadline_says_who_asked() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    assert_eq!(bench.engine.poll_timeout(), None);
    let flow = bench.knock(&mut device);
    let deadline = bench.engine.poll_timeout().expect("a dial is pending");
    assert_eq!(
        (deadline.timer, deadline.flow),
        (TimerName::Dial, Some(flow))
    );
    assert_eq!(deadline.at, bench.now.plus(Duration::from_secs(75)));
    device.receive(&bench.dialed(flow, DialResult::Connected));
    assert_eq!(
        bench.engine.poll_timeout().expect("SYN-ACK").timer,
        TimerName::Transmit
    );
    bench.feed([device.ack()]);
    assert_eq!(
        bench.engine.poll_timeout().expect("idle").timer,
        TimerName::Idle
    );
    bench.feed([device.fin()]);
    assert_eq!(
        bench.engine.poll_timeout().expect("half").timer,
        TimerName::HalfClosed
    );
}

#[test]
fn activity_puts_the_idle_limit_off() {
    let mut bench = Bench::with(|config| config.tcp_idle = Duration::from_secs(100));
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    for _ in 0..5 {
        assert_eq!(closes(&bench.wait(Duration::from_secs(60))), [""; 0]);
        bench.feed([device.data(b"x")]);
        assert_eq!(closes(&bench.wait(Duration::from_secs(60))), [""; 0]);
        let (_, seen) = bench.remote(flow, b"y");
        device.receive(&seen);
        bench.feed([device.ack()]);
    }
    assert_eq!(
        closes(&bench.wait(Duration::from_secs(101))),
        ["engine idle"]
    );
    assert_eq!(bench.counter("tcp_idle_timeout"), 1);
}

#[test]
fn a_clock_that_jumped_expires_each_flow_once() {
    let mut bench = Bench::with(|_| {});
    for port in 1..=50 {
        bench.connect(&mut Device::on_port(Family::V4, port, 443));
    }
    bench.now = bench.now.plus(Duration::from_secs(1_000_000));
    bench.engine.handle_timeout(bench.now);
    let seen = bench.drain();
    assert_eq!(closes(&seen).len(), 50);
    assert_eq!(bench.engine.poll_timeout(), None);
}

#[test]
fn a_timeout_that_comes_early_does_nothing() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    bench.connect(&mut device);
    let before = bench.engine.poll_timeout();
    for _ in 0..10 {
        bench.engine.handle_timeout(bench.now);
        assert_eq!(bench.drain(), []);
    }
    assert_eq!(bench.engine.poll_timeout(), before);
}

#[test]
fn retransmissions_end_at_the_limit() {
    let mut bench = Bench::with(|config| config.retransmission_limit = Duration::from_secs(100));
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    bench.remote(flow, b"into the void");
    assert_eq!(closes(&bench.wait(Duration::from_secs(99))), [""; 0]);
    let seen = bench.wait(Duration::from_secs(2));
    assert_eq!(closes(&seen), ["engine abandoned"]);
    assert_eq!(tcp(&seen).last().expect("a reset").flags, "R.");
    assert_eq!(bench.counter("tcp_abandoned"), 1);
}

#[test]
fn the_limit_counts_from_the_last_progress() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    // Ten minutes of quiet before the first byte must not count against it.
    bench.wait(Duration::from_secs(600));
    bench.remote(flow, b"fresh");
    assert_eq!(closes(&bench.wait(Duration::from_secs(100))), [""; 0]);
}

#[test]
fn a_fin_that_nobody_acknowledges_ends_at_the_limit() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    bench.end(flow, RemoteEnd::Eof);
    let seen = bench.wait(Duration::from_secs(125));
    assert_eq!(closes(&seen), ["engine abandoned"]);
    assert!(tcp(&seen).iter().filter(|segment| segment.has('F')).count() >= 5);
}

#[test]
fn the_end_of_time_is_no_obstacle() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    bench.remote(flow, b"x");
    for micros in [u64::MAX / 2, u64::MAX - 1_000_000_000_000] {
        bench.now = Micros(micros);
        bench.engine.handle_timeout(bench.now);
        bench.feed([device.ack()]);
    }
}
