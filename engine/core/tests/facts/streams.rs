//! Bytes both ways, in order, once.

use core::time::Duration;

use engine::RemoteEnd;

use crate::support::{Bench, Device, Family, Seen, closes, stream, tcp};

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 % 251) as u8).collect()
}

#[test]
fn bytes_of_the_device_reach_the_dialer() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.connect(&mut device);
        let seen = bench.feed([device.data(b"GET "), device.data(b"/")]);
        assert_eq!(stream(&seen), b"GET /");
        assert!(
            seen.iter()
                .all(|seen| !matches!(seen, Seen::Data(id, _) if *id != flow))
        );
        let acks = tcp(&seen);
        assert_eq!(acks.len(), 1, "one acknowledgement for the batch");
        assert_eq!((acks[0].flags.as_str(), acks[0].ack), (".", device.next));
        assert_eq!(bench.counter("upstream_bytes"), 5);
    }
}

#[test]
fn bytes_of_the_remote_reach_the_device_in_segments_it_can_take() {
    for (family, mss) in [(Family::V4, 1400), (Family::V6, 1400)] {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.connect(&mut device);
        let data = pattern(5000);
        let (taken, seen) = bench.remote(flow, &data);
        assert_eq!(taken, 5000);
        let segments = tcp(&seen);
        assert!(segments.iter().all(|segment| segment.payload.len() <= mss));
        device.receive(&seen);
        assert_eq!(device.received, data);
        assert_eq!(bench.counter("downstream_bytes"), 5000);
        assert_eq!(bench.feed([device.ack()]), []);
        assert_eq!(
            bench.wait(Duration::from_secs(100)),
            [],
            "all was acknowledged"
        );
    }
}

#[test]
fn segments_out_of_order_are_put_in_order() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    bench.connect(&mut device);
    let (a, b, c) = (
        device.data(b"one"),
        device.data(b"two"),
        device.data(b"six"),
    );
    let seen = bench.feed([&c, &a, &b, &a]);
    assert_eq!(stream(&seen), b"onetwosix");
}

#[test]
fn the_stream_survives_the_wrap_of_sequence_numbers() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    let data = pattern(40_000);
    let mut got = Vec::new();
    for chunk in data.chunks(1000) {
        got.extend(stream(&bench.feed([device.data(chunk)])));
        let (_, seen) = bench.remote(flow, chunk);
        device.receive(&seen);
        bench.feed([device.ack()]);
    }
    assert!(device.next < device.isn, "the numbers wrapped");
    assert!(got == data);
    assert!(device.received == data);
}

#[test]
fn a_lost_segment_is_sent_again() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.connect(&mut device);
        let (_, lost) = bench.remote(flow, b"lost once");
        assert_eq!(tcp(&lost).len(), 1);
        let again = bench.wait(Duration::from_millis(300));
        assert_eq!(tcp(&again), tcp(&lost));
        assert_eq!(bench.counter("tcp_retransmissions"), 1);
        device.receive(&again);
        assert_eq!(device.received, b"lost once");
    }
}

#[test]
fn an_extension_header_before_tcp_is_looked_through() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V6);
    let with_options = |frame: Vec<u8>, header: u8| {
        // One extension header of eight bytes that holds a PadN option.
        let mut longer = frame[..40].to_vec();
        longer[4..6].copy_from_slice(&(frame.len() as u16 - 40 + 8).to_be_bytes());
        longer[6] = header;
        longer.extend([6, 0, 1, 4, 0, 0, 0, 0]);
        longer.extend(&frame[40..]);
        longer
    };
    let seen = bench.feed([with_options(device.syn(), 60)]);
    let flow = crate::support::dials(&seen)[0].0;
    device.receive(&bench.dialed(flow, engine::DialResult::Connected));
    assert_eq!(device.received_syn, 1);
    let data = device.data(b"behind options");
    let seen = bench.feed([with_options(data, 0)]);
    assert_eq!(stream(&seen), b"behind options");
    let data = device.data(b"again");
    assert_eq!(stream(&bench.feed([with_options(data, 60)])), b"again");
}

#[test]
fn payload_after_the_fin_is_not_handed_over() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        bench.connect(&mut device);
        assert_eq!(
            stream(&bench.feed([device.data(b"all"), device.fin()])),
            b"all"
        );
        let seen = bench.feed([device.data(b"more")]);
        assert_eq!(stream(&seen), b"");
        assert!(
            tcp(&seen)
                .iter()
                .all(|segment| segment.ack == device.next.wrapping_sub(4))
        );
    }
}

#[test]
fn a_late_acknowledgement_does_not_take_its_data_along() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    let early = device.data(b"sent before, came after");
    let (_, seen) = bench.remote(flow, b"reply");
    device.receive(&seen);
    bench.feed([device.ack()]);
    assert_eq!(stream(&bench.feed([early])), b"sent before, came after");
}

#[test]
fn data_and_fin_beyond_the_window_lose_the_fin_not_the_data() {
    let mut bench = Bench::with(|config| config.rx_buffer = Some(64));
    let mut device = Device::new(Family::V4);
    let flow = bench.connect(&mut device);
    bench.engine.remote_blocked(bench.now, flow).expect("open");
    let data = pattern(100);
    let start = device.next;
    let seen = bench.feed([device.raw("F.", start, b"", &data)]);
    assert_eq!(
        tcp(&seen).last().expect("an answer").ack,
        start.wrapping_add(64)
    );
    let seen = bench.writable(flow);
    assert_eq!(stream(&seen), data[..64]);
    assert!(!seen.contains(&Seen::HalfClose(flow)), "the stream goes on");
    let seen = bench.feed([device.raw("F.", start.wrapping_add(64), b"", &data[64..])]);
    assert_eq!(stream(&seen), data[64..]);
    assert!(seen.contains(&Seen::HalfClose(flow)));
}

#[test]
fn options_of_the_ipv4_header_are_looked_through() {
    let mut bench = Bench::with(|_| {});
    let mut device = Device::new(Family::V4);
    // Four bytes of NOP between header and segment; the checksum grows by what was added.
    let with_options = |frame: Vec<u8>| {
        let mut longer = frame[..20].to_vec();
        longer[0] = 0x46;
        longer[2..4].copy_from_slice(&(frame.len() as u16 + 4).to_be_bytes());
        longer[10..12].fill(0);
        longer.extend([1; 4]);
        let words = longer
            .chunks(2)
            .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1]));
        let sum: u32 = words.sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        let check = !(((sum & 0xffff) + (sum >> 16)) as u16);
        longer[10..12].copy_from_slice(&check.to_be_bytes());
        longer.extend(&frame[20..]);
        longer
    };
    let seen = bench.feed([with_options(device.syn())]);
    let flow = crate::support::dials(&seen)[0].0;
    device.receive(&bench.dialed(flow, engine::DialResult::Connected));
    let data = device.data(b"behind options");
    assert_eq!(stream(&bench.feed([with_options(data)])), b"behind options");
}

#[test]
fn a_flow_on_rings_used_before_shows_nothing_of_the_last_one() {
    let mut bench = Bench::with(|_| {});
    for round in 0..6 {
        let mut device = Device::on_port(Family::BOTH[round % 2], 40_000 + round as u16, 443);
        let flow = bench.connect(&mut device);
        let mark = b'a' + round as u8;
        // A hole in the middle: what lies in the ring behind it must not be taken for payload that came.
        let pieces = [
            device.data(&[mark; 900]),
            device.data(&[mark; 900]),
            device.data(&[mark; 900]),
        ];
        assert_eq!(stream(&bench.feed([&pieces[0], &pieces[2]])), [mark; 900]);
        assert_eq!(stream(&bench.feed([&pieces[1]])), [mark; 1800]);
        let (_, seen) = bench.remote(flow, &vec![mark; 6000]);
        device.receive(&seen);
        assert_eq!(device.received, vec![mark; 6000]);
        bench.feed([device.ack()]);
        let seen = bench.feed([device.fin()]);
        device.receive(&seen);
        let seen = bench.end(flow, RemoteEnd::Eof);
        device.receive(&seen);
        assert!(device.received_fin);
        assert_eq!(closes(&bench.feed([device.ack()])), ["device fin"]);
    }
}

#[test]
fn a_scaled_window_of_the_device_is_kept_to() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|config| {
            config.tx_buffer = Some(1 << 20);
            config.congestion_control = false;
        });
        let mut device = Device::new(family);
        // MSS 1400, window scale 7: the field says 100, the window is 12,800 bytes.
        device.syn_options = vec![2, 4, 5, 120, 1, 3, 3, 7];
        device.window = 100;
        let flow = bench.connect(&mut device);
        let (_, mut seen) = bench.remote(flow, &pattern(200_000));
        for field in [100, 300, 77] {
            let before = device.received.len();
            device.receive(&seen);
            let payload = device.received.len() - before;
            let window = usize::from(device.window) << 7;
            assert!(
                (window - 1400..=window).contains(&payload),
                "{family:?}: {payload} bytes in a window of {window}"
            );
            device.window = field;
            seen = bench.feed([device.ack()]);
        }
    }
}

#[test]
fn payload_beside_a_hole_leaves_room_for_the_block_that_tells_of_it() {
    for family in Family::BOTH {
        let mut bench = Bench::with(|_| {});
        let mut device = Device::new(family);
        let flow = bench.connect(&mut device);
        let late = device.data(b"late");
        let from = device.next;
        bench.feed([device.data(b"early")]);
        let block = [from, device.next].map(u32::to_be_bytes).concat();
        let option = [&[1, 1, 5, 10][..], &block].concat();
        let sent = tcp(&bench.remote(flow, &pattern(4000)).1);
        assert!(sent.len() >= 3);
        for segment in sent {
            assert_eq!(segment.options, option);
            assert!(
                segment.payload.len() + option.len() <= 1400,
                "the device's MSS"
            );
        }
        bench.feed([late]);
        let whole = tcp(&bench.remote(flow, &pattern(4000)).1);
        assert_eq!(
            (whole[0].payload.len(), &whole[0].options[..]),
            (1400, &[][..])
        );
    }
}
