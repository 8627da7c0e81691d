//! One scenario file from disk to outcome.

use std::path::Path;

use stack_protocol::Time;

use super::lines::{self, Isns, Timeline};
use super::share::Share;
use super::tape::Retention;
use super::{
    Keeping, Mutation, RunOptions, RunOutput, Via, Way, config, finish, needs, play_capture, share,
    twins, versus, world,
};
use crate::check::Check;
use crate::conversation::{Conversation, Conversations, ReadOptions};
use crate::diagnostic::Diagnostic;
use crate::notation::{Action, Line};
use crate::outcome::{Failure, FailureKind, Figures, ScenarioOutcome, Verdict};
use crate::scenario::load::{self, LoadedScenario};
use crate::scenario::{Checksums, FlowSpec, Protocol, Scenario, discover};
use crate::threads::SIDE_BY_SIDE;

/// Loads and runs one scenario file: one outcome, or one for each IP family.
#[must_use]
pub fn run_file(path: &Path, options: &RunOptions) -> Vec<ScenarioOutcome> {
    run_way(path, options, None)
}

/// Runs one scenario file with a change to what is observed, once.
pub(crate) fn run_mutated(
    path: &Path,
    options: &RunOptions,
    mutation: &Mutation,
) -> Vec<ScenarioOutcome> {
    run_way(path, options, Some(mutation))
}

fn run_way(path: &Path, options: &RunOptions, mutation: Option<&Mutation>) -> Vec<ScenarioOutcome> {
    let way = Way {
        via: &options.via,
        mutation,
        keep_frames: false,
        share: Share::All,
        recorded: false,
    };
    if path.extension().is_some_and(|extension| extension == "pkt") {
        return vec![super::packetdrill::run_script(path, way)];
    }
    let loaded = match load::load(path) {
        Ok(loaded) => loaded,
        Err(problems) => return vec![invalid(path, problems)],
    };
    match prepare(&loaded, options) {
        Err(problems) => vec![ScenarioOutcome {
            title: loaded.scenario.title.clone(),
            ..invalid(path, problems)
        }],
        Ok(prepared) => {
            let families = &loaded.scenario.input.families;
            if families.is_empty() {
                return vec![run_one(
                    &loaded,
                    &loaded.scenario,
                    &prepared,
                    String::new(),
                    way,
                )];
            }
            // A twin is told by its name; a scenario of one family needs no telling.
            let twins = families.len() > 1;
            let twin = |family: &u8| {
                let scenario = twins::in_family(&loaded.scenario, *family);
                let suffix = if twins {
                    format!(" (ipv{family})")
                } else {
                    String::new()
                };
                run_one(&loaded, &scenario, &prepared, suffix, way)
            };
            families.iter().map(twin).collect()
        }
    }
}

/// What a scenario needs from other places than its own values.
pub(super) struct Prepared {
    capture: Option<Conversations>,
    /// `input.frames`, each with its pointer.
    pub(super) lines: Vec<(String, Line)>,
}

pub(super) fn prepare(
    loaded: &LoadedScenario,
    options: &RunOptions,
) -> Result<Prepared, Vec<Diagnostic>> {
    let scenario = &loaded.scenario;
    let mut problems = Vec::new();
    let mut lines = Vec::new();
    for (index, text) in scenario.input.frames.iter().enumerate() {
        let pointer = format!("/input/frames/{index}");
        match parse(loaded, &pointer, text) {
            Ok(line) => lines.push((pointer, line)),
            Err(problem) => problems.push(problem),
        }
    }
    for (index, text) in scenario.expect.packets.iter().enumerate() {
        let pointer = format!("/expect/packets/{index}");
        match parse(loaded, &pointer, text) {
            Ok(Line {
                action: Action::Expect(_),
                ..
            }) => {}
            Ok(_) => problems.push(
                loaded
                    .diagnostic(&pointer, format!("`{text}` expects nothing"))
                    .help("lines of `packets` have `>`; what goes in belongs to `input.frames`"),
            ),
            Err(problem) => problems.push(problem),
        }
    }
    let capture = match loaded.capture_path(options.captures.as_deref()) {
        Err(problem) => {
            problems.push(problem);
            None
        }
        Ok(None) => None,
        Ok(Some(path)) => match Conversations::read(&path, &read_options(scenario, options)) {
            Err(problem) => {
                problems.push(problem.into());
                None
            }
            Ok(mut capture) => {
                if let Some(damage) = capture.damage.take() {
                    problems.push(damage.into());
                }
                Some(capture)
            }
        },
    };
    if let Some(capture) = capture.as_ref().filter(|_| problems.is_empty()) {
        problems.extend(unknown_flows(loaded, capture));
    }
    if problems.is_empty() {
        Ok(Prepared { capture, lines })
    } else {
        Err(problems)
    }
}

/// Every flow that a scenario names must be one that its capture can replay.
fn unknown_flows(loaded: &LoadedScenario, capture: &Conversations) -> Vec<Diagnostic> {
    let unknown = |(name, spec): (&str, &FlowSpec)| {
        if spec.protocol == Protocol::Icmp || capture.find(spec).is_some() {
            return None;
        }
        let pointer = format!("/flows/{}", load::escape(name));
        let tuple = |flow: &&Conversation| {
            (flow.spec.protocol, flow.spec.client, flow.spec.server)
                == (spec.protocol, spec.client, spec.server)
        };
        let there: Vec<&Conversation> = capture.flows.iter().filter(tuple).collect();
        let what = match there.iter().find_map(|flow| flow.unreplayable.as_ref()) {
            Some(reason) => format!("flow `{name}` cannot be replayed: {reason}"),
            None if there.is_empty() => format!("the capture has no flow {spec}"),
            None => format!(
                "the capture uses this tuple {} time(s), not {}",
                there.len(),
                spec.occurrence
            ),
        };
        Some(
            loaded
                .diagnostic(&pointer, what)
                .help("`replay inspect` lists the flows of a capture"),
        )
    };
    loaded.scenario.flows.iter().filter_map(unknown).collect()
}

fn parse(loaded: &LoadedScenario, pointer: &str, text: &str) -> Result<Line, Diagnostic> {
    let line = Line::parse(text).map_err(|problem| {
        let what = format!("`{text}`, column {}: {}", problem.column, problem.what);
        let diagnostic = loaded.diagnostic(pointer, what);
        match problem.help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    })?;
    let Some((_, segment)) = line.segment() else {
        return Ok(line);
    };
    if !segment.flow.is_empty() && loaded.scenario.flow(&segment.flow).is_none() {
        let known: Vec<&str> = loaded.scenario.flows.names().collect();
        let diagnostic = loaded.diagnostic(
            pointer,
            format!("`{text}`: there is no flow `{}`", segment.flow),
        );
        let near = crate::diagnostic::nearest(&segment.flow, known.iter().copied());
        return Err(match near {
            Some(near) => diagnostic.help(format!("did you mean `{near}`?")),
            None => diagnostic.help(format!(
                "name it under `flows`; known are: {}",
                known.join(", ")
            )),
        });
    }
    Ok(line)
}

/// How a capture is to be read so that its silences fit the engine's idle limits.
fn read_options(scenario: &Scenario, options: &RunOptions) -> ReadOptions {
    let config = config(&scenario.engine);
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).ok();
    ReadOptions {
        device: scenario.input.device.clone().unwrap_or_default(),
        tcp_idle_us: micros(config.tcp_idle),
        udp_idle_us: micros(config.udp_idle),
        dns_idle_us: micros(config.dns_idle),
        checksums: scenario.input.checksums == Some(Checksums::Keep),
        max_unpacked: options.max_unpacked,
    }
}

fn run_one(
    loaded: &LoadedScenario,
    scenario: &Scenario,
    prepared: &Prepared,
    suffix: String,
    way: Way<'_>,
) -> ScenarioOutcome {
    let isns = Isns::new(scenario, &prepared.lines);
    let mut outcome = ScenarioOutcome {
        name: format!("{}{suffix}", loaded.name),
        path: loaded.path.clone(),
        title: scenario.title.clone(),
        covers: scenario.covers.clone(),
        verdict: Verdict::Pass,
        failures: Vec::new(),
        via: way.via.clone(),
        checks: 0,
        core_only: 0,
        figures: Figures::default(),
        notes: Vec::new(),
    };
    let lacks = needs::of_scenario(scenario, &prepared.lines, way.via);
    if !lacks.is_empty() {
        let place = |(pointer, lack): (String, Diagnostic)| loaded.diagnostic(&pointer, lack.what);
        outcome.verdict = Verdict::NotApplicable(lacks.into_iter().map(place).collect());
        return outcome;
    }
    let real = way
        .via
        .stack()
        .is_some_and(|stack| stack.hello.time == Time::Real);
    let compared = matches!(way.via, Via::Driver | Via::Ffi);
    // What a mutation changes must be there.
    let streams = if way.mutation.is_some() {
        Retention::All
    } else {
        Retention::Hash
    };
    let one = |way, streams| play(loaded, scenario, prepared, &isns, way, streams);
    let reference = (compared || real).then(|| one(Way::CORE, streams));
    if let Some(Ok(core)) = &reference
        && let Some(left) = needs::too_long(core, way.via)
    {
        outcome.verdict = left;
        return outcome;
    }
    // A changed run is held against the unchanged one, not against itself.
    let again = way.mutation.is_none()
        && way
            .via
            .stack()
            .is_none_or(|stack| stack.hello.deterministic);
    let large = prepared
        .capture
        .as_ref()
        .is_some_and(|capture| capture.usable > SIDE_BY_SIDE);
    let runs = if again {
        let halves = *way.via == Via::Core;
        let runs = share::twice(large, halves, |nth, share| {
            let way = Way { share, ..way };
            one(way, if nth == 0 { streams } else { Retention::Count })
        });
        runs.map(|(first, second)| (first, Some(second)))
    } else {
        one(way, streams).map(|mut only| {
            if let Some(mutation) = way.mutation {
                mutation.apply(&mut only);
            }
            (only, None)
        })
    };
    let (run, other) = match runs {
        Ok(runs) => runs,
        Err(problem) => {
            outcome.verdict = Verdict::Invalid(vec![problem]);
            return outcome;
        }
    };
    outcome.figures = run.figures;
    // Every frame was held against the invariants.
    outcome.checks = run.figures.frames_out + run.line_checks + 1;
    outcome.failures.clone_from(&run.failures);
    let verdicts = Check {
        scenario,
        loaded,
        run: &run,
        isns: &isns,
        traits: run.traits,
        verdicts: Default::default(),
        dials: Default::default(),
    }
    .all();
    outcome.checks += verdicts.checks;
    outcome.core_only = run.untimed_lines + verdicts.core_only;
    outcome.failures.extend(verdicts.failures);
    match &reference {
        None => {}
        Some(Err(problem)) => {
            outcome.verdict = Verdict::Invalid(vec![problem.clone()]);
            return outcome;
        }
        Some(Ok(_)) if real => {}
        Some(Ok(core)) => {
            let (failures, checks) = versus::differences(core, &run);
            outcome.failures.extend(failures);
            outcome.checks += checks;
        }
    }
    outcome
        .failures
        .sort_by_key(|failure| failure.at_us.unwrap_or(u64::MAX));
    if run.figures.synthetic > 0 {
        outcome.notes.push(format!(
            "{} frame(s) made up as the device would have sent them",
            run.figures.synthetic
        ));
    }
    if run.figures.left_out > 0 {
        outcome.notes.push(format!(
            "{} recorded retransmission(s) not needed",
            run.figures.left_out
        ));
    }
    outcome.notes.extend(run.remarks.clone());
    // What another stack is known to do is not written in the scenario.
    let deviation = scenario
        .deviation
        .as_ref()
        .filter(|_| way.via.stack().is_none());
    let place = deviation.map(|_| loaded.place("/deviation"));
    outcome.judge(deviation, place);
    if let Some(other) = other
        && let Some(index) = run.digest.difference(&other.digest)
    {
        outcome.verdict = Verdict::Nondeterministic;
        let what = format!(
            "two runs differ from output {index} on; the first gave {} outputs, the second {}",
            run.digest.outputs(),
            other.digest.outputs()
        );
        outcome.failures.insert(
            0,
            lines::failure_at(FailureKind::Nondeterminism, what, None),
        );
    }
    outcome
}

pub(super) fn play(
    loaded: &LoadedScenario,
    scenario: &Scenario,
    prepared: &Prepared,
    isns: &Isns,
    way: Way<'_>,
    streams: Retention,
) -> Result<RunOutput, Diagnostic> {
    let place = |(pointer, problem): (String, Diagnostic)| {
        let Diagnostic { what, help, .. } = problem;
        let diagnostic = loaded.diagnostic(&pointer, what);
        match help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    };
    let frames =
        way.keep_frames || !scenario.expect.packets.is_empty() || !scenario.expect.never.is_empty();
    if let Some(capture) = &prepared.capture {
        let keep = Keeping {
            frames,
            streams,
            against: None,
        };
        return play_capture(scenario, loaded.folder(), capture, keep, way).map_err(place);
    }
    let mut world = world(scenario, loaded.folder(), None, way).map_err(place)?;
    world.keep_frames = true;
    let packets: u64 = prepared
        .lines
        .iter()
        .map(|(_, line)| match &line.action {
            Action::Inject(segment) => u64::from(segment.repetitions()),
            _ => 1,
        })
        .sum();
    world.step_limit = 100_000 + 1_000 * packets;
    let batch = scenario
        .input
        .batch
        .map_or(1, |batch| batch as usize)
        .max(1);
    let timeline = Timeline {
        scenario,
        lines: &prepared.lines,
        batch,
        isns,
        until: scenario.input.until.map(|until| until.as_micros()),
    };
    let findings = timeline.play(&mut world);
    let mut output = finish(world);
    output.line_checks = findings.checks;
    output.untimed_lines = findings.untimed;
    output.failures.extend(
        findings
            .failures
            .into_iter()
            .map(|(pointer, failure)| Failure {
                place: failure.place.or_else(|| Some(loaded.place(&pointer))),
                ..failure
            }),
    );
    Ok(output)
}

fn invalid(path: &Path, problems: Vec<Diagnostic>) -> ScenarioOutcome {
    ScenarioOutcome {
        name: discover::scenario_name(path),
        path: path.to_owned(),
        title: String::new(),
        covers: Vec::new(),
        verdict: Verdict::Invalid(problems),
        failures: Vec::new(),
        via: Via::Core,
        checks: 0,
        core_only: 0,
        figures: Figures::default(),
        notes: Vec::new(),
    }
}
