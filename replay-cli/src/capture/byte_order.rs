//! Integers out of untrusted bytes, in the order a capture was written in.

use crate::packet::read::array_at;

/// The order of a file's or section's integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ByteOrder {
    /// Most significant byte first.
    Big,
    /// Least significant byte first.
    Little,
}

impl ByteOrder {
    /// Reads the 16-bit integer at `at`, if all of it is there.
    pub(crate) fn u16(self, bytes: &[u8], at: usize) -> Option<u16> {
        array_at(bytes, at).map(|field| u16::from_be_bytes(self.ordered(field)))
    }

    /// Reads the 32-bit integer at `at`, if all of it is there.
    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        array_at(bytes, at).map(|field| u32::from_be_bytes(self.ordered(field)))
    }

    /// Reads the signed 64-bit integer at `at`, if all of it is there.
    pub(crate) fn i64(self, bytes: &[u8], at: usize) -> Option<i64> {
        array_at(bytes, at).map(|field| i64::from_be_bytes(self.ordered(field)))
    }

    /// The bytes of a 16-bit integer.
    pub(crate) fn of_u16(self, value: u16) -> [u8; 2] {
        self.ordered(value.to_be_bytes())
    }

    /// The bytes of a 32-bit integer.
    pub(crate) fn of_u32(self, value: u32) -> [u8; 4] {
        self.ordered(value.to_be_bytes())
    }

    /// Bytes in big endian order in this one, and the reverse.
    fn ordered<const N: usize>(self, mut field: [u8; N]) -> [u8; N] {
        if self == Self::Little {
            field.reverse();
        }
        field
    }

    /// Names the order in a format line: "little" or "big".
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Big => "big",
            Self::Little => "little",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_read_the_same_value_from_mirrored_bytes() {
        assert_eq!(ByteOrder::Big.u32(&[0, 1, 2, 3, 4], 1), Some(0x0102_0304));
        assert_eq!(
            ByteOrder::Little.u32(&[0, 4, 3, 2, 1], 1),
            Some(0x0102_0304)
        );
        assert_eq!(ByteOrder::Big.u16(&[1, 2], 0), Some(0x0102));
        assert_eq!(ByteOrder::Little.i64(&[0xff; 8], 0), Some(-1));
    }

    #[test]
    fn a_field_that_sticks_out_is_none() {
        assert_eq!(ByteOrder::Big.u16(&[1], 0), None);
        assert_eq!(ByteOrder::Big.u32(&[1, 2, 3, 4], usize::MAX), None);
    }
}
