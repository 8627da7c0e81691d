//! What in a payload is structure, and what in the structure names somebody: DNS messages, the first flight of TLS, request heads of HTTP.
//!
//! Nothing is decoded further than its places: whoever scrubs a payload keeps its structure, and puts something else in these places.

use std::ops::Range;

mod dns;
mod http;
mod tls;

pub(crate) use dns::{address_of, message, messages};

/// A place in a structure that does not stay as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) at: Range<usize>,
    pub(crate) kind: PartKind,
}

/// What stands there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartKind {
    /// A host name, its labels with dots between them.
    Name,
    /// One label of a DNS name.
    Label,
    /// An IP address of 4 or 16 bytes.
    Address,
    /// Bytes that mean something to their owner only.
    Opaque,
    /// The same, and letters have to stand there.
    Text,
}

/// The structure at the beginning of a payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Structure {
    /// Its end: what is behind is opaque.
    pub(crate) end: usize,
    /// The places in it that do not stay, in order.
    pub(crate) parts: Vec<Part>,
}

impl Structure {
    fn part(&mut self, at: Range<usize>, kind: PartKind) {
        if !at.is_empty() {
            self.parts.push(Part { at, kind });
        }
    }

    /// The host names in it, in lower case.
    pub(crate) fn names(&self, payload: &[u8]) -> Vec<String> {
        let named = self.parts.iter().filter(|part| part.kind == PartKind::Name);
        let bytes = named.filter_map(|part| payload.get(part.at.clone()));
        bytes
            .map(|name| String::from_utf8_lossy(name).to_ascii_lowercase())
            .collect()
    }
}

/// The structure of what a client sends first over TCP.
pub(crate) fn first_flight(stream: &[u8]) -> Option<Structure> {
    tls::client_hello(stream).or_else(|| http::requests(stream))
}

/// A number of one or two bytes, big endian.
fn number(bytes: &[u8], at: usize, width: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(width)?)?;
    Some(
        bytes
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
    )
}

#[cfg(test)]
mod tests;
