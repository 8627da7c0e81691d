//! What the kinds of expectations do with a run, one file each: hold it against what is written, renew that for `record`, say it in
//! lines for `review`, and change what was observed for `run --vacuity`.
//!
//! What is written of a kind is its part of [`crate::scenario::expect`].

use std::collections::BTreeSet;
use std::ops::Range;

use super::check::Check;
use crate::base::duration::Micros;
use crate::scenario::{ClosedList, ExpectationKind, Expectations, Expected, FlowSpec, Scenario};
use crate::simulation::flow::FlowState;
use crate::simulation::matcher::View;
use crate::simulation::mutation::Mutation;
use crate::simulation::{Figures, RunOutput};
use crate::stack::Traits;

mod closes;
mod counters;
mod dials;
mod dns;
mod half_closes;
mod memory;
mod never;
pub(crate) mod packets;
pub(crate) mod stalls;
mod streams;

/// A kind of expectation and what it does with a run.
pub(crate) fn behaviour(kind: ExpectationKind) -> &'static dyn Behaviour {
    match kind {
        ExpectationKind::Dials => &dials::Dials,
        ExpectationKind::Packets => &packets::Packets,
        ExpectationKind::Never => &never::Nevers,
        ExpectationKind::Streams => &streams::Streams,
        ExpectationKind::HalfCloses => &half_closes::HalfCloses,
        ExpectationKind::Stalls => &stalls::Stalls,
        ExpectationKind::Closes => &closes::Closes,
        ExpectationKind::Dns => &dns::Dns,
        ExpectationKind::Counters => &counters::CounterValues,
        ExpectationKind::Memory => &memory::Memory,
    }
}

/// Every kind with its behaviour, in the order of a scenario's fields.
pub(crate) fn behaviours() -> impl Iterator<Item = (ExpectationKind, &'static dyn Behaviour)> {
    let kinds = ExpectationKind::ALL.iter();
    kinds.map(|kind| (*kind, behaviour(*kind)))
}

/// Whether emitted frames must be kept for something that is expected.
pub(crate) fn needs_frames(expect: &Expectations) -> bool {
    behaviours().any(|(kind, behaviour)| expect.has(kind) && behaviour.needs_frames())
}

/// What a kind of expectation does with a run.
pub(crate) trait Behaviour {
    /// Whether it looks at emitted frames, which are kept for it then.
    fn needs_frames(&self) -> bool {
        false
    }

    /// Holds the run against what is expected, if anything is.
    fn check(&self, check: &mut Check<'_>);

    /// How it is renewed from a run; `None` for a requirement that no run can show.
    fn renewal(&self) -> Option<Renewal> {
        None
    }

    /// Whether a scenario that expects nothing yet is given this from its run.
    fn is_drafted(&self, _run: &RunOutput) -> bool {
        false
    }

    /// What is expected, a line for each thing; `None` if nothing is, or if it is not renewed.
    fn lines(&self, _expect: &Expectations) -> Option<Vec<String>> {
        None
    }

    /// The changes to what was observed that a scenario must notice one of; none if it claims nothing of this kind.
    fn changes(&self, _scenario: &Scenario, _figures: &Figures) -> Vec<Mutation> {
        Vec::new()
    }
}

/// Puts in place of what is expected what a run shows.
pub(crate) type Renewal = fn(&Shown<'_>, &mut Expectations);

/// What a run showed.
pub(crate) struct Shown<'a> {
    /// Its scenario, of which twins name the flows of their own family alike, and its frames.
    pub(crate) view: View<'a>,
    pub(crate) run: &'a RunOutput,
    /// Whether lines of packets that still match stay as they are written.
    pub(crate) keep_lines: bool,
}

impl<'a> Shown<'a> {
    /// The dial that a name means, if it was made.
    fn flow(&self, name: &str) -> Option<&'a FlowState> {
        let spec = self.view.scenario.flow(name)?;
        self.run.flows.iter().find(|flow| flow.spec() == spec)
    }

    /// The flows that no name means.
    fn unnamed<'n>(&self, names: impl Iterator<Item = &'n str>) -> Vec<&'a FlowState> {
        let named = names.filter_map(|name| self.view.scenario.flow(name));
        let named: BTreeSet<FlowSpec> = named.collect();
        let flows = self.run.flows.iter();
        flows.filter(|flow| !named.contains(&flow.spec())).collect()
    }

    /// A flow as the scenario would name it.
    fn name(&self, flow: &FlowState) -> String {
        super::check::name_of(self.view.scenario, flow)
    }
}

/// A kind that is written as a closed list.
trait Listed: Sized {
    /// Its elements.
    type Item: Clone + 'static;

    /// Its list.
    fn list(expect: &Expectations) -> &Option<ClosedList<Self::Item>>;

    /// Its list, to be renewed.
    fn list_mut(expect: &mut Expectations) -> &mut Option<ClosedList<Self::Item>>;

    /// When an element is expected.
    fn at(item: &Self::Item) -> Option<&Expected<Micros>>;

    /// Whether a stack reports enough to be held to it.
    fn is_reported(_traits: &Traits) -> bool {
        true
    }

    /// Holds the run against a list.
    fn check_list(list: &ClosedList<Self::Item>, check: &mut Check<'_>);

    /// The elements that are listed as the run meets them, and the elements for what is not listed.
    fn renewed(old: &[Self::Item], style: Style, shown: &Shown<'_>) -> Renewed<Self>;

    /// Whether a scenario that expects nothing yet is given the list from its run.
    fn is_drafted(_run: &RunOutput) -> bool {
        true
    }

    /// An element in the words of reports, without its time.
    fn line(item: &Self::Item) -> String;

    /// The changes that a list must notice one of, for so many flows.
    fn changes(flows: Range<usize>) -> Vec<Mutation>;
}

/// Elements that are listed already, and elements that are not.
type Renewed<K> = (Vec<<K as Listed>::Item>, Vec<<K as Listed>::Item>);

/// The field of `expect` that a closed list is, and its elements.
macro_rules! field {
    ($field:ident: $item:ty) => {
        type Item = $item;

        fn list(expect: &Expectations) -> &Option<ClosedList<$item>> {
            &expect.$field
        }

        fn list_mut(expect: &mut Expectations) -> &mut Option<ClosedList<$item>> {
            &mut expect.$field
        }

        fn at(item: &$item) -> Option<&Expected<Micros>> {
            item.at.as_ref()
        }
    };
}
use field;

/// How a list is written.
#[derive(Clone, Copy)]
struct Style {
    /// There is none yet.
    fresh: bool,
    /// Some element has a time.
    timed: bool,
}

impl Style {
    /// The time of an element that is not listed yet.
    fn time(self, at: u64) -> Option<Expected<Micros>> {
        self.timed.then_some(Expected::Exact(Micros(at)))
    }
}

impl<K: Listed> Behaviour for K {
    fn check(&self, check: &mut Check<'_>) {
        let Some(list) = K::list(&check.scenario.expect) else {
            return;
        };
        // That nothing else came is a check too.
        let claims = list.items.len() as u64 + u64::from(!list.others_allowed);
        if !K::is_reported(&check.traits) {
            check.verdicts.core_only += claims;
            return;
        }
        check.verdicts.checks += claims;
        for item in &list.items {
            check.note_time(K::at(item));
        }
        K::check_list(list, check);
    }

    fn renewal(&self) -> Option<Renewal> {
        Some(|shown, expect| {
            let list = K::list_mut(expect);
            let fresh = list.is_none();
            let old = list.take().unwrap_or_default();
            let timed = old.items.iter().any(|item| K::at(item).is_some());
            let (mut items, others) = K::renewed(&old.items, Style { fresh, timed }, shown);
            if !old.others_allowed {
                items.extend(others);
            }
            *list = Some(ClosedList { items, ..old });
        })
    }

    fn is_drafted(&self, run: &RunOutput) -> bool {
        K::is_drafted(run)
    }

    fn lines(&self, expect: &Expectations) -> Option<Vec<String>> {
        let list = K::list(expect).as_ref()?;
        let line = |item| {
            let at = K::at(item).map_or_else(String::new, |time| format!(" at {time}"));
            K::line(item) + &at
        };
        let mut lines: Vec<String> = list.items.iter().map(line).collect();
        if list.others_allowed {
            lines.push("others allowed".to_owned());
        } else if lines.is_empty() {
            lines.push("none".to_owned());
        }
        Some(lines)
    }

    fn changes(&self, scenario: &Scenario, figures: &Figures) -> Vec<Mutation> {
        match K::list(&scenario.expect) {
            // A list that requires something.
            Some(list) if !list.others_allowed || !list.items.is_empty() => {
                K::changes(flows(figures))
            }
            _ => Vec::new(),
        }
    }
}

/// The flows of a run, by their numbers.
fn flows(figures: &Figures) -> Range<usize> {
    0..usize::try_from(figures.flows).unwrap_or(0)
}

/// The expectation that a value meets and that is of the same kind: a value stays a value, and of a range the end that is in
/// the way moves.
fn renew<T: Copy + PartialOrd>(expected: Expected<T>, seen: T) -> Expected<T> {
    match expected {
        expected if expected.matches(&seen) => expected,
        Expected::Exact(_) => Expected::Exact(seen),
        Expected::Range { min, max } => Expected::Range {
            min: min.map(|min| if seen < min { seen } else { min }),
            max: max.map(|max| if seen > max { seen } else { max }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_met_stays_as_it_is_written() {
        let range = Expected::Range {
            min: Some(3),
            max: None,
        };
        assert_eq!(renew(range, 3), range);
        assert_eq!(renew(Expected::Exact(3), 3), Expected::Exact(3));
    }

    #[test]
    fn a_value_stays_a_value_and_a_range_a_range() {
        assert_eq!(renew(Expected::Exact(3), 4), Expected::Exact(4));
        let range = |min, max| Expected::Range { min, max };
        assert_eq!(renew(range(Some(3), Some(5)), 9), range(Some(3), Some(9)));
        assert_eq!(renew(range(Some(3), Some(5)), 1), range(Some(1), Some(5)));
        assert_eq!(renew(range(None, Some(5)), 9), range(None, Some(9)));
    }
}
