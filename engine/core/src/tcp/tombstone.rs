//! Tuples that closed a moment ago (the engine's TIME-WAIT, RFC 9293 section 3.6.1): late segments get a bare
//! acknowledgement, a SYN begins anew, no buffer is held.

use std::collections::{HashMap, VecDeque};

use crate::build::TcpControl;
use crate::hash::FoldState;
use crate::key::PackedKey;
use crate::seq::Seq;
use crate::time::Micros;

/// What a late segment is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) next_out: Seq,
    pub(crate) next_in: Seq,
    /// The remote closed first, so that the engine's side is the one in TIME-WAIT. After a close by the device
    /// nothing of the old connection can be on its way any more.
    pub(crate) time_wait: bool,
    pub(crate) until: Micros,
}

impl Tombstone {
    /// The bare acknowledgement that a late segment gets.
    pub(crate) fn answer(&self) -> TcpControl {
        TcpControl::Ack {
            sequence: self.next_out.0,
            acknowledgement: self.next_in.0,
            window: 0,
        }
    }
}

/// A bounded memory of closed tuples, oldest forgotten first.
#[derive(Debug)]
pub(crate) struct Tombstones {
    by_key: HashMap<PackedKey, Tombstone, FoldState>,
    order: VecDeque<(Micros, PackedKey)>,
    limit: usize,
}

impl Tombstones {
    pub(crate) fn new(secret: u64, limit: usize) -> Self {
        Self {
            by_key: HashMap::with_hasher(FoldState::new(secret)),
            order: VecDeque::new(),
            limit,
        }
    }

    pub(crate) fn insert(&mut self, key: PackedKey, stone: Tombstone) {
        while self.order.len() >= self.limit.max(1) {
            self.forget_oldest();
        }
        self.by_key.insert(key, stone);
        self.order.push_back((stone.until, key));
    }

    pub(crate) fn find(&mut self, now: Micros, key: &PackedKey) -> Option<Tombstone> {
        while self.order.front().is_some_and(|(until, _)| *until <= now) {
            self.forget_oldest();
        }
        self.by_key
            .get(key)
            .filter(|stone| stone.until > now)
            .copied()
    }

    pub(crate) fn remove(&mut self, key: &PackedKey) {
        // Its place in the order goes when its time comes.
        self.by_key.remove(key);
    }

    fn forget_oldest(&mut self) {
        if let Some((until, key)) = self.order.pop_front() {
            // A tuple that closed twice has a younger stone, which stays.
            if self
                .by_key
                .get(&key)
                .is_some_and(|stone| stone.until == until)
            {
                self.by_key.remove(&key);
            }
        }
    }
}
