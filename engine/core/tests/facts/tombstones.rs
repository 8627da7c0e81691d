//! A closed tuple is remembered: late segments are answered, a SYN begins anew.

use core::time::Duration;

use engine::RemoteEnd;

use crate::support::{Bench, Device, Family, closes, dials, tcp};

/// A flow that closed in order, the remote first.
fn closed(bench: &mut Bench, family: Family) -> Device {
    let mut device = Device::new(family);
    let flow = bench.connect(&mut device);
    let seen = bench.end(flow, RemoteEnd::Eof);
    device.receive(&seen);
    assert_eq!(closes(&bench.feed([device.fin()])), ["remote fin"]);
    device
}

#[test]
fn a_late_fin_is_acknowledged_again() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let device = closed(&mut bench, family);
        let seen = bench.feed([device.raw("F.", device.next.wrapping_sub(1), b"", b"")]);
        let answers = tcp(&seen);
        assert_eq!(answers.len(), 1);
        assert_eq!(answers[0].flags, ".");
        assert_eq!(
            (answers[0].seq, answers[0].ack),
            (device.expected, device.next)
        );
    }
}

#[test]
fn answers_in_time_wait_carry_the_receive_window() {
    let mut bench = Bench::with(|_| {});
    let device = closed(&mut bench, Family::V4);
    let seen = bench.feed([device.raw("F.", device.next.wrapping_sub(1), b"", b"")]);
    let window = u32::from(tcp(&seen)[0].window) << device.scale;
    // In units of the window scale, rounded up: the FIN does not show.
    assert_eq!(window, device.offered);
}

#[test]
fn a_late_bare_acknowledgement_is_not_answered() {
    let mut bench = Bench::with(|_| {});
    let device = closed(&mut bench, Family::V4);
    assert_eq!(bench.feed([device.ack()]), []);
}

#[test]
fn a_newer_syn_opens_the_tuple_again_at_once() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = closed(&mut bench, family);
        device.isn = device.next.wrapping_add(64_000);
        assert_eq!(dials(&bench.feed([device.syn()])).len(), 1);
    }
}

#[test]
fn an_older_syn_is_challenged_and_opens_the_tuple_after_its_reset() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = closed(&mut bench, family);
        device.isn = device.isn.wrapping_sub(64_000);
        let challenge = tcp(&bench.feed([device.syn()])).remove(0);
        assert_eq!(challenge.flags, ".");
        bench.feed([device.raw("R", challenge.ack, b"", b"")]);
        assert_eq!(dials(&bench.feed([device.syn()])).len(), 1);
    }
}

#[test]
fn a_tuple_is_forgotten_in_time() {
    let mut bench = Bench::with(|_| {});
    let device = closed(&mut bench, Family::V4);
    bench.wait(Duration::from_secs(240));
    let seen = bench.feed([device.raw("F.", device.next.wrapping_sub(1), b"", b"")]);
    assert_eq!(tcp(&seen)[0].flags, "R");
}
