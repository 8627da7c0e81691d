//! Independent pieces of work on several threads, with their results in order.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

/// Stack of a worker, bytes: what the main thread has on the usual systems, so that depth does not depend on `--jobs`.
const STACK: usize = 8 << 20;

/// Calls `work` on every item, `jobs` at a time, and `deliver` on the results in the order of the items, until that
/// answers false or fails.
///
/// What is delivered does not depend on the number of jobs: items are begun in order, so when one ends the run, all
/// before it were begun too and are waited for.
///
/// # Errors
/// What `deliver` failed with, or that no thread could be started.
pub(super) fn in_order<I: Sync, R: Send, E: From<io::Error>>(
    items: &[I],
    jobs: NonZeroUsize,
    work: impl Fn(&I) -> R + Sync,
    mut deliver: impl FnMut(R) -> Result<bool, E>,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let stopped = AtomicBool::new(false);
    let (send, receive) = mpsc::channel();
    thread::scope(|scope| {
        let mut started = false;
        for _ in 0..jobs.get().min(items.len()) {
            let (next, stopped, work, send) = (&next, &stopped, &work, send.clone());
            let worker = move || {
                while !stopped.load(Ordering::Relaxed) {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(index) else { return };
                    if send.send((index, work(item))).is_err() {
                        return;
                    }
                }
            };
            match thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, worker)
            {
                Ok(_) => started = true,
                // Fewer threads do the same work, as long as there is one.
                Err(_) if started => break,
                Err(error) => return Err(error.into()),
            }
        }
        drop(send);
        let mut early = BTreeMap::new();
        let mut due = 0;
        for (index, result) in &receive {
            early.insert(index, result);
            while let Some(result) = early.remove(&due) {
                due += 1;
                let goes_on = deliver(result);
                if !matches!(goes_on, Ok(true)) {
                    stopped.store(true, Ordering::Relaxed);
                    return goes_on.map(|_| ());
                }
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn run(items: &[u64], jobs: usize, until: u64) -> Vec<u64> {
        let mut delivered = Vec::new();
        let work = |item: &u64| {
            // Later items are done sooner.
            thread::sleep(Duration::from_millis(20_u64.saturating_sub(*item)));
            *item
        };
        in_order(items, NonZeroUsize::new(jobs).unwrap(), work, |item| {
            delivered.push(item);
            Ok::<bool, io::Error>(item != until)
        })
        .unwrap();
        delivered
    }

    #[test]
    fn results_come_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..20).collect();
        assert_eq!(run(&items, 4, 99), items);
        assert!(run(&[], 4, 99).is_empty());
    }

    #[test]
    fn stopping_delivers_the_same_whatever_the_number_of_jobs() {
        let items: Vec<u64> = (0..20).collect();
        for jobs in [1, 2, 7] {
            assert_eq!(run(&items, jobs, 5), [0, 1, 2, 3, 4, 5]);
        }
    }

    #[test]
    fn a_failed_delivery_ends_the_run() {
        let one = NonZeroUsize::MIN;
        let failed = in_order(
            &[1, 2],
            one,
            |item| *item,
            |_| Err(io::Error::other("full")),
        );
        assert_eq!(failed.unwrap_err().to_string(), "full");
    }
}
