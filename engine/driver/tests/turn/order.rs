//! What comes in which order, and that no byte is lost on the way.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;

use engine::{Config, DialResult, FlowKey, How, Micros, Misuse, RemoteEnd};
use engine_driver::turn::{Crossing, Tap};
use engine_driver::{Limits, Turn};

use crate::scene::{Scene, Told};
use crate::support::{Device, Family, Packet, Udp};

fn scene() -> Scene {
    Scene::new(Config::default(), Limits::default())
}

#[test]
fn an_answer_bytes_and_the_end_posted_at_once_arrive_in_that_order() {
    for family in Family::BOTH {
        let (mut scene, mut device) = (scene(), Device::new(family));
        scene.frame(&device.syn());
        scene.settle();
        let flow = scene.last_dial();
        let mailbox = scene.mailbox();
        mailbox.dialed(flow, DialResult::Connected).expect("fresh");
        assert_eq!(mailbox.data(flow, b"hello"), Ok(5));
        mailbox.ended(flow, RemoteEnd::Eof).expect("connected");
        scene.settle();
        scene.receive(&mut device);
        scene.frame(&device.ack());
        scene.read_all(&mut device);
        assert_eq!(
            (&device.received[..], device.received_fin),
            (&b"hello"[..], true)
        );
    }
}

#[test]
fn an_answer_datagrams_and_the_end_of_a_udp_flow_posted_at_once_arrive_in_that_order() {
    let mut scene = scene();
    scene.frame(&Udp::new(Family::V6, 5000, 9000).send(b"?"));
    scene.settle();
    let (flow, mailbox) = (scene.last_dial(), scene.mailbox());
    let refused = mailbox.datagram(flow, None, b"early");
    assert_eq!(refused, Err(Misuse::NotConnected));
    mailbox.dialed(flow, DialResult::Connected).expect("fresh");
    for payload in [&b"one"[..], b"", b"two"] {
        assert_eq!(mailbox.datagram(flow, None, payload), Ok(true));
    }
    mailbox.ended(flow, RemoteEnd::Eof).expect("connected");
    let late = mailbox.datagram(flow, None, b"late");
    assert_eq!(late, Err(Misuse::AfterEnd));
    scene.settle();
    let heard: Vec<_> = scene.host.frames.iter().map(|f| Packet::read(f)).collect();
    let payloads = heard.iter().map(|packet| match packet {
        Packet::Udp { payload, .. } => &payload[..],
        other => panic!("{other:?}"),
    });
    assert!(payloads.eq([&b"one"[..], b"", b"two"]));
    let closes = scene.host.told.iter();
    let closes = closes.filter(|told| matches!(told, Told::Close(..)));
    assert_eq!(closes.count(), 1);
}

#[test]
fn datagrams_left_for_a_flow_that_ended_meanwhile_are_passed_over() {
    struct Datagrams(mpsc::Sender<()>);
    impl Tap for Datagrams {
        fn crossed(&mut self, _now: Micros, crossing: Crossing<'_>) {
            if matches!(crossing, Crossing::Datagram(..)) {
                self.0.send(()).expect("the test listens");
            }
        }
    }
    let mut scene = scene();
    let (crossed, seen) = mpsc::channel();
    scene.turn.set_tap(Some(Box::new(Datagrams(crossed))));
    scene.frame(&Udp::new(Family::V4, 5000, 9000).send(b"?"));
    scene.settle();
    let (flow, mailbox) = (scene.last_dial(), scene.mailbox());
    mailbox.dialed(flow, DialResult::Connected).expect("fresh");
    scene.settle();
    assert_eq!(mailbox.datagram(flow, None, b"left"), Ok(true));
    // The path change is told first, and ends the flow.
    mailbox.address_lost(Udp::new(Family::V4, 5000, 9000).local.ip());
    scene.settle();
    assert_eq!(mailbox.flows(), 0);
    assert!(scene.host.frames.is_empty() && seen.try_iter().count() == 0);
    assert!(!scene.host.told.iter().any(|t| matches!(t, Told::Notice(_))));
}

#[test]
fn a_host_may_answer_a_dial_from_within_the_call() {
    let (mut scene, mut device) = (scene(), Device::new(Family::V4));
    scene.host.answers = Some(scene.mailbox());
    scene.frame(&device.syn());
    scene.settle();
    scene.receive(&mut device);
    assert_eq!(device.received_syn, 1);
}

#[test]
fn bytes_beyond_the_inbox_are_refused_and_resume_asks_for_them_again() {
    let limits = Limits {
        inbox_bytes: 1000,
        ..Limits::default()
    };
    let mut scene = Scene::new(Config::default(), limits);
    let mut device = Device::new(Family::V4);
    let flow = scene.open(&mut device);
    assert_eq!(scene.send(flow, &[7; 1500]), 1000);
    assert_eq!(scene.send(flow, &[7; 500]), 0);
    scene.settle();
    let resumes = scene.host.told.iter();
    let resumes = resumes.filter(|told| matches!(told, Told::Resume(..)));
    assert_eq!(resumes.count(), 1);
    assert_eq!(scene.mailbox().snapshot().stats.inbox_refused_bytes, 1000);
}

#[test]
fn full_inboxes_leave_each_stream_a_little_and_what_it_was_promised() {
    let limits = Limits {
        inboxes_bytes: 10_000,
        ..Limits::default()
    };
    let mut scene = Scene::new(Config::default(), limits);
    let mut devices = [40_000, 40_001, 40_002].map(|port| Device::on_port(Family::V4, port, 443));
    let [full, plain, promised] = devices.each_mut().map(|device| scene.open(device));
    assert_eq!(scene.mailbox().room(promised), Ok(64 << 10));
    assert_eq!(scene.send(full, &[1; 30_000]), 30_000);
    assert_eq!(scene.send(plain, &[2; 30_000]), 4096);
    assert_eq!(scene.send(promised, &[3; 30_000]), 30_000);
    assert_eq!(scene.send(promised, &[3; 1]), 0);
    // The engine takes what its rings hold; of the two that are ahead the rest still waits.
    scene.settle();
    assert_eq!(scene.mailbox().room(plain), Ok(4096));
    let reset = devices[0].rst();
    scene.frame(&reset);
    let reset = devices[2].rst();
    scene.frame(&reset);
    scene.settle();
    assert_eq!(scene.mailbox().room(plain), Ok(64 << 10), "nobody waits");
}

#[test]
fn a_download_larger_than_every_buffer_arrives_whole() {
    let limits = Limits {
        inbox_bytes: 10_000,
        ..Limits::default()
    };
    let mut scene = Scene::new(Config::default(), limits);
    let mut device = Device::new(Family::V4);
    let flow = scene.open(&mut device);
    let whole: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
    let mut sent = 0;
    for _ in 0..1000 {
        if sent < whole.len() {
            sent += scene.send(flow, &whole[sent..]);
        }
        scene.read_all(&mut device);
    }
    assert_eq!(device.received.len(), whole.len());
    assert!(device.received == whole);
}

#[test]
fn what_the_host_did_not_take_comes_again_once_it_is_writable() {
    let (mut scene, mut device) = (scene(), Device::new(Family::V4));
    let flow = scene.open(&mut device);
    scene.host.data_credit = [3].into();
    scene.frame(&device.data(b"abcdefgh"));
    scene.frame(&device.fin());
    scene.settle();
    assert_eq!(scene.host.sent, b"abc");
    scene.mailbox().writable(flow).expect("open");
    scene.settle();
    assert_eq!(scene.host.sent, b"abcdefgh");
    let told = &scene.host.told[scene.host.told.len() - 2..];
    assert_eq!(told, [Told::Data(flow, 5), Told::HalfClose(flow)]);
}

#[test]
fn a_handle_is_stale_before_its_close_is_told_and_after() {
    let (mut scene, mut device) = (scene(), Device::new(Family::V4));
    let flow = scene.open(&mut device);
    scene.frame(&device.rst());
    scene.settle();
    assert!(scene.host.told.contains(&Told::Close(flow, How::Reset)));
    let mailbox = scene.mailbox();
    assert_eq!(mailbox.data(flow, b"x"), Err(Misuse::StaleFlow));
    assert_eq!(
        mailbox.dialed(flow, DialResult::Connected),
        Err(Misuse::StaleFlow)
    );
    assert_eq!(mailbox.flows(), 0);
}

#[test]
fn misuse_is_told_at_once_and_changes_nothing() {
    let (mut scene, mut device) = (scene(), Device::new(Family::V4));
    scene.frame(&device.syn());
    scene.settle();
    let (flow, mailbox) = (scene.last_dial(), scene.mailbox());
    assert_eq!(mailbox.data(flow, b"x"), Err(Misuse::NotConnected));
    assert_eq!(
        mailbox.ended(flow, RemoteEnd::Eof),
        Err(Misuse::NotConnected)
    );
    mailbox.dialed(flow, DialResult::Connected).expect("fresh");
    assert_eq!(
        mailbox.dialed(flow, DialResult::Refused),
        Err(Misuse::DialAnswered)
    );
    assert_eq!(
        mailbox.datagram(flow, None, b"x"),
        Err(Misuse::WrongProtocol)
    );
    mailbox.ended(flow, RemoteEnd::Eof).expect("connected");
    assert_eq!(mailbox.data(flow, b"x"), Err(Misuse::AfterEnd));
    mailbox
        .ended(flow, RemoteEnd::Reset)
        .expect("it can still break");
    assert_eq!(mailbox.ended(flow, RemoteEnd::Eof), Err(Misuse::AfterEnd));
}

#[test]
fn stopping_resets_the_device_closes_every_flow_once_and_leaves_nothing() {
    let (mut scene, mut device) = (scene(), Device::new(Family::V4));
    let flow = scene.open(&mut device);
    scene.send(flow, &[1; 5000]);
    scene.frame(&device.data(b"late"));
    scene.turn.stop(scene.now, &mut scene.host);
    scene.receive(&mut device);
    assert!(device.received_rst);
    let closes = scene.host.told.iter();
    let closes: Vec<_> = closes.filter(|t| matches!(t, Told::Close(..))).collect();
    assert_eq!(closes, [&Told::Close(flow, How::Stopped)]);
    let mailbox = scene.mailbox();
    assert_eq!(mailbox.writable(flow), Err(Misuse::StaleFlow));
    assert!(!mailbox.frame(&device.ack()));
    assert_eq!(mailbox.snapshot().stats.frames_after_stop, 1);
    assert_eq!(scene.run(), None);
    let after = scene.mailbox().snapshot().counters;
    assert_eq!((after.tcp_flows, mailbox.flows()), (0, 0));
}

#[test]
fn bytes_behind_a_reset_are_given_up_after_the_linger_time() {
    let (mut scene, mut device) = (scene(), Device::new(Family::V4));
    // A device that takes nothing.
    device.window = 0;
    let flow = scene.open(&mut device);
    let sent = scene.send(flow, &[1; 60_000]);
    scene.settle();
    scene.end(flow, RemoteEnd::Reset);
    scene.settle();
    let waits = |scene: &Scene| !scene.host.told.contains(&Told::Close(flow, How::Reset));
    for _ in 0..19 {
        scene.pass(1_000_000);
        scene.settle();
        scene.host.frames.clear();
        assert!(waits(&scene), "the device still may take them");
    }
    scene.pass(2_000_000);
    scene.settle();
    assert!(!waits(&scene));
    let lingered = scene.turn.stats().lingered_bytes as usize;
    assert!(lingered > 0 && lingered < sent);
}

#[test]
fn a_tap_sees_what_crosses_the_border_in_order() {
    struct Names(mpsc::Sender<String>);
    impl Tap for Names {
        fn crossed(&mut self, _now: Micros, crossing: Crossing<'_>) {
            let name = format!("{crossing:?}");
            let name = name.split('(').next().unwrap_or_default().to_owned();
            self.0.send(name).expect("the test listens");
        }
    }
    let (mut scene, mut device) = (scene(), Device::new(Family::V4));
    let (names, seen) = mpsc::channel();
    scene.turn.set_tap(Some(Box::new(Names(names))));
    let flow = scene.open(&mut device);
    scene.frame(&device.data(b"hi"));
    scene.settle();
    scene.send(flow, b"ho");
    scene.settle();
    let seen: Vec<String> = seen.try_iter().collect();
    assert_eq!(
        seen,
        [
            "FrameIn", "Dial", "Dialed", "FrameOut", "FrameIn", "FrameIn", "Sent", "FrameOut",
            "Data", "FrameOut"
        ]
    );
}

#[test]
fn the_mailbox_can_be_used_from_any_thread_while_turns_go_on() {
    fn is_shared<T: Send + Sync>(_: &T) {}
    fn moves<T: Send>(_: &T) {}
    let (mut scene, mut device) = (scene(), Device::new(Family::V4));
    let flow = scene.open(&mut device);
    is_shared(&*scene.mailbox());
    moves::<Turn>(&scene.turn);
    let threads: Vec<_> = (0..4_u8)
        .map(|n| {
            let mailbox = scene.mailbox();
            std::thread::spawn(move || {
                (0..200)
                    .map(|_| mailbox.data(flow, &[n; 10]).expect("open"))
                    .sum::<usize>()
            })
        })
        .collect();
    scene.settle();
    let sent: usize = threads
        .into_iter()
        .map(|thread| thread.join().expect("no panic"))
        .sum();
    scene.read_all(&mut device);
    assert_eq!(device.received.len(), sent);
    assert!(scene.wakes.load(Ordering::Relaxed) > 0);
}

#[test]
fn a_flow_is_told_to_the_host_with_the_tuple_the_device_used() {
    let key = FlowKey {
        proto: engine::Proto::Tcp,
        client: Device::new(Family::V4).local,
        server: Device::new(Family::V4).remote,
    };
    struct Keys(mpsc::Sender<FlowKey>);
    impl Tap for Keys {
        fn crossed(&mut self, _now: Micros, crossing: Crossing<'_>) {
            if let Crossing::Dial(_, key) = crossing {
                self.0.send(key).expect("the test listens");
            }
        }
    }
    let (mut scene, mut device) = (scene(), Device::new(Family::V4));
    let (keys, seen) = mpsc::channel();
    scene.turn.set_tap(Some(Box::new(Keys(keys))));
    scene.open(&mut device);
    assert_eq!(seen.try_iter().collect::<Vec<_>>(), [key]);
    assert!(scene.turn.set_tap(None).is_some());
    let _: Arc<_> = scene.mailbox();
}
