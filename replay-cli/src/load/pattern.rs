//! What the streams consist of: bytes that depend on the flow and the place, made and checked by copying.

/// One period of the pattern; an odd length, so that no power of two hides a shift.
const PERIOD: usize = 65_521;

/// The most bytes one slice may have.
const LONGEST: usize = 65_536;

/// The bytes of every stream. Two flows, or two directions of one, differ by where they begin.
#[derive(Clone, Debug)]
pub struct Pattern {
    count: Vec<u8>,
}

impl Default for Pattern {
    fn default() -> Self {
        let mut state = 0x9e37_79b9_u32;
        let period: Vec<u8> = (0..PERIOD)
            .map(|_| {
                // xorshift32: any full-period generator does.
                state ^= state << 13;
                state ^= state >> 17;
                state ^= state << 5;
                state.to_be_bytes()[0]
            })
            .collect();
        let count = period
            .iter()
            .cycle()
            .take(PERIOD + LONGEST)
            .copied()
            .collect();
        Self { count }
    }
}

impl Pattern {
    /// `len` bytes of stream `stream` from place `at` on; at most 65,536 of them.
    #[must_use]
    pub fn slice(&self, stream: u64, at: u64, len: usize) -> &[u8] {
        let start = (stream.wrapping_mul(7919).wrapping_add(at) % PERIOD as u64) as usize;
        let end = start + len.min(LONGEST);
        self.count.get(start..end).unwrap_or_default()
    }

    /// Whether `bytes` stand at place `at` of stream `stream`.
    #[must_use]
    pub fn holds(&self, stream: u64, at: u64, bytes: &[u8]) -> bool {
        self.slice(stream, at, bytes.len()) == bytes
    }
}

/// The stream from the device of the flow with this number.
#[must_use]
pub const fn upstream(flow: u64) -> u64 {
    flow * 2
}

/// The stream toward the device of the flow with this number.
#[must_use]
pub const fn downstream(flow: u64) -> u64 {
    flow * 2 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shifted_or_foreign_slice_is_noticed() {
        let pattern = Pattern::default();
        let bytes = pattern.slice(4, 100_000, 1460).to_vec();
        assert!(pattern.holds(4, 100_000, &bytes));
        assert!(!pattern.holds(4, 100_001, &bytes));
        assert!(!pattern.holds(5, 100_000, &bytes));
    }

    #[test]
    fn places_far_apart_go_on_without_a_seam() {
        let pattern = Pattern::default();
        let at = PERIOD as u64 - 3;
        let (head, tail) = (pattern.slice(0, at, 3), pattern.slice(0, 0, 5));
        assert_eq!(pattern.slice(0, at, 8), [head, tail].concat());
    }
}
