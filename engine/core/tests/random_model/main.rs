//! A random device and a random dialer: whatever happens between them, both streams arrive whole or the flow is
//! reported broken, every drain ends, and nothing is left behind.
//!
//! The device is a small honest TCP client. The network between them loses, duplicates and reorders; the dialer
//! delays, takes in part, blocks, ends.
//!
//! Cases: 256, or what `PROPTEST_CASES` says.

#[path = "../support/mod.rs"]
mod support;

mod client;
mod world;

use core::time::Duration;
use std::collections::VecDeque;

use client::{Client, octet};
use engine::{Config, DialResult};
use proptest::prelude::*;
use support::{Bench, Family};
use world::{Step, Weather, World};

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (1u16..3000).prop_map(Step::Wait),
        2 => (0u16..2000).prop_map(Step::DialerTakes),
        1 => Just(Step::DialerBlocks),
        3 => Just(Step::DialerWritable),
        6 => (1u16..20_000).prop_map(Step::RemoteSends),
        1 => Just(Step::RemoteEnds),
        6 => (1u16..8000).prop_map(Step::DeviceSends),
        1 => Just(Step::DeviceCloses),
        2 => prop_oneof![Just(0u16), 1u16..3000, Just(65_535)].prop_map(Step::DeviceWindow),
    ];
    let broken = prop_oneof![Just(Step::RemoteBreaks), Just(Step::DeviceResets)];
    (
        proptest::collection::vec(step, 1..40),
        proptest::option::weighted(0.25, (broken, 0usize..40)),
    )
        .prop_map(|(mut steps, broken)| {
            if let Some((step, at)) = broken {
                steps.insert(at.min(steps.len()), step);
            }
            steps
        })
}

fn weather() -> impl Strategy<Value = Weather> {
    let often = || prop_oneof![3 => Just(0u8), 2 => 0u8..60];
    (often(), often(), often()).prop_map(|(lose, duplicate, reorder)| Weather {
        lose,
        duplicate,
        reorder,
    })
}

fn run(family: Family, steps: &[Step], weather: &Weather, luck: u64, rings: usize) {
    let mut config = Config::default();
    config.rx_buffer = Some(rings);
    config.tx_buffer = Some(rings);
    let bench = Bench::new(config);
    let now = bench.now;
    let mut world = World {
        client: Client::new(family, now),
        bench,
        weather: weather.clone(),
        luck,
        flow: None,
        dialed: false,
        upstream: Vec::new(),
        half_closes: 0,
        closes: Vec::new(),
        remote_written: 0,
        remote_sent: 0,
        remote_ended: false,
        may_send: true,
        delayed: VecDeque::new(),
    };
    for _ in 0..50 {
        let frames = world.client.speak(true);
        world.deliver(frames);
        if world.flow.is_some() {
            break;
        }
    }
    let Some(flow) = world.flow else { return };
    world.wait(u64::from(weather.lose) * 10);
    if world.open().is_none() {
        return;
    }
    let seen = world.bench.dialed(flow, DialResult::Connected);
    world.dialed = true;
    world.act(seen);
    world.talk();
    for step in steps {
        world.step(*step);
    }
    // Fair weather and willing sides: everything that can arrive does.
    let broken = |world: &World| world.client.reset || !world.closes.is_empty();
    world.weather = Weather {
        lose: 0,
        duplicate: 0,
        reorder: 0,
    };
    world.bench.takes = None;
    world.client.window = 65_535;
    world.client.wants_ack = true;
    world.client.closed = true;
    for _ in 0..400 {
        if world.closes.len() == 1 {
            break;
        }
        world.step(Step::DialerWritable);
        world.step(Step::RemoteEnds);
        world.wait(1000);
    }
    let fine = world
        .closes
        .first()
        .is_some_and(|close| close.ends_with(" fin"));
    if fine {
        assert_eq!(
            world.upstream.len(),
            world.client.written,
            "the dialer has all"
        );
        assert_eq!(
            world.client.got.len(),
            world.remote_sent,
            "the device has all"
        );
        assert!(world.client.finished);
    } else {
        assert!(
            broken(&world),
            "neither whole nor broken: {:?}",
            world.closes
        );
        let caused = steps
            .iter()
            .any(|s| matches!(s, Step::RemoteBreaks | Step::DeviceResets));
        assert!(caused, "broken for no reason: {:?}", world.closes);
    }
    let whole = |bytes: &[u8]| {
        bytes
            .iter()
            .enumerate()
            .all(|(at, byte)| *byte == octet(at))
    };
    assert!(
        whole(&world.upstream) && whole(&world.client.got),
        "no octet lost, doubled or moved"
    );
    // Far beyond every limit nothing is left.
    let seen = world.bench.wait(Duration::from_secs(100_000));
    world.act(seen);
    assert_eq!(
        world.closes.len(),
        1,
        "exactly one close: {:?}",
        world.closes
    );
    assert_eq!(world.bench.counter("tcp_flows"), 0);
    assert_eq!(world.bench.counter("tcp_backpressure_drops"), 0);
    assert_eq!(world.bench.engine.poll_timeout(), None);
}

proptest! {
    #[test]
    fn both_streams_are_whole_or_the_flow_is_reported_broken(
        v6: bool,
        steps in steps(),
        weather in weather(),
        luck: u64,
        rings in prop_oneof![Just(16_384usize), 200usize..5000, Just(65_535)],
    ) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        run(family, &steps, &weather, luck, rings);
    }
}
