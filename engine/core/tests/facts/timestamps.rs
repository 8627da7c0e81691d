//! Timestamps (RFC 7323): agreed on, echoed, measured by, and what they keep out.

use core::time::Duration;

use engine::{Config, DialResult, RemoteEnd};

use crate::support::{Bench, Device, Family, Tcp, closes, stream, tcp};

const MS: Duration = Duration::from_millis(1);

fn bench() -> Bench {
    Bench::with(|config: &mut Config| config.timestamps = true)
}

/// Sets the device's clock.
fn at(device: &mut Device, clock: u32) {
    device.stamps.as_mut().expect("timestamps").0 = clock;
}

fn echo(segment: &Tcp) -> Option<u32> {
    segment.stamp().map(|(_, echo)| echo)
}

/// When the next timer runs out.
fn due(bench: &mut Bench) -> Duration {
    let deadline = bench.engine.poll_timeout().expect("something is owed");
    deadline.at.since(bench.now)
}

#[test]
fn timestamps_are_agreed_on_with_a_device_that_offers_them() {
    for family in Family::BOTH {
        for (wanted, mut device) in [
            (true, Device::stamped(family)),
            (false, Device::stamped(family)),
            (true, Device::new(family)),
        ] {
            let agreed = wanted && device.stamps.is_some();
            let mut bench = Bench::with(|config| config.timestamps = wanted);
            let flow = bench.knock(&mut device);
            let syn_ack = tcp(&bench.dialed(flow, DialResult::Connected)).remove(0);
            assert_eq!(echo(&syn_ack), agreed.then_some(1000));
        }
    }
}

#[test]
fn every_segment_has_its_timestamp_within_the_segment_size() {
    let mut bench = bench();
    let mut device = Device::stamped(Family::V4);
    let flow = bench.connect(&mut device);
    let (_, seen) = bench.remote(flow, &[7; 5000]);
    let segments = tcp(&seen);
    // The device takes 1,400 bytes behind a header without options.
    assert_eq!(segments[0].payload.len(), 1388);
    assert!(segments.iter().all(|segment| echo(segment) == Some(1000)));
    device.receive(&seen);
    at(&mut device, 1007);
    let ack = tcp(&bench.feed([device.data(b"up")])).remove(0);
    assert_eq!(echo(&ack), Some(1007));
    let seen = bench.end(flow, RemoteEnd::Eof);
    device.receive(&seen);
    assert_eq!(closes(&bench.feed([device.fin()])), ["remote fin"]);
    let late = device.raw("F.", device.next.wrapping_sub(1), b"", b"");
    let answer = tcp(&bench.feed([late])).remove(0);
    assert_eq!(echo(&answer), Some(1007), "in TIME-WAIT as well");
}

#[test]
fn two_flows_have_clocks_of_their_own() {
    let mut bench = bench();
    let clocks = [40_000, 40_001].map(|port| {
        let mut device = Device {
            stamps: Some((1, 0)),
            ..Device::on_port(Family::V4, port, 443)
        };
        let flow = bench.knock(&mut device);
        tcp(&bench.dialed(flow, DialResult::Connected))[0].stamp()
    });
    assert_ne!(clocks[0], clocks[1], "RFC 7323 section 5.4");
}

#[test]
fn a_segment_with_an_older_timestamp_is_acknowledged_and_not_taken() {
    let mut bench = bench();
    let mut device = Device::stamped(Family::V4);
    bench.connect(&mut device);
    at(&mut device, 2000);
    assert_eq!(stream(&bench.feed([device.data(b"new")])), b"new");
    at(&mut device, 1999);
    let seen = bench.feed([device.raw("P.", device.next, b"", b"old")]);
    assert_eq!(stream(&seen), b"");
    assert_eq!(tcp(&seen)[0].ack, device.next);
    assert_eq!(bench.counter("drop_timestamp_old"), 1);
    // A reset is not held to it.
    let reset = device.rst();
    assert_eq!(closes(&bench.feed([reset])), ["device reset"]);
}

#[test]
fn a_segment_without_a_timestamp_is_passed_over() {
    let mut bench = bench();
    let mut device = Device::stamped(Family::V4);
    bench.connect(&mut device);
    assert_eq!(bench.feed([device.bare("P.", device.next, b"", b"x")]), []);
    assert_eq!(bench.counter("drop_timestamp_missing"), 1);
}

#[test]
fn what_lies_beyond_a_hole_is_not_echoed_before_the_hole_is_filled() {
    let mut bench = bench();
    let mut device = Device::stamped(Family::V4);
    bench.connect(&mut device);
    at(&mut device, 1010);
    let first = device.data(b"first");
    at(&mut device, 1020);
    let second = device.data(b"second");
    let answer = tcp(&bench.feed([second])).remove(0);
    assert_eq!(echo(&answer), Some(1000), "RFC 7323 section 4.3");
    let answer = tcp(&bench.feed([first])).remove(0);
    assert_eq!(echo(&answer), Some(1010));
}

#[test]
fn three_holes_are_reported_beside_a_timestamp() {
    let mut bench = bench();
    let mut device = Device::stamped(Family::V4);
    bench.connect(&mut device);
    let mut last = Vec::new();
    for at in 1..6 {
        let seq = device.next.wrapping_add(at * 20);
        last = tcp(&bench.feed([device.raw(".", seq, b"", b"x")]));
    }
    assert_eq!(last[0].options.len(), 40);
    assert_eq!(last[0].options[12..16], [1, 1, 5, 26]);
}

#[test]
fn a_round_trip_is_measured_by_what_was_sent_again() {
    for stamped in [true, false] {
        let mut bench = bench();
        let mut device = if stamped {
            Device::stamped(Family::V4)
        } else {
            Device::new(Family::V4)
        };
        let flow = bench.connect(&mut device);
        bench.remote(flow, b"lost");
        assert_eq!(due(&mut bench), 200 * MS);
        let again = bench.wait(200 * MS);
        assert_eq!(tcp(&again).len(), 1);
        device.receive(&again);
        bench.now = bench.now.plus(MS);
        bench.feed([device.ack()]);
        bench.remote(flow, b"next");
        // Without a timestamp it may answer either copy, and the doubled timeout stays (Karn).
        let timeout = if stamped { 200 } else { 400 };
        assert_eq!(due(&mut bench), timeout * MS, "stamped: {stamped}");
    }
}
