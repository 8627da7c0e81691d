//! Neither a flood of frames nor one fat download keeps the rest from its turn.

use engine::{Config, DialResult, FlowId};
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
    scene.receive(&mut device);
    assert_eq!(device.received, b"download");
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
    while scene.host.sent.is_empty() || slim.received.is_empty() {
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
        (&scene.host.sent[..], &slim.received[..]),
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
    let [a, b] = devices.map(|device| device.received.len());
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

fn udp_flow(scene: &mut Scene, port: u16) -> FlowId {
    scene.frame(&Udp::new(Family::V4, port, 9000).send(b"?"));
    scene.settle();
    let flow = scene.last_dial();
    scene
        .mailbox()
        .dialed(flow, DialResult::Connected)
        .expect("fresh");
    scene.settle();
    flow
}

fn datagrams(frames: &[Vec<u8>]) -> impl Iterator<Item = Vec<u8>> {
    frames.iter().filter_map(|frame| match Packet::read(frame) {
        Packet::Udp { payload, .. } => Some(payload),
        _ => None,
    })
}

#[test]
fn datagrams_reach_the_device_in_the_order_in_which_they_came_whatever_their_flow() {
    let mut scene = Scene::new(Config::default(), Limits::default());
    let flows = [5000, 5001, 5002].map(|port| udp_flow(&mut scene, port));
    for n in 0..200_u8 {
        let flow = flows[usize::from(n) % 3];
        assert_eq!(scene.mailbox().datagram(flow, None, &[n]), Ok(true));
    }
    scene.settle();
    assert!(datagrams(&scene.host.frames).eq((0..200).map(|n| vec![n])));
}

#[test]
fn a_flood_of_datagrams_holds_neither_streams_nor_frames_up() {
    let limits = Limits {
        turn_bytes: 20_000,
        ..Limits::default()
    };
    let mut scene = Scene::new(Config::default(), limits);
    let mut device = Device::new(Family::V4);
    let stream = scene.open(&mut device);
    let flood = udp_flow(&mut scene, 5000);
    let mut sent = 0;
    while scene.mailbox().datagram(flood, None, &[7; 936]) == Ok(true) {
        sent += 1;
    }
    assert_eq!(sent, 65, "what a flow may have waiting");
    scene.send(stream, b"down");
    scene.frame(&device.data(b"up"));
    assert_eq!(scene.run(), Some(scene.now), "the others come next");
    assert_eq!(datagrams(&scene.host.frames).count(), 20);
    assert_eq!(scene.host.sent, b"up");
    scene.receive(&mut device);
    assert_eq!(device.received, b"down");
    scene.settle();
    assert_eq!(datagrams(&scene.host.frames).count(), 45);
}

#[test]
fn a_flood_of_datagrams_leaves_other_flows_their_share_of_the_queue() {
    let limits = Limits {
        turn_bytes: 20_000,
        inboxes_bytes: 10_000,
        ..Limits::default()
    };
    let mut scene = Scene::new(Config::default(), limits);
    let [flood, other] = [5000, 5001].map(|port| udp_flow(&mut scene, port));
    let fill = |scene: &Scene, flow| {
        let tries = 0..1000;
        tries
            .filter(|_| scene.mailbox().datagram(flow, None, &[7; 936]) == Ok(true))
            .count()
    };
    assert_eq!(fill(&scene, flood), 10, "all that may wait");
    assert_eq!(fill(&scene, other), 4, "4 KiB of each flow beyond");
    scene.settle();
    assert_eq!(fill(&scene, other), 10, "nothing waits");
}

#[test]
fn many_full_downloads_leave_room_for_frames_after_so_many_bytes() {
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
