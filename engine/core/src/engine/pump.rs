//! A dirty flow's turn: lend bytes, emit, notice what changed, end what has ended.

use crate::api::output::{By, Close, How, RemoteEnd};
use crate::api::time::Micros;
use crate::dns::Asker;
use crate::engine::{BATCH, Engine, Event, Own};
use crate::flow::table::{FlowId, Kind};
use crate::tcp::connection::Context;
use crate::tcp::{Live, Phase};

/// What a turn decided, once the borrow of the flow is over.
enum Verdict {
    /// Nothing more for now.
    Rest,
    /// The output batch is full: another turn after it was taken.
    Again,
    /// Bytes for the dialer.
    Lend(usize),
    /// The flow ended in order; its tuple is remembered.
    Bury(Close),
    /// The flow ended, and the device has said so itself.
    Finish(Close),
    /// The flow ended, and the device must be told.
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

    /// Takes the lent bytes off their ring, now that the host has had them.
    pub(super) fn settle(&mut self, now: Micros) {
        let Some((id, count)) = self.lent.take() else {
            return;
        };
        self.took(now, id, count);
    }

    pub(super) fn took(&mut self, now: Micros, id: FlowId, count: usize) {
        let Some(flow) = self.flows.get(id) else {
            return;
        };
        let Kind::Tcp(tcp) = &mut flow.kind else {
            return;
        };
        let Phase::Live(live) = &mut tcp.phase else {
            return;
        };
        let mut queries = Vec::new();
        if let Some(streams) = &mut live.dns {
            let bytes = live.connection.peek();
            let bytes = bytes.get(..count).unwrap_or(bytes);
            streams
                .upstream
                .push(bytes, |message| queries.push(message.to_vec()));
        }
        self.pool.touch(now);
        live.connection.consume(&mut self.pool, count);
        live.last_activity = now;
        flow.upstream += count as u64;
        let (local, server) = (flow.local, flow.key.unpack().server);
        if !local {
            self.counters.upstream_bytes += count as u64;
        }
        self.mark_dirty(id.slot);
        for query in queries {
            if local {
                // A message that is no query deserves no answer; the connection may bring others.
                let _ = self.intercept(now, Asker::Stream(id), &query);
            } else {
                self.note_query(id, server, &query);
            }
        }
    }

    /// Gives `slot` its turn; says how many bytes of which flow are to be lent.
    pub(super) fn pump(&mut self, now: Micros, slot: u32) -> Option<(FlowId, usize)> {
        self.timers.forget();
        let flow = self.flows.at(slot)?;
        flow.dirty = false;
        let id = flow.id;
        if matches!(flow.kind, Kind::Udp(_)) {
            self.release_datagrams(id);
            return None;
        }
        match self.turn(now, slot)? {
            Verdict::Rest => self.arm(now, slot),
            Verdict::Again => self.mark_dirty(slot),
            // Its next turn, once the bytes are taken, sets its timer.
            Verdict::Lend(count) => return Some((id, count)),
            Verdict::Bury(close) => {
                if let Some(flow) = self.finish(slot, close) {
                    self.bury(now, &flow);
                }
            }
            Verdict::Finish(close) => {
                self.finish(slot, close);
            }
            Verdict::Abort(close) => self.abort(slot, close),
        }
        None
    }

    fn turn(&mut self, now: Micros, slot: u32) -> Option<Verdict> {
        let flow = self.flows.at(slot)?;
        let (id, local) = (flow.id, flow.local);
        let Kind::Tcp(tcp) = &mut flow.kind else {
            return None;
        };
        let blocked = tcp.blocked;
        let Phase::Live(live) = &mut tcp.phase else {
            return Some(Verdict::Rest);
        };
        if !blocked && live.connection.unread() > 0 {
            // Lend before emitting, so that one acknowledgement says it all, window included.
            return Some(Verdict::Lend(live.connection.peek().len()));
        }
        if live.reset {
            // Bytes that came before the reset were lent first, unless the dialer takes none.
            return Some(Verdict::Finish(Close {
                by: By::Device,
                how: How::Reset,
            }));
        }
        if live.remote_end == Some(RemoteEnd::Eof) {
            live.connection.finish();
        }
        let more = live.connection.wants_room();
        if more > 0 && self.room.fits(more) {
            live.connection.widen();
            flow.cost += more;
            self.room.charge(more);
            self.counters.ring_bytes += more as u64;
        }
        let mut context = Context {
            pool: &mut self.pool,
            out: &mut self.out,
        };
        let emission = live.connection.emit(now, &mut context, BATCH);
        self.counters.tcp_retransmissions += emission.again;
        if emission.full {
            return Some(Verdict::Again);
        }
        if live.connection.device_closed() && live.connection.unread() == 0 && !live.fin_relayed {
            live.fin_relayed = true;
            live.first_end.get_or_insert(By::Device);
            #[cfg(feature = "seeded-fault")]
            if crate::seeded_fault::is(crate::seeded_fault::Fault::HalfClose) {
                return Some(Verdict::Rest);
            }
            // A close that follows at once says it as well.
            if !live.connection.is_over() {
                self.events.push_back(if local {
                    Event::Own {
                        flow: id,
                        what: Own::HalfClose,
                    }
                } else {
                    Event::HalfClose { flow: id }
                });
            }
        }
        if let Some(verdict) = ending(live) {
            return Some(verdict);
        }
        let (space, bound) = live.connection.space();
        if live.starved
            && live.remote_end.is_none()
            && live.connection.is_established()
            && space * 2 >= bound
        {
            live.starved = false;
            #[cfg(feature = "seeded-fault")]
            if crate::seeded_fault::is(crate::seeded_fault::Fault::Resume) {
                return Some(Verdict::Rest);
            }
            self.events.push_back(Event::Resume { flow: id, space });
        }
        Some(Verdict::Rest)
    }

    /// Ends a flow and tells the device with a reset that stands beyond all that was ever emitted.
    pub(super) fn abort(&mut self, slot: u32, close: Close) {
        let Some(flow) = self.finish(slot, close) else {
            return;
        };
        let Kind::Tcp(tcp) = &flow.kind else { return };
        let key = flow.key.unpack();
        match &tcp.phase {
            Phase::Dialing(held) => self.refuse(&key, held.isn),
            Phase::Live(live) => self.control(&key, live.connection.reset()),
        }
    }
}

/// Whether the flow is at its end, and how it ends.
fn ending(live: &Live) -> Option<Verdict> {
    let end = match live.remote_end {
        Some(RemoteEnd::Reset) => Some(How::Reset),
        Some(RemoteEnd::Error) => Some(How::Error),
        Some(RemoteEnd::Eof) | None => None,
    };
    if let Some(how) = end
        && live.connection.all_sent()
    {
        return Some(Verdict::Abort(Close {
            by: By::Remote,
            how,
        }));
    }
    (live.connection.is_over() && live.fin_relayed).then(|| {
        Verdict::Bury(Close {
            by: live.first_end.unwrap_or(By::Engine),
            how: How::Fin,
        })
    })
}
