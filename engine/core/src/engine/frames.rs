//! Frames from the device: sanity, reassembly, demux.

use std::net::SocketAddr;

use crate::config::{Martians, Refusal};
use crate::counters::Taken;
use crate::drop_reason::DropReason;
use crate::engine::{Engine, Event};
use crate::fragment::{FragmentInfo, HeaderChain, Link};
use crate::icmp::Problem;
use crate::key::{FlowKey, PackedKey, Proto};
use crate::log::{Breadcrumb, LogLevel};
use crate::output::{By, Close, DialResult, How, Misuse};
use crate::packet::{self, Datagram, IpPacket, Segment};
use crate::reassembly::{Outcome, Reassembly};
use crate::table::{FlowId, Kind};
use crate::time::Micros;
use crate::udp::UdpFlow;

impl Engine {
    /// Takes a batch of raw IP frames. Answers come from [`Engine::poll_output`].
    pub fn handle_frames<'a>(&mut self, now: Micros, frames: impl IntoIterator<Item = &'a [u8]>) {
        self.settle(now);
        for frame in frames {
            self.counters.frames_in += 1;
            self.counters.bytes_in += frame.len() as u64;
            match self.frame(now, frame) {
                Ok(taken) => self.counters.count_taken(taken),
                Err(reason) => {
                    self.drop_frame(reason);
                    self.log_drop(now, reason);
                }
            }
        }
    }

    fn frame(&mut self, now: Micros, frame: &[u8]) -> Result<Taken, DropReason> {
        if self.stopped {
            return Err(DropReason::Stopped);
        }
        let ip = IpPacket::parse(frame)?;
        self.check_addresses(&ip)?;
        if !ip.fragment {
            return self.whole(now, &ip);
        }
        self.counters.fragments_in += 1;
        let Some(info) = FragmentInfo::of(ip.frame) else {
            return Err(DropReason::FragmentRefused);
        };
        self.expire_fragments(now);
        // The rebuilt datagram lives in the reassembly's own buffer, which the engine must not hold meanwhile.
        let mut reassembly = core::mem::replace(&mut self.reassembly, Reassembly::idle());
        let result = match reassembly.insert(now, ip.frame, &info) {
            Outcome::Held => Ok(Taken::Fragment),
            Outcome::Dropped(refusal) => {
                if let Some(problem) = refusal.problem(&info) {
                    self.report(now, ip.destination, problem, ip.frame);
                }
                Err(DropReason::FragmentRefused)
            }
            Outcome::Complete(datagram) => {
                self.counters.reassembled += 1;
                IpPacket::parse(datagram).and_then(|ip| self.whole(now, &ip))
            }
        };
        self.reassembly = reassembly;
        result
    }

    fn check_addresses(&self, ip: &IpPacket<'_>) -> Result<(), DropReason> {
        let admit = self.config.martians == Martians::Admit;
        if packet::is_multicast(ip.destination) {
            return Err(DropReason::Multicast);
        }
        if packet::is_martian(ip.source, admit) {
            return Err(DropReason::MartianSource);
        }
        if packet::is_martian(ip.destination, admit) {
            return Err(DropReason::MartianDestination);
        }
        Ok(())
    }

    fn whole(&mut self, now: Micros, ip: &IpPacket<'_>) -> Result<Taken, DropReason> {
        match ip.protocol {
            6 => {
                let segment = Segment::parse(ip)?;
                self.segment(now, ip, &segment)
            }
            17 => {
                let datagram = Datagram::parse(ip)?;
                self.datagram(now, ip, &datagram)
            }
            1 | 58 => self.icmp(ip),
            // RFC 8200 section 4.7: nothing follows, so nothing is missed.
            59 if ip.is_v6() => Err(DropReason::UnknownProtocol),
            _ => {
                // RFC 1122 section 3.2.2.1, RFC 8200 section 4.
                let pointer = protocol_pointer(ip);
                let problem = Problem::ProtocolUnreachable { pointer };
                self.report(now, ip.destination, problem, ip.frame);
                Err(DropReason::UnknownProtocol)
            }
        }
    }

    fn datagram(
        &mut self,
        now: Micros,
        ip: &IpPacket<'_>,
        datagram: &Datagram<'_>,
    ) -> Result<Taken, DropReason> {
        let key = FlowKey {
            proto: Proto::Udp,
            client: SocketAddr::new(ip.source, datagram.source_port),
            server: SocketAddr::new(ip.destination, datagram.destination_port),
        };
        let packed = PackedKey::from(&key);
        let slot = match self.flows.find(&packed) {
            Some(slot) => slot,
            None => self.open_udp(now, ip.frame, key, packed)?,
        };
        let limit = self.config.udp_queue;
        let Some(flow) = self.flows.at(slot) else {
            return Ok(Taken::Datagram);
        };
        let id = flow.id;
        let Kind::Udp(udp) = &mut flow.kind else {
            return Ok(Taken::Datagram);
        };
        udp.last_activity = now;
        if udp.is_open() {
            // What waits for one drain is bounded by what the host hands in at once.
            flow.upstream += datagram.payload.len() as u64;
            let range = self.datagrams.push(datagram.payload);
            self.counters.upstream_bytes += datagram.payload.len() as u64;
            self.events.push_back(Event::Datagram { flow: id, range });
        } else if !udp.hold(datagram.payload, limit) {
            self.counters.udp_backpressure_drops += 1;
            return Err(DropReason::QueueFull);
        }
        self.counters.udp_waiting += 1;
        Ok(Taken::Datagram)
    }

    fn open_udp(
        &mut self,
        now: Micros,
        frame: &[u8],
        key: FlowKey,
        packed: PackedKey,
    ) -> Result<u32, DropReason> {
        if self.flows.count(Proto::Udp) >= self.config.udp_limit {
            self.counters.udp_admission_fail += 1;
            if self.config.admission_refusal == Refusal::Reset {
                self.report(now, key.server.ip(), Problem::Prohibited, frame);
            }
            return Err(DropReason::Admission);
        }
        let id = self
            .flows
            .insert(now, packed, Kind::Udp(Box::new(UdpFlow::new(now, frame))));
        self.counters.udp_dials += 1;
        self.ask_dial(id, key);
        self.arm(now, id.slot);
        Ok(id.slot)
    }

    /// Asks the host for a connection, with the name the device knows the address under.
    pub(super) fn ask_dial(&mut self, flow: FlowId, key: FlowKey) {
        let name = None;
        self.events.push_back(Event::Dial { flow, key, name });
    }

    /// Hands over what a UDP flow held, once it may.
    pub(super) fn release_datagrams(&mut self, id: FlowId) {
        while let Some(flow) = self.flows.get(id) {
            let Kind::Udp(udp) = &mut flow.kind else {
                return;
            };
            let Some(payload) = udp.release() else { return };
            flow.upstream += payload.len() as u64;
            let range = self.datagrams.push(&payload);
            self.counters.upstream_bytes += payload.len() as u64;
            self.events.push_back(Event::Datagram { flow: id, range });
        }
    }

    /// What became of the dial that [`Output::Dial`](crate::Output::Dial) asked for.
    ///
    /// # Errors
    /// The flow has ended, or its dial was answered before.
    pub fn dial_result(
        &mut self,
        now: Micros,
        flow: FlowId,
        result: DialResult,
    ) -> Result<(), Misuse> {
        self.settle(now);
        let key = self.flow_of(flow)?.key.unpack();
        self.log(now, LogLevel::Debug, Breadcrumb::Flow, |redactor| {
            let (to, label) = (redactor.hide(key.server), result.label());
            format!("{flow:?} dial to {to}: {label}")
        });
        match &mut self.flow_of(flow)?.kind {
            Kind::Tcp(_) => self.tcp_dialed(now, flow, result),
            Kind::Udp(udp) if udp.connected => Err(Misuse::DialAnswered),
            Kind::Udp(udp) => {
                if result == DialResult::Connected {
                    udp.connected = true;
                    udp.opening = Box::default();
                    udp.last_activity = now;
                    self.release_datagrams(flow);
                    self.arm(now, flow.slot);
                } else {
                    let opening = core::mem::take(&mut udp.opening);
                    self.counters.udp_dial_fail += 1;
                    self.report_failed_dial(now, result, &opening);
                    self.finish(
                        flow.slot,
                        Close {
                            by: By::Remote,
                            how: How::Dial(result),
                        },
                    );
                }
                Ok(())
            }
        }
    }
}

/// Where the field stands that named the protocol; only IPv6 asks for it.
fn protocol_pointer(ip: &IpPacket<'_>) -> u32 {
    const NEXT_HEADER: usize = 6;
    const AFTER_BASE_HEADER: usize = 40;

    let Some(first) = ip.frame.get(NEXT_HEADER).filter(|_| ip.is_v6()) else {
        return 0;
    };
    let mut chain = HeaderChain::new(*first, AFTER_BASE_HEADER);
    let mut pointer = NEXT_HEADER;
    loop {
        let at = chain.offset;
        // Each extension header is at least eight octets long: the walk ends.
        match chain.step(ip.frame) {
            Link::Extension => pointer = at,
            Link::Fragment | Link::Upper | Link::Cut => {
                return u32::try_from(pointer).unwrap_or(u32::MAX);
            }
        }
    }
}
