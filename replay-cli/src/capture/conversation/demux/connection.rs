//! Which connection of its tuple a segment belongs to: each SYN with a sequence number of its own begins one.

use std::net::SocketAddr;

use super::Demux;
use crate::capture::conversation::Pair;
use crate::capture::conversation::raw::RawFlow;
use crate::packet::{Flags, Tcp};

impl Demux {
    /// The flow of a segment. Each SYN with an ISN of its own begins a new use of the tuple.
    pub(super) fn tcp_flow(
        &mut self,
        pair: Pair,
        source: SocketAddr,
        destination: SocketAddr,
        tcp: &Tcp<'_>,
    ) -> usize {
        let syn = tcp.flags.contains(Flags::SYN);
        let ack = tcp.flags.contains(Flags::ACK);
        let rst = tcp.flags.contains(Flags::RST);
        let known = self.newest(&pair);
        if let Some(flow) = known.and_then(|index| self.flows.get_mut(index))
            && (syn && !ack && !rst)
            && flow.is_begun_by(source, tcp.sequence)
        {
            flow.begin_with(source, destination, tcp.sequence);
            return known.unwrap_or(0);
        }
        let Some(flow) = known.and_then(|index| self.flows.get_mut(index)) else {
            // Without a SYN the one who speaks first counts as the client, but a SYN-ACK gives its sender away.
            let (client, server) = if syn && ack {
                (destination, source)
            } else {
                (source, destination)
            };
            let index = self.open(pair, client, server);
            if let Some(flow) = self.flows.get_mut(index) {
                if syn && !ack && !rst {
                    flow.client_isn = Some(tcp.sequence);
                } else if syn && ack {
                    flow.server_isn = Some(tcp.sequence);
                }
            }
            return index;
        };
        let index = known.unwrap_or(0);
        let from_client = flow.client == source;
        if syn && !ack && !rst {
            let isn = if from_client {
                flow.client_isn
            } else {
                flow.server_isn
            };
            let same = isn == Some(tcp.sequence);
            // The far side's SYN before it has answered is a simultaneous open or a split handshake. One that has
            // spoken before its SYN opens a connection of its own, which the client's SYN-ACK answers.
            let answer = !from_client
                && !flow.established
                && !flow.far_sent
                && flow.server_isn.is_none()
                && flow.client_isn.is_some();
            if answer {
                flow.server_isn = Some(tcp.sequence);
            } else if !same || (from_client && flow.refused) {
                let index = self.open(pair, source, destination);
                if let Some(flow) = self.flows.get_mut(index) {
                    flow.client_isn = Some(tcp.sequence);
                }
                return index;
            }
        } else if syn && ack && !from_client {
            flow.server_isn = Some(tcp.sequence);
        } else if rst && !from_client && flow.server_isn.is_none() && flow.client_isn.is_some() {
            flow.refused = true;
        } else if from_client && ack && flow.server_isn.is_some() {
            flow.established = true;
        } else if !from_client && !syn && !rst && !is_half_of_a_syn_ack(flow, tcp) {
            flow.far_sent = true;
        }
        index
    }
}

/// Whether a segment of the far side acknowledges the SYN and nothing else: its own SYN may follow by itself.
fn is_half_of_a_syn_ack(flow: &RawFlow, tcp: &Tcp<'_>) -> bool {
    tcp.payload_len == 0
        && !tcp.flags.contains(Flags::FIN)
        && flow.client_isn.map(|isn| isn.plus(1)) == Some(tcp.acknowledgement)
}
