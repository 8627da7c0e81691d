//! Whatever is lost at the border is counted and told.

use engine::{Config, DialResult, How};
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
    assert_eq!(next, Some(engine::Micros(scene.now.0 + 5000)));
    assert_eq!(scene.host.frames.len(), 2);
    // Refused once more, then taken.
    scene.pass(5000);
    assert_eq!(scene.settle(), Some(engine::Micros(scene.now.0 + 5000)));
    scene.host.frame_credit = None;
    scene.pass(5000);
    scene.settle();
    scene.hear(&mut device);
    assert_eq!(device.heard, [9; 7000]);
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
    assert_eq!(scene.run(), Some(engine::Micros(scene.now.0 + 5000)));
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
    scene.hear(&mut device);
    assert!(device.heard_rst);
    assert!(
        scene
            .host
            .told
            .contains(&Told::Close(flow, How::Dial(DialResult::Refused)))
    );
}
