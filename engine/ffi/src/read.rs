//! Reading what C points to: the only place where a pointer from outside is followed.

use core::ffi::c_char;
use core::mem::offset_of;

use crate::look::BridgeCounters;
use crate::types::{BridgeCallbacks, BridgeConfig, BridgeDeadline, BridgeRecording, BridgeStatus};

/// A struct that begins with its own `size`, all of whose bit patterns are sound, zeros among them.
///
/// # Safety
/// The type is `repr(C)`, begins with a `u32`, and any bytes make a sound value.
pub(crate) unsafe trait Sized32: Default + Copy {
    /// The size of its first version: less cannot be one.
    const FIRST: usize;
}

// SAFETY: integers only.
unsafe impl Sized32 for BridgeConfig {
    const FIRST: usize = offset_of!(Self, tcp_limit);
}

// SAFETY: integers, a raw pointer and optional function pointers, of which null is `None`; the host promises that others
// are functions.
unsafe impl Sized32 for BridgeCallbacks {
    const FIRST: usize = offset_of!(Self, tcp_half_close);
}

// SAFETY: integers only.
unsafe impl Sized32 for BridgeRecording {
    const FIRST: usize = size_of::<Self>();
}

/// A struct that begins with its own `size`, and that the library fills in.
///
/// # Safety
/// The type is `repr(C)`, begins with a `u32`, and has no padding.
pub(crate) unsafe trait Filled {
    /// The size of its first version: less has no room for what was always there.
    const FIRST: usize;
}

// SAFETY: integers only, each where its size wants it.
unsafe impl Filled for BridgeCounters {
    const FIRST: usize = offset_of!(Self, datagrams_refused);
}

// SAFETY: integers and an enum of their kind only, each where its size wants it.
unsafe impl Filled for BridgeDeadline {
    const FIRST: usize = size_of::<Self>();
}

/// Fills in as much of a struct as the caller's has room for by its own size, which is left as it is.
///
/// # Safety
/// `to` is null, or points to as many bytes as the `u32` there says.
pub(crate) unsafe fn fill<T: Filled>(to: *mut T, value: &T) -> Result<(), BridgeStatus> {
    // SAFETY: as this function's own contract says; only the integer at its start is read.
    let size = unsafe { optional(to.cast::<u32>().cast_const()) };
    let size = size.ok_or(BridgeStatus::NullPointer)? as usize;
    if size < T::FIRST {
        return Err(BridgeStatus::BadLength);
    }
    let length = size.min(size_of::<T>()) - size_of::<u32>();
    // SAFETY: behind the size both have `length` bytes more; ours is borrowed, so that they do not overlap.
    unsafe {
        let from = core::ptr::from_ref(value).cast::<u8>();
        let (from, to) = (
            from.add(size_of::<u32>()),
            to.cast::<u8>().add(size_of::<u32>()),
        );
        core::ptr::copy_nonoverlapping(from, to, length);
    }
    Ok(())
}

/// Reads a struct by its own size: what the caller does not have stays at its default, what is not known is ignored.
///
/// # Safety
/// `from` is null, or points to as many bytes as the `u32` there says.
pub(crate) unsafe fn sized<T: Sized32>(from: *const T) -> Result<T, BridgeStatus> {
    if from.is_null() {
        return Err(BridgeStatus::NullPointer);
    }
    // SAFETY: not null, and begins with a u32 by the trait's promise.
    let size = unsafe { from.cast::<u32>().read_unaligned() } as usize;
    if size < T::FIRST {
        return Err(BridgeStatus::BadLength);
    }
    let mut value = T::default();
    let length = size.min(size_of::<T>());
    // SAFETY: the caller's struct has `size` bytes, ours `size_of`, and we copy no more than the smaller; they do not
    // overlap, because ours is new. Any bytes make a sound value by the trait's promise.
    unsafe {
        core::ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut value).cast::<u8>(), length);
    }
    Ok(value)
}

/// Bytes from C; none if the length is zero, whatever the pointer is.
///
/// # Safety
/// `bytes` points to `length` bytes that are not written to during `'a`, or is null, or `length` is zero.
pub(crate) unsafe fn bytes<'a>(bytes: *const u8, length: usize) -> Result<&'a [u8], BridgeStatus> {
    if length == 0 {
        return Ok(&[]);
    }
    if bytes.is_null() {
        return Err(BridgeStatus::NullPointer);
    }
    if isize::try_from(length).is_err() {
        return Err(BridgeStatus::BadLength);
    }
    // SAFETY: not null, of a length an object can have, and sound to read by the caller's promise.
    Ok(unsafe { core::slice::from_raw_parts(bytes, length) })
}

/// A struct from C, or `None` for null.
///
/// # Safety
/// `from` is null or points to a `T`; any bytes make a sound `T`.
pub(crate) unsafe fn optional<T: Copy>(from: *const T) -> Option<T> {
    if from.is_null() {
        return None;
    }
    // SAFETY: not null, and a `T` by the caller's promise.
    Some(unsafe { from.read_unaligned() })
}

/// Writes a struct for C, unless there is nowhere to.
///
/// # Safety
/// `to` is null or points to room for a `T`.
pub(crate) unsafe fn give<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: not null, and room for a `T` by the caller's promise.
        unsafe { to.write_unaligned(value) }
    }
}

/// Writes a text and a zero for C if `capacity` is above its length, else the zero alone if that has room. Answers the text's length.
///
/// # Safety
/// `buffer` is null or points to room for `capacity` bytes.
pub(crate) unsafe fn give_text(
    buffer: *mut c_char,
    capacity: usize,
    text: &str,
) -> Result<i64, BridgeStatus> {
    if capacity > 0 {
        if buffer.is_null() {
            return Err(BridgeStatus::NullPointer);
        }
        let bytes = if capacity > text.len() { text } else { "" }.as_bytes();
        // SAFETY: the text and its zero, or the zero alone, have room by the comparison and the caller's promise.
        unsafe {
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), buffer.cast(), bytes.len());
            buffer.add(bytes.len()).write(0);
        }
    }
    Ok(text.len().try_into().unwrap_or(i64::MAX))
}

/// A text from C, which ends with a zero within `limit` bytes and is UTF-8.
///
/// # Safety
/// `from` is null or points to bytes up to a zero, or `limit` of them.
pub(crate) unsafe fn text(from: *const c_char, limit: usize) -> Result<String, BridgeStatus> {
    if from.is_null() {
        return Err(BridgeStatus::NullPointer);
    }
    let mut bytes = Vec::new();
    for at in 0..limit {
        // SAFETY: every byte up to here was not zero, so this one is there by the caller's promise.
        let byte = unsafe { from.cast::<u8>().add(at).read() };
        if byte == 0 {
            return String::from_utf8(bytes).map_err(|_| BridgeStatus::BadArgument);
        }
        bytes.push(byte);
    }
    Err(BridgeStatus::BadLength)
}
