//! One flow: what comes next of it.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use replay::packet::{Flags, Seq, build};

use super::{PAYLOAD, Random};

/// A flow that is open.
#[derive(Debug)]
pub(super) struct Flow {
    number: u64,
    ends: [SocketAddr; 2],
    kind: Kind,
    /// Between a packet and the answer to it, nanoseconds.
    rtt: u64,
    now: u64,
    queue: VecDeque<(u64, Packet)>,
    stage: Stage,
    /// Exchanges of a request and an answer that are to come.
    exchanges: u64,
    /// Bytes of the request and of the answer under way.
    left: [u64; 2],
    /// Segments of a round.
    window: u64,
    isn: [u32; 2],
    sent: [u64; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Tcp,
    Dns,
    Quic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begin,
    Talk,
    Over,
}

/// A packet to come; sides are 0 for the device and 1 for the far end.
#[derive(Clone, Copy, Debug)]
struct Packet {
    side: usize,
    flags: Flags,
    at: u64,
    ack: u64,
    len: usize,
    /// What is there beyond the acknowledgement, from and to.
    sack: Option<(u64, u64)>,
}

const UP: usize = 0;
const DOWN: usize = 1;

/// Bytes of a segment with timestamps at an MTU of 1,500.
const MSS: u64 = 1_428;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

impl Flow {
    pub(super) fn new(number: u64, at: u64, random: &mut Random) -> Self {
        let kind = match random.below(10) {
            0..2 => Kind::Dns,
            2 => Kind::Quic,
            _ => Kind::Tcp,
        };
        let host = 1 + random.below(250) as u8;
        let port = 32_768 + (number % 28_000) as u16;
        let v6 = number.is_multiple_of(4);
        let (device, far): (IpAddr, IpAddr) = if v6 {
            let device = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
            let far = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, host.into());
            (device.into(), far.into())
        } else {
            let device = Ipv4Addr::new(10, 0, 0, 2);
            (device.into(), Ipv4Addr::new(198, 51, 100, host).into())
        };
        let to = if kind == Kind::Dns { 53 } else { 443 };
        Self {
            number,
            ends: [SocketAddr::new(device, port), SocketAddr::new(far, to)],
            kind,
            rtt: 5 * MS + random.below(60 * MS),
            now: at,
            queue: VecDeque::new(),
            stage: Stage::Begin,
            exchanges: 1 + random.below(6),
            left: [0, 0],
            window: 10,
            isn: [random.next() as u32, random.next() as u32],
            sent: [0, 0],
        }
    }

    /// When the next packet comes; if none is made so far, when it is time to make some.
    pub(super) fn due(&self) -> u64 {
        self.queue.front().map_or(self.now, |(at, _)| *at)
    }

    /// The next packet; none when the flow is over. Once the file is `full`, it comes to its end.
    pub(super) fn next(
        &mut self,
        full: bool,
        payload: &[u8],
        random: &mut Random,
    ) -> Option<Vec<u8>> {
        if self.stage == Stage::Begin {
            self.more(full, random);
        }
        let (at, packet) = self.queue.pop_front()?;
        while self.queue.is_empty() && self.stage != Stage::Over {
            self.more(full, random);
        }
        Some(self.build(packet, at, payload))
    }

    /// Makes what comes next.
    fn more(&mut self, full: bool, random: &mut Random) {
        if full && self.stage == Stage::Talk {
            (self.exchanges, self.left) = (0, [0, 0]);
        }
        match (self.kind, self.stage) {
            (_, Stage::Over) => {}
            (Kind::Tcp, Stage::Begin) => {
                self.put(0, UP, Flags::SYN, 0);
                self.put(self.rtt, DOWN, Flags::SYN.with(Flags::ACK), 0);
                self.put(50 * US, UP, Flags::ACK, 0);
                self.stage = Stage::Talk;
            }
            (Kind::Tcp, Stage::Talk) => self.talk(random),
            (Kind::Dns, _) => {
                self.put(0, UP, Flags(0), 34);
                self.put(self.rtt, DOWN, Flags(0), 50 + random.below(200));
                self.stage = Stage::Over;
            }
            (Kind::Quic, Stage::Begin) => {
                self.left[DOWN] = random.size(1, 7);
                self.stage = Stage::Talk;
            }
            (Kind::Quic, Stage::Talk) => {
                self.put(0, UP, Flags(0), 1_200 - random.below(800));
                for _ in 0..random.below(8) {
                    self.put(100 * US, DOWN, Flags(0), 1_200);
                }
                self.now += self.rtt;
                self.left[DOWN] = self.left[DOWN].saturating_sub(1);
                if self.left[DOWN] == 0 {
                    self.stage = Stage::Over;
                }
            }
        }
    }

    fn talk(&mut self, random: &mut Random) {
        if self.left != [0, 0] {
            let side = if self.left[UP] > 0 { UP } else { DOWN };
            return self.round(side, random);
        }
        if self.exchanges > 0 {
            self.exchanges -= 1;
            // Most download, every eighth uploads.
            self.left = if random.one_in(8) {
                [random.size(12, 20), random.size(7, 10)]
            } else {
                [random.size(7, 11), random.size(9, 20)]
            };
            self.now += random.below(20 * MS);
            return;
        }
        self.stage = Stage::Over;
        match random.below(16) {
            0 => self.put(self.rtt, UP, Flags::RST.with(Flags::ACK), 0),
            first @ 1.. => {
                let first = usize::from(first > 8);
                self.put(self.rtt, first, Flags::FIN.with(Flags::ACK), 0);
                self.sent[first] += 1;
                self.put(self.rtt, 1 - first, Flags::FIN.with(Flags::ACK), 0);
                self.sent[1 - first] += 1;
                self.put(50 * US, first, Flags::ACK, 0);
            }
        }
    }

    /// A window of segments of one side, with the acknowledgements of the other.
    fn round(&mut self, side: usize, random: &mut Random) {
        let segments = self.left[side].div_ceil(MSS).min(self.window);
        let lost = (segments > 2 && random.one_in(40)).then(|| random.below(segments - 1));
        // A segment lost toward the device is not in the capture; one that the device sent is.
        let other = 1 - side;
        let delay = if side == UP { self.rtt } else { 20 * US };
        let mut hole: Option<(u64, u64)> = None;
        let mut answers = Vec::new();
        for nth in 0..segments {
            let len = self.left[side].min(MSS);
            let at = self.sent[side];
            let push = if len == self.left[side] || nth + 1 == segments {
                Flags::ACK.with(Flags::PSH)
            } else {
                Flags::ACK
            };
            self.now += 12 * US + random.below(8 * US);
            if lost == Some(nth) {
                hole = Some((at, len));
            }
            if lost != Some(nth) || side == UP {
                self.queue
                    .push_back((self.now, self.packet(side, push, len)));
            }
            self.sent[side] += len;
            self.left[side] -= len;
            let last = nth + 1 == segments;
            if hole.is_some() || nth % 2 == 1 || last {
                let (ack, sack) = match hole {
                    Some((at, len)) if self.sent[side] > at + len => {
                        (at, Some((at + len, self.sent[side])))
                    }
                    Some((at, _)) => (at, None),
                    None => (self.sent[side], None),
                };
                if lost != Some(nth) {
                    answers.push((self.now + delay, ack, sack));
                }
            }
        }
        for (at, ack, sack) in answers {
            let mut answer = self.packet(other, Flags::ACK, 0);
            (answer.ack, answer.sack) = (ack, sack);
            self.queue.push_back((at, answer));
        }
        self.now += self.rtt;
        if let Some((at, len)) = hole {
            let mut again = self.packet(side, Flags::ACK, len);
            again.at = at;
            self.queue.push_back((self.now, again));
            self.put(delay, other, Flags::ACK, 0);
            self.window = (self.window / 2).max(4);
        } else {
            self.window = (self.window + 8).min(128);
        }
        self.queue.make_contiguous().sort_by_key(|(at, _)| *at);
        self.now = self.queue.back().map_or(self.now, |(at, _)| *at);
    }

    fn packet(&self, side: usize, flags: Flags, len: u64) -> Packet {
        Packet {
            side,
            flags,
            at: self.sent[side],
            ack: self.sent[1 - side],
            len: len as usize,
            sack: None,
        }
    }

    fn put(&mut self, after: u64, side: usize, flags: Flags, len: u64) {
        self.now += after;
        self.queue
            .push_back((self.now, self.packet(side, flags, len)));
        if self.kind != Kind::Tcp {
            self.sent[side] += len;
        }
    }

    fn build(&self, packet: Packet, at: u64, payload: &[u8]) -> Vec<u8> {
        let Packet {
            side,
            flags,
            at: place,
            ack,
            len,
            sack,
        } = packet;
        let (from, to) = (self.ends[side], self.ends[1 - side]);
        let start = (self.number * 7_919 + side as u64 * 977 + place) as usize % (PAYLOAD / 2);
        let mut text = payload.get(start..start + len).unwrap_or_default();
        let message;
        if self.kind == Kind::Dns {
            message = self.dns(side, len);
            text = &message;
        }
        if self.kind != Kind::Tcp {
            return build::udp(from, to, text);
        }
        let opening = flags.contains(Flags::SYN);
        let unit = |side: usize, place: u64| {
            let isn = self.isn.get(side).copied().unwrap_or_default();
            Seq(isn.wrapping_add(1).wrapping_add(place as u32))
        };
        let mut options: Vec<u8> = if opening {
            vec![2, 4, 0x05, 0x94 + 12, 4, 2, 1, 3, 3, 7]
        } else {
            Vec::new()
        };
        options.extend([1, 1, 8, 10]);
        options.extend(((at / MS) as u32).to_be_bytes());
        options.extend(((at / MS) as u32).saturating_sub(20).to_be_bytes());
        if let Some((from, to)) = sack {
            options.extend([1, 1, 5, 10]);
            options.extend(unit(1 - side, from).0.to_be_bytes());
            options.extend(unit(1 - side, to).0.to_be_bytes());
        }
        let mut spec = build::TcpSpec::new(from, to);
        spec.sequence = unit(side, place);
        if opening {
            spec.sequence = Seq(spec.sequence.0.wrapping_sub(1));
        }
        if flags.contains(Flags::ACK) {
            spec.acknowledgement = unit(1 - side, ack);
        }
        spec.flags = flags;
        spec.window = if opening { 65_535 } else { 8_192 };
        spec.options = &options;
        spec.payload = text;
        build::tcp(&spec)
    }

    /// A query for an address, or an answer to it that is padded to `len` bytes by a text record.
    fn dns(&self, side: usize, len: usize) -> Vec<u8> {
        let id = (self.number as u16).to_be_bytes();
        let label = format!("host{:08}", self.number % 100_000_000);
        let mut message = id.to_vec();
        message.extend(if side == UP { [1, 0] } else { [0x81, 0x80] });
        message.extend([0, 1, 0, if side == UP { 0 } else { 2 }, 0, 0, 0, 0]);
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
        message.extend(b"\x04test\0\0\x01\0\x01");
        if side == DOWN {
            message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            message.extend([198, 51, 100, (self.number % 250) as u8]);
            let text = len.saturating_sub(message.len() + 13).clamp(1, 255);
            message.extend([0xc0, 12, 0, 16, 0, 1, 0, 0, 0, 60, 0, text as u8 + 1]);
            message.push(text as u8);
            message.extend(std::iter::repeat_n(b'x', text));
        }
        message
    }
}
