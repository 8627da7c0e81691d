//! Lines for the host's log: changes of state and their reasons, no line a packet below trace. Addresses and names
//! go through [`Redacted`] only.

use core::fmt;
use core::hash::{Hash, Hasher};
use std::collections::VecDeque;

use siphasher::sip::SipHasher13;

use crate::api::label::labelled;
use crate::api::time::Micros;

labelled! {
    /// How much a line matters. A sink at a level gets that level and those before it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
    pub enum LogLevel {
        /// The engine had to give something up that it should not have had to: a guard closed a flow.
        Error = "error",
        /// Something is refused or lost that a device will notice: a limit is reached.
        Warn = "warn",
        /// Rare and of interest to everybody: start, stop, change of path, counters.
        Info = "info",
        /// Every change of state: dials, connections, half-closes, closes, DNS records.
        Debug = "debug",
        /// What happens to single packets: drops with their reason.
        Trace = "trace",
    }
}

labelled! {
    /// What a line is about; each is one bit of a [`LogMask`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum Breadcrumb {
        /// Dials, connections, half-closes and closes of TCP and UDP flows.
        Flow = "flow",
        /// Names learnt, queries answered.
        Dns = "dns",
        /// Frames dropped, with the reason.
        Drop = "drop",
        /// Admission refused, queues full.
        Limit = "limit",
        /// A guard stepped in.
        Guard = "guard",
        /// Start, stop, change of path.
        Lifecycle = "lifecycle",
        /// The counters, every [`Config::metrics_interval`](crate::Config::metrics_interval).
        Metrics = "metrics",
    }
}

impl Breadcrumb {
    /// All of them, in the order of their bits.
    pub const ALL: &[Self] = &[
        Self::Flow,
        Self::Dns,
        Self::Drop,
        Self::Limit,
        Self::Guard,
        Self::Lifecycle,
        Self::Metrics,
    ];
}

/// A set of [`Breadcrumb`]s: bit `n` is the `n`-th of [`Breadcrumb::ALL`].
///
/// ```
/// use engine::{Breadcrumb, LogMask};
///
/// let mask = LogMask::NONE.with(Breadcrumb::Metrics);
/// assert!(mask.has(Breadcrumb::Metrics) && !mask.has(Breadcrumb::Lifecycle));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogMask(u32);

impl LogMask {
    /// Everything, kinds to come included.
    pub const ALL: Self = Self(u32::MAX);
    /// Nothing.
    pub const NONE: Self = Self(0);

    /// The set with these bits; bits without a meaning are kept and do nothing.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The set as bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The set with `kind` in it.
    #[must_use]
    pub const fn with(self, kind: Breadcrumb) -> Self {
        Self(self.0 | 1 << kind as u32)
    }

    /// Whether `kind` is in the set.
    #[must_use]
    pub const fn has(self, kind: Breadcrumb) -> bool {
        self.0 >> kind as u32 & 1 == 1
    }
}

/// One line for the host's log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRecord {
    /// When, on the clock of the inputs.
    pub at: Micros,
    /// How much it matters.
    pub level: LogLevel,
    /// What it is about.
    pub kind: Breadcrumb,
    /// The text: one line, no address or name in clear unless [`Config::log_addresses`](crate::Config::log_addresses).
    pub message: String,
}

impl fmt::Display for LogRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, level, kind) = (self.at, self.level, self.kind.label());
        write!(f, "{at:?} {level} {kind}: {}", self.message)
    }
}

/// A value that a log line shows as a short keyed hash: the same value has the same hash under one
/// [`Config::seed`](crate::Config::seed), so that lines can be brought together, and the value cannot be guessed from it
/// without the seed.
#[derive(Clone, Copy)]
pub struct Redacted<T> {
    value: T,
    /// `None` shows the value itself.
    key: Option<u64>,
}

impl<T: Hash + fmt::Display> fmt::Display for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(key) = self.key else {
            return self.value.fmt(f);
        };
        let mut hasher = SipHasher13::new_with_keys(key, 0x7265_6461_6374_6564);
        self.value.hash(&mut hasher);
        write!(f, "~{:08x}", hasher.finish() >> 32)
    }
}

impl<T: Hash + fmt::Display> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes [`Redacted`] values under one key.
///
/// ```
/// let redactor = engine::Redactor::new(7, false);
/// let hidden = redactor.hide("192.0.2.1").to_string();
/// assert_eq!(hidden, redactor.hide("192.0.2.1").to_string());
/// assert!(hidden.starts_with('~') && !hidden.contains("192"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Redactor {
    key: Option<u64>,
}

impl Redactor {
    /// One that hides under `seed`, or shows everything.
    #[must_use]
    pub const fn new(seed: u64, show: bool) -> Self {
        Self {
            key: if show { None } else { Some(seed) },
        }
    }

    /// `value` as log lines may show it.
    #[must_use]
    pub const fn hide<T>(&self, value: T) -> Redacted<T> {
        Redacted {
            value,
            key: self.key,
        }
    }
}

/// Records kept for the host between two drains.
const WAITING_MAX: usize = 1024;

/// Records that wait for `poll_output`. Beside the other outputs, so that logging changes nothing about them.
#[derive(Debug)]
pub(crate) struct Log {
    level: Option<LogLevel>,
    mask: LogMask,
    pub(crate) redactor: Redactor,
    waiting: VecDeque<LogRecord>,
}

impl Log {
    pub(crate) fn new(level: Option<LogLevel>, mask: LogMask, redactor: Redactor) -> Self {
        Self {
            level,
            mask,
            redactor,
            waiting: VecDeque::new(),
        }
    }

    /// Whether anybody listens to such a line.
    pub(crate) fn wants(&self, level: LogLevel, kind: Breadcrumb) -> bool {
        self.level.is_some_and(|most| level <= most) && self.mask.has(kind)
    }

    /// Keeps a line; `false` if too many wait already and it was dropped.
    pub(crate) fn push(
        &mut self,
        at: Micros,
        level: LogLevel,
        kind: Breadcrumb,
        message: String,
    ) -> bool {
        if self.waiting.len() >= WAITING_MAX {
            return false;
        }
        self.waiting.push_back(LogRecord {
            at,
            level,
            kind,
            message,
        });
        true
    }

    pub(crate) fn pop(&mut self) -> Option<LogRecord> {
        self.waiting.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redacted_value_is_stable_under_one_seed_and_differs_under_another() {
        let shown = |seed| Redactor::new(seed, false).hide("192.0.2.1").to_string();
        assert_eq!(shown(7), shown(7));
        assert_ne!(shown(7), shown(8));
        assert!(!shown(7).contains("192"));
        let open = Redactor::new(7, true).hide("192.0.2.1").to_string();
        assert_eq!(open, "192.0.2.1");
    }

    #[test]
    fn a_mask_has_what_was_put_in() {
        let mask = LogMask::NONE.with(Breadcrumb::Dns);
        for kind in Breadcrumb::ALL {
            assert_eq!(mask.has(*kind), *kind == Breadcrumb::Dns);
            assert!(LogMask::ALL.has(*kind));
        }
        assert_eq!(mask.bits(), 2);
    }

    #[test]
    fn lines_are_bounded() {
        let mut log = Log::new(Some(LogLevel::Trace), LogMask::ALL, Redactor::new(1, false));
        let kept = (0..2000)
            .filter(|_| log.push(Micros(1), LogLevel::Info, Breadcrumb::Flow, String::new()))
            .count();
        assert_eq!(kept, WAITING_MAX);
    }
}
