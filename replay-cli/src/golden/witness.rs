//! What a scenario's runs show, to be held against other expectations than its own.

use crate::base::diagnostic::Diagnostic;
use crate::scenario::Scenario;
use crate::scenario::failure::{Failure, FailureKind};
use crate::scenario::load::LoadedScenario;
use crate::scenario::twins;
use crate::simulation::isns::Isns;
use crate::simulation::matcher::View;
use crate::simulation::tape::Retention;
use crate::simulation::timeline::failure_at;
use crate::simulation::{RunMode, RunOutput};
use crate::verdict::check::Check;
use crate::verdict::run::RunOptions;
use crate::verdict::run::{Prepared, play, prepare};

/// A scenario's run through the core, in one of its IP families.
pub(crate) struct Witness {
    /// The family, if the scenario has twins.
    family: Option<u8>,
    /// The scenario in that family.
    scenario: Scenario,
    pub(crate) run: RunOutput,
    isns: Isns,
}

/// Runs a scenario, once for each of its IP families, and each twice: that the two differ is among the failures of the run.
///
/// # Errors
/// What the scenario needs is missing or invalid.
pub(crate) fn witnesses(
    loaded: &LoadedScenario,
    options: &RunOptions,
) -> Result<Vec<Witness>, Vec<Diagnostic>> {
    of_prepared(loaded, &prepare(loaded, options)?, true)
}

/// As [`witnesses`], of a scenario whose files were read; each run is made again only if it is to be made `twice`.
pub(crate) fn of_prepared(
    loaded: &LoadedScenario,
    prepared: &Prepared,
    twice: bool,
) -> Result<Vec<Witness>, Vec<Diagnostic>> {
    let way = RunMode {
        keep_frames: true,
        ..RunMode::CORE
    };
    let families = &loaded.scenario.input.families;
    let families: Vec<Option<u8>> = match families.as_slice() {
        [] => vec![None],
        families => families.iter().copied().map(Some).collect(),
    };
    let witness = |family: Option<u8>| {
        let scenario = in_family(&loaded.scenario, family);
        let isns = Isns::new(&scenario, &prepared.lines);
        let play = |streams| {
            play(loaded, &scenario, prepared, &isns, way, streams).map_err(|problem| vec![problem])
        };
        let mut run = play(Retention::Hash)?;
        let again = twice.then(|| play(Retention::Count)).transpose()?;
        if let Some(index) = again.and_then(|again| run.digest.difference(&again.digest)) {
            let what = format!("two runs differ from output {index} on");
            run.failures
                .push(failure_at(FailureKind::Nondeterminism, what, None));
        }
        Ok(Witness {
            family,
            scenario,
            run,
            isns,
        })
    };
    families.into_iter().map(witness).collect()
}

impl Witness {
    /// Whatever of a scenario's expectations the run does not meet.
    pub(crate) fn failures(&self, loaded: &LoadedScenario) -> Vec<Failure> {
        Check {
            scenario: &in_family(&loaded.scenario, self.family),
            loaded,
            run: &self.run,
            isns: &self.isns,
            traits: self.run.traits,
            verdicts: Default::default(),
            dials: Default::default(),
        }
        .all()
        .failures
    }

    pub(crate) fn view(&self) -> View<'_> {
        View {
            scenario: &self.scenario,
            flows: &self.run.flows,
            emitted: &self.run.emitted,
            isns: &self.isns,
        }
    }
}

fn in_family(scenario: &Scenario, family: Option<u8>) -> Scenario {
    match family {
        Some(family) => twins::in_family(scenario, family),
        None => scenario.clone(),
    }
}
