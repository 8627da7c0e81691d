//! Who gets in, what that costs, and what a device sees when there is no room.

use crate::api::config::Refusal;
use crate::api::log::{Breadcrumb, LogLevel};
use crate::api::output::{By, Close, How};
use crate::api::time::Micros;
use crate::engine::Engine;
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
        let flows =
            self.flows.count(Proto::Tcp) >= self.config.tcp_limit || !self.room.fits(room::PENDING);
        let dials = self.room.dialing() >= self.config.dial_limit();
        if !flows && !dials {
            return true;
        }
        let candidate = if dials {
            self.room.oldest_dial()
        } else {
            self.room.oldest()
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
        let close = Close {
            by: By::Engine,
            how: How::Admission,
        };
        self.counters.tcp_evicted += 1;
        let held = self.flows.at(slot).and_then(|flow| {
            let Kind::Tcp(tcp) = &mut flow.kind else {
                return None;
            };
            match &mut tcp.phase {
                Phase::Dialing(held) => {
                    Some((flow.key, held.isn, core::mem::take(&mut held.quote)))
                }
                Phase::Live(_) => None,
            }
        });
        match held {
            // Nothing was answered yet: the device is told what any other would be told.
            Some((key, isn, frame)) => {
                self.finish(slot, close);
                self.answer_refused(now, &key.unpack(), Some(isn), &frame);
            }
            None => self.abort(slot, close),
        }
    }

    /// Tells the device that there is no room, in the way that is set.
    pub(super) fn answer_refused(
        &mut self,
        now: Micros,
        key: &FlowKey,
        isn: Option<Seq>,
        frame: &[u8],
    ) {
        self.log(LogLevel::Warn, Breadcrumb::Limit, |redact| {
            format!(
                "no room for {} to {}",
                redact.hide(key.client),
                redact.hide(key.server)
            )
        });
        if self.out.len() >= self.config.output_limit {
            return;
        }
        match (self.config.admission_refusal, isn) {
            (Refusal::Drop, _) => {}
            (Refusal::Reset, Some(isn)) => self.refuse(key, isn),
            (Refusal::Reset | Refusal::Icmp, _) => {
                self.report(now, key.server.ip(), Problem::Prohibited, frame);
            }
        }
    }

    /// Puts a flow into the table, charges it and asks for its dial.
    pub(super) fn admit(&mut self, now: Micros, packed: PackedKey, kind: Kind) -> FlowId {
        let (tcp, cost) = match &kind {
            Kind::Tcp(_) => (true, room::PENDING),
            Kind::Udp(udp) => (false, room::MAPPING + udp.queued()),
        };
        let id = self.flows.insert(now, packed, kind);
        self.room.charge(cost);
        if tcp {
            self.room.dials(now, id.slot);
        }
        if let Some(flow) = self.flows.at(id.slot) {
            flow.cost = cost;
            let key = flow.tuple();
            self.ask_dial(now, id, key);
        }
        self.arm(now, id.slot);
        id
    }

    /// Charges a flow for the socket it is about to get; `false` if the budget has no room for it.
    pub(super) fn charge_socket(&mut self, id: FlowId) -> bool {
        let socket = self.config.rx_ring() + self.config.tx_ring() + room::SOCKET;
        let Some(flow) = self.flows.get(id) else {
            return false;
        };
        let more = socket.saturating_sub(flow.cost);
        if !self.room.fits(more) {
            return false;
        }
        flow.cost += more;
        self.room.charge(more);
        self.counters.ring_bytes += (socket - room::SOCKET) as u64;
        self.room.connected(id.slot);
        true
    }
}
