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
        assert!(header.map_sack_edges(&mut bytes, |edge| edge.plus(1)));
        assert!(patch::repair_checksums(&mut bytes));
        let packet = Packet::whole(&bytes).unwrap();
        let tcp = packet.tcp().unwrap();
        assert_eq!(
            (tcp.sequence, tcp.acknowledgement, tcp.flags),
            (Seq(1), Seq(2), Flags::ACK)
        );
        assert_eq!((tcp.window, tcp.payload), (3, &b"hello"[..]));
        assert_eq!(tcp.options.sack(), [(Seq(257), Seq(513))]);
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
fn a_payload_is_replaced_whatever_carries_it() {
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
            assert!(patch::set_payload(&mut bytes, b"as long as it likes"));
            assert_eq!(payload(&bytes), b"as long as it likes");
        }
        let mut echo = icmp_echo(source.ip(), destination.ip(), false, 1, 2, b"abc");
        let before = echo.clone();
        assert!(!patch::set_payload(&mut echo, b"x"));
        assert_eq!(echo, before, "no other payload is touched");
    }
}
