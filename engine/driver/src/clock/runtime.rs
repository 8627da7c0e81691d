//! tokio's own clock, paused or not.

use engine::Micros;
use tokio::time::Instant;

use super::Clock;

/// tokio's clock: with `tokio::time::pause` it stands still and jumps, so that a loop runs in virtual time. It does not
/// count sleep: for tests and servers, not for phones. It starts at one second.
#[derive(Clone, Copy, Debug)]
pub struct TokioClock(Instant);

impl TokioClock {
    /// A clock that shows one second now. With a paused clock, call it within the runtime that is paused.
    #[must_use]
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Micros {
        Micros::from_secs(1).plus(self.0.elapsed())
    }
}
