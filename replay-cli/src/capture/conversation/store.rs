//! Where a capture's bytes are, and how they are looked at again.
//!
//! Nothing of a packet's payload is kept: a [`Span`] says where it stands, and a [`ByteReader`] reads it when it is wanted,
//! by way of a few windows of the file. Replay goes through a capture in about its own order, so that most looks
//! find their window read already.

use std::sync::Arc;

use super::window::{WINDOW, Window, Windows};
use crate::capture::{CaptureError, Kept, Spool};

/// Bytes of a capture, or of what was put together from it: where they begin, and how many they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The place of the first.
    pub(crate) place: u64,
    /// How many.
    pub(crate) len: u32,
}

impl Span {
    pub(crate) fn new(place: u64, len: usize) -> Self {
        Self {
            place,
            len: u32::try_from(len).unwrap_or(u32::MAX),
        }
    }

    /// What is left without the first `count` bytes.
    pub(crate) fn behind(self, count: u64) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX).min(self.len);
        Self {
            place: self.place + u64::from(count),
            len: self.len - count,
        }
    }

    /// Its first `count` bytes, or all of it.
    pub(crate) fn up_to(self, count: u64) -> Self {
        let len = u32::try_from(count).unwrap_or(u32::MAX).min(self.len);
        Self { len, ..self }
    }
}

/// The place of bytes that no packet holds: zeros.
pub(crate) const BLANK: u64 = u64::MAX;

/// Set in places of packets that were put together from fragments.
const REBUILT: u64 = 1 << 62;

/// The bytes of a capture, by place.
#[derive(Debug)]
pub struct CaptureBytes {
    kept: Kept,
    /// Packets put together from fragments.
    rebuilt: Spool,
    windows: Windows,
}

impl CaptureBytes {
    pub(crate) fn new(kept: Kept, rebuilt: Spool) -> Self {
        Self {
            kept,
            rebuilt,
            windows: Windows::default(),
        }
    }

    /// Nothing but these bytes.
    #[cfg(test)]
    pub(crate) fn of(count: &[u8]) -> Self {
        Self {
            kept: Kept::of(count),
            rebuilt: Spool::default(),
            windows: Windows::default(),
        }
    }

    /// The place of bytes that stand at `at` among what was put together.
    pub(crate) fn rebuilt(at: u64) -> u64 {
        at | REBUILT
    }

    /// Whether a place is one of those.
    pub(crate) fn is_rebuilt(place: u64) -> bool {
        place != BLANK && place & REBUILT != 0
    }

    /// The bytes from `place` on that are held in memory.
    fn held(&self, place: u64, len: usize) -> Option<Option<&[u8]>> {
        let (all, at) = if place & REBUILT == 0 {
            (self.kept.all()?, place)
        } else {
            (self.rebuilt.all()?, place & !REBUILT)
        };
        let from = usize::try_from(at).unwrap_or(usize::MAX);
        Some(all.get(from..from.saturating_add(len)))
    }

    fn read_at(&self, place: u64, to: &mut [u8]) -> Result<usize, CaptureError> {
        if place & REBUILT == 0 {
            return self.kept.read_at(place, to);
        }
        self.rebuilt
            .read_at(place & !REBUILT, to)
            .map_err(|source| CaptureError::Io {
                path: "temporary file".into(),
                source,
            })
    }
}

/// Looks at a capture's bytes.
#[derive(Debug)]
pub(crate) struct ByteReader<'a> {
    bytes: &'a CaptureBytes,
    /// Those it looked at last, by number.
    windows: Vec<Option<Arc<Window>>>,
    scratch: Vec<u8>,
    /// Where streams were read last: of each whose place this is, by its address, the piece.
    seen: Vec<(usize, usize)>,
    failure: Option<CaptureError>,
}

/// Streams whose place is remembered; another one may take it, which costs a longer search.
const SEEN: usize = 512;

/// Windows at hand; one takes the place of the one so many before it.
const WINDOWS: u64 = 64;

impl<'a> ByteReader<'a> {
    pub(crate) fn new(bytes: &'a CaptureBytes) -> Self {
        Self {
            bytes,
            windows: Vec::new(),
            scratch: Vec::new(),
            seen: vec![(0, 0); SEEN],
            failure: None,
        }
    }

    /// The bytes of a span; none of them if they cannot be read, which [`finish`](Self::finish) tells.
    pub(crate) fn span(&mut self, span: Span) -> &[u8] {
        self.at(span.place, span.len as usize)
    }

    /// `len` bytes from `place` on, likewise.
    pub(crate) fn at(&mut self, place: u64, len: usize) -> &[u8] {
        if place == BLANK {
            self.scratch.clear();
            self.scratch.resize(len, 0);
            return &self.scratch;
        }
        let bytes = self.bytes;
        if let Some(held) = bytes.held(place, len) {
            if held.is_none() {
                self.lost(place);
            }
            return held.unwrap_or_default();
        }
        let from = (place % WINDOW) as usize;
        if from + len <= WINDOW as usize {
            return self.window(place, from, len);
        }
        let mut whole = std::mem::take(&mut self.scratch);
        whole.clear();
        let end = place + len as u64;
        let mut at = place;
        while at < end {
            let part = (WINDOW - at % WINDOW).min(end - at) as usize;
            let bytes = self.window(at, (at % WINDOW) as usize, part);
            if bytes.len() < part {
                whole.clear();
                break;
            }
            whole.extend_from_slice(bytes);
            at += part as u64;
        }
        self.scratch = whole;
        &self.scratch
    }

    /// Bytes of one window.
    fn window(&mut self, place: u64, from: usize, len: usize) -> &[u8] {
        let number = place / WINDOW;
        let slot = (number % WINDOWS) as usize;
        if self.windows.is_empty() {
            self.windows = vec![None; WINDOWS as usize];
        }
        let there = |window: &Option<Arc<Window>>| {
            let window = window.as_ref();
            window.is_some_and(|w| w.number == number && w.bytes.len() >= from + len)
        };
        if !self.windows.get(slot).is_some_and(there) {
            self.fetch(number, slot, from + len);
            if !self.windows.get(slot).is_some_and(there) {
                self.lost(place);
                return &[];
            }
        }
        let window = self.windows.get(slot).and_then(Option::as_ref);
        window
            .and_then(|window| window.bytes.get(from..from + len))
            .unwrap_or_default()
    }

    /// Puts a window into its slot, if there is one with so many bytes.
    fn fetch(&mut self, number: u64, slot: usize, len: usize) {
        let Some(slot) = self.windows.get_mut(slot) else {
            return;
        };
        let bytes = self.bytes;
        if let Some(before) = slot.take() {
            bytes.windows.give_back(before);
        }
        let read = |to: &mut [u8]| bytes.read_at(number * WINDOW, to);
        match bytes.windows.get(number, len, read) {
            Ok(window) => *slot = Some(window),
            Err(failure) => {
                self.failure.get_or_insert(failure);
            }
        }
    }

    /// The piece of a stream that was read last, or any.
    fn near(&self, stream: &Stream) -> usize {
        let address = std::ptr::from_ref(stream).addr();
        let seen = self.seen.get(slot(address));
        seen.map_or(
            0,
            |(known, piece)| {
                if *known == address { *piece } else { 0 }
            },
        )
    }

    fn note(&mut self, stream: &Stream, piece: usize) {
        let address = std::ptr::from_ref(stream).addr();
        if let Some(seen) = self.seen.get_mut(slot(address)) {
            *seen = (address, piece);
        }
    }

    fn lost(&mut self, place: u64) {
        self.failure
            .get_or_insert_with(|| self.bytes.kept.gone(place & !REBUILT));
    }

    /// Whether all that was asked for was there, and is still what it was.
    ///
    /// # Errors
    /// The capture cannot be read any more, or has changed.
    pub(crate) fn finish(self) -> Result<(), CaptureError> {
        match self.failure {
            Some(failure) => Err(failure),
            None => self.bytes.kept.unchanged(),
        }
    }
}

/// Where the place in a stream at this address is remembered.
fn slot(address: usize) -> usize {
    // Streams stand at multiples of 8, often far apart.
    ((address >> 3) ^ (address >> 12)) % SEEN
}

/// A stream of a capture: where its bytes stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    pieces: Vec<Piece>,
}

/// Bytes that stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    /// Offset in the stream of the byte behind its last.
    end: u64,
    /// Where its first byte stands.
    place: u64,
}

/// Bytes of a stream that are looked at in one go, where it is looked at from end to end.
pub(crate) const STRETCH: u64 = 64 << 10;

impl Stream {
    /// How many bytes it has.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.pieces.last().map_or(0, |piece| piece.end)
    }

    /// Whether it has none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends bytes.
    pub(crate) fn push(&mut self, place: u64, len: u64) {
        if len == 0 {
            return;
        }
        let end = self.len() + len;
        let begin = self.pieces.iter().rev().nth(1).map_or(0, |piece| piece.end);
        if let Some(last) = self.pieces.last_mut()
            && (last.place == BLANK) == (place == BLANK)
            && (place == BLANK || last.place + (last.end - begin) == place)
        {
            last.end = end;
            return;
        }
        self.pieces.push(Piece { end, place });
    }

    /// Gives up room that is not used.
    pub(crate) fn shrink(&mut self) {
        self.pieces.shrink_to_fit();
    }

    /// The bytes from `from` to `to`, as far as they are there.
    pub(crate) fn read<'r>(&self, from: u64, to: u64, reader: &'r mut ByteReader<'_>) -> &'r [u8] {
        let to = to.min(self.len());
        if from >= to {
            return &[];
        }
        let first = self.piece_with(from, reader.near(self));
        reader.note(self, first);
        let mut begin = first
            .checked_sub(1)
            .and_then(|before| self.pieces.get(before))
            .map_or(0, |piece| piece.end);
        let rest = self.pieces.get(first..).unwrap_or_default();
        if let Some(piece) = rest.first()
            && to <= piece.end
        {
            return reader.at(place_in(*piece, from - begin), (to - from) as usize);
        }
        let mut whole = Vec::with_capacity((to - from) as usize);
        for piece in rest {
            if begin >= to {
                break;
            }
            let at = from.max(begin);
            let len = (to.min(piece.end) - at) as usize;
            let bytes = reader.at(place_in(*piece, at - begin), len);
            if bytes.len() < len {
                return &[];
            }
            whole.extend_from_slice(bytes);
            begin = piece.end;
        }
        reader.scratch = whole;
        &reader.scratch
    }

    /// The piece that holds the byte at `from`. The search begins at `near`, because who reads a stream goes on where it
    /// stood, and every look elsewhere is a line of memory that is not in the caches.
    fn piece_with(&self, from: u64, near: usize) -> usize {
        let behind = |index: usize| {
            self.pieces
                .get(index)
                .is_some_and(|piece| piece.end <= from)
        };
        let within = |range: std::ops::Range<usize>| {
            let pieces = self.pieces.get(range.clone()).unwrap_or_default();
            range.start + pieces.partition_point(|piece| piece.end <= from)
        };
        let mut step = 1;
        if behind(near) {
            let mut low = near + 1;
            while behind(low + step - 1) {
                low += step;
                step *= 2;
            }
            within(low..(low + step - 1).min(self.pieces.len()))
        } else {
            let mut high = near.min(self.pieces.len());
            while high > 0 && !behind(high.saturating_sub(step)) {
                high = high.saturating_sub(step);
                step *= 2;
            }
            within(high.saturating_sub(step)..high)
        }
    }

    /// Looks at all of it, a stretch at a time.
    pub(crate) fn each(&self, reader: &mut ByteReader<'_>, mut look: impl FnMut(&[u8])) {
        let mut at = 0;
        while at < self.len() {
            let to = (at + STRETCH).min(self.len());
            look(self.read(at, to, reader));
            at = to;
        }
    }
}

fn place_in(piece: Piece, at: u64) -> u64 {
    if piece.place == BLANK {
        BLANK
    } else {
        piece.place + at
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::capture::CaptureReader;

    /// A file too large to be held, of which the byte at each place tells the place.
    fn file() -> (tempfile::NamedTempFile, CaptureBytes) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut bytes: Vec<u8> = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
        bytes.resize(9 << 20, 0);
        for (place, byte) in bytes.iter_mut().enumerate().skip(24) {
            *byte = (place % 251) as u8;
        }
        file.write_all(&bytes).unwrap();
        let (_, kept) = CaptureReader::open_kept(file.path(), 0).unwrap();
        (file, CaptureBytes::new(kept, Spool::default()))
    }

    #[test]
    fn a_look_across_windows_gives_every_byte() {
        let (_file, bytes) = file();
        let mut reader = ByteReader::new(&bytes);
        for place in [100, WINDOW - 3, WINDOW * WINDOWS - 1, WINDOW * 100] {
            let seen = reader.at(place, 200_000).to_vec();
            assert_eq!(seen.len(), 200_000);
            assert!(
                (place..)
                    .zip(&seen)
                    .all(|(at, byte)| *byte == (at % 251) as u8)
            );
        }
        assert!(reader.finish().is_ok());
    }

    #[test]
    fn a_file_that_lost_its_end_is_told_with_the_place() {
        let (file, bytes) = file();
        file.as_file().set_len(1 << 20).unwrap();
        let mut reader = ByteReader::new(&bytes);
        assert_eq!(reader.at(2 << 20, 10), b"");
        let error = reader.finish().unwrap_err().to_string();
        assert!(
            error.contains("what stood at byte 2097152 is gone"),
            "{error}"
        );
    }

    #[test]
    fn a_piece_is_found_from_wherever_the_search_begins() {
        let mut stream = Stream::default();
        for nth in 0..40 {
            stream.push(1000 * (nth + 1), 1 + nth % 3);
        }
        for from in 0..stream.len() {
            let found = stream.pieces.partition_point(|piece| piece.end <= from);
            for near in 0..50 {
                assert_eq!(stream.piece_with(from, near), found, "{from} {near}");
            }
        }
    }

    #[test]
    fn a_stream_reads_across_its_pieces_and_blanks() {
        let (_file, bytes) = file();
        let mut reader = ByteReader::new(&bytes);
        let mut stream = Stream::default();
        stream.push(1000, 4);
        stream.push(1004, 2);
        stream.push(BLANK, 2);
        stream.push(500, 3);
        assert_eq!((stream.len(), stream.pieces.len()), (11, 3));
        let byte = |place: u64| (place % 251) as u8;
        let want = [byte(1005), 0, 0, byte(500), byte(501)];
        assert_eq!(stream.read(5, 10, &mut reader), want);
        assert_eq!(stream.read(9, 99, &mut reader), [byte(501), byte(502)]);
        assert_eq!(stream.read(11, 12, &mut reader), b"");
    }
}
