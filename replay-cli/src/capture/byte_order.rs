//! Integers out of untrusted bytes, in the order a capture was written in.

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
        let field = array(bytes, at)?;
        Some(match self {
            Self::Big => u16::from_be_bytes(field),
            Self::Little => u16::from_le_bytes(field),
        })
    }

    /// Reads the 32-bit integer at `at`, if all of it is there.
    pub(crate) fn u32(self, bytes: &[u8], at: usize) -> Option<u32> {
        let field = array(bytes, at)?;
        Some(match self {
            Self::Big => u32::from_be_bytes(field),
            Self::Little => u32::from_le_bytes(field),
        })
    }

    /// Reads the signed 64-bit integer at `at`, if all of it is there.
    pub(crate) fn i64(self, bytes: &[u8], at: usize) -> Option<i64> {
        let field = array(bytes, at)?;
        Some(match self {
            Self::Big => i64::from_be_bytes(field),
            Self::Little => i64::from_le_bytes(field),
        })
    }

    /// The bytes of a 32-bit integer.
    pub(crate) fn of_u32(self, value: u32) -> [u8; 4] {
        match self {
            Self::Big => value.to_be_bytes(),
            Self::Little => value.to_le_bytes(),
        }
    }

    /// Names the order in a format line: "little" or "big".
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Big => "big",
            Self::Little => "little",
        }
    }
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
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
