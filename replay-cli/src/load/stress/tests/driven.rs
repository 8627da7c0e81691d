//! The way through the real driver, with small numbers: bytes, counts and the shape of results, no times.

use super::*;

/// Plays it through the driver.
fn driven(fields: &str, way: Way) -> Outcome {
    let text = format!(r#"{{"schema": 1, "kind": "stress", "title": "t", {fields}}}"#);
    let scenario = parse(Path::new("x.json"), &text).unwrap_or_else(|problem| panic!("{problem}"));
    run(&scenario, way, &mut ()).expect("the driver starts")
}

#[test]
fn the_driver_carries_every_byte_of_a_mix() {
    let mix = r#""tcp": [{"flows": 20, "up": "100KiB", "down": "50KiB", "connections": 60, "closes_first": "remote"},
            {"flows": 5, "up": "20KiB", "down": "200KiB", "segment": 500, "turns": 4}],
        "udp": {"flows": 8, "datagrams": 800, "size": 512}, "limits": {"no_drops": true}"#;
    let outcome = driven(mix, Way::Memory);
    assert_eq!(outcome.missed, Vec::<String>::new());
    assert_eq!((outcome.flows_served, outcome.flows_wanted), (65, 65));
    assert_eq!(outcome.octets_up, 60 * 102_400 + 5 * 20_480);
    assert_eq!(outcome.octets_down, 60 * 51_200 + 5 * 204_800);
    assert_eq!(outcome.datagrams, [800, 800, 800]);
    assert_eq!((outcome.drops, outcome.virtual_us), (0, None));
    let measures = outcome.measures.expect("it was measured");
    assert!(measures.turn_us.count > 0 && measures.lag_us.count > 0);
    assert!(measures.seconds > 0.0 && measures.nanoseconds_per_frame.is_some());
}

#[test]
fn stalled_and_slow_far_sides_hold_their_own_flows_back_only() {
    let outcome = driven(
        r#""tcp": [{"flows": 3, "up": "300KiB", "down": "10KiB", "remote_stalls_until": "200ms"},
            {"flows": 3, "up": "300KiB", "remote_reads": "2MiB"},
            {"flows": 3, "down": "300KiB", "device_reads": "2MiB"},
            {"flows": 3, "up": "1MiB", "down": "1MiB"}]"#,
        Way::Memory,
    );
    assert_eq!(outcome.missed, Vec::<String>::new());
    assert_eq!(outcome.flows_served, 12);
    let border = outcome.measures.expect("it was measured").border;
    assert!(border.dialer_refused_octets > 0, "{border:?}");
}

#[test]
fn a_slow_far_side_that_ends_unread_holds_no_later_flow_back() {
    let outcome = driven(
        r#""tcp": [{"flows": 1, "connections": 4, "up": "200KiB", "remote_reads": "2MiB"}]"#,
        Way::Memory,
    );
    assert_eq!(outcome.missed, Vec::<String>::new());
    assert_eq!(outcome.flows_served, 4);
}

#[test]
fn flows_that_are_held_open_are_looked_at_before_and_after_their_bytes() {
    let outcome = driven(
        r#""tcp": [{"flows": 50, "up": "64KiB", "down": "64KiB", "waits_for_all": true, "stays_open": true}],
            "limits": {"resident_per_idle_flow": "1GiB", "resident_per_used_flow": "1GiB"}"#,
        Way::Memory,
    );
    assert_eq!(outcome.missed, Vec::<String>::new());
    assert_eq!((outcome.open, outcome.octets_up), (50, 50 * 65_536));
    let resident = outcome.measures.expect("it was measured").resident;
    assert!(resident.per_idle_flow.is_some() && resident.per_used_flow.is_some());
}

#[test]
fn a_baseline_is_run_for_the_ratio_of_costs() {
    let outcome = driven(
        r#""tcp": [{"flows": 40, "up": "50KiB", "down": "50KiB"}],
            "limits": {"cost_ratio": {"flows": 4, "at_most": 100000}}"#,
        Way::Memory,
    );
    assert_eq!(outcome.missed, Vec::<String>::new());
    let ratio = outcome.measures.expect("it was measured").cost_ratio;
    let ratio = ratio.expect("the system tells the time of threads");
    assert!(ratio.flows == 4 && ratio.ratio > 0.0, "{ratio:?}");
}

#[test]
fn a_lossy_link_loses_no_byte_of_the_driver() {
    let outcome = driven(
        r#""tcp": [{"flows": 5, "up": "100KiB", "down": "100KiB"}],
            "link": {"loss": 10, "reorder": 20, "seed": 7}"#,
        Way::Memory,
    );
    assert_eq!(outcome.missed, Vec::<String>::new());
    assert!(outcome.retransmissions[1] > 0, "{outcome:?}");
}

#[test]
fn flows_that_find_no_room_are_a_miss_of_the_driver_too() {
    let outcome = driven(
        r#""engine": {"tcp_limit": 5, "admission_refusal": "reset"}, "tcp": [{"flows": 10, "up": "1KiB"}]"#,
        Way::Memory,
    );
    let served = outcome.flows_served;
    assert!(served < 10, "{outcome:?}");
    let miss = format!("{served} of 10 flows carried every byte");
    assert!(outcome.missed.contains(&miss), "{outcome:?}");
}

#[test]
fn real_sockets_carry_every_byte_of_a_mix() {
    let outcome = driven(
        r#""tcp": [{"flows": 20, "up": "100KiB", "down": "50KiB", "connections": 60, "closes_first": "remote"},
            {"flows": 3, "up": "200KiB", "down": "20KiB", "remote_reads": "2MiB"},
            {"flows": 5, "up": "20KiB", "down": "200KiB", "turns": 4}],
        "udp": {"flows": 4, "datagrams": 100, "size": 512, "in_flight": 16}"#,
        Way::Sockets,
    );
    assert_eq!(outcome.missed, Vec::<String>::new());
    assert_eq!((outcome.flows_served, outcome.flows_wanted), (68, 68));
    assert_eq!(outcome.octets_up, 60 * 102_400 + 3 * 204_800 + 5 * 20_480);
    assert_eq!(outcome.octets_down, 60 * 51_200 + 3 * 20_480 + 5 * 204_800);
    assert_eq!(outcome.datagrams, [100, 100, 100]);
}

#[test]
fn sockets_that_are_held_open_wait_for_all() {
    let outcome = driven(
        r#""tcp": [{"flows": 10, "up": "64KiB", "down": "64KiB", "waits_for_all": true, "stays_open": true}]"#,
        Way::Sockets,
    );
    assert_eq!(outcome.missed, Vec::<String>::new());
    assert_eq!((outcome.open, outcome.octets_down), (10, 10 * 65_536));
}
