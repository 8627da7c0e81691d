//! Messages as resolvers send them, and as nobody should.

use std::net::SocketAddr;

use proptest::prelude::*;

use super::stream::DnsStream;
use super::*;

fn server() -> SocketAddr {
    "192.0.2.53:53".parse().expect("an address")
}

/// A message: id 0x1234, these flags, `A.example` A IN, these records behind it.
fn message(flags: u16, counts: [u16; 4], records: &[u8]) -> Vec<u8> {
    let mut message = vec![0x12, 0x34];
    message.extend(flags.to_be_bytes());
    for count in counts {
        message.extend(count.to_be_bytes());
    }
    message.extend(b"\x01A\x07example\x00\x00\x01\x00\x01");
    message.extend(records);
    message
}

/// `A.example` is an alias of `b.example`, which has 192.0.2.1; TTL 300 and 60.
const CHAIN: &[u8] = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x01\x2c\x00\x04\x01b\xc0\x0e\
    \x01B\xc0\x0e\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01";

fn answer() -> Vec<u8> {
    message(0x8180, [1, 2, 0, 0], CHAIN)
}

/// Reads a message in answer to a query for `a.example`.
fn read(message: &[u8]) -> Reading {
    let mut asked = Asked::default();
    let (id, question) = Query::passing(&query(b"")).expect("a query");
    asked.note(server(), id, question);
    read_answer(message, server(), &mut asked)
}

/// A query for `a.example` A with these records behind it.
fn query(additional: &[u8]) -> Vec<u8> {
    let mut query = message(
        0x0100,
        [1, 0, 0, u16::from(!additional.is_empty())],
        additional,
    );
    query[13] = b'a';
    query
}

#[test]
fn an_address_behind_a_cname_belongs_to_the_name_asked() {
    let Reading::Record(record) = read(&answer()) else {
        panic!("{:?}", read(&answer()));
    };
    assert_eq!(record.name, "a.example");
    assert_eq!(record.addresses, [IpAddr::from([192, 0, 2, 1])]);
    assert_eq!(record.ttl, 60);
}

#[test]
fn the_order_of_the_records_does_not_matter() {
    let (alias, address) = CHAIN.split_at(16);
    let turned = message(0x8180, [1, 2, 0, 0], &[address, alias].concat());
    // The pointers lead to the question only.
    assert!(matches!(read(&turned), Reading::Record(record) if record.addresses.len() == 1));
}

#[test]
fn addresses_of_another_owner_are_not_believed() {
    let other = b"\x01c\xc0\x0e\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x02";
    let alone = message(0x8180, [1, 1, 0, 0], other);
    assert_eq!(read(&alone), Reading::Empty);
    let with = message(0x8180, [1, 3, 0, 0], &[CHAIN, other].concat());
    assert!(matches!(read(&with), Reading::Record(record) if record.addresses.len() == 1));
}

#[test]
fn aliases_in_a_circle_come_to_an_end() {
    let circle = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x01\x2c\x00\x04\x01b\xc0\x0e\
        \x01b\xc0\x0e\x00\x05\x00\x01\x00\x00\x01\x2c\x00\x02\xc0\x0c";
    assert_eq!(read(&message(0x8180, [1, 2, 0, 0], circle)), Reading::Empty);
}

#[test]
fn a_time_to_live_with_the_top_bit_set_is_zero() {
    let record = b"\xc0\x0c\x00\x01\x00\x01\x80\x00\x00\x3c\x00\x04\xc0\x00\x02\x01";
    let seen = read(&message(0x8180, [1, 1, 0, 0], record));
    assert!(matches!(seen, Reading::Record(record) if record.ttl == 0));
}

#[test]
fn only_what_was_asked_is_believed() {
    let mut asked = Asked::default();
    let (id, question) = Query::passing(&query(b"")).expect("a query");
    asked.note(server(), id, question);
    let other: SocketAddr = "192.0.2.54:53".parse().expect("an address");
    assert_eq!(read_answer(&answer(), other, &mut asked), Reading::Unasked);
    for (at, what) in [(1, "id"), (13, "name"), (24, "type"), (26, "class")] {
        let mut changed = answer();
        changed[at] = b'x';
        assert_eq!(
            read_answer(&changed, server(), &mut asked),
            Reading::Unasked,
            "{what}"
        );
    }
    let mut no_response = answer();
    no_response[2] &= 0x7f;
    assert_eq!(
        read_answer(&no_response, server(), &mut asked),
        Reading::Unasked
    );
    assert!(matches!(
        read_answer(&answer(), server(), &mut asked),
        Reading::Record(_)
    ));
    // One query, one answer.
    assert_eq!(
        read_answer(&answer(), server(), &mut asked),
        Reading::Unasked
    );
}

#[test]
fn errors_cut_answers_and_other_types_give_no_record() {
    let mut nxdomain = answer();
    nxdomain[3] |= 3;
    assert_eq!(read(&nxdomain), Reading::Empty);
    let mut cut = answer();
    cut[2] |= 2;
    assert_eq!(read(&cut), Reading::Truncated);
}

#[test]
fn counts_beyond_the_message_or_reason_are_refused_unread() {
    for counts in [
        [1, 65_535, 0, 0],
        [1, 0, 65_535, 0],
        [1, 0, 0, 65_535],
        [1, 5, 0, 0],
    ] {
        assert_eq!(
            read(&message(0x8180, counts, CHAIN)),
            Reading::Malformed,
            "{counts:?}"
        );
    }
    let many = message(0x8180, [1, 300, 0, 0], &CHAIN[16..].repeat(300));
    assert_eq!(read(&many), Reading::Malformed);
}

#[test]
fn pointers_in_circles_and_beyond_the_end_are_malformed() {
    for name in [b"\xc0\x1b", b"\xc0\xff", b"\xff\xff"] {
        let mut records = name.to_vec();
        records.extend(b"\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01");
        assert_eq!(
            read(&message(0x8180, [1, 1, 0, 0], &records)),
            Reading::Malformed
        );
    }
    // A pointer in the question itself.
    let mut looped = answer();
    looped[12] = 0xc0;
    looped[13] = 0x0c;
    assert_eq!(read(&looped), Reading::Malformed);
}

#[test]
fn names_with_odd_bytes_are_not_reported() {
    for odd in [b'\n', 0, 0xff, b' ', b'.', b'"'] {
        let mut asking = query(b"");
        asking[13] = odd;
        let mut answering = message(0x8180, [1, 1, 0, 0], b"");
        answering[13] = odd;
        answering.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01");
        let mut asked = Asked::default();
        let (id, question) = Query::passing(&asking).expect("a query");
        asked.note(server(), id, question);
        assert_eq!(
            read_answer(&answering, server(), &mut asked),
            Reading::OddName,
            "{odd}"
        );
        assert!(
            matches!(Query::read(&asking), Err(Unfit::OddName(_))),
            "{odd}"
        );
    }
}

#[test]
fn queries_remembered_are_bounded() {
    let mut asked = Asked::default();
    for id in 0..100u16 {
        let (_, question) = Query::passing(&query(b"")).expect("a query");
        asked.note(server(), id, question);
    }
    let (_, question) = Query::passing(&query(b"")).expect("a query");
    assert!(!asked.take(server(), 0, &question));
    assert!(asked.take(server(), 99, &question));
}

/// An OPT record: 4,096 bytes, this version.
fn opt(version: u8) -> Vec<u8> {
    vec![0, 0, 41, 0x10, 0, 0, version, 0, 0, 0, 0]
}

#[test]
fn a_query_is_read_with_its_name_and_kind() {
    let (read, name, kind) = Query::read(&query(&opt(0))).expect("sound");
    let size = read.edns.map(|edns| edns.size);
    assert_eq!(
        (name.as_str(), kind, size),
        ("a.example", QueryKind::A, Some(4096))
    );
    let mut aaaa = query(b"");
    aaaa[24] = 28;
    let (read, _, kind) = Query::read(&aaaa).expect("sound");
    assert_eq!((kind, read.edns), (QueryKind::Aaaa, None));
}

#[test]
fn the_opt_record_is_found_behind_records_of_any_name() {
    let names: [&[u8]; 3] = [b"\x00", b"\xc0\x0c", b"\x03key\x07example\x00"];
    for name in names {
        let other = [name, b"\x00\xfa\x00\xff\x00\x00\x00\x00\x00\x02hm"].concat();
        let mut asking = query(&[other, opt(0)].concat());
        asking[11] = 2;
        let (read, ..) = Query::read(&asking).expect("sound");
        assert_eq!(read.edns.map(|edns| edns.size), Some(4096), "{name:?}");
    }
}

#[test]
fn the_wish_for_signatures_is_no_version_and_is_handed_back() {
    let mut wanting = opt(0);
    wanting[7] = 0x80;
    let (asking, ..) = Query::read(&query(&wanting)).expect("sound");
    let bytes = reply(&asking, Rcode::NoError, &[], 0, Some(512));
    assert_eq!(bytes[bytes.len() - 4], 0x80);
}

#[test]
fn what_is_no_query_for_addresses_gets_the_answer_it_deserves() {
    let with = |at: usize, value: u8| {
        let mut changed = query(b"");
        changed[at] = value;
        Query::read(&changed)
    };
    assert_eq!(with(2, 0x81), Err(Unfit::Silence));
    assert_eq!(Query::read(&query(b"")[..11]), Err(Unfit::Silence));
    assert!(matches!(with(2, 0x29), Err(Unfit::NotImp(_))));
    assert!(matches!(with(5, 2), Err(Unfit::FormErr(_))));
    assert!(matches!(with(7, 9), Err(Unfit::FormErr(_))));
    assert!(matches!(
        Query::read(&query(b"")[..20]),
        Err(Unfit::FormErr(_))
    ));
    assert!(matches!(with(26, 3), Err(Unfit::Refused(_))));
    assert!(matches!(with(24, 65), Err(Unfit::NoData(_))));
    assert!(matches!(with(24, 255), Err(Unfit::NotImp(_))));
    assert!(matches!(
        Query::read(&query(&opt(1))),
        Err(Unfit::BadVersion(_))
    ));
}

/// The reply read by `simple-dns`, which had no part in its making.
fn reread(bytes: &[u8]) -> simple_dns::Packet<'_> {
    simple_dns::Packet::parse(bytes).expect("a sound reply")
}

#[test]
fn a_reply_repeats_the_question_and_carries_the_addresses() {
    let (asking, ..) = Query::read(&query(&opt(0))).expect("sound");
    let addresses: [IpAddr; 2] = [[192, 0, 2, 1].into(), "2001:db8::1".parse().expect("one")];
    let bytes = reply(&asking, Rcode::NoError, &addresses, 90, Some(1452));
    let packet = reread(&bytes);
    assert_eq!(packet.id(), 0x1234);
    assert_eq!(packet.questions.len(), 1);
    assert_eq!(packet.questions[0].qname.to_string(), "a.example");
    let owners: Vec<String> = packet.answers.iter().map(|a| a.name.to_string()).collect();
    assert_eq!(owners, ["a.example", "a.example"]);
    assert!(packet.answers.iter().all(|answer| answer.ttl == 90));
    assert_eq!(
        packet.opt().expect("EDNS is answered").udp_packet_size,
        1232
    );
    assert!(packet.has_flags(
        simple_dns::PacketFlag::RESPONSE
            | simple_dns::PacketFlag::RECURSION_DESIRED
            | simple_dns::PacketFlag::RECURSION_AVAILABLE
    ));
}

#[test]
fn a_reply_too_long_for_a_datagram_is_cut_and_says_so() {
    let addresses: Vec<IpAddr> = (0..64).map(|n| [192, 0, 2, n].into()).collect();
    let (plain, ..) = Query::read(&query(b"")).expect("sound");
    let bytes = reply(&plain, Rcode::NoError, &addresses, 90, Some(1452));
    assert!(bytes.len() <= 512, "{}", bytes.len());
    let packet = reread(&bytes);
    assert!(packet.has_flags(simple_dns::PacketFlag::TRUNCATION));
    assert_eq!(packet.answers.len(), 30);
    let whole = reply(&plain, Rcode::NoError, &addresses, 90, None);
    assert_eq!(reread(&whole).answers.len(), 64);
    assert!(!reread(&whole).has_flags(simple_dns::PacketFlag::TRUNCATION));
}

#[test]
fn an_error_says_which() {
    let (asking, ..) = Query::read(&query(&opt(0))).expect("sound");
    for (rcode, wanted) in [
        (Rcode::ServFail, simple_dns::RCODE::ServerFailure),
        (Rcode::NxDomain, simple_dns::RCODE::NameError),
        (Rcode::NotImp, simple_dns::RCODE::NotImplemented),
        (Rcode::Refused, simple_dns::RCODE::Refused),
    ] {
        assert_eq!(
            reread(&reply(&asking, rcode, &[], 0, Some(512))).rcode(),
            wanted
        );
    }
    // The upper half of this one stands in the OPT record, where `simple-dns` does not look.
    let bytes = reply(&asking, Rcode::BadVersion, &[], 0, Some(512));
    assert_eq!(
        (bytes[3] & 15, &bytes[bytes.len() - 6..]),
        (0, &[1, 0, 0, 0, 0, 0][..])
    );
    let Err(Unfit::FormErr(unread)) = Query::read(&query(b"")[..20]) else {
        panic!("a cut query");
    };
    let bytes = reply(&unread, Rcode::FormErr, &[], 0, Some(512));
    assert_eq!(bytes.len(), 12);
    assert_eq!(reread(&bytes).rcode(), simple_dns::RCODE::FormatError);
}

#[test]
fn messages_split_over_segments_come_out_whole() {
    let mut stream = DnsStream::default();
    let mut wire = (answer().len() as u16).to_be_bytes().to_vec();
    wire.extend(answer());
    let mut seen = 0;
    for byte in wire.iter().chain(&wire) {
        stream.push(&[*byte], |message| seen += usize::from(message == answer()));
    }
    assert_eq!(seen, 2);
}

proptest! {
    #[test]
    fn no_message_makes_the_reader_panic(at in 0usize..70, value: u8, cut in 0usize..70) {
        for mut message in [answer(), query(&opt(0))] {
            if let Some(byte) = message.get_mut(at) {
                *byte = value;
            }
            message.truncate(cut);
            let _ = read(&message);
            let _ = Query::read(&message);
        }
    }
}
