//! Where the time comes from.

mod boot;
#[cfg(feature = "tokio")]
mod runtime;

use core::time::Duration;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::Micros;

pub use self::boot::BootClock;
#[cfg(feature = "tokio")]
pub use self::runtime::TokioClock;

/// A clock that never runs back. Its origin is its own affair, but lies before its first reading: the engine takes
/// time zero for "at once".
pub trait Clock: Send + Sync {
    /// The time, in microseconds since the origin.
    fn now(&self) -> Micros;
}

/// The longest that a thread or task should wait by a timer that stops in a sleep of the system, as all of tokio's and the
/// standard library's do, before it looks at a [`Clock`] that goes on: a deadline that a sleep has passed is late by no
/// more. Such a timer wakes no system that sleeps; one that is awake has this one look a minute while a flow is open.
pub const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// A clock that stands still until it is set: for hosts that bring the time along, and for tests.
///
/// ```
/// use engine::Micros;
/// use engine_driver::{Clock, ManualClock};
///
/// let clock = ManualClock::new(Micros::from_secs(1));
/// clock.set(Micros::from_secs(5));
/// clock.set(Micros::from_secs(2));
/// assert_eq!(clock.now(), Micros::from_secs(5));
/// ```
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that shows `now`.
    #[must_use]
    pub const fn new(now: Micros) -> Self {
        Self(AtomicU64::new(now.0))
    }

    /// Sets the time; an earlier one than shown is ignored.
    pub fn set(&self, now: Micros) {
        self.0.fetch_max(now.0, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Micros {
        Micros(self.0.load(Ordering::Relaxed))
    }
}
