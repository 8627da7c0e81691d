//! Which flow each packet of a capture belongs to, by the rules of [`Conversations`](super::Conversations) and in memory that does not
//! grow with the packets of a flow.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::ReadOptions;
use super::demux::{Demux, Placed};
use crate::capture::{CaptureError, CaptureReader, CapturedPacket, CustomBlock, Record};
use crate::packet::Seq;
use crate::scenario::Protocol;

/// Finds the flow of each packet, as it is read.
#[derive(Debug)]
pub(crate) struct Placing {
    demux: Demux,
}

/// A flow as far as its packets' headers show it.
#[derive(Clone, Debug)]
pub(crate) struct PlacedFlow {
    /// Its number, from 1, as `try` and `inspect` list them; 0 for one that they do not list.
    pub(crate) number: usize,
    pub(crate) protocol: Protocol,
    pub(crate) client: SocketAddr,
    pub(crate) server: SocketAddr,
    pub(crate) client_isn: Option<Seq>,
    pub(crate) server_isn: Option<Seq>,
}

impl Placing {
    pub(crate) fn new() -> Self {
        let mut demux = Demux::new(ReadOptions::default());
        demux.places_only = true;
        Self { demux }
    }

    /// The flow of a packet, if it belongs to one; of a fragment, when the last of its datagram has come.
    pub(crate) fn packet(&mut self, packet: &CapturedPacket<'_>) -> Option<Placed> {
        self.demux.placed = None;
        self.demux.packet(packet);
        self.demux.placed.take()
    }

    /// The flow of a flight recorder's event.
    pub(crate) fn custom(&mut self, block: &CustomBlock<'_>) -> Option<Placed> {
        self.demux.placed = None;
        self.demux.custom(block);
        self.demux.placed.take()
    }

    /// The flow of each record of a capture, by the record's number; fragments belong to the flow of the whole that they make.
    pub(crate) fn by_number(
        reader: &mut CaptureReader,
    ) -> Result<BTreeMap<u64, usize>, CaptureError> {
        let mut placing = Self::new();
        let mut flows = BTreeMap::new();
        while let Some(record) = reader.next_record()? {
            let (number, placed) = match &record {
                Record::Packet(packet) => (packet.number, placing.packet(packet)),
                Record::Custom(block) => (block.number, placing.custom(block)),
            };
            if let Some(Placed { flow, parts }) = placed {
                flows.insert(number, flow);
                flows.extend(parts.into_iter().map(|part| (u64::from(part), flow)));
            }
        }
        Ok(flows)
    }

    /// The ends of a flow as far as is known by now.
    pub(crate) fn ends(&self, flow: usize) -> Option<(Protocol, SocketAddr, SocketAddr)> {
        let flow = self.demux.raw_flows().get(flow)?;
        Some((flow.protocol, flow.client, flow.server))
    }

    /// All flows, in the order in which they were opened.
    pub(crate) fn flows(&self) -> Vec<PlacedFlow> {
        let mut number = 0;
        let flows = self.demux.raw_flows().iter();
        flows
            .map(|flow| {
                let silent = !flow.packets.iter().any(|packet| packet.is_from_client());
                let is_listed = !flow.packets.is_empty();
                number += usize::from(is_listed);
                let (client, server) = if silent && flow.protocol == Protocol::Udp {
                    (flow.server, flow.client)
                } else {
                    (flow.client, flow.server)
                };
                PlacedFlow {
                    number: if is_listed { number } else { 0 },
                    protocol: flow.protocol,
                    client,
                    server,
                    client_isn: flow.client_isn,
                    server_isn: flow.server_isn,
                }
            })
            .collect()
    }
}
