//! Values that stay as they are written while they are met: times, counts, counters.

use engine::{Counters, Mark};

use crate::scenario::claim::Claim;
use crate::scenario::{Expectations, Expected, Named};
use crate::simulation::RunOutput;

/// Whether a scenario makes a kind of claim that a run can renew.
pub(crate) fn has(expect: &Expectations, claim: Claim) -> bool {
    match claim {
        Claim::Dials => expect.dials.is_some(),
        Claim::Packets => !expect.packets.is_empty(),
        Claim::Streams => !expect.streams.is_empty(),
        Claim::HalfCloses => expect.half_closes.is_some(),
        Claim::Closes => expect.closes.is_some(),
        Claim::Dns => expect.dns.is_some(),
        Claim::Counters => !expect.counters.is_empty(),
    }
}

/// The expectation that a value meets and that is of the same kind: a value stays a value, and of a range the end that is in
/// the way moves.
pub(crate) fn renew<T: Copy + PartialOrd>(expected: Expected<T>, seen: T) -> Expected<T> {
    match expected {
        expected if expected.matches(&seen) => expected,
        Expected::Exact(_) => Expected::Exact(seen),
        Expected::Range { min, max } => Expected::Range {
            min: min.map(|min| if seen < min { seen } else { min }),
            max: max.map(|max| if seen > max { seen } else { max }),
        },
    }
}

/// The counters that were written; without any, all that count what was done and are not zero.
pub(crate) fn counters(old: &Named<Expected<u64>>, run: &RunOutput) -> Named<Expected<u64>> {
    let Some(counters) = run.named_counters() else {
        return old.clone();
    };
    if old.is_empty() {
        return Counters::describe()
            .filter(|info| info.mark == Mark::Semantic)
            .filter_map(|info| {
                let value = counters.get(info.name).filter(|value| **value > 0)?;
                Some((info.name.to_owned(), Expected::Exact(*value)))
            })
            .collect();
    }
    // A name that is none stays, and says so.
    let renewed = old.iter().map(|(name, expected)| {
        let expected = counters
            .get(name)
            .map_or(*expected, |value| renew(*expected, *value));
        (name.to_owned(), expected)
    });
    renewed.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_met_stays_as_it_is_written() {
        let range = Expected::Range {
            min: Some(3),
            max: None,
        };
        assert_eq!(renew(range, 3), range);
        assert_eq!(renew(Expected::Exact(3), 3), Expected::Exact(3));
    }

    #[test]
    fn a_value_stays_a_value_and_a_range_a_range() {
        assert_eq!(renew(Expected::Exact(3), 4), Expected::Exact(4));
        let range = |min, max| Expected::Range { min, max };
        assert_eq!(renew(range(Some(3), Some(5)), 9), range(Some(3), Some(9)));
        assert_eq!(renew(range(Some(3), Some(5)), 1), range(Some(1), Some(5)));
        assert_eq!(renew(range(None, Some(5)), 9), range(None, Some(9)));
    }
}
