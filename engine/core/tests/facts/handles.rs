//! A handle is good until its close, and an error after it.

use engine::{DialResult, FlowId, Misuse, RemoteEnd};

use crate::support::{Bench, Device, Family, Udp, dials};

#[test]
fn the_handle_of_an_ended_flow_is_stale_even_if_its_place_is_taken() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let old = bench.connect(&mut device);
    bench.feed([device.rst()]);
    let new = bench.connect(&mut Device::on_port(Family::V4, 40_001, 443));
    assert_eq!(
        old.to_bits() as u32,
        new.to_bits() as u32,
        "the place is used again"
    );
    let (engine, now) = (&mut bench.engine, bench.now);
    assert_eq!(engine.remote_data(now, old, b"x"), Err(Misuse::StaleFlow));
    assert_eq!(
        engine.remote_datagram(now, old, b"x"),
        Err(Misuse::StaleFlow)
    );
    assert_eq!(
        engine.remote_closed(now, old, RemoteEnd::Eof),
        Err(Misuse::StaleFlow)
    );
    assert_eq!(engine.remote_blocked(now, old), Err(Misuse::StaleFlow));
    assert_eq!(engine.remote_writable(now, old), Err(Misuse::StaleFlow));
    assert_eq!(
        engine.dial_result(now, old, DialResult::Connected),
        Err(Misuse::StaleFlow)
    );
    assert_eq!(bench.drain(), [], "misuse changes nothing");
}

#[test]
fn any_number_makes_a_handle_that_is_safe() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    assert_eq!(FlowId::from_bits(flow.to_bits()), flow);
    for bits in [
        0,
        1,
        u64::MAX,
        flow.to_bits() + 1,
        flow.to_bits() + (1 << 32),
    ] {
        let answer = bench
            .engine
            .remote_data(bench.now, FlowId::from_bits(bits), b"x");
        assert_eq!(answer, Err(Misuse::StaleFlow), "{bits:#x}");
    }
}

#[test]
fn calls_that_do_not_fit_the_protocol_are_misuse() {
    let mut bench = Bench::with(|_| {});
    let seen = bench.feed([Udp::new(Family::V4, 5000, 7).send(b"hi")]);
    let udp = dials(&seen)[0].0;
    let now = bench.now;
    assert_eq!(
        bench.engine.remote_datagram(now, udp, b"x"),
        Err(Misuse::NotConnected)
    );
    assert_eq!(
        bench.engine.remote_data(now, udp, b"x"),
        Err(Misuse::WrongProtocol)
    );
}

#[test]
fn a_second_end_of_the_remote_is_misuse() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    bench.end(flow, RemoteEnd::Eof);
    let now = bench.now;
    assert_eq!(
        bench.engine.remote_closed(now, flow, RemoteEnd::Eof),
        Err(Misuse::AfterEnd)
    );
    assert_eq!(
        bench.engine.remote_data(now, flow, b"x"),
        Err(Misuse::AfterEnd)
    );
}

#[test]
fn what_a_host_forgets_to_take_is_not_acknowledged_and_comes_again() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    let frame = device.data(b"abc");
    bench.engine.handle_frames(bench.now, [frame.as_slice()]);
    let Some(engine::Output::Data { bytes, .. }) = bench.engine.poll_output(bench.now) else {
        panic!("no bytes");
    };
    assert_eq!((&*bytes, bytes.len()), (&b"abc"[..], 3));
    assert_eq!(bench.engine.counters().upstream_bytes, 0);
    bench.drain();
    assert_eq!(bench.engine.counters().upstream_bytes, 0);
    assert_eq!(crate::support::stream(&bench.writable(flow)), b"abc");
}

#[test]
fn a_host_cannot_take_more_than_is_lent() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    bench.connect(&mut device);
    let frame = device.data(b"abc");
    bench.engine.handle_frames(bench.now, [frame.as_slice()]);
    let Some(engine::Output::Data { bytes, .. }) = bench.engine.poll_output(bench.now) else {
        panic!("no bytes");
    };
    assert_eq!(bytes.took(4), b"abc");
    bench.drain();
    assert_eq!(bench.engine.counters().upstream_bytes, 3);
}
