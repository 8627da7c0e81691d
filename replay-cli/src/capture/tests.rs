use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};

use super::samples::*;
use super::*;

mod blocks;
mod classic;
mod formats;
mod hostile;

/// What a whole capture gives: time and tag of each packet, the error at its end, what is known of it.
struct Outcome {
    packets: Vec<(i64, u16)>,
    error: Option<CaptureError>,
    info: CaptureInfo,
}

impl Outcome {
    fn tags(&self) -> Vec<u16> {
        self.packets.iter().map(|(_, tag)| *tag).collect()
    }

    #[track_caller]
    fn damage(&self) -> (u64, u64, &DamageReason) {
        match &self.error {
            Some(CaptureError::Damaged {
                offset,
                after_packet,
                reason,
                ..
            }) => (*offset, *after_packet, reason),
            other => panic!("no damage but {other:?}"),
        }
    }
}

fn open(bytes: &[u8]) -> Result<CaptureReader, CaptureError> {
    CaptureReader::from_read("test", io::Cursor::new(bytes.to_vec()))
}

#[track_caller]
fn read(bytes: &[u8]) -> Outcome {
    let mut reader = open(bytes).unwrap();
    let mut packets = Vec::new();
    let error = loop {
        match reader.next_packet() {
            Ok(Some(packet)) => {
                let bytes = packet.content.unwrap().bytes;
                packets.push((packet.time_ns, u16::from_be_bytes([bytes[26], bytes[27]])));
            }
            Ok(None) => break None,
            Err(error) => break Some(error),
        }
    };
    assert!(
        reader.next_packet().unwrap().is_none(),
        "nothing follows the end"
    );
    Outcome {
        packets,
        error,
        info: reader.info(),
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn gzip_of_either_format_is_read() {
    for file in [LITTLE.pcap(3), BIG.pcapng(3)] {
        let outcome = read(&gzip(&file));
        assert_eq!(outcome.tags(), [1, 2, 3]);
        assert!(outcome.error.is_none() && outcome.info.packing == Some(Packing::Gzip));
    }
}

#[test]
fn gzip_members_join_within_a_packet() {
    let file = LITTLE.pcap(3);
    let (head, tail) = file.split_at(50);
    assert_eq!(read(&[gzip(head), gzip(tail)].concat()).tags(), [1, 2, 3]);
}

#[test]
fn a_cut_gzip_gives_every_packet_that_was_decoded() {
    let file = LITTLE.pcap(3);
    let mut bytes = gzip(&file);
    bytes.truncate(bytes.len() - 8);
    let outcome = read(&bytes);
    assert_eq!(outcome.tags(), [1, 2, 3]);
    assert_eq!(
        outcome.damage(),
        (
            file.len() as u64,
            3,
            &DamageReason::Packed(Packing::Gzip, PackingDamage::CutShort)
        )
    );
}

#[test]
fn a_missing_file_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let error = CaptureReader::open(&folder.path().join("no.pcap")).unwrap_err();
    assert!(
        matches!(&error, CaptureError::NotFound { path } if path.ends_with("no.pcap")),
        "{error}"
    );
}

#[test]
fn a_directory_says_so() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        CaptureReader::open(folder.path()),
        Err(CaptureError::IsDirectory { .. })
    ));
}

#[test]
fn a_file_is_told_by_content_not_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("capture.pcapng.txt");
    std::fs::write(&path, gzip(&LITTLE.pcap(1))).unwrap();
    let mut reader = CaptureReader::open(&path).unwrap();
    assert_eq!(reader.next_packet().unwrap().unwrap().number, 1);
    assert_eq!(reader.info().format, "pcap 2.4, little endian, usec");
}

#[test]
fn an_empty_file_is_empty_even_compressed() {
    assert!(matches!(open(&[]), Err(CaptureError::Empty { .. })));
    assert!(matches!(open(&gzip(&[])), Err(CaptureError::Empty { .. })));
}

#[test]
fn a_foreign_file_is_not_a_capture() {
    let error = open(b"\x89PNG\r\n\x1a\n and more").unwrap_err();
    assert!(
        matches!(&error, CaptureError::NotACapture { first, .. } if first.len() == 8),
        "{error}"
    );
    assert!(matches!(
        open(&[0xa1]),
        Err(CaptureError::NotACapture { .. })
    ));
    assert!(matches!(
        open(&gzip(&gzip(b"x"))),
        Err(CaptureError::NotACapture { .. })
    ));
}

#[test]
fn a_read_error_keeps_the_packets_before_it() {
    struct Failing;
    impl Read for Failing {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("cable pulled"))
        }
    }
    let stream = io::Cursor::new(LITTLE.pcap(2)).chain(Failing);
    let mut reader = CaptureReader::from_read("stdin", stream).unwrap();
    assert!(reader.next_packet().unwrap().is_some());
    assert!(reader.next_packet().unwrap().is_some());
    let error = reader.next_packet().unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("stdin: cannot be read: cable pulled;"),
        "{error}"
    );
    assert!(CaptureReader::from_read("stdin", Failing).is_err());
}
