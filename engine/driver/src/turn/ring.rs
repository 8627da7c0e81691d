//! Frames of the device wait here: bounded, copied once, handed over whole.
//!
//! Two sides, each a list of batches: who hands frames in appends to the back, or lends a whole batch for it; the turn
//! reads the front, and takes the back for it once the front is read. A frame is copied at most once, when it comes in.
//! Batches that were read are filled again, so that both sides together need little more than what waits.

use std::collections::VecDeque;

use engine::{FrameBatch, Frames, Micros};

/// A batch of so many bytes is full once it has as many frames as the engine takes at a time; at the latest with so many.
const FULL: usize = 64 << 10;
const FULL_AT_LAST: usize = 128 << 10;
const FULL_FRAMES: usize = super::CHUNK;

/// Bytes that a lent batch may waste for each that it holds, and in any case.
const WASTE: usize = 4096;

/// Bytes of empty batches that are kept.
const KEPT: usize = 256 << 10;

/// The longest IP packet (RFC 791 section 3.1: total length).
const LONGEST: usize = 65_535;

/// Frames that the turn reads, and since when they wait.
#[derive(Debug, Default)]
pub(crate) struct Front {
    batches: VecDeque<FrameBatch>,
    /// How many of them, from the first on, were read.
    read: usize,
    /// When the first frame came.
    since: Option<Micros>,
}

impl Front {
    pub(crate) fn is_empty(&self) -> bool {
        // No batch of these is empty before it is read.
        self.batches.get(self.read).is_none_or(FrameBatch::is_empty)
    }

    /// When the oldest frame came, at the latest.
    pub(crate) fn since(&self) -> Option<Micros> {
        self.since.filter(|_| !self.is_empty())
    }

    /// The next frames, at most `max`; fewer at the end of a batch.
    pub(crate) fn take(&mut self, max: usize) -> Option<Frames<'_>> {
        let batch = self.batches.get_mut(self.read)?;
        self.read += usize::from(batch.len() <= max);
        Some(batch.take(max))
    }
}

/// The back, empty batches, and the bounds over all.
#[derive(Debug)]
pub(crate) struct FrameRing {
    back: VecDeque<FrameBatch>,
    back_frames: usize,
    back_bytes: usize,
    /// When the first frame of the back came.
    since: Option<Micros>,
    limit_frames: usize,
    limit_bytes: usize,
    /// What was in the front when it was taken: it counts until the next is taken.
    front_frames: usize,
    front_bytes: usize,
    spare: Vec<FrameBatch>,
    /// Bytes that the spare ones hold on to.
    spare_bytes: usize,
}

impl FrameRing {
    pub(crate) fn new(limit_frames: usize, limit_bytes: usize) -> Self {
        Self {
            back: VecDeque::new(),
            back_frames: 0,
            back_bytes: 0,
            since: None,
            limit_frames,
            limit_bytes,
            front_frames: 0,
            front_bytes: 0,
            spare: Vec::new(),
            spare_bytes: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.back.is_empty()
    }

    /// When the oldest frame of the back came.
    pub(crate) const fn since(&self) -> Option<Micros> {
        self.since
    }

    /// Bytes in both sides.
    pub(crate) const fn bytes(&self) -> usize {
        self.front_bytes + self.back_bytes
    }

    /// Whether `frames` of `bytes` bytes together would be taken.
    pub(crate) fn has_room(&self, frames: usize, bytes: usize) -> bool {
        self.front_frames + self.back_frames + frames <= self.limit_frames
            && self.bytes() + bytes <= self.limit_bytes
    }

    /// How many frames of `each` bytes, up to `most`, an empty ring takes, and how many bytes of them: one frame at least,
    /// and no more bytes than it ever has room for.
    pub(crate) fn chunk(&self, most: usize, each: usize) -> (usize, usize) {
        let fit = (self.limit_bytes / each.max(1)).min(self.limit_frames);
        let frames = fit.clamp(1, most.max(1));
        (frames, frames.saturating_mul(each).min(self.limit_bytes))
    }

    /// Appends a copy; `false` if there is no room.
    pub(crate) fn push(&mut self, now: impl FnOnce() -> Micros, frame: &[u8]) -> bool {
        if frame.len() > LONGEST || !self.has_room(1, frame.len()) {
            return false;
        }
        let open = self.back.back_mut().filter(|batch| {
            let bytes = batch.bytes();
            bytes < FULL || (batch.len() % FULL_FRAMES != 0 && bytes < FULL_AT_LAST)
        });
        if let Some(batch) = open {
            batch.push(frame);
        } else {
            let mut batch = self.empty();
            batch.push(frame);
            self.back.push_back(batch);
        }
        self.count(now, 1, frame.len());
        true
    }

    /// Takes a whole batch without a copy and leaves an empty one; `false` if not all of its frames have room, or if it
    /// holds on to much more than it holds while others wait.
    pub(crate) fn swap(&mut self, now: impl FnOnce() -> Micros, batch: &mut FrameBatch) -> bool {
        let (frames, bytes) = (batch.len(), batch.bytes());
        let fits = self.has_room(frames, bytes)
            && (self.back.is_empty() || batch.capacity() <= 2 * bytes + WASTE)
            && batch.iter().all(|frame| frame.len() <= LONGEST);
        if fits && frames > 0 {
            let empty = self.empty();
            self.back.push_back(core::mem::replace(batch, empty));
            self.count(now, frames, bytes);
        }
        fits
    }

    fn count(&mut self, now: impl FnOnce() -> Micros, frames: usize, bytes: usize) {
        self.since.get_or_insert_with(now);
        self.back_frames += frames;
        self.back_bytes += bytes;
    }

    /// Makes the back the new front, if the front is read.
    pub(crate) fn refill(&mut self, front: &mut Front) {
        if !front.is_empty() {
            return;
        }
        for batch in front.batches.drain(..) {
            self.keep(batch);
        }
        front.read = 0;
        core::mem::swap(&mut front.batches, &mut self.back);
        front.since = self.since.take();
        self.front_frames = core::mem::take(&mut self.back_frames);
        self.front_bytes = core::mem::take(&mut self.back_bytes);
    }

    /// An empty batch: the one that was read last, if there is one.
    fn empty(&mut self) -> FrameBatch {
        let batch = self.spare.pop().unwrap_or_default();
        self.spare_bytes -= batch.capacity();
        batch
    }

    /// Keeps a batch that was read, as long as they and what waits are no more than may wait.
    fn keep(&mut self, mut batch: FrameBatch) {
        let bytes = batch.capacity();
        if self.spare_bytes + self.back_bytes + bytes <= self.limit_bytes {
            batch.clear();
            self.spare_bytes += bytes;
            self.spare.push(batch);
        }
    }

    /// Gives back what a burst had needed.
    pub(crate) fn trim(&mut self) {
        while self.spare_bytes > KEPT {
            drop(self.empty());
        }
    }

    /// Drops every frame and the memory.
    pub(crate) fn clear(&mut self) {
        *self = Self::new(self.limit_frames, self.limit_bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(frames: usize, bytes: usize) -> FrameRing {
        FrameRing::new(frames, bytes)
    }

    fn push(ring: &mut FrameRing, frame: &[u8]) -> bool {
        ring.push(|| Micros(7), frame)
    }

    /// The next frames, whatever their batch.
    fn read(front: &mut Front, max: usize) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while all.len() < max
            && !front.is_empty()
            && let Some(frames) = front.take(max - all.len())
        {
            all.extend(frames.iter().map(<[u8]>::to_vec));
        }
        all
    }

    #[test]
    fn frames_come_out_in_the_order_they_went_in_across_refills() {
        let (mut ring, mut front) = (ring(9, 99), Front::default());
        assert!(push(&mut ring, b"a") && push(&mut ring, b"") && push(&mut ring, b"ccc"));
        ring.refill(&mut front);
        assert_eq!(read(&mut front, 2), [&b"a"[..], b""]);
        assert!(push(&mut ring, b"d"));
        ring.refill(&mut front);
        assert_eq!(read(&mut front, 9), [&b"ccc"[..]]);
        ring.refill(&mut front);
        assert_eq!(read(&mut front, 9), [&b"d"[..]]);
        assert!(front.is_empty() && ring.is_empty());
    }

    #[test]
    fn both_bounds_cover_front_and_back_together() {
        let mut front = Front::default();
        let mut by_count = ring(2, 1000);
        assert!(push(&mut by_count, b"a"));
        by_count.refill(&mut front);
        assert!(push(&mut by_count, b"b") && !push(&mut by_count, b"c"));
        let mut by_bytes = ring(100, 10);
        assert!(push(&mut by_bytes, &[0; 10]) && !push(&mut by_bytes, b"x"));
    }

    #[test]
    fn a_read_front_makes_room_at_the_next_refill() {
        let (mut ring, mut front) = (ring(1, 10), Front::default());
        assert!(push(&mut ring, b"a"));
        ring.refill(&mut front);
        assert_eq!(read(&mut front, 1), [b"a"]);
        ring.refill(&mut front);
        assert!(push(&mut ring, b"b"));
    }

    #[test]
    fn what_is_longer_than_any_packet_is_refused() {
        let mut ring = ring(10, 1 << 20);
        assert!(!push(&mut ring, &[0; 65_536]) && push(&mut ring, &[0; 65_535]));
    }

    #[test]
    fn both_sides_together_hold_on_to_little_more_than_may_wait_and_to_little_after_a_burst() {
        let (mut ring, mut front) = (ring(4096, 1 << 20), Front::default());
        for size in [1500, 40, 9000, 1500] {
            for _ in 0..5 {
                while push(&mut ring, &vec![1; size]) {}
                ring.refill(&mut front);
                let batches = front.batches.iter().chain(&ring.back).chain(&ring.spare);
                let memory: usize = batches.map(FrameBatch::capacity).sum();
                assert!(memory <= 2 << 20, "{memory} bytes for frames of {size}");
                while !read(&mut front, 256).is_empty() {}
            }
        }
        ring.refill(&mut front);
        ring.trim();
        let spare = ring.spare.iter().map(FrameBatch::capacity);
        assert!(spare.sum::<usize>() <= KEPT && front.batches.is_empty());
    }

    #[test]
    fn frames_go_into_batches_that_the_engine_takes_in_whole_parts() {
        let (mut ring, mut front) = (ring(4096, 4 << 20), Front::default());
        while push(&mut ring, &[1; 1500]) {}
        ring.refill(&mut front);
        let mut parts = Vec::new();
        while !front.is_empty() {
            parts.extend(front.take(FULL_FRAMES).map(|frames| frames.len()));
        }
        let last = parts.pop();
        assert!(last.is_some() && parts.iter().all(|part| *part == FULL_FRAMES));
    }

    #[test]
    fn a_batch_is_taken_whole_without_a_copy() {
        let (mut ring, mut front) = (ring(4, 99), Front::default());
        let mut batch = FrameBatch::new();
        batch.push(b"a");
        batch.push(b"bb");
        assert!(ring.swap(|| Micros(7), &mut batch) && batch.is_empty());
        assert!(push(&mut ring, b"c"));
        batch.push(b"d");
        assert!(ring.swap(|| Micros(8), &mut batch) && batch.is_empty());
        ring.refill(&mut front);
        assert_eq!(front.since(), Some(Micros(7)));
        batch.push(b"e");
        assert!(!ring.swap(|| Micros(7), &mut batch), "over the bound");
        assert_eq!(read(&mut front, 9), [&b"a"[..], b"bb", b"c", b"d"]);
    }

    #[test]
    fn a_batch_that_wastes_memory_is_not_taken_behind_others() {
        let (mut ring, mut front) = (ring(4096, 1 << 20), Front::default());
        assert!(push(&mut ring, b"first"));
        let mut second = FrameBatch::new();
        second.push(&[0; 60_000]);
        second.clear();
        second.push(b"small");
        assert!(!ring.swap(|| Micros(7), &mut second) && second.len() == 1);
        ring.refill(&mut front);
        assert!(ring.swap(|| Micros(7), &mut second), "nothing waits");
    }
}
