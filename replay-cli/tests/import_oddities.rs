//! What `try` makes of lawful captures that are out of the ordinary.

use replay::packet::build;

mod trace;

use trace::{ACK, FIN_ACK, RST_ACK, SYN, SYN_ACK, Trace, address, moved, passed};

#[test]
fn a_datagram_larger_than_the_mtu_goes_in_as_fragments() {
    for (device, server) in [
        ("10.0.0.2:1", "9.9.9.9:2"),
        ("[2001:db8::1]:1", "[2001:db8::2]:2"),
    ] {
        let payload = vec![7; 60_000];
        let (device, server) = (address(device), address(server));
        let mut trace = Trace::default();
        trace.packet(&build::udp(device, server, &payload));
        trace.packet(&build::udp(server, device, &payload));
        assert_eq!(moved(passed(&trace.replayed(), 0)), (60_000, 60_000));
    }
}

#[test]
fn data_that_came_with_the_syn_ack_waits_for_the_handshake() {
    let mut trace = Trace::default();
    trace.device(SYN, 0, 0, b"");
    trace.server(SYN_ACK, 0, 1, b"banner");
    trace.device(ACK, 1, 7, b"");
    trace.device(ACK, 1, 7, b"hello");
    trace.server(ACK, 7, 6, b"");
    assert_eq!(moved(passed(&trace.replayed(), 0)), (5, 6));
}

#[test]
fn data_on_a_syn_that_was_answered_at_once_goes_in_before_the_answer_is_acknowledged() {
    let mut trace = Trace::default();
    trace.device(SYN, 0, 0, b"question");
    trace.server(SYN_ACK, 0, 9, b"answer");
    trace.device(ACK, 9, 7, b"");
    assert_eq!(moved(passed(&trace.replayed(), 0)), (8, 6));
}

#[test]
fn data_on_a_syn_reaches_nobody_if_the_device_ends_no_handshake() {
    let mut trace = Trace::default();
    trace.device(SYN, 0, 0, b"question");
    trace.server(SYN_ACK, 0, 1, b"");
    trace.device(SYN, 0, 0, b"");
    trace.server(SYN_ACK, 0, 1, b"");
    assert_eq!(moved(passed(&trace.replayed(), 0)), (0, 0));
}

#[test]
fn data_on_a_syn_that_was_acknowledged_ends_the_handshake_at_the_latest() {
    let mut trace = Trace::default();
    trace.device(SYN, 0, 0, b"question");
    trace.server(SYN_ACK, 0, 9, b"");
    assert_eq!(moved(passed(&trace.replayed(), 0)), (8, 0));
}

#[test]
fn a_reset_that_the_device_talks_past_is_not_its_own() {
    let mut trace = Trace::open();
    trace.device(RST_ACK, 1, 1, b"");
    trace.device(ACK, 1, 1, b"still here");
    trace.server(ACK, 1, 11, b"so am I");
    trace.device(ACK, 11, 8, b"");
    assert_eq!(moved(passed(&trace.replayed(), 0)), (10, 7));
}

#[test]
fn a_fin_that_its_sender_talks_past_is_not_the_end() {
    let mut trace = Trace::open();
    trace.device(FIN_ACK, 1, 1, b"");
    trace.server(ACK, 1, 2, b"");
    trace.server(FIN_ACK, 1, 2, b"");
    trace.device(ACK, 2, 2, b"");
    trace.device(ACK, 1, 2, b"question");
    trace.server(ACK, 1, 9, b"answer");
    trace.device(FIN_ACK, 9, 7, b"");
    trace.server(FIN_ACK, 7, 10, b"");
    trace.device(ACK, 10, 8, b"");
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert_eq!(moved(flow), (8, 6));
    assert!(flow.close.as_ref().is_some_and(|(_, how)| how == "fin"));
}

#[test]
fn a_tuple_reused_at_once_with_a_lower_isn_is_two_connections() {
    let mut trace = Trace::open();
    trace.device(ACK, 1, 1, b"first");
    trace.device(FIN_ACK, 6, 1, b"");
    trace.server(FIN_ACK, 1, 7, b"");
    trace.device(ACK, 7, 2, b"");
    trace.isns = (10, 20);
    trace.device(SYN, 0, 0, b"");
    trace.server(SYN_ACK, 0, 1, b"");
    trace.device(ACK, 1, 1, b"second!");
    trace.server(ACK, 1, 8, b"");
    let attempt = trace.replayed();
    assert_eq!(moved(passed(&attempt, 0)), (5, 0));
    assert_eq!(moved(passed(&attempt, 1)), (7, 0));
}

#[test]
fn silences_longer_than_the_engine_waits_in_each_phase_are_cut() {
    const HOURS: u64 = 9_000_000_000;
    let mut trace = Trace::default();
    trace.device(SYN, 0, 0, b"");
    trace.at_us += HOURS;
    trace.server(SYN_ACK, 0, 1, b"");
    trace.at_us += HOURS;
    trace.device(ACK, 1, 1, b"");
    trace.at_us += HOURS;
    trace.device(FIN_ACK, 1, 1, b"");
    trace.at_us += HOURS;
    trace.server(ACK, 1, 2, b"late");
    assert_eq!(moved(passed(&trace.replayed(), 0)), (0, 4));
}

#[test]
fn a_syn_answered_after_the_dial_timeout_is_still_answered() {
    let mut trace = Trace::default();
    trace.device(SYN, 0, 0, b"");
    for _ in 0..4 {
        trace.at_us += 40_000_000;
        trace.device(SYN, 0, 0, b"");
    }
    trace.server(SYN_ACK, 0, 1, b"");
    trace.device(ACK, 1, 1, b"at last");
    trace.server(ACK, 1, 8, b"");
    assert_eq!(moved(passed(&trace.replayed(), 0)), (7, 0));
}

#[test]
fn segments_that_overtook_others_by_more_than_the_window_wait_for_them() {
    const LEN: u32 = 60_000;
    let stream: Vec<u8> = (0..LEN).map(|at| (at / 7) as u8).collect();
    let mut pieces: Vec<(u32, &[u8])> = (1..).step_by(1000).zip(stream.chunks(1000)).collect();
    pieces.reverse();
    // Once with the acknowledgement that ends the handshake, once with that lost to the capture.
    for handshake in [true, false] {
        let mut trace = Trace::default();
        trace.device(SYN, 0, 0, b"");
        trace.server(SYN_ACK, 0, 1, b"");
        if handshake {
            trace.device(ACK, 1, 1, b"");
        }
        for (at, piece) in &pieces {
            trace.device(ACK, *at, 1, piece);
        }
        trace.server(ACK, 1, 1 + LEN, b"");
        assert_eq!(moved(passed(&trace.replayed(), 0)), (u64::from(LEN), 0));
    }
}

#[test]
fn a_device_that_took_more_than_it_offered_last_had_room_for_it() {
    let mut trace = Trace::open();
    trace.server(ACK, 1, 1, &[1; 1000]);
    trace.server(ACK, 1001, 1, &[2; 1000]);
    trace.window = 0;
    trace.device(ACK, 1, 1001, b"");
    trace.device(ACK, 1, 2001, b"");
    assert_eq!(moved(passed(&trace.replayed(), 0)), (0, 2000));
}

#[test]
fn an_acknowledgement_that_only_a_keep_alive_brought_is_given_again() {
    let mut trace = Trace::open();
    trace.device(ACK, 1, 1, b"hello");
    trace.server(ACK, 1, 6, b"");
    trace.window = 1000;
    trace.device(ACK, 6, 1, b"");
    trace.server(ACK, 1, 6, &[1; 1000]);
    trace.device(ACK, 5, 1001, b"");
    trace.server(ACK, 1001, 6, &[2; 1000]);
    trace.device(ACK, 6, 2001, b"x");
    trace.server(ACK, 2001, 7, b"");
    assert_eq!(moved(passed(&trace.replayed(), 0)), (6, 2000));
}

#[test]
fn a_recorded_reset_waits_until_the_device_has_what_came_before_it() {
    let mut trace = Trace::open();
    trace.window = 500;
    trace.device(ACK, 1, 1, b"hello");
    trace.server(ACK, 1, 6, &[1; 500]);
    trace.server(ACK, 501, 6, &[2; 500]);
    trace.server(RST_ACK, 1001, 6, b"");
    assert_eq!(moved(passed(&trace.replayed(), 0)), (5, 1000));
}

#[test]
fn data_captured_after_its_acknowledgement_is_not_lost() {
    let mut trace = Trace::open();
    trace.device(ACK, 4, 1, b"def");
    trace.server(ACK, 1, 7, b"");
    trace.device(ACK, 1, 1, b"abc");
    trace.server(ACK, 4, 7, b"DEF");
    trace.device(ACK, 7, 7, b"");
    trace.server(ACK, 1, 7, b"ABC");
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert_eq!(moved(flow), (6, 6));
    assert!(flow.notes.iter().all(|note| !note.contains("zeros")));
}

#[test]
fn a_datagram_cut_by_the_snap_length_says_who_opened_the_flow() {
    let (device, server) = (address("10.0.0.2:1"), address("9.9.9.9:2"));
    let mut trace = Trace::default();
    trace.cut(&build::udp(device, server, b"a long question"), 30);
    trace.packet(&build::udp(server, device, b"answer"));
    trace.packet(&build::udp(device, server, b"thanks"));
    let attempt = trace.replayed();
    let flow = &attempt.flows[0];
    assert_eq!((flow.client, moved(flow)), (device, (21, 6)));
}

#[test]
fn a_connection_follows_a_refused_one_whose_retransmissions_were_not_needed() {
    let mut trace = Trace {
        step_us: 0,
        ..Trace::default()
    };
    trace.device(SYN, 0, 0, b"");
    trace.device(SYN, 0, 0, b"");
    trace.server(RST_ACK, 0, 1, b"");
    trace.device(SYN, 0, 0, b"");
    trace.server(SYN_ACK, 0, 1, b"");
    trace.device(ACK, 1, 1, b"hello");
    trace.server(ACK, 1, 6, b"");
    assert_eq!(moved(passed(&trace.replayed(), 1)), (5, 0));
}

#[test]
fn a_syn_captured_behind_what_it_led_to_begins_its_connection() {
    let mut trace = Trace::default();
    trace.server(SYN_ACK, 0, 1, b"");
    trace.device(ACK, 1, 1, b"question");
    trace.server(ACK, 1, 9, b"answer");
    trace.device(SYN, 0, 0, b"");
    trace.device(ACK, 9, 7, b"");
    let attempt = trace.replayed();
    assert_eq!(attempt.flows.len(), 1);
    assert_eq!(moved(passed(&attempt, 0)), (8, 6));
}

#[test]
fn an_byte_waits_only_for_what_its_own_segment_acknowledged() {
    let mut trace = Trace::open();
    trace.server(ACK, 6, 3, b"later");
    trace.device(ACK, 1, 6, b"ok");
    trace.server(ACK, 1, 1, b"first");
    trace.device(ACK, 3, 11, b"");
    assert_eq!(moved(passed(&trace.replayed(), 0)), (2, 10));
}

#[test]
fn a_far_side_that_spoke_before_its_syn_opens_a_connection_of_its_own() {
    let mut trace = Trace::default();
    trace.device(SYN, 0, 0, b"");
    // Of what was before: an answer to the SYN would acknowledge it.
    trace.server(ACK, 0, 77, b"");
    trace.server(SYN, 0, 0, b"");
    trace.device(SYN_ACK, 0, 1, b"");
    trace.server(ACK, 1, 1, b"from the opener");
    trace.device(ACK, 1, 16, b"");
    let attempt = trace.replayed();
    let flow = passed(&attempt, 1);
    assert_eq!(flow.client, address("93.184.216.34:443"));
    assert_eq!(moved(flow), (15, 0));
}
