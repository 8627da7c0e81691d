//! One direction of a TCP connection, put together from segments: first copy wins, holes are known.

use std::collections::BTreeMap;

use super::store::{BLANK, ByteReader, Span, Stream};

/// A stream under construction. Offsets count from the first byte after the SYN.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    /// Where its bytes stand, in order, without overlaps; what is covered and in none of them, nor in `late`, stands as
    /// zeros.
    pieces: Vec<Piece>,
    /// Pieces that came after ones that stand behind them, by where they begin: as many as there are, none is moved.
    late: BTreeMap<u64, Span>,
    /// Covered ranges, start to end, neither touching nor overlapping.
    covered: BTreeMap<u64, u64>,
    /// Covered ranges whose content is not known so far, start to end: they stand as zeros.
    blank: BTreeMap<u64, Blank>,
    /// Bytes that came more than once.
    pub(crate) repeated: u64,
    /// Bytes that came more than once with different content.
    pub(crate) conflicting: u64,
}

/// Bytes of the stream that one segment brought.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: u64,
    span: Span,
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + u64::from(self.span.len)
    }
}

/// A range without content.
#[derive(Clone, Copy, Debug)]
struct Blank {
    end: u64,
    /// Cut off by the snap length, not absent.
    cut: bool,
}

/// What a segment added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Added {
    /// At least one byte that had not been there.
    New,
    /// Nothing: all of it had been there.
    Repeated,
}

impl Assembly {
    /// Adds a segment of `wire_len` bytes, of which `captured` are there.
    pub(crate) fn insert(
        &mut self,
        offset: u64,
        captured: Span,
        wire_len: u64,
        bytes: &mut ByteReader<'_>,
    ) -> Added {
        let end = offset + wire_len;
        let mut added = Added::Repeated;
        let mut at = offset;
        while at < end {
            if let Some(covered_to) = self.covered_to(at) {
                let to = covered_to.min(end);
                self.repeated += to - at;
                if self.write_blank(at, to, offset, captured) {
                    added = Added::New;
                }
                self.compare(at, to, offset, captured, bytes);
                at = to;
                continue;
            }
            let next = self
                .covered
                .range(at..)
                .next()
                .map_or(end, |(start, _)| *start)
                .min(end);
            self.write(at, next, offset, captured);
            self.cover(at, next);
            added = Added::New;
            at = next;
        }
        added
    }

    /// Covers holes whose bytes no packet holds so far, and says where they were. One that comes later, as behind a
    /// tap that reorders, is taken.
    pub(crate) fn fill_to(&mut self, edge: u64) -> Vec<(u64, u64)> {
        let mut holes = Vec::new();
        while self.contiguous() < edge {
            let at = self.contiguous();
            let next = self
                .covered
                .range(at..)
                .next()
                .map_or(edge, |(start, _)| *start)
                .min(edge);
            self.cover(at, next);
            self.blank.insert(
                at,
                Blank {
                    end: next,
                    cut: false,
                },
            );
            holes.push((at, next));
        }
        holes
    }

    /// Bytes that no packet holds and that stand as zeros.
    pub(crate) fn filled(&self) -> u64 {
        self.blank_bytes(false)
    }

    /// Bytes that the snap length cut off and that stand as zeros.
    pub(crate) fn cut(&self) -> u64 {
        self.blank_bytes(true)
    }

    fn blank_bytes(&self, cut: bool) -> u64 {
        let end = self.contiguous();
        let blanks = self.blank.range(..end);
        let blanks = blanks.filter(|(_, blank)| blank.cut == cut);
        blanks.map(|(start, blank)| blank.end - start).sum()
    }

    /// The first offset that is not there.
    pub(crate) fn contiguous(&self) -> u64 {
        self.covered
            .first_key_value()
            .filter(|(start, _)| **start == 0)
            .map_or(0, |(_, end)| *end)
    }

    /// One past the last byte seen.
    pub(crate) fn highest(&self) -> u64 {
        self.covered.last_key_value().map_or(0, |(_, end)| *end)
    }

    /// The stream up to its first hole, and how many bytes lie behind that.
    pub(crate) fn finish(self) -> (Stream, u64) {
        let contiguous = self.contiguous();
        let behind = self
            .covered
            .iter()
            .filter(|(start, _)| **start > contiguous)
            .map(|(start, end)| end - start)
            .sum();
        let mut stream = Stream::default();
        let mut add = |start: u64, span: Span| {
            stream.push(BLANK, start.saturating_sub(stream.len()));
            stream.push(span.place, u64::from(span.len));
        };
        let mut late = self.late.into_iter().peekable();
        let pieces = self.pieces.iter();
        for piece in pieces.take_while(|piece| piece.start < contiguous) {
            while let Some((start, span)) = late.next_if(|(start, _)| *start < piece.start) {
                add(start, span);
            }
            add(piece.start, piece.span);
        }
        let rest = late.take_while(|(start, _)| *start < contiguous);
        rest.for_each(|(start, span)| add(start, span));
        stream.push(BLANK, contiguous.saturating_sub(stream.len()));
        stream.shrink();
        (stream, behind)
    }

    fn covered_to(&self, at: u64) -> Option<u64> {
        let (_, end) = self.covered.range(..=at).next_back()?;
        (*end > at).then_some(*end)
    }

    fn cover(&mut self, mut start: u64, mut end: u64) {
        if let Some((before, to)) = self
            .covered
            .range(..=start)
            .next_back()
            .map(|(a, b)| (*a, *b))
            && to == start
        {
            self.covered.remove(&before);
            start = before;
        }
        if let Some(to) = self.covered.remove(&end) {
            end = to;
        }
        self.covered.insert(start, end);
    }

    fn write(&mut self, from: u64, to: u64, offset: u64, captured: Span) {
        let span = captured.behind(from - offset).up_to(to - from);
        let known = from + u64::from(span.len);
        if known < to {
            self.blank.insert(known, Blank { end: to, cut: true });
        }
        if span.len == 0 {
            return;
        }
        // Most come in order.
        if self.pieces.last().is_none_or(|last| last.start < from) {
            self.pieces.push(Piece { start: from, span });
        } else {
            self.late.insert(from, span);
        }
    }

    /// Gives blank bytes between `from` and `to` the content that has come; says whether there were any.
    fn write_blank(&mut self, from: u64, to: u64, offset: u64, captured: Span) -> bool {
        let to = to.min(offset.saturating_add(u64::from(captured.len)));
        let mut written = false;
        while let Some((start, blank)) = self
            .blank
            .range(..to)
            .next_back()
            .map(|(start, blank)| (*start, *blank))
            .filter(|(_, blank)| blank.end > from)
        {
            let (first, last) = (start.max(from), blank.end.min(to));
            self.blank.remove(&start);
            if start < first {
                self.blank.insert(
                    start,
                    Blank {
                        end: first,
                        ..blank
                    },
                );
            }
            if last < blank.end {
                self.blank.insert(last, blank);
            }
            self.write(first, last, offset, captured);
            written = true;
        }
        written
    }

    /// Counts bytes that came again with other content.
    fn compare(
        &mut self,
        from: u64,
        to: u64,
        offset: u64,
        captured: Span,
        bytes: &mut ByteReader<'_>,
    ) {
        let span = captured.behind(from - offset).up_to(to - from);
        let known = self.read(from, from + u64::from(span.len), bytes);
        if bytes.span(span) != known {
            self.conflicting += u64::from(span.len);
        }
    }

    /// The bytes so far; zeros where there are none.
    fn read(&self, from: u64, to: u64, bytes: &mut ByteReader<'_>) -> Vec<u8> {
        let mut known = vec![0; usize::try_from(to - from).unwrap_or(0)];
        let first = self.pieces.partition_point(|piece| piece.end() <= from);
        let pieces = self.pieces.get(first..).unwrap_or_default();
        let pieces = pieces.iter().take_while(|piece| piece.start < to).copied();
        let piece = |(start, span): (&u64, &Span)| Piece {
            start: *start,
            span: *span,
        };
        let late = self.late.range(..to).rev().map(piece);
        for piece in pieces.chain(late.take_while(|piece| piece.end() > from)) {
            let begin = piece.start.max(from);
            let span = piece.span.behind(begin - piece.start).up_to(to - begin);
            let at = (begin - from) as usize;
            if let Some(place) = known.get_mut(at..at + span.len as usize) {
                let there = bytes.span(span);
                if there.len() == place.len() {
                    place.copy_from_slice(there);
                }
            }
        }
        known
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::conversation::store::CaptureBytes;

    /// A stream and the capture its segments stand in.
    struct Segments {
        stream: Assembly,
        bytes: CaptureBytes,
        next: u64,
    }

    impl Segments {
        /// Segments with this text, one behind the other.
        fn of(text: &[u8]) -> Self {
            Self {
                stream: Assembly::default(),
                bytes: CaptureBytes::of(text),
                next: 0,
            }
        }

        /// Adds the next `captured` bytes of the text at `offset`.
        fn insert(&mut self, offset: u64, captured: usize, wire_len: u64) -> Added {
            let span = Span::new(self.next, captured);
            self.next += captured as u64;
            let mut reader = ByteReader::new(&self.bytes);
            self.stream.insert(offset, span, wire_len, &mut reader)
        }

        fn finish(self) -> (Vec<u8>, u64) {
            let (stream, behind) = self.stream.finish();
            let mut reader = ByteReader::new(&self.bytes);
            let count = stream.read(0, stream.len(), &mut reader).to_vec();
            (count, behind)
        }
    }

    #[test]
    fn the_first_copy_of_overlapping_bytes_wins() {
        let mut segments = Segments::of(b"cdabXXef");
        segments.insert(2, 2, 2);
        assert_eq!(segments.insert(0, 6, 6), Added::New);
        assert_eq!(segments.stream.conflicting, 2);
        assert_eq!(segments.finish(), (b"abcdef".to_vec(), 0));
    }

    #[test]
    fn segments_in_reverse_order_make_one_stream_and_move_none_before_them() {
        let text: Vec<u8> = (0..200).collect();
        let mut segments = Segments::of(&text);
        for nth in 0..100 {
            segments.insert(2 * (99 - nth), 2, 2);
        }
        assert_eq!(segments.stream.pieces.len(), 1);
        // Again, as the middle of the stream.
        segments.next = 100;
        assert_eq!(segments.insert(98, 2, 2), Added::Repeated);
        assert_eq!(segments.stream.conflicting, 0);
        let stream: Vec<u8> = text.chunks(2).rev().flatten().copied().collect();
        assert_eq!(segments.finish(), (stream, 0));
    }

    #[test]
    fn bytes_behind_a_hole_are_counted_apart() {
        let mut segments = Segments::of(b"abef");
        segments.insert(0, 2, 2);
        segments.insert(4, 2, 2);
        assert_eq!(
            (segments.stream.contiguous(), segments.stream.highest()),
            (2, 6)
        );
        assert_eq!(segments.finish(), (b"ab".to_vec(), 2));
    }

    #[test]
    fn a_filled_hole_is_zeros() {
        let mut segments = Segments::of(b"c");
        segments.insert(2, 1, 1);
        segments.stream.fill_to(3);
        assert_eq!(segments.stream.filled(), 2);
        assert_eq!(segments.finish(), (vec![0, 0, b'c'], 0));
    }

    #[test]
    fn a_late_copy_gives_blank_bytes_their_content() {
        let mut segments = Segments::of(b"afdcXe");
        segments.insert(0, 1, 3);
        segments.insert(5, 1, 1);
        segments.stream.fill_to(6);
        segments.insert(3, 1, 1);
        segments.insert(2, 3, 3);
        assert_eq!((segments.stream.cut(), segments.stream.filled()), (1, 0));
        assert_eq!(
            (segments.stream.repeated, segments.stream.conflicting),
            (4, 3)
        );
        assert_eq!(segments.finish(), (b"a\0cdef".to_vec(), 0));
    }

    #[test]
    fn bytes_cut_off_keep_their_place() {
        let mut segments = Segments::of(b"abe");
        segments.insert(0, 2, 4);
        segments.insert(4, 1, 1);
        assert_eq!(segments.stream.cut(), 2);
        assert_eq!(segments.finish(), (b"ab\0\0e".to_vec(), 0));
    }
}
