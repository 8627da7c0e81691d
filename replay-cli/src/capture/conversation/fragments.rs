//! Fragmented datagrams of a capture, put together for reading. (What is injected are the fragments themselves.)

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::packet::Packet;
use crate::packet::build;

/// Datagrams of which a fragment is missing so far.
///
/// `P` is how whoever gives them calls a fragment.
#[derive(Debug)]
pub(crate) struct Fragments<P> {
    open: BTreeMap<(IpAddr, IpAddr, u8, u32), Pieces<P>>,
}

#[derive(Debug)]
struct Pieces<P> {
    /// Offset to payload.
    parts: BTreeMap<u32, Vec<u8>>,
    total: Option<u32>,
    frames: Vec<P>,
    cut: bool,
}

/// A datagram whose last fragment has come.
#[derive(Debug)]
pub(crate) struct Whole<P> {
    /// The packet without fragmentation.
    pub(crate) packet: Vec<u8>,
    /// Its fragments, in the order in which they came.
    pub(crate) frames: Vec<P>,
    /// Whether bytes of it are missing.
    pub(crate) cut: bool,
}

impl<P> Default for Fragments<P> {
    fn default() -> Self {
        Self {
            open: BTreeMap::new(),
        }
    }
}

impl<P> Fragments<P> {
    pub(crate) fn insert(&mut self, packet: &Packet<'_>, frame: P) -> Option<Whole<P>> {
        let fragment = packet.fragment?;
        let key = (
            packet.source,
            packet.destination,
            packet.protocol,
            fragment.identification,
        );
        let pieces = self.open.entry(key).or_insert_with(|| Pieces {
            parts: BTreeMap::new(),
            total: None,
            frames: Vec::new(),
            cut: false,
        });
        let len = u32::try_from(packet.total_len.saturating_sub(packet.transport_offset))
            .unwrap_or(u32::MAX);
        pieces.frames.push(frame);
        pieces.cut |= packet.is_cut();
        if !fragment.more {
            pieces.total = Some(fragment.offset.saturating_add(len));
        }
        let mut payload = packet.payload().to_vec();
        payload.resize(len as usize, 0);
        pieces.parts.entry(fragment.offset).or_insert(payload);
        let total = pieces.total?;
        let mut datagram = Vec::new();
        for (offset, part) in &pieces.parts {
            let have = u32::try_from(datagram.len()).ok()?;
            if *offset > have {
                return None;
            }
            datagram.extend_from_slice(part.get((have - offset) as usize..).unwrap_or(&[]));
        }
        if datagram.len() < total as usize {
            return None;
        }
        datagram.truncate(total as usize);
        let pieces = self.open.remove(&key)?;
        let packet = build::ip(
            packet.source,
            packet.destination,
            packet.protocol,
            packet.ttl,
            0,
            &datagram,
        );
        Some(Whole {
            packet,
            frames: pieces.frames,
            cut: pieces.cut,
        })
    }

    /// Fragments that wait for the rest of their datagram.
    pub(crate) fn orphans(&self) -> u64 {
        self.open
            .values()
            .map(|pieces| pieces.frames.len() as u64)
            .sum()
    }
}
