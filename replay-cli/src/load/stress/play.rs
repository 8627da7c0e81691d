//! Plays a stress scenario, by one way or the other.

use std::time::Instant;

use engine_driver::Histogram;

use super::limits::{drops, hold};
use super::{Outcome, Stress, path, plan};
use crate::base::heap;
use crate::load::{Device, Session, Weather};

/// Against what a scenario is played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// The engine as a library, in virtual time: counts, bytes, heap, order.
    #[default]
    Core,
    /// The driver's loop on a thread of its own, with a dialer and far sides in memory: what the engine and driver cost.
    Memory,
    /// The same with real sockets on the loopback interface: the whole path.
    Sockets,
}

/// What watches a run.
pub trait Watch {
    /// Whether the run is to end here.
    fn stops(&self) -> bool {
        false
    }

    /// How much of the load has been carried, from 0 to 1; called some ten times a second.
    fn goes_on(&mut self, share: f64) {
        let _ = share;
    }

    /// May look at how far the run is, when it goes on and once at its end; to look costs a pass over all flows.
    fn sees(&mut self, look: &dyn Fn() -> Seen) {
        let _ = look;
    }
}

/// How far a run is. Everything is counted from its beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Real time, microseconds.
    pub at_us: u64,
    /// Virtual time, microseconds; `None` against the driver.
    pub virtual_us: Option<u64>,
    /// Bytes of streams that the far sides received, and the device.
    pub bytes: [u64; 2],
    /// Datagrams that the far sides received.
    pub datagrams: u64,
    /// Frames in and out together.
    pub frames: u64,
    /// Bytes of heap that the engine holds now, against the driver with ring and inboxes; `None` if nobody counts.
    pub heap: Option<u64>,
    /// Resident memory that the process has now beyond what it had before the first flow, bytes; against the driver.
    pub resident: Option<u64>,
    /// How late turns came; against the driver.
    pub lag: Option<Histogram>,
}

/// Watches nothing.
impl Watch for () {}

/// Plays the scenario once.
///
/// # Errors
/// A setting that the engine does not take; a way that this system does not have.
pub fn run(stress: &Stress, way: Way, watch: &mut dyn Watch) -> Result<Outcome, String> {
    match way {
        Way::Core => core(stress, watch),
        Way::Memory | Way::Sockets if stress.path.is_some() => {
            Err("a path is passed in virtual time only: leave out --via driver".to_owned())
        }
        #[cfg(target_os = "linux")]
        Way::Memory | Way::Sockets => super::driven::run(stress, way, watch),
        #[cfg(not(target_os = "linux"))]
        Way::Memory | Way::Sockets => Err("the driver is loaded on Linux only".to_owned()),
    }
}

/// Turns between two looks at who watches.
const LOOK: u32 = 1024;

fn core(stress: &Stress, watch: &mut dyn Watch) -> Result<Outcome, String> {
    heap::reset();
    let began = Instant::now();
    let device = plan::device(stress, None);
    let mut session =
        Session::new(plan::config(stress), device).map_err(|problem| problem.to_string())?;
    session.set_weather(Weather::new(
        stress.link.loss,
        stress.link.reorder,
        stress.link.seed,
    ));
    if let Some(plan) = &stress.path {
        session.set_path(plan.path());
    }
    let mut groups = groups(stress);
    let load = Load::of(stress);
    let (mut turns, mut interrupted) = (0_u32, false);
    let end = session.run_while(|session| {
        turns = turns.wrapping_add(1);
        if turns % LOOK == 0 {
            interrupted = watch.stops();
            let far = session.far.totals();
            watch.goes_on(load.share(far.received, far.sent, far.datagrams));
            watch.sees(&|| seen(session, began));
        }
        if session.device.all_connected() {
            session.release();
        }
        let (now, mut left) = (session.now(), 0);
        for group in &mut groups {
            left += group.follow(&mut session.device, now, |_, _| {});
        }
        !interrupted && (left > 0 || !session.device.is_done())
    });
    watch.sees(&|| seen(&session, began));
    let counters = session.engine.counters();
    let (device, far) = (session.device.totals(), session.far.totals());
    let mut outcome = Outcome {
        virtual_us: Some(session.now().0 - plan::EPOCH),
        flows_served: device.served,
        flows_wanted: load.connections,
        octets_up: far.received,
        octets_down: device.received,
        datagrams: [device.datagrams.0, far.datagrams, device.datagrams.1],
        frames_in: session.frames_in(),
        frames_out: counters.frames_out,
        drops: drops(&counters),
        retransmissions: [device.retransmissions, counters.tcp_retransmissions],
        peak_heap: heap::peak(),
        open: counters.tcp_flows + counters.udp_flows,
        interrupted,
        path: session.path_totals().map(|totals| {
            let took = session.arrived().map(|at| at.0.saturating_sub(plan::EPOCH));
            path::outcome(stress, totals, [far.received, device.received], took)
        }),
        ..Outcome::default()
    };
    if let Err(stalled) = end {
        outcome.missed.push(stalled.to_string());
    }
    outcome.missed.extend(session.device.troubles());
    outcome.missed.extend_from_slice(session.far.troubles());
    if !interrupted {
        hold(stress, &mut outcome);
    }
    Ok(outcome)
}

/// How far a run in virtual time is.
fn seen(session: &Session, began: Instant) -> Seen {
    let far = session.far.totals();
    Seen {
        at_us: u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX),
        virtual_us: Some(session.now().0 - plan::EPOCH),
        bytes: [far.received, session.device.totals().received],
        datagrams: far.datagrams,
        frames: session.frames_in() + session.engine.counters().frames_out,
        heap: heap::held(),
        ..Seen::default()
    }
}

/// How much there is to carry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) connections: u64,
    /// Bytes of all streams, each way.
    pub(crate) bytes: [u64; 2],
    datagrams: u64,
}

impl Load {
    pub(crate) fn of(stress: &Stress) -> Self {
        let mut load = Self {
            connections: 0,
            bytes: [0, 0],
            datagrams: stress.udp.as_ref().map_or(0, |udp| udp.datagrams),
        };
        for group in &stress.tcp {
            let connections = u64::from(group.connections.unwrap_or(group.flows));
            load.connections += connections;
            load.bytes[0] += connections * group.up.as_bytes();
            load.bytes[1] += connections * group.down.as_bytes();
        }
        load
    }

    /// Which share of it has been carried, when far sides have received and sent so much.
    pub(crate) fn share(&self, received: u64, sent: u64, datagrams: u64) -> f64 {
        // A datagram counts as much as 1,000 bytes.
        let done = received + sent + 1000 * datagrams;
        let all = self.bytes[0] + self.bytes[1] + 1000 * self.datagrams;
        done as f64 / all.max(1) as f64
    }
}

/// A group whose flows are followed by others.
pub(crate) struct Group {
    first: u32,
    flows: u32,
    /// Connections still to be begun.
    left: u32,
}

impl Group {
    /// Begins a new connection for each flow that has closed, while any is left, and calls `begun` with its port. How many
    /// are left.
    pub(crate) fn follow(
        &mut self,
        device: &mut Device,
        now: engine::Micros,
        mut begun: impl FnMut(u32, u16),
    ) -> u32 {
        if self.left > 0 {
            for number in self.first..self.first + self.flows {
                if self.left > 0 && device.is_closed(number) {
                    self.left -= 1;
                    if let Some(port) = device.reopen(number, now) {
                        begun(number, port);
                    }
                }
            }
        }
        self.left
    }

    /// Whether every connection has begun.
    #[cfg(target_os = "linux")]
    pub(crate) fn is_done(&self) -> bool {
        self.left == 0
    }
}

pub(crate) fn groups(stress: &Stress) -> Vec<Group> {
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
