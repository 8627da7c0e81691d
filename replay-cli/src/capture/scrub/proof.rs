//! What came out, searched for what went in. Nothing here knows how it was replaced.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::content::Runs;
use super::mapping::Mapping;
use super::read::Known;
use super::{Mark, Output};

/// Searches the output for old addresses in bytes and in letters, for old names in letters and in labels, and for runs of old payload.
///
/// # Errors
/// Something stands there: what, and at which byte.
pub(super) fn search(
    out: &Output,
    known: &Known,
    mapping: &Mapping,
    runs: &Runs,
) -> Result<(), String> {
    let old: BTreeSet<IpAddr> = mapping.addresses.keys().copied().collect();
    let found =
        |what: String, at: usize| Err(format!("{what} still stands in the result, at byte {at}"));
    if let Some((at, address)) = in_bytes(out, &old) {
        return found(format!("the address {address}"), at);
    }
    if let Some((at, address)) = in_letters(&out.bytes, &old) {
        return found(format!("the address {address}, written out,"), at);
    }
    let names: BTreeSet<&str> = known
        .names
        .iter()
        .filter(|name| name.len() >= SHORTEST && mapping.name(name) != **name)
        .map(String::as_str)
        .collect();
    if let Some((at, name)) = named(&out.bytes, &names) {
        return found(format!("the name {name}"), at);
    }
    if let Some(at) = runs.first_in(&out.bytes, &out.marks) {
        return found("a run of eight bytes of payload".to_owned(), at);
    }
    Ok(())
}

/// Shorter names stand everywhere by chance.
const SHORTEST: usize = 6;

/// An old address as bytes, anywhere but among numbers.
fn in_bytes(out: &Output, old: &BTreeSet<IpAddr>) -> Option<(usize, IpAddr)> {
    let outside = |at: usize, length: usize| {
        let marks = out.marks.get(at..at + length).unwrap_or_default();
        marks.iter().all(|mark| *mark != Mark::Structure)
    };
    let has_v6 = old.iter().any(IpAddr::is_ipv6);
    for at in 0..out.bytes.len() {
        let rest = out.bytes.get(at..).unwrap_or_default();
        if let Some(four) = rest.first_chunk::<4>() {
            let address = IpAddr::from(Ipv4Addr::from(*four));
            // 0.0.0.0/8 has no hosts; zeros are everywhere.
            if four[0] != 0 && old.contains(&address) && outside(at, 4) {
                return Some((at, address));
            }
        }
        if has_v6 && let Some(sixteen) = rest.first_chunk::<16>() {
            let address = IpAddr::from(Ipv6Addr::from(*sixteen));
            if old.contains(&address) && outside(at, 16) {
                return Some((at, address));
            }
        }
    }
    None
}

/// An old address written out.
fn in_letters(bytes: &[u8], old: &BTreeSet<IpAddr>) -> Option<(usize, IpAddr)> {
    let digits = |byte: u8| byte.is_ascii_hexdigit() || byte == b'.' || byte == b':';
    words(bytes, digits, 7).find_map(|(at, word)| {
        let word = word.trim_matches(['.', ':']);
        // A port may stand behind it.
        let short = word.rsplit_once(':').map_or(word, |(before, _)| before);
        let parsed = [word, short].into_iter().find_map(|word| word.parse().ok());
        parsed
            .filter(|address| old.contains(address))
            .map(|address| (at, address))
    })
}

/// An old name, with dots or as labels on the wire.
fn named<'a>(bytes: &[u8], names: &BTreeSet<&'a str>) -> Option<(usize, &'a str)> {
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let in_letters = words(bytes, letters, SHORTEST).find_map(|(at, word)| {
        let labels: Vec<&str> = word.split('.').collect();
        of_labels(&labels, names).map(|name| (at, name))
    });
    let on_the_wire = || {
        (0..bytes.len()).find_map(|at| {
            let labels = labels_at(bytes, at)?;
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            of_labels(&labels, names).map(|name| (at, name))
        })
    };
    in_letters.or_else(on_the_wire)
}

/// Labels that are looked at together.
const MOST_LABELS: usize = 16;

/// An old name among rows of these labels.
fn of_labels<'a>(labels: &[&str], names: &BTreeSet<&'a str>) -> Option<&'a str> {
    (0..labels.len()).find_map(|from| {
        (from + 1..=labels.len().min(from + MOST_LABELS)).find_map(|to| {
            let name = labels.get(from..to)?.join(".").to_ascii_lowercase();
            names.get(name.as_str()).copied()
        })
    })
}

/// Labels behind their lengths, two at the least.
fn labels_at(bytes: &[u8], mut at: usize) -> Option<Vec<String>> {
    let mut labels = Vec::new();
    while let Some(length @ 1..=63) = bytes.get(at).copied()
        && labels.len() < MOST_LABELS
    {
        let Some(label) = bytes.get(at + 1..at + 1 + usize::from(length)) else {
            break;
        };
        if !label.iter().all(u8::is_ascii_graphic) {
            break;
        }
        labels.push(String::from_utf8_lossy(label).into_owned());
        at += 1 + usize::from(length);
    }
    (labels.len() >= 2).then_some(labels)
}

/// Words of some letters, so long at the least, each with its place.
fn words(
    bytes: &[u8],
    is_letter: impl Fn(u8) -> bool,
    shortest: usize,
) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let rest = bytes.get(at..)?;
            let start = at + rest.iter().position(|byte| is_letter(*byte))?;
            let word = bytes.get(start..)?;
            let length = word
                .iter()
                .position(|byte| !is_letter(*byte))
                .unwrap_or(word.len());
            at = start + length;
            if length >= shortest
                && let Ok(word) = str::from_utf8(word.get(..length)?)
            {
                return Some((start, word));
            }
        }
    })
}
