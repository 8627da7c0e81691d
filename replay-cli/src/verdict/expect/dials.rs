//! `expect.dials`: every dial request, free in order.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;

use engine::{FlowId, FlowKey, Proto};

use super::{Listed, Renewed, Shown, Style, field, renew};
use crate::base::duration::Micros;
use crate::scenario::failure::FailureKind;
use crate::scenario::{ClosedList, DialExpectation, Expectations, Expected};
use crate::simulation::flow::FlowState;
use crate::simulation::mutation::Mutation;
use crate::verdict::check::{Check, at_problem, name_of};

pub(super) struct Dials;

impl Listed for Dials {
    field!(dials: DialExpectation);

    fn check_list(list: &ClosedList<DialExpectation>, check: &mut Check<'_>) {
        // That the dial comes first is a requirement of its own: another stack may accept before it asks.
        let first = |id: &String| id.starts_with("ENG-");
        let timed = !check.traits.foreign || check.scenario.covers.iter().any(first);
        let mut named = BTreeSet::new();
        for (index, expected) in list.items.iter().enumerate() {
            let pointer = format!("/expect/dials/{index}");
            let name = &expected.flow;
            named.extend(check.scenario.flow(name));
            let Some(flow) = check.find(name) else {
                let spec = check.scenario.flow(name);
                let what = format!("flow {name} was never dialed");
                let missing = check.fail(FailureKind::MissingDial, &pointer, what);
                missing.flow = Some(name.clone());
                missing.expected = spec.map(|spec| format!("dial {spec}"));
                continue;
            };
            let at = expected.at.as_ref().filter(|_| timed);
            check.verdicts.core_only += u64::from(!timed && expected.at.is_some());
            if let Some(problem) = at_problem(at, flow.dialed_at, check.traits.tolerance) {
                let what = format!("flow {name} was dialed {problem}");
                let late = check.fail(FailureKind::WrongTime, &pointer, what);
                (late.flow, late.at_us) = (Some(name.clone()), Some(flow.dialed_at));
            }
            let seen = flow.name.as_deref().unwrap_or("");
            if !check.traits.dns && expected.name.is_some() {
                check.verdicts.core_only += 1;
            } else if let Some(wanted) = expected.name.as_deref()
                && wanted != seen
            {
                let what = format!("the dial of flow {name} carried another name");
                let other = check.fail(FailureKind::WrongName, &pointer, what);
                (other.flow, other.at_us) = (Some(name.clone()), Some(flow.dialed_at));
                other.expected = Some(shown_name(wanted));
                other.actual = Some(shown_name(seen));
            }
        }
        if list.others_allowed {
            return;
        }
        for flow in check.run.flows.iter().filter(|flow| !flow.undialed) {
            if !named.contains(&flow.spec()) {
                let name = name_of(check.scenario, flow);
                let what = format!("{name} was dialed, which is not in the list");
                let extra = check.fail(FailureKind::UnexpectedDial, "/expect/dials", what);
                (extra.flow, extra.at_us) = (Some(name), Some(flow.dialed_at));
                extra.help = Some("add it to `dials`, or `{\"others\": \"allow\"}`".to_owned());
            }
        }
    }

    fn renewed(old: &[DialExpectation], style: Style, shown: &Shown<'_>) -> Renewed<Self> {
        let named = old.iter().any(|item| item.name.is_some());
        let name = |flow: &FlowState| flow.name.clone().unwrap_or_default();
        let listed = old.iter().filter_map(|item| {
            let flow = shown.flow(&item.flow)?;
            Some(DialExpectation {
                flow: item.flow.clone(),
                at: item.at.map(|at| renew(at, Micros(flow.dialed_at))),
                name: item.name.as_ref().map(|_| name(flow)),
            })
        });
        let others = shown.unnamed(old.iter().map(|item| item.flow.as_str()));
        let dialed = others.into_iter().filter(|flow| !flow.undialed);
        let others = dialed.map(|flow| DialExpectation {
            flow: shown.name(flow),
            at: style.time(flow.dialed_at),
            name: named.then(|| name(flow)),
        });
        (listed.collect(), others.collect())
    }

    fn line(item: &DialExpectation) -> String {
        let name = match item.name.as_deref() {
            None => String::new(),
            Some("") => ", no name".to_owned(),
            Some(name) => format!(", name {name}"),
        };
        format!("{}{name}", item.flow)
    }

    fn changes(flows: Range<usize>) -> Vec<Mutation> {
        let removed = flows.map(|index| {
            Mutation::of_run(move |run| {
                if run.flows.get(index).is_some() {
                    run.flows.remove(index);
                }
            })
        });
        let invented = Mutation::of_run(|run| {
            let end = |last| SocketAddr::from(([203, 0, 113, last], 9));
            let key = FlowKey {
                proto: Proto::Tcp,
                client: end(1),
                server: end(2),
            };
            let made = FlowState::new(FlowId::from_bits(u64::MAX), key, 1, 0);
            run.flows.push(made);
        });
        removed.chain([invented]).collect()
    }
}

/// A dial's name as reports show it.
fn shown_name(name: &str) -> String {
    let shown = if name.is_empty() { "no name" } else { name };
    shown.to_owned()
}
