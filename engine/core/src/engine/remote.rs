//! Inputs from the dialer: bytes, datagrams, readiness, endings.

use std::net::SocketAddr;

use crate::api::output::{By, Close, How, Misuse, RemoteEnd};
use crate::api::time::Micros;
use crate::engine::Engine;
use crate::flow::key::Proto;
use crate::flow::table::{FlowId, FlowTable, Kind};
use crate::ip::build;
use crate::ip::icmp::Problem;
use crate::tcp::{Live, Phase};

impl Engine {
    /// Bytes of the far side's stream. Says how many were taken; the rest is to be offered again after
    /// [`Output::Resume`](crate::Output::Resume).
    ///
    /// # Errors
    /// The flow has ended, is UDP, is not connected yet, or its far side has ended before.
    pub fn remote_data(&mut self, now: Micros, flow: FlowId, data: &[u8]) -> Result<usize, Misuse> {
        let now = self.enter(now);
        self.pool.touch(now);
        let Self { flows, pool, .. } = self;
        let live = live_of(flows, flow)?;
        if live.remote_end.is_some() {
            return Err(Misuse::AfterEnd);
        }
        #[cfg(feature = "seeded-fault")]
        if crate::seeded_fault::loses(data) {
            return Ok(data.len());
        }
        #[cfg(feature = "seeded-fault")]
        if crate::seeded_fault::is(crate::seeded_fault::Fault::DoubledByte) {
            live.connection
                .offer(now, pool, data.get(..1).unwrap_or_default());
        }
        let taken = live.connection.offer(now, pool, data);
        live.starved |= taken < data.len();
        if taken > 0 {
            live.last_activity = now;
        }
        let mut messages = Vec::new();
        if let Some(streams) = &mut live.dns {
            let bytes = data.get(..taken).unwrap_or(&[]);
            streams
                .downstream
                .push(bytes, |message| messages.push(message.to_vec()));
        }
        if let Some(flow) = self.flows.get(flow) {
            flow.downstream += taken as u64;
        }
        self.counters.downstream_bytes += taken as u64;
        self.counters.tcp_backpressure_refused += (data.len() - taken) as u64;
        let server = self.flow_of(flow)?.key.unpack().server;
        for message in messages {
            self.read_dns(now, flow, server, &message);
        }
        self.mark_dirty(flow.slot);
        Ok(taken)
    }

    /// One datagram from the server that was dialed. Says whether it was taken; it is dropped and counted if too
    /// much waits for the device already.
    ///
    /// # Errors
    /// The flow has ended, is TCP, or is not connected yet.
    pub fn remote_datagram(
        &mut self,
        now: Micros,
        flow: FlowId,
        payload: &[u8],
    ) -> Result<bool, Misuse> {
        self.toward_device(now, flow, None, payload)
    }

    /// One datagram that came from `from`, which the device sees as its source. Says whether it was taken; it is
    /// dropped and counted if [`Config::udp_filtering`](crate::Config::udp_filtering) keeps it out, or if too much
    /// waits for the device already.
    ///
    /// # Errors
    /// The flow has ended, is TCP, or is not connected yet.
    pub fn remote_datagram_from(
        &mut self,
        now: Micros,
        flow: FlowId,
        from: SocketAddr,
        payload: &[u8],
    ) -> Result<bool, Misuse> {
        self.toward_device(now, flow, Some(from), payload)
    }

    /// The two above; without `from` it is the server that was dialed, which every filter lets in.
    fn toward_device(
        &mut self,
        now: Micros,
        id: FlowId,
        from: Option<SocketAddr>,
        payload: &[u8],
    ) -> Result<bool, Misuse> {
        let now = self.enter(now);
        let Self {
            flows,
            config,
            counters,
            out,
            identifications,
            ..
        } = self;
        let flow = flows.get(id).ok_or(Misuse::StaleFlow)?;
        let client = flow.key.client();
        let Kind::Udp(udp) = &mut flow.kind else {
            return Err(Misuse::WrongProtocol);
        };
        if !udp.connected {
            return Err(Misuse::NotConnected);
        }
        // A datagram of the other family has no form that the device could receive.
        if let Some(from) = from
            && (from.is_ipv4() != client.is_ipv4() || !udp.lets_in(config.udp_filtering, from))
        {
            counters.udp_filtered += 1;
            return Ok(false);
        }
        #[cfg(feature = "seeded-fault")]
        if crate::seeded_fault::is(crate::seeded_fault::Fault::Datagram) {
            return Ok(true);
        }
        let from = from.unwrap_or(udp.server);
        udp.last_activity = now;
        let mtu = udp.path_mtu.unwrap_or(config.mtu);
        if out.len() >= config.output_limit
            || build::udp(out, identifications, from, client, payload, mtu).is_err()
        {
            counters.udp_backpressure_drops += 1;
            return Ok(false);
        }
        udp.answered = true;
        flow.downstream += payload.len() as u64;
        counters.downstream_datagrams += 1;
        counters.downstream_bytes += payload.len() as u64;
        self.read_dns(now, id, from, payload);
        Ok(true)
    }

    /// The dialer can take no more bytes of this flow until [`Engine::remote_writable`].
    ///
    /// # Errors
    /// The flow has ended.
    pub fn remote_blocked(&mut self, now: Micros, flow: FlowId) -> Result<(), Misuse> {
        self.enter(now);
        self.set_blocked(flow, true)
    }

    /// The dialer can take bytes of this flow again.
    ///
    /// # Errors
    /// The flow has ended.
    pub fn remote_writable(&mut self, now: Micros, flow: FlowId) -> Result<(), Misuse> {
        self.enter(now);
        self.set_blocked(flow, false)?;
        self.mark_dirty(flow.slot);
        Ok(())
    }

    fn set_blocked(&mut self, flow: FlowId, blocked: bool) -> Result<(), Misuse> {
        match &mut self.flow_of(flow)?.kind {
            Kind::Tcp(tcp) => tcp.blocked = blocked,
            Kind::Udp(udp) => udp.blocked = blocked,
        }
        Ok(())
    }

    /// Of the bytes lent by the last [`Output::Data`](crate::Output::Data) the dialer took only `count`. The rest
    /// stays in the ring, and the flow counts as blocked until [`Engine::remote_writable`].
    ///
    /// # Errors
    /// Nothing is lent on this flow, or less than `count` was.
    pub fn remote_took(&mut self, now: Micros, flow: FlowId, count: usize) -> Result<(), Misuse> {
        let Some((lent, most)) = self.lent else {
            return Err(Misuse::StaleFlow);
        };
        if lent != flow {
            return Err(Misuse::StaleFlow);
        }
        if count > most {
            return Err(Misuse::TookTooMuch);
        }
        let now = self.clock.at(now);
        self.lent = None;
        self.took(now, flow, count);
        if count < most {
            self.set_blocked(flow, true)?;
        }
        Ok(())
    }

    /// The far side of a flow has ended. What it sent before still reaches the device.
    ///
    /// Of a UDP flow, [`RemoteEnd::Reset`] means that the destination refuses datagrams (`ECONNREFUSED` on a socket
    /// that had connected): the device gets an ICMP port unreachable about its latest datagram. After any other
    /// error it gets a host unreachable, after an end of file nothing.
    ///
    /// # Errors
    /// The flow has ended, is not connected yet, or its far side has ended before.
    pub fn remote_closed(
        &mut self,
        now: Micros,
        flow: FlowId,
        end: RemoteEnd,
    ) -> Result<(), Misuse> {
        let now = self.enter(now);
        self.end_remote(now, flow, end)
    }

    pub(super) fn end_remote(
        &mut self,
        now: Micros,
        flow: FlowId,
        end: RemoteEnd,
    ) -> Result<(), Misuse> {
        if self.flow_of(flow)?.kind.proto() == Proto::Udp {
            let (how, problem) = match end {
                RemoteEnd::Eof => (How::Fin, None),
                RemoteEnd::Reset => (How::Reset, Some(Problem::PortUnreachable)),
                RemoteEnd::Error => (How::Error, Some(Problem::HostUnreachable)),
            };
            let latest = match &mut self.flow_of(flow)?.kind {
                Kind::Udp(udp) => core::mem::take(&mut udp.latest),
                Kind::Tcp(_) => Vec::new(),
            };
            if let Some(problem) = problem {
                self.report_about(now, problem, &latest);
            }
            self.finish(
                flow.slot,
                Close {
                    by: By::Remote,
                    how,
                },
            );
            return Ok(());
        }
        let live = live_of(&mut self.flows, flow)?;
        // After an EOF the connection can still break.
        match (live.remote_end, end) {
            (None, _) | (Some(RemoteEnd::Eof), RemoteEnd::Reset | RemoteEnd::Error) => {}
            _ => return Err(Misuse::AfterEnd),
        }
        live.remote_end = Some(end);
        if end == RemoteEnd::Eof {
            live.first_end.get_or_insert(By::Remote);
        }
        live.ended_at = Some(now);
        live.last_activity = now;
        if end == RemoteEnd::Reset {
            self.counters.tcp_reset_by_remote += 1;
        }
        self.mark_dirty(flow.slot);
        Ok(())
    }
}

fn live_of(flows: &mut FlowTable, id: FlowId) -> Result<&mut Live, Misuse> {
    match &mut flows.get(id).ok_or(Misuse::StaleFlow)?.kind {
        Kind::Udp(_) => Err(Misuse::WrongProtocol),
        Kind::Tcp(tcp) => match &mut tcp.phase {
            Phase::Dialing(_) => Err(Misuse::NotConnected),
            Phase::Live(live) => Ok(live),
        },
    }
}
