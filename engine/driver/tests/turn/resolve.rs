//! Intercepted queries: to the host, or to the turn's resolver, and back through the mailbox.

use std::sync::Arc;

use engine::{Config, Micros, QueryKind, Resolution};
use engine_driver::Limits;
use engine_driver::resolver::{self, CachingResolver, Found, MockLookup, ResolverLimits};

use crate::scene::{Scene, Told};
use crate::support::{Family, Packet, Udp};

#[test]
fn an_answer_through_the_mailbox_wakes_the_turn_and_reaches_the_device() {
    let config = Config {
        dns_interception: true,
        ..Config::default()
    };
    let mut scene = Scene::new(config, Limits::default());
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(b"\x01a\x07example\x00\x00\x01\x00\x01");
    let device = Udp::new(Family::V4, 5000, 53);
    scene.mailbox().frame(&device.send(&query));
    let due = scene.settle();
    let [Told::Resolve(id, name, QueryKind::A)] = scene.host.told.as_slice() else {
        panic!("{:?}", scene.host.told);
    };
    assert_eq!(name, "a.example");
    assert_eq!(
        due,
        Some(Micros::from_secs(5)),
        "the engine gives up by itself"
    );
    let before = scene.wakes.load(core::sync::atomic::Ordering::Relaxed);
    let answer = Resolution::Addresses {
        addresses: vec![[192, 0, 2, 1].into()],
        ttl: 60,
    };
    assert!(scene.mailbox().resolved(*id, answer));
    assert_eq!(
        scene.wakes.load(core::sync::atomic::Ordering::Relaxed),
        before + 1
    );
    scene.settle();
    let Packet::Udp { from, payload, .. } = Packet::read(&scene.host.frames[0]) else {
        panic!("a datagram");
    };
    assert_eq!((from, payload[7]), (device.remote, 1));
}

/// A scene that has been asked for the IPv4 addresses of `labels`, names as they stand in a message.
fn asked(labels: &[u8], prepare: impl FnOnce(&mut Scene)) -> Scene {
    let config = Config {
        dns_interception: true,
        ..Config::default()
    };
    let mut scene = Scene::new(config, Limits::default());
    scene.host.leaves_names = true;
    prepare(&mut scene);
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(labels);
    query.extend(b"\x00\x00\x01\x00\x01");
    scene.frame(&Udp::new(Family::V4, 5000, 53).send(&query));
    scene.settle();
    scene
}

/// The last answer: its code, how many records it has, and its last bytes, those of an address if it has one.
fn answer(scene: &Scene) -> (u8, u8, [u8; 4]) {
    let frame = scene.host.frames.last().expect("an answer");
    let Packet::Udp { payload, .. } = Packet::read(frame) else {
        panic!("a datagram");
    };
    let last = payload.last_chunk().expect("more than four bytes");
    (payload[3] & 15, payload[7], *last)
}

#[test]
fn a_name_that_the_host_leaves_goes_to_the_turns_resolver() {
    let lookup = MockLookup::default();
    let asked_of = lookup.clone();
    let mut scene = asked(b"\x01a\x07example", |scene| {
        let (mailbox, clock) = (scene.mailbox(), Arc::clone(&scene.clock));
        let limits = ResolverLimits::default();
        let resolver = CachingResolver::new(lookup, limits, clock, move |query, found| {
            assert!(mailbox.resolved(query, found));
        });
        scene.turn.set_resolver(Some(Arc::new(resolver)));
    });
    assert_eq!(asked_of.asked(), ["a.example"]);
    let addresses = vec![[192, 0, 2, 9].into()];
    assert!(asked_of.finish("a.example", Found::Addresses(addresses)));
    scene.settle();
    assert_eq!(answer(&scene), (0, 1, [192, 0, 2, 9]));
}

#[test]
fn without_anybody_to_ask_the_device_hears_of_the_failure_at_once() {
    let scene = asked(b"\x01a\x07example", |_| {});
    let (code, records, _) = answer(&scene);
    assert_eq!((code, records), (2, 0));
}

#[test]
fn the_systems_resolver_answers_and_does_not_keep_the_mailbox() {
    let mut scene = asked(b"\x09localhost", |scene| {
        let resolver = resolver::of_the_system(&scene.mailbox(), Arc::clone(&scene.clock) as _);
        scene.turn.set_resolver(Some(Arc::new(resolver)));
    });
    while scene.host.frames.is_empty() {
        std::thread::yield_now();
        scene.settle();
    }
    assert_eq!(answer(&scene), (0, 1, [127, 0, 0, 1]));
    let mailbox = scene.mailbox();
    drop(scene);
    assert_eq!(Arc::strong_count(&mailbox), 1);
}
