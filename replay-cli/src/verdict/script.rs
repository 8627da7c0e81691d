//! Packetdrill scripts: what each line means for an engine whose far side the calls are, the run, and what it came to.

use std::path::Path;

use serde_json::{Map, Value, json};
use stack_protocol::Time;

use super::run::exercised;
use super::{needs, versus};
use crate::base::diagnostic::{Diagnostic, Position};
use crate::notation::packetdrill::{self, Script};
use crate::scenario::catalogue;
use crate::scenario::failure::FailureKind;
use crate::scenario::files::Files;
use crate::scenario::{Scenario, load};
use crate::simulation::isns::Isns;
use crate::simulation::timeline::failure_at;
use crate::simulation::{RunMode, RunOutput, finish, open};
use crate::stack::Via;
use crate::verdict::outcome::{Compared, ScenarioOutcome, Verdict};
use crate::verdict::run::Tracing;
use crate::verdict::watch::{Watched, watch};

mod calls;
mod datagrams;
mod expected;
mod options;
mod plan;
mod player;
mod readiness;
mod settings;
mod sockets;
mod streams;

use plan::{Of, Step, Tuple};
use player::{Player, Tally};
use settings::Settings;

/// Of a hundred `>` lines and results, so many must be compared, or too little of the script was compared to count as run.
const COMPARED_LEAST: u64 = 90;

/// Runs a script.
pub(crate) fn run_script(path: &Path, way: RunMode<'_>, trace: Tracing) -> ScenarioOutcome {
    let mut outcome = ScenarioOutcome {
        via: way.via.clone(),
        ..ScenarioOutcome::without_run(path, Verdict::Pass)
    };
    match read(path) {
        Ok(script) => {
            outcome.title.clone_from(&script.title);
            outcome.covers = script.covers.iter().map(|(name, _)| name.clone()).collect();
            if let Err(verdict) = judge(&script, path, (way, trace), &mut outcome) {
                outcome.verdict = verdict;
            }
        }
        Err(problems) => outcome.verdict = Verdict::Invalid(problems),
    }
    outcome
}

/// Reads a script; an error is what is wrong with it.
fn read(path: &Path) -> Result<Script, Vec<Diagnostic>> {
    let text = load::read(path).map_err(|problem| vec![problem])?;
    let script = packetdrill::parse(&text).map_err(|problem| vec![problem.in_file(path)])?;
    let unknown = unknown_requirements(&script, path);
    if unknown.is_empty() {
        Ok(script)
    } else {
        Err(unknown)
    }
}

fn judge(
    script: &Script,
    path: &Path,
    (way, trace): (RunMode<'_>, Tracing),
    outcome: &mut ScenarioOutcome,
) -> Result<(), Verdict> {
    let invalid = |problem: Diagnostic| Verdict::Invalid(vec![problem]);
    let settings = settings::of(script).map_err(|(at, problem)| invalid(problem.at(path, at)))?;
    let placed = |(at, what): &(Position, String)| Diagnostic::new(what.clone()).at(path, *at);
    let steps = plan::steps(script)
        .map_err(|foreign| Verdict::NotApplicable(foreign.iter().map(placed).collect()))?;
    let scenario = scenario(script, &steps, &settings).map_err(invalid)?;
    let case = Case {
        path,
        steps: &steps,
        settings: &settings,
        isns: Isns::new(&scenario, &[]),
        scenario: &scenario,
    };
    if let Some(left) = needs::of_script(&settings.engine, way.via) {
        return Err(left);
    }
    let real = way
        .via
        .stack()
        .is_some_and(|stack| stack.hello.time == Time::Real);
    if real
        && let Ok((core, _)) = case.play(RunMode::CORE)
        && let Some(left) = needs::too_long(&core, way.via)
    {
        return Err(left);
    }
    let (run, tally) = case.play(way).map_err(invalid)?;
    outcome.exercised = way.watch.map(|watch| exercised(watch, &settings.engine));
    let way = RunMode { watch: None, ..way };
    outcome.figures = run.figures;
    outcome.checks = run.figures.frames_out + run.line_checks + 1;
    outcome.failures.clone_from(&run.failures);
    if way.mutation.is_none() && matches!(way.via, Via::Driver | Via::Ffi) {
        let (core, _) = case.play(RunMode::CORE).map_err(invalid)?;
        let (failures, checks) = versus::differences(&core, &run);
        outcome.failures.extend(failures);
        outcome.checks += checks;
    }
    outcome
        .failures
        .sort_by_key(|failure| failure.at_us.unwrap_or(u64::MAX));
    outcome.judge(None, None);
    let too_little = tally.compared * 100 < tally.all * COMPARED_LEAST;
    let broken = outcome
        .failures
        .iter()
        .any(|failure| !failure.kind.may_deviate());
    let compared = Compared {
        lines: tally.all,
        compared: tally.compared,
        passed_over: tally.passed_over.iter().map(placed).collect(),
        not_compared: tally.not_compared.iter().map(placed).collect(),
    };
    if !broken && tally.of_stack == 0 {
        let what = "the script asserts nothing: no packet is expected, and no result that a stack has a part in is checked";
        let mut reasons = vec![Diagnostic::new(what).in_file(path)];
        reasons.extend(compared.not_compared.iter().cloned());
        outcome.failures.clear();
        outcome.verdict = Verdict::NotApplicable(reasons);
    } else if !broken && too_little {
        outcome.failures.clear();
        outcome.verdict = Verdict::NotApplicable(compared.not_compared.clone());
    }
    if way.mutation.is_none() && run.traits.deterministic {
        let (other, _) = case.play(way).map_err(invalid)?;
        if let Some(index) = run.digest.difference(&other.digest) {
            outcome.verdict = Verdict::Nondeterministic;
            let what = format!("two runs differ from output {index} on");
            let differs = failure_at(FailureKind::Nondeterminism, what, None);
            outcome.failures.insert(0, differs);
        }
    }
    outcome.script = Some(compared);
    if way.mutation.is_none() && trace.keeps(outcome) {
        outcome.trace = Some(watch(case.scenario, way, |way| case.watched(way)));
    }
    Ok(())
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

/// The script's connections, engine and dialer as a scenario has them.
fn scenario(
    script: &Script,
    steps: &[Step<'_>],
    settings: &Settings,
) -> Result<Scenario, Diagnostic> {
    let mut flows = Map::new();
    let sockets = script
        .events
        .iter()
        .filter(|event| event.text.contains("socket("))
        .count();
    let of = |ports, datagram| Of { ports, datagram };
    let in_turn = (0..=sockets).flat_map(|nth| {
        [false, true].map(|datagram| Tuple {
            nth,
            of: of(None, datagram),
        })
    });
    let by_ports = steps.iter().filter(|step| step.of.ports.is_some());
    let by_ports = by_ports.map(|step| Tuple {
        nth: 0,
        of: step.of,
    });
    for tuple in in_turn.chain(by_ports) {
        let (device, application) = match tuple.of.ports {
            Some((device, application)) => (usize::from(device), application),
            None => (40_000 + tuple.nth, 8080),
        };
        let protocol = if tuple.of.datagram { "udp" } else { "tcp" };
        let flow = match settings.family {
            6 => format!("{protocol} [fd3d:fa7b:d17d::1]:{device} > [2001:db8::1]:{application}"),
            _ => format!("{protocol} 10.0.0.2:{device} > 192.0.2.1:{application}"),
        };
        flows.insert(tuple.name(), Value::String(flow));
    }
    let text = json!({
        "schema": 1,
        "title": "a packetdrill script",
        "engine": settings.engine,
        "flows": flows,
        "input": {},
        "dialer": { "rules": [
            { "when": { "proto": "udp" }, "dial": { "result": "connected" } },
            { "dial": { "result": "connected" }, "then": [ { "block": true } ] },
        ] },
    });
    serde_json::from_value(text).map_err(|error| Diagnostic::new(error.to_string()))
}

/// A script that can be played.
struct Case<'a> {
    path: &'a Path,
    steps: &'a [Step<'a>],
    settings: &'a Settings,
    scenario: &'a Scenario,
    isns: Isns,
}

impl Case<'_> {
    /// What a run leaves that is watched; it was made before: its problems have been reported.
    fn watched(&self, way: RunMode<'_>) -> Watched {
        let Ok((run, _)) = self.play(way) else {
            return Watched::default();
        };
        Watched {
            counters: run.named_counters().unwrap_or_default(),
            expected: run.expected,
        }
    }

    fn play(&self, way: RunMode<'_>) -> Result<(RunOutput, Tally), Diagnostic> {
        let mut world = open(self.scenario, &Files::default(), None, way)
            .map_err(|(_, problem)| problem.in_file(self.path))?;
        world.keep_frames = true;
        world.step_limit = 100_000 + 1_000 * self.steps.len() as u64;
        let mut player = Player::new(self.scenario, &self.isns, self.settings, self.path);
        player.run(self.steps, &mut world);
        let Player {
            tally,
            failures,
            expected,
            ..
        } = player;
        let mut output = finish(world);
        output.expected = expected;
        output.line_checks = tally.compared;
        output.failures.extend(failures);
        Ok((output, tally))
    }
}
