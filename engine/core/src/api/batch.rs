//! Emitted frames wait here until the device takes them.
//!
//! All frames of a batch share one arena, back to back; a list of end offsets separates
//! them. Once the arena has grown to the size of the busiest batch, neither emitting nor
//! handing out allocates, copies or zeroes anything.
//!
//! ```text
//! arena  [ frame 0 | frame 1 | frame 2 | frame 3 | leftovers ... ]
//! ends            ^         ^         ^         ^
//! handed: 2 ------------------'   take(64) lends frames 2 and 3
//! ```

use core::iter::FusedIterator;

/// The default TTL and hop limit (RFC 1700).
pub(crate) const HOP_LIMIT: u8 = 64;

/// Frames in the order they were emitted, each a whole IP packet.
///
/// Frames are lent out by [`take`](Self::take). When all of them were handed out, the next
/// push starts the arena afresh and keeps its capacity.
///
/// ```
/// let mut batch = engine::FrameBatch::new();
/// batch.push(b"one");
/// batch.push(b"two");
/// assert_eq!((batch.len(), batch.bytes()), (2, 6));
/// assert!(batch.take(1).iter().eq([b"one"]));
/// ```
#[derive(Clone, Debug)]
pub struct FrameBatch {
    /// Bytes of all frames; beyond the last frame's end lie leftovers of earlier batches,
    /// kept so that growing back to the same size costs no zeroing.
    arena: Vec<u8>,
    /// Where each frame ends in the arena; it begins where the one before ends.
    ends: Vec<usize>,
    /// How many frames were handed out.
    handed: usize,
    /// TTL and hop limit of the frames that are built into it.
    hop_limit: u8,
}

impl Default for FrameBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameBatch {
    /// Makes an empty batch; memory is taken on the first push.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_hop_limit(HOP_LIMIT)
    }

    /// Makes an empty batch whose frames get this TTL or hop limit.
    #[must_use]
    pub const fn with_hop_limit(hop_limit: u8) -> Self {
        Self {
            arena: Vec::new(),
            ends: Vec::new(),
            handed: 0,
            hop_limit,
        }
    }

    /// TTL and hop limit of frames built into the batch.
    #[must_use]
    pub const fn hop_limit(&self) -> u8 {
        self.hop_limit
    }

    /// Appends a frame of `len` bytes that `fill` writes in place.
    ///
    /// The slice has exactly `len` bytes and holds leftovers: `fill` writes every one.
    pub fn push_with<R>(&mut self, len: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        if self.is_empty() {
            self.clear();
        }
        let start = self.ends.last().copied().unwrap_or(0);
        let end = start.saturating_add(len);
        if self.arena.len() < end {
            self.arena.resize(end, 0);
        }
        self.ends.push(end);
        fill(self.arena.get_mut(start..end).unwrap_or_default())
    }

    /// Appends a frame of at most `max` bytes that `fill` writes in place, if it says how many: for a device that is read
    /// without knowing. The slice holds leftovers. Returns whether a frame was appended.
    pub fn push_up_to(
        &mut self,
        max: usize,
        fill: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> bool {
        let len = self.push_with(max, fill);
        let most = self.ends.pop();
        if let (Some(most), Some(len)) = (most, len) {
            self.ends.push(most - max.saturating_sub(len));
        }
        len.is_some()
    }

    /// Appends a copy of `frame`.
    pub fn push(&mut self, frame: &[u8]) {
        self.push_with(frame.len(), |space| space.copy_from_slice(frame));
    }

    /// How many frames wait to be handed out.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len().saturating_sub(self.handed)
    }

    /// Whether no frame waits to be handed out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many bytes wait to be handed out.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.waiting().bytes()
    }

    /// Looks at the waiting frames without handing them out.
    #[must_use]
    pub fn iter(&self) -> FrameIter<'_> {
        self.waiting().iter()
    }

    /// Hands out the next frames, at most `max`.
    pub fn take(&mut self, max: usize) -> Frames<'_> {
        let start = self.handed_bytes();
        let first = self.handed;
        let last = first.saturating_add(max).min(self.ends.len());
        self.handed = last;
        Frames {
            arena: &self.arena,
            start,
            ends: self.ends.get(first..last).unwrap_or_default(),
        }
    }

    /// Drops every frame and keeps the capacity.
    pub fn clear(&mut self) {
        self.ends.clear();
        self.handed = 0;
    }

    /// Gives memory beyond `bytes` of arena back, if no frame waits.
    pub fn shrink_to(&mut self, bytes: usize) {
        if !self.is_empty() {
            return;
        }
        self.clear();
        self.arena.truncate(bytes);
        self.arena.shrink_to(bytes);
    }

    /// How many bytes of memory the arena holds on to.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.arena.capacity()
    }

    fn waiting(&self) -> Frames<'_> {
        Frames {
            arena: &self.arena,
            start: self.handed_bytes(),
            ends: self.ends.get(self.handed..).unwrap_or_default(),
        }
    }

    /// Where the first waiting frame begins.
    fn handed_bytes(&self) -> usize {
        let last = self.handed.checked_sub(1);
        last.and_then(|last| self.ends.get(last))
            .copied()
            .unwrap_or(0)
    }
}

/// A run of frames lent by `FrameBatch::take`.
#[derive(Clone, Copy, Debug)]
pub struct Frames<'a> {
    arena: &'a [u8],
    start: usize,
    ends: &'a [usize],
}

impl<'a> Frames<'a> {
    /// How many frames there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// How many bytes all frames have together.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let end = self.ends.last().copied().unwrap_or(self.start);
        end.saturating_sub(self.start)
    }

    /// The frames, in the order they were emitted.
    #[must_use]
    pub const fn iter(&self) -> FrameIter<'a> {
        FrameIter { frames: *self }
    }
}

impl<'a> IntoIterator for Frames<'a> {
    type Item = &'a [u8];
    type IntoIter = FrameIter<'a>;

    fn into_iter(self) -> FrameIter<'a> {
        FrameIter { frames: self }
    }
}

impl<'a> IntoIterator for &'a FrameBatch {
    type Item = &'a [u8];
    type IntoIter = FrameIter<'a>;

    fn into_iter(self) -> FrameIter<'a> {
        self.iter()
    }
}

/// Iterates over the frames of a batch.
#[derive(Clone, Debug)]
pub struct FrameIter<'a> {
    frames: Frames<'a>,
}

impl<'a> Iterator for FrameIter<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (&end, rest) = self.frames.ends.split_first()?;
        let frame = self.frames.arena.get(self.frames.start..end);
        self.frames.start = end;
        self.frames.ends = rest;
        Some(frame.unwrap_or_default())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.frames.len(), Some(self.frames.len()))
    }
}

impl ExactSizeIterator for FrameIter<'_> {}
impl FusedIterator for FrameIter<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(frames: &[&[u8]]) -> FrameBatch {
        let mut batch = FrameBatch::new();
        for frame in frames {
            batch.push(frame);
        }
        batch
    }

    fn all<'a>(frames: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<u8>> {
        frames.into_iter().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn frames_come_out_in_the_order_they_went_in() {
        let mut batch = batch(&[b"one", b"", b"three"]);
        assert_eq!(all(batch.take(9)), [&b"one"[..], b"", b"three"]);
        assert!(batch.is_empty());
    }

    #[test]
    fn take_hands_out_at_most_max_and_goes_on_after_them() {
        let mut batch = batch(&[b"a", b"bb", b"ccc"]);
        assert_eq!(all(batch.take(2)), [&b"a"[..], b"bb"]);
        assert_eq!((batch.len(), batch.bytes()), (1, 3));
        let last = batch.take(2);
        assert_eq!((all(last), last.is_empty()), (vec![b"ccc".to_vec()], false));
        let none = batch.take(2);
        assert_eq!((none.len(), none.is_empty()), (0, true));
    }

    #[test]
    fn a_frame_pushed_between_takes_is_handed_out_last() {
        let mut batch = batch(&[b"a", b"b"]);
        let _ = batch.take(1);
        batch.push(b"c");
        assert_eq!(all(&batch), [b"b", b"c"]);
        assert_eq!(all(batch.take(9)), [b"b", b"c"]);
    }

    #[test]
    fn the_arena_restarts_once_all_was_handed_out() {
        let mut batch = batch(&[&[1; 1000], &[2; 1000]]);
        let capacity = batch.capacity();
        for _ in 0..100 {
            let _ = batch.take(2);
            batch.push(&[3; 1000]);
            batch.push(&[4; 1000]);
        }
        assert_eq!(batch.capacity(), capacity);
        assert_eq!(batch.len(), 2);
    }

    #[test]
    fn push_with_lends_exactly_the_length_asked_for_and_returns_the_answer() {
        let mut batch = batch(&[&[7; 100]]);
        let _ = batch.take(1);
        let seen = batch.push_with(5, |space| {
            space.fill(9);
            space.len()
        });
        assert_eq!(seen, 5);
        assert_eq!(all(batch.take(1)), [[9; 5]]);
    }

    #[test]
    fn a_frame_whose_length_turns_out_late_takes_no_more_room_than_that() {
        let mut batch = batch(&[b"one"]);
        let two = |space: &mut [u8]| {
            space[..3].copy_from_slice(b"two");
            Some(3)
        };
        assert!(batch.push_up_to(1500, two) && !batch.push_up_to(1500, |_| None));
        batch.push(b"three");
        assert_eq!(all(batch.take(9)), [&b"one"[..], b"two", b"three"]);
    }

    #[test]
    fn shrinking_waits_until_no_frame_is_left() {
        let mut batch = batch(&[&[1; 5000]]);
        batch.shrink_to(100);
        assert_eq!(batch.bytes(), 5000);
        let _ = batch.take(1);
        batch.shrink_to(100);
        assert!(batch.capacity() < 5000);
    }
}
