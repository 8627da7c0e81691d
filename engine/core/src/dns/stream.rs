//! DNS over TCP: messages out of a stream, each behind a length of two bytes (RFC 1035 section 4.2.2).

use super::Asked;

/// One direction of a connection.
#[derive(Debug, Default)]
pub(crate) struct DnsStream {
    /// The bytes of a message that is not whole yet.
    partial: Vec<u8>,
}

/// Both directions of a connection to port 53, and what was asked on it.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    pub(crate) upstream: DnsStream,
    pub(crate) downstream: DnsStream,
    pub(crate) asked: Asked,
}

impl DnsStream {
    /// Takes the next bytes and calls `on_message` for every message that is whole.
    pub(crate) fn push(&mut self, bytes: &[u8], mut on_message: impl FnMut(&[u8])) {
        // A message is at most 65,535 bytes, so no more than that and one read is ever kept.
        self.partial.extend_from_slice(bytes);
        let mut start = 0;
        while let Some(&[high, low]) = self.partial.get(start..start + 2) {
            let end = start + 2 + usize::from(u16::from_be_bytes([high, low]));
            let Some(message) = self.partial.get(start + 2..end) else {
                break;
            };
            on_message(message);
            start = end;
        }
        self.partial.drain(..start);
    }
}
