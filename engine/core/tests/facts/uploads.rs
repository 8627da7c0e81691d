//! Uploads over a path: of the packets of both sides each is dropped in turn, and the device's own timer repairs it.

use core::time::Duration;
use std::collections::VecDeque;

use engine::{DialResult, Micros};

use crate::support::{Bench, Device, Family, Seen, Tcp, tcp};

const MS: Duration = Duration::from_millis(1);
/// After how long without an acknowledgement the device sends again, and the same for its SYN.
const TIMER: Duration = Duration::from_millis(300);
const SYN_TIMER: Duration = Duration::from_secs(1);

enum Way {
    Up(Vec<u8>),
    Down(Tcp),
}

/// Packets on their way, both ways; the one with this number is dropped.
struct Path {
    delay: Duration,
    lost: Option<usize>,
    left: usize,
    on_way: VecDeque<(Micros, Way)>,
}

impl Path {
    fn send(&mut self, now: Micros, packet: Way) {
        if self.lost != Some(self.left) {
            self.on_way.push_back((now.plus(self.delay), packet));
        }
        self.left += 1;
    }
}

/// A device that sends all it has at once, and the first of what is not acknowledged again when its timer strikes.
struct Uploader {
    device: Device,
    data: Vec<u8>,
    /// Bytes acknowledged, the FIN among them; `None` before the SYN-ACK.
    acked: Option<usize>,
    moved: Micros,
}

impl Uploader {
    fn timer(&self) -> Micros {
        self.moved.plus(match self.acked {
            Some(_) => TIMER,
            None => SYN_TIMER,
        })
    }

    /// The segment at this place: up to 1,000 bytes, or the FIN.
    fn segment(&self, at: usize) -> Vec<u8> {
        let seq = self.device.isn.wrapping_add(1 + at as u32);
        let end = self.data.len().min(at + 1000);
        match &self.data[at..end] {
            [] => self.device.raw("F.", seq, b"", b""),
            payload => self.device.raw("P.", seq, b"", payload),
        }
    }

    fn again(&mut self, now: Micros) -> Vec<u8> {
        self.moved = now;
        match self.acked {
            Some(at) => self.segment(at),
            None => self.device.syn(),
        }
    }

    /// What it answers to a segment.
    fn receive(&mut self, now: Micros, segment: &Tcp) -> Vec<Vec<u8>> {
        if !segment.has('S') {
            let acked = segment.ack.wrapping_sub(self.device.isn.wrapping_add(1)) as usize;
            if Some(acked) > self.acked {
                (self.acked, self.moved) = (Some(acked), now);
            }
            return Vec::new();
        }
        self.device.take(segment);
        let ack = self.device.ack();
        if self.acked.is_some() {
            return vec![ack];
        }
        (self.acked, self.moved) = (Some(0), now);
        let places = (0..self.data.len()).step_by(1000).chain([self.data.len()]);
        let segments = places.map(|at| self.segment(at));
        [ack].into_iter().chain(segments).collect()
    }
}

/// Uploads so many bytes; how long it takes until the far side and the device know of the end, and how many packets left.
fn upload(bytes: usize, round_trip: Duration, lost: Option<usize>) -> (Duration, usize) {
    let mut bench = Bench::with(|_| {});
    let start = bench.now;
    let mut uploader = Uploader {
        device: Device::new(Family::V4),
        data: (0..bytes).map(|at| (at % 251) as u8).collect(),
        acked: None,
        moved: start,
    };
    let mut path = Path {
        delay: round_trip / 2,
        lost,
        left: 0,
        on_way: VecDeque::new(),
    };
    path.send(start, Way::Up(uploader.again(start)));
    let (mut got, mut ended) = (Vec::new(), false);
    for _ in 0..10_000 {
        if ended && uploader.acked == Some(bytes + 1) {
            assert_eq!(got, uploader.data, "{lost:?} lost");
            return (bench.now.since(start), path.left);
        }
        let arrival = path.on_way.front().map(|(at, _)| *at);
        let deadline = bench.engine.poll_timeout().map(|deadline| deadline.at);
        let timer = uploader.timer();
        let now = [arrival, deadline]
            .into_iter()
            .flatten()
            .fold(timer, Micros::min);
        bench.now = now;
        let mut seen = Vec::new();
        if arrival == Some(now) {
            match path.on_way.pop_front() {
                Some((_, Way::Up(frame))) => seen = bench.feed([frame]),
                Some((_, Way::Down(segment))) => {
                    for frame in uploader.receive(now, &segment) {
                        path.send(now, Way::Up(frame));
                    }
                }
                None => {}
            }
        } else if deadline == Some(now) {
            bench.engine.handle_timeout(now);
            seen = bench.drain();
        } else {
            path.send(now, Way::Up(uploader.again(now)));
        }
        if let [Seen::Dial(flow, _)] = seen.as_slice() {
            seen = bench.dialed(*flow, DialResult::Connected);
        }
        for segment in tcp(&seen) {
            path.send(now, Way::Down(segment));
        }
        for seen in seen {
            match seen {
                Seen::Data(_, bytes) => got.extend(bytes),
                Seen::HalfClose(_) => ended = true,
                _ => {}
            }
        }
    }
    panic!("{bytes} bytes, {lost:?} lost: it did not end");
}

#[test]
fn a_lost_packet_stalls_no_upload_longer_than_the_devices_own_timer() {
    for round_trip in [MS / 10, 2 * MS, 20 * MS, 100 * MS] {
        for bytes in [0, 1, 1000, 2500, 8000] {
            let (whole, packets) = upload(bytes, round_trip, None);
            for lost in 0..packets {
                let (time, _) = upload(bytes, round_trip, Some(lost));
                let timer = if lost < 2 { SYN_TIMER } else { TIMER };
                let stall = time.saturating_sub(whole);
                assert!(
                    stall <= timer + 2 * round_trip,
                    "{bytes} bytes, {round_trip:?}, packet {lost} of {packets} lost: {stall:?}"
                );
            }
        }
    }
}
