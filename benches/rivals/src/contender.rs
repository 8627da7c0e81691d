//! Who runs a cell: a stack with its settings.

use engine::Config;
use engine_driver::Limits;

use crate::stacks::{Buffers, Kind};
use crate::workload::Workload;

/// Bytes of a ring of the engine's defaults.
const RING: u32 = 16 << 10;
/// The largest window without scaling.
const WIDE: u32 = 65_535;

/// A stack with its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contender {
    /// The engine in its driver's loop on tokio.
    Ours(Preset),
    /// The engine called in a plain loop.
    Core,
    /// smoltcp with rings of the engine's defaults, in a plain loop.
    Bare,
    /// One of the others, on tokio.
    Rival(Kind, Buffers),
}

/// Settings of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// `Config::default()`.
    Default,
    /// `Config::many_flows()`.
    ManyFlows,
}

impl Preset {
    /// The settings, with room for so many flows.
    #[must_use]
    pub fn config(self, flows: usize) -> Config {
        let mut config = match self {
            Self::Default => Config::default(),
            Self::ManyFlows => Config::many_flows(),
        };
        // The same numbers in every run.
        config.seed = Some(1);
        if let Some(budget) = &mut config.byte_budget {
            *budget = *budget / config.tcp_limit * config.tcp_limit.max(flows);
        }
        config.tcp_limit = config.tcp_limit.max(flows);
        config.udp_limit = config.udp_limit.max(flows);
        config
    }
}

impl Preset {
    /// The driver's limits.
    #[must_use]
    pub fn limits(self) -> Limits {
        match self {
            Self::Default => Limits::default(),
            Self::ManyFlows => Limits::many_flows(),
        }
    }
}

impl Contender {
    /// All of them, ours first.
    pub const ALL: [Self; 11] = [
        Self::Ours(Preset::Default),
        Self::Ours(Preset::ManyFlows),
        Self::Core,
        Self::Rival(Kind::NetstackSmoltcp, Buffers::Default),
        Self::Rival(Kind::NetstackSmoltcp, Buffers::Bytes(RING)),
        Self::Rival(Kind::NetstackSmoltcp, Buffers::Bytes(WIDE)),
        Self::Rival(Kind::Ipstack, Buffers::Default),
        Self::Rival(Kind::Ipstack, Buffers::Bytes(RING)),
        Self::Rival(Kind::Ipstack, Buffers::Bytes(WIDE)),
        Self::Rival(Kind::Lwip, Buffers::Default),
        Self::Bare,
    ];

    /// Its name, as `rivals cell` takes it.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Ours(Preset::Default) => "ours".to_owned(),
            Self::Ours(Preset::ManyFlows) => "ours/many-flows".to_owned(),
            Self::Core => "ours/core".to_owned(),
            Self::Bare => "smoltcp".to_owned(),
            Self::Rival(Kind::Lwip, _) => "lwip".to_owned(),
            Self::Rival(kind, buffers) => format!("{}/{}", kind.name(), setting(buffers)),
        }
    }

    /// The contender of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|contender| contender.name() == name)
    }

    /// The column it belongs to: settings of one stack share theirs, and the better one is shown.
    #[must_use]
    pub fn column(self) -> String {
        match self {
            Self::Rival(kind, _) => kind.name().to_owned(),
            other => other.name(),
        }
    }

    /// What is said of its settings beside a figure.
    #[must_use]
    pub fn setting(self) -> Option<&'static str> {
        match self {
            Self::Rival(Kind::Lwip, _) => None,
            Self::Rival(_, buffers) => Some(setting(buffers)),
            _ => None,
        }
    }

    /// Whether it has anything to run for this workload.
    #[must_use]
    pub const fn runs(self, workload: Workload, flows: usize) -> bool {
        match self {
            // 1.3 MB a flow would be 5 GB.
            Self::Rival(Kind::NetstackSmoltcp, Buffers::Default) => flows <= 1024,
            // Buffers are nothing to UDP.
            Self::Rival(Kind::NetstackSmoltcp | Kind::Ipstack, Buffers::Bytes(_)) => {
                !matches!(workload, Workload::Udp)
            }
            // 1,024 connections, those in TIME-WAIT among them.
            Self::Rival(Kind::Lwip, _) => flows <= 1024,
            _ => true,
        }
    }
}

const fn setting(buffers: Buffers) -> &'static str {
    match buffers {
        Buffers::Default => "default",
        Buffers::Bytes(RING) => "16k",
        Buffers::Bytes(_) => "64k",
    }
}
