//! What dialers said, on its way into the engine.

use engine::{DialResult, FlowId, Micros, Misuse, PathChange, RemoteEnd};

use super::datagrams::Word;
use super::host::{Host, Notice};
use super::inbox::News;
use super::mailbox::Rare;
use super::tap::{Crossing, cross};
use super::{CHUNK, FED, Turn};

impl Turn {
    /// Tells the engine what comes rarely.
    pub(super) fn tell_rare(&mut self, now: Micros, rare: Rare) {
        for (query, resolution) in rare.resolutions {
            // An answer that comes too late is for nobody: the device has heard of a failure.
            let _ = self.engine.resolved(now, query, resolution);
        }
        // Several at once are one: the last path counts.
        if rare.path_changed {
            self.cross(now, Crossing::PathChanged);
            self.engine.path_changed(now, PathChange::Network);
        }
        for address in rare.addresses_lost {
            self.cross(now, Crossing::AddressLost(address));
            self.engine
                .path_changed(now, PathChange::AddressLost(address));
        }
    }

    /// Tells the engine what was said of UDP flows, until that were so many octets; a drain after each part. `false`: the
    /// budget ended before.
    pub(super) fn tell_words<H: Host + ?Sized>(
        &mut self,
        now: Micros,
        host: &mut H,
        budget: &mut usize,
    ) -> bool {
        let (mut told, mut fed, mut count) = (0, 0, 0);
        while told < self.limits.turn_bytes {
            let Some((flow, word)) = self.words.next() else {
                break;
            };
            let cost = word.cost();
            told += cost;
            fed += cost;
            count += 1;
            let (crossing, heard) = match word {
                Word::Datagram(from, payload) => {
                    let taken = match from {
                        Some(from) => self.engine.remote_datagram_from(now, flow, from, payload),
                        None => self.engine.remote_datagram(now, flow, payload),
                    };
                    let crossing = Crossing::Datagram(flow, from, payload);
                    (crossing, taken.map(|_| ()))
                }
                Word::Dialed(result) => {
                    let heard = self.engine.dial_result(now, flow, result);
                    (Crossing::Dialed(flow, result), heard)
                }
                Word::Ended(end) => {
                    let heard = self.engine.remote_closed(now, flow, end);
                    (Crossing::Ended(flow, end), heard)
                }
            };
            match heard {
                // The flow has ended meanwhile.
                Err(Misuse::StaleFlow) => {}
                Err(why) => host.notice(&Notice::Refused { flow, why }),
                Ok(()) => cross(&mut self.tap, now, crossing),
            }
            if count >= CHUNK || fed >= FED {
                (fed, count) = (0, 0);
                if !self.drain(now, host, budget) {
                    return false;
                }
            }
        }
        count == 0 || self.drain(now, host, budget)
    }

    /// Tells the engine what inboxes hold, each in its turn, until that were so many octets; a drain after each part.
    pub(super) fn tell_inboxes<H: Host + ?Sized>(
        &mut self,
        now: Micros,
        host: &mut H,
        budget: &mut usize,
    ) {
        let (mut fed, mut told) = (0, 0);
        let mut undrained = false;
        // A flow that comes back into the queue has its next turn behind those that stand there now.
        for _ in 0..self.limits.turn_flows {
            if told >= self.limits.turn_bytes {
                break;
            }
            let Some((flow, news)) = self.next_inbox(now) else {
                break;
            };
            self.busy = true;
            let count = self.tell(now, host, flow, news);
            fed += count;
            told += count;
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

    fn next_inbox(&mut self, now: Micros) -> Option<(FlowId, News)> {
        let mut state = self.mailbox.state();
        loop {
            let (flow, since) = state.ready.pop_front()?;
            if let Some(inbox) = state.flows.get_mut(flow) {
                self.stats.inbox_wait.record_span(since, now);
                return Some((flow, inbox.take()));
            }
        }
    }

    /// Tells the engine what a flow's dialer said; returns how many octets that was.
    fn tell<H: Host + ?Sized>(
        &mut self,
        now: Micros,
        host: &mut H,
        flow: FlowId,
        mut news: News,
    ) -> usize {
        let mut fed = 0;
        let told = self.try_tell(now, host, flow, &mut news, &mut fed);
        if news.lingers {
            let until = now.plus(self.engine.config().linger);
            self.lingers.insert((until, flow));
        }
        if let Err(why) = told {
            // The engine may have ended the flow on its own account, and says so in the next drain.
            if why != Misuse::StaleFlow {
                host.notice(&Notice::Refused { flow, why });
            }
            news = News::default();
        }
        let mut state = self.mailbox.state();
        let Some(inbox) = state.flows.get_mut(flow) else {
            state.recycle(news.into_buffer());
            return fed;
        };
        let before = news.memory() + inbox.memory();
        let spare = inbox.put_back(news);
        let after = inbox.memory();
        state.held = state.held.saturating_sub(before.saturating_sub(after));
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

    /// The part of [`Turn::tell`] that can fail; takes off `news` what was told.
    fn try_tell<H: Host + ?Sized>(
        &mut self,
        now: Micros,
        host: &mut H,
        flow: FlowId,
        news: &mut News,
        fed: &mut usize,
    ) -> Result<(), Misuse> {
        if let Some(result) = news.dial.take() {
            self.cross(now, Crossing::Dialed(flow, result));
            self.engine.dial_result(now, flow, result)?;
            if result != DialResult::Connected {
                return Ok(());
            }
        }
        match news.blocked.take() {
            Some(true) => {
                self.cross(now, Crossing::Blocked(flow));
                self.engine.remote_blocked(now, flow)?;
            }
            Some(false) => {
                self.cross(now, Crossing::Writable(flow));
                if self.offer_refused(now, host, flow) {
                    self.engine.remote_writable(now, flow)?;
                } else {
                    self.cross(now, Crossing::Blocked(flow));
                }
            }
            None => {}
        }
        if !news.is_told() {
            if let Some(tap) = &mut self.tap {
                let seen = self.offered.remove(&flow).unwrap_or(0);
                if let Some(fresh) = news.data().get(seen..).filter(|fresh| !fresh.is_empty()) {
                    tap.crossed(now, Crossing::Data(flow, fresh));
                }
            }
            let taken = self.engine.remote_data(now, flow, news.data())?;
            if self.tap.is_some() && taken < news.data().len() {
                self.offered.insert(flow, news.data().len() - taken);
            }
            *fed += taken;
            news.took(taken);
        }
        if news.is_told() {
            let eof = core::mem::take(&mut news.eof).then_some(RemoteEnd::Eof);
            for end in eof.into_iter().chain(news.broken.take()) {
                self.cross(now, Crossing::Ended(flow, end));
                self.engine.remote_closed(now, flow, end)?;
            }
        }
        Ok(())
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
