//! What a run keeps of the streams it saw: all of them where something may ask for them again, and otherwise their length,
//! hash and beginning, so that a run takes as little memory for a large capture as for a small one.

use sha2::{Digest as _, Sha256};

use crate::base::hex::Hex;
use crate::capture::conversation::{ByteReader, Conversations, Stream};
use crate::scenario::Pattern;

/// How much of a stream is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Retention {
    /// All of it.
    #[default]
    All,
    /// Its length, hash and beginning.
    Hash,
    /// Its length and beginning.
    Count,
}

/// A stream as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tape {
    retention: Retention,
    len: u64,
    /// All bytes, or the first few.
    bytes: Vec<u8>,
    hash: Option<Box<Sha256>>,
}

/// Bytes that are kept of every stream, for messages to show.
const HEAD: usize = 32;

impl Tape {
    pub(crate) fn new(retention: Retention) -> Self {
        Self {
            retention,
            hash: (retention == Retention::Hash).then(Box::default),
            ..Self::default()
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.len += bytes.len() as u64;
        if self.retention == Retention::All {
            return self.bytes.extend_from_slice(bytes);
        }
        let room = HEAD.saturating_sub(self.bytes.len()).min(bytes.len());
        self.bytes
            .extend_from_slice(bytes.get(..room).unwrap_or_default());
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
    }

    /// How many bytes came.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes from one place to another, as far as they are kept.
    pub(crate) fn get(&self, from: u64, to: u64) -> &[u8] {
        let end = self.bytes.len();
        let place = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(end);
        self.bytes.get(place(from)..place(to)).unwrap_or_default()
    }

    /// The first bytes.
    fn beginning(&self) -> &[u8] {
        self.get(0, HEAD as u64)
    }

    /// How it begins, for reports that show payload.
    pub(crate) fn shown(&self) -> String {
        format!("beginning \"{}\"", self.beginning().escape_ascii())
    }

    /// The SHA-256 in hex; none if it was only counted.
    pub(crate) fn sha256(&self) -> Option<String> {
        match self.retention {
            Retention::All => Some(crate::base::sha256::sha256(&self.bytes)),
            Retention::Hash => self
                .hash
                .as_ref()
                .map(|hash| Hex(&hash.clone().finalize()).to_string()),
            Retention::Count => None,
        }
    }

    /// How many bytes two streams agree on; `None` where that is not known because they differ and are not kept.
    pub(crate) fn agree(&self, other: &Self) -> Option<u64> {
        if self.retention == Retention::All && other.retention == Retention::All {
            let pairs = self.bytes.iter().zip(&other.bytes);
            return Some(pairs.take_while(|(a, b)| a == b).count() as u64);
        }
        (self.len == other.len && self.sha256() == other.sha256()).then_some(self.len)
    }

    /// Takes its last byte away, or gives it one if it has none: what a mutation does to a stream that is kept.
    pub(crate) fn shorten(&mut self) {
        if self.bytes.pop().is_none() {
            self.bytes.push(0);
        }
        self.len = self.bytes.len() as u64;
    }

    /// Takes all its bytes away: what a mutation does to a stream that has bounds.
    pub(crate) fn empty(&mut self) {
        self.bytes.clear();
        self.len = 0;
    }
}

/// A stream held against the recorded one while it comes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Against {
    pub(crate) len: u64,
    /// Bytes from the beginning on that are as recorded.
    pub(crate) same: u64,
    hash: Option<Box<Sha256>>,
}

impl Against {
    /// Beside the comparison, with a hash if that is asked for.
    pub(crate) fn new(hashed: bool) -> Self {
        Self {
            hash: hashed.then(Box::default),
            ..Self::default()
        }
    }

    pub(crate) fn push(&mut self, bytes: &[u8], recorded: &Stream, reader: &mut ByteReader<'_>) {
        let end = self.len + bytes.len() as u64;
        if self.same == self.len {
            let wanted = recorded.read(self.len, end, reader);
            self.same += if wanted == bytes {
                bytes.len() as u64
            } else {
                let pairs = bytes.iter().zip(wanted);
                pairs.take_while(|(a, b)| a == b).count() as u64
            };
        }
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        self.len = end;
    }

    /// Whether it is the recorded stream or the beginning of it.
    pub(crate) fn is_prefix(&self) -> bool {
        self.same == self.len
    }

    /// The SHA-256 in hex, if it was asked for.
    pub(crate) fn sha256(self) -> Option<String> {
        self.hash.map(|hash| Hex(&hash.finalize()).to_string())
    }
}

/// Both streams of a conversation, held against the recorded ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct StreamComparison {
    /// What the dialer got.
    pub(crate) up: Against,
    /// What the device got.
    pub(crate) down: Against,
}

/// What the far side has given: where it stands in the capture, or the bytes themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sent {
    len: u64,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
struct Piece {
    start: u64,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Own(Vec<u8>),
    /// Of a pattern, from a byte on.
    Pattern {
        pattern: Pattern,
        from: u64,
    },
    /// Of the far side's stream of a conversation, from a byte on.
    Far {
        flow: usize,
        from: u64,
    },
}

impl Source {
    /// Whether `other` is what stands so many bytes into this one.
    fn is_at(&self, distance: u64, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Pattern { pattern, from },
                Self::Pattern {
                    pattern: p,
                    from: f,
                },
            ) => pattern == p && from + distance == *f,
            (Self::Far { flow, from }, Self::Far { flow: l, from: f }) => {
                flow == l && from + distance == *f
            }
            _ => false,
        }
    }
}

impl Sent {
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes that are not read again, as of datagrams.
    pub(crate) fn count(&mut self, count: usize) {
        self.len += count as u64;
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let start = self.len;
        self.len += bytes.len() as u64;
        if let Some(Piece {
            source: Source::Own(known),
            ..
        }) = self.pieces.last_mut()
        {
            return known.extend_from_slice(bytes);
        }
        self.pieces.push(Piece {
            start,
            source: Source::Own(bytes.to_vec()),
        });
    }

    /// Bytes of a pattern.
    pub(crate) fn push_pattern(&mut self, pattern: Pattern, from: u64, len: u64) {
        self.extend(Source::Pattern { pattern, from }, len);
    }

    /// Bytes of the far side's stream in the capture.
    pub(crate) fn push_far(&mut self, flow: usize, from: u64, len: u64) {
        self.extend(Source::Far { flow, from }, len);
    }

    /// Bytes that stand elsewhere; a piece that goes on where the last one ends is one with it.
    fn extend(&mut self, source: Source, len: u64) {
        let start = self.len;
        self.len += len;
        let last = self.pieces.last();
        if !last.is_some_and(|last| last.source.is_at(start - last.start, &source)) {
            self.pieces.push(Piece { start, source });
        }
    }

    /// Whether `bytes` stand at `at` of it; `None` if it does not reach so far.
    pub(crate) fn holds(
        &self,
        at: u64,
        bytes: &[u8],
        capture: Option<&Conversations>,
        mut reader: Option<&mut ByteReader<'_>>,
    ) -> Option<bool> {
        let end = at.checked_add(bytes.len() as u64)?;
        if end > self.len {
            return None;
        }
        let behind = self.pieces.partition_point(|piece| piece.start <= at);
        let first = behind.saturating_sub(1);
        let pieces = self.pieces.get(first..).unwrap_or_default();
        let mut from = at;
        for (nth, piece) in pieces.iter().enumerate() {
            if from >= end {
                break;
            }
            let next = pieces.get(nth + 1).map_or(self.len, |next| next.start);
            let to = end.min(next);
            let part = |begin: u64, end: u64| begin as usize..end as usize;
            let wanted = bytes.get(part(from - at, to - at)).unwrap_or_default();
            let (begin, stop) = (from - piece.start, to - piece.start);
            let same = match (&piece.source, &mut reader, capture) {
                (Source::Own(known), ..) => known.get(part(begin, stop)) == Some(wanted),
                (Source::Pattern { pattern, from }, ..) => pattern.stands_at(from + begin, wanted),
                (Source::Far { flow, from }, Some(reader), Some(capture)) => {
                    capture.flows.get(*flow).is_some_and(|flow| {
                        flow.far_bytes().read(from + begin, from + stop, reader) == wanted
                    })
                }
                (Source::Far { .. }, ..) => false,
            };
            if !same {
                return Some(false);
            }
            from = to;
        }
        Some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tape_that_is_hashed_agrees_with_one_that_is_kept() {
        let mut kept = Tape::default();
        let mut hashed = Tape::new(Retention::Hash);
        for piece in [b"one ".as_slice(), b"two ", &[7; 100]] {
            kept.push(piece);
            hashed.push(piece);
        }
        assert_eq!((kept.len(), kept.sha256()), (hashed.len(), hashed.sha256()));
        assert_eq!(kept.beginning(), hashed.beginning());
        assert_eq!(kept.agree(&hashed), Some(108));
        hashed.push(b"!");
        assert_eq!(kept.agree(&hashed), None);
    }

    #[test]
    fn a_pattern_that_was_sent_is_one_piece_and_known_again() {
        let pattern = Pattern {
            bytes: 10_000,
            seed: 3,
        };
        let mut bytes = vec![0; 10_000];
        pattern.fill(0, &mut bytes);
        let mut sent = Sent::default();
        sent.push(b"abc");
        for from in (0..9_000).step_by(1_000) {
            sent.push_pattern(pattern, from, 1_000);
        }
        assert_eq!((sent.len(), sent.pieces.len()), (9_003, 2));
        let holds = |at, bytes: &[u8]| sent.holds(at, bytes, None, None);
        assert_eq!(holds(503, &bytes[500..2_500]), Some(true));
        assert_eq!(holds(504, &bytes[500..2_500]), Some(false));
        assert_eq!(holds(1, &[b"bc", &bytes[..20]].concat()), Some(true));
        assert_eq!(holds(8_503, &bytes[8_500..9_001]), None);
    }

    #[test]
    fn bytes_sent_are_found_across_pieces() {
        let mut sent = Sent::default();
        sent.push(b"abc");
        sent.push(b"def");
        let holds = |at, bytes: &[u8]| sent.holds(at, bytes, None, None);
        assert_eq!(holds(1, b"bcde"), Some(true));
        assert_eq!(holds(1, b"bcXe"), Some(false));
        assert_eq!(holds(4, b"efg"), None);
    }
}
