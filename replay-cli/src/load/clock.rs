//! How long the engine is at work in a session: its calls, timed one by one, for benches. Off unless asked for.

use std::cell::Cell;
use std::time::{Duration, Instant};

thread_local! {
    static WATCHED: Cell<bool> = const { Cell::new(false) };
    static SPENT: Cell<Spent> = const { Cell::new(Spent::NOTHING) };
}

/// What the engine's calls took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Wall-clock time within the calls.
    pub time: Duration,
    /// How many calls.
    pub calls: u64,
}

impl Spent {
    const NOTHING: Self = Self {
        time: Duration::ZERO,
        calls: 0,
    };
}

/// Begins to time the engine's calls on this thread.
pub fn watch() {
    SPENT.set(Spent::NOTHING);
    WATCHED.set(true);
}

/// What the calls took since [`watch`], which ends with this.
pub fn spent() -> Spent {
    WATCHED.set(false);
    SPENT.take()
}

/// What the clock itself adds to the time of each call, from many calls of nothing.
#[must_use]
pub fn overhead() -> Duration {
    const CALLS: u32 = 10_000;
    watch();
    for _ in 0..CALLS {
        let _timed = Timed::begin();
    }
    spent().time / CALLS
}

/// Times a call while it lives.
pub(super) struct Timed(Option<Instant>);

impl Timed {
    pub(super) fn begin() -> Self {
        Self(WATCHED.get().then(Instant::now))
    }
}

impl Drop for Timed {
    fn drop(&mut self) {
        if let Some(began) = self.0 {
            let spent = SPENT.get();
            SPENT.set(Spent {
                time: spent.time + began.elapsed(),
                calls: spent.calls + 1,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_between_watch_and_spent() {
        drop(Timed::begin());
        watch();
        drop(Timed::begin());
        drop(Timed::begin());
        assert_eq!(spent().calls, 2);
        drop(Timed::begin());
        assert_eq!(spent(), Spent::NOTHING);
    }
}
