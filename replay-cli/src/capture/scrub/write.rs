//! The second pass: block by block, what stays and what stands for it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::content::{Content, Runs};
use super::mapping::Mapping;
use super::packets::{Change, Rewritten};
use super::read::Known;
use super::{Mark, Output, ScrubOptions, ScrubReport, frame};
use crate::base::diagnostic::Diagnostic;
use crate::capture::blocks::{RawBlock, section_header, set_stamp, stamp, write_block};
use crate::capture::byte_order::ByteOrder;
use crate::capture::conversation::Placing;
use crate::capture::pcapng::{
    CUSTOM, IF_TSRESOL, INTERFACE_DESCRIPTION, MICROSECONDS, OBSOLETE_PACKET, Options,
    SECTION_HEADER, SIMPLE_PACKET, resolution_of, units_in_second,
};
use crate::capture::{CaptureReader, CapturedPacket, Record};
use crate::packet::read::write_at;
use crate::packet::{Packet, Tcp, UDP};

/// When every scrubbed capture begins: 2000-01-01, seconds since the Unix epoch.
const BEGINS: i64 = 946_684_800;

/// Options that stay: of interfaces their clock, of packets their direction.
const IF_TSOFFSET: u16 = 14;
const EPB_FLAGS: u16 = 2;
/// The option of a section header that names who wrote it.
const SHB_USERAPPL: u16 = 4;

pub(super) fn write(
    name: &str,
    bytes: &[u8],
    known: &Known,
    mapping: &Mapping,
    options: &ScrubOptions,
) -> Result<(Output, Runs, ScrubReport), Diagnostic> {
    let mut writer = Writer {
        content: Content::new(known, mapping, options.payload),
        out: Output::default(),
        report: ScrubReport::default(),
        keep_options: options.options,
        seconds: known
            .first_ns
            .map_or(0, |first| first.div_euclid(1_000_000_000) - BEGINS),
        resolutions: Vec::new(),
        reported: BTreeMap::new(),
        datagrams: Datagrams::default(),
        hardware: BTreeSet::new(),
    };
    let open = || CaptureReader::from_read(name, std::io::Cursor::new(bytes.to_vec()));
    let flows = Placing::by_number(&mut open()?)?;
    let mut reader = open()?;
    while let Some(block) = reader.next_block()? {
        writer
            .block(&block, flows.get(&block.number()).copied())
            .map_err(|what| Diagnostic::new(what).in_file(name))?;
    }
    writer.datagrams.finish(&mut writer.out.bytes);
    let Writer {
        content,
        out,
        mut report,
        hardware,
        ..
    } = writer;
    report.addresses = (mapping.addresses.len(), mapping.beyond);
    report.names = known.names.len();
    report.hardware = hardware.len();
    report.payload = content.replaced;
    Ok((out, content.runs.sorted(), report))
}

struct Writer<'a> {
    content: Content<'a>,
    out: Output,
    report: ScrubReport,
    keep_options: bool,
    /// What times are moved back by.
    seconds: i64,
    /// if_tsresol of each interface of the section.
    resolutions: Vec<u8>,
    /// Bytes of each far side's stream that events have reported so far.
    reported: BTreeMap<usize, i64>,
    datagrams: Datagrams,
    hardware: BTreeSet<Vec<u8>>,
}

impl Writer<'_> {
    fn block(&mut self, block: &RawBlock<'_>, flow: Option<usize>) -> Result<(), String> {
        let body = block.body.as_ref();
        match (block.kind, &block.record) {
            (SECTION_HEADER, _) => {
                self.resolutions.clear();
                let mut header = section_header(block.order);
                if self.keep_options {
                    header.extend_from_slice(body.get(16..).unwrap_or_default());
                } else {
                    push_option(
                        block.order,
                        SHB_USERAPPL,
                        super::MARK.as_bytes(),
                        &mut header,
                    );
                    header.extend(END_OF_OPTIONS);
                }
                let marks = self.plain(&header, 16);
                self.push(SECTION_HEADER, block.order, &header, &marks);
            }
            (INTERFACE_DESCRIPTION, _) => {
                let mut header = body.get(..8).unwrap_or_default().to_vec();
                let resolution = resolution_of(block.order, body);
                self.resolutions.push(resolution.unwrap_or(MICROSECONDS));
                self.options(block, 8, &[IF_TSRESOL, IF_TSOFFSET], &mut header);
                let marks = self.plain(&header, 8);
                self.push(INTERFACE_DESCRIPTION, block.order, &header, &marks);
            }
            (_, Some(Record::Packet(packet))) => {
                self.report.packets.0 += 1;
                match self.packet(block, packet, flow) {
                    Ok(()) => self.report.packets.1 += 1,
                    Err(Left::Out(reason)) => self.leave_out(reason),
                    Err(Left::Changed(what)) => {
                        return Err(format!("frame {}: {what}", packet.number));
                    }
                }
            }
            (CUSTOM, Some(Record::Custom(custom))) => {
                let seconds = self.seconds;
                let rewritten = super::events::rewrite(
                    custom,
                    flow,
                    seconds,
                    &mut self.reported,
                    &mut self.content,
                );
                match rewritten {
                    Some((data, marks)) => {
                        let mut body = body.get(..4).unwrap_or_default().to_vec();
                        body.extend(data);
                        let marks = [vec![Mark::Structure; 4], marks].concat();
                        self.push(CUSTOM, block.order, &body, &marks);
                    }
                    None => self.leave_out("custom block of somebody else".into()),
                }
            }
            (kind, _) => self.leave_out(format!("block of type {kind:#x}")),
        }
        Ok(())
    }

    fn packet(
        &mut self,
        block: &RawBlock<'_>,
        packet: &CapturedPacket<'_>,
        flow: Option<usize>,
    ) -> Result<(), Left> {
        let ip = packet
            .content
            .map_err(|reason| Left::Out(reason.to_string()))?;
        let parsed = ip
            .packet()
            .map_err(|problem| Left::Out(format!("malformed: {problem}")))?;
        let new = self
            .content
            .rewrite(&parsed, flow, false)
            .map_err(Left::Out)?;
        let whole = block.body.get(block.frame.clone()).unwrap_or_default();
        let start = block.header;
        let mut frame = whole.to_vec();
        let mut marks = vec![Mark::Structure; frame.len()];
        // Behind the packet there is padding, in which anything may have been left.
        frame.get_mut(start..).unwrap_or_default().fill(0);
        write_at(&mut frame, start, &new.bytes);
        if let Some(place) = marks.get_mut(start..start + new.marks.len()) {
            place.copy_from_slice(&new.marks);
        }
        if block.link == 1 {
            let old = whole.get(..12).unwrap_or_default();
            self.hardware.extend(old.chunks(6).map(<[u8]>::to_vec));
        }
        let (header, header_marks) = (frame.get_mut(..start), marks.get_mut(..start));
        if let (Some(header), Some(marks)) = (header, header_marks) {
            frame::link(block.link, header, marks, self.content.mapping);
        }
        same_shape(&parsed, &new)?;
        // Fields before the frame, with the time moved; then the frame, padding and what stays of the options.
        let mut body = block
            .body
            .get(..block.frame.start)
            .unwrap_or_default()
            .to_vec();
        if block.kind != SIMPLE_PACKET {
            self.move_time(block, &mut body);
        }
        let at = body.len();
        body.extend(&frame);
        body.resize(body.len().next_multiple_of(4), 0);
        let behind = block.frame.start + block.frame.len().next_multiple_of(4);
        if block.kind != SIMPLE_PACKET {
            self.options(block, behind, &[EPB_FLAGS], &mut body);
        }
        let mut all = self.plain(&body, at + frame.len());
        if let Some(place) = all.get_mut(at..at + marks.len()) {
            place.copy_from_slice(&marks);
        }
        let place = self.out.bytes.len() + 8 + at + start;
        self.push(block.kind, block.order, &body, &all);
        if let Some((change, field)) = new.follows {
            let place = field.map(|field| place + field);
            self.datagrams
                .take(&parsed, change, place, &mut self.out.bytes);
        }
        Ok(())
    }

    /// Marks of a block's body: what stands behind its fixed part is words, if it is kept.
    fn plain(&self, body: &[u8], fixed: usize) -> Vec<Mark> {
        let mut marks = vec![Mark::Structure; body.len()];
        if self.keep_options {
            marks.get_mut(fixed..).unwrap_or_default().fill(Mark::Named);
        }
        marks
    }

    /// Appends the options of a block that stay.
    fn options(&self, block: &RawBlock<'_>, from: usize, kept: &[u16], to: &mut Vec<u8>) {
        if self.keep_options {
            to.extend_from_slice(block.body.get(from..).unwrap_or_default());
            return;
        }
        let start = to.len();
        for (code, value) in Options::of(block.order, &block.body, from) {
            if kept.contains(&code) {
                push_option(block.order, code, value, to);
            }
        }
        if to.len() > start {
            to.extend(END_OF_OPTIONS);
        }
    }

    /// Moves a packet's time, in the units of its interface.
    fn move_time(&self, block: &RawBlock<'_>, body: &mut [u8]) {
        let order = block.order;
        let interface = if block.kind == OBSOLETE_PACKET {
            order.u16(body, 0).map(usize::from)
        } else {
            order.u32(body, 0).map(|interface| interface as usize)
        };
        let resolution = interface.and_then(|interface| self.resolutions.get(interface));
        let units = units_in_second(resolution.copied().unwrap_or(MICROSECONDS));
        let (Some(old), Some(units)) = (stamp(order, body), units) else {
            return;
        };
        let by = i128::from(self.seconds).checked_mul(units);
        let moved = by.and_then(|by| u64::try_from(i128::from(old) - by).ok());
        set_stamp(order, body, moved.unwrap_or(0));
    }

    fn push(&mut self, kind: u32, order: ByteOrder, body: &[u8], marks: &[Mark]) {
        let out = &mut self.out;
        // A vector takes everything.
        let _ = write_block(&mut out.bytes, kind, order, body);
        out.marks.extend([Mark::Structure; 8]);
        out.marks.extend_from_slice(marks);
        out.marks.resize(out.bytes.len(), Mark::Structure);
    }

    fn leave_out(&mut self, reason: String) {
        *self.report.left_out.entry(reason).or_default() += 1;
    }
}

/// Appends one option.
fn push_option(order: ByteOrder, code: u16, value: &[u8], to: &mut Vec<u8>) {
    to.extend(order.of_u16(code));
    to.extend(order.of_u16(u16::try_from(value.len()).unwrap_or(0)));
    to.extend_from_slice(value);
    to.resize(to.len().next_multiple_of(4), 0);
}

const END_OF_OPTIONS: [u8; 4] = [0; 4];

/// Why a packet is not written.
enum Left {
    Out(String),
    /// It came out as another than it was: a bug here, which must not pass.
    Changed(&'static str),
}

/// Lengths, flags, numbers, windows and the soundness of checksums are what they were.
fn same_shape(old: &Packet<'_>, new: &Rewritten) -> Result<(), Left> {
    let length = old.total_len.max(old.bytes.len());
    let Ok(new) = Packet::parse_within(&new.bytes, length) else {
        return Err(Left::Changed("it would be no packet any more"));
    };
    if old.fragment.is_none() && old.checksums() != new.checksums() {
        return Err(Left::Changed(
            "its checksums would not be as sound as they were",
        ));
    }
    let same = match (old.tcp(), new.tcp()) {
        (Some(old), Some(new)) => {
            let shape = |tcp: &Tcp<'_>| {
                let numbers = (tcp.sequence, tcp.acknowledgement, tcp.window);
                (numbers, tcp.flags, tcp.options, tcp.payload_len)
            };
            shape(old) == shape(new)
        }
        (None, None) => {
            old.udp().map(|udp| udp.payload_len) == new.udp().map(|udp| udp.payload_len)
        }
        _ => false,
    };
    if same && (old.ports(), old.total_len) == (new.ports(), new.total_len) {
        Ok(())
    } else {
        Err(Left::Changed("its headers would not be what they were"))
    }
}

/// Checksums of datagrams that came in fragments: they follow what changed in all of them.
#[derive(Debug, Default)]
struct Datagrams {
    open: BTreeMap<(IpAddr, IpAddr, u8, u32), Pending>,
}

#[derive(Debug, Default)]
struct Pending {
    offsets: BTreeSet<u32>,
    change: Change,
    field: Option<usize>,
    is_udp: bool,
}

impl Datagrams {
    fn take(&mut self, packet: &Packet<'_>, change: Change, field: Option<usize>, out: &mut [u8]) {
        let Some(fragment) = packet.fragment else {
            return;
        };
        let key = (
            packet.source,
            packet.destination,
            packet.protocol,
            fragment.identification,
        );
        let pending = self.open.entry(key).or_default();
        // The same place again is another datagram.
        if !pending.offsets.insert(fragment.offset) {
            std::mem::take(pending).finish(out);
            pending.offsets.insert(fragment.offset);
        }
        pending.change = pending.change.and(change);
        pending.field = pending.field.or(field);
        pending.is_udp = packet.protocol == UDP;
    }

    fn finish(&mut self, out: &mut [u8]) {
        for pending in std::mem::take(&mut self.open).into_values() {
            pending.finish(out);
        }
    }
}

impl Pending {
    fn finish(self, out: &mut [u8]) {
        if let Some(field) = self.field {
            self.change.apply(out, field, self.is_udp);
        }
    }
}
