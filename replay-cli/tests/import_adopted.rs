//! TCP flows whose beginning is not in the capture: what `try` makes of them, and what `import` and `run` do.

use replay::capture::import::{ImportOptions, import};
use replay::scenario::Device;
use replay::verdict::attempt::{Attempt, FlowVerdict, TryOptions, try_capture};

mod trace;

use trace::{ACK, FIN_ACK, RST_ACK, SYN_ACK, Trace, moved, passed};

/// A question and its answer, as they go on in the middle of a connection.
fn talk(trace: &mut Trace) {
    trace.device(ACK, 501, 901, &[1; 200]);
    trace.server(ACK, 901, 701, &[2; 1000]);
    trace.device(ACK, 701, 1901, b"");
    trace.device(FIN_ACK, 701, 1901, b"");
    trace.server(FIN_ACK, 1901, 702, b"");
    trace.device(ACK, 702, 1902, b"");
}

#[test]
fn a_flow_without_its_handshake_is_adopted_with_its_bytes_and_its_end() {
    let mut trace = Trace::default();
    talk(&mut trace);
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert_eq!((moved(flow), flow.invented_bytes), ((200, 1000), 0));
    assert_eq!(flow.close, Some(("device".to_owned(), "fin".to_owned())));
    assert!(
        flow.adopted && flow.notes[0].starts_with("adopted: "),
        "{:?}",
        flow.notes
    );
}

#[test]
fn a_flow_whose_syn_ack_is_there_begins_with_its_numbers() {
    let mut trace = Trace::default();
    trace.server(SYN_ACK, 0, 1, b"");
    trace.device(ACK, 1, 1, b"");
    trace.device(ACK, 101, 1, &[1; 100]);
    trace.server(ACK, 1, 201, &[2; 300]);
    trace.device(ACK, 201, 301, b"");
    let attempt = trace.replayed();
    // The first 100 bytes are a hole, as the beginning is known.
    let flow = &attempt.flows[0];
    assert!(matches!(flow.verdict, FlowVerdict::Partial(_)), "{flow:?}");
    assert_eq!((moved(flow), flow.invented_bytes), ((200, 300), 100));
    assert!(flow.adopted);
}

#[test]
fn a_reset_is_the_end_of_a_flow_that_is_adopted() {
    let mut trace = Trace::default();
    trace.device(ACK, 501, 901, &[1; 200]);
    trace.server(RST_ACK, 901, 701, b"");
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert_eq!(flow.close, Some(("remote".to_owned(), "reset".to_owned())));
}

#[test]
fn a_flow_that_its_server_is_seen_to_begin_is_turned_by_its_ports() {
    let mut trace = Trace::default();
    trace.server(ACK, 901, 501, &[2; 1000]);
    trace.device(ACK, 501, 1901, &[1; 20]);
    trace.server(ACK, 1901, 521, b"");
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert_eq!(flow.client.to_string(), "10.0.0.2:40000");
    assert_eq!(moved(flow), (20, 1000));
}

#[test]
fn a_device_that_is_named_is_the_device_of_what_is_adopted() {
    let mut trace = Trace::default();
    talk(&mut trace);
    let options = TryOptions {
        device: Device::Addresses(vec!["93.184.216.34".parse().unwrap()]),
        ..TryOptions::default()
    };
    let attempt = tried(&trace, &options);
    let flow = &attempt.flows[0];
    assert_eq!(flow.client.to_string(), "93.184.216.34:443");
    assert_eq!(
        (&flow.verdict, moved(flow)),
        (&FlowVerdict::Pass, (1000, 200))
    );
}

#[test]
fn a_far_side_that_is_not_in_the_capture_is_not_made_up() {
    let mut trace = Trace::default();
    for at in [501, 601, 701] {
        trace.device(ACK, at, 10 * at, &[1; 100]);
    }
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert_eq!((moved(flow), flow.invented_bytes), ((300, 0), 0));
    assert!(
        flow.notes
            .iter()
            .any(|note| note.starts_with("no byte of the far side"))
    );
}

#[test]
fn a_device_that_is_not_in_the_capture_takes_what_the_server_sent() {
    let mut trace = Trace::default();
    for at in [501, 601, 701] {
        trace.server(ACK, at, 10 * at, &[1; 100]);
    }
    assert_eq!(moved(passed(&trace.replayed(), 0)), (0, 300));
}

#[test]
fn a_window_that_was_scaled_is_wide_enough_for_what_the_server_sent() {
    let mut trace = Trace {
        window: 100,
        ..Trace::default()
    };
    trace.device(ACK, 501, 901, &[1; 200]);
    for at in 0..8 {
        trace.server(ACK, 901 + 1000 * at, 701, &[2; 1000]);
    }
    trace.device(ACK, 701, 8901, b"");
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert_eq!(moved(flow), (200, 8000));
    assert!(
        !flow.notes.iter().any(|note| note.contains("made up as")),
        "{:?}",
        flow.notes
    );
}

#[test]
fn what_carries_no_byte_is_not_adopted() {
    let mut trace = Trace::default();
    trace.device(ACK, 501, 901, b"");
    trace.server(ACK, 901, 501, b"");
    refused(&tried(&trace, &TryOptions::default()));
}

#[test]
fn nothing_is_adopted_if_that_is_asked_for() {
    let mut trace = Trace::default();
    talk(&mut trace);
    let options = TryOptions {
        no_adopt: true,
        ..TryOptions::default()
    };
    refused(&tried(&trace, &options));
}

#[test]
fn a_scenario_names_the_flows_that_are_adopted() {
    let mut trace = Trace::default();
    talk(&mut trace);
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("a.pcap");
    std::fs::write(&capture, trace.file()).unwrap();
    let adopted = |no_adopt| {
        let options = ImportOptions {
            no_adopt,
            ..ImportOptions::default()
        };
        let (imported, _) = import(&capture, "./a.pcap", &options).unwrap();
        imported.scenario.input.adopted
    };
    assert_eq!(
        (adopted(false), adopted(true)),
        (vec!["tcp1".to_owned()], vec![])
    );
}

#[test]
fn how_much_may_be_invented_is_for_the_caller_to_say() {
    let mut trace = Trace::open();
    trace.device(ACK, 1, 1, &[1; 100]);
    trace.server(ACK, 1, 201, b"");
    trace.device(ACK, 201, 1, &[1; 200]);
    trace.server(ACK, 1, 401, b"");
    let verdict = |max_invented| {
        let options = TryOptions {
            max_invented,
            ..TryOptions::default()
        };
        tried(&trace, &options).flows[0].verdict.clone()
    };
    assert!(matches!(verdict(None), FlowVerdict::Partial(_)));
    assert!(matches!(verdict(Some(24)), FlowVerdict::Partial(_)));
    assert_eq!(verdict(Some(25)), FlowVerdict::Pass);
}

fn tried(trace: &Trace, options: &TryOptions) -> Attempt {
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("a.pcap");
    std::fs::write(&capture, trace.file()).unwrap();
    try_capture(&capture, options).unwrap()
}

fn refused(attempt: &Attempt) {
    let flow = &attempt.flows[0];
    let why = "its beginning is not in the capture: no SYN".to_owned();
    assert_eq!(flow.verdict, FlowVerdict::Unreplayable(why));
    assert!(!flow.adopted);
}
