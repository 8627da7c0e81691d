//! Bytes of far sides that wait: appended at the end, read from the front.

/// Bytes that a buffer may waste in any case.
const WASTE: usize = 4096;

/// A buffer that follows what it holds: it grows by a quarter, and what was read makes room before it does.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    /// How many of them were read.
    read: usize,
}

impl Buffer {
    pub(crate) fn is_empty(&self) -> bool {
        self.read >= self.bytes.len()
    }

    /// The bytes that were not read yet.
    pub(crate) fn unread(&self) -> &[u8] {
        self.bytes.get(self.read..).unwrap_or(&[])
    }

    /// Bytes of memory that it holds on to.
    pub(crate) fn memory(&self) -> usize {
        self.bytes.capacity()
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        if self.bytes.len() + bytes.len() > self.bytes.capacity() {
            self.make_room(bytes.len());
        }
        self.bytes.extend_from_slice(bytes);
    }

    #[cold]
    fn make_room(&mut self, more: usize) {
        if self.read > 0 {
            self.bytes.drain(..self.read);
            self.read = 0;
        }
        let (needed, capacity) = (self.bytes.len() + more, self.bytes.capacity());
        if needed > capacity {
            // By a quarter instead of twice as much: the bounds count bytes, memory is to follow them.
            let most = needed.max(capacity + capacity / 4);
            self.bytes.reserve_exact(most - self.bytes.len());
        }
    }

    /// Reads the next `count` bytes.
    pub(crate) fn next(&mut self, count: usize) -> &[u8] {
        let start = self.read;
        self.read += count;
        self.bytes.get(start..self.read).unwrap_or(&[])
    }

    /// Passes over the next `count` bytes.
    pub(crate) fn skip(&mut self, count: usize) {
        self.read += count;
        if self.is_empty() {
            self.clear();
        }
    }

    /// Forgets what it holds, and keeps its memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.read = 0;
    }

    /// Gives back most of its memory if it holds little.
    pub(crate) fn shrink(&mut self) {
        let len = self.unread().len();
        if self.bytes.capacity() > 2 * len + WASTE {
            self.bytes.drain(..self.read);
            self.read = 0;
            self.bytes.shrink_to(len + len / 4);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_grows_no_larger_than_a_quarter_more_than_it_holds() {
        let mut buffer = Buffer::default();
        for _ in 0..50 {
            buffer.append(&[7; 1000]);
            let unread = buffer.unread().len();
            assert!(buffer.memory() <= unread + unread / 4 + 1000);
        }
    }

    #[test]
    fn what_was_read_makes_room_for_what_comes() {
        let mut buffer = Buffer::default();
        buffer.append(&[1; 1000]);
        let memory = buffer.memory();
        for _ in 0..50 {
            buffer.append(b"more");
            buffer.skip(4);
        }
        assert_eq!(
            (buffer.unread().len(), buffer.memory() <= 2 * memory),
            (1000, true)
        );
    }

    #[test]
    fn a_buffer_that_holds_little_gives_back_most_and_keeps_the_bytes() {
        let mut buffer = Buffer::default();
        let bytes: Vec<u8> = (0..65_536_u32).map(|n| (n % 251) as u8).collect();
        buffer.append(&bytes);
        buffer.skip(bytes.len() - 1000);
        buffer.append(b"more");
        buffer.shrink();
        assert!(buffer.memory() <= 2 * WASTE);
        assert_eq!(
            buffer.unread(),
            [&bytes[bytes.len() - 1000..], b"more"].concat()
        );
    }
}
