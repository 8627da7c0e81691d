//! DNS at the engine: what passes by is read, and with [`Config::dns_interception`](crate::Config::dns_interception)
//! queries are put to the host instead of being dialed.
//!
//! An intercepted TCP connection is a flow like any other, except that the engine takes the dialer's place: it
//! connects itself, reads queries from the bytes lent and sends replies as a remote would.

use std::net::{IpAddr, SocketAddr};

use crate::api::counters::Taken;
use crate::api::drop_reason::DropReason;
use crate::api::output::{By, Close, DialResult, How, Misuse, RemoteEnd};
use crate::api::time::Micros;
use crate::dns::{
    self, Asker, PORT, PendingQuery, Query, QueryId, Rcode, Reading, Resolution, Unfit, read_answer,
};
use crate::engine::{Engine, Event};
use crate::flow::table::{FlowId, Kind};
use crate::ip::build;
use crate::tcp::Phase;

/// Bytes of the IP and UDP headers in front of a reply, at the most.
const HEADERS: usize = 48;

impl Engine {
    /// Whether queries to this place are answered here.
    pub(super) fn intercepts(&self, server: SocketAddr) -> bool {
        self.config.dns_interception && server.port() == PORT
    }

    /// Notes a query that passes by, so that its answer is recognized.
    #[inline]
    pub(super) fn note_query(&mut self, flow: FlowId, server: SocketAddr, message: &[u8]) {
        if server.port() == PORT {
            self.note_question(flow, server, message);
        }
    }

    fn note_question(&mut self, flow: FlowId, server: SocketAddr, message: &[u8]) {
        let Some((id, question)) = Query::passing(message) else {
            self.counters.dns_malformed += 1;
            return;
        };
        if let Some(asked) = self.asked(flow) {
            asked.note(server, id, question);
        }
    }

    /// Reads a message of `server` on its way to the device.
    #[inline]
    pub(super) fn read_dns(
        &mut self,
        now: Micros,
        flow: FlowId,
        server: SocketAddr,
        message: &[u8],
    ) {
        if server.port() == PORT {
            self.read_message(now, flow, server, message);
        }
    }

    fn read_message(&mut self, now: Micros, flow: FlowId, server: SocketAddr, message: &[u8]) {
        let Some(asked) = self.asked(flow) else {
            return;
        };
        let counter = match read_answer(message, server, asked) {
            Reading::Record(record) => {
                self.learn(now, flow, record);
                &mut self.counters.dns_answers
            }
            Reading::Empty => &mut self.counters.dns_empty,
            Reading::Truncated => &mut self.counters.dns_truncated,
            Reading::Unasked => &mut self.counters.dns_unasked,
            Reading::Malformed => &mut self.counters.dns_malformed,
            Reading::OddName => &mut self.counters.dns_odd_names,
        };
        *counter += 1;
    }

    fn asked(&mut self, flow: FlowId) -> Option<&mut dns::Asked> {
        match &mut self.flows.get(flow).ok()?.kind {
            Kind::Udp(udp) => Some(udp.asked.get_or_insert_default()),
            Kind::Tcp(tcp) => match &mut tcp.phase {
                Phase::Live(live) => live.dns.as_mut().map(|streams| &mut streams.asked),
                Phase::Dialing(_) => None,
            },
        }
    }

    fn learn(&mut self, now: Micros, flow: impl Into<Option<FlowId>>, record: dns::DnsRecord) {
        self.counters.dns_names_evicted += self.names.learn(now, &record);
        let flow = flow.into();
        self.events.push_back(Event::Dns { flow, record });
    }

    /// Takes a query in the resolver's place.
    pub(super) fn intercept(
        &mut self,
        now: Micros,
        asker: Asker,
        message: &[u8],
    ) -> Result<Taken, DropReason> {
        let (query, name, kind) = match Query::read(message) {
            Ok(sound) => sound,
            Err(unfit) => return self.refuse_query(now, asker, unfit),
        };
        self.counters.dns_queries += 1;
        if self.pending.has(asker, &query) {
            // The stub asks again because it has no answer yet: one answer serves both.
            return Ok(Taken::Answered);
        }
        if self.pending.len() >= self.config.resolve_limit {
            self.counters.dns_queries_refused += 1;
            self.answer(now, asker, &query, Rcode::ServFail, &[], 0);
            return Ok(Taken::Answered);
        }
        let until = now.plus(self.config.resolve_timeout);
        let asked_for = name.clone();
        let query = self.pending.add(until, asker, query, asked_for, kind);
        let name = name.into();
        self.events.push_back(Event::Resolve { query, name, kind });
        Ok(Taken::Answered)
    }

    fn refuse_query(
        &mut self,
        now: Micros,
        asker: Asker,
        unfit: Unfit,
    ) -> Result<Taken, DropReason> {
        let (query, rcode) = match unfit {
            Unfit::Silence => {
                self.counters.dns_malformed += 1;
                return Err(DropReason::NoQuery);
            }
            Unfit::FormErr(query) => {
                self.counters.dns_malformed += 1;
                (query, Rcode::FormErr)
            }
            Unfit::OddName(query) => {
                self.counters.dns_odd_names += 1;
                (query, Rcode::NxDomain)
            }
            Unfit::NotImp(query) => (query, Rcode::NotImp),
            Unfit::Refused(query) => (query, Rcode::Refused),
            Unfit::BadVersion(query) => (query, Rcode::BadVersion),
            Unfit::NoData(query) => (query, Rcode::NoError),
        };
        self.answer(now, asker, &query, rcode, &[], 0);
        Ok(Taken::Answered)
    }

    /// What the host found out for [`Output::Resolve`](crate::Output::Resolve): the device is answered from the address
    /// that it asked.
    ///
    /// # Errors
    /// The query was answered before, its time is over, or its connection has ended.
    pub fn resolved(
        &mut self,
        now: Micros,
        query: QueryId,
        resolution: Resolution,
    ) -> Result<(), Misuse> {
        let now = self.enter(now);
        let pending = self.pending.take(query).ok_or(Misuse::StaleQuery)?;
        let (rcode, addresses, ttl) = match resolution {
            Resolution::Addresses { mut addresses, ttl } => {
                addresses.retain(|address| pending.kind.holds(*address));
                addresses.truncate(dns::MAX_ADDRESSES);
                (Rcode::NoError, addresses, ttl)
            }
            Resolution::NotFound => (Rcode::NxDomain, Vec::new(), 0),
            Resolution::Failed => (Rcode::ServFail, Vec::new(), 0),
        };
        if rcode == Rcode::NoError {
            self.counters.dns_resolved += 1;
        } else {
            self.counters.dns_resolve_fail += 1;
        }
        self.close_query(now, &pending, rcode, &addresses, ttl);
        if !addresses.is_empty() {
            let flow = match pending.asker {
                Asker::Stream(flow) => Some(flow),
                Asker::Datagram { .. } => None,
            };
            let record = dns::DnsRecord {
                name: pending.name,
                addresses,
                ttl,
            };
            self.learn(now, flow, record);
        }
        Ok(())
    }

    /// Answers SERVFAIL where the host took too long.
    pub(super) fn expire_queries(&mut self, now: Micros) {
        while let Some(pending) = self.pending.take_expired(now) {
            self.counters.dns_resolve_timeout += 1;
            self.close_query(now, &pending, Rcode::ServFail, &[], 0);
        }
    }

    fn close_query(
        &mut self,
        now: Micros,
        pending: &PendingQuery,
        rcode: Rcode,
        addresses: &[IpAddr],
        ttl: u32,
    ) {
        self.answer(now, pending.asker, &pending.query, rcode, addresses, ttl);
        if let Asker::Stream(flow) = pending.asker {
            self.finish_stream(now, flow);
        }
    }

    fn answer(
        &mut self,
        now: Micros,
        asker: Asker,
        query: &Query,
        rcode: Rcode,
        addresses: &[IpAddr],
        ttl: u32,
    ) {
        let reply = |datagram| dns::reply(query, rcode, addresses, ttl, datagram);
        match asker {
            Asker::Datagram { client, server } => {
                let message = reply(Some(self.config.mtu.saturating_sub(HEADERS)));
                let mtu = self.config.mtu;
                if self.out.len() >= self.config.output_limit
                    || build::udp(
                        &mut self.out,
                        &mut self.identifications,
                        server,
                        client,
                        &message,
                        mtu,
                    )
                    .is_err()
                {
                    self.counters.dns_replies_dropped += 1;
                    return;
                }
            }
            Asker::Stream(flow) => {
                let message = reply(None);
                let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
                let whole = [length.to_be_bytes().as_slice(), &message].concat();
                if !self.send_reply(now, flow, &whole) {
                    self.counters.dns_replies_dropped += 1;
                    return;
                }
            }
        }
        self.counters.dns_replies += 1;
    }

    /// Puts a reply into a connection's ring whole. A device that leaves no room for it reads none of its answers: its
    /// connection is reset.
    fn send_reply(&mut self, now: Micros, flow: FlowId, bytes: &[u8]) -> bool {
        let Ok((place, live)) = self.flows.live(flow) else {
            return false;
        };
        if live.connection.space().0 < bytes.len() {
            self.abort(flow.slot, Close::new(By::Engine, How::Guard));
            return false;
        }
        live.connection.offer(now, &mut self.pool, bytes);
        live.last_activity = now;
        place.mark_dirty(&mut self.dirty);
        true
    }

    /// Acts upon the events of an intercepted connection, and skips queries that have been answered by now;
    /// every other event is handed back.
    pub(super) fn answer_event(&mut self, now: Micros, event: Event) -> Option<Event> {
        match event {
            // A flow that has ended since is no longer found.
            Event::LocalDial { flow } => {
                let _ = self.tcp_dialed(now, flow, DialResult::Connected);
            }
            Event::LocalHalfClose { flow } => self.finish_stream(now, flow),
            Event::Resolve { query, .. } if !self.pending.waits(query) => {}
            other => return Some(other),
        }
        None
    }

    /// Ends the engine's side once the device has ended its own and has every answer.
    fn finish_stream(&mut self, now: Micros, flow: FlowId) {
        if let Ok((_, live)) = self.flows.live(flow)
            && live.fin_relayed
            && live.remote_end.is_none()
            && !self.pending.has_any_of(flow)
        {
            let _ = self.end_stream(now, flow, RemoteEnd::Eof);
        }
    }
}
