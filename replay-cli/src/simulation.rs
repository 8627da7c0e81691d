//! Runs scenarios in virtual time.
//!
//! ```text
//!   device (capture or lines) ──frames──> engine ──dials, bytes──> dialer (script)
//!            ^                              │                         │
//!            └────────── frames ────────────┘<──── bytes, ends ───────┘
//! ```
//! One step is one input and a full drain. Every run is made twice, and the outputs compared.

use std::collections::BTreeMap;

use engine::Counters;
use serde::Serialize;

use crate::base::diagnostic::Diagnostic;
use crate::capture::conversation::Conversations;
use crate::scenario::failure::{Failure, FailureKind};
use crate::scenario::files::Files;
use crate::scenario::{self, Scenario};
use crate::stack::DnsSeen;
use crate::stack::event::{Expectation, Tracer};
use crate::stack::{self, Traits, Via, Watch};

pub(crate) mod device;
pub(crate) mod dialer;
pub(crate) mod digest;
pub(crate) mod fault;
pub(crate) mod flow;
pub(crate) mod invariant;
pub(crate) mod isns;
pub(crate) mod matcher;
pub(crate) mod mutation;
pub(crate) mod observe;
pub(crate) mod receiver;
mod retire;
pub(crate) mod share;
mod siblings;
pub(crate) mod tape;
pub(crate) mod timeline;
pub(crate) mod world;

use device::echo::EchoSeen;
use device::{Device, Play};
use dialer::Rules;
use dialer::resolver::Resolver;
use digest::Digest;
use fault::Faults;
use flow::{Dialed, FlowState};
use mutation::Mutation;
use share::Share;
use tape::{Against, Retention, StreamComparison};
use world::{Emitted, World};

/// Numbers of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Virtual time from the first input to the end, microseconds.
    pub virtual_us: u64,
    /// Frames injected.
    pub frames_in: u64,
    /// Frames emitted.
    pub frames_out: u64,
    /// Frames the runner made up, as the device would have (see the stall rule).
    pub synthetic: u64,
    /// Recorded retransmissions left out because they were not needed.
    pub left_out: u64,
    /// Flows that were dialed.
    pub flows: u64,
    /// Steps of the run.
    pub steps: u64,
}

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunMode<'a> {
    /// Which engine, by which way in.
    pub(crate) via: &'a Via,
    /// A change to what is observed of it.
    pub(crate) mutation: Option<&'a Mutation>,
    /// Whether emitted frames are kept even if nothing is expected of them.
    pub(crate) keep_frames: bool,
    /// What of it is checked.
    pub(crate) share: Share,
    /// Where its events go, if anywhere.
    pub(crate) tracer: Option<&'a Tracer>,
    /// Where it is noted what it makes the engine do, if anywhere.
    pub(crate) watch: Option<&'a Watch>,
    /// Whether the dialer does what the capture says, without rules, and flows that are through make room
    /// once very many are open.
    pub(crate) recorded: bool,
    /// Whether a silence that nothing follows is cut short, as real time takes as long as it says.
    pub(crate) brief: bool,
}

impl RunMode<'static> {
    /// The engine as a library.
    pub(crate) const CORE: Self = Self {
        via: &Via::Core,
        mutation: None,
        keep_frames: false,
        share: Share::All,
        tracer: None,
        watch: None,
        recorded: false,
        brief: false,
    };
    /// The same, the capture as it stands.
    pub(crate) const RECORDED: Self = Self {
        recorded: true,
        ..Self::CORE
    };
}

/// What a run keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retain {
    /// Emitted frames.
    pub(crate) frames: bool,
    /// The streams of each flow.
    pub(crate) streams: Retention,
    /// Whether streams are held against those of the capture, and hashed beside.
    pub(crate) against: Option<bool>,
}

/// Everything a run left behind.
pub(crate) struct RunOutput {
    pub(crate) flows: Vec<FlowState>,
    /// What is left of flows that replayed a conversation, once [`RunOutput::settle`] was called.
    pub(crate) dialed: Vec<Dialed>,
    /// The streams of each conversation, if they were held against the capture.
    pub(crate) comparisons: Vec<StreamComparison>,
    pub(crate) dns: Vec<(u64, DnsSeen)>,
    pub(crate) emitted: Vec<Emitted>,
    /// Broken invariants and stuck inputs.
    pub(crate) failures: Vec<Failure>,
    /// Its counters; `None` if it has none to compare.
    pub(crate) counters: Option<Counters>,
    /// What it can be held to.
    pub(crate) traits: Traits,
    /// Something worth a note.
    pub(crate) remarks: Option<String>,
    /// Frames of the device that were lost before the engine.
    pub(crate) frames_lost: u64,
    pub(crate) figures: Figures,
    pub(crate) digest: Digest,
    /// Per conversation: synthetic frames, and retransmissions left out.
    pub(crate) device: Vec<(u64, u64)>,
    /// What became of the echo requests of the capture.
    pub(crate) echoes: Vec<EchoSeen>,
    /// Flows that were ended to make room.
    pub(crate) retired: u64,
    /// A counter that is reported as other than it is, and by how much: what a [`Mutation`] does.
    pub(crate) raised: Option<(String, i64)>,
    /// Lines of a timeline that were held against the run.
    pub(crate) line_checks: u64,
    /// Lines whose exact time was not.
    pub(crate) untimed_lines: u64,
    /// Emitted frames and the lines they were held against, if it was watched.
    pub(crate) expected: Vec<(usize, Expectation)>,
    /// The most heap the engine held, bytes; `None` if it is not counted.
    pub(crate) peak_heap: Option<u64>,
}

impl RunOutput {
    /// Keeps of its flows what a verdict needs, which is little.
    pub(crate) fn settle(&mut self) {
        let flows = std::mem::take(&mut self.flows);
        self.dialed = flows.iter().filter_map(Dialed::of).collect();
    }

    /// Its counters by name; `None` if it has none to compare. What came after the stop is dropped at the border by
    /// other ways in than the core, which is the same to the device.
    pub(crate) fn named_counters(&self) -> Option<BTreeMap<&'static str, u64>> {
        let counters = self.counters.as_ref()?;
        let mut named: BTreeMap<&str, u64> = counters.iter().collect();
        if let Some(dropped) = named.get_mut("drop_stopped") {
            *dropped += self.frames_lost;
        }
        Some(named)
    }
}

/// Plays a capture once. An error names the JSON pointer it is about.
pub(crate) fn play_capture(
    scenario: &Scenario,
    files: &Files,
    capture: &Conversations,
    keep: Retain,
    way: RunMode<'_>,
) -> Result<RunOutput, (String, Diagnostic)> {
    let input = &scenario.input;
    let mut world = open(scenario, files, Some(capture), way)?;
    world.keep_frames = keep.frames;
    world.retention = keep.streams;
    if let Some(hashed) = keep.against {
        let comparison = StreamComparison {
            up: Against::new(hashed),
            down: Against::new(hashed),
        };
        world.comparisons = vec![comparison; capture.flows.len()];
    }
    // Actions that are not listed come from packets, up to four from each.
    let rules = scenario.dialer.rules.iter();
    let actions = rules.map(|rule| match rule.then[..] {
        [scenario::Step::Recorded(_)] => 0,
        ref steps => steps.len() as u64,
    });
    let listed: u64 = actions.sum();
    let recorded = if listed == 0 { 4 * capture.usable } else { 0 };
    let flows = capture.flows.len() as u64;
    world.step_limit = 10_000 + 50 * (capture.usable + listed + recorded + flows);
    let play = Play {
        timing: input.timing.unwrap_or_default(),
        checksums: input.checksums.unwrap_or_default(),
        retransmissions: input.retransmissions.unwrap_or_default(),
        batch: input.batch.map_or(64, |batch| batch as usize).max(1),
        retires: way.recorded,
    };
    let mut device = Device::new(capture, play);
    device.run(&mut world, input.until.map(|until| until.as_micros()));
    let (synthetic, left_out) = (device.synthetic, device.left_out);
    let retired = device.retired;
    let per_flow = device.flows.iter();
    let per_flow = per_flow
        .map(|flow| (flow.synthetic, flow.left_out))
        .collect();
    let echoes = device.hold_echoes(&mut world);
    let findings = device.findings;
    if let Some(reader) = world.reader.take() {
        let read = reader.finish();
        read.map_err(|problem| ("/input/capture".to_owned(), problem.into()))?;
    }
    let mut output = finish(world);
    output.failures.extend(findings);
    output.figures.synthetic = synthetic;
    output.figures.left_out = left_out;
    output.device = per_flow;
    output.echoes = echoes;
    output.retired = retired;
    Ok(output)
}

/// A world before its first input. An error names the JSON pointer it is about.
pub(crate) fn open<'a>(
    scenario: &Scenario,
    files: &Files,
    capture: Option<&'a Conversations>,
    way: RunMode<'_>,
) -> Result<World<'a>, (String, Diagnostic)> {
    let rules = if way.recorded {
        Rules::recorded(scenario)
    } else {
        Rules::new(scenario, files, capture)?
    };
    let mut engine = stack::open(way.via, &scenario.engine, way.tracer)
        .map_err(|problem| ("/engine".to_owned(), problem))?;
    if let Some(watch) = way.watch {
        engine.watch(watch.clone());
    }
    let mut world = World::new(engine, rules, Faults::new(scenario), capture);
    world.resolver = Resolver::new(&scenario.dialer);
    world.changed_frame = way.mutation.and_then(Mutation::frame);
    world.tracer = way.tracer.cloned();
    world.share = way.share;
    Ok(world)
}

/// What a run left behind, and the invariants that are checked at its end.
pub(crate) fn finish(mut world: World<'_>) -> RunOutput {
    if world.livelock {
        let last = world.last_events().join(", ");
        let now = world.clock();
        let table = world.engine.inspect(now);
        let steps = world.steps;
        let what =
            format!("no end after {steps} steps; the last events: {last}; the flows:\n{table}");
        let failure = timeline::failure_at(FailureKind::Livelock, what, Some(world.now));
        world.failures.push(failure);
    }
    let counters = world.engine.counters();
    if !world.livelock
        && let Some(counters) = &counters
        && let Some(problem) = invariant::count(counters, &world.flows, world.engine.has_inboxes())
    {
        world.broken(None, problem);
    }
    for complaint in world.engine.complaints().to_vec() {
        world.broken(None, complaint);
    }
    let now = world.now;
    for flow in &mut world.flows {
        flow.note_stalls(now, true);
    }
    let mut failures = std::mem::take(&mut world.failures);
    if let Some((at, what)) = world.engine.broken() {
        let mut broken = timeline::failure_at(FailureKind::BrokenStack, what, Some(at));
        broken.help = Some(
            "the stack is at fault, or its program: run the scenario alone, and the program by hand with the lines of \
             docs/STACK_PROTOCOL.md"
                .to_owned(),
        );
        failures.insert(0, broken);
    }
    RunOutput {
        traits: world.engine.traits(),
        remarks: world.engine.remarks(),
        figures: Figures {
            virtual_us: world.now,
            frames_in: world.frames_in,
            frames_out: world.frames_out,
            flows: world.flows.len() as u64,
            steps: world.steps,
            ..Figures::default()
        },
        frames_lost: world.engine.frames_lost(),
        flows: world.flows,
        dialed: Vec::new(),
        comparisons: world.comparisons,
        dns: world.dns,
        emitted: world.emitted,
        failures,
        counters,
        digest: world.digest,
        device: Vec::new(),
        echoes: Vec::new(),
        retired: 0,
        raised: None,
        line_checks: 0,
        untimed_lines: 0,
        expected: Vec::new(),
        peak_heap: crate::base::heap::peak(),
    }
}
