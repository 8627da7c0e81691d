//! A capture block by block, as it stands: for whoever writes some of it again.
//!
//! A classic capture is given as the pcapng that is equivalent: a section header, one interface, a packet block for each record.

use std::borrow::Cow;
use std::io::{self, Write};
use std::ops::Range;

use super::byte_order::ByteOrder;
use super::pcapng::{
    ENHANCED_PACKET, INTERFACE_DESCRIPTION, OBSOLETE_PACKET, SECTION_HEADER, SIMPLE_PACKET,
};
use super::{CaptureError, CaptureReader, CapturedPacket, Format, Item, Record, erf};
use crate::packet::read::write_at;

/// One block, and what the reader makes of it.
#[derive(Debug)]
pub(crate) struct RawBlock<'a> {
    /// Block type.
    pub(crate) kind: u32,
    /// The order of its integers.
    pub(crate) order: ByteOrder,
    /// What stands between its two lengths; empty if it was too large to be held.
    pub(crate) body: Cow<'a, [u8]>,
    /// Where in the body the frame stands, if it holds one.
    pub(crate) frame: Range<usize>,
    /// Where in the frame its IP packet begins.
    pub(crate) header: usize,
    /// Link type of the frame.
    pub(crate) link: u16,
    /// What it is to whoever replays.
    pub(crate) record: Option<Record<'a>>,
}

impl CaptureReader {
    /// Returns the next block, or `None` at the clean end.
    ///
    /// # Errors
    /// As [`next_packet`](Self::next_packet).
    pub(crate) fn next_block(&mut self) -> Result<Option<RawBlock<'_>>, CaptureError> {
        if self.finished {
            return Ok(None);
        }
        match &self.format {
            Format::Pcapng(_) => self.next_as_it_stands(),
            Format::Pcap(_) | Format::Snoop(_) | Format::Erf => self.next_of_classic(),
        }
    }

    fn next_as_it_stands(&mut self) -> Result<Option<RawBlock<'_>>, CaptureError> {
        let Format::Pcapng(ng) = &mut self.format else {
            return Ok(None);
        };
        // The first section header was read when the file was opened.
        let item = if self.begun == 0 {
            self.begun = 1;
            None
        } else {
            let step = ng.step(&mut self.source);
            match self.or_finish(step)? {
                Some(item) => item,
                None => return Ok(None),
            }
        };
        let Format::Pcapng(ng) = &self.format else {
            return Ok(None);
        };
        let last = ng.last();
        self.frames = self.frames.saturating_add(u64::from(item.is_some()));
        if let Some(Item::Packet(frame)) = &item {
            self.count(frame);
        }
        let place = last.body.unwrap_or_default();
        let start = place.start;
        let body = Cow::Borrowed(self.source.taken(place));
        let mut block = RawBlock::new(last.kind, last.order, body);
        match item {
            Some(Item::Packet(frame)) => {
                let data = &frame.data;
                block.frame = data.start.saturating_sub(start)..data.end.saturating_sub(start);
                block.link = frame.link;
                let place = self.source.place(data);
                let reading = (&self.source, self.frames, self.decap);
                block.hold(Self::look_at(reading, &mut self.tunnelled, frame), place);
            }
            Some(Item::Custom { enterprise, data }) => {
                block.record = Some(Record::Custom(self.custom(enterprise, data)));
            }
            Some(Item::OtherFrame) | None => {}
        }
        Ok(Some(block))
    }

    /// The header of a classic capture is given as a section and its interfaces, and each record as a packet block.
    fn next_of_classic(&mut self) -> Result<Option<RawBlock<'_>>, CaptureError> {
        let of_file: &[u16] = match &self.format {
            Format::Pcap(pcap) => &[pcap.link()],
            Format::Snoop(snoop) => &[snoop.link()],
            Format::Erf => &erf::LINKS,
            Format::Pcapng(_) => return Ok(None),
        };
        let place_of = |link| of_file.iter().position(|known| *known == link).unwrap_or(0) as u32;
        let plain = |kind, body| RawBlock::new(kind, ByteOrder::Little, Cow::Owned(body));
        let begun = usize::from(self.begun);
        self.begun = self.begun.saturating_add(1);
        if begun == 0 {
            return Ok(Some(plain(
                SECTION_HEADER,
                section_header(ByteOrder::Little),
            )));
        }
        if let Some(link) = of_file.get(begun - 1) {
            let mut body = link.to_le_bytes().to_vec();
            body.extend([0; 6]);
            // if_tsresol 9: nanoseconds, which hold every time that a classic file has.
            body.extend([9, 0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
            return Ok(Some(plain(INTERFACE_DESCRIPTION, body)));
        }
        let Some(Item::Packet(frame)) = self.advance()? else {
            return Ok(None);
        };
        self.count(&frame);
        let link = frame.link;
        let data = self.source.taken(frame.data.clone());
        let mut body = place_of(link).to_le_bytes().to_vec();
        let stamp = u64::try_from(frame.time_ns).unwrap_or(0);
        body.extend(((stamp >> 32) as u32).to_le_bytes());
        body.extend((stamp as u32).to_le_bytes());
        for length in [data.len(), frame.original_len] {
            body.extend(u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        }
        let place = body.len()..body.len() + data.len();
        body.extend_from_slice(data);
        body.resize(body.len().next_multiple_of(4), 0);
        let mut block = RawBlock {
            frame: place,
            link,
            ..plain(ENHANCED_PACKET, body)
        };
        let place = self.source.place(&frame.data);
        let reading = (&self.source, self.frames, self.decap);
        block.hold(Self::look_at(reading, &mut self.tunnelled, frame), place);
        Ok(Some(block))
    }
}

/// The body of a section header without options, of version 1.0 and unknown length.
pub(crate) fn section_header(order: ByteOrder) -> Vec<u8> {
    let mut body = order.of_u32(0x1a2b_3c4d).to_vec();
    body.extend([order.of_u16(1), order.of_u16(0)].concat());
    body.extend([0xff; 8]);
    body
}

/// The time stamp of a packet block: two words, the upper one first (section 4.3).
pub(crate) fn stamp(order: ByteOrder, body: &[u8]) -> Option<u64> {
    let (high, low) = (order.u32(body, 4)?, order.u32(body, 8)?);
    Some(u64::from(high) << 32 | u64::from(low))
}

/// Writes the time stamp of a packet block.
pub(crate) fn set_stamp(order: ByteOrder, body: &mut [u8], stamp: u64) {
    write_at(body, 4, &order.of_u32((stamp >> 32) as u32));
    write_at(body, 8, &order.of_u32(stamp as u32));
}

impl<'a> RawBlock<'a> {
    fn new(kind: u32, order: ByteOrder, body: Cow<'a, [u8]>) -> Self {
        Self {
            kind,
            order,
            body,
            frame: 0..0,
            header: 0,
            link: 0,
            record: None,
        }
    }

    /// Takes in the packet of its frame.
    fn hold(&mut self, packet: CapturedPacket<'a>, place: u64) {
        self.header = packet.offset.saturating_sub(place) as usize;
        self.record = Some(Record::Packet(packet));
    }

    /// The number of its frame; 0 if it has none.
    pub(crate) fn number(&self) -> u64 {
        match &self.record {
            Some(Record::Packet(packet)) => packet.number,
            Some(Record::Custom(custom)) => custom.number,
            None => 0,
        }
    }

    /// Whether it is a block of a packet, good or not.
    pub(crate) fn is_of_a_packet(&self) -> bool {
        matches!(self.kind, ENHANCED_PACKET | OBSOLETE_PACKET | SIMPLE_PACKET)
    }

    /// Writes it as it stands, by [`write_changed`].
    ///
    /// # Errors
    /// Those of the writer.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        write_changed(out, self.kind, self.order, &self.body)
    }
}

/// Writes a block of a file that is not all as it was: a section's length, which does not hold any more, becomes unknown.
///
/// # Errors
/// Those of the writer.
pub(crate) fn write_changed(
    out: &mut dyn Write,
    kind: u32,
    order: ByteOrder,
    body: &[u8],
) -> io::Result<()> {
    if kind != SECTION_HEADER {
        return write_block(out, kind, order, body);
    }
    let mut body = body.to_vec();
    body.get_mut(8..16).unwrap_or_default().fill(0xff);
    write_block(out, kind, order, &body)
}

/// Writes a block: its type, its length, the body, its length again (draft-ietf-opsawg-pcapng section 3.1). The pcap-file crate writes
/// in the order of the whole file; here each section keeps its own.
///
/// # Errors
/// Those of the writer.
pub(crate) fn write_block(
    out: &mut dyn Write,
    kind: u32,
    order: ByteOrder,
    body: &[u8],
) -> io::Result<()> {
    let padded = body.len().next_multiple_of(4);
    let length = order.of_u32(u32::try_from(padded + 12).unwrap_or(u32::MAX));
    out.write_all(&order.of_u32(kind))?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&[0; 3][..padded - body.len()])?;
    out.write_all(&length)
}
