//! How much heap the engine holds: an allocator that counts what is allocated while the engine is at work.
//!
//! The binary installs it; a program that uses the library may. Without it `memory` expectations cannot be checked,
//! and say so.
//!
//! There are two counts. That of a thread is for an engine that is called on it. That of the process is for a driver, whose
//! memory is taken on one thread and given back on another.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

/// The system's allocator, counting for the engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineHeap;

thread_local! {
    /// Whether the engine is at work on this thread, and for which count.
    static AT_WORK: Cell<Count> = const { Cell::new(Count::None) };
    /// Bytes the engine holds, and the most it ever held.
    static HELD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

static INSTALLED: AtomicBool = AtomicBool::new(false);

/// The count of the process: bytes held, the most ever held, and how often some were asked for.
static PROCESS_HELD: AtomicI64 = AtomicI64::new(0);
static PROCESS_PEAK: AtomicI64 = AtomicI64::new(0);
static PROCESS_CALLS: AtomicU64 = AtomicU64::new(0);

/// Who counts what a thread allocates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Count {
    None,
    Thread,
    Process,
}

// SAFETY: every call goes to the system's allocator unchanged; the counting beside it allocates nothing and reads
// thread locals that need no initialisation.
#[expect(
    unsafe_code,
    reason = "GlobalAlloc is an unsafe trait; there is no other way to count the heap"
)]
unsafe impl GlobalAlloc for EngineHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        shrink(layout.size());
        grow(size);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        shrink(layout.size());
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn grow(size: usize) {
    // During the end of a thread its locals are gone: then nothing is counted.
    match AT_WORK.try_with(Cell::get).unwrap_or(Count::None) {
        Count::None => {}
        Count::Thread => {
            let _ = HELD.try_with(|held| {
                let (now, peak) = held.get();
                let now = now.saturating_add(size);
                held.set((now, peak.max(now)));
            });
        }
        Count::Process => {
            let size = i64::try_from(size).unwrap_or(i64::MAX);
            let now = PROCESS_HELD.fetch_add(size, Ordering::Relaxed) + size;
            PROCESS_PEAK.fetch_max(now, Ordering::Relaxed);
            PROCESS_CALLS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn shrink(size: usize) {
    match AT_WORK.try_with(Cell::get).unwrap_or(Count::None) {
        Count::None => {}
        Count::Thread => {
            let _ = HELD.try_with(|held| {
                let (now, peak) = held.get();
                held.set((now.saturating_sub(size), peak));
            });
        }
        Count::Process => {
            let size = i64::try_from(size).unwrap_or(i64::MAX);
            PROCESS_HELD.fetch_sub(size, Ordering::Relaxed);
        }
    }
}

/// Marks the engine as at work on this thread, or at rest, while it lives.
#[derive(Debug)]
pub(crate) struct AtWork(Count);

impl AtWork {
    /// An engine called on this thread works.
    pub(crate) fn begin() -> Self {
        Self(AT_WORK.replace(Count::Thread))
    }

    /// A driver works on this thread.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "drivers are loaded on Linux only")
    )]
    pub(crate) fn driver() -> Self {
        Self(AT_WORK.replace(Count::Process))
    }

    /// Somebody else works on this thread in between.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(dead_code, reason = "drivers are loaded on Linux only")
    )]
    pub(crate) fn rest() -> Self {
        Self(AT_WORK.replace(Count::None))
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.set(self.0);
    }
}

/// Begins a new count of the process.
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "drivers are loaded on Linux only")
)]
pub(crate) fn reset_process() {
    PROCESS_HELD.store(0, Ordering::Relaxed);
    PROCESS_PEAK.store(0, Ordering::Relaxed);
    PROCESS_CALLS.store(0, Ordering::Relaxed);
}

/// What drivers did to the heap since the last [`reset_process`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "drivers are loaded on Linux only")
)]
pub(crate) struct ProcessHeap {
    /// Bytes held now.
    pub(crate) held: u64,
    /// The most bytes ever held.
    pub(crate) peak: u64,
    /// How often bytes were asked for.
    pub(crate) allocations: u64,
}

/// The count of the process; `None` if nobody counts.
#[cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "drivers are loaded on Linux only")
)]
pub(crate) fn process() -> Option<ProcessHeap> {
    let bytes = |count: &AtomicI64| u64::try_from(count.load(Ordering::Relaxed)).unwrap_or(0);
    INSTALLED.load(Ordering::Relaxed).then(|| ProcessHeap {
        held: bytes(&PROCESS_HELD),
        peak: bytes(&PROCESS_PEAK),
        allocations: PROCESS_CALLS.load(Ordering::Relaxed),
    })
}

/// Says that [`EngineHeap`] is the program's allocator.
pub fn installed() {
    INSTALLED.store(true, Ordering::Relaxed);
}

/// Begins a new count on this thread.
pub(crate) fn reset() {
    HELD.set((0, 0));
}

/// The bytes that the engine holds; `None` if nobody counts.
pub(crate) fn held() -> Option<u64> {
    INSTALLED
        .load(Ordering::Relaxed)
        .then(|| HELD.get().0 as u64)
}

/// The most bytes the engine held since the last [`reset`]; `None` if nobody counts.
pub(crate) fn peak() -> Option<u64> {
    INSTALLED
        .load(Ordering::Relaxed)
        .then(|| HELD.get().1 as u64)
}
