//! No frame is longer than the device's MTU: the bench looks at each.

use std::net::IpAddr;

use engine::DialResult;
use etherparse::PacketBuilder;
use proptest::prelude::*;

use crate::support::{Bench, Device, Family, Packet, Udp, dials, packets};

/// Everything that makes frames, in one flow after the other.
fn everything(mtu: usize, family: Family) -> Bench {
    let mut bench = Bench::with(|config| {
        config.mtu = mtu;
        config.dns_interception = true;
        config.udp_path_mtu = Some(1000);
    });
    // Errors that quote as much as they may, of a flow and of the engine's own.
    let refused = Udp::new(family, 1000, 80);
    for len in [0, 600, 900] {
        let seen = bench.feed([refused.send(&vec![1; len])]);
        for (flow, _) in dials(&seen) {
            bench.dialed(flow, DialResult::Refused);
        }
    }
    // One too long for the path beyond.
    bench.feed([refused.send(&[1; 1200])]);
    // Datagrams and replies in fragments.
    let udp = Udp::new(family, 1001, 443);
    let flow = dials(&bench.feed([udp.send(b"x")]))[0].0;
    bench.dialed(flow, DialResult::Connected);
    for len in [1, mtu - 100, mtu - 20, mtu, mtu + 1, 5000] {
        bench.datagram(flow, &vec![2; len.min(60_000)]);
    }
    bench.feed([echo(family, mtu - 60), echo(family, mtu)]);
    // Text with and without a hole, whose blocks need room.
    let mut device = Device::on_port(family, 1002, 443);
    device.syn_options = vec![2, 4, 255, 255, 4, 2, 3, 3, 0, 0, 0, 0];
    let flow = bench.connect(&mut device);
    for hole in [false, true] {
        if hole {
            let seq = device.next.wrapping_add(10);
            bench.feed([device.raw("P.", seq, b"", b"behind")]);
        }
        let (_, seen) = bench.remote(flow, &[3; 10_000]);
        device.receive(&seen);
        bench.feed([device.ack()]);
    }
    bench
}

fn echo(family: Family, len: usize) -> Vec<u8> {
    let payload = vec![4; len.min(60_000)];
    let mut frame = Vec::new();
    match (family.client(), family.server()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => PacketBuilder::ipv4(from.octets(), to.octets(), 64)
            .icmpv4_echo_request(1, 1)
            .write(&mut frame, &payload),
        (IpAddr::V6(from), IpAddr::V6(to)) => PacketBuilder::ipv6(from.octets(), to.octets(), 64)
            .icmpv6_echo_request(1, 1)
            .write(&mut frame, &payload),
        _ => unreachable!("one family"),
    }
    .expect("a Vec takes all");
    frame
}

#[test]
fn an_error_quotes_as_much_as_the_mtu_and_its_family_allow() {
    for (mtu, family, longest) in [
        (576, Family::V4, 576),
        (576, Family::V6, 576),
        (1279, Family::V6, 1279),
        (1280, Family::V6, 1280),
        (9000, Family::V4, 576),
        (9000, Family::V6, 1280),
    ] {
        let mut bench = Bench::with(|config| config.mtu = mtu);
        let udp = Udp::new(family, 1000, 80);
        let flow = dials(&bench.feed([udp.send(&[1; 2000])]))[0].0;
        let seen = bench.dialed(flow, DialResult::Refused);
        assert!(matches!(packets(&seen)[..], [Packet::Icmp { .. }]));
        assert_eq!(bench.wire[0].len(), longest);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_frame_is_above_the_mtu(mtu in prop_oneof![576usize..1400, 1400usize..=65_535]) {
        for family in Family::BOTH {
            let bench = everything(mtu, family);
            prop_assert!(bench.counter("frames_out") > 10);
            prop_assert!(bench.counter("icmp_errors_out") > 1);
        }
    }
}
