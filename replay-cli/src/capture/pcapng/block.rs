//! The frame around every block: type, length, body, the same length again (section 3.1).

use std::ops::Range;

use super::super::error::{DamageReason, Stop};
use super::super::source::{CAPACITY, Source};
use super::ByteOrder;

/// A block whose frame is sound.
#[derive(Debug)]
pub(super) struct Block {
    /// Block type.
    pub(super) kind: u32,
    /// The order it is written in: its section's, or its own if it begins one.
    pub(super) order: ByteOrder,
    /// Where it begins in the stream.
    pub(super) offset: u64,
    /// Its body's place in the source; `None` if it was too large to hold and has been passed over.
    pub(super) body: Option<Range<usize>>,
}

/// Reads the next block of a section in `section_order`.
pub(super) fn next(source: &mut Source, section_order: ByteOrder) -> Result<Block, Stop> {
    let offset = source.offset();
    let damaged = |reason| Stop::Damaged { offset, reason };
    let head = source.peek(SECTION_MAGIC_END);
    let got = head.len() as u64;
    let order = if !super::recognise(head) {
        section_order
    } else if head.len() < SECTION_MAGIC_END {
        return Err(source.cut_short(offset, "block", SECTION_MAGIC_END as u64, got));
    } else {
        // The type reads the same in both orders; the magic tells which one the length is in.
        magic_order(head).ok_or_else(|| damaged(DamageReason::ByteOrderMagic))?
    };
    let (Some(kind), Some(length)) = (order.u32(head, 0), order.u32(head, 4)) else {
        return Err(source.cut_short(offset, "block", (HEADER + TRAILER) as u64, got));
    };
    let too_large = length as usize > CAPACITY;
    if length < smallest(kind) || !length.is_multiple_of(4) || (too_large && is_held(kind)) {
        let reason = DamageReason::BlockLength {
            block: kind,
            length,
        };
        return Err(damaged(reason));
    }
    let (body_len, got) = if too_large {
        let before = u64::from(length).saturating_sub(TRAILER as u64);
        let skipped = source.skip(before);
        (0, skipped.saturating_add(source.peek(TRAILER).len() as u64))
    } else {
        let got = source.peek(length as usize).len() as u64;
        let body_len = (length as usize).saturating_sub(HEADER + TRAILER);
        source.take(HEADER);
        (body_len, got)
    };
    if got < u64::from(length) {
        return Err(source.cut_short(offset, "block", length.into(), got));
    }
    let body = source.take(body_len);
    let trailer = source.take(TRAILER);
    match order.u32(source.taken(trailer), 0) {
        Some(trailing) if trailing != length => Err(damaged(DamageReason::BlockLengthsDiffer {
            block: kind,
            leading: length,
            trailing,
        })),
        _ => Ok(Block {
            kind,
            order,
            offset,
            body: (!too_large).then_some(body),
        }),
    }
}

/// Whether Wireshark gives a block a frame number although it holds no packet.
pub(super) fn is_numbered(kind: u32) -> bool {
    matches!(kind, CUSTOM | CUSTOM_NOT_COPIED | JOURNAL_EXPORT)
}

/// Whether a block must be in memory as a whole to be read.
fn is_held(kind: u32) -> bool {
    matches!(
        kind,
        SECTION_HEADER | INTERFACE_DESCRIPTION | ENHANCED_PACKET | OBSOLETE_PACKET | SIMPLE_PACKET
    )
}

/// The least total length in bytes that a block's fixed fields need.
fn smallest(kind: u32) -> u32 {
    match kind {
        SECTION_HEADER => 28,
        INTERFACE_DESCRIPTION => 20,
        ENHANCED_PACKET | OBSOLETE_PACKET => 32,
        SIMPLE_PACKET | CUSTOM | CUSTOM_NOT_COPIED => 16,
        _ => 12,
    }
}

fn magic_order(head: &[u8]) -> Option<ByteOrder> {
    [ByteOrder::Big, ByteOrder::Little]
        .into_iter()
        .find(|order| order.u32(head, 8) == Some(BYTE_ORDER_MAGIC))
}

/// Block types (section 11.1 and the registry).
pub(crate) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(crate) const INTERFACE_DESCRIPTION: u32 = 1;
pub(crate) const OBSOLETE_PACKET: u32 = 2;
pub(crate) const SIMPLE_PACKET: u32 = 3;
pub(crate) const ENHANCED_PACKET: u32 = 6;
const JOURNAL_EXPORT: u32 = 9;
pub(crate) const CUSTOM: u32 = 0x0000_0bad;
pub(super) const CUSTOM_NOT_COPIED: u32 = 0x4000_0bad;

const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Type and length before a body; length after it; the end of a section header's magic.
const HEADER: usize = 8;
const TRAILER: usize = 4;
const SECTION_MAGIC_END: usize = 12;
