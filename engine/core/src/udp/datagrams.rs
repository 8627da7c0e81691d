//! Datagrams on their way to the dialer: one arena for all flows, emptied at every drain.

/// Where a datagram's payload lies in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DatagramRange {
    start: usize,
    len: usize,
}

/// Payloads that wait for `poll_output`, back to back.
#[derive(Debug, Default)]
pub(crate) struct DatagramArena {
    bytes: Vec<u8>,
    waiting: usize,
}

impl DatagramArena {
    pub(crate) fn push(&mut self, payload: &[u8]) -> DatagramRange {
        if self.waiting == 0 {
            self.bytes.clear();
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(payload);
        self.waiting += 1;
        DatagramRange {
            start,
            len: payload.len(),
        }
    }

    /// Hands out a payload; the arena starts afresh at the first push after all were handed out.
    pub(crate) fn take(&mut self, range: DatagramRange) -> &[u8] {
        self.waiting = self.waiting.saturating_sub(1);
        self.bytes
            .get(range.start..range.start + range.len)
            .unwrap_or(&[])
    }
}
