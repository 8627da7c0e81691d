//! A small capture in memory, block by block: to take blocks out of it, and to make streams and pauses in it shorter.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::blocks::write_block;
use super::byte_order::ByteOrder;
use super::conversation::{PlacedFlow, Placing};
use super::pcapng::{ENHANCED_PACKET, INTERFACE_DESCRIPTION, Options, SECTION_HEADER};
use super::{CaptureError, CaptureReader, Record};
use crate::packet::patch::{TcpHeader, repair_checksums, set_payload};
use crate::packet::{Packet, Seq};

/// One block.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    kind: u32,
    order: ByteOrder,
    body: Arc<Vec<u8>>,
    /// Where the frame stands in the body, and its IP packet in the frame.
    frame: Range<usize>,
    header: usize,
    /// The flow that it belongs to, by index.
    pub(crate) flow: Option<usize>,
    /// Whether it holds a packet.
    pub(crate) is_packet: bool,
    /// Whether it is an event of a flow, or a packet: what can be taken out.
    pub(crate) is_loose: bool,
    /// Units of its time in a second.
    units: u64,
}

/// The blocks of a capture, and its flows.
///
/// # Errors
/// It is no capture, or damaged.
pub(crate) fn read(name: &str, bytes: &[u8]) -> Result<(Vec<Held>, Vec<PlacedFlow>), CaptureError> {
    let mut placing = Placing::new();
    let mut flows = BTreeMap::new();
    let mut blocks: Vec<(u64, Held)> = Vec::new();
    let mut resolutions: Vec<u64> = Vec::new();
    let mut reader = CaptureReader::from_read(name, std::io::Cursor::new(bytes.to_vec()))?;
    while let Some(block) = reader.next_block()? {
        match block.kind {
            SECTION_HEADER => resolutions.clear(),
            INTERFACE_DESCRIPTION => {
                let told = Options::of(block.order, &block.body, 8).find(|(code, _)| *code == 9);
                let exponent = told
                    .and_then(|(_, value)| value.first().copied())
                    .unwrap_or(6);
                let units = if exponent & 0x80 != 0 {
                    1_u64.checked_shl(u32::from(exponent & 0x7f))
                } else {
                    10_u64.checked_pow(exponent.into())
                };
                resolutions.push(units.unwrap_or(0));
            }
            _ => {}
        }
        let (number, placed) = match &block.record {
            Some(Record::Packet(packet)) => (packet.number, placing.packet(packet)),
            Some(Record::Custom(custom)) => (custom.number, placing.custom(custom)),
            None => (0, None),
        };
        if let Some(placed) = &placed {
            flows.insert(number, placed.flow);
            flows.extend(
                placed
                    .parts
                    .iter()
                    .map(|part| (u64::from(*part), placed.flow)),
            );
        }
        let is_packet = matches!(block.record, Some(Record::Packet(_)));
        let interface = block.order.u32(&block.body, 0).unwrap_or(0) as usize;
        let is_timed = block.kind == ENHANCED_PACKET;
        blocks.push((
            number,
            Held {
                kind: block.kind,
                order: block.order,
                frame: block.frame.clone(),
                header: block.header,
                flow: None,
                is_packet,
                is_loose: is_packet || placed.is_some(),
                units: resolutions
                    .get(interface)
                    .copied()
                    .filter(|_| is_timed)
                    .unwrap_or(0),
                body: Arc::new(block.body.into_owned()),
            },
        ));
    }
    let blocks = blocks.into_iter().map(|(number, held)| Held {
        flow: flows.get(&number).copied(),
        ..held
    });
    Ok((blocks.collect(), placing.flows()))
}

/// The file of these blocks.
pub(crate) fn file(blocks: &[Held]) -> Vec<u8> {
    let mut out = Vec::new();
    for block in blocks {
        let mut body = block.body.as_slice();
        let mut header;
        if block.kind == SECTION_HEADER {
            // Its length does not hold any more.
            header = body.to_vec();
            header.get_mut(8..16).unwrap_or_default().fill(0xff);
            body = &header;
        }
        // A vector takes everything.
        let _ = write_block(&mut out, block.kind, block.order, body);
    }
    out
}

impl Held {
    /// The IP packet in it.
    fn ip(&self) -> &[u8] {
        let frame = self.body.get(self.frame.clone()).unwrap_or_default();
        frame.get(self.header..).unwrap_or_default()
    }

    /// The time of its packet, microseconds since some beginning.
    fn micros(&self) -> Option<u64> {
        let (high, low) = (
            self.order.u32(&self.body, 4)?,
            self.order.u32(&self.body, 8)?,
        );
        let stamp = u128::from(high) << 32 | u128::from(low);
        let micros = stamp * 1_000_000 / u128::from(Some(self.units).filter(|units| *units > 0)?);
        u64::try_from(micros).ok()
    }

    fn earlier(&self, micros: u64) -> Self {
        let mut new = self.clone();
        let (Some(high), Some(low)) =
            (self.order.u32(&self.body, 4), self.order.u32(&self.body, 8))
        else {
            return new;
        };
        let by = (u128::from(micros) * u128::from(self.units) / 1_000_000) as u64;
        let stamp = (u64::from(high) << 32 | u64::from(low)).saturating_sub(by);
        let body = Arc::make_mut(&mut new.body);
        for (at, half) in [(4, (stamp >> 32) as u32), (8, stamp as u32)] {
            let half = self.order.of_u32(half);
            body.get_mut(at..at + 4)
                .unwrap_or_default()
                .copy_from_slice(&half);
        }
        new
    }

    /// The same with another IP packet in it; what stood behind the packet goes.
    fn with_ip(&self, ip: &[u8]) -> Self {
        let mut body = self
            .body
            .get(..self.frame.start + self.header)
            .unwrap_or_default()
            .to_vec();
        let length = u32::try_from(self.header + ip.len()).unwrap_or(u32::MAX);
        for at in [12, 16] {
            body.get_mut(at..at + 4)
                .unwrap_or_default()
                .copy_from_slice(&self.order.of_u32(length));
        }
        body.extend_from_slice(ip);
        let end = body.len();
        body.resize(end.next_multiple_of(4), 0);
        let behind = self.frame.start + self.frame.len().next_multiple_of(4);
        body.extend_from_slice(self.body.get(behind..).unwrap_or_default());
        Self {
            body: Arc::new(body),
            frame: self.frame.start..end,
            ..self.clone()
        }
    }
}

/// How many bytes each stream of a flow of TCP has, by the numbers of its segments: the client's, the server's.
pub(crate) fn lengths(blocks: &[Held], index: usize, flow: &PlacedFlow) -> [u64; 2] {
    let mut lengths = [0, 0];
    for block in blocks.iter().filter(|block| block.flow == Some(index)) {
        if let Ok(packet) = Packet::whole(block.ip())
            && let Some(tcp) = packet.tcp()
        {
            let up = packet.source == flow.client.ip() && tcp.source_port == flow.client.port();
            let isn = if up { flow.client_isn } else { flow.server_isn };
            let end = isn.map_or(0, |isn| {
                tcp.sequence.plus(tcp.payload_len as u32).minus(isn.plus(1))
            });
            let longest = &mut lengths[usize::from(!up)];
            *longest = u64::try_from(end).unwrap_or(0).max(*longest);
        }
    }
    lengths
}

/// The capture with bytes of one stream of a flow taken out, and every number that follows them moved; `None` if a packet of it is not
/// whole.
pub(crate) fn without(
    blocks: &[Held],
    index: usize,
    flow: &PlacedFlow,
    of_client: bool,
    bytes: Range<u64>,
) -> Option<Vec<Held>> {
    let (own, other) = if of_client {
        (flow.client_isn?, flow.server_isn)
    } else {
        (flow.server_isn?, flow.client_isn)
    };
    let _ = other;
    let cut = i64::try_from(bytes.start).ok()?..i64::try_from(bytes.end).ok()?;
    let at = |seq: Seq| i64::from(seq.minus(own.plus(1)));
    let moved = |seq: Seq| {
        let by = (at(seq).min(cut.end) - cut.start).max(0);
        seq.plus(0_u32.wrapping_sub(u32::try_from(by).unwrap_or(0)))
    };
    let mut changed = Vec::with_capacity(blocks.len());
    for block in blocks {
        if block.flow != Some(index) || !block.is_packet {
            changed.push(block.clone());
            continue;
        }
        let packet = Packet::whole(block.ip()).ok()?;
        let Some(tcp) = packet.tcp().copied() else {
            changed.push(block.clone());
            continue;
        };
        if block.kind != ENHANCED_PACKET || packet.is_cut() || packet.declared_len == 0 {
            return None;
        }
        let mut ip = packet.bytes.to_vec();
        let header = TcpHeader::of(&ip)?;
        let from_owner = (packet.source == flow.client.ip()
            && tcp.source_port == flow.client.port())
            == of_client;
        let was_sound = packet.checksums().are_sound();
        if from_owner {
            let syn = u32::from(tcp.flags.contains(crate::packet::Flags::SYN));
            let start = at(tcp.sequence.plus(syn));
            let kept: Vec<u8> = (start..)
                .zip(tcp.payload)
                .filter(|(at, _)| !cut.contains(at))
                .map(|(_, byte)| *byte)
                .collect();
            if syn == 0 {
                header.set_sequence(&mut ip, moved(tcp.sequence));
            }
            if kept.len() < tcp.payload.len() {
                set_payload(&mut ip, &kept);
            }
        } else {
            header.set_acknowledgement(&mut ip, moved(tcp.acknowledgement));
            header.map_sack_edges(&mut ip, moved);
        }
        if was_sound {
            repair_checksums(&mut ip);
        }
        changed.push(block.with_ip(&ip));
    }
    Some(changed)
}

/// The capture with no pause between packets longer than so many microseconds.
pub(crate) fn without_pauses(blocks: &[Held], longest: u64) -> Vec<Held> {
    let (mut last, mut by) = (None, 0);
    let moved = blocks.iter().map(|block| {
        let Some(now) = block.micros().filter(|_| block.is_packet) else {
            return block.clone();
        };
        if let Some(last) = last {
            by += now.saturating_sub(last).saturating_sub(longest);
        }
        last = Some(last.unwrap_or(0).max(now));
        if by == 0 {
            block.clone()
        } else {
            block.earlier(by)
        }
    });
    moved.collect()
}
