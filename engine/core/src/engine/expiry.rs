//! Deadlines: armed lazily, looked at again when they come due, each expiry a close with its reason.

use core::time::Duration;

use crate::api::output::{By, Close, DialResult, How};
use crate::api::time::Micros;
use crate::engine::Engine;
use crate::flow::table::{Entry, FlowId, Kind};
use crate::flow::timer::{Deadline, TimerName};
use crate::tcp::Phase;

/// How long after its turn a flow is looked at again, at the earliest.
const TICK: Duration = Duration::from_millis(1);

/// How long a device has to answer what is sent again after a sleep that outlasted the retransmission limit.
const AFTER_SLEEP: Duration = Duration::from_secs(10);

impl Engine {
    /// Acts upon every deadline that has come. Safe to call early; a clock that jumped by hours expires each
    /// flow once.
    pub fn handle_timeout(&mut self, now: Micros) {
        let now = self.clock.at(now);
        self.counters.timeouts += 1;
        self.pool.trim(now);
        self.settle(now);
        self.expire_fragments(now);
        self.expire_queries(now);
        // Each flow due is looked at once: afterwards it is dirty, closed, or armed for later.
        let mut due = Vec::new();
        while let Some((_, slot)) = self.timers.first_until(now) {
            self.timers.disarm(slot);
            due.push(slot);
        }
        for slot in due {
            self.expire(now, slot);
        }
    }

    fn expire(&mut self, now: Micros, slot: u32) {
        let Some((at, timer)) = self.flow_deadline(now, slot) else {
            return;
        };
        if at > now {
            self.arm(now, slot);
            return;
        }
        let close = |how| Close::new(By::Engine, how);
        let Some(id) = self.flows.peek(slot).map(|entry| entry.flow.id) else {
            return;
        };
        match timer {
            TimerName::Transmit => {
                self.forgive_sleep(now, id);
                self.mark_dirty(slot);
            }
            TimerName::Dial => {
                let result = DialResult::TimedOut;
                self.end_dial(now, slot, result, close(How::Dial(result)));
            }
            TimerName::Handshake => {
                self.counters.tcp_handshake_timeout += 1;
                self.abort(slot, close(How::Handshake));
            }
            TimerName::RetransmissionLimit => {
                self.counters.tcp_abandoned += 1;
                self.abort(slot, close(How::Abandoned));
            }
            TimerName::Linger => {
                if let Ok((_, live)) = self.flows.live(id)
                    && let Some((how, _)) = live.remote_broke()
                {
                    self.counters.tcp_linger_timeout += 1;
                    self.abort(slot, Close::new(By::Remote, how));
                }
            }
            TimerName::KeepAlive => self.keep_alive(now, id),
            TimerName::Idle => {
                self.count_idle(slot, timer);
                self.abort(slot, close(How::Idle));
            }
            TimerName::HalfClosed | TimerName::FinWait => {
                self.count_idle(slot, timer);
                self.abort(slot, close(How::HalfClosed));
            }
            TimerName::Reassembly | TimerName::Resolve => {}
        }
    }

    /// A host that slept past the retransmission limit received nothing meanwhile: what goes out now may still be
    /// answered.
    fn forgive_sleep(&mut self, now: Micros, id: FlowId) {
        let limit = self.config.retransmission_limit;
        if let Ok((_, live)) = self.flows.live(id)
            && live.connection.awaits_progress()
            && live.connection.progress().plus(limit) <= now
        {
            let left = limit.saturating_sub(AFTER_SLEEP);
            let left = u64::try_from(left.as_micros()).unwrap_or(u64::MAX);
            if live.connection.forgive(Micros(now.0.saturating_sub(left))) {
                live.last_activity = now;
            }
        }
    }

    fn count_idle(&mut self, slot: u32, timer: TimerName) {
        let counters = &mut self.counters;
        match self.flows.peek(slot).map(|entry| &entry.kind) {
            Some(Kind::Udp(udp)) => {
                counters.udp_idle_timeout += 1;
                counters.dns_idle_timeout += u64::from(udp.is_dns());
            }
            Some(Kind::Tcp(_)) => {
                counters.tcp_idle_timeout += 1;
                counters.tcp_half_closed_timeout += u64::from(timer == TimerName::HalfClosed);
                counters.tcp_fin_wait_timeout += u64::from(timer == TimerName::FinWait);
            }
            None => {}
        }
    }

    /// Probes a silent device, or gives it up (RFC 9293 section 3.8.4).
    fn keep_alive(&mut self, now: Micros, id: FlowId) {
        let limit = self.config.keep_alive_probes;
        let Ok((_, live)) = self.flows.live(id) else {
            return;
        };
        if live.probes >= limit {
            self.counters.tcp_abandoned += 1;
            self.counters.tcp_keep_alive_timeout += 1;
            return self.abort(id.slot, Close::new(By::Engine, How::Abandoned));
        }
        live.probes += 1;
        live.connection.keep_alive(now, &mut self.out);
        self.counters.tcp_keep_alives += 1;
        self.arm(now, id.slot);
    }

    /// Puts the flow's next deadline into the queue, if it is earlier than the one there.
    pub(super) fn arm(&mut self, now: Micros, slot: u32) {
        // What is due at once was done in the flow's turn: a tick later, so that nothing spins.
        if let Some((at, _)) = self.flow_deadline(now, slot) {
            self.timers.arm(slot, at.max(now.plus(TICK)));
        }
    }

    /// The earliest true deadline of any flow. Entries found to be early are moved on the way.
    pub(super) fn first_flow_deadline(&mut self) -> Option<Deadline> {
        if let Some(known) = self.timers.known() {
            return Some(known);
        }
        while let Some((armed, slot)) = self.timers.first() {
            let Some((at, timer)) = self.flow_deadline(armed, slot) else {
                self.timers.disarm(slot);
                continue;
            };
            if at <= armed {
                let flow = self.flows.peek(slot).map(|entry| entry.flow.id);
                let at = armed;
                let deadline = Deadline { at, timer, flow };
                self.timers.know(deadline);
                return Some(deadline);
            }
            self.timers.disarm(slot);
            self.timers.arm(slot, at);
        }
        None
    }

    /// When and why a flow must be looked at again.
    pub(super) fn flow_deadline(&mut self, now: Micros, slot: u32) -> Option<(Micros, TimerName)> {
        let Self { flows, config, .. } = self;
        let Entry { flow, kind } = flows.peek(slot)?;
        match kind {
            Kind::Udp(udp) if !udp.connected => {
                Some((udp.opened.plus(config.dial_timeout), TimerName::Dial))
            }
            Kind::Udp(udp) => {
                let limit = if udp.is_dns() {
                    config.dns_idle
                } else {
                    config.udp_idle
                };
                Some((udp.last_activity.plus(limit), TimerName::Idle))
            }
            Kind::Tcp(tcp) => match &tcp.phase {
                Phase::Dialing(held) => {
                    Some((held.since.plus(config.dial_timeout), TimerName::Dial))
                }
                Phase::Live(live) => {
                    let mut own = live.own_deadline(config);
                    let idle = live.last_activity.plus(config.dns_idle);
                    if flow.local && idle < own.0 {
                        own = (idle, TimerName::Idle);
                    }
                    match live.connection.deadline() {
                        Some(at) if at < own.0 => Some((at.max(now), TimerName::Transmit)),
                        _ => Some(own),
                    }
                }
            },
        }
    }

    pub(super) fn resolve_deadline(&self) -> Option<Deadline> {
        let at = self.pending.next_deadline()?;
        Some(Deadline {
            at,
            timer: TimerName::Resolve,
            flow: None,
        })
    }

    pub(super) fn reassembly_deadline(&self) -> Option<Deadline> {
        let at = self.reassembly.next_deadline()?;
        Some(Deadline {
            at,
            timer: TimerName::Reassembly,
            flow: None,
        })
    }
}
