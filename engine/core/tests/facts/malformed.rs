//! Every frame that goes nowhere has its reason.

use engine::{DialResult, Martians};

use crate::support::{Bench, Device, Family, Packet, Udp, dials, packets, tcp};

/// Sums an IPv4 header anew.
fn resum(frame: &mut [u8]) {
    frame[10..12].fill(0);
    let sum: u32 = frame[..20]
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    frame[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
}

#[track_caller]
fn dropped(frame: Vec<u8>, reason: &str) {
    let mut bench = Bench::with(|_| {});
    assert_eq!(bench.feed([&frame]), [], "{reason}: {frame:02x?}");
    assert_eq!(bench.counter(&format!("drop_{reason}")), 1, "{reason}");
    let drops = bench.engine.counters();
    let all: u64 = drops
        .iter()
        .filter(|(name, _)| name.starts_with("drop_"))
        .map(|(_, n)| n)
        .sum();
    assert_eq!(all, 1, "one frame, one reason");
    assert_eq!(bench.counter("frames_in"), 1);
}

#[test]
fn what_is_no_ip_packet_is_malformed() {
    dropped(vec![], "malformed_ip");
    dropped(vec![0x45], "malformed_ip");
    dropped(vec![0x00; 40], "malformed_ip");
    dropped(vec![0x75; 40], "malformed_ip");
    for family in Family::BOTH {
        let mut frame = Device::new(family).syn();
        frame.truncate(30);
        dropped(frame, "malformed_ip");
    }
}

#[test]
fn a_jumbograms_length_is_malformed() {
    let mut frame = Device::new(Family::V6).syn();
    frame[4..6].fill(0);
    dropped(frame, "malformed_ip");
}

#[test]
fn a_wrong_header_checksum_is_named() {
    let mut frame = Device::new(Family::V4).syn();
    frame[10] ^= 1;
    dropped(frame, "bad_ip_checksum");
}

#[test]
fn a_wrong_transport_checksum_is_named() {
    for family in Family::BOTH {
        let mut frame = Device::new(family).syn();
        *frame.last_mut().expect("bytes") ^= 1;
        dropped(frame, "bad_transport_checksum");
        let mut frame = Udp::new(family, 1, 2).send(b"x");
        *frame.last_mut().expect("bytes") ^= 1;
        dropped(frame, "bad_transport_checksum");
    }
}

#[test]
fn a_missing_checksum_passes_on_ipv4_only() {
    let mut frame = Udp::new(Family::V6, 1, 2).send(b"x");
    frame[46..48].fill(0);
    dropped(frame, "missing_checksum");
    let mut frame = Udp::new(Family::V4, 1, 2).send(b"x");
    frame[26..28].fill(0);
    assert_eq!(dials(&Bench::with(|_| {}).feed([frame])).len(), 1);
}

#[test]
fn a_cut_transport_header_is_malformed() {
    let mut frame = Device::new(Family::V4).syn();
    frame.truncate(30);
    frame[2..4].copy_from_slice(&30u16.to_be_bytes());
    resum(&mut frame);
    dropped(frame, "malformed_transport");
    let mut frame = Udp::new(Family::V6, 1, 2).send(b"x");
    frame.truncate(44);
    frame[4..6].copy_from_slice(&4u16.to_be_bytes());
    dropped(frame, "malformed_transport");
}

#[test]
fn a_udp_length_that_lies_is_malformed() {
    for length in [0u16, 7, 500] {
        let mut frame = Udp::new(Family::V4, 1, 2).send(b"x");
        frame[24..26].copy_from_slice(&length.to_be_bytes());
        frame[26..28].fill(0);
        dropped(frame, "malformed_transport");
    }
}

#[test]
fn port_zero_is_named() {
    for family in Family::BOTH {
        dropped(Device::on_port(family, 0, 80).syn(), "zero_port");
        dropped(Device::on_port(family, 80, 0).syn(), "zero_port");
        dropped(Udp::new(family, 0, 7).send(b"x"), "zero_port");
    }
}

#[test]
fn contradictory_flags_do_nothing_to_a_pending_dial() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.knock(&mut device);
    assert_eq!(bench.feed([device.raw("SF", device.isn, b"", b"")]), []);
    assert_eq!(bench.counter("drop_contradictory_flags"), 1);
    let seen = bench.dialed(flow, DialResult::Connected);
    assert_eq!(tcp(&seen)[0].flags, "S.");
}

#[test]
fn a_syn_with_fin_for_no_flow_is_reset() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let device = Device::new(family);
        let seen = bench.feed([device.raw("SF", 9, b"", b"no")]);
        assert_eq!(dials(&seen), []);
        let reset = tcp(&seen).remove(0);
        // RFC 9293 section 3.10.7.1: SYN and FIN count one each.
        assert_eq!((reset.flags.as_str(), reset.seq, reset.ack), ("R.", 0, 13));
    }
}

#[test]
fn a_reset_is_looked_at_before_all_other_flags() {
    let device = Device::new(Family::V4);
    // A reset is looked at before all else.
    for flags in ["SR", "FR.", "SFRP."] {
        dropped(device.raw(flags, 1, b"", b""), "reset_without_flow");
    }
}

#[test]
fn an_unknown_protocol_is_named_and_the_device_told() {
    let mut v4 = Device::new(Family::V4).syn();
    v4[9] = 132;
    resum(&mut v4);
    let mut v6 = Device::new(Family::V6).syn();
    v6[6] = 132;
    // The same behind a header of options: the pointer moves to that header's first byte.
    let mut behind = Device::new(Family::V6).syn();
    behind[6] = 60;
    behind[40..48].copy_from_slice(&[132, 0, 1, 4, 0, 0, 0, 0]);
    for (frame, wanted, pointer) in [(v4, (3, 2), 0), (v6, (4, 1), 6), (behind, (4, 1), 40)] {
        let mut bench = Bench::with(|_| {});
        let seen = bench.feed([&frame]);
        let [
            Packet::Icmp {
                kind, code, rest, ..
            },
        ] = &packets(&seen)[..]
        else {
            panic!("one ICMP error: {seen:?}");
        };
        assert_eq!(
            ((*kind, *code), &rest[..4]),
            (wanted, &[0, 0, 0, pointer][..])
        );
        assert_eq!(bench.counter("drop_unknown_protocol"), 1);
    }
}

#[test]
fn no_next_header_is_not_answered() {
    let mut frame = Device::new(Family::V6).syn();
    frame[6] = 59;
    dropped(frame, "no_next_header");
}

#[test]
fn addresses_no_device_can_mean_are_named() {
    let sources = [
        "0.0.0.0",
        "127.0.0.1",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.9",
        "::",
        "::1",
        "ff02::1",
    ];
    for address in sources {
        dropped(between(address, true), "martian_source");
    }
    for address in ["0.0.0.0", "127.0.0.1", "240.0.0.9", "::", "::1"] {
        dropped(between(address, false), "martian_destination");
    }
    for address in ["224.0.0.251", "255.255.255.255", "ff02::fb"] {
        dropped(between(address, false), "multicast");
    }
}

#[test]
fn an_address_that_ends_in_255_is_an_ordinary_one() {
    let mut bench = Bench::with(|_| {});
    assert_eq!(
        dials(&bench.feed([between("198.51.100.255", false)])).len(),
        1
    );
}

#[test]
fn loopback_is_let_in_when_told_so() {
    for address in ["127.0.0.1", "::1"] {
        let mut bench = Bench::with(|config| config.martians = Martians::Admit);
        assert_eq!(dials(&bench.feed([between(address, false)])).len(), 1);
    }
}

#[test]
fn padding_behind_a_packet_is_not_payload() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut frame = Udp::new(family, 1, 2).send(b"x");
        frame.extend([0; 20]);
        let flow = dials(&bench.feed([frame]))[0].0;
        let seen = bench.dialed(flow, DialResult::Connected);
        assert_eq!(crate::support::datagrams(&seen), [b"x"]);
    }
}

#[test]
fn an_option_of_illegal_length_does_not_cost_the_flow() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    device.syn_options = vec![2, 4, 5, 120, 4, 9, 0, 0];
    bench.connect(&mut device);
    let data = device.raw("P.", device.next, &[8, 3, 0, 0], b"still taken");
    assert_eq!(crate::support::stream(&bench.feed([data])), b"still taken");
}

/// A datagram with `address` on one side.
fn between(address: &str, as_source: bool) -> Vec<u8> {
    let address: std::net::IpAddr = address.parse().expect("an address");
    let family = if address.is_ipv4() {
        Family::V4
    } else {
        Family::V6
    };
    let mut udp = Udp::new(family, 5000, 7);
    if as_source {
        udp.local.set_ip(address);
    } else {
        udp.remote.set_ip(address);
    }
    udp.send(b"x")
}
