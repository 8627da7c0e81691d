use std::path::Path;

use super::super::{Outcome, Way, parse, run};
use super::*;

fn stress(fields: &str) -> Result<Stress, String> {
    let text = format!(r#"{{"schema": 1, "kind": "stress", "title": "t", {fields}}}"#);
    parse(Path::new("x.json"), &text).map_err(|problem| problem.to_string())
}

/// Plays it twice; both must pass and be equal.
fn passes(fields: &str) -> Outcome {
    let scenario = stress(fields).expect("sound");
    let outcome = run(&scenario, Way::Core, &mut ()).expect("sound settings");
    assert_eq!(outcome.missed, Vec::<String>::new(), "{fields}");
    assert_eq!(run(&scenario, Way::Core, &mut ()), Ok(outcome.clone()));
    outcome
}

fn ways(outcome: &Outcome) -> [OnWay; 2] {
    let path = outcome.path.expect("a path");
    [path.up, path.down]
}

const BOTH: &str = r#""tcp": [{"flows": 2, "up": "500KiB", "down": "500KiB"}]"#;

#[test]
fn a_round_trip_costs_time_and_no_byte() {
    let outcome = passes(&format!(
        r#"{BOTH}, "path": {{"rtt": "50ms"}}, "limits": {{"goodput": {{"at_least": 0.1}}}}"#
    ));
    // Handshake, some round trips of a window that opens, and the end.
    let took = outcome.virtual_us.expect("virtual time");
    assert!((300_000..1_000_000).contains(&took), "{took}");
    assert_eq!(outcome.retransmissions, [0, 0]);
    for way in ways(&outcome) {
        let goodput = way.goodput.expect("bytes");
        assert_eq!((goodput.bound, way.lost), (Bound::Window, 0), "{way:?}");
        let ratio = goodput.bytes_per_second / goodput.path_carries;
        assert!((goodput.ratio - ratio).abs() < 1e-9);
    }
}

#[test]
fn both_sides_fill_a_bandwidth() {
    for (up, down) in [(4, 0), (0, 4)] {
        let outcome = passes(&format!(
            r#""tcp": [{{"flows": 1, "up": "{up}MiB", "down": "{down}MiB"}}],
            "path": {{"rtt": "20ms", "up": {{"bandwidth": "1MB"}}, "down": {{"bandwidth": "1MB"}}}},
            "limits": {{"goodput": {{"at_least": 0.9}}}}"#
        ));
        let way = ways(&outcome)[usize::from(up == 0)];
        assert_eq!(way.goodput.map(|of| of.bound), Some(Bound::Bandwidth));
    }
}

#[test]
fn every_byte_arrives_through_losses_bursts_jitter_and_reordering() {
    let way = r#"{"loss": 0.01, "bursts": {"begin": 0.002, "end": 0.3}, "jitter": "5ms", "reorder": 0.02, "bandwidth": "2MB"}"#;
    for delay in ["0ms", "40ms"] {
        let outcome = passes(&format!(
            r#"{BOTH}, "path": {{"rtt": "20ms", "ack_delay": "{delay}", "up": {way}, "down": {way}, "seed": 3}}"#
        ));
        for way in ways(&outcome) {
            assert!(way.lost > 5 && way.reordered > 5, "{way:?}");
            assert_eq!(way.goodput.map(|of| of.bound), Some(Bound::Loss));
        }
        assert!(outcome.retransmissions.iter().all(|count| *count > 5));
    }
}

#[test]
fn a_lost_segment_of_the_devices_is_repaired_without_a_timeout() {
    let clean = passes(r#""tcp": [{"flows": 1, "up": "300KiB"}], "path": {"rtt": "20ms"}"#);
    let lossy = passes(
        r#""tcp": [{"flows": 1, "up": "300KiB"}], "path": {"rtt": "20ms", "up": {"loss": 0.01}, "seed": 1}"#,
    );
    assert!(ways(&lossy)[0].lost > 0, "{lossy:?}");
    let more = lossy.virtual_us.expect("time") - clean.virtual_us.expect("time");
    assert!(more < 150_000, "{more} us more");
}

#[test]
fn a_goodput_below_the_limit_is_a_miss_that_says_what_bounds_it() {
    let scenario = stress(
        r#""tcp": [{"flows": 1, "down": "10KiB"}], "path": {"rtt": "100ms"}, "limits": {"goodput": {"at_least": 0.9}}"#,
    )
    .expect("sound");
    let outcome = run(&scenario, Way::Core, &mut ()).expect("sound settings");
    let [miss] = outcome.missed.as_slice() else {
        panic!("{:?}", outcome.missed);
    };
    assert!(
        miss.starts_with("goodput down: 0.") && miss.contains("for its window, at least 0.9"),
        "{miss}"
    );
}

#[test]
fn the_bound_is_the_least_of_window_bandwidth_and_losses() {
    let of = |path: &str| {
        let fields = format!(
            r#""tcp": [{{"flows": 2, "down": "1MiB"}}], "path": {{"rtt": "20ms", {path}}}"#
        );
        carries(&stress(&fields).expect("sound"), false)
    };
    let near = |(found, bound): (f64, Bound), wanted: f64, which| {
        assert!((found / wanted - 1.0).abs() < 0.001, "{found} {wanted}");
        assert_eq!(bound, which);
    };
    near(of(r#""seed": 1"#), 2.0 * 131_072.0 / 0.02, Bound::Window);
    let mathis = 2.0 * 1460.0 / (0.02 * 0.1);
    near(of(r#""down": {"loss": 0.01}"#), 1.22 * mathis, Bound::Loss);
    near(
        of(r#""ack_delay": "40ms", "down": {"loss": 0.01}"#),
        0.87 * mathis,
        Bound::Loss,
    );
    // A burst of four frames counts once: 0.0125 * 0.25 / 0.2625 of the frames begin one.
    let bursts = 1.22 * 2.0 * 1460.0 / (0.02 * (0.0125_f64 * 0.25 / 0.2625).sqrt());
    near(
        of(r#""down": {"bursts": {"begin": 0.0125, "end": 0.25}}"#),
        bursts,
        Bound::Loss,
    );
    near(
        of(r#""down": {"bandwidth": "1MB"}"#),
        1e6 * 1460.0 / 1500.0,
        Bound::Bandwidth,
    );
}

#[test]
fn a_table_of_cases_is_a_scenario_for_each_direction_with_a_limit() {
    let table = stress(
        r#""tcp": [{"flows": 1}], "path": {"up": {"bandwidth": "1MB"}, "down": {"bandwidth": "1MB"}},
        "cases": [{"rtt": "1ms", "loss": 0.01, "bytes": "1MiB", "up": 0.5, "down": 0.6},
                  {"rtt": "20ms", "loss": 0, "bytes": "2MiB", "down": 0.7}]"#,
    )
    .expect("sound");
    let each = table.each();
    let names: Vec<&str> = each.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        [
            "1ms, 1 % lost, up",
            "1ms, 1 % lost, down",
            "20ms, 0 % lost, down"
        ]
    );
    let (_, second) = &each[1];
    let path = second.path.as_ref().expect("a path");
    assert_eq!((path.up.loss, path.down.loss), (0.0, 0.01));
    assert_eq!((second.tcp[0].up.0, second.tcp[0].down.0), (0, 1 << 20));
    assert_eq!(second.limits.goodput.map(|of| of.at_least), Some(0.6));
}

#[test]
fn what_cannot_be_names_the_field_and_its_range() {
    for (path, said) in [
        (r#""rtt": "11s""#, "path: `rtt` is 11s; 10 s at the most"),
        (
            r#""ack_delay": "1s""#,
            "path: `ack_delay` is 1s; 500 ms at the most",
        ),
        (
            r#""up": {"loss": 0.6}"#,
            "path.up: `loss` is 0.6; 0 to 0.5 can be had",
        ),
        (r#""up": {"loss": -1}"#, "path.up: `loss` is -1; 0 to 0.5"),
        (
            r#""down": {"reorder": 2}"#,
            "path.down: `reorder` is 2; 0 to 0.5",
        ),
        (
            r#""down": {"bursts": {"begin": 0.1, "end": 0}}"#,
            "`bursts.end` is 0; above 0 to 1",
        ),
        (
            r#""down": {"bursts": {"begin": 0.9, "end": 1}}"#,
            "`bursts.begin` is 0.9; above 0 to 0.5",
        ),
        (
            r#""up": {"bandwidth": "1B"}"#,
            "`bandwidth` is below 1 KiB a second",
        ),
        (
            r#""up": {"queue": "1MB"}"#,
            "`queue` is what waits for a `bandwidth`",
        ),
        (
            r#""up": {"reorder_by": "1ms"}"#,
            "`reorder_by` is how long `reorder`",
        ),
        (
            r#""up": {"jitter": "1h"}"#,
            "`jitter` is 1h; 10 s at the most",
        ),
        (r#""rt": "1s""#, "did you mean `rtt`?"),
    ] {
        let problem = stress(&format!(r#"{BOTH}, "path": {{{path}}}"#)).expect_err(path);
        assert!(problem.contains(said), "{path}: {problem}");
    }
    for (fields, said) in [
        (
            r#""limits": {"goodput": {"at_least": 0.7}}"#,
            "`goodput` is what a `path` carries",
        ),
        (
            r#""path": {"rtt": "1s"}, "limits": {"goodput": {"at_least": 7}}"#,
            "`goodput.at_least` is 7; 0 to 1",
        ),
        (
            r#""cases": [{"rtt": "1ms", "loss": 0, "bytes": 1}]"#,
            "cases[0]: give the least goodput",
        ),
        (
            r#""cases": [{"rtt": "1ms", "loss": 0.7, "bytes": 1, "up": 0}]"#,
            "lost, up: path.up: `loss` is 0.7; 0 to 0.5",
        ),
    ] {
        let problem = stress(&format!("{BOTH}, {fields}")).expect_err(fields);
        assert!(problem.contains(said), "{fields}: {problem}");
    }
}

#[test]
fn a_path_is_not_played_against_the_driver() {
    let scenario = stress(&format!(r#"{BOTH}, "path": {{"rtt": "1ms"}}"#)).expect("sound");
    let refused = run(&scenario, Way::Memory, &mut ()).expect_err("virtual time only");
    assert!(refused.contains("leave out --via driver"), "{refused}");
}
