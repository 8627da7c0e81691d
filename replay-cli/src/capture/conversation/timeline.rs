//! A flow's own time: capture time without what cannot be replayed as it was.

/// Clocks that run back count as standing still; silences that the engine would end are cut to just under its limit.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    last_ns: i64,
    now_us: u64,
    started: bool,
    /// Silences that were cut.
    pub(crate) cuts: u64,
    /// Times the clock ran back.
    pub(crate) backward: u64,
}

/// How far under the limit a cut silence stays, microseconds.
const MARGIN_US: u64 = 1_000_000;

impl Timeline {
    /// The flow's time of a packet captured at `time_ns`, microseconds since its first packet. `limit_us` is the
    /// longest silence the engine bears before it.
    pub(crate) fn at(&mut self, time_ns: i64, limit_us: u64) -> u64 {
        if !self.started {
            (self.started, self.last_ns) = (true, time_ns);
            return 0;
        }
        let gap_ns = i128::from(time_ns) - i128::from(self.last_ns);
        self.last_ns = time_ns;
        let Ok(gap_ns) = u64::try_from(gap_ns) else {
            self.backward += 1;
            return self.now_us;
        };
        let longest = limit_us.saturating_sub(MARGIN_US).max(limit_us / 2);
        let mut gap_us = gap_ns / 1000;
        if gap_us > longest {
            self.cuts += 1;
            gap_us = longest;
        }
        self.now_us = self.now_us.saturating_add(gap_us);
        self.now_us
    }

    /// Says what was done to the flow's time, if anything.
    pub(crate) fn note(&self, notes: &mut Vec<String>) {
        if self.cuts > 0 {
            notes.push(format!(
                "{} silence(s) beyond what the engine waits for cut to just under it",
                self.cuts
            ));
        }
        if self.backward > 0 {
            notes.push(format!(
                "the clock ran back {} time(s); counted as standing still",
                self.backward
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT_US: u64 = 60_000_000;

    #[test]
    fn a_clock_that_runs_back_stands_still() {
        let mut line = Timeline::default();
        assert_eq!(line.at(5_000_000, LIMIT_US), 0);
        assert_eq!(line.at(1_000_000, LIMIT_US), 0);
        assert_eq!(line.at(3_000_000, LIMIT_US), 2_000);
        assert_eq!(line.backward, 1);
    }

    #[test]
    fn a_silence_beyond_the_limit_is_cut_to_just_under_it() {
        let mut line = Timeline::default();
        line.at(0, LIMIT_US);
        assert_eq!(line.at(3_600_000_000_000, LIMIT_US), 59_000_000);
        assert_eq!(line.cuts, 1);
    }
}
