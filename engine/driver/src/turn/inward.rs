//! Dialer events on their way into the engine.

use engine::{DialResult, FlowId, Micros, Misuse, PathChange};

use super::event::Event;
use super::host::{Host, Notice};
use super::inbox::Pending;
use super::mailbox::ControlEvents;
use super::tap::{Crossing, cross};
use super::{CHUNK, FED, Turn};

impl Turn {
    /// Delivers to the engine what concerns it as a whole.
    pub(super) fn deliver_control(&mut self, now: Micros, events: ControlEvents) {
        for (query, resolution) in events.resolutions {
            // An answer that comes too late is obsolete: the device has got a failure.
            let _ = self.engine.resolved(now, query, resolution);
        }
        // Several at once are one: the last path counts.
        if events.path_changed {
            self.cross(now, Crossing::PathChanged);
            self.engine.path_changed(now, PathChange::Network);
        }
        for address in events.addresses_lost {
            self.cross(now, Crossing::AddressLost(address));
            self.engine
                .path_changed(now, PathChange::AddressLost(address));
        }
    }

    /// Delivers the events of UDP flows to the engine, up to [`Limits::turn_bytes`](crate::Limits::turn_bytes); a drain after
    /// each part. `false`: the budget ended before.
    pub(super) fn deliver_datagrams<H: Host + ?Sized>(
        &mut self,
        now: Micros,
        host: &mut H,
        budget: &mut usize,
    ) -> bool {
        let mut events = core::mem::take(&mut self.events);
        let (mut delivered, mut fed, mut count) = (0, 0, 0);
        let mut open = true;
        while open && delivered < self.limits.turn_bytes {
            let Some((flow, event)) = events.next() else {
                break;
            };
            let cost = event.cost();
            delivered += cost;
            fed += cost;
            count += 1;
            if let Err(why) = self.deliver_event(now, host, flow, event) {
                refused(host, flow, why);
            }
            if count >= CHUNK || fed >= FED {
                (fed, count) = (0, 0);
                open = self.drain(now, host, budget);
            }
        }
        self.events = events;
        open && (count == 0 || self.drain(now, host, budget))
    }

    /// Delivers to the engine what waits in inboxes, each in its turn, up to [`Limits::turn_bytes`](crate::Limits::turn_bytes); a
    /// drain after each part.
    pub(super) fn deliver_inboxes<H: Host + ?Sized>(
        &mut self,
        now: Micros,
        host: &mut H,
        budget: &mut usize,
    ) {
        let (mut fed, mut delivered) = (0, 0);
        let mut undrained = false;
        // A flow that comes back into the queue has its next turn behind those that are there now.
        for _ in 0..self.limits.turn_flows {
            if delivered >= self.limits.turn_bytes {
                break;
            }
            let Some((flow, pending)) = self.next_inbox(now) else {
                break;
            };
            self.busy = true;
            let count = self.deliver(now, host, flow, pending);
            fed += count;
            delivered += count;
            undrained = true;
            if fed >= FED {
                (fed, undrained) = (0, false);
                if !self.drain(now, host, budget) {
                    return;
                }
            }
        }
        if undrained {
            self.drain(now, host, budget);
        }
    }

    fn next_inbox(&mut self, now: Micros) -> Option<(FlowId, Pending)> {
        let mut state = self.mailbox.state();
        loop {
            let (flow, since) = state.events.next_ready()?;
            if let Some(inbox) = state.flows.get_mut(flow) {
                self.stats.inbox_wait.record_span(since, now);
                return Some((flow, inbox.take()));
            }
        }
    }

    /// Delivers to the engine what waited in a flow's inbox; returns how many bytes it took.
    fn deliver<H: Host + ?Sized>(
        &mut self,
        now: Micros,
        host: &mut H,
        flow: FlowId,
        mut pending: Pending,
    ) -> usize {
        if pending.lingers {
            let until = now.plus(self.engine.config().linger);
            self.lingers.insert((until, flow));
        }
        let mut fed = 0;
        while let Some(event) = pending.next() {
            let failed = matches!(event, Event::Dialed(result) if result != DialResult::Connected);
            match self.deliver_event(now, host, flow, event) {
                Ok(taken) => {
                    fed += taken;
                    pending.took(taken);
                }
                Err(why) => {
                    refused(host, flow, why);
                    pending = Pending::default();
                }
            }
            if failed {
                break;
            }
        }
        let mut state = self.mailbox.state();
        let Some(inbox) = state.flows.get_mut(flow) else {
            state.recycle(pending.into_buffer());
            return fed;
        };
        let before = pending.memory() + inbox.memory();
        let spare = inbox.put_back(pending);
        let after = inbox.memory();
        let freed = before.saturating_sub(after);
        state.stream_memory = state.stream_memory.saturating_sub(freed);
        let limit = self.mailbox.inbox_limit(&state);
        let inbox = state.flows.get_mut(flow);
        let resume = inbox.and_then(|inbox| inbox.resumes(limit));
        state.recycle(spare);
        state.enqueue(flow, || now);
        drop(state);
        if let Some(space) = resume {
            host.resume(flow, space);
        }
        fed
    }

    /// Delivers one event to the engine, and to the tap; returns how many bytes of a stream the engine took.
    fn deliver_event<H: Host + ?Sized>(
        &mut self,
        now: Micros,
        host: &mut H,
        flow: FlowId,
        event: Event<'_>,
    ) -> Result<usize, Misuse> {
        match event {
            Event::Data(bytes) => return self.deliver_data(now, flow, bytes),
            Event::Writable => {
                self.cross(now, event.crossing(flow));
                if self.offer_refused(now, host, flow) {
                    self.engine.remote_writable(now, flow)?;
                } else {
                    self.cross(now, Crossing::Blocked(flow));
                }
                return Ok(0);
            }
            Event::Dialed(result) => self.engine.dial_result(now, flow, result)?,
            Event::Blocked => self.engine.remote_blocked(now, flow)?,
            Event::Datagram(Some(from), payload) => {
                self.engine.remote_datagram_from(now, flow, from, payload)?;
            }
            Event::Datagram(None, payload) => {
                self.engine.remote_datagram(now, flow, payload)?;
            }
            Event::Ended(end) => self.engine.remote_closed(now, flow, end)?,
        }
        cross(&mut self.tap, now, event.crossing(flow));
        Ok(0)
    }

    /// Offers bytes of a stream; the tap gets those that were not offered before.
    fn deliver_data(&mut self, now: Micros, flow: FlowId, bytes: &[u8]) -> Result<usize, Misuse> {
        let taken = self.engine.remote_data(now, flow, bytes)?;
        if let Some(tap) = &mut self.tap {
            let seen = self.offered.remove(&flow).unwrap_or(0);
            if let Some(fresh) = bytes.get(seen..).filter(|fresh| !fresh.is_empty()) {
                tap.crossed(now, Crossing::Data(flow, fresh));
            }
            if taken < bytes.len() {
                self.offered.insert(flow, bytes.len() - taken);
            }
        }
        Ok(taken)
    }

    /// Cuts what a device did not take for too long after its far side broke.
    pub(super) fn expire_lingering(&mut self, now: Micros) {
        while let Some((until, flow)) = self.lingers.first().copied() {
            if until > now {
                return;
            }
            self.lingers.pop_first();
            let mut state = self.mailbox.state();
            if let Some(inbox) = state.flows.get_mut(flow)
                && let Some(lost) = inbox.give_up()
            {
                self.stats.lingered_bytes += lost as u64;
                self.offered.remove(&flow);
                state.enqueue(flow, || now);
            }
        }
    }
}

/// The engine has refused an event. If it has ended the flow on its own account, the next drain brings the close.
fn refused<H: Host + ?Sized>(host: &mut H, flow: FlowId, why: Misuse) {
    if why != Misuse::StaleFlow {
        host.notice(&Notice::Refused { flow, why });
    }
}
