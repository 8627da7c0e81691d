//! How much heap the engine holds: an allocator that counts what is allocated while the engine is at work.
//!
//! The binary installs it; a program that uses the library may. Without it `memory` expectations cannot be checked,
//! and say so.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, Ordering};

/// The system's allocator, counting for the engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct EngineHeap;

thread_local! {
    /// Whether the engine is at work on this thread.
    static AT_WORK: Cell<bool> = const { Cell::new(false) };
    /// Octets the engine holds, and the most it ever held.
    static HELD: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

static INSTALLED: AtomicBool = AtomicBool::new(false);

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
    if AT_WORK.try_with(Cell::get).unwrap_or(false) {
        let _ = HELD.try_with(|held| {
            let (now, peak) = held.get();
            let now = now.saturating_add(size);
            held.set((now, peak.max(now)));
        });
    }
}

fn shrink(size: usize) {
    if AT_WORK.try_with(Cell::get).unwrap_or(false) {
        let _ = HELD.try_with(|held| {
            let (now, peak) = held.get();
            held.set((now.saturating_sub(size), peak));
        });
    }
}

/// Marks the engine as at work on this thread while it lives.
#[derive(Debug)]
pub(crate) struct AtWork(());

impl AtWork {
    pub(crate) fn begin() -> Self {
        AT_WORK.set(true);
        Self(())
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        AT_WORK.set(false);
    }
}

/// Says that [`EngineHeap`] is the program's allocator.
pub fn installed() {
    INSTALLED.store(true, Ordering::Relaxed);
}

/// Begins a new count on this thread.
pub(crate) fn reset() {
    HELD.set((0, 0));
}

/// The most octets the engine held since the last [`reset`]; `None` if nobody counts.
pub(crate) fn peak() -> Option<u64> {
    INSTALLED
        .load(Ordering::Relaxed)
        .then(|| HELD.get().1 as u64)
}
