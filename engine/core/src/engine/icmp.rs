//! ICMP: echo requests are answered, errors of the device reach the flow they quote, errors about the device's own
//! packets go out.

use std::net::{IpAddr, SocketAddr};

use crate::api::counters::Taken;
use crate::api::drop_reason::DropReason;
use crate::api::log::{Breadcrumb, LogLevel};
use crate::api::output::{By, Close, DialResult, How};
use crate::api::time::Micros;
use crate::dns;
use crate::engine::Engine;
use crate::flow::key::{FlowKey, PackedKey, Proto};
use crate::ip::build::Addresses;
use crate::ip::icmp::incoming::{Incoming, Kind as Error};
use crate::ip::icmp::{Problem, Silence, echo_reply};
use crate::ip::packet::IpPacket;
use crate::tcp::Phase;

/// The least MTU a link of IPv6 may have (RFC 8200 section 5): less is a lie (RFC 8201 section 4).
const LEAST_MTU_V6: usize = 1280;
/// What every host of IPv4 takes (RFC 1122 section 3.3.2). Links may have less, down to 68, but a claim of that kind
/// costs the flow more than a link like that can be worth.
const LEAST_MTU_V4: usize = 576;

impl Engine {
    pub(super) fn icmp(&mut self, ip: &IpPacket<'_>) -> Result<Taken, DropReason> {
        if let Some(incoming) = Incoming::parse(ip) {
            return self.icmp_error(&incoming);
        }
        if self.out.len() >= self.config.output_limit {
            return Err(DropReason::OutputFull);
        }
        echo_reply(
            &mut self.out,
            &mut self.identifications,
            ip.source,
            ip.destination,
            ip.payload,
            self.config.mtu,
        )
        .map_err(|_| DropReason::Icmp)?;
        self.counters.icmp_echo_replies += 1;
        Ok(Taken::Answered)
    }

    /// An ICMP error about a packet that the engine sent.
    fn icmp_error(&mut self, incoming: &Incoming) -> Result<Taken, DropReason> {
        let FlowKey {
            proto,
            client,
            server,
        } = incoming.key;
        match proto {
            Proto::Tcp => self.icmp_error_of_tcp(incoming)?,
            Proto::Udp => {
                let client = (client.ip(), client.port());
                let server = (server.ip(), server.port());
                let key = self.config.udp_mapping.lookup(client, server);
                let (_, udp) = self.flows.find_udp(&key).ok_or(DropReason::IcmpUnmatched)?;
                // RFC 4787 REQ-12: the mapping stays, and its idle time goes on.
                if let Error::TooBig { mtu: reported } = incoming.kind {
                    let current = udp.path_mtu.unwrap_or(self.config.mtu);
                    let v6 = incoming.key.server.is_ipv6();
                    udp.path_mtu = narrower(reported, current, v6).or(udp.path_mtu);
                }
            }
        }
        self.counters.icmp_errors_in += 1;
        // RFC 9293 section 3.9.2.2, MUST-54: the application can ask for it; here it is logged.
        self.log(LogLevel::Debug, Breadcrumb::Flow, |redactor| {
            let (to, kind) = (redactor.hide(incoming.key.server), incoming.kind);
            format!("the device reports {kind:?} about a packet from {to}")
        });
        Ok(Taken::Icmp)
    }

    fn icmp_error_of_tcp(&mut self, incoming: &Incoming) -> Result<(), DropReason> {
        let (flow, tcp) = self
            .flows
            .find_tcp(&PackedKey::from(&incoming.key))
            .ok_or(DropReason::IcmpUnmatched)?;
        let Phase::Live(live) = &mut tcp.phase else {
            // Nothing was sent yet.
            return Err(DropReason::IcmpUnmatched);
        };
        // RFC 5927 section 4.1: it must quote a segment that is outstanding.
        let outstanding = incoming
            .sequence
            .is_some_and(|sequence| live.connection.is_outstanding(sequence));
        if !outstanding {
            return Err(DropReason::IcmpUnmatched);
        }
        let done = live.connection.is_established();
        match incoming.kind {
            // RFC 5927 section 5.2: on a synchronized connection it is as good as a soft one.
            Error::Hard if !done => {
                let slot = flow.id.slot;
                self.counters.tcp_aborted_by_icmp += 1;
                self.finish(slot, Close::new(By::Device, How::Reset));
            }
            Error::Hard | Error::Soft => {}
            Error::TooBig { mtu: reported } => {
                let current = live.connection.path_mtu().unwrap_or(self.config.mtu);
                let v6 = incoming.key.server.is_ipv6();
                if let Some(narrower) = narrower(reported, current, v6).filter(|_| done) {
                    live.connection.narrow(narrower);
                    flow.mark_dirty(&mut self.dirty);
                }
            }
        }
        Ok(())
    }

    /// Reports to the device what is wrong with a packet of its own, within the rate limit.
    /// Returns whether it was sent.
    pub(super) fn report(
        &mut self,
        now: Micros,
        from: IpAddr,
        problem: Problem,
        original: &[u8],
    ) -> bool {
        let reported = self
            .errors
            .report(now, &mut self.out, from, problem, original);
        match reported {
            Ok(()) => self.counters.icmp_errors_out += 1,
            Err(Silence::RateLimit) => self.counters.icmp_rate_limited += 1,
            Err(_) => {}
        }
        reported.is_ok()
    }

    /// Reports to the device that its datagram reaches no service (RFC 1122 section 4.1.3.1).
    pub(super) fn report_failed_dial(
        &mut self,
        now: Micros,
        server: SocketAddr,
        result: DialResult,
        latest: &[u8],
    ) {
        let problem = match result {
            // Stubs go on to the next resolver when the port is unreachable; hosts pass over the softer errors.
            DialResult::HostUnreachable | DialResult::NetworkUnreachable | DialResult::TimedOut
                if server.port() == dns::PORT =>
            {
                Some(Problem::PortUnreachable)
            }
            _ => Problem::of_dial(result),
        };
        if let Some(problem) = problem {
            self.report_about(now, problem, latest);
        }
    }

    /// Reports from the address that `original` was sent to.
    pub(super) fn report_about(&mut self, now: Micros, problem: Problem, original: &[u8]) {
        if let Some(addresses) = Addresses::of(original) {
            self.report(now, addresses.destination(), problem, original);
        }
    }

    /// Gives up datagrams whose fragments did not come (RFC 1122 section 3.3.2, RFC 8200 section 4.5).
    pub(super) fn expire_fragments(&mut self, now: Micros) {
        if self.reassembly.bytes() == 0 {
            // As at nearly every tick.
            return;
        }
        for datagram in self.reassembly.expire(now) {
            if let Some(first) = datagram.first_packet() {
                self.report_about(now, Problem::ReassemblyTimeExceeded, first);
            }
        }
    }
}

/// The MTU to go on with after a report of `reported` bytes; `None` if that changes nothing or cannot be true.
fn narrower(reported: u32, current: usize, v6: bool) -> Option<usize> {
    /// RFC 1191 section 7: where links end, from long to short.
    const PLATEAUS: [usize; 7] = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006];

    let reported = usize::try_from(reported).unwrap_or(usize::MAX);
    let mtu = match (reported, v6) {
        (..LEAST_MTU_V6, true) => return None,
        (0, false) => PLATEAUS
            .into_iter()
            .find(|plateau| *plateau < current)
            .unwrap_or(LEAST_MTU_V4),
        (mtu, true) => mtu,
        (mtu, false) => mtu.max(LEAST_MTU_V4),
    };
    (mtu < current).then_some(mtu)
}

#[cfg(test)]
mod tests {
    use super::narrower;

    #[test]
    fn a_report_lowers_the_mtu_within_reason() {
        assert_eq!(narrower(1200, 1500, false), Some(1200));
        assert_eq!(narrower(1280, 1500, true), Some(1280));
        assert_eq!(narrower(1600, 1500, false), None);
        assert_eq!(narrower(1279, 1500, true), None);
        assert_eq!(narrower(68, 1500, false), Some(576));
        assert_eq!(narrower(68, 576, false), None);
    }

    #[test]
    fn a_router_that_names_no_mtu_means_the_next_plateau() {
        assert_eq!(narrower(0, 65_535, false), Some(32_000));
        assert_eq!(narrower(0, 1500, false), Some(1492));
        assert_eq!(narrower(0, 1006, false), Some(576));
        assert_eq!(narrower(0, 576, false), None);
    }
}
