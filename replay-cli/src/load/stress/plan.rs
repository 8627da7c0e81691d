//! From a stress scenario to the engine's settings, the driver's limits and the device's flows.

use engine::{Config, Micros};
use engine_driver::Limits;

use super::{Stress, TcpGroup};
use crate::load::{DatagramPlan, Device, FlowPlan};
use crate::scenario::Preset;

/// The device's clock when a load begins.
pub(crate) const EPOCH: u64 = 1_000_000;

/// The engine's settings: flow limits and a preset's budget grow to what the load needs, unless the scenario sets them.
pub(crate) fn config(stress: &Stress) -> Config {
    let mut config = stress.engine.config();
    let (tcp, udp) = (stress.tcp_flows(), stress.udp_flows());
    if stress.engine.get("tcp_limit").is_none() {
        config.tcp_limit = config.tcp_limit.max(tcp);
    }
    if stress.engine.get("udp_limit").is_none() {
        config.udp_limit = config.udp_limit.max(udp);
    }
    if stress.engine.get("byte_budget").is_none() {
        let each = config.rx_ring() + config.tx_ring() + 2048;
        let needed = tcp.saturating_mul(each) + udp.saturating_mul(4096);
        config.byte_budget = config.byte_budget.map(|budget| budget.max(needed));
    }
    config
}

/// The driver's limits, as the preset has them.
pub(crate) fn driver_limits(stress: &Stress) -> Limits {
    match stress.engine.preset {
        None => Limits::default(),
        Some(Preset::ManyFlows) => Limits::many_flows(),
        Some(Preset::Phone) => Limits::phone(),
        Some(Preset::Desktop) => Limits::desktop(),
    }
}

/// The device with all flows, none of which has begun.
pub(crate) fn device(stress: &Stress, patience: Option<u64>) -> Device {
    let mut device = Device::new(stress.engine.config().mtu);
    if let Some(micros) = patience {
        device.set_patience(micros);
    }
    if let Some(path) = &stress.path {
        device.set_path(path.ack_delay());
    }
    for group in &stress.tcp {
        device.add((0..group.flows).map(|at| flow(group, at)));
    }
    if let Some(udp) = &stress.udp {
        let plan = DatagramPlan::new(udp.flows as usize, udp.datagrams, udp.size as usize);
        device.add_datagrams(DatagramPlan {
            replies: udp.replies.unwrap_or(plan.replies),
            per_second: udp.per_second.unwrap_or(plan.per_second),
            in_flight: udp.in_flight.map_or(plan.in_flight, u64::from),
            ..plan
        });
    }
    device
}

/// The plan of the flow at this place of its group.
fn flow(group: &TcpGroup, at: u32) -> FlowPlan {
    FlowPlan {
        start: start(group, at),
        closes_first: group.closes_first,
        stays_open: group.stays_open,
        device_stalls_until: stall(group.device_stalls_until.as_micros()),
        remote_stalls_until: stall(group.remote_stalls_until.as_micros()),
        segment: group.segment.unwrap_or(0),
        turns: group.turns.unwrap_or(1),
        think: Micros(group.think.as_micros()),
        device_reads: group.device_reads.map_or(0, |rate| rate.as_bytes()),
        remote_reads: group.remote_reads.map_or(0, |rate| rate.as_bytes()),
        held: group.waits_for_all,
        ..FlowPlan::new(group.up.as_bytes(), group.down.as_bytes())
    }
}

fn start(group: &TcpGroup, at: u32) -> Micros {
    let (every, jitter) = (group.every.as_micros(), group.jitter.as_micros());
    if every == 0 && jitter == 0 {
        return Micros(0);
    }
    let turn = u64::from(at / group.together.unwrap_or(1).max(1));
    // A multiplicative hash (Knuth): spread evenly, the same at every run.
    let spread = u64::from(at.wrapping_mul(2_654_435_761)) * jitter / (u64::from(u32::MAX) + 1);
    Micros(
        EPOCH
            .saturating_add(every.saturating_mul(turn))
            .saturating_add(spread),
    )
}

fn stall(until: u64) -> Micros {
    Micros(if until == 0 {
        0
    } else {
        EPOCH.saturating_add(until)
    })
}
