//! Captures with more in them than whole TCP and UDP: ICMP, cut packets, tunnels, handshakes in parts.

use std::net::IpAddr;

use replay::capture::import::{ImportOptions, import};
use replay::packet::build::{self, TcpSpec};
use replay::packet::{Flags, Seq};
use replay::scenario::{Decap, Device, Protocol};
use replay::verdict::attempt::{Attempt, FlowVerdict, TryOptions, try_capture};
use replay::verdict::run::{RunOptions, run_file};

mod trace;

use trace::{ACK, FIN_ACK, RST_ACK, SYN, SYN_ACK, Trace, address, moved, passed};

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// An echo request, or the answer to it.
fn echo(trace: &mut Trace, reply: bool, sequence: u16, data: &[u8]) {
    let (device, far) = (ip("10.0.0.2"), ip("93.184.216.34"));
    let (from, to) = if reply { (far, device) } else { (device, far) };
    trace.packet(&build::icmp_echo(from, to, reply, 7, sequence, data));
}

#[test]
fn echo_requests_are_asked_again_and_the_engine_answers_them() {
    let mut trace = Trace::default();
    for sequence in 0..5 {
        echo(&mut trace, false, sequence, b"56 bytes or less");
        echo(&mut trace, true, sequence, b"56 bytes or less");
    }
    let (device, far) = (ip("fd00::2"), ip("2001:db8::1"));
    trace.packet(&build::icmp_echo(device, far, false, 1, 1, b"v6"));
    let attempt = trace.replayed();
    assert_eq!(moved(passed(&attempt, 0)), (80, 80));
    assert_eq!(attempt.flows[0].protocol, Protocol::Icmp);
    assert!(attempt.flows[0].notes.is_empty());
    assert_eq!(moved(passed(&attempt, 1)), (2, 2));
    assert!(attempt.skipped.is_empty(), "{:?}", attempt.skipped);
    assert_eq!(attempt.figures.frames_in, 6);
}

#[test]
fn an_echo_request_without_an_answer_says_so() {
    let mut trace = Trace::default();
    echo(&mut trace, false, 1, &[7; 56]);
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert!(
        flow.notes[0].starts_with("0 of 1 echo request(s)"),
        "{flow:?}"
    );
}

#[test]
fn an_echo_request_beyond_the_mtu_or_the_snap_length_is_answered_whole() {
    let mut trace = Trace::default();
    echo(&mut trace, false, 1, &[7; 4000]);
    let (device, far) = (ip("10.0.0.2"), ip("93.184.216.34"));
    let request = build::icmp_echo(device, far, false, 7, 2, &[7; 500]);
    trace.cut(&request, 68);
    assert_eq!(moved(passed(&trace.replayed(), 0)), (4500, 4500));
}

#[test]
fn an_answer_without_its_request_is_counted() {
    let mut trace = Trace::open();
    echo(&mut trace, true, 1, b"");
    let attempt = trace.replayed();
    assert_eq!(attempt.skipped["icmp"], 1);
}

/// An ICMP error of a router about a packet.
fn unreachable(trace: &mut Trace, code: u8, about: &[u8]) {
    let error = build::icmp_unreachable(ip("10.0.0.1"), ip("10.0.0.2"), code, about);
    trace.packet(&error);
}

#[test]
fn a_port_that_is_unreachable_is_what_the_dialer_of_udp_says() {
    let (device, far) = (address("10.0.0.2:5000"), address("93.184.216.34:9000"));
    let datagram = build::udp(device, far, &[b'x'; 20]);
    let mut trace = Trace::default();
    for _ in 0..3 {
        trace.packet(&datagram);
        unreachable(&mut trace, 3, &datagram);
    }
    let attempt = trace.replayed();
    let flow = passed(&attempt, 0);
    assert_eq!((moved(flow), flow.upstream.datagrams), ((60, 0), 3));
    assert_eq!(flow.close, Some(("remote".into(), "reset".into())));
    let said = "the dialer says that the far side refuses datagrams";
    assert!(
        flow.notes.iter().any(|note| note.starts_with(said)),
        "{flow:?}"
    );
}

#[test]
fn a_device_that_goes_on_after_an_error_is_not_cut_off() {
    let (device, far) = (address("10.0.0.2:5000"), address("93.184.216.34:9000"));
    let datagram = build::udp(device, far, b"ask");
    let mut trace = Trace::default();
    trace.packet(&datagram);
    unreachable(&mut trace, 1, &datagram);
    trace.packet(&datagram);
    trace.packet(&build::udp(far, device, b"answer"));
    let attempt = trace.replayed();
    assert_eq!(moved(passed(&attempt, 0)), (6, 6));
    assert_eq!(attempt.flows[0].close, None);
}

#[test]
fn a_syn_that_met_an_error_is_dialed_to_the_same_end() {
    for (code, how) in [(3, "refused"), (1, "host_unreachable")] {
        let mut trace = Trace::default();
        trace.device(SYN, 0, 0, b"");
        let spec = TcpSpec {
            sequence: Seq(1000),
            flags: SYN,
            ..TcpSpec::new(address("10.0.0.2:40000"), address("93.184.216.34:443"))
        };
        unreachable(&mut trace, code, &build::tcp(&spec));
        let attempt = trace.replayed();
        let close = passed(&attempt, 0).close.clone();
        assert_eq!(close, Some(("remote".into(), how.into())));
    }
}

#[test]
fn a_packet_too_big_for_the_way_sets_the_mtu() {
    let mut trace = Trace::open();
    trace.device(ACK, 1, 1, &[7; 1460]);
    let spec = TcpSpec {
        sequence: Seq(1001),
        acknowledgement: Seq(5001),
        flags: ACK,
        payload: &[7; 1460],
        ..TcpSpec::new(address("10.0.0.2:40000"), address("93.184.216.34:443"))
    };
    let segment = build::tcp(&spec);
    let mut error = build::icmp_unreachable(ip("10.0.0.1"), ip("10.0.0.2"), 4, &segment);
    error[26..28].copy_from_slice(&1300_u16.to_be_bytes());
    trace.packet(&error);
    trace.device(ACK, 1, 1, &[7; 1260]);
    trace.device(ACK, 1261, 1, &[7; 200]);
    trace.server(ACK, 1, 1461, b"");
    let attempt = trace.replayed();
    assert_eq!(moved(passed(&attempt, 0)), (1460, 0));
    let set = |note: &String| note.starts_with("mtu set to 1300:");
    assert!(attempt.notes.iter().any(set), "{:?}", attempt.notes);
}

#[test]
fn a_flow_that_the_far_side_opened_has_its_own_reason() {
    let mut trace = Trace::open();
    let (far, device) = (address("93.184.216.34:20"), address("10.0.0.2:45000"));
    trace.segment(TcpSpec::new(far, device), SYN, b"");
    trace.segment(TcpSpec::new(far, address("10.0.0.9:1")), SYN, b"");
    let folder = tempfile::tempdir().expect("a folder");
    let capture = folder.path().join("a.pcap");
    std::fs::write(&capture, trace.file()).expect("written");
    let options = TryOptions {
        device: Device::Addresses(vec![ip("10.0.0.2")]),
        ..TryOptions::default()
    };
    let attempt = try_capture(&capture, &options).expect("a capture");
    let reason = |nth: usize| match &attempt.flows[nth].verdict {
        FlowVerdict::Unreplayable(reason) => reason.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        reason(1),
        "opened by the far side, 93.184.216.34: an engine opens nothing toward its device"
    );
    assert_eq!(
        reason(2),
        "opened by 93.184.216.34, which is not the device"
    );
}

#[test]
fn handshakes_in_parts_are_one_connection() {
    type Handshake = fn(&mut Trace);
    let handshakes: [Handshake; 3] = [
        // Both SYNs cross.
        |trace| {
            trace.device(SYN, 0, 0, b"");
            trace.server(SYN, 0, 0, b"");
            trace.device(SYN_ACK, 0, 1, b"");
            trace.server(ACK, 1, 1, b"");
        },
        // The far side acknowledges, then opens by a SYN of its own.
        |trace| {
            trace.device(SYN, 0, 0, b"");
            trace.server(ACK, 0, 1, b"");
            trace.server(SYN, 0, 0, b"");
            trace.device(SYN_ACK, 0, 1, b"");
            trace.server(ACK, 1, 1, b"");
        },
        // The same, answered by an acknowledgement alone.
        |trace| {
            trace.device(SYN, 0, 0, b"");
            trace.server(ACK, 0, 1, b"");
            trace.server(SYN, 0, 0, b"");
            trace.device(ACK, 1, 1, b"");
        },
    ];
    for handshake in handshakes {
        let mut trace = Trace::default();
        handshake(&mut trace);
        trace.device(ACK, 1, 1, b"question");
        trace.server(ACK, 1, 9, b"answer");
        trace.device(FIN_ACK, 9, 7, b"");
        trace.server(FIN_ACK, 7, 10, b"");
        trace.device(ACK, 10, 8, b"");
        let attempt = trace.replayed();
        assert_eq!(attempt.flows.len(), 1);
        assert_eq!(moved(passed(&attempt, 0)), (8, 6));
    }
}

/// A segment of the device or the server with these options, of which so many bytes are captured.
fn cut_segment(
    trace: &mut Trace,
    up: bool,
    flags: Flags,
    at: (u32, u32),
    options: &[u8],
    payload: &[u8],
) {
    let ends = [address("10.0.0.2:40000"), address("93.184.216.34:443")];
    let (from, to, isns) = if up {
        (ends[0], ends[1], (1000, 5000))
    } else {
        (ends[1], ends[0], (5000, 1000))
    };
    let segment = build::tcp(&TcpSpec {
        sequence: Seq(isns.0 + at.0),
        acknowledgement: Seq(isns.1 + at.1),
        flags,
        options,
        payload,
        window: 502,
        ..TcpSpec::new(from, to)
    });
    let captured = segment.len().min(54);
    trace.cut(&segment, captured);
}

#[test]
fn a_capture_cut_to_68_bytes_a_frame_replays_with_its_lengths() {
    let syn = [
        2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7,
    ];
    let stamps = [1, 1, 8, 10, 0, 0, 0, 9, 0, 0, 0, 8];
    let mut trace = Trace::default();
    cut_segment(&mut trace, true, SYN, (0, 0), &syn, b"");
    cut_segment(&mut trace, false, SYN_ACK, (0, 1), &syn, b"");
    cut_segment(&mut trace, true, ACK, (1, 1), &stamps, b"");
    cut_segment(&mut trace, true, ACK, (1, 1), &stamps, &[7; 900]);
    cut_segment(&mut trace, false, ACK, (1, 901), &stamps, &[9; 1400]);
    cut_segment(&mut trace, true, FIN_ACK, (901, 1401), &stamps, b"");
    cut_segment(&mut trace, false, FIN_ACK, (1401, 902), &stamps, b"");
    cut_segment(&mut trace, true, ACK, (902, 1402), &stamps, b"");
    let attempt = trace.replayed();
    assert_eq!(attempt.flows.len(), 1, "{:?}", attempt.skipped);
    let flow = &attempt.flows[0];
    assert!(matches!(flow.verdict, FlowVerdict::Partial(_)), "{flow:?}");
    assert_eq!(moved(flow), (900, 1400));
    let cut = "2 segment(s) with options cut by the snap length";
    assert!(
        flow.notes.iter().any(|note| note.starts_with(cut)),
        "{flow:?}"
    );
    // The window of 502 is one of 64,256 with the shift that was cut off.
    assert_eq!(attempt.figures.synthetic, 0);
}

#[test]
fn datagrams_cut_by_the_snap_length_are_filled_up_with_zeros() {
    let (device, far) = (address("10.0.0.2:5000"), address("93.184.216.34:9000"));
    let mut trace = Trace::default();
    trace.cut(&build::udp(device, far, &[7; 500]), 68);
    trace.cut(&build::udp(far, device, &[9; 700]), 68);
    trace.packet(&build::udp(device, far, b"whole"));
    let large = build::udp(device, far, &[7; 3000]);
    for fragment in build::fragments(&large, 1500, 5) {
        trace.cut(&fragment, 68);
    }
    let attempt = trace.replayed();
    let flow = &attempt.flows[0];
    assert!(matches!(flow.verdict, FlowVerdict::Partial(_)), "{flow:?}");
    assert_eq!(moved(flow), (3505, 700));
    assert_eq!((flow.upstream.datagrams, flow.downstream.datagrams), (3, 1));
    assert!(flow.invented_bytes >= 460 + 660, "{flow:?}");
    assert!(attempt.skipped.is_empty(), "{:?}", attempt.skipped);
}

/// Tries a capture of these raw packets without its tunnels; `import` and `run` must agree.
fn decapsulated(packets: &[Vec<u8>], decap: &str) -> Attempt {
    let mut trace = Trace::default();
    packets.iter().for_each(|packet| trace.packet(packet));
    let folder = tempfile::tempdir().expect("a folder");
    let capture = folder.path().join("a.pcap");
    std::fs::write(&capture, trace.file()).expect("written");
    let decap: Decap = decap.parse().expect("tunnels");
    let options = TryOptions {
        decap,
        ..TryOptions::default()
    };
    let attempt = try_capture(&capture, &options).expect("a capture");
    let options = ImportOptions {
        decap,
        ..ImportOptions::default()
    };
    let (imported, _) = import(&capture, "./a.pcap", &options).expect("a capture");
    assert_eq!(imported.scenario.input.decap.unwrap_or_default(), decap);
    if !attempt.flows.is_empty() {
        let scenario = folder.path().join("a.json");
        std::fs::write(&scenario, imported.scenario.to_canonical_string()).expect("written");
        for outcome in run_file(&scenario, &RunOptions::default()) {
            assert!(outcome.passed(), "{:#?}", outcome.failures);
        }
    }
    attempt
}

#[test]
fn what_a_tunnel_carries_is_what_the_device_sent() {
    let (device, far) = (address("10.0.0.2:5000"), address("93.184.216.34:9000"));
    let tunnel = |up: bool, inner: &[u8]| {
        let (from, to) = (ip("198.51.100.1"), ip("203.0.113.1"));
        let (from, to) = if up { (from, to) } else { (to, from) };
        build::ip(from, to, 47, 64, 0, &[&[0, 0, 8, 0], inner].concat())
    };
    let packets = [
        tunnel(true, &build::udp(device, far, b"question")),
        tunnel(false, &build::udp(far, device, b"answer")),
    ];
    let attempt = decapsulated(&packets, "gre");
    assert_eq!(moved(passed(&attempt, 0)), (8, 6));
    assert_eq!(attempt.flows[0].client, device);

    let attempt = decapsulated(&packets, "none");
    assert!(attempt.flows.is_empty());
    assert_eq!(attempt.skipped["gre tunnel"], 2);
    let note =
        "2 packet(s) carry others in a tunnel (gre 2): `--decap auto` reads those in their place";
    assert!(
        attempt.notes.iter().any(|said| said == note),
        "{:?}",
        attempt.notes
    );
}

#[test]
fn what_ipsec_covers_has_its_own_reason() {
    let esp = build::ip(ip("10.0.0.2"), ip("203.0.113.1"), 50, 64, 0, &[7; 40]);
    let attempt = decapsulated(&[esp], "auto");
    assert_eq!(attempt.skipped["esp: encrypted by IPsec"], 1);
}

#[test]
fn a_reset_in_the_middle_of_a_handshake_in_parts_ends_it() {
    let mut trace = Trace::default();
    trace.device(SYN, 0, 0, b"");
    trace.server(ACK, 0, 1, b"");
    trace.server(RST_ACK, 0, 1, b"");
    let attempt = trace.replayed();
    assert_eq!(attempt.flows.len(), 1);
    passed(&attempt, 0);
}
