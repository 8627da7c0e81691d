//! A stack whose border is watched: every call and every output becomes an event.

use std::net::SocketAddr;

use engine::{
    Counters, Deadline, DialResult, FlowId, Micros, Misuse, PathChange, QueryId, RemoteEnd,
    Resolution,
};

use super::event::{Tracer, What};
use super::{DnsSeen, EPOCH_US, OwnedOutput, Stack, Traits, Watch};

/// Another stack, and where its events go.
pub(crate) struct Traced {
    pub(crate) stack: Box<dyn Stack>,
    pub(crate) tracer: Tracer,
}

impl Traced {
    fn note(&self, now: Micros, what: What) {
        self.tracer.note(now.0.saturating_sub(EPOCH_US), what);
    }
}

impl Stack for Traced {
    fn handle_frames(&mut self, now: Micros, frames: &[&[u8]]) {
        for frame in frames {
            self.note(now, What::FrameIn(frame.to_vec()));
        }
        self.stack.handle_frames(now, frames);
    }

    fn path_changed(&mut self, now: Micros, change: PathChange) {
        self.note(now, What::Host("path changed"));
        self.stack.path_changed(now, change);
    }

    fn stop(&mut self, now: Micros) {
        self.note(now, What::Host("stop"));
        self.stack.stop(now);
    }

    fn dial_result(&mut self, now: Micros, flow: FlowId, result: DialResult) -> Result<(), Misuse> {
        self.note(now, What::DialResult(flow, result));
        self.stack.dial_result(now, flow, result)
    }

    fn remote_data(&mut self, now: Micros, flow: FlowId, data: &[u8]) -> Result<usize, Misuse> {
        let taken = self.stack.remote_data(now, flow, data)?;
        let kept = data.get(..taken).unwrap_or(data).to_vec();
        self.note(now, What::Downstream(flow, kept, data.len()));
        Ok(taken)
    }

    fn remote_datagram(&mut self, now: Micros, flow: FlowId, data: &[u8]) -> Result<bool, Misuse> {
        let taken = self.stack.remote_datagram(now, flow, data)?;
        self.note(now, What::DownstreamDatagram(flow, data.to_vec(), taken));
        Ok(taken)
    }

    fn remote_datagram_from(
        &mut self,
        now: Micros,
        flow: FlowId,
        from: SocketAddr,
        data: &[u8],
    ) -> Result<bool, Misuse> {
        let taken = self.stack.remote_datagram_from(now, flow, from, data)?;
        self.note(now, What::DownstreamDatagram(flow, data.to_vec(), taken));
        Ok(taken)
    }

    fn remote_blocked(&mut self, now: Micros, flow: FlowId) -> Result<(), Misuse> {
        self.note(now, What::Blocked(flow));
        self.stack.remote_blocked(now, flow)
    }

    fn remote_writable(&mut self, now: Micros, flow: FlowId) -> Result<(), Misuse> {
        self.note(now, What::Writable(flow));
        self.stack.remote_writable(now, flow)
    }

    fn remote_take(&mut self, now: Micros, flow: FlowId, count: usize) -> Result<(), Misuse> {
        self.note(now, What::Take(flow, count));
        self.stack.remote_take(now, flow, count)
    }

    fn offered(&self, flow: FlowId) -> Option<usize> {
        self.stack.offered(flow)
    }

    fn remote_closed(&mut self, now: Micros, flow: FlowId, end: RemoteEnd) -> Result<(), Misuse> {
        self.note(now, What::RemoteEnd(flow, end));
        self.stack.remote_closed(now, flow, end)
    }

    fn drain(&mut self, now: Micros, most: usize, to: &mut Vec<OwnedOutput>) -> bool {
        let before = to.len();
        let all = self.stack.drain(now, most, to);
        for seen in to.get(before..).unwrap_or_default() {
            let what = match seen {
                OwnedOutput::Frame(frame) => What::FrameOut(frame.clone()),
                OwnedOutput::Dial(flow, key, name) => What::Dial {
                    flow: *flow,
                    key: *key,
                    name: name.clone(),
                },
                OwnedOutput::Data(flow, bytes) => What::Upstream(*flow, bytes.clone()),
                OwnedOutput::Datagram(flow, to, payload) => {
                    What::UpstreamDatagram(*flow, *to, payload.clone())
                }
                OwnedOutput::HalfClose(flow) => What::HalfClose(*flow),
                OwnedOutput::Resume(flow, _) => What::Resume(*flow),
                OwnedOutput::Close(flow, close) => What::Close(*flow, *close),
                OwnedOutput::Dns(_, record) => What::Dns(DnsSeen {
                    name: record.name.clone(),
                    addresses: record.addresses.clone(),
                    ttl: record.ttl,
                }),
                OwnedOutput::Batch(_) | OwnedOutput::Resolve(..) => continue,
            };
            self.note(now, what);
        }
        all
    }

    fn mtu(&self) -> usize {
        self.stack.mtu()
    }

    fn handle_timeout(&mut self, now: Micros) {
        self.stack.handle_timeout(now);
    }

    fn resolved(
        &mut self,
        now: Micros,
        query: QueryId,
        resolution: Resolution,
    ) -> Result<(), Misuse> {
        self.stack.resolved(now, query, resolution)
    }

    fn give_back(&mut self, count: Vec<u8>) {
        self.stack.give_back(count);
    }

    fn poll_timeout(&mut self) -> Option<Deadline> {
        self.stack.poll_timeout()
    }

    fn holds(&self, flow: FlowId) -> bool {
        self.stack.holds(flow)
    }

    fn has_inboxes(&self) -> bool {
        self.stack.has_inboxes()
    }

    fn frames_lost(&self) -> u64 {
        self.stack.frames_lost()
    }

    fn complaints(&self) -> &[String] {
        self.stack.complaints()
    }

    fn traits(&self) -> Traits {
        self.stack.traits()
    }

    fn broken(&self) -> Option<(u64, String)> {
        self.stack.broken()
    }

    fn remarks(&self) -> Option<String> {
        self.stack.remarks()
    }

    fn counters(&self) -> Option<Counters> {
        self.stack.counters()
    }

    fn inspect(&mut self, now: Micros) -> String {
        self.stack.inspect(now)
    }

    fn watch(&mut self, watch: Watch) {
        self.stack.watch(watch);
    }
}
