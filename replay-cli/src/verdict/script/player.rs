//! Plays a script's steps: packets are the device's, calls are the dialer's.
//!
//! As in packetdrill, every emitted segment of the connection is held against the script in order, pure acknowledgements too, and the
//! run ends with the script's last event. The far side takes bytes only when the script reads, so that what it leaves unread closes the
//! window.

use std::collections::BTreeMap;
use std::path::Path;

use super::calls::{Came, is_of_stack};
use super::plan::{Does, Step, Told, Tuple};
use super::settings::Settings;
use super::sockets::{Kind, Socket, Sockets};
use crate::base::diagnostic::{Place, Position};
use crate::base::wording::seconds_of as seconds;
use crate::capture::conversation::fragments::Fragments;
use crate::notation::packetdrill::syntax::{Call, Event, Expression, What};
use crate::notation::{Segment, TimeSpec};
use crate::scenario::Scenario;
use crate::scenario::failure::{Failure, FailureKind};
use crate::simulation::dialer::key_of;
use crate::simulation::isns::Isns;
use crate::simulation::matcher::View;
use crate::simulation::timeline::{Findings, Timeline, failure_at, run_until};
use crate::simulation::world::World;
use crate::stack::event::{Expectation, Source};

/// A connection that the device opened, and what the application has done on it.
#[derive(Clone, Debug, Default)]
pub(super) struct Connection {
    /// Its flow, by its number among those of the run.
    pub(super) flow: usize,
    /// The handshake is complete.
    pub(super) established: bool,
    /// A descriptor has it.
    pub(super) taken: bool,
    /// The application opened it.
    pub(super) turned: bool,
    /// Its error has been told.
    pub(super) told: bool,
    /// Bytes the application has written.
    pub(super) written: u64,
    /// Where the last of them that fill no segment end, and how many the device has acknowledged.
    pub(super) small_to: u64,
    acked: u64,
    /// Bytes it has read.
    pub(super) consumed: u64,
    /// The segment size that the device names.
    pub(super) mss: Option<u16>,
}

impl Connection {
    /// Whether a small segment is on its way.
    pub(super) fn has_small_one(&self) -> bool {
        self.small_to > self.acked
    }
}

/// What was compared, and what was not and why.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// `>` lines and results of calls.
    pub(super) all: u64,
    pub(super) compared: u64,
    /// Of these, those that say something of the stack.
    pub(super) of_stack: u64,
    /// Steps that nobody but a kernel could notice.
    pub(super) passed_over: Vec<(Position, String)>,
    /// Lines and results that depend on such a step, or that nobody here can say.
    pub(super) not_compared: Vec<(Position, String)>,
}

pub(super) struct Player<'a> {
    pub(super) timeline: Timeline<'a>,
    pub(super) settings: &'a Settings,
    findings: Findings,
    path: &'a Path,
    pub(super) sockets: Sockets,
    pub(super) connections: Vec<Connection>,
    /// The tuple that packets are of, and whether any was.
    pub(super) tuple: Tuple,
    used: bool,
    /// Of each tuple: the next emitted frame to look at.
    pub(super) cursors: BTreeMap<Tuple, usize>,
    /// Fragments that have come, and datagrams that went in as fragments.
    pub(super) fragments: Fragments<()>,
    pub(super) datagrams: u32,
    /// What later lines depend on and nobody does: they are not compared.
    lost: Option<String>,
    pub(super) tally: Tally,
    pub(super) failures: Vec<Failure>,
    /// Frames that the present line was held against, and whether they are as it says.
    pub(super) held: Vec<(usize, bool)>,
    /// All frames with their lines, if anybody watches.
    pub(super) expected: Vec<(usize, Expectation)>,
}

/// A call that may take until a time, which other events do not wait for.
struct Waiting<'a> {
    event: &'a Event,
    call: &'a Call,
    /// Before this time it must not be complete; `None`: any time will do.
    early: Option<u64>,
    /// By this time it must be.
    late: u64,
}

impl<'a> Player<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        isns: &'a Isns,
        settings: &'a Settings,
        path: &'a Path,
    ) -> Self {
        let tally = Tally {
            passed_over: settings.passed_over.clone(),
            ..Tally::default()
        };
        Self {
            timeline: Timeline {
                scenario,
                lines: &[],
                batch: 1,
                isns,
                until: None,
                brief: false,
            },
            settings,
            findings: Findings::default(),
            path,
            sockets: Sockets::default(),
            connections: Vec::new(),
            tuple: Tuple::default(),
            used: false,
            cursors: BTreeMap::new(),
            fragments: Fragments::default(),
            datagrams: 0,
            lost: None,
            tally,
            failures: Vec::new(),
            held: Vec::new(),
            expected: Vec::new(),
        }
    }

    pub(super) fn run(&mut self, steps: &'a [Step<'a>], world: &mut World<'_>) {
        let mut previous = 0;
        let mut waiting: Vec<Waiting<'a>> = Vec::new();
        for step in steps {
            if world.livelock {
                return;
            }
            let event = step.event;
            let (from, to) = event.time.window(previous);
            self.meanwhile(world, &mut waiting, from);
            let nth = self.tuple.nth;
            if let What::Packet(_) = event.what {
                self.tuple = Tuple { nth, of: step.of };
            }
            match &step.does {
                Does::PassedOver(what) => {
                    self.tally.passed_over.push((event.at, what.clone()));
                    previous = from;
                }
                Does::Inject(segment, told) => {
                    run_until(world, from);
                    self.inject(world, event, segment, *told);
                    previous = from;
                }
                Does::Expect(segment) => {
                    let came = self.expected(world, event, segment, (from, to), previous);
                    previous = next_base(event.time, from, came, world.now);
                }
                Does::Opened(opened) => {
                    let (sent, told, wanted) = opened.as_ref();
                    // Now, when the application has called.
                    self.inject(world, event, sent, *told);
                    let came = self.expected(world, event, wanted, (from, to), previous);
                    previous = next_base(event.time, from, came, world.now);
                }
                Does::Turned(compared) => {
                    self.tally.all += 1;
                    match compared {
                        Ok(()) => self.tally.compared += 1,
                        Err(what) => self.not_compared(event, what),
                    }
                    previous = from;
                }
                Does::Call => {
                    let What::Call(call) = &event.what else {
                        continue;
                    };
                    self.finish_waiting(world, &mut waiting);
                    run_until(world, from);
                    self.refresh(world);
                    let base = previous;
                    previous = from;
                    match event.end {
                        Some(end) => {
                            let end = match event.time {
                                TimeSpec::Absolute(_) => end,
                                _ => base.saturating_add(end),
                            };
                            let tolerance = self.tolerance(end.saturating_sub(base));
                            let early =
                                end.checked_sub(tolerance + 1).filter(|early| *early > from);
                            self.begin(call);
                            waiting.push(Waiting {
                                event,
                                call,
                                early,
                                late: end.saturating_add(tolerance),
                            });
                        }
                        None => self.call(world, event, call),
                    }
                }
            }
        }
        self.finish_waiting(world, &mut waiting);
    }

    /// How far a time may be off, so long after the event before it.
    fn tolerance(&self, delay: u64) -> u64 {
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "of microseconds, a share of some seconds"
        )]
        let share = (delay as f64 * self.settings.tolerance_percent / 100.0) as u64;
        self.settings.tolerance_us.max(share)
    }

    /// Looks after calls that wait while other things happen, up to a time.
    fn meanwhile(&mut self, world: &mut World<'_>, waiting: &mut Vec<Waiting<'a>>, until: u64) {
        for one in waiting.iter_mut() {
            if let Some(early) = one.early.filter(|early| *early < until) {
                one.early = None;
                run_until(world, early);
                self.refresh(world);
                if self.is_complete(world, one.call) {
                    let what = format!("it returned before {} s", seconds(early));
                    self.fail(world, one.event, FailureKind::WrongTime, what);
                }
            }
        }
        let due: Vec<Waiting<'a>> = waiting.extract_if(.., |one| one.late < until).collect();
        for one in due {
            run_until(world, one.late);
            self.refresh(world);
            self.call(world, one.event, one.call);
        }
    }

    /// Calls wait for each other: those under way are looked at before the next.
    fn finish_waiting(&mut self, world: &mut World<'_>, waiting: &mut Vec<Waiting<'a>>) {
        for one in std::mem::take(waiting) {
            self.refresh(world);
            if !self.is_complete(world, one.call) {
                if let Some(early) = one.early {
                    run_until(world, early);
                    self.refresh(world);
                    if self.is_complete(world, one.call) {
                        let what = format!("it returned before {} s", seconds(early));
                        self.fail(world, one.event, FailureKind::WrongTime, what);
                    }
                }
                run_until(world, one.late);
            } else if one.early.is_some_and(|early| world.now <= early) {
                let what = format!("it returned by {} s", seconds(world.now));
                self.fail(world, one.event, FailureKind::WrongTime, what);
            }
            self.refresh(world);
            self.call(world, one.event, one.call);
        }
    }

    /// What a call that may take a while does at once.
    fn begin(&mut self, call: &Call) {
        let number = call.arguments.first().and_then(Expression::number);
        if let ("connect", Some(number)) = (call.name.as_str(), number) {
            self.next_tuple();
            if let Some(socket) = self.sockets.get_mut(number) {
                socket.kind = Kind::Connecting;
            }
        }
    }

    /// Whether a blocking call would have returned by now.
    fn is_complete(&self, world: &mut World<'_>, call: &Call) -> bool {
        let number = call.arguments.first().and_then(Expression::number);
        let kind = number
            .and_then(|number| self.sockets.get(number))
            .map(|socket| socket.kind.clone());
        match (call.name.as_str(), kind) {
            ("accept" | "accept4", _) => {
                let mut all = self.connections.iter();
                all.any(|one| one.established && !one.taken && !one.turned)
            }
            ("connect", Some(Kind::Connection(index))) => self
                .connections
                .get(index)
                .is_some_and(|one| one.established),
            ("connect", _) => false,
            ("read" | "recv" | "recvfrom" | "recvmsg" | "readv", Some(Kind::Connection(index))) => {
                self.unread(world, index).is_some_and(|unread| unread > 0)
                    || self.has_ended(world, index)
            }
            _ => true,
        }
    }

    fn inject(&mut self, world: &mut World<'_>, event: &Event, segment: &Segment, told: Told) {
        self.refresh(world);
        let current = self.current(world);
        let known = current
            .and_then(|index| self.connections.get(index))
            .cloned();
        if told.syn && told.ack.is_none() && known.as_ref().is_none_or(|one| !one.established) {
            // Who listens is connected; nobody does: refused.
            let result = match self.sockets.listens() || told.turned || self.is_connecting() {
                true => engine::DialResult::Connected,
                false => engine::DialResult::Refused,
            };
            world.rules.answer_with(result);
        }
        self.follow_lacks(world, event, known.as_ref(), told);
        if self.tuple.of.datagram {
            // Who is bound takes it, and nobody is: the port is unreachable.
            let bound = self.sockets.any(|socket| socket.kind == Kind::Datagrams);
            let has_flow = |socket: &Socket| match socket.kind {
                Kind::Connection(index) => self.is_of_datagrams(world, index),
                _ => false,
            };
            if known.is_none() && !bound && self.sockets.any(has_flow) {
                self.lose(event, "another flow at a socket that has one".to_owned());
            }
            world.rules.answer_with(match bound {
                true => engine::DialResult::Connected,
                false => engine::DialResult::Refused,
            });
        }
        // What others got before is not of this tuple.
        self.cursors
            .entry(self.tuple)
            .or_insert(world.emitted.len());
        let segment = self.named(world, segment);
        match self.frames(world, &segment) {
            Ok(frames) => {
                if world.tracer.is_some() {
                    let line = Source::Line(self.place(event).to_string());
                    world.sources.extend(frames.iter().map(|_| line.clone()));
                }
                world.inject(frames);
            }
            Err(problem) => self.fail(world, event, FailureKind::Stuck, problem),
        }
        self.used |= self.tuple.of.ports.is_none();
        // The dial is answered at the same instant.
        run_until(world, world.now);
        self.refresh(world);
        let Some(index) = self.current(world) else {
            return;
        };
        if self.tuple.of.datagram {
            return self.arrived(index);
        }
        let turned = told.turned || self.is_connecting();
        if let Some(one) = self.connections.get_mut(index) {
            if told.syn && one.mss.is_none() {
                one.mss = told.mss;
                one.turned = turned;
            }
            let answered = world
                .flows
                .get(one.flow)
                .is_some_and(|flow| flow.engine_isn().is_some());
            let acknowledges = told.ack.and_then(|ack| u64::try_from(ack).ok());
            let in_range = acknowledges.is_some_and(|ack| (1..=one.written + 2).contains(&ack));
            one.established |= answered && in_range && !told.rst && !told.syn;
            if let Some(ack) = acknowledges.filter(|_| in_range && !told.rst) {
                one.acked = one.acked.max(ack - 1);
            }
        }
        self.release(world, index);
        if turned {
            self.sockets.connected(&Kind::Connecting, index);
        }
    }

    /// A datagram has come: its flow is that of the socket which waits for one.
    fn arrived(&mut self, index: usize) {
        if let Some(one) = self.connections.get_mut(index).filter(|one| !one.taken) {
            one.taken = self.sockets.connected(&Kind::Datagrams, index);
        }
    }

    /// Lets go what waited for the acknowledgement of a small segment.
    fn release(&mut self, world: &mut World<'_>, index: usize) {
        let waits = |socket: &Socket| socket.held > 0 && !socket.corked && !socket.more;
        let number = self.sockets.number_of(index, waits);
        let free = self
            .connections
            .get(index)
            .is_some_and(|one| !one.has_small_one());
        if let Some(number) = number.filter(|_| free) {
            self.flush(world, number, index);
        }
    }

    fn is_connecting(&self) -> bool {
        self.sockets.any(|socket| socket.kind == Kind::Connecting)
    }

    /// Where a packet makes a kernel do what it was told to, and no engine can be told: what follows is not compared.
    fn follow_lacks(
        &mut self,
        world: &World<'_>,
        event: &Event,
        known: Option<&Connection>,
        told: Told,
    ) {
        let lacks = self.settings.lacks;
        let flow = known.and_then(|one| world.flows.get(one.flow));
        let flow = flow.filter(|flow| flow.closed.is_none());
        // Outside of the window they are the same to everybody, and so is a reset at its left edge.
        let within = flow.is_some_and(|flow| {
            let left = i64::try_from(flow.down.acked).unwrap_or(i64::MAX);
            (left..left.saturating_add(self.settings.window)).contains(&told.start)
        });
        let exact = flow.is_some_and(|flow| u64::try_from(told.start) == Ok(flow.down.acked));
        let what = if told.rst && lacks.loose_resets && within && !exact {
            "a reset anywhere in the window ends the connection there (insecure_rst=1)"
        } else if told.syn && !told.rst && told.ack.is_none() && lacks.loose_syns && within {
            "a SYN in the window ends the connection there (insecure_syn=1)"
        } else if told.syn && told.fin && lacks.drops_syn_fin {
            "a SYN with a FIN is dropped there (drop_synfin=1)"
        } else {
            return;
        };
        self.lose(event, what.to_owned());
    }

    /// What follows depends on what nobody here does.
    fn lose(&mut self, event: &Event, what: String) {
        self.tally.passed_over.push((event.at, what.clone()));
        self.lost.get_or_insert(what);
    }

    fn not_compared(&mut self, event: &Event, what: &str) {
        self.tally.not_compared.push((event.at, what.to_owned()));
    }

    /// Another connection of the application: it has a tuple of its own.
    pub(super) fn next_tuple(&mut self) {
        if std::mem::take(&mut self.used) {
            self.tuple.nth += 1;
        }
    }

    /// The name of the present tuple's newest flow.
    pub(super) fn flow_name(&self, world: &World<'_>) -> String {
        let tuple = self.tuple.name();
        let key = self
            .timeline
            .scenario
            .flow(&tuple)
            .and_then(|spec| key_of(spec.protocol, spec.client, spec.server));
        let newest = key
            .and_then(|key| world.newest(&key))
            .and_then(|index| world.flows.get(index));
        match newest.map_or(1, |flow| flow.occurrence) {
            0 | 1 => tuple,
            more => format!("{tuple}#{more}"),
        }
    }

    /// A segment of a flow as the device sends it.
    pub(super) fn build(&self, world: &World<'_>, segment: &Segment) -> Result<Vec<u8>, String> {
        self.timeline.build(world, segment, &self.findings)
    }

    pub(super) fn named(&self, world: &World<'_>, segment: &Segment) -> Segment {
        Segment {
            flow: self.flow_name(world),
            ..segment.clone()
        }
    }

    /// Learns of connections that were dialed.
    pub(super) fn refresh(&mut self, world: &World<'_>) {
        for flow in self.connections.len()..world.flows.len() {
            self.connections.push(Connection {
                flow,
                ..Connection::default()
            });
        }
    }

    /// The newest connection of the present tuple.
    pub(super) fn current(&self, world: &World<'_>) -> Option<usize> {
        let name = self.flow_name(world);
        let spec = self.timeline.scenario.flow(&name)?;
        let key = key_of(spec.protocol, spec.client, spec.server)?;
        let newest = world.newest(&key)?;
        self.connections.iter().position(|one| one.flow == newest)
    }

    /// Holds what comes out against a `>` line; says when it came.
    fn expected(
        &mut self,
        world: &mut World<'_>,
        event: &Event,
        segment: &Segment,
        (from, to): (u64, u64),
        previous: u64,
    ) -> Option<u64> {
        self.tally.all += 1;
        if let Some(what) = self.lost.clone() {
            self.not_compared(event, &what);
            if from != u64::MAX && to != u64::MAX {
                run_until(world, from);
            }
            return None;
        }
        self.tally.compared += 1;
        self.tally.of_stack += 1;
        let tolerance = self.tolerance(from.saturating_sub(previous));
        let window = (from.saturating_sub(tolerance), to.saturating_add(tolerance));
        let came = self.await_segments(world, segment, window);
        for (frame, met) in std::mem::take(&mut self.held) {
            if world.tracer.is_some() {
                let expectation = Expectation {
                    line: event.text.clone(),
                    place: self.place(event).to_string(),
                    met,
                };
                self.expected.push((frame, expectation));
            }
        }
        match came {
            Ok(at) => Some(at),
            Err(mut failure) => {
                failure.place = Some(self.place(event));
                failure.expected = Some(event.text.clone());
                let at = failure.at_us;
                self.failures.push(*failure);
                at
            }
        }
    }

    pub(super) fn view<'w>(&'w self, world: &'w World<'_>) -> View<'w> {
        View {
            scenario: self.timeline.scenario,
            flows: &world.flows,
            emitted: &world.emitted,
            isns: self.timeline.isns,
        }
    }

    fn place(&self, event: &Event) -> Place {
        Place {
            path: self.path.to_owned(),
            position: Some(event.at),
        }
    }

    pub(super) fn fail(
        &mut self,
        world: &World<'_>,
        event: &Event,
        kind: FailureKind,
        what: String,
    ) {
        let mut failure = failure_at(kind, what, Some(world.now));
        failure.expected = Some(event.text.clone());
        failure.place = Some(self.place(event));
        self.failures.push(failure);
    }

    fn call(&mut self, world: &mut World<'_>, event: &Event, call: &Call) {
        self.tally.all += 1;
        let came = self.carry_out(world, call);
        self.refresh(world);
        let of_stack = is_of_stack(call);
        if let Some(what) = self.lost.clone().filter(|_| of_stack) {
            return self.not_compared(event, &what);
        }
        let wanted = (call.result.number(), call.error.as_deref());
        let problem = match &came {
            Came::Lost(what) => {
                self.lose(event, what.clone());
                return self.not_compared(event, what);
            }
            Came::Unknown(what) => return self.not_compared(event, what),
            Came::PassedOver(what) => {
                self.tally.passed_over.push((event.at, what.clone()));
                // The descriptor is a good one: all but its value is compared.
                (wanted.0 != Some(0)).then(|| {
                    let wanted = shown(wanted);
                    format!("`{}` came to 0, not {wanted}", call.name)
                })
            }
            Came::Value(wanted, actual) => {
                Some(format!("`{}` told {actual}, not {wanted}", call.name))
            }
            Came::Number(actual) => (wanted.0 != Some(*actual))
                .then(|| format!("`{}` came to {actual}, not {}", call.name, shown(wanted))),
            Came::Error(errors) => {
                let is =
                    wanted.0 == Some(-1) && wanted.1.is_none_or(|error| errors.contains(&error));
                (!is).then(|| {
                    let first = errors.first().copied().unwrap_or_default();
                    format!("`{}` came to -1 {first}, not {}", call.name, shown(wanted))
                })
            }
        };
        self.tally.compared += 1;
        self.tally.of_stack += u64::from(of_stack);
        if let Some(what) = problem {
            let kind = match call.name.as_str() {
                "accept" | "accept4" => FailureKind::MissingDial,
                _ => FailureKind::WrongStream,
            };
            self.fail(world, event, kind, what);
        }
    }
}

/// What the times of the next event are relative to.
fn next_base(time: TimeSpec, from: u64, came: Option<u64>, now: u64) -> u64 {
    match time {
        TimeSpec::Absolute(_) | TimeSpec::Relative(_) => from,
        _ => came.unwrap_or(now),
    }
}

fn shown((number, error): (Option<i64>, Option<&str>)) -> String {
    let number = number.map_or_else(|| "a value".to_owned(), |number| number.to_string());
    match error {
        Some(error) => format!("{number} {error}"),
        None => number,
    }
}
