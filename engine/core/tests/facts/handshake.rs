//! From the SYN to ESTABLISHED: the dial comes first.

use core::time::Duration;

use engine::{DialResult, Micros, Misuse, RemoteEnd};

use crate::support::{Bench, Device, Family, Seen, closes, dials, packets, tcp};

#[test]
fn a_syn_is_held_until_the_dial_result() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.knock(&mut device);
        assert_eq!(bench.wait(Duration::from_secs(20)), []);
        let seen = bench.dialed(flow, DialResult::Connected);
        assert_eq!(tcp(&seen).len(), 1, "{seen:?}");
        assert_eq!(tcp(&seen)[0].flags, "S.");
    }
}

#[test]
fn a_dial_names_the_tuple_of_the_syn() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let seen = bench.feed([device.syn()]);
        let (_, key) = dials(&seen)[0];
        assert_eq!((key.client, key.server), (device.local, device.remote));
    }
}

#[test]
fn a_failed_dial_resets_the_device() {
    for family in Family::BOTH {
        for result in [
            DialResult::Refused,
            DialResult::HostUnreachable,
            DialResult::NetworkUnreachable,
            DialResult::Denied,
            DialResult::TimedOut,
        ] {
            let mut bench = Bench::with(|_| {});
            let mut device = Device::new(family);
            let flow = bench.knock(&mut device);
            let seen = bench.dialed(flow, result);
            let resets = tcp(&seen);
            assert_eq!(resets.len(), 1);
            assert_eq!(resets[0].flags, "R.");
            assert_eq!(resets[0].seq, 0);
            assert_eq!(resets[0].ack, device.isn.wrapping_add(1));
            assert_eq!(closes(&seen), [format!("remote {}", result.label())]);
            assert_eq!(bench.counter("tcp_dial_fail"), 1);
            assert_eq!(bench.counter("tcp_flows"), 0);
        }
    }
}

#[test]
fn the_reset_for_a_refused_syn_acknowledges_its_payload() {
    let mut bench = Bench::with(|_| {});
    let device = Device::new(Family::V4);
    let seen = bench.feed([device.raw("S", device.isn, b"", b"early")]);
    let seen = bench.dialed(dials(&seen)[0].0, DialResult::Refused);
    // RFC 9293 section 3.10.7.1: SEG.SEQ + SEG.LEN.
    assert_eq!(tcp(&seen)[0].ack, device.isn.wrapping_add(6));
}

#[test]
fn the_syn_ack_carries_segment_size_window_and_what_was_offered() {
    for (family, mss) in [(Family::V4, 1460u16), (Family::V6, 1440)] {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.knock(&mut device);
        let syn_ack = tcp(&bench.dialed(flow, DialResult::Connected)).remove(0);
        assert_eq!(syn_ack.ack, device.isn.wrapping_add(1));
        assert_eq!(syn_ack.window, 16_384);
        assert_eq!((syn_ack.from, syn_ack.to), (device.remote, device.local));
        let [high, low] = mss.to_be_bytes();
        assert!(syn_ack.options.windows(4).any(|o| o == [2, 4, high, low]));
        assert!(
            syn_ack.options.windows(3).any(|o| o == [3, 3, 2]),
            "a window scale for 128 KiB"
        );
        assert!(
            syn_ack.options.windows(2).any(|o| o == [4, 2]),
            "SACK permitted"
        );
    }
}

#[test]
fn options_that_were_not_offered_are_not_answered() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    device.syn_options = vec![];
    let flow = bench.knock(&mut device);
    let syn_ack = tcp(&bench.dialed(flow, DialResult::Connected)).remove(0);
    assert_eq!(syn_ack.options, [2, 4, 5, 180]);
}

#[test]
fn a_retransmitted_syn_does_not_dial_again() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.knock(&mut device);
    for _ in 0..3 {
        bench.wait(Duration::from_secs(1));
        assert_eq!(bench.feed([device.syn()]), []);
    }
    let seen = bench.dialed(flow, DialResult::Connected);
    assert_eq!(tcp(&seen).len(), 1);
    assert_eq!(bench.counter("tcp_dials"), 1);
}

#[test]
fn a_syn_with_another_isn_while_dialing_starts_over() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let first = bench.knock(&mut device);
    device.isn = 77;
    let seen = bench.feed([device.syn()]);
    assert_eq!(closes(&seen), ["device reset"]);
    let second = dials(&seen)[0].0;
    assert_ne!(first, second);
    let late = bench
        .engine
        .dial_result(bench.now, first, DialResult::Connected);
    assert_eq!(late, Err(Misuse::StaleFlow));
    let seen = bench.dialed(second, DialResult::Connected);
    assert_eq!(tcp(&seen)[0].ack, 78);
}

#[test]
fn a_reset_while_dialing_cancels_the_dial() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        bench.knock(&mut device);
        let seen = bench.feed([device.raw("R", device.next, b"", b"")]);
        assert_eq!(closes(&seen), ["device reset"]);
        assert_eq!(packets(&seen), []);
        assert_eq!(bench.counter("tcp_flows"), 0);
    }
}

#[test]
fn a_reset_out_of_place_while_dialing_is_passed_over() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    bench.knock(&mut device);
    assert_eq!(bench.feed([device.raw("R", device.next + 5, b"", b"")]), []);
    assert_eq!(bench.counter("drop_reset_out_of_place"), 1);
    assert_eq!(bench.counter("tcp_flows"), 1);
}

#[test]
fn data_before_the_dial_result_is_not_answered() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    bench.knock(&mut device);
    device.expected = 9;
    assert_eq!(bench.feed([device.data(b"early")]), []);
    assert_eq!(bench.counter("drop_unsynchronised"), 1);
}

#[test]
fn a_syn_ack_is_repeated_until_it_is_acknowledged() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.knock(&mut device);
    let first = tcp(&bench.dialed(flow, DialResult::Connected)).remove(0);
    let again = tcp(&bench.wait(Duration::from_secs(4)));
    assert_eq!(again.len(), 2, "after 1 s and 3 s: {again:?}");
    assert!(again.iter().all(|segment| *segment == first));
    device.take(&first);
    bench.feed([device.ack()]);
    assert_eq!(bench.wait(Duration::from_secs(60)), []);
}

#[test]
fn a_handshake_that_never_completes_ends_by_its_timer() {
    let mut bench = Bench::with(|config| config.handshake_timeout = Duration::from_secs(30));
    let mut device = Device::new(Family::V4);
    let flow = bench.knock(&mut device);
    bench.dialed(flow, DialResult::Connected);
    let seen = bench.wait(Duration::from_secs(31));
    assert_eq!(closes(&seen), ["engine handshake"]);
    assert_eq!(tcp(&seen).last().expect("a reset").flags, "R.");
    assert_eq!(bench.counter("tcp_handshake_timeout"), 1);
}

#[test]
fn a_dial_that_takes_too_long_resets_the_device() {
    let mut bench = Bench::with(|config| config.dial_timeout = Duration::from_secs(5));
    let mut device = Device::new(Family::V4);
    let flow = bench.knock(&mut device);
    let seen = bench.wait(Duration::from_secs(6));
    assert_eq!(closes(&seen), ["engine timed_out"]);
    assert_eq!(tcp(&seen)[0].flags, "R.");
    let late = bench
        .engine
        .dial_result(bench.now, flow, DialResult::Connected);
    assert_eq!(late, Err(Misuse::StaleFlow));
}

#[test]
fn a_second_dial_result_is_misuse() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    let again = bench
        .engine
        .dial_result(bench.now, flow, DialResult::Refused);
    assert_eq!(again, Err(Misuse::DialAnswered));
    assert_eq!(bench.drain(), []);
}

#[test]
fn remote_calls_before_the_dial_result_are_misuse() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.knock(&mut device);
    let now = bench.now;
    assert_eq!(
        bench.engine.remote_data(now, flow, b"x"),
        Err(Misuse::NotConnected)
    );
    assert_eq!(
        bench.engine.remote_closed(now, flow, RemoteEnd::Eof),
        Err(Misuse::NotConnected)
    );
    assert_eq!(
        bench.engine.remote_datagram(now, flow, b"x"),
        Err(Misuse::WrongProtocol)
    );
}

#[test]
fn a_bad_acknowledgement_of_the_syn_ack_is_reset_and_the_handshake_goes_on() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.knock(&mut device);
        device.receive(&bench.dialed(flow, DialResult::Connected));
        let right = device.expected;
        device.expected = right.wrapping_add(500);
        let seen = bench.feed([device.ack()]);
        assert_eq!(tcp(&seen)[0].flags, "R");
        assert_eq!(tcp(&seen)[0].seq, device.expected);
        device.expected = right;
        assert_eq!(bench.feed([device.ack()]), []);
        let (taken, seen) = bench.remote(flow, b"hello");
        assert_eq!(taken, 5);
        device.receive(&seen);
        assert_eq!(device.received, b"hello");
        // An acknowledgement of what the bogus one pretended to have is still one of unsent data.
        device.expected = right.wrapping_add(100);
        let challenge = tcp(&bench.feed([device.ack()]));
        assert_eq!(challenge.len(), 1);
        assert_eq!(challenge[0].seq, right.wrapping_add(5));
        assert_eq!(bench.counter("drop_ack_of_unsent"), 1);
    }
}

#[test]
fn data_on_the_last_step_of_the_handshake_is_delivered() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.knock(&mut device);
    device.receive(&bench.dialed(flow, DialResult::Connected));
    let seen = bench.feed([device.data(b"at once")]);
    assert!(seen.contains(&Seen::Data(flow, b"at once".to_vec())));
}

#[test]
fn time_zero_is_no_obstacle() {
    let mut bench = Bench::with(|_| {});
    bench.now = Micros(0);
    let mut device = Device::new(Family::V4);
    bench.connect(&mut device);
}
