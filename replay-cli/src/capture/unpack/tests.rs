use std::io::Write as _;

use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::*;

/// Bytes of which each eight are different, and that pack well all the same.
fn data(length: usize) -> Vec<u8> {
    let lines = (0_u32..).flat_map(|line| format!("packet {line:08}\n").into_bytes());
    lines.take(length).collect()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    compress_to_vec(data, CompressionLevel::Fastest)
}

fn lz4(data: &[u8]) -> Vec<u8> {
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_checksums(true)
        .content_checksum(true);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// A stream of one block, whose chunks of LZMA2 are stored as they are; the check is a CRC-32.
fn xz(data: &[u8]) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum().to_le_bytes()
    };
    let number = |mut value: usize| {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    };
    // Its size in units of four bytes, no flags, LZMA2 with one property: a dictionary of 8 MiB.
    let header = [3, 0, 0x21, 1, 22, 0, 0, 0, 0, 0, 0, 0];
    let mut block = [header.as_slice(), &crc(&header)].concat();
    for (nth, chunk) in data.chunks(50_000).enumerate() {
        block.push(if nth == 0 { 1 } else { 2 });
        block.extend((chunk.len() as u16 - 1).to_be_bytes());
        block.extend(chunk);
    }
    block.push(0);
    let unpadded = block.len() + 4;
    block.resize(block.len().next_multiple_of(4), 0);
    block.extend(crc(data));
    let mut index = [vec![0, 1], number(unpadded), number(data.len())].concat();
    index.resize(index.len().next_multiple_of(4), 0);
    index.extend(crc(&index));
    let size = (index.len() as u32 / 4 - 1).to_le_bytes();
    let tail = [size.as_slice(), &[0, 1]].concat();
    [
        MAGIC_AND_CRC32.as_slice(),
        &crc(&MAGIC_AND_CRC32[6..]),
        &block,
        &index,
        &crc(&tail),
        &tail,
        b"YZ",
    ]
    .concat()
}

const MAGIC_AND_CRC32: [u8; 8] = [0xfd, b'7', b'z', b'X', b'Z', 0, 0, 1];

type Pack = fn(&[u8]) -> Vec<u8>;

const PACKINGS: [(Packing, Pack); 3] = [
    (Packing::Zstd, zstd),
    (Packing::Xz, xz),
    (Packing::Lz4, lz4),
];

/// All bytes before the end, and how it ended.
fn unpack(packed: &[u8]) -> (Vec<u8>, Option<PackingDamage>) {
    unpack_from(packed, io::Cursor::new(packed.to_vec()))
}

fn unpack_from(packed: &[u8], from: impl Read + 'static) -> (Vec<u8>, Option<PackingDamage>) {
    let packing = Packing::recognise(packed).unwrap();
    let mut reader = packing.unpack(from);
    let mut out = Vec::new();
    let mut buffer = [0; 7001];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return (out, None),
            Ok(count) => out.extend_from_slice(&buffer[..count]),
            Err(error) => {
                let Damaged(said, what) = Damaged::of(&error).unwrap();
                assert_eq!(said, packing);
                assert!(reader.read(&mut buffer).is_err(), "it stays damaged");
                return (out, Some(what));
            }
        }
    }
}

/// Gives little at a time, as a slow pipe does.
struct Trickle(io::Cursor<Vec<u8>>);

impl Read for Trickle {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let most = into.len().min(7);
        self.0.read(&mut into[..most])
    }
}

#[test]
fn every_packing_gives_back_what_was_packed() {
    for (packing, pack) in PACKINGS {
        for length in [1, 1000, 400_000] {
            let packed = pack(&data(length));
            assert_eq!(Packing::recognise(&packed), Some(packing));
            assert_eq!(unpack(&packed), (data(length), None), "{packing} {length}");
        }
    }
}

#[test]
fn parts_packed_one_after_the_other_are_joined() {
    for (packing, pack) in PACKINGS {
        let packed = [pack(b"one "), pack(b"two")].concat();
        assert_eq!(unpack(&packed), (b"one two".to_vec(), None), "{packing}");
    }
}

#[test]
fn a_file_cut_anywhere_gives_what_is_before_the_cut() {
    let all = data(300_000);
    for (packing, pack) in PACKINGS {
        let packed = pack(&all);
        for cut in (8..packed.len()).step_by(packed.len() / 40 + 1) {
            let (out, end) = unpack(&packed[..cut]);
            assert!(all.starts_with(&out), "{packing} at {cut}");
            assert_eq!(end, Some(PackingDamage::CutShort), "{packing} at {cut}");
        }
        // Without the last byte all that was packed is there.
        let (out, end) = unpack(&packed[..packed.len() - 1]);
        assert_eq!(
            (out.len(), end),
            (all.len(), Some(PackingDamage::CutShort)),
            "{packing}"
        );
    }
}

#[test]
fn a_changed_byte_in_the_middle_is_damage_and_never_a_panic() {
    let all = data(300_000);
    for (packing, pack) in PACKINGS {
        let packed = pack(&all);
        let mut damaged = 0;
        for at in (6..packed.len()).step_by(packed.len() / 60 + 1) {
            let mut changed = packed.clone();
            changed[at] ^= 0x55;
            let (out, end) = unpack(&changed);
            damaged += usize::from(end.is_some());
            // However the bytes come, what is made of them is the same.
            let trickle = Trickle(io::Cursor::new(changed.clone()));
            assert_eq!(
                unpack_from(&changed, trickle),
                (out, end),
                "{packing} at {at}"
            );
        }
        assert!(damaged > 40, "{packing}: {damaged}");
    }
}

#[test]
fn the_beginning_of_a_large_block_of_lz4_is_not_lost() {
    let all = data(300_000);
    let info = FrameInfo::new().block_size(BlockSize::Max4MB);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(&all).unwrap();
    let packed = encoder.finish().unwrap();
    let (out, end) = unpack(&packed[..packed.len() / 2]);
    assert!(all.starts_with(&out));
    assert!(out.len() > all.len() / 3, "{}", out.len());
    assert_eq!(end, Some(PackingDamage::CutShort));
}

#[test]
fn blocks_of_lz4_that_refer_to_those_before_them_are_read() {
    let all = data(400_000);
    let info = FrameInfo::new()
        .block_size(BlockSize::Max64KB)
        .block_mode(BlockMode::Linked)
        .content_size(Some(400_000));
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
    encoder.write_all(&all).unwrap();
    assert_eq!(unpack(&encoder.finish().unwrap()), (all, None));
}

#[test]
fn the_older_format_of_lz4_ends_where_the_file_does() {
    // One block of literals alone: a token, a length beyond 15, and 20 bytes.
    let block = [&[0xf0, 5], b"twenty bytes of text".as_slice()].concat();
    let size = (block.len() as u32).to_le_bytes();
    let packed = [&lz4::LEGACY_MAGIC, &size, block.as_slice()].concat();
    let text = b"twenty bytes of text".to_vec();
    assert_eq!(unpack(&packed), (text.clone(), None));
    assert_eq!(unpack(&packed.repeat(2)), (text.repeat(2), None));
    let (out, end) = unpack(&packed[..packed.len() - 5]);
    assert_eq!(
        (out, end),
        (text[..15].to_vec(), Some(PackingDamage::CutShort))
    );
}

#[test]
fn bytes_behind_the_end_are_reported_after_the_data() {
    for (packing, pack) in PACKINGS {
        let packed = [pack(b"data"), b"line of a log".to_vec()].concat();
        let end = Some(PackingDamage::Trailing);
        assert_eq!(unpack(&packed), (b"data".to_vec(), end), "{packing}");
    }
}

#[test]
fn a_skippable_frame_of_zstd_is_passed_over() {
    let skippable = [0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let packed = [skippable.to_vec(), zstd(b"data"), skippable.to_vec()].concat();
    assert_eq!(unpack(&packed), (b"data".to_vec(), None));
}

#[test]
fn an_xz_dictionary_beyond_the_bound_is_not_allocated() {
    let mut packed = xz(b"data");
    // The header of the block begins behind that of the stream; its fifth byte is the dictionary's size.
    packed[12 + 4] = 40;
    let mut crc = flate2::Crc::new();
    crc.update(&packed[12..24]);
    packed[24..28].copy_from_slice(&crc.sum().to_le_bytes());
    assert_eq!(
        unpack(&packed),
        (Vec::new(), Some(PackingDamage::Unsupported))
    );
}

#[test]
fn a_read_error_is_not_taken_for_damage() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("cable pulled"))
        }
    }
    for (packing, pack) in PACKINGS {
        let packed = pack(&data(300_000));
        let half = io::Cursor::new(packed[..packed.len() / 2].to_vec());
        let mut reader = packing.unpack(half.chain(Failing));
        let error = io::copy(&mut reader, &mut io::sink()).unwrap_err();
        assert_eq!(error.to_string(), "cable pulled", "{packing}");
    }
}
