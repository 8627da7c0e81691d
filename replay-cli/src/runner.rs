//! Runs scenarios in virtual time.
//!
//! ```text
//!   device (capture or lines) ──frames──> engine ──dials, bytes──> dialer (script)
//!            ^                              │                         │
//!            └────────── frames ────────────┘<──── bytes, ends ───────┘
//! ```
//! One step is one input and a full drain. Every run is made twice, and the outputs compared.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine::{
    Config, Counters, DialFailure, Martians, PathPolicy, Refusal, UdpFiltering, UdpMapping,
};

use crate::attempt::DnsSeen;
use crate::conversation::Conversations;
use crate::diagnostic::Diagnostic;
use crate::outcome::{Failure, FailureKind, Figures};
use crate::scenario::{self, EngineSettings, Scenario};

mod actions;
mod captured;
mod content;
pub(crate) mod digest;
mod fault;
mod file;
pub(crate) mod flow;
mod inject;
mod invariant;
mod lines;
mod marked;
pub(crate) mod matcher;
mod mutation;
mod needs;
mod observe;
mod packetdrill;
mod receiver;
mod resolver;
pub(crate) mod script;
pub(crate) mod share;
mod stack;
mod stall;
pub(crate) mod tape;
mod twins;
mod versus;
pub(crate) mod witness;
pub(crate) mod world;

pub use file::run_file;
pub use stack::{StackProgram, Via, serve_engine};

pub(crate) use stack::Traits;

pub(crate) use file::run_mutated;
pub(crate) use mutation::{FrameChange, Mutation};

use captured::{Device, Play};
use digest::Digest;
use fault::Faults;
use flow::FlowState;
use resolver::Resolver;
use script::Rules;
use share::Share;
use tape::{Against, Heard, Retention};
use world::{Emitted, World};

/// Options of [`run_file`].
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Where captures are, if not found upward from the scenario.
    pub captures: Option<PathBuf>,
    /// Whether every emitted and injected packet is kept as a line in the notes.
    pub trace: bool,
    /// Which engine runs, and by which way in.
    pub via: Via,
}

/// How a run is made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Way<'a> {
    /// Which engine, by which way in.
    pub(crate) via: &'a Via,
    /// A change to what is observed of it.
    pub(crate) mutation: Option<&'a Mutation>,
    /// Whether emitted frames are kept even if nothing is expected of them.
    pub(crate) keep_frames: bool,
    /// What of it is checked.
    pub(crate) share: Share,
}

impl Way<'static> {
    /// The engine as a library.
    pub(crate) const CORE: Self = Self {
        via: &Via::Core,
        mutation: None,
        keep_frames: false,
        share: Share::All,
    };
}

/// What a run keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeping {
    /// Emitted frames.
    pub(crate) frames: bool,
    /// The streams of each flow.
    pub(crate) streams: Retention,
    /// Whether streams are held against those of the capture, and hashed beside.
    pub(crate) against: Option<bool>,
}

/// How far times may be off by another way in than the core, microseconds: one interval of polling, and a millisecond.
pub(crate) const TOLERANCE_US: u64 = 6_000;

/// Everything a run left behind.
pub(crate) struct RunOutput {
    pub(crate) flows: Vec<FlowState>,
    /// The streams of each conversation, if they were held against the capture.
    pub(crate) heard: Vec<Heard>,
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
    /// A counter that is told as other than it is, and by how much: see [`Mutation::Counter`].
    pub(crate) raised: Option<(String, i64)>,
    /// Lines of a timeline that were held against the run.
    pub(crate) line_checks: u64,
    /// Lines whose exact time was not.
    pub(crate) untimed_lines: u64,
    /// The most heap the engine held, octets; `None` if nobody counts.
    pub(crate) peak_heap: Option<u64>,
}

/// The engine's settings for a scenario.
pub(crate) fn config(settings: &EngineSettings) -> Config {
    let EngineSettings {
        preset,
        mtu,
        hop_limit,
        tcp_limit,
        udp_limit,
        seed,
        martians,
        nagle,
        rx_buffer,
        tx_buffer,
        rx_limit,
        tx_limit,
        min_rto,
        loss_probe,
        ack_delay,
        udp_path_mtu,
        tcp_idle,
        udp_idle,
        dns_idle,
        handshake_timeout,
        dial_timeout,
        dns_interception,
        resolve_timeout,
        resolve_limit,
        dns_names,
        time_wait,
        congestion_control,
        pending_dials,
        byte_budget,
        admission_grace,
        dial_failure,
        tcp_fin_wait,
        keep_alive,
        keep_alive_interval,
        keep_alive_probes,
        tcp_half_closed,
        linger,
        retransmission_limit,
        tombstone,
        admission_refusal,
        path_policy,
        udp_mapping,
        udp_filtering,
        udp_queue,
        output_limit,
    } = settings;
    let mut config = match preset {
        None => Config::default(),
        Some(scenario::Preset::ManyFlows) => Config::many_flows(),
        Some(scenario::Preset::Phone) => Config::phone(),
        Some(scenario::Preset::Desktop) => Config::desktop(),
    };
    if let Some(control) = congestion_control {
        config.congestion_control = *control;
    }
    let size =
        |value: &crate::duration::Size| usize::try_from(value.as_bytes()).unwrap_or(usize::MAX);
    let time =
        |value: &crate::duration::Micros| std::time::Duration::from_micros(value.as_micros());
    if let Some(mtu) = mtu {
        config.mtu = *mtu as usize;
    }
    if let Some(hop_limit) = hop_limit {
        config.hop_limit = *hop_limit;
    }
    if let Some(limit) = tcp_limit {
        config.tcp_limit = *limit as usize;
    }
    if let Some(limit) = udp_limit {
        config.udp_limit = *limit as usize;
    }
    if let Some(seed) = seed {
        config.seed = *seed;
    }
    if let Some(martians) = martians {
        config.martians = match martians {
            scenario::Martians::Drop => Martians::Drop,
            scenario::Martians::Admit => Martians::Admit,
        };
    }
    config.udp_path_mtu = udp_path_mtu.map(|mtu| mtu as usize);
    if let Some(intercept) = dns_interception {
        config.dns_interception = *intercept;
    }
    if let Some(limit) = resolve_limit {
        config.resolve_limit = *limit as usize;
    }
    if let Some(names) = dns_names {
        config.dns_names = *names as usize;
    }
    if let Some(refusal) = admission_refusal {
        config.admission_refusal = match refusal {
            scenario::Refusal::Drop => Refusal::Drop,
            scenario::Refusal::Reset => Refusal::Reset,
            scenario::Refusal::Icmp => Refusal::Icmp,
        };
    }
    if let Some(failure) = dial_failure {
        config.dial_failure = match failure {
            scenario::DialFailure::Reset => DialFailure::Reset,
            scenario::DialFailure::Icmp => DialFailure::Icmp,
        };
    }
    config.pending_dials = pending_dials.map(|limit| limit as usize);
    config.byte_budget = byte_budget.as_ref().map(size).or(config.byte_budget);
    config.keep_alive = keep_alive.as_ref().map(time);
    if let Some(probes) = keep_alive_probes {
        config.keep_alive_probes = *probes;
    }
    if let Some(policy) = path_policy {
        config.path_policy = match policy {
            scenario::PathPolicy::Keep => PathPolicy::Keep,
            scenario::PathPolicy::Close => PathPolicy::Close,
            scenario::PathPolicy::Redial => PathPolicy::Redial,
        };
    }
    if let Some(mapping) = udp_mapping {
        config.udp_mapping = match mapping {
            scenario::UdpMapping::AddressAndPortDependent => UdpMapping::AddressAndPortDependent,
            scenario::UdpMapping::EndpointIndependent => UdpMapping::EndpointIndependent,
        };
    }
    if let Some(filtering) = udp_filtering {
        config.udp_filtering = match filtering {
            scenario::UdpFiltering::AddressAndPortDependent => {
                UdpFiltering::AddressAndPortDependent
            }
            scenario::UdpFiltering::AddressDependent => UdpFiltering::AddressDependent,
            scenario::UdpFiltering::EndpointIndependent => UdpFiltering::EndpointIndependent,
        };
    }
    if let Some(queue) = udp_queue {
        config.udp_queue = size(queue);
    }
    if let Some(limit) = output_limit {
        config.output_limit = *limit as usize;
    }
    config.nagle = nagle.unwrap_or(config.nagle);
    config.loss_probe = loss_probe.unwrap_or(config.loss_probe);
    config.rx_buffer = rx_buffer.as_ref().map(size).or(config.rx_buffer);
    config.tx_buffer = tx_buffer.as_ref().map(size).or(config.tx_buffer);
    config.rx_limit = rx_limit.as_ref().map_or(config.rx_limit, size);
    config.tx_limit = tx_limit.as_ref().map_or(config.tx_limit, size);
    config.ack_delay = ack_delay.as_ref().map(time).or(config.ack_delay);
    for (field, value) in [
        (&mut config.tcp_idle, tcp_idle),
        (&mut config.udp_idle, udp_idle),
        (&mut config.dns_idle, dns_idle),
        (&mut config.handshake_timeout, handshake_timeout),
        (&mut config.dial_timeout, dial_timeout),
        (&mut config.resolve_timeout, resolve_timeout),
        (&mut config.time_wait, time_wait),
        (&mut config.tcp_half_closed, tcp_half_closed),
        (&mut config.linger, linger),
        (&mut config.admission_grace, admission_grace),
        (&mut config.tcp_fin_wait, tcp_fin_wait),
        (&mut config.keep_alive_interval, keep_alive_interval),
        (&mut config.retransmission_limit, retransmission_limit),
        (&mut config.tombstone, tombstone),
        (&mut config.min_rto, min_rto),
    ] {
        if let Some(value) = value {
            *field = time(value);
        }
    }
    config
}

impl RunOutput {
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
    folder: &Path,
    capture: &Conversations,
    keep: Keeping,
    way: Way<'_>,
) -> Result<RunOutput, (String, Diagnostic)> {
    let input = &scenario.input;
    let mut world = world(scenario, folder, Some(capture), way)?;
    world.keep_frames = keep.frames;
    world.retention = keep.streams;
    if let Some(hashed) = keep.against {
        let heard = Heard {
            up: Against::new(hashed),
            down: Against::new(hashed),
        };
        world.heard = vec![heard; capture.flows.len()];
    }
    // Actions that are not listed come from packets, up to four from each.
    let actions = scenario
        .dialer
        .rules
        .iter()
        .map(|rule| match rule.then[..] {
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
    };
    let mut device = Device::new(capture, play);
    device.run(&mut world, input.until.map(|until| until.as_micros()));
    let (synthetic, left_out) = (device.synthetic, device.left_out);
    let per_flow = device
        .flows
        .iter()
        .map(|flow| (flow.synthetic, flow.left_out))
        .collect();
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
    Ok(output)
}

fn world<'a>(
    scenario: &Scenario,
    folder: &Path,
    capture: Option<&'a Conversations>,
    way: Way<'_>,
) -> Result<World<'a>, (String, Diagnostic)> {
    let rules = Rules::new(scenario, folder, capture)?;
    let engine = stack::open(way.via, &scenario.engine)
        .map_err(|problem| ("/engine".to_owned(), problem))?;
    let mut world = World::new(engine, rules, Faults::new(scenario), capture);
    world.resolver = Resolver::new(&scenario.dialer);
    world.mutation = way.mutation.cloned();
    world.share = way.share;
    Ok(world)
}

fn finish(mut world: World<'_>) -> RunOutput {
    if world.livelock {
        let last = world.last_events().join(", ");
        let now = world.clock();
        let table = world.engine.inspect(now);
        world.failures.push(Failure {
            kind: FailureKind::Livelock,
            what: format!(
                "no end after {} steps; the last events: {last}; the flows:\n{table}",
                world.steps
            ),
            expected: None,
            actual: None,
            flow: None,
            frame: None,
            at_us: Some(world.now),
            place: None,
            help: None,
        });
    }
    let counters = world.engine.counters();
    if !world.livelock
        && let Some(counters) = &counters
        && let Some(problem) = invariant::octets(counters, &world.flows, world.engine.has_inboxes())
    {
        world.broken(None, problem);
    }
    for complaint in world.engine.complaints().to_vec() {
        world.broken(None, complaint);
    }
    let mut failures = std::mem::take(&mut world.failures);
    if let Some((at, what)) = world.engine.broken() {
        let mut broken = lines::failure_at(FailureKind::BrokenStack, what, Some(at));
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
        heard: world.heard,
        dns: world.dns,
        emitted: world.emitted,
        failures,
        counters,
        digest: world.digest,
        device: Vec::new(),
        raised: None,
        line_checks: 0,
        untimed_lines: 0,
        peak_heap: crate::heap::peak(),
    }
}
