//! Reads of big-endian fields that answer `None` past the end.

/// `N` bytes at `at`.
pub(crate) fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// A 16-bit field at `at`.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array_at(bytes, at).map(u16::from_be_bytes)
}

/// A 32-bit field at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_be_bytes)
}

/// Writes `value` at `at`; false, and nothing written, if it does not fit.
pub(crate) fn write_at(bytes: &mut [u8], at: usize, value: &[u8]) -> bool {
    let Some(target) = bytes
        .get_mut(at..)
        .and_then(|rest| rest.get_mut(..value.len()))
    else {
        return false;
    };
    target.copy_from_slice(value);
    true
}
