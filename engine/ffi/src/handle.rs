//! Handles and the guard around every call.
//!
//! A handle is a number that was never used before, looked up in a table: whatever a caller passes in, nothing is followed.

use core::cell::RefCell;
use core::panic::AssertUnwindSafe;
use std::collections::BTreeMap;
use std::panic::catch_unwind;
use std::sync::{Arc, PoisonError, RwLock};

use crate::bridge::Bridge;
use crate::types::{BridgeEngine, BridgeStatus};

static ENGINES: RwLock<Table> = RwLock::new(Table {
    last: 0,
    engines: BTreeMap::new(),
});

struct Table {
    last: usize,
    engines: BTreeMap<usize, Arc<Bridge>>,
}

thread_local! {
    /// The engines whose callbacks run on this thread: one may poll another.
    static CALLING: RefCell<Vec<usize>> = const { RefCell::new(Vec::new()) };
}

/// Enters an engine into the table.
pub(crate) fn enter(make: impl FnOnce(usize) -> Bridge) -> *mut BridgeEngine {
    let mut table = ENGINES.write().unwrap_or_else(PoisonError::into_inner);
    // A multiple of 16, as an aligned pointer is: Swift and debuggers take it for one.
    table.last += 16;
    let number = table.last;
    table.engines.insert(number, Arc::new(make(number)));
    core::ptr::without_provenance_mut(number)
}

/// Takes an engine out of the table.
pub(crate) fn leave(engine: *const BridgeEngine) -> Option<Arc<Bridge>> {
    let mut table = ENGINES.write().unwrap_or_else(PoisonError::into_inner);
    table.engines.remove(&engine.addr())
}

/// Looks an engine up.
pub(crate) fn find(engine: *const BridgeEngine) -> Result<Arc<Bridge>, BridgeStatus> {
    if engine.is_null() {
        return Err(BridgeStatus::NullPointer);
    }
    let table = ENGINES.read().unwrap_or_else(PoisonError::into_inner);
    let found = table.engines.get(&engine.addr());
    found.map(Arc::clone).ok_or(BridgeStatus::BadHandle)
}

/// Runs what calls back into the host, for the engine of this number.
pub(crate) fn calling<R>(number: usize, run: impl FnOnce() -> R) -> R {
    struct Left;
    impl Drop for Left {
        fn drop(&mut self) {
            CALLING.with_borrow_mut(Vec::pop);
        }
    }
    CALLING.with_borrow_mut(|calling| calling.push(number));
    let _left = Left;
    run()
}

/// Whether this thread is inside a callback of the engine of this number.
pub(crate) fn is_calling(number: usize) -> bool {
    CALLING.with_borrow(|calling| calling.contains(&number))
}

/// Runs a call; a panic is an answer, never an unwinding into C.
pub(crate) fn guard(call: impl FnOnce() -> Result<(), BridgeStatus>) -> BridgeStatus {
    caught(call).err().unwrap_or(BridgeStatus::Ok)
}

/// As [`guard`], for calls that answer with a count.
pub(crate) fn guard_count(call: impl FnOnce() -> Result<i64, BridgeStatus>) -> i64 {
    caught(call).unwrap_or_else(|status| status as i64)
}

fn caught<R>(call: impl FnOnce() -> Result<R, BridgeStatus>) -> Result<R, BridgeStatus> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or(Err(BridgeStatus::Panicked))
}
