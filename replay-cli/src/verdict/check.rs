//! A run held against what its scenario expects: dials, packets, streams, half-closes, closes, DNS, counters.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use engine::{Counters, FlowKey, Mark};

use crate::base::duration::Micros;
use crate::base::hash::Quick;
use crate::base::wording::seconds_of as seconds;
use crate::packet::Seq;
use crate::scenario::failure::{Failure, FailureKind};
use crate::scenario::flow::flow_spec;
use crate::scenario::load::LoadedScenario;
use crate::scenario::{Expected, FlowSpec, Scenario, StreamExpectation};
use crate::simulation::RunOutput;
use crate::simulation::flow::FlowState;
use crate::simulation::matcher::View;
use crate::simulation::tape::Tape;
use crate::stack::Traits;

mod lists;
mod packets;
#[cfg(test)]
mod tests;

/// What was found, and how much was looked at.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    pub(crate) failures: Vec<Failure>,
    pub(crate) checks: u64,
    /// Expectations that only a run through the core can be held to.
    pub(crate) core_only: u64,
}

/// One check of a run.
pub(crate) struct Check<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) loaded: &'a LoadedScenario,
    pub(crate) run: &'a RunOutput,
    pub(crate) isns: &'a BTreeMap<FlowKey, Seq>,
    /// What the stack can be held to.
    pub(crate) traits: Traits,
    pub(crate) verdicts: Verdicts,
    /// Dials by tuple and occurrence, once one is looked for.
    pub(crate) dials: OnceCell<HashMap<FlowSpec, usize, Quick>>,
}

impl<'a> Check<'a> {
    /// Checks everything the scenario expects.
    pub(crate) fn all(mut self) -> Verdicts {
        self.dials();
        self.packets();
        self.never();
        self.streams();
        self.half_closes();
        self.closes();
        self.dns();
        self.counters();
        self.memory();
        self.verdicts
    }

    fn view(&self) -> View<'a> {
        View {
            scenario: self.scenario,
            flows: &self.run.flows,
            emitted: &self.run.emitted,
            isns: self.isns,
        }
    }

    /// Counts an exact time that only a run through the core can be held to.
    fn note_time(&mut self, expected: Option<&Expected<Micros>>) {
        let exact = matches!(expected, Some(Expected::Exact(_)));
        self.verdicts.core_only += u64::from(self.traits.tolerance > 0 && exact);
    }

    /// The dial that an expectation names; a failure if there was none.
    fn flow(&mut self, name: &str, pointer: &str) -> Option<&'a FlowState> {
        let spec = self.scenario.flow(name)?;
        let flows = &self.run.flows;
        let dials = self.dials.get_or_init(|| {
            let mut dials = HashMap::with_capacity_and_hasher(flows.len(), Quick::default());
            for (index, flow) in flows.iter().enumerate() {
                dials
                    .entry(flow_spec(&flow.key, flow.occurrence))
                    .or_insert(index);
            }
            dials
        });
        let found = dials.get(&spec).copied();
        if found.is_none() {
            let known = self
                .run
                .flows
                .iter()
                .map(|flow| flow.key.to_string())
                .collect::<Vec<_>>();
            let mut missing = self.failure(
                FailureKind::UnknownFlow,
                pointer,
                format!("flow {name} ({spec}) was never dialed"),
            );
            missing.flow = Some(name.to_owned());
            missing.help = Some(if known.is_empty() {
                "no flow was dialed at all: does the input reach the engine?".to_owned()
            } else {
                format!("dialed were: {}", known.join(", "))
            });
            self.verdicts.failures.push(missing);
        }
        found.and_then(|index| self.run.flows.get(index))
    }

    fn failure(&self, kind: FailureKind, pointer: &str, what: String) -> Failure {
        Failure {
            kind,
            what,
            expected: None,
            actual: None,
            payload: None,
            flow: None,
            frame: None,
            at_us: None,
            place: Some(self.loaded.place(pointer)),
            help: None,
        }
    }

    fn streams(&mut self) {
        for (name, pair) in self.scenario.expect.streams.iter() {
            let pointer = format!("/expect/streams/{}", crate::scenario::load::escape(name));
            for (side, expected) in [
                ("upstream", &pair.upstream),
                ("downstream", &pair.downstream),
            ] {
                let Some(expected) = expected else { continue };
                self.verdicts.checks += 1;
                let pointer = format!("{pointer}/{side}");
                let Some(flow) = self.flow(name, &pointer) else {
                    break;
                };
                let bytes = if side == "upstream" {
                    &flow.upstream
                } else {
                    &flow.down.bytes
                };
                let other = if side == "upstream" {
                    None
                } else {
                    Some(flow.sent.len())
                };
                if let Some(problem) = differs(expected, bytes) {
                    let at = flow.closed.map(|(at, _)| at);
                    let mut wrong = self.failure(
                        FailureKind::WrongStream,
                        &pointer,
                        format!("the {side} of {name} {problem}"),
                    );
                    wrong.expected = Some(describe(expected));
                    wrong.actual = Some(format!(
                        "{} octets, sha256 {}",
                        bytes.len(),
                        bytes.sha256().unwrap_or_default(),
                    ));
                    wrong.payload = Some(bytes.shown());
                    wrong.flow = Some(name.to_owned());
                    wrong.at_us = at;
                    wrong.help = Some(match other {
                        Some(sent) => format!("the dialer sent {sent} octets"),
                        None => format!(
                            "the device sent up to sequence number {} (a FIN counts one)",
                            flow.down.device_edge.saturating_sub(1)
                        ),
                    });
                    self.verdicts.failures.push(wrong);
                }
            }
        }
    }

    fn counters(&mut self) {
        // An engine of another kind has none that could be compared.
        let Some(mut counters) = self.run.named_counters() else {
            self.verdicts.core_only += self.scenario.expect.counters.iter().count() as u64;
            return;
        };
        if let Some((name, by)) = &self.run.raised
            && let Some(value) = counters.get_mut(name.as_str())
        {
            *value = value.saturating_add_signed(*by);
        }
        let semantic: BTreeSet<&str> = Counters::describe()
            .filter(|info| info.mark == Mark::Semantic)
            .map(|info| info.name)
            .collect();
        for (name, expected) in self.scenario.expect.counters.iter() {
            let known = counters.contains_key(name);
            if !self.traits.is_core() && known && !semantic.contains(name) {
                self.verdicts.core_only += 1;
                continue;
            }
            self.verdicts.checks += 1;
            let pointer = format!("/expect/counters/{}", crate::scenario::load::escape(name));
            let Some(value) = counters.get(name) else {
                let mut unknown = self.failure(
                    FailureKind::WrongCounter,
                    &pointer,
                    format!("there is no counter `{name}`"),
                );
                unknown.help = crate::base::diagnostic::nearest(name, counters.keys().copied())
                    .map(|near| format!("did you mean `{near}`?"));
                self.verdicts.failures.push(unknown);
                continue;
            };
            if !expected.matches(value) {
                let mut wrong = self.failure(
                    FailureKind::WrongCounter,
                    &pointer,
                    format!("counter {name} is {value}"),
                );
                wrong.expected = Some(expected.to_string());
                wrong.actual = Some(value.to_string());
                self.verdicts.failures.push(wrong);
            }
        }
    }

    fn memory(&mut self) {
        let Some(most) = self
            .scenario
            .expect
            .memory
            .as_ref()
            .and_then(|memory| memory.peak_heap)
        else {
            return;
        };
        if !self.traits.is_core() {
            self.verdicts.core_only += 1;
            return;
        }
        self.verdicts.checks += 1;
        let pointer = "/expect/memory/peak_heap";
        let most = most.as_bytes();
        match self.run.peak_heap {
            Some(peak) if peak <= most => {}
            Some(peak) => {
                let mut over = self.failure(
                    FailureKind::TooMuchMemory,
                    pointer,
                    format!("the engine held {peak} octets of heap"),
                );
                over.expected = Some(format!("at most {most}"));
                over.actual = Some(peak.to_string());
                self.verdicts.failures.push(over);
            }
            None => {
                let what = "the heap is not counted in this program".to_owned();
                let mut blind = self.failure(FailureKind::TooMuchMemory, pointer, what);
                blind.help = Some(
                    "run it with the `replay` binary, or install `replay::heap::EngineHeap`"
                        .to_owned(),
                );
                self.verdicts.failures.push(blind);
            }
        }
    }

    fn packets(&mut self) {
        packets::check(self);
    }

    fn never(&mut self) {
        packets::never(self);
    }
}

fn differs(expected: &StreamExpectation, bytes: &Tape) -> Option<String> {
    let length = bytes.len();
    if !expected.bytes.matches(&length) {
        return Some(format!("has {length} octets"));
    }
    let sha = expected.sha256.as_ref()?;
    (Some(sha) != bytes.sha256().as_ref())
        .then(|| "has the right length but other bytes".to_owned())
}

fn describe(expected: &StreamExpectation) -> String {
    match &expected.sha256 {
        Some(sha) => format!("{} octets, sha256 {sha}", expected.bytes),
        None => format!("{} octets", expected.bytes),
    }
}

/// A tuple as a scenario would name it.
pub(crate) fn name_of(scenario: &Scenario, flow: &FlowState) -> String {
    let spec = flow_spec(&flow.key, flow.occurrence);
    if let Some(name) = scenario.flow_name(&spec) {
        return name.to_owned();
    }
    match scenario.flow_name(&FlowSpec {
        occurrence: 1,
        ..spec
    }) {
        Some(name) => format!("{name}#{}", spec.occurrence),
        None => spec.to_string(),
    }
}

/// Whether a time is as expected, and how that is written.
fn at_problem(expected: Option<&Expected<Micros>>, at: u64, slack: u64) -> Option<String> {
    let expected = expected?;
    let widened = match expected {
        exact @ Expected::Exact(_) if slack == 0 => *exact,
        Expected::Exact(Micros(exact)) => Expected::Range {
            min: Some(Micros(exact.saturating_sub(slack))),
            max: Some(Micros(exact.saturating_add(slack))),
        },
        Expected::Range { min, max } => Expected::Range {
            min: min.map(|Micros(min)| Micros(min.saturating_sub(slack))),
            max: max.map(|Micros(max)| Micros(max.saturating_add(slack))),
        },
    };
    (!widened.matches(&Micros(at))).then(|| format!("at {} s, expected {expected}", seconds(at)))
}
