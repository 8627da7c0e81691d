//! Limits hold and nothing panics, whatever arrives.

use super::*;
use proptest::prelude::*;

#[test]
fn a_flood_of_lone_fragments_does_not_block_an_honest_datagram() {
    for v6 in FAMILIES {
        let mut reassembly = reassembly();
        for id in 100..3000 {
            let _ = feed(&mut reassembly, &piece(v6, id, 0, true, &[5; 1400]));
            assert!(reassembly.bytes() <= Limits::default().bytes);
            assert!(reassembly.datagrams.len() <= Limits::default().datagrams);
        }
        assert_eq!(reassembly.datagrams.len(), 64);
        let frames = datagram(v6, 7, 2000);
        let _ = feed(&mut reassembly, &frames[0]);
        assert_eq!(
            feed(&mut reassembly, &frames[1]),
            Ok(Some(plain(v6, 7, 2000)))
        );
    }
}

#[test]
fn the_oldest_datagram_makes_room_for_the_newest() {
    let mut reassembly = Reassembly::new(Limits {
        datagrams: 2,
        ..Limits::default()
    });
    let [a, b, c] = [1, 2, 3].map(|id| datagram(false, id, 2000));
    for frames in [&a, &b, &c] {
        let _ = feed(&mut reassembly, &frames[0]);
    }
    assert!(matches!(feed(&mut reassembly, &b[1]), Ok(Some(_))));
    assert!(matches!(feed(&mut reassembly, &c[1]), Ok(Some(_))));
    assert_eq!(feed(&mut reassembly, &a[1]), Ok(None));
}

#[test]
fn a_growing_datagram_evicts_older_and_newer_ones_but_not_itself() {
    let mut reassembly = Reassembly::new(Limits {
        bytes: 8 * 1024,
        ..Limits::default()
    });
    let frames = datagram(false, 5, 4000);
    let _ = feed(&mut reassembly, &piece(false, 1, 0, true, &[1; 1400]));
    let _ = feed(&mut reassembly, &frames[0]);
    let _ = feed(&mut reassembly, &piece(false, 2, 0, true, &[1; 1400]));
    let _ = feed(&mut reassembly, &frames[1]);
    assert_eq!(
        feed(&mut reassembly, &frames[2]),
        Ok(Some(plain(false, 5, 4000)))
    );
    assert!(reassembly.datagrams.len() < 2);
}

#[test]
fn bytes_are_taken_from_the_oldest_datagram() {
    let mut reassembly = Reassembly::new(Limits {
        bytes: 8 * 1024,
        ..Limits::default()
    });
    for id in 1..6 {
        let _ = feed(&mut reassembly, &piece(false, id, 0, true, &[1; 1400]));
    }
    let rest = piece(false, 4, 1400, false, &[1; 8]);
    assert!(matches!(feed(&mut reassembly, &rest), Ok(Some(_))));
    let rest = piece(false, 1, 1400, false, &[1; 8]);
    assert_eq!(feed(&mut reassembly, &rest), Ok(None));
}

#[test]
fn a_datagram_longer_than_the_memory_allowed_is_given_up_alone() {
    let mut reassembly = Reassembly::new(Limits {
        bytes: 6000,
        ..Limits::default()
    });
    let _ = feed(&mut reassembly, &piece(false, 1, 0, true, &[1; 800]));
    let long = piece(false, 5, 0, true, &[1; 6400]);
    assert_eq!(feed(&mut reassembly, &long), Err(Refusal::NoRoom));
    let rest = piece(false, 1, 800, false, &[1; 8]);
    assert!(matches!(feed(&mut reassembly, &rest), Ok(Some(_))));
}

#[test]
fn a_datagram_in_too_many_fragments_never_completes() {
    let mut reassembly = Reassembly::new(Limits {
        fragments: 3,
        ..Limits::default()
    });
    for at in 0..3 {
        assert_eq!(
            feed(&mut reassembly, &piece(false, 1, at * 8, true, &[1; 8])),
            Ok(None)
        );
    }
    let last = piece(false, 1, 24, false, &[1; 8]);
    assert_eq!(feed(&mut reassembly, &last), Err(Refusal::NoRoom));
}

#[test]
fn limits_of_zero_refuse_every_fragment() {
    for limits in [(0, 1 << 20, 9), (9, 0, 9), (9, 1 << 20, 0)] {
        let mut reassembly = Reassembly::new(Limits {
            datagrams: limits.0,
            bytes: limits.1,
            fragments: limits.2,
            ..Limits::default()
        });
        assert_eq!(
            feed(&mut reassembly, &datagram(false, 1, 2000)[0]),
            Err(Refusal::NoRoom)
        );
        assert_eq!((reassembly.bytes(), reassembly.datagrams.len()), (0, 0));
    }
}

#[test]
fn the_longest_datagrams_reassemble_within_the_default_limits() {
    for (v6, len) in [(false, 65_507), (true, 65_527)] {
        let mut reassembly = reassembly();
        let frames = fragments(v6, 7, len, 1280);
        let (last, before) = frames.split_last().unwrap();
        for frame in before.iter().rev() {
            assert_eq!(feed(&mut reassembly, frame), Ok(None));
        }
        assert_eq!(feed(&mut reassembly, last), Ok(Some(plain(v6, 7, len))));
    }
}

proptest! {
    #[test]
    fn any_order_with_duplicates_reassembles_the_original(
        v6: bool,
        len in 1500..9000_usize,
        mtu in 600..1400_usize,
        order in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let frames = fragments(v6, 7, len, mtu);
        let mut reassembly = reassembly();
        let mut missing: Vec<_> = (0..frames.len()).collect();
        let order = order.iter().map(|index| index.index(frames.len()));
        for index in order.chain(0..frames.len()) {
            if missing.is_empty() {
                break;
            }
            let expected = match missing.iter().position(|&at| at == index) {
                None => Err(Refusal::Duplicate),
                Some(at) => {
                    missing.remove(at);
                    Ok(missing.is_empty().then(|| plain(v6, 7, len)))
                }
            };
            prop_assert_eq!(feed(&mut reassembly, &frames[index]), expected);
        }
        prop_assert!(missing.is_empty());
        prop_assert_eq!(reassembly.bytes(), 0);
    }

    #[test]
    fn hostile_fragments_never_panic_exceed_the_limits_or_mix_bytes(
        fragments in prop::collection::vec(
            (any::<bool>(), 0..3_u32, 0..12_usize, any::<bool>(), 0..40_usize, 0..2_u8), 0..120,
        ),
        datagrams in 0..4_usize,
        bytes in 0..6000_usize,
    ) {
        let limits = Limits { datagrams, bytes, fragments: 6, ..Limits::default() };
        let mut reassembly = Reassembly::new(limits);
        let mut now = 0;
        for (v6, id, offset, more, len, fill) in fragments {
            now += 400_000;
            let packet = piece(v6, id, offset * 8, more, &vec![fill; len]);
            let _ = feed_at(&mut reassembly, Micros(NOW.0 + now), &packet);
            prop_assert!(reassembly.bytes() <= bytes);
            prop_assert!(reassembly.datagrams.len() <= datagrams);
            let charged: usize = reassembly.datagrams.iter().map(Datagram::charge).sum();
            prop_assert_eq!(charged, reassembly.bytes());
            if now % 3 == 0 {
                reassembly.expire(Micros(NOW.0 + now));
            }
        }
        reassembly.expire(Micros(u64::MAX));
        prop_assert_eq!(reassembly.bytes(), 0);
    }

    #[test]
    fn an_overlap_at_any_place_keeps_the_datagram_from_completing(
        v6: bool, start in 0..60_usize, blocks in 1..8_usize, at in 0..4_usize,
    ) {
        let frames = fragments(v6, 7, 500, 180);
        let bytes = vec![0xee; blocks * 8];
        let bad = piece(v6, 7, start * 8, true, &bytes);
        let mut reassembly = reassembly();
        let mut completed = false;
        let before = at.min(frames.len() - 1);
        for frame in frames[..before].iter().chain([&bad]).chain(&frames[before..]) {
            completed |= matches!(feed(&mut reassembly, frame), Ok(Some(_)));
        }
        prop_assert!(!completed);
    }

    #[test]
    fn random_bytes_never_panic(
        v6: bool, mut bytes in prop::collection::vec(any::<u8>(), 0..120), lie in 0..70_000_usize,
    ) {
        if let Some(first) = bytes.first_mut() {
            *first = if v6 { 0x60 } else { 0x45 };
        }
        let mut reassembly = reassembly();
        let _ = feed(&mut reassembly, &bytes);
        let mut info = FragmentInfo::of(&piece(v6, 1, 8, false, &[5; 8])).unwrap();
        info.header_len = lie % 130;
        info.offset = lie;
        let _ = reassembly.insert(NOW, &bytes, &info);
        reassembly.expire(Micros(u64::MAX));
    }
}
