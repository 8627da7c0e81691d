//! Frames of the device wait here: bounded, copied once, handed over whole.
//!
//! Two batches: whoever hands frames in appends to the back, or lends a whole batch for it; the turn reads the front, and
//! takes the back for it once the front is read. A frame is copied at most once, when it comes in.

use engine::{FrameBatch, Frames, Micros};

/// Octets of an empty arena that are kept.
const KEPT: usize = 256 << 10;

/// The longest IP packet (RFC 791 section 3.1: total length).
const LONGEST: usize = 65_535;

/// Frames read from the front, and since when they wait.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    frames: FrameBatch,
    /// When the first of them came.
    since: Option<Micros>,
}

impl Arena {
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// When the oldest frame came, at the latest.
    pub(crate) fn since(&self) -> Option<Micros> {
        self.since.filter(|_| !self.is_empty())
    }

    /// The next frames, at most `max`.
    pub(crate) fn take(&mut self, max: usize) -> Frames<'_> {
        self.frames.take(max)
    }

    /// Gives back what a burst had needed.
    pub(crate) fn trim(&mut self) {
        if self.frames.capacity() > KEPT {
            self.frames.shrink_to(KEPT);
        }
    }
}

/// The back batch and the bounds over both.
#[derive(Debug)]
pub(crate) struct FrameRing {
    back: Arena,
    limit_frames: usize,
    limit_bytes: usize,
    /// What the front held when it was taken: it counts until the next is taken.
    front_frames: usize,
    front_bytes: usize,
}

impl FrameRing {
    pub(crate) fn new(limit_frames: usize, limit_bytes: usize) -> Self {
        Self {
            back: Arena::default(),
            limit_frames,
            limit_bytes,
            front_frames: 0,
            front_bytes: 0,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.back.is_empty()
    }

    pub(crate) fn since(&self) -> Option<Micros> {
        self.back.since()
    }

    /// Octets in both batches.
    pub(crate) fn bytes(&self) -> usize {
        self.front_bytes + self.back.frames.bytes()
    }

    /// Whether `frames` of `bytes` octets together would be taken.
    pub(crate) fn has_room(&self, frames: usize, bytes: usize) -> bool {
        self.front_frames + self.back.frames.len() + frames <= self.limit_frames
            && self.bytes() + bytes <= self.limit_bytes
    }

    /// Appends a copy; `false` if there is no room.
    pub(crate) fn push(&mut self, now: impl FnOnce() -> Micros, frame: &[u8]) -> bool {
        if frame.len() > LONGEST || !self.has_room(1, frame.len()) {
            return false;
        }
        if self.back.is_empty() {
            self.back.since = Some(now());
        }
        self.back.frames.push(frame);
        true
    }

    /// Takes a whole batch for the back and leaves an empty one, without a copy; `false` if frames wait in the back, or
    /// not all of these have room.
    pub(crate) fn swap(&mut self, now: impl FnOnce() -> Micros, batch: &mut FrameBatch) -> bool {
        let fits = self.back.is_empty()
            && self.has_room(batch.len(), batch.bytes())
            && batch.iter().all(|frame| frame.len() <= LONGEST);
        if fits && !batch.is_empty() {
            self.back.frames.clear();
            core::mem::swap(&mut self.back.frames, batch);
            self.back.since = Some(now());
        }
        fits
    }

    /// Makes the back the new front, if the front is read.
    pub(crate) fn refill(&mut self, front: &mut Arena) {
        if !front.is_empty() {
            return;
        }
        front.frames.clear();
        core::mem::swap(front, &mut self.back);
        self.front_frames = front.frames.len();
        self.front_bytes = front.frames.bytes();
    }

    pub(crate) fn trim(&mut self) {
        self.back.trim();
    }

    /// Drops every frame and the memory.
    pub(crate) fn clear(&mut self) {
        self.back = Arena::default();
        self.front_frames = 0;
        self.front_bytes = 0;
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

    #[test]
    fn frames_come_out_in_the_order_they_went_in_across_refills() {
        let (mut ring, mut front) = (ring(9, 99), Arena::default());
        assert!(push(&mut ring, b"a") && push(&mut ring, b"") && push(&mut ring, b"ccc"));
        ring.refill(&mut front);
        assert!(front.take(2).iter().eq([&b"a"[..], b""]));
        assert!(push(&mut ring, b"d"));
        ring.refill(&mut front);
        assert!(front.take(9).iter().eq([&b"ccc"[..]]));
        ring.refill(&mut front);
        assert!(front.take(9).iter().eq([&b"d"[..]]));
        assert!(front.is_empty() && ring.is_empty());
    }

    #[test]
    fn both_bounds_cover_front_and_back_together() {
        let mut front = Arena::default();
        let mut by_count = ring(2, 1000);
        assert!(push(&mut by_count, b"a"));
        by_count.refill(&mut front);
        assert!(push(&mut by_count, b"b") && !push(&mut by_count, b"c"));
        let mut by_bytes = ring(100, 10);
        assert!(push(&mut by_bytes, &[0; 10]) && !push(&mut by_bytes, b"x"));
    }

    #[test]
    fn a_read_front_makes_room_at_the_next_refill() {
        let (mut ring, mut front) = (ring(1, 10), Arena::default());
        assert!(push(&mut ring, b"a"));
        ring.refill(&mut front);
        assert_eq!(front.take(1).len(), 1);
        ring.refill(&mut front);
        assert!(push(&mut ring, b"b"));
    }

    #[test]
    fn what_is_longer_than_any_packet_is_refused() {
        let mut ring = ring(10, 1 << 20);
        assert!(!push(&mut ring, &[0; 65_536]) && push(&mut ring, &[0; 65_535]));
    }

    #[test]
    fn a_burst_leaves_no_memory_behind() {
        let (mut ring, mut front) = (ring(4096, 4 << 20), Arena::default());
        while push(&mut ring, &[1; 1500]) {}
        ring.refill(&mut front);
        let _ = front.take(4096);
        front.trim();
        assert!(front.frames.capacity() <= KEPT);
    }

    #[test]
    fn a_batch_is_taken_whole_without_a_copy_if_nothing_waits_behind_it() {
        let (mut ring, mut front) = (ring(3, 99), Arena::default());
        let mut batch = FrameBatch::new();
        batch.push(b"a");
        batch.push(b"bb");
        assert!(ring.swap(|| Micros(7), &mut batch) && batch.is_empty());
        batch.push(b"c");
        assert!(!ring.swap(|| Micros(7), &mut batch) && batch.len() == 1);
        ring.refill(&mut front);
        batch.push(b"d");
        assert!(!ring.swap(|| Micros(7), &mut batch), "over the bound");
        assert!(front.take(9).iter().eq([&b"a"[..], b"bb"]));
    }
}
