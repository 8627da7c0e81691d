//! One direction of a TCP connection, put together from segments: first copy wins, holes are known.

use std::collections::BTreeMap;

/// A stream under construction. Offsets count from the first octet after the SYN.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    bytes: Vec<u8>,
    /// Covered ranges, start to end, neither touching nor overlapping.
    covered: BTreeMap<u64, u64>,
    /// Covered ranges whose content is not known so far, start to end: they stand as zeros.
    blank: BTreeMap<u64, Blank>,
    /// Octets that came more than once.
    pub(crate) repeated: u64,
    /// Octets that came more than once with different content.
    pub(crate) conflicting: u64,
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
    /// At least one octet that had not been there.
    New,
    /// Nothing: all of it had been there.
    Repeated,
}

impl Assembly {
    /// Adds a segment of `wire_len` octets, of which `captured` are there.
    pub(crate) fn insert(&mut self, offset: u64, captured: &[u8], wire_len: u64) -> Added {
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
                self.compare(at, to, offset, captured);
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

    /// Covers holes whose octets no packet holds so far. One that comes later, as behind a tap that reorders, is
    /// taken.
    pub(crate) fn fill_to(&mut self, edge: u64) {
        while self.contiguous() < edge {
            let at = self.contiguous();
            let next = self
                .covered
                .range(at..)
                .next()
                .map_or(edge, |(start, _)| *start)
                .min(edge);
            self.grow(next);
            self.cover(at, next);
            self.blank.insert(
                at,
                Blank {
                    end: next,
                    cut: false,
                },
            );
        }
    }

    /// Octets that no packet holds and that stand as zeros.
    pub(crate) fn filled(&self) -> u64 {
        self.blank_octets(false)
    }

    /// Octets that the snap length cut off and that stand as zeros.
    pub(crate) fn cut(&self) -> u64 {
        self.blank_octets(true)
    }

    fn blank_octets(&self, cut: bool) -> u64 {
        let blanks = self.blank.iter().filter(|(_, blank)| blank.cut == cut);
        blanks.map(|(start, blank)| blank.end - start).sum()
    }

    /// The first offset that is not there.
    pub(crate) fn contiguous(&self) -> u64 {
        self.covered
            .first_key_value()
            .filter(|(start, _)| **start == 0)
            .map_or(0, |(_, end)| *end)
    }

    /// One past the last octet seen.
    pub(crate) fn highest(&self) -> u64 {
        self.covered.last_key_value().map_or(0, |(_, end)| *end)
    }

    /// The stream up to its first hole, and how many octets lie behind that.
    pub(crate) fn finish(mut self) -> (Vec<u8>, u64) {
        let contiguous = self.contiguous();
        let behind = self
            .covered
            .iter()
            .filter(|(start, _)| **start > contiguous)
            .map(|(start, end)| end - start)
            .sum();
        self.bytes
            .truncate(usize::try_from(contiguous).unwrap_or(usize::MAX));
        (self.bytes, behind)
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

    fn grow(&mut self, to: u64) {
        let to = usize::try_from(to).unwrap_or(usize::MAX);
        if self.bytes.len() < to {
            self.bytes.resize(to, 0);
        }
    }

    fn write(&mut self, from: u64, to: u64, offset: u64, captured: &[u8]) {
        self.grow(to);
        let source = slice(captured, from - offset, to - offset);
        let known = from + source.len() as u64;
        if known < to {
            self.blank.insert(known, Blank { end: to, cut: true });
        }
        let at = usize::try_from(from).unwrap_or(usize::MAX);
        if let Some(place) = self.bytes.get_mut(at..at + source.len()) {
            place.copy_from_slice(source);
        }
    }

    /// Gives blank octets between `from` and `to` the content that has come; says whether there were any.
    fn write_blank(&mut self, from: u64, to: u64, offset: u64, captured: &[u8]) -> bool {
        let to = to.min(offset.saturating_add(captured.len() as u64));
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

    fn compare(&mut self, from: u64, to: u64, offset: u64, captured: &[u8]) {
        let source = slice(captured, from - offset, to - offset);
        if slice(&self.bytes, from, from + source.len() as u64) != source {
            self.conflicting += source.len() as u64;
        }
    }
}

/// The part of `bytes` from `from` to `to`, as far as it is there.
fn slice(bytes: &[u8], from: u64, to: u64) -> &[u8] {
    let clamp = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get(clamp(from)..clamp(to)).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_copy_of_overlapping_octets_wins() {
        let mut stream = Assembly::default();
        stream.insert(2, b"cd", 2);
        assert_eq!(stream.insert(0, b"abXXef", 6), Added::New);
        assert_eq!(stream.conflicting, 2);
        assert_eq!(stream.finish(), (b"abcdef".to_vec(), 0));
    }

    #[test]
    fn octets_behind_a_hole_are_counted_apart() {
        let mut stream = Assembly::default();
        stream.insert(0, b"ab", 2);
        stream.insert(4, b"ef", 2);
        assert_eq!((stream.contiguous(), stream.highest()), (2, 6));
        assert_eq!(stream.finish(), (b"ab".to_vec(), 2));
    }

    #[test]
    fn a_filled_hole_is_zeros() {
        let mut stream = Assembly::default();
        stream.insert(2, b"c", 1);
        stream.fill_to(3);
        assert_eq!(stream.filled(), 2);
        assert_eq!(stream.finish(), (vec![0, 0, b'c'], 0));
    }

    #[test]
    fn a_late_copy_gives_blank_octets_their_content() {
        let mut stream = Assembly::default();
        stream.insert(0, b"a", 3);
        stream.insert(5, b"f", 1);
        stream.fill_to(6);
        stream.insert(3, b"d", 1);
        stream.insert(2, b"cXe", 3);
        assert_eq!((stream.cut(), stream.filled()), (1, 0));
        assert_eq!((stream.repeated, stream.conflicting), (4, 3));
        assert_eq!(stream.finish(), (b"a\0cdef".to_vec(), 0));
    }

    #[test]
    fn octets_cut_off_keep_their_place() {
        let mut stream = Assembly::default();
        stream.insert(0, b"ab", 4);
        stream.insert(4, b"e", 1);
        assert_eq!(stream.cut(), 2);
        assert_eq!(stream.finish(), (b"ab\0\0e".to_vec(), 0));
    }
}
