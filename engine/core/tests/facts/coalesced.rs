//! Segments that carry on from each other: coalesced where the device could have sent them as one, and only there.

use proptest::prelude::*;

use crate::support::{Bench, Device, Family, Seen, packets, stream, tcp};

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

fn connected(family: Family) -> (Bench, Device) {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(family);
    bench.connect(&mut device);
    (bench, device)
}

/// A window's worth of payload in segments.
fn burst(device: &mut Device, payload: &[u8]) -> Vec<Vec<u8>> {
    payload
        .chunks(1000)
        .map(|piece| device.data(piece))
        .collect()
}

#[test]
fn segments_that_carry_on_are_coalesced_and_counted_frame_by_frame() {
    for family in Family::BOTH {
        let (mut bench, mut device) = connected(family);
        let payload = pattern(8000);
        let seen = bench.feed(burst(&mut device, &payload));
        let lent: Vec<_> = seen
            .iter()
            .filter(|seen| matches!(seen, Seen::Data(..)))
            .collect();
        assert_eq!((lent.len(), stream(&seen)), (1, payload));
        assert_eq!(tcp(&seen).len(), 1, "one acknowledgement");
        assert_eq!(tcp(&seen)[0].ack, device.next);
        assert_eq!(bench.counter("taken_text"), 8);
        assert_eq!(bench.counter("taken_merged"), 7);
        assert_eq!(bench.counter("frames_in"), 10);
    }
}

#[test]
fn a_damaged_segment_ends_what_is_coalesced_and_costs_no_other() {
    let (mut bench, mut device) = connected(Family::V4);
    let payload = pattern(5000);
    let mut frames = burst(&mut device, &payload);
    frames[2][500] ^= 1;
    let seen = bench.feed(frames);
    assert_eq!(stream(&seen), payload[..2000]);
    assert_eq!(bench.counter("drop_bad_transport_checksum"), 1);
    assert_eq!(
        bench.counter("taken_text"),
        4,
        "two behind the hole as well"
    );
}

#[test]
fn payload_behind_a_copy_reaches_the_dialer() {
    let (mut bench, mut device) = connected(Family::V4);
    let copy = device.data(&pattern(1000));
    bench.feed([copy.clone()]);
    let payload = pattern(4000);
    let mut frames = burst(&mut device, &payload);
    frames.insert(0, copy);
    let seen = bench.feed(frames);
    // Were the window full, nothing would come that brought it up.
    assert!(stream(&seen) == payload);
    assert_eq!(
        tcp(&seen).last().map(|segment| segment.ack),
        Some(device.next)
    );
}

#[test]
fn segments_of_other_flows_in_between_end_what_is_coalesced() {
    let (mut bench, mut one) = connected(Family::V4);
    let mut two = Device::on_port(Family::V4, 40_001, 443);
    bench.connect(&mut two);
    bench.feed([
        one.data(b"a"),
        two.data(b"b"),
        one.data(b"c"),
        two.data(b"d"),
    ]);
    assert_eq!(bench.counter("taken_text"), 4);
    assert_eq!(bench.counter("taken_merged"), 0);
}

#[test]
fn payload_beyond_the_window_is_not_taken_along() {
    let mut bench = Bench::with(|config| config.rx_buffer = Some(4096));
    let mut device = Device::new(Family::V4);
    bench.connect(&mut device);
    let payload = pattern(6000);
    let seen = bench.feed(burst(&mut device, &payload));
    let window = stream(&seen).len();
    assert!(stream(&seen) == payload[..window] && (4000..=4096).contains(&window));
    assert_eq!(bench.counter("taken_merged"), 3);
}

#[test]
fn acknowledgements_of_a_batch_free_all_they_tell_of() {
    let (mut bench, mut device) = connected(Family::V4);
    let flow = bench.engine.inspect(bench.now).flows[0].flow;
    let payload = pattern(8000);
    let (_, seen) = bench.remote(flow, &payload);
    let sent = tcp(&seen);
    let acks: Vec<_> = sent
        .iter()
        .map(|segment| {
            device.take(segment);
            device.ack()
        })
        .collect();
    assert!(acks.len() > 4, "{} segments", acks.len());
    assert_eq!(packets(&bench.feed(acks)), []);
    assert_eq!(bench.wait(core::time::Duration::from_secs(100)), []);
}

/// What a device may do to its upload.
#[derive(Clone, Debug)]
enum Fault {
    None,
    Swap(usize),
    Drop(usize),
    Twice(usize),
    Damage(usize),
    Push(usize),
    Fin,
}

fn fault() -> impl Strategy<Value = Fault> {
    let at = 0..12_usize;
    prop_oneof![
        Just(Fault::None),
        at.clone().prop_map(Fault::Swap),
        at.clone().prop_map(Fault::Drop),
        at.clone().prop_map(Fault::Twice),
        at.clone().prop_map(Fault::Damage),
        at.prop_map(Fault::Push),
        Just(Fault::Fin),
    ]
}

proptest! {
    #[test]
    fn a_batch_means_what_its_frames_mean_one_by_one(
        sizes in proptest::collection::vec(1..1400_usize, 2..11),
        faults in proptest::collection::vec(fault(), 0..4),
        split in 0..12_usize,
        v6: bool,
    ) {
        let family = if v6 { Family::V6 } else { Family::V4 };
        let (mut whole, mut device) = connected(family);
        let (mut single, _) = connected(family);
        let payload = pattern(sizes.iter().sum());
        let mut rest = payload.as_slice();
        let mut frames = Vec::new();
        for size in sizes {
            let (piece, more) = rest.split_at(size);
            frames.push(device.data(piece));
            rest = more;
        }
        for fault in faults {
            let count = frames.len();
            match fault {
                Fault::None => {}
                Fault::Swap(at) => frames.swap(at % count, (at + 1) % count),
                Fault::Drop(at) if count > 1 => drop(frames.remove(at % count)),
                Fault::Drop(_) => {}
                Fault::Twice(at) => frames.insert(at % count, frames[at % count].clone()),
                Fault::Damage(at) => {
                    let last = frames[at % count].len() - 1;
                    frames[at % count][last] ^= 0x55;
                }
                // What is pushed again stands elsewhere: nothing but the order changes.
                Fault::Push(at) => frames.rotate_left(at % count),
                Fault::Fin => frames.push(device.fin()),
            }
        }
        // What comes twice may come in the next batch.
        let (before, after) = frames.split_at(split.min(frames.len()));
        let mut seen = whole.feed(before);
        seen.extend(whole.feed(after));
        let mut one_by_one = Vec::new();
        for frame in &frames {
            one_by_one.extend(single.feed([frame]));
        }
        prop_assert_eq!(stream(&seen), stream(&one_by_one));
        let last = |seen: &[Seen]| tcp(seen).last().map(|segment| segment.ack);
        prop_assert_eq!(last(&seen), last(&one_by_one));
        for name in ["taken_text", "taken_control", "frames_in", "drop_bad_transport_checksum", "upstream_bytes"] {
            prop_assert_eq!(whole.counter(name), single.counter(name), "{}", name);
        }
    }
}

#[test]
fn a_download_leaves_in_full_segments_of_which_the_last_one_pushes() {
    for family in Family::BOTH {
        let (mut bench, mut device) = connected(family);
        let flow = bench.engine.inspect(bench.now).flows[0].flow;
        let payload = pattern(6000);
        let (taken, seen) = bench.remote(flow, &payload);
        let sent = tcp(&seen);
        let sizes: Vec<_> = sent.iter().map(|segment| segment.payload.len()).collect();
        assert_eq!(taken, 6000);
        assert_eq!(sizes, [1400, 1400, 1400, 1400, 400]);
        let flags: Vec<_> = sent.iter().map(|segment| segment.flags.as_str()).collect();
        assert_eq!(flags, [".", ".", ".", ".", "P."]);
        device.receive(&seen);
        assert_eq!(device.received, payload);
    }
}

#[test]
fn after_a_timeout_one_segment_leaves_not_a_coalesced_one() {
    let mut bench = Bench::with(|config| config.loss_probe = false);
    bench.connect(&mut Device::new(Family::V4));
    let flow = bench.engine.inspect(bench.now).flows[0].flow;
    bench.remote(flow, &pattern(6000));
    let again = tcp(&bench.wait(core::time::Duration::from_millis(300)));
    assert_eq!(again.len(), 1, "RFC 5681 section 3.1: one segment");
    assert_eq!(again[0].payload.len(), 1400);
}
