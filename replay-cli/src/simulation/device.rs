//! The device of a capture: each flow's recorded segments go in when their time has come and their cause is there.

pub(crate) mod echo;
mod gate;
pub(crate) mod inject;
mod stall;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use engine::{FlowKey, TimerName};

use super::world::{Next, World};
use crate::base::index::Index;
use crate::capture::conversation::{
    Conversation, Conversations, Talk, TcpConversation, UdpConversation,
};
use crate::packet::Flags;
use crate::scenario::failure::{Failure, FailureKind};
use crate::scenario::{Checksums, FlowSpec, Retransmissions, Timing};
use crate::simulation::dialer::key_of;
use crate::simulation::timeline::failure_at;
use crate::stack::event::Source;
use gate::Gate;
use inject::Injection;

/// How a capture is played.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Play {
    pub(crate) timing: Timing,
    pub(crate) checksums: Checksums,
    pub(crate) retransmissions: Retransmissions,
    /// Frames handed over at a time, at most.
    pub(crate) batch: usize,
    /// Whether flows that have nothing more to say are ended once very many are open.
    pub(crate) retires: bool,
}

/// The devices of all flows of a capture.
pub(crate) struct Device<'a> {
    capture: &'a Conversations,
    pub(crate) play: Play,
    pub(crate) flows: Vec<DeviceFlow>,
    /// The last conversation of each tuple.
    pub(crate) last: Index,
    /// For each conversation the one before it on its tuple, and the one after it; [`NONE`](super::siblings::NONE) for none.
    pub(crate) beside: Vec<[u32; 2]>,
    /// Conversations that are through, and may be ended to make room.
    pub(crate) through: VecDeque<usize>,
    /// What is due when: conversations, and behind them echoes.
    agenda: BTreeSet<(u64, usize)>,
    /// Requests of each echo that are in.
    asked: Vec<usize>,
    /// By the flow of a DNS answer: which of its datagrams a conversation waits for, the first one first.
    waits_for: BTreeMap<usize, VecDeque<(usize, usize)>>,
    batch: Vec<Vec<u8>>,
    sources: Vec<Source>,
    /// A dial to which the engine owes more than the end of an idle flow, when it was looked at last.
    pub(crate) owed: Option<usize>,
    pub(crate) synthetic: u64,
    pub(crate) left_out: u64,
    /// Flows that were ended to make room.
    pub(crate) retired: u64,
    pub(crate) findings: Vec<Failure>,
}

/// One conversation on its way in.
#[derive(Debug, Default)]
pub(crate) struct DeviceFlow {
    pub(crate) key: Option<FlowKey>,
    /// The next segment or datagram.
    pub(crate) head: usize,
    /// Bytes of it that are in already.
    pub(crate) offset: u64,
    pub(crate) last_at: Option<u64>,
    pub(crate) scheduled: Option<u64>,
    /// The highest unit of the far side that was acknowledged.
    pub(crate) acked: u64,
    /// The window last recorded.
    pub(crate) window: u32,
    /// Synthetic frames.
    pub(crate) synthetic: u64,
    pub(crate) left_out: u64,
    /// The state at the last synthetic frame: without progress since, another would not help.
    pub(crate) tried: Option<(u64, u64, usize, usize, u64)>,
    pub(crate) stuck: bool,
    /// The dial it made, once it did.
    pub(crate) dialed: bool,
    /// Waiting for the conversation before it on its tuple was given up.
    pub(crate) impatient: bool,
    /// How often its SYN went in again because it made no dial.
    pub(crate) syns_again: u32,
    /// Nothing of it goes in before this.
    pub(crate) not_before: u64,
}

impl<'a> Device<'a> {
    pub(crate) fn new(capture: &'a Conversations, play: Play) -> Self {
        let mut device = Self {
            capture,
            play,
            flows: Vec::with_capacity(capture.flows.len()),
            last: Index::default(),
            beside: vec![[super::siblings::NONE; 2]; capture.flows.len()],
            through: VecDeque::new(),
            agenda: BTreeSet::new(),
            asked: vec![0; capture.echoes.len()],
            waits_for: BTreeMap::new(),
            batch: Vec::new(),
            sources: Vec::new(),
            owed: None,
            synthetic: 0,
            left_out: 0,
            retired: 0,
            findings: Vec::new(),
        };
        for (index, conversation) in capture.flows.iter().enumerate() {
            let mut flow = DeviceFlow::default();
            if conversation.unreplayable.is_none() {
                let FlowSpec {
                    protocol,
                    client,
                    server,
                    ..
                } = conversation.spec;
                flow.key = key_of(protocol, client, server);
                if let Some((other, nth)) = conversation.after_dns {
                    let waiting = device.waits_for.entry(other).or_default();
                    waiting.push_back((nth, index));
                }
            }
            device.flows.push(flow);
            device.place(index);
        }
        for waiting in device.waits_for.values_mut() {
            waiting.make_contiguous().sort_unstable();
        }
        device
    }

    /// Plays the capture to its end.
    pub(crate) fn run(&mut self, world: &mut World<'_>, until: Option<u64>) {
        for index in 0..self.flows.len() {
            self.look(world, index);
        }
        for index in 0..self.capture.echoes.len() {
            self.schedule_echo(world.now, index);
        }
        loop {
            if world.livelock || world.steps > world.step_limit {
                world.livelock = true;
                return;
            }
            self.look_at_touched(world);
            if self.play.retires && super::retire::is_crowded(world) {
                self.make_room(world);
            }
            let mine = self.agenda.first().copied();
            let next = world.next();
            let soonest = [mine.map(|(at, _)| at), next.map(|next| next.at)]
                .into_iter()
                .flatten()
                .min();
            if let (Some(until), Some(at)) = (until, soonest)
                && at > until
            {
                world.now = world.now.max(until);
                return;
            }
            match (mine, next) {
                (Some((at, _)), next)
                    if next.is_none_or(|next| {
                        at < next.at || (at == next.at && next.timer.is_some())
                    }) =>
                {
                    self.inject_due(world, at);
                }
                (None, Some(next))
                    if !world.has_tasks() && next.timer.is_some_and(|(name, _)| name.is_idle()) =>
                {
                    // Idle flows of others end on the way to what is owed to one.
                    if self.is_owed(world) {
                        world.run(next);
                    } else if !self.unstick_all(world) && !self.finds_owed(world) {
                        return;
                    }
                }
                (_, Some(next)) => {
                    if !self.answer_before_retransmission(world, next) {
                        world.run(next);
                    }
                }
                (None, None) => {
                    if !self.unstick_all(world) {
                        return;
                    }
                }
                (Some(_), None) => {}
            }
        }
    }

    fn look_at_touched(&mut self, world: &mut World<'_>) {
        while let Some(touched) = world.touched.pop_first() {
            let Some(flow) = world.flows.get(touched) else {
                continue;
            };
            // What happens to a flow lets itself go on, or the next one on its tuple.
            let flows: Vec<usize> = match flow.conversation {
                Some(index) => [Some(index), self.after(index)]
                    .into_iter()
                    .flatten()
                    .collect(),
                None => self.frames_of(&flow.key).collect(),
            };
            for index in flows {
                self.look(world, index);
                self.look_at_waiting(world, index);
                self.unstick_now(world, index);
            }
        }
    }

    /// Looks at those that waited for DNS answers which have come since.
    fn look_at_waiting(&mut self, world: &World<'_>, index: usize) {
        if !self.waits_for.contains_key(&index) {
            return;
        }
        let Some(state) = self.state(world, index) else {
            return;
        };
        let (come, closed) = (state.down.datagrams, state.closed.is_some());
        while let Some(waiting) = self.waits_for.get_mut(&index)
            && let Some((nth, flow)) = waiting.front().copied()
            && (closed || come > nth as u64)
        {
            waiting.pop_front();
            self.look(world, flow);
        }
    }

    /// Puts a conversation's head on the agenda, or takes it off.
    pub(crate) fn look(&mut self, world: &World<'_>, index: usize) {
        let at = match self.gate(world, index) {
            Gate::At(at) => Some(at.max(world.now)),
            Gate::Cause { .. } | Gate::Window { .. } | Gate::Order | Gate::Empty => None,
        };
        let Some(flow) = self.flows.get_mut(index) else {
            return;
        };
        if flow.scheduled != at {
            if let Some(old) = flow.scheduled {
                self.agenda.remove(&(old, index));
            }
            flow.scheduled = at;
            if let Some(at) = at {
                self.agenda.insert((at, index));
            }
        }
    }

    /// Whether everything of a conversation is in.
    pub(crate) fn is_through(&self, index: usize) -> bool {
        let (Some(flow), Some(conversation)) =
            (self.flows.get(index), self.capture.flows.get(index))
        else {
            return true;
        };
        let count = match &conversation.talk {
            Talk::Tcp(tcp) => tcp.device.len(),
            Talk::Udp(udp) => udp.device.len(),
        };
        flow.head >= count
    }

    /// The dial that a conversation has made.
    pub(crate) fn state<'w>(
        &self,
        world: &'w World<'_>,
        index: usize,
    ) -> Option<&'w super::flow::FlowState> {
        self.flows.get(index).filter(|flow| flow.dialed)?;
        world.flows.get((*world.by_conversation.get(index)?)?)
    }

    /// Hands over what is due at `at`, up to one batch.
    fn inject_due(&mut self, world: &mut World<'_>, at: u64) {
        world.now = world.now.max(at);
        let mut moved = Vec::new();
        while let Some((due, index)) = self.agenda.first().copied() {
            if due > at || self.batch.len() >= self.play.batch {
                break;
            }
            self.agenda.remove(&(due, index));
            if let Some(echo) = index.checked_sub(self.capture.flows.len()) {
                self.ask(world, echo);
                continue;
            }
            if let Some(flow) = self.flows.get_mut(index) {
                flow.scheduled = None;
            }
            let first = self.flows.get(index).is_some_and(|flow| !flow.dialed);
            self.inject_head(world, index);
            moved.push(index);
            if first {
                // What comes next depends on the dial that this frame makes.
                break;
            }
            self.look(world, index);
        }
        self.flush(world);
        for index in moved {
            if self.play.retires && self.is_through(index) {
                self.through.push_back(index);
            }
            self.reopen_window(world, index, 1);
            self.look_at_successors(world, index);
        }
    }

    /// Whoever waits for the tuple may begin once nothing of the conversation before is left, needed or not.
    fn look_at_successors(&mut self, world: &World<'_>, index: usize) {
        if let Some(next) = self.after(index).filter(|_| self.is_through(index)) {
            self.look(world, next);
        }
    }

    pub(crate) fn flush(&mut self, world: &mut World<'_>) {
        if !self.batch.is_empty() {
            let frames = std::mem::take(&mut self.batch);
            world.sources.append(&mut self.sources);
            world.inject(frames);
        }
    }

    /// Builds the head's frames and moves on.
    fn inject_head(&mut self, world: &mut World<'_>, index: usize) {
        match self.capture.flows.get(index).map(|flow| &flow.talk) {
            Some(Talk::Udp(udp)) => self.inject_datagram(world, index, udp),
            Some(Talk::Tcp(tcp)) => self.inject_segment(world, index, tcp),
            None => {}
        }
    }

    fn inject_datagram(&mut self, world: &mut World<'_>, index: usize, udp: &UdpConversation) {
        let Some(flow) = self.flows.get_mut(index) else {
            return;
        };
        let Some(datagram) = udp.device.get(flow.head) else {
            return;
        };
        flow.head += 1;
        flow.last_at = Some(world.now);
        flow.dialed = true;
        let mtu = world.engine.mtu();
        let Some(reader) = world.reader.get_mut() else {
            return;
        };
        let whole = datagram
            .in_parts
            .then(|| reader.span(datagram.packet.span).to_vec());
        for part in udp.parts(datagram) {
            let mut frame = reader.span(part.span).to_vec();
            if let Some(whole) = &whole
                && self.play.checksums == Checksums::Repair
            {
                inject::repair_fragment(&mut frame, whole);
            }
            let frames = inject::datagram(frame, part.number, self.play.checksums, mtu);
            self.sources
                .extend(frames.iter().map(|_| Source::Packet(part.number)));
            self.batch.extend(frames);
        }
    }

    /// What is not needed is left out.
    fn inject_segment(&mut self, world: &mut World<'_>, index: usize, tcp: &TcpConversation) {
        let Some(head) = self.flows.get(index).map(|flow| flow.head) else {
            return;
        };
        let Some(segment) = tcp.device.get(head) else {
            return;
        };
        let needless = self.is_needless(world, index, segment);
        let opening = segment.needs == 0 && segment.flags.contains(Flags::SYN);
        if opening && !self.flows.get(index).is_some_and(|flow| flow.dialed) {
            self.retire_predecessor(world, index);
        }
        let state = self.state(world, index);
        let Some(flow) = self.flows.get(index) else {
            return;
        };
        let injection = Injection {
            world,
            state,
            conversation: tcp,
            segment,
            flow,
            play: self.play,
        };
        let built = injection.build(needless);
        let Some(flow) = self.flows.get_mut(index) else {
            return;
        };
        flow.dialed = true;
        flow.acked = flow.acked.max(built.acked);
        flow.window = built.window.unwrap_or(flow.window);
        if needless {
            flow.left_out += 1;
            self.left_out += 1;
        }
        if built.whole {
            flow.head += 1;
            flow.offset = 0;
            flow.last_at = Some(world.now);
        } else {
            flow.offset += built.taken;
        }
        self.sources
            .extend(built.frame.iter().map(|_| Source::Packet(segment.number)));
        self.batch.extend(built.frame);
    }

    /// A tuple is used again while the engine still holds the connection before: the device had lost that one
    /// without a trace, and would reset it as soon as the engine asked.
    fn retire_predecessor(&mut self, world: &mut World<'_>, index: usize) {
        self.flush(world);
        let Some(key) = self.flows.get(index).and_then(|flow| flow.key) else {
            return;
        };
        let open = world
            .newest(&key)
            .and_then(|newest| world.flows.get(newest))
            .filter(|flow| flow.closed.is_none());
        if let Some(reset) = open.and_then(inject::reset) {
            self.note_synthetic(index);
            world.inject(vec![reset]);
        }
    }

    pub(crate) fn note_synthetic(&mut self, index: usize) {
        self.synthetic += 1;
        if let Some(flow) = self.flows.get_mut(index) {
            flow.synthetic += 1;
        }
    }

    pub(crate) fn conversation(&self, index: usize) -> Option<&'a Conversation> {
        self.capture.flows.get(index)
    }

    /// Before the engine retransmits to a device that has the bytes already, the device acknowledges.
    fn answer_before_retransmission(&mut self, world: &mut World<'_>, next: Next) -> bool {
        let Some((TimerName::Transmit | TimerName::RetransmissionLimit, Some(id))) = next.timer
        else {
            return false;
        };
        let flow = world.by_id.get(&id);
        let Some(flow) = flow.and_then(|index| world.flows.get(*index)) else {
            return false;
        };
        let dialed = |index: &usize| self.flows.get(*index).is_some_and(|flow| flow.dialed);
        let newest = || self.frames_of(&flow.key).find(dialed);
        let Some(index) = flow.conversation.filter(dialed).or_else(newest) else {
            return false;
        };
        let before = world.now;
        world.now = world.now.max(next.at);
        if self.acknowledge(world, index) {
            return true;
        }
        world.now = before;
        false
    }

    pub(crate) fn finding(
        &mut self,
        world: &World<'_>,
        index: usize,
        what: String,
        frame: Option<u64>,
    ) {
        let key = self.flows.get(index).and_then(|flow| flow.key);
        let help =
            "the engine or the dialer's script withholds what the recorded frame had acknowledged";
        self.findings.push(Failure {
            flow: key.map(|key| key.to_string()),
            frame,
            help: Some(help.to_owned()),
            ..failure_at(FailureKind::Stuck, what, Some(world.now))
        });
    }
}
