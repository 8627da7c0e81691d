//! Formats beside pcap and pcapng, records made by hand from their descriptions.

use super::*;

fn snoop_header(datalink: u32) -> Vec<u8> {
    [b"snoop\0\0\0".to_vec(), BIG.words(&[2, datalink])].concat()
}

/// A record of snoop: filled up to four bytes, and so many more.
fn snoop_record(seconds: u32, data: &[u8], more: usize) -> Vec<u8> {
    let length = data.len() as u32;
    let mut padded = data.to_vec();
    padded.resize(data.len().next_multiple_of(4) + more, 0xee);
    let whole = padded.len() as u32 + 24;
    [BIG.words(&[length, length, whole, 0, seconds, 7]), padded].concat()
}

fn ethernet(tag: u16) -> Vec<u8> {
    [[2; 12].as_slice(), &[8, 0], &packet(tag)].concat()
}

fn snoop(count: u16) -> Vec<u8> {
    let mut file = snoop_header(4);
    for tag in 1..=count {
        file.extend(snoop_record(tag.into(), &ethernet(tag), 0));
    }
    file
}

/// A record of ERF of this kind, with `before` between its header and the frame.
fn erf_record(kind: u8, seconds: u64, before: &[u8], frame: &[u8]) -> Vec<u8> {
    let mut body = [before, frame].concat();
    body.resize((16 + body.len()).next_multiple_of(8) - 16, 0xee);
    let time = (seconds << 32 | 0x8000_0000).to_le_bytes();
    let length = (16 + body.len() as u16).to_be_bytes();
    let wire = (frame.len() as u16).to_be_bytes();
    [time.as_slice(), &[kind, 4], &length, &[0, 0], &wire, &body].concat()
}

fn erf(count: u16) -> Vec<u8> {
    (1..=count)
        .flat_map(|tag| erf_record(2, tag.into(), &[0, 0], &ethernet(tag)))
        .collect()
}

#[test]
fn a_snoop_file_is_read_without_its_padding() {
    let mut file = snoop(2);
    file.extend(snoop_record(3, &ethernet(3), 16));
    file.extend(snoop_record(4, &ethernet(4), 0));
    let outcome = read(&file);
    assert_eq!(outcome.tags(), [1, 2, 3, 4]);
    assert_eq!(outcome.packets[0].0, 1_000_007_000);
    assert!(outcome.error.is_none());
    assert_eq!(outcome.info.format, "snoop 2, big endian, usec");
    assert_eq!(outcome.info.link_types, [1]);
}

#[test]
fn a_cut_snoop_file_gives_the_packets_before_the_cut() {
    let file = snoop(3);
    let record = snoop_record(1, &ethernet(1), 0).len();
    let third = 16 + 2 * record;
    for cut in third + 1..file.len() {
        let outcome = read(&file[..cut]);
        let (offset, after, _) = outcome.damage();
        // Padding may be missing behind a packet that is whole.
        let whole = cut >= third + 24 + 42;
        assert_eq!(after, if whole { 3 } else { 2 }, "{cut}");
        assert!(offset >= third as u64, "{cut}: {offset}");
    }
    assert_eq!(read(&file[..third]).tags(), [1, 2]);
}

#[test]
fn snoop_files_of_other_links_and_lengths_are_refused_by_name() {
    let error = open(&snoop_header(17)).unwrap_err().to_string();
    assert!(error.contains("datalink type 17, is not read"), "{error}");
    let mut file = snoop(1);
    file[16 + 11] = 30;
    let outcome = read(&file);
    let reason = DamageReason::RecordLength {
        length: 30,
        needed: 24 + 42,
    };
    assert_eq!(outcome.damage(), (16, 0, &reason));
    assert!(open(b"snoop\0\0\0\0\0\0\x09\0\0\0\x04").is_err());
}

#[test]
fn an_erf_file_is_told_by_its_records() {
    let mut file = erf(2);
    file.extend(erf_record(48, 2, &[], &[]));
    file.extend(erf_record(22, 3, &[], &packet(3)));
    // Two extension headers, of which the first says that another follows.
    let extended = [&[0x81, 0, 0, 0, 0, 0, 0, 0, 1], [0; 7].as_slice(), &[0, 0]].concat();
    file.extend(erf_record(0x80 | 2, 4, &extended, &ethernet(4)));
    file.extend(erf_record(
        1,
        5,
        &[],
        &[&[0x0f, 0, 8, 0], packet(5).as_slice()].concat(),
    ));
    let outcome = read(&file);
    assert_eq!(outcome.tags(), [1, 2, 3, 4, 5]);
    assert_eq!(outcome.packets[0].0, 1_500_000_000);
    assert!(outcome.error.is_none());
    assert_eq!(outcome.info.format, "ERF, nsec");
}

#[test]
fn erf_records_of_another_kind_are_skipped_by_name() {
    let mut file = erf(1);
    file.extend(erf_record(21, 2, &[], b"infiniband"));
    file.extend(erf_record(27, 2, &[], &[]));
    let mut reader = open(&file).unwrap();
    assert!(reader.next_packet().unwrap().unwrap().content.is_ok());
    let other = reader.next_packet().unwrap().unwrap();
    assert_eq!(other.content, Err(SkipReason::LinkType(197)));
    assert!(reader.next_packet().unwrap().is_none());
}

#[test]
fn a_cut_erf_file_gives_the_packets_before_the_cut() {
    let file = erf(3);
    let record = file.len() / 3;
    for cut in 2 * record + 1..file.len() {
        let outcome = read(&file[..cut]);
        let (offset, after, _) = outcome.damage();
        assert_eq!((offset, after), (2 * record as u64, 2), "{cut}");
    }
}

#[test]
fn text_and_noise_are_no_erf() {
    for file in [
        b"0000000000000000 a line of digits\n".repeat(9),
        vec![0; 500],
        vec![0xff; 500],
    ] {
        assert!(matches!(open(&file), Err(CaptureError::NotACapture { .. })));
    }
    // Two records that are further apart than a capture lasts.
    let far = [erf(1), erf_record(2, 90_000_000, &[0, 0], &ethernet(2))].concat();
    assert!(open(&far).is_err());
}

#[test]
fn a_packed_snoop_file_is_read() {
    assert_eq!(read(&gzip(&snoop(3))).tags(), [1, 2, 3]);
    assert_eq!(read(&gzip(&erf(3))).tags(), [1, 2, 3]);
}
