//! Log lines that belong to no engine, and those of all engines.

use core::cell::Cell;
use core::ffi::{c_char, c_void};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{PoisonError, RwLock};

use engine::LogLevel;

use crate::handle::guard;
use crate::host::text;
use crate::types::{BridgeLogLevel, BridgeLogLevelNumber, BridgeStatus};

/// Levels of a log line.
pub(crate) const ERROR: u32 = BridgeLogLevel::Error as u32;
pub(crate) const WARN: u32 = BridgeLogLevel::Warn as u32;
pub(crate) const INFO: u32 = BridgeLogLevel::Info as u32;

/// Receives a line of the log: its level and a text in UTF-8,
/// lent for the call. It may come from any thread, and must not call `BridgeSetLogSink`. Calls that start,
/// stop, change or free an engine may wait for the thread that writes the line; all others can be made from within it.
pub type BridgeLogSink = Option<
    unsafe extern "C" fn(context: *mut c_void, level: BridgeLogLevelNumber, message: *const c_char),
>;

#[derive(Clone, Copy)]
struct Sink {
    call: unsafe extern "C" fn(*mut c_void, u32, *const c_char),
    context: *mut c_void,
    level: u32,
}

// SAFETY: the header makes the host promise that the sink and its context may be used from any thread.
unsafe impl Send for Sink {}
// SAFETY: as above.
unsafe impl Sync for Sink {}

static SINK: RwLock<Option<Sink>> = RwLock::new(None);

/// The sink's level; below zero if there is none.
static LEVEL: AtomicI64 = AtomicI64::new(-1);

thread_local! {
    static LOGGING: Cell<bool> = const { Cell::new(false) };
}

/// Sets who receives the log of all engines, up to `level`; null: no one does. When it returns, the
/// former sink is not called any more. `context` must stay sound until then. An engine logs at the level that is set when it
/// is started. Lines have no address and no name in clear.
///
/// From within a sink: `BRIDGE_STATUS_REENTRANT`, and nothing changes.
///
/// # Safety
/// `sink` can be called with `context` from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeSetLogSink(
    sink: BridgeLogSink,
    context: *mut c_void,
    level: BridgeLogLevelNumber,
) -> BridgeStatus {
    guard(|| {
        if LOGGING.get() {
            return Err(BridgeStatus::Reentrant);
        }
        let sink = sink.map(|call| Sink {
            call,
            context,
            level,
        });
        let mut place = SINK.write().unwrap_or_else(PoisonError::into_inner);
        LEVEL.store(sink.map_or(-1, |sink| sink.level.into()), Ordering::Release);
        *place = sink;
        Ok(())
    })
}

/// The level that an engine which starts now should log at; none if no one listens.
pub(crate) fn level() -> Option<LogLevel> {
    // Not the sink's lock: a sink that starts an engine has it, and would wait behind one who waits to set another.
    let level = LEVEL.load(Ordering::Acquire);
    LEVELS
        .into_iter()
        .rfind(|known| i64::from(number(*known)) <= level)
}

const LEVELS: [LogLevel; 5] = [
    LogLevel::Error,
    LogLevel::Warn,
    LogLevel::Info,
    LogLevel::Debug,
    LogLevel::Trace,
];

pub(crate) const fn number(level: LogLevel) -> u32 {
    match level {
        LogLevel::Error => ERROR,
        LogLevel::Warn => WARN,
        LogLevel::Info => INFO,
        LogLevel::Debug => BridgeLogLevel::Debug as u32,
        LogLevel::Trace => BridgeLogLevel::Trace as u32,
    }
}

/// Writes a line to the sink, if there is one that wants it; a line that the sink itself causes is dropped.
pub(crate) fn write(level: u32, message: &str) {
    if LOGGING.get() {
        return;
    }
    let sink = SINK.read().unwrap_or_else(PoisonError::into_inner);
    let Some(sink) = sink.as_ref().filter(|sink| level <= sink.level) else {
        return;
    };
    let message = text(message);
    struct InCallback;
    impl Drop for InCallback {
        fn drop(&mut self) {
            LOGGING.set(false);
        }
    }
    LOGGING.set(true);
    let _inside = InCallback;
    // SAFETY: the host promised that the sink is sound with its context, from any thread; the lock keeps it set.
    unsafe { (sink.call)(sink.context, level, message.as_ptr()) }
}
