//! What the engine says, on its way to the host.

use core::fmt::Write as _;

use engine::{Breadcrumb, FlowId, Frames, Micros, Output, Resolution};

use super::Turn;
use super::host::{Host, Notice};
use super::tap::{Crossing, Tap, cross};

impl Turn {
    /// Hands over what the engine says until it has said all. `false`: the budget ended before, or the host took no
    /// more frames.
    pub(super) fn drain<H: Host + ?Sized>(
        &mut self,
        now: Micros,
        host: &mut H,
        budget: &mut usize,
    ) -> bool {
        if !self.held.is_empty() {
            return false;
        }
        let udp_queue = self.engine.config().udp_queue;
        loop {
            if *budget == 0 {
                self.undrained = true;
                self.stats.budget_spent += 1;
                return false;
            }
            let Some(output) = self.engine.poll_output(now) else {
                self.undrained = false;
                return true;
            };
            *budget -= 1;
            let tap = &mut self.tap;
            let stats = &mut self.stats;
            // The flow whose host refused a datagram: told once the output is no longer borrowed.
            let mut refused = None;
            match output {
                Output::Frames(frames) => {
                    let taken = host.frames(frames).min(frames.len());
                    tap_frames(tap, now, frames, taken);
                    if taken < frames.len() {
                        stats.host_refused_batches += 1;
                        frames
                            .iter()
                            .skip(taken)
                            .for_each(|frame| self.held.push(frame));
                        return false;
                    }
                }
                Output::Dial { flow, key, name } => {
                    cross(tap, now, Crossing::Dial(flow, key));
                    self.mailbox.state().open(flow, key.proto);
                    host.dial(flow, key, name);
                }
                Output::Data { flow, bytes } => {
                    let count = bytes.len();
                    let taken = host.data(flow, &bytes).min(count);
                    let sent = bytes.took(taken);
                    if !sent.is_empty() {
                        cross(tap, now, Crossing::Sent(flow, sent));
                    }
                    if taken < count {
                        stats.host_refused_bytes += (count - taken) as u64;
                        cross(tap, now, Crossing::Blocked(flow));
                    }
                }
                Output::Datagram { flow, to, payload } => {
                    match self.refused.keep(flow, to, payload, udp_queue) {
                        Some(true) => stats.host_delayed_datagrams += 1,
                        Some(false) => stats.host_dropped_datagrams += 1,
                        None if host.datagram(flow, to, payload) => {
                            cross(tap, now, Crossing::DatagramSent(flow, to, payload));
                        }
                        None => {
                            self.refused.begin(flow);
                            stats.host_dropped_datagrams += 1;
                            cross(tap, now, Crossing::Blocked(flow));
                            host.notice(&Notice::DatagramRefused { flow });
                            refused = Some(flow);
                        }
                    }
                }
                Output::HalfClose { flow } => {
                    cross(tap, now, Crossing::HalfClose(flow));
                    host.half_close(flow);
                }
                Output::Resume { flow, .. } => {
                    let mut state = self.mailbox.state();
                    if let Some(inbox) = state.flows.get_mut(flow) {
                        inbox.resumed();
                    }
                    state.enqueue(flow, || now);
                }
                Output::Close { flow, key, close } => {
                    cross(tap, now, Crossing::Close(flow, close));
                    self.offered.remove(&flow);
                    stats.host_dropped_datagrams += self.refused.forget(flow) as u64;
                    self.mailbox.state().shut(flow);
                    host.close(flow, key, close);
                }
                Output::Dns { flow, record } => host.dns(flow, &record),
                Output::Resolve { query, name, kind } => {
                    if host.resolve(query, name, kind) {
                        continue;
                    }
                    match &self.resolver {
                        Some(resolver) => resolver.resolve(query, name, kind),
                        // Nobody will ever know: the device need not wait to hear so.
                        None => _ = self.mailbox.resolved(query, Resolution::Failed),
                    }
                }
                Output::Log(mut record) => {
                    if record.kind == Breadcrumb::Metrics {
                        self.mailbox.state().losses.tell(stats);
                        let counts = stats.counts();
                        for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
                            // Writing to a String cannot fail.
                            let _ = write!(record.message, " {name}={count}");
                        }
                    }
                    host.log(&record);
                }
                _ => {}
            }
            if let Some(flow) = refused {
                // The flow can have ended only by what this very loop would have seen.
                let _ = self.engine.remote_blocked(now, flow);
            }
        }
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
    pub(super) fn offer_held<H: Host + ?Sized>(&mut self, now: Micros, host: &mut H) -> bool {
        if self.held.is_empty() {
            return true;
        }
        let mut batch = core::mem::take(&mut self.held);
        let frames = batch.take(usize::MAX);
        let taken = host.frames(frames).min(frames.len());
        tap_frames(&mut self.tap, now, frames, taken);
        frames
            .iter()
            .skip(taken)
            .for_each(|frame| self.held.push(frame));
        self.held.is_empty()
    }
}

fn tap_frames(tap: &mut Option<Box<dyn Tap>>, now: Micros, frames: Frames<'_>, taken: usize) {
    if let Some(tap) = tap {
        for frame in frames.iter().take(taken) {
            tap.crossed(now, Crossing::FrameOut(frame));
        }
    }
}
