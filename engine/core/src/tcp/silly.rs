//! Small windows of the device (RFC 9293 section 3.8.6.2.1, MUST-38): smoltcp would fill each of them at once.

use core::time::Duration;

use crate::api::time::Micros;
use crate::tcp::Live;

/// How long text is held back at the most; 0.1 to 1 s are allowed.
const OVERRIDE: Duration = Duration::from_millis(200);

impl Live {
    /// Whether text is to be held back: the window has room for a part of it only, and for neither a full segment nor
    /// half of the largest window seen.
    pub(crate) fn withholds(&mut self, now: Micros) -> bool {
        let usable = self.acked.plus(self.send_window()).minus(self.emitted);
        let unsent = self.isn.plus(1).plus(self.enqueued).minus(self.emitted);
        let worthwhile = u32::from(self.mss).min(self.max_window / 2);
        if usable <= 0
            || unsent <= usable
            || usable.unsigned_abs() >= worthwhile
            || self.sender.is_repeating(self.emitted)
        {
            self.withheld = None;
            return false;
        }
        let since = *self.withheld.get_or_insert(now);
        if now >= since.plus(OVERRIDE) {
            self.withheld = None;
        }
        self.withheld.is_some()
    }

    /// When text that is held back leaves whatever the window.
    pub(crate) fn override_at(&self) -> Option<Micros> {
        self.withheld.map(|since| since.plus(OVERRIDE))
    }

    /// Whether the device waits for an acknowledgement.
    pub(crate) fn owes_acknowledgement(&self) -> bool {
        self.expected().is_after(self.acknowledged)
    }
}
