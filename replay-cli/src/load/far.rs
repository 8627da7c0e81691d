//! The far side of the load: verifies what the device sent, sends what the device is owed, closes in its turn.

use engine::Micros;

use super::client::{FlowPlan, Side};
use super::pattern::{Pattern, downstream, upstream};

/// What the far side saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FarTotals {
    /// Octets of streams received, each once and at its place.
    pub received: u64,
    /// Octets of streams that the stack took.
    pub sent: u64,
    /// Datagrams received.
    pub datagrams: u64,
}

/// The far ends of all flows, each by the number of its flow.
#[derive(Debug, Default)]
pub struct Far {
    flows: Vec<FarFlow>,
    totals: FarTotals,
    troubles: Vec<String>,
}

#[derive(Clone, Copy, Debug)]
struct FarFlow {
    plan: FlowPlan,
    got: u64,
    sent: u64,
    device_ended: bool,
    ended: bool,
}

impl Far {
    /// A flow was dialed: its far end begins afresh.
    pub fn open(&mut self, number: u64, plan: FlowPlan) {
        let fresh = FarFlow {
            plan,
            got: 0,
            sent: 0,
            device_ended: false,
            ended: false,
        };
        let at = number as usize;
        if self.flows.len() <= at {
            self.flows.resize(at + 1, fresh);
        }
        if let Some(flow) = self.flows.get_mut(at) {
            *flow = fresh;
        }
    }

    /// Octets from the device.
    pub fn hear(&mut self, pattern: &Pattern, number: u64, bytes: &[u8]) {
        let Some(flow) = self.flows.get_mut(number as usize) else {
            return;
        };
        self.totals.received += bytes.len() as u64;
        let mut at = flow.got;
        for part in bytes.chunks(32_768) {
            if !pattern.holds(upstream(number), at, part) && self.troubles.len() < 20 {
                self.troubles.push(format!(
                    "flow {number}: octets from {at} on are not what the device sent"
                ));
            }
            at += part.len() as u64;
        }
        flow.got = at;
    }

    /// A datagram from the device.
    pub fn hear_datagram(&mut self) {
        self.totals.datagrams += 1;
    }

    /// The device's stream has ended.
    pub fn hear_end(&mut self, number: u64) {
        if let Some(flow) = self.flows.get_mut(number as usize) {
            flow.device_ended = true;
            if flow.got != flow.plan.up && self.troubles.len() < 20 {
                self.troubles.push(format!(
                    "flow {number} ended after {} of {} octets",
                    flow.got, flow.plan.up
                ));
            }
        }
    }

    /// The next octets toward the device, at most `most`.
    #[must_use]
    pub fn next<'a>(&self, pattern: &'a Pattern, number: u64, most: usize) -> &'a [u8] {
        let Some(flow) = self.flows.get(number as usize) else {
            return &[];
        };
        let left = usize::try_from(flow.plan.down - flow.sent).unwrap_or(usize::MAX);
        pattern.slice(downstream(number), flow.sent, left.min(most))
    }

    /// So many of the octets were taken.
    pub fn sent(&mut self, number: u64, count: usize) {
        if let Some(flow) = self.flows.get_mut(number as usize) {
            flow.sent += count as u64;
            self.totals.sent += count as u64;
        }
    }

    /// Whether the far side ends its stream now; it says so once.
    pub fn ends_now(&mut self, number: u64) -> bool {
        let Some(flow) = self.flows.get_mut(number as usize) else {
            return false;
        };
        let all = flow.sent == flow.plan.down && flow.got == flow.plan.up;
        let turn = match flow.plan.closes_first {
            Side::Device => flow.device_ended,
            Side::Remote => !flow.plan.stays_open,
        };
        let now = all && turn && !flow.ended;
        flow.ended |= now;
        now
    }

    /// Until when the far side of this flow reads nothing.
    #[must_use]
    pub fn stalls_until(&self, number: u64) -> Micros {
        self.flows
            .get(number as usize)
            .map_or(Micros(0), |flow| flow.plan.remote_stalls_until)
    }

    /// What it saw in all.
    #[must_use]
    pub fn totals(&self) -> FarTotals {
        self.totals
    }

    /// What was wrong, at most twenty of it.
    #[must_use]
    pub fn troubles(&self) -> &[String] {
        &self.troubles
    }
}
