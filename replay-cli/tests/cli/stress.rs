//! `replay stress` as a user meets it: what cannot be, what is missed, what the JSON has.

use serde_json::Value;

use crate::{Ran, folder, replay_in};

/// Runs `replay stress` with these arguments, in a folder with this scenario at `a.json`.
fn stress(scenario: &str, arguments: &[&str]) -> Ran {
    let root = folder(&[("a.json", scenario.as_bytes())]);
    replay_in(root.path(), [&["stress"], arguments].concat())
}

const SMALL: &str = r#"{"schema": 1, "kind": "stress", "title": "small", "tcp": [{"flows": 3, "up": "9KiB", "down": "9KiB"}]}"#;

#[test]
fn loads_that_cannot_be_are_refused_with_the_reason() {
    for (arguments, code, said) in [
        (&["--flows", "0"][..], 2, "0 flows; 1 to 20,000 can be had"),
        (
            &["--flows", "1000000000"],
            2,
            "1000000000 flows; 1 to 20,000",
        ),
        (&["--flows", "-3"], 2, "unexpected argument '-3'"),
        (&["--flows", "3", "--up", "many"], 2, "\"many\" is no size"),
        (
            &["--flows", "3", "--preset", "tablet"],
            2,
            "the presets are many_flows and phone",
        ),
        (&["--flows", "3", "--think", "1s"], 2, "--turns"),
        (&["--flows", "3", "a.json"], 2, "exclude each other"),
        (&["--dialer", "sockets", "a.json"], 2, "add --via driver"),
        (
            &["--via", "drivr", "a.json"],
            2,
            "a similar value exists: 'driver'",
        ),
        (&["gone.json"], 3, "gone.json: "),
    ] {
        let Ran {
            code: found, err, ..
        } = stress(SMALL, arguments);
        assert_eq!(found, code, "{arguments:?}: {err}");
        assert!(err.contains(said), "{arguments:?}: {err}");
    }
}

#[test]
fn a_limit_that_is_missed_is_exit_code_1_and_says_by_how_much() {
    let strict = SMALL.replace("]}", r#"], "limits": {"peak_heap": "1KiB"}}"#);
    for way in ["core", "driver"] {
        let Ran { code, out, .. } = stress(&strict, &["--via", way, "a.json"]);
        assert_eq!(code, 1, "{out}");
        assert!(
            out.contains("missed: peak_heap: ") && out.contains("times that)"),
            "{out}"
        );
    }
}

/// What a page holds in a script tag.
fn data(page: &str, id: &str) -> Value {
    let tag = format!("<script type=\"application/json\" id=\"{id}\">");
    let (_, rest) = page.split_once(&tag).expect("the tag");
    let (text, _) = rest.split_once("</script>").expect("its end");
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_load_is_drawn_over_time() {
    let strict = SMALL.replace("]}", r#"], "limits": {"peak_heap": "1KiB"}}"#);
    for way in ["core", "driver"] {
        let root = folder(&[("a.json", strict.as_bytes()), ("b.json", SMALL.as_bytes())]);
        let arguments = ["stress", "--via", way, "--html", "page", "a.json", "b.json"];
        let ran = replay_in(root.path(), arguments);
        assert_eq!((ran.code, ran.err.as_str()), (1, ""), "{}", ran.out);
        let page = std::fs::read_to_string(root.path().join("page/index.html")).unwrap();
        let report = data(&page, "report");
        assert_eq!(
            (&report["kind"], &report["via"]),
            (&"stress".into(), &way.into())
        );
        let verdicts = [0, 1].map(|nth| report["scenarios"][nth]["verdict"].as_str().unwrap());
        assert_eq!(verdicts, ["miss", "pass"]);
        let scenario = data(&page, "s0");
        assert_eq!(scenario["limits"]["heap"], 1024);
        let last = scenario["points"].as_array().and_then(|all| all.last());
        let last = last.expect("a point");
        assert_eq!((&last[1], &last[2]), (&27_648.into(), &27_648.into()));
        assert!(last[4].as_u64().is_some_and(|frames| frames > 20), "{last}");
        // Nothing comes late in virtual time, and no process is looked at.
        let mut points = scenario["points"].as_array().into_iter().flatten();
        let lag = points.any(|point| point[5].is_array());
        assert_eq!(lag, way == "driver", "{scenario}");
        assert_eq!(last[7].is_u64(), way == "driver", "{last}");
    }
}

const ON_A_PATH: &str = r#"{"schema": 1, "kind": "stress", "title": "far", "tcp": [{"flows": 1}], "path": {"rtt": "0ms"},
    "cases": [{"rtt": "20ms", "loss": 0.01, "bytes": "100KiB", "down": 0.1}]}"#;

#[test]
fn goodput_on_a_path_is_in_the_report_and_in_the_json() {
    let Ran { code, out, .. } = stress(ON_A_PATH, &["a.json"]);
    assert_eq!(code, 0, "{out}");
    assert!(out.contains("PASS a: 20ms, 1 % lost, down  (far)"), "{out}");
    assert!(
        out.contains("that the path carries for its losses; of "),
        "{out}"
    );
    let Ran { out, .. } = stress(ON_A_PATH, &["--format", "json", "a.json"]);
    let report: Value = serde_json::from_str(&out).expect("one document");
    let path = &report["results"][0]["outcome"]["path"];
    assert_eq!(path["down"]["goodput"]["bound"], "loss");
    assert!(path["down"]["goodput"]["ratio"].as_f64() > Some(0.1));
    assert!(path["up"]["goodput"].is_null() && path["up"]["frames"].as_u64() > Some(0));
}

#[test]
fn a_path_is_left_out_against_the_driver_and_that_is_said() {
    let Ran { code, err, .. } = stress(ON_A_PATH, &["--via", "driver", "a.json"]);
    assert_eq!(code, 4, "{err}");
    assert!(
        err.contains("1 left out: a path is passed in virtual time only"),
        "{err}"
    );
}

#[cfg(target_os = "linux")]
#[test]
fn the_json_of_the_driver_has_what_was_measured() {
    let arguments = [
        "--via",
        "driver",
        "--preset",
        "many-flows",
        "--format",
        "json",
        "a.json",
    ];
    let Ran { code, out, err } = stress(SMALL, &arguments);
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    let report: Value = serde_json::from_str(&out).expect("one document");
    assert_eq!(
        (&report["schema"], &report["via"], &report["dialer"]),
        (&1.into(), &"driver".into(), &"memory".into())
    );
    assert_eq!(
        (&report["passed"], &report["interrupted"]),
        (&1.into(), &false.into())
    );
    let outcome = &report["results"][0]["outcome"];
    assert_eq!(
        (&outcome["flows_served"], &outcome["octets_up"]),
        (&3.into(), &27_648.into())
    );
    let measures = &outcome["measures"];
    for field in [
        "seconds",
        "octets_up_per_second",
        "frames_per_second",
        "nanoseconds_per_frame",
        "allocations_per_frame",
    ] {
        assert!(measures[field].is_number(), "{field}: {measures}");
    }
    for histogram in ["turn_us", "lag_us", "inbox_wait_us"] {
        let p99 = &measures[histogram]["p99"];
        assert!(p99.is_u64(), "{histogram}: {measures}");
    }
    assert!(outcome["peak_heap"].as_u64().is_some_and(|bytes| bytes > 0));
}
