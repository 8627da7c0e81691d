//! A dirty flow's turn: emit under a budget, notice what changed, lend bytes, end what has ended.

use crate::api::batch::FrameBatch;
use crate::api::output::{By, Close, How, RemoteEnd};
use crate::api::time::Micros;
use crate::dns::Asker;
use crate::engine::{BATCH, Engine, Event, Own, augment};
use crate::flow::key::FlowKey;
use crate::flow::table::{Flow, FlowId, Kind};
use crate::ip::build::TcpControl;
use crate::tcp::crafted::Crafted;
use crate::tcp::stack::{Stack, State};
use crate::tcp::{LAG, Live, Phase};

/// What a turn decided, once the borrow of the flow is over.
enum Verdict {
    /// Nothing more for now.
    Rest,
    /// The output batch is full: another turn after it was taken.
    Again,
    /// Octets for the dialer.
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
        self.stack.trim(now);
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
            let bytes = live.socket.peek(&mut self.aside);
            let bytes = bytes.get(..count).unwrap_or(bytes);
            streams
                .upstream
                .push(bytes, |message| queries.push(message.to_vec()));
        }
        live.socket.consume(count);
        live.relayed = live.relayed.wrapping_add(u32::try_from(count).unwrap_or(0));
        live.last_activity = now;
        if count > 0 {
            live.budget_used = 0;
        }
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
            // Its next turn, once the octets are taken, sets its timer.
            Verdict::Lend(count) => return Some((id, count)),
            Verdict::Bury(close) => {
                if let Some(flow) = self.finish(slot, close) {
                    self.bury(now, &flow);
                    self.retire(now, flow);
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
        let key = flow.key;
        let Kind::Tcp(tcp) = &mut flow.kind else {
            return None;
        };
        let blocked = tcp.blocked;
        let Phase::Live(live) = &mut tcp.phase else {
            return Some(Verdict::Rest);
        };
        if !blocked && live.socket.unread() > 0 {
            // Lend before emitting, so that one acknowledgement says it all, window included.
            let count = live.socket.peek_len();
            return Some(Verdict::Lend(count));
        }
        let mut nudged = false;
        // Each pass either ends the turn or has changed the socket's state: four states at the most, and one nudge.
        for _ in 0..5 {
            while !live.reset {
                if self.out.len() >= BATCH {
                    return Some(Verdict::Again);
                }
                if live.budget_at != now {
                    (live.budget_at, live.budget_used) = (now, 0);
                }
                if live.budget_used > live.budget() {
                    self.counters.guard_endless_output += 1;
                    return Some(Verdict::Abort(Close {
                        by: By::Engine,
                        how: How::Guard,
                    }));
                }
                // The ring of a flow in TIME-WAIT must not be cleared while the dialer still reads from it.
                if live.socket.state() == State::TimeWait
                    && !live.expected().is_after(live.acknowledged)
                {
                    break;
                }
                if live.handshake_done() && (live.socket.send_queue() > 0 || live.unheard) {
                    steer(&mut self.stack, &mut self.scratch, now, live, &key.unpack());
                }
                let late = live.starts_late();
                let at = if late { now.plus(LAG) } else { now };
                let (stack, out) = (&mut self.stack, &mut self.out);
                if live.withholds(now) {
                    if live.owes_acknowledgement() {
                        let (key, scratch) = (key.unpack(), &mut self.scratch);
                        augment::prompt(stack, now, live, &key, scratch, out);
                    }
                    break;
                }
                let cut = augment::cut(live, now, &key);
                let floor = live.next_out();
                let Some(sent) = stack.egress(at, &mut live.socket, floor, out, cut) else {
                    break;
                };
                live.budget_used += 1;
                let again = augment::note(live, now, sent, out);
                live.lagging = (live.lagging || (late && sent.payload > 0)) && !again;
                self.counters.tcp_retransmissions += u64::from(again);
                if live.said_all(sent) {
                    break;
                }
            }
            match edges(live) {
                Edge::None if !nudged && stalled(&mut self.stack, now, live) => {
                    nudged = true;
                    self.counters.guard_stalls_nudged += 1;
                    nudge(&mut self.stack, &mut self.scratch, now, live, &key.unpack());
                    if live.device_window == 0
                        && live.unacknowledged()
                        && augment::probe(&mut self.stack, now, live, &mut self.out)
                    {
                        self.counters.tcp_retransmissions += 1;
                    }
                }
                Edge::None => break,
                Edge::HalfClose => self.events.push_back(if local {
                    Event::Own {
                        flow: id,
                        what: Own::HalfClose,
                    }
                } else {
                    Event::HalfClose { flow: id }
                }),
                Edge::Changed => {}
                Edge::End(verdict) => return Some(verdict),
            }
        }
        if live.starved
            && live.remote_end.is_none()
            && live.handshake_done()
            && live.socket.send_space() * 2 >= live.socket.send_capacity()
        {
            live.starved = false;
            self.events.push_back(Event::Resume {
                flow: id,
                space: live.socket.send_space(),
            });
        }
        Some(Verdict::Rest)
    }

    /// Sends what is unacknowledged once more, in segments of the size that now holds, without waiting for a timer.
    pub(super) fn resend(&mut self, now: Micros, slot: u32) {
        let Some(flow) = self.flows.at(slot) else {
            return;
        };
        let Kind::Tcp(tcp) = &mut flow.kind else {
            return;
        };
        let Phase::Live(live) = &mut tcp.phase else {
            return;
        };
        // Under a closed window nothing but a probe may go, which is as short as can be.
        if live.device_window > 0 && live.socket.send_queue() > 0 {
            let floor = live.next_out();
            // smoltcp goes back to the first unacknowledged octet only when its timer fires: for this one call it is
            // told that it does. The next one is late by what was left of this one.
            let fires = self.stack.poll_at(now, &live.socket).filter(|at| *at > now);
            let sent = fires.and_then(|at| {
                live.sender.rewind(live.acked);
                let cut = augment::cut(live, now, &flow.key);
                self.stack
                    .egress(at, &mut live.socket, floor, &mut self.out, cut)
            });
            if let Some(sent) = sent
                && augment::note(live, now, sent, &mut self.out)
            {
                self.counters.tcp_retransmissions += 1;
            }
        }
        self.mark_dirty(slot);
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
            Phase::Live(live) => {
                let (sequence, acknowledgement) = (live.next_out().0, live.expected().0);
                self.control(
                    &key,
                    TcpControl::ResetAck {
                        sequence,
                        acknowledgement,
                    },
                );
            }
        }
    }

    /// Keeps what another flow can use of one that has ended in order.
    fn retire(&mut self, now: Micros, flow: Flow) {
        if let Kind::Tcp(tcp) = flow.kind
            && let Phase::Live(live) = tcp.phase
            && !live.worn
        {
            self.stack.keep(now, live.socket);
        }
    }
}

/// Whether text waits and smoltcp has no timer left that would ever send it: a retransmission timer that fired
/// under a closed window, or one that a zero-window probe replaced, is not armed again.
fn stalled(stack: &mut Stack, now: Micros, live: &Live) -> bool {
    live.handshake_done()
        && !live.reset
        && live.socket.send_queue() > 0
        && stack.poll_at(now, &live.socket).is_none()
}

/// Tells smoltcp, in the device's name, how far it may send and what it must send again.
fn steer(stack: &mut Stack, scratch: &mut Vec<u8>, now: Micros, live: &mut Live, key: &FlowKey) {
    live.sender.before_sending(now, live.acked);
    if let Some(tiding) = live.tiding() {
        show(stack, scratch, now, live, key, tiding);
    }
    if live.sender.wants_repair() {
        order_repair(stack, scratch, now, live, key);
    }
}

/// Lets smoltcp see the device's last acknowledgement again, so that it arms a timer.
fn nudge(stack: &mut Stack, scratch: &mut Vec<u8>, now: Micros, live: &mut Live, key: &FlowKey) {
    if live.sender.shown() == 0 {
        let probe = live.acknowledgement(0);
        show(stack, scratch, now, live, key, probe);
    } else {
        order_repair(stack, scratch, now, live, key);
    }
}

/// Makes smoltcp send the first unacknowledged segment again: it does at a third duplicate. The first two differ in
/// their window, which starts its count afresh.
fn order_repair(
    stack: &mut Stack,
    scratch: &mut Vec<u8>,
    now: Micros,
    live: &mut Live,
    key: &FlowKey,
) {
    let window = live.shown_field();
    // In LAST-ACK it does not count, and under a closed window it must not send.
    if window == 0 || live.socket.state() == State::LastAck {
        return;
    }
    live.sender.repair_ordered();
    live.worn = true;
    let other = if window == 1 { 2 } else { window - 1 };
    for window in [other, window, window, window, window] {
        let told = live.acknowledgement(window);
        show(stack, scratch, now, live, key, told);
    }
}

fn show(
    stack: &mut Stack,
    scratch: &mut Vec<u8>,
    now: Micros,
    live: &mut Live,
    key: &FlowKey,
    told: Crafted,
) {
    told.write(scratch, key.client, key.server);
    let mut nowhere = FrameBatch::new();
    let floor = live.acked;
    stack.ingress(now, &mut live.socket, scratch, floor, &mut nowhere);
}

enum Edge {
    None,
    /// The state moved on: emit again.
    Changed,
    HalfClose,
    End(Verdict),
}

/// What the socket's state asks for next.
fn edges(live: &mut Live) -> Edge {
    let state = live.socket.state();
    if live.reset {
        // Bytes that came before the reset were lent first, unless the dialer takes none.
        return Edge::End(Verdict::Finish(Close {
            by: By::Device,
            how: How::Reset,
        }));
    }
    let drained = live.socket.unread() == 0;
    if live.device_closed() && drained && !live.fin_relayed {
        live.fin_relayed = true;
        live.first_end.get_or_insert(By::Device);
        // A close that follows at once says it as well.
        if !matches!(state, State::TimeWait | State::Closed) {
            return Edge::HalfClose;
        }
    }
    match live.remote_end {
        // smoltcp loses the SYN-ACK if it is closed before the handshake is done: the FIN follows once every byte
        // has left. In LAST-ACK it is deaf to window updates: the window must have room for a repetition by then.
        Some(RemoteEnd::Eof)
            if live.all_emitted()
                && (state == State::Established
                    || (state == State::CloseWait && live.window_holds_all())) =>
        {
            live.socket.close();
            return Edge::Changed;
        }
        Some(RemoteEnd::Reset) if live.all_emitted() => {
            return Edge::End(Verdict::Abort(Close {
                by: By::Remote,
                how: How::Reset,
            }));
        }
        Some(RemoteEnd::Error) if live.all_emitted() => {
            return Edge::End(Verdict::Abort(Close {
                by: By::Remote,
                how: How::Error,
            }));
        }
        _ => {}
    }
    let first = live.first_end.unwrap_or(By::Engine);
    match state {
        State::TimeWait if live.fin_relayed => Edge::End(Verdict::Bury(Close {
            by: first,
            how: How::Fin,
        })),
        State::Closed if live.fin_relayed => Edge::End(Verdict::Bury(Close {
            by: first,
            how: How::Fin,
        })),
        State::Closed if drained => Edge::End(Verdict::Finish(Close {
            by: By::Engine,
            how: How::Guard,
        })),
        _ => Edge::None,
    }
}
