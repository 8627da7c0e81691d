//! A run held against what its scenario expects, kind by kind.

use std::cell::OnceCell;
use std::collections::HashMap;

use super::expect::behaviours;
use crate::base::duration::Micros;
use crate::base::hash::Quick;
use crate::base::wording::seconds_of as seconds;
use crate::scenario::failure::{Failure, FailureKind};
use crate::scenario::load::LoadedScenario;
use crate::scenario::{Expected, FlowSpec, Scenario};
use crate::simulation::RunOutput;
use crate::simulation::flow::FlowState;
use crate::simulation::isns::Isns;
use crate::simulation::matcher::View;
use crate::simulation::timeline::failure_at;
use crate::stack::Traits;
use crate::stack::event::Expectation;

#[cfg(test)]
mod tests;

/// What was found, and how much was looked at.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    pub(crate) failures: Vec<Failure>,
    pub(crate) checks: u64,
    /// Expectations that only a run through the core can be held to.
    pub(crate) core_only: u64,
    /// Emitted frames and the lines of `packets` they were held against.
    pub(crate) expected: Vec<(usize, Expectation)>,
}

/// One check of a run.
pub(crate) struct Check<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) loaded: &'a LoadedScenario,
    pub(crate) run: &'a RunOutput,
    pub(crate) isns: &'a Isns,
    /// What the stack can be held to.
    pub(crate) traits: Traits,
    pub(crate) verdicts: Verdicts,
    /// Dials by tuple and occurrence, once one is looked for.
    pub(crate) dials: OnceCell<HashMap<FlowSpec, usize, Quick>>,
}

impl<'a> Check<'a> {
    /// Checks everything the scenario expects.
    pub(crate) fn all(mut self) -> Verdicts {
        for (_, behaviour) in behaviours() {
            behaviour.check(&mut self);
        }
        self.verdicts
    }

    pub(crate) fn view(&self) -> View<'a> {
        View {
            scenario: self.scenario,
            flows: &self.run.flows,
            emitted: &self.run.emitted,
            isns: self.isns,
        }
    }

    /// Counts an exact time that only a run through the core can be held to.
    pub(crate) fn note_time(&mut self, expected: Option<&Expected<Micros>>) {
        let exact = matches!(expected, Some(Expected::Exact(_)));
        self.verdicts.core_only += u64::from(self.traits.tolerance > 0 && exact);
    }

    /// The dial that an expectation names, if there was one.
    pub(crate) fn find(&self, name: &str) -> Option<&'a FlowState> {
        let spec = self.scenario.flow(name)?;
        self.run.flows.iter().find(|flow| flow.spec() == spec)
    }

    /// Notes that what is written at a JSON pointer is not met; its fields can be filled in.
    pub(crate) fn fail(&mut self, kind: FailureKind, pointer: &str, what: String) -> &mut Failure {
        let place = Some(self.loaded.place(pointer));
        let failures = &mut self.verdicts.failures;
        failures.push(Failure {
            place,
            ..failure_at(kind, what, None)
        });
        let last = failures.len() - 1;
        &mut failures[last]
    }

    /// The dial that an expectation names; a failure if there was none.
    pub(crate) fn flow(&mut self, name: &str, pointer: &str) -> Option<&'a FlowState> {
        let spec = self.scenario.flow(name)?;
        let flows = &self.run.flows;
        let dials = self.dials.get_or_init(|| {
            let mut dials = HashMap::with_capacity_and_hasher(flows.len(), Quick::default());
            for (index, flow) in flows.iter().enumerate() {
                dials.entry(flow.spec()).or_insert(index);
            }
            dials
        });
        let found = dials.get(&spec).copied();
        if found.is_none() {
            let known = self.run.flows.iter().map(|flow| flow.key.to_string());
            let known: Vec<String> = known.collect();
            let what = format!("flow {name} ({spec}) was never dialed");
            let help = if known.is_empty() {
                "no flow was dialed at all: does the input reach the engine?".to_owned()
            } else {
                format!("dialed were: {}", known.join(", "))
            };
            let missing = self.fail(FailureKind::UnknownFlow, pointer, what);
            (missing.flow, missing.help) = (Some(name.to_owned()), Some(help));
        }
        found.and_then(|index| self.run.flows.get(index))
    }
}

/// A tuple as a scenario would name it.
pub(crate) fn name_of(scenario: &Scenario, flow: &FlowState) -> String {
    let spec = flow.spec();
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
pub(crate) fn at_problem(
    expected: Option<&Expected<Micros>>,
    at: u64,
    slack: u64,
) -> Option<String> {
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
