//! Dials that failed: counted by reason, and reported to the device by a reset or an ICMP error.

use crate::api::config::DialFailure;
use crate::api::output::{Close, DialResult};
use crate::api::time::Micros;
use crate::engine::Engine;
use crate::flow::key::Proto;
use crate::flow::table::Kind;
use crate::ip::icmp::Problem;
use crate::tcp::Phase;

impl Problem {
    /// The ICMP error that a router or host would have sent about such a packet.
    pub(super) fn of_dial(result: DialResult) -> Option<Self> {
        Some(match result {
            DialResult::Connected => return None,
            DialResult::Refused => Self::PortUnreachable,
            DialResult::HostUnreachable | DialResult::TimedOut => Self::HostUnreachable,
            DialResult::NetworkUnreachable => Self::NetworkUnreachable,
            DialResult::Denied => Self::Prohibited,
        })
    }
}

impl Engine {
    /// Ends a flow whose dial failed: the device learns why.
    pub(super) fn end_dial(&mut self, now: Micros, slot: u32, result: DialResult, close: Close) {
        let Some(entry) = self.finish(slot, close) else {
            return;
        };
        self.count_failed_dial(entry.kind.proto(), result);
        match &entry.kind {
            Kind::Udp(udp) => self.report_failed_dial(now, udp.server, result, &udp.latest),
            Kind::Tcp(tcp) => {
                if let Phase::Dialing(held) = &tcp.phase {
                    // A refusal came from the far host itself, which sends a reset.
                    let by_icmp = self.config.dial_failure == DialFailure::Icmp
                        && result != DialResult::Refused;
                    let server = entry.tuple().server.ip();
                    let reported = by_icmp
                        && Problem::of_dial(result)
                            .is_some_and(|problem| self.report(now, server, problem, &held.quote));
                    if !reported {
                        self.refuse(&entry.flow.key, held.end);
                    }
                }
            }
        }
    }

    fn count_failed_dial(&mut self, proto: Proto, result: DialResult) {
        let counters = &mut self.counters;
        *match (proto, result) {
            (_, DialResult::Connected) => return,
            (Proto::Tcp, DialResult::Refused) => &mut counters.tcp_dial_refused,
            (Proto::Tcp, DialResult::HostUnreachable) => &mut counters.tcp_dial_host_unreachable,
            (Proto::Tcp, DialResult::NetworkUnreachable) => {
                &mut counters.tcp_dial_network_unreachable
            }
            (Proto::Tcp, DialResult::Denied) => &mut counters.tcp_dial_denied,
            (Proto::Tcp, DialResult::TimedOut) => &mut counters.tcp_dial_timed_out,
            (Proto::Udp, DialResult::Refused) => &mut counters.udp_dial_refused,
            (Proto::Udp, DialResult::HostUnreachable) => &mut counters.udp_dial_host_unreachable,
            (Proto::Udp, DialResult::NetworkUnreachable) => {
                &mut counters.udp_dial_network_unreachable
            }
            (Proto::Udp, DialResult::Denied) => &mut counters.udp_dial_denied,
            (Proto::Udp, DialResult::TimedOut) => &mut counters.udp_dial_timed_out,
        } += 1;
        match proto {
            Proto::Tcp => counters.tcp_dial_fail += 1,
            Proto::Udp => counters.udp_dial_fail += 1,
        }
    }
}
