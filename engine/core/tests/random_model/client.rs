//! A small honest TCP client: cumulative acknowledgements, a reordering buffer, go-back-N by its own timer.

use std::collections::BTreeMap;

use crate::support::{Device, Packet};

/// Byte `at` of either stream.
pub(crate) fn byte(at: usize) -> u8 {
    (at % 251) as u8
}

/// The device's socket: sends, repeats, puts in order.
pub(crate) struct Client {
    pub(crate) device: Device,
    pub(crate) established: bool,
    /// Bytes the app has handed over; the bytes themselves follow from their places.
    pub(crate) written: usize,
    pub(crate) acked: usize,
    pub(crate) sent: usize,
    pub(crate) closed: bool,
    pub(crate) fin_sent: bool,
    pub(crate) fin_acked: bool,
    pub(crate) got: Vec<u8>,
    pub(crate) early: BTreeMap<usize, Vec<u8>>,
    pub(crate) fin_at: Option<usize>,
    pub(crate) finished: bool,
    pub(crate) reset: bool,
    pub(crate) answer: Option<Vec<u8>>,
    pub(crate) start: u32,
    pub(crate) window: u16,
    pub(crate) wants_ack: bool,
    /// The next new data comes behind a copy of the last that was sent, as it does after a loss probe that was not needed.
    pub(crate) probes: bool,
    pub(crate) last_try: engine::Micros,
}

impl Client {
    pub(crate) fn new(device: Device, now: engine::Micros) -> Self {
        Self {
            device,
            established: false,
            written: 0,
            acked: 0,
            sent: 0,
            closed: false,
            fin_sent: false,
            fin_acked: false,
            got: Vec::new(),
            early: BTreeMap::new(),
            fin_at: None,
            finished: false,
            reset: false,
            answer: None,
            start: 0,
            window: 65_535,
            wants_ack: false,
            probes: false,
            last_try: now,
        }
    }

    pub(crate) fn base(&self) -> u32 {
        self.device.isn.wrapping_add(1)
    }

    pub(crate) fn hear(&mut self, packet: &Packet) {
        let Packet::Tcp(tcp) = packet else { return };
        if tcp.to != self.device.local {
            return;
        }
        if self.reset {
            // RFC 9293 section 3.10.7.1: a closed port answers with a reset where it is asked for one.
            if !tcp.has('R') {
                self.answer = Some(self.device.raw("R", tcp.ack, b"", b""));
            }
            return;
        }
        if tcp.has('R') {
            // The honest check of RFC 5961: a reset counts where it is expected.
            let here = if self.established {
                self.device.expected
            } else {
                tcp.seq
            };
            self.reset |= tcp.seq.wrapping_sub(here) < 70_000;
            return;
        }
        self.device.note_stamp(tcp);
        if tcp.has('S') {
            if !self.established {
                self.established = true;
                self.start = tcp.end();
                self.device.expected = tcp.end();
                self.device.scale = tcp.window_scale();
            }
            self.wants_ack = true;
            return;
        }
        if !self.established {
            return;
        }
        let acked = tcp.ack.wrapping_sub(self.base()) as usize;
        assert!(
            acked <= self.sent + usize::from(self.fin_sent),
            "acknowledged what was never sent"
        );
        if acked > self.sent {
            self.fin_acked = true;
        }
        self.acked = self.acked.max(acked.min(self.sent));
        self.device.offered = u32::from(tcp.window) << self.device.scale;
        if tcp.payload.is_empty() && !tcp.has('F') {
            return;
        }
        self.wants_ack = true;
        let at = tcp.seq.wrapping_sub(self.start);
        if at > 1 << 31 {
            return;
        }
        if tcp.has('F') {
            self.fin_at = Some(at as usize + tcp.payload.len());
        }
        self.early.insert(at as usize, tcp.payload.clone());
        self.assemble();
    }

    pub(crate) fn assemble(&mut self) {
        while let Some((&at, part)) = self.early.first_key_value() {
            if at > self.got.len() {
                break;
            }
            let skip = self.got.len() - at;
            if let Some(fresh) = part.get(skip..) {
                self.got.extend(fresh);
            }
            self.early.remove(&at);
        }
        self.finished |= self.fin_at == Some(self.got.len());
        let taken = self.got.len() as u32 + u32::from(self.finished);
        self.device.expected = self.start.wrapping_add(taken);
    }

    fn segment(&self, from: usize, until: usize) -> Vec<u8> {
        let payload: Vec<u8> = (from..until).map(byte).collect();
        let seq = self.base().wrapping_add(from as u32);
        self.device.raw("P.", seq, b"", &payload)
    }

    /// What the client sends now; `again`: from the last acknowledged byte on.
    pub(crate) fn speak(&mut self, again: bool) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        if self.reset {
            out.extend(self.answer.take());
            return out;
        }
        self.device.window = self.window;
        if !self.established {
            if again {
                out.push(self.device.syn());
            }
            return out;
        }
        let from = if again { self.acked } else { self.sent };
        let room = (self.device.offered as usize).max(usize::from(again));
        let until = self.written.min(self.acked + room);
        let mut at = from;
        if !again && at < until && core::mem::take(&mut self.probes) {
            out.push(self.segment(at.saturating_sub(500), at));
        }
        while at < until {
            let end = until.min(at + 1000);
            out.push(self.segment(at, end));
            at = end;
        }
        self.sent = self.sent.max(at);
        let fin_due = self.closed && self.sent == self.written && !self.fin_acked;
        if fin_due && (again || !self.fin_sent) {
            let seq = self.base().wrapping_add(self.written as u32);
            out.push(self.device.raw("F.", seq, b"", b""));
            self.fin_sent = true;
        }
        if out.is_empty() && core::mem::take(&mut self.wants_ack) {
            let next = self.sent as u32 + u32::from(self.fin_sent);
            out.push(
                self.device
                    .raw(".", self.base().wrapping_add(next), b"", b""),
            );
        }
        self.wants_ack = false;
        out
    }

    /// The app aborts: the reset that its kernel sends, unless the connection is gone.
    pub(crate) fn break_off(&mut self) -> Option<Vec<u8>> {
        if self.reset {
            return None;
        }
        self.reset = true;
        if !self.established {
            return Some(self.device.raw("R", self.device.next, b"", b""));
        }
        let next = self.sent as u32 + u32::from(self.fin_sent);
        Some(
            self.device
                .raw("R.", self.base().wrapping_add(next), b"", b""),
        )
    }

    pub(crate) fn waits(&self) -> bool {
        !self.reset
            && (!self.established || self.acked < self.written || (self.closed && !self.fin_acked))
    }
}
