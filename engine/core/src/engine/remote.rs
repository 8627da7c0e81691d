//! Inputs from the dialer: bytes, datagrams, readiness, endings.

use std::net::SocketAddr;

use crate::api::output::{By, Close, How, Misuse, RemoteEnd};
use crate::api::time::Micros;
use crate::engine::Engine;
use crate::flow::table::{FlowId, Kind};
use crate::ip::build;
use crate::ip::icmp::Problem;

impl Engine {
    /// Bytes of the far side's stream. Returns how many were taken; the rest is to be offered again after
    /// [`Output::Resume`](crate::Output::Resume).
    ///
    /// # Errors
    /// The flow has ended, is UDP, is not connected yet, or its far side has ended before.
    pub fn remote_data(&mut self, now: Micros, id: FlowId, data: &[u8]) -> Result<usize, Misuse> {
        let now = self.enter(now);
        self.pool.touch(now);
        let (flow, live) = self.flows.live(id)?;
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
                .offer(now, &mut self.pool, data.get(..1).unwrap_or_default());
        }
        let taken = live.connection.offer(now, &mut self.pool, data);
        live.starved |= taken < data.len();
        if taken > 0 {
            live.last_activity = now;
        }
        flow.downstream += taken as u64;
        flow.mark_dirty(&mut self.dirty);
        self.counters.downstream_bytes += taken as u64;
        self.counters.tcp_backpressure_refused += (data.len() - taken) as u64;
        if let Some(streams) = &mut live.dns {
            let bytes = data.get(..taken).unwrap_or(&[]);
            let mut messages = Vec::new();
            streams
                .downstream
                .push(bytes, |message| messages.push(message.to_vec()));
            let server = flow.key.unpack().server;
            for message in messages {
                self.read_dns(now, id, server, &message);
            }
        }
        Ok(taken)
    }

    /// One datagram from the server that was dialed. Returns whether it was taken; it is dropped and counted if too
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

    /// One datagram that came from `from`, which the device sees as its source. Returns whether it was taken; it is
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
        let (flow, udp) = flows.udp(id)?;
        let client = flow.key.client();
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
        match &mut self.flows.get(flow)?.kind {
            Kind::Tcp(tcp) => tcp.blocked = blocked,
            Kind::Udp(udp) => udp.blocked = blocked,
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
        match &mut self.flows.get(flow)?.kind {
            Kind::Tcp(_) => self.end_stream(now, flow, end),
            Kind::Udp(udp) => {
                let latest = core::mem::take(&mut udp.latest);
                self.end_udp(now, flow, end, &latest);
                Ok(())
            }
        }
    }

    /// Ends a UDP flow; the device gets the ICMP error about its `latest` packet.
    fn end_udp(&mut self, now: Micros, flow: FlowId, end: RemoteEnd, latest: &[u8]) {
        let (how, problem) = match end {
            RemoteEnd::Eof => (How::Fin, None),
            RemoteEnd::Reset => (How::Reset, Some(Problem::PortUnreachable)),
            RemoteEnd::Error => (How::Error, Some(Problem::HostUnreachable)),
        };
        if let Some(problem) = problem {
            self.report_about(now, problem, latest);
        }
        self.finish(flow.slot, Close::new(By::Remote, how));
    }

    /// Ends the remote's stream of a TCP flow: what was taken of it before still reaches the device.
    pub(super) fn end_stream(
        &mut self,
        now: Micros,
        id: FlowId,
        end: RemoteEnd,
    ) -> Result<(), Misuse> {
        let (flow, live) = self.flows.live(id)?;
        // After an EOF the connection can still break.
        match (live.remote_end, end) {
            (None, _) | (Some((RemoteEnd::Eof, _)), RemoteEnd::Reset | RemoteEnd::Error) => {}
            _ => return Err(Misuse::AfterEnd),
        }
        live.remote_end = Some((end, now));
        if end == RemoteEnd::Eof {
            live.first_end.get_or_insert(By::Remote);
        }
        live.last_activity = now;
        if end == RemoteEnd::Reset {
            self.counters.tcp_reset_by_remote += 1;
        }
        flow.mark_dirty(&mut self.dirty);
        Ok(())
    }
}
