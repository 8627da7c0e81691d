//! The capture readers: whole, in small pieces and through gzip they read the same, and what they give is consistent.

use std::io::{Cursor, Read, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use replay::capture::recording;
use replay::capture::{CaptureError, CaptureReader, Record};
use replay::packet::Packet;

/// A reader that gives little at a time.
struct Trickle(Cursor<Vec<u8>>);

impl Read for Trickle {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let most = into.len().min(7);
        self.0.read(into.get_mut(..most).unwrap_or_default())
    }
}

/// Body of the target `capture`: the bytes are a file.
pub fn capture(data: &[u8]) {
    let whole = records(Cursor::new(data.to_vec()));
    let trickled = records(Trickle(Cursor::new(data.to_vec())));
    assert_eq!(whole, trickled, "read in small pieces");
    // What a file is packed in is taken off once.
    if !is_packed(data) && !data.is_empty() {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let packed = gzip.write_all(data).and_then(|()| gzip.finish());
        let packed = packed.expect("memory takes everything");
        assert_eq!(whole, records(Cursor::new(packed)), "read through gzip");
    }
}

/// Whether bytes begin as gzip, zstd (with a frame to skip first, or not), xz or lz4 do.
fn is_packed(data: &[u8]) -> bool {
    match data {
        [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => {
            true
        }
        [low, 0x2a, 0x4d, 0x18, ..] => low & 0xf0 == 0x50,
        [0x04, 0x22, 0x4d, 0x18, ..] | [0x02, 0x21, 0x4c, 0x18, ..] => true,
        _ => false,
    }
}

/// Everything a file says, in words; the error last.
fn records(from: impl Read + 'static) -> Vec<String> {
    let mut reader = match CaptureReader::from_read("fuzz", from) {
        Ok(reader) => reader,
        Err(error) => return vec![words(&error)],
    };
    let (mut said, mut last) = (Vec::new(), 0);
    loop {
        match reader.next_record() {
            Ok(Some(Record::Packet(packet))) => {
                assert!(packet.number > last, "frames are counted up");
                last = packet.number;
                if let Ok(ip) = packet.content {
                    assert!(!ip.bytes.is_empty(), "a packet without a byte");
                    assert!(ip.bytes.len() <= ip.original_len, "more than there was");
                    if let Ok(packet) = Packet::parse(ip.bytes, ip.original_len) {
                        let _ = (packet.checksums(), packet.payload(), packet.ports());
                    }
                }
                said.push(format!("{packet:?}"));
            }
            Ok(Some(Record::Custom(block))) => {
                assert!(block.number > last, "frames are counted up");
                last = block.number;
                said.push(format!("{block:?} {:?}", recording::decode(&block)));
            }
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => {
                said.push(words(&error));
                break;
            }
        }
    }
    assert!(
        matches!(reader.next_record(), Ok(None)),
        "nothing follows the end"
    );
    let info = reader.info();
    said.push(format!(
        "{} {:?} {:?}",
        info.format, info.link_types, info.skipped_blocks
    ));
    said
}

fn words(error: &CaptureError) -> String {
    error.to_string()
}
