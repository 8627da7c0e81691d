//! Echo requests are answered, everything else is counted.

use etherparse::{Icmpv4Type, PacketBuilder, icmpv4::DestUnreachableHeader};

use crate::support::{Bench, Device, Family, Packet, packets, tcp};

fn echo(family: Family, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    match family {
        Family::V4 => PacketBuilder::ipv4([10, 0, 0, 2], [198, 51, 100, 7], 64)
            .icmpv4_echo_request(0x1234, 7)
            .write(&mut frame, payload),
        Family::V6 => {
            let (from, to) = (family.client(), family.server());
            let (std::net::IpAddr::V6(from), std::net::IpAddr::V6(to)) = (from, to) else {
                unreachable!("one family");
            };
            PacketBuilder::ipv6(from.octets(), to.octets(), 64)
                .icmpv6_echo_request(0x1234, 7)
                .write(&mut frame, payload)
        }
    }
    .expect("a Vec takes all");
    frame
}

#[test]
fn an_echo_request_is_answered_with_its_own_data() {
    for (family, reply) in [(Family::V4, 0), (Family::V6, 129)] {
        let mut bench = Bench::with(|_| {});
        let seen = bench.feed([echo(family, b"are you there")]);
        let mut rest = vec![0x12, 0x34, 0, 7];
        rest.extend(b"are you there");
        let wanted = Packet::Icmp {
            from: family.server(),
            to: family.client(),
            kind: reply,
            code: 0,
            rest,
        };
        assert_eq!(packets(&seen), [wanted]);
        assert_eq!(bench.counter("icmp_echo_replies"), 1);
    }
}

#[test]
fn an_echo_request_with_a_wrong_checksum_is_dropped() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut frame = echo(family, b"x");
        *frame.last_mut().expect("a payload") ^= 1;
        assert_eq!(bench.feed([frame]), []);
        assert_eq!(bench.counter("drop_icmp"), 1);
    }
}

#[test]
fn an_echo_reply_is_not_answered() {
    let mut bench = Bench::with(|_| {});
    let mut frame = Vec::new();
    PacketBuilder::ipv4([10, 0, 0, 2], [198, 51, 100, 7], 64)
        .icmpv4_echo_reply(1, 1)
        .write(&mut frame, b"x")
        .expect("a Vec takes all");
    assert_eq!(bench.feed([frame]), []);
    assert_eq!(bench.counter("drop_icmp"), 1);
}

#[test]
fn echo_replies_beyond_the_output_limit_are_not_built() {
    let mut bench = Bench::with(|config| config.output_limit = 64);
    let seen = bench.feed(vec![echo(Family::V4, b"flood"); 200]);
    assert_eq!(packets(&seen).len(), 64);
    assert_eq!(bench.counter("drop_output_full"), 136);
}

/// A router's word that `quoted` is too long for its next link.
fn too_big(quoted: &[u8], next_hop_mtu: u16) -> Vec<u8> {
    let mut frame = Vec::new();
    let problem = DestUnreachableHeader::FragmentationNeeded { next_hop_mtu };
    PacketBuilder::ipv4([10, 0, 0, 2], [198, 51, 100, 7], 64)
        .icmpv4(Icmpv4Type::DestinationUnreachable(problem))
        .write(&mut frame, quoted)
        .expect("a Vec takes all");
    frame
}

#[test]
fn what_was_too_long_for_the_path_is_sent_again_at_once_in_shorter_segments() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    let (_, lost) = bench.remote(flow, &[7; 4000]);
    assert_eq!(tcp(&lost)[0].payload.len(), 1400);
    let longest = bench.wire[bench.wire.len() - tcp(&lost).len()].clone();
    let again = tcp(&bench.feed([too_big(&longest, 1000)]));
    assert_eq!(again[0].seq, device.expected);
    assert!(again.iter().all(|segment| segment.payload.len() <= 960));
    assert_eq!(bench.counter("tcp_retransmissions"), again.len() as u64);
}

#[test]
fn under_a_closed_window_a_narrower_path_sends_nothing() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    let (_, seen) = bench.remote(flow, &[7; 2800]);
    let second = bench.wire.last().expect("two segments").clone();
    device.take(&tcp(&seen)[0]);
    device.window = 0;
    bench.feed([device.ack()]);
    assert_eq!(bench.feed([too_big(&second, 1000)]), []);
}
