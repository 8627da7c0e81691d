//! What the engine put out, acted upon in order: the dialer's end, the device's end, the invariants.

use crate::stack::OwnedOutput;

use engine::{DnsRecord, FlowId, FlowKey};

use super::fault::Fate;
use super::flow::FlowState;
use super::invariant;
use super::tape::Retention;
use super::world::{Emitted, Task, World, flow_key};
use crate::capture::conversation::{Conversation, Conversations};
use crate::packet::{Flags, Packet, Tcp, Transport};
use crate::stack::DnsSeen;

impl World<'_> {
    pub(crate) fn see(&mut self, seen: OwnedOutput) {
        match seen {
            OwnedOutput::Frame(frame) => {
                self.emitted(&frame);
                self.engine.give_back(frame);
            }
            OwnedOutput::Batch(frames) if frames > 64 => {
                let what = format!("a batch of {frames} frames; at most 64 are allowed");
                self.broken(None, what);
            }
            OwnedOutput::Batch(_) => {}
            OwnedOutput::Dial(id, key, name) => self.dialed(id, key, name),
            OwnedOutput::Resolve(query, name, kind) => self.asked(query, &name, kind),
            OwnedOutput::Data(id, bytes) => {
                self.with(id, |flow| flow.upstream.push(&bytes));
                self.compare_upstream(id, &bytes);
                self.engine.give_back(bytes);
            }
            OwnedOutput::Datagram(id, to, payload) => {
                let all = self.retention == Retention::All;
                self.with(id, |flow| {
                    flow.upstream.push(&payload);
                    flow.upstream_datagrams += 1;
                    if all || flow.script.actions.reads_bytes() {
                        flow.datagram_lens.push(payload.len());
                        flow.datagram_tos.push(to);
                    }
                });
                self.compare_upstream(id, &payload);
                self.engine.give_back(payload);
            }
            OwnedOutput::HalfClose(id) => {
                let now = self.now;
                self.with(id, |flow| flow.half_closed_by_device = Some(now));
            }
            OwnedOutput::Resume(id, _) => self.with(id, |flow| flow.script.refused = false),
            OwnedOutput::Close(id, close) => {
                let now = self.now;
                self.with(id, |flow| {
                    flow.closed = Some((now, close));
                    flow.note_stalls(now, true);
                });
                let index = self.by_id.remove(&id);
                if let Some(flow) = index.and_then(|index| self.flows.get(index))
                    && self.engine.traits().last
                    && let Some(problem) = invariant::lost_bytes(flow)
                {
                    let key = flow.key;
                    self.broken(Some(key), problem);
                }
            }
            OwnedOutput::Dns(_, record) => {
                let DnsRecord {
                    name,
                    addresses,
                    ttl,
                } = record;
                let seen = DnsSeen {
                    name,
                    addresses,
                    ttl,
                };
                self.dns.push((self.now, seen));
            }
        }
    }

    /// Acts on an open flow and lets its script and the device look again.
    fn with(&mut self, id: FlowId, act: impl FnOnce(&mut FlowState)) {
        let Some(index) = self.by_id.get(&id).copied() else {
            return self.broken(None, format!("an output for {id:?}, which is not open"));
        };
        if let Some(flow) = self.flows.get_mut(index) {
            act(flow);
        }
        self.ready.insert(index);
        self.touched.insert(index);
    }

    /// Holds what the dialer got against the capture.
    fn compare_upstream(&mut self, id: FlowId, bytes: &[u8]) {
        if self.comparisons.is_empty() {
            return;
        }
        let flow = self.by_id.get(&id).and_then(|index| self.flows.get(*index));
        let index = flow.and_then(|flow| flow.conversation);
        let index = index.filter(|index| self.share.takes(*index));
        if let (Some(index), Some(capture), Some(reader)) =
            (index, self.capture, self.reader.get_mut())
            && let Some(comparison) = self.comparisons.get_mut(index)
            && let Some(recorded) = capture.flows.get(index).map(Conversation::device_bytes)
        {
            comparison.up.push(bytes, recorded, reader);
        }
    }

    /// Holds what the device got since the last time against the capture.
    fn compare_downstream(&mut self, index: usize) {
        let flow = self.flows.get_mut(index);
        let Some(flow) = flow.filter(|flow| !flow.down.fresh.is_empty()) else {
            return;
        };
        if let (Some(index), Some(capture), Some(reader)) =
            (flow.conversation, self.capture, self.reader.get_mut())
            && let Some(comparison) = self.comparisons.get_mut(index)
            && let Some(recorded) = capture.flows.get(index).map(Conversation::far_bytes)
        {
            comparison.down.push(&flow.down.fresh, recorded, reader);
        }
        flow.down.fresh.clear();
    }

    fn dialed(&mut self, id: FlowId, key: FlowKey, name: Option<String>) {
        if let Some(index) = self.accepted_before(key) {
            return self.dialed_late(index, id, name);
        }
        let index = self.flows.len();
        let count = self.dials(&key) + 1;
        let mut flow = FlowState::new(id, key, count, self.now);
        flow.dials = count;
        flow.name = name;
        self.know_device(&mut flow);
        let (script, delay) = self.rules.choose(&key, count, self.capture);
        flow.follow(script, self.retention);
        replays(self.capture, &mut self.by_conversation, &mut flow, index);
        flow.down.keeps_fresh = self.is_compared(&flow);
        self.flows.push(flow);
        self.by_id.insert(id, index);
        self.is_newest(index);
        self.touched.insert(index);
        if let Some(delay) = delay {
            self.schedule(self.now.saturating_add(delay), Task::Dial(index));
        }
    }

    /// How often a tuple was dialed.
    fn dials(&self, key: &FlowKey) -> u32 {
        let newest = self.newest(key).and_then(|index| self.flows.get(index));
        newest.map_or(0, |flow| flow.dials)
    }

    /// Whether what the device gets of a flow is held against the capture.
    fn is_compared(&self, flow: &FlowState) -> bool {
        let replayed = flow.conversation;
        !self.comparisons.is_empty() && replayed.is_some_and(|index| self.share.takes(index))
    }

    /// The flow of a connection that another stack has accepted already, and only now asks the dial for.
    fn accepted_before(&self, key: FlowKey) -> Option<usize> {
        let index = self.newest(&key)?;
        let flow = self.flows.get(index)?;
        (flow.undialed && self.engine.traits().foreign).then_some(index)
    }

    fn dialed_late(&mut self, index: usize, id: FlowId, name: Option<String>) {
        let Some(flow) = self.flows.get_mut(index) else {
            return;
        };
        flow.dials += 1;
        let (script, delay) = self.rules.choose(&flow.key, flow.dials, self.capture);
        self.rules.move_newest(index);
        (flow.id, flow.name, flow.undialed) = (id, name, false);
        (flow.occurrence, flow.dialed_at) = (flow.dials, self.now);
        flow.follow(script, self.retention);
        replays(self.capture, &mut self.by_conversation, flow, index);
        flow.down.keeps_fresh = !self.comparisons.is_empty()
            && flow
                .conversation
                .is_some_and(|index| self.share.takes(index));
        self.by_id.insert(id, index);
        self.touched.insert(index);
        if let Some(delay) = delay {
            self.schedule(self.now.saturating_add(delay), Task::Dial(index));
        }
    }

    /// The engine accepts a connection that it did not ask a dial for: its numbers are wanted all the same.
    fn accepted(&mut self, key: FlowKey) -> usize {
        let index = self.flows.len();
        let mut flow = FlowState::new(FlowId::from_bits(u64::MAX), key, 1, self.now);
        flow.undialed = true;
        flow.dials = self.dials(&key);
        flow.occurrence = flow.dials + 1;
        replays(self.capture, &mut self.by_conversation, &mut flow, index);
        self.know_device(&mut flow);
        self.flows.push(flow);
        self.rules.pass_over();
        self.is_newest(index);
        index
    }

    /// Whether what another stack reports is about a SYN that came after the connection at `index` was dialed.
    fn answers_a_new_syn(&self, index: usize, tcp: &Tcp<'_>) -> bool {
        let flow = self.flows.get(index).filter(|flow| !flow.undialed);
        let Some(flow) = flow.filter(|_| self.engine.traits().foreign) else {
            return false;
        };
        self.syns.get(&flow.key).is_some_and(|(isn, _)| {
            flow.down.device_isn != Some(*isn) && tcp.acknowledgement == isn.plus(1)
        })
    }

    /// The device's numbers in its SYN.
    fn know_device(&mut self, flow: &mut FlowState) {
        if let Some((isn, shift)) = self.syns.remove(&flow.key) {
            flow.down.device_isn = Some(isn);
            flow.down.device_shift = shift;
            flow.down.device_edge = 1;
            flow.down.device_within = 1;
        }
    }

    /// A frame has left the engine.
    fn emitted(&mut self, frame: &[u8]) {
        self.frames_out += 1;
        let packet = Packet::whole(frame);
        let known = packet.as_ref().ok();
        let key = known.and_then(|packet| flow_key(packet, false));
        let mut index = key.and_then(|key| self.newest(&key));
        if let (Ok(packet), Some(key)) = (&packet, key)
            && let Transport::Tcp(tcp) = packet.transport
            && tcp.flags.contains(Flags::SYN)
            && index.is_none_or(|index| self.answers_a_new_syn(index, &tcp))
        {
            index = Some(self.accepted(key));
        }
        let mtu = self.engine.mtu();
        let last = self.engine.traits().last;
        let checked = self.share.takes(self.frames_out as usize);
        let mut problems = match checked {
            true => invariant::frame(frame, &packet, mtu),
            false => Vec::new(),
        };
        let sound = problems.is_empty();
        let mut keep_alive = false;
        if let (Ok(packet), Some(flow)) =
            (&packet, index.and_then(|index| self.flows.get_mut(index)))
            && let Transport::Tcp(tcp) = packet.transport
        {
            let at = flow.down.note_emitted(&tcp);
            keep_alive = at.is_some_and(|at| flow.down.is_keep_alive(at, &tcp));
            if checked {
                let reader = self.reader.get_mut().as_mut();
                let sent = |at, bytes: &[u8]| flow.sent.holds(at, bytes, self.capture, reader);
                problems.extend(invariant::segment(flow, at, &tcp, last, sent));
            }
        }
        for problem in problems {
            self.broken(key, problem);
        }
        let fate = self.faults.output(frame);
        if self.keep_frames {
            let emitted = Emitted {
                at: self.now,
                bytes: frame.to_vec(),
                flow: index,
                keep_alive,
            };
            match self.changed_frame {
                Some((number, change)) if number + 1 == self.frames_out => {
                    self.emitted.extend(change.apply(emitted));
                }
                _ => self.emitted.push(emitted),
            }
        }
        // It was looked at already, and is what it was.
        if let (true, Fate::Pass, Ok(packet)) = (sound, &fate, &packet)
            && packet.fragment.is_none()
        {
            return self.reach(packet, index);
        }
        self.send(fate, frame);
    }

    /// What the fault rules make of a frame on its way to the device.
    fn send(&mut self, fate: Fate, frame: &[u8]) {
        match fate {
            Fate::Pass => self.deliver(frame),
            Fate::Twice => {
                self.deliver(frame);
                self.deliver(frame);
            }
            Fate::Altered(bytes) => self.deliver(&bytes),
            Fate::Drop => {}
            Fate::Later(by) => self.hold(false, frame.to_vec(), by),
        }
    }

    /// A frame reaches the device.
    pub(crate) fn deliver(&mut self, frame: &[u8]) {
        let Ok(packet) = Packet::whole(frame) else {
            return;
        };
        if packet.fragment.is_some() {
            let Some(whole) = self.fragments.insert(&packet, ()) else {
                return;
            };
            return self.deliver(&whole.packet);
        }
        if !packet.checksums().are_sound() {
            return;
        }
        let index = flow_key(&packet, false).and_then(|key| self.newest(&key));
        self.reach(&packet, index);
    }

    /// A sound packet reaches the device; it is of the flow at `index`, if of any.
    fn reach(&mut self, packet: &Packet<'_>, index: Option<usize>) {
        let capture = self.capture;
        if capture.is_some_and(|capture| !capture.echoes.is_empty()) {
            self.answers.note(packet);
        }
        let Some((index, flow)) = index.and_then(|index| Some((index, self.flows.get_mut(index)?)))
        else {
            return;
        };
        match packet.transport {
            Transport::Tcp(tcp) => {
                if let Some(at) = flow.down.unit(tcp.sequence) {
                    flow.down.receive(at, &tcp);
                } else if tcp.flags.contains(Flags::RST) {
                    flow.down.reset = true;
                }
                flow.note_stalls(self.now, false);
            }
            Transport::Udp(udp) => {
                flow.down.take(udp.payload);
                flow.down.datagrams += 1;
            }
            _ => {}
        }
        if flow.script.awaits_delivery {
            self.ready.insert(index);
        }
        self.touched.insert(index);
        self.compare_downstream(index);
    }

    /// Records that an invariant does not hold.
    pub(crate) fn broken(&mut self, key: Option<FlowKey>, what: String) {
        // One broken rule tends to break on every frame after it.
        if self.failures.len() < 100 {
            self.failures.push(invariant::failure(self.now, key, what));
        }
    }
}

/// Finds the conversation that the flow at `index` replays.
fn replays(
    capture: Option<&Conversations>,
    by_conversation: &mut [Option<usize>],
    flow: &mut FlowState,
    index: usize,
) {
    flow.conversation = capture.and_then(|capture| capture.of_dial(&flow.key, flow.occurrence));
    let replayed = flow.conversation;
    let newest = replayed.and_then(|conversation| by_conversation.get_mut(conversation));
    if let Some(newest) = newest {
        *newest = Some(index);
    }
}
