//! What happens to all flows at once: another path, an address that is gone, the end of the engine.

use std::net::IpAddr;

use crate::api::config::PathPolicy;
use crate::api::log::{Breadcrumb, LogLevel};
use crate::api::output::{By, Close, How, PathChange};
use crate::api::time::Micros;
use crate::dns::Names;
use crate::engine::Engine;
use crate::flow::table::{Entry, Kind};
use crate::ip::reassembly::Reassembly;
use crate::tcp::Phase;

/// The close of a flow that a change of path ended.
const PATH: Close = Close::new(By::Engine, How::Path);

impl Engine {
    /// The network changed: another way out is met as [`Config::path_policy`](crate::Config::path_policy) says, and the
    /// flows of an address that is gone are closed without a frame, because no frame could reach it.
    ///
    /// A sleep of the host needs no call of its own: [`Engine::handle_timeout`] at the time of waking expires what
    /// had to expire, each flow once. A host that knows its connections to be dead by then says so here as well.
    pub fn path_changed(&mut self, now: Micros, change: PathChange) {
        let now = self.enter(now);
        let what = match change {
            PathChange::Network => "the path changed",
            PathChange::AddressLost(_) => "an address of the tunnel is lost",
        };
        self.log(LogLevel::Info, Breadcrumb::Lifecycle, |_| what.to_owned());
        match (change, self.config.path_policy) {
            (PathChange::AddressLost(address), _) => self.close_address(address),
            (PathChange::Network, PathPolicy::Keep) => {}
            (PathChange::Network, PathPolicy::Close) => self.close_all(PATH),
            (PathChange::Network, PathPolicy::Redial) => self.redial_all(now),
        }
    }

    fn close_address(&mut self, address: IpAddr) {
        for slot in self.flows.occupied() {
            let gone = |entry: &Entry| entry.flow.key.client().ip() == address;
            if self.flows.peek(slot).is_some_and(gone) {
                self.finish(slot, PATH);
            }
        }
    }

    fn redial_all(&mut self, now: Micros) {
        // A flow that is dialed anew may take the place of one that was looked at before, never of one to come.
        for slot in self.flows.occupied() {
            let connected = |entry: &Entry| matches!(&entry.kind, Kind::Tcp(tcp) if matches!(tcp.phase, Phase::Live(_)));
            if self.flows.peek(slot).is_some_and(connected) {
                self.abort(slot, PATH);
            } else {
                self.redial(now, slot);
            }
        }
    }

    /// Closes a flow toward the host, and asks for its dial again under a handle of its own: what waits in it goes along.
    fn redial(&mut self, now: Micros, slot: u32) {
        let Some(mut entry) = self.detach(slot) else {
            return;
        };
        self.report_close(&entry, PATH);
        match &mut entry.kind {
            Kind::Tcp(tcp) => {
                tcp.blocked = false;
                if let Phase::Dialing(held) = &mut tcp.phase {
                    held.since = now;
                }
            }
            Kind::Udp(udp) => {
                udp.connected = false;
                udp.blocked = false;
                udp.opened = now;
            }
        }
        self.admit(now, entry.flow.key, entry.kind);
    }

    /// Closes every flow, TCP with a reset, and drops every frame from now on.
    pub fn stop(&mut self, now: Micros) {
        self.enter(now);
        self.log(LogLevel::Info, Breadcrumb::Lifecycle, |_| {
            "stopped".to_owned()
        });
        self.close_all(Close::new(By::Engine, How::Stopped));
        self.reassembly = Reassembly::idle();
        self.pending.clear();
        self.names = Names::new(0);
        self.pool.release();
        self.stopped = true;
    }

    fn close_all(&mut self, close: Close) {
        for slot in self.flows.occupied() {
            self.abort(slot, close);
        }
    }
}
