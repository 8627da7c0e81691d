//! What Linux reports of this process and its machine: memory, processor time of a thread.
#![cfg_attr(
    not(target_os = "linux"),
    expect(dead_code, reason = "the driver is loaded on Linux only")
)]

use std::fs;
use std::path::PathBuf;

/// Resident memory now, bytes, as the page tables have it.
pub(crate) fn resident() -> Option<u64> {
    kib(&fs::read_to_string("/proc/self/smaps_rollup").ok()?, "Rss:").or_else(resident_about)
}

/// The same from counters that may be some pages off; quicker.
pub(crate) fn resident_about() -> Option<u64> {
    kib(&fs::read_to_string("/proc/self/status").ok()?, "VmRSS:")
}

/// Bytes of memory that the machine has; `None` where that is not reported.
pub(crate) fn memory_of_the_machine() -> Option<u64> {
    kib(&fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:")
}

fn kib(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The processor time of a thread.
#[derive(Clone, Debug)]
pub(crate) struct ThreadTime(Option<PathBuf>);

impl ThreadTime {
    /// That of the thread which calls this.
    pub(crate) fn of_this_thread() -> Self {
        let thread = fs::read_link("/proc/thread-self").ok();
        Self(thread.map(|thread| PathBuf::from("/proc").join(thread).join("schedstat")))
    }

    /// Nanoseconds so far, a tick of the scheduler (some milliseconds) behind at the most.
    pub(crate) fn nanoseconds(&self) -> Option<u64> {
        let text = fs::read_to_string(self.0.as_ref()?).ok()?;
        text.split_whitespace().next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_in_kib_is_read_in_bytes() {
        let text = "VmPeak:\t  10 kB\nVmRSS:\t    12 kB\n";
        assert_eq!(kib(text, "VmRSS:"), Some(12 * 1024));
        assert_eq!(kib(text, "Rss:"), None);
    }

    #[test]
    fn this_process_has_memory_and_this_thread_had_time() {
        assert!(resident().is_some_and(|bytes| bytes > 1 << 20));
        assert!(ThreadTime::of_this_thread().nanoseconds().is_some());
    }
}
