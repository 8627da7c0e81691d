//! The system's clock that counts sleep.

use engine::Micros;

use super::Clock;

/// A clock that goes on while the system sleeps: `CLOCK_BOOTTIME` on Linux and Android, `mach_continuous_time` on
/// Apple's systems; elsewhere the monotonic clock, which may stop. A phone that slept for an hour must find its
/// idle flows an hour older. It starts at one second.
///
/// ```
/// use engine::Micros;
/// use engine_driver::{BootClock, Clock};
///
/// assert!(BootClock::new().now() >= Micros::from_secs(1));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct BootClock {
    origin: u64,
}

impl Default for BootClock {
    fn default() -> Self {
        Self::new()
    }
}

impl BootClock {
    /// A clock that shows one second now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            origin: since_boot(),
        }
    }
}

impl Clock for BootClock {
    fn now(&self) -> Micros {
        Micros(1_000_000 + since_boot().saturating_sub(self.origin))
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn since_boot() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a live timespec, which the call fills in and does not keep.
    #[expect(
        unsafe_code,
        reason = "the standard library has no clock that counts sleep"
    )]
    let status = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut time) };
    if status != 0 {
        return 0;
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds.saturating_mul(1_000_000) + u64::try_from(time.tv_nsec).unwrap_or(0) / 1000
}

#[cfg(target_vendor = "apple")]
fn since_boot() -> u64 {
    #[expect(
        unsafe_code,
        reason = "the standard library has no clock that counts sleep"
    )]
    mod mach {
        #[repr(C)]
        pub(super) struct Timebase {
            pub(super) numer: u32,
            pub(super) denom: u32,
        }
        unsafe extern "C" {
            pub(super) safe fn mach_continuous_time() -> u64;
            pub(super) fn mach_timebase_info(info: *mut Timebase) -> libc::c_int;
        }
        pub(super) fn timebase() -> Timebase {
            let mut info = Timebase { numer: 1, denom: 1 };
            // SAFETY: the pointer is to a live Timebase, laid out as the system's structure of two u32.
            unsafe { mach_timebase_info(&raw mut info) };
            info
        }
    }
    static TIMEBASE: std::sync::OnceLock<(u32, u32)> = std::sync::OnceLock::new();
    let (numer, denom) = *TIMEBASE.get_or_init(|| {
        let info = mach::timebase();
        (info.numer, info.denom.max(1))
    });
    let nanos = u128::from(mach::mach_continuous_time()) * u128::from(numer) / u128::from(denom);
    u64::try_from(nanos / 1000).unwrap_or(u64::MAX)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn since_boot() -> u64 {
    static START: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let start = START.get_or_init(std::time::Instant::now);
    u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_starts_at_a_second_and_never_runs_back() {
        let clock = BootClock::new();
        let readings: Vec<_> = (0..1000).map(|_| clock.now()).collect();
        assert!(readings[0] >= Micros::from_secs(1) && readings[0] < Micros::from_secs(60));
        assert!(readings.is_sorted());
    }
}
