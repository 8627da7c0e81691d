//! The closed lists: dials, half-closes, closes, DNS records. Order is free across flows.

use std::collections::BTreeSet;

use engine::{By, Close};

use super::{Check, at_problem, name_of};
use crate::base::wording::seconds_of as seconds;
use crate::scenario::failure::FailureKind;
use crate::scenario::flow::flow_spec;
use crate::scenario::{CloseExpectation, FlowSpec, Side};
use crate::simulation::flow::FlowState;

impl<'a> Check<'a> {
    fn find(&self, name: &str) -> Option<&'a FlowState> {
        let spec = self.scenario.flow(name)?;
        self.run
            .flows
            .iter()
            .find(|flow| flow_spec(&flow.key, flow.occurrence) == spec)
    }

    pub(crate) fn dials(&mut self) {
        let Some(list) = &self.scenario.expect.dials else {
            return;
        };
        // That the dial comes first is a requirement of its own: another stack may accept before it asks.
        let first = |id: &String| id.starts_with("ENG-");
        let timed = !self.traits.foreign || self.scenario.covers.iter().any(first);
        let mut named: BTreeSet<FlowSpec> = BTreeSet::new();
        for (index, expected) in list.items.iter().enumerate() {
            self.verdicts.checks += 1;
            let pointer = format!("/expect/dials/{index}");
            self.note_time(expected.at.as_ref());
            named.extend(self.scenario.flow(&expected.flow));
            let Some(flow) = self.find(&expected.flow) else {
                let mut missing = self.failure(
                    FailureKind::MissingDial,
                    &pointer,
                    format!("flow {} was never dialed", expected.flow),
                );
                missing.flow = Some(expected.flow.clone());
                missing.expected = self
                    .scenario
                    .flow(&expected.flow)
                    .map(|spec| format!("dial {spec}"));
                self.verdicts.failures.push(missing);
                continue;
            };
            let at = expected.at.as_ref().filter(|_| timed);
            self.verdicts.core_only += u64::from(!timed && expected.at.is_some());
            if let Some(problem) = at_problem(at, flow.dialed_at, self.traits.tolerance) {
                let at = flow.dialed_at;
                let mut late = self.failure(
                    FailureKind::WrongTime,
                    &pointer,
                    format!("flow {} was dialed {problem}", expected.flow),
                );
                (late.flow, late.at_us) = (Some(expected.flow.clone()), Some(at));
                self.verdicts.failures.push(late);
            }
            let seen = flow.name.as_deref().unwrap_or("");
            if !self.traits.dns && expected.name.is_some() {
                self.verdicts.core_only += 1;
            } else if let Some(name) = expected.name.as_deref()
                && name != seen
            {
                let mut other = self.failure(
                    FailureKind::WrongName,
                    &pointer,
                    format!("the dial of flow {} carried another name", expected.flow),
                );
                other.expected = Some(shown_name(name));
                other.actual = Some(shown_name(seen));
                (other.flow, other.at_us) = (Some(expected.flow.clone()), Some(flow.dialed_at));
                self.verdicts.failures.push(other);
            }
        }
        if list.others_allowed {
            return;
        }
        self.verdicts.checks += 1;
        for flow in self.run.flows.iter().filter(|flow| !flow.undialed) {
            if !named.contains(&flow_spec(&flow.key, flow.occurrence)) {
                let name = name_of(self.scenario, flow);
                let mut extra = self.failure(
                    FailureKind::UnexpectedDial,
                    "/expect/dials",
                    format!("{name} was dialed, which is not in the list"),
                );
                (extra.flow, extra.at_us) = (Some(name), Some(flow.dialed_at));
                extra.help = Some("add it to `dials`, or `{\"others\": \"allow\"}`".to_owned());
                self.verdicts.failures.push(extra);
            }
        }
    }

    pub(crate) fn half_closes(&mut self) {
        let Some(list) = &self.scenario.expect.half_closes else {
            return;
        };
        if !self.traits.half_close {
            self.verdicts.core_only += list.items.len() as u64 + u64::from(!list.others_allowed);
            return;
        }
        let mut named: BTreeSet<(FlowSpec, Option<Side>)> = BTreeSet::new();
        for (index, expected) in list.items.iter().enumerate() {
            self.verdicts.checks += 1;
            let pointer = format!("/expect/half_closes/{index}");
            self.note_time(expected.at.as_ref());
            if let Some(spec) = self.scenario.flow(&expected.flow) {
                named.insert((spec, expected.by));
            }
            let at = self
                .find(&expected.flow)
                .and_then(|flow| match expected.by {
                    Some(Side::Device) => flow.half_closed_by_device,
                    Some(Side::Remote) => flow.half_closed_by_remote,
                    _ => flow.half_closed_by_device.or(flow.half_closed_by_remote),
                });
            let by = expected.by.map_or(String::new(), |by| format!(" by {by}"));
            match at {
                None => {
                    let what = format!("flow {} was never half-closed{by}", expected.flow);
                    let mut missing = self.failure(FailureKind::MissingHalfClose, &pointer, what);
                    missing.flow = Some(expected.flow.clone());
                    self.verdicts.failures.push(missing);
                }
                Some(at) => {
                    if let Some(problem) =
                        at_problem(expected.at.as_ref(), at, self.traits.tolerance)
                    {
                        let what = format!("flow {} was half-closed{by} {problem}", expected.flow);
                        let mut late = self.failure(FailureKind::WrongTime, &pointer, what);
                        (late.flow, late.at_us) = (Some(expected.flow.clone()), Some(at));
                        self.verdicts.failures.push(late);
                    }
                }
            }
        }
        if list.others_allowed {
            return;
        }
        self.verdicts.checks += 1;
        for flow in &self.run.flows {
            let spec = flow_spec(&flow.key, flow.occurrence);
            for (side, at) in [
                (Side::Device, flow.half_closed_by_device),
                (Side::Remote, flow.half_closed_by_remote),
            ] {
                let Some(at) = at else { continue };
                if !named.contains(&(spec, Some(side))) && !named.contains(&(spec, None)) {
                    let name = name_of(self.scenario, flow);
                    let what =
                        format!("{name} was half-closed by {side}, which is not in the list");
                    let mut extra = self.failure(
                        FailureKind::UnexpectedHalfClose,
                        "/expect/half_closes",
                        what,
                    );
                    (extra.flow, extra.at_us) = (Some(name), Some(at));
                    self.verdicts.failures.push(extra);
                }
            }
        }
    }

    pub(crate) fn closes(&mut self) {
        let Some(list) = &self.scenario.expect.closes else {
            return;
        };
        if !self.traits.close {
            self.verdicts.core_only += list.items.len() as u64 + u64::from(!list.others_allowed);
            return;
        }
        let mut named: BTreeSet<FlowSpec> = BTreeSet::new();
        for (index, expected) in list.items.iter().enumerate() {
            self.verdicts.checks += 1;
            let pointer = format!("/expect/closes/{index}");
            self.note_time(expected.at.as_ref());
            named.extend(self.scenario.flow(&expected.flow));
            self.one_close(expected, &pointer);
        }
        if list.others_allowed {
            return;
        }
        self.verdicts.checks += 1;
        for flow in &self.run.flows {
            let Some((at, close)) = flow.closed else {
                continue;
            };
            if !named.contains(&flow_spec(&flow.key, flow.occurrence)) {
                let name = name_of(self.scenario, flow);
                let what = format!("{name} was closed, which is not in the list");
                let mut extra = self.failure(FailureKind::UnexpectedClose, "/expect/closes", what);
                (extra.flow, extra.at_us, extra.actual) =
                    (Some(name), Some(at), Some(words(close)));
                self.verdicts.failures.push(extra);
            }
        }
    }

    fn one_close(&mut self, expected: &CloseExpectation, pointer: &str) {
        let Some(flow) = self.flow(&expected.flow, pointer) else {
            return;
        };
        let untold = |told: bool, asked: bool| u64::from(!told && asked);
        self.verdicts.core_only += untold(self.traits.by, expected.by.is_some())
            + untold(self.traits.how, expected.how.is_some());
        let closed = flow.closed;
        let name = Some(expected.flow.clone());
        let wanted = if expected.is_open() {
            "open".to_owned()
        } else {
            let by = expected
                .by
                .map_or_else(|| "*".to_owned(), |by| by.to_string());
            let how = expected
                .how
                .map_or_else(|| "*".to_owned(), |how| how.to_string());
            format!("by {by}, {how}")
        };
        let (kind, what, actual, at) = match (closed, expected.is_open()) {
            (None, true) => return,
            (None, false) => {
                let what = format!("flow {} is still open at the end", expected.flow);
                (
                    FailureKind::MissingClose,
                    what,
                    "open".to_owned(),
                    Some(self.run.figures.virtual_us),
                )
            }
            (Some((at, close)), open) => {
                let by = !self.traits.by || expected.by.is_none_or(|by| side(close.by) == by);
                let how = !self.traits.how
                    || expected
                        .how
                        .is_none_or(|how| how.as_str() == close.how.label());
                if open || !by || !how {
                    let what = format!("flow {} ended in another way", expected.flow);
                    (FailureKind::WrongClose, what, words(close), Some(at))
                } else if let Some(problem) =
                    at_problem(expected.at.as_ref(), at, self.traits.tolerance)
                {
                    (
                        FailureKind::WrongTime,
                        format!("flow {} was closed {problem}", expected.flow),
                        words(close),
                        Some(at),
                    )
                } else {
                    return;
                }
            }
        };
        let mut wrong = self.failure(kind, pointer, what);
        (wrong.expected, wrong.actual, wrong.flow, wrong.at_us) =
            (Some(wanted), Some(actual), name, at);
        self.verdicts.failures.push(wrong);
    }

    pub(crate) fn dns(&mut self) {
        let Some(list) = &self.scenario.expect.dns else {
            return;
        };
        if !self.traits.dns {
            self.verdicts.core_only += list.items.len() as u64 + u64::from(!list.others_allowed);
            return;
        }
        let mut used = vec![false; self.run.dns.len()];
        for (index, expected) in list.items.iter().enumerate() {
            self.verdicts.checks += 1;
            let pointer = format!("/expect/dns/{index}");
            self.note_time(expected.at.as_ref());
            let found = self.run.dns.iter().enumerate().find(|(at, (time, seen))| {
                !used.get(*at).copied().unwrap_or(true)
                    && seen
                        .name
                        .eq_ignore_ascii_case(expected.name.trim_end_matches('.'))
                    && expected
                        .addresses
                        .as_ref()
                        .is_none_or(|wanted| *wanted == seen.addresses)
                    && expected
                        .ttl
                        .as_ref()
                        .is_none_or(|ttl| ttl.matches(&seen.ttl))
                    && at_problem(expected.at.as_ref(), *time, self.traits.tolerance).is_none()
            });
            match found.map(|(at, _)| at) {
                Some(at) => {
                    if let Some(used) = used.get_mut(at) {
                        *used = true;
                    }
                }
                None => {
                    let what = format!("no DNS record for {} came that matches", expected.name);
                    let mut missing = self.failure(FailureKind::MissingDns, &pointer, what);
                    let near: Vec<String> = self
                        .run
                        .dns
                        .iter()
                        .filter(|(_, seen)| seen.name == expected.name)
                        .map(|(at, seen)| record(*at, seen))
                        .collect();
                    missing.actual = (!near.is_empty()).then(|| near.join(" | "));
                    self.verdicts.failures.push(missing);
                }
            }
        }
        if list.others_allowed {
            return;
        }
        self.verdicts.checks += 1;
        for (at, (time, seen)) in self.run.dns.iter().enumerate() {
            if !used.get(at).copied().unwrap_or(true) {
                let mut extra = self.failure(
                    FailureKind::UnexpectedDns,
                    "/expect/dns",
                    format!("a DNS record for {}, which is not in the list", seen.name),
                );
                (extra.actual, extra.at_us) = (Some(record(*time, seen)), Some(*time));
                self.verdicts.failures.push(extra);
            }
        }
    }
}

fn record(at: u64, seen: &crate::stack::DnsSeen) -> String {
    let addresses: Vec<String> = seen.addresses.iter().map(ToString::to_string).collect();
    format!(
        "{} {} -> {} ttl {}",
        seconds(at),
        seen.name,
        addresses.join(", "),
        seen.ttl
    )
}

fn words(close: Close) -> String {
    format!("by {}, {}", close.by, close.how.label())
}

fn side(by: By) -> Side {
    match by {
        By::Device => Side::Device,
        By::Remote => Side::Remote,
        By::Engine => Side::Engine,
    }
}

/// A dial's name as reports show it.
fn shown_name(name: &str) -> String {
    if name.is_empty() {
        "no name".to_owned()
    } else {
        name.to_owned()
    }
}
