//! How many challenge acknowledgements a flow may draw (RFC 5961 section 7).

use core::time::Duration;

use crate::api::time::Micros;

/// Challenges in one span of a second.
const BURST: u8 = 10;
const SPAN: Duration = Duration::from_secs(1);

/// A flow's allowance of challenges. It comes back in full a second after its first was drawn, so that a device
/// that asks again later is always answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Allowance {
    since: Micros,
    left: u8,
}

impl Allowance {
    pub(crate) fn new(now: Micros) -> Self {
        Self {
            since: now,
            left: BURST,
        }
    }

    /// Whether one more challenge may leave.
    pub(crate) fn draw(&mut self, now: Micros) -> bool {
        if now >= self.since.plus(SPAN) {
            *self = Self::new(now);
        }
        let some = self.left > 0;
        self.left = self.left.saturating_sub(1);
        some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_comes_back_after_a_second() {
        let start = Micros(5_000_000);
        let mut allowance = Allowance::new(start);
        let drawn = (0..1000).filter(|_| allowance.draw(start)).count();
        assert_eq!(drawn, 10);
        assert!(!allowance.draw(start.plus(Duration::from_millis(999))));
        assert!(allowance.draw(start.plus(SPAN)));
    }
}
