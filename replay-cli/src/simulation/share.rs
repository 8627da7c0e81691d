//! Two runs of one scenario, and who of them checks what.
//!
//! Two runs of an engine that is deterministic put out the same, so that every frame, step and stream need be looked at in
//! one of them only: each makes half of the checks. Where the runs differ, or one has found something, a run that checks
//! all takes the place of the first.

use super::RunOutput;
use crate::base::threads;

/// Which checks a run makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Share {
    /// All of them.
    #[default]
    All,
    /// Those of even numbers, or of odd ones.
    Half(usize),
    /// None: what it puts out is hashed.
    None,
}

impl Share {
    /// Whether the run checks what has this number.
    pub(crate) fn takes(self, number: usize) -> bool {
        match self {
            Self::All => true,
            Self::Half(rest) => number % 2 == rest,
            Self::None => false,
        }
    }
}

/// Makes two runs, side by side if that is worth a thread: what the first would have found by itself, and the second.
/// `halves`: whether they may share the checks; otherwise the second makes none.
pub(crate) fn twice<E: Send>(
    side_by_side: bool,
    halves: bool,
    run: impl Fn(usize, Share) -> Result<RunOutput, E> + Sync,
) -> Result<(RunOutput, RunOutput), E> {
    let share = |nth| match (halves, nth) {
        (true, _) => Share::Half(nth),
        (false, 0) => Share::All,
        (false, _) => Share::None,
    };
    let (first, second) = threads::side_by_side(side_by_side, |nth| run(nth, share(nth)));
    let (mut first, mut second) = (first?, second?);
    if !halves {
        return Ok((first, second));
    }
    let same = first.digest.difference(&second.digest).is_none();
    let found = first.failures.len() + second.failures.len();
    if same && found == 0 {
        first.take_comparisons(&mut second);
        return Ok((first, second));
    }
    let mut whole = run(0, Share::All)?;
    // The two runs are what is compared, and what they have found is not lost if the third does not find it.
    whole.digest = first.digest;
    if whole.failures.is_empty() {
        whole.failures = first.failures;
        whole.failures.append(&mut second.failures);
    }
    Ok((whole, second))
}

impl RunOutput {
    /// Takes the streams that another run has held against the capture.
    fn take_comparisons(&mut self, other: &mut Self) {
        let pairs = self
            .comparisons
            .iter_mut()
            .zip(&mut other.comparisons)
            .enumerate();
        for (_, (mine, other)) in pairs.filter(|(index, _)| Share::Half(1).takes(*index)) {
            std::mem::swap(mine, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::*;
    use crate::base::diagnostic::Diagnostic;
    use crate::capture::import::{ImportOptions, for_attempt};
    use crate::scenario::files::Files;
    use crate::simulation::tape::Retention;
    use crate::simulation::{Retain, RunMode, invariant, play_capture};

    type Played = Result<RunOutput, (String, Diagnostic)>;

    fn capture() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../captures/http/parallel_connections.pcapng")
    }

    /// Plays a capture twice, `change` made to each run's seed and output.
    fn played(
        path: &Path,
        halves: bool,
        seed: impl Fn(usize) -> u64 + Sync,
        change: impl Fn(Share, &mut RunOutput) + Sync,
    ) -> (RunOutput, RunOutput) {
        let (import, capture) = for_attempt(path, &ImportOptions::default()).unwrap();
        let run = |nth, share| -> Played {
            let mut scenario = import.scenario.clone();
            scenario.engine.set("seed", seed(nth));
            let keep = Retain {
                frames: false,
                streams: Retention::Count,
                against: (share != Share::None).then_some(false),
            };
            let way = RunMode {
                share,
                ..RunMode::RECORDED
            };
            let mut output = play_capture(&scenario, &Files::default(), &capture, keep, way)?;
            change(share, &mut output);
            Ok(output)
        };
        twice(false, halves, run).unwrap()
    }

    #[test]
    fn every_number_is_taken_by_one_half() {
        for number in 0..9 {
            let takers = [Share::Half(0), Share::Half(1), Share::None];
            assert_eq!(takers.iter().filter(|half| half.takes(number)).count(), 1);
            assert!(Share::All.takes(number));
        }
    }

    #[test]
    fn two_halves_hear_what_one_run_hears() {
        let (halves, other) = played(&capture(), true, |_| 7, |_, _| ());
        let (whole, _) = played(&capture(), false, |_| 7, |_, _| ());
        let compared = |run: &RunOutput| {
            let each = run.comparisons.iter();
            let each = each.map(|compared| {
                (
                    compared.up.len,
                    compared.up.same,
                    compared.down.len,
                    compared.down.same,
                )
            });
            each.collect::<Vec<_>>()
        };
        assert!(
            compared(&whole)
                .iter()
                .all(|(up, _, down, _)| up + down > 0)
        );
        assert_eq!(compared(&halves), compared(&whole));
        assert_eq!(halves.digest.difference(&whole.digest), None);
        assert_eq!(halves.digest.difference(&other.digest), None);
    }

    #[test]
    fn runs_that_differ_are_told_from_each_other() {
        for halves in [false, true] {
            let (first, second) = played(&capture(), halves, |nth| nth as u64, |_, _| ());
            assert!(first.digest.difference(&second.digest).is_some());
        }
    }

    #[test]
    fn what_one_half_finds_is_found_by_a_run_that_checks_all_or_kept() {
        let failure = |what: &str| invariant::failure(0, None, what.to_owned());
        for half in 0..2 {
            let found = |share| share == Share::Half(half);
            let (kept, _) = played(
                &capture(),
                true,
                |_| 7,
                |share, run| {
                    run.failures.extend(found(share).then(|| failure("half")));
                },
            );
            assert_eq!(kept.failures.len(), 1);
            let (whole, _) = played(
                &capture(),
                true,
                |_| 7,
                |share, run| {
                    let what = if share == Share::All { "all" } else { "half" };
                    let finds = found(share) || share == Share::All;
                    run.failures.extend(finds.then(|| failure(what)));
                },
            );
            assert_eq!(whole.failures.len(), 1);
            assert_eq!(whole.failures[0].what, "all");
        }
    }
}
