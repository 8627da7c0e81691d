//! The engine between a client and a dialer, and the weather between the engine and the client.

use core::time::Duration;
use std::collections::VecDeque;

use engine::{FlowId, RemoteEnd};

use crate::client::{Client, octet};
use crate::support::{Bench, Seen};

/// What goes wrong, and how often out of 256.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    pub(crate) lose: u8,
    pub(crate) duplicate: u8,
    pub(crate) reorder: u8,
}

/// One step of the world.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Wait(u16),
    DialerTakes(u16),
    DialerBlocks,
    DialerWritable,
    RemoteSends(u16),
    RemoteEnds,
    RemoteBreaks,
    DeviceSends(u16),
    DeviceCloses,
    DeviceResets,
    DeviceWindow(u16),
}

/// Everything together.
pub(crate) struct World {
    pub(crate) bench: Bench,
    pub(crate) client: Client,
    pub(crate) weather: Weather,
    pub(crate) luck: u64,
    pub(crate) flow: Option<FlowId>,
    pub(crate) dialed: bool,
    pub(crate) upstream: Vec<u8>,
    pub(crate) half_closes: usize,
    pub(crate) closes: Vec<String>,
    pub(crate) remote_written: usize,
    pub(crate) remote_sent: usize,
    pub(crate) remote_ended: bool,
    pub(crate) may_send: bool,
    pub(crate) delayed: VecDeque<Vec<u8>>,
}

impl World {
    pub(crate) fn chance(&mut self, of_256: u8) -> bool {
        self.luck = self
            .luck
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((self.luck >> 40) as u8) < of_256
    }

    pub(crate) fn act(&mut self, seen: Vec<Seen>) {
        for seen in seen {
            match seen {
                Seen::Frame(packet) => {
                    if !self.chance(self.weather.lose) {
                        self.client.hear(&packet);
                        if self.chance(self.weather.duplicate) {
                            self.client.hear(&packet);
                        }
                    }
                }
                Seen::Dial(flow, _) => {
                    assert!(
                        self.flow.is_none() || !self.closes.is_empty(),
                        "one dial at a time"
                    );
                    if self.flow.is_none() {
                        self.flow = Some(flow);
                    }
                }
                Seen::Data(flow, bytes) => {
                    assert_eq!(Some(flow), self.flow);
                    assert_eq!(self.half_closes, 0, "bytes after the half-close");
                    self.upstream.extend(bytes);
                }
                Seen::HalfClose(_) => self.half_closes += 1,
                Seen::Resume(..) => self.may_send = true,
                Seen::Close(flow, close) if Some(flow) == self.flow => {
                    self.closes
                        .push(format!("{} {}", close.by, close.how.label()));
                }
                Seen::Close(..) | Seen::Datagram(..) | Seen::Dns(..) => {}
            }
        }
    }

    pub(crate) fn open(&self) -> Option<FlowId> {
        self.flow.filter(|_| self.closes.is_empty())
    }

    /// The client's frames through the weather into the engine.
    pub(crate) fn deliver(&mut self, frames: Vec<Vec<u8>>) {
        let mut arriving: Vec<Vec<u8>> = Vec::new();
        for frame in frames {
            if self.chance(self.weather.lose) {
                continue;
            }
            if self.chance(self.weather.duplicate) {
                arriving.push(frame.clone());
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
            self.act(seen);
        }
    }

    /// Lets both sides talk until neither has anything to say at this instant.
    pub(crate) fn talk(&mut self) {
        for _ in 0..20_000 {
            let frames = self.client.speak(false);
            let offered = self.offer();
            if frames.is_empty() && !offered {
                return;
            }
            self.deliver(frames);
        }
        panic!("two honest sides talk without end at one instant");
    }

    pub(crate) fn offer(&mut self) -> bool {
        let Some(flow) = self.open().filter(|_| self.dialed) else {
            return false;
        };
        let mut busy = false;
        if self.may_send && self.remote_sent < self.remote_written && !self.remote_ended {
            let bytes: Vec<u8> = (self.remote_sent..self.remote_written).map(octet).collect();
            let (taken, seen) = self.bench.remote(flow, &bytes);
            self.remote_sent += taken;
            self.may_send = taken == bytes.len();
            self.act(seen);
            busy = taken > 0;
        }
        busy
    }

    pub(crate) fn wait(&mut self, millis: u64) {
        let seen = self.bench.wait(Duration::from_millis(millis));
        self.act(seen);
        if self.client.waits()
            && self.bench.now.since(self.client.last_try) > Duration::from_millis(700)
        {
            self.client.last_try = self.bench.now;
            let frames = self.client.speak(true);
            self.deliver(frames);
        }
        self.talk();
    }

    pub(crate) fn step(&mut self, step: Step) {
        match step {
            Step::Wait(millis) => self.wait(u64::from(millis)),
            Step::DialerTakes(most) => self.bench.takes = Some(usize::from(most)),
            Step::DialerBlocks => {
                if let Some(flow) = self.open() {
                    self.bench
                        .engine
                        .remote_blocked(self.bench.now, flow)
                        .expect("open");
                }
            }
            Step::DialerWritable => {
                if let Some(flow) = self.open() {
                    let seen = self.bench.writable(flow);
                    self.act(seen);
                }
            }
            Step::RemoteSends(count) if !self.remote_ended => {
                self.remote_written += usize::from(count);
            }
            Step::RemoteEnds => self.end(RemoteEnd::Eof),
            Step::RemoteBreaks => self.end(RemoteEnd::Reset),
            Step::DeviceSends(count) if !self.client.closed => {
                self.client.written += usize::from(count);
            }
            Step::DeviceCloses => self.client.closed = true,
            Step::DeviceResets => {
                let frame = self
                    .client
                    .device
                    .raw("R", self.client.device.next, b"", b"");
                if self.client.established && !self.client.reset {
                    let next = self.client.sent as u32 + u32::from(self.client.fin_sent);
                    let seq = self.client.base().wrapping_add(next);
                    let frame = self.client.device.raw("R.", seq, b"", b"");
                    self.client.reset = true;
                    self.deliver(vec![frame]);
                } else if !self.client.reset {
                    self.client.reset = true;
                    self.deliver(vec![frame]);
                }
            }
            Step::DeviceWindow(window) => {
                self.client.window = window;
                self.client.wants_ack = true;
            }
            Step::RemoteSends(_) | Step::DeviceSends(_) => {}
        }
        self.talk();
    }

    pub(crate) fn end(&mut self, end: RemoteEnd) {
        // An EOF is only said when every byte was taken, as a reader would see it.
        let all = self.remote_sent == self.remote_written || end == RemoteEnd::Reset;
        if let Some(flow) = self
            .open()
            .filter(|_| self.dialed && all && !self.remote_ended)
        {
            self.remote_ended = true;
            let seen = self.bench.end(flow, end);
            self.act(seen);
        }
    }
}
