//! A run made once more with its border watched: its events, each frame with what was expected of it.

use std::collections::BTreeMap;

use super::outcome::{ScenarioOutcome, Verdict};
use super::run::Tracing;
use crate::scenario::Scenario;
use crate::simulation::RunMode;
use crate::stack::event::{Expectation, Trace, Tracer};

/// Events that are kept of one run, the last ones.
const EVENTS_KEPT: usize = 200_000;

/// What a watched run leaves beside its events.
#[derive(Debug, Default)]
pub(crate) struct Watched {
    /// Its counters by name.
    pub(crate) counters: BTreeMap<&'static str, u64>,
    /// Frames for the device, by their numbers from 0, and what was expected of each.
    pub(crate) expected: Vec<(usize, Expectation)>,
}

impl Tracing {
    /// Whether the events of a run that came to this are kept.
    pub(crate) fn keeps(self, outcome: &ScenarioOutcome) -> bool {
        let ran = !matches!(
            outcome.verdict,
            Verdict::Invalid(_) | Verdict::NotApplicable(_) | Verdict::Skipped(_)
        );
        match self {
            Self::Never => false,
            Self::OnFailure => ran && !outcome.passed(),
            Self::Always => ran,
        }
    }
}

/// The events of the run that `play` makes.
pub(crate) fn watch(
    scenario: &Scenario,
    way: RunMode<'_>,
    play: impl FnOnce(RunMode<'_>) -> Watched,
) -> Trace {
    let tracer = Tracer::last(EVENTS_KEPT);
    let watched = play(RunMode {
        tracer: Some(&tracer),
        ..way
    });
    let named = scenario.flows.iter();
    let names = named.map(|(name, spec)| (name.to_owned(), *spec)).collect();
    let mut trace = tracer.take(names, scenario.engine.config());
    trace.counters = watched.counters;
    trace.counters.retain(|_, count| *count > 0);
    trace.expect(watched.expected);
    trace
}
