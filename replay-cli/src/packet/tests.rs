use std::net::SocketAddr;

use super::build::{
    TcpSpec, fragments, icmp_echo, icmp_unreachable, tcp, udp, with_extension_headers,
};
use super::patch::TcpHeader;
use super::*;

mod patches;

fn ends(v6: bool) -> (SocketAddr, SocketAddr) {
    let text = if v6 {
        ["[fd00::2]:40000", "[2001:db8::1]:80"]
    } else {
        ["10.0.0.2:40000", "192.0.2.1:80"]
    };
    (text[0].parse().unwrap(), text[1].parse().unwrap())
}

fn segment(v6: bool, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let (source, destination) = ends(v6);
    tcp(&TcpSpec {
        sequence: Seq(100),
        acknowledgement: Seq(200),
        flags: Flags::ACK.with(Flags::PSH),
        window: 512,
        options,
        payload,
        identification: 7,
        ..TcpSpec::new(source, destination)
    })
}

const SACK_AND_TIMES: &[u8] = &[
    1, 1, 8, 10, 0, 0, 0, 5, 0, 0, 0, 6, 1, 1, 5, 10, 0, 0, 1, 0, 0, 0, 2, 0,
];

#[test]
fn tcp_fields_come_back_from_a_built_segment() {
    for v6 in [false, true] {
        let bytes = segment(v6, SACK_AND_TIMES, b"hello");
        let packet = Packet::whole(&bytes).unwrap();
        let tcp = packet.tcp().unwrap();
        assert_eq!(packet.ports(), Some((40000, 80)));
        assert_eq!(
            (tcp.sequence, tcp.acknowledgement, tcp.window),
            (Seq(100), Seq(200), 512)
        );
        assert_eq!(tcp.flags.to_string(), "P.");
        assert_eq!(tcp.options.timestamps, Some((5, 6)));
        assert_eq!(tcp.options.sack(), [(Seq(256), Seq(512))]);
        assert_eq!((tcp.payload, tcp.payload_len), (&b"hello"[..], 5));
        assert_eq!(packet.bytes.get(tcp.payload_offset..), Some(&b"hello"[..]));
        assert_eq!(packet.checksums().transport, Checksum::Valid);
        assert_eq!(
            packet.checksums().ip,
            if v6 {
                Checksum::Absent
            } else {
                Checksum::Valid
            }
        );
    }
}

#[test]
fn zero_ip_length_means_the_original_length() {
    for v6 in [false, true] {
        let mut bytes = segment(v6, &[], &[7; 100]);
        let length_at = if v6 { 4 } else { 2 };
        bytes[length_at..length_at + 2].fill(0);
        let whole = bytes.len();
        let packet = Packet::parse(&bytes[..whole - 40], whole).unwrap();
        assert_eq!((packet.total_len, packet.declared_len), (whole, 0));
        assert_eq!(packet.tcp().unwrap().payload_len, 100);
        assert_eq!(packet.tcp().unwrap().payload.len(), 60);
        assert!(packet.is_cut());
    }
}

#[test]
fn link_layer_padding_is_no_payload() {
    let mut bytes = segment(false, &[], b"");
    bytes.extend([0; 6]);
    let packet = Packet::whole(&bytes).unwrap();
    assert_eq!(packet.tcp().unwrap().payload, b"");
    assert_eq!(packet.bytes.len(), 40);
    assert_eq!(packet.checksums().transport, Checksum::Valid);
}

#[test]
fn a_cut_header_is_cut_and_its_checksum_uncheckable() {
    let bytes = segment(false, SACK_AND_TIMES, b"hello");
    for length in 20..64 {
        let packet = Packet::parse(&bytes[..length], bytes.len()).unwrap();
        assert_eq!(packet.transport, Transport::Cut, "{length} bytes");
        assert_eq!(packet.checksums().transport, Checksum::Uncheckable);
    }
    assert!(
        Packet::parse(&bytes[..64], bytes.len())
            .unwrap()
            .tcp()
            .is_some()
    );
}

#[test]
fn a_flipped_bit_makes_its_checksum_invalid() {
    let mut bytes = segment(false, &[], b"hello");
    *bytes.last_mut().unwrap() ^= 1;
    let checksums = Packet::whole(&bytes).unwrap().checksums();
    assert_eq!(
        checksums,
        Checksums {
            ip: Checksum::Valid,
            transport: Checksum::Invalid
        }
    );
    bytes[8] ^= 1;
    assert_eq!(
        Packet::whole(&bytes).unwrap().checksums().ip,
        Checksum::Invalid
    );
    patch::repair_checksums(&mut bytes);
    let checksums = Packet::whole(&bytes).unwrap().checksums();
    assert_eq!(
        checksums,
        Checksums {
            ip: Checksum::Valid,
            transport: Checksum::Valid
        }
    );
}

#[test]
fn udp_checksum_zero_is_absent_over_v4_and_invalid_over_v6() {
    for (v6, expected) in [(false, Checksum::Absent), (true, Checksum::Invalid)] {
        let (source, destination) = ends(v6);
        let mut bytes = udp(source, destination, b"abc");
        assert_eq!(
            Packet::whole(&bytes).unwrap().checksums().transport,
            Checksum::Valid
        );
        let at = Packet::whole(&bytes).unwrap().transport_offset;
        bytes[at + 6..at + 8].fill(0);
        assert_eq!(
            Packet::whole(&bytes).unwrap().checksums().transport,
            expected
        );
    }
}

#[test]
fn an_all_zero_echo_reply_has_a_valid_checksum() {
    let (source, destination) = ends(false);
    let bytes = icmp_echo(source.ip(), destination.ip(), true, 0, 0, &[]);
    let packet = Packet::whole(&bytes).unwrap();
    assert_eq!(packet.checksums().transport, Checksum::Valid);
    assert!(matches!(
        packet.transport,
        Transport::Icmp(Icmp {
            kind: 0,
            code: 0,
            body_len: 4,
            ..
        })
    ));
}

#[test]
fn unreachable_quotes_what_its_rfc_asks() {
    let (source, destination) = ends(false);
    let quoted = segment(false, &[], &[1; 2000]);
    let bytes = icmp_unreachable(destination.ip(), source.ip(), 3, &quoted);
    assert_eq!(bytes.len(), 20 + 8 + 28);
    let (source, destination) = ends(true);
    let quoted = segment(true, &[], &[1; 2000]);
    let bytes = icmp_unreachable(destination.ip(), source.ip(), 4, &quoted);
    assert_eq!(bytes.len(), 1280);
    assert_eq!(
        Packet::whole(&bytes).unwrap().checksums().transport,
        Checksum::Valid
    );
}

#[test]
fn fragments_hold_the_payload_and_fit_the_mtu() {
    for v6 in [false, true] {
        let (source, destination) = ends(v6);
        let bytes = udp(source, destination, &[9; 3000]);
        let pieces = fragments(&bytes, 1280, 77);
        let mut payload = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            let packet = Packet::whole(piece).unwrap();
            let fragment = packet.fragment.unwrap();
            assert!(piece.len() <= 1280);
            assert_eq!(packet.transport, Transport::Fragment);
            assert_eq!(
                (fragment.identification, fragment.offset as usize),
                (77, payload.len())
            );
            assert_eq!(fragment.more, index + 1 < pieces.len());
            assert_eq!(
                (packet.protocol, packet.ports().is_some()),
                (UDP, index == 0)
            );
            assert_ne!(packet.checksums().ip, Checksum::Invalid);
            payload.extend_from_slice(packet.payload());
        }
        assert_eq!(payload, Packet::whole(&bytes).unwrap().payload());
    }
}

#[test]
fn extension_headers_are_walked_to_the_transport() {
    let bytes = segment(true, &[], b"hello");
    let headers = [
        (0, vec![0, 0, 1, 4, 0, 0, 0, 0]),
        (60, vec![0, 0, 1, 4, 0, 0, 0, 0]),
    ];
    let extended = with_extension_headers(&bytes, &headers);
    let packet = Packet::whole(&extended).unwrap();
    assert_eq!((packet.protocol, packet.transport_offset), (TCP, 56));
    assert_eq!(packet.tcp().unwrap().payload, b"hello");
    assert_eq!(packet.checksums().transport, Checksum::Valid);
}

#[test]
fn an_endless_extension_chain_is_refused() {
    let bytes = segment(true, &[], b"");
    let header = (60, vec![0, 0, 1, 4, 0, 0, 0, 0]);
    let eight = with_extension_headers(&bytes, &vec![header.clone(); 8]);
    assert!(Packet::whole(&eight).unwrap().tcp().is_some());
    let nine = with_extension_headers(&bytes, &vec![header; 9]);
    assert_eq!(Packet::whole(&nine), Err(Malformed::ExtensionHeaders));
}

#[test]
fn an_atomic_fragment_is_a_whole_packet() {
    let bytes = segment(true, &[], b"hello");
    let atomic = with_extension_headers(&bytes, &[(44, vec![0, 0, 0, 0, 0, 0, 0, 9])]);
    let packet = Packet::whole(&atomic).unwrap();
    assert_eq!(packet.fragment, None);
    assert_eq!(packet.tcp().unwrap().payload, b"hello");
}

#[test]
fn a_bad_data_offset_is_malformed_not_cut() {
    for (nibble, bytes_of_header) in [(4u8, 16usize), (15, 60)] {
        let mut bytes = segment(false, &[], b"hello");
        bytes[32] = nibble << 4;
        let packet = Packet::whole(&bytes).unwrap();
        assert_eq!(
            packet.transport,
            Transport::Malformed(Malformed::TcpOffset(bytes_of_header))
        );
    }
}

#[test]
fn a_bad_option_length_is_flagged_and_ends_the_list() {
    let options = Options::parse(&[2, 4, 5, 180, 3, 0, 4, 2]);
    assert_eq!(
        (options.mss, options.malformed, options.sack_permitted),
        (Some(1460), true, false)
    );
    assert!(Options::parse(&[2, 3, 1]).malformed);
    assert!(Options::parse(&[8]).malformed);
    assert!(!Options::parse(&[1, 0, 255]).malformed);
}

#[test]
fn timestamps_alone_are_read_as_among_other_options() {
    let alone = [1, 1, 8, 10, 0, 0, 1, 2, 3, 4, 5, 6];
    let mut among = alone.to_vec();
    among.extend([1, 1, 1, 1]);
    assert_eq!(Options::parse(&alone), Options::parse(&among));
    assert_eq!(
        Options::parse(&alone).timestamps,
        Some((0x0102, 0x0304_0506))
    );
}

#[test]
fn a_checksum_is_the_sum_of_its_words_whatever_their_number() {
    for length in 0..70_usize {
        let payload: Vec<u8> = (0..length).map(|at| (at * 151 + 250) as u8).collect();
        let bytes = segment(false, &[], &payload);
        let packet = Packet::whole(&bytes).unwrap();
        let words = |bytes: &[u8]| {
            let word =
                |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            bytes.chunks(2).map(word).sum::<u32>()
        };
        let mut sum = words(&bytes[12..20]) + 6 + (bytes.len() as u32 - 20) + words(&bytes[20..]);
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        assert_eq!(sum, 0xffff, "{length}");
        assert_eq!(packet.checksums().transport, Checksum::Valid);
        let mut wrong = bytes.clone();
        let last = wrong.len() - 1;
        wrong[last] ^= 1;
        assert_eq!(
            Packet::whole(&wrong).unwrap().checksums().transport,
            Checksum::Invalid
        );
    }
}

#[test]
fn sequence_numbers_compare_across_the_wrap() {
    let (low, high) = (Seq(5), Seq(u32::MAX - 4));
    assert!(high.before(low) && low.after(high) && !low.before(low));
    assert_eq!((low.minus(high), high.plus(10)), (10, low));
}

#[test]
fn flags_are_a_set_with_a_letter_for_each() {
    let letters = "SFRPEW.U";
    let all = letters
        .chars()
        .map(|letter| Flags::from_letter(letter).unwrap());
    let all = all.fold(Flags(0), Flags::with);
    assert_eq!((all, all.to_string().as_str()), (Flags(0xff), letters));
    assert_eq!(Flags(0).to_string(), "-");
    assert_eq!(Flags::from_letter('X'), None);
    let synack = Flags::SYN.with(Flags::ACK);
    assert_eq!(synack.with(Flags::SYN), synack);
    assert_eq!(synack.without(Flags::SYN), Flags::ACK);
    assert_eq!(synack.without(Flags::FIN), synack);
    assert!(synack.contains(Flags::ACK) && !Flags::ACK.contains(synack));
    let takes = ["-", "SFRPEW.U", "S.", "F.", ".", "P"].map(|text| {
        let flags = text.chars().filter_map(Flags::from_letter);
        flags.fold(Flags(0), Flags::with).sequence_len()
    });
    assert_eq!(takes, [0, 2, 1, 1, 0, 0]);
}

#[test]
fn only_a_udp_checksum_that_comes_to_zero_is_sent_as_all_ones() {
    let (source, destination) = ends(false);
    let sum_of = |bytes: &[u8], at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    // What the checksum lacks to zero is added by a word of the payload (RFC 768).
    let word = sum_of(&udp(source, destination, &[0, 0]), 26).to_be_bytes();
    let bytes = udp(source, destination, &word);
    assert_eq!(sum_of(&bytes, 26), 0xffff);
    assert_eq!(
        Packet::whole(&bytes).unwrap().checksums().transport,
        Checksum::Valid
    );
    let word = sum_of(&segment(false, &[], &[0, 0]), 36).to_be_bytes();
    let bytes = segment(false, &[], &word);
    assert_eq!(sum_of(&bytes, 36), 0);
    assert_eq!(
        Packet::whole(&bytes).unwrap().checksums().transport,
        Checksum::Valid
    );
}

#[test]
fn a_header_that_the_packet_itself_lacks_is_malformed_not_cut() {
    let (source, destination) = ends(false);
    let echo = icmp_echo(source.ip(), destination.ip(), false, 1, 2, b"");
    for (whole, header) in [
        (segment(false, &[], b""), 20),
        (udp(source, destination, b""), 8),
        (echo, 8),
    ] {
        assert_eq!(whole.len(), 20 + header);
        let there = Packet::whole(&whole).unwrap().transport;
        let known = matches!(
            there,
            Transport::Tcp(_) | Transport::Udp(_) | Transport::Icmp(_)
        );
        assert!(known, "all of the header is there: {there:?}");
        let cut = Packet::parse(&whole[..23], whole.len()).unwrap();
        assert_eq!(cut.transport, Transport::Cut, "the capture lacks it");
        let mut short = whole[..20 + header - 1].to_vec();
        patch::set_lengths(&mut short);
        let lacking = Packet::whole(&short).unwrap();
        let wanted = Malformed::TransportShort {
            protocol: lacking.protocol,
            present: header - 1,
        };
        assert_eq!(lacking.transport, Transport::Malformed(wanted));
    }
}

#[test]
fn a_header_is_inserted_behind_a_chain_of_any_kinds() {
    let chains: [&[(u8, Vec<u8>)]; 3] = [
        // An authentication header counts in words of four bytes.
        &[(51, [&[0, 4][..], &[7; 22]].concat())],
        // The second byte of a fragment header is reserved, and is no length.
        &[(44, vec![0, 7, 0, 0, 0, 0, 0, 9]), (60, vec![0; 8])],
        &[(0, [&[0, 2][..], &[0; 22]].concat()), (60, vec![0; 8])],
    ];
    for chain in chains {
        let extended = with_extension_headers(&segment(true, &[], b"hello"), chain);
        let length: usize = chain.iter().map(|(_, header)| header.len()).sum();
        assert_eq!(build::last_next_header(&extended[..40 + length]), {
            40 + length - chain.last().unwrap().1.len()
        });
        let again = with_extension_headers(&extended, &[(60, vec![0, 0, 1, 4, 0, 0, 0, 0])]);
        let packet = Packet::whole(&again).unwrap();
        assert_eq!(packet.transport_offset, 40 + length + 8);
        assert_eq!(packet.tcp().unwrap().payload, b"hello");
    }
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_decoder_or_a_patch_panic(
        mut bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..120),
        version in proptest::sample::select(vec![0x45u8, 0x46, 0x60]),
        protocol in proptest::sample::select(vec![0u8, 6, 17, 1, 58, 44, 43, 51]),
        original in 0usize..200,
    ) {
        if bytes.len() > 9 {
            bytes[0] = version;
            bytes[if version == 0x60 { 6 } else { 9 }] = protocol;
            bytes[2..6].fill(0);
        }
        if let Ok(packet) = Packet::parse(&bytes, original) {
            let _ = packet.checksums();
            let _ = packet.ports();
        }
        if let Some(header) = TcpHeader::of(&bytes) {
            header.map_sack_edges(&mut bytes, |edge| edge);
            header.blank_option(&mut bytes, 8);
        }
        patch::repair_checksums(&mut bytes);
        let _ = fragments(&bytes, 60, 1);
        let _ = with_extension_headers(&bytes, &[(0, vec![0; 8])]);
        patch::set_payload(&mut bytes, b"x");
    }
}
