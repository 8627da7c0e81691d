//! Two pieces of work beside each other.

/// Packets of a capture from which on a thread is worth what it costs.
pub(crate) const SIDE_BY_SIDE: u64 = 2_000;

/// Does a piece of work twice, by number, and on two threads if that is worth it.
pub(crate) fn side_by_side<T: Send>(worth_it: bool, work: impl Fn(usize) -> T + Sync) -> (T, T) {
    if !worth_it {
        return (work(0), work(1));
    }
    std::thread::scope(|scope| {
        let second = scope.spawn(|| work(1));
        let first = work(0);
        match second.join() {
            Ok(second) => (first, second),
            // A bug, to be reported where the first one's would be.
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}
