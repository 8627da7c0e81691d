//! A clock that jumps: what is overdue comes at once, what was not yet due is due as much later as before.

use core::time::Duration;

use engine::{DialResult, Micros, TimerName};

use crate::support::{Bench, Device, Family, Udp, closes, tcp};

const HOUR: u64 = 3_600_000_000;

#[test]
fn a_clock_that_goes_back_leaves_every_limit_as_long_as_it_was() {
    for back in [1, 999_999, HOUR, u64::MAX] {
        let mut bench = Bench::with(|_| {});
        bench.now = Micros(2 * HOUR);
        let mut device = Device::new(Family::V4);
        let pending = Udp::new(Family::V4, 5000, 443);
        let flow = bench.connect(&mut device);
        bench.feed([pending.send(b"nobody answers")]);
        bench.remote(flow, b"into the void");
        bench.wait(Duration::from_millis(500));
        for now in [bench.now.0, bench.now.0.saturating_sub(back)] {
            bench.now = Micros(now);
            bench.engine.handle_timeout(bench.now);
            assert_eq!(bench.drain(), []);
        }
        // What was out for half a second is sent again after the other half.
        let due = bench.engine.poll_timeout().expect("a retransmission");
        assert_eq!(due.timer, TimerName::Transmit);
        assert!(
            due.at.since(bench.now) <= Duration::from_millis(500),
            "{due:?}"
        );
        let seen = bench.wait(Duration::from_secs(74));
        assert_eq!(closes(&seen), [""; 0], "{back}");
        assert_eq!(tcp(&seen)[0].payload, b"into the void");
        let seen = bench.wait(Duration::from_secs(50));
        let closed = closes(&seen);
        assert_eq!(
            closed.len(),
            2,
            "the dial's time is over as well: {closed:?}"
        );
        assert_eq!(closed[1], "engine abandoned");
    }
}

#[test]
fn a_clock_that_leaps_brings_what_is_overdue_at_once() {
    for ahead in [HOUR, 1000 * HOUR, u64::MAX / 2, u64::MAX - 2 * HOUR] {
        let mut bench = Bench::with(|config| config.dns_interception = true);
        bench.now = Micros(2 * HOUR);
        bench.knock(&mut Device::on_port(Family::V4, 1, 443));
        bench.connect(&mut Device::on_port(Family::V4, 2, 443));
        bench.feed([Udp::new(Family::V6, 5000, 443).send(b"x")]);
        bench.now = Micros(bench.now.0 + ahead);
        bench.engine.handle_timeout(bench.now);
        let closed = closes(&bench.drain()).len();
        assert_eq!(closed, if ahead == HOUR { 2 } else { 3 });
    }
}

#[test]
fn whatever_the_clock_does_flows_come_and_go() {
    let mut bench = Bench::with(|_| {});
    let times = [u64::MAX, 1, u64::MAX - 1, 5 * HOUR, 0, 1 << 62, 1 << 63, 7];
    for (port, time) in (1..).zip(times.into_iter().cycle().take(100)) {
        bench.now = Micros(time);
        let mut device = Device::on_port(Family::V4, port, 443);
        let flow = bench.knock(&mut device);
        device.receive(&bench.dialed(flow, DialResult::Connected));
        bench.feed([device.ack()]);
        let (taken, seen) = bench.remote(flow, b"all the same");
        device.receive(&seen);
        assert_eq!(
            (taken, device.received.as_slice()),
            (12, &b"all the same"[..])
        );
        let seen = bench.feed([device.ack(), device.rst()]);
        assert_eq!(closes(&seen), ["device reset"]);
    }
    assert_eq!(bench.engine.poll_timeout(), None);
}

#[test]
fn the_bound_of_a_deadline_is_told_by_the_hosts_clock() {
    let mut bench = Bench::with(|_| {});
    bench.knock(&mut Device::new(Family::V4));
    bench.now = Micros(10);
    bench.engine.handle_timeout(bench.now);
    bench.drain();
    let due = bench.engine.poll_timeout().expect("a dial").at;
    assert_eq!(due, bench.now.plus(Duration::from_secs(75)));
    assert_eq!(bench.engine.timeout_bound(), Some(due));
}
