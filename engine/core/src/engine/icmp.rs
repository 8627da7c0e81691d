//! ICMP from the device: echo requests are answered, everything else is counted.

use std::net::IpAddr;

use crate::build::Addresses;
use crate::counters::Taken;
use crate::drop_reason::DropReason;
use crate::engine::Engine;
use crate::icmp::{Problem, Silence, echo_reply};
use crate::output::DialResult;
use crate::packet::IpPacket;
use crate::time::Micros;

impl Engine {
    pub(super) fn icmp(&mut self, ip: &IpPacket<'_>) -> Result<Taken, DropReason> {
        if self.out.len() >= self.config.output_limit {
            return Err(DropReason::OutputFull);
        }
        let mtu = self.config.mtu;
        match echo_reply(
            &mut self.out,
            &mut self.identifications,
            ip.source,
            ip.destination,
            ip.payload,
            mtu,
        ) {
            Ok(()) => {
                self.counters.icmp_echo_replies += 1;
                Ok(Taken::Answered)
            }
            Err(_) => Err(DropReason::Icmp),
        }
    }

    /// Tells the device what is wrong with a packet of its own, within the rate limit.
    pub(super) fn report(&mut self, now: Micros, from: IpAddr, problem: Problem, original: &[u8]) {
        match self
            .errors
            .report(now, &mut self.out, from, problem, original)
        {
            Ok(()) => self.counters.icmp_errors_out += 1,
            Err(Silence::RateLimit) => self.counters.icmp_rate_limited += 1,
            Err(_) => {}
        }
    }

    /// Tells the device that nobody answers the datagram that opened a flow (RFC 1122 section 4.1.3.1).
    pub(super) fn report_failed_dial(&mut self, now: Micros, result: DialResult, opening: &[u8]) {
        let problem = match result {
            DialResult::Connected => return,
            DialResult::Refused => Problem::PortUnreachable,
            DialResult::HostUnreachable | DialResult::TimedOut => Problem::HostUnreachable,
            DialResult::NetworkUnreachable => Problem::NetworkUnreachable,
            DialResult::Denied => Problem::Prohibited,
        };
        if let Some(addresses) = Addresses::of(opening) {
            self.report(now, addresses.destination(), problem, opening);
        }
    }

    /// Gives up datagrams whose fragments did not come (RFC 1122 section 3.3.2, RFC 8200 section 4.5).
    pub(super) fn expire_fragments(&mut self, now: Micros) {
        let Self {
            reassembly,
            errors,
            out,
            counters,
            ..
        } = self;
        reassembly.expire(now, |expired| {
            let Some(first) = expired.first else { return };
            let Some(to) = Addresses::of(first).map(|addresses| addresses.destination()) else {
                return;
            };
            match errors.report(now, out, to, Problem::ReassemblyTimeExceeded, first) {
                Ok(()) => counters.icmp_errors_out += 1,
                Err(Silence::RateLimit) => counters.icmp_rate_limited += 1,
                Err(_) => {}
            }
        });
    }
}
