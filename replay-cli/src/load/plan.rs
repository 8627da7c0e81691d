//! What the flows of a load are to carry, and when.

use engine::Micros;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A side of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The device.
    #[default]
    Device,
    /// The far side.
    Remote,
}

/// What one flow is to carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowPlan {
    /// Bytes from the device.
    pub up: u64,
    /// Bytes toward the device.
    pub down: u64,
    /// When its SYN leaves.
    pub start: Micros,
    /// Which side closes first, once it has sent and received all.
    pub closes_first: Side,
    /// Whether it is closed at all once all bytes have arrived.
    pub stays_open: bool,
    /// Whether the device ends its stream once it has sent all, whatever it is still to receive.
    pub ends_early: bool,
    /// Whether its FIN comes with the last bytes, not after them.
    pub fin_with_data: bool,
    /// Until when the device's app reads nothing: its window is shut from the handshake on.
    pub device_stalls_until: Micros,
    /// Until when the far side reads nothing.
    pub remote_stalls_until: Micros,
    /// The most bytes of a segment, both ways; 0: what the MTU allows.
    pub segment: u32,
    /// In how many turns of question and answer both streams go; 0 and 1: all at once.
    pub turns: u32,
    /// How long the device thinks between two turns.
    pub think: Micros,
    /// Bytes a second that the device's app reads; 0: all that comes.
    pub device_reads: u64,
    /// Bytes a second that the far side reads; 0: all that comes.
    pub remote_reads: u64,
    /// Whether neither side sends a byte before [`Device::release`](super::Device::release).
    pub held: bool,
}

impl FlowPlan {
    /// A flow that starts at once, carries so many bytes, and is closed by the device.
    #[must_use]
    pub fn new(up: u64, down: u64) -> Self {
        Self {
            up,
            down,
            turns: 1,
            ..Self::default()
        }
    }

    /// How many bytes of a stream of `all` belong to the first `turns` of its turns.
    pub(super) fn share(&self, all: u64, turns: u32) -> u64 {
        if turns >= self.turns {
            return all;
        }
        let part = u128::from(all) * u128::from(turns) / u128::from(self.turns.max(1));
        u64::try_from(part).unwrap_or(all)
    }
}

/// What the datagrams of a load are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatagramPlan {
    /// How many sockets send them, in turns.
    pub sockets: usize,
    /// How many go out in all, shared out evenly.
    pub count: u64,
    /// Bytes of each, 8 at least: the first eight say whose it is and which.
    pub len: usize,
    /// How often the far side sends each back.
    pub replies: u8,
    /// How many a second go out; 0: all that may be on their way.
    pub per_second: u64,
    /// How many may be on their way at a time, those of `per_second` aside.
    pub in_flight: u64,
}

impl DatagramPlan {
    /// Datagrams that come back once each, 256 of them on their way at a time.
    #[must_use]
    pub fn new(sockets: usize, count: u64, len: usize) -> Self {
        Self {
            sockets,
            count,
            len,
            replies: 1,
            in_flight: 256,
            ..Self::default()
        }
    }
}
