//! What is run: a name, a number of flows, and what each of them carries.

use replay::load::{FlowPlan, Side};

/// A workload by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Streams from the device, a segment of each in its turn.
    Up,
    /// Streams toward the device.
    Down,
    /// Short connections, closed by the device.
    Churn,
    /// Short connections, closed by the far side.
    ChurnRemote,
    /// Datagrams that come back.
    Udp,
    /// Flows that are opened and then carry nothing: their memory.
    Idle,
    /// Flows that have carried 256 KiB each way: their memory.
    Used,
}

/// Bytes from the device, and toward it, of a short connection.
const SHORT: (u64, u64) = (200, 1000);
/// Bytes of the question that a download answers.
const QUESTION: u64 = 100;
/// Bytes of a datagram.
pub const DATAGRAM: usize = 512;
/// Bytes of text in a full segment.
pub const SEGMENT: u64 = 1460;
/// Bytes that a used flow has carried each way.
const USED: u64 = 256 << 10;

impl Workload {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Up,
        Self::Down,
        Self::Churn,
        Self::ChurnRemote,
        Self::Udp,
        Self::Idle,
        Self::Used,
    ];

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Churn => "churn",
            Self::ChurnRemote => "churn-remote",
            Self::Udp => "udp",
            Self::Idle => "idle",
            Self::Used => "used",
        }
    }

    /// The workload of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|workload| workload.name() == name)
    }

    /// What it does, with so many flows.
    #[must_use]
    pub fn title(self, flows: usize) -> String {
        let s = if flows == 1 { "" } else { "s" };
        match self {
            Self::Up => format!("upload, {flows} flow{s}"),
            Self::Down => format!("download, {flows} flow{s}"),
            Self::Churn => format!("churn, device closes first, {flows} at once"),
            Self::ChurnRemote => format!("churn, dialer closes first, {flows} at once"),
            Self::Udp => format!("UDP echo, {flows} flows"),
            Self::Idle => format!("memory of an idle flow, {flows} flows"),
            Self::Used => format!("memory of a flow after 256 KiB each way, {flows} flows"),
        }
    }

    /// What costs are counted by.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Up | Self::Down => "ns per 1,460 bytes",
            Self::Churn | Self::ChurnRemote => "ns per connection",
            Self::Udp => "ns per datagram, in and out",
            Self::Idle | Self::Used => "bytes resident per flow",
        }
    }

    /// Whether memory is what it measures.
    #[must_use]
    pub const fn weighs(self) -> bool {
        matches!(self, Self::Idle | Self::Used)
    }

    /// Whether flows are opened again and again.
    #[must_use]
    pub const fn churns(self) -> bool {
        matches!(self, Self::Churn | Self::ChurnRemote)
    }

    /// Units of all flows together: segments, connections, datagrams.
    #[must_use]
    pub const fn units(self, flows: usize, quick: bool) -> u64 {
        let all = match self {
            Self::Up | Self::Down if flows == 1 => (256 << 20) / SEGMENT,
            Self::Up | Self::Down => (128 << 20) / SEGMENT,
            Self::Churn | Self::ChurnRemote => 10_000,
            Self::Udp => 200_000,
            Self::Idle | Self::Used => return flows as u64,
        };
        let all = if quick { all / 16 } else { all };
        // The same for each flow.
        let each = all / flows as u64;
        (if each == 0 { 1 } else { each }) * flows as u64
    }

    /// What one flow carries.
    #[must_use]
    pub fn plan(self, flows: usize, quick: bool) -> FlowPlan {
        let share = self.units(flows, quick) / flows as u64 * SEGMENT;
        let mut plan = match self {
            Self::Up => FlowPlan::new(share, 0),
            Self::Down => FlowPlan::new(QUESTION, share),
            Self::Churn | Self::ChurnRemote => FlowPlan::new(SHORT.0, SHORT.1),
            Self::Udp | Self::Idle => FlowPlan::new(0, 0),
            Self::Used => FlowPlan::new(USED, USED),
        };
        if matches!(self, Self::ChurnRemote) {
            plan.closes_first = Side::Remote;
        }
        // What closing costs, and who cannot, is for churn and the probes to tell.
        plan.stays_open = !self.churns();
        plan
    }
}
