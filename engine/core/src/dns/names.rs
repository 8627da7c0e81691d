//! The names that addresses were given under: bounded, each for its time to live.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::DnsRecord;
use crate::api::time::Micros;

/// How long a name is kept at least: apps go on using an address after its record has expired.
const LEAST: Duration = Duration::from_secs(30);

/// How long it is kept at most.
const MOST: Duration = Duration::from_secs(24 * 3600);

/// Names by address. The newest answer about an address wins; what expires first makes room.
#[derive(Debug, Default)]
pub(crate) struct Names {
    limit: usize,
    by_address: BTreeMap<IpAddr, (Micros, Arc<str>)>,
    by_expiry: BTreeSet<(Micros, IpAddr)>,
}

impl Names {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    /// Learns the addresses of a record; returns how many names were evicted.
    pub(crate) fn learn(&mut self, now: Micros, record: &DnsRecord) -> u64 {
        if self.limit == 0 {
            return 0;
        }
        self.expire(now);
        let name: Arc<str> = record.name.as_str().into();
        let until = now.plus(Duration::from_secs(record.ttl.into()).clamp(LEAST, MOST));
        let mut evicted = 0;
        for address in &record.addresses {
            if let Some((old, _)) = self.by_address.remove(address) {
                self.by_expiry.remove(&(old, *address));
            }
            if self.by_address.len() >= self.limit
                && let Some((_, oldest)) = self.by_expiry.pop_first()
            {
                self.by_address.remove(&oldest);
                evicted += 1;
            }
            self.by_expiry.insert((until, *address));
            self.by_address.insert(*address, (until, name.clone()));
        }
        evicted
    }

    /// The name an address was given under, while it holds.
    pub(crate) fn name_of(&self, now: Micros, address: IpAddr) -> Option<Arc<str>> {
        let (until, name) = self.by_address.get(&address)?;
        (*until > now).then(|| name.clone())
    }

    pub(crate) fn len(&self) -> usize {
        self.by_address.len()
    }

    fn expire(&mut self, now: Micros) {
        while let Some((until, address)) = self.by_expiry.first().copied()
            && until <= now
        {
            self.by_expiry.pop_first();
            self.by_address.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, last: u8, ttl: u32) -> DnsRecord {
        DnsRecord {
            name: name.to_owned(),
            addresses: vec![[192, 0, 2, last].into()],
            ttl,
        }
    }

    fn at(seconds: u64) -> Micros {
        Micros::from_secs(seconds)
    }

    #[test]
    fn a_name_holds_for_its_time_to_live() {
        let mut names = Names::new(8);
        names.learn(at(1), &record("a.example", 1, 60));
        let address = [192, 0, 2, 1].into();
        assert_eq!(names.name_of(at(60), address).as_deref(), Some("a.example"));
        assert_eq!(names.name_of(at(61), address), None);
    }

    #[test]
    fn a_time_to_live_of_zero_still_lets_the_device_connect() {
        let mut names = Names::new(8);
        names.learn(at(1), &record("a.example", 1, 0));
        assert!(names.name_of(at(30), [192, 0, 2, 1].into()).is_some());
    }

    #[test]
    fn the_newest_answer_about_an_address_wins() {
        let mut names = Names::new(8);
        names.learn(at(1), &record("a.example", 1, 600));
        names.learn(at(2), &record("b.example", 1, 60));
        let name = names.name_of(at(3), [192, 0, 2, 1].into());
        assert_eq!(name.as_deref(), Some("b.example"));
        assert_eq!(names.len(), 1);
    }

    #[test]
    fn what_expires_first_makes_room() {
        let mut names = Names::new(2);
        assert_eq!(names.learn(at(1), &record("a.example", 1, 600)), 0);
        assert_eq!(names.learn(at(1), &record("b.example", 2, 60)), 0);
        assert_eq!(names.learn(at(1), &record("c.example", 3, 300)), 1);
        assert_eq!(names.name_of(at(2), [192, 0, 2, 2].into()), None);
        assert!(names.name_of(at(2), [192, 0, 2, 1].into()).is_some());
        assert_eq!(names.len(), 2);
        // What has expired is no eviction.
        assert_eq!(names.learn(at(400), &record("d.example", 4, 60)), 0);
    }
}
