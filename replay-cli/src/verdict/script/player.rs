//! Plays a script's steps: packets are the device's, calls are the dialer's.
//!
//! As in packetdrill, every emitted segment of the connection is held against the script in order, pure acknowledgements too, and the
//! run ends with the script's last event. The far side takes bytes only when the script reads, so that what it leaves unread closes the
//! window.

use std::collections::BTreeMap;
use std::path::Path;

use super::plan::{Does, Step, Tuple};
use super::settings::Settings;
use super::sockets::Sockets;
use crate::base::diagnostic::{Place, Position};
use crate::capture::conversation::fragments::Fragments;
use crate::notation::packetdrill::syntax::{Event, What};
use crate::notation::{Segment, TimeSpec};
use crate::scenario::Scenario;
use crate::scenario::failure::{Failure, FailureKind};
use crate::simulation::dialer::key_of;
use crate::simulation::flow::FlowState;
use crate::simulation::isns::Isns;
use crate::simulation::matcher::View;
use crate::simulation::timeline::{Findings, Timeline, failure_at, run_until};
use crate::simulation::world::World;
use crate::stack::event::Expectation;

mod inject;
mod waiting;

use waiting::Waiting;

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
    /// Its error has been packet.
    pub(super) error_reported: bool,
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
    /// Of these, those that depend on the stack.
    pub(super) of_stack: u64,
    /// Steps that only a kernel could notice.
    pub(super) passed_over: Vec<(Position, String)>,
    /// Lines and results that depend on such a step, or that are not known here.
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
    /// What later lines depend on and is not done: they are not compared.
    lost: Option<String>,
    pub(super) tally: Tally,
    pub(super) failures: Vec<Failure>,
    /// Frames that the present line was held against, and whether they are as it has them.
    pub(super) held: Vec<(usize, bool)>,
    /// All frames with their lines, if the run is watched.
    pub(super) expected: Vec<(usize, Expectation)>,
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
                Does::Inject(segment, packet) => {
                    run_until(world, from);
                    self.inject(world, event, segment, *packet);
                    previous = from;
                }
                Does::Expect(segment) => {
                    let came = self.expected(world, event, segment, (from, to), previous);
                    previous = next_base(event.time, from, came, world.now);
                }
                Does::Opened(opened) => {
                    let (sent, packet, wanted) = opened.as_ref();
                    // Now, when the application has called.
                    self.inject(world, event, sent, *packet);
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

    /// What follows depends on what is not done here.
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
        let newest = self.newest(world, &tuple);
        let newest = newest.and_then(|index| world.flows.get(index));
        match newest.map_or(1, |flow| flow.occurrence) {
            0 | 1 => tuple,
            more => format!("{tuple}#{more}"),
        }
    }

    fn newest(&self, world: &World<'_>, name: &str) -> Option<usize> {
        let spec = self.timeline.scenario.flow(name)?;
        world.newest(&key_of(spec.protocol, spec.client, spec.server)?)
    }

    /// The flow of a connection.
    pub(super) fn flow<'w>(&self, world: &'w World<'_>, index: usize) -> Option<&'w FlowState> {
        world.flows.get(self.connections.get(index)?.flow)
    }

    /// Whether a connection has none that is open.
    pub(super) fn is_closed(&self, world: &World<'_>, index: usize) -> bool {
        let flow = self.flow(world, index);
        flow.is_none_or(|flow| flow.closed.is_some())
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
        let newest = self.newest(world, &self.flow_name(world))?;
        self.connections.iter().position(|one| one.flow == newest)
    }

    /// Holds what comes out against a `>` line; when it came.
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
}

/// What the times of the next event are relative to.
fn next_base(time: TimeSpec, from: u64, came: Option<u64>, now: u64) -> u64 {
    match time {
        TimeSpec::Absolute(_) | TimeSpec::Relative(_) => from,
        _ => came.unwrap_or(now),
    }
}
