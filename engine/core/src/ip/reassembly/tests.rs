mod limits;

use super::*;
use crate::api::batch::FrameBatch;
use crate::ip::build::{protocol, udp};
use crate::ip::checksum;
use crate::ip::fragment::{Identifications, emit};
use std::net::SocketAddr;

const NOW: Micros = Micros::from_secs(1);
const FAMILIES: [bool; 2] = [false, true];

#[test]
fn every_order_of_three_fragments_completes_with_the_last_one() {
    for v6 in FAMILIES {
        let frames = datagram(v6, 7, 4000);
        for order in [
            [0, 1, 2],
            [0, 2, 1],
            [1, 0, 2],
            [1, 2, 0],
            [2, 0, 1],
            [2, 1, 0],
        ] {
            let mut reassembly = reassembly();
            assert_eq!(feed(&mut reassembly, &frames[order[0]]), Ok(None));
            assert_eq!(feed(&mut reassembly, &frames[order[1]]), Ok(None));
            let whole = feed(&mut reassembly, &frames[order[2]]);
            assert_eq!(whole, Ok(Some(plain(v6, 7, 4000))), "{order:?}");
            assert_eq!(reassembly.bytes(), 0);
        }
    }
}

#[test]
fn an_exact_duplicate_is_dropped_and_the_datagram_completes() {
    for v6 in FAMILIES {
        let frames = datagram(v6, 7, 4000);
        let mut reassembly = reassembly();
        for frame in &frames[..2] {
            assert_eq!(feed(&mut reassembly, frame), Ok(None));
            assert_eq!(feed(&mut reassembly, frame), Err(Refusal::Duplicate));
        }
        assert!(matches!(feed(&mut reassembly, &frames[2]), Ok(Some(_))));
    }
}

#[test]
fn a_part_sent_again_is_a_duplicate_on_ipv4_and_an_overlap_on_ipv6() {
    for (v6, refusal) in [(false, Refusal::Duplicate), (true, Refusal::Overlap)] {
        let mut reassembly = reassembly();
        assert_eq!(
            feed(&mut reassembly, &piece(v6, 1, 8, true, &[5; 32])),
            Ok(None)
        );
        let part = piece(v6, 1, 16, true, &[5; 8]);
        assert_eq!(feed(&mut reassembly, &part), Err(refusal));
    }
}

#[test]
fn the_same_range_with_other_bytes_condemns_the_datagram() {
    for v6 in FAMILIES {
        let mut reassembly = reassembly();
        let _ = feed(&mut reassembly, &piece(v6, 1, 8, true, &[5; 16]));
        let other = piece(v6, 1, 8, true, &[6; 16]);
        assert_eq!(feed(&mut reassembly, &other), Err(Refusal::Overlap));
    }
}

#[test]
fn an_overlap_drops_the_datagram_and_the_rest_of_its_fragments() {
    for v6 in FAMILIES {
        let mut reassembly = reassembly();
        assert_eq!(
            feed(&mut reassembly, &piece(v6, 1, 0, true, &[5; 24])),
            Ok(None)
        );
        let overlapping = piece(v6, 1, 16, true, &[5; 16]);
        assert_eq!(feed(&mut reassembly, &overlapping), Err(Refusal::Overlap));
        for late in [
            piece(v6, 1, 0, true, &[5; 24]),
            piece(v6, 1, 24, false, &[5; 8]),
        ] {
            assert_eq!(feed(&mut reassembly, &late), Err(Refusal::Condemned));
        }
    }
}

#[test]
fn a_condemned_datagram_leaves_nothing_to_report_at_its_deadline() {
    let mut reassembly = reassembly();
    let _ = feed(&mut reassembly, &piece(true, 1, 0, true, &[5; 24]));
    let _ = feed(&mut reassembly, &piece(true, 1, 16, true, &[5; 16]));
    assert_eq!(expired(&mut reassembly, Micros::from_secs(61)), [None]);
    assert_eq!((reassembly.bytes(), reassembly.datagrams.len()), (0, 0));
}

#[test]
fn fragments_that_disagree_about_the_end_condemn_the_datagram() {
    let last = (16, false);
    for second in [(8, false), (24, false), (16, true), (24, true)] {
        for (first, second) in [(last, second), (second, last)] {
            let mut reassembly = reassembly();
            let first = piece(false, 1, first.0, first.1, &[5; 8]);
            let second = piece(false, 1, second.0, second.1, &[5; 8]);
            assert_eq!(feed(&mut reassembly, &first), Ok(None));
            assert_eq!(feed(&mut reassembly, &second), Err(Refusal::Overlap));
        }
    }
}

#[test]
fn datagrams_that_differ_in_one_part_of_the_key_do_not_mix() {
    let original = datagram(false, 7, 2000);
    // Identification, protocol, source, destination.
    for at in [5, 9, 15, 19] {
        let mut other = datagram(false, 7, 2000);
        for frame in &mut other {
            frame[at] ^= 2;
        }
        let mut reassembly = reassembly();
        assert_eq!(feed(&mut reassembly, &original[0]), Ok(None));
        assert_eq!(feed(&mut reassembly, &other[1]), Ok(None));
        assert!(matches!(feed(&mut reassembly, &original[1]), Ok(Some(_))));
        assert!(matches!(feed(&mut reassembly, &other[0]), Ok(Some(_))));
    }
}

#[test]
fn the_next_header_of_an_ipv6_datagram_comes_from_its_first_fragment() {
    let mut frames = datagram(true, 7, 2000);
    frames[1][40] = 99;
    let mut reassembly = reassembly();
    assert_eq!(feed(&mut reassembly, &frames[1]), Ok(None));
    assert_eq!(
        feed(&mut reassembly, &frames[0]),
        Ok(Some(plain(true, 7, 2000)))
    );
}

#[test]
fn ipv6_headers_before_the_fragment_header_are_removed() {
    let frames: Vec<_> = datagram(true, 7, 2000)
        .iter()
        .map(|frame| with_destination_options(frame))
        .collect();
    let mut reassembly = reassembly();
    assert_eq!(feed(&mut reassembly, &frames[0]), Ok(None));
    assert_eq!(
        feed(&mut reassembly, &frames[1]),
        Ok(Some(plain(true, 7, 2000)))
    );
}

#[test]
fn ipv6_headers_behind_the_fragment_header_are_kept() {
    let options = [protocol::UDP, 0, 1, 4, 0, 0, 0, 0];
    let start = [&options[..], &[9; 8]].concat();
    let mut reassembly = reassembly();
    let mut first = piece(true, 1, 0, true, &start);
    first[40] = 60;
    assert_eq!(feed(&mut reassembly, &first), Ok(None));
    let whole = feed(&mut reassembly, &piece(true, 1, 16, false, &[8]))
        .unwrap()
        .unwrap();
    assert_eq!((whole[6], whole.len()), (60, 40 + 17));
    assert_eq!(whole[40..48], options);
}

#[test]
fn ipv4_options_of_the_first_fragment_are_kept() {
    let mut frames = datagram(false, 7, 2000);
    frames[0].splice(20..20, [0x94, 4, 0, 0]);
    frames[0][0] = 0x46;
    frames[0][3] += 4;
    let mut reassembly = reassembly();
    assert_eq!(feed(&mut reassembly, &frames[0]), Ok(None));
    let whole = feed(&mut reassembly, &frames[1]).unwrap().unwrap();
    assert_eq!(whole[20..24], [0x94, 4, 0, 0]);
    assert!(checksum::verifies(&whole[..24]));
    assert_eq!(whole[24..], plain(false, 7, 2000)[20..]);
}

#[test]
fn an_atomic_fragment_completes_at_once_and_leaves_pending_ones_alone() {
    let frames = datagram(true, 7, 2000);
    let mut reassembly = reassembly();
    assert_eq!(feed(&mut reassembly, &frames[0]), Ok(None));
    let whole = feed(&mut reassembly, &piece(true, 7, 0, false, &[1; 9]))
        .unwrap()
        .unwrap();
    assert_eq!((whole[6], &whole[40..]), (protocol::UDP, &[1; 9][..]));
    assert_eq!(
        feed(&mut reassembly, &frames[1]),
        Ok(Some(plain(true, 7, 2000)))
    );
}

#[test]
fn a_misaligned_fragment_is_reported_at_the_payload_length() {
    refused(
        &piece(true, 1, 0, true, &[5; 33]),
        Refusal::Misaligned,
        Some((0, 4)),
    );
    refused(
        &piece(false, 1, 0, true, &[5; 33]),
        Refusal::Misaligned,
        None,
    );
}

#[test]
fn a_fragment_beyond_65535_bytes_is_reported_at_the_fragment_offset() {
    refused(
        &piece(true, 1, 65_528, false, &[5; 8]),
        Refusal::TooLong,
        Some((0, 42)),
    );
    let with_options = with_destination_options(&piece(true, 1, 65_520, false, &[5; 8]));
    refused(&with_options, Refusal::TooLong, Some((0, 50)));
    refused(
        &piece(false, 1, 65_512, false, &[5; 8]),
        Refusal::TooLong,
        None,
    );
}

#[test]
fn a_first_ipv6_fragment_without_the_whole_header_chain_is_reported() {
    let tcp = |len| {
        let mut fragment = piece(true, 1, 0, true, &vec![5; len]);
        fragment[40] = protocol::TCP;
        fragment
    };
    refused(&tcp(16), Refusal::HeaderChainCut, Some((3, 0)));
    assert_eq!(feed(&mut reassembly(), &tcp(24)), Ok(None));
    let mut options = piece(true, 1, 0, true, &[17, 1, 0, 0, 0, 0, 0, 0]);
    options[40] = 60;
    refused(&options, Refusal::HeaderChainCut, Some((3, 0)));
}

#[test]
fn a_header_chain_that_fills_the_first_fragment_needs_its_upper_layer_unless_it_has_none() {
    for (next_header, outcome) in [(253, Err(Refusal::HeaderChainCut)), (59, Ok(None))] {
        let mut first = piece(true, 1, 0, true, &[next_header, 0, 1, 4, 0, 0, 0, 0]);
        first[40] = 60;
        assert_eq!(feed(&mut reassembly(), &first), outcome);
    }
}

#[test]
fn an_atomic_fragment_that_is_cut_is_left_to_the_parser() {
    let whole = feed(&mut reassembly(), &piece(true, 1, 0, false, &[5; 3]));
    assert_eq!(whole.unwrap().unwrap().len(), 43);
}

#[test]
fn eight_bytes_are_a_legal_first_fragment_on_ipv4() {
    let mut fragment = piece(false, 1, 0, true, &[5; 8]);
    fragment[9] = protocol::TCP;
    assert_eq!(feed(&mut reassembly(), &fragment), Ok(None));
}

#[test]
fn a_fragment_within_a_fragment_is_refused() {
    for more in [false, true] {
        let mut nested = piece(true, 1, 0, more, &[17, 0, 0, 0, 0, 0, 0, 1]);
        nested[40] = 44;
        refused(&nested, Refusal::Nested, None);
    }
}

#[test]
fn an_empty_fragment_is_refused() {
    for v6 in FAMILIES {
        refused(&piece(v6, 1, 8, false, &[]), Refusal::Empty, None);
    }
}

#[test]
fn a_fragment_longer_than_its_packet_is_refused() {
    let packet = piece(false, 1, 8, true, &[5; 8]);
    let info = FragmentInfo::of(&packet).unwrap();
    let mut reassembly = reassembly();
    let outcome = reassembly.insert(NOW, &packet[..27], &info);
    assert_eq!(outcome, Err(Refusal::Malformed));
}

#[test]
fn datagrams_expire_60_seconds_after_their_first_fragment() {
    for (v6, seconds) in [(false, 61), (true, 61)] {
        let mut reassembly = reassembly();
        let frames = datagram(v6, 7, 4000);
        let _ = feed(&mut reassembly, &frames[0]);
        let _ = feed_at(&mut reassembly, Micros::from_secs(20), &frames[1]);
        let deadline = Micros::from_secs(seconds);
        assert_eq!(reassembly.next_deadline(), Some(deadline));
        assert!(expired(&mut reassembly, Micros(deadline.0 - 1)).is_empty());
        assert_eq!(
            expired(&mut reassembly, deadline),
            [Some(frames[0].clone())]
        );
        assert_eq!((reassembly.next_deadline(), reassembly.bytes()), (None, 0));
    }
}

#[test]
fn a_datagram_without_its_first_fragment_expires_unquoted() {
    let mut reassembly = reassembly();
    let _ = feed(&mut reassembly, &datagram(false, 7, 4000)[2]);
    assert_eq!(expired(&mut reassembly, Micros::from_secs(61)), [None]);
}

#[test]
fn the_quoted_first_fragment_is_the_one_that_came_even_if_it_came_late() {
    let frames = datagram(true, 7, 4000);
    let mut reassembly = reassembly();
    let _ = feed(&mut reassembly, &frames[2]);
    let mut padded = frames[0].clone();
    padded.extend([0; 6]);
    let _ = feed(&mut reassembly, &padded);
    assert_eq!(
        expired(&mut reassembly, Micros::from_secs(99)),
        [Some(frames[0].clone())]
    );
}

#[test]
fn a_late_fragment_does_not_complete_a_datagram_past_its_deadline() {
    let frames = datagram(false, 7, 2000);
    let mut reassembly = reassembly();
    let _ = feed(&mut reassembly, &frames[0]);
    let late = feed_at(&mut reassembly, Micros::from_secs(61), &frames[1]);
    assert_eq!(late, Err(Refusal::Late));
}

fn reassembly() -> Reassembly {
    Reassembly::new(Limits::default())
}

fn feed(reassembly: &mut Reassembly, packet: &[u8]) -> Result<Option<Vec<u8>>, Refusal> {
    feed_at(reassembly, NOW, packet)
}

fn feed_at(
    reassembly: &mut Reassembly,
    now: Micros,
    packet: &[u8],
) -> Result<Option<Vec<u8>>, Refusal> {
    let info = FragmentInfo::of(packet).ok_or(Refusal::Malformed)?;
    let whole = reassembly.insert(now, packet, &info)?;
    Ok(whole.map(<[u8]>::to_vec))
}

fn expired(reassembly: &mut Reassembly, now: Micros) -> Vec<Option<Vec<u8>>> {
    let expired = reassembly.expire(now).into_iter();
    expired
        .map(|datagram| datagram.first_packet().map(<[u8]>::to_vec))
        .collect()
}

#[track_caller]
fn refused(packet: &[u8], refusal: Refusal, problem: Option<(u8, u32)>) {
    let mut reassembly = reassembly();
    assert_eq!(feed(&mut reassembly, packet), Err(refusal));
    assert_eq!(reassembly.datagrams.len(), 0);
    let info = FragmentInfo::of(packet).unwrap();
    let expected = problem.map(|(code, pointer)| Problem::Parameter { code, pointer });
    assert_eq!(refusal.problem(&info), expected);
}

fn ends(v6: bool) -> (SocketAddr, SocketAddr) {
    let (from, to) = if v6 {
        ("[fd00::2]:5353", "[2001:db8::1]:53")
    } else {
        ("10.0.0.2:5353", "192.0.2.1:53")
    };
    (from.parse().unwrap(), to.parse().unwrap())
}

/// A UDP datagram with `len` bytes of payload, as fragments or whole.
fn fragments(v6: bool, id: u32, len: usize, mtu: usize) -> Vec<Vec<u8>> {
    let (from, to) = ends(v6);
    let (mut batch, mut ids) = (FrameBatch::new(), Identifications::new(id));
    let payload: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
    udp(&mut batch, &mut ids, from, to, &payload, mtu).unwrap();
    batch.iter().map(<[u8]>::to_vec).collect()
}

fn datagram(v6: bool, id: u32, len: usize) -> Vec<Vec<u8>> {
    fragments(v6, id, len, 1500)
}

/// What its reassembly yields: the packet before it was split.
fn plain(v6: bool, id: u32, len: usize) -> Vec<u8> {
    let mut whole = fragments(v6, id, len, usize::MAX).swap_remove(0);
    if !v6 {
        // The identification stays; an unsplit packet of the engine has none, but DF.
        whole[4..6].copy_from_slice(&(id as u16).to_be_bytes());
        whole[6] = 0;
        whole[10..12].fill(0);
        let check = checksum::of(&whole[..20]);
        whole[10..12].copy_from_slice(&check.to_be_bytes());
    }
    whole
}

/// One fragment of a UDP datagram, whatever its shape.
fn piece(v6: bool, id: u32, offset: usize, more: bool, payload: &[u8]) -> Vec<u8> {
    let (from, to) = ends(v6);
    let addresses = Addresses::new(from.ip(), to.ip()).unwrap();
    let (mut batch, mut ids) = (FrameBatch::new(), Identifications::new(id));
    let id = id.to_be_bytes();
    let offset = offset as u16;
    if v6 {
        let [o0, o1] = (offset | u16::from(more)).to_be_bytes();
        let header = [protocol::UDP, 0, o0, o1, id[0], id[1], id[2], id[3]];
        emit(
            &mut batch,
            &mut ids,
            &addresses,
            44,
            [&header, payload],
            usize::MAX,
        )
        .unwrap();
        return batch.iter().next().unwrap().to_vec();
    }
    let parts = [&[], payload];
    emit(
        &mut batch,
        &mut ids,
        &addresses,
        protocol::UDP,
        parts,
        usize::MAX,
    )
    .unwrap();
    let mut packet = batch.iter().next().unwrap().to_vec();
    packet[4..6].copy_from_slice(&id[2..]);
    let field = (offset / 8) | if more { 0x2000 } else { 0 };
    packet[6..8].copy_from_slice(&field.to_be_bytes());
    packet
}

/// Puts a Destination Options header before the Fragment header.
fn with_destination_options(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    packet.splice(40..40, [44, 0, 1, 4, 0, 0, 0, 0]);
    packet[6] = 60;
    let len = (packet.len() - 40) as u16;
    packet[4..6].copy_from_slice(&len.to_be_bytes());
    packet
}
