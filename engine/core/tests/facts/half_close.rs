//! Each direction ends by itself.

use core::time::Duration;

use engine::{DialResult, RemoteEnd};

use crate::support::{Bench, Device, Family, Seen, closes, stream, tcp};

#[test]
fn a_fin_of_the_device_shuts_one_direction() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.connect(&mut device);
        let seen = bench.feed([device.data(b"request"), device.fin()]);
        let order: Vec<_> = seen
            .iter()
            .filter(|seen| !matches!(seen, Seen::Frame(_)))
            .collect();
        assert_eq!(
            order,
            [
                &Seen::Data(flow, b"request".to_vec()),
                &Seen::HalfClose(flow)
            ]
        );
        assert_eq!(
            tcp(&seen).last().expect("an acknowledgement").ack,
            device.next
        );
        let (_, seen) = bench.remote(flow, b"answer");
        device.receive(&seen);
        assert_eq!(device.received, b"answer");
        let seen = bench.end(flow, RemoteEnd::Eof);
        device.receive(&seen);
        assert!(device.received_fin);
        assert_eq!(closes(&bench.feed([device.ack()])), ["device fin"]);
    }
}

#[test]
fn an_eof_of_the_remote_shuts_one_direction() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.connect(&mut device);
        bench.remote(flow, b"");
        let seen = bench.end(flow, RemoteEnd::Eof);
        device.receive(&seen);
        assert!(device.received_fin);
        bench.feed([device.ack()]);
        let seen = bench.feed([device.data(b"upload goes on")]);
        assert_eq!(stream(&seen), b"upload goes on");
        let seen = bench.feed([device.fin()]);
        assert_eq!(closes(&seen), ["remote fin"]);
        assert_eq!(
            tcp(&seen).last().expect("the last acknowledgement").ack,
            device.next
        );
    }
}

#[test]
fn both_ends_may_close_at_once() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.connect(&mut device);
        let fin = device.fin();
        let seen = bench.end(flow, RemoteEnd::Eof);
        assert_eq!(closes(&bench.feed([fin])), [""; 0]);
        device.receive(&seen);
        assert_eq!(closes(&bench.feed([device.ack()])), ["remote fin"]);
    }
}

#[test]
fn an_eof_before_the_handshake_is_done_waits_for_it() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.knock(&mut device);
        bench
            .engine
            .dial_result(bench.now, flow, DialResult::Connected)
            .expect("pending");
        let seen = bench.end(flow, RemoteEnd::Eof);
        assert_eq!(tcp(&seen).len(), 1);
        assert_eq!(tcp(&seen)[0].flags, "S.");
        // The SYN-ACK is lost: it must come again, whole.
        let seen = bench.wait(Duration::from_secs(1));
        assert_eq!(tcp(&seen)[0].flags, "S.");
        device.receive(&seen);
        let seen = bench.feed([device.ack()]);
        device.receive(&seen);
        assert!(device.received_fin);
        assert_eq!(closes(&bench.feed([device.fin()])), ["remote fin"]);
    }
}

#[test]
fn a_fin_on_the_last_step_of_the_handshake_is_a_half_close() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.knock(&mut device);
    device.receive(&bench.dialed(flow, DialResult::Connected));
    assert!(bench.feed([device.fin()]).contains(&Seen::HalfClose(flow)));
}

#[test]
fn the_fin_waits_until_the_ring_has_drained() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    device.window = 4000;
    let flow = bench.connect(&mut device);
    let (taken, mut seen) = bench.remote(flow, &[7; 16_000]);
    assert_eq!(taken, 16_000);
    seen.extend(bench.end(flow, RemoteEnd::Eof));
    device.receive(&seen);
    for _ in 0..10 {
        let seen = bench.feed([device.ack()]);
        device.receive(&seen);
    }
    assert_eq!(device.received.len(), 16_000);
    assert!(device.received_fin);
}

#[test]
fn the_fin_is_handed_over_after_the_bytes_a_blocked_dialer_had_to_wait_for() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    bench.engine.remote_blocked(bench.now, flow).expect("open");
    let seen = bench.feed([device.data(b"late"), device.fin()]);
    assert!(!seen.contains(&Seen::HalfClose(flow)));
    let seen = bench.writable(flow);
    assert_eq!(stream(&seen), b"late");
    assert!(seen.contains(&Seen::HalfClose(flow)));
}

#[test]
fn a_device_that_closed_first_is_named_though_its_bytes_were_read_later() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    bench.engine.remote_blocked(bench.now, flow).expect("open");
    bench.feed([device.data(b"late"), device.fin()]);
    let seen = bench.end(flow, RemoteEnd::Eof);
    device.receive(&seen);
    assert!(device.received_fin);
    assert_eq!(
        closes(&bench.feed([device.ack()])),
        [""; 0],
        "bytes are still to be read"
    );
    let seen = bench.writable(flow);
    assert_eq!(stream(&seen), b"late");
    assert_eq!(closes(&seen), ["device fin"]);
}

#[test]
fn a_remote_that_closed_first_is_named_though_its_fin_left_later() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    device.window = 10;
    let flow = bench.connect(&mut device);
    let (_, mut seen) = bench.remote(flow, b"twenty bytes, or so.");
    seen.extend(bench.end(flow, RemoteEnd::Eof));
    device.receive(&seen);
    assert!(!device.received_fin, "the window holds the FIN back");
    let seen = bench.feed([device.fin()]);
    assert!(
        seen.contains(&Seen::HalfClose(flow)),
        "the remote gets it before the flow ends"
    );
    device.receive(&seen);
    let mut seen = bench.feed([device.ack()]);
    device.receive(&seen);
    seen.extend(bench.feed([device.ack()]));
    assert!(device.received_fin);
    assert_eq!(closes(&seen), ["remote fin"]);
}

#[test]
fn after_the_devices_fin_a_lost_answer_is_sent_again_though_the_window_was_closed() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.connect(&mut device);
        bench.feed([device.fin()]);
        let (_, lost) = bench.remote(flow, b"answer");
        assert_eq!(tcp(&lost).len(), 1);
        device.window = 0;
        bench.feed([device.ack()]);
        bench.end(flow, RemoteEnd::Eof);
        bench.wait(Duration::from_secs(3));
        device.window = 1000;
        let mut seen = bench.feed([device.ack()]);
        seen.extend(bench.wait(Duration::from_secs(10)));
        device.receive(&seen);
        assert_eq!(device.received, b"answer");
        let mut seen = bench.feed([device.ack()]);
        device.receive(&seen);
        assert!(device.received_fin);
        seen.extend(bench.feed([device.ack()]));
        assert_eq!(closes(&seen), ["device fin"]);
    }
}
