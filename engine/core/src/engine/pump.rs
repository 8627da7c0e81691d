//! A dirty flow's turn: lend bytes, emit, notice what changed, end what has ended.

use std::collections::VecDeque;

use crate::api::batch::FrameBatch;
use crate::api::config::Config;
use crate::api::counters::Counters;
use crate::api::output::{By, Close, How};
use crate::api::time::Micros;
use crate::dns::Asker;
use crate::engine::{BATCH, Engine, Event, Lending};
use crate::flow::room::{self, Room};
use crate::flow::table::{Entry, Flow, Kind};
use crate::tcp::connection::Context;
use crate::tcp::ring::Pool;
use crate::tcp::tombstone::Tombstone;
use crate::tcp::{Live, Phase};

/// What a turn decided, once the borrow of the flow is over.
enum Verdict {
    /// Nothing more for now.
    Rest,
    /// The output batch is full: another turn after it was taken.
    Again,
    /// Bytes for the dialer.
    Lend(usize),
    /// The flow ended in order; this remembers its tuple.
    Bury(Close, Tombstone),
    /// The flow ended by the device itself.
    Finish(Close),
    /// The flow ended, and the device must get a reset.
    Abort(Close),
}

impl Engine {
    /// How every input begins; gives the engine's own time.
    pub(super) fn enter(&mut self, now: Micros) -> Micros {
        let now = self.clock.at(now);
        self.timers.forget();
        self.pool.trim(now);
        self.settle(now);
        now
    }

    /// Takes what the host took of the lent bytes off their ring; a flow whose bytes were not all taken is blocked.
    #[inline]
    pub(super) fn settle(&mut self, now: Micros) {
        if let Some(lent) = self.lent.take() {
            self.take_back(now, lent);
        }
    }

    fn take_back(&mut self, now: Micros, lent: Lending) {
        let Ok((flow, tcp)) = self.flows.tcp(lent.flow) else {
            return;
        };
        let Phase::Live(live) = &mut tcp.phase else {
            return;
        };
        let mut queries = Vec::new();
        if let Some(streams) = &mut live.dns {
            let bytes = live.connection.peek();
            let bytes = bytes.get(..lent.taken).unwrap_or(bytes);
            streams
                .upstream
                .push(bytes, |message| queries.push(message.to_vec()));
        }
        self.pool.touch(now);
        live.connection.consume(&mut self.pool, lent.taken);
        live.last_activity = now;
        tcp.blocked |= lent.taken < lent.count;
        flow.upstream += lent.taken as u64;
        if !lent.local {
            self.counters.upstream_bytes += lent.taken as u64;
        }
        flow.mark_dirty(&mut self.dirty);
        if queries.is_empty() {
            return;
        }
        let server = flow.key.unpack().server;
        for query in queries {
            if lent.local {
                // A message that is no query deserves no answer; the connection may bring others.
                let _ = self.intercept(now, Asker::Stream(lent.flow), &query);
            } else {
                self.note_query(lent.flow, server, &query);
            }
        }
    }

    /// Gives `slot` its turn; returns what is to be lent.
    pub(super) fn pump(&mut self, now: Micros, slot: u32) -> Option<Lending> {
        self.timers.forget();
        let Entry { flow, kind } = self.flows.at(slot)?;
        flow.begin_turn();
        let id = flow.id;
        let tcp = match kind {
            Kind::Tcp(tcp) => tcp,
            Kind::Udp(_) => {
                self.release_datagrams(id);
                return None;
            }
        };
        let verdict = match &mut tcp.phase {
            Phase::Dialing(_) => Verdict::Rest,
            Phase::Live(live) => {
                let mut turn = Turn {
                    now,
                    config: &self.config,
                    counters: &mut self.counters,
                    room: &mut self.room,
                    events: &mut self.events,
                    pool: &mut self.pool,
                    out: &mut self.out,
                };
                turn.take(flow, live, tcp.blocked)
            }
        };
        match verdict {
            Verdict::Rest => self.arm(now, slot),
            Verdict::Again => self.mark_dirty(slot),
            // Its next turn, once the bytes are taken, sets its timer.
            Verdict::Lend(count) => {
                return Some(Lending {
                    flow: id,
                    count,
                    taken: 0,
                    local: flow.local,
                });
            }
            Verdict::Bury(close, stone) => {
                let key = flow.key;
                self.finish(slot, close);
                self.tombstones.insert(key, stone);
            }
            Verdict::Finish(close) => {
                self.finish(slot, close);
            }
            Verdict::Abort(close) => self.abort(slot, close),
        }
        None
    }

    /// Ends a flow, toward the device with a reset beyond everything that was ever sent.
    pub(super) fn abort(&mut self, slot: u32, close: Close) {
        match self.finish_tcp(slot, close) {
            Some((key, Phase::Dialing(held))) => self.refuse(&key, held.end),
            Some((key, Phase::Live(live))) => self.send(&key, &live.connection.reset()),
            None => {}
        }
    }
}

/// What a connected flow's turn works with, beside the flow.
struct Turn<'a> {
    now: Micros,
    config: &'a Config,
    counters: &'a mut Counters,
    room: &'a mut Room,
    events: &'a mut VecDeque<Event>,
    pool: &'a mut Pool,
    out: &'a mut FrameBatch,
}

impl Turn<'_> {
    fn take(&mut self, flow: &mut Flow, live: &mut Live, blocked: bool) -> Verdict {
        if !blocked && live.connection.unread() > 0 {
            // Lend before emitting, so that one acknowledgement covers the bytes and the window.
            return Verdict::Lend(live.connection.peek().len());
        }
        if live.reset {
            // Bytes that came before the reset were lent first, unless the dialer takes none.
            return Verdict::Finish(Close::new(By::Device, How::Reset));
        }
        if live.remote_closed() {
            live.connection.finish();
        }
        self.widen(flow, live);
        let mut context = Context {
            pool: self.pool,
            out: self.out,
        };
        let emission = live.connection.emit(self.now, &mut context, BATCH);
        self.counters.tcp_retransmissions += emission.again;
        if emission.full {
            return Verdict::Again;
        }
        self.relay_fin(flow, live);
        if let Some(verdict) = self.ending(live) {
            return verdict;
        }
        self.resume(flow, live);
        Verdict::Rest
    }

    /// Lets the rings of a flow grow with their use, as far as the budget allows: never into what the flows that may yet connect
    /// begin with.
    fn widen(&mut self, flow: &mut Flow, live: &mut Live) {
        let more = live.connection.wants_room();
        if more > 0 && self.room.fits(more.saturating_add(self.kept_free())) {
            live.connection.widen();
            flow.cost += more;
            self.room.charge(more);
            self.counters.ring_bytes += more as u64;
        }
    }

    /// Bytes of the budget that flows to come will be charged when they connect.
    fn kept_free(&self) -> usize {
        let connected = usize::try_from(self.counters.tcp_connected).unwrap_or(usize::MAX);
        let absent = self.config.tcp_limit.saturating_sub(connected);
        let each = self.config.rx_ring() + self.config.tx_ring() + room::SOCKET;
        absent.saturating_mul(each)
    }

    /// Relays the device's FIN to the dialer once that has every byte before it.
    fn relay_fin(&mut self, flow: &Flow, live: &mut Live) {
        if live.fin_relayed || !live.connection.device_closed() || live.connection.unread() > 0 {
            return;
        }
        live.fin_relayed = true;
        live.first_end.get_or_insert(By::Device);
        #[cfg(feature = "seeded-fault")]
        if crate::seeded_fault::is(crate::seeded_fault::Fault::HalfClose) {
            return;
        }
        // A close that follows at once implies it.
        if !live.connection.is_over() {
            let (local, flow) = (flow.local, flow.id);
            self.events.push_back(if local {
                Event::LocalHalfClose { flow }
            } else {
                Event::HalfClose { flow }
            });
        }
    }

    /// Asks a dialer that was refused room for more, once half of the ring is free.
    fn resume(&mut self, flow: &Flow, live: &mut Live) {
        let (space, bound) = live.connection.space();
        if live.starved
            && live.remote_end.is_none()
            && live.connection.is_established()
            && space * 2 >= bound
        {
            live.starved = false;
            #[cfg(feature = "seeded-fault")]
            if crate::seeded_fault::is(crate::seeded_fault::Fault::Resume) {
                return;
            }
            let flow = flow.id;
            self.events.push_back(Event::Resume { flow, space });
        }
    }

    /// Whether the flow is at its end, and how it ends.
    fn ending(&self, live: &mut Live) -> Option<Verdict> {
        if let Some((how, _)) = live.remote_broke()
            && live.connection.all_sent()
        {
            return Some(Verdict::Abort(Close::new(By::Remote, how)));
        }
        if !live.connection.is_over() || !live.fin_relayed {
            return None;
        }
        let close = Close::new(live.first_end.unwrap_or(By::Engine), How::Fin);
        Some(Verdict::Bury(close, live.tombstone(self.now, self.config)))
    }
}
