use super::*;
use etherparse::{NetHeaders, PacketHeaders, TransportHeader, UdpHeader};
use proptest::prelude::*;

const DEVICE_V4: &str = "10.0.0.2:40000";
const SERVER_V4: &str = "93.184.216.34:443";
const DEVICE_V6: &str = "[fd00::2]:40000";
const SERVER_V6: &str = "[2606:2800::1]:443";

#[test]
fn a_datagram_that_fits_is_one_packet_with_dont_fragment_set() {
    let frames = sent_udp(SERVER_V4, DEVICE_V4, b"hello", 1500);
    assert_eq!(frames.len(), 1);
    let packet = parse(&frames[0]);
    let Some(NetHeaders::Ipv4(ip, _)) = packet.net else {
        panic!("not IPv4")
    };
    assert!(ip.dont_fragment);
    assert_eq!(ip.time_to_live, crate::api::batch::HOP_LIMIT);
    assert_eq!(packet.payload.slice(), b"hello");
}

#[test]
fn an_empty_datagram_is_sent() {
    let frames = sent_udp(SERVER_V6, DEVICE_V6, b"", 1500);
    assert_eq!(frames[0].len(), 48);
    assert_eq!(parse(&frames[0]).payload.slice(), b"");
}

#[test]
fn a_checksum_of_zero_is_sent_as_ones() {
    let plain = udp_header(&sent_udp(SERVER_V4, DEVICE_V4, &[0, 0], 1500)[0]).checksum;
    // Adding the complement of what is missing makes the sum all ones.
    let frames = sent_udp(SERVER_V4, DEVICE_V4, &plain.to_be_bytes(), 1500);
    assert_eq!(udp_header(&frames[0]).checksum, 0xffff);
}

#[test]
fn mixed_families_and_oversize_payloads_are_refused() {
    let mut batch = FrameBatch::new();
    let mut ids = Identifications::new(0);
    let (v4, v6) = (address(SERVER_V4), address(DEVICE_V6));
    let mixed = udp(&mut batch, &mut ids, v4, v6, b"", 1500);
    assert_eq!(mixed, Err(Unsendable::MixedFamilies));
    let long = udp(
        &mut batch,
        &mut ids,
        v4,
        address(DEVICE_V4),
        &[0; 65_508],
        1500,
    );
    assert_eq!(long, Err(Unsendable::TooLong));
    let long = udp(
        &mut batch,
        &mut ids,
        v6,
        address(SERVER_V6),
        &[0; 65_528],
        1500,
    );
    assert_eq!(long, Err(Unsendable::TooLong));
    assert!(batch.is_empty());
}

proptest! {
    #[test]
    fn every_datagram_verifies_with_the_oracle(
        v6: bool, payload in prop::collection::vec(any::<u8>(), 0..1400),
    ) {
        let (from, to) = if v6 { (SERVER_V6, DEVICE_V6) } else { (SERVER_V4, DEVICE_V4) };
        let frames = sent_udp(from, to, &payload, 1500);
        let packet = parse(&frames[0]);
        let udp = udp_header(&frames[0]);
        let expected = match packet.net {
            Some(NetHeaders::Ipv4(ip, _)) => {
                prop_assert_eq!(ip.header_checksum, ip.calc_header_checksum());
                udp.calc_checksum_ipv4(&ip, &payload)
            }
            Some(NetHeaders::Ipv6(ip, _)) => udp.calc_checksum_ipv6(&ip, &payload),
            _ => panic!("not IP"),
        };
        prop_assert_eq!(udp.checksum, expected.unwrap());
        prop_assert_eq!(packet.payload.slice(), &payload[..]);
    }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn sent_udp(from: &str, to: &str, payload: &[u8], mtu: usize) -> Vec<Vec<u8>> {
    let mut batch = FrameBatch::new();
    let mut ids = Identifications::new(1);
    let sent = udp(
        &mut batch,
        &mut ids,
        address(from),
        address(to),
        payload,
        mtu,
    );
    assert_eq!(sent, Ok(()));
    batch.iter().map(<[u8]>::to_vec).collect()
}

fn parse(frame: &[u8]) -> PacketHeaders<'_> {
    PacketHeaders::from_ip_slice(frame).unwrap()
}

fn udp_header(frame: &[u8]) -> UdpHeader {
    let Some(TransportHeader::Udp(header)) = parse(frame).transport else {
        panic!("not UDP")
    };
    header
}
