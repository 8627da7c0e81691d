//! Bytes of a stream in a ring that is as large as what it holds needs, and a pool of buffers that rings give back.
//!
//! A bound is no cost: a ring has no buffer until something is put into it, doubles its buffer up to the bound, and
//! gives it back when it has run empty. Buffers go to a pool that all flows share, so that a busy ring pays neither the
//! allocator nor the clearing of memory.

use core::time::Duration;

use crate::api::time::Micros;

/// The smallest buffer, bytes.
const LEAST: usize = 4096;
/// Sizes of buffers: each twice the one before, up to 32 MiB.
const CLASSES: usize = 14;
/// The largest ring, bytes; a window that is advertised in units of its shift may need a little more.
pub(crate) const LARGEST: usize = 16 << 20;

/// Bytes of buffers that are kept for rings to come.
const SPARE: usize = 256 << 10;
/// The same while rings run empty and fill again.
const SPARE_BUSY: usize = 2 << 20;
/// How long after the last of them that is over.
const BUSY: Duration = Duration::from_secs(1);

/// Buffers without a ring, by size. Those that were used are as long as they were written, and none is cleared.
#[derive(Debug, Default)]
pub(crate) struct Pool {
    classes: [Vec<Vec<u8>>; CLASSES],
    /// Bytes of all of them.
    bytes: usize,
    /// When one of them came last.
    touched: Micros,
}

impl Pool {
    /// A buffer of [`LEAST`] times two to the power of `class`.
    fn take(&mut self, class: usize) -> Vec<u8> {
        let spare = self.classes.get_mut(class).and_then(Vec::pop);
        if let Some(buffer) = spare {
            self.bytes -= LEAST << class;
            return buffer;
        }
        Vec::with_capacity(LEAST << class)
    }

    /// Takes a buffer of `size` back.
    fn keep(&mut self, buffer: Vec<u8>, size: usize) {
        if self.bytes + size <= SPARE_BUSY
            && let Some(spare) = self.classes.get_mut(class_for(size))
        {
            self.bytes += size;
            spare.push(buffer);
        }
    }

    /// Notes that rings are in use.
    #[inline]
    pub(crate) fn touch(&mut self, now: Micros) {
        self.touched = now;
    }

    /// Gives buffers back to the allocator once no ring has used any for a while; a few stay.
    #[inline]
    pub(crate) fn trim(&mut self, now: Micros) {
        if self.bytes <= SPARE || now <= self.touched.plus(BUSY) {
            return;
        }
        // The largest first: each pass takes one off.
        for (class, buffers) in self.classes.iter_mut().enumerate().rev() {
            while self.bytes > SPARE && buffers.pop().is_some() {
                self.bytes -= LEAST << class;
            }
            buffers.shrink_to_fit();
        }
    }

    /// Gives all buffers back to the allocator.
    pub(crate) fn release(&mut self) {
        *self = Self::default();
    }
}

/// The smallest class whose buffers hold `bytes`.
fn class_for(bytes: usize) -> usize {
    let units = bytes.div_ceil(LEAST).max(1).next_power_of_two();
    usize::try_from(units.trailing_zeros()).unwrap_or(CLASSES)
}

/// A queue of bytes of at most `bound`; bytes may also be written beyond its end, and become part of it later.
#[derive(Debug)]
pub(crate) struct Ring {
    /// As long as it was written so far.
    buffer: Vec<u8>,
    /// How long it may become; 0 without one.
    size: usize,
    /// The place of the first byte.
    head: usize,
    len: usize,
    /// One past the last byte written, counted from the first: more than `len` if something is stored beyond the end.
    reach: usize,
    bound: usize,
    /// The highest `reach` since it ran empty.
    peak: usize,
    /// How large a buffer the last filling needed.
    class: u8,
}

impl Ring {
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            buffer: Vec::new(),
            size: 0,
            head: 0,
            len: 0,
            reach: 0,
            bound: bound.min(LARGEST + (1 << 14)),
            peak: 0,
            class: 0,
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[cfg(test)]
    fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn bound(&self) -> usize {
        self.bound
    }

    /// Lets it hold more.
    pub(crate) fn widen(&mut self, more: usize) {
        self.bound = (self.bound + more).min(LARGEST + (1 << 14));
    }

    /// Bytes that may be appended.
    #[inline]
    pub(crate) fn space(&self) -> usize {
        self.bound - self.len
    }

    /// Bytes of memory it has.
    #[cfg(test)]
    fn capacity(&self) -> usize {
        self.size
    }

    /// The first bytes, as far as they lie in one piece.
    #[inline]
    pub(crate) fn front(&self) -> &[u8] {
        let end = self.size.min(self.head + self.len);
        self.buffer.get(self.head..end).unwrap_or_default()
    }

    /// `count` bytes from `offset` on, which may lie in two pieces.
    #[inline]
    pub(crate) fn slices(&self, offset: usize, count: usize) -> [&[u8]; 2] {
        let (one, two) = self.places(offset, count);
        [
            self.buffer.get(one).unwrap_or_default(),
            self.buffer.get(two).unwrap_or_default(),
        ]
    }

    /// Where `count` bytes from `offset` on lie.
    #[inline]
    fn places(
        &self,
        offset: usize,
        count: usize,
    ) -> (core::ops::Range<usize>, core::ops::Range<usize>) {
        let size = self.size;
        let mut start = self.head + offset;
        if start >= size {
            start -= size.min(start);
        }
        let first = count.min(size - start.min(size));
        (start..start + first, 0..count - first)
    }

    /// Appends what fits of `bytes`; returns how much.
    pub(crate) fn append(&mut self, pool: &mut Pool, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.space());
        self.write(pool, self.len, bytes.get(..count).unwrap_or_default());
        self.extend(count);
        count
    }

    /// Writes `bytes` at `offset` from the first byte, which the caller has checked to be within the bound.
    pub(crate) fn write(&mut self, pool: &mut Pool, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if end > self.size {
            self.grow(pool, end);
        }
        if self.head + end > self.size {
            // Round its end, where a hole may be left.
            self.buffer.resize(self.size, 0);
        }
        let (one, two) = self.places(offset, bytes.len());
        let (head, tail) = bytes.split_at(one.len().min(bytes.len()));
        self.put(one.start, head);
        if !tail.is_empty() {
            self.put(two.start, tail);
        }
        self.reach = self.reach.max(end);
        self.peak = self.peak.max(end);
    }

    /// Writes bytes at a place of the buffer, which is within its size.
    #[inline]
    fn put(&mut self, at: usize, bytes: &[u8]) {
        if at == self.buffer.len() {
            // As nearly always the first time round: nothing has to be cleared first.
            self.buffer.extend_from_slice(bytes);
            return;
        }
        let end = at + bytes.len();
        if end > self.buffer.len() {
            self.buffer.resize(end, 0);
        }
        if let Some(space) = self.buffer.get_mut(at..end) {
            space.copy_from_slice(bytes);
        }
    }

    /// Makes `count` bytes that were written beyond the end part of the queue.
    #[inline]
    pub(crate) fn extend(&mut self, count: usize) {
        self.len += count;
        self.reach = self.reach.max(self.len);
    }

    fn grow(&mut self, pool: &mut Pool, need: usize) {
        let class = class_for(need)
            .max(usize::from(self.class))
            .min(CLASSES - 1);
        let mut buffer = pool.take(class);
        let [one, two] = self.slices(0, self.reach.min(self.size));
        buffer.clear();
        buffer.extend_from_slice(one);
        buffer.extend_from_slice(two);
        self.head = 0;
        let old = core::mem::replace(&mut self.buffer, buffer);
        let size = core::mem::replace(&mut self.size, LEAST << class);
        if size > 0 {
            pool.keep(old, size);
        }
    }

    /// Takes the first `count` bytes off; gives the buffer back if nothing is left.
    #[inline]
    pub(crate) fn consume(&mut self, pool: &mut Pool, count: usize) {
        let count = count.min(self.len);
        self.len -= count;
        self.reach -= count;
        self.head += count;
        if self.head >= self.size {
            self.head -= self.size;
        }
        if self.reach == 0 {
            self.release(pool);
        }
    }

    /// Forgets what was written beyond the end.
    pub(crate) fn forget_beyond(&mut self, pool: &mut Pool) {
        self.reach = self.len;
        if self.len == 0 {
            self.release(pool);
        }
    }

    /// Gives the buffer back, and all that was in it.
    pub(crate) fn release(&mut self, pool: &mut Pool) {
        let size = core::mem::take(&mut self.size);
        if size > 0 {
            self.class = u8::try_from(class_for(self.peak)).unwrap_or(0);
            pool.keep(core::mem::take(&mut self.buffer), size);
        }
        (self.head, self.len, self.reach, self.peak) = (0, 0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_ring_gives_back_what_it_was_given(steps in proptest::collection::vec((0..9000_usize, 0..9000_usize), 1..60)) {
            let (mut ring, mut pool) = (Ring::new(20_000), Pool::default());
            let (mut put, mut got) = (0_usize, 0_usize);
            for (add, take) in steps {
                let bytes: Vec<u8> = (put..put + add).map(|at| (at % 251) as u8).collect();
                put += ring.append(&mut pool, &bytes);
                let take = take.min(ring.len());
                let [one, two] = ring.slices(0, take);
                for byte in one.iter().chain(two) {
                    prop_assert_eq!(*byte, (got % 251) as u8);
                    got += 1;
                }
                ring.consume(&mut pool, take);
                prop_assert_eq!(ring.len(), put - got);
                prop_assert!(!ring.is_empty() || ring.capacity() == 0);
            }
        }
    }

    #[test]
    fn what_is_written_beyond_the_end_survives_growth_and_wrap() {
        let (mut ring, mut pool) = (Ring::new(64 << 10), Pool::default());
        ring.append(&mut pool, &[1; 4000]);
        ring.consume(&mut pool, 3000);
        ring.write(&mut pool, 2000, &[3; 1000]);
        ring.write(&mut pool, 9000, &[9; 10]);
        ring.write(&mut pool, 1000, &[2; 1000]);
        ring.extend(2000);
        let [one, two] = ring.slices(0, 3000);
        let all = [one, two].concat();
        assert_eq!(all[..1000], [1; 1000]);
        assert_eq!(all[1000..2000], [2; 1000]);
        assert_eq!(all[2000..], [3; 1000]);
        assert_eq!(ring.slices(9000, 10)[0], [9; 10]);
    }

    #[test]
    fn what_is_written_round_the_end_of_the_buffer_survives_growth_over_a_hole() {
        let (mut ring, mut pool) = (Ring::new(64 << 10), Pool::default());
        ring.append(&mut pool, &[1; 3000]);
        ring.consume(&mut pool, 2990);
        ring.write(&mut pool, 1500, &[5; 100]);
        ring.write(&mut pool, 6000, &[6; 100]);
        assert_eq!(ring.slices(0, 10)[0], [1; 10]);
        assert_eq!(ring.slices(1500, 100)[0], [5; 100]);
        assert_eq!(ring.slices(6000, 100)[0], [6; 100]);
    }

    #[test]
    fn buffers_are_used_again_and_given_back_after_a_while() {
        let mut pool = Pool::default();
        let mut rings: Vec<_> = (0..200).map(|_| Ring::new(64 << 10)).collect();
        for ring in &mut rings {
            ring.append(&mut pool, &[1; 60_000]);
        }
        for ring in &mut rings {
            ring.consume(&mut pool, 60_000);
        }
        assert_eq!(pool.bytes, SPARE_BUSY);
        pool.touch(Micros(0));
        pool.trim(Micros(0).plus(BUSY));
        assert_eq!(pool.bytes, SPARE_BUSY, "somebody may want them yet");
        pool.trim(Micros(1).plus(BUSY));
        assert_eq!(pool.bytes, SPARE);
        let mut ring = Ring::new(64 << 10);
        ring.append(&mut pool, &[1; 60_000]);
        assert!(pool.bytes < SPARE, "one of them was used");
    }
}
