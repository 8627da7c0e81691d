//! Holds an outcome against the limits of its scenario.

use engine::Counters;

use super::measures::Measures;
use super::{Outcome, Stress};
use crate::base::duration::{Micros, Size};

/// Frames and datagrams that the engine dropped.
pub(crate) fn drops(counters: &Counters) -> u64 {
    let frames: u64 = engine::DropReason::ALL
        .iter()
        .map(|reason| counters.dropped(*reason))
        .sum();
    // A held datagram that finds its queue full is among the frames already.
    let downward = counters
        .udp_backpressure_drops
        .saturating_sub(counters.dropped(engine::DropReason::QueueFull));
    frames + downward
}

/// Adds what was missed.
pub(crate) fn hold(stress: &Stress, outcome: &mut Outcome) {
    let mut missed = Vec::new();
    hold_counts(stress, outcome, &mut missed);
    if let Some(measures) = &outcome.measures {
        hold_measures(stress, measures, &mut missed);
    } else if let (Some(limit), Some(took)) = (stress.limits.virtual_time, outcome.virtual_us)
        && took > limit.as_micros()
    {
        let took = Micros(took);
        missed.push(format!(
            "virtual_time: it took {took}, the limit is {limit}"
        ));
    }
    outcome.missed.append(&mut missed);
}

fn hold_counts(stress: &Stress, outcome: &Outcome, missed: &mut Vec<String>) {
    let limits = &stress.limits;
    if outcome.flows_served != outcome.flows_wanted {
        missed.push(format!(
            "{} of {} flows carried every byte",
            outcome.flows_served, outcome.flows_wanted
        ));
    }
    if limits.no_drops && outcome.drops > 0 {
        let drops = outcome.drops;
        missed.push(format!(
            "no_drops: {drops} frames or datagrams were dropped"
        ));
    }
    let [sent, heard, back] = outcome.datagrams;
    let udp = stress.udp.as_ref();
    let replies = udp.map_or(1, |udp| u64::from(udp.replies.unwrap_or(1)));
    let wanted = udp.map_or(0, |udp| udp.datagrams);
    if limits.no_drops && (heard, sent) != (wanted, wanted) {
        missed.push(format!(
            "no_drops: of {wanted} datagrams {sent} went out and {heard} reached a far side"
        ));
    }
    if limits.no_drops && back != wanted * replies {
        let all = wanted * replies;
        missed.push(format!("no_drops: {back} of {all} datagrams came back"));
    }
    if let (Some(limit), Some(path)) = (limits.goodput, &outcome.path) {
        for (way, of) in [("up", &path.up), ("down", &path.down)] {
            if let Some(goodput) = of.goodput.filter(|of| of.ratio < limit.at_least) {
                missed.push(format!(
                    "goodput {way}: {:.2} of what the path carries for its {}, at least {} is asked for",
                    goodput.ratio,
                    goodput.bound.label(),
                    limit.at_least
                ));
            }
        }
    }
    match (limits.peak_heap, outcome.peak_heap) {
        (Some(limit), Some(peak)) if peak > limit.as_bytes() => {
            missed.push(over("peak_heap", peak, limit));
        }
        (Some(_), None) => {
            missed.push("peak_heap: this program's allocator does not count".to_owned());
        }
        _ => {}
    }
}

fn hold_measures(stress: &Stress, measures: &Measures, missed: &mut Vec<String>) {
    let limits = &stress.limits;
    for (name, limit, found) in [
        ("max_lag_p99", limits.max_lag_p99, measures.lag_us.p99),
        ("max_turn_p99", limits.max_turn_p99, measures.turn_us.p99),
    ] {
        if let Some(limit) = limit.filter(|limit| found > limit.as_micros()) {
            let by = times(found, limit.as_micros());
            let found = Micros(found);
            missed.push(format!("{name}: {found}, the limit is {limit} ({by})"));
        }
    }
    let resident = &measures.resident;
    let (idle, used) = (limits.resident_per_idle_flow, limits.resident_per_used_flow);
    for (name, limit, found) in [
        ("peak_resident", limits.peak_resident, resident.peak_growth),
        ("resident_per_idle_flow", idle, resident.per_idle_flow),
        ("resident_per_used_flow", used, resident.per_used_flow),
    ] {
        match (limit, found) {
            (Some(limit), Some(found)) if found > limit.as_bytes() => {
                missed.push(over(name, found, limit));
            }
            (Some(_), None) => missed.push(format!("{name}: could not be measured")),
            _ => {}
        }
    }
    match (limits.allocations_per_frame, measures.allocations_per_frame) {
        (Some(limit), Some(found)) if found > limit => {
            missed.push(format!(
                "allocations_per_frame: {found:.4}, the limit is {limit}"
            ));
        }
        (Some(_), None) => {
            let what = "allocations_per_frame: this program's allocator does not count";
            missed.push(what.to_owned());
        }
        _ => {}
    }
    match (limits.cost_ratio, measures.cost_ratio) {
        (Some(limit), Some(found)) if found.ratio > limit.at_most => missed.push(format!(
            "cost_ratio: a frame costs {:.2} times what it does with {} flows, the limit is {}",
            found.ratio, limit.flows, limit.at_most
        )),
        (Some(_), None) => missed.push("cost_ratio: could not be measured".to_owned()),
        _ => {}
    }
}

/// What is too large, and by how much.
fn over(name: &str, found: u64, limit: Size) -> String {
    let by = times(found, limit.as_bytes());
    format!("{name}: {found} bytes, the limit is {limit} ({by})")
}

fn times(found: u64, limit: u64) -> String {
    format!("{:.2} times that", found as f64 / limit.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::stress::measures::CostRatio;

    #[test]
    fn each_limit_says_what_was_missed_and_by_how_much() {
        let text = r#"{"schema": 1, "kind": "stress", "title": "t",
            "tcp": [{"flows": 2, "waits_for_all": true, "stays_open": true}], "udp": {"flows": 1, "datagrams": 4, "size": 8},
            "limits": {"no_drops": true, "peak_heap": "1KiB", "max_lag_p99": "1ms", "max_turn_p99": "2ms",
                "cost_ratio": {"flows": 1, "at_most": 1.5}, "allocations_per_frame": 0.5, "peak_resident": "1MiB",
                "resident_per_idle_flow": "1KiB", "resident_per_used_flow": "2KiB"}}"#;
        let stress =
            crate::load::stress::parse(std::path::Path::new("x.json"), text).expect("sound");
        let mut measures = Measures {
            allocations_per_frame: Some(0.75),
            cost_ratio: Some(CostRatio {
                flows: 1,
                baseline_nanoseconds_per_frame: 100.0,
                ratio: 2.0,
            }),
            ..Measures::default()
        };
        measures.lag_us.p99 = 5_000;
        measures.turn_us.p99 = 3_000;
        measures.resident.peak_growth = Some(3 << 20);
        measures.resident.per_idle_flow = Some(2048);
        measures.resident.per_used_flow = Some(2048);
        let mut outcome = Outcome {
            flows_served: 1,
            flows_wanted: 2,
            datagrams: [4, 3, 2],
            drops: 1,
            peak_heap: Some(4096),
            measures: Some(measures),
            ..Outcome::default()
        };
        hold(&stress, &mut outcome);
        assert_eq!(
            outcome.missed,
            [
                "1 of 2 flows carried every byte",
                "no_drops: 1 frames or datagrams were dropped",
                "no_drops: of 4 datagrams 4 went out and 3 reached a far side",
                "no_drops: 2 of 4 datagrams came back",
                "peak_heap: 4096 bytes, the limit is 1KiB (4.00 times that)",
                "max_lag_p99: 5ms, the limit is 1ms (5.00 times that)",
                "max_turn_p99: 3ms, the limit is 2ms (1.50 times that)",
                "peak_resident: 3145728 bytes, the limit is 1MiB (3.00 times that)",
                "resident_per_idle_flow: 2048 bytes, the limit is 1KiB (2.00 times that)",
                "allocations_per_frame: 0.7500, the limit is 0.5",
                "cost_ratio: a frame costs 2.00 times what it does with 1 flows, the limit is 1.5",
            ]
        );
    }

    #[test]
    fn limits_that_depend_on_the_machine_are_not_judged_in_virtual_time() {
        let text = r#"{"schema": 1, "kind": "stress", "title": "t", "tcp": [{"flows": 1}],
            "limits": {"max_lag_p99": "1us", "peak_resident": "1B", "virtual_time": "2s"}}"#;
        let stress =
            crate::load::stress::parse(std::path::Path::new("x.json"), text).expect("sound");
        let mut outcome = Outcome {
            virtual_us: Some(3_000_000),
            flows_served: 1,
            flows_wanted: 1,
            ..Outcome::default()
        };
        hold(&stress, &mut outcome);
        let missed = ["virtual_time: it took 3s, the limit is 2s"];
        assert_eq!(outcome.missed, missed);
    }
}
