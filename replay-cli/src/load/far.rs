//! The far side of the load: verifies what the device sent, sends what the device is owed, closes in its turn.

use engine::Micros;

use super::pattern::{Pattern, downstream, upstream};
use super::plan::{FlowPlan, Side};
use super::troubles::Troubles;
use super::wire;

/// What the far side saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FarTotals {
    /// Bytes of streams received, each once and at its place.
    pub received: u64,
    /// Bytes of streams that the stack took.
    pub sent: u64,
    /// Datagrams received.
    pub datagrams: u64,
}

/// The far ends of all flows, each by the number of its flow.
#[derive(Debug, Default)]
pub struct Far {
    flows: Vec<FarFlow>,
    totals: FarTotals,
    troubles: Troubles,
}

#[derive(Clone, Copy, Debug, Default)]
struct FarFlow {
    plan: FlowPlan,
    got: u64,
    sent: u64,
    device_ended: bool,
    ended: bool,
    /// Since when its app reads, and how much it has read since then.
    reads_since: Micros,
    read: u64,
}

impl FarFlow {
    /// Bytes that the device has asked for so far.
    fn owed(&self) -> u64 {
        let plan = &self.plan;
        if plan.held {
            return 0;
        }
        if plan.turns < 2 || plan.up == 0 {
            return plan.down;
        }
        // The most turns of which every byte has arrived: `share` rounds down.
        let turns = (u128::from(self.got + 1) * u128::from(plan.turns) - 1) / u128::from(plan.up);
        plan.share(plan.down, u32::try_from(turns).unwrap_or(u32::MAX))
    }
}

impl Far {
    /// A flow was dialed: its far end begins afresh.
    pub fn open(&mut self, number: u64, plan: FlowPlan) {
        self.open_at(Micros(0), number, plan);
    }

    /// As [`Far::open`], at a time from which on an app reads that reads slowly.
    pub fn open_at(&mut self, now: Micros, number: u64, plan: FlowPlan) {
        let fresh = FarFlow {
            plan,
            reads_since: now.max(plan.remote_stalls_until),
            ..FarFlow::default()
        };
        let at = number as usize;
        if self.flows.len() <= at {
            self.flows.resize(at + 1, fresh);
        }
        if let Some(flow) = self.flows.get_mut(at) {
            *flow = fresh;
        }
    }

    /// Bytes from the device.
    pub fn receive(&mut self, pattern: &Pattern, number: u64, bytes: &[u8]) {
        let Some(flow) = self.flows.get_mut(number as usize) else {
            return;
        };
        self.totals.received += bytes.len() as u64;
        let mut at = flow.got;
        for part in bytes.chunks(32_768) {
            if !pattern.holds(upstream(number), at, part) {
                self.troubles.add(|| {
                    format!("flow {number}: bytes from {at} on are not what the device sent")
                });
            }
            at += part.len() as u64;
        }
        flow.got = at;
    }

    /// How many of `waiting` bytes a far side reads now; if not all, it reads on at the time that comes with it.
    pub fn reads(&mut self, now: Micros, number: u64, waiting: usize) -> (usize, Option<Micros>) {
        let Some(flow) = self.flows.get_mut(number as usize) else {
            return (waiting, None);
        };
        if now < flow.plan.remote_stalls_until {
            return (0, Some(flow.plan.remote_stalls_until));
        }
        let rate = flow.plan.remote_reads;
        if rate == 0 {
            return (waiting, None);
        }
        let micros = u128::from(now.0.saturating_sub(flow.reads_since.0));
        let may = u64::try_from(micros * u128::from(rate) / 1_000_000).unwrap_or(u64::MAX);
        // It reads in steps worth a wake: some hundredth of a second.
        let count = may.saturating_sub(flow.read).min(waiting as u64);
        flow.read += count;
        let left = waiting as u64 - count;
        let step = (rate / 100).clamp(1, 64 << 10).min(left);
        let due = u128::from(flow.read + step) * 1_000_000 / u128::from(rate) + 1;
        let due = u64::try_from(due).unwrap_or(u64::MAX);
        let due = flow.reads_since.0.saturating_add(due).max(now.0 + 1);
        (count as usize, (left > 0).then_some(Micros(due)))
    }

    /// A datagram from the device, which is verified.
    pub fn check_datagram(&mut self, pattern: &Pattern, payload: &[u8]) {
        self.totals.datagrams += 1;
        if !wire::is_datagram(pattern, payload) {
            let len = payload.len();
            self.troubles
                .add(|| format!("a datagram of {len} bytes is not what the device sent"));
        }
    }

    /// Both sides of every flow may send from now on.
    pub fn release(&mut self) {
        for flow in &mut self.flows {
            flow.plan.held = false;
        }
    }

    /// Memory for so many flows is taken now.
    pub fn reserve(&mut self, flows: usize) {
        self.flows.reserve(flows.saturating_sub(self.flows.len()));
    }

    /// The device's stream has ended.
    pub fn receive_end(&mut self, number: u64) {
        if let Some(flow) = self.flows.get_mut(number as usize) {
            flow.device_ended = true;
            let (got, all) = (flow.got, flow.plan.up);
            if got != all {
                self.troubles
                    .add(|| format!("flow {number} ended after {got} of {all} bytes"));
            }
        }
    }

    /// The next bytes toward the device, at most `most`.
    #[must_use]
    pub fn next<'a>(&self, pattern: &'a Pattern, number: u64, most: usize) -> &'a [u8] {
        let Some(flow) = self.flows.get(number as usize) else {
            return &[];
        };
        let left = flow.owed().saturating_sub(flow.sent);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        pattern.slice(downstream(number), flow.sent, left.min(most))
    }

    /// So many of the bytes were taken.
    pub fn sent(&mut self, number: u64, count: usize) {
        if let Some(flow) = self.flows.get_mut(number as usize) {
            flow.sent += count as u64;
            self.totals.sent += count as u64;
        }
    }

    /// Whether the far side ends its stream now; once `true`, not again.
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

    /// What it saw in all.
    #[must_use]
    pub fn totals(&self) -> FarTotals {
        self.totals
    }

    /// What was wrong, at most twenty of it.
    #[must_use]
    pub fn troubles(&self) -> &[String] {
        self.troubles.all()
    }
}
