//! Windows of a capture's bytes: each is read once for all who look at about the same place, as two runs beside each other do.

use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of a window: enough to make the cost of a read vanish, and little enough that a far look costs little.
pub(crate) const WINDOW: u64 = 64 << 10;

/// Windows that are kept for others: two runs may be as far from each other as these hold, some hundredths of a second.
const SHARED: u64 = 256;

/// A piece of the capture, as read.
#[derive(Debug)]
pub(crate) struct Window {
    pub(crate) number: u64,
    pub(crate) bytes: Vec<u8>,
}

/// The windows read last.
#[derive(Debug)]
pub(crate) struct Windows {
    /// By number; one takes the place of the one so many before it.
    slots: Vec<Mutex<Option<Arc<Window>>>>,
    /// Bytes of windows that nobody looks at any more, to be read into.
    spare: Mutex<Vec<Vec<u8>>>,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            slots: (0..SHARED).map(|_| Mutex::default()).collect(),
            spare: Mutex::default(),
        }
    }
}

impl Windows {
    /// The window of this number with `len` bytes or more, or with as many as `read` gives.
    pub(crate) fn get<E>(
        &self,
        number: u64,
        len: usize,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Arc<Window>, E> {
        let slot = self.slots.get((number % SHARED) as usize);
        // Whoever wants the same one meanwhile waits for it.
        let mut slot = slot.map(|slot| slot.lock().unwrap_or_else(PoisonError::into_inner));
        let kept = slot.as_ref().and_then(|slot| slot.as_ref());
        if let Some(window) =
            kept.filter(|window| window.number == number && window.bytes.len() >= len)
        {
            return Ok(Arc::clone(window));
        }
        let mut bytes = self.spare().pop().unwrap_or_default();
        bytes.resize(WINDOW as usize, 0);
        let count = read(&mut bytes)?;
        bytes.truncate(count);
        let window = Arc::new(Window { number, bytes });
        if let Some(slot) = &mut slot
            && let Some(before) = slot.replace(Arc::clone(&window))
        {
            self.give_back(before);
        }
        Ok(window)
    }

    /// A window that is not looked at any more, by one who did.
    pub(crate) fn give_back(&self, window: Arc<Window>) {
        if let Ok(window) = Arc::try_unwrap(window) {
            self.spare().push(window.bytes);
        }
    }

    fn spare(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_read_once_until_another_takes_its_place() {
        let windows = Windows::default();
        let get = |number: u64, reads: &mut u32| {
            let window = windows.get(number, 1, |to| -> Result<usize, ()> {
                *reads += 1;
                to.fill(number as u8);
                Ok(100)
            });
            let window = window.unwrap();
            assert_eq!(
                (window.number, &window.bytes),
                (number, &vec![number as u8; 100])
            );
            window
        };
        let mut reads = 0;
        let first = get(3, &mut reads);
        assert!(Arc::ptr_eq(&first, &get(3, &mut reads)));
        windows.give_back(first);
        get(3 + SHARED, &mut reads);
        get(3, &mut reads);
        assert_eq!(reads, 3);
    }

    #[test]
    fn a_window_that_is_too_short_is_read_again() {
        let windows = Windows::default();
        let mut reads = 0;
        for len in [10, 10, 11] {
            let read = |_: &mut [u8]| -> Result<usize, ()> {
                reads += 1;
                Ok(10)
            };
            assert_eq!(windows.get(1, len, read).unwrap().bytes.len(), 10);
        }
        assert_eq!(reads, 2);
        let failed = windows.get(2, 1, |_| Err("gone"));
        assert_eq!(failed.unwrap_err(), "gone");
    }
}
