//! Time stamps of an interface: units of its own resolution, moved by its own offset (section 4.2).

/// How an interface counts time; microseconds without an offset unless it says otherwise.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Clock {
    /// if_tsresol as it stands in the file.
    resolution: Option<u8>,
    /// if_tsoffset, in seconds.
    offset: i64,
}

impl Clock {
    /// Takes the value of an if_tsresol option; an empty one is ignored.
    pub(super) fn set_resolution(&mut self, value: &[u8]) {
        self.resolution = value.first().copied().or(self.resolution);
    }

    /// Takes the value of an if_tsoffset option, in seconds; one too short to be one is ignored.
    pub(super) fn set_offset(&mut self, seconds: Option<i64>) {
        self.offset = seconds.unwrap_or(self.offset);
    }

    /// Returns if_tsresol as it stands in the file.
    pub(super) fn resolution(self) -> Option<u8> {
        self.resolution
    }

    /// Turns a time stamp into nanoseconds since the epoch, floored and saturating.
    pub(super) fn nanoseconds(self, stamp: u64) -> i64 {
        // 2^64 * 10^9 is below 2^94: no step of this overflows.
        let scaled = i128::from(stamp) * NANOSECONDS;
        let exponent = self.resolution.unwrap_or(MICROSECONDS);
        // A divisor beyond 10^38 leaves nothing of any stamp.
        let since_offset = units_in_second(exponent).map_or(0, |units| scaled.div_euclid(units));
        let since_epoch = since_offset.saturating_add(i128::from(self.offset) * NANOSECONDS);
        i64::try_from(since_epoch).unwrap_or(if since_epoch < 0 { i64::MIN } else { i64::MAX })
    }
}

/// How many units of an if_tsresol a second has; none of one that is finer than any stamp.
pub(crate) fn units_in_second(resolution: u8) -> Option<i128> {
    let exponent = u32::from(resolution & !BINARY);
    match resolution & BINARY {
        0 => 10_i128.checked_pow(exponent),
        _ => 2_i128.checked_pow(exponent),
    }
}

/// Names a resolution in a format line: "10^-6".
pub(super) fn resolution_name(resolution: u8) -> String {
    let base = if resolution & BINARY != 0 { 2 } else { 10 };
    format!("{base}^-{}", resolution & !BINARY)
}

/// The bit of if_tsresol that makes it a negative power of two, not ten.
const BINARY: u8 = 0x80;
/// if_tsresol where an interface has none.
pub(crate) const MICROSECONDS: u8 = 6;
const NANOSECONDS: i128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(resolution: Option<u8>, offset: i64, stamp: u64) -> i64 {
        Clock { resolution, offset }.nanoseconds(stamp)
    }

    #[test]
    fn resolutions_are_powers_of_ten_or_two() {
        assert_eq!(at(None, 0, 5), 5_000);
        assert_eq!(at(Some(0), 0, 5), 5_000_000_000);
        assert_eq!(at(Some(3), 0, 5), 5_000_000);
        assert_eq!(at(Some(9), 0, 5), 5);
        assert_eq!(at(Some(12), 0, 5_999), 5);
        assert_eq!(at(Some(0x80 | 10), 0, 512), 500_000_000);
        assert_eq!(at(Some(0x80), 0, 2), 2_000_000_000);
    }

    #[test]
    fn an_offset_moves_either_way() {
        assert_eq!(at(Some(6), 10, 5), 10_000_005_000);
        assert_eq!(at(Some(6), -10, 5), -9_999_995_000);
    }

    #[test]
    fn absurd_values_saturate() {
        assert_eq!(at(Some(0), 0, u64::MAX), i64::MAX);
        assert_eq!(at(Some(0), i64::MIN, 0), i64::MIN);
        assert_eq!(at(Some(0), i64::MAX, u64::MAX), i64::MAX);
        assert_eq!(at(Some(0x7f), 0, u64::MAX), 0);
        assert_eq!(at(Some(0xff), 0, u64::MAX), 0);
    }
}
