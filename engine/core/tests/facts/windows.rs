//! Windows of both sides: offered right, opened with use, never overrun; and closed ones.

use core::time::Duration;

use engine::RemoteEnd;

use crate::support::{Bench, Device, Family, closes, stream, tcp};

#[test]
fn a_receive_window_beyond_64_kib_is_told_unshifted_in_the_syn_ack_and_right_from_then_on() {
    for (ring, first) in [(65_535, 65_535), (262_144, 65_535), (1000, 1000)] {
        let mut bench = Bench::with(|config| config.rx_buffer = Some(ring));
        let mut device = Device::new(Family::V4);
        let flow = bench.knock(&mut device);
        device.receive(&bench.dialed(flow, engine::DialResult::Connected));
        assert_eq!(device.offered, first, "RFC 7323 section 2.2");
        bench.feed([device.ack()]);
        bench.engine.remote_blocked(bench.now, flow).expect("open");
        let mut sent = 0;
        while sent < ring && device.offered > 0 {
            let chunk = vec![7; (device.offered as usize).min(1000)];
            sent += chunk.len();
            let frame = device.data(&chunk);
            let seen = bench.feed([frame]);
            device.receive(&seen);
        }
        assert_eq!((sent, device.offered), (ring, 0));
        assert_eq!(stream(&bench.writable(flow)).len(), ring);
    }
}

#[test]
fn a_device_without_window_scaling_is_offered_what_a_field_holds() {
    let mut bench = Bench::with(|config| config.rx_buffer = Some(262_144));
    let mut device = Device::new(Family::V4);
    device.syn_options = vec![2, 4, 5, 120];
    bench.connect(&mut device);
    assert_eq!((device.offered, device.scale), (65_535, 0));
    let frame = device.data(&[1; 1000]);
    device.receive(&bench.feed([frame]));
    assert_eq!(device.offered, 64_535, "no update for less than a segment");
}

#[test]
fn windows_open_with_use_as_far_as_there_is_room() {
    for (budget, most) in [(None, 128 << 10), (Some(40_000), 16 << 10)] {
        let mut bench = Bench::with(|config| config.byte_budget = budget);
        let mut device = Device::new(Family::V4);
        bench.connect(&mut device);
        assert_eq!(device.offered, 16 << 10);
        for _ in 0..600 {
            let frame = device.data(&[7; 1000]);
            device.receive(&bench.feed([frame]));
        }
        // The edge moves on by a segment at the least.
        assert!(
            (most - 1460..=most).contains(&device.offered),
            "{}",
            device.offered
        );
        let rings = bench.counter("ring_bytes");
        assert_eq!(rings, u64::from(most) + (16 << 10));
    }
}

#[test]
fn an_unread_window_does_not_open() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    bench.engine.remote_blocked(bench.now, flow).expect("open");
    for _ in 0..100 {
        let frame = device.data(&[7; 1000]);
        device.receive(&bench.feed([frame]));
    }
    assert_eq!(device.offered, 0);
    assert_eq!(stream(&bench.writable(flow)).len(), 16 << 10);
}

#[test]
fn payload_beyond_the_first_window_does_no_harm() {
    for window_scale in [0, 7, 14] {
        let mut bench = Bench::with(|config| config.rx_buffer = Some(65_535));
        let mut device = Device::new(Family::V4);
        device.syn_options = vec![2, 4, 5, 120, 1, 3, 3, window_scale];
        let flow = bench.knock(&mut device);
        device.receive(&bench.dialed(flow, engine::DialResult::Connected));
        bench.engine.remote_blocked(bench.now, flow).expect("open");
        let chunk = [7; 1400];
        let mut frames: Vec<_> = (0..60).map(|_| device.data(&chunk)).collect();
        frames.push(device.raw(".", device.next.wrapping_add(60_000), b"", &chunk));
        bench.feed(frames);
        assert_eq!(stream(&bench.writable(flow)).len(), 65_535);
    }
}

/// A flow whose FIN is acknowledged under a closed window while a probe is armed.
fn fin_under_closed_window(bench: &mut Bench, family: Family) -> Device {
    let mut device = Device::new(family);
    device.window = 1;
    let flow = bench.connect(&mut device);
    let (_, seen) = bench.remote(flow, b"ab");
    device.receive(&seen);
    device.window = 0;
    bench.feed([device.ack()]);
    let seen = bench.wait(Duration::from_secs(2));
    device.receive(&seen);
    assert_eq!(device.received, b"ab", "the probe carried the second byte");
    bench.feed([device.ack()]);
    let seen = bench.end(flow, RemoteEnd::Eof);
    device.receive(&seen);
    assert!(device.received_fin);
    device
}

#[test]
fn a_closed_window_in_fin_wait_2_does_not_make_the_engine_emit_for_ever() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = fin_under_closed_window(&mut bench, family);
        bench.feed([device.ack()]);
        let seen = bench.wait(Duration::from_secs(120));
        assert!(tcp(&seen).len() < 10, "{} segments", tcp(&seen).len());
        assert_eq!(closes(&seen), [""; 0], "the device may still send");
        assert_eq!(stream(&bench.feed([device.data(b"upload")])), b"upload");
        assert_eq!(closes(&bench.feed([device.fin()])), ["remote fin"]);
    }
}

#[test]
fn a_device_that_closes_its_window_again_and_again_cannot_make_a_drain_endless() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    let (_, seen) = bench.remote(flow, &[1; 100]);
    device.receive(&seen);
    let last = device.expected;
    bench.end(flow, RemoteEnd::Eof);
    for window in [0, 1, 0, 7, 0] {
        device.window = window;
        for expected in [last.wrapping_sub(50), last, last.wrapping_add(1)] {
            device.expected = expected;
            bench.feed([device.ack()]);
            bench.wait(Duration::from_secs(3));
        }
    }
}

#[test]
fn payload_under_a_window_that_shrank_to_zero_is_probed() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.connect(&mut device);
        let (_, lost) = bench.remote(flow, b"abc");
        assert_eq!(tcp(&lost).len(), 1);
        device.window = 0;
        bench.feed([device.ack()]);
        let mut probes = 0;
        for _ in 0..300 {
            let seen = bench.wait(Duration::from_secs(1));
            assert_eq!(closes(&seen), [""; 0]);
            let before = device.received.len();
            device.receive(&seen);
            assert!(
                device.received.len() - before <= 1,
                "never more than a probe"
            );
            if !tcp(&seen).is_empty() {
                probes += 1;
                device.expected = device
                    .expected
                    .wrapping_sub((device.received.len() - before) as u32);
                device.received.truncate(before);
                bench.feed([device.ack()]);
            }
        }
        assert!(probes > 3, "{probes} probes");
        device.window = 1000;
        let mut seen = bench.feed([device.ack()]);
        seen.extend(bench.wait(Duration::from_secs(61)));
        device.receive(&seen);
        assert_eq!(device.received, b"abc");
    }
}

#[test]
fn payload_in_flight_when_the_window_closed_is_sent_again() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.connect(&mut device);
        let (_, seen) = bench.remote(flow, &[7; 4200]);
        let first = tcp(&seen)[0].clone();
        // Only the first of three segments arrives; its acknowledgement closes the window.
        device.take(&first);
        device.window = 0;
        bench.feed([device.ack()]);
        device.window = 10_000;
        let mut seen = bench.feed([device.ack()]);
        seen.extend(bench.wait(Duration::from_secs(10)));
        for _ in 0..5 {
            let before = device.received.len();
            device.receive(&seen);
            seen = if device.received.len() > before {
                bench.feed([device.ack()])
            } else {
                Vec::new()
            };
            seen.extend(bench.wait(Duration::from_secs(2)));
        }
        assert_eq!(device.received.len(), 4200);
    }
}

#[test]
fn duplicate_acknowledgements_do_not_stop_the_fin_from_being_sent_again() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.connect(&mut device);
        let lost = bench.end(flow, RemoteEnd::Eof);
        assert!(tcp(&lost)[0].has('F'));
        assert_eq!(
            bench.feed(vec![device.ack(); 5]),
            [],
            "no payload is missing"
        );
        let seen = bench.wait(Duration::from_secs(10));
        assert!(tcp(&seen).iter().filter(|segment| segment.has('F')).count() >= 2);
        device.receive(&seen);
        assert!(device.received_fin);
    }
}
