//! Resolving a name with the system's resolver, with a limit on the time.

use core::ffi::c_char;
use core::time::Duration;
use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use crate::handle::{find, guard};
use crate::host::address;
use crate::read;
use crate::types::{BridgeAddress, BridgeEngine, BridgeStatus};

/// The longest name, bytes with the zero (RFC 1035 section 2.3.4, and room for a last dot).
const NAME: usize = 256;

/// Lookups that may be under way in the process: the system's resolver cannot be interrupted, so one that is given up goes on.
const LOOKUPS: usize = 32;

static UNDER_WAY: AtomicUsize = AtomicUsize::new(0);

/// What a name resolved to. To be freed with `BridgeResolveResultFree`.
#[derive(Debug)]
#[repr(C)]
pub struct BridgeResolveResult {
    /// The addresses, in the resolver's order; ports are zero.
    pub addresses: *const BridgeAddress,
    /// How many; at least one.
    pub count: usize,
}

/// Resolves `name` (or an address in text form) within `timeout_ms`, on the calling thread, which waits: not from within a callback, which would hold
/// the engine up (`REENTRANT`). On `OK`, and only then, `result` has an answer that is the host's to free.
///
/// `NOT_FOUND`; `TIMED_OUT`; `BUSY`: too many lookups that were given up are still under way; `BAD_LENGTH`, `BAD_ARGUMENT`: no name.
/// Works before the start and after the stop as well.
///
/// # Safety
/// `name` ends with a zero; `result` points to room for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeEngineResolveHost(
    engine: *mut BridgeEngine,
    name: *const c_char,
    timeout_ms: u32,
    result: *mut *mut BridgeResolveResult,
) -> BridgeStatus {
    guard(|| {
        find(engine)?.not_from_a_callback()?;
        if result.is_null() {
            return Err(BridgeStatus::NullPointer);
        }
        // SAFETY: as this call's own contract says.
        unsafe { read::give(result, core::ptr::null_mut()) };
        // SAFETY: as this call's own contract says.
        let name = unsafe { read::text(name, NAME) }?;
        if name.is_empty() {
            return Err(BridgeStatus::BadArgument);
        }
        let found = lookup(name, Duration::from_millis(timeout_ms.into()))?;
        let addresses: Box<[BridgeAddress]> = found.into_iter().map(address).collect();
        let count = addresses.len();
        let answer = BridgeResolveResult {
            addresses: Box::into_raw(addresses)
                .cast::<BridgeAddress>()
                .cast_const(),
            count,
        };
        // SAFETY: as this call's own contract says.
        unsafe { read::give(result, Box::into_raw(Box::new(answer))) };
        Ok(())
    })
}

/// Frees an answer of `BridgeEngineResolveHost`; null is nothing to free. Each answer once.
///
/// # Safety
/// `result` is null or such an answer that was not freed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeResolveResultFree(result: *mut BridgeResolveResult) {
    if result.is_null() {
        return;
    }
    // SAFETY: an answer is a Box made above, given up once by this call's contract.
    let BridgeResolveResult { addresses, count } = *unsafe { Box::from_raw(result) };
    let addresses = core::ptr::slice_from_raw_parts_mut(addresses.cast_mut(), count);
    // SAFETY: the addresses are a boxed slice of this length made above.
    drop(unsafe { Box::from_raw(addresses) });
}

/// What a lookup found, once it has, and the way to wait for it.
type Answer = (Mutex<Option<io::Result<Vec<SocketAddr>>>>, Condvar);

fn lookup(name: String, timeout: Duration) -> Result<Vec<SocketAddr>, BridgeStatus> {
    if UNDER_WAY.fetch_add(1, Ordering::AcqRel) >= LOOKUPS {
        UNDER_WAY.fetch_sub(1, Ordering::AcqRel);
        return Err(BridgeStatus::Busy);
    }
    let answer: Arc<Answer> = Arc::default();
    let search = {
        let answer = Arc::clone(&answer);
        move || {
            let found = (name.as_str(), 0).to_socket_addrs().map(Iterator::collect);
            UNDER_WAY.fetch_sub(1, Ordering::AcqRel);
            // Nobody waits any more if it took too long.
            let (place, changed) = &*answer;
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
            changed.notify_one();
        }
    };
    let thread = thread::Builder::new().name("resolve".to_owned());
    if thread.spawn(search).is_err() {
        UNDER_WAY.fetch_sub(1, Ordering::AcqRel);
        return Err(BridgeStatus::Io);
    }
    let (place, changed) = &*answer;
    let place = place.lock().unwrap_or_else(PoisonError::into_inner);
    let waited = changed.wait_timeout_while(place, timeout, |found| found.is_none());
    let (mut place, _) = waited.unwrap_or_else(PoisonError::into_inner);
    let found = place.take().ok_or(BridgeStatus::TimedOut)?;
    let mut found = found.map_err(|_| BridgeStatus::NotFound)?;
    // One for each kind of socket, in the resolver's answer.
    let mut seen = BTreeSet::new();
    found.retain(|address| seen.insert(address.ip()));
    if found.is_empty() {
        return Err(BridgeStatus::NotFound);
    }
    Ok(found)
}
