//! A stack whose border is watched: every call and every output becomes an event.

use engine::{Counters, Deadline, FlowId, Micros, Misuse};

use super::event::{Tracer, What};
use super::{DnsSeen, EPOCH_US, Input, OwnedOutput, Stack, Traits, Watch};

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
    fn input(&mut self, now: Micros, input: Input<'_>) -> Result<usize, Misuse> {
        match &input {
            Input::Frames(frames) => {
                for frame in *frames {
                    self.note(now, What::FrameIn(frame.to_vec()));
                }
            }
            Input::PathChange(_) => self.note(now, What::Host("path changed")),
            Input::Stop => self.note(now, What::Host("stop")),
            Input::DialResult(flow, result) => self.note(now, What::DialResult(*flow, *result)),
            Input::Blocked(flow) => self.note(now, What::Blocked(*flow)),
            Input::Writable(flow) => self.note(now, What::Writable(*flow)),
            Input::Take(flow, count) => self.note(now, What::Take(*flow, *count)),
            Input::RemoteEnd(flow, end) => self.note(now, What::RemoteEnd(*flow, *end)),
            Input::Data(..) | Input::Datagram(..) | Input::Timeout | Input::Resolved(..) => {}
        }
        let taken = self.stack.input(now, input.clone())?;
        match input {
            Input::Data(flow, data) => {
                let kept = data.get(..taken).unwrap_or(data).to_vec();
                self.note(now, What::Downstream(flow, kept, data.len()));
            }
            Input::Datagram(flow, _, data) => {
                let event = What::DownstreamDatagram(flow, data.to_vec(), taken == 1);
                self.note(now, event);
            }
            _ => {}
        }
        Ok(taken)
    }

    fn offered(&self, flow: FlowId) -> Option<usize> {
        self.stack.offered(flow)
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

    fn give_back(&mut self, bytes: Vec<u8>) {
        self.stack.give_back(bytes);
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
