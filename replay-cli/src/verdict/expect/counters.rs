//! `expect.counters`: counters by name.

use std::collections::BTreeSet;

use engine::{Counters, Mark};

use super::{Behaviour, Renewal, renew};
use crate::base::diagnostic::nearest;
use crate::scenario::failure::FailureKind;
use crate::scenario::load::escape;
use crate::scenario::{Expectations, Expected, Scenario};
use crate::simulation::Figures;
use crate::simulation::mutation::Mutation;
use crate::verdict::check::Check;

pub(super) struct CounterValues;

impl Behaviour for CounterValues {
    fn check(&self, check: &mut Check<'_>) {
        let expected = &check.scenario.expect.counters;
        // An engine of another kind has none that could be compared.
        let Some(mut counters) = check.run.named_counters() else {
            check.verdicts.core_only += expected.len() as u64;
            return;
        };
        if let Some((name, by)) = &check.run.raised
            && let Some(value) = counters.get_mut(name.as_str())
        {
            *value = value.saturating_add_signed(*by);
        }
        let semantic: BTreeSet<&str> = semantic().collect();
        for (name, expected) in expected.iter() {
            let value = counters.get(name);
            if !check.traits.is_core() && value.is_some() && !semantic.contains(name) {
                check.verdicts.core_only += 1;
                continue;
            }
            check.verdicts.checks += 1;
            let near = || nearest(name, counters.keys().copied());
            let (what, help) = match value {
                Some(value) if expected.matches(value) => continue,
                Some(value) => (format!("counter {name} is {value}"), None),
                None => (
                    format!("there is no counter `{name}`"),
                    near().map(|near| format!("did you mean `{near}`?")),
                ),
            };
            let pointer = format!("/expect/counters/{}", escape(name));
            let wrong = check.fail(FailureKind::WrongCounter, &pointer, what);
            wrong.expected = value.map(|_| expected.to_string());
            (wrong.actual, wrong.help) = (value.map(ToString::to_string), help);
        }
    }

    /// The counters that were written; without any, all that count what was done and are not zero.
    fn renewal(&self) -> Option<Renewal> {
        Some(|shown, Expectations { counters, .. }| {
            let Some(seen) = shown.run.named_counters() else {
                return;
            };
            if counters.is_empty() {
                let counted = semantic().filter_map(|name| Some((name, *seen.get(name)?)));
                *counters = counted
                    .filter(|(_, value)| *value > 0)
                    .map(|(name, value)| (name.to_owned(), Expected::Exact(value)))
                    .collect();
            }
            for (name, expected) in &mut counters.0 {
                // A name that is none stays: the next run reports it.
                if let Some(value) = seen.get(name.as_str()) {
                    *expected = renew(*expected, *value);
                }
            }
        })
    }

    fn lines(&self, expect: &Expectations) -> Option<Vec<String>> {
        let counters = expect.counters.iter();
        let lines = counters.map(|(name, value)| format!("{name} {value}"));
        Some(lines.collect()).filter(|lines: &Vec<_>| !lines.is_empty())
    }

    /// By one, and far out of any range.
    fn changes(&self, scenario: &Scenario, _: &Figures) -> Vec<Mutation> {
        let raised = |name: &str| {
            let name = name.to_owned();
            [1, -1, 1 << 40, -(1 << 40)].map(|by| {
                let name = name.clone();
                Mutation::of_run(move |run| run.raised = Some((name.clone(), by)))
            })
        };
        scenario.expect.counters.names().flat_map(raised).collect()
    }
}

/// Counters of what was done, which is the same by every way in.
fn semantic() -> impl Iterator<Item = &'static str> {
    Counters::describe()
        .filter(|info| info.mark == Mark::Semantic)
        .map(|info| info.name)
}
