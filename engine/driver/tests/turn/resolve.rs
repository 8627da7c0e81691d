//! Intercepted queries: to the host, and back through the mailbox.

use engine::{Config, Micros, QueryKind, Resolution};
use engine_driver::Limits;

use crate::scene::{Scene, Told};
use crate::support::{Family, Packet, Udp};

#[test]
fn an_answer_through_the_mailbox_wakes_the_turn_and_reaches_the_device() {
    let mut config = Config::default();
    config.dns_interception = true;
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
