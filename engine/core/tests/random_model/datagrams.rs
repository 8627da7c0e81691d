//! The model's UDP: numbered datagrams both ways; each arrives as it was sent or not at all.

use std::collections::BTreeMap;

use engine::{DialResult, FlowId};

use crate::support::{Bench, Family, Packet, Udp};

/// One UDP socket of the device and the dialer's end of its flow.
pub(crate) struct Datagrams {
    udp: Udp,
    flow: Option<FlowId>,
    /// Payload by number, up and down.
    up: BTreeMap<u32, Vec<u8>>,
    down: BTreeMap<u32, Vec<u8>>,
}

impl Datagrams {
    pub(crate) fn new(family: Family, port: u16) -> Self {
        Self {
            udp: Udp::new(family, port, 4433),
            flow: None,
            up: BTreeMap::new(),
            down: BTreeMap::new(),
        }
    }

    pub(crate) fn frame(&mut self, len: u16) -> Vec<u8> {
        let payload = numbered(&mut self.up, len);
        self.udp.send(&payload)
    }

    /// The far side sends, if there is a flow.
    pub(crate) fn remote_sends(&mut self, bench: &mut Bench, len: u16) {
        let Some(flow) = self.flow else { return };
        let payload = numbered(&mut self.down, len);
        let now = bench.now;
        let _ = bench.engine.remote_datagram(now, flow, &payload);
    }

    pub(crate) fn dialed(&mut self, flow: FlowId, bench: &mut Bench) {
        self.flow = Some(flow);
        let now = bench.now;
        bench
            .engine
            .dial_result(now, flow, DialResult::Connected)
            .expect("a pending dial");
    }

    pub(crate) fn closed(&mut self, flow: FlowId) -> bool {
        let mine = self.flow == Some(flow);
        if mine {
            self.flow = None;
        }
        mine
    }

    /// The dialer got a datagram: it must be one that was sent.
    pub(crate) fn arrived_up(&self, payload: &[u8]) {
        assert_eq!(
            self.up.get(&number(payload)).map(Vec::as_slice),
            Some(payload)
        );
    }

    /// The device got a packet: a datagram for it must be one that was sent.
    pub(crate) fn hear(&self, packet: &Packet) {
        if let Packet::Udp { from, to, payload } = packet
            && *to == self.udp.local
        {
            assert_eq!(*from, self.udp.remote);
            assert_eq!(self.down.get(&number(payload)), Some(payload));
        }
    }
}

fn numbered(sent: &mut BTreeMap<u32, Vec<u8>>, len: u16) -> Vec<u8> {
    let number = sent.len() as u32;
    let mut payload = number.to_be_bytes().to_vec();
    payload.extend((0..len).map(|at| (at % 249) as u8));
    sent.insert(number, payload.clone());
    payload
}

fn number(payload: &[u8]) -> u32 {
    let head: [u8; 4] = payload[..4].try_into().expect("four bytes");
    u32::from_be_bytes(head)
}
