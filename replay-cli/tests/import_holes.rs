//! What `try` makes of captures that lack packets, and what `import` and `run` make of them.

use replay::packet::{Flags, build};
use replay::verdict::attempt::{Attempt, FlowAttempt, FlowVerdict};

mod trace;

use trace::{ACK, FIN_ACK, RST_ACK, SYN, SYN_ACK, Trace, address, moved, passed};

#[test]
fn a_hole_of_the_device_is_bridged_while_other_flows_go_on() {
    let mut trace = Trace::open();
    trace.device(ACK, 1, 1, &[1; 20]);
    trace.server(ACK, 1, 21, &[2; 30]);
    // The second question is not in the capture; the answer to it is.
    trace.server(ACK, 31, 41, &[3; 30]);
    trace.device(ACK, 41, 61, b"");
    trace.at_us += 40_000_000;
    trace.device(ACK, 41, 61, &[4; 300]);
    trace.server(ACK, 61, 341, &[5; 30]);
    trace.device(ACK, 341, 91, b"");
    trace.at_us += 8_000_000_000;
    trace.packet(&build::udp(
        address("10.0.0.2:5001"),
        address("9.9.9.9:9000"),
        b"later",
    ));
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert_eq!((moved(flow), flow.invented_bytes), ((340, 90), 20));
}

#[test]
fn a_hole_before_the_device_s_fin_is_bridged_and_the_flow_is_partial() {
    let mut trace = Trace::open();
    trace.device(ACK, 1, 1, &[1; 100]);
    trace.server(ACK, 1, 101, &[2; 50]);
    trace.device(ACK, 101, 51, b"");
    trace.server(ACK, 51, 201, b"");
    trace.device(FIN_ACK, 201, 51, b"");
    trace.server(FIN_ACK, 51, 202, b"");
    trace.device(ACK, 202, 52, b"");
    assert_eq!(partial(&trace.replayed(), (200, 50), 100), closed("fin"));
}

#[test]
fn a_hole_before_the_far_side_s_fin_is_bridged_and_the_flow_is_partial() {
    let mut trace = Trace::open();
    trace.device(ACK, 1, 1, &[1; 100]);
    trace.server(ACK, 1, 101, &[2; 50]);
    trace.device(ACK, 101, 201, b"");
    trace.server(FIN_ACK, 201, 101, b"");
    trace.device(ACK, 101, 202, b"");
    trace.device(FIN_ACK, 101, 202, b"");
    trace.server(ACK, 202, 102, b"");
    assert_eq!(partial(&trace.replayed(), (100, 200), 150), closed("fin"));
}

#[test]
fn holes_at_the_tail_are_bridged_in_both_directions() {
    let mut trace = Trace::open();
    trace.device(ACK, 1, 1, &[1; 100]);
    trace.server(ACK, 1, 151, b"");
    trace.server(ACK, 1, 151, &[2; 50]);
    trace.device(ACK, 151, 101, b"");
    assert_eq!(partial(&trace.replayed(), (150, 100), 100), None);
}

#[test]
fn two_holes_of_which_one_is_acknowledged_end_with_what_was_acknowledged() {
    let mut trace = Trace::open();
    trace.device(ACK, 1, 1, &[1; 100]);
    trace.server(ACK, 1, 201, b"");
    trace.device(ACK, 301, 1, &[1; 100]);
    trace.server(ACK, 1, 201, &[2; 50]);
    trace.device(RST_ACK, 401, 51, b"");
    assert_eq!(partial(&trace.replayed(), (200, 50), 100), closed("reset"));
}

#[test]
fn a_hole_known_only_behind_the_reset_is_sent_before_it() {
    let mut trace = Trace::open();
    trace.device(ACK, 1, 1, &[1; 100]);
    trace.device(ACK, 151, 1, &[1; 100]);
    trace.device(Flags::RST, 251, 1, b"");
    trace.server(ACK, 1, 251, b"");
    assert_eq!(partial(&trace.replayed(), (250, 0), 50), closed("reset"));
}

#[test]
fn a_fin_that_only_its_acknowledgement_shows_is_no_byte() {
    let mut trace = Trace::open();
    trace.device(ACK, 1, 1, &[1; 100]);
    trace.server(ACK, 1, 102, &[2; 50]);
    trace.device(ACK, 102, 52, b"");
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert_eq!((moved(flow), flow.invented_bytes), ((100, 50), 0));
    assert_eq!(
        flow.close.as_ref().map(|(_, how)| how.clone()),
        closed("fin")
    );
}

#[test]
fn an_acknowledgement_far_beyond_all_that_follows_is_forged() {
    let mut trace = Trace::open();
    trace.device(ACK, 1, 1, &[1; 100]);
    trace.server(ACK, 1, 9_001, b"");
    for at in [101, 201, 301] {
        trace.server(ACK, 1, at, b"");
        trace.device(ACK, at, 1, &[1; 100]);
    }
    trace.server(ACK, 1, 401, b"");
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert_eq!((moved(flow), flow.invented_bytes), ((400, 0), 0));
}

#[test]
fn a_handshake_without_its_syn_ack_and_its_end_begins_with_the_first_byte() {
    let mut trace = Trace::default();
    trace.device(SYN, 0, 0, b"");
    trace.device(ACK, 1, 1, &[1; 20]);
    trace.server(ACK, 1, 21, &[2; 30]);
    trace.device(ACK, 21, 31, b"");
    assert_eq!(moved(passed(&trace.replayed(), 0)), (20, 30));
    let mut trace = Trace::default();
    trace.device(SYN, 0, 0, b"");
    trace.server(ACK, 1, 1, &[2; 30]);
    trace.device(ACK, 1, 31, &[1; 20]);
    assert_eq!(moved(passed(&trace.replayed(), 0)), (20, 30));
}

#[test]
fn a_reset_behind_data_is_no_refusal_though_the_syn_ack_is_not_there() {
    let mut trace = Trace::default();
    trace.device(SYN, 0, 0, b"");
    trace.device(ACK, 1, 1, b"");
    trace.device(ACK, 1, 1, &[1; 20]);
    trace.server(ACK, 1, 21, &[2; 30]);
    trace.device(ACK, 21, 31, b"");
    trace.server(RST_ACK, 31, 21, b"");
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert_eq!(moved(flow), (20, 30));
    assert_eq!(flow.close, Some(("remote".to_owned(), "reset".to_owned())));
}

#[test]
fn a_reset_before_the_syn_ack_at_which_the_device_goes_on_is_no_refusal() {
    let mut trace = Trace::default();
    trace.device(SYN, 0, 0, b"");
    trace.server(RST_ACK, 0, 0, b"");
    trace.server(SYN_ACK, 0, 1, b"");
    trace.device(ACK, 1, 1, &[1; 20]);
    trace.server(ACK, 1, 21, &[2; 30]);
    trace.device(ACK, 21, 31, b"");
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert_eq!((moved(flow), &flow.close), ((20, 30), &None));
}

#[test]
fn a_reset_at_which_the_device_gives_up_is_a_refusal() {
    let mut trace = Trace::default();
    trace.device(SYN, 0, 0, b"");
    trace.server(RST_ACK, 0, 1, b"");
    let attempt = trace.replayed();
    let close = passed(&attempt, 0).close.as_ref();
    assert_eq!(close.map(|(_, how)| how.clone()), closed("refused"));
}

#[test]
fn data_on_a_syn_that_nobody_answered_is_owed_to_nobody() {
    let mut trace = Trace::default();
    trace.device(SYN, 0, 0, b"question");
    assert_eq!(moved(passed(&trace.replayed(), 0)), (0, 0));
    trace.server(RST_ACK, 0, 1, b"");
    assert_eq!(moved(passed(&trace.replayed(), 0)), (0, 0));
}

#[test]
fn a_run_goes_on_past_idle_flows_while_a_dial_waits_for_its_time() {
    let mut trace = Trace::default();
    trace.device(SYN, 0, 0, b"");
    trace.packet(&build::udp(
        address("10.0.0.2:5001"),
        address("9.9.9.9:53"),
        b"no query",
    ));
    let attempt = trace.replayed();
    let close = passed(&attempt, 0).close.clone();
    assert_eq!(close, Some(("engine".to_owned(), "timed_out".to_owned())));
    passed(&attempt, 1);
}

#[test]
fn fragments_of_a_datagram_with_an_offloaded_checksum_are_repaired() {
    for (device, server) in [
        ("10.0.0.2:1", "9.9.9.9:2"),
        ("[2001:db8::1]:1", "[2001:db8::2]:2"),
    ] {
        let (device, server) = (address(device), address(server));
        let mut whole = build::udp(device, server, &[7; 3000]);
        let checksum = if device.is_ipv4() { 26 } else { 46 };
        whole[checksum] ^= 0x55;
        let mut trace = Trace::default();
        for fragment in build::fragments(&whole, 1500, 7) {
            trace.packet(&fragment);
        }
        assert_eq!(moved(passed(&trace.replayed(), 0)), (3000, 0));
    }
}

#[test]
fn what_nobody_asked_for_is_no_record() {
    let (device, server) = (address("10.0.0.2:5000"), address("9.9.9.9:53"));
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(b"\x01a\x07example\x00\x00\x01\x00\x01");
    let mut answer = query.clone();
    (answer[2], answer[7]) = (0x81, 1);
    answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 9]);
    let mut trace = Trace::default();
    trace.packet(&build::udp(device, server, &query));
    for _ in 0..2 {
        trace.packet(&build::udp(server, device, &answer));
    }
    // And one that nobody asked for.
    answer[1] = 8;
    trace.packet(&build::udp(server, device, &answer));
    // And one with the address of another name beside it.
    query[1] = 9;
    (answer[1], answer[7]) = (9, 2);
    answer.extend(b"\x01b\x07example\x00");
    answer.extend([0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 10]);
    trace.packet(&build::udp(device, server, &query));
    trace.packet(&build::udp(server, device, &answer));
    let attempt = trace.replayed();
    passed(&attempt, 0);
    let addresses: Vec<usize> = attempt.dns.iter().map(|dns| dns.addresses.len()).collect();
    assert_eq!(addresses, [1, 1]);
}

#[test]
fn flows_one_after_the_other_are_not_open_at_once() {
    let mut trace = Trace {
        step_us: 200_000,
        ..Trace::default()
    };
    for _ in 0..300 {
        trace.isns = (trace.isns.0 + 100_000, trace.isns.1 + 100_000);
        trace.device(SYN, 0, 0, b"");
        trace.server(SYN_ACK, 0, 1, b"");
        trace.device(FIN_ACK, 1, 1, b"");
        trace.server(FIN_ACK, 1, 2, b"");
        trace.device(ACK, 2, 2, b"");
    }
    let attempt = trace.replayed();
    assert_eq!(attempt.flows.len(), 300);
    (0..300).for_each(|flow| {
        passed(&attempt, flow);
    });
    let said = attempt.notes.iter().find(|note| note.contains("tcp_limit"));
    assert_eq!(said, None);
}

/// How the first flow ended, which is partial, with these bytes of which so many are invented.
fn partial(attempt: &Attempt, bytes: (u64, u64), invented: u64) -> Option<String> {
    let flow: &FlowAttempt = &attempt.flows[0];
    let why = format!(
        "{invented} of {} bytes are not in the capture and stand as zeros",
        bytes.0 + bytes.1
    );
    assert_eq!(flow.verdict, FlowVerdict::Partial(why), "{flow:?}");
    assert_eq!((moved(flow), flow.invented_bytes), (bytes, invented));
    flow.close.as_ref().map(|(_, how)| how.clone())
}

#[expect(clippy::unnecessary_wraps, reason = "compared with what may be absent")]
fn closed(how: &str) -> Option<String> {
    Some(how.to_owned())
}
