//! Segments that could be forged or stale are questioned, not believed (RFC 5961).

use crate::support::{Bench, Device, Family, closes, dials, stream, tcp};

#[test]
fn a_syn_on_an_established_flow_gets_a_challenge() {
    for family in Family::BOTH {
        for other_isn in [false, true] {
            let mut bench = Bench::with(|_| {});
            let mut device = Device::new(family);
            let flow = bench.connect(&mut device);
            bench.remote(flow, b"12345");
            let isn = device.isn.wrapping_add(u32::from(other_isn) * 5000);
            let seen = bench.feed([device.raw("S", isn, &device.syn_options, b"")]);
            let answers = tcp(&seen);
            assert_eq!(answers.len(), 1, "{seen:?}");
            assert_eq!(answers[0].flags, ".");
            assert_eq!(answers[0].seq, device.expected.wrapping_add(5));
            assert_eq!(answers[0].ack, device.next);
            assert_eq!(bench.counter("tcp_challenge_acks"), 1);
            assert_eq!(bench.counter("tcp_flows"), 1);
        }
    }
}

#[test]
fn a_restarted_device_gets_a_new_flow_through_the_challenge() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        bench.connect(&mut device);
        let mut again = Device::new(family);
        again.isn = 1000;
        let challenge = tcp(&bench.feed([again.syn()])).remove(0);
        // A device in SYN-SENT answers an acknowledgement it cannot place with a reset (RFC 9293 section 3.10.7.3).
        let seen = bench.feed([again.raw("R", challenge.ack, b"", b"")]);
        assert_eq!(closes(&seen), ["device reset"]);
        assert_eq!(dials(&bench.feed([again.syn()])).len(), 1);
    }
}

#[test]
fn a_reset_elsewhere_in_the_window_is_challenged() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        bench.connect(&mut device);
        let inexact = device.next.wrapping_add(100);
        let seen = bench.feed([device.raw("R", inexact, b"", b"")]);
        assert_eq!(tcp(&seen)[0].flags, ".");
        assert_eq!(tcp(&seen)[0].ack, device.next);
        assert_eq!(closes(&seen), [""; 0]);
        assert_eq!(bench.counter("drop_reset_out_of_place"), 1);
    }
}

#[test]
fn a_reset_outside_the_window_is_passed_over() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    bench.connect(&mut device);
    for seq in [
        device.next.wrapping_sub(1),
        device.next.wrapping_add(16_384),
    ] {
        assert_eq!(bench.feed([device.raw("R", seq, b"", b"")]), []);
    }
    assert_eq!(bench.counter("drop_reset_out_of_place"), 2);
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_is_challenged_and_removes_nothing() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        device.window = 5;
        let flow = bench.connect(&mut device);
        let (_, seen) = bench.remote(flow, b"0123456789");
        let honest = device.expected;
        device.expected = honest.wrapping_add(10);
        let answers = tcp(&bench.feed([device.ack()]));
        assert_eq!(answers.len(), 1);
        assert_eq!(
            (answers[0].flags.as_str(), answers[0].seq),
            (".", honest.wrapping_add(5))
        );
        assert_eq!(bench.counter("drop_ack_of_unsent"), 1);
        device.expected = honest;
        device.receive(&seen);
        let seen = bench.feed([device.ack()]);
        device.receive(&seen);
        assert_eq!(device.received, b"0123456789");
    }
}

#[test]
fn a_segment_without_flow_is_reset_as_its_kind_demands() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        device.expected = 555;
        let with_ack = tcp(&bench.feed([device.raw(".", 9, b"", b"")]));
        assert_eq!((with_ack[0].flags.as_str(), with_ack[0].seq), ("R", 555));
        let without = tcp(&bench.feed([device.raw("F", 9, b"", b"abc")]));
        assert_eq!(without[0].flags, "R.");
        assert_eq!((without[0].seq, without[0].ack), (0, 13));
        assert_eq!(bench.feed([device.rst()]), [], "never a reset for a reset");
        assert_eq!(bench.counter("resets_without_flow"), 2);
        assert_eq!(bench.counter("drop_reset_without_flow"), 1);
    }
}

#[test]
fn a_keepalive_probe_is_answered() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    bench.connect(&mut device);
    for payload in [&b""[..], b"x"] {
        let seen = bench.feed([device.raw(".", device.next.wrapping_sub(1), b"", payload)]);
        assert_eq!(tcp(&seen).len(), 1, "{payload:?}");
        assert_eq!(tcp(&seen)[0].ack, device.next);
        assert_eq!(stream(&seen), b"");
        bench.wait(core::time::Duration::from_secs(2));
    }
}
