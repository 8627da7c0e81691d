//! The events that a dialer can report of a flow, of any protocol and wherever they wait.

use std::net::SocketAddr;

use engine::{DialResult, FlowId, RemoteEnd};

use super::tap::Crossing;

/// What an event costs beside its payload: an empty datagram is not free.
const COST: usize = 64;

/// One thing that a dialer reported of a flow, as it is delivered to the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    /// The dial's answer.
    Dialed(DialResult),
    /// It takes no more of the device.
    Blocked,
    /// It takes more again.
    Writable,
    /// Bytes of a stream.
    Data(&'a [u8]),
    /// A datagram, and where it came from if not from where the flow was dialed to.
    Datagram(Option<SocketAddr>, &'a [u8]),
    /// The far side ended.
    Ended(RemoteEnd),
}

impl<'a> Event<'a> {
    /// Bytes that it counts for.
    pub(crate) fn cost(&self) -> usize {
        match self {
            Self::Datagram(_, payload) => cost_of(payload.len()),
            Self::Data(bytes) => bytes.len(),
            Self::Dialed(_) | Self::Blocked | Self::Writable | Self::Ended(_) => COST,
        }
    }

    /// What a tap gets of it.
    pub(crate) fn crossing(self, flow: FlowId) -> Crossing<'a> {
        match self {
            Self::Dialed(result) => Crossing::Dialed(flow, result),
            Self::Blocked => Crossing::Blocked(flow),
            Self::Writable => Crossing::Writable(flow),
            Self::Data(bytes) => Crossing::Data(flow, bytes),
            Self::Datagram(from, payload) => Crossing::Datagram(flow, from, payload),
            Self::Ended(end) => Crossing::Ended(flow, end),
        }
    }
}

/// Bytes that a datagram counts for.
pub(crate) const fn cost_of(payload: usize) -> usize {
    payload.saturating_add(COST)
}
