//! Zeros: refused by name, or never, but nothing that spins or hangs.

use core::time::Duration;

use engine::Config;
use engine_driver::{Limits, ManualClock, SettingsError, Turn};

use crate::scene::Scene;
use crate::support::{Family, Udp};

fn refusal(config: Config, limits: Limits) -> Option<SettingsError> {
    let clock = std::sync::Arc::new(ManualClock::new(engine::Micros(1)));
    Turn::new(config, limits, clock, || {}).err()
}

#[test]
fn limits_that_would_let_nothing_through_are_refused_by_name() {
    type Change = fn(&mut Limits);
    let zeros: [(&str, Change); 7] = [
        ("ring_frames", |limits| limits.ring_frames = 0),
        ("ring_bytes", |limits| limits.ring_bytes = 0),
        ("inbox_bytes", |limits| limits.inbox_bytes = 0),
        ("turn_frames", |limits| limits.turn_frames = 0),
        ("turn_flows", |limits| limits.turn_flows = 0),
        ("turn_bytes", |limits| limits.turn_bytes = 0),
        ("turn_outputs", |limits| limits.turn_outputs = 0),
    ];
    for (name, change) in zeros {
        let mut limits = Limits::default();
        change(&mut limits);
        let error = refusal(Config::default(), limits).expect(name);
        assert_eq!(error, SettingsError::Zero(name));
        assert_eq!(error.to_string(), format!("{name} cannot be 0"));
    }
    let limits = Limits {
        poll_interval: Duration::ZERO,
        ..Limits::default()
    };
    let error = refusal(Config::default(), limits).expect("a refusal");
    assert_eq!(error.to_string(), "poll_interval 0ns is below 1 ms");
}

#[test]
fn a_seed_that_is_not_given_is_drawn_anew_for_each_engine() {
    let seed_of = |seed| {
        let config = Config {
            seed,
            ..Config::default()
        };
        let scene = Scene::new(config, Limits::default());
        scene.turn.engine().config().seed
    };
    let (first, second) = (seed_of(None), seed_of(None));
    assert!(first.is_some() && second.is_some());
    assert_ne!(first, second);
    assert_eq!(seed_of(Some(0)), Some(0));
}

#[test]
fn an_interval_of_zero_for_the_metrics_is_refused() {
    let config = Config {
        metrics_interval: Some(Duration::ZERO),
        ..Config::default()
    };
    assert!(refusal(config, Limits::default()).is_some());
}

#[test]
fn no_bytes_for_all_inboxes_still_leave_each_flow_a_little() {
    let limits = Limits {
        inboxes_bytes: 0,
        ..Limits::default()
    };
    let mut scene = Scene::new(Config::default(), limits);
    scene.host.answers = Some(scene.mailbox());
    scene.frame(&Udp::new(Family::V4, 5000, 9000).send(b"?"));
    scene.settle();
    let flow = scene.last_dial();
    assert_eq!(scene.mailbox().datagram(flow, None, &[1; 4000]), Ok(true));
    assert_eq!(scene.mailbox().datagram(flow, None, &[1; 4000]), Ok(false));
}
