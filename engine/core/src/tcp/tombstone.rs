//! Tuples that closed a moment ago (the engine's TIME-WAIT, RFC 9293 section 3.6.1): late segments get a bare
//! acknowledgement or, where nothing may come any more, a reset; a SYN begins anew, no buffer is held.

use std::collections::{HashMap, VecDeque};

use crate::api::batch::FrameBatch;
use crate::api::time::Micros;
use crate::flow::hash::FoldState;
use crate::flow::key::PackedKey;
use crate::ip::packet::Segment;
use crate::tcp::segment::{Ends, Options, Outgoing, stamp};
use crate::tcp::seq::Seq;
use crate::tcp::timestamps::Timestamps;

/// What a late segment is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) next_out: Seq,
    pub(crate) next_in: Seq,
    /// The window field, as the connection would have it.
    pub(crate) window: u16,
    /// The clocks, if the connection had any.
    pub(crate) timestamps: Option<Timestamps>,
    /// The remote closed first, so that the engine's side is the one in TIME-WAIT. After a close by the device
    /// nothing of the old connection can be on its way any more.
    pub(crate) time_wait: bool,
    pub(crate) until: Micros,
}

impl Tombstone {
    /// Whether a segment is answered by what is remembered. In TIME-WAIT every one is (RFC 9293 section 3.10.7.4, first);
    /// after LAST-ACK the connection is gone, but for what the device sent before it knew: copies of its FIN and of
    /// its last acknowledgement.
    pub(crate) fn knows(&self, segment: &Segment<'_>) -> bool {
        let end = segment.end();
        self.time_wait || (end == self.next_in && (segment.fin || segment.seq == end))
    }

    /// Whether a SYN belongs to a time before the connection's end: neither its number nor its timestamp is later
    /// (RFC 9293 section 3.10.7.4, RFC 6191).
    pub(crate) fn is_older(&self, syn: &Segment<'_>) -> bool {
        let newer = self
            .timestamps
            .zip(stamp(syn.options))
            .is_some_and(|(timestamps, stamp)| timestamps.is_newer(stamp));
        self.time_wait && self.next_in.is_after(syn.seq) && !newer
    }

    /// Answers a late segment with a bare acknowledgement.
    pub(crate) fn answer(&self, now: Micros, key: &PackedKey, out: &mut FrameBatch) {
        let options = match &self.timestamps {
            Some(timestamps) => Options::of_stamp(timestamps.stamp(now)),
            None => Options::NONE,
        };
        let ack = Outgoing::bare_ack(self.next_out, self.next_in, self.window, &options);
        Ends::new(key).write(out, &ack);
    }
}

/// A bounded memory of closed tuples, oldest forgotten first.
#[derive(Debug)]
pub(crate) struct Tombstones {
    by_key: HashMap<PackedKey, Placed, FoldState>,
    order: VecDeque<Place>,
    limit: usize,
    placed: u64,
}

#[derive(Debug)]
struct Placed {
    stone: Tombstone,
    number: u64,
}

/// A stone's place in the order; a tuple that closed twice has a younger stone under another number.
#[derive(Clone, Copy, Debug)]
struct Place {
    until: Micros,
    key: PackedKey,
    number: u64,
}

impl Tombstones {
    pub(crate) fn new(secret: u64, limit: usize) -> Self {
        Self {
            by_key: HashMap::with_hasher(FoldState::new(secret)),
            order: VecDeque::new(),
            limit,
            placed: 0,
        }
    }

    pub(crate) fn insert(&mut self, key: PackedKey, stone: Tombstone) {
        while self.order.len() >= self.limit.max(1) {
            if let Some(place) = self.order.pop_front() {
                self.forget(place);
            }
        }
        self.placed += 1;
        let (until, number) = (stone.until, self.placed);
        self.by_key.insert(key, Placed { stone, number });
        self.order.push_back(Place { until, key, number });
    }

    pub(crate) fn find(&mut self, now: Micros, key: &PackedKey) -> Option<Tombstone> {
        // Each pass takes a place off the front or moves a prolonged one to the back: once round at the most.
        for _ in 0..self.order.len() {
            let Some(place) = self.order.front().copied() else {
                break;
            };
            if place.until > now {
                break;
            }
            self.order.pop_front();
            match self.standing(&place) {
                Some(until) if until > now => self.order.push_back(Place { until, ..place }),
                _ => self.forget(place),
            }
        }
        self.by_key
            .get(key)
            .map(|placed| placed.stone)
            .filter(|stone| stone.until > now)
    }

    /// Keeps a tombstone until `until`.
    pub(crate) fn prolong(&mut self, key: &PackedKey, until: Micros) {
        if let Some(placed) = self.by_key.get_mut(key) {
            placed.stone.until = until;
        }
    }

    pub(crate) fn remove(&mut self, key: &PackedKey) {
        // Its place in the order goes when its time comes.
        self.by_key.remove(key);
    }

    /// Until when the tombstone of a place is kept, if it is still the one.
    fn standing(&self, place: &Place) -> Option<Micros> {
        let placed = self.by_key.get(&place.key)?;
        (placed.number == place.number).then_some(placed.stone.until)
    }

    fn forget(&mut self, place: Place) {
        if self.standing(&place).is_some() {
            self.by_key.remove(&place.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::net::SocketAddr;

    use super::*;
    use crate::flow::key::{FlowKey, Proto};

    fn key(port: u16) -> PackedKey {
        PackedKey::from(&FlowKey {
            proto: Proto::Tcp,
            client: SocketAddr::from(([10, 0, 0, 2], port)),
            server: SocketAddr::from(([192, 0, 2, 1], 80)),
        })
    }

    fn until(seconds: u64) -> Tombstone {
        Tombstone {
            next_out: Seq(1),
            next_in: Seq(2),
            window: 3,
            timestamps: None,
            time_wait: true,
            until: Micros(0).plus(Duration::from_secs(seconds)),
        }
    }

    fn at(seconds: u64) -> Micros {
        Micros(0).plus(Duration::from_secs(seconds))
    }

    #[test]
    fn a_prolonged_stone_outlives_its_place() {
        let mut stones = Tombstones::new(1, 8);
        stones.insert(key(1), until(10));
        stones.insert(key(2), until(10));
        stones.prolong(&key(1), at(20));
        assert!(stones.find(at(15), &key(1)).is_some());
        assert!(stones.find(at(15), &key(2)).is_none());
        assert!(stones.find(at(20), &key(1)).is_none());
        assert!(stones.by_key.is_empty() && stones.order.is_empty());
    }

    #[test]
    fn the_limit_holds_for_prolonged_stones() {
        let mut stones = Tombstones::new(1, 4);
        for port in 1..100 {
            stones.insert(key(port), until(10));
            stones.prolong(&key(port), at(1000 + u64::from(port)));
        }
        assert_eq!((stones.by_key.len(), stones.order.len()), (4, 4));
    }
}
