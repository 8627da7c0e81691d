//! Who ended a flow, and how: the words of expectations.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($(#[$doc:meta])+ $name:ident { $($(#[$what:meta])+ $word:ident = $written:literal,)+ })+) => {$(
        $(#[$doc])+
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$what])+ $word,)+ }

        impl $name {
            /// The word scenarios use.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$word => $written,)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )+};
}

words! {
    /// Who did something.
    Side {
        /// The device.
        Device = "device",
        /// The far side.
        Remote = "remote",
        /// The engine on its own account.
        Engine = "engine",
    }

    /// A stream of a flow.
    Direction {
        /// From the device.
        Upstream = "upstream",
        /// To the device.
        Downstream = "downstream",
    }

    /// How a flow ended.
    How {
        /// Orderly, both streams ended.
        Fin = "fin",
        /// By a reset.
        Reset = "reset",
        /// The dial was refused.
        Refused = "refused",
        /// The dial found the host unreachable.
        HostUnreachable = "host_unreachable",
        /// The dial found the network unreachable.
        NetworkUnreachable = "network_unreachable",
        /// The dial was denied by policy.
        Denied = "denied",
        /// The dial timed out.
        TimedOut = "timed_out",
        /// The dial was never answered.
        Never = "never",
        /// The dialer failed.
        Error = "error",
        /// The handshake was never completed.
        Handshake = "handshake",
        /// It was idle for too long.
        Idle = "idle",
        /// It was idle for too long while half closed.
        HalfClosed = "half_closed",
        /// The retransmission limit was reached.
        Abandoned = "abandoned",
        /// The network path changed.
        Path = "path",
        /// A bound inside the engine was overrun.
        Guard = "guard",
        /// It had to make room for others.
        Admission = "admission",
        /// The engine was stopped.
        Stopped = "stopped",
    }
}

impl From<engine::By> for Side {
    fn from(by: engine::By) -> Self {
        match by {
            engine::By::Device => Self::Device,
            engine::By::Remote => Self::Remote,
            engine::By::Engine => Self::Engine,
        }
    }
}
