//! TCP flows whose beginning is not in the capture: a handshake is made up for them, so that what is there can be replayed.

use std::net::SocketAddr;

use super::raw::{RawFlow, RawPacket};
use super::tcp::MadeUp;
use crate::packet::{Flags, Seq};
use crate::scenario::{Device, Protocol};

/// Which flows without their beginning are given one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Adopt {
    /// All that carry payload.
    #[default]
    All,
    /// None: they cannot be replayed.
    Nothing,
    /// Those between these ends, the device's first.
    Only(Vec<(SocketAddr, SocketAddr)>),
}

/// Ports below this are servers'.
const SERVERS: u16 = 1024;

/// How near to each other the first sequence numbers of a side are.
const NEAR: i32 = 1 << 20;

impl Adopt {
    /// Gives a flow that lacks its SYN the numbers it would have had: each side's ISN stands one before its first byte.
    pub(super) fn consider(&self, flow: &mut RawFlow, device: &Device) {
        let has_payload = flow.packets.iter().any(|packet| packet.payload_len > 0);
        if flow.protocol != Protocol::Tcp || flow.client_isn.is_some() || !has_payload {
            return;
        }
        let ends = (flow.client, flow.server);
        let turned = match self {
            Self::Nothing => return,
            Self::Only(known) if known.contains(&ends) => false,
            Self::Only(known) if known.contains(&(ends.1, ends.0)) => true,
            Self::Only(_) => return,
            Self::All => flow.server_isn.is_none() && is_server(ends, device),
        };
        if turned {
            flow.turn();
        }
        flow.adopted = true;
        let answer = flow.packets.iter().find(|packet| {
            let flags = packet.flags;
            !packet.is_from_client() && flags.contains(Flags::SYN) && flags.contains(Flags::ACK)
        });
        let before = |seq: Seq| Seq(seq.0.wrapping_sub(1));
        let one_before = |mine: Option<Seq>, theirs: Option<Seq>| mine.or(theirs).map(before);
        let (client, server) = (lowest(flow, true), lowest(flow, false));
        match answer.copied() {
            Some(answer) => {
                flow.client_isn = Some(before(answer.acknowledgement));
                flow.server_isn = Some(answer.sequence);
            }
            None => {
                flow.client_isn = one_before(client.0, server.1);
                flow.server_isn = one_before(server.0, client.1);
            }
        }
    }
}

/// Whether who spoke first is the server.
fn is_server((first, other): (SocketAddr, SocketAddr), device: &Device) -> bool {
    match (device.is_device(first.ip()), device.is_device(other.ip())) {
        (Some(false), Some(true)) => true,
        (Some(true), Some(false)) => false,
        _ => first.port() < SERVERS && other.port() >= SERVERS,
    }
}

/// The lowest sequence number and the lowest acknowledgement of one side.
fn lowest(flow: &RawFlow, of_client: bool) -> (Option<Seq>, Option<Seq>) {
    let lower = |known: Option<Seq>, seq: Seq| match known {
        Some(first) if !(-NEAR..0).contains(&seq.minus(first)) => Some(first),
        _ => Some(seq),
    };
    let (mut sequence, mut acknowledgement) = (None, None);
    for packet in &flow.packets {
        if packet.is_from_client() != of_client || packet.flags.contains(Flags::RST) {
            continue;
        }
        sequence = lower(sequence, packet.sequence);
        if packet.flags.contains(Flags::ACK) {
            acknowledgement = lower(acknowledgement, packet.acknowledgement);
        }
    }
    (sequence, acknowledgement)
}

impl MadeUp {
    /// The options of the SYN of a flow that is adopted, as far as what follows tells them.
    pub(super) fn of(flow: &RawFlow, scales: Option<bool>) -> Self {
        let (mut mss, mut shift) = (LEAST_MSS, 0_u8);
        let mut peer: Option<&RawPacket> = None;
        for packet in &flow.packets {
            if packet.is_from_client() {
                if packet.flags.contains(Flags::ACK) && !packet.flags.contains(Flags::RST) {
                    peer = Some(packet);
                }
                continue;
            }
            mss = mss.max(u16::try_from(packet.payload_len).unwrap_or(MOST_MSS));
            let end = packet.sequence.plus(packet.payload_len);
            if let Some(peer) = peer.filter(|peer| packet.payload_len > 0 && peer.window > 0) {
                let flight = i64::from(end.minus(peer.acknowledgement));
                while shift < MOST_SHIFT && i64::from(peer.window) << shift < flight {
                    shift += 1;
                }
            }
        }
        let scaled = scales.unwrap_or(true);
        Self {
            mss: mss.min(MOST_MSS),
            shift: if scaled { shift } else { 0 },
            scales: scales == Some(true),
        }
    }
}

/// Bounds of a guessed maximum segment size: what every host takes (RFC 9293 section 3.7.1), and what offload does not exceed.
const LEAST_MSS: u16 = 536;
const MOST_MSS: u16 = 8960;

/// RFC 7323 section 2.3.
const MOST_SHIFT: u8 = 14;
