//! A lookup for tests: it answers on demand.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Done, Found, Lookup};

/// Keeps what it is asked until [`MockLookup::finish`]. Clones share what they keep.
#[derive(Clone, Default)]
pub struct MockLookup {
    waiting: Arc<Mutex<Vec<(String, Done)>>>,
    asked: Arc<Mutex<Vec<String>>>,
    refuses: bool,
}

impl core::fmt::Debug for MockLookup {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("MockLookup")
            .field("asked", &self.asked())
            .finish_non_exhaustive()
    }
}

impl MockLookup {
    /// One that has no room for anything.
    #[must_use]
    pub fn full() -> Self {
        Self {
            refuses: true,
            ..Self::default()
        }
    }

    /// The names asked for so far, in order.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Ends the oldest lookup of `name` that has not ended; `false` if there is none.
    pub fn finish(&self, name: &str, found: Found) -> bool {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = waiting.iter().position(|(asked, _)| asked == name) else {
            return false;
        };
        let (_, done) = waiting.remove(place);
        drop(waiting);
        done(found);
        true
    }
}

impl Lookup for MockLookup {
    fn start(&self, name: &str, done: Done) -> bool {
        if self.refuses {
            return false;
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.push(name.to_owned());
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push((name.to_owned(), done));
        true
    }
}
