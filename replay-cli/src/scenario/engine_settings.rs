//! Engine settings of a scenario; what is absent keeps the engine's default.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::duration::{Micros, Size};

/// Engine settings that differ from the engine's defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EngineSettings {
    /// The largest IP packet in bytes, both ways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 68, max = 65535))]
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
    /// The receive ring of a TCP flow, at most 65,535 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rx_buffer: Option<Size>,
    /// The transmit ring of a TCP flow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tx_buffer: Option<Size>,
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
    /// How long a half-closed flow may be silent before it is closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_closed_timeout: Option<Micros>,
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

impl EngineSettings {
    /// Whether every setting keeps the engine's default.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
