//! A run by another way in, held against the same scenario's run through the core.
//!
//! Equal must be: dials and their names, streams and datagrams, half-closes, closes, DNS records, the counters marked
//! semantic; of TCP what reached the device as sequence space, its FIN and its reset. Times may be off by
//! [`TOLERANCE_US`]. How bytes are cut into segments, and how often they are acknowledged, may differ.

use std::collections::BTreeMap;

use engine::{Counters, FlowKey, Mark};

use crate::base::wording::seconds_of as seconds;
use crate::scenario::failure::{Failure, FailureKind};
use crate::simulation::RunOutput;
use crate::simulation::flow::FlowState;
use crate::simulation::tape::Tape;
use crate::simulation::timeline::failure_at;
use crate::stack::TOLERANCE_US;

/// When something happened to a flow, in microseconds.
type Time = fn(&FlowState) -> Option<u64>;

/// What differs, and how many things were compared.
pub(crate) fn differences(core: &RunOutput, other: &RunOutput) -> (Vec<Failure>, u64) {
    let mut versus = Versus::default();
    versus.flows(&core.flows, &other.flows);
    versus.dns(core, other);
    versus.counters(core, other);
    (versus.failures, versus.checks)
}

#[derive(Debug, Default)]
struct Versus {
    failures: Vec<Failure>,
    checks: u64,
}

impl Versus {
    fn flows(&mut self, core: &[FlowState], other: &[FlowState]) {
        let core = by_dial(core);
        let mut other = by_dial(other);
        for ((key, occurrence), wanted) in &core {
            let Some(flow) = other.remove(&(*key, *occurrence)) else {
                self.differs(Some(*key), wanted.dialed_at, "dial", "one", "none");
                continue;
            };
            self.flow(*key, wanted, flow);
        }
        for ((key, _), flow) in other {
            self.differs(Some(key), flow.dialed_at, "dial", "none", "one");
        }
    }

    fn flow(&mut self, key: FlowKey, core: &FlowState, other: &FlowState) {
        let at = core.dialed_at;
        self.equal(key, at, "name of the dial", &core.name, &other.name);
        self.time(key, "dial", Some(core.dialed_at), Some(other.dialed_at));
        self.bytes(key, "stream to the dialer", &core.upstream, &other.upstream);
        let (down, others) = (&core.down.bytes, &other.down.bytes);
        self.bytes(key, "stream to the device", down, others);
        let datagrams = |flow: &FlowState| {
            (
                flow.datagram_lens.clone(),
                flow.datagram_tos.clone(),
                flow.upstream_datagrams,
                flow.down.datagrams,
            )
        };
        self.equal(key, at, "datagrams", &datagrams(core), &datagrams(other));
        let sequence = |flow: &FlowState| (flow.down.emitted, flow.down.fin, flow.down.reset);
        let what = "sequence space, FIN and reset to the device";
        self.equal(key, at, what, &sequence(core), &sequence(other));
        let times: [(&str, Time); 3] = [
            ("half-close by the device", |flow| {
                flow.half_closed_by_device
            }),
            ("half-close by the remote", |flow| {
                flow.half_closed_by_remote
            }),
            ("close", |flow| flow.closed.map(|(at, _)| at)),
        ];
        for (what, time) in times {
            self.time(key, what, time(core), time(other));
        }
        let how = |flow: &FlowState| flow.closed.map(|(_, close)| close);
        self.equal(key, at, "end", &how(core), &how(other));
    }

    fn dns(&mut self, core: &RunOutput, other: &RunOutput) {
        let records = |run: &RunOutput| -> Vec<String> {
            let one = |(_, seen): &(u64, _)| format!("{seen:?}");
            run.dns.iter().map(one).collect()
        };
        self.checks += 1;
        let (wanted, got) = (records(core), records(other));
        if wanted != got {
            let at = core.dns.first().map_or(0, |(at, _)| *at);
            self.differs(None, at, "DNS records", &wanted.join(" "), &got.join(" "));
        }
        for ((wanted, record), (got, _)) in core.dns.iter().zip(&other.dns) {
            self.checks += 1;
            if wanted.abs_diff(*got) > TOLERANCE_US {
                let what = format!("time of the DNS record for {}", record.name);
                self.differs(None, *wanted, &what, &seconds(*wanted), &seconds(*got));
            }
        }
    }

    fn counters(&mut self, core: &RunOutput, other: &RunOutput) {
        let (Some(wanted), Some(got)) = (core.named_counters(), other.named_counters()) else {
            return;
        };
        let semantic = Counters::describe().filter(|info| info.mark == Mark::Semantic);
        for info in semantic {
            self.checks += 1;
            let (wanted, got) = (wanted.get(info.name), got.get(info.name));
            if let (Some(wanted), Some(got)) = (wanted, got)
                && wanted != got
            {
                let what = format!("counter {}", info.name);
                let end = core.figures.virtual_us;
                self.differs(None, end, &what, &wanted.to_string(), &got.to_string());
            }
        }
    }

    fn equal<T: PartialEq + std::fmt::Debug>(
        &mut self,
        key: FlowKey,
        at: u64,
        what: &str,
        core: &T,
        other: &T,
    ) {
        self.checks += 1;
        if core != other {
            let (core, other) = (format!("{core:?}"), format!("{other:?}"));
            self.differs(Some(key), at, what, &core, &other);
        }
    }

    fn bytes(&mut self, key: FlowKey, what: &str, core: &Tape, other: &Tape) {
        self.checks += 1;
        let agree = core.agree(other);
        if core.len() != other.len() || agree != Some(core.len()) {
            let words = |tape: &Tape| match agree {
                Some(same) => format!("{} bytes, equal up to {same}", tape.len()),
                None => {
                    let sha = tape.sha256();
                    let sha = sha.map_or_else(String::new, |sha| format!(", sha256 {sha}"));
                    format!("{} bytes{sha}", tape.len())
                }
            };
            self.differs(Some(key), 0, what, &words(core), &words(other));
            if let Some(failure) = self.failures.last_mut().filter(|_| agree.is_none()) {
                failure.payload = Some(format!("{}; core {}", other.shown(), core.shown()));
            }
        }
    }

    fn time(&mut self, key: FlowKey, what: &str, core: Option<u64>, other: Option<u64>) {
        self.checks += 1;
        let same = match (core, other) {
            (Some(core), Some(other)) => core.abs_diff(other) <= TOLERANCE_US,
            (core, other) => core == other,
        };
        if !same {
            let words = |at: Option<u64>| at.map_or_else(|| "never".to_owned(), seconds);
            let at = core.or(other).unwrap_or(0);
            self.differs(Some(key), at, what, &words(core), &words(other));
        }
    }

    fn differs(&mut self, key: Option<FlowKey>, at: u64, what: &str, core: &str, other: &str) {
        let what = format!("{what}: not as through the core");
        let mut failure = failure_at(FailureKind::DiffersFromCore, what, Some(at));
        failure.expected = Some(core.to_owned());
        failure.actual = Some(other.to_owned());
        failure.flow = key.map(|key| key.to_string());
        failure.help =
            Some("run it with --via core: what `expected` shows is what came there".to_owned());
        self.failures.push(failure);
    }
}

fn by_dial(flows: &[FlowState]) -> BTreeMap<(FlowKey, u32), &FlowState> {
    let flows = flows.iter();
    flows
        .map(|flow| ((flow.key, flow.occurrence), flow))
        .collect()
}
