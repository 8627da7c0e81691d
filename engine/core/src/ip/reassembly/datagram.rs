//! One datagram under reassembly: which pieces arrived, and their bytes.

use super::{Fragment, Key, Refusal};
use crate::api::time::Micros;
use crate::ip::build::{IPV4_HEADER_LEN, IPV6_HEADER_LEN};
use crate::ip::checksum::Sum;
use crate::ip::fragment::FRAGMENT_HEADER_LEN;

/// A datagram of which fragments are missing, or one that was condemned.
///
/// Pieces are stored in the order they arrived, so that a far offset costs no more memory
/// than a near one; the index over them is ordered by offset.
#[derive(Debug)]
pub(crate) struct Datagram {
    pub(super) key: Key,
    pub(super) deadline: Micros,
    /// Ordered by offset; no two overlap.
    pieces: Vec<Piece>,
    /// The pieces' payloads and the first fragment's headers, as they arrived.
    bytes: Vec<u8>,
    /// How many bytes `bytes` was made to have room for.
    room: usize,
    /// Where the first fragment's headers are in `bytes`, and how long they are.
    first: Option<(usize, usize)>,
    /// Bytes of payload that arrived.
    received: usize,
    /// Length of the whole payload, once the last fragment arrived.
    total: Option<usize>,
    condemned: bool,
}

const _: () = assert!(2 * size_of::<Datagram>() + 4 * size_of::<Piece>() <= Datagram::OVERHEAD);

/// A run of payload bytes.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: usize,
    end: usize,
    /// Where its payload is in `Datagram::bytes`.
    at: usize,
}

impl Datagram {
    /// What a datagram is charged for itself: its size twice, since the list of datagrams
    /// grows by doubling, and the smallest index.
    pub(super) const OVERHEAD: usize = 512;
    /// What each piece is charged besides its bytes: its index entry, and as much again
    /// since the index grows by doubling.
    const PIECE: usize = 2 * size_of::<Piece>();

    pub(super) const fn new(key: Key, deadline: Micros) -> Self {
        Self {
            key,
            deadline,
            pieces: Vec::new(),
            bytes: Vec::new(),
            room: 0,
            first: None,
            received: 0,
            total: None,
            condemned: false,
        }
    }

    /// Bytes of memory to answer for.
    pub(super) const fn charge(&self) -> usize {
        Self::OVERHEAD + self.room + self.pieces.len() * Self::PIECE
    }

    /// Frees everything and refuses all further fragments; returns how much that freed.
    pub(super) fn condemn(&mut self) -> usize {
        let before = self.charge();
        let condemned = Self::new(self.key, self.deadline);
        *self = Self {
            condemned: true,
            ..condemned
        };
        before.saturating_sub(self.charge())
    }

    /// Whether the fragment fits what arrived before.
    pub(super) fn admits(&self, fragment: &Fragment<'_>, limit: usize) -> Result<(), Refusal> {
        if self.condemned {
            return Err(Refusal::Condemned);
        }
        if self.contradicts_end(fragment) {
            return Err(Refusal::Overlap);
        }
        self.overlap(fragment)?;
        if self.pieces.len() >= limit {
            return Err(Refusal::NoRoom);
        }
        Ok(())
    }

    /// Whether two fragments disagree about where the datagram ends.
    fn contradicts_end(&self, fragment: &Fragment<'_>) -> bool {
        let last_end = self.pieces.last().map_or(0, |piece| piece.end);
        match (self.total, fragment.more) {
            (Some(total), true) => fragment.end >= total,
            (Some(total), false) => fragment.end != total,
            (None, true) => false,
            // Everything so far announced more bytes behind it.
            (None, false) => last_end >= fragment.end,
        }
    }

    /// Distinguishes duplicates and overlaps from bytes that are new.
    fn overlap(&self, fragment: &Fragment<'_>) -> Result<(), Refusal> {
        let from = self
            .pieces
            .partition_point(|piece| piece.end <= fragment.start);
        let touched = self.pieces.iter().skip(from);
        let touched = touched.take_while(|piece| piece.start < fragment.end);
        let (mut covered, mut same, mut exact) = (0, true, false);
        for piece in touched {
            let (start, end) = (piece.start.max(fragment.start), piece.end.min(fragment.end));
            covered += end - start;
            let at = piece.at + (start - piece.start);
            let before = self.bytes.get(at..at + (end - start));
            let again = fragment
                .payload
                .get(start - fragment.start..end - fragment.start);
            same &= before == again;
            exact |= (piece.start, piece.end) == (fragment.start, fragment.end);
        }
        let whole = exact || (fragment.may_repeat_parts && covered == fragment.payload.len());
        match (covered, same && whole) {
            (0, _) => Ok(()),
            (_, true) => Err(Refusal::Duplicate),
            (_, false) => Err(Refusal::Overlap),
        }
    }

    /// By how much storing the fragment raises the charge.
    pub(super) fn growth(&self, fragment: &Fragment<'_>) -> usize {
        Self::PIECE + self.room_with(fragment) - self.room
    }

    /// Stores a fragment that was admitted; returns by how much the charge rose.
    pub(super) fn store(&mut self, fragment: &Fragment<'_>) -> usize {
        let before = self.charge();
        self.room = self.room_with(fragment);
        let more = self.room.saturating_sub(self.bytes.len());
        self.bytes.reserve_exact(more);
        if fragment.start == 0 {
            self.first = Some((self.bytes.len(), fragment.header.len()));
            self.bytes.extend_from_slice(fragment.header);
        }
        let piece = Piece {
            start: fragment.start,
            end: fragment.end,
            at: self.bytes.len(),
        };
        self.bytes.extend_from_slice(fragment.payload);
        let index = self
            .pieces
            .partition_point(|other| other.end <= piece.start);
        self.pieces.insert(index, piece);
        self.received += fragment.payload.len();
        if !fragment.more {
            self.total = Some(fragment.end);
        }
        self.charge() - before
    }

    /// How much room the bytes need with this fragment: grown by half, so that many small
    /// fragments do not copy the bytes again and again.
    fn room_with(&self, fragment: &Fragment<'_>) -> usize {
        const STEP: usize = 512;
        let header_len = if fragment.start == 0 {
            fragment.header.len()
        } else {
            0
        };
        let needed = self.bytes.len() + header_len + fragment.payload.len();
        if needed <= self.room {
            return self.room;
        }
        needed.max(self.room + self.room / 2).next_multiple_of(STEP)
    }

    /// Whether no byte is missing; pieces do not overlap, so counting them is enough.
    pub(super) fn is_complete(&self) -> bool {
        self.total == Some(self.received)
    }

    /// The first fragment as it came, if it arrived.
    pub(crate) fn first_packet(&self) -> Option<&[u8]> {
        let (at, header_len) = self.first?;
        let piece = self.pieces.first()?;
        let len = header_len + (piece.end - piece.start);
        self.bytes.get(at..)?.get(..len)
    }

    /// Writes the plain packet of a complete datagram.
    pub(super) fn rebuild_into(&self, out: &mut Vec<u8>) -> Option<()> {
        let (at, header_len) = self.first?;
        let header = self.bytes.get(at..)?.get(..header_len)?;
        let payloads = self.pieces.iter().map(|piece| {
            let place = piece.at..piece.at + (piece.end - piece.start);
            self.bytes.get(place).unwrap_or_default()
        });
        rebuild(out, header, self.received, payloads)
    }
}

/// Writes a plain packet: the first fragment's header made whole, then the payload in
/// order, `len` bytes of it. Nothing if the length fields cannot hold it.
pub(super) fn rebuild<'a>(
    out: &mut Vec<u8>,
    header: &[u8],
    len: usize,
    payloads: impl Iterator<Item = &'a [u8]>,
) -> Option<()> {
    out.clear();
    match header.first()? >> 4 {
        4 => {
            let (base, options) = header.split_first_chunk::<IPV4_HEADER_LEN>()?;
            let mut base = *base;
            let total_len = u16::try_from(header.len().checked_add(len)?).ok()?;
            [base[2], base[3]] = total_len.to_be_bytes();
            // Neither offset nor flags: the datagram is whole, and was free to be split.
            [base[6], base[7], base[10], base[11]] = [0; 4];
            let check = Sum::default().add(&base).add(options).finish();
            [base[10], base[11]] = check.to_be_bytes();
            out.extend_from_slice(&base);
            out.extend_from_slice(options);
        }
        6 => {
            let mut base = *header.first_chunk::<IPV6_HEADER_LEN>()?;
            let fragment = header.last_chunk::<FRAGMENT_HEADER_LEN>()?;
            [base[4], base[5]] = u16::try_from(len).ok()?.to_be_bytes();
            base[6] = fragment[0];
            out.extend_from_slice(&base);
        }
        _ => return None,
    }
    for payload in payloads {
        out.extend_from_slice(payload);
    }
    Some(())
}
