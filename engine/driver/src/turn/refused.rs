//! Datagrams that came out of the engine after the host had refused one of their flow: they wait here until the flow is
//! writable, as those that come later do in the engine.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use engine::FlowId;

use super::event::cost_of;

/// What waits, by flow. A flow is here from the refusal until its host takes all of it, or its close.
#[derive(Debug, Default)]
pub(crate) struct Refused(BTreeMap<FlowId, Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    datagrams: VecDeque<(SocketAddr, Vec<u8>)>,
    bytes: usize,
}

impl Refused {
    /// The host refused a datagram of the flow: those behind it wait.
    pub(crate) fn begin(&mut self, flow: FlowId) {
        self.0.entry(flow).or_default();
    }

    /// Keeps a datagram of a flow that waits, if no more than `limit` bytes do: as in the engine, one always fits. `None`:
    /// the flow does not wait; `false`: the datagram is lost.
    pub(crate) fn keep(
        &mut self,
        flow: FlowId,
        to: SocketAddr,
        payload: &[u8],
        limit: usize,
    ) -> Option<bool> {
        let waiting = self.0.get_mut(&flow)?;
        let bytes = waiting.bytes + cost_of(payload.len());
        if waiting.bytes > 0 && bytes > limit {
            return Some(false);
        }
        waiting.bytes = bytes;
        waiting.datagrams.push_back((to, payload.to_vec()));
        Some(true)
    }

    /// The next datagram of a flow; with `None` it waits no longer.
    pub(crate) fn next(&mut self, flow: FlowId) -> Option<(SocketAddr, Vec<u8>)> {
        let waiting = self.0.get_mut(&flow)?;
        if let Some((to, payload)) = waiting.datagrams.pop_front() {
            waiting.bytes -= cost_of(payload.len());
            return Some((to, payload));
        }
        self.0.remove(&flow);
        None
    }

    /// Forgets a flow that has ended; returns how many of its datagrams are lost with it.
    pub(crate) fn forget(&mut self, flow: FlowId) -> usize {
        self.0
            .remove(&flow)
            .map_or(0, |waiting| waiting.datagrams.len())
    }
}
