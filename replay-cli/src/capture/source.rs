//! A window of fixed size over a byte stream, which knows where in the stream it stands.
//!
//! Readers *peek* at what they need, *take* it once it is known to be sound, and look at what they took until the next
//! peek. Whatever a file claims, no more than [`CAPACITY`] bytes are ever held, and of a file that is read ahead a few
//! pieces more.

use std::{
    fs::File,
    io::{self, Cursor, Read},
    ops::Range,
};

use super::ahead::{Ahead, Piece};
use super::error::{DamageReason, Stop};
use super::kept::Overfull;
use super::unpack::Damaged;

/// Bytes held at most: the largest packet (256 KiB) with the most generous options still fits, and one read call moves
/// enough to make its cost vanish.
pub(crate) const CAPACITY: usize = 1 << 20;

/// Buffered input with a position.
pub(crate) struct Source {
    input: Input,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Stream offset of `start`.
    offset: u64,
    ended: bool,
    /// The read error that ended the stream; reported only when the bytes before it are used up.
    failure: Option<io::Error>,
}

/// Where the bytes come from.
enum Input {
    Stream(Box<dyn Read>),
    /// A file, by pieces that become the buffer one after the other.
    Ahead(Ahead),
}

impl Source {
    /// Wraps a stream that stands at its first byte.
    pub(crate) fn new(reader: Box<dyn Read>) -> Self {
        Self::with(Input::Stream(reader), vec![0; CAPACITY])
    }

    /// Reads a file ahead, from where it stands.
    ///
    /// # Errors
    /// No thread can be had.
    pub(crate) fn ahead(file: File) -> io::Result<Self> {
        let ahead = Ahead::new(file, CAPACITY)?;
        Ok(Self::with(Input::Ahead(ahead), Vec::new()))
    }

    fn with(input: Input, buffer: Vec<u8>) -> Self {
        Self {
            input,
            buffer,
            start: 0,
            end: 0,
            offset: 0,
            ended: false,
            failure: None,
        }
    }

    /// Returns the next `wanted` bytes without taking them; fewer only where the stream ends or `wanted` exceeds
    /// [`CAPACITY`].
    pub(crate) fn peek(&mut self, wanted: usize) -> &[u8] {
        let wanted = wanted.min(CAPACITY);
        if self.available() < wanted {
            self.fill(wanted);
        }
        let end = self.end.min(self.start.saturating_add(wanted));
        self.buffer.get(self.start..end).unwrap_or_default()
    }

    /// Takes up to `length` bytes that were peeked at; the range can be looked at until the next peek or skip.
    pub(crate) fn take(&mut self, length: usize) -> Range<usize> {
        let length = length.min(self.available());
        let taken = self.start..self.start.saturating_add(length);
        self.start = taken.end;
        self.offset = self.offset.saturating_add(length as u64);
        taken
    }

    /// Returns bytes taken before.
    pub(crate) fn taken(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }

    /// Says where in the stream bytes stand that were taken before.
    pub(crate) fn place(&self, taken: &Range<usize>) -> u64 {
        let behind = self.start.saturating_sub(taken.start) as u64;
        self.offset.saturating_sub(behind)
    }

    /// Passes over `length` bytes however many they are, and returns how many there were.
    pub(crate) fn skip(&mut self, length: u64) -> u64 {
        let mut left = length;
        while left > 0 {
            let step = usize::try_from(left).unwrap_or(CAPACITY).min(CAPACITY);
            let got = self.peek(step).len();
            self.take(got);
            left = left.saturating_sub(got as u64);
            if got < step {
                break;
            }
        }
        length.saturating_sub(left)
    }

    /// Gives the stream back, from the first byte not taken on.
    ///
    /// A read error is not lost by this: one is only met when the bytes before it were too few to peek at.
    pub(crate) fn into_read(mut self) -> impl Read + 'static {
        let reader: Box<dyn Read> = match self.input {
            Input::Stream(reader) => reader,
            Input::Ahead(ahead) => Box::new(ahead),
        };
        self.buffer.truncate(self.end);
        let mut rest = Cursor::new(self.buffer);
        rest.set_position(self.start as u64);
        rest.chain(reader)
    }

    /// Whether a read error has ended the stream.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Returns the position in the stream, in bytes.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Says why the stream ended inside the record that began at `offset`, or `None` for an end without a failure.
    pub(crate) fn failure(&mut self, offset: u64) -> Option<Stop> {
        let error = self.failure.take()?;
        let inner = error.get_ref();
        if let Some(Overfull(limit)) = inner.and_then(|inner| inner.downcast_ref::<Overfull>()) {
            return Some(Stop::Overfull(*limit));
        }
        match Damaged::of(&error) {
            Some(Damaged(packing, what)) => Some(Stop::Damaged {
                offset,
                reason: DamageReason::Packed(packing, what),
            }),
            None => Some(Stop::Io(error)),
        }
    }

    /// Says why only `got` of `wanted` bytes of the record at `offset` could be read.
    pub(crate) fn cut_short(
        &mut self,
        offset: u64,
        what: &'static str,
        wanted: u64,
        got: u64,
    ) -> Stop {
        let reason = DamageReason::CutShort {
            what,
            missing: wanted.saturating_sub(got),
        };
        self.failure(offset)
            .unwrap_or(Stop::Damaged { offset, reason })
    }

    fn available(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    fn fill(&mut self, wanted: usize) {
        if matches!(self.input, Input::Ahead(_)) {
            return self.fill_ahead(wanted);
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end = self.available();
            self.start = 0;
        }
        while self.end < wanted && !self.ended {
            let space = self.buffer.get_mut(self.end..).unwrap_or_default();
            let Input::Stream(reader) = &mut self.input else {
                return;
            };
            match reader.read(space) {
                Ok(0) => self.ended = true,
                Ok(count) => self.end = self.end.saturating_add(count).min(CAPACITY),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.ended = true;
                    self.failure = Some(error);
                }
            }
        }
    }

    /// Goes on to pieces behind the present one; what is left of it goes before them, where they have room for it.
    fn fill_ahead(&mut self, wanted: usize) {
        let Input::Ahead(ahead) = &mut self.input else {
            return;
        };
        while self.end.saturating_sub(self.start) < wanted && !self.ended {
            match ahead.next() {
                None => self.ended = true,
                Some(Err(error)) => {
                    self.ended = true;
                    self.failure = Some(error);
                }
                Some(Ok(Piece {
                    mut buffer,
                    start,
                    end,
                })) => {
                    let rest = self.buffer.get(self.start..self.end).unwrap_or_default();
                    let begin = start.saturating_sub(rest.len());
                    if let Some(room) = buffer.get_mut(begin..start) {
                        room.copy_from_slice(rest);
                    }
                    let before = std::mem::replace(&mut self.buffer, buffer);
                    (self.start, self.end) = (begin, end);
                    // Before the first piece there was none.
                    if before.capacity() > 0 {
                        ahead.give_back(before);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives one byte a call, as a slow pipe does, then fails.
    struct Trickle(u8);

    impl Read for Trickle {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(first) = buffer.first_mut() else {
                return Ok(0);
            };
            if self.0 == 10 {
                return Err(io::Error::other("cable pulled"));
            }
            *first = self.0;
            self.0 += 1;
            Ok(1)
        }
    }

    #[test]
    fn bytes_before_a_read_error_are_still_given() {
        let mut source = Source::new(Box::new(Trickle(0)));
        assert_eq!(source.peek(4), [0, 1, 2, 3]);
        let taken = source.take(4);
        assert_eq!(source.taken(taken), [0, 1, 2, 3]);
        assert_eq!(source.peek(100), [4, 5, 6, 7, 8, 9]);
        assert_eq!(source.offset(), 4);
        assert!(
            matches!(source.cut_short(4, "packet", 100, 6), Stop::Io(error) if error.to_string() == "cable pulled")
        );
    }

    #[test]
    fn a_file_that_is_read_ahead_looks_like_a_stream_of_it() {
        let bytes: Vec<u8> = (0..3 << 20).map(|at: u32| (at % 253) as u8).collect();
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, &bytes).unwrap();
        io::Seek::rewind(&mut file).unwrap();
        let mut ahead = Source::ahead(file).unwrap();
        let mut stream = Source::new(Box::new(Cursor::new(bytes)));
        let mut lengths = [1, 1500, 300_000, CAPACITY, 70_000, 17].iter().cycle();
        while let Some(length) = lengths.next().filter(|_| !stream.peek(1).is_empty()) {
            assert!(ahead.peek(*length) == stream.peek(*length), "{length}");
            let (one, other) = (ahead.take(length / 2 + 1), stream.take(length / 2 + 1));
            assert_eq!(ahead.place(&one), stream.place(&other));
            assert!(ahead.taken(one) == stream.taken(other));
        }
        assert_eq!(ahead.peek(1), b"");
        assert_eq!(ahead.offset(), 3 << 20);
    }

    #[test]
    fn skipping_passes_over_more_than_the_window_holds() {
        let length = CAPACITY as u64 * 3 + 5;
        let mut source = Source::new(Box::new(io::repeat(7).take(length)));
        assert_eq!(source.skip(length - 1), length - 1);
        assert_eq!(source.offset(), length - 1);
        assert_eq!(source.skip(u64::MAX), 1);
    }

    #[test]
    fn a_peek_beyond_the_capacity_does_not_grow_the_window() {
        let mut source = Source::new(Box::new(io::repeat(7)));
        assert_eq!(source.peek(usize::MAX).len(), CAPACITY);
        assert_eq!(source.buffer.capacity(), CAPACITY);
    }
}
