//! DNS messages (RFC 1035 section 4): labels and addresses in their places, the data of other records opaque.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use simple_dns::rdata::RData;

use super::{PartKind, Structure, number};

/// The address that a record gives, if it is an address record.
pub(crate) fn address_of(record: &RData<'_>) -> Option<IpAddr> {
    match record {
        RData::A(a) => Some(Ipv4Addr::from_bits(a.address).into()),
        RData::AAAA(a) => Some(Ipv6Addr::from_bits(a.address).into()),
        _ => None,
    }
}

/// The structure of a message, if it is one.
pub(crate) fn message(bytes: &[u8]) -> Option<Structure> {
    let mut found = Structure::default();
    let counts: Vec<usize> = (0..4)
        .map(|nth| number(bytes, 4 + 2 * nth, 2))
        .collect::<Option<_>>()?;
    let [questions, records @ ..] = counts.as_slice() else {
        return None;
    };
    // No message of 64 KiB has more: each takes five bytes at the least.
    if counts.iter().sum::<usize>() > bytes.len() / 5 + 1 {
        return None;
    }
    let mut at = 12;
    for _ in 0..*questions {
        at = name(bytes, at, &mut found)? + 4;
    }
    for _ in 0..records.iter().sum() {
        at = record(bytes, at, &mut found)?;
    }
    if at > bytes.len() {
        return None;
    }
    found.part(at..bytes.len(), PartKind::Opaque);
    found.end = bytes.len();
    Some(found)
}

/// The structure of messages behind each other, each with its length before it (RFC 1035 section 4.2.2); of an unfinished last one nothing.
pub(crate) fn messages(stream: &[u8]) -> Structure {
    let mut all = Structure::default();
    while let Some(length) = number(stream, all.end, 2) {
        let start = all.end + 2;
        let Some(body) = stream.get(start..start + length) else {
            break;
        };
        match message(body) {
            Some(found) => {
                for part in found.parts {
                    all.part(start + part.at.start..start + part.at.end, part.kind);
                }
            }
            None => all.part(start..start + length, PartKind::Opaque),
        }
        all.end = start + length;
    }
    all
}

/// Walks a name and returns the place behind it. Pointers lead to labels that stand elsewhere.
fn name(bytes: &[u8], mut at: usize, found: &mut Structure) -> Option<usize> {
    loop {
        match usize::from(*bytes.get(at)?) {
            0 => return Some(at + 1),
            length @ 1..=63 => {
                let end = at + 1 + length;
                bytes.get(at..end)?;
                found.part(at + 1..end, PartKind::Label);
                at = end;
            }
            192.. => return bytes.get(at + 1).map(|_| at + 2),
            _ => return None,
        }
    }
}

fn record(bytes: &[u8], at: usize, found: &mut Structure) -> Option<usize> {
    let at = name(bytes, at, found)?;
    let kind = number(bytes, at, 2)?;
    let start = at + 10;
    let end = start + number(bytes, at + 8, 2)?;
    let whole = bytes.get(..end)?;
    match (kind, end - start) {
        (1, 4) | (28, 16) => found.part(start..end, PartKind::Address),
        // NS, CNAME, PTR, DNAME; MX; SRV.
        (2 | 5 | 12 | 39, _) => drop(name(whole, start, found)?),
        (15, _) => drop(name(whole, start + 2, found)?),
        (33, _) => drop(name(whole, start + 6, found)?),
        // SOA: two names, then numbers.
        (6, _) => {
            let second = name(whole, start, found)?;
            name(whole, second, found)?;
        }
        // RRSIG and NSEC: a name among what is opaque.
        (46, _) => {
            let behind = name(whole, start + 18, found)?;
            found.part(behind..end, PartKind::Opaque);
        }
        (47, _) => drop(name(whole, start, found)?),
        // SVCB and HTTPS (RFC 9460): a name, then parameters.
        (64 | 65, _) => parameters(whole, name(whole, start + 2, found)?, found)?,
        // OPT: options; TXT: strings.
        (41, _) => tagged(whole, start, found, |_| PartKind::Opaque)?,
        (16, _) => strings(whole, start, found)?,
        _ => found.part(start..end, PartKind::Opaque),
    }
    Some(end)
}

/// Parameters of a service binding: the addresses among them are addresses, its protocols stay.
fn parameters(whole: &[u8], mut at: usize, found: &mut Structure) -> Option<()> {
    while at < whole.len() {
        let (key, length) = (number(whole, at, 2)?, number(whole, at + 2, 2)?);
        let (start, end) = (at + 4, at + 4 + length);
        whole.get(start..end)?;
        match key {
            0..=3 => {}
            4 | 6 => {
                let size = if key == 4 { 4 } else { 16 };
                for address in (start..end).step_by(size) {
                    found.part(address..(address + size).min(end), PartKind::Address);
                }
            }
            _ => found.part(start..end, PartKind::Opaque),
        }
        at = end;
    }
    Some(())
}

/// Values behind a code and a length of two bytes each.
fn tagged(
    whole: &[u8],
    mut at: usize,
    found: &mut Structure,
    kind: impl Fn(usize) -> PartKind,
) -> Option<()> {
    while at < whole.len() {
        let (code, length) = (number(whole, at, 2)?, number(whole, at + 2, 2)?);
        whole.get(at..at + 4 + length)?;
        found.part(at + 4..at + 4 + length, kind(code));
        at += 4 + length;
    }
    Some(())
}

/// Strings, each behind its length of one byte.
fn strings(whole: &[u8], mut at: usize, found: &mut Structure) -> Option<()> {
    while at < whole.len() {
        let end = at + 1 + number(whole, at, 1)?;
        whole.get(at..end)?;
        found.part(at + 1..end, PartKind::Text);
        at = end;
    }
    Some(())
}
