//! Nothing to do is said, and is success only where the file is sound and was looked at.

use crate::{datagram_capture, empty_capture, folder, ping_capture, replay_in};

#[test]
fn trying_an_empty_capture_is_nothing_selected() {
    let root = folder(&[("a.pcap", &empty_capture())]);
    let ran = replay_in(root.path(), ["try", "a.pcap"]);
    assert_eq!((ran.code, ran.err.as_str()), (4, ""));
    assert!(
        ran.out
            .contains("nothing to replay: the capture holds no packet\n"),
        "{}",
        ran.out
    );
}

#[test]
fn trying_a_capture_without_flows_is_nothing_selected() {
    // IGMP in place of ICMP: nothing that an engine takes.
    let mut igmp = ping_capture();
    let protocol = igmp.len() - 28 + 9;
    igmp[protocol] = 2;
    let root = folder(&[("a.pcap", &igmp)]);
    let ran = replay_in(root.path(), ["try", "a.pcap"]);
    assert_eq!((ran.code, ran.err.as_str()), (4, ""));
    assert!(
        ran.out
            .contains("nothing to replay: the capture holds no TCP or UDP flow\n"),
        "{}",
        ran.out
    );
}

#[test]
fn json_of_an_empty_capture_is_whole_and_the_line_goes_beside_it() {
    let root = folder(&[("a.pcap", &empty_capture())]);
    let ran = replay_in(root.path(), ["try", "a.pcap", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &report["flows"]), (4, &serde_json::json!([])));
    assert_eq!(
        report["packets"],
        serde_json::json!({ "read": 0, "skipped": [] })
    );
    assert_eq!(ran.err, "nothing to replay: the capture holds no packet\n");
}

#[test]
fn inspecting_an_empty_capture_succeeds_and_says_so() {
    let root = folder(&[("a.pcap", &empty_capture())]);
    let ran = replay_in(root.path(), ["inspect", "a.pcap"]);
    assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    assert!(
        ran.out
            .ends_with("nothing to replay: the capture holds no packet\n"),
        "{}",
        ran.out
    );
}

#[test]
fn importing_an_empty_capture_is_nothing_selected_and_writes_nothing() {
    let root = folder(&[("a.pcap", &empty_capture())]);
    let ran = replay_in(root.path(), ["import", "a.pcap", "-o", "a.json"]);
    assert_eq!((ran.code, ran.out.as_str()), (4, ""));
    assert!(
        ran.err
            .ends_with("nothing to replay: the capture holds no packet; no scenario is written\n"),
        "{}",
        ran.err
    );
    assert!(!root.path().join("a.json").exists());
    let printed = replay_in(root.path(), ["import", "a.pcap"]);
    assert_eq!((printed.code, printed.out.as_str()), (4, ""));
}

#[test]
fn a_device_that_no_flow_has_is_nothing_selected() {
    let root = folder(&[("a.pcap", &datagram_capture())]);
    assert_eq!(replay_in(root.path(), ["try", "a.pcap"]).code, 0);
    for command in ["try", "import"] {
        let ran = replay_in(root.path(), [command, "a.pcap", "--device", "192.0.2.99"]);
        let said = [ran.out, ran.err].concat();
        assert_eq!(ran.code, 4, "{command}: {said}");
        assert!(
            said.contains("nothing to replay: the one flow of the capture cannot be replayed"),
            "{command}: {said}"
        );
    }
}

#[test]
fn a_run_without_expectations_is_nothing_selected() {
    let root = folder(&[]);
    let ran = replay_in(root.path(), ["run"]);
    assert_eq!((ran.code, ran.out.as_str()), (4, ""));
    assert!(
        ran.err.starts_with(
            "error: nothing selected: there is no folder expectations/ here or above\n"
        ),
        "{}",
        ran.err
    );
}

#[test]
fn a_folder_without_scenarios_is_nothing_selected() {
    let root = folder(&[("expectations/readme.md", b"")]);
    let ran = replay_in(root.path(), ["run"]);
    assert_eq!(ran.code, 4);
    assert!(
        ran.err
            .contains("nothing selected: expectations holds no scenario\n"),
        "{}",
        ran.err
    );
}

#[test]
fn stress_scenarios_alone_are_nothing_selected() {
    let root = folder(&[(
        "expectations/stress/a.json",
        br#"{ "schema": 1, "kind": "stress" }"#,
    )]);
    let ran = replay_in(root.path(), ["run"]);
    assert_eq!(ran.code, 4);
    assert!(
        ran.out
            .starts_with("1 scenario: 0 passed, 0 failed, 0 invalid, 1 skipped; "),
        "{}",
        ran.out
    );
    assert!(
        ran.err.starts_with(
            "nothing selected: every scenario is a stress scenario: `replay stress` runs it"
        ),
        "{}",
        ran.err
    );
}
