//! Frames from the device: sanity, reassembly, demux.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::api::config::Martians;
use crate::api::counters::Taken;
use crate::api::drop_reason::DropReason;
use crate::api::log::{Breadcrumb, LogLevel};
use crate::api::output::{By, Close, DialResult, How, Misuse};
use crate::api::time::Micros;
use crate::dns::Asker;
use crate::engine::{Engine, Event, merge};
use crate::flow::key::{FlowKey, PackedKey, Proto};
use crate::flow::room;
use crate::flow::table::{FlowId, Kind};
use crate::ip::build::protocol;
use crate::ip::fragment::FragmentInfo;
use crate::ip::icmp::Problem;
use crate::ip::packet::{self, Datagram, IpPacket, Segment};
use crate::ip::reassembly::Reassembly;
use crate::udp::UdpFlow;

/// Who reports what is wrong with a packet for a group: no address is the engine's own, so it takes the one that a
/// router on the device's link would have.
const ROUTER: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1));

impl Engine {
    /// Takes a batch of raw IP frames. Answers come from [`Engine::poll_output`].
    pub fn handle_frames<'a>(&mut self, now: Micros, frames: impl IntoIterator<Item = &'a [u8]>) {
        let now = self.enter(now);
        let mut frames = frames.into_iter();
        let mut ahead = frames.next();
        while let Some(frame) = ahead {
            self.counters.frames_in += 1;
            self.counters.bytes_in += frame.len() as u64;
            ahead = match frames.next() {
                Some(next) if merge::follows(frame, next) => {
                    self.coalesce(now, frame, next, &mut frames)
                }
                next => {
                    let taken = self.frame(now, frame);
                    self.account(now, 1, taken);
                    next
                }
            };
        }
    }

    /// Counts what became of so many frames.
    #[inline]
    pub(super) fn account(&mut self, now: Micros, frames: u64, taken: Result<Taken, DropReason>) {
        match taken {
            Ok(taken) => self.counters.count_taken(taken, frames),
            Err(reason) => {
                for _ in 0..frames {
                    self.counters.count_drop(reason);
                    self.log_drop(now, reason);
                }
            }
        }
    }

    fn frame(&mut self, now: Micros, frame: &[u8]) -> Result<Taken, DropReason> {
        if self.stopped {
            return Err(DropReason::Stopped);
        }
        let ip = self.packet(now, frame)?;
        if !ip.fragment {
            return self.whole(now, &ip);
        }
        self.counters.fragments_in += 1;
        let info = FragmentInfo::of(ip.frame).ok_or(DropReason::FragmentRefused)?;
        self.expire_fragments(now);
        // The rebuilt datagram is borrowed from the reassembly, which is out of the engine meanwhile.
        let mut reassembly = core::mem::replace(&mut self.reassembly, Reassembly::idle());
        let result = match reassembly.insert(now, ip.frame, &info) {
            Ok(None) => Ok(Taken::Fragment),
            Ok(Some(datagram)) => {
                self.counters.reassembled += 1;
                self.packet(now, datagram).and_then(|mut ip| {
                    // Its sender knows how to split.
                    ip.dont_fragment = false;
                    self.whole(now, &ip)
                })
            }
            Err(refusal) => {
                if let Some(problem) = refusal.problem(&info) {
                    self.report(now, ip.destination, problem, ip.frame);
                }
                Err(DropReason::FragmentRefused)
            }
        };
        self.reassembly = reassembly;
        result
    }

    /// A packet that may be acted upon: sound, between hosts, its extension headers heeded.
    #[inline(always)]
    pub(super) fn packet<'f>(
        &mut self,
        now: Micros,
        frame: &'f [u8],
    ) -> Result<IpPacket<'f>, DropReason> {
        let ip = IpPacket::parse(frame)?;
        let plain = !ip.is_v6() || matches!(ip.protocol, protocol::TCP | protocol::UDP);
        if plain && packet::is_ordinary(ip.source) && packet::is_ordinary(ip.destination) {
            return Ok(ip);
        }
        self.scrutinize(now, ip)
    }

    /// What does not pass at first sight: extension headers, addresses that are not any host's.
    fn scrutinize<'f>(
        &mut self,
        now: Micros,
        mut ip: IpPacket<'f>,
    ) -> Result<IpPacket<'f>, DropReason> {
        let admit = self.config.martians == Martians::Admit;
        let multicast = packet::is_multicast(ip.destination);
        if packet::is_martian(ip.source, admit) {
            return Err(DropReason::MartianSource);
        }
        if !multicast && packet::is_martian(ip.destination, admit) {
            return Err(DropReason::MartianDestination);
        }
        let link_local = packet::is_link_local(ip.source) || packet::is_link_local(ip.destination);
        if link_local && !admit {
            return Err(DropReason::LinkLocal);
        }
        if let Err(fault) = ip.enter_extensions() {
            if let Some(problem) = fault.problem {
                // A group cannot answer; the engine does as the router on the device's link.
                let from = if multicast { ROUTER } else { ip.destination };
                self.report(now, from, problem, ip.frame);
            }
            return Err(fault.reason);
        }
        if multicast {
            return Err(DropReason::Multicast);
        }
        Ok(ip)
    }

    #[inline]
    fn whole(&mut self, now: Micros, ip: &IpPacket<'_>) -> Result<Taken, DropReason> {
        match (ip.protocol, ip.is_v6()) {
            (protocol::TCP, _) => {
                let segment = Segment::parse(ip, self.config.partial_checksums)?;
                self.segment(now, ip, &segment)
            }
            (protocol::UDP, _) => {
                let datagram = Datagram::parse(ip, self.config.partial_checksums)?;
                self.check_path_mtu(now, ip)?;
                self.datagram(now, ip, &datagram)
            }
            (protocol::ICMP, false) | (protocol::ICMPV6, true) => self.icmp(ip),
            (protocol::NO_NEXT_HEADER, true) => Err(DropReason::NoNextHeader),
            _ => {
                // RFC 1122 section 3.2.2.1, RFC 8200 section 4.
                let pointer = ip.named_at;
                let problem = Problem::ProtocolUnreachable { pointer };
                self.report(now, ip.destination, problem, ip.frame);
                Err(DropReason::UnknownProtocol)
            }
        }
    }

    /// Whether the path beyond the engine takes a datagram that must not be split (RFC 1191, RFC 8201).
    fn check_path_mtu(&mut self, now: Micros, ip: &IpPacket<'_>) -> Result<(), DropReason> {
        let Some(mtu) = self.config.udp_path_mtu else {
            return Ok(());
        };
        if !ip.dont_fragment || ip.frame.len() <= mtu {
            return Ok(());
        }
        let mtu = u32::try_from(mtu).unwrap_or(u32::MAX);
        self.report(now, ip.destination, Problem::TooBig { mtu }, ip.frame);
        Err(DropReason::TooBig)
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
        if self.intercepts(key.server) {
            let FlowKey { client, server, .. } = key;
            return self.intercept(now, Asker::Datagram { client, server }, datagram.payload);
        }
        let packed = self.config.udp_mapping.lookup(
            (ip.source, datagram.source_port),
            (ip.destination, datagram.destination_port),
        );
        let slot = match self.flows.find(&packed) {
            Some(slot) => slot,
            None => self.open_udp(now, ip.frame, key, packed)?,
        };
        let limit = self.config.udp_queue;
        let Some((flow, udp)) = self.flows.udp_at(slot) else {
            return Err(DropReason::Admission);
        };
        let id = flow.id;
        udp.last_activity = now;
        udp.remember(ip.frame);
        let to = key.server;
        udp.note_destination(to);
        if udp.is_open() {
            // What waits for one drain is bounded by what the host hands in at once.
            flow.upstream += datagram.payload.len() as u64;
            let range = self.datagrams.push(datagram.payload);
            self.counters.upstream_bytes += datagram.payload.len() as u64;
            let flow = id;
            self.events.push_back(Event::Datagram { flow, to, range });
        } else if self.room.fits(UdpFlow::cost(datagram.payload))
            && udp.enqueue(to, datagram.payload, limit)
        {
            flow.cost += UdpFlow::cost(datagram.payload);
            self.room.charge(UdpFlow::cost(datagram.payload));
        } else {
            self.counters.udp_backpressure_drops += 1;
            return Err(DropReason::QueueFull);
        }
        self.counters.udp_waiting += 1;
        self.note_query(id, key.server, datagram.payload);
        Ok(Taken::Datagram)
    }

    fn open_udp(
        &mut self,
        now: Micros,
        frame: &[u8],
        key: FlowKey,
        packed: PackedKey,
    ) -> Result<u32, DropReason> {
        if self.flows.count(Proto::Udp) >= self.config.udp_limit || !self.room.fits(room::MAPPING) {
            self.counters.udp_admission_fail += 1;
            self.answer_refused(now, &key, None, frame);
            return Err(DropReason::Admission);
        }
        let udp = UdpFlow::new(now, key.server);
        Ok(self.admit(now, packed, Kind::Udp(Box::new(udp))).slot)
    }

    /// Hands over what waits in a UDP flow, once it may.
    pub(super) fn release_datagrams(&mut self, id: FlowId) {
        while let Ok((flow, udp)) = self.flows.udp(id)
            && let Some((to, payload)) = udp.dequeue()
        {
            flow.cost = flow.cost.saturating_sub(UdpFlow::cost(&payload));
            self.room.release(UdpFlow::cost(&payload));
            flow.upstream += payload.len() as u64;
            let range = self.datagrams.push(&payload);
            self.counters.upstream_bytes += payload.len() as u64;
            let flow = id;
            self.events.push_back(Event::Datagram { flow, to, range });
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
        let now = self.enter(now);
        let key = self.flows.get(flow)?.flow.key.unpack();
        self.log(LogLevel::Debug, Breadcrumb::Flow, |redactor| {
            let (to, label) = (redactor.hide(key.server), result.label());
            format!("{flow:?} dial to {to}: {label}")
        });
        match &mut self.flows.get(flow)?.kind {
            Kind::Tcp(_) => self.tcp_dialed(now, flow, result),
            Kind::Udp(udp) if udp.connected => Err(Misuse::DialAnswered),
            Kind::Udp(udp) => {
                if result == DialResult::Connected {
                    udp.connected = true;
                    udp.last_activity = now;
                    self.release_datagrams(flow);
                    self.arm(now, flow.slot);
                } else {
                    let close = Close::new(By::Remote, How::Dial(result));
                    self.end_dial(now, flow.slot, result, close);
                }
                Ok(())
            }
        }
    }
}
