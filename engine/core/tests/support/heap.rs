//! How much heap this thread holds: the allocator of a test binary, counting beside the system's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static TAKEN: Cell<u64> = const { Cell::new(0) };
}

/// Install with `#[global_allocator]`.
#[derive(Debug)]
pub(crate) struct CountingHeap;

// SAFETY: every call goes to the system's allocator unchanged; the counting beside it allocates nothing and reads
// thread locals that need no initialisation.
#[expect(
    unsafe_code,
    reason = "GlobalAlloc is an unsafe trait; there is no other way to count the heap"
)]
unsafe impl GlobalAlloc for CountingHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn count(size: isize) {
    if size > 0 {
        let _ = TAKEN.try_with(|taken| taken.set(taken.get() + 1));
    }
    // During the end of a thread its locals are gone: then nothing is counted.
    let _ = HELD.try_with(|held| {
        let now = held.get() + size;
        held.set(now);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now)));
    });
}

/// Bytes this thread has allocated and not given back.
pub(crate) fn held() -> isize {
    HELD.get()
}

/// How often this thread took memory or made a piece of it larger.
pub(crate) fn taken() -> u64 {
    TAKEN.get()
}

/// The most bytes held since the last call of this.
pub(crate) fn take_peak() -> isize {
    PEAK.replace(HELD.get())
}
