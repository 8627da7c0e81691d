//! The flow table: generational handles over a slab, found by a seeded hash of the tuple.

use core::fmt;
use std::collections::HashMap;
use std::sync::Arc;

use crate::api::time::Micros;
use crate::flow::hash::FoldState;
use crate::flow::key::{FlowKey, PackedKey, Proto};
use crate::tcp::TcpFlow;
use crate::udp::UdpFlow;

/// A flow's handle. It carries a generation: once the flow has ended, it is an error, never another flow.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

impl FlowId {
    /// The handle as one number, for hosts that keep it in an integer.
    #[must_use]
    pub const fn to_bits(self) -> u64 {
        (self.generation as u64) << 32 | self.slot as u64
    }

    /// An index for tables of the host: no two live flows have the same one, and a flow gets the one that was given back
    /// last, or else one more than there were. A later flow may have it again; compare the whole handle.
    #[must_use]
    pub const fn slot(self) -> usize {
        self.slot as usize
    }

    /// The handle back from [`FlowId::to_bits`]; any number is safe, a wrong one is stale.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each half is taken by itself"
    )]
    pub const fn from_bits(bits: u64) -> Self {
        Self {
            slot: bits as u32,
            generation: (bits >> 32) as u32,
        }
    }
}

impl fmt::Debug for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "flow {}.{}", self.slot, self.generation)
    }
}

/// One flow and what the table keeps about it.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) id: FlowId,
    pub(crate) key: PackedKey,
    /// Octets it is charged for.
    pub(crate) cost: usize,
    /// Whether it waits in the dirty list.
    pub(crate) dirty: bool,
    /// When its dial was asked for.
    pub(crate) opened: Micros,
    /// Octets handed to the dialer.
    pub(crate) upstream: u64,
    /// Octets taken from the dialer.
    pub(crate) downstream: u64,
    /// What the server's address was known as when the flow began.
    pub(crate) name: Option<Arc<str>>,
    /// Whether the engine itself stands in the dialer's place.
    pub(crate) local: bool,
    pub(crate) kind: Kind,
}

impl Flow {
    /// The tuple it was dialed for.
    pub(crate) fn tuple(&self) -> FlowKey {
        let tuple = self.key.unpack();
        match &self.kind {
            Kind::Tcp(_) => tuple,
            Kind::Udp(udp) => FlowKey {
                server: udp.server,
                ..tuple
            },
        }
    }
}

/// The protocol's own state.
#[derive(Debug)]
pub(crate) enum Kind {
    Tcp(Box<TcpFlow>),
    Udp(Box<UdpFlow>),
}

impl Kind {
    pub(crate) fn proto(&self) -> Proto {
        match self {
            Self::Tcp(_) => Proto::Tcp,
            Self::Udp(_) => Proto::Udp,
        }
    }
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    flow: Option<Flow>,
}

/// All flows. The map is only ever asked for one key: its order reaches nothing.
#[derive(Debug)]
pub(crate) struct FlowTable {
    by_key: HashMap<PackedKey, u32, FoldState>,
    slots: Vec<Slot>,
    free: Vec<u32>,
    tcp: usize,
    udp: usize,
}

impl FlowTable {
    pub(crate) fn new(secret: u64) -> Self {
        Self {
            by_key: HashMap::with_hasher(FoldState::new(secret)),
            slots: Vec::new(),
            free: Vec::new(),
            tcp: 0,
            udp: 0,
        }
    }

    pub(crate) fn count(&self, proto: Proto) -> usize {
        match proto {
            Proto::Tcp => self.tcp,
            Proto::Udp => self.udp,
        }
    }

    pub(crate) fn find(&self, key: &PackedKey) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn at(&mut self, slot: u32) -> Option<&mut Flow> {
        self.slots.get_mut(slot as usize)?.flow.as_mut()
    }

    pub(crate) fn peek(&self, slot: u32) -> Option<&Flow> {
        self.slots.get(slot as usize)?.flow.as_ref()
    }

    /// The flow of a handle, or `None` if it has ended.
    pub(crate) fn get(&mut self, id: FlowId) -> Option<&mut Flow> {
        self.at(id.slot).filter(|flow| flow.id == id)
    }

    pub(crate) fn insert(&mut self, now: Micros, key: PackedKey, kind: Kind) -> FlowId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot {
                generation: 0,
                flow: None,
            });
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        match kind.proto() {
            Proto::Tcp => self.tcp += 1,
            Proto::Udp => self.udp += 1,
        }
        let mut id = FlowId {
            slot,
            generation: 0,
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            place.generation = place.generation.wrapping_add(1);
            id.generation = place.generation;
            place.flow = Some(Flow {
                id,
                key,
                cost: 0,
                dirty: false,
                opened: now,
                upstream: 0,
                downstream: 0,
                name: None,
                local: false,
                kind,
            });
            self.by_key.insert(key, slot);
        }
        id
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<Flow> {
        let flow = self.slots.get_mut(slot as usize)?.flow.take()?;
        self.by_key.remove(&flow.key);
        self.free.push(slot);
        match flow.kind.proto() {
            Proto::Tcp => self.tcp -= 1,
            Proto::Udp => self.udp -= 1,
        }
        Some(flow)
    }

    /// The slots in use, in slot order.
    pub(crate) fn occupied(&self) -> Vec<u32> {
        self.slots
            .iter()
            .filter_map(|slot| slot.flow.as_ref().map(|flow| flow.id.slot))
            .collect()
    }
}
