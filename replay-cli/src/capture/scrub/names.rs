//! Names for names, label by label: as long, letters for letters and digits for digits, one label always the same.

use std::collections::{BTreeMap, BTreeSet};

use super::addresses::keyed;

/// Labels that name nobody.
const KEPT: [&[u8]; 16] = [
    b"com",
    b"net",
    b"org",
    b"arpa",
    b"in-addr",
    b"ip6",
    b"local",
    b"localhost",
    b"example",
    b"test",
    b"invalid",
    b"_tcp",
    b"_udp",
    b"_dns-sd",
    b"http",
    b"https",
];

/// What stands for each label, in lower case.
pub(super) fn assign(labels: &BTreeSet<Vec<u8>>, key: &[u8; 16]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut taken = BTreeSet::new();
    let mut map = BTreeMap::new();
    let mut labels: Vec<&Vec<u8>> = labels
        .iter()
        .filter(|label| !KEPT.contains(&label.as_slice()))
        .collect();
    labels.sort_by_key(|label| (keyed(key, 8, label), *label));
    let all: BTreeSet<&Vec<u8>> = labels.iter().copied().collect();
    for old in labels {
        // Of one letter there are few: then two labels may become one.
        let found = (0_u64..64)
            .map(|attempt| made(old, key, attempt))
            .find(|new| {
                !all.contains(new) && !taken.contains(new) && !KEPT.contains(&new.as_slice())
            });
        let new = found.unwrap_or_else(|| made(old, key, 64));
        taken.insert(new.clone());
        map.insert(old.clone(), new);
    }
    map
}

fn made(old: &[u8], key: &[u8; 16], attempt: u64) -> Vec<u8> {
    let mut seed = old.to_vec();
    seed.extend(attempt.to_le_bytes());
    let mut word = 0;
    let letters = old.iter().enumerate();
    letters
        .map(|(at, byte)| {
            if at % 8 == 0 {
                seed.push(0);
                word = keyed(key, 9, &seed);
            }
            let drawn = (word >> (8 * (at % 8))) as u8;
            match byte {
                b'0'..=b'9' => b'0' + drawn % 10,
                b'-' | b'_' => *byte,
                _ => b'a' + drawn % 26,
            }
        })
        .collect()
}

/// Writes what stands for a label, each letter in the case that it had.
pub(super) fn put(label: &mut [u8], map: &BTreeMap<Vec<u8>, Vec<u8>>) {
    if let Some(new) = map.get(&label.to_ascii_lowercase()) {
        for (to, new) in label.iter_mut().zip(new) {
            *to = if to.is_ascii_uppercase() {
                new.to_ascii_uppercase()
            } else {
                *new
            };
        }
    }
}
