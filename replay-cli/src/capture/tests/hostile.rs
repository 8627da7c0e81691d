//! Files that lie.

use proptest::prelude::*;

use super::*;

#[track_caller]
fn damaged_tail(tail: &[u8]) -> DamageReason {
    let file = LITTLE.pcapng(1);
    let outcome = read(&[file.clone(), tail.to_vec()].concat());
    assert_eq!(outcome.tags(), [1]);
    let (offset, after, reason) = outcome.damage();
    assert_eq!((offset, after), (file.len() as u64, 1));
    reason.clone()
}

#[test]
fn block_lengths_below_the_fields_or_unaligned_are_damage() {
    for (block, length) in [
        (6, 0),
        (6, 28),
        (6, 61),
        (0x1234, 8),
        (1, 16),
        (3, 12),
        (0xbad, 12),
    ] {
        let reason = damaged_tail(&LITTLE.words(&[block, length, 0, 0, 0, 0, 0, 0]));
        assert_eq!(reason, DamageReason::BlockLength { block, length });
    }
}

#[test]
fn a_huge_packet_block_is_damage_and_not_an_allocation() {
    let length = 0xffff_fffc;
    let reason = damaged_tail(&LITTLE.words(&[6, length, 0, 0]));
    assert_eq!(reason, DamageReason::BlockLength { block: 6, length });
}

#[test]
fn a_huge_unknown_block_is_a_cut_file() {
    let reason = damaged_tail(&LITTLE.words(&[0x1234, 0xffff_fffc, 0, 0]));
    assert_eq!(
        reason,
        DamageReason::CutShort {
            what: "block",
            missing: 0xffff_fffc - 16
        }
    );
}

#[test]
fn two_lengths_that_differ_are_damage() {
    let mut tail = LITTLE.enhanced(0, 0, &packet(2), &[]);
    let at = tail.len() - 4;
    tail[at] = 64;
    assert_eq!(
        damaged_tail(&tail),
        DamageReason::BlockLengthsDiffer {
            block: 6,
            leading: 60,
            trailing: 64
        }
    );
    let mut large = LITTLE.block(0x1234, &vec![0; 2_000_000]);
    let at = large.len() - 1;
    large[at] = 1;
    assert!(matches!(
        damaged_tail(&large),
        DamageReason::BlockLengthsDiffer { .. }
    ));
}

#[test]
fn a_packet_longer_than_its_block_is_damage() {
    let mut tail = LITTLE.enhanced(0, 0, &packet(2), &[]);
    tail[20..24].copy_from_slice(&29_u32.to_le_bytes());
    assert_eq!(
        damaged_tail(&tail),
        DamageReason::PacketOutsideBlock {
            claimed: 29,
            room: 28
        }
    );
    tail[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(
        damaged_tail(&tail),
        DamageReason::PacketTooLong {
            claimed: u32::MAX,
            limit: 262_144
        }
    );
}

#[test]
fn a_packet_of_an_interface_not_described_is_damage() {
    let tail = LITTLE.enhanced(7, 0, &packet(2), &[]);
    assert_eq!(
        damaged_tail(&tail),
        DamageReason::UnknownInterface {
            interface: 7,
            described: 1
        }
    );
}

#[test]
fn a_section_of_unknown_order_or_version_is_damage() {
    let mut section = LITTLE.section(&[]);
    section[12] = 2;
    assert_eq!(
        damaged_tail(&section),
        DamageReason::Version { major: 2, minor: 0 }
    );
    section[8] = 0;
    assert_eq!(damaged_tail(&section), DamageReason::ByteOrderMagic);
    assert!(matches!(
        open(&section),
        Err(CaptureError::Damaged {
            offset: 0,
            after_packet: 0,
            ..
        })
    ));
    assert!(matches!(
        damaged_tail(&section[..9]),
        DamageReason::CutShort { .. }
    ));
}

#[test]
fn interfaces_without_end_are_damage() {
    let file = [
        LITTLE.section(&[]),
        LITTLE.interface(101, 0, &[]).repeat(65_537),
    ]
    .concat();
    assert_eq!(
        read(&file).damage().2,
        &DamageReason::TooManyInterfaces { limit: 65_536 }
    );
}

#[test]
fn block_types_without_end_take_bounded_memory() {
    let mut file = LITTLE.section(&[]);
    for kind in 100..1_000 {
        file.extend(LITTLE.block(kind, &[]));
    }
    assert_eq!(read(&file).info.skipped_blocks.len(), 256);
}

fn samples() -> Vec<Vec<u8>> {
    let ethernet = |tag| [vec![2; 12], vec![0x81, 0, 0, 1, 8, 0], packet(tag)].concat();
    let mut classic = BIG.pcap_header(0xa1b2_3c4d, 4, 1);
    classic.extend(BIG.pcap_record(1, 2, &ethernet(1)).repeat(3));
    let mut blocks = [
        LITTLE.section(&LITTLE.option(1, b"made here")),
        LITTLE.interface(1, 64, &LITTLE.option(9, &[9])),
    ]
    .concat();
    blocks.extend(LITTLE.enhanced(0, 3, &ethernet(2), &LITTLE.option(1, b"look")));
    blocks.extend(LITTLE.block(0xbad, &[1; 12]));
    blocks.extend(LITTLE.block(3, &[LITTLE.words(&[28]), packet(3)].concat()));
    blocks.extend(BIG.pcapng(2));
    let packed = [gzip(&classic), gzip(&blocks)];
    [vec![classic, blocks, LITTLE.pcap(3)], packed.to_vec()].concat()
}

proptest! {
    /// Every record takes at least twelve bytes, so a reader that makes progress ends within the file's length.
    #[test]
    fn a_mutated_capture_never_panics_and_always_ends(
        which in 0..5_usize,
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..8),
    ) {
        let mut bytes = samples().swap_remove(which);
        let bound = 64 * 1024;
        for (index, value, kind) in edits {
            if bytes.is_empty() {
                break;
            }
            let at = index.index(bytes.len());
            match kind {
                0 => bytes.truncate(at),
                1 => bytes.insert(at, value),
                2 => { bytes.remove(at); }
                _ => bytes[at] = value,
            }
        }
        let Ok(mut reader) = open(&bytes) else { return Ok(()) };
        let mut records = 0;
        while let Ok(Some(record)) = reader.next_record() {
            records += 1;
            prop_assert!(records < bound, "no end");
            if let Record::Packet(CapturedPacket { content: Ok(ip), .. }) = record {
                prop_assert!(!ip.bytes.is_empty() && ip.bytes.len() <= ip.original_len);
            }
        }
        prop_assert!(matches!(reader.next_record(), Ok(None)));
        let _ = reader.info();
    }
}
