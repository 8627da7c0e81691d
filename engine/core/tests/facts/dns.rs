//! Names for addresses out of the answers that pass by.

use core::time::Duration;
use std::net::IpAddr;

use engine::{DialResult, DnsRecord, FlowId};

use crate::support::{Bench, Device, Family, Seen, Udp, dials, packets};

/// A query for `www.example`, every record it has.
fn query() -> Vec<u8> {
    let mut message = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    message.extend(b"\x03www\x07example\x00\x00\xff\x00\x01");
    message
}

/// An answer for `www.example`: AAAA and A, TTL 300 and 60.
fn answer() -> Vec<u8> {
    let mut message = vec![0xab, 0xcd, 0x81, 0x80, 0, 1, 0, 2, 0, 0, 0, 0];
    message.extend(b"\x03WWW\x07example\x00\x00\xff\x00\x01");
    message.extend(b"\xc0\x0c\x00\x1c\x00\x01\x00\x00\x01\x2c\x00\x10");
    message.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]);
    message.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xcb\x00\x71\x05");
    message
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
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

/// Sends the query over UDP and connects its flow.
fn ask(bench: &mut Bench, family: Family, port: u16) -> FlowId {
    let flow = dials(&bench.feed([Udp::new(family, 5000, port).send(&query())]))[0].0;
    bench.dialed(flow, DialResult::Connected);
    flow
}

#[test]
fn an_answer_over_udp_is_reported_and_still_relayed() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let flow = ask(&mut bench, family, 53);
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
        for part in framed(&query()).repeat(2).chunks(chunk) {
            bench.feed([device.data(part)]);
        }
        let mut found = Vec::new();
        for part in framed(&answer()).repeat(2).chunks(chunk) {
            found.extend(records(&bench.remote(flow, part).1));
        }
        assert_eq!(found, [wanted(), wanted()]);
    }
}

#[test]
fn what_nobody_asked_is_relayed_and_counted_but_not_believed() {
    let mut bench = Bench::with(|_| {});
    let flow = ask(&mut bench, Family::V4, 53);
    let mut other = answer();
    other[1] ^= 1;
    let seen = bench.datagram(flow, &other);
    assert_eq!((records(&seen).len(), packets(&seen).len()), (0, 1));
    assert_eq!(bench.counter("dns_unasked"), 1);
    assert_eq!(records(&bench.datagram(flow, &answer())), [wanted()]);
    assert_eq!(records(&bench.datagram(flow, &answer())), []);
    assert_eq!(bench.counter("dns_unasked"), 2);
}

#[test]
fn what_cannot_be_read_is_relayed_and_counted() {
    let mut bench = Bench::with(|_| {});
    let flow = ask(&mut bench, Family::V4, 53);
    let seen = bench.datagram(flow, &answer()[..20]);
    assert_eq!((records(&seen).len(), packets(&seen).len()), (0, 1));
    assert_eq!(bench.counter("dns_malformed"), 1);
}

#[test]
fn other_ports_are_not_read() {
    let mut bench = Bench::with(|_| {});
    let flow = ask(&mut bench, Family::V4, 5353);
    assert_eq!(records(&bench.datagram(flow, &answer())), []);
}

#[test]
fn a_dial_to_an_address_learnt_carries_the_name_for_its_time_to_live() {
    let mut bench = Bench::with(|_| {});
    let flow = ask(&mut bench, Family::V4, 53);
    bench.datagram(flow, &answer());
    let known: IpAddr = [203, 0, 113, 5].into();
    for (port, after, name) in [
        (1, 0, Some("www.example")),
        (2, 59, Some("www.example")),
        (3, 1, None),
    ] {
        bench.wait(Duration::from_secs(after));
        let mut device = Device::on_port(Family::V4, port, 443);
        device.remote.set_ip(known);
        bench.knock(&mut device);
        assert_eq!(
            bench.names.last(),
            Some(&name.map(str::to_owned)),
            "after {after} s"
        );
    }
    let now = bench.now;
    let table = bench.engine.inspect(now);
    assert!(table.to_string().contains("www.example"), "{table}");
}

#[test]
fn no_more_names_are_kept_than_allowed() {
    let mut bench = Bench::with(|config| config.dns_names = 1);
    let flow = ask(&mut bench, Family::V4, 53);
    bench.datagram(flow, &answer());
    assert_eq!(
        (
            bench.counter("dns_names"),
            bench.counter("dns_names_evicted")
        ),
        (1, 1)
    );
}
