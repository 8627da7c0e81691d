//! Clocks and memory of this process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Time that the load took, to be taken out of what a stack took. Sections are timed by the processor's cycle counter,
/// and what timing itself costs outside of them is known from a calibration.
#[derive(Debug)]
pub struct Meter {
    spent: AtomicU64,
    sections: AtomicU64,
    heard: AtomicU64,
    parked: AtomicU64,
    parked_since: AtomicU64,
    ticks_per_ns: f64,
    /// What a section counts at most, in ticks.
    longest: u64,
    /// Ticks of an empty section that fall outside of what it records.
    beside: f64,
}

/// Nanoseconds that a section counts at most: a longer one was interrupted, for the processor went to somebody else, whose
/// time this process is not charged with either.
const LONGEST: f64 = 200_000.0;

/// What a [`Meter`] counted, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// Within sections, and for timing them.
    pub load: f64,
    /// While the runtime had nothing to do.
    pub parked: f64,
}

impl Default for Meter {
    fn default() -> Self {
        Self::new()
    }
}

impl Meter {
    /// A calibrated meter at zero; takes some 30 ms.
    #[must_use]
    pub fn new() -> Self {
        let mut meter = Self {
            spent: AtomicU64::new(0),
            sections: AtomicU64::new(0),
            heard: AtomicU64::new(0),
            parked: AtomicU64::new(0),
            parked_since: AtomicU64::new(0),
            ticks_per_ns: 1.0,
            longest: u64::MAX,
            beside: 0.0,
        };
        let (began, from) = (Instant::now(), ticks());
        while began.elapsed().as_millis() < 20 {
            std::hint::spin_loop();
        }
        let passed = ticks() - from;
        meter.ticks_per_ns = passed as f64 / began.elapsed().as_nanos() as f64;
        meter.longest = (LONGEST * meter.ticks_per_ns) as u64;
        const ROUNDS: u64 = 100_000;
        // The quickest of some rounds: nothing else ran meanwhile.
        meter.beside = (0..8)
            .map(|_| {
                let from = ticks();
                let before = meter.spent.load(Ordering::Relaxed);
                for _ in 0..ROUNDS {
                    meter.timed(|| std::hint::black_box(()));
                }
                let all = ticks() - from;
                let within = meter.spent.load(Ordering::Relaxed) - before;
                all.saturating_sub(within) as f64 / ROUNDS as f64
            })
            .fold(f64::INFINITY, f64::min);
        meter.reset();
        meter
    }

    /// Begins anew.
    pub fn reset(&self) {
        self.spent.store(0, Ordering::Relaxed);
        self.sections.store(0, Ordering::Relaxed);
        self.parked.store(0, Ordering::Relaxed);
    }

    /// Runs a part of the load. One thread at a time.
    #[inline(always)]
    pub fn timed<R>(&self, part: impl FnOnce() -> R) -> R {
        let from = ticks();
        let result = part();
        // One worker: nobody else adds meanwhile.
        let spent = self.spent.load(Ordering::Relaxed);
        let section = ticks().wrapping_sub(from).min(self.longest);
        self.spent
            .store(spent.wrapping_add(section), Ordering::Relaxed);
        let sections = self.sections.load(Ordering::Relaxed);
        self.sections.store(sections + 1, Ordering::Relaxed);
        result
    }

    /// Far ends got so many bytes.
    pub fn hear(&self, bytes: usize) {
        self.heard.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Bytes that far ends got.
    #[must_use]
    pub fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    /// The runtime's worker goes to sleep.
    pub fn park(&self) {
        self.parked_since.store(ticks(), Ordering::Relaxed);
    }

    /// The runtime's worker woke up.
    pub fn unpark(&self) {
        let since = self.parked_since.swap(0, Ordering::Relaxed);
        if since != 0 {
            self.parked
                .fetch_add(ticks().wrapping_sub(since), Ordering::Relaxed);
        }
    }

    /// What was counted since it began.
    #[must_use]
    pub fn spent(&self) -> Spent {
        let beside = self.beside * self.sections.load(Ordering::Relaxed) as f64;
        Spent {
            load: (self.spent.load(Ordering::Relaxed) as f64 + beside) / self.ticks_per_ns,
            parked: self.parked.load(Ordering::Relaxed) as f64 / self.ticks_per_ns,
        }
    }
}

/// The processor's cycle counter.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the counter has no safe call")]
#[inline(always)]
fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has the instruction.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Nanoseconds of the monotonic clock.
#[cfg(not(target_arch = "x86_64"))]
fn ticks() -> u64 {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    BEGAN.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Processor time of this process, all threads, user and system, in nanoseconds.
#[must_use]
#[expect(unsafe_code, reason = "a single system call")]
pub fn process_cpu() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists on Linux, and the pointer is to a local.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    if failed != 0 {
        return 0;
    }
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Resident memory of this process, in bytes.
#[must_use]
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}
