//! Plays a stress scenario and holds the run against its limits.

use engine::{Config, Counters};
use serde::Serialize;

use super::{Side, Stress};
use crate::heap;
use crate::load::{self, Device, FlowPlan, Session, Weather};
use crate::runner;

/// What a run did, and which limits it missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Virtual time the load took, microseconds.
    pub virtual_us: u64,
    /// Flows that carried every octet both ways.
    pub flows_served: u64,
    /// Flows that should have.
    pub flows_wanted: u64,
    /// Octets of streams that the far sides received.
    pub octets_up: u64,
    /// Octets of streams that the device received.
    pub octets_down: u64,
    /// Datagrams sent, received by far sides, and come back.
    pub datagrams: [u64; 3],
    /// Frames handed to the engine.
    pub frames_in: u64,
    /// Frames the engine emitted.
    pub frames_out: u64,
    /// Frames and datagrams dropped by the engine, for whatever reason.
    pub drops: u64,
    /// Segments sent again, by the device and by the engine.
    pub retransmissions: [u64; 2],
    /// The most heap the engine held, octets; `None` if nobody counts.
    pub peak_heap: Option<u64>,
    /// Flows open at the end.
    pub open: u64,
    /// What was missed: empty is a pass.
    pub missed: Vec<String>,
}

/// The engine's clock when a load begins.
const EPOCH: u64 = 1_000_000;

/// Plays the scenario once.
///
/// # Errors
/// A setting that the engine does not take.
pub fn run(stress: &Stress) -> Result<Outcome, String> {
    heap::reset();
    let mut session =
        Session::new(config(stress), device(stress)).map_err(|problem| problem.to_string())?;
    session.set_weather(Weather::new(
        stress.link.loss,
        stress.link.reorder,
        stress.link.seed,
    ));
    let mut groups = groups(stress);
    let sent: u64 = stress.udp.as_ref().map_or(0, |udp| udp.datagrams);
    let end = session.run_while(|session| {
        let mut left = 0;
        for group in &mut groups {
            left += group.follow(session);
        }
        let back = session.device.totals().datagrams;
        left > 0
            || !session.device.is_done()
            || (back.0 < sent || (stress.limits.no_drops && back.1 < sent))
    });
    let counters = session.engine.counters();
    let (device, far) = (session.device.totals(), session.far.totals());
    let flows_wanted = stress
        .tcp
        .iter()
        .map(|group| u64::from(group.connections.unwrap_or(group.flows)))
        .sum();
    let mut outcome = Outcome {
        virtual_us: session.now().0 - EPOCH,
        flows_served: device.served,
        flows_wanted,
        octets_up: far.received,
        octets_down: device.received,
        datagrams: [device.datagrams.0, far.datagrams, device.datagrams.1],
        frames_in: session.frames_in(),
        frames_out: counters.frames_out,
        drops: drops(&counters),
        retransmissions: [device.retransmissions, counters.tcp_retransmissions],
        peak_heap: heap::peak(),
        open: counters.tcp_flows + counters.udp_flows,
        missed: Vec::new(),
    };
    if let Err(stalled) = end {
        outcome.missed.push(stalled.to_string());
    }
    outcome.missed.extend(session.device.troubles());
    outcome
        .missed
        .extend(session.far.troubles().iter().cloned());
    hold(stress, &mut outcome);
    Ok(outcome)
}

fn drops(counters: &Counters) -> u64 {
    let frames: u64 = engine::DropReason::ALL
        .iter()
        .map(|reason| counters.dropped(*reason))
        .sum();
    // A held datagram that finds its queue full is among the frames already.
    let downward = counters
        .udp_backpressure_drops
        .saturating_sub(counters.dropped(engine::DropReason::QueueFull));
    frames + downward
}

fn hold(stress: &Stress, outcome: &mut Outcome) {
    let limits = &stress.limits;
    if outcome.flows_served != outcome.flows_wanted {
        outcome.missed.push(format!(
            "{} of {} flows carried every octet",
            outcome.flows_served, outcome.flows_wanted
        ));
    }
    if limits.no_drops && outcome.drops > 0 {
        outcome.missed.push(format!(
            "no_drops: the engine dropped {} frames or datagrams",
            outcome.drops
        ));
    }
    let [sent, _, back] = outcome.datagrams;
    if limits.no_drops && back != sent {
        outcome
            .missed
            .push(format!("no_drops: {back} of {sent} datagrams came back"));
    }
    match (limits.peak_heap, outcome.peak_heap) {
        (Some(limit), Some(peak)) if peak > limit.as_bytes() => {
            outcome.missed.push(format!(
                "peak_heap: the engine held {peak} octets, the limit is {limit}"
            ));
        }
        (Some(_), None) => outcome
            .missed
            .push("peak_heap: this program's allocator does not count".to_owned()),
        _ => {}
    }
    if let Some(limit) = limits.virtual_time
        && outcome.virtual_us > limit.as_micros()
    {
        outcome.missed.push(format!(
            "virtual_time: it took {} us, the limit is {limit}",
            outcome.virtual_us
        ));
    }
}

fn config(stress: &Stress) -> Config {
    let mut config = runner::config(&stress.engine);
    let tcp: usize = stress.tcp.iter().map(|group| group.flows as usize).sum();
    if stress.engine.tcp_limit.is_none() {
        config.tcp_limit = config.tcp_limit.max(tcp);
    }
    if let Some(udp) = &stress.udp
        && stress.engine.udp_limit.is_none()
    {
        config.udp_limit = config.udp_limit.max(udp.flows as usize);
    }
    config
}

fn device(stress: &Stress) -> Device {
    let mut device = Device::new(runner::config(&stress.engine).mtu);
    for group in &stress.tcp {
        let plan = FlowPlan {
            closes_first: match group.closes_first {
                Side::Device => load::Side::Device,
                Side::Remote => load::Side::Remote,
            },
            stays_open: group.stays_open,
            device_stalls_until: stall(group.device_stalls_until.as_micros()),
            remote_stalls_until: stall(group.remote_stalls_until.as_micros()),
            ..FlowPlan::new(group.up.as_bytes(), group.down.as_bytes())
        };
        let every = group.every.as_micros();
        device.add((0..u64::from(group.flows)).map(|at| FlowPlan {
            start: if every == 0 {
                engine::Micros(0)
            } else {
                engine::Micros(EPOCH + every * at)
            },
            ..plan
        }));
    }
    if let Some(udp) = &stress.udp {
        device.add_udp(udp.flows as usize, udp.datagrams, udp.size as usize);
    }
    device
}

fn stall(until: u64) -> engine::Micros {
    engine::Micros(if until == 0 { 0 } else { EPOCH + until })
}

/// A group whose flows are followed by others.
struct Group {
    first: u32,
    flows: u32,
    /// Connections still to be begun.
    left: u32,
}

impl Group {
    /// Begins a new connection for each flow that has closed, while any is left; says how many are.
    fn follow(&mut self, session: &mut Session) -> u32 {
        if self.left > 0 {
            for number in self.first..self.first + self.flows {
                if self.left > 0 && session.device.is_closed(number) {
                    session.device.reopen(number, session.now());
                    self.left -= 1;
                }
            }
        }
        self.left
    }
}

fn groups(stress: &Stress) -> Vec<Group> {
    let mut first = 0;
    stress
        .tcp
        .iter()
        .map(|group| {
            let begin = first;
            first += group.flows;
            Group {
                first: begin,
                flows: group.flows,
                left: group.connections.unwrap_or(group.flows) - group.flows,
            }
        })
        .collect()
}
