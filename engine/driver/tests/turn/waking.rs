//! Who is woken when, and what the loop measures.

use std::sync::atomic::Ordering;
use std::time::Duration;

use engine::{Config, DialResult, Micros, TimerName};
use engine_driver::Limits;

use crate::scene::Scene;
use crate::support::{Device, Family, Udp};

fn scene() -> Scene {
    Scene::new(Config::default(), Limits::default())
}

#[test]
fn an_engine_without_flows_asks_for_nothing() {
    assert_eq!(scene().run(), None);
}

#[test]
fn the_owner_is_woken_once_for_all_that_comes_before_it_looks() {
    let mut scene = scene();
    let frame = Udp::new(Family::V4, 5000, 9000).send(b"?");
    for _ in 0..10 {
        scene.frame(&frame);
    }
    assert_eq!(scene.wakes.load(Ordering::Relaxed), 1);
    scene.settle();
    scene.frame(&frame);
    assert_eq!(scene.wakes.load(Ordering::Relaxed), 2);
}

#[test]
fn a_pending_dial_waits_for_the_engines_own_deadline() {
    let (mut scene, mut device) = (scene(), Device::new(Family::V4));
    scene.frame(&device.syn());
    assert_eq!(scene.settle(), Some(Micros(scene.now.0 + 75_000_000)));
}

#[test]
fn an_idle_flow_and_a_blocked_dialer_wait_for_limits_not_for_polls() {
    let (mut scene, mut device) = (scene(), Device::new(Family::V4));
    scene.open(&mut device);
    // Within the burst a bound would do.
    scene.pass(2_000);
    scene.host.data_credit = [0].into();
    scene.frame(&device.data(b"stuck"));
    let next = scene.settle().expect("a deadline");
    assert!(next.since(scene.now) > Duration::from_secs(60), "{next:?}");
}

#[test]
fn idle_limits_that_have_moved_on_wake_early_once_at_the_most() {
    let mut scene = scene();
    let idle = Config::default().udp_idle;
    let flows: Vec<_> = (5000..5004)
        .map(|port| Udp::new(Family::V4, port, 9000))
        .collect();
    for udp in &flows {
        scene.frame(&udp.send(b"?"));
        scene.settle();
        let flow = scene.last_dial();
        let connected = scene.mailbox().dialed(flow, DialResult::Connected);
        connected.expect("fresh");
        scene.settle();
        scene.now = scene.now.plus(Duration::from_secs(40));
    }
    let mut next = None;
    for udp in &flows {
        scene.frame(&udp.send(b"again"));
        next = scene.settle();
    }
    let last = scene.now;
    let mut woken = 0;
    while scene.mailbox().flows() > 0 {
        scene.now = next.expect("an idle limit");
        next = scene.settle();
        woken += 1;
    }
    assert_eq!(scene.now, last.plus(idle));
    assert!(woken <= 2, "woken {woken} times for one limit");
}

#[test]
fn a_burst_wakes_an_idle_device_early_once_at_the_most() {
    let (mut scene, mut device) = (scene(), Device::new(Family::V4));
    scene.open(&mut device);
    scene.frame(&device.data(b"a burst"));
    let early = scene.settle().expect("a bound");
    assert!(early.since(scene.now) >= Duration::from_millis(100));
    scene.now = early;
    let next = scene.settle().expect("a deadline");
    assert!(next.since(scene.now) > Duration::from_secs(60), "{next:?}");
}

#[test]
fn a_download_the_device_does_not_take_waits_for_a_probe_not_for_polls() {
    let (mut scene, mut device) = (scene(), Device::new(Family::V4));
    device.window = 0;
    let flow = scene.open(&mut device);
    scene.send(flow, &[1; 60_000]);
    let next = scene.settle().expect("a probe");
    assert!(
        next.since(scene.now) >= Duration::from_millis(100),
        "{next:?}"
    );
}

#[test]
fn timers_fire_when_their_time_has_come() {
    let (mut scene, mut device) = (scene(), Device::new(Family::V4));
    scene.frame(&device.syn());
    let due = scene.settle().expect("the dial's limit");
    scene.now = due;
    scene.settle();
    scene.receive(&mut device);
    assert!(device.received_rst, "the dial timed out");
}

#[test]
fn lag_is_how_long_the_oldest_input_waited() {
    let mut scene = scene();
    let frame = Udp::new(Family::V4, 5000, 9000).send(b"?");
    scene.frame(&frame);
    scene.pass(3_000);
    scene.frame(&frame);
    scene.pass(1_000);
    scene.settle();
    assert_eq!(scene.turn.stats().lag.max(), Duration::from_millis(4));
    assert_eq!(scene.turn.stats().lag.count(), 1);
    scene
        .mailbox()
        .dialed(scene.last_dial(), DialResult::Connected)
        .expect("fresh");
    scene.pass(9_000);
    scene.settle();
    assert_eq!(scene.turn.stats().lag.max(), Duration::from_millis(9));
}

#[test]
fn lag_counts_deadlines_that_were_missed() {
    let (mut scene, mut device) = (scene(), Device::new(Family::V4));
    scene.frame(&device.syn());
    let due = scene.settle().expect("the dial's limit");
    scene.now = Micros(due.0 + 70_000);
    scene.settle();
    assert_eq!(scene.turn.stats().lag.max(), Duration::from_millis(70));
    assert!(TimerName::Idle.is_idle());
}

#[test]
fn what_waits_in_line_is_no_lag_of_turns_that_come_in_time() {
    let limits = Limits {
        turn_flows: 1,
        ..Limits::default()
    };
    let mut scene = Scene::new(Config::default(), limits);
    let flows = [40_000, 40_001, 40_002].map(|port| {
        let mut device = Device::on_port(Family::V4, port, 443);
        scene.open(&mut device)
    });
    for flow in flows {
        scene.send(flow, b"news");
    }
    let late = scene.turn.stats().lag.max();
    for _ in flows {
        scene.pass(1000);
        assert!(scene.run().is_some());
    }
    let stats = scene.turn.stats();
    assert_eq!(stats.lag.max(), late.max(Duration::from_millis(1)));
    assert_eq!(stats.inbox_wait.max(), Duration::from_millis(3));
}

#[test]
fn an_answer_taken_up_leaves_no_lag_behind() {
    let mut scene = Scene::new(Config::default(), Limits::default());
    scene.mailbox().path_changed();
    scene.run();
    scene.pass(1_000_000);
    scene.frame(&Udp::new(Family::V4, 5000, 9000).send(b"hi"));
    scene.run();
    assert_eq!(scene.turn.stats().lag.max(), Duration::ZERO);
}
