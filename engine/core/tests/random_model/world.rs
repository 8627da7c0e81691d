//! The engine between clients and a dialer, and the weather between the engine and the clients.

use core::time::Duration;
use std::collections::VecDeque;

use engine::{Config, DialResult, FlowId, Micros, Proto, RemoteEnd};

use crate::client::{Client, byte};
use crate::datagrams::Datagrams;
use crate::peer::Peer;
use crate::support::{Bench, Device, Family, Packet, Seen};

/// What goes wrong, and how often out of 256.
#[derive(Clone, Debug, Default)]
pub(crate) struct Weather {
    pub(crate) lose: u8,
    pub(crate) duplicate: u8,
    pub(crate) reorder: u8,
    /// One bit of a frame is flipped: a checksum must notice.
    pub(crate) corrupt: u8,
}

/// Something happens at one of the flows (their number wraps).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) peer: usize,
    pub(crate) act: Act,
}

/// What happens.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    Wait(u16),
    DialerTakes(u16),
    DialerBlocks,
    DialerWritable,
    RemoteSends(u16),
    RemoteEnds,
    RemoteBreaks,
    RemoteFails,
    DeviceSends(u16),
    DeviceCloses,
    DeviceResets,
    DeviceWindow(u16),
    DatagramUp(u16),
    DatagramDown(u16),
}

/// Everything together.
pub(crate) struct World {
    pub(crate) bench: Bench,
    pub(crate) weather: Weather,
    pub(crate) peers: Vec<Peer>,
    pub(crate) closes_seen: u64,
    datagrams: Option<Datagrams>,
    luck: u64,
    /// Frames held back by the weather.
    delayed: VecDeque<Vec<u8>>,
    /// Dials that wait for their answer: when, and whose.
    pending: Vec<(Micros, FlowId, DialResult, Option<usize>)>,
}

impl World {
    pub(crate) fn new(config: Config) -> Self {
        Self {
            bench: Bench::new(config),
            weather: Weather::default(),
            peers: Vec::new(),
            closes_seen: 0,
            datagrams: None,
            luck: 0,
            delayed: VecDeque::new(),
            pending: Vec::new(),
        }
    }

    /// New clients on ports of their own; `luck` decides what the weather does.
    pub(crate) fn begin(
        &mut self,
        plan: &[(bool, DialResult, u16)],
        stamped: bool,
        round: u16,
        luck: u64,
    ) {
        self.luck = luck;
        let now = self.bench.now;
        for (at, (v6, result, delay)) in plan.iter().enumerate() {
            let family = if *v6 { Family::V6 } else { Family::V4 };
            let port = 40_000 + round * 100 + at as u16;
            let device = Device {
                stamps: stamped.then_some((0, 0)),
                ..Device::on_port(family, port, 443)
            };
            let client = Client::new(device, now);
            self.peers
                .push(Peer::new(client, (*result, u64::from(*delay))));
        }
        let family = if plan[0].0 { Family::V6 } else { Family::V4 };
        self.datagrams = Some(Datagrams::new(family, 50_000 + round));
    }

    /// Lets go of everything but the engine.
    pub(crate) fn forget(&mut self) {
        self.peers = Vec::new();
        self.datagrams = None;
        self.delayed = VecDeque::new();
        self.pending = Vec::new();
        self.bench.wire = Vec::new();
        self.bench.batches = Vec::new();
    }

    /// Every client sends SYNs until it was dialed for.
    pub(crate) fn knock(&mut self) {
        self.tick();
        for _ in 0..50 {
            for at in 0..self.peers.len() {
                if self.peers[at].flow.is_none() {
                    let frames = self.peers[at].client.speak(true);
                    self.deliver(frames);
                }
            }
        }
    }

    /// No more trouble, and both sides finish what they have begun.
    pub(crate) fn clear_up(&mut self) {
        self.weather = Weather::default();
        for peer in &mut self.peers {
            peer.takes = None;
            peer.client.window = 65_535;
            peer.client.wants_ack = true;
            peer.client.closed = true;
        }
    }

    /// Sets the clocks of all clients that have one.
    fn tick(&mut self) {
        for peer in &mut self.peers {
            if let Some((clock, _)) = &mut peer.client.device.stamps {
                *clock = (self.bench.now.0 / 1000) as u32;
            }
        }
    }

    fn roll(&mut self) -> u64 {
        self.luck = self
            .luck
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.luck >> 33
    }

    fn chance(&mut self, of_256: u8) -> bool {
        (self.roll() & 0xff) < u64::from(of_256)
    }

    pub(crate) fn act(&mut self, seen: Vec<Seen>) {
        let mut seen = VecDeque::from(seen);
        while let Some(next) = seen.pop_front() {
            match next {
                Seen::Frame(packet) => {
                    // What is corrupted on its way is dropped by the client's checksum: lost as well.
                    if self.chance(self.weather.lose) || self.chance(self.weather.corrupt) {
                        continue;
                    }
                    self.hear(&packet);
                    if self.chance(self.weather.duplicate) {
                        self.hear(&packet);
                    }
                }
                Seen::Dial(flow, key) if key.proto == Proto::Udp => {
                    if let Some(datagrams) = &mut self.datagrams {
                        datagrams.dialed(flow, &mut self.bench);
                        seen.extend(self.bench.drain());
                    }
                }
                Seen::Dial(flow, key) => {
                    let mine = |peer: &Peer| peer.client.device.local == key.client;
                    let at = self.peers.iter().position(mine);
                    let (mut result, mut delay) = (DialResult::Refused, 0);
                    if let Some(peer) = at.and_then(|at| self.peers.get_mut(at)) {
                        assert!(peer.open().is_none(), "one dial at a time");
                        if peer.flow.is_none() {
                            peer.flow = Some(flow);
                            (result, delay) = peer.dial;
                        }
                    }
                    let due = self.bench.now.plus(Duration::from_millis(delay));
                    self.pending.push((due, flow, result, at));
                }
                Seen::Data(flow, bytes) => {
                    let peer = self.peer_of(flow).expect("bytes of a flow that is open");
                    assert_eq!(peer.half_closes, 0, "bytes after the half-close");
                    peer.upstream.extend(bytes);
                }
                Seen::HalfClose(flow) => {
                    self.peer_of(flow).expect("a flow that is open").half_closes += 1;
                }
                Seen::Resume(flow, _) => {
                    self.peer_of(flow).expect("a flow that is open").may_send = true;
                }
                Seen::Close(flow, close) => {
                    self.closes_seen += 1;
                    self.pending.retain(|(_, pending, ..)| *pending != flow);
                    if let Some(peer) = self.peer_of(flow) {
                        peer.closes
                            .push(format!("{} {}", close.by, close.how.label()));
                    } else if let Some(datagrams) = &mut self.datagrams {
                        datagrams.closed(flow);
                    }
                }
                Seen::Datagram(_, payload) => {
                    if let Some(datagrams) = &self.datagrams {
                        datagrams.arrived_up(&payload);
                    }
                }
                Seen::Dns(..) | Seen::Resolve(..) => {}
            }
        }
    }

    fn peer_of(&mut self, flow: FlowId) -> Option<&mut Peer> {
        self.peers.iter_mut().find(|peer| peer.flow == Some(flow))
    }

    fn hear(&mut self, packet: &Packet) {
        for peer in &mut self.peers {
            peer.client.hear(packet);
        }
        if let Some(datagrams) = &self.datagrams {
            datagrams.hear(packet);
        }
    }

    /// The clients' frames through the weather into the engine.
    fn deliver(&mut self, frames: Vec<Vec<u8>>) {
        let mut arriving: Vec<Vec<u8>> = Vec::new();
        for mut frame in frames {
            if self.chance(self.weather.lose) {
                continue;
            }
            if self.chance(self.weather.duplicate) {
                arriving.push(frame.clone());
            }
            if self.chance(self.weather.corrupt) {
                let bit = self.roll() as usize % (frame.len() * 8);
                frame[bit / 8] ^= 1 << (bit % 8);
            }
            if self.chance(self.weather.reorder) {
                self.delayed.push_back(frame);
            } else {
                arriving.push(frame);
            }
        }
        if !self.delayed.is_empty() && (arriving.is_empty() || self.chance(90)) {
            arriving.extend(self.delayed.drain(..));
        }
        if !arriving.is_empty() {
            let seen = self.bench.feed(arriving);
            self.bench.check_lent();
            self.act(seen);
        }
    }

    /// Lets both sides talk until neither has anything to say at this instant.
    fn talk(&mut self) {
        // A window of one byte makes an exchange of each byte: a segment, its acknowledgement, a window update.
        let bytes: usize = self
            .peers
            .iter()
            .map(|peer| peer.client.written + peer.remote_written)
            .sum();
        self.tick();
        for _ in 0..1000 + 4 * bytes {
            let mut busy = self.answer_dials();
            for at in 0..self.peers.len() {
                self.peers[at].client.probes = self.chance(self.weather.duplicate);
                let frames = self.peers[at].client.speak(false);
                busy |= !frames.is_empty();
                busy |= self.offer(at);
                self.deliver(frames);
            }
            if !busy {
                return;
            }
        }
        panic!("two honest sides talk without end at one instant");
    }

    fn answer_dials(&mut self) -> bool {
        let now = self.bench.now;
        let Some(at) = self.pending.iter().position(|(due, ..)| *due <= now) else {
            return false;
        };
        let (_, flow, result, peer) = self.pending.remove(at);
        let seen = self.bench.dialed(flow, result);
        if let Some(peer) = peer.and_then(|at| self.peers.get_mut(at)) {
            peer.dialed = peer.flow == Some(flow) && result == DialResult::Connected;
        }
        self.act(seen);
        true
    }

    fn offer(&mut self, at: usize) -> bool {
        let peer = &self.peers[at];
        let Some(flow) = peer.connected() else {
            return false;
        };
        if !peer.may_send || peer.remote_sent == peer.remote_written || peer.remote_ended {
            return false;
        }
        let bytes: Vec<u8> = (peer.remote_sent..peer.remote_written).map(byte).collect();
        let (taken, seen) = self.bench.remote(flow, &bytes);
        let peer = &mut self.peers[at];
        peer.remote_sent += taken;
        peer.may_send = taken == bytes.len();
        self.act(seen);
        taken > 0
    }

    pub(crate) fn wait(&mut self, millis: u64) {
        let until = self.bench.now.plus(Duration::from_millis(millis));
        loop {
            let due = self.pending.iter().map(|(due, ..)| *due).min();
            let stop = due.map_or(until, |due| due.clamp(self.bench.now, until));
            let seen = self.bench.wait(stop.since(self.bench.now));
            self.act(seen);
            self.talk();
            if self.bench.now >= until {
                break;
            }
        }
        self.tick();
        for at in 0..self.peers.len() {
            let client = &mut self.peers[at].client;
            let due = self.bench.now.since(client.last_try) > Duration::from_millis(700);
            if client.waits() && due {
                client.last_try = self.bench.now;
                let frames = client.speak(true);
                self.deliver(frames);
            }
        }
        self.talk();
    }

    pub(crate) fn step(&mut self, step: Step) {
        let at = step.peer % self.peers.len();
        self.tick();
        let peer = &mut self.peers[at];
        match step.act {
            Act::Wait(millis) => self.wait(u64::from(millis)),
            Act::DialerTakes(most) => self.bench.takes = Some(usize::from(most)),
            Act::DialerBlocks => {
                if let Some(flow) = peer.open() {
                    self.bench.block(flow);
                }
            }
            Act::DialerWritable => {
                self.bench.takes = None;
                if let Some(flow) = peer.open() {
                    let seen = self.bench.writable(flow);
                    self.act(seen);
                }
            }
            Act::RemoteSends(count) if !peer.remote_ended => {
                peer.remote_written += usize::from(count);
            }
            Act::RemoteEnds => self.end(at, RemoteEnd::Eof),
            Act::RemoteBreaks => self.end(at, RemoteEnd::Reset),
            Act::RemoteFails => self.end(at, RemoteEnd::Error),
            Act::DeviceSends(count) if !peer.client.closed => {
                peer.client.written += usize::from(count);
            }
            Act::DeviceCloses => peer.client.closed = true,
            Act::DeviceResets => {
                if let Some(frame) = peer.client.break_off() {
                    peer.broken = true;
                    self.deliver(vec![frame]);
                }
            }
            Act::DeviceWindow(window) => {
                peer.client.window = window;
                peer.client.wants_ack = true;
            }
            Act::DatagramUp(len) => {
                if let Some(datagrams) = &mut self.datagrams {
                    let frame = datagrams.frame(len % 1400);
                    self.deliver(vec![frame]);
                }
            }
            Act::DatagramDown(len) => {
                if let Some(datagrams) = &mut self.datagrams {
                    datagrams.remote_sends(&mut self.bench, len);
                    let seen = self.bench.drain();
                    self.act(seen);
                }
            }
            Act::RemoteSends(_) | Act::DeviceSends(_) => {}
        }
        self.talk();
    }

    fn end(&mut self, at: usize, end: RemoteEnd) {
        let peer = &mut self.peers[at];
        // An EOF is only said when every byte was taken, as a reader would see it.
        let all = peer.remote_sent == peer.remote_written || end != RemoteEnd::Eof;
        if let Some(flow) = peer.connected().filter(|_| all && !peer.remote_ended) {
            peer.remote_ended = true;
            peer.broken |= end != RemoteEnd::Eof;
            let seen = self.bench.end(flow, end);
            self.act(seen);
        }
    }
}
