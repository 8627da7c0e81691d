//! The flow table: generational handles over a slab, found by a seeded hash of the tuple.

use core::fmt;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use crate::api::output::Misuse;
use crate::api::time::Micros;
use crate::flow::hash::FoldState;
use crate::flow::key::{FlowKey, PackedKey, Proto};
use crate::tcp::{Live, Phase, TcpFlow};
use crate::udp::UdpFlow;

/// A flow's handle. It carries a generation: once the flow has ended, it is an error, never another flow.
///
/// ```
/// use engine::{Config, DialResult, Engine, FlowId, Micros, Misuse};
///
/// let mut engine = Engine::new(Config { seed: Some(7), ..Config::default() })?;
/// let stale = FlowId::from_bits(7);
/// let answered = engine.dial_result(Micros::from_secs(1), stale, DialResult::Connected);
/// assert_eq!(answered, Err(Misuse::StaleFlow));
/// # Ok::<(), engine::ConfigError>(())
/// ```
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

/// What the table keeps about any flow.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) id: FlowId,
    pub(crate) key: PackedKey,
    /// Bytes it is charged for.
    pub(crate) cost: usize,
    /// Whether it waits in the dirty list.
    dirty: bool,
    /// When its dial was asked for.
    pub(crate) opened: Micros,
    /// Bytes handed to the dialer.
    pub(crate) upstream: u64,
    /// Bytes taken from the dialer.
    pub(crate) downstream: u64,
    /// What the server's address was known as when the flow began.
    pub(crate) name: Option<Arc<str>>,
    /// Whether the engine itself takes the dialer's place.
    pub(crate) local: bool,
}

impl Flow {
    /// Puts it into the list of flows that want a turn, if it is not there.
    #[inline]
    pub(crate) fn mark_dirty(&mut self, list: &mut VecDeque<u32>) {
        if !self.dirty {
            self.dirty = true;
            list.push_back(self.id.slot);
        }
    }

    /// It has been taken out of that list.
    pub(crate) fn begin_turn(&mut self) {
        self.dirty = false;
    }
}

/// A flow and its protocol's own state.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) flow: Flow,
    pub(crate) kind: Kind,
}

impl Entry {
    /// The tuple it was dialed for.
    pub(crate) fn tuple(&self) -> FlowKey {
        self.kind.tuple(&self.flow.key)
    }

    fn as_tcp(&mut self) -> Option<(&mut Flow, &mut TcpFlow)> {
        match &mut self.kind {
            Kind::Tcp(tcp) => Some((&mut self.flow, tcp)),
            Kind::Udp(_) => None,
        }
    }

    fn as_udp(&mut self) -> Option<(&mut Flow, &mut UdpFlow)> {
        match &mut self.kind {
            Kind::Udp(udp) => Some((&mut self.flow, udp)),
            Kind::Tcp(_) => None,
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

    /// The tuple that a flow is dialed for which is found under `key`.
    pub(crate) fn tuple(&self, key: &PackedKey) -> FlowKey {
        let tuple = key.unpack();
        match self {
            Self::Tcp(_) => tuple,
            Self::Udp(udp) => FlowKey {
                server: udp.server,
                ..tuple
            },
        }
    }
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    entry: Option<Entry>,
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

    /// The TCP flow of a tuple.
    #[inline]
    pub(crate) fn find_tcp(&mut self, key: &PackedKey) -> Option<(&mut Flow, &mut TcpFlow)> {
        let slot = self.find(key)?;
        self.at(slot)?.as_tcp()
    }

    /// The UDP flow of a tuple, or of its mapping.
    #[inline]
    pub(crate) fn find_udp(&mut self, key: &PackedKey) -> Option<(&mut Flow, &mut UdpFlow)> {
        self.udp_at(self.find(key)?)
    }

    /// The UDP flow in a slot.
    #[inline]
    pub(crate) fn udp_at(&mut self, slot: u32) -> Option<(&mut Flow, &mut UdpFlow)> {
        self.at(slot)?.as_udp()
    }

    /// The slot of a tuple's flow.
    #[inline]
    pub(crate) fn find(&self, key: &PackedKey) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// The flow in a slot, of whichever protocol.
    pub(crate) fn at(&mut self, slot: u32) -> Option<&mut Entry> {
        self.slots.get_mut(slot as usize)?.entry.as_mut()
    }

    /// As [`FlowTable::at`], to look at.
    pub(crate) fn peek(&self, slot: u32) -> Option<&Entry> {
        self.slots.get(slot as usize)?.entry.as_ref()
    }

    /// The flow of a handle, of whichever protocol.
    pub(crate) fn get(&mut self, id: FlowId) -> Result<&mut Entry, Misuse> {
        self.at(id.slot)
            .filter(|entry| entry.flow.id == id)
            .ok_or(Misuse::StaleFlow)
    }

    /// The TCP flow of a handle.
    pub(crate) fn tcp(&mut self, id: FlowId) -> Result<(&mut Flow, &mut TcpFlow), Misuse> {
        self.get(id)?.as_tcp().ok_or(Misuse::WrongProtocol)
    }

    /// The TCP flow of a handle whose dial has connected.
    pub(crate) fn live(&mut self, id: FlowId) -> Result<(&mut Flow, &mut Live), Misuse> {
        let (flow, tcp) = self.tcp(id)?;
        match &mut tcp.phase {
            Phase::Dialing(_) => Err(Misuse::NotConnected),
            Phase::Live(live) => Ok((flow, live)),
        }
    }

    /// The UDP flow of a handle.
    pub(crate) fn udp(&mut self, id: FlowId) -> Result<(&mut Flow, &mut UdpFlow), Misuse> {
        self.get(id)?.as_udp().ok_or(Misuse::WrongProtocol)
    }

    /// Puts a flow into a slot of its own, under a handle that no flow had before.
    pub(crate) fn insert(
        &mut self,
        now: Micros,
        key: PackedKey,
        cost: usize,
        name: Option<Arc<str>>,
        local: bool,
        kind: Kind,
    ) -> FlowId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        *self.count_mut(&kind) += 1;
        let mut id = FlowId {
            slot,
            generation: 0,
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            place.generation = place.generation.wrapping_add(1);
            id.generation = place.generation;
            let flow = Flow {
                id,
                key,
                cost,
                dirty: false,
                opened: now,
                upstream: 0,
                downstream: 0,
                name,
                local,
            };
            place.entry = Some(Entry { flow, kind });
            self.by_key.insert(key, slot);
        }
        id
    }

    fn count_mut(&mut self, kind: &Kind) -> &mut usize {
        match kind {
            Kind::Tcp(_) => &mut self.tcp,
            Kind::Udp(_) => &mut self.udp,
        }
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<Entry> {
        let entry = self.slots.get_mut(slot as usize)?.entry.take()?;
        self.by_key.remove(&entry.flow.key);
        self.free.push(slot);
        *self.count_mut(&entry.kind) -= 1;
        Some(entry)
    }

    /// The slots in use, in slot order.
    pub(crate) fn occupied(&self) -> Vec<u32> {
        self.slots
            .iter()
            .filter_map(|slot| slot.entry.as_ref().map(|entry| entry.flow.id.slot))
            .collect()
    }
}
