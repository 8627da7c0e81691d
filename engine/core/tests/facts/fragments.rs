//! Datagrams in pieces: put together on the way in, cut on the way out.

use core::time::Duration;

use engine::{DialResult, TimerName};

use crate::support::{Bench, Device, Family, Packet, Udp, datagrams, dials, packets};

/// Cuts a packet into fragments of at most `size` bytes of payload.
fn cut(frame: &[u8], size: usize, id: u16) -> Vec<Vec<u8>> {
    let v6 = frame[0] >> 4 == 6;
    let header = if v6 { 40 } else { 20 };
    let payload = &frame[header..];
    let count = payload.len().div_ceil(size);
    payload
        .chunks(size)
        .enumerate()
        .map(|(at, chunk)| {
            let more = at + 1 < count;
            let mut out = frame[..header].to_vec();
            if v6 {
                out[4..6].copy_from_slice(&(chunk.len() as u16 + 8).to_be_bytes());
                let next = core::mem::replace(&mut out[6], 44);
                let offset = (at * size) as u16 | u16::from(more);
                out.extend([next, 0, (offset >> 8) as u8, offset as u8, 0, 0]);
                out.extend(id.to_be_bytes());
            } else {
                out[2..4].copy_from_slice(&(chunk.len() as u16 + 20).to_be_bytes());
                out[4..6].copy_from_slice(&id.to_be_bytes());
                let offset = (at * size / 8) as u16 | u16::from(more) << 13;
                out[6..8].copy_from_slice(&offset.to_be_bytes());
                out[10..12].fill(0);
                let sum: u32 = out
                    .chunks(2)
                    .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]))
                    .sum();
                let folded = (sum & 0xffff) + (sum >> 16);
                let folded = (folded & 0xffff) + (folded >> 16);
                out[10..12].copy_from_slice(&(!(folded as u16)).to_be_bytes());
            }
            out.extend(chunk);
            out
        })
        .collect()
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn fragments_in_any_order_are_one_datagram() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let udp = Udp::new(family, 5000, 7);
        let flow = dials(&bench.feed([udp.send(b"open")]))[0].0;
        bench.dialed(flow, DialResult::Connected);
        let mut frames = cut(&udp.send(&pattern(5000)), 1200, 9);
        frames.swap(0, 3);
        let (last, first) = frames.split_last().expect("several");
        assert_eq!(bench.feed(first), []);
        let seen = bench.feed([last]);
        assert!(datagrams(&seen) == [pattern(5000)]);
        assert_eq!(bench.counter("fragments_in"), 5);
        assert_eq!(bench.counter("reassembled"), 1);
    }
}

#[test]
fn a_fragmented_syn_opens_a_flow() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let seen = bench.feed(cut(&device.syn(), 24, 3));
        let flow = dials(&seen)[0].0;
        device.receive(&bench.dialed(flow, DialResult::Connected));
        assert_eq!(device.received_syn, 1);
    }
}

#[test]
fn a_datagram_that_stays_incomplete_is_reported_after_a_minute() {
    for (family, wanted) in [(Family::V4, (11, 1)), (Family::V6, (3, 1))] {
        let mut bench = Bench::with(|_| {});
        let frames = cut(&Udp::new(family, 5000, 7).send(&pattern(3000)), 1200, 9);
        assert_eq!(bench.feed([&frames[0]]), []);
        let deadline = bench.engine.poll_timeout().expect("reassembly");
        assert_eq!(deadline.timer, TimerName::Reassembly);
        let seen = bench.wait(Duration::from_secs(61));
        let [Packet::Icmp { kind, code, .. }] = &packets(&seen)[..] else {
            panic!("one ICMP error: {seen:?}");
        };
        assert_eq!((*kind, *code), wanted);
        assert_eq!(bench.engine.poll_timeout(), None);
    }
}

#[test]
fn fragments_that_overlap_are_dropped_and_counted() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let frame = Udp::new(family, 5000, 7).send(&pattern(3000));
        let (narrow, wide) = (cut(&frame, 1200, 9), cut(&frame, 1600, 9));
        bench.feed([&narrow[0], &wide[1], &narrow[1], &narrow[2]]);
        assert!(bench.counter("drop_fragment_refused") >= 1);
        assert_eq!(bench.counter("udp_flows"), u64::from(false));
    }
}

#[test]
fn a_reply_beyond_the_mtu_leaves_in_fragments() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let udp = Udp::new(family, 5000, 7);
        let flow = dials(&bench.feed([udp.send(b"open")]))[0].0;
        bench.dialed(flow, DialResult::Connected);
        bench.wire.clear();
        let seen = bench.datagram(flow, &pattern(4000));
        assert!(
            packets(&seen)
                .iter()
                .all(|p| matches!(p, Packet::Fragment(_)))
        );
        assert_eq!(packets(&seen).len(), 3);
        assert!(bench.wire.iter().all(|frame| frame.len() <= 1500));
        // Another engine puts them together: addresses swapped, the reply is a datagram to it.
        let mut other = Bench::with(|_| {});
        let seen = other.feed(&bench.wire);
        let back = dials(&seen)[0];
        assert_eq!((back.1.client, back.1.server), (udp.remote, udp.local));
        assert!(datagrams(&other.dialed(back.0, DialResult::Connected)) == [pattern(4000)]);
    }
}
