//! Engine settings of a scenario; what is absent keeps the engine's default.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::duration::{Micros, Size};

/// Engine settings that differ from the engine's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineSettings {
    /// Settings to begin with instead of the engine's defaults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// The largest IP packet in bytes, both ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 576, max = 65535))]
    pub mtu: Option<u32>,
    /// TTL and hop limit of every packet toward the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 255))]
    pub hop_limit: Option<u8>,
    /// How many TCP flows may be open at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_limit: Option<u32>,
    /// How many UDP flows may be open at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp_limit: Option<u32>,
    /// The seed of all the engine's randomness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// What happens to frames with addresses a device cannot mean.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub martians: Option<Martians>,
    /// Whether a short segment waits while another is unacknowledged (Nagle).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nagle: Option<bool>,
    /// The receive window of a TCP flow, at most 16 MiB; it opens with use if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rx_buffer: Option<Size>,
    /// How much the dialer of a TCP flow may bring ahead of the device; it grows with use if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_buffer: Option<Size>,
    /// How far a receive window opens that has no fixed size.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rx_limit: Option<Size>,
    /// How much the dialer may come to bring ahead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_limit: Option<Size>,
    /// The least retransmission timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_rto: Option<Micros>,
    /// Whether the end of a flight is probed for before the timeout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss_probe: Option<bool>,
    /// How long an acknowledgement may wait for something to leave with it; not at all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack_delay: Option<Micros>,
    /// The largest IP packet in bytes that the path beyond the dialer takes; longer datagrams that must not be split
    /// are answered with an ICMP error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 68, max = 65535))]
    pub udp_path_mtu: Option<u32>,
    /// How long a TCP flow may be silent before it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_idle: Option<Micros>,
    /// How long a UDP flow may be silent before it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp_idle: Option<Micros>,
    /// How long a UDP flow to port 53 may be silent before it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_idle: Option<Micros>,
    /// How long a handshake may take once the dial has succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handshake_timeout: Option<Micros>,
    /// How long a dial may stay unanswered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dial_timeout: Option<Micros>,
    /// How many TCP dials may be pending at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_dials: Option<u32>,
    /// How many bytes all flows may be charged for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub byte_budget: Option<Size>,
    /// How long a TCP flow may go without being established before a newcomer takes its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission_grace: Option<Micros>,
    /// What the device sees of a TCP dial that failed other than by a refusal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dial_failure: Option<DialFailure>,
    /// How long a flow in FIN-WAIT-2 may be silent before it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_fin_wait: Option<Micros>,
    /// After how much silence of the device it is probed; never if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive: Option<Micros>,
    /// How long after a probe the next one goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive_interval: Option<Micros>,
    /// How many probes in a row may stay unanswered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_alive_probes: Option<u32>,
    /// How long a half-closed flow may be silent before it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tcp_half_closed: Option<Micros>,
    /// Whether DNS queries are answered by `dialer.resolver` instead of being dialed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_interception: Option<bool>,
    /// How long the resolver may take before the device is told SERVFAIL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolve_timeout: Option<Micros>,
    /// How many intercepted queries may wait for the resolver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolve_limit: Option<u32>,
    /// How many addresses the engine remembers the names of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns_names: Option<u32>,
    /// How long a tuple that the remote closed first is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_wait: Option<Micros>,
    /// Whether a congestion window limits what is in flight toward the device.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub congestion_control: Option<bool>,
    /// How long a flow that the remote broke off may take to deliver what came before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub linger: Option<Micros>,
    /// How long bytes may stay unacknowledged before the flow is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retransmission_limit: Option<Micros>,
    /// How long a closed tuple is remembered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tombstone: Option<Micros>,
    /// What the device sees of a flow that is not admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admission_refusal: Option<Refusal>,
    /// What a change of path does to open flows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_policy: Option<PathPolicy>,
    /// Which datagrams of a device's port share a flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp_mapping: Option<UdpMapping>,
    /// Whose datagrams a UDP flow lets in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp_filtering: Option<UdpFiltering>,
    /// How much a UDP flow may hold while its dialer takes nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp_queue: Option<Size>,
    /// How many frames may wait for the device before datagrams of remotes are dropped; at least 64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_limit: Option<u32>,
}

/// Settings for a purpose.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[clap(rename_all = "snake_case")]
pub enum Preset {
    /// Thousands of flows: rings of 4 KiB each way, 2,048 TCP flows, 32 MiB in all.
    ManyFlows,
    /// A phone: MTU 4064, 256 TCP flows, 9 MiB in all.
    Phone,
    /// A desktop or a router: 4,096 TCP flows, rings of up to 1 MiB each way, 384 MiB in all.
    Desktop,
}

/// What happens to frames with addresses a device cannot mean: unspecified, loopback, link-local, multicast, broadcast
/// or reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Martians {
    /// They are dropped with a reason.
    Drop,
    /// They are taken like any other, as captures of a loopback interface need.
    Admit,
}

/// What the device sees of a flow that is not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Nothing.
    Drop,
    /// A reset; for UDP an ICMP error.
    Reset,
    /// An ICMP error.
    Icmp,
}

/// What the device sees of a TCP dial that failed other than by a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DialFailure {
    /// A reset.
    Reset,
    /// An ICMP error.
    Icmp,
}

/// What a change of path does to open flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathPolicy {
    /// Nothing.
    Keep,
    /// Every flow is closed.
    Close,
    /// What is not connected yet, and every UDP flow, is dialed anew; the rest is closed.
    Redial,
}

/// Which datagrams of a device's port share a flow (RFC 4787 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UdpMapping {
    /// Those to one address and port.
    AddressAndPortDependent,
    /// All of them.
    EndpointIndependent,
}

/// Whose datagrams a UDP flow lets in (RFC 4787 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UdpFiltering {
    /// Those from an address and port it has sent to.
    AddressAndPortDependent,
    /// Those from an address it has sent to.
    AddressDependent,
    /// Everybody's.
    EndpointIndependent,
}

impl EngineSettings {
    /// Whether every setting keeps the engine's default.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
