//! What stands for what: made once from all that a capture names, then asked.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::addresses::{self, keyed};
use super::names;
use super::read::Known;

/// What stands for the addresses and names of a capture.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mapping {
    key: [u8; 16],
    pub(super) addresses: BTreeMap<IpAddr, IpAddr>,
    /// How many had no room in the ranges for documentation.
    pub(super) beyond: usize,
    pub(super) labels: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Byte values that a pattern is made of: none with which an address of the capture begins.
    alphabet: Vec<u8>,
}

impl Mapping {
    pub(super) fn new(known: &Known, key: [u8; 16]) -> Self {
        let (addresses, beyond) = addresses::assign(&known.addresses, &key);
        let first = |address: &IpAddr| match address {
            IpAddr::V4(a) => Some(a.octets()[0]),
            IpAddr::V6(_) => None,
        };
        let firsts: Vec<u8> = addresses.keys().filter_map(first).collect();
        let mut alphabet: Vec<u8> = (0..=u8::MAX)
            .filter(|byte| !firsts.contains(byte))
            .collect();
        if alphabet.len() < 32 {
            alphabet = (0..=u8::MAX).collect();
        }
        Self {
            key,
            addresses,
            beyond,
            labels: names::assign(&known.labels, &key),
            alphabet,
        }
    }

    /// What stands for an address; itself, if it stays.
    pub(crate) fn address(&self, old: IpAddr) -> IpAddr {
        self.addresses.get(&old).copied().unwrap_or(old)
    }

    /// Puts what stands for an address of 4 or 16 bytes in its place.
    pub(super) fn put_address(&self, bytes: &mut [u8]) {
        if let Some(old) = addresses::of_bytes(bytes) {
            bytes.copy_from_slice(&addresses::bytes_of(self.address(old)));
        }
    }

    /// What stands for a name.
    pub(crate) fn name(&self, old: &str) -> String {
        let mut new = old.as_bytes().to_vec();
        self.put_name(&mut new);
        String::from_utf8_lossy(&new).into_owned()
    }

    /// Puts what stands for a name, its labels with dots between them, in its place.
    pub(super) fn put_name(&self, name: &mut [u8]) {
        for label in name.split_mut(|byte| *byte == b'.') {
            names::put(label, &self.labels);
        }
    }

    pub(super) fn put_label(&self, label: &mut [u8]) {
        names::put(label, &self.labels);
    }

    /// Puts what stands for a hardware address in its place: a local one. Those of groups stay, but for the end of a neighbour's.
    pub(super) fn put_hardware(&self, bytes: &mut [u8]) {
        let drawn = keyed(&self.key, 5, bytes).to_le_bytes();
        match bytes {
            [0, 0, 0, 0, 0, 0] => {}
            [0x33, 0x33, 0xff, end @ ..] => {
                end.iter_mut().zip(drawn).for_each(|(to, new)| *to = new);
            }
            [0xff, ..] | [0x33, 0x33, ..] | [1, 0, 0x5e, ..] | [1, 0x80, 0xc2, ..] => {}
            [first, second, third, rest @ ..] => {
                (*first, *second, *third) = (2 | (*first & 1), 0, 0);
                rest.iter_mut().zip(drawn).for_each(|(to, new)| *to = new);
            }
            _ => {}
        }
    }

    /// The seed of a pattern, for whoever sends it.
    pub(super) fn seed(&self, sender: &[u8]) -> u64 {
        keyed(&self.key, 6, sender)
    }

    /// A byte of a pattern.
    pub(super) fn pattern(&self, drawn: u8) -> u8 {
        let at = usize::from(drawn) * self.alphabet.len() / 256;
        self.alphabet.get(at).copied().unwrap_or(drawn)
    }
}
