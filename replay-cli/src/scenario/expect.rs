//! What must come out of the engine.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::dialer::True;
use super::expected::Expected;
use super::flow::Protocol;
use super::list::{ClosedList, Named};
use crate::base::duration::{Micros, Size};

/// The expectations of a scenario. What is absent is not compared; an empty closed list says that nothing may happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Expectations {
    /// Every dial request, free in order; closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dials: Option<ClosedList<DialExpectation>>,
    /// Emitted packets as lines, in order within a flow, closed for each flow named, pure acknowledgements excepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packets: Vec<String>,
    /// Packets that must not be emitted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub never: Vec<Never>,
    /// The bytes of each flow in both directions.
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub streams: Named<StreamPair>,
    /// Every half-close, free in order; closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_closes: Option<ClosedList<HalfCloseExpectation>>,
    /// Every close, free in order; closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes: Option<ClosedList<CloseExpectation>>,
    /// Every DNS record the engine reported, free in order; closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<ClosedList<DnsExpectation>>,
    /// Counters by name: an exact value, or `{"min", "max"}`.
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub counters: Named<Expected<u64>>,
    /// Ceilings on memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<MemoryExpectation>,
}

/// One dial request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DialExpectation {
    /// The flow it is for.
    pub flow: String,
    /// When it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Expected<Micros>>,
    /// The name it carries, under which a DNS answer gave the address to the device; empty: none. Not compared if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A packet that must not be emitted: one that meets every condition written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Never {
    /// The flow; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The transport; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proto: Option<Protocol>,
    /// TCP flags that are all set, as packetdrill writes them: `S F R P E W .`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[SFRPEW.]+$"))]
    pub flags: Option<String>,
    /// The number of payload bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<Expected<u64>>,
    /// The TCP window in bytes, after scaling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Expected<u64>>,
    /// When it is emitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Expected<Micros>>,
}

/// The bytes of a flow in both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamPair {
    /// What the dialer was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<StreamExpectation>,
    /// What the device was given, each byte once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downstream: Option<StreamExpectation>,
}

/// The bytes of one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamExpectation {
    /// How many bytes: a number, or `{"min", "max"}`.
    pub bytes: Expected<u64>,
    /// Their SHA-256 as 64 lower-case hex digits; not compared if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
}

/// One half-close: one side has ended its stream, the other still sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HalfCloseExpectation {
    /// The flow.
    pub flow: String,
    /// Who ended its stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Side>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Expected<Micros>>,
}

/// One close, or with `open` that a flow has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseExpectation {
    /// The flow.
    pub flow: String,
    /// Who ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Side>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<How>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Expected<Micros>>,
    /// The flow is still open at the end of the run; stands without `by`, `how` and `at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<True>,
}

/// Who did something.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The device.
    Device,
    /// The far side.
    Remote,
    /// The engine on its own account.
    Engine,
}

/// How a flow ended.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Orderly, both streams ended.
    Fin,
    /// By a reset.
    Reset,
    /// The dial was refused.
    Refused,
    /// The dial found the host unreachable.
    HostUnreachable,
    /// The dial found the network unreachable.
    NetworkUnreachable,
    /// The dial was denied by policy.
    Denied,
    /// The dial timed out.
    TimedOut,
    /// The dial was never answered.
    Never,
    /// The dialer failed.
    Error,
    /// The handshake was never completed.
    Handshake,
    /// It was idle for too long.
    Idle,
    /// It was idle for too long while half closed.
    HalfClosed,
    /// The retransmission limit was reached.
    Abandoned,
    /// The network path changed.
    Path,
    /// A bound inside the engine was overrun.
    Guard,
    /// It had to make room for others.
    Admission,
    /// The engine was stopped.
    Stopped,
}

/// One DNS record the engine reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsExpectation {
    /// The name asked for.
    pub name: String,
    /// The addresses answered; not compared if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<std::net::IpAddr>>,
    /// The time to live in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Expected<u32>>,
    /// When it was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Expected<Micros>>,
}

/// Ceilings on memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryExpectation {
    /// The most heap the engine may have held at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_heap: Option<Size>,
}

impl Expectations {
    /// Whether nothing is expected beyond what is always checked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl CloseExpectation {
    /// Whether the flow is expected to be open still at the end of the run.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

impl Side {
    /// The word scenarios use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Remote => "remote",
            Self::Engine => "engine",
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl How {
    /// The word scenarios use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::HostUnreachable => "host_unreachable",
            Self::NetworkUnreachable => "network_unreachable",
            Self::Denied => "denied",
            Self::TimedOut => "timed_out",
            Self::Never => "never",
            Self::Error => "error",
            Self::Handshake => "handshake",
            Self::Idle => "idle",
            Self::HalfClosed => "half_closed",
            Self::Abandoned => "abandoned",
            Self::Path => "path",
            Self::Guard => "guard",
            Self::Admission => "admission",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
