//! Whatever is lost at the border is counted and told.

use engine::{Config, DialResult, How, LogLevel, Micros};
use engine_driver::{Limits, Notice};

use crate::scene::{Scene, Told};
use crate::support::{Device, Family, Udp};

#[test]
fn frames_beyond_the_ring_are_counted_and_noticed_once_a_turn() {
    let limits = Limits {
        ring_frames: 3,
        ..Limits::default()
    };
    let mut scene = Scene::new(Config::default(), limits);
    let frame = Udp::new(Family::V4, 5000, 53).send(b"?");
    let mailbox = scene.mailbox();
    assert_eq!(mailbox.frames((0..5).map(|_| &frame[..])), 3);
    scene.settle();
    let bytes = 2 * frame.len() as u64;
    let notices = scene.host.told.iter();
    let notices: Vec<_> = notices.filter(|t| matches!(t, Told::Notice(_))).collect();
    assert_eq!(
        notices,
        [&Told::Notice(Notice::RingOverflow { frames: 2, bytes })]
    );
    let snapshot = mailbox.snapshot();
    assert_eq!(snapshot.stats.ring_frames, 3);
    assert_eq!(snapshot.stats.ring_overflow_frames, 2);
    assert_eq!(snapshot.stats.ring_overflow_bytes, bytes);
    assert_eq!(snapshot.counters.frames_in, 3);
}

#[test]
fn datagrams_beyond_an_inbox_are_counted_and_noticed() {
    let limits = Limits {
        inbox_bytes: 1000,
        ..Limits::default()
    };
    let mut scene = Scene::new(Config::default(), limits);
    scene.frame(&Udp::new(Family::V6, 5000, 9000).send(b"?"));
    scene.settle();
    let (flow, mailbox) = (scene.last_dial(), scene.mailbox());
    mailbox.dialed(flow, DialResult::Connected).expect("fresh");
    let taken = (0..20).filter(|_| mailbox.datagram(flow, None, &[0; 100]) == Ok(true));
    assert_eq!(taken.count(), 6);
    assert_eq!(mailbox.snapshot().stats.inbox_dropped_datagrams, 14);
    scene.settle();
    assert!(
        scene
            .host
            .told
            .contains(&Told::Notice(Notice::InboxOverflow { datagrams: 14 }))
    );
    assert_eq!(scene.host.frames.len(), 6);
}

#[test]
fn the_largest_datagram_fits_into_the_smallest_inbox() {
    let limits = Limits {
        inbox_bytes: 1,
        ..Limits::default()
    };
    let mut scene = Scene::new(Config::default(), limits);
    scene.frame(&Udp::new(Family::V4, 5000, 9000).send(b"?"));
    scene.settle();
    let (flow, mailbox) = (scene.last_dial(), scene.mailbox());
    mailbox.dialed(flow, DialResult::Connected).expect("fresh");
    assert_eq!(mailbox.datagram(flow, None, &[0; 9000]), Ok(true));
    scene.settle();
    assert!(scene.host.frames.len() > 5, "fragments of it");
}

#[test]
fn a_datagram_the_host_refuses_is_counted_and_blocks_its_flow_until_writable() {
    let mut scene = Scene::new(Config::default(), Limits::default());
    let device = Udp::new(Family::V4, 5000, 9000);
    scene.host.answers = Some(scene.mailbox());
    scene.host.refuses_datagrams = true;
    scene.frame(&device.send(b"lost"));
    scene.settle();
    let flow = scene.last_dial();
    scene.host.refuses_datagrams = false;
    scene.frame(&device.send(b"kept"));
    scene.settle();
    let datagrams = |scene: &Scene| {
        let told = scene.host.told.iter();
        told.filter(|t| matches!(t, Told::Datagram(..))).count()
    };
    assert_eq!(datagrams(&scene), 0);
    scene.mailbox().writable(flow).expect("open");
    scene.settle();
    assert!(
        scene
            .host
            .told
            .contains(&Told::Datagram(flow, b"kept".to_vec()))
    );
    assert_eq!(scene.turn.stats().host_dropped_datagrams, 1);
}

#[test]
fn frames_the_host_did_not_take_are_offered_again_in_order_within_the_poll_interval() {
    let mut scene = Scene::new(Config::default(), Limits::default());
    let mut device = Device::new(Family::V4);
    let flow = scene.open(&mut device);
    scene.host.frames.clear();
    scene.host.frame_credit = Some(2);
    scene.send(flow, &[9; 7000]);
    let next = scene.settle();
    assert_eq!(next, Some(Micros(scene.now.0 + 5000)));
    assert_eq!(scene.host.frames.len(), 2);
    // Refused once more, then taken.
    scene.pass(5000);
    assert_eq!(scene.settle(), Some(Micros(scene.now.0 + 5000)));
    scene.host.frame_credit = None;
    scene.pass(5000);
    scene.settle();
    scene.receive(&mut device);
    assert_eq!(device.received, [9; 7000]);
    assert_eq!(scene.turn.stats().host_refused_batches, 1);
}

#[test]
fn frames_are_offered_again_at_once_if_anything_came_while_the_turn_ran() {
    let mut scene = Scene::new(Config::default(), Limits::default());
    let mut device = Device::on_port(Family::V4, 40_000, 443);
    let flow = scene.open(&mut device);
    scene.host.answers = Some(scene.mailbox());
    scene.host.frame_credit = Some(0);
    scene.send(flow, &[9; 7000]);
    scene.frame(&Device::on_port(Family::V4, 40_001, 443).syn());
    assert_eq!(scene.run(), Some(scene.now), "the dial was answered");
    assert_eq!(scene.run(), Some(Micros(scene.now.0 + 5000)));
    assert_eq!(scene.turn.stats().host_refused_batches, 1);
}

#[test]
fn a_refused_dial_closes_the_flow_with_that_result() {
    let (mut scene, mut device) = (
        Scene::new(Config::default(), Limits::default()),
        Device::new(Family::V6),
    );
    scene.frame(&device.syn());
    scene.settle();
    let flow = scene.last_dial();
    scene
        .mailbox()
        .dialed(flow, DialResult::Refused)
        .expect("fresh");
    scene.settle();
    scene.receive(&mut device);
    assert!(device.received_rst);
    assert!(
        scene
            .host
            .told
            .contains(&Told::Close(flow, How::Dial(DialResult::Refused)))
    );
}

fn datagrams(scene: &Scene) -> Vec<&[u8]> {
    let told = scene.host.told.iter();
    told.filter_map(|told| match told {
        Told::Datagram(_, payload) => Some(&payload[..]),
        _ => None,
    })
    .collect()
}

/// A flow whose host refuses the first of these, which come in one batch.
fn refused_in_a_batch(scene: &mut Scene, payloads: &[&[u8]]) -> engine::FlowId {
    let device = Udp::new(Family::V4, 5000, 9000);
    scene.host.answers = Some(scene.mailbox());
    scene.frame(&device.send(b"opens"));
    scene.settle();
    scene.host.refuses_datagrams = true;
    for payload in payloads {
        scene.frame(&device.send(payload));
    }
    scene.settle();
    scene.host.refuses_datagrams = false;
    scene.last_dial()
}

#[test]
fn datagrams_of_a_batch_behind_a_refused_one_wait_for_writable_in_order() {
    let mut scene = Scene::new(Config::default(), Limits::default());
    let flow = refused_in_a_batch(&mut scene, &[b"lost", b"one", b"two"]);
    // What comes later waits behind them, in the engine.
    scene.frame(&Udp::new(Family::V4, 5000, 9000).send(b"three"));
    scene.settle();
    assert_eq!(datagrams(&scene), [b"opens"]);
    scene.mailbox().writable(flow).expect("open");
    scene.settle();
    let expected: [&[u8]; 4] = [b"opens", b"one", b"two", b"three"];
    assert_eq!(datagrams(&scene), expected);
    let stats = scene.turn.stats();
    assert_eq!(
        (stats.host_dropped_datagrams, stats.host_delayed_datagrams),
        (1, 2)
    );
    let notices = scene.host.told.iter();
    let notices = notices.filter(|told| matches!(told, Told::Notice(_)));
    assert_eq!(notices.count(), 1);
}

#[test]
fn a_flow_that_is_refused_again_keeps_what_is_left_and_stays_blocked() {
    let mut scene = Scene::new(Config::default(), Limits::default());
    let flow = refused_in_a_batch(&mut scene, &[b"lost", b"lost as well", b"kept"]);
    scene.host.refuses_datagrams = true;
    scene.mailbox().writable(flow).expect("open");
    scene.settle();
    scene.host.refuses_datagrams = false;
    scene.frame(&Udp::new(Family::V4, 5000, 9000).send(b"later"));
    scene.settle();
    assert_eq!(datagrams(&scene), [b"opens"]);
    scene.mailbox().writable(flow).expect("open");
    scene.settle();
    let expected: [&[u8]; 3] = [b"opens", b"kept", b"later"];
    assert_eq!(datagrams(&scene), expected);
    assert_eq!(scene.turn.stats().host_dropped_datagrams, 2);
}

#[test]
fn datagrams_beyond_the_bound_and_those_a_close_overtakes_are_counted_as_lost() {
    let config = Config {
        udp_queue: 2 * (10 + 64),
        ..Config::default()
    };
    let mut scene = Scene::new(config, Limits::default());
    let flow = refused_in_a_batch(&mut scene, &[&[7; 10][..]; 5]);
    assert_eq!(scene.turn.stats().host_delayed_datagrams, 2);
    assert_eq!(scene.turn.stats().host_dropped_datagrams, 1 + 2);
    scene.end(flow, engine::RemoteEnd::Reset);
    scene.settle();
    assert_eq!(datagrams(&scene), [b"opens"]);
    assert_eq!(scene.turn.stats().host_dropped_datagrams, 5);
}

#[test]
fn the_metrics_in_the_log_have_what_the_host_refused() {
    let config = Config {
        log_level: Some(LogLevel::Info),
        metrics_interval: Some(core::time::Duration::from_secs(1)),
        ..Config::default()
    };
    let mut scene = Scene::new(config, Limits::default());
    refused_in_a_batch(&mut scene, &[b"lost", b"kept"]);
    scene.pass(2_000_000);
    scene.frame(&Udp::new(Family::V4, 5001, 9000).send(b"?"));
    scene.settle();
    let line = scene.host.lines.last().expect("a line");
    assert!(line.contains(" host_dropped_datagrams=1"), "{line}");
    assert!(line.contains(" host_delayed_datagrams=1"), "{line}");
}

#[test]
fn frames_that_are_no_packets_by_their_length_are_counted_as_lost() {
    let mut scene = Scene::new(Config::default(), Limits::default());
    scene.mailbox().lost(2);
    scene.settle();
    let notice = Notice::RingOverflow {
        frames: 2,
        bytes: 0,
    };
    assert_eq!(scene.host.told, [Told::Notice(notice)]);
    assert_eq!(scene.mailbox().snapshot().stats.ring_overflow_frames, 2);
}

#[test]
fn a_turn_that_is_dropped_leaves_no_flow_among_the_numbers() {
    let mut scene = Scene::new(Config::default(), Limits::default());
    scene.open(&mut Device::new(Family::V4));
    scene.frame(&Udp::new(Family::V4, 5000, 9000).send(b"waits for its dial"));
    scene.settle();
    let mailbox = scene.mailbox();
    assert_eq!(mailbox.snapshot().counters.tcp_flows, 1);
    assert_eq!(mailbox.snapshot().counters.udp_waiting, 1);
    drop(scene);
    let counters = mailbox.snapshot().counters;
    for (info, value) in engine::Counters::describe().zip(counters.iter()) {
        let open = info.mark == engine::Mark::Gauge && value.1 != 0;
        assert!(!open, "{} is {}", info.name, value.1);
    }
    assert_eq!(counters.broken_law(), None);
}

#[test]
fn stopping_leaves_no_gauge_above_zero() {
    let config = Config {
        dns_interception: true,
        metrics_interval: Some(core::time::Duration::from_millis(1)),
        log_level: Some(LogLevel::Trace),
        ..Config::default()
    };
    let mut scene = Scene::new(config, Limits::default());
    let mut device = Device::new(Family::V4);
    let flow = scene.open(&mut device);
    scene.host.frame_credit = Some(0);
    scene.send(flow, &[9; 7000]);
    refused_in_a_batch(&mut scene, &[b"lost", b"kept"]);
    scene.frame(&Device::on_port(Family::V6, 40_001, 80).syn());
    scene.run();
    scene.turn.stop(Micros(scene.now.0 + 7), &mut scene.host);
    let counters = scene.mailbox().snapshot().counters;
    for (info, value) in engine::Counters::describe().zip(counters.iter()) {
        let open = info.mark == engine::Mark::Gauge && value.1 != 0;
        assert!(!open, "{} is {}", info.name, value.1);
    }
    assert_eq!(counters.broken_law(), None);
}

#[test]
fn a_reader_that_brings_a_chunk_at_a_time_never_waits_for_more_than_the_ring_holds() {
    for (ring_frames, ring_bytes) in [(4096, 1 << 20), (3, 1 << 20), (4096, 1000), (1, 1)] {
        let limits = Limits {
            ring_frames,
            ring_bytes,
            ..Limits::default()
        };
        let scene = Scene::new(Config::default(), limits);
        for each in [0, 576, 1504, 9004, 65_535] {
            let (frames, bytes) = scene.mailbox().chunk(64, each);
            assert!((1..=64).contains(&frames));
            assert!(scene.mailbox().has_room(frames, bytes), "{each}");
        }
    }
}
