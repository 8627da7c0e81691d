//! What ties flows to each other: the uses of one tuple, and the DNS answers that named their servers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::store::ByteReader;
use super::{Conversation, Talk};
use crate::base::index::Index;
use crate::capture::structure::address_of;
use crate::scenario::FlowSpec;

/// Numbers the flows of each tuple that can be replayed.
pub(crate) fn number(flows: &mut [Conversation]) {
    let first = |flow: &Conversation| FlowSpec {
        occurrence: 1,
        ..flow.spec
    };
    let mut newest = Index::default();
    for index in 0..flows.len() {
        let Some(flow) = flows.get(index) else { break };
        if flow.unreplayable.is_some() {
            continue;
        }
        let before = newest.insert(&first(flow), index, |index| flows.get(index).map(first));
        let before = before.and_then(|before| flows.get(before));
        let occurrence = before.map_or(1, |before| before.spec.occurrence + 1);
        if let Some(flow) = flows.get_mut(index) {
            flow.spec.occurrence = occurrence;
        }
    }
}

/// Ties flows to the DNS answers that named their servers.
pub(crate) fn to_dns(flows: &mut [Conversation], reader: &mut ByteReader<'_>) {
    let mut answers: BTreeMap<IpAddr, Vec<(u64, usize, usize)>> = BTreeMap::new();
    for (index, flow) in flows.iter().enumerate() {
        let Talk::Udp(udp) = &flow.talk else { continue };
        if flow.spec.server.port() != 53 || flow.unreplayable.is_some() {
            continue;
        }
        for (nth, datagram) in udp.far.iter().enumerate() {
            let bytes = udp.far_bytes.read(datagram.from, datagram.to, reader);
            let Ok(message) = simple_dns::Packet::parse(bytes) else {
                continue;
            };
            for answer in &message.answers {
                let Some(address) = address_of(&answer.rdata) else {
                    continue;
                };
                answers.entry(address).or_default().push((
                    flow.start_us.saturating_add(datagram.at_us),
                    index,
                    nth,
                ));
            }
        }
    }
    for known in answers.values_mut() {
        known.sort_by_key(|(at, ..)| *at);
    }
    /// How long after an answer a connection still counts as its consequence, microseconds.
    const WINDOW_US: u64 = 30_000_000;
    for flow in flows {
        let Some(known) = answers.get(&flow.spec.server.ip()) else {
            continue;
        };
        let start = flow.start_us;
        let before = known.partition_point(|(at, ..)| *at <= start);
        let last = before.checked_sub(1).and_then(|last| known.get(last));
        flow.after_dns = last
            .filter(|(at, ..)| start - at <= WINDOW_US)
            .map(|(_, index, nth)| (*index, *nth));
    }
}
