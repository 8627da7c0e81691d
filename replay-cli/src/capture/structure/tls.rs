//! The ClientHello of TLS (RFC 8446 section 4.1.2): what is offered stays, what is of this client alone does not.

use super::{PartKind, Structure, number};

/// The structure of a stream that begins with a ClientHello in one record.
pub(super) fn client_hello(stream: &[u8]) -> Option<Structure> {
    if !matches!(stream, [22, 3, _, _, _, 1, ..]) {
        return None;
    }
    let end = 5 + number(stream, 3, 2)?;
    let hello = stream.get(..end)?;
    let mut found = Structure {
        end,
        ..Structure::default()
    };
    // Type, length, version; then random, session, suites, compression.
    let mut at = 9 + 2;
    found.part(at..at + 32, PartKind::Opaque);
    at += 32;
    let session = number(hello, at, 1)?;
    found.part(at + 1..at + 1 + session, PartKind::Opaque);
    at += 1 + session;
    at += 2 + number(hello, at, 2)?;
    at += 1 + number(hello, at, 1)?;
    if at < end {
        let extensions = at + 2;
        let last = extensions + number(hello, at, 2)?;
        at = extensions;
        while at < last {
            let (kind, length) = (number(hello, at, 2)?, number(hello, at + 2, 2)?);
            let (start, stop) = (at + 4, at + 4 + length);
            extension(hello.get(..stop)?, kind, start, &mut found)?;
            at = stop;
        }
        found.part(last..end, PartKind::Opaque);
    }
    // Places beyond the record would be a lie about its lengths.
    let inside = found.parts.iter().all(|part| part.at.end <= end);
    inside.then_some(found)
}

/// The places in an extension, which is the end of `hello` from `start` on.
fn extension(hello: &[u8], kind: usize, start: usize, found: &mut Structure) -> Option<()> {
    let end = hello.len();
    match kind {
        // server_name (RFC 6066 section 3): a list of type, length, name.
        0 if start < end => {
            let mut at = start + 2;
            while at < end {
                let name = at + 3..at + 3 + number(hello, at + 1, 2)?;
                hello.get(name.clone())?;
                at = name.end;
                found.part(name, PartKind::Name);
            }
        }
        // What is supported: status_request, groups, point formats, signatures, protocols, padding, extended master secret,
        // certificate compression, record size, versions, modes, renegotiation.
        0 | 5 | 10 | 11 | 13 | 16 | 21..=23 | 27 | 28 | 43 | 45 | 50 | 0xff01 => {}
        // key_share: group, length, key.
        51 => {
            let mut at = start + 2;
            while at < end {
                let key = at + 4..at + 4 + number(hello, at + 2, 2)?;
                hello.get(key.clone())?;
                at = key.end;
                found.part(key, PartKind::Opaque);
            }
        }
        // pre_shared_key: identities with their ages, then binders.
        41 => {
            let binders = start + 2 + number(hello, start, 2)?;
            let mut at = start + 2;
            while at < binders {
                let stop = at + 2 + number(hello, at, 2)?;
                hello.get(at..stop)?;
                found.part(at + 2..stop + 4, PartKind::Opaque);
                at = stop + 4;
            }
            at = binders + 2;
            while at < end {
                let stop = at + 1 + number(hello, at, 1)?;
                hello.get(at..stop)?;
                found.part(at + 1..stop, PartKind::Opaque);
                at = stop;
            }
        }
        // encrypted_client_hello: type, suite and identifier, then two values behind their lengths.
        0xfe0d if number(hello, start, 1)? == 0 => {
            let payload = start + 8 + number(hello, start + 6, 2)?;
            found.part(start + 8..payload, PartKind::Opaque);
            found.part(payload + 2..end, PartKind::Opaque);
        }
        _ => found.part(start..end, PartKind::Opaque),
    }
    Some(())
}
