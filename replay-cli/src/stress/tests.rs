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
    let outcome = run(&scenario).expect("sound settings");
    assert_eq!(outcome.missed, Vec::<String>::new());
    assert_eq!(
        (outcome.flows_served, outcome.octets_up),
        (60, 60 * 102_400)
    );
    assert_eq!(outcome.datagrams, [800, 800, 800]);
    assert_eq!(run(&scenario), Ok(outcome));
}

#[test]
fn a_lossy_link_costs_time_and_no_octet() {
    let scenario = stress(
        r#"{"schema": 1, "kind": "stress", "title": "t", "tcp": [{"flows": 10, "up": "200KiB", "down": "200KiB"}],
            "link": {"loss": 10, "reorder": 20, "seed": 7}}"#,
    );
    let outcome = run(&scenario).expect("sound settings");
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
    let outcome = run(&scenario).expect("sound settings");
    assert!(
        outcome
            .missed
            .iter()
            .any(|miss| miss.starts_with("5 of 10 flows")),
        "{outcome:?}"
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
