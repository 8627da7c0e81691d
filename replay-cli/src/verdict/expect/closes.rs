//! `expect.closes`: every close, free in order.

use std::collections::BTreeSet;
use std::ops::Range;

use engine::{By, Close};

use super::{Listed, Renewed, Shown, Style, field, renew};
use crate::base::duration::Micros;
use crate::scenario::failure::FailureKind;
use crate::scenario::{CloseExpectation, ClosedList, Expectations, Expected, How, Side, True};
use crate::simulation::mutation::Mutation;
use crate::stack::Traits;
use crate::verdict::check::{Check, at_problem, name_of};

pub(super) struct Closes;

impl Listed for Closes {
    field!(closes: CloseExpectation);

    fn is_reported(traits: &Traits) -> bool {
        traits.close
    }

    fn check_list(list: &ClosedList<CloseExpectation>, check: &mut Check<'_>) {
        let mut named = BTreeSet::new();
        for (index, expected) in list.items.iter().enumerate() {
            named.extend(check.scenario.flow(&expected.flow));
            one(expected, &format!("/expect/closes/{index}"), check);
        }
        if list.others_allowed {
            return;
        }
        for flow in &check.run.flows {
            if let Some((at, close)) = flow.closed
                && !named.contains(&flow.spec())
            {
                let name = name_of(check.scenario, flow);
                let what = format!("{name} was closed, which is not in the list");
                let extra = check.fail(FailureKind::UnexpectedClose, "/expect/closes", what);
                (extra.flow, extra.at_us) = (Some(name), Some(at));
                extra.actual = Some(words(close));
            }
        }
    }

    fn renewed(old: &[CloseExpectation], style: Style, shown: &Shown<'_>) -> Renewed<Self> {
        let listed = old.iter().filter_map(|item| {
            let flow = shown.flow(&item.flow)?;
            Some(match flow.closed {
                None => still_open(item.flow.clone()),
                Some(closed) if item.is_open() => ended(item.flow.clone(), closed, style),
                Some((at, close)) => CloseExpectation {
                    flow: item.flow.clone(),
                    by: item.by.map(|_| Side::from(close.by)),
                    how: item.how.and_then(|_| how(close)),
                    at: item.at.map(|before| renew(before, Micros(at))),
                    open: None,
                },
            })
        });
        let others = shown.unnamed(old.iter().map(|item| item.flow.as_str()));
        let others = others.into_iter().filter_map(|flow| match flow.closed {
            Some(closed) => Some(ended(shown.name(flow), closed, style)),
            // That a flow is open need not be written, and is where nothing was before.
            None => (style.fresh && !flow.undialed).then(|| still_open(shown.name(flow))),
        });
        (listed.collect(), others.collect())
    }

    fn line(item: &CloseExpectation) -> String {
        if item.is_open() {
            return format!("{} open", item.flow);
        }
        let by = item.by.map_or_else(String::new, |by| format!(" by {by}"));
        let how = item.how.map_or_else(String::new, |how| format!(", {how}"));
        format!("{}{by}{how}", item.flow)
    }

    fn changes(flows: Range<usize>) -> Vec<Mutation> {
        Mutation::of_flows(
            flows,
            &[
                |flow| {
                    if let Some((_, close)) = &mut flow.closed {
                        close.how = match close.how {
                            engine::How::Guard => engine::How::Stopped,
                            _ => engine::How::Guard,
                        };
                    }
                },
                |flow| flow.closed = None,
                |flow| {
                    let (by, how) = (By::Engine, engine::How::Guard);
                    flow.closed = Some((flow.dialed_at, Close { by, how }));
                },
            ],
        )
    }
}

fn one(expected: &CloseExpectation, pointer: &str, check: &mut Check<'_>) {
    let Some(flow) = check.flow(&expected.flow, pointer) else {
        return;
    };
    let traits = check.traits;
    let unreported = |reported: bool, asked: bool| u64::from(!reported && asked);
    check.verdicts.core_only += unreported(traits.by, expected.by.is_some())
        + unreported(traits.how, expected.how.is_some());
    let name = &expected.flow;
    let (kind, what, actual, at) = match (flow.closed, expected.is_open()) {
        (None, true) => return,
        // A stack that accepts first asked for no dial, and reports no end.
        (None, false) if flow.undialed => {
            check.verdicts.core_only += 1;
            return;
        }
        (None, false) => (
            FailureKind::MissingClose,
            format!("flow {name} is still open at the end"),
            "open".to_owned(),
            check.run.figures.virtual_us,
        ),
        (Some((at, close)), open) => {
            // Another stack has no names for what it does by itself.
            let own = traits.foreign && expected.by == Some(Side::Engine);
            let by = !traits.by || own || expected.by.is_none_or(|by| Side::from(close.by) == by);
            let is = |how: How| how.as_str() == close.how.label();
            let how = !traits.how || own || expected.how.is_none_or(is);
            let late = at_problem(expected.at.as_ref(), at, traits.tolerance);
            let (kind, what) = match late {
                _ if open || !by || !how => (
                    FailureKind::WrongClose,
                    format!("flow {name} ended in another way"),
                ),
                Some(problem) => (
                    FailureKind::WrongTime,
                    format!("flow {name} was closed {problem}"),
                ),
                None => return,
            };
            (kind, what, words(close), at)
        }
    };
    let wanted = if expected.is_open() {
        "open".to_owned()
    } else {
        let by = expected.by.map_or("*", Side::as_str);
        format!("by {by}, {}", expected.how.map_or("*", How::as_str))
    };
    let failure = check.fail(kind, pointer, what);
    (failure.expected, failure.actual) = (Some(wanted), Some(actual));
    (failure.flow, failure.at_us) = (Some(name.clone()), Some(at));
}

fn still_open(flow: String) -> CloseExpectation {
    CloseExpectation {
        flow,
        by: None,
        how: None,
        at: None,
        open: Some(True),
    }
}

fn ended(flow: String, (at, close): (u64, Close), style: Style) -> CloseExpectation {
    CloseExpectation {
        flow,
        by: Some(close.by.into()),
        how: how(close),
        at: style.time(at),
        open: None,
    }
}

/// The engine's word for an ending is the scenario's.
fn how(close: Close) -> Option<How> {
    serde_json::from_value(close.how.label().into()).ok()
}

fn words(close: Close) -> String {
    format!("by {}, {}", close.by, close.how.label())
}
