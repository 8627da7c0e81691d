//! Classic pcap files.

use super::*;

#[test]
fn both_byte_orders_and_resolutions_are_read() {
    for (writer, order) in [(LITTLE, "little"), (BIG, "big")] {
        for (magic, unit, nanoseconds) in [(0xa1b2_c3d4, "usec", 7_000), (0xa1b2_3c4d, "nsec", 7)] {
            let header = writer.pcap_header(magic, 4, 101);
            let outcome = read(&[header, writer.pcap_record(9, 7, &packet(1))].concat());
            assert_eq!(outcome.packets, [(9_000_000_000 + nanoseconds, 1)]);
            assert_eq!(
                outcome.info.format,
                format!("pcap 2.4, {order} endian, {unit}")
            );
        }
    }
}

#[test]
fn the_modified_variant_has_longer_record_headers() {
    for writer in [LITTLE, BIG] {
        let mut file = writer.pcap_header(0xa1b2_cd34, 4, 101);
        for tag in [1, 2] {
            file.extend(writer.words(&[9, 7, 28, 28, 3, 0x0800_0000]));
            file.extend(packet(tag));
        }
        let outcome = read(&file);
        assert_eq!(outcome.packets, [(9_000_007_000, 1), (9_000_007_000, 2)]);
        assert!(outcome.info.format.starts_with("modified pcap 2.4"));
    }
}

#[test]
fn flags_above_the_link_type_are_masked() {
    let header = LITTLE.pcap_header(0xa1b2_c3d4, 4, 0x2400_0065);
    let outcome = read(&[header, LITTLE.pcap_record(0, 0, &packet(1))].concat());
    assert_eq!(
        (outcome.tags(), outcome.info.link_types),
        (vec![1], vec![101])
    );
}

#[test]
fn old_versions_hold_their_lengths_the_other_way_round() {
    let record = [LITTLE.words(&[0, 0, 60, 28]), packet(1)].concat();
    for minor in [2, 3] {
        let file = [LITTLE.pcap_header(0xa1b2_c3d4, minor, 101), record.clone()].concat();
        let mut reader = open(&file).unwrap();
        let packet = reader.next_packet().unwrap().unwrap();
        assert_eq!(packet.content.unwrap().bytes.len(), 28);
    }
}

#[test]
fn a_captured_length_above_the_original_one_is_tolerated() {
    let record = [LITTLE.words(&[0, 0, 28, 5]), packet(1)].concat();
    let outcome = read(&[LITTLE.pcap_header(0xa1b2_c3d4, 4, 101), record].concat());
    assert_eq!(outcome.tags(), [1]);
}

#[test]
fn a_header_without_packets_is_a_clean_end() {
    let outcome = read(&LITTLE.pcap(0));
    assert!(outcome.packets.is_empty() && outcome.error.is_none());
}

#[test]
fn an_unknown_version_is_refused() {
    let mut file = LITTLE.pcap(1);
    file[4] = 3;
    let error = open(&file).unwrap_err();
    let CaptureError::Damaged { reason, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(reason, DamageReason::Version { major: 3, minor: 4 });
}

#[test]
fn a_cut_file_header_says_how_much_is_missing() {
    let error = open(&LITTLE.pcap(1)[..20]).unwrap_err();
    let CaptureError::Damaged { offset, reason, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(
        (offset, reason),
        (
            0,
            DamageReason::CutShort {
                what: "file header",
                missing: 4
            }
        )
    );
}

#[test]
fn a_cut_record_yields_the_packets_before_it() {
    let file = LITTLE.pcap(3);
    let third = 24 + 2 * 44;
    for length in third + 1..file.len() {
        let outcome = read(&file[..length]);
        assert_eq!(outcome.tags(), [1, 2]);
        let (what, end) = if length < third + 16 {
            ("record header", third + 16)
        } else {
            ("packet", third + 44)
        };
        let missing = (end - length) as u64;
        assert_eq!(
            outcome.damage(),
            (third as u64, 2, &DamageReason::CutShort { what, missing })
        );
    }
}

#[test]
fn a_length_beyond_any_frame_is_damage_and_not_an_allocation() {
    for claimed in [262_145, u32::MAX] {
        let mut file = BIG.pcap(1);
        file.extend(BIG.words(&[0, 0, claimed, claimed]));
        let outcome = read(&file);
        assert_eq!(
            outcome.damage(),
            (
                68,
                1,
                &DamageReason::PacketTooLong {
                    claimed,
                    limit: 262_144
                }
            )
        );
    }
}

#[test]
fn the_largest_frame_is_read() {
    let mut data = packet(1);
    data.resize(262_144, 0);
    data[3] = 0;
    let file = [
        LITTLE.pcap_header(0xa1b2_c3d4, 4, 101),
        LITTLE.pcap_record(0, 0, &data).repeat(9),
    ]
    .concat();
    assert_eq!(read(&file).tags(), [1; 9]);
}

#[test]
fn a_skipped_frame_keeps_its_number() {
    let mut file = LITTLE.pcap_header(0xa1b2_c3d4, 4, 101);
    file.extend(LITTLE.pcap_record(0, 0, &[]));
    file.extend(LITTLE.pcap_record(0, 0, &packet(1)));
    let mut reader = open(&file).unwrap();
    let first = reader.next_packet().unwrap().unwrap();
    assert_eq!((first.number, first.content), (1, Err(SkipReason::Empty)));
    assert_eq!(reader.next_packet().unwrap().unwrap().number, 2);
}
