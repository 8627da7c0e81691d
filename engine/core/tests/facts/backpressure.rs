//! Nobody is overrun and nothing is lost, whoever is slow.

use core::time::Duration;

use engine::RemoteEnd;

use crate::support::{Bench, Device, Family, Seen, closes, stream, tcp};

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn a_blocked_remote_closes_the_devices_window_and_loses_nothing() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.connect(&mut device);
        bench.engine.remote_blocked(bench.now, flow).expect("open");
        let data = pattern(16_384);
        for chunk in data.chunks(1024) {
            let frame = device.data(chunk);
            let seen = bench.feed([frame]);
            assert_eq!(stream(&seen), b"");
            device.receive(&seen);
        }
        assert_eq!(device.offered, 0);
        let seen = bench.writable(flow);
        assert!(stream(&seen) == data);
        device.receive(&seen);
        assert_eq!(device.offered, 16_384);
        assert_eq!(bench.counter("tcp_backpressure_drops"), 0);
    }
}

#[test]
fn what_the_dialer_did_not_take_is_offered_again() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    bench.takes = Some(3);
    let seen = bench.feed([device.data(b"abcdefgh")]);
    assert_eq!(stream(&seen), b"abc");
    let window = tcp(&seen).last().expect("an acknowledgement").window;
    assert_eq!(
        u32::from(window) << device.scale,
        16_384 - 8,
        "no byte gives up its room alone (RFC 9293 section 3.8.6.2.2)"
    );
    assert_eq!(stream(&bench.writable(flow)), b"def");
    bench.takes = Some(0);
    assert_eq!(stream(&bench.writable(flow)), b"");
    bench.takes = None;
    assert_eq!(stream(&bench.writable(flow)), b"gh");
}

#[test]
fn a_full_ring_takes_short_and_resumes() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.connect(&mut device);
        let data = pattern(40_000);
        let mut sent = 0;
        let (taken, seen) = bench.remote(flow, &data);
        assert_eq!(taken, 16_384);
        sent += taken;
        device.receive(&seen);
        assert_eq!(bench.counter("tcp_backpressure_refused"), 40_000 - 16_384);
        for _ in 0..100 {
            let seen = bench.feed([device.ack()]);
            device.receive(&seen);
            if seen.iter().any(
                |seen| matches!(seen, Seen::Resume(id, space) if *id == flow && *space >= 8192),
            ) {
                let (taken, seen) = bench.remote(flow, &data[sent..]);
                assert!(taken > 0);
                sent += taken;
                device.receive(&seen);
            }
            if sent == data.len() {
                break;
            }
        }
        bench.feed([device.ack()]);
        assert!(device.received == data);
    }
}

#[test]
fn a_remote_that_was_refused_is_called_back_when_half_the_ring_is_free() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    let (taken, mut seen) = bench.remote(flow, &pattern(20_000));
    assert_eq!(taken, 16_384);
    let start = device.expected;
    for _ in 0..30 {
        for segment in tcp(&seen) {
            device.take(&segment);
            seen = bench.feed([device.ack()]);
            let free = device.expected.wrapping_sub(start) as usize;
            let resumed = seen.contains(&Seen::Resume(flow, free));
            let called = seen.iter().any(|seen| matches!(seen, Seen::Resume(..)));
            assert_eq!(called, resumed, "with {free} bytes free");
            if called {
                assert!((8192..8192 + 1400).contains(&free), "{free}");
                return;
            }
        }
    }
    panic!("it was never called back");
}

#[test]
fn bytes_offered_before_the_handshake_is_done_are_asked_for_after_it() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.knock(&mut device);
    device.receive(&bench.dialed(flow, engine::DialResult::Connected));
    let (taken, seen) = bench.remote(flow, b"banner");
    let mut seen = seen;
    seen.extend(bench.feed([device.ack()]));
    if taken == 0 {
        assert!(
            seen.iter().any(|seen| matches!(seen, Seen::Resume(..))),
            "{seen:?}"
        );
        seen.extend(bench.remote(flow, b"banner").1);
    }
    device.receive(&seen);
    assert_eq!(device.received, b"banner");
}

#[test]
fn no_resume_comes_after_the_end_of_the_remote() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    let (_, seen) = bench.remote(flow, &pattern(40_000));
    device.receive(&seen);
    bench.end(flow, RemoteEnd::Eof);
    let seen = bench.feed([device.ack()]);
    assert!(
        !seen.iter().any(|seen| matches!(seen, Seen::Resume(..))),
        "{seen:?}"
    );
}

#[test]
fn a_closed_window_of_the_device_is_probed_and_outlasts_the_retransmission_limit() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        device.window = 0;
        let flow = bench.connect(&mut device);
        let (taken, seen) = bench.remote(flow, b"wait for it");
        assert_eq!(taken, 11);
        assert!(tcp(&seen).iter().all(|probe| probe.payload.len() == 1));
        let mut probes = 0;
        for _ in 0..600 {
            let seen = bench.wait(Duration::from_secs(1));
            assert_eq!(closes(&seen), [""; 0], "the device answers every probe");
            if !tcp(&seen).is_empty() {
                probes += 1;
                bench.feed([device.ack()]);
            }
        }
        assert!((6..40).contains(&probes), "{probes} probes");
        device.window = 1000;
        let mut seen = bench.feed([device.ack()]);
        seen.extend(bench.wait(Duration::from_secs(61)));
        device.receive(&seen);
        assert_eq!(device.received, b"wait for it");
    }
}

#[test]
fn probes_that_nobody_answers_end_the_flow() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    device.window = 0;
    let flow = bench.connect(&mut device);
    bench.remote(flow, b"nobody is there");
    let seen = bench.wait(Duration::from_secs(240));
    assert_eq!(closes(&seen), ["engine abandoned"]);
}

#[test]
fn a_batch_never_exceeds_64_frames() {
    let mut bench = Bench::with(|config| {
        config.tx_buffer = Some(1 << 20);
        config.congestion_control = false;
    });
    let mut device = Device::new(Family::V4);
    // Window scale 7: room for more than a batch.
    device.syn_options = vec![2, 4, 2, 24, 1, 3, 3, 7];
    let flow = bench.connect(&mut device);
    let data = pattern(200_000);
    let (_, seen) = bench.remote(flow, &data);
    device.receive(&seen);
    assert!(device.received == data);
    assert!(bench.batches.iter().all(|batch| *batch <= 64));
    assert!(bench.batches.iter().filter(|batch| **batch == 64).count() > 3);
}
