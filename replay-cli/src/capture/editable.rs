//! A small capture in memory, block by block: to take blocks out of it, and to make streams and pauses in it shorter.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::blocks::{set_stamp, stamp, write_changed};
use super::byte_order::ByteOrder;
use super::conversation::{PlacedFlow, Placing};
use super::pcapng::{
    ENHANCED_PACKET, INTERFACE_DESCRIPTION, MICROSECONDS, SECTION_HEADER, resolution_of,
    units_in_second,
};
use super::{CaptureError, CaptureReader, Record};
use crate::packet::patch::{TcpHeader, repair_checksums, set_payload};
use crate::packet::read::write_at;
use crate::packet::{Flags, Packet, Seq};

/// One block, in memory.
#[derive(Clone, Debug)]
pub(crate) struct EditableBlock {
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
    units: i128,
}

/// The blocks of a capture, and its flows.
///
/// # Errors
/// It is no capture, or damaged.
pub(crate) fn read(
    name: &str,
    bytes: &[u8],
) -> Result<(Vec<EditableBlock>, Vec<PlacedFlow>), CaptureError> {
    let mut placing = Placing::new();
    let mut flows = BTreeMap::new();
    let mut blocks: Vec<(u64, EditableBlock)> = Vec::new();
    let mut resolutions: Vec<i128> = Vec::new();
    let mut reader = CaptureReader::from_read(name, std::io::Cursor::new(bytes.to_vec()))?;
    while let Some(block) = reader.next_block()? {
        match block.kind {
            SECTION_HEADER => resolutions.clear(),
            INTERFACE_DESCRIPTION => {
                let resolution = resolution_of(block.order, &block.body);
                let units = units_in_second(resolution.unwrap_or(MICROSECONDS));
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
            EditableBlock {
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
    let blocks = blocks.into_iter().map(|(number, block)| EditableBlock {
        flow: flows.get(&number).copied(),
        ..block
    });
    Ok((blocks.collect(), placing.flows()))
}

/// The file of these blocks.
pub(crate) fn file(blocks: &[EditableBlock]) -> Vec<u8> {
    let mut out = Vec::new();
    for block in blocks {
        // A vector takes everything.
        let _ = write_changed(&mut out, block.kind, block.order, &block.body);
    }
    out
}

impl EditableBlock {
    /// The IP packet in it.
    fn ip(&self) -> &[u8] {
        let frame = self.body.get(self.frame.clone()).unwrap_or_default();
        frame.get(self.header..).unwrap_or_default()
    }

    /// The time of its packet, microseconds since some beginning.
    fn micros(&self) -> Option<u64> {
        let stamp = i128::from(stamp(self.order, &self.body)?);
        let micros = (stamp * 1_000_000).checked_div(self.units)?;
        u64::try_from(micros).ok()
    }

    fn earlier(&self, micros: u64) -> Self {
        let mut new = self.clone();
        let by = i128::from(micros).checked_mul(self.units);
        let by = by.and_then(|by| u64::try_from(by / 1_000_000).ok());
        if let Some(stamp) = stamp(self.order, &self.body) {
            let body = Arc::make_mut(&mut new.body);
            set_stamp(
                self.order,
                body,
                stamp.saturating_sub(by.unwrap_or(u64::MAX)),
            );
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
            write_at(&mut body, at, &self.order.of_u32(length));
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
pub(crate) fn lengths(blocks: &[EditableBlock], index: usize, flow: &PlacedFlow) -> [u64; 2] {
    let mut lengths = [0, 0];
    for block in blocks.iter().filter(|block| block.flow == Some(index)) {
        if let Ok(packet) = Packet::whole(block.ip())
            && let Some(tcp) = packet.tcp()
        {
            let up = packet.ends().is_some_and(|(from, _)| from == flow.client);
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
    blocks: &[EditableBlock],
    index: usize,
    flow: &PlacedFlow,
    of_client: bool,
    bytes: Range<u64>,
) -> Option<Vec<EditableBlock>> {
    let own = if of_client {
        flow.client_isn?
    } else {
        flow.server_isn?
    };
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
        let from_owner = packet.ends().is_some_and(|(from, _)| from == flow.client) == of_client;
        let was_sound = packet.checksums().are_sound();
        if from_owner {
            let syn = u32::from(tcp.flags.contains(Flags::SYN));
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
pub(crate) fn without_pauses(blocks: &[EditableBlock], longest: u64) -> Vec<EditableBlock> {
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
