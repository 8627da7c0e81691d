//! Outputs of the engine, on their way to the host.

use core::fmt::Write as _;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use engine::{
    Breadcrumb, FlowId, FrameBatch, Frames, Lent, LogRecord, Micros, Output, QueryId, QueryKind,
    Resolution,
};

use super::Turn;
use super::host::{Host, Notice};
use super::mailbox::Mailbox;
use super::refused::Refused;
use super::tap::{Crossing, Tap, cross};
use crate::resolver::Resolver;
use crate::stats::Stats;

impl Turn {
    /// Hands over outputs of the engine until none is left. `false`: the budget ended before, or the host took no
    /// more frames.
    pub(super) fn drain<H: Host + ?Sized>(
        &mut self,
        now: Micros,
        host: &mut H,
        budget: &mut usize,
    ) -> bool {
        if !self.untaken.is_empty() {
            return false;
        }
        let mut border = Border {
            now,
            host,
            tap: &mut self.tap,
            stats: &mut self.stats,
            mailbox: &self.mailbox,
            resolver: self.resolver.as_ref(),
            untaken: &mut self.untaken,
            refused: &mut self.refused,
            offered: &mut self.offered,
            udp_queue: self.engine.config().udp_queue,
        };
        while *budget > 0 {
            let Some(output) = self.engine.poll_output(now) else {
                self.undrained = false;
                return true;
            };
            *budget -= 1;
            match border.hand_over(output) {
                Handed::Over => {}
                Handed::FramesLeft => return false,
                Handed::Refused(flow) => {
                    // The flow can have ended only by what this very loop would have seen.
                    let _ = self.engine.remote_blocked(now, flow);
                }
            }
        }
        self.undrained = true;
        self.stats.budget_spent += 1;
        false
    }

    /// Hands over the datagrams of a flow that waited for it to be writable; whether it still is.
    pub(super) fn offer_refused<H: Host + ?Sized>(
        &mut self,
        now: Micros,
        host: &mut H,
        flow: FlowId,
    ) -> bool {
        while let Some((to, payload)) = self.refused.next(flow) {
            if !host.datagram(flow, to, &payload) {
                self.refused.begin(flow);
                self.stats.host_dropped_datagrams += 1;
                host.notice(&Notice::DatagramRefused { flow });
                return false;
            }
            self.cross(now, Crossing::DatagramSent(flow, to, &payload));
        }
        true
    }

    /// Offers again what the host did not take; `false` while some of it is left.
    pub(super) fn offer_untaken<H: Host + ?Sized>(&mut self, now: Micros, host: &mut H) -> bool {
        if self.untaken.is_empty() {
            return true;
        }
        let mut batch = core::mem::take(&mut self.untaken);
        let frames = batch.take(usize::MAX);
        let taken = host.frames(frames).min(frames.len());
        tap_frames(&mut self.tap, now, frames, taken);
        keep(&mut self.untaken, frames, taken);
        self.untaken.is_empty()
    }
}

/// What is to be done once an output was handed to the host.
enum Handed {
    Over,
    /// The host did not take all frames: nothing else until it does.
    FramesLeft,
    /// The host refused a datagram: its flow is blocked.
    Refused(FlowId),
}

/// All but the engine that an output concerns.
struct Border<'a, H: ?Sized> {
    now: Micros,
    host: &'a mut H,
    tap: &'a mut Option<Box<dyn Tap>>,
    stats: &'a mut Stats,
    mailbox: &'a Mailbox,
    resolver: Option<&'a Arc<dyn Resolver>>,
    untaken: &'a mut FrameBatch,
    refused: &'a mut Refused,
    offered: &'a mut BTreeMap<FlowId, usize>,
    udp_queue: usize,
}

impl<H: Host + ?Sized> Border<'_, H> {
    fn hand_over(&mut self, output: Output<'_>) -> Handed {
        match output {
            Output::Frames(frames) => return self.frames(frames),
            Output::Dial { flow, key, name } => {
                self.cross(Crossing::Dial(flow, key));
                self.mailbox.state().open(flow, key.proto);
                self.host.dial(flow, key, name);
            }
            Output::Data { flow, bytes } => self.data(flow, bytes),
            Output::Datagram { flow, to, payload } => return self.datagram(flow, to, payload),
            Output::HalfClose { flow } => {
                self.cross(Crossing::HalfClose(flow));
                self.host.half_close(flow);
            }
            Output::Resume { flow, .. } => {
                let mut state = self.mailbox.state();
                if let Some(inbox) = state.flows.get_mut(flow) {
                    inbox.resumed();
                }
                state.enqueue(flow, || self.now);
            }
            Output::Close { flow, key, close } => {
                self.cross(Crossing::Close(flow, close));
                self.offered.remove(&flow);
                self.stats.host_dropped_datagrams += self.refused.forget(flow) as u64;
                self.mailbox.state().shut(flow);
                self.host.close(flow, key, close);
            }
            Output::Dns { flow, record } => self.host.dns(flow, &record),
            Output::Resolve { query, name, kind } => self.resolve(query, name, kind),
            Output::Log(record) => self.log(record),
            _ => {}
        }
        Handed::Over
    }

    fn cross(&mut self, crossing: Crossing<'_>) {
        cross(self.tap, self.now, crossing);
    }

    fn frames(&mut self, frames: Frames<'_>) -> Handed {
        let taken = self.host.frames(frames).min(frames.len());
        tap_frames(self.tap, self.now, frames, taken);
        if taken == frames.len() {
            return Handed::Over;
        }
        self.stats.host_refused_batches += 1;
        keep(self.untaken, frames, taken);
        Handed::FramesLeft
    }

    fn data(&mut self, flow: FlowId, bytes: Lent<'_>) {
        let count = bytes.len();
        let taken = self.host.data(flow, &bytes).min(count);
        let sent = bytes.took(taken);
        if !sent.is_empty() {
            self.cross(Crossing::Sent(flow, sent));
        }
        if taken < count {
            self.stats.host_refused_bytes += (count - taken) as u64;
            self.cross(Crossing::Blocked(flow));
        }
    }

    fn datagram(&mut self, flow: FlowId, to: SocketAddr, payload: &[u8]) -> Handed {
        match self.refused.keep(flow, to, payload, self.udp_queue) {
            Some(true) => self.stats.host_delayed_datagrams += 1,
            Some(false) => self.stats.host_dropped_datagrams += 1,
            None if self.host.datagram(flow, to, payload) => {
                self.cross(Crossing::DatagramSent(flow, to, payload));
            }
            None => {
                self.refused.begin(flow);
                self.stats.host_dropped_datagrams += 1;
                self.cross(Crossing::Blocked(flow));
                self.host.notice(&Notice::DatagramRefused { flow });
                return Handed::Refused(flow);
            }
        }
        Handed::Over
    }

    fn resolve(&mut self, query: QueryId, name: &str, kind: QueryKind) {
        if self.host.resolve(query, name, kind) {
            return;
        }
        match self.resolver {
            Some(resolver) => resolver.resolve(query, name, kind),
            // Nobody will ever know: the device need not wait for that.
            None => _ = self.mailbox.resolved(query, Resolution::Failed),
        }
    }

    fn log(&mut self, mut record: LogRecord) {
        if record.kind == Breadcrumb::Metrics {
            self.mailbox.state().losses.copy_to(self.stats);
            let counts = self.stats.counts();
            for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
                // Writing to a String cannot fail.
                let _ = write!(record.message, " {name}={count}");
            }
        }
        self.host.log(&record);
    }
}

/// Keeps the frames that the host did not take, to be offered again.
fn keep(left: &mut FrameBatch, frames: Frames<'_>, taken: usize) {
    for frame in frames.iter().skip(taken) {
        left.push(frame);
    }
}

fn tap_frames(tap: &mut Option<Box<dyn Tap>>, now: Micros, frames: Frames<'_>, taken: usize) {
    if let Some(tap) = tap {
        for frame in frames.iter().take(taken) {
            tap.crossed(now, Crossing::FrameOut(frame));
        }
    }
}
