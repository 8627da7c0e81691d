//! `expect.half_closes`: every half-close, free in order.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{Listed, Renewed, Shown, Style, field, renew};
use crate::base::duration::Micros;
use crate::scenario::failure::FailureKind;
use crate::scenario::{ClosedList, Expectations, Expected, HalfCloseExpectation, Side};
use crate::simulation::flow::FlowState;
use crate::simulation::mutation::Mutation;
use crate::stack::Traits;
use crate::verdict::check::{Check, at_problem, name_of};

pub(super) struct HalfCloses;

impl Listed for HalfCloses {
    field!(half_closes: HalfCloseExpectation);

    fn is_reported(traits: &Traits) -> bool {
        traits.half_close
    }

    fn check_list(list: &ClosedList<HalfCloseExpectation>, check: &mut Check<'_>) {
        let mut named = BTreeSet::new();
        for (index, expected) in list.items.iter().enumerate() {
            let pointer = format!("/expect/half_closes/{index}");
            let name = &expected.flow;
            if let Some(spec) = check.scenario.flow(name) {
                named.insert((spec, expected.by));
            }
            let seen = check.find(name).and_then(|flow| match expected.by {
                Some(by) if by != Side::Engine => sides(flow).find(|(side, _)| *side == by),
                _ => sides(flow).next(),
            });
            let by = expected.by.map_or(String::new(), |by| format!(" by {by}"));
            let (kind, what, at) = match seen {
                None => (
                    FailureKind::MissingHalfClose,
                    format!("flow {name} was never half-closed{by}"),
                    None,
                ),
                Some((_, at)) => {
                    let tolerance = check.traits.tolerance;
                    let Some(problem) = at_problem(expected.at.as_ref(), at, tolerance) else {
                        continue;
                    };
                    let what = format!("flow {name} was half-closed{by} {problem}");
                    (FailureKind::WrongTime, what, Some(at))
                }
            };
            let failure = check.fail(kind, &pointer, what);
            (failure.flow, failure.at_us) = (Some(name.clone()), at);
        }
        if list.others_allowed {
            return;
        }
        for flow in &check.run.flows {
            let spec = flow.spec();
            for (side, at) in sides(flow) {
                if !named.contains(&(spec, Some(side))) && !named.contains(&(spec, None)) {
                    let name = name_of(check.scenario, flow);
                    let what =
                        format!("{name} was half-closed by {side}, which is not in the list");
                    let kind = FailureKind::UnexpectedHalfClose;
                    let extra = check.fail(kind, "/expect/half_closes", what);
                    (extra.flow, extra.at_us) = (Some(name), Some(at));
                }
            }
        }
    }

    fn renewed(old: &[HalfCloseExpectation], style: Style, shown: &Shown<'_>) -> Renewed<Self> {
        let flows = shown.run.flows.iter();
        let seen: Vec<(&FlowState, Side, u64)> = flows
            .flat_map(|flow| sides(flow).map(move |(side, at)| (flow, side, at)))
            .collect();
        let is = |item: &HalfCloseExpectation, (flow, side, _): &(&FlowState, Side, u64)| {
            shown.view.scenario.flow(&item.flow) == Some(flow.spec())
                && item.by.is_none_or(|by| by == *side)
        };
        let listed = old.iter().filter_map(|item| {
            let (.., at) = seen.iter().find(|seen| is(item, seen))?;
            Some(HalfCloseExpectation {
                at: item.at.map(|before| renew(before, Micros(*at))),
                ..item.clone()
            })
        });
        let others = seen
            .iter()
            .filter(|seen| !old.iter().any(|item| is(item, seen)));
        let others = others.map(|(flow, side, at)| HalfCloseExpectation {
            flow: shown.name(flow),
            by: Some(*side),
            at: style.time(*at),
        });
        (listed.collect(), others.collect())
    }

    fn line(item: &HalfCloseExpectation) -> String {
        let by = item.by.map_or_else(String::new, |by| format!(" by {by}"));
        format!("{}{by}", item.flow)
    }

    fn changes(flows: Range<usize>) -> Vec<Mutation> {
        Mutation::of_flows(
            flows,
            &[
                |flow| {
                    flow.half_closed_by_device = None;
                    flow.half_closed_by_remote = None;
                },
                |flow| flow.half_closed_by_device = Some(flow.dialed_at),
            ],
        )
    }
}

/// Who ended its stream of a flow before the other, and when.
fn sides(flow: &FlowState) -> impl Iterator<Item = (Side, u64)> {
    let sides = [
        (Side::Device, flow.half_closed_by_device),
        (Side::Remote, flow.half_closed_by_remote),
    ];
    sides.into_iter().filter_map(|(side, at)| Some((side, at?)))
}
