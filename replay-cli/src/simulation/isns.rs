//! The device's initial sequence numbers: what the SYNs of a scenario's lines say, or a number that is always the same.

use std::collections::BTreeMap;

use engine::FlowKey;

use crate::notation::{Action, Body, Line, Num, Segment, Value, wrap};
use crate::packet::{Flags, Seq};
use crate::scenario::{FlowSpec, Scenario};
use crate::simulation::dialer::key_of;

/// The device's initial sequence number of every flow that lines may use.
#[derive(Clone, Debug, Default)]
pub(crate) struct Isns {
    /// What SYNs say, by tuple and the number of the connection on it.
    written: BTreeMap<(FlowKey, u32), Seq>,
    /// For tuples without a SYN: any number does, as long as it is always the same.
    chosen: BTreeMap<FlowKey, Seq>,
}

impl Isns {
    /// The numbers for a scenario with these lines. The device of a capture has numbers of its own.
    pub(crate) fn new(scenario: &Scenario, lines: &[(String, Line)]) -> Self {
        let mut isns = Self::default();
        if scenario.input.capture.is_some() {
            return isns;
        }
        for (index, (_, spec)) in scenario.flows.iter().enumerate() {
            if let Some(key) = key_of(spec.protocol, spec.client, spec.server) {
                let index = u32::try_from(index).unwrap_or(u32::MAX);
                let isn = Seq(0x1000_0000_u32.wrapping_add(index.wrapping_mul(0x0100_0001)));
                isns.chosen.entry(key).or_insert(isn);
            }
        }
        for (_, line) in lines {
            if let Action::Inject(segment) = &line.action
                && let Some(spec) = scenario.flow(&segment.flow)
                && let Some(key) = key_of(spec.protocol, spec.client, spec.server)
                && let Some(isn) = initial_number(segment)
            {
                isns.written.insert((key, spec.occurrence), isn);
            }
        }
        isns
    }

    /// The number of a flow: that of its own SYN, else that of an earlier connection on the tuple.
    pub(crate) fn of(&self, spec: &FlowSpec) -> Option<Seq> {
        let key = key_of(spec.protocol, spec.client, spec.server)?;
        let mut earlier = self.written.range((key, 0)..=(key, spec.occurrence));
        let written = earlier.next_back().map(|(_, isn)| *isn);
        written.or_else(|| self.chosen.get(&key).copied())
    }
}

/// The number that a SYN is given as it is on the wire.
fn initial_number(segment: &Segment) -> Option<Seq> {
    let Body::Tcp(tcp) = &segment.body else {
        return None;
    };
    let start = tcp.range.as_ref().map(|range| &range.start);
    let number = segment.overrides.iter().find_map(|one| match one.value {
        Value::Sequence(Num::Value(number)) => Some(wrap(number)),
        _ => None,
    })?;
    match start {
        Some(Num::Value(start)) if tcp.flags == Flags::SYN => {
            Some(Seq(number.wrapping_sub(wrap(*start))))
        }
        _ => None,
    }
}
