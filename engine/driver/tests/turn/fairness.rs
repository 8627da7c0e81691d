//! Neither a flood of frames nor one fat download keeps the rest from its turn.

use engine::{Config, DialResult};
use engine_driver::Limits;

use crate::scene::{Scene, Told};
use crate::support::{Device, Family, Packet, Udp};

#[test]
fn a_flood_of_frames_does_not_hold_a_download_up() {
    let mut scene = Scene::new(Config::default(), Limits::default());
    let mut device = Device::new(Family::V4);
    let flow = scene.open(&mut device);
    scene.host.frames.clear();
    let noise = Udp::new(Family::V4, 5000, 9000).send(b"noise");
    while scene.mailbox().frame(&noise) {}
    scene.send(flow, b"download");
    scene.run();
    scene.hear(&mut device);
    assert_eq!(device.heard, b"download");
    assert_eq!(scene.turn.counters().frames_in, 2 + 256);
}

#[test]
fn a_fat_download_does_not_hold_frames_or_other_flows_up() {
    let limits = Limits {
        turn_outputs: 8,
        turn_flows: 1,
        ..Limits::default()
    };
    let mut scene = Scene::new(Config::default(), limits);
    let mut fat = Device::on_port(Family::V4, 40_000, 443);
    let mut slim = Device::on_port(Family::V4, 40_001, 443);
    let first = scene.open(&mut fat);
    let second = scene.open(&mut slim);
    scene.host.frames.clear();
    scene.send(first, &[1; 60_000]);
    scene.send(second, b"slim");
    scene.frame(&slim.data(b"up"));
    let mut turns = 0;
    while scene.host.sent.is_empty() || slim.heard.is_empty() {
        turns += 1;
        assert!(turns <= 4, "the slim flow waits for the fat one");
        scene.run();
        let frames = core::mem::take(&mut scene.host.frames);
        for frame in &frames {
            if let Packet::Tcp(segment) = Packet::read(frame) {
                if segment.to == slim.local {
                    slim.take(&segment);
                } else {
                    fat.take(&segment);
                }
            }
        }
        scene.frame(&fat.ack());
        scene.send(first, &[1; 60_000]);
    }
    assert_eq!(
        (&scene.host.sent[..], &slim.heard[..]),
        (&b"up"[..], &b"slim"[..])
    );
}

#[test]
fn two_downloads_advance_side_by_side() {
    let mut scene = Scene::new(Config::default(), Limits::default());
    let mut devices = [40_000, 40_001].map(|port| Device::on_port(Family::V4, port, 443));
    let flows = devices.each_mut().map(|device| scene.open(device));
    for _ in 0..50 {
        for flow in flows {
            scene.send(flow, &[5; 60_000]);
        }
        scene.run();
        let frames = core::mem::take(&mut scene.host.frames);
        for frame in &frames {
            if let Packet::Tcp(segment) = Packet::read(frame) {
                let index = usize::from(segment.to == devices[1].local);
                devices[index].take(&segment);
            }
        }
        for device in &devices {
            scene.frame(&device.ack());
        }
    }
    let [a, b] = devices.map(|device| device.heard.len());
    assert!(a > 100_000 && b > 100_000, "{a} and {b}");
    assert!(a.abs_diff(b) <= 32_768, "{a} and {b}");
}

#[test]
fn a_turn_ends_when_its_budget_is_spent_and_asks_for_the_next_at_once() {
    let limits = Limits {
        turn_outputs: 10,
        ..Limits::default()
    };
    let mut scene = Scene::new(Config::default(), limits);
    for port in 0..64 {
        scene.frame(&Udp::new(Family::V4, 5000 + port, 9000).send(b"hi"));
    }
    assert_eq!(scene.run(), Some(scene.now));
    assert_eq!(scene.host.told.len(), 10);
    assert_eq!(scene.turn.stats().budget_spent, 1);
    scene.settle();
    let dials = scene.host.told.iter();
    assert_eq!(dials.filter(|t| matches!(t, Told::Dial(_))).count(), 64);
}

#[test]
fn datagrams_of_one_flow_do_not_hold_the_next_up() {
    let mut scene = Scene::new(Config::default(), Limits::default());
    let (one, other) = (
        Udp::new(Family::V4, 5000, 9000),
        Udp::new(Family::V4, 5001, 9000),
    );
    let mut flows = Vec::new();
    for device in [one, other] {
        scene.frame(&device.send(b"?"));
        scene.settle();
        flows.push(scene.last_dial());
        scene
            .mailbox()
            .dialed(scene.last_dial(), DialResult::Connected)
            .expect("fresh");
    }
    scene.settle();
    for _ in 0..500 {
        assert_eq!(scene.mailbox().datagram(flows[0], None, b"many"), Ok(true));
    }
    assert_eq!(scene.mailbox().datagram(flows[1], None, b"one"), Ok(true));
    scene.settle();
    let place = scene.host.frames.iter().position(
        |frame| matches!(Packet::read(frame), Packet::Udp { payload, .. } if payload == b"one"),
    );
    assert!(place.expect("it came") <= 64);
    assert_eq!(scene.host.frames.len(), 501);
}

#[test]
fn many_full_downloads_leave_room_for_frames_after_so_many_octets() {
    let limits = Limits {
        turn_bytes: 20_000,
        ..Limits::default()
    };
    let mut scene = Scene::new(Config::default(), limits);
    let mut flows = Vec::new();
    for port in 0..8 {
        let mut device = Device::on_port(Family::V4, 40_000 + port, 443);
        flows.push(scene.open(&mut device));
    }
    for flow in flows {
        scene.send(flow, &[5; 10_000]);
    }
    let before = scene.turn.counters().downstream_bytes;
    assert_eq!(scene.run(), Some(scene.now), "the others come next");
    assert_eq!(scene.turn.counters().downstream_bytes - before, 20_000);
    scene.settle();
    assert_eq!(scene.turn.counters().downstream_bytes - before, 80_000);
}
