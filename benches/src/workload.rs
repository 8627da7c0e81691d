//! What is run: a name, a number of flows, and what each of them carries.

use engine::{Config, Micros};
use replay::load::{Device, FlowPlan, Session, Side};

/// A workload by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// One stream from the device.
    BulkUp,
    /// One stream toward the device.
    BulkDown,
    /// Many streams from the device, a segment of each in its turn.
    ManyUp,
    /// Many streams toward the device.
    ManyDown,
    /// Short connections, 64 at a time, closed by the device.
    Churn,
    /// Short connections, 64 at a time, closed by the far side.
    ChurnRemote,
    /// Datagrams that come back.
    Udp,
    /// Flows that are opened and then carry nothing, for as long as their handshakes take.
    Idle,
}

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Frames the engine was given.
    pub frames_in: u64,
    /// Frames the engine emitted.
    pub frames_out: u64,
    /// Octets of streams and datagrams that arrived, both ways.
    pub octets: u64,
    /// Flows that carried all they should.
    pub served: u64,
}

/// Short connections in a run of churn.
const LIVES: u64 = 10_000;
/// Octets from the device, and toward it, of a short connection.
const SHORT: (u64, u64) = (200, 1000);
/// Octets of a datagram.
const DATAGRAM: usize = 512;

impl Workload {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::BulkUp,
        Self::BulkDown,
        Self::ManyUp,
        Self::ManyDown,
        Self::Churn,
        Self::ChurnRemote,
        Self::Udp,
        Self::Idle,
    ];

    /// The workload of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|workload| workload.name() == name)
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BulkUp => "bulk-up",
            Self::BulkDown => "bulk-down",
            Self::ManyUp => "many-up",
            Self::ManyDown => "many-down",
            Self::Churn => "churn",
            Self::ChurnRemote => "churn-remote",
            Self::Udp => "udp",
            Self::Idle => "idle",
        }
    }

    /// What it does, in a line.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::BulkUp => "one stream of 64 MiB from the device",
            Self::BulkDown => "one stream of 64 MiB toward the device",
            Self::ManyUp => {
                "64 MiB from the device over many streams, a segment of each in its turn"
            }
            Self::ManyDown => "64 MiB toward the device over many streams",
            Self::Churn => "10,000 short connections, 64 at a time, the device closes first",
            Self::ChurnRemote => {
                "10,000 short connections, 64 at a time, the far side closes first"
            }
            Self::Udp => "200,000 datagrams of 512 octets that come back",
            Self::Idle => "flows that are opened and then carry nothing",
        }
    }

    /// How many flows it has unless asked otherwise.
    #[must_use]
    pub const fn flows(self) -> usize {
        match self {
            Self::BulkUp | Self::BulkDown => 1,
            Self::ManyUp | Self::ManyDown => 1024,
            Self::Churn | Self::ChurnRemote | Self::Udp => 64,
            Self::Idle => 10_000,
        }
    }

    fn plan(self, flows: usize) -> FlowPlan {
        const ALL: u64 = 64 << 20;
        let share = ALL / flows.max(1) as u64;
        match self {
            Self::BulkUp | Self::ManyUp => FlowPlan::new(share, 0),
            Self::BulkDown | Self::ManyDown => FlowPlan::new(0, share),
            Self::Churn => FlowPlan::new(SHORT.0, SHORT.1),
            Self::ChurnRemote => FlowPlan {
                closes_first: Side::Remote,
                ..FlowPlan::new(SHORT.0, SHORT.1)
            },
            Self::Udp => FlowPlan::new(0, 0),
            Self::Idle => FlowPlan {
                stays_open: true,
                ..FlowPlan::new(0, 0)
            },
        }
    }
}

/// The settings of every run: the defaults, with room for the flows.
#[must_use]
pub fn config(flows: usize) -> Config {
    let mut config = Config::default();
    config.tcp_limit = config.tcp_limit.max(flows);
    config.udp_limit = config.udp_limit.max(flows);
    config
}

/// A session with the flows of a workload, not yet run.
///
/// # Errors
/// Settings that the engine does not take.
pub fn session(workload: Workload, flows: usize) -> Result<Session, String> {
    let config = config(flows);
    let mut device = Device::new(config.mtu);
    if workload == Workload::Udp {
        device.add_udp(flows, 200_000 / flows.max(1) as u64, DATAGRAM);
    } else {
        device.add(vec![workload.plan(flows); flows]);
    }
    Session::new(config, device).map_err(|problem| problem.to_string())
}

/// Runs a workload to its end and holds it to its word: every octet arrived, nothing was wrong.
///
/// # Errors
/// What was lost, altered or stuck.
pub fn run(workload: Workload, flows: usize) -> Result<Done, String> {
    let mut session = session(workload, flows)?;
    let mut lives = flows as u64;
    let churn = matches!(workload, Workload::Churn | Workload::ChurnRemote);
    let datagrams = 200_000 / flows.max(1) as u64 * flows as u64;
    session
        .run_while(|session| match workload {
            Workload::Udp => session.device.totals().datagrams.1 < datagrams,
            _ if churn => {
                for number in 0..flows as u32 {
                    if lives < LIVES && session.device.is_closed(number) {
                        session.device.reopen(number, session.now());
                        lives += 1;
                    }
                }
                lives < LIVES || !session.device.is_done()
            }
            Workload::Idle => session.now() == Micros::from_secs(1) && !session.device.is_done(),
            _ => !session.device.is_done(),
        })
        .map_err(|stalled| stalled.to_string())?;
    let troubles = session.device.troubles();
    if let Some(trouble) = troubles.first().or_else(|| session.far.troubles().first()) {
        return Err(trouble.clone());
    }
    let (device, far) = (session.device.totals(), session.far.totals());
    let wanted = if churn {
        LIVES
    } else if workload == Workload::Udp {
        0
    } else {
        flows as u64
    };
    if device.served != wanted {
        return Err(format!("{} of {wanted} flows were served", device.served));
    }
    Ok(Done {
        frames_in: session.frames_in(),
        frames_out: device.frames,
        octets: device.received + far.received + device.datagrams.1 * DATAGRAM as u64,
        served: device.served,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_arrives_whole() {
        for workload in Workload::ALL {
            let flows = workload.flows().min(200);
            run(workload, flows).unwrap_or_else(|trouble| panic!("{}: {trouble}", workload.name()));
        }
    }
}
