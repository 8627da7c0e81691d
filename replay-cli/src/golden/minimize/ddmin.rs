//! Delta debugging (Zeller and Hildebrandt, 2002): the least of a list that still does it.

use std::sync::atomic::Ordering;

use super::MinimizeOptions;
use super::oracle::Oracle;
use super::subject::Subject;

/// Runs that are made at the most.
const MOST_RUNS: u64 = 20_000;

/// Tries subjects, several at a time.
pub(super) struct Trials<'a> {
    oracle: &'a Oracle,
    options: &'a MinimizeOptions,
    jobs: usize,
    /// Those that counted.
    pub(super) runs: u64,
}

impl<'a> Trials<'a> {
    pub(super) fn new(oracle: &'a Oracle, options: &'a MinimizeOptions, jobs: usize) -> Self {
        Self {
            oracle,
            options,
            jobs: jobs.max(1),
            runs: 0,
        }
    }

    pub(super) fn oracle(&self) -> &Oracle {
        self.oracle
    }

    /// Whether no more trials are to be made.
    pub(super) fn is_over(&self) -> bool {
        self.runs >= MOST_RUNS || self.options.stop.load(Ordering::Relaxed)
    }

    /// The first of some subjects that does it.
    pub(super) fn first(&mut self, subjects: Vec<Subject>) -> Option<Subject> {
        let candidates = subjects.into_iter().map(|subject| ((), subject));
        self.first_of(candidates).map(|(_, subject)| subject)
    }

    fn try_all(&self, batch: &[Subject]) -> Vec<bool> {
        let (oracle, run) = (self.oracle, &self.options.run);
        let does = |subject: &Subject| {
            let seen = subject.run(run, false);
            seen.is_ok_and(|seen| oracle.holds(subject, &seen))
        };
        if let [one] = batch {
            return vec![does(one)];
        }
        std::thread::scope(|scope| {
            let threads = batch
                .iter()
                .map(|subject| scope.spawn(move || does(subject)));
            let threads: Vec<_> = threads.collect();
            // A panic in a trial is a bug to be reported, as in any run.
            let joined = threads.into_iter().map(|thread| match thread.join() {
                Ok(holds) => holds,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.collect()
        })
    }

    /// The least of `all` with which `make` gives a subject that does it; `None` if nothing can go. `make` may refuse.
    pub(super) fn least<T: Clone>(
        &mut self,
        all: Vec<T>,
        make: impl Fn(&[T]) -> Option<Subject>,
    ) -> Option<Subject> {
        let mut items = all;
        let mut best = None;
        // Often nothing of it matters at all.
        if !items.is_empty()
            && let Some(subject) = make(&[]).and_then(|subject| self.first(vec![subject]))
        {
            return Some(subject);
        }
        let mut parts = 2;
        while items.len() > 1 && !self.is_over() {
            let size = items.len().div_ceil(parts);
            // The end goes first: what comes before an event causes it, what comes after does not.
            let chunks = (0..items.len()).step_by(size).rev();
            let candidates = chunks.filter_map(|from| {
                let kept = items
                    .iter()
                    .take(from)
                    .chain(items.iter().skip(from + size));
                let kept: Vec<T> = kept.cloned().collect();
                let subject = make(&kept)?;
                Some((kept, subject))
            });
            match self.first_of(candidates) {
                Some((kept, subject)) => {
                    items = kept;
                    best = Some(subject);
                    parts = (parts - 1).max(2);
                }
                None if parts >= items.len() => break,
                None => parts = (parts * 2).min(items.len()),
            }
        }
        best
    }

    /// The same, each with what it is made of.
    fn first_of<T>(
        &mut self,
        candidates: impl IntoIterator<Item = (T, Subject)>,
    ) -> Option<(T, Subject)> {
        let mut rest = candidates.into_iter();
        loop {
            let batch: Vec<(T, Subject)> = rest.by_ref().take(self.jobs).collect();
            if batch.is_empty() || self.is_over() {
                return None;
            }
            let (kept, subjects): (Vec<T>, Vec<Subject>) = batch.into_iter().unzip();
            let holds = self.try_all(&subjects);
            match holds.iter().position(|holds| *holds) {
                Some(place) => {
                    self.runs += place as u64 + 1;
                    return kept.into_iter().zip(subjects).nth(place);
                }
                None => self.runs += holds.len() as u64,
            }
        }
    }
}
