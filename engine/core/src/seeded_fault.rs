//! A fault to be found, for tests of what finds faults. Only with the feature `seeded-fault`, and only where armed.

use core::cell::Cell;

thread_local! {
    static ARMED: Cell<bool> = const { Cell::new(false) };
}

/// Arms or disarms the fault for engines that run on this thread: a short last piece of a far side's stream is taken
/// and forgotten, so that the device gets its FIN one segment early.
pub fn arm(armed: bool) {
    ARMED.set(armed);
}

/// Whether these bytes of a far side go nowhere.
pub(crate) fn loses(data: &[u8]) -> bool {
    ARMED.get() && data.len() < 536
}
