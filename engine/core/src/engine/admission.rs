//! Who gets in, what that costs, and what a device sees when there is no room.

use crate::api::config::Refusal;
use crate::api::log::{Breadcrumb, LogLevel};
use crate::api::output::{By, Close, How};
use crate::api::time::Micros;
use crate::engine::{Engine, Event};
use crate::flow::key::{FlowKey, PackedKey, Proto};
use crate::flow::room;
use crate::flow::table::{FlowId, Kind};
use crate::ip::icmp::Problem;
use crate::tcp::Phase;
use crate::tcp::seq::Seq;

impl Engine {
    /// Whether another TCP flow can be admitted. If there is no room, the flow that has gone without being established
    /// for longest makes some, once it has had its time: a flood of SYNs cannot keep the others out.
    pub(super) fn room_for_tcp(&mut self, now: Micros) -> bool {
        let candidate = if self.room.dialing() >= self.config.dial_limit() {
            self.room.oldest_dial()
        } else if self.flows.count(Proto::Tcp) >= self.config.tcp_limit
            || !self.room.fits(room::PENDING)
        {
            self.room.oldest()
        } else {
            return true;
        };
        let Some((opened, slot)) = candidate else {
            return false;
        };
        if opened.plus(self.config.admission_grace) > now {
            return false;
        }
        self.evict(now, slot);
        true
    }

    fn evict(&mut self, now: Micros, slot: u32) {
        self.counters.tcp_evicted += 1;
        match self.finish_tcp(slot, Close::new(By::Engine, How::Admission)) {
            // Nothing was answered yet: it is answered as one that was never let in.
            Some((key, Phase::Dialing(held))) => {
                self.answer_refused(now, &key.unpack(), Some(held.end), &held.quote);
            }
            Some((key, Phase::Live(live))) => self.send(&key, &live.connection.reset()),
            None => {}
        }
    }

    /// Answers that there is no room, in the way that is set; `end` is where the device's SYN ends, if it is one.
    pub(super) fn answer_refused(
        &mut self,
        now: Micros,
        key: &FlowKey,
        end: Option<Seq>,
        frame: &[u8],
    ) {
        self.log(LogLevel::Warn, Breadcrumb::Limit, |redact| {
            let (from, to) = (redact.hide(key.client), redact.hide(key.server));
            format!("no room for {from} to {to}")
        });
        if self.out.len() >= self.config.output_limit {
            return;
        }
        match (self.config.admission_refusal, end) {
            (Refusal::Drop, _) => {}
            (Refusal::Reset, Some(end)) => self.refuse(&PackedKey::from(key), end),
            (Refusal::Reset | Refusal::Icmp, _) => {
                self.report(now, key.server.ip(), Problem::Prohibited, frame);
            }
        }
    }

    /// Puts a flow into the table, charges it and asks the host for its dial, with the name the device knows the
    /// address under. A flow that the engine answers itself is dialed by the engine.
    pub(super) fn admit(&mut self, now: Micros, packed: PackedKey, kind: Kind) -> FlowId {
        let (tcp, cost) = match &kind {
            Kind::Tcp(_) => (true, room::PENDING),
            Kind::Udp(udp) => (false, room::MAPPING + udp.queued()),
        };
        let key = kind.tuple(&packed);
        let name = self.names.name_of(now, key.server.ip());
        let local = tcp && self.intercepts(key.server);
        let flow = self
            .flows
            .insert(now, packed, cost, name.clone(), local, kind);
        self.room.charge(cost);
        if tcp {
            self.room.dials(now, flow.slot);
        }
        match key.proto {
            Proto::Tcp if local => self.counters.dns_streams += 1,
            Proto::Tcp => self.counters.tcp_dials += 1,
            Proto::Udp => self.counters.udp_dials += 1,
        }
        #[cfg(feature = "seeded-fault")]
        if crate::seeded_fault::is(crate::seeded_fault::Fault::DialTwice) {
            let name = None;
            self.events.push_back(Event::Dial { flow, key, name });
        }
        self.events.push_back(if local {
            Event::LocalDial { flow }
        } else {
            Event::Dial { flow, key, name }
        });
        self.arm(now, flow.slot);
        flow
    }
}
