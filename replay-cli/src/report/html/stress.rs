//! A load as a page: throughput, lag and memory of each scenario over time.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use engine_driver::Histogram;
use serde_json::{Value, json};

use super::{escaped, tag, write};
use crate::base::diagnostic::Diagnostic;
use crate::load::stress::{Limits, Played, Report, Seen, Stress};

/// Points of a curve at the most.
const POINTS: usize = 600;

/// How a run went over time: so many points that a picture can show, however long it took.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    seen: Vec<Seen>,
    /// Every how manieth look is kept, as a power of two.
    halvings: u32,
    looks: u64,
}

impl Curve {
    /// Takes the next look at a run. Memory between two points counts as that of the later one if it was more.
    pub fn add(&mut self, seen: Seen) {
        self.looks += 1;
        let skipped = !self.looks.is_multiple_of(1 << self.halvings);
        match self.seen.last_mut() {
            // The newest is always there, so that the end of the run is.
            Some(last) if skipped => *last = later(last, seen),
            _ => self.seen.push(seen),
        }
        if self.seen.len() > POINTS {
            let all = std::mem::take(&mut self.seen);
            self.seen = all
                .chunks(2)
                .filter_map(|pair| match pair {
                    [one, other] => Some(later(one, other.clone())),
                    more => more.last().cloned(),
                })
                .collect();
            self.halvings += 1;
        }
    }

    /// Each point as the page has it: since when the one before, what came in between.
    fn points(&self) -> Vec<Value> {
        let mut before = &Seen::default();
        let mut points = Vec::new();
        for seen in &self.seen {
            let lag = seen.lag.as_ref().map(|lag| since(before.lag.as_ref(), lag));
            let [up, down] = seen.bytes;
            points.push(json!([
                seen.at_us,
                up,
                down,
                seen.datagrams,
                seen.frames,
                lag,
                seen.heap,
                seen.resident,
                seen.virtual_us,
            ]));
            before = seen;
        }
        points
    }
}

/// Two neighbours as one.
fn later(one: &Seen, other: Seen) -> Seen {
    Seen {
        heap: one.heap.max(other.heap),
        resident: one.resident.max(other.resident),
        ..other
    }
}

/// The median, the p99 and the longest of what was counted since, microseconds; none if nothing was.
fn since(before: Option<&Histogram>, now: &Histogram) -> Option<[u64; 3]> {
    let mut buckets: BTreeMap<Duration, u64> = now.buckets().collect();
    for (longest, count) in before.into_iter().flat_map(Histogram::buckets) {
        if let Some(bucket) = buckets.get_mut(&longest) {
            *bucket = bucket.saturating_sub(count);
        }
    }
    let all: u64 = buckets.values().sum();
    let quantile = |hundredths: u64| {
        let rank = (all * hundredths).div_ceil(100);
        let mut seen = 0;
        let found = buckets.iter().find(|(_, count)| {
            seen += **count;
            seen >= rank
        });
        let longest = found.map_or(Duration::ZERO, |(longest, _)| *longest);
        u64::try_from(longest.min(now.max()).as_micros()).unwrap_or(u64::MAX)
    };
    (all > 0).then(|| [quantile(50), quantile(99), quantile(100)])
}

/// Writes the page of a load into a folder; each result with its scenario and its curve, `command` as it was typed.
///
/// # Errors
/// The file cannot be written.
pub fn page(
    folder: &Path,
    command: &str,
    report: &Report,
    runs: &[(&Stress, Curve)],
) -> Result<(), Diagnostic> {
    let entries: Vec<Value> = report.results.iter().map(entry).collect();
    let index = json!({
        "kind": "stress",
        "title": "Load",
        "command": command,
        "via": report.via,
        "dialer": report.dialer,
        "interrupted": report.interrupted,
        "scenarios": entries,
    });
    let mut data = tag("report", &escaped(&index));
    for (nth, (played, (stress, curve))) in report.results.iter().zip(runs).enumerate() {
        let one = json!({
            "outcome": played.outcome,
            "steady": played.steady,
            "limits": limits(&stress.limits),
            "points": curve.points(),
            "source": serde_json::to_string_pretty(stress).unwrap_or_default(),
        });
        data.push_str(&tag(&format!("s{nth}"), &escaped(&one)));
    }
    write(folder, "replay: load", &data)
}

/// A scenario's line in the index.
fn entry(played: &Played) -> Value {
    let outcome = &played.outcome;
    let measures = outcome.measures.as_ref();
    let again = (!played.steady).then_some("a second run gave another result");
    let why = outcome.missed.first().map(String::as_str).or(again);
    json!({
        "name": played.scenario,
        "verdict": played.word(),
        "title": played.title,
        "why": why,
        "flows": outcome.flows_served,
        "up": outcome.octets_up,
        "down": outcome.octets_down,
        "frames": outcome.frames_in + outcome.frames_out,
        "lag_us": measures.map(|measures| measures.lag_us.p99),
        "memory": measures.and_then(|measures| measures.resident.peak_growth).or(outcome.peak_heap),
        "virtual_us": outcome.virtual_us,
        "wall_us": u64::try_from(Duration::from_secs_f64(played.seconds.max(0.0)).as_micros()).unwrap_or(u64::MAX),
    })
}

/// The limits that a picture can show, in its units.
fn limits(limits: &Limits) -> Value {
    json!({
        "lag_us": limits.max_lag_p99.map(|limit| limit.as_micros()),
        "heap": limits.peak_heap.map(|limit| limit.as_bytes()),
        "resident": limits.peak_resident.map(|limit| limit.as_bytes()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at_us: u64) -> Seen {
        Seen {
            at_us,
            bytes: [at_us * 2, at_us],
            heap: Some(at_us % 7),
            ..Seen::default()
        }
    }

    #[test]
    fn a_long_run_keeps_its_beginning_its_end_and_its_most_memory() {
        let mut curve = Curve::default();
        for at in 1..=100_000 {
            let mut one = seen(at);
            if at == 31_337 {
                one.heap = Some(1_000_000);
            }
            curve.add(one);
        }
        assert!(curve.seen.len() <= POINTS, "{}", curve.seen.len());
        assert!(curve.seen.len() > POINTS / 3);
        assert!(curve.seen.is_sorted_by_key(|seen| seen.at_us));
        assert!(curve.seen.first().unwrap().at_us <= 1 << curve.halvings);
        assert_eq!(curve.seen.last().unwrap().at_us, 100_000);
        let most = curve.seen.iter().filter_map(|seen| seen.heap).max();
        assert_eq!(most, Some(1_000_000));
    }

    #[test]
    fn lag_is_told_of_the_time_since_the_point_before() {
        let mut lag = Histogram::default();
        let mut curve = Curve::default();
        for (at_us, late_us) in [(1, 100), (2, 5000), (3, 100)] {
            for _ in 0..10 {
                lag.record(Duration::from_micros(late_us));
            }
            let lag = Some(lag.clone());
            curve.add(Seen {
                at_us,
                lag,
                ..Seen::default()
            });
        }
        let points = curve.points();
        let p99 = |nth: usize| points[nth][5][1].as_u64().unwrap();
        assert!((100..=125).contains(&p99(0)), "{points:?}");
        assert!((5000..=6250).contains(&p99(1)), "{points:?}");
        assert!((100..=125).contains(&p99(2)), "{points:?}");
    }

    #[test]
    fn between_two_points_in_which_no_turn_came_there_is_no_lag() {
        let lag = Some(Histogram::default());
        let mut curve = Curve::default();
        curve.add(Seen {
            lag,
            ..Seen::default()
        });
        assert_eq!(curve.points()[0][5], Value::Null);
    }
}
