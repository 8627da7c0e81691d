//! The C ABI, driven by its host: calls in any order, with handles, lengths and sizes right and wrong, from two threads.
//!
//! What is held: no call panics or follows what it must not (the address sanitizer looks), every dial has one close by the
//! time of stop, no callback comes after it, what may not be called from a callback is refused there, frames are sound, and
//! a second run has the same callbacks.

mod call;
mod host;

use std::ptr;
use std::thread;

use arbitrary::{Arbitrary, Unstructured};
use engine_ffi::{
    BridgeCallbacks, BridgeConfig, BridgeEngine, BridgeFreeEngine, BridgeNewEngine, BridgeStatus,
};

use call::{Call, Handle, Plan};
use host::Host;

/// Calls of one input that count.
const CALLS: usize = 256;

/// Body of the target `ffi`.
pub fn ffi(data: &[u8]) {
    let Ok(plan) = Plan::arbitrary_take_rest(Unstructured::new(data)) else {
        return;
    };
    assert_eq!(play(&plan), play(&plan), "two runs of one input differ");
}

/// An engine's handle, which may go to another thread: it is a number.
#[derive(Clone, Copy)]
struct Engine(*mut BridgeEngine);

// SAFETY: the ABI takes calls from any thread, and never follows a handle.
unsafe impl Send for Engine {}

fn play(plan: &Plan) -> u64 {
    let host = Box::new(Host::new(&plan.answers, plan.config.mtu()));
    let engine = make(plan, &host);
    host.set_engine(engine.0);
    let mut freed = ptr::null_mut();
    for (handle, elsewhere, call) in plan.calls.iter().take(CALLS) {
        let to = match handle {
            Handle::Right => engine,
            Handle::Null => Engine(ptr::null_mut()),
            // A freed one, or a number that no engine has: they are multiples of 16.
            Handle::Wrong(0) => Engine(freed),
            Handle::Wrong(odd) => Engine(ptr::without_provenance_mut(usize::from(*odd) | 1)),
        };
        let status = if *elsewhere && !matches!(call, Call::Free) {
            thread::scope(|scope| {
                let shared = &*host;
                let there = scope.spawn(move || {
                    let to = to;
                    call.make(to.0, shared)
                });
                there.join().expect("a call does not panic")
            })
        } else {
            call.make(to.0, &host)
        };
        assert_ne!(status, BridgeStatus::Panicked as i64, "{call:?} panicked");
        if !matches!(handle, Handle::Right) {
            assert!(
                status < 0 || call.needs_no_engine(),
                "{call:?} of no engine: {status}"
            );
        } else if matches!(call, Call::Free) {
            freed = engine.0;
        }
        host.check();
        if matches!((call, handle), (Call::Stop | Call::Free, Handle::Right)) {
            host.all_is_closed();
        }
    }
    let _ = BridgeFreeEngine(engine.0);
    host.check();
    host.all_is_closed();
    host.callbacks()
}

fn make(plan: &Plan, host: &Host) -> Engine {
    let mut status = BridgeStatus::Ok;
    let config: BridgeConfig = plan.config.bridge();
    let callbacks: BridgeCallbacks = host.callbacks_of(plan.optional);
    // SAFETY: both structs live here, and their sizes are what they say or more than the library knows.
    let engine =
        unsafe { BridgeNewEngine(&raw const config, &raw const callbacks, &raw mut status) };
    assert_eq!(engine.is_null(), status != BridgeStatus::Ok, "{status:?}");
    assert_ne!(status, BridgeStatus::Panicked, "{config:?}");
    Engine(engine)
}
