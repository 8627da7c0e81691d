//! TCP sequence numbers: a ring, not a line, so there is no `Ord`.

use core::fmt;

/// A TCP sequence number (RFC 9293 section 3.4), compared modulo 2^32.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seq(pub(crate) u32);

impl Seq {
    /// The number `count` bytes further on.
    #[inline]
    pub(crate) fn plus(self, count: u32) -> Self {
        Self(self.0.wrapping_add(count))
    }

    /// Signed distance from `earlier` to `self`; right while both lie within 2^31 of each other.
    #[inline]
    pub(crate) fn minus(self, earlier: Self) -> i32 {
        #[expect(
            clippy::cast_possible_wrap,
            reason = "the wrap is the meaning: RFC 9293 section 3.4"
        )]
        let distance = self.0.wrapping_sub(earlier.0) as i32;
        distance
    }

    #[inline]
    pub(crate) fn is_after(self, other: Self) -> bool {
        self.minus(other) > 0
    }

    #[inline]
    pub(crate) fn is_before(self, other: Self) -> bool {
        self.minus(other) < 0
    }

    /// The later of the two.
    #[inline]
    pub(crate) fn latest(self, other: Self) -> Self {
        if other.is_after(self) { other } else { self }
    }
}

impl fmt::Debug for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn distance_survives_the_wrap(start: u32, step in 0u32..0x7fff_ffff) {
            let (a, b) = (Seq(start), Seq(start).plus(step));
            prop_assert_eq!(i64::from(b.minus(a)), i64::from(step));
            prop_assert_eq!(b.is_after(a), step > 0);
            prop_assert_eq!(a.latest(b), b);
        }
    }
}
