//! Addresses for addresses: keyed, hosts of one network stay hosts of one network.
//!
//! Within a /24 of IPv4 and a /64 of IPv6 the mapping is a permutation that keeps common prefixes, each bit turned by a keyed hash of those
//! before it (the scheme of Crypto-PAn). The networks themselves go to 192.0.2.0/24, 198.51.100.0/24 and 203.0.113.0/24 by their hash, and
//! below 2001:db8::/32. Whoever finds a place taken goes to 198.18.0.0/15: the ranges for documentation have 768 addresses in all.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use siphasher::sip::SipHasher24;

use super::stays;

const DOCUMENTATION: [[u8; 3]; 3] = [[192, 0, 2], [198, 51, 100], [203, 0, 113]];

/// A keyed hash of bytes for one purpose.
pub(super) fn keyed(key: &[u8; 16], purpose: u8, bytes: &[u8]) -> u64 {
    let mut hash = SipHasher24::new_with_key(key);
    hash.write_u8(purpose);
    hash.write(bytes);
    hash.finish()
}

/// Each address with the one that stands for it, and how many of IPv4 had to go to 198.18.0.0/15.
pub(super) fn assign(all: &BTreeSet<IpAddr>, key: &[u8; 16]) -> (BTreeMap<IpAddr, IpAddr>, usize) {
    let mut replaced: Vec<IpAddr> = all.iter().copied().filter(|one| !stays(*one)).collect();
    // Who comes first does not depend on the other addresses of the file.
    replaced.sort_by_key(|one| (keyed(key, 0, &bytes_of(*one)), *one));
    let mut taken: BTreeSet<IpAddr> = BTreeSet::new();
    let mut map = BTreeMap::new();
    let mut beyond = 0;
    for old in replaced {
        let new = (0..)
            .map(|attempt| match old {
                IpAddr::V4(old) => v4(old, key, attempt).into(),
                IpAddr::V6(old) => v6(old, key, attempt).into(),
            })
            .zip(0_u64..)
            // An address of the file itself would look like one that was not replaced.
            .find(|(new, attempt)| {
                (!all.contains(new) && !taken.contains(new)) || *attempt > 10_000
            });
        let Some((new, attempt)) = new else { continue };
        beyond += usize::from(attempt > 0 && old.is_ipv4());
        taken.insert(new);
        map.insert(old, new);
    }
    (map, beyond)
}

pub(super) fn bytes_of(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// An address of 4 or 16 bytes.
pub(super) fn of_bytes(bytes: &[u8]) -> Option<IpAddr> {
    let four = || <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from);
    let sixteen = || <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from);
    four().or_else(sixteen)
}

fn v4(old: Ipv4Addr, key: &[u8; 16], attempt: u64) -> Ipv4Addr {
    let [a, b, c, host] = old.octets();
    let network = [a, b, c];
    let host = turned(u64::from(host), 8, key, &network) as u8;
    if attempt == 0 {
        let place = keyed(key, 1, &network) % DOCUMENTATION.len() as u64;
        let [a, b, c] = DOCUMENTATION
            .get(place as usize)
            .copied()
            .unwrap_or([192, 0, 2]);
        return Ipv4Addr::new(a, b, c, host);
    }
    let mut seed = network.to_vec();
    seed.extend(attempt.to_le_bytes());
    let place = keyed(key, 2, &seed);
    Ipv4Addr::new(198, 18 | (place >> 8 & 1) as u8, place as u8, host)
}

fn v6(old: Ipv6Addr, key: &[u8; 16], attempt: u64) -> Ipv6Addr {
    let whole = old.to_bits();
    let (network, host) = ((whole >> 64) as u64, whole as u64);
    if let Some(inner) = old.to_ipv4_mapped() {
        return v4(inner, key, attempt).to_ipv6_mapped();
    }
    let host = turned(host, 64, key, &network.to_be_bytes());
    // A link-local address means something to an engine, and its prefix nothing about anybody.
    let network = if old.is_unicast_link_local() {
        network
    } else {
        let site = network >> 16;
        let mut seed = site.to_be_bytes().to_vec();
        seed.extend(attempt.to_le_bytes());
        let place = keyed(key, 3, &seed) & 0xffff;
        let subnet = turned(network & 0xffff, 16, key, &site.to_be_bytes());
        0x2001_0db8_0000_0000 | place << 16 | subnet
    };
    Ipv6Addr::from_bits(u128::from(network) << 64 | u128::from(host))
}

/// A number of so many bits, each turned by a keyed hash of those before it: numbers that begin alike do so still.
fn turned(number: u64, bits: u32, key: &[u8; 16], context: &[u8]) -> u64 {
    (0..bits).rev().fold(0, |new, bit| {
        let before = number.checked_shr(bit + 1).unwrap_or(0);
        let mut seed = context.to_vec();
        seed.push(bit as u8);
        seed.extend(before.to_le_bytes());
        let turn = keyed(key, 4, &seed) & 1;
        new << 1 | ((number >> bit & 1) ^ turn)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(addresses: &[&str], key: u8) -> BTreeMap<IpAddr, IpAddr> {
        let all = addresses.iter().map(|one| one.parse().unwrap()).collect();
        assign(&all, &[key; 16]).0
    }

    fn documentation(address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => {
                let [x, y, z, _] = a.octets();
                DOCUMENTATION.contains(&[x, y, z]) || (x == 198 && y & 0xfe == 18)
            }
            IpAddr::V6(a) => a.segments()[..2] == [0x2001, 0xdb8],
        }
    }

    #[test]
    fn one_key_gives_an_address_the_same_place_in_every_file() {
        let alone = map(&["10.1.2.3", "2a00:1:2:3::4"], 1);
        let among = map(&["10.1.2.3", "2a00:1:2:3::4", "93.184.216.34"], 1);
        for (old, new) in &alone {
            assert_eq!(among[old], *new);
            assert!(documentation(*new), "{new}");
        }
        assert_ne!(map(&["2a00:1:2:3::4"], 2), map(&["2a00:1:2:3::4"], 1));
    }

    #[test]
    fn hosts_of_one_network_stay_in_one_network() {
        let hosts: Vec<String> = (0..=255).map(|host| format!("10.1.2.{host}")).collect();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let mapped = map(&hosts, 7);
        let networks: BTreeSet<Vec<u8>> = mapped
            .values()
            .map(|new| bytes_of(*new)[..3].to_vec())
            .collect();
        let distinct: BTreeSet<&IpAddr> = mapped.values().collect();
        assert_eq!((networks.len(), distinct.len()), (1, 256));
        let of = |host: u8| bytes_of(mapped[&IpAddr::from([10, 1, 2, host])])[3];
        // Common prefixes within it stay common.
        assert_eq!(of(16) ^ of(17), 1);
        assert!((of(16) ^ of(24)) & 0xf0 == 0);
    }

    #[test]
    fn a_thousand_hosts_find_a_thousand_places_and_none_of_theirs() {
        let all: BTreeSet<IpAddr> = (0..1000_u32)
            .map(|n| IpAddr::from((0xc000_0200_u32 + n * 7919).to_be_bytes()))
            .collect();
        let (mapped, beyond) = assign(&all, &[3; 16]);
        let new: BTreeSet<IpAddr> = mapped.values().copied().collect();
        assert_eq!(new.len(), mapped.len());
        assert!(new.is_disjoint(&all) && new.iter().all(|one| documentation(*one)));
        assert!(beyond > 100, "{beyond}");
    }
}
