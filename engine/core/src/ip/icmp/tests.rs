use super::*;
use crate::ip::build::udp;
use etherparse::{Icmpv4Type, Icmpv6Type, PacketHeaders, TransportHeader};
use proptest::prelude::*;
use std::net::{Ipv4Addr, Ipv6Addr};

const NOW: Micros = Micros::from_secs(5);
const DEVICE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));
const SERVER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 255));
const DEVICE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2));
const SERVER_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
const ENDS: [(IpAddr, IpAddr); 2] = [(DEVICE_V4, SERVER_V4), (DEVICE_V6, SERVER_V6)];

#[test]
fn an_error_quotes_the_packet_as_it_came() {
    for (device, server) in ENDS {
        let mut original = datagram(device, server, 20);
        original[1] ^= 0x50;
        original.extend([0xee; 6]);
        let frame = reported(Problem::PortUnreachable, &original).unwrap();
        assert_eq!(
            frame[frame.len() - original.len() + 6..],
            original[..original.len() - 6]
        );
    }
}

#[test]
fn a_long_quote_fills_576_bytes_on_ipv4_and_1280_on_ipv6() {
    for ((device, server), max) in ENDS.into_iter().zip([576, 1280]) {
        let original = datagram(device, server, 1400);
        let frame = reported(Problem::HostUnreachable, &original).unwrap();
        assert_eq!(frame.len(), max);
    }
}

#[test]
fn an_error_goes_from_the_destination_to_the_source() {
    for (device, server) in ENDS {
        let frame = reported(Problem::PortUnreachable, &datagram(device, server, 9)).unwrap();
        let addresses = Addresses::of(&frame).unwrap();
        assert_eq!(
            (addresses.source(), addresses.destination()),
            (server, device)
        );
    }
}

#[test]
fn every_problem_has_its_type_and_code_in_both_families() {
    let table = [
        (Problem::NetworkUnreachable, [3, 0], [1, 0]),
        (Problem::HostUnreachable, [3, 1], [1, 3]),
        (Problem::Prohibited, [3, 13], [1, 1]),
        (Problem::PortUnreachable, [3, 3], [1, 4]),
        (Problem::ProtocolUnreachable { pointer: 6 }, [3, 2], [4, 1]),
        (Problem::TooBig { mtu: 1280 }, [3, 4], [2, 0]),
        (Problem::ReassemblyTimeExceeded, [11, 1], [3, 1]),
        (
            Problem::Parameter {
                code: 2,
                pointer: 42,
            },
            [12, 0],
            [4, 2],
        ),
    ];
    for (problem, v4, v6) in table {
        let frame = reported(problem, &datagram(DEVICE_V4, SERVER_V4, 0)).unwrap();
        assert_eq!(frame[20..22], v4, "{problem:?}");
        let frame = reported(problem, &datagram(DEVICE_V6, SERVER_V6, 0)).unwrap();
        assert_eq!(frame[40..42], v6, "{problem:?}");
    }
}

#[test]
fn mtu_and_pointer_stand_behind_the_checksum() {
    let v4 = datagram(DEVICE_V4, SERVER_V4, 0);
    let v6 = datagram(DEVICE_V6, SERVER_V6, 0);
    let too_big = Problem::TooBig { mtu: 1280 };
    let parameter = Problem::Parameter {
        code: 0,
        pointer: 42,
    };
    assert_eq!(reported(too_big, &v4).unwrap()[24..28], [0, 0, 5, 0]);
    assert_eq!(reported(too_big, &v6).unwrap()[44..48], [0, 0, 5, 0]);
    assert_eq!(reported(parameter, &v4).unwrap()[24..28], [42, 0, 0, 0]);
    assert_eq!(reported(parameter, &v6).unwrap()[44..48], [0, 0, 0, 42]);
}

#[test]
fn nothing_is_reported_to_or_about_an_address_that_is_no_single_host() {
    for bad in ["0.0.0.0", "224.0.0.5", "255.255.255.255", "240.0.0.1"] {
        let bad = bad.parse().unwrap();
        refused(&datagram(bad, SERVER_V4, 8), Silence::Source);
        refused(&datagram(DEVICE_V4, bad, 8), Silence::Destination);
    }
    for bad in ["::", "ff02::fb"] {
        let bad = bad.parse().unwrap();
        refused(&datagram(bad, SERVER_V6, 8), Silence::Source);
        refused(&datagram(DEVICE_V6, bad, 8), Silence::Destination);
    }
}

#[test]
fn ipv6_reports_unknown_options_of_a_multicast_packet_from_a_given_address() {
    let group = "ff02::fb".parse().unwrap();
    let original = datagram(DEVICE_V6, group, 8);
    let problem = Problem::Parameter {
        code: 2,
        pointer: 42,
    };
    let mut batch = FrameBatch::new();
    let mut errors = Errors::new(RateLimit::default(), 1500);
    let sent = errors.report(NOW, &mut batch, SERVER_V6, problem, &original);
    assert_eq!((sent, batch.len()), (Ok(()), 1));
    let sent = errors.report(NOW, &mut batch, group, problem, &original);
    assert_eq!(sent, Err(Silence::Destination));
}

#[test]
fn an_error_message_is_not_answered_but_an_echo_request_is() {
    for (device, server) in ENDS {
        let error = reported(Problem::PortUnreachable, &datagram(server, device, 8)).unwrap();
        refused(&error, Silence::ErrorMessage);
        let request = echo_request(device, server, &[1; 8]);
        assert!(reported(Problem::HostUnreachable, &request).is_ok());
    }
}

#[test]
fn an_ipv6_error_behind_extension_headers_is_recognised() {
    let mut error = reported(Problem::PortUnreachable, &datagram(SERVER_V6, DEVICE_V6, 8)).unwrap();
    error[6] = 60;
    error.splice(40..40, [58, 0, 1, 4, 0, 0, 0, 0]);
    refused(&error, Silence::ErrorMessage);
}

#[test]
fn an_ipv6_error_behind_the_extension_headers_of_a_first_fragment_is_recognised() {
    let mut error = reported(Problem::PortUnreachable, &datagram(SERVER_V6, DEVICE_V6, 8)).unwrap();
    error[6] = 44;
    error.splice(40..40, [60, 0, 0, 1, 0, 0, 0, 7, 58, 0, 1, 4, 0, 0, 0, 0]);
    refused(&error, Silence::ErrorMessage);
}

#[test]
fn a_redirect_is_not_answered() {
    let mut v6 = echo_request(DEVICE_V6, SERVER_V6, &[1; 8]);
    v6[40] = 137;
    refused(&v6, Silence::ErrorMessage);
    let mut v4 = echo_request(DEVICE_V4, SERVER_V4, &[1; 8]);
    v4[20] = 5;
    refused(&v4, Silence::ErrorMessage);
}

#[test]
fn an_mtu_beyond_16_bits_is_reported_as_the_largest_on_ipv4() {
    let problem = Problem::TooBig { mtu: 0x1_0001 };
    let frame = reported(problem, &datagram(DEVICE_V4, SERVER_V4, 0)).unwrap();
    assert_eq!(frame[24..28], [0, 0, 0xff, 0xff]);
}

#[test]
fn time_that_runs_back_and_forth_earns_nothing() {
    let mut limit = RateLimit::new(10, 1);
    assert!(limit.allow(NOW));
    assert!(!limit.allow(Micros(NOW.0 - 100_000)));
    assert!(!limit.allow(NOW));
}

#[test]
fn a_later_fragment_is_not_reported_except_for_a_wrong_ipv6_header_field() {
    for (device, server) in ENDS {
        let frames = datagrams(device, server, 3000);
        assert!(reported(Problem::ReassemblyTimeExceeded, &frames[0]).is_ok());
        refused(&frames[1], Silence::LaterFragment);
    }
    let problem = Problem::Parameter {
        code: 0,
        pointer: 42,
    };
    assert!(reported(problem, &datagrams(DEVICE_V6, SERVER_V6, 3000)[1]).is_ok());
    let later = &datagrams(DEVICE_V4, SERVER_V4, 3000)[1];
    assert_eq!(reported(problem, later), Err(Silence::LaterFragment));
}

#[test]
fn errors_stop_at_the_rate_limit_and_return_with_time() {
    let original = datagram(DEVICE_V4, SERVER_V4, 8);
    let mut batch = FrameBatch::new();
    let mut errors = Errors::new(RateLimit::new(10, 3), 1500);
    let mut send = |now| {
        let from = SERVER_V4;
        errors.report(now, &mut batch, from, Problem::PortUnreachable, &original)
    };
    let first: Vec<_> = (0..4).map(|_| send(NOW)).collect();
    assert_eq!(first, [Ok(()), Ok(()), Ok(()), Err(Silence::RateLimit)]);
    assert_eq!(send(Micros(NOW.0 + 99_999)), Err(Silence::RateLimit));
    assert_eq!(send(Micros(NOW.0 + 100_000)), Ok(()));
}

#[test]
fn a_suppressed_error_costs_no_token() {
    let mut batch = FrameBatch::new();
    let mut errors = Errors::new(RateLimit::new(0, 1), 1500);
    let group = datagram(DEVICE_V4, "224.0.0.1".parse().unwrap(), 8);
    let good = datagram(DEVICE_V4, SERVER_V4, 8);
    let problem = Problem::PortUnreachable;
    let _ = errors.report(NOW, &mut batch, SERVER_V4, problem, &group);
    assert_eq!(
        errors.report(NOW, &mut batch, SERVER_V4, problem, &good),
        Ok(())
    );
}

#[test]
fn an_echo_reply_returns_identifier_sequence_and_data() {
    for (device, server) in ENDS {
        let frames = replies(device, server, &[7; 56]).unwrap();
        let packet = PacketHeaders::from_ip_slice(&frames[0]).unwrap();
        let echo = match packet.transport {
            Some(TransportHeader::Icmpv4(icmp)) => match icmp.icmp_type {
                Icmpv4Type::EchoReply(echo) => echo,
                other => panic!("{other:?}"),
            },
            Some(TransportHeader::Icmpv6(icmp)) => match icmp.icmp_type {
                Icmpv6Type::EchoReply(echo) => echo,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        assert_eq!((echo.id, echo.seq), (0x1234, 9));
        assert_eq!(packet.payload.slice(), [7; 56]);
    }
}

#[test]
fn a_large_echo_reply_is_fragmented() {
    for (device, server) in ENDS {
        let frames = replies(device, server, &[7; 4000]).unwrap();
        assert_eq!(frames.len(), 3);
        assert!(frames.iter().all(|frame| frame.len() <= 1500));
    }
}

#[test]
fn a_corrupt_or_foreign_echo_request_gets_no_reply() {
    let ends = (DEVICE_V6, SERVER_V6);
    let message = |at: usize| {
        let mut request = echo_request(ends.0, ends.1, &[7; 8]).split_off(40);
        request[at] ^= 1;
        let (mut batch, mut ids) = (FrameBatch::new(), Identifications::new(0));
        echo_reply(&mut batch, &mut ids, ends.0, ends.1, &request, 1500)
    };
    assert_eq!(message(15), Err(Silence::NotEcho));
    assert_eq!(message(0), Err(Silence::NotEcho));
    let group = "ff02::1".parse().unwrap();
    assert_eq!(replies(DEVICE_V6, group, &[1]), Err(Silence::Destination));
    assert_eq!(replies(group, SERVER_V6, &[1]), Err(Silence::Source));
}

proptest! {
    #[test]
    fn every_error_verifies_with_the_oracle(v6: bool, len in 0..1400_usize) {
        let (device, server) = ENDS[usize::from(v6)];
        let frame = reported(Problem::PortUnreachable, &datagram(device, server, len)).unwrap();
        let packet = PacketHeaders::from_ip_slice(&frame).unwrap();
        let quote = packet.payload.slice();
        match packet.transport {
            Some(TransportHeader::Icmpv4(icmp)) => {
                prop_assert_eq!(icmp.checksum, icmp.icmp_type.calc_checksum(quote));
            }
            Some(TransportHeader::Icmpv6(icmp)) => {
                let (IpAddr::V6(from), IpAddr::V6(to)) = (server, device) else { panic!() };
                let expected = icmp.icmp_type.calc_checksum(from.octets(), to.octets(), quote);
                prop_assert_eq!(icmp.checksum, expected.unwrap());
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn no_bytes_make_a_report_panic(
        v6: bool, cut in 0..80_usize, at in 0..80_usize, byte: u8, noise in prop::collection::vec(any::<u8>(), 0..80),
    ) {
        let (device, server) = ENDS[usize::from(v6)];
        let _ = reported(Problem::PortUnreachable, &noise);
        let mut packet = datagrams(device, server, 3000).swap_remove(0);
        packet[at] = byte;
        packet.truncate(cut);
        let _ = reported(Problem::TooBig { mtu: u32::MAX }, &packet);
    }

    #[test]
    fn a_second_never_allows_more_than_burst_and_rate(
        rate in 0..200_u32, burst in 0..100_u32, steps in prop::collection::vec(0..5000_u64, 1..400),
    ) {
        let mut limit = RateLimit::new(rate, burst);
        let (mut now, mut sent) = (0, 0);
        for step in steps {
            now += step;
            sent += u64::from(limit.allow(Micros(NOW.0 + now)));
        }
        prop_assert!(sent <= u64::from(burst) + now * u64::from(rate) / 1_000_000 + 1);
    }
}

fn datagrams(from: IpAddr, to: IpAddr, len: usize) -> Vec<Vec<u8>> {
    let (mut batch, mut ids) = (FrameBatch::new(), Identifications::new(0x1234));
    let payload = vec![0xab; len];
    let sent = udp(
        &mut batch,
        &mut ids,
        (from, 4000).into(),
        (to, 53).into(),
        &payload,
        1500,
    );
    assert_eq!(sent, Ok(()));
    batch.iter().map(<[u8]>::to_vec).collect()
}

fn datagram(from: IpAddr, to: IpAddr, len: usize) -> Vec<u8> {
    datagrams(from, to, len).swap_remove(0)
}

fn reported(problem: Problem, original: &[u8]) -> Result<Vec<u8>, Silence> {
    let mut batch = FrameBatch::new();
    let mut errors = Errors::new(RateLimit::default(), 1500);
    let addresses = Addresses::of(original).ok_or(Silence::Malformed)?;
    errors.report(NOW, &mut batch, addresses.destination(), problem, original)?;
    assert_eq!(batch.len(), 1);
    Ok(batch.iter().next().unwrap().to_vec())
}

#[track_caller]
fn refused(original: &[u8], silence: Silence) {
    assert_eq!(reported(Problem::PortUnreachable, original), Err(silence));
}

fn echo_request(from: IpAddr, to: IpAddr, data: &[u8]) -> Vec<u8> {
    let addresses = Addresses::new(from, to).unwrap();
    let (protocol, message_type) = match addresses {
        Addresses::V4 { .. } => (protocol::ICMP, 8),
        Addresses::V6 { .. } => (protocol::ICMPV6, 128),
    };
    let mut header = [message_type, 0, 0, 0, 0x12, 0x34, 0, 9];
    stamp(&addresses, &mut header, data);
    let mut batch = FrameBatch::new();
    whole(&mut batch, &addresses, protocol, [&header, data]).unwrap();
    batch.iter().next().unwrap().to_vec()
}

fn replies(from: IpAddr, to: IpAddr, data: &[u8]) -> Result<Vec<Vec<u8>>, Silence> {
    let request = echo_request(from, to, data);
    let header_len = Addresses::of(&request).unwrap().header_len();
    let (mut batch, mut ids) = (FrameBatch::new(), Identifications::new(0));
    echo_reply(&mut batch, &mut ids, from, to, &request[header_len..], 1500)?;
    Ok(batch.iter().map(<[u8]>::to_vec).collect())
}
