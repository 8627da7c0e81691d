//! Names for addresses out of the answers that pass by.

use std::net::IpAddr;

use engine::{DialResult, DnsRecord};

use crate::support::{Bench, Device, Family, Seen, Udp, dials, packets};

/// An answer for `www.example`: AAAA and A, TTL 300 and 60.
fn answer() -> Vec<u8> {
    let mut message = vec![0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0];
    message.extend(b"\x03WWW\x07example\x00\x00\x01\x00\x01");
    message.extend(b"\xc0\x0c\x00\x1c\x00\x01\x00\x00\x01\x2c\x00\x10");
    message.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
    message.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xcb\x00\x71\x05");
    message
}

fn records(seen: &[Seen]) -> Vec<DnsRecord> {
    seen.iter()
        .filter_map(|seen| match seen {
            Seen::Dns(_, record) => Some(record.clone()),
            _ => None,
        })
        .collect()
}

fn wanted() -> DnsRecord {
    let addresses = ["2001:db8::5", "203.0.113.5"];
    let mut record = DnsRecord {
        name: "www.example".to_owned(),
        addresses: Vec::new(),
        ttl: 60,
    };
    record.addresses = addresses
        .map(|a| a.parse::<IpAddr>().expect("an address"))
        .to_vec();
    record
}

#[test]
fn an_answer_over_udp_is_reported_and_still_relayed() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let flow = dials(&bench.feed([Udp::new(family, 5000, 53).send(b"?")]))[0].0;
        bench.dialed(flow, DialResult::Connected);
        let seen = bench.datagram(flow, &answer());
        assert_eq!(records(&seen), [wanted()]);
        assert_eq!(packets(&seen).len(), 1);
        assert_eq!(bench.counter("dns_answers"), 1);
    }
}

#[test]
fn answers_over_tcp_are_reported_however_they_are_cut() {
    for chunk in [1, 7, 1000] {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::on_port(Family::V4, 40_000, 53);
        let flow = bench.connect(&mut device);
        let mut wire = Vec::new();
        for _ in 0..2 {
            wire.extend((answer().len() as u16).to_be_bytes());
            wire.extend(answer());
        }
        let mut found = Vec::new();
        for part in wire.chunks(chunk) {
            found.extend(records(&bench.remote(flow, part).1));
        }
        assert_eq!(found, [wanted(), wanted()]);
    }
}

#[test]
fn what_cannot_be_read_is_relayed_and_counted() {
    let mut bench = Bench::with(|_| {});
    let flow = dials(&bench.feed([Udp::new(Family::V4, 5000, 53).send(b"?")]))[0].0;
    bench.dialed(flow, DialResult::Connected);
    let seen = bench.datagram(flow, &answer()[..20]);
    assert_eq!((records(&seen).len(), packets(&seen).len()), (0, 1));
    assert_eq!(bench.counter("dns_malformed"), 1);
}

#[test]
fn other_ports_are_not_read() {
    let mut bench = Bench::with(|_| {});
    let flow = dials(&bench.feed([Udp::new(Family::V4, 5000, 5353).send(b"?")]))[0].0;
    bench.dialed(flow, DialResult::Connected);
    assert_eq!(records(&bench.datagram(flow, &answer())), []);
}
