//! A timeline written by hand: frames go in when their line says, and what a line expects must come when it says.

use engine::PathChange;

use super::isns::Isns;
use super::matcher::{Found, Matcher, Search, View, describe, is_pure_ack};
use super::world::World;
use crate::base::wording::seconds_of as seconds;
use crate::notation::{
    Action, Body, Cut, Direction, Ends, Line, Num, Range, Segment, TcpBody, wrap,
};
use crate::packet::{self, Flags, Packet};
use crate::scenario::failure::{Failure, FailureKind};
use crate::scenario::{Protocol, Scenario};
use crate::stack::event::{Expectation, Source};

/// How long another stack may keep an acknowledgement, microseconds (RFC 9293 section 3.8.6.3).
const ACK_DELAY_US: u64 = 500_000;

/// How long the device waits before it acknowledges what has come of a range in several segments, microseconds.
const DEVICE_US: u64 = 10_000;

/// For how long a stack that never reports that it is at rest is looked at after the last line, microseconds: delayed
/// acknowledgements and the first retransmission come in that time, the end of idle flows does not.
const AFTERWARDS_US: u64 = 3_000_000;

/// The longest wait of which a timer's lateness is a share, microseconds: `~` waits for ever.
const DRIFT_WAIT_US: u64 = 1 << 40;

/// Lines with the JSON pointer of each.
pub(crate) struct Timeline<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) lines: &'a [(String, Line)],
    pub(crate) batch: usize,
    pub(crate) isns: &'a Isns,
    /// When the run is over, whatever is waited for then.
    pub(crate) until: Option<u64>,
    /// Whether a silence that nothing follows is cut short.
    pub(crate) brief: bool,
}

/// What a run of a timeline found, each with the pointer of its line.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) failures: Vec<(String, Failure)>,
    pub(crate) checks: u64,
    /// Lines whose exact time was not checked.
    pub(crate) untimed: u64,
    pub(crate) matcher: Matcher,
    /// Emitted frames and the lines they were held against, if the run is watched.
    pub(crate) expected: Vec<(usize, Expectation)>,
}

impl Findings {
    /// Notes that a frame was held against a line, for those who watch.
    fn held(&mut self, world: &World<'_>, frame: usize, (place, line): (&str, &Line), met: bool) {
        if world.tracer.is_some() {
            let expectation = Expectation {
                line: line.to_string(),
                place: place.to_owned(),
                met,
            };
            self.expected.push((frame, expectation));
        }
    }
}

impl Timeline<'_> {
    /// Plays the lines, then lets the run come to its end.
    pub(crate) fn play(&self, world: &mut World<'_>) -> Findings {
        let mut play = Play {
            timeline: self,
            world,
            findings: Findings::default(),
            previous: 0,
            event: 0,
            waiting: Vec::new(),
        };
        play.findings.matcher = Matcher::of(self.scenario, play.world.engine.traits());
        for (at, (pointer, line)) in self.lines.iter().enumerate() {
            if play.world.livelock {
                break;
            }
            let next = self.lines.get(at + 1).map(|(_, next)| next);
            play.line(pointer, line, next);
        }
        finish(play.world, self.until);
        play.leftovers();
        play.findings
    }

    fn view<'w>(&'w self, world: &'w World<'_>) -> View<'w> {
        View {
            scenario: self.scenario,
            flows: &world.flows,
            emitted: &world.emitted,
            isns: self.isns,
        }
    }

    /// Waits for what a line expects; when it came.
    pub(crate) fn expect(
        &self,
        world: &mut World<'_>,
        segment: &Segment,
        (from, to): (u64, u64),
        pointer: &str,
        line: &Line,
        findings: &mut Findings,
    ) -> Option<u64> {
        let mut search = Search::default();
        let mut acknowledged = 0;
        let last = to.min(self.until.unwrap_or(u64::MAX).max(world.now));
        loop {
            let view = self.view(world);
            match findings.matcher.find(view, segment, &mut search) {
                Found::Match(index) => {
                    let time = |index: usize| {
                        let emitted = world.emitted.get(index);
                        emitted.map_or(world.now, |emitted| emitted.at)
                    };
                    let at = time(index);
                    let first = search.came.map_or(at, |(first, _)| time(first));
                    let met = from <= first && at <= to;
                    findings.held(world, index, (pointer, line), met);
                    if !met {
                        let came = if first < from { first } else { at };
                        let due = window(from, to);
                        let what = format!("it came at {} s, expected {due}", seconds(came));
                        let late = Failure {
                            actual: Some(self.view(world).shown(index)),
                            ..failure(FailureKind::WrongTime, what, came, segment, line)
                        };
                        findings.failures.push((pointer.to_owned(), late));
                    }
                    return Some(at);
                }
                Found::Other(index, differences) => {
                    findings.held(world, index, (pointer, line), false);
                    let at = world.emitted.get(index).map(|emitted| emitted.at)?;
                    let (what, payload) = describe(&differences);
                    let wrong = Failure {
                        payload,
                        actual: Some(self.view(world).shown(index)),
                        ..failure(FailureKind::WrongPacket, what, at, segment, line)
                    };
                    findings.failures.push((pointer.to_owned(), wrong));
                    return Some(at);
                }
                Found::Nothing => {}
            }
            if search.bytes > acknowledged
                && acknowledges(segment)
                && self.acknowledge(world, segment, pointer, &search, findings, last)
            {
                acknowledged = search.bytes;
                continue;
            }
            let next = world.next();
            let idle = !world.has_tasks()
                && next.is_none_or(|next| next.timer.is_some_and(|(timer, _)| timer.is_idle()));
            let Some(next) = next.filter(|next| next.at <= last && !(idle && to == u64::MAX))
            else {
                break;
            };
            world.run(next);
            if world.livelock {
                break;
            }
        }
        if to != u64::MAX {
            world.now = world.now.max(to);
        }
        // A range without an end is what came in its time.
        if let Some((first, _)) = search.came
            && segment.is_open(&findings.matcher.bindings)
        {
            segment.close(search.bytes, &mut findings.matcher.bindings);
            let first = world.emitted.get(first).map_or(from, |first| first.at);
            if first >= from {
                return Some(to.min(world.now));
            }
        }
        let what = format!("nothing came that matches, {}", window(from, to));
        let last = world.emitted.len().checked_sub(1);
        let missing = Failure {
            actual: last.map(|last| format!("last emitted: {}", self.view(world).shown(last))),
            ..failure(FailureKind::MissingPacket, what, world.now, segment, line)
        };
        findings.failures.push((pointer.to_owned(), missing));
        None
    }

    /// Lets the device acknowledge what has come of a range, unless something happens sooner; the window's edge stays.
    fn acknowledge(
        &self,
        world: &mut World<'_>,
        segment: &Segment,
        pointer: &str,
        search: &Search,
        findings: &Findings,
        last: u64,
    ) -> bool {
        let came = search.came.and_then(|(_, last)| world.emitted.get(last));
        let at = came.map_or(world.now, |last| last.at.saturating_add(DEVICE_US));
        if at > last || world.next().is_some_and(|next| next.at <= at) {
            return false;
        }
        let view = self.view(world);
        let state = view.spec(&segment.flow).and_then(|spec| view.state(&spec));
        let Some(down) = state.map(|flow| &flow.down) else {
            return false;
        };
        let acked = down.contiguous();
        let edge = down.offered_to;
        let room = edge.map(|edge| edge.saturating_sub(acked) >> down.shift());
        let number = |unit: u64| Num::of(wrap(i64::try_from(unit).unwrap_or_default()));
        let next = number(down.device_within);
        let answer = Segment {
            flow: segment.flow.clone(),
            body: Body::Tcp(TcpBody {
                flags: Flags::ACK,
                range: Some(Range {
                    start: next.clone(),
                    end: next,
                    len: Num::of(0),
                    cut: Cut::One,
                }),
                ack: Some(number(acked)),
                window: room.map(|room| number(room.min(0xffff))),
                ..TcpBody::default()
            }),
            overrides: Vec::new(),
        };
        let Ok(frame) = self.build(world, &answer, findings) else {
            return false;
        };
        world.now = world.now.max(at);
        if world.tracer.is_some() {
            world.sources.push(Source::Line(pointer.to_owned()));
        }
        world.inject(vec![frame]);
        true
    }

    /// The segments that a line sends, as many as the other side's MSS and the device's MTU make of it.
    fn cut(&self, world: &World<'_>, segment: &Segment, findings: &mut Findings) -> Vec<Segment> {
        let view = self.view(world);
        let Some(spec) = view.spec(&segment.flow) else {
            return vec![segment.clone()];
        };
        let bindings = &mut findings.matcher.bindings;
        view.name_places(&spec, bindings);
        let offered = view.state(&spec).map(|flow| flow.down.engine_mss);
        let headers = if spec.client.is_ipv4() { 40 } else { 60 };
        let room = world.engine.mtu().saturating_sub(headers);
        let most = offered.unwrap_or(u64::MAX).min(room as u64);
        segment.cut(u32::try_from(most).unwrap_or(u32::MAX), bindings)
    }

    pub(crate) fn build(
        &self,
        world: &World<'_>,
        segment: &Segment,
        findings: &Findings,
    ) -> Result<Vec<u8>, String> {
        let view = self.view(world);
        let spec = view.spec(&segment.flow);
        // A line of raw bytes is of no flow.
        let none = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
        let (device, far) = spec.map_or((none, none), |spec| (spec.client, spec.server));
        let protocol = match spec.map(|spec| spec.protocol) {
            None => 0,
            Some(Protocol::Tcp) => packet::TCP,
            Some(Protocol::Udp) => packet::UDP,
            Some(Protocol::Icmp) if device.is_ipv4() => packet::ICMP,
            Some(Protocol::Icmp) => packet::ICMPV6,
        };
        let ends = Ends {
            protocol,
            device,
            far,
        };
        let numbering = spec.map(|spec| view.numbering(&spec)).unwrap_or_default();
        let bindings = &findings.matcher.bindings;
        let built = segment.build(Direction::FromDevice, &ends, &numbering, bindings);
        built.map_err(|problem| problem.to_string())
    }
}

/// A run of a timeline as far as it has come.
struct Play<'p, 'a, 'w> {
    timeline: &'p Timeline<'a>,
    world: &'p mut World<'w>,
    findings: Findings,
    /// When the line before took place.
    previous: u64,
    /// When the last packet went in or came that a line is about: timers run from there.
    event: u64,
    /// Frames that go in together.
    waiting: Vec<Vec<u8>>,
}

impl Play<'_, '_, '_> {
    fn line(&mut self, pointer: &str, line: &Line, next: Option<&Line>) {
        let (from, _) = line.time.window(self.previous);
        match &line.action {
            Action::Inject(segment) => return self.inject(pointer, line, segment, next),
            Action::Expect(segment) => return self.expect(pointer, line, segment),
            Action::Silence { until } => {
                let brief = self.timeline.brief && next.is_none();
                let last = self.world.now.saturating_add(AFTERWARDS_US);
                let until = if brief { last.min(*until) } else { *until };
                return self.silence(pointer, line, until);
            }
            Action::Allow(segment) => return self.findings.matcher.allow(segment),
            Action::Sleep => {
                run_until(self.world, self.world.now);
                // A host that sleeps makes no calls; when it wakes, the engine gets the present time.
                self.world.now = self.world.now.max(from);
                self.world.wake();
            }
            Action::Path { .. } => {
                run_until(self.world, from);
                self.world.path_changed(PathChange::Network);
            }
            Action::AddressLost { flow } => {
                run_until(self.world, from);
                self.address_lost(pointer, flow);
            }
            Action::Output { held } => {
                run_until(self.world, from);
                self.world.hold_output(*held);
            }
            Action::Stop => {
                run_until(self.world, from);
                self.world.stop();
            }
        }
        self.previous = from;
    }

    /// Injects a line's frame as often as it says; frames of one time go in together, up to the batch.
    fn inject(&mut self, pointer: &str, line: &Line, segment: &Segment, next: Option<&Line>) {
        let mut from = line.time.window(self.previous).0;
        for before in 0..segment.repetitions() {
            if before > 0 {
                from = line.time.window(from).0;
                if from > self.previous || self.waiting.len() >= self.timeline.batch {
                    self.inject_waiting();
                }
            }
            run_until(self.world, from);
            let repeated = segment.repetition(before);
            let pieces = self.timeline.cut(self.world, &repeated, &mut self.findings);
            for piece in pieces {
                if self.waiting.len() >= self.timeline.batch {
                    self.inject_waiting();
                }
                self.build(pointer, &piece);
            }
            (self.previous, self.event) = (from, from);
            if self.world.livelock {
                break;
            }
        }
        let more = next.is_some_and(|next| {
            matches!(next.action, Action::Inject(_))
                && next.time.window(self.previous).0 <= self.previous
        });
        if self.waiting.len() >= self.timeline.batch || !more {
            self.inject_waiting();
        }
    }

    fn build(&mut self, pointer: &str, segment: &Segment) {
        match self.timeline.build(self.world, segment, &self.findings) {
            Ok(frame) => {
                self.waiting.push(frame);
                if self.world.tracer.is_some() {
                    let line = Source::Line(pointer.to_owned());
                    self.world.sources.push(line);
                }
            }
            Err(problem) => {
                let stuck = failure_at(FailureKind::Stuck, problem, Some(self.world.now));
                self.fails(pointer, of_flow(stuck, segment));
            }
        }
    }

    fn inject_waiting(&mut self) {
        self.world.inject(std::mem::take(&mut self.waiting));
    }

    fn expect(&mut self, pointer: &str, line: &Line, segment: &Segment) {
        let traits = self.world.engine.traits();
        let slack = traits.tolerance;
        self.findings.checks += 1;
        self.findings.untimed += u64::from(slack > 0 && line.time.is_exact());
        let delayed = traits.foreign && line.time.is_exact() && is_pure_ack(segment);
        let delay = if delayed { ACK_DELAY_US } else { 0 };
        let (from, to) = line.time.window(self.previous);
        let drift = to.saturating_sub(self.event).min(DRIFT_WAIT_US) * traits.drift / 1_000;
        let window = (
            from.saturating_sub(slack),
            to.saturating_add(slack)
                .saturating_add(delay)
                .saturating_add(drift),
        );
        let findings = &mut self.findings;
        let came = self
            .timeline
            .expect(self.world, segment, window, pointer, line, findings);
        self.previous = came.unwrap_or_else(|| self.previous.max(self.world.now));
        self.event = self.previous;
    }

    fn silence(&mut self, pointer: &str, line: &Line, until: u64) {
        let slack = self.world.engine.traits().tolerance;
        self.findings.checks += 1;
        let before = self.world.emitted.len();
        // Silence ends just before its time: what is due then may come.
        run_until(self.world, until.saturating_sub(1));
        let quiet_to = until.saturating_sub(slack);
        for index in before..self.world.emitted.len() {
            let Some(emitted) = self.world.emitted.get(index) else {
                continue;
            };
            let at = Some(emitted.at);
            let view = self.timeline.view(self.world);
            let free = Packet::whole(&emitted.bytes)
                .is_ok_and(|packet| self.findings.matcher.passes_over(view, emitted, &packet));
            if free || (slack > 0 && emitted.at >= quiet_to) {
                continue;
            }
            let what = "a packet came during a silence".to_owned();
            let broken = Failure {
                expected: Some(line.to_string()),
                actual: Some(self.timeline.view(self.world).shown(index)),
                ..failure_at(FailureKind::BrokenSilence, what, at)
            };
            self.findings
                .held(self.world, index, (pointer, line), false);
            self.fails(pointer, broken);
        }
        self.previous = until;
    }

    fn address_lost(&mut self, pointer: &str, flow: &str) {
        match self.timeline.view(self.world).spec(flow) {
            Some(spec) => {
                let lost = PathChange::AddressLost(spec.client.ip());
                self.world.path_changed(lost);
            }
            None => {
                let what = format!("unknown flow `{flow}`");
                let now = Some(self.world.now);
                self.fails(pointer, failure_at(FailureKind::Stuck, what, now));
            }
        }
    }

    /// What came and no line had expected.
    fn leftovers(&mut self) {
        let view = self.timeline.view(self.world);
        for (name, index) in self.findings.matcher.leftovers(view) {
            let at = self.world.emitted.get(index).map(|emitted| emitted.at);
            let what = format!("flow {name} got a packet beyond all that was expected");
            let extra = Failure {
                flow: Some(name),
                actual: Some(self.timeline.view(self.world).shown(index)),
                help: Some("add a line for it, or find out why it was sent".to_owned()),
                ..failure_at(FailureKind::UnexpectedPacket, what, at)
            };
            self.fails("/input/frames", extra);
        }
    }

    fn fails(&mut self, pointer: &str, failure: Failure) {
        self.findings.failures.push((pointer.to_owned(), failure));
    }
}

/// Lets everything happen that is due up to and including `at`, then stands at `at`.
pub(crate) fn run_until(world: &mut World<'_>, at: u64) {
    while let Some(next) = world.next() {
        if next.at > at || world.livelock {
            break;
        }
        world.run(next);
    }
    world.now = world.now.max(at);
}

/// Runs on until only idle time is waited for.
fn finish(world: &mut World<'_>, until: Option<u64>) {
    let rests = world.engine.traits().rests;
    let end = world.now;
    while let Some(next) = world.next() {
        let idle = !world.has_tasks() && next.timer.is_some_and(|(timer, _)| timer.is_idle());
        let last = world.emitted.last().map_or(end, |last| last.at.max(end));
        let over = !rests && !world.has_tasks() && next.at > last.saturating_add(AFTERWARDS_US);
        let late = until.map_or(over, |until| next.at > until);
        if world.livelock || late || (idle && until.is_none()) {
            break;
        }
        world.run(next);
    }
    if let Some(until) = until {
        world.now = world.now.max(until);
    }
}

/// Whether the device acknowledges what comes of a line while more is to come.
fn acknowledges(segment: &Segment) -> bool {
    match &segment.body {
        Body::Tcp(tcp) => {
            let range = tcp.range.as_ref();
            range.is_some_and(|range| range.cut == Cut::Acked)
        }
        _ => false,
    }
}

pub(crate) fn window(from: u64, to: u64) -> String {
    match (from, to) {
        (_, u64::MAX) => "at any time".to_owned(),
        (from, to) if from == to => format!("at {} s", seconds(from)),
        (from, to) => format!("between {} s and {} s", seconds(from), seconds(to)),
    }
}

fn failure(kind: FailureKind, what: String, at: u64, segment: &Segment, line: &Line) -> Failure {
    let failure = Failure {
        expected: Some(line.to_string()),
        ..failure_at(kind, what, Some(at))
    };
    of_flow(failure, segment)
}

fn of_flow(failure: Failure, segment: &Segment) -> Failure {
    Failure {
        flow: (!segment.flow.is_empty()).then(|| segment.flow.clone()),
        ..failure
    }
}

pub(crate) fn failure_at(kind: FailureKind, what: String, at_us: Option<u64>) -> Failure {
    Failure {
        kind,
        what,
        expected: None,
        actual: None,
        payload: None,
        flow: None,
        frame: None,
        at_us,
        place: None,
        help: None,
    }
}
