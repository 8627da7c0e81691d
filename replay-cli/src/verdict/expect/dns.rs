//! `expect.dns`: every DNS record the engine reported, free in order.

use std::net::IpAddr;
use std::ops::Range;

use super::{Listed, Renewed, Shown, Style, field, renew};
use crate::base::duration::Micros;
use crate::base::wording::seconds_of as seconds;
use crate::scenario::failure::FailureKind;
use crate::scenario::{ClosedList, DnsExpectation, Expectations, Expected};
use crate::simulation::RunOutput;
use crate::simulation::mutation::Mutation;
use crate::stack::{DnsSeen, Traits};
use crate::verdict::check::{Check, at_problem};

pub(super) struct Dns;

impl Listed for Dns {
    field!(dns: DnsExpectation);

    fn is_reported(traits: &Traits) -> bool {
        traits.dns
    }

    fn check_list(list: &ClosedList<DnsExpectation>, check: &mut Check<'_>) {
        let mut unused: Vec<&(u64, DnsSeen)> = check.run.dns.iter().collect();
        for (index, expected) in list.items.iter().enumerate() {
            let is = |seen: &&(u64, DnsSeen)| is(expected, seen, Some(check.traits.tolerance));
            if let Some(at) = unused.iter().position(is) {
                unused.remove(at);
                continue;
            }
            let what = format!("no DNS record for {} came that matches", expected.name);
            let all = check.run.dns.iter();
            let near: Vec<String> = all
                .filter(|(_, seen)| seen.name == expected.name)
                .map(record)
                .collect();
            let pointer = format!("/expect/dns/{index}");
            let missing = check.fail(FailureKind::MissingDns, &pointer, what);
            missing.actual = (!near.is_empty()).then(|| near.join(" | "));
        }
        for seen in unused.into_iter().filter(|_| !list.others_allowed) {
            let what = format!("a DNS record for {}, which is not in the list", seen.1.name);
            let extra = check.fail(FailureKind::UnexpectedDns, "/expect/dns", what);
            (extra.actual, extra.at_us) = (Some(record(seen)), Some(seen.0));
        }
    }

    fn renewed(old: &[DnsExpectation], style: Style, shown: &Shown<'_>) -> Renewed<Self> {
        let lives = style.fresh || old.iter().any(|item| item.ttl.is_some());
        let mut unused: Vec<&(u64, DnsSeen)> = shown.run.dns.iter().collect();
        let mut found: Vec<Option<&(u64, DnsSeen)>> = vec![None; old.len()];
        // Records that are as expected are taken first, so that a record of the same name is not taken for another.
        for exactly in [Some(0), None] {
            for (item, found) in old.iter().zip(&mut found) {
                if found.is_none() {
                    let is = |seen: &&(u64, DnsSeen)| is(item, seen, exactly);
                    *found = unused.iter().position(is).map(|at| unused.remove(at));
                }
            }
        }
        let listed = old.iter().zip(found).filter_map(|(item, found)| {
            let (at, seen) = found?;
            Some(DnsExpectation {
                name: item.name.clone(),
                addresses: item.addresses.as_ref().map(|_| seen.addresses.clone()),
                ttl: item.ttl.map(|ttl| renew(ttl, seen.ttl)),
                at: item.at.map(|before| renew(before, Micros(*at))),
            })
        });
        let others = unused.into_iter().map(|(at, seen)| DnsExpectation {
            name: seen.name.clone(),
            addresses: Some(seen.addresses.clone()),
            ttl: lives.then_some(Expected::Exact(seen.ttl)),
            at: style.time(*at),
        });
        (listed.collect(), others.collect())
    }

    fn is_drafted(run: &RunOutput) -> bool {
        !run.dns.is_empty()
    }

    fn line(item: &DnsExpectation) -> String {
        let addresses = item.addresses.as_ref();
        let addresses = addresses.map_or_else(String::new, |all| format!(" -> {}", listed(all)));
        let ttl = item.ttl.as_ref();
        let ttl = ttl.map_or_else(String::new, |ttl| format!(" ttl {ttl}"));
        format!("{}{addresses}{ttl}", item.name)
    }

    fn changes(_: Range<usize>) -> Vec<Mutation> {
        let invented = Mutation::of_run(|run| {
            let seen = DnsSeen {
                name: "invented.example".to_owned(),
                addresses: Vec::new(),
                ttl: 1,
            };
            run.dns.push((0, seen));
        });
        let removed = Mutation::of_run(|run| {
            if !run.dns.is_empty() {
                run.dns.remove(0);
            }
        });
        vec![invented, removed]
    }
}

/// Whether a record has the name that is expected, and with a tolerance for its time, all else too.
fn is(item: &DnsExpectation, (at, seen): &(u64, DnsSeen), exactly: Option<u64>) -> bool {
    let addresses = item.addresses.as_ref();
    let name = item.name.trim_end_matches('.');
    name.eq_ignore_ascii_case(&seen.name)
        && exactly.is_none_or(|tolerance| {
            addresses.is_none_or(|wanted| *wanted == seen.addresses)
                && item.ttl.is_none_or(|ttl| ttl.matches(&seen.ttl))
                && at_problem(item.at.as_ref(), *at, tolerance).is_none()
        })
}

fn record((at, seen): &(u64, DnsSeen)) -> String {
    let DnsSeen {
        name,
        addresses,
        ttl,
    } = seen;
    let (at, addresses) = (seconds(*at), listed(addresses));
    format!("{at} {name} -> {addresses} ttl {ttl}")
}

fn listed(addresses: &[IpAddr]) -> String {
    let all: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    all.join(", ")
}
