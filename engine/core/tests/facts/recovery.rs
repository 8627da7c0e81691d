//! A lost packet costs round trips, not seconds: each packet of short transfers is dropped in turn.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use engine::{DialResult, Micros, RemoteEnd};

use crate::support::{Bench, Device, Family, Seen, Tcp, dials, packets, tcp};

const MS: Duration = Duration::from_millis(1);

/// A device that keeps what comes out of order, acknowledges everything at once and reports what it has.
struct Receiver {
    device: Device,
    sack: bool,
    /// By distance from the first byte: payload and FIN beyond a hole.
    ahead: BTreeMap<u32, (Vec<u8>, bool)>,
    first: u32,
    /// How many acknowledgements left.
    answers: usize,
}

impl Receiver {
    fn new(sack: bool) -> Self {
        let mut device = Device::new(Family::V4);
        device.syn_options = if sack {
            vec![2, 4, 3, 232, 4, 2, 0, 0]
        } else {
            vec![2, 4, 3, 232]
        };
        Self {
            device,
            sack,
            ahead: BTreeMap::new(),
            first: 0,
            answers: 0,
        }
    }

    /// What it answers.
    fn receive(&mut self, segment: &Tcp) -> Option<Vec<u8>> {
        if segment.has('S') {
            self.device.take(segment);
            self.first = self.device.expected;
            return Some(self.device.ack());
        }
        if segment.end() == segment.seq {
            return None;
        }
        let at = segment.seq.wrapping_sub(self.first);
        self.ahead
            .entry(at)
            .or_insert_with(|| (segment.payload.clone(), segment.has('F')));
        while let Some((&at, _)) = self.ahead.first_key_value() {
            let next = self.device.expected.wrapping_sub(self.first);
            if at > next {
                break;
            }
            let Some((_, (payload, fin))) = self.ahead.pop_first() else {
                break;
            };
            let known = (next - at) as usize;
            if known <= payload.len() && !self.device.received_fin {
                self.device.received.extend(&payload[known..]);
                self.device.received_fin = fin;
                let new = (payload.len() - known) as u32 + u32::from(fin);
                self.device.expected = self.device.expected.wrapping_add(new);
            }
        }
        Some(self.answer(at))
    }

    /// An acknowledgement, with the block that holds `newest` first.
    fn answer(&self, newest: u32) -> Vec<u8> {
        let mut blocks: Vec<(u32, u32)> = Vec::new();
        for (&at, (payload, fin)) in &self.ahead {
            let end = at + payload.len() as u32 + u32::from(*fin);
            match blocks.last_mut() {
                Some(last) if last.1 == at => last.1 = end,
                _ => blocks.push((at, end)),
            }
        }
        blocks.sort_by_key(|(left, right)| !(*left <= newest && newest < *right));
        if !self.sack || blocks.is_empty() {
            return self.device.ack();
        }
        blocks.truncate(3);
        let mut options = vec![1, 1, 5, 2 + 8 * blocks.len() as u8];
        for (left, right) in blocks {
            options.extend(self.first.wrapping_add(left).to_be_bytes());
            options.extend(self.first.wrapping_add(right).to_be_bytes());
        }
        self.device.raw(".", self.device.next, &options, b"")
    }
}

/// A transfer of so many bytes over a path of so long a round trip, and the packet that is dropped on the way.
struct Transfer {
    bytes: usize,
    round_trip: Duration,
    sack: bool,
    lost: Option<usize>,
    /// The acknowledgement that is dropped.
    lost_answer: Option<usize>,
    /// Of a thousand packets toward the device, how many are lost beside that one.
    per_mille: u32,
}

/// Which packets are lost: the same in every run.
struct Dice(u64);

impl Dice {
    fn loses(&mut self, per_mille: u32) -> bool {
        self.0 = self
            .0
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) % 1000 < u64::from(per_mille)
    }
}

impl Transfer {
    /// How long it takes until the device has everything, the end included; and how many packets left.
    fn run(&self) -> (Duration, usize) {
        let mut bench = Bench::with(|config| config.tx_buffer = Some(1 << 20));
        let mut receiver = Receiver::new(self.sack);
        let data: Vec<u8> = (0..self.bytes).map(|at| (at % 251) as u8).collect();
        let start = bench.now;
        let mut path: VecDeque<(Micros, Way)> = VecDeque::new();
        let syn = receiver.device.syn();
        let mut seen = bench.feed([syn]);
        let flow = dials(&seen)[0].0;
        seen.extend(bench.dialed(flow, DialResult::Connected));
        let (mut left, mut served, mut ended, mut offered) = (0, false, false, 0);
        let mut dice = Dice(1);
        for _ in 0..200_000 {
            for segment in tcp(&seen) {
                if self.lost != Some(left) && !dice.loses(self.per_mille) {
                    path.push_back((bench.now.plus(self.round_trip / 2), Way::Down(segment)));
                }
                left += 1;
            }
            if receiver.device.received_fin {
                assert_eq!(receiver.device.received, data, "{:?} lost", self.lost);
                return (bench.now.since(start), left);
            }
            seen = self.step(&mut bench, &mut receiver, &mut path);
            let state = |bench: &mut Bench| bench.engine.inspect(bench.now).flows[0].state;
            let called = seen.iter().any(|seen| matches!(seen, Seen::Resume(..)));
            if offered < data.len() && (called || (!served && state(&mut bench) == "ESTABLISHED")) {
                let (taken, more) = bench.remote(flow, &data[offered..]);
                offered += taken;
                served = true;
                seen.extend(more);
            }
            let ready = served || (data.is_empty() && state(&mut bench) == "ESTABLISHED");
            if ready && offered == data.len() && !ended {
                ended = true;
                seen.extend(bench.end(flow, RemoteEnd::Eof));
            }
        }
        panic!("{} bytes, {:?} lost: it did not end", self.bytes, self.lost);
    }

    /// What comes next: a packet at either end, or a deadline.
    fn step(
        &self,
        bench: &mut Bench,
        receiver: &mut Receiver,
        path: &mut VecDeque<(Micros, Way)>,
    ) -> Vec<Seen> {
        let arrival = path.front().map(|(at, _)| *at);
        let deadline = bench.engine.poll_timeout().map(|deadline| deadline.at);
        match (arrival, deadline) {
            (Some(at), deadline) if deadline.is_none_or(|deadline| at <= deadline) => {
                bench.now = at;
                match path.pop_front() {
                    Some((_, Way::Down(segment))) => {
                        if let Some(answer) = receiver.receive(&segment) {
                            if self.lost_answer != Some(receiver.answers) {
                                path.push_back((at.plus(self.round_trip / 2), Way::Up(answer)));
                            }
                            receiver.answers += 1;
                        }
                        Vec::new()
                    }
                    Some((_, Way::Up(frame))) => bench.feed([frame]),
                    None => Vec::new(),
                }
            }
            (_, Some(at)) => {
                bench.now = at;
                bench.engine.handle_timeout(at);
                bench.drain()
            }
            _ => panic!("nothing is left to happen"),
        }
    }
}

enum Way {
    Down(Tcp),
    Up(Vec<u8>),
}

#[test]
fn a_lost_packet_stalls_no_short_transfer_longer_than_three_round_trips_and_a_quarter_second() {
    for sack in [true, false] {
        for round_trip in [MS / 10, 2 * MS, 20 * MS, 100 * MS] {
            for bytes in [0, 1, 1000, 2500, 6000, 30_000] {
                let transfer = |lost| Transfer {
                    bytes,
                    round_trip,
                    sack,
                    lost,
                    lost_answer: None,
                    per_mille: 0,
                };
                let (whole, packets) = transfer(None).run();
                for lost in 0..packets {
                    let (time, _) = transfer(Some(lost)).run();
                    let stall = time.saturating_sub(whole);
                    let most = if lost == 0 {
                        Duration::from_secs(1) + 3 * round_trip
                    } else {
                        3 * round_trip + 250 * MS
                    };
                    assert!(
                        stall <= most,
                        "{bytes} bytes, {round_trip:?}, packet {lost} of {packets} lost, sack: {sack}: {stall:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_lost_acknowledgement_stalls_no_short_transfer_longer_than_a_lost_segment() {
    for round_trip in [MS / 10, 2 * MS, 20 * MS, 100 * MS] {
        for bytes in [0, 1, 1000, 2500, 6000, 30_000] {
            let transfer = |lost_answer| Transfer {
                bytes,
                round_trip,
                sack: true,
                lost: None,
                lost_answer,
                per_mille: 0,
            };
            let (whole, packets) = transfer(None).run();
            for lost in 0..packets {
                let (time, _) = transfer(Some(lost)).run();
                let stall = time.saturating_sub(whole);
                // The first completes the handshake: the SYN-ACK comes again.
                let timer = if lost == 0 { 1000 * MS } else { 250 * MS };
                assert!(
                    stall <= timer + 3 * round_trip,
                    "{bytes} bytes, {round_trip:?}, acknowledgement {lost} lost: {stall:?}"
                );
            }
        }
    }
}

#[test]
fn within_a_flight_a_lost_segment_is_repaired_in_a_round_trip() {
    let transfer = |lost| Transfer {
        bytes: 9000,
        round_trip: 20 * MS,
        sack: true,
        lost,
        lost_answer: None,
        per_mille: 0,
    };
    let (whole, _) = transfer(None).run();
    for lost in 1..7 {
        let (time, _) = transfer(Some(lost)).run();
        assert!(time <= whole + 25 * MS, "{lost}: {time:?} after {whole:?}");
    }
}

/// M. Mathis et al. (1997): what a window that is halved at each loss carries, with an acknowledgement for each segment.
fn mathis(segment: f64, round_trip: Duration, loss: f64) -> f64 {
    1.22 * segment / (round_trip.as_secs_f64() * loss.sqrt())
}

#[test]
fn a_lossy_path_carries_most_of_what_its_losses_allow() {
    for (per_mille, bytes) in [(10, 3_000_000), (50, 1_000_000)] {
        let transfer = Transfer {
            bytes,
            round_trip: 20 * MS,
            sack: true,
            lost: None,
            lost_answer: None,
            per_mille,
        };
        let (time, _) = transfer.run();
        let rate = bytes as f64 / time.as_secs_f64();
        let share = rate / mathis(1000.0, transfer.round_trip, f64::from(per_mille) / 1000.0);
        println!("{per_mille} of a thousand lost: {share:.2} of Mathis' bound");
        let least = if per_mille <= 10 { 0.7 } else { 0.5 };
        assert!(share >= least, "{per_mille} lost: {share:.2}");
    }
}

#[test]
fn the_least_timeout_is_a_setting() {
    for (floor, most) in [(200, 300), (5, 60)] {
        let mut bench = Bench::with(|config| config.min_rto = floor * MS);
        let mut device = Device::new(Family::V4);
        let flow = bench.connect(&mut device);
        bench.remote(flow, b"lost");
        let again = bench.wait(Duration::from_millis(most));
        let copies = tcp(&again);
        assert!(!copies.is_empty(), "a floor of {floor} ms");
        assert_eq!(copies[0].payload, b"lost");
        assert_eq!(packets(&again).len(), copies.len());
    }
}
