//! The time replay says, and the moment when nothing is left to do.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

pub use libc;

/// Microseconds of virtual time. No clock begins at zero: some stacks subtract from it.
static NOW: AtomicU64 = AtomicU64::new(0);
const EPOCH_US: u64 = 1_000_000_000_000;

/// Threads that are at work outside of the runtime's knowledge.
static BUSY: AtomicUsize = AtomicUsize::new(0);

/// Milliseconds of real time that such a thread is waited for; then it waits for virtual time itself.
const BUSY_MS: usize = 20;

pub(super) fn set(now: u64) {
    NOW.store(now, Ordering::SeqCst);
}

pub(super) fn now() -> u64 {
    NOW.load(Ordering::SeqCst)
}

/// Runs something that may block its thread.
pub(super) fn busy<T>(work: impl FnOnce() -> T) -> T {
    BUSY.fetch_add(1, Ordering::SeqCst);
    let result = work();
    BUSY.fetch_sub(1, Ordering::SeqCst);
    result
}

/// `clock_gettime` with virtual time for the clocks that tell time.
///
/// # Safety
/// As of the function of libc.
pub unsafe fn gettime(clock: libc::clockid_t, time: *mut libc::timespec) -> libc::c_int {
    if matches!(
        clock,
        libc::CLOCK_PROCESS_CPUTIME_ID | libc::CLOCK_THREAD_CPUTIME_ID
    ) {
        // SAFETY: the caller's promise is the system call's.
        return unsafe { libc::syscall(libc::SYS_clock_gettime, clock, time) } as libc::c_int;
    }
    let now = EPOCH_US + now();
    // SAFETY: the caller gives a place for the time.
    unsafe {
        (*time).tv_sec = (now / 1_000_000) as libc::time_t;
        (*time).tv_nsec = (now % 1_000_000 * 1_000) as libc::c_long;
    }
    0
}

/// `gettimeofday` with virtual time, for lwIP.
///
/// # Safety
/// As of the function of libc.
pub unsafe fn timeofday(time: *mut libc::timeval) -> libc::c_int {
    let now = EPOCH_US + now();
    // SAFETY: the caller gives a place for the time, or none.
    if let Some(time) = unsafe { time.as_mut() } {
        time.tv_sec = (now / 1_000_000) as libc::time_t;
        time.tv_usec = (now % 1_000_000) as libc::suseconds_t;
    }
    0
}

/// `epoll_wait` that speaks the protocol instead of waiting.
///
/// # Safety
/// As of the function of libc.
pub unsafe fn wait(
    epoll: libc::c_int,
    events: *mut libc::epoll_event,
    most: libc::c_int,
    timeout: libc::c_int,
) -> libc::c_int {
    let look = |timeout: libc::c_int| {
        let mask = std::ptr::null::<libc::sigset_t>();
        // SAFETY: the caller's promise is the system call's.
        let count =
            unsafe { libc::syscall(libc::SYS_epoll_pwait, epoll, events, most, timeout, mask, 8) };
        count as libc::c_int
    };
    let count = look(0);
    if count != 0 || timeout == 0 {
        return count;
    }
    for _ in 0..BUSY_MS {
        if BUSY.load(Ordering::SeqCst) == 0 {
            break;
        }
        let count = look(1);
        if count != 0 || BUSY.load(Ordering::SeqCst) == 0 {
            return count;
        }
    }
    super::session::turn(u64::try_from(timeout).ok());
    0
}

/// Puts the program that calls it into virtual time.
#[macro_export]
macro_rules! virtual_time {
    () => {
        use $crate::program::clock::libc;

        /// In the place of libc's.
        ///
        /// # Safety
        /// As of the function of libc.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn clock_gettime(
            clock: libc::clockid_t,
            time: *mut libc::timespec,
        ) -> libc::c_int {
            // SAFETY: the same promise.
            unsafe { $crate::program::clock::gettime(clock, time) }
        }

        /// In the place of libc's.
        ///
        /// # Safety
        /// As of the function of libc.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn gettimeofday(
            time: *mut libc::timeval,
            _zone: *mut libc::c_void,
        ) -> libc::c_int {
            // SAFETY: the same promise.
            unsafe { $crate::program::clock::timeofday(time) }
        }

        /// In the place of libc's.
        ///
        /// # Safety
        /// As of the function of libc.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn epoll_wait(
            epoll: libc::c_int,
            events: *mut libc::epoll_event,
            most: libc::c_int,
            timeout: libc::c_int,
        ) -> libc::c_int {
            // SAFETY: the same promise.
            unsafe { $crate::program::clock::wait(epoll, events, most, timeout) }
        }
    };
}
