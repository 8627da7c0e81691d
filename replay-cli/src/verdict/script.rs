//! Plays a packetdrill script: its packets are the device's, its calls are the dialer's.
//!
//! As in packetdrill, every emitted segment is held against the script in order, pure acknowledgements too, and the run ends with the
//! script's last event. The far side takes bytes only when the script reads, so that what it leaves unread closes the window.

use std::path::Path;
use std::sync::Arc;

use engine::{By, How};
use serde_json::json;
use stack_protocol::Time;

use super::{needs, versus};
use crate::base::diagnostic::{Diagnostic, Place, Position};
use crate::notation::packetdrill::{self, Call, Event, FLOW, Got, Script, What};
use crate::notation::{Action, pattern_bytes};
use crate::scenario::catalogue;
use crate::scenario::failure::{Failure, FailureKind};
use crate::scenario::files::Files;
use crate::scenario::{Scenario, discover, load};
use crate::simulation::Figures;
use crate::simulation::dialer::content::{Action as Step, Content};
use crate::simulation::timeline::{Findings, Isns, Timeline, failure_at, run_until};
use crate::simulation::world::World;
use crate::simulation::{RunOutput, Way, finish, open};
use crate::stack::Via;
use crate::verdict::outcome::{ScenarioOutcome, Verdict};

/// Runs a script.
pub(crate) fn run_script(path: &Path, way: Way<'_>) -> ScenarioOutcome {
    let mut outcome = ScenarioOutcome {
        name: discover::scenario_name(path),
        path: path.to_owned(),
        title: String::new(),
        covers: Vec::new(),
        verdict: Verdict::Pass,
        failures: Vec::new(),
        via: way.via.clone(),
        checks: 0,
        core_only: 0,
        figures: Figures::default(),
        notes: Vec::new(),
        wall: std::time::Duration::ZERO,
        trace: None,
        trace_file: None,
    };
    let text = match load::read(path) {
        Ok(text) => text,
        Err(problem) => {
            outcome.verdict = Verdict::Invalid(vec![problem]);
            return outcome;
        }
    };
    let script = match packetdrill::parse(&text) {
        Ok(script) => script,
        Err(unmapped) => {
            let problems = unmapped.iter().map(|problem| problem.in_file(path));
            outcome.verdict = Verdict::NotApplicable(problems.collect());
            return outcome;
        }
    };
    outcome.title.clone_from(&script.title);
    let unknown = unknown_requirements(&script, path);
    if !unknown.is_empty() {
        outcome.verdict = Verdict::Invalid(unknown);
        return outcome;
    }
    outcome.covers = script.covers.iter().map(|(name, _)| name.clone()).collect();
    let play = |way: Way<'_>| -> Result<RunOutput, Diagnostic> {
        let scenario = scenario(&script)?;
        let isns = Isns::new(&scenario, &[]);
        let mut world = open(&scenario, &Files::default(), None, way)
            .map_err(|(_, problem)| problem.in_file(path))?;
        world.keep_frames = true;
        world.step_limit = 100_000 + 1_000 * script.events.len() as u64;
        Ok(play(&script, &scenario, &isns, world, path))
    };
    if let Some(left) = needs::of_script(&script, way.via) {
        outcome.verdict = left;
        return outcome;
    }
    let real = way
        .via
        .stack()
        .is_some_and(|stack| stack.hello.time == Time::Real);
    if real
        && let Ok(core) = play(Way::CORE)
        && let Some(left) = needs::too_long(&core, way.via)
    {
        outcome.verdict = left;
        return outcome;
    }
    let (run, other) = match (play(way), play(way)) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(problem), _) | (_, Err(problem)) => {
            outcome.verdict = Verdict::Invalid(vec![problem]);
            return outcome;
        }
    };
    outcome.figures = run.figures;
    outcome.checks = run.figures.frames_out + run.line_checks + 1;
    outcome.failures.clone_from(&run.failures);
    if matches!(way.via, Via::Driver | Via::Ffi) {
        match play(Way::CORE) {
            Ok(core) => {
                let (failures, checks) = versus::differences(&core, &run);
                outcome.failures.extend(failures);
                outcome.checks += checks;
            }
            Err(problem) => {
                outcome.verdict = Verdict::Invalid(vec![problem]);
                return outcome;
            }
        }
    }
    outcome
        .failures
        .sort_by_key(|failure| failure.at_us.unwrap_or(u64::MAX));
    outcome.judge(None, None);
    if run.traits.deterministic
        && let Some(index) = run.digest.difference(&other.digest)
    {
        outcome.verdict = Verdict::Nondeterministic;
        let what = format!("two runs differ from output {index} on");
        let differs = failure_at(FailureKind::Nondeterminism, what, None);
        outcome.failures.insert(0, differs);
    }
    outcome
}

fn unknown_requirements(script: &Script, path: &Path) -> Vec<Diagnostic> {
    let unknown = |(name, at): &(String, Position)| {
        let unknown = catalogue::unknown(name)?;
        let what = format!("requirement `{name}` is not in the conformance catalogue");
        let diagnostic = Diagnostic::new(what).at(path, *at);
        Some(match unknown.nearest {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic,
        })
    };
    script.covers.iter().filter_map(unknown).collect()
}

/// The script's connection, engine and dialer as a scenario has them.
fn scenario(script: &Script) -> Result<Scenario, Diagnostic> {
    let flow = match script.family {
        6 => "tcp [fd3d:fa7b:d17d::1]:40000 > [2001:db8::1]:8080",
        _ => "tcp 10.0.0.2:40000 > 192.0.2.1:8080",
    };
    // Buffers of the size that a kernel has: a script writes before anything is acknowledged.
    let mut engine = json!({ "rx_buffer": "65535B", "tx_buffer": "1MiB" });
    if let Some(mtu) = script.mtu {
        engine["mtu"] = json!(mtu);
    }
    let text = json!({
        "schema": 1,
        "title": "a packetdrill script",
        "engine": engine,
        "flows": { FLOW: flow },
        "input": {},
        "dialer": { "rules": [ { "dial": { "result": "connected" }, "then": [ { "block": true } ] } ] },
    });
    serde_json::from_value(text).map_err(|error| Diagnostic::new(error.to_string()))
}

fn play(
    script: &Script,
    scenario: &Scenario,
    isns: &Isns,
    mut world: World<'_>,
    path: &Path,
) -> RunOutput {
    let timeline = Timeline {
        scenario,
        lines: &[],
        batch: 1,
        isns,
        until: None,
    };
    let mut player = Player {
        timeline,
        findings: Findings::default(),
        consumed: 0,
        written: 0,
        checks: 0,
        failures: Vec::new(),
        path,
    };
    player.findings.matcher.strict = true;
    player.run(script, &mut world);
    let Player {
        findings,
        checks,
        failures,
        ..
    } = player;
    let mut output = finish(world);
    output.line_checks = findings.checks + checks;
    output.failures.extend(failures);
    output
}

struct Player<'a> {
    timeline: Timeline<'a>,
    findings: Findings,
    /// Octets the application has read.
    consumed: u64,
    /// Octets it has written.
    written: u64,
    checks: u64,
    failures: Vec<Failure>,
    path: &'a Path,
}

impl Player<'_> {
    fn run(&mut self, script: &Script, world: &mut World<'_>) {
        let mut previous = 0;
        // Calls that may take until a time, which other events do not wait for.
        let mut pending: Vec<(u64, &Event)> = Vec::new();
        for event in &script.events {
            if world.livelock {
                return;
            }
            let (from, to) = event.time.window(previous);
            let base = previous;
            for (end, late) in pending.extract_if(.., |(end, _)| *end < from) {
                run_until(world, end);
                self.call(world, late);
            }
            match &event.what {
                What::Packet(line) => match &line.action {
                    Action::Inject(segment) => {
                        run_until(world, from);
                        match self.timeline.build(world, segment, &self.findings) {
                            Ok(frame) => world.inject(vec![frame]),
                            Err(problem) => self.fail(world, event, FailureKind::Stuck, problem),
                        }
                        previous = from;
                    }
                    Action::Expect(segment) => {
                        self.checks += 1;
                        let came = self.timeline.expect(
                            world,
                            segment,
                            (from, to),
                            "",
                            line,
                            &mut self.findings,
                        );
                        previous = came.unwrap_or_else(|| previous.max(world.now));
                        self.place_findings(event);
                    }
                    _ => {}
                },
                What::Call(_) => {
                    if to == u64::MAX {
                        previous = previous.max(world.now);
                    } else {
                        run_until(world, from);
                        previous = from;
                    }
                    match event.end {
                        Some(end) => {
                            let end = match event.time {
                                crate::notation::TimeSpec::Absolute(_) => end,
                                _ => base.saturating_add(end),
                            };
                            self.begin(world, event);
                            pending.push((end, event));
                        }
                        None => self.call(world, event),
                    }
                }
            }
        }
        for (end, late) in pending {
            run_until(world, end);
            self.call(world, late);
        }
    }

    /// Moves what the timeline found to the event it is about.
    fn place_findings(&mut self, event: &Event) {
        let place = self.place(event);
        for (_, mut failure) in self.findings.failures.drain(..) {
            failure.place = Some(place.clone());
            failure.expected = Some(event.text.clone());
            self.failures.push(failure);
        }
    }

    fn place(&self, event: &Event) -> Place {
        Place {
            path: self.path.to_owned(),
            position: Some(event.at),
        }
    }

    fn fail(&mut self, world: &World<'_>, event: &Event, kind: FailureKind, what: String) {
        let mut failure = failure_at(kind, what, Some(world.now));
        failure.expected = Some(event.text.clone());
        failure.place = Some(self.place(event));
        self.failures.push(failure);
    }

    /// What a call that may take a while does at once.
    fn begin(&self, world: &mut World<'_>, event: &Event) {
        if let What::Call(Call::Read { .. }) = event.what {
            steps(world, [Step::Unblock]);
        }
    }

    fn call(&mut self, world: &mut World<'_>, event: &Event) {
        let What::Call(call) = &event.what else {
            return;
        };
        self.checks += 1;
        let Some(flow) = world.flows.first() else {
            let what = "no connection was dialed".to_owned();
            return self.fail(world, event, FailureKind::MissingDial, what);
        };
        match *call {
            Call::Accept => {
                if !flow.connected {
                    let what = "the connection does not stand".to_owned();
                    self.fail(world, event, FailureKind::MissingDial, what);
                }
            }
            Call::Write(count) => {
                let len = usize::try_from(count).unwrap_or(0);
                let bytes = pattern_bytes(0, self.written, len);
                self.written += count;
                let before = flow.sent.len();
                steps(world, [Step::Send(Content::Owned(Arc::from(bytes)))]);
                let taken = world.flows.first().map_or(0, |flow| flow.sent.len()) - before;
                if taken != count {
                    let what = format!("{taken} octets were taken, not {count}");
                    self.fail(world, event, FailureKind::WrongStream, what);
                }
            }
            Call::WriteFails => {
                if flow.closed.is_none() {
                    let what = "the connection still stands".to_owned();
                    self.fail(world, event, FailureKind::MissingClose, what);
                }
            }
            Call::Shutdown => steps(world, [Step::Shutdown]),
            Call::Abort => steps(world, [Step::Reset]),
            Call::Close => self.close(world),
            Call::Read { most, got } => self.read(world, event, most, got),
        }
    }

    /// The application is gone: unread octets, or any that come later, are answered with a reset (RFC 9293 section 3.6.1).
    fn close(&self, world: &mut World<'_>) {
        steps(world, [Step::Unblock]);
        let unread = world
            .flows
            .first()
            .is_some_and(|flow| flow.upstream.len() > self.consumed);
        if unread {
            return steps(world, [Step::Reset]);
        }
        let next = 1 + world.flows.first().map_or(0, |flow| {
            flow.upstream.len().saturating_sub(flow.script.read)
        });
        steps(world, [Step::Shutdown, Step::Read(next), Step::Reset]);
    }

    fn read(&mut self, world: &mut World<'_>, event: &Event, most: u64, got: Got) {
        steps(world, [Step::Unblock]);
        let Some(flow) = world.flows.first() else {
            return;
        };
        let come = flow.upstream.len();
        let unread = come.saturating_sub(self.consumed);
        let ended = flow.half_closed_by_device.is_some()
            || flow.closed.is_some_and(|(_, close)| close.how == How::Fin);
        let reset = flow
            .closed
            .is_some_and(|(_, close)| close.how == How::Reset && close.by == By::Device);
        let actual = match unread {
            0 if reset => Got::Reset,
            0 if ended => Got::Octets(0),
            0 => Got::Nothing,
            unread => Got::Octets(unread.min(most)),
        };
        if let Got::Octets(octets) = actual {
            self.consumed += octets;
        }
        if actual != got {
            let word = |got: Got| match got {
                Got::Octets(0) => "the end of the stream".to_owned(),
                Got::Octets(octets) => format!("{octets} octets"),
                Got::Nothing => "nothing so far".to_owned(),
                Got::Reset => "a reset".to_owned(),
            };
            let what = format!("the read came to {}, not {}", word(actual), word(got));
            self.fail(world, event, FailureKind::WrongStream, what);
        }
        steps(world, [Step::Block]);
    }
}

/// Lets the dialer of the one connection take steps at this instant.
fn steps<const N: usize>(world: &mut World<'_>, steps: [Step; N]) {
    if let Some(flow) = world.flows.first_mut() {
        flow.script.actions.extend(steps);
    }
    world.go_on(0);
}
