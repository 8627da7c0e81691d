//! The raw packets of a capture, back to back.

/// Packets by index. Bytes are as captured, from the IP header on.
#[derive(Debug, Default)]
pub struct FrameStore {
    bytes: Vec<u8>,
    frames: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    start: usize,
    len: u32,
    original_len: u32,
    number: u64,
    time_ns: i64,
}

/// One packet of the store.
#[derive(Clone, Copy, Debug)]
pub struct StoredFrame<'a> {
    /// What was captured.
    pub bytes: &'a [u8],
    /// Octets the packet had on the wire.
    pub original_len: usize,
    /// Its number in the capture, from 1.
    pub number: u64,
    /// Nanoseconds since the epoch.
    pub time_ns: i64,
}

impl FrameStore {
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        original_len: usize,
        number: u64,
        time_ns: i64,
    ) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        self.frames.push(Entry {
            start,
            len: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            original_len: u32::try_from(original_len).unwrap_or(u32::MAX),
            number,
            time_ns,
        });
        self.frames.len() - 1
    }

    /// The packet at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<StoredFrame<'_>> {
        let entry = self.frames.get(index)?;
        Some(StoredFrame {
            bytes: self
                .bytes
                .get(entry.start..entry.start + entry.len as usize)?,
            original_len: entry.original_len as usize,
            number: entry.number,
            time_ns: entry.time_ns,
        })
    }

    /// How many packets there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}
