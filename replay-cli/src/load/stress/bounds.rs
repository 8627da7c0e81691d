//! What a stress scenario may ask for.

use super::{Limits, Stress, TcpGroup, UdpGroup, process};

/// The most flows at a time: what the device has ports for, and room to spare.
const FLOWS: u64 = 40_000;

/// The most datagrams: the device keeps a byte for each.
const DATAGRAMS: u64 = 100_000_000;

/// The most bytes that all streams may carry together: a day at 10 Gbit/s.
const BYTES: u128 = 100 << 40;

/// Says what cannot be.
pub(crate) fn check(stress: &Stress) -> Result<(), String> {
    if stress.schema != 1 {
        let schema = stress.schema;
        return Err(format!(
            "schema {schema} is not known; this replay reads schema 1"
        ));
    }
    if stress.tcp.is_empty() && stress.udp.is_none() {
        return Err("no load: give `tcp` or `udp`".to_owned());
    }
    if !stress.cases.is_empty() {
        return check_cases(stress);
    }
    if let Some(path) = &stress.path {
        path.check()?;
    }
    let (mut flows, mut bytes) = (0_u64, 0_u128);
    for (number, group) in stress.tcp.iter().enumerate() {
        check_group(group).map_err(|what| format!("tcp[{number}]: {what}"))?;
        flows += u64::from(group.flows);
        let each = u128::from(group.up.as_bytes()) + u128::from(group.down.as_bytes());
        bytes += each * u128::from(group.connections.unwrap_or(group.flows));
    }
    if let Some(udp) = &stress.udp {
        check_datagrams(udp).map_err(|what| format!("udp: {what}"))?;
        flows += u64::from(udp.flows);
    }
    if flows > FLOWS {
        return Err(format!(
            "{flows} flows at a time; {FLOWS} fit the device's ports"
        ));
    }
    if bytes > BYTES {
        return Err(format!(
            "{bytes} bytes in all; {BYTES} are a day at 10 Gbit/s"
        ));
    }
    if stress.link.loss > 500 || stress.link.reorder > 500 {
        return Err("link: more than 500 frames of a thousand lost or held back".to_owned());
    }
    let needed = memory(stress);
    if let Some(there) = process::memory_of_the_machine()
        && needed > there
    {
        return Err(format!(
            "the flows' rings need {needed} bytes of memory, and this machine has {there}: fewer flows, or smaller rings"
        ));
    }
    check_limits(stress, &stress.limits)
}

/// Rows of a table, each as the scenario that it stands for.
fn check_cases(stress: &Stress) -> Result<(), String> {
    for (number, case) in stress.cases.iter().enumerate() {
        if case.up.is_none() && case.down.is_none() {
            return Err(format!(
                "cases[{number}]: give the least goodput `up` or `down`, or both"
            ));
        }
    }
    for (name, case) in stress.each() {
        check(&case).map_err(|what| format!("the case of {name}: {what}"))?;
    }
    Ok(())
}

fn check_group(group: &TcpGroup) -> Result<(), String> {
    if !(1..=20_000).contains(&group.flows) {
        return Err(format!("{} flows; 1 to 20,000 can be had", group.flows));
    }
    if let Some(all) = group.connections {
        if all < group.flows {
            let flows = group.flows;
            return Err(format!("`connections` ({all}) is below `flows` ({flows})"));
        }
        if group.stays_open {
            return Err("flows that stay open are not followed by others: drop `connections` or `stays_open`".to_owned());
        }
        if group.waits_for_all {
            return Err("flows that wait for all are not followed by others: drop `connections` or `waits_for_all`".to_owned());
        }
    }
    let bytes = group.segment.unwrap_or(64);
    if !(64..=65_495).contains(&bytes) {
        return Err("`segment` is not within 64 to 65,495 bytes".to_owned());
    }
    if group.together == Some(0) {
        return Err("`together` is 0: no flow would begin".to_owned());
    }
    let turns = group.turns.unwrap_or(1);
    if turns == 0 || turns > 1_000_000 {
        return Err(format!("{turns} turns; 1 to 1,000,000 can be had"));
    }
    if turns > 1 && group.up.as_bytes() < u64::from(turns) {
        let up = group.up;
        return Err(format!(
            "{turns} turns need a question of a byte each: `up` is {up}"
        ));
    }
    if group.think.as_micros() > 0 && turns == 1 {
        return Err("`think` is the time between two turns: give `turns`".to_owned());
    }
    let rates = [
        ("device_reads", group.device_reads),
        ("remote_reads", group.remote_reads),
    ];
    for (name, rate) in rates {
        if rate.is_some_and(|rate| rate.as_bytes() < 1024) {
            return Err(format!("`{name}` is below 1 KiB a second"));
        }
    }
    Ok(())
}

fn check_datagrams(udp: &UdpGroup) -> Result<(), String> {
    if !(1..=20_000).contains(&udp.flows) {
        return Err(format!("{} flows; 1 to 20,000 can be had", udp.flows));
    }
    if !(1..=DATAGRAMS).contains(&udp.datagrams) {
        let count = udp.datagrams;
        return Err(format!("{count} datagrams; 1 to {DATAGRAMS} can be sent"));
    }
    if !(8..=1400).contains(&udp.size) {
        let size = udp.size;
        return Err(format!("datagrams of {size} bytes; 8 to 1,400 can be sent"));
    }
    if udp.replies.is_some_and(|replies| replies > 16) {
        return Err("`replies` is above 16".to_owned());
    }
    if udp.per_second == Some(0) || udp.in_flight == Some(0) {
        return Err("with `per_second` or `in_flight` 0 no datagram would go out".to_owned());
    }
    Ok(())
}

fn check_limits(stress: &Stress, limits: &Limits) -> Result<(), String> {
    if let Some(goodput) = &limits.goodput {
        if stress.path.is_none() {
            return Err("limits: `goodput` is what a `path` carries: give one".to_owned());
        }
        if !(0.0..=1.0).contains(&goodput.at_least) {
            let least = goodput.at_least;
            return Err(format!(
                "limits: `goodput.at_least` is {least}; 0 to 1 can be asked for"
            ));
        }
    }
    let waits = stress.tcp.iter().any(|group| group.waits_for_all);
    if limits.resident_per_idle_flow.is_some() && !waits {
        return Err("limits: `resident_per_idle_flow` needs flows with `waits_for_all`".to_owned());
    }
    let mut groups = stress.tcp.iter();
    let stays = groups.all(|group| group.stays_open && group.waits_for_all);
    if limits.resident_per_used_flow.is_some() && !(waits && stays) {
        return Err(
            "limits: `resident_per_used_flow` needs flows with `waits_for_all` and `stays_open`, and no others".to_owned(),
        );
    }
    if let Some(cost) = &limits.cost_ratio
        && (!(1..=20_000).contains(&cost.flows) || cost.at_most.is_nan() || cost.at_most <= 0.0)
    {
        return Err(
            "limits: `cost_ratio` needs 1 to 20,000 `flows` and an `at_most` above 0".to_owned(),
        );
    }
    Ok(())
}

/// What the rings of all flows may take at the most.
fn memory(stress: &Stress) -> u64 {
    let config = super::plan::config(stress);
    let rings = (config.rx_ring() + config.tx_ring() + 2048) as u64;
    (stress.tcp_flows() as u64).saturating_mul(rings)
}
