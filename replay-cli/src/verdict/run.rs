//! One scenario file from disk to outcome.

use std::path::{Path, PathBuf};

use stack_protocol::Time;

use super::{needs, versus};
use crate::base::diagnostic::{Diagnostic, nearest};
use crate::base::threads::SIDE_BY_SIDE;
use crate::capture::Shared;
use crate::capture::conversation::{Adopt, Conversation, Conversations, ReadOptions};
use crate::notation::{Action, Line};
use crate::scenario::discover::{self, FoundKind};
use crate::scenario::failure::{Failure, FailureKind};
use crate::scenario::files::{Files, Reach};
use crate::scenario::load::{self, LoadedScenario};
use crate::scenario::twins;
use crate::scenario::{CaptureSettings, Checksums, EngineSettings, FlowSpec, Protocol, Scenario};
use crate::simulation::isns::Isns;
use crate::simulation::mutation::Mutation;
use crate::simulation::tape::Retention;
use crate::simulation::timeline::{self, Timeline};
use crate::simulation::{Retain, RunMode, RunOutput, finish, open, play_capture, share};
use crate::stack::event::{Source, Trace};
use crate::stack::{Exercised, Via, Watch};
use crate::verdict::check::{Check, Verdicts};
use crate::verdict::expect;
use crate::verdict::outcome::{ScenarioOutcome, Verdict};
use crate::verdict::watch::{Watched, watch};

/// Options of [`run_file`].
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    /// Where captures are, if not found upward from the scenario.
    pub captures: Option<PathBuf>,
    /// Whose events are kept.
    pub trace: Tracing,
    /// Which engine runs, and by which way in.
    pub via: Via,
    /// Whether scenarios may read files outside of their tree: see [`Reach`].
    pub allow_outside: bool,
    /// Whether it is noted what runs make the engine do: [`ScenarioOutcome::exercised`].
    pub coverage: bool,
    /// The most bytes of what a packed file or a pipe holds. `None`: 512 MiB.
    pub max_unpacked: Option<u64>,
}

/// Whose events are kept in [`ScenarioOutcome::trace`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracing {
    /// No run's.
    #[default]
    Never,
    /// Those of runs that fail: a run is a function of its inputs, so it is made once more, and watched.
    OnFailure,
    /// Every run's.
    Always,
}

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
    let watch = options.coverage.then(Watch::default);
    let stack = options.via.stack();
    let way = RunMode {
        via: &options.via,
        mutation,
        watch: watch.as_ref(),
        brief: stack.is_some_and(|stack| stack.hello.time == Time::Real),
        ..RunMode::CORE
    };
    if path.extension().is_some_and(|extension| extension == "pkt") {
        return vec![crate::verdict::script::run_script(path, way, options.trace)];
    }
    let invalid = |problems| ScenarioOutcome::without_run(path, Verdict::Invalid(problems));
    let loaded = match load::load(path) {
        Ok(loaded) => loaded,
        Err(problems) => return vec![invalid(problems)],
    };
    let prepared = match prepare(&loaded, options) {
        Ok(prepared) => prepared,
        Err(problems) => {
            return vec![ScenarioOutcome {
                title: loaded.scenario.title.clone(),
                ..invalid(problems)
            }];
        }
    };
    let case = |scenario: &Scenario, suffix: &str| {
        let case = Case {
            loaded: &loaded,
            scenario,
            prepared: &prepared,
            isns: Isns::new(scenario, &prepared.lines),
        };
        let mut outcome = case.judge(suffix, way, options.trace);
        outcome.exercised = way.watch.map(|watch| exercised(watch, &scenario.engine));
        outcome
    };
    match loaded.scenario.input.families.as_slice() {
        [] => vec![case(&loaded.scenario, "")],
        // A scenario of one family needs no suffix.
        [only] => vec![case(&twins::in_family(&loaded.scenario, *only), "")],
        families => {
            let twins = families.iter().map(|family| {
                let twin = twins::in_family(&loaded.scenario, *family);
                case(&twin, &format!(" (ipv{family})"))
            });
            twins.collect()
        }
    }
}

/// What runs with these settings made the engine do.
pub(super) fn exercised(watch: &Watch, settings: &EngineSettings) -> Exercised {
    Exercised {
        settings: settings.changed().collect(),
        ..watch.take()
    }
}

/// Runs every scenario of a folder.
///
/// # Errors
/// What of the folder cannot be read.
pub fn run_folder(
    folder: &Path,
    options: &RunOptions,
) -> Result<Vec<ScenarioOutcome>, Vec<Diagnostic>> {
    let found = discover::discover(&[folder.to_owned()])?.found;
    let scenarios = found.iter().filter(|file| file.kind != FoundKind::Stress);
    Ok(scenarios
        .flat_map(|file| run_file(&file.path, options))
        .collect())
}

/// What a scenario needs from other places than its own values.
pub(crate) struct Prepared {
    capture: Option<Conversations>,
    /// What the files have that steps name.
    files: Files,
    /// `input.frames`, each with its pointer.
    pub(crate) lines: Vec<(String, Line)>,
}

pub(crate) fn prepare(
    loaded: &LoadedScenario,
    options: &RunOptions,
) -> Result<Prepared, Vec<Diagnostic>> {
    prepare_with(loaded, options, None)
}

/// As [`prepare`], with a capture that is held in the place of the one that the scenario names.
pub(crate) fn prepare_with(
    loaded: &LoadedScenario,
    options: &RunOptions,
    held: Option<Shared>,
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
            Ok(_) => {
                let problem = loaded.diagnostic(&pointer, format!("`{text}` expects nothing"));
                let help = "lines of `packets` have `>`; what goes in belongs to `input.frames`";
                problems.push(problem.help(help));
            }
            Err(problem) => problems.push(problem),
        }
    }
    let captures = options.captures.as_deref();
    let reach = Reach::of(&loaded.path, captures, options.allow_outside);
    let files = Files::read(loaded, &reach).unwrap_or_else(|found| {
        problems.extend(found);
        Files::default()
    });
    let read = || {
        let options = read_options(scenario, options);
        let read = match held {
            Some(held) => Conversations::of_held(&loaded.name, held, &options),
            None => match loaded.capture_path(captures, &reach)? {
                Some(path) => Conversations::read(&path, &options),
                None => return Ok(None),
            },
        };
        read.map(Some).map_err(Diagnostic::from)
    };
    let mut capture = read().unwrap_or_else(|problem| {
        problems.push(problem);
        None
    });
    let damage = capture.as_mut().and_then(|capture| capture.damage.take());
    problems.extend(damage.map(Diagnostic::from));
    if let Some(capture) = capture.as_ref().filter(|_| problems.is_empty()) {
        problems.extend(unknown_flows(loaded, capture));
    }
    if problems.is_empty() {
        Ok(Prepared {
            capture,
            files,
            lines,
        })
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
            None => {
                let (times, nth) = (there.len(), spec.occurrence);
                format!("the capture uses this tuple {times} time(s), not {nth}")
            }
        };
        let help = "`replay inspect` lists the flows of a capture";
        Some(loaded.diagnostic(&pointer, what).help(help))
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
        let what = format!("`{text}`: there is no flow `{}`", segment.flow);
        let help = match nearest(&segment.flow, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("name it under `flows`; known are: {}", known.join(", ")),
        };
        return Err(loaded.diagnostic(pointer, what).help(help));
    }
    Ok(line)
}

/// How a capture is to be read so that its silences fit the engine's idle limits.
fn read_options(scenario: &Scenario, options: &RunOptions) -> ReadOptions {
    let config = scenario.engine.config();
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).ok();
    let adopted = scenario.input.adopted.iter();
    let adopted = adopted.filter_map(|name| scenario.flow(name));
    ReadOptions {
        adopt: Adopt::Only(adopted.map(|flow| (flow.client, flow.server)).collect()),
        ignore_stalls: scenario.input.settings == Some(CaptureSettings::Default),
        device: scenario.input.device.clone().unwrap_or_default(),
        decap: scenario.input.decap.unwrap_or_default(),
        tcp_idle_us: micros(config.tcp_idle),
        udp_idle_us: micros(config.udp_idle),
        dns_idle_us: micros(config.dns_idle),
        checksums: scenario.input.checksums == Some(Checksums::Keep),
        max_unpacked: options.max_unpacked,
    }
}

/// One scenario of a file, in one family.
struct Case<'a> {
    loaded: &'a LoadedScenario,
    scenario: &'a Scenario,
    prepared: &'a Prepared,
    isns: Isns,
}

/// The runs of a case.
struct Runs {
    /// The one that is judged.
    run: RunOutput,
    /// The one that must give the same.
    again: Option<RunOutput>,
    /// A run through the core, for one by another way in.
    core: Option<RunOutput>,
}

impl Case<'_> {
    /// Runs the case and holds what came out against what is expected.
    fn judge(&self, suffix: &str, way: RunMode<'_>, trace: Tracing) -> ScenarioOutcome {
        let mut outcome = ScenarioOutcome {
            name: format!("{}{suffix}", self.loaded.name),
            title: self.scenario.title.clone(),
            covers: self.scenario.covers.clone(),
            via: way.via.clone(),
            ..ScenarioOutcome::without_run(&self.loaded.path, Verdict::Pass)
        };
        let lacks = needs::of_scenario(self.scenario, &self.prepared.lines, way.via);
        if !lacks.is_empty() {
            let place =
                |(pointer, lack): (String, Diagnostic)| self.loaded.diagnostic(&pointer, lack.what);
            outcome.verdict = Verdict::NotApplicable(lacks.into_iter().map(place).collect());
            return outcome;
        }
        match self.runs(way) {
            Ok(runs) => self.compare(&mut outcome, &runs, way),
            Err(verdict) => outcome.verdict = verdict,
        }
        if way.mutation.is_none() && trace.keeps(&outcome) {
            outcome.trace = Some(self.trace(way));
        }
        outcome
    }

    /// Makes the runs that the way in asks for. An error is the verdict there is without them.
    fn runs(&self, way: RunMode<'_>) -> Result<Runs, Verdict> {
        let invalid = |problem| Verdict::Invalid(vec![problem]);
        let stack = way.via.stack();
        let real = way.brief;
        let measured = RunMode {
            brief: way.brief,
            ..RunMode::CORE
        };
        // What a mutation changes must be there.
        let streams = if way.mutation.is_some() {
            Retention::All
        } else {
            Retention::Hash
        };
        let compared = matches!(way.via, Via::Driver | Via::Ffi);
        let core = (compared || real).then(|| self.play(measured, streams));
        if let Some(Ok(core)) = &core
            && let Some(left) = needs::too_long(core, way.via)
        {
            return Err(left);
        }
        let (run, again) = if let Some(mutation) = way.mutation {
            // A changed run is held against the unchanged one, not against itself.
            let mut only = self.play(way, streams).map_err(invalid)?;
            mutation.apply(&mut only);
            (only, None)
        } else if stack.is_some_and(|stack| !stack.hello.deterministic) {
            (self.play(way, streams).map_err(invalid)?, None)
        } else {
            let capture = self.prepared.capture.as_ref();
            let large = capture.is_some_and(|capture| capture.usable > SIDE_BY_SIDE);
            let halves = *way.via == Via::Core;
            let (first, second) = share::twice(large, halves, |nth, share| {
                // One of the two is enough to watch.
                let watch = way.watch.filter(|_| nth == 0);
                let way = RunMode {
                    share,
                    watch,
                    ..way
                };
                self.play(way, if nth == 0 { streams } else { Retention::Count })
            })
            .map_err(invalid)?;
            (first, Some(second))
        };
        // In real time a run through the core shows how long it takes, and nothing else.
        let core = core.transpose().map_err(invalid)?.filter(|_| !real);
        Ok(Runs { run, again, core })
    }

    /// Holds the runs against the expectations and against each other.
    fn compare(&self, outcome: &mut ScenarioOutcome, runs: &Runs, way: RunMode<'_>) {
        let run = &runs.run;
        let verdicts = self.check(run);
        outcome.figures = run.figures;
        // Every frame was held against the invariants.
        outcome.checks = run.figures.frames_out + run.line_checks + 1 + verdicts.checks;
        outcome.core_only = run.untimed_lines + verdicts.core_only;
        outcome.failures.clone_from(&run.failures);
        outcome.failures.extend(verdicts.failures);
        if let Some(core) = &runs.core {
            let (failures, checks) = versus::differences(core, run);
            outcome.failures.extend(failures);
            outcome.checks += checks;
        }
        let failures = &mut outcome.failures;
        failures.sort_by_key(|failure| failure.at_us.unwrap_or(u64::MAX));
        let made_up = "frame(s) made up as the device would have sent them";
        let left_out = "recorded retransmission(s) not needed";
        let counts = [
            (run.figures.synthetic, made_up),
            (run.figures.left_out, left_out),
        ];
        let counts = counts.iter().filter(|(count, _)| *count > 0);
        outcome
            .notes
            .extend(counts.map(|(count, what)| format!("{count} {what}")));
        outcome.notes.extend(run.remarks.clone());
        // What another stack is known to do is not written in the scenario.
        let deviation = self.scenario.deviation.as_ref();
        let deviation = deviation.filter(|_| way.via.stack().is_none());
        let place = deviation.map(|_| self.loaded.place("/deviation"));
        outcome.judge(deviation, place);
        if let Some(again) = &runs.again
            && let Some(index) = run.digest.difference(&again.digest)
        {
            outcome.verdict = Verdict::Nondeterministic;
            let what = format!(
                "two runs differ from output {index} on; the first gave {} outputs, the second {}",
                run.digest.outputs(),
                again.digest.outputs()
            );
            let failure = timeline::failure_at(FailureKind::Nondeterminism, what, None);
            outcome.failures.insert(0, failure);
        }
    }

    /// The events of one more run.
    fn trace(&self, way: RunMode<'_>) -> Trace {
        let mut trace = watch(self.scenario, way, |way| {
            // It was run before: its problems have been reported.
            let Ok(run) = self.play(way, Retention::Count) else {
                return Watched::default();
            };
            let mut expected = self.check(&run).expected;
            expected.extend(run.expected.iter().cloned());
            Watched {
                counters: run.named_counters().unwrap_or_default(),
                expected,
            }
        });
        for event in &mut trace.events {
            let line = event.source.as_mut().and_then(Source::line);
            let expected = event.expected.iter_mut().map(|one| &mut one.place);
            for pointer in line.into_iter().chain(expected) {
                *pointer = self.loaded.place(pointer).to_string();
            }
        }
        trace
    }

    /// What is expected, and holds or not.
    fn check(&self, run: &RunOutput) -> Verdicts {
        let check = Check {
            scenario: self.scenario,
            loaded: self.loaded,
            run,
            isns: &self.isns,
            traits: run.traits,
            verdicts: Default::default(),
            dials: Default::default(),
        };
        check.all()
    }

    fn play(&self, way: RunMode<'_>, streams: Retention) -> Result<RunOutput, Diagnostic> {
        let (loaded, scenario, prepared) = (self.loaded, self.scenario, self.prepared);
        play(loaded, scenario, prepared, &self.isns, way, streams)
    }
}

pub(crate) fn play(
    loaded: &LoadedScenario,
    scenario: &Scenario,
    prepared: &Prepared,
    isns: &Isns,
    way: RunMode<'_>,
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
    let frames = way.keep_frames || expect::needs_frames(&scenario.expect);
    if let Some(capture) = &prepared.capture {
        let keep = Retain {
            frames,
            streams,
            against: None,
        };
        return play_capture(scenario, &prepared.files, capture, keep, way).map_err(place);
    }
    let mut world = open(scenario, &prepared.files, None, way).map_err(place)?;
    world.keep_frames = true;
    let packets = prepared.lines.iter().map(|(_, line)| match &line.action {
        Action::Inject(segment) => u64::from(segment.repetitions()),
        _ => 1,
    });
    world.step_limit = 100_000 + 1_000 * packets.sum::<u64>();
    let batch = scenario.input.batch.map_or(1, |batch| batch as usize);
    let timeline = Timeline {
        scenario,
        lines: &prepared.lines,
        batch: batch.max(1),
        isns,
        until: scenario.input.until.map(|until| until.as_micros()),
        brief: way.brief,
    };
    let findings = timeline.play(&mut world);
    let mut output = finish(world);
    output.line_checks = findings.checks;
    output.untimed_lines = findings.untimed;
    output.expected = findings.expected;
    let failures = findings.failures.into_iter();
    output
        .failures
        .extend(failures.map(|(pointer, failure)| Failure {
            place: failure.place.or_else(|| Some(loaded.place(&pointer))),
            ..failure
        }));
    Ok(output)
}

#[cfg(test)]
mod tests;
