//! What the engine reports about itself: the table of flows, the log.

use core::time::Duration;

use crate::api::drop_reason::DropReason;
use crate::api::inspection::{FlowInfo, Inspection};
use crate::api::log::{Breadcrumb, LogLevel, Redactor};
use crate::api::output::How;
use crate::api::time::Micros;
use crate::engine::{Engine, Event};
use crate::flow::table::Kind;
use crate::tcp::Phase;
use crate::tcp::connection::State;

/// The least time between two lines about limits.
const LIMIT_PAUSE: Duration = Duration::from_secs(1);

impl Engine {
    /// Every flow with its state, age, traffic, queues and next timer. Takes time in proportion to the flows, and
    /// changes nothing.
    #[must_use]
    pub fn inspect(&mut self, now: Micros) -> Inspection {
        let own = self.clock.at(now);
        let slots = self.flows.occupied();
        let flows = slots
            .into_iter()
            .filter_map(|slot| self.flow_info(own, slot))
            .collect();
        Inspection { at: now, flows }
    }

    fn flow_info(&mut self, now: Micros, slot: u32) -> Option<FlowInfo> {
        let timer = self
            .flow_deadline(now, slot)
            .map(|(at, timer)| (timer, at.since(now)));
        let entry = self.flows.peek(slot)?;
        let flow = &entry.flow;
        let (state, last_activity, upstream_queue, downstream_queue) = match &entry.kind {
            Kind::Udp(udp) => {
                let state = match (udp.connected, udp.blocked) {
                    (false, _) => "DIALING",
                    (true, false) => "OPEN",
                    (true, true) => "BLOCKED",
                };
                (state, udp.last_activity, udp.queued(), 0)
            }
            Kind::Tcp(tcp) => match &tcp.phase {
                Phase::Dialing(held) => ("SYN-HELD", held.since, 0, 0),
                Phase::Live(live) => (
                    state_name(live.connection.state()),
                    live.last_activity,
                    live.connection.unread(),
                    live.connection.queue(),
                ),
            },
        };
        Some(FlowInfo {
            flow: flow.id,
            key: entry.tuple(),
            name: flow.name.as_deref().map(str::to_owned),
            state,
            age: now.since(flow.opened),
            idle: now.since(last_activity),
            upstream: flow.upstream,
            downstream: flow.downstream,
            upstream_queue,
            downstream_queue,
            timer,
        })
    }

    /// Logs what changed about a flow, at the moment the host gets it.
    pub(super) fn log_event(&mut self, event: &Event) {
        let (level, kind) = match event {
            Event::Dns { .. } | Event::Resolve { .. } => (LogLevel::Debug, Breadcrumb::Dns),
            Event::Dial { .. } | Event::HalfClose { .. } => (LogLevel::Debug, Breadcrumb::Flow),
            Event::Close { close, .. } if close.how == How::Guard => {
                (LogLevel::Error, Breadcrumb::Guard)
            }
            Event::Close { .. } => (LogLevel::Debug, Breadcrumb::Flow),
            Event::Datagram { .. }
            | Event::Resume { .. }
            | Event::LocalDial { .. }
            | Event::LocalHalfClose { .. } => return,
        };
        self.log(level, kind, |redactor| match event {
            Event::Dial { flow, key, name } => {
                let (from, to) = (redactor.hide(key.client), redactor.hide(key.server));
                let name = name
                    .as_ref()
                    .map(|name| format!(" ({})", redactor.hide(name)));
                let name = name.unwrap_or_default();
                format!("{flow:?} dials {} {from} > {to}{name}", key.proto)
            }
            Event::HalfClose { flow } => format!("{flow:?} half-closed by the device"),
            Event::Close { flow, key, close } => {
                let to = redactor.hide(key.server);
                let (by, how) = (close.by, close.how.label());
                format!("{flow:?} to {to} closed by {by}: {how}")
            }
            Event::Dns { flow, record } => {
                let name = redactor.hide(&record.name);
                let (count, ttl) = (record.addresses.len(), record.ttl);
                let flow = flow.map_or_else(String::new, |flow| format!("{flow:?} "));
                format!("{flow}learnt {count} addresses of {name} for {ttl} s")
            }
            Event::Resolve { name, kind, .. } => {
                format!("resolves {} {kind}", redactor.hide(name))
            }
            _ => String::new(),
        });
    }

    pub(super) fn log_drop(&mut self, now: Micros, reason: DropReason) {
        self.log(LogLevel::Trace, Breadcrumb::Drop, |_| {
            format!("frame dropped: {}", reason.label())
        });
        let limit = matches!(
            reason,
            DropReason::Admission | DropReason::QueueFull | DropReason::OutputFull
        );
        // A flood is one line a second, not one a packet.
        if limit
            && self
                .limit_logged
                .is_none_or(|at| now.since(at) >= LIMIT_PAUSE)
        {
            self.limit_logged = Some(now);
            self.log(LogLevel::Warn, Breadcrumb::Limit, |_| {
                format!("a limit is reached: {}", reason.label())
            });
        }
    }

    /// Writes the counters to the log once the interval is over.
    pub(super) fn log_counters(&mut self, now: Micros) {
        let Some(interval) = self.config.metrics_interval else {
            return;
        };
        let since = *self.metered.get_or_insert(now);
        if now.since(since) < interval {
            return;
        }
        // Late as the drain may be, one line is enough.
        self.metered = Some(now);
        if self.log.wants(LogLevel::Info, Breadcrumb::Metrics) {
            let line = self.counters().to_line();
            self.log(LogLevel::Info, Breadcrumb::Metrics, |_| line);
        }
    }

    /// Writes a line for the host's log, if anyone listens; the message is made only then.
    pub(super) fn log(
        &mut self,
        level: LogLevel,
        kind: Breadcrumb,
        message: impl FnOnce(Redactor) -> String,
    ) {
        if self.log.wants(level, kind) {
            let message = message(self.log.redactor);
            if !self.log.push(self.clock.host(), level, kind, message) {
                self.counters.log_lines_dropped += 1;
            }
        }
    }
}

/// RFC 9293 section 3.3.2.
const fn state_name(state: State) -> &'static str {
    match state {
        State::Closed => "CLOSED",
        State::SynReceived => "SYN-RECEIVED",
        State::Established => "ESTABLISHED",
        State::FinWait1 => "FIN-WAIT-1",
        State::FinWait2 => "FIN-WAIT-2",
        State::CloseWait => "CLOSE-WAIT",
        State::Closing => "CLOSING",
        State::LastAck => "LAST-ACK",
        State::TimeWait => "TIME-WAIT",
    }
}
