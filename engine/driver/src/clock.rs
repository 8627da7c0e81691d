//! Where the time comes from.

mod boot;
#[cfg(feature = "tokio")]
mod runtime;

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

/// A clock that stands still until it is set: for hosts that bring the time along, and for tests.
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
