//! `expect.stalls`: every stall of half a second and more, free in order.

use std::ops::Range;

use super::{Listed, Renewed, Shown, Style, field, renew};
use crate::base::duration::Micros;
use crate::base::wording::seconds_of as seconds;
use crate::scenario::failure::FailureKind;
use crate::scenario::{ClosedList, Direction, Expectations, Expected, StallExpectation};
use crate::simulation::flow::Stalled;
use crate::simulation::mutation::Mutation;
use crate::stack::Traits;
use crate::verdict::check::{Check, name_of};

pub(super) struct Stalls;

impl Listed for Stalls {
    field!(stalls: StallExpectation);

    /// How much another stack takes ahead of its dialer is its own affair.
    fn is_reported(traits: &Traits) -> bool {
        !traits.foreign
    }

    fn check_list(list: &ClosedList<StallExpectation>, check: &mut Check<'_>) {
        let slack = check.traits.tolerance;
        let mut met = Vec::new();
        for (index, expected) in list.items.iter().enumerate() {
            let name = &expected.flow;
            let pointer = format!("/expect/stalls/{index}");
            let Some(flow) = check.flow(name, &pointer) else {
                continue;
            };
            let open =
                |stall: &&Stalled| is_of(expected, stall) && !met.contains(&(flow.spec(), **stall));
            let found = flow
                .stalls
                .iter()
                .find(|stall| open(stall) && problem(expected, stall, slack).is_none());
            if let Some(stall) = found {
                met.push((flow.spec(), *stall));
                continue;
            }
            let other = flow.stalls.iter().find(open);
            let (kind, what) = match other.and_then(|stall| problem(expected, stall, slack)) {
                Some(problem) => (
                    FailureKind::WrongStall,
                    format!("the stall of {} {problem}", words(expected)),
                ),
                None => (
                    FailureKind::MissingStall,
                    format!("{} never stalled", words(expected)),
                ),
            };
            met.extend(other.map(|stall| (flow.spec(), *stall)));
            let at = other.map(|stall| stall.from);
            let failure = check.fail(kind, &pointer, what);
            (failure.flow, failure.at_us) = (Some(name.clone()), at);
        }
        if list.others_allowed {
            return;
        }
        for flow in &check.run.flows {
            for stall in &flow.stalls {
                if met.contains(&(flow.spec(), *stall)) {
                    continue;
                }
                let name = name_of(check.scenario, flow);
                let what = format!(
                    "the {} of {name} stalled for {} s, which is not in the list",
                    stall.direction,
                    seconds(stall.until - stall.from)
                );
                let extra = check.fail(FailureKind::UnexpectedStall, "/expect/stalls", what);
                (extra.flow, extra.at_us) = (Some(name), Some(stall.from));
            }
        }
    }

    fn renewed(old: &[StallExpectation], style: Style, shown: &Shown<'_>) -> Renewed<Self> {
        let mut seen: Vec<_> = shown
            .run
            .flows
            .iter()
            .flat_map(|flow| flow.stalls.iter().map(move |stall| (flow, *stall)))
            .collect();
        let mut listed = Vec::new();
        for item in old {
            let spec = shown.view.scenario.flow(&item.flow);
            let place = seen
                .iter()
                .position(|(flow, stall)| spec == Some(flow.spec()) && is_of(item, stall));
            if let Some(place) = place {
                let (_, stall) = seen.remove(place);
                listed.push(StallExpectation {
                    at: item.at.map(|before| renew(before, Micros(stall.from))),
                    lasts: item.lasts.map(|before| renew(before, length(&stall))),
                    ..item.clone()
                });
            }
        }
        let others = seen.into_iter().map(|(flow, stall)| StallExpectation {
            flow: shown.name(flow),
            direction: Some(stall.direction),
            by: Some(stall.direction.reader()),
            at: style.time(stall.from),
            lasts: style.timed.then(|| Expected::Exact(length(&stall))),
        });
        (listed, others.collect())
    }

    /// That nothing stalled need not be written.
    fn is_drafted(run: &crate::simulation::RunOutput) -> bool {
        run.flows.iter().any(|flow| !flow.stalls.is_empty())
    }

    fn line(item: &StallExpectation) -> String {
        let lasts = item.lasts.as_ref();
        let lasts = lasts.map_or_else(String::new, |lasts| format!(" for {lasts}"));
        words(item) + &lasts
    }

    fn changes(flows: Range<usize>) -> Vec<Mutation> {
        Mutation::of_flows(
            flows,
            &[
                |flow| flow.stalls.clear(),
                |flow| {
                    let from = flow.dialed_at;
                    flow.stalls.push(Stalled {
                        direction: Direction::Upstream,
                        from,
                        until: from + 3_600_000_000,
                    });
                },
            ],
        )
    }
}

/// What is wrong with a flow that should have stalled like this.
pub(crate) fn unmet(expected: &StallExpectation, stalls: &[Stalled]) -> Option<String> {
    let mut found = stalls.iter().filter(|stall| is_of(expected, stall));
    let stream = expected.direction.map_or("a stream", Direction::as_str);
    let Some(first) = found.next() else {
        return Some(format!("the recorded stall of its {stream} did not come"));
    };
    let problem = problem(expected, first, 0)?;
    let met = found.any(|stall| self::problem(expected, stall, 0).is_none());
    (!met).then(|| format!("the recorded stall of its {stream} {problem}"))
}

fn is_of(expected: &StallExpectation, stall: &Stalled) -> bool {
    let StallExpectation {
        flow: _,
        direction,
        by,
        at: _,
        lasts: _,
    } = expected;
    direction.is_none_or(|direction| direction == stall.direction)
        && by.is_none_or(|by| by == stall.direction.reader())
}

/// How a stall differs in its times.
fn problem(expected: &StallExpectation, stall: &Stalled, slack: u64) -> Option<String> {
    use crate::verdict::check::at_problem;
    if let Some(problem) = at_problem(expected.at.as_ref(), stall.from, slack) {
        return Some(format!("began {problem}"));
    }
    let length = length(stall);
    at_problem(expected.lasts.as_ref(), length.as_micros(), slack)?;
    let wanted = expected.lasts?;
    Some(format!(
        "lasted {} s, expected {wanted}",
        seconds(length.as_micros())
    ))
}

fn length(stall: &Stalled) -> Micros {
    Micros(stall.until.saturating_sub(stall.from))
}

fn words(item: &StallExpectation) -> String {
    let stream = item.direction.map_or("a stream", Direction::as_str);
    let by = item.by.map_or_else(String::new, |by| format!(" by {by}"));
    format!("{} {stream}{by}", item.flow)
}
