//! The engine, the dialer's end of every flow, and the device's view of what comes out, in one virtual time.
//!
//! One step is one input and then a full drain. What the dialer does in answer to an output becomes the next
//! inputs, at the same instant, in the order of the flows' dials.

use crate::base::wording::seconds_of as seconds;
use crate::stack::EPOCH_US;
use crate::stack::event::{Source, Tracer};
use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::iter::repeat_n;
use std::net::SocketAddr;

use engine::{DialResult, FlowId, FlowKey, Micros, Proto, RemoteEnd, TimerName};

use super::device::echo::Answers;
use super::digest::Digest;
use super::fault::{Fate, Faults};
use super::flow::FlowState;
use super::invariant;
use super::mutation::FrameChange;
use super::share::Share;
use super::tape::{Retention, StreamComparison};
use crate::base::hash::Quick;
use crate::base::index::Index;
use crate::base::marked::Marked;
use crate::capture::conversation::{ByteReader, Conversations, Fragments};
use crate::packet::{Flags, Packet, Seq, Transport};
use crate::scenario::failure::Failure;
use crate::simulation::dialer::Rules;
use crate::simulation::dialer::content::Made;
use crate::simulation::dialer::resolver::Resolver;
use crate::stack::DnsSeen;
use crate::stack::OwnedOutput;
use crate::stack::{Input, Stack};

/// Places that are kept: for one batch.
const SPARE: usize = 64;

/// Events kept to explain a livelock.
const LAST_EVENTS: usize = 20;

/// Everything but the source of the device's frames.
pub(crate) struct World<'a> {
    pub(crate) engine: Box<dyn Stack>,
    pub(crate) now: u64,
    pub(crate) capture: Option<&'a Conversations>,
    /// Looks at the capture's bytes.
    pub(crate) reader: RefCell<Option<ByteReader<'a>>>,
    /// The part of a generated stream that is at hand.
    pub(crate) made: Made,
    /// How much of the streams is kept.
    pub(crate) retention: Retention,
    /// The streams of each conversation, held against the recorded ones; none if they are not asked for.
    pub(crate) comparisons: Vec<StreamComparison>,
    pub(crate) rules: Rules,
    pub(crate) resolver: Resolver,
    pub(crate) flows: Vec<FlowState>,
    /// Looked up with every output, and never gone through.
    pub(crate) by_id: HashMap<FlowId, usize, Quick>,
    /// The newest flow of a tuple. Looked up with every frame, and never gone through.
    by_key: Index,
    /// The newest flow of each conversation of the capture.
    pub(crate) by_conversation: Vec<Option<usize>>,
    /// What is due when, the soonest first, and of one time what was put down first.
    agenda: BinaryHeap<Reverse<(u64, u64, Task)>>,
    order: u64,
    /// Flows that something happened to since the device looked last.
    pub(crate) touched: Marked,
    /// Flows whose script may go on.
    pub(crate) ready: Marked,
    pub(crate) emitted: Vec<Emitted>,
    /// Where the events go, if anywhere.
    pub(crate) tracer: Option<Tracer>,
    /// Where the frames that are injected next come from.
    pub(crate) sources: Vec<Source>,
    /// What is checked in this run.
    pub(crate) share: Share,
    /// A change to what is recorded of one frame, which is numbered from 0.
    pub(crate) changed_frame: Option<(u64, FrameChange)>,
    /// Whether emitted frames are kept for expectations.
    pub(crate) keep_frames: bool,
    pub(crate) dns: Vec<(u64, DnsSeen)>,
    pub(crate) failures: Vec<Failure>,
    pub(crate) digest: Digest,
    pub(crate) faults: Faults,
    held_frames: Vec<Option<(bool, Vec<u8>)>>,
    /// Places of frames that have gone in, for those to come.
    spare: RefCell<Vec<Vec<u8>>>,
    pub(crate) frames_in: u64,
    pub(crate) frames_out: u64,
    pub(crate) steps: u64,
    pub(crate) step_limit: u64,
    last_events: Vec<String>,
    pub(crate) livelock: bool,
    seen: Vec<OwnedOutput>,
    output_held: bool,
    /// The newest SYN of each tuple that was not dialed since: its ISN and window shift.
    pub(crate) syns: HashMap<FlowKey, (Seq, u8), Quick>,
    pub(crate) fragments: Fragments<()>,
    /// Echo replies that reached the device, if they are asked for.
    pub(crate) answers: Answers,
}

/// Something due at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Task {
    /// A dial is answered.
    Dial(usize),
    /// A `wait` is over.
    Script(usize),
    /// A delayed frame goes on its way.
    Frame(usize),
    /// An intercepted query is answered.
    Resolve(usize),
}

/// A frame the engine emitted.
#[derive(Clone, Debug)]
pub(crate) struct Emitted {
    pub(crate) at: u64,
    pub(crate) bytes: Vec<u8>,
    /// The flow it belongs to, if one was dialed on its tuple.
    pub(crate) flow: Option<usize>,
    /// It carries nothing but a byte, at the most, that the device has acknowledged.
    pub(crate) keep_alive: bool,
}

/// When something happens next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub(crate) at: u64,
    /// The engine's timer, if it is the engine that asks.
    pub(crate) timer: Option<(TimerName, Option<FlowId>)>,
}

impl<'a> World<'a> {
    pub(crate) fn new(
        engine: Box<dyn Stack>,
        rules: Rules,
        faults: Faults,
        capture: Option<&'a Conversations>,
    ) -> Self {
        Self {
            engine,
            now: 0,
            capture,
            reader: RefCell::new(capture.map(|capture| ByteReader::new(&capture.bytes))),
            made: Made::default(),
            retention: Retention::All,
            comparisons: Vec::new(),
            rules,
            resolver: Resolver::default(),
            flows: Vec::new(),
            by_id: HashMap::default(),
            by_key: Index::default(),
            by_conversation: vec![None; capture.map_or(0, |capture| capture.flows.len())],
            agenda: BinaryHeap::new(),
            order: 0,
            touched: Marked::default(),
            ready: Marked::default(),
            emitted: Vec::new(),
            tracer: None,
            sources: Vec::new(),
            share: Share::All,
            changed_frame: None,
            keep_frames: false,
            dns: Vec::new(),
            failures: Vec::new(),
            digest: Digest::default(),
            faults,
            held_frames: Vec::new(),
            spare: RefCell::default(),
            frames_in: 0,
            frames_out: 0,
            steps: 0,
            step_limit: u64::MAX,
            last_events: Vec::new(),
            livelock: false,
            seen: Vec::new(),
            output_held: false,
            syns: HashMap::default(),
            fragments: Fragments::default(),
            answers: Answers::default(),
        }
    }

    pub(crate) fn clock(&self) -> Micros {
        Micros(EPOCH_US.saturating_add(self.now))
    }

    /// The newest flow of a tuple.
    pub(crate) fn newest(&self, key: &FlowKey) -> Option<usize> {
        let of = |index: usize| self.flows.get(index).map(|flow| flow.key);
        self.by_key.find(key, of)
    }

    /// The flow at `index` is the newest of its tuple.
    pub(crate) fn is_newest(&mut self, index: usize) {
        let of = |index: usize| self.flows.get(index).map(|flow| flow.key);
        if let Some(key) = of(index) {
            self.by_key.insert(&key, index, of);
        }
    }

    /// Gives the stack an input that brings no bytes of the far side. A flow may have ended meanwhile: then the input is
    /// obsolete.
    pub(crate) fn give(&mut self, input: Input<'_>) {
        let now = self.clock();
        let _ = self.engine.input(now, input);
    }

    /// Hands frames to the engine and lets everything that follows at this instant happen.
    pub(crate) fn inject(&mut self, frames: Vec<Vec<u8>>) {
        let mut passed = frames;
        // The device has sent them, whatever becomes of them on the way.
        passed.iter().for_each(|frame| self.note_injected(frame));
        if !self.faults.are_none() {
            for frame in std::mem::take(&mut passed) {
                match self.faults.input(&frame) {
                    Fate::Pass => passed.push(frame),
                    Fate::Drop => {}
                    Fate::Twice => passed.extend([frame.clone(), frame]),
                    Fate::Altered(bytes) => passed.push(bytes),
                    Fate::Later(by) => self.hold(true, frame, by),
                }
            }
        }
        self.frames_in += passed.len() as u64;
        if let Some(tracer) = &self.tracer {
            if self.sources.len() == passed.len() {
                tracer.come_from(self.sources.drain(..));
            } else if self.sources.is_empty() && self.capture.is_some() {
                tracer.come_from(repeat_n(Source::MadeUp, passed.len()));
            }
        }
        self.sources.clear();
        match passed.as_slice() {
            [] => {}
            [only] => self.give(Input::Frames(&[only.as_slice()])),
            many => {
                let frames: Vec<&[u8]> = many.iter().map(Vec::as_slice).collect();
                self.give(Input::Frames(&frames));
            }
        }
        if !passed.is_empty() {
            self.step("frames");
        }
        self.spare.get_mut().append(&mut passed);
        self.spare.get_mut().truncate(SPARE);
        self.settle();
    }

    /// A place for a frame of the device.
    pub(crate) fn place(&self) -> Vec<u8> {
        let mut place = self.spare.borrow_mut().pop().unwrap_or_default();
        place.clear();
        place
    }

    pub(crate) fn hold(&mut self, input: bool, frame: Vec<u8>, by: u64) {
        self.held_frames.push(Some((input, frame)));
        let index = self.held_frames.len() - 1;
        self.schedule(self.now.saturating_add(by), Task::Frame(index));
    }

    /// Learns the device's numbers and window from what goes in.
    fn note_injected(&mut self, frame: &[u8]) {
        let Ok(packet) = Packet::whole(frame) else {
            return;
        };
        let (Transport::Tcp(tcp), Some(key)) = (&packet.transport, flow_key(&packet, true)) else {
            return;
        };
        if tcp.flags.contains(Flags::SYN) && !tcp.flags.contains(Flags::ACK) {
            // The flow is made by the dial that follows; it learns the number from here.
            let shift = tcp.options.window_scale.unwrap_or(0).min(14);
            self.syns.insert(key, (tcp.sequence, shift));
            return;
        }
        // A stack that sends after a close is held to the window that it is offered then.
        let last = self.engine.traits().last;
        let newest = self.newest(&key);
        let Some(flow) = newest.and_then(|index| self.flows.get_mut(index)) else {
            return;
        };
        if tcp.flags.contains(Flags::RST) || (last && flow.closed.is_some()) {
            return;
        }
        let down = &mut flow.down;
        if let Some(at) = down.device_unit(tcp.sequence) {
            let end = at + u64::from(tcp.sequence_len());
            down.device_edge = down.device_edge.max(end);
            let fin = u64::from(tcp.flags.contains(Flags::FIN));
            if at <= down.room_to {
                let fits = end - fin <= down.room_to;
                let within = if fits { end } else { down.room_to };
                down.device_within = down.device_within.max(within);
            }
            if tcp.flags.contains(Flags::FIN) {
                let fin = end.saturating_sub(1);
                down.device_fin = Some(down.device_fin.map_or(fin, |first| first.min(fin)));
            }
        }
        if tcp.flags.contains(Flags::ACK)
            && let Some(acked) = down.unit(tcp.acknowledgement)
        {
            let is_syn = tcp.flags.contains(Flags::SYN);
            let shift = if is_syn { 0 } else { down.shift() };
            let edge = acked + (u64::from(tcp.window) << shift);
            down.offered_to = Some(down.offered_to.map_or(edge, |known| known.max(edge)));
            down.device_window_closed = tcp.window == 0;
        }
        flow.note_stalls(self.now, false);
    }

    /// The path changed.
    pub(crate) fn path_changed(&mut self, change: engine::PathChange) {
        self.give(Input::PathChange(change));
        self.step("path change");
        self.settle();
    }

    /// The host takes nothing that comes out, or takes it again, and all that waited first.
    pub(crate) fn hold_output(&mut self, held: bool) {
        self.output_held = held;
        self.step(if held { "output held" } else { "output taken" });
        self.settle();
    }

    /// The host stops the engine.
    pub(crate) fn stop(&mut self) {
        self.give(Input::Stop);
        self.step("stop");
        self.settle();
    }

    /// When something happens next without the device's doing.
    pub(crate) fn next(&mut self) -> Option<Next> {
        let task = self.agenda.peek().map(|Reverse((at, _, _))| Next {
            at: *at,
            timer: None,
        });
        let timer = self.engine.poll_timeout().map(|deadline| Next {
            at: deadline.at.0.saturating_sub(EPOCH_US).max(self.now),
            timer: Some((deadline.timer, deadline.flow)),
        });
        match (task, timer) {
            (Some(task), Some(timer)) => Some(if timer.at < task.at { timer } else { task }),
            (task, timer) => task.or(timer),
        }
    }

    /// Whether the dialer owes something by the clock.
    pub(crate) fn has_tasks(&self) -> bool {
        !self.agenda.is_empty()
    }

    /// Lets `next` happen; a run of too many steps is a livelock.
    pub(crate) fn run(&mut self, next: Next) {
        self.now = self.now.max(next.at);
        if next.timer.is_some() {
            self.wake();
        } else if let Some(Reverse((_, _, task))) = self.agenda.pop() {
            self.take_up(task);
        }
        self.livelock |= self.steps > self.step_limit;
    }

    fn take_up(&mut self, task: Task) {
        match task {
            Task::Dial(flow) => self.answer(flow),
            Task::Script(flow) => {
                self.ready.insert(flow);
            }
            Task::Resolve(index) => self.resolve(index),
            Task::Frame(index) => match self.held_frames.get_mut(index).and_then(Option::take) {
                Some((true, frame)) => {
                    self.frames_in += 1;
                    self.give(Input::Frames(&[frame.as_slice()]));
                    self.step("delayed frame");
                }
                Some((false, frame)) => self.deliver(&frame),
                None => {}
            },
        }
        self.settle();
    }

    /// A flow is about to be ended to make room.
    pub(crate) fn retire(&mut self, id: FlowId) {
        let index = self.by_id.get(&id).copied();
        if let Some(flow) = index.and_then(|index| self.flows.get_mut(index)) {
            flow.retired = true;
        }
    }

    /// The far side of a UDP flow ends it.
    pub(crate) fn give_up(&mut self, id: FlowId) {
        self.give(Input::RemoteEnd(id, RemoteEnd::Eof));
        self.step("remote end");
        self.settle();
    }

    /// Calls the engine at the present time, as after a sleep.
    pub(crate) fn wake(&mut self) {
        self.give(Input::Timeout);
        self.step("timeout");
        self.settle();
    }

    fn answer(&mut self, index: usize) {
        let result = self.rules.result(index);
        let Some(flow) = self.flows.get_mut(index) else {
            return;
        };
        flow.answered = true;
        let Some(result) = result else { return };
        flow.connected = result == DialResult::Connected;
        let id = flow.id;
        self.give(Input::DialResult(id, result));
        self.ready.insert(index);
        self.step("dial result");
    }

    pub(crate) fn schedule(&mut self, at: u64, task: Task) {
        self.order += 1;
        self.agenda.push(Reverse((at, self.order, task)));
    }

    pub(crate) fn step(&mut self, what: &str) {
        self.steps += 1;
        self.note_event(|now| format!("{} {what}", seconds(now)));
        self.drain();
        if self.output_held {
            // What was handed in may still wait at a border of its own.
            return;
        }
        if self.share.takes(self.steps as usize)
            && let Some(counters) = self.engine.counters()
            && let Some(problem) = invariant::conserved(
                &counters,
                self.frames_in - self.engine.frames_lost().min(self.frames_in),
                self.frames_out,
            )
        {
            self.broken(None, problem);
        }
    }

    fn note_event(&mut self, text: impl FnOnce(u64) -> String) {
        // Texts cost time; they are wanted only when the bound is near.
        if self.steps + 100 < self.step_limit {
            return;
        }
        if self.last_events.len() == LAST_EVENTS {
            self.last_events.remove(0);
        }
        self.last_events.push(text(self.now));
    }

    /// Takes outputs until none is left, then acts upon them in order.
    fn drain(&mut self) {
        if self.output_held {
            return;
        }
        let now = self.clock();
        let mut seen = std::mem::take(&mut self.seen);
        if !self.engine.drain(now, OUTPUTS_MAX, &mut seen) {
            self.livelock = true;
        }
        for seen in &seen {
            self.digest.output(self.now, seen);
        }
        for seen in seen.drain(..) {
            self.see(seen);
        }
        self.seen = seen;
    }

    /// Lets the dialer react at this instant until it waits for something.
    fn settle(&mut self) {
        while let Some(index) = self.ready.pop_first() {
            if self.steps > self.step_limit || self.livelock {
                self.livelock = true;
                return;
            }
            self.advance(index);
        }
    }

    /// Lets the script of the flow at `index` go on, and everything that follows at this instant happen.
    pub(crate) fn go_on(&mut self, index: usize) {
        self.ready.insert(index);
        self.settle();
    }

    /// What led to a livelock.
    pub(crate) fn last_events(&self) -> &[String] {
        &self.last_events
    }
}

/// Outputs of one drain beyond which the engine must be looping.
const OUTPUTS_MAX: usize = 1_000_000;

/// The tuple of a packet; `from_device`: which end is the client.
pub(crate) fn flow_key(packet: &Packet<'_>, from_device: bool) -> Option<FlowKey> {
    let proto = match packet.protocol {
        crate::packet::TCP => Proto::Tcp,
        crate::packet::UDP => Proto::Udp,
        _ => return None,
    };
    let (from, to) = packet.ports()?;
    let source = SocketAddr::new(packet.source, from);
    let destination = SocketAddr::new(packet.destination, to);
    let (client, server) = if from_device {
        (source, destination)
    } else {
        (destination, source)
    };
    Some(FlowKey {
        proto,
        client,
        server,
    })
}
