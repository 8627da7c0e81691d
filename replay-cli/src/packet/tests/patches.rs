//! What writes to a packet: fields, options, payloads, addresses.

use super::*;

#[test]
fn patches_write_the_fields_they_name() {
    for v6 in [false, true] {
        let mut bytes = segment(v6, SACK_AND_TIMES, b"hello");
        let header = TcpHeader::of(&bytes).unwrap();
        assert!(header.set_sequence(&mut bytes, Seq(1)));
        assert!(header.set_acknowledgement(&mut bytes, Seq(2)));
        assert!(header.set_flags(&mut bytes, Flags::ACK));
        assert!(header.set_window(&mut bytes, 3));
        assert!(header.set_urgent(&mut bytes, 4));
        assert!(header.map_sack_edges(&mut bytes, |edge| edge.plus(1)));
        assert!(header.set_timestamps(&mut bytes, 8, 9));
        assert!(patch::set_ports(&mut bytes, 11, 12));
        assert!(patch::cut_payload(&mut bytes, 1..3));
        assert!(patch::repair_checksums(&mut bytes));
        let packet = Packet::whole(&bytes).unwrap();
        let tcp = packet.tcp().unwrap();
        assert_eq!(
            (tcp.sequence, tcp.acknowledgement, tcp.flags),
            (Seq(1), Seq(2), Flags::ACK)
        );
        assert_eq!(
            (tcp.window, tcp.urgent, packet.ports()),
            (3, 4, Some((11, 12)))
        );
        assert_eq!(tcp.options.sack(), [(Seq(257), Seq(513))]);
        assert_eq!(
            (tcp.options.timestamps, tcp.payload),
            (Some((8, 9)), &b"el"[..])
        );
        assert_eq!(
            (packet.declared_len, packet.checksums().transport),
            (bytes.len(), Checksum::Valid)
        );
    }
}

#[test]
fn a_header_repairs_the_checksums_that_the_packet_should_have() {
    for v6 in [false, true] {
        for (options, payload) in [
            (SACK_AND_TIMES, &b"hello"[..]),
            (&[], b""),
            (&[1; 4], b"odd"),
        ] {
            let right = segment(v6, options, payload);
            let mut wrong = right.clone();
            let header = TcpHeader::of(&wrong).unwrap();
            let checksum = wrong.len() - payload.len() - options.len() - 4;
            wrong[checksum] ^= 0x5a;
            if !v6 {
                wrong[11] ^= 0x77;
            }
            assert!(wrong != right && header.repair_checksums(&mut wrong));
            assert_eq!(wrong, right);
        }
    }
}

#[test]
fn a_blanked_option_is_gone_and_the_others_stay() {
    let mut bytes = segment(false, SACK_AND_TIMES, b"");
    let header = TcpHeader::of(&bytes).unwrap();
    assert!(header.blank_option(&mut bytes, 8));
    assert!(!header.blank_option(&mut bytes, 8));
    let options = Packet::whole(&bytes).unwrap().tcp().unwrap().options;
    assert_eq!((options.timestamps, options.sack_count), (None, 1));
}

#[test]
fn a_replaced_payload_sets_the_lengths() {
    for v6 in [false, true] {
        let (source, destination) = ends(v6);
        let mut bytes = udp(source, destination, b"abc");
        assert!(patch::set_payload(&mut bytes, b"longer than before"));
        patch::repair_checksums(&mut bytes);
        let packet = Packet::whole(&bytes).unwrap();
        assert_eq!(packet.udp().unwrap().payload, b"longer than before");
        assert_eq!(packet.checksums().transport, Checksum::Valid);
    }
}

#[test]
fn a_payload_is_cut_and_replaced_whatever_carries_it() {
    for v6 in [false, true] {
        let (source, destination) = ends(v6);
        for mut bytes in [
            segment(v6, SACK_AND_TIMES, b"abcdef"),
            udp(source, destination, b"abcdef"),
        ] {
            let payload = |bytes: &[u8]| {
                let packet = Packet::whole(bytes).unwrap();
                assert_eq!(packet.total_len, bytes.len());
                match packet.transport {
                    Transport::Tcp(tcp) => tcp.payload.to_vec(),
                    Transport::Udp(udp) => udp.payload.to_vec(),
                    other => panic!("{other:?}"),
                }
            };
            assert!(patch::cut_payload(&mut bytes, 1..4));
            assert_eq!(payload(&bytes), b"bcd");
            assert!(patch::cut_payload(&mut bytes, 0..99));
            assert_eq!(payload(&bytes), b"bcd");
            assert!(patch::set_payload(&mut bytes, b"as long as it likes"));
            assert_eq!(payload(&bytes), b"as long as it likes");
        }
        let mut echo = icmp_echo(source.ip(), destination.ip(), false, 1, 2, b"abc");
        let before = echo.clone();
        assert!(!patch::cut_payload(&mut echo, 1..2) && !patch::set_payload(&mut echo, b"x"));
        assert_eq!(echo, before, "no other payload is touched");
    }
}

#[test]
fn addresses_are_written_within_their_family_only() {
    for v6 in [false, true] {
        let mut bytes = segment(v6, &[], b"hello");
        let (source, destination) = ends(v6);
        let (foreign, _) = ends(!v6);
        assert!(patch::set_addresses(
            &mut bytes,
            destination.ip(),
            source.ip()
        ));
        assert!(!patch::set_addresses(&mut bytes, foreign.ip(), source.ip()));
        assert!(!patch::set_addresses(
            &mut bytes,
            foreign.ip(),
            foreign.ip()
        ));
        assert!(patch::repair_checksums(&mut bytes));
        let packet = Packet::whole(&bytes).unwrap();
        assert_eq!(
            (packet.source, packet.destination),
            (destination.ip(), source.ip())
        );
        assert!(packet.checksums().are_sound());
    }
}

#[test]
fn the_place_of_a_fragment_is_written_in_units_of_eight_bytes() {
    let mut bytes = segment(false, &[], b"hello");
    for (offset, more) in [(0, true), (1480, true), (65_528, false)] {
        let fragment = Fragment {
            identification: 77,
            offset,
            more,
        };
        assert!(patch::set_fragment(&mut bytes, fragment));
        assert_eq!(Packet::whole(&bytes).unwrap().fragment, Some(fragment));
    }
    let mut v6 = segment(true, &[], b"hello");
    let none = Fragment {
        identification: 0,
        offset: 0,
        more: false,
    };
    assert!(
        !patch::set_fragment(&mut v6, none),
        "its fragments are built"
    );
}
