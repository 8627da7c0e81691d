//! The closed lists and the streams, renewed: what was listed keeps its place and its fields, what is new comes after it.

use std::collections::BTreeSet;

use engine::{By, Close};

use super::values::renew;
use crate::base::duration::Micros;
use crate::scenario::flow::flow_spec;
use crate::scenario::{
    CloseExpectation, ClosedList, DialExpectation, DnsExpectation, Expected, FlowSpec,
    HalfCloseExpectation, How, Named, Scenario, Side, StreamExpectation, StreamPair, True,
};
use crate::simulation::RunOutput;
use crate::simulation::flow::FlowState;
use crate::simulation::tape::Tape;
use crate::stack::DnsSeen;
use crate::verdict::check::name_of;

/// A scenario's flows, and what became of them.
pub(crate) struct Lists<'a> {
    /// The scenario as it was run: twins name the flows of their own family alike.
    pub(crate) scenario: &'a Scenario,
    pub(crate) run: &'a RunOutput,
}

impl<'a> Lists<'a> {
    /// The dial that a name means, if it was made.
    fn flow(&self, name: &str) -> Option<&'a FlowState> {
        let spec = self.scenario.flow(name)?;
        self.run.flows.iter().find(|flow| spec_of(flow) == spec)
    }

    /// Flows that no element of a list names.
    fn unnamed<T>(&self, items: &[T], name: impl Fn(&T) -> &str) -> Vec<&'a FlowState> {
        let names = items.iter().map(name);
        let named: BTreeSet<FlowSpec> = names.filter_map(|name| self.scenario.flow(name)).collect();
        let flows = self.run.flows.iter();
        flows
            .filter(|flow| !named.contains(&spec_of(flow)))
            .collect()
    }

    pub(crate) fn dials(
        &self,
        old: Option<&ClosedList<DialExpectation>>,
    ) -> ClosedList<DialExpectation> {
        let old = old.cloned().unwrap_or_default();
        let timed = old.items.iter().any(|item| item.at.is_some());
        let named = old.items.iter().any(|item| item.name.is_some());
        let name = |flow: &FlowState| flow.name.clone().unwrap_or_default();
        let mut items: Vec<_> = old
            .items
            .iter()
            .filter_map(|item| {
                let flow = self.flow(&item.flow)?;
                Some(DialExpectation {
                    flow: item.flow.clone(),
                    at: item.at.map(|at| renew(at, Micros(flow.dialed_at))),
                    name: item.name.as_ref().map(|_| name(flow)),
                })
            })
            .collect();
        if !old.others_allowed {
            let new = self.unnamed(&old.items, |item| &item.flow).into_iter();
            let dialed = new.filter(|flow| !flow.undialed);
            items.extend(dialed.map(|flow| DialExpectation {
                flow: name_of(self.scenario, flow),
                at: timed.then_some(Expected::Exact(Micros(flow.dialed_at))),
                name: named.then(|| name(flow)),
            }));
        }
        ClosedList {
            items,
            others_allowed: old.others_allowed,
        }
    }

    pub(crate) fn half_closes(
        &self,
        old: Option<&ClosedList<HalfCloseExpectation>>,
    ) -> ClosedList<HalfCloseExpectation> {
        let old = old.cloned().unwrap_or_default();
        let timed = old.items.iter().any(|item| item.at.is_some());
        let seen: Vec<(&FlowState, Side, u64)> = self
            .run
            .flows
            .iter()
            .flat_map(|flow| {
                let sides = [
                    (Side::Device, flow.half_closed_by_device),
                    (Side::Remote, flow.half_closed_by_remote),
                ];
                sides
                    .into_iter()
                    .filter_map(move |(side, at)| Some((flow, side, at?)))
            })
            .collect();
        let is = |item: &HalfCloseExpectation, (flow, side, _): &(&FlowState, Side, u64)| {
            self.scenario.flow(&item.flow) == Some(spec_of(flow))
                && item.by.is_none_or(|by| by == *side)
        };
        let mut items: Vec<_> = old
            .items
            .iter()
            .filter_map(|item| {
                let (.., at) = seen.iter().find(|seen| is(item, seen))?;
                Some(HalfCloseExpectation {
                    at: item.at.map(|before| renew(before, Micros(*at))),
                    ..item.clone()
                })
            })
            .collect();
        if !old.others_allowed {
            let new = seen
                .iter()
                .filter(|seen| !old.items.iter().any(|item| is(item, seen)));
            items.extend(new.map(|(flow, side, at)| HalfCloseExpectation {
                flow: name_of(self.scenario, flow),
                by: Some(*side),
                at: timed.then_some(Expected::Exact(Micros(*at))),
            }));
        }
        ClosedList {
            items,
            others_allowed: old.others_allowed,
        }
    }

    pub(crate) fn closes(
        &self,
        old: Option<&ClosedList<CloseExpectation>>,
    ) -> ClosedList<CloseExpectation> {
        let fresh = old.is_none();
        let old = old.cloned().unwrap_or_default();
        let timed = old.items.iter().any(|item| item.at.is_some());
        let mut items: Vec<_> = old
            .items
            .iter()
            .filter_map(|item| {
                let flow = self.flow(&item.flow)?;
                Some(match flow.closed {
                    None => still_open(item.flow.clone()),
                    Some(closed) if item.is_open() => ended(item.flow.clone(), closed, timed),
                    Some((at, close)) => CloseExpectation {
                        flow: item.flow.clone(),
                        by: item.by.map(|_| side(close.by)),
                        how: item.how.and_then(|_| how(close)),
                        at: item.at.map(|before| renew(before, Micros(at))),
                        open: None,
                    },
                })
            })
            .collect();
        if !old.others_allowed {
            let new = self.unnamed(&old.items, |item| &item.flow).into_iter();
            items.extend(new.filter_map(|flow| {
                let name = name_of(self.scenario, flow);
                match flow.closed {
                    Some(closed) => Some(ended(name, closed, timed)),
                    // That a flow is open need not be said, and is said where nothing was before.
                    None => (fresh && !flow.undialed).then(|| still_open(name)),
                }
            }));
        }
        ClosedList {
            items,
            others_allowed: old.others_allowed,
        }
    }

    pub(crate) fn dns(
        &self,
        old: Option<&ClosedList<DnsExpectation>>,
    ) -> ClosedList<DnsExpectation> {
        let fresh = old.is_none();
        let old = old.cloned().unwrap_or_default();
        let lives = fresh || old.items.iter().any(|item| item.ttl.is_some());
        let timed = old.items.iter().any(|item| item.at.is_some());
        let mut unused: Vec<&(u64, DnsSeen)> = self.run.dns.iter().collect();
        let mut found: Vec<Option<&(u64, DnsSeen)>> = vec![None; old.items.len()];
        // Records that are as expected are taken first, so that a record of the same name is not taken for another.
        for exactly in [true, false] {
            for (item, found) in old.items.iter().zip(&mut found) {
                if found.is_none() {
                    let is = |seen: &&(u64, DnsSeen)| is_record(item, seen, exactly);
                    *found = unused.iter().position(is).map(|at| unused.remove(at));
                }
            }
        }
        let items = old.items.iter().zip(found).filter_map(|(item, found)| {
            let (at, seen) = found?;
            Some(DnsExpectation {
                name: item.name.clone(),
                addresses: item.addresses.as_ref().map(|_| seen.addresses.clone()),
                ttl: item.ttl.map(|ttl| renew(ttl, seen.ttl)),
                at: item.at.map(|before| renew(before, Micros(*at))),
            })
        });
        let mut items: Vec<_> = items.collect();
        if !old.others_allowed {
            items.extend(unused.into_iter().map(|(at, seen)| DnsExpectation {
                name: seen.name.clone(),
                addresses: Some(seen.addresses.clone()),
                ttl: lives.then_some(Expected::Exact(seen.ttl)),
                at: timed.then_some(Expected::Exact(Micros(*at))),
            }));
        }
        ClosedList {
            items,
            others_allowed: old.others_allowed,
        }
    }

    /// The streams that were written; without any, both of every flow over which an octet went.
    pub(crate) fn streams(&self, old: &Named<StreamPair>) -> Named<StreamPair> {
        if old.is_empty() {
            let flows = self.run.flows.iter();
            let spoken = flows.filter(|flow| flow.upstream.len() > 0 || flow.down.bytes.len() > 0);
            return spoken
                .map(|flow| {
                    let whole = |bytes: &Tape| {
                        Some(StreamExpectation {
                            bytes: Expected::Exact(bytes.len()),
                            sha256: bytes.sha256(),
                        })
                    };
                    let pair = StreamPair {
                        upstream: whole(&flow.upstream),
                        downstream: whole(&flow.down.bytes),
                    };
                    (name_of(self.scenario, flow), pair)
                })
                .collect();
        }
        let renewed = old.iter().filter_map(|(name, pair)| {
            let flow = self.flow(name)?;
            let pair = StreamPair {
                upstream: pair
                    .upstream
                    .as_ref()
                    .map(|one| stream(one, &flow.upstream)),
                downstream: pair
                    .downstream
                    .as_ref()
                    .map(|one| stream(one, &flow.down.bytes)),
            };
            Some((name.to_owned(), pair))
        });
        renewed.collect()
    }
}

fn stream(old: &StreamExpectation, bytes: &Tape) -> StreamExpectation {
    StreamExpectation {
        bytes: renew(old.bytes, bytes.len()),
        sha256: old.sha256.as_ref().and_then(|_| bytes.sha256()),
    }
}

fn is_record(item: &DnsExpectation, (at, seen): &(u64, DnsSeen), exactly: bool) -> bool {
    let addresses = item.addresses.as_ref();
    let name = item.name.trim_end_matches('.');
    name.eq_ignore_ascii_case(&seen.name)
        && (!exactly
            || (addresses.is_none_or(|wanted| *wanted == seen.addresses)
                && item.ttl.is_none_or(|ttl| ttl.matches(&seen.ttl))
                && item.at.is_none_or(|time| time.matches(&Micros(*at)))))
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

fn ended(flow: String, (at, close): (u64, Close), timed: bool) -> CloseExpectation {
    CloseExpectation {
        flow,
        by: Some(side(close.by)),
        how: how(close),
        at: timed.then_some(Expected::Exact(Micros(at))),
        open: None,
    }
}

fn spec_of(flow: &FlowState) -> FlowSpec {
    flow_spec(&flow.key, flow.occurrence)
}

fn side(by: By) -> Side {
    match by {
        By::Device => Side::Device,
        By::Remote => Side::Remote,
        By::Engine => Side::Engine,
    }
}

/// The engine's word for an ending is the scenario's.
fn how(close: Close) -> Option<How> {
    serde_json::from_value(close.how.label().into()).ok()
}
