//! pcapng files.

use std::borrow::Cow;

use pcap_file::{
    DataLink, Endianness,
    pcapng::{
        PcapNgBlock, PcapNgWriter,
        blocks::{
            enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption},
            interface_description::{
                InterfaceDescriptionBlock, InterfaceDescriptionOption, InterfaceTsResolution,
            },
            opt_common::CommonOption,
        },
    },
};

use super::*;

#[test]
fn both_byte_orders_are_read() {
    for (writer, order) in [(LITTLE, "little"), (BIG, "big")] {
        let outcome = read(&writer.pcapng(2));
        assert_eq!(outcome.packets, [(1_000_000_000, 1), (2_000_000_000, 2)]);
        assert_eq!(
            outcome.info.format,
            format!("pcapng, {order} endian, tsresol default 10^-6")
        );
    }
}

#[test]
fn an_independent_writer_is_understood() {
    for endianness in [Endianness::Little, Endianness::Big] {
        let mut writer = PcapNgWriter::with_endianness(Vec::new(), endianness).unwrap();
        let mut interface = InterfaceDescriptionBlock::new(DataLink::RAW, 0);
        interface.options = vec![
            InterfaceDescriptionOption::IfName(Cow::Borrowed("utun4")),
            InterfaceDescriptionOption::IfTsResol(InterfaceTsResolution::NANO),
            InterfaceDescriptionOption::IfTsOffset(100),
        ];
        writer.write_block(&interface.into_block()).unwrap();
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: std::time::Duration::new(105, 9),
            original_len: 28,
            data: packet(1).into(),
            options: vec![EnhancedPacketOption::Common(CommonOption::Comment(
                Cow::Borrowed("here"),
            ))],
        };
        writer.write_block(&block.into_block()).unwrap();
        let outcome = read(&writer.into_inner());
        assert_eq!(outcome.packets, [(105_000_000_009, 1)]);
        assert_eq!(outcome.info.comments, 1);
        assert_eq!(
            outcome.info.interfaces,
            [Interface {
                link_type: 101,
                name: Some("utun4".into())
            }]
        );
    }
}

#[test]
fn each_interface_has_its_own_link_type_and_clock() {
    let file = [
        LITTLE.section(&[]),
        LITTLE.interface(101, 0, &LITTLE.option(9, &[9])),
        LITTLE.interface(
            0,
            0,
            &[
                LITTLE.option(9, &[0x8a]),
                LITTLE.option(14, &7_i64.to_le_bytes()),
            ]
            .concat(),
        ),
        LITTLE.enhanced(1, 512, &[vec![2, 0, 0, 0], packet(1)].concat(), &[]),
        LITTLE.enhanced(0, 512, &packet(2), &[]),
    ]
    .concat();
    let outcome = read(&file);
    assert_eq!(outcome.packets, [(7_500_000_000, 1), (512, 2)]);
    assert_eq!(outcome.info.link_types, [0, 101]);
    assert_eq!(
        outcome.info.format,
        "pcapng, little endian, tsresol 10^-9,2^-10"
    );
}

#[test]
fn interfaces_are_counted_over_all_sections() {
    let file = [LITTLE.pcapng(1), BIG.pcapng(1)].concat();
    let mut reader = open(&file).unwrap();
    assert_eq!(reader.next_packet().unwrap().unwrap().interface, 0);
    assert_eq!(reader.next_packet().unwrap().unwrap().interface, 1);
    assert!(reader.next_packet().unwrap().is_none());
    assert_eq!(
        reader.info().format,
        "pcapng, big+little endian, tsresol default 10^-6"
    );
}

#[test]
fn a_new_section_forgets_the_interfaces_before_it() {
    let first = LITTLE.pcapng(1);
    let file = [
        first.clone(),
        LITTLE.section(&[]),
        LITTLE.enhanced(0, 0, &packet(2), &[]),
    ]
    .concat();
    let outcome = read(&file);
    assert_eq!(
        outcome.damage(),
        (
            first.len() as u64 + 28,
            1,
            &DamageReason::UnknownInterface {
                interface: 0,
                described: 0
            }
        )
    );
}

#[test]
fn simple_packets_take_the_time_of_the_packet_before() {
    let simple = |tag| LITTLE.block(3, &[LITTLE.words(&[28]), packet(tag)].concat());
    let file = [
        LITTLE.section(&[]),
        LITTLE.interface(101, 0, &[]),
        simple(1),
        LITTLE.enhanced(0, 5, &packet(2), &[]),
        simple(3),
    ]
    .concat();
    assert_eq!(read(&file).packets, [(0, 1), (5_000, 2), (5_000, 3)]);
}

#[test]
fn a_simple_packet_is_cut_at_the_snap_length() {
    let body = [BIG.words(&[100]), packet(1)].concat();
    let file = [
        BIG.section(&[]),
        BIG.interface(101, 22, &[]),
        BIG.block(3, &body),
    ]
    .concat();
    let mut reader = open(&file).unwrap();
    let content = reader.next_packet().unwrap().unwrap().content.unwrap();
    assert_eq!(
        (content.bytes, content.original_len, content.cut),
        (&packet(1)[..22], 28, true)
    );
}

#[test]
fn obsolete_packet_blocks_are_read() {
    for writer in [LITTLE, BIG] {
        let mut body = [writer.u16(0), writer.u16(99)].concat();
        body.extend(writer.words(&[0, 5, 28, 28]));
        body.extend(packet(1));
        let file = [
            writer.section(&[]),
            writer.interface(101, 0, &[]),
            writer.block(2, &body),
        ]
        .concat();
        assert_eq!(read(&file).packets, [(5_000, 1)]);
    }
}

#[test]
fn comments_are_kept_for_packets_and_counted_for_all() {
    let comment = |text: &[u8]| LITTLE.option(1, text);
    let file = [
        LITTLE.section(&comment(b"a phone")),
        LITTLE.interface(101, 0, &comment(b"wifi")),
        LITTLE.enhanced(
            0,
            0,
            &packet(1),
            &[comment(b"look"), comment(b"here")].concat(),
        ),
        LITTLE.enhanced(0, 0, &packet(2), &[]),
    ]
    .concat();
    let mut reader = open(&file).unwrap();
    assert_eq!(
        reader.next_packet().unwrap().unwrap().comment.as_deref(),
        Some("look\nhere")
    );
    assert_eq!(reader.next_packet().unwrap().unwrap().comment, None);
    let info = reader.info();
    assert_eq!(
        (info.comments, info.file_comments),
        (3, vec!["a phone".to_owned()])
    );
}

#[test]
fn other_blocks_are_skipped_and_counted() {
    let mut file = LITTLE.pcapng(1);
    file.extend(LITTLE.block(5, &[0; 12]));
    file.extend(LITTLE.block(0x1234, &[]));
    file.extend(LITTLE.block(0x1234, b"abc"));
    file.extend(LITTLE.enhanced(0, 0, &packet(2), &[]));
    let outcome = read(&file);
    assert_eq!(outcome.tags(), [1, 2]);
    assert_eq!(
        outcome.info.skipped_blocks,
        BTreeMap::from([(5, 1), (0x1234, 2)])
    );
}

#[test]
fn a_skipped_block_may_be_larger_than_the_window() {
    let mut file = LITTLE.pcapng(1);
    file.extend(LITTLE.block(0xa, &vec![1; 3_000_000]));
    file.extend(LITTLE.enhanced(0, 0, &packet(2), &[]));
    assert_eq!(read(&file).tags(), [1, 2]);
    file.truncate(2_000_000);
    let outcome = read(&file);
    let (offset, after, _) = outcome.damage();
    assert_eq!((offset, after), (LITTLE.pcapng(1).len() as u64, 1));
}

#[test]
fn custom_blocks_are_handed_out_and_numbered() {
    for (kind, writer) in [(0xbad, LITTLE), (0x4000_0bad, BIG)] {
        let mut file = [writer.section(&[]), writer.interface(101, 0, &[])].concat();
        let file_start = file.len();
        file.extend(writer.block(kind, &[writer.words(&[32_473]), b"dial".to_vec()].concat()));
        file.extend(writer.enhanced(0, 0, &packet(1), &[]));
        let mut reader = open(&file).unwrap();
        let custom = CustomBlock {
            number: 1,
            enterprise: 32_473,
            data: b"dial",
            offset: (file_start + 12) as u64,
        };
        assert_eq!(reader.next_record().unwrap(), Some(Record::Custom(custom)));
        let Some(Record::Packet(packet)) = reader.next_record().unwrap() else {
            panic!("no packet")
        };
        assert_eq!(packet.number, 2);
        assert!(reader.next_record().unwrap().is_none());
        assert_eq!(reader.info().skipped_blocks, BTreeMap::from([(kind, 1)]));
        assert_eq!(reader.info().packets, 1);
    }
}

#[test]
fn interface_names_need_not_be_utf8() {
    let file = [
        LITTLE.section(&[]),
        LITTLE.interface(101, 0, &LITTLE.option(2, b"en\xff")),
        LITTLE.enhanced(0, 0, &packet(1), &[]),
    ]
    .concat();
    assert_eq!(read(&file).tags(), [1]);
}

#[test]
fn truncated_block_yields_the_packets_before_it() {
    let file = LITTLE.pcapng(3);
    let third = file.len() - 60;
    for length in third + 1..file.len() {
        let outcome = read(&file[..length]);
        assert_eq!(outcome.tags(), [1, 2]);
        let (offset, after, reason) = outcome.damage();
        assert_eq!((offset, after), (third as u64, 2));
        assert!(
            matches!(reason, DamageReason::CutShort { what: "block", .. }),
            "{reason}"
        );
    }
}
