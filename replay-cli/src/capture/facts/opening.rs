//! The name that a flow's first bytes have for the far side: TLS's server name (RFC 6066 section 3), or HTTP's Host (RFC 9110
//! section 7.2).

use super::Seen;
use crate::packet::{Flags, Seq};

/// The first bytes of whoever sends first, until a name shows or none will.
#[derive(Debug, Default)]
pub(super) struct Opening {
    /// Who sends, and which byte comes next.
    sender: Option<(usize, Seq)>,
    bytes: Vec<u8>,
    done: bool,
}

/// The most bytes that are kept: a ClientHello with keys for after quantum computers has some 2,000.
const MOST: usize = 4096;

/// What the bytes so far have.
enum Found {
    Name(String),
    /// A name may come.
    More,
    /// None will.
    Nothing,
}

impl Opening {
    pub(super) fn wants(&self, seen: &Seen) -> bool {
        if self.done || seen.payload_len == 0 {
            return false;
        }
        let sequence = first_byte(seen);
        self.sender
            .is_none_or(|(end, next)| end == seen.end && next == sequence)
    }

    /// Takes a payload; gives the name once.
    pub(super) fn take(&mut self, seen: &Seen, payload: &[u8]) -> Option<String> {
        let next = first_byte(seen).plus(seen.payload_len);
        self.sender = Some((seen.end, next));
        let room = MOST.saturating_sub(self.bytes.len());
        self.bytes.extend(payload.iter().take(room));
        let cut = payload.len() < seen.payload_len as usize || self.bytes.len() >= MOST;
        match look(&self.bytes) {
            Found::More if !cut => None,
            found => {
                self.done = true;
                self.bytes = Vec::new();
                match found {
                    Found::Name(name) => Some(name),
                    Found::More | Found::Nothing => None,
                }
            }
        }
    }
}

/// The number of a segment's first byte.
fn first_byte(seen: &Seen) -> Seq {
    let syn = seen.tcp.flags.contains(Flags::SYN);
    seen.tcp.sequence.plus(u32::from(syn))
}

fn look(bytes: &[u8]) -> Found {
    match bytes.first() {
        Some(22) => client_hello(bytes),
        Some(b'A'..=b'Z') => request(bytes),
        _ => Found::Nothing,
    }
}

/// Reads numbers off bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, len: usize) -> Option<usize> {
        let bytes = self.take(len)?;
        Some(
            bytes
                .iter()
                .fold(0, |sum, byte| (sum << 8) | usize::from(*byte)),
        )
    }

    /// Bytes behind their length.
    fn sized(&mut self, len: usize) -> Option<Self> {
        let size = self.number(len)?;
        self.take(size).map(Self)
    }
}

/// The server name of a ClientHello (RFC 8446 section 4.1.2).
fn client_hello(bytes: &[u8]) -> Found {
    if bytes.get(1).is_some_and(|major| *major != 3) || bytes.get(5).is_some_and(|kind| *kind != 1)
    {
        return Found::Nothing;
    }
    let mut hello = Reader(bytes);
    let mut extensions = || {
        hello.take(5 + 4 + 2 + 32)?;
        hello.sized(1)?;
        hello.sized(2)?;
        hello.sized(1)?;
        hello.number(2)?;
        Some(hello.0)
    };
    let Some(extensions) = extensions() else {
        return Found::More;
    };
    let mut rest = Reader(extensions);
    // Each takes four bytes at the least, of 4096.
    while let Some(kind) = rest.number(2) {
        let Some(mut extension) = rest.sized(2) else {
            return Found::More;
        };
        if kind == 0 {
            let name = extension.sized(2).and_then(|mut list| {
                let kind = list.number(1)?;
                let name = list.sized(2)?;
                (kind == 0).then_some(name.0)
            });
            return name.and_then(plain).map_or(Found::Nothing, Found::Name);
        }
    }
    Found::More
}

/// The Host of an HTTP request.
fn request(bytes: &[u8]) -> Found {
    let head = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .and_then(|end| bytes.get(..end));
    let lines = head.unwrap_or(bytes).split(|byte| *byte == b'\n');
    let first = bytes.split(|byte| *byte == b'\n').next();
    let is_http = first.is_some_and(|line| line.windows(6).any(|six| six == b"HTTP/1"));
    if !is_http {
        return Found::Nothing;
    }
    for line in lines.skip(1) {
        let (Some(field), Some(value)) = (line.get(..5), line.get(5..)) else {
            continue;
        };
        // A line that is not whole has no end yet.
        if field.eq_ignore_ascii_case(b"host:") && (head.is_some() || line.ends_with(b"\r")) {
            let host = value.trim_ascii();
            let host = host.split(|byte| *byte == b':').next();
            return host.and_then(plain).map_or(Found::Nothing, Found::Name);
        }
    }
    if head.is_some() {
        Found::Nothing
    } else {
        Found::More
    }
}

/// A name as DNS could have it; what is none is not shown.
pub(super) fn plain(name: &[u8]) -> Option<String> {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_".contains(byte);
    let is_name = (1..=253).contains(&name.len()) && name.iter().all(fits);
    is_name.then(|| name.iter().map(|byte| char::from(*byte)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::{Header, Since};
    use super::*;

    /// A ClientHello with a server name and an extension of so many bytes before it.
    pub(crate) fn hello(name: &str, before: u16) -> Vec<u8> {
        let len = u16::try_from(name.len()).unwrap();
        let mut extensions = vec![0, 51];
        extensions.extend(before.to_be_bytes());
        extensions.resize(extensions.len() + usize::from(before), 7);
        extensions.extend([0, 0]);
        extensions.extend((len + 5).to_be_bytes());
        extensions.extend((len + 3).to_be_bytes());
        extensions.push(0);
        extensions.extend(len.to_be_bytes());
        extensions.extend(name.as_bytes());
        let mut bytes = vec![22, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3];
        bytes.resize(43, 9);
        bytes.extend([0, 0, 2, 0x13, 1, 1, 0]);
        bytes.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
        bytes.extend(extensions);
        bytes
    }

    fn named(pieces: &[&[u8]]) -> Option<String> {
        let mut opening = Opening::default();
        let mut sequence = Seq(u32::MAX - 5);
        let mut name = None;
        for piece in pieces {
            let payload_len = u32::try_from(piece.len()).unwrap();
            let seen = Seen {
                since: Since { at_ns: 0, frame: 1 },
                end: 0,
                payload_len,
                tcp: Header {
                    sequence,
                    ..Header::default()
                },
            };
            if opening.wants(&seen)
                && let Some(found) = opening.take(&seen, piece)
            {
                name = Some(found);
            }
            sequence = sequence.plus(payload_len);
        }
        name
    }

    #[test]
    fn a_client_hello_names_the_far_side_also_in_pieces() {
        let hello = hello("www.example.com", 1200);
        let name = Some("www.example.com".to_owned());
        assert_eq!(named(&[&hello]), name);
        for at in [1, 3, 44, 900, hello.len() - 1] {
            assert_eq!(named(&[&hello[..at], &hello[at..]]), name, "{at}");
        }
    }

    #[test]
    fn a_client_hello_beyond_the_bound_has_no_name() {
        let hello = hello("www.example.com", 5000);
        assert_eq!(named(&[&hello[..3000], &hello[3000..]]), None);
    }

    #[test]
    fn a_request_names_its_host_without_the_port() {
        let name = Some("example.com".to_owned());
        assert_eq!(
            named(&[b"GET / HTTP/1.1\r\nhOsT: example.com:8080\r\n\r\n"]),
            name
        );
        assert_eq!(
            named(&[b"GET / HTTP/1.1\r\nHost: exam", b"ple.com\r\n\r\n"]),
            name
        );
        assert_eq!(named(&[b"GET / HTTP/1.1\r\nA: b\r\n\r\nHost: x\r\n"]), None);
        assert_eq!(named(&[b"HELO Host: example.com\r\n"]), None);
    }

    #[test]
    fn what_is_no_name_is_not_taken_for_one() {
        assert_eq!(named(&[&hello("a b\u{1b}", 0)]), None);
        assert_eq!(named(&[&[22, 3, 1]]), None);
        assert_eq!(named(&[b"\x16\x07rest"]), None);
    }
}
