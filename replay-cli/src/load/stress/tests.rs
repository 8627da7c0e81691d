#[cfg(target_os = "linux")]
mod driven;

use super::*;

fn stress(text: &str) -> Stress {
    parse(Path::new("x.json"), text).unwrap_or_else(|problem| panic!("{problem}"))
}

#[test]
fn flows_and_datagrams_arrive_and_two_runs_are_equal() {
    let scenario = stress(
        r#"{"schema": 1, "kind": "stress", "title": "t",
            "tcp": [{"flows": 20, "up": "100KiB", "down": "50KiB", "connections": 60, "closes_first": "remote"}],
            "udp": {"flows": 8, "datagrams": 800, "size": 512}, "limits": {"no_drops": true}}"#,
    );
    let outcome = run(&scenario, Way::Core, &mut ()).expect("sound settings");
    assert_eq!(outcome.missed, Vec::<String>::new());
    assert_eq!(
        (outcome.flows_served, outcome.octets_up),
        (60, 60 * 102_400)
    );
    assert_eq!(outcome.datagrams, [800, 800, 800]);
    assert_eq!(run(&scenario, Way::Core, &mut ()), Ok(outcome));
}

#[test]
fn a_lossy_link_costs_time_and_no_byte() {
    let scenario = stress(
        r#"{"schema": 1, "kind": "stress", "title": "t", "tcp": [{"flows": 10, "up": "200KiB", "down": "200KiB"}],
            "link": {"loss": 10, "reorder": 20, "seed": 7}}"#,
    );
    let outcome = run(&scenario, Way::Core, &mut ()).expect("sound settings");
    assert_eq!(outcome.missed, Vec::<String>::new());
    assert!(
        outcome.retransmissions[0] > 0 && outcome.retransmissions[1] > 0,
        "{outcome:?}"
    );
}

#[test]
fn a_flow_that_is_refused_is_a_miss() {
    let scenario = stress(
        r#"{"schema": 1, "kind": "stress", "title": "t", "engine": {"tcp_limit": 5, "admission_refusal": "reset"},
            "tcp": [{"flows": 10, "up": "1KiB"}]}"#,
    );
    let outcome = run(&scenario, Way::Core, &mut ()).expect("sound settings");
    assert!(
        outcome
            .missed
            .iter()
            .any(|miss| miss.starts_with("5 of 10 flows")),
        "{outcome:?}"
    );
}

/// A scenario of these fields.
fn of(fields: &str) -> Stress {
    stress(&format!(
        r#"{{"schema": 1, "kind": "stress", "title": "t", {fields}}}"#
    ))
}

/// Plays it in virtual time; it must pass.
fn passes(fields: &str) -> Outcome {
    let outcome = run(&of(fields), Way::Core, &mut ()).expect("sound settings");
    assert_eq!(outcome.missed, Vec::<String>::new(), "{fields}");
    outcome
}

/// Virtual milliseconds that it takes.
fn millis(fields: &str) -> u64 {
    passes(fields).virtual_us.expect("virtual time") / 1000
}

#[test]
fn turns_wait_for_their_answers_and_for_thoughts() {
    let thoughtful =
        r#""tcp": [{"flows": 2, "up": "1KiB", "down": "9KiB", "turns": 10, "think": "1s"}]"#;
    let took = millis(thoughtful);
    assert!((9_000..10_000).contains(&took), "nine thoughts: {took} ms");
    // Without thoughts as well each question waits for the answer before.
    let turns = passes(r#""tcp": [{"flows": 1, "up": "1000B", "down": "1000B", "turns": 100}]"#);
    assert!(turns.frames_in >= 100, "{turns:?}");
}

#[test]
fn slow_readers_take_the_time_that_their_rate_says() {
    let device = millis(r#""tcp": [{"flows": 3, "down": "512KiB", "device_reads": "64KiB"}]"#);
    assert!((6_500..8_500).contains(&device), "{device} ms");
    let remote = millis(r#""tcp": [{"flows": 3, "up": "512KiB", "remote_reads": "64KiB"}]"#);
    assert!((7_000..8_500).contains(&remote), "{remote} ms");
}

#[test]
fn flows_arrive_as_the_pattern_says() {
    let took = millis(r#""tcp": [{"flows": 6, "up": "1KiB", "every": "100ms", "together": 2}]"#);
    assert!((200..300).contains(&took), "three pairs: {took} ms");
    let took = millis(r#""tcp": [{"flows": 20, "up": "1KiB", "jitter": "1s"}]"#);
    assert!(
        (700..1_100).contains(&took),
        "spread over a second: {took} ms"
    );
}

#[test]
fn segments_have_the_size_that_is_asked_for() {
    let outcome =
        passes(r#""tcp": [{"flows": 1, "up": "64000B", "down": "64000B", "segment": 100}]"#);
    assert!(
        outcome.frames_in >= 640 && outcome.frames_out >= 640,
        "{outcome:?}"
    );
}

#[test]
fn datagrams_come_back_as_often_as_they_should_and_at_their_rate() {
    for (replies, back) in [(0, 0), (1, 100), (3, 300)] {
        let outcome = passes(&format!(
            r#""udp": {{"flows": 4, "datagrams": 100, "size": 64, "replies": {replies}}}, "limits": {{"no_drops": true}}"#
        ));
        assert_eq!(outcome.datagrams, [100, 100, back]);
    }
    let paced = r#""udp": {"flows": 4, "datagrams": 500, "size": 64, "per_second": 1000}"#;
    let took = millis(paced);
    assert!((498..520).contains(&took), "{took} ms");
}

#[test]
fn lost_datagrams_are_a_miss_only_where_none_may_be_lost() {
    let lossy =
        r#""udp": {"flows": 4, "datagrams": 1000, "size": 64}, "link": {"loss": 100, "seed": 3}"#;
    let outcome = passes(lossy);
    let [sent, heard, back] = outcome.datagrams;
    assert!(sent == 1000 && heard < sent && back < heard, "{outcome:?}");
    let strict = of(&format!(r#"{lossy}, "limits": {{"no_drops": true}}"#));
    let outcome = run(&strict, Way::Core, &mut ()).expect("sound settings");
    assert!(
        outcome
            .missed
            .iter()
            .any(|miss| miss.contains("reached a far side")),
        "{outcome:?}"
    );
}

#[test]
fn a_window_that_stays_shut_is_asked_for_although_its_opening_was_lost() {
    passes(
        r#""tcp": [{"flows": 20, "up": "200KiB", "down": "200KiB", "remote_stalls_until": "5s", "device_stalls_until": "9s"}],
           "link": {"loss": 50, "seed": 5}"#,
    );
}

#[test]
fn a_run_that_is_stopped_says_so_and_what_it_had_done() {
    struct Stop;
    impl Watch for Stop {
        fn stops(&self) -> bool {
            true
        }
    }
    let endless = of(r#""tcp": [{"flows": 4, "up": "1GiB", "down": "1GiB"}]"#);
    let outcome = run(&endless, Way::Core, &mut Stop).expect("sound settings");
    assert!(outcome.interrupted && outcome.octets_up > 0, "{outcome:?}");
    assert_eq!(outcome.missed, Vec::<String>::new());
}

/// Each with what is said of it.
const OUT_OF_BOUNDS: &[(&str, &str)] = &[
    (
        r#""tcp": [{"flows": 0}]"#,
        "tcp[0]: 0 flows; 1 to 20,000 can be had",
    ),
    (
        r#""tcp": [{"flows": 1000000000}]"#,
        "tcp[0]: 1000000000 flows; 1 to 20,000",
    ),
    (
        r#""tcp": [{"flows": -1}]"#,
        "invalid value: integer `-1`, expected u32",
    ),
    (
        r#""tcp": [{"flows": 20000}, {"flows": 20000}, {"flows": 1}]"#,
        "40001 flows at a time",
    ),
    (
        r#""tcp": [{"flows": 9, "connections": 3}]"#,
        "`connections` (3) is below `flows` (9)",
    ),
    (
        r#""tcp": [{"flows": 1, "connections": 9, "stays_open": true}]"#,
        "drop `connections` or `stays_open`",
    ),
    (
        r#""tcp": [{"flows": 1, "up": "1000GiB", "connections": 4000000000}]"#,
        "are a day at 10 Gbit/s",
    ),
    (
        r#""tcp": [{"flows": 1, "turns": 10, "up": "9B"}]"#,
        "10 turns need a question of a byte each",
    ),
    (r#""tcp": [{"flows": 1, "think": "1s"}]"#, "give `turns`"),
    (
        r#""tcp": [{"flows": 1, "segment": 12}]"#,
        "`segment` is not within",
    ),
    (
        r#""tcp": [{"flows": 1, "remote_reads": "0B"}]"#,
        "`remote_reads` is below 1 KiB a second",
    ),
    (
        r#""tcp": [{"flows": 1, "closes_first": "nobody"}]"#,
        "unknown variant `nobody`",
    ),
    (
        r#""tcp": [{"flows": 20000, "up": "1B"}], "engine": {"tx_buffer": "16MiB", "rx_buffer": "60000B"}"#,
        "and this machine has",
    ),
    (
        r#""udp": {"flows": 1, "datagrams": 0, "size": 64}"#,
        "udp: 0 datagrams",
    ),
    (
        r#""udp": {"flows": 1, "datagrams": 1000000000, "size": 64}"#,
        "udp: 1000000000 datagrams",
    ),
    (
        r#""udp": {"flows": 1, "datagrams": 1, "size": 4}"#,
        "datagrams of 4 bytes",
    ),
    (
        r#""udp": {"flows": 1, "datagrams": 1, "size": 64, "replies": 17}"#,
        "`replies` is above 16",
    ),
    (
        r#""tcp": [{"flows": 1}], "link": {"loss": 501}"#,
        "more than 500 frames of a thousand",
    ),
    (
        r#""tcp": [{"flows": 1}], "limits": {"resident_per_idle_flow": "1KiB"}"#,
        "needs flows with `waits_for_all`",
    ),
    (
        r#""tcp": [{"flows": 1}], "limits": {"cost_ratio": {"flows": 0, "at_most": 2}}"#,
        "needs 1 to 20,000 `flows`",
    ),
    (
        r#""engine": {"preset": "tablet"}, "tcp": [{"flows": 1}]"#,
        "unknown variant `tablet`",
    ),
    (r#""limits": {}"#, "no load: give `tcp` or `udp`"),
];

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    for (fields, said) in OUT_OF_BOUNDS {
        let text = format!(r#"{{"schema": 1, "kind": "stress", "title": "t", {fields}}}"#);
        let problem = parse(Path::new("x.json"), &text).expect_err(fields);
        assert!(problem.to_string().contains(said), "{problem}");
    }
}

#[test]
fn a_word_that_is_almost_right_is_guessed() {
    let text = r#"{"schema": 1, "kind": "stress", "title": "t", "tcp": [{"flows": 1, "remote_read": "1MiB"}]}"#;
    let problem = parse(Path::new("x.json"), text).expect_err("a word that is not known");
    assert!(
        problem.to_string().contains("did you mean `remote_reads`?"),
        "{problem}"
    );
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_place() {
    let problem = parse(
        Path::new("x.json"),
        "{\"schema\": 1, \"kind\": \"stress\",\n \"titel\": \"t\"}",
    )
    .unwrap_err();
    assert!(
        problem
            .to_string()
            .starts_with("error: x.json:2:8: unknown field `titel`"),
        "{problem}"
    );
    let problem = parse(
        Path::new("x.json"),
        r#"{"schema": 1, "kind": "stress", "title": "t"}"#,
    )
    .unwrap_err();
    assert!(problem.to_string().contains("no load"), "{problem}");
}
