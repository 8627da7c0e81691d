//! Echo requests are answered, everything else is counted.

use etherparse::PacketBuilder;

use crate::support::{Bench, Family, Packet, packets};

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
