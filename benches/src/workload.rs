//! What is run: a name, a number of flows, and what each of them carries.

use std::time::Duration;

use engine::Config;
use replay::load::{Device, Far, FlowPlan, Session, Side};

use crate::{bare, counted};

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
    /// Ticks of a clock while flows are open on which nothing moves.
    Ticks,
    /// [`Workload::BulkUp`] on smoltcp alone, with one socket.
    BareUp,
    /// [`Workload::BulkDown`] on smoltcp alone, with one socket.
    BareDown,
}

/// What a run did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Frames the engine was given.
    pub frames_in: u64,
    /// Frames the engine emitted.
    pub frames_out: u64,
    /// Bytes of streams and datagrams that arrived, both ways.
    pub bytes: u64,
    /// Flows that carried all they should.
    pub served: u64,
    /// Ticks of the clock after all of it.
    pub ticks: u64,
}

/// Bytes from the device, and toward it, of a short connection.
const SHORT: (u64, u64) = (200, 1000);
/// Bytes of a datagram.
const DATAGRAM: usize = 512;
/// Bytes of text in a full segment.
const SEGMENT: u64 = 1460;

impl Workload {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::BulkUp,
        Self::BulkDown,
        Self::ManyUp,
        Self::ManyDown,
        Self::Churn,
        Self::ChurnRemote,
        Self::Udp,
        Self::Idle,
        Self::Ticks,
        Self::BareUp,
        Self::BareDown,
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
            Self::Ticks => "ticks",
            Self::BareUp => "bare-up",
            Self::BareDown => "bare-down",
        }
    }

    /// What it does, in a line.
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::BulkUp => "one stream from the device",
            Self::BulkDown => "one stream toward the device",
            Self::ManyUp => "many streams from the device, a segment of each in its turn",
            Self::ManyDown => "many streams toward the device",
            Self::Churn => "short connections, the device closes first",
            Self::ChurnRemote => "short connections, the far side closes first",
            Self::Udp => "datagrams of 512 bytes that come back",
            Self::Idle => "flows that are opened and then carry nothing",
            Self::Ticks => "a clock that ticks while flows are open on which nothing moves",
            Self::BareUp => "bulk-up on smoltcp alone, with one socket",
            Self::BareDown => "bulk-down on smoltcp alone, with one socket",
        }
    }

    /// How many flows it has unless asked otherwise.
    #[must_use]
    pub const fn flows(self) -> usize {
        match self {
            Self::BulkUp | Self::BulkDown | Self::BareUp | Self::BareDown => 1,
            Self::ManyUp | Self::ManyDown => 1024,
            Self::Churn | Self::ChurnRemote | Self::Udp => 64,
            Self::Idle | Self::Ticks => 10_000,
        }
    }

    /// What each flow carries unless asked otherwise: full segments of a stream, lives of a short connection,
    /// datagrams; or ticks.
    #[must_use]
    pub const fn share(self, flows: usize) -> u64 {
        let flows = if flows == 0 { 1 } else { flows as u64 };
        let all = match self {
            Self::Churn | Self::ChurnRemote => 10_000,
            Self::Udp => 200_000,
            Self::Idle => 0,
            Self::Ticks => return 10_000,
            _ => (64 << 20) / SEGMENT,
        };
        all / flows
    }

    pub(crate) fn plan(self, share: u64) -> FlowPlan {
        let share = share * SEGMENT;
        match self {
            Self::BulkUp | Self::ManyUp | Self::BareUp => FlowPlan::new(share, 0),
            Self::BulkDown | Self::ManyDown | Self::BareDown => FlowPlan::new(0, share),
            Self::Churn => FlowPlan::new(SHORT.0, SHORT.1),
            Self::ChurnRemote => FlowPlan {
                closes_first: Side::Remote,
                ..FlowPlan::new(SHORT.0, SHORT.1)
            },
            Self::Udp => FlowPlan::new(0, 0),
            Self::Idle | Self::Ticks => FlowPlan {
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
pub fn session(workload: Workload, flows: usize, share: u64) -> Result<Session, String> {
    let config = config(flows);
    let mut device = Device::new(config.mtu);
    if workload == Workload::Udp {
        device.add_udp(flows, flows as u64 * share, DATAGRAM);
    } else {
        device.add(vec![workload.plan(share); flows]);
    }
    Session::new(config, device).map_err(|problem| problem.to_string())
}

/// Runs a workload to its end and holds it to its word: every byte arrived, nothing was wrong.
///
/// # Errors
/// What was lost, altered or stuck.
pub fn run(workload: Workload, flows: usize, share: u64) -> Result<Done, String> {
    if matches!(workload, Workload::BareUp | Workload::BareDown) {
        return bare::run(workload.plan(share));
    }
    let mut session = session(workload, flows, share)?;
    let churn = matches!(workload, Workload::Churn | Workload::ChurnRemote);
    let most = flows as u64 * share;
    let mut lives = flows as u64;
    session
        .run_while(|session| match workload {
            Workload::Udp => session.device.totals().datagrams.1 < most,
            _ if churn => {
                for number in 0..flows as u32 {
                    if lives < most && session.device.is_closed(number) {
                        session.device.reopen(number, session.now());
                        lives += 1;
                    }
                }
                lives < most || !session.device.is_done()
            }
            _ => !session.device.is_done(),
        })
        .map_err(|stalled| stalled.to_string())?;
    // The last acknowledgements of the device are on their way.
    while session.turn() {}
    let ticks = if workload == Workload::Ticks {
        share
    } else {
        0
    };
    let mut now = session.now();
    for _ in 0..ticks {
        now = now.plus(Duration::from_millis(1));
        if counted::tick(&mut session.engine, now).is_some_and(|timer| !timer.is_idle()) {
            return Err("an idle engine waits for more than idle limits".to_owned());
        }
    }
    verify(&session.device, &session.far)?;
    let (device, far) = (session.device.totals(), session.far.totals());
    let wanted = match workload {
        Workload::Churn | Workload::ChurnRemote => most,
        Workload::Udp => 0,
        _ => flows as u64,
    };
    if device.served != wanted {
        return Err(format!("{} of {wanted} flows were served", device.served));
    }
    Ok(Done {
        frames_in: session.frames_in(),
        frames_out: device.frames,
        bytes: device.received + far.received + device.datagrams.1 * DATAGRAM as u64,
        served: device.served,
        ticks,
    })
}

/// Whether all that arrived is what was sent.
pub(crate) fn verify(device: &Device, far: &Far) -> Result<(), String> {
    match device.troubles().first().or_else(|| far.troubles().first()) {
        Some(trouble) => Err(trouble.clone()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_arrives_whole() {
        for workload in Workload::ALL {
            let flows = workload.flows().min(200);
            let share = workload.share(flows).min(500);
            run(workload, flows, share)
                .unwrap_or_else(|trouble| panic!("{}: {trouble}", workload.name()));
        }
    }
}
