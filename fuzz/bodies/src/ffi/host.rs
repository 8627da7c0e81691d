//! The host: its callbacks, what they have seen, and its clock.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{c_char, c_void};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use engine_ffi::*;
use replay::packet::Packet;

use crate::engine::device::Device;
use crate::engine::input::Frame;

/// What callbacks are handed as their context.
pub(super) struct Host {
    engine: AtomicPtr<BridgeEngine>,
    mtu: usize,
    answers: [u8; 8],
    state: Mutex<State>,
}

struct State {
    device: Device,
    now: u64,
    /// Open flows, and whether they are TCP, in the order of their dials.
    open: BTreeMap<u64, bool>,
    order: Vec<u64>,
    closed: BTreeSet<u64>,
    query: u64,
    answered: usize,
    hash: DefaultHasher,
    trouble: Option<String>,
}

impl Host {
    pub(super) fn new(answers: &[u8; 8], mtu: usize) -> Self {
        Self {
            engine: AtomicPtr::new(ptr::null_mut()),
            mtu,
            answers: *answers,
            state: Mutex::new(State {
                device: Device::new(),
                now: 1_000_000,
                open: BTreeMap::new(),
                order: Vec::new(),
                closed: BTreeSet::new(),
                query: 0,
                answered: 0,
                hash: DefaultHasher::new(),
                trouble: None,
            }),
        }
    }

    pub(super) fn set_engine(&self, engine: *mut BridgeEngine) {
        self.engine.store(engine, Ordering::Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves the clock on.
    pub(super) fn later(&self, micros: u64) -> u64 {
        let mut state = self.state();
        state.now = state.now.saturating_add(micros);
        state.now
    }

    /// A time as it comes: the engine refuses what is none, and stands still for what is past.
    pub(super) fn at(&self, micros: u64) -> u64 {
        let mut state = self.state();
        if micros < 1 << 60 {
            state.now = state.now.max(micros);
        } else if i64::try_from(micros).is_ok() {
            return state.now;
        }
        micros
    }

    pub(super) fn until(&self, due: u64) -> u64 {
        let mut state = self.state();
        state.now = state.now.max(due.min(1 << 60));
        state.now
    }

    pub(super) fn flow(&self, back: u8) -> u64 {
        let order = &self.state().order;
        let at = order.len().checked_sub(1 + usize::from(back));
        at.and_then(|at| order.get(at))
            .copied()
            .unwrap_or_else(|| back.into())
    }

    pub(super) fn query(&self) -> u64 {
        self.state().query
    }

    pub(super) fn speak(&self, frame: &Frame) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        self.state().device.speak(frame, &mut frames);
        frames
    }

    /// Fails if a callback has met something wrong.
    pub(super) fn check(&self) {
        if let Some(trouble) = &self.state().trouble {
            panic!("{trouble}");
        }
    }

    pub(super) fn all_is_closed(&self) {
        let open = &self.state().open;
        assert!(open.is_empty(), "dialed and never closed: {open:?}");
    }

    /// A hash of all callbacks.
    pub(super) fn callbacks(&self) -> u64 {
        self.state().hash.finish()
    }

    pub(super) fn callbacks_of(&self, optional: u8) -> BridgeCallbacks {
        let there = |at: u8| optional & (1 << at) != 0;
        BridgeCallbacks {
            size: if there(7) {
                size_of::<BridgeCallbacks>() as u32
            } else {
                u32::MAX
            },
            reserved: 0,
            context: ptr::from_ref(self).cast_mut().cast(),
            emit_packets: Some(emit_packets),
            request_tcp_dial: Some(request_tcp_dial),
            request_udp_dial: Some(request_udp_dial),
            tcp_send: Some(tcp_send),
            udp_send: Some(udp_send),
            tcp_close: Some(tcp_close),
            udp_close: Some(udp_close),
            record_dns: there(0).then_some(record_dns as _),
            tcp_half_close: there(1).then_some(tcp_half_close as _),
            tcp_resume: there(2).then_some(tcp_resume as _),
            wake: there(3).then_some(wake as _),
            resolve: there(4).then_some(resolve as _),
        }
    }

    /// What the next callback answers.
    fn answer(&self) -> u8 {
        let mut state = self.state();
        state.answered += 1;
        let at = state.answered % self.answers.len();
        self.answers.get(at).copied().unwrap_or(0)
    }

    /// How many of so many are taken: all mostly, fewer, or more than there are.
    fn takes(&self, count: usize) -> usize {
        match self.answer() {
            0..=199 => count,
            200..=220 => 0,
            221..=240 => count / 2,
            _ => count + 1,
        }
    }

    fn note(&self, what: impl Hash) {
        what.hash(&mut self.state().hash);
    }

    fn wrong(&self, what: String) {
        self.state().trouble.get_or_insert(what);
    }

    fn dialed(&self, flow: u64, tcp: bool) {
        self.note((1, flow, tcp));
        let mut state = self.state();
        state.order.push(flow);
        if state.open.insert(flow, tcp).is_some() || state.closed.contains(&flow) {
            state
                .trouble
                .get_or_insert_with(|| format!("flow {flow} is dialed for again"));
        }
        drop(state);
        let (engine, answer) = (self.engine.load(Ordering::Relaxed), self.answer());
        // From within a callback: answers may come at once, what would wait for itself is refused.
        if answer % 4 < 2 {
            let done = BridgeEngineOnDialResult(engine, flow, 0);
            if done != BridgeStatus::Ok {
                self.wrong(format!("a dial answered at once: {done:?}"));
            }
        }
        if answer % 4 == 3 {
            let refused = [
                BridgeEngineStart(engine),
                BridgeEngineStop(engine),
                BridgeFreeEngine(engine),
            ];
            let polled = BridgeEnginePoll(engine, 1);
            let all = refused
                .iter()
                .all(|status| *status == BridgeStatus::Reentrant);
            if !all || polled != BridgeStatus::Reentrant as i64 {
                self.wrong(format!("within a callback: {refused:?} {polled}"));
            }
        }
    }

    fn has(&self, flow: u64, tcp: bool, what: &str) {
        self.note((2, flow, what));
        if self.state().open.get(&flow) != Some(&tcp) {
            self.wrong(format!("{what} of {flow}, which is not open"));
        }
    }

    fn closed(&self, flow: u64, tcp: bool, close: BridgeClose) {
        self.has(flow, tcp, "close");
        self.note((close.by as u32, close.how as u32));
        let mut state = self.state();
        state.open.remove(&flow);
        state.closed.insert(flow);
        state.order.retain(|open| *open != flow);
    }
}

/// The host behind a context.
///
/// # Safety
/// `context` is what `callbacks_of` put there, and the host outlives the engine.
unsafe fn host<'a>(context: *mut c_void) -> &'a Host {
    // SAFETY: by this function's own contract; the host is only ever shared.
    unsafe { &*context.cast_const().cast::<Host>() }
}

unsafe extern "C" fn emit_packets(
    context: *mut c_void,
    packets: *const BridgePacket,
    count: usize,
) -> usize {
    // SAFETY: the ABI hands back our context, and `count` packets of the length they say.
    let (host, packets) = unsafe { (host(context), std::slice::from_raw_parts(packets, count)) };
    if !(1..=64).contains(&count) {
        host.wrong(format!("{count} packets at once"));
    }
    let taken = host.takes(count);
    for packet in packets.iter().take(taken) {
        // SAFETY: as above.
        let bytes = unsafe { std::slice::from_raw_parts(packet.bytes, packet.length) };
        host.note(bytes);
        match Packet::whole(bytes) {
            Ok(read) if read.checksums().are_sound() && bytes.len() <= host.mtu => {
                host.state().device.hear(bytes, &read);
            }
            other => host.wrong(format!("{} bytes: {other:?}", bytes.len())),
        }
    }
    taken
}

unsafe extern "C" fn request_tcp_dial(
    context: *mut c_void,
    flow: u64,
    _: *const BridgeAddress,
    _: *const BridgeAddress,
    _: *const c_char,
) {
    // SAFETY: the ABI hands back our context.
    unsafe { host(context) }.dialed(flow, true);
}

unsafe extern "C" fn request_udp_dial(
    context: *mut c_void,
    flow: u64,
    _: *const BridgeAddress,
    _: *const BridgeAddress,
    _: *const c_char,
) {
    // SAFETY: the ABI hands back our context.
    unsafe { host(context) }.dialed(flow, false);
}

unsafe extern "C" fn tcp_send(
    context: *mut c_void,
    flow: u64,
    bytes: *const u8,
    length: usize,
) -> usize {
    // SAFETY: the ABI hands back our context, and `length` bytes.
    let (host, bytes) = unsafe { (host(context), std::slice::from_raw_parts(bytes, length)) };
    host.has(flow, true, "data");
    host.note(bytes);
    host.takes(length)
}

unsafe extern "C" fn udp_send(
    context: *mut c_void,
    flow: u64,
    _: *const BridgeAddress,
    bytes: *const u8,
    length: usize,
) -> i32 {
    // SAFETY: the ABI hands back our context, and `length` bytes if that is not zero.
    let host = unsafe { host(context) };
    if length > 0 {
        // SAFETY: as above.
        host.note(unsafe { std::slice::from_raw_parts(bytes, length) });
    }
    host.has(flow, false, "datagram");
    i32::from(host.answer() < 200)
}

unsafe extern "C" fn tcp_close(context: *mut c_void, flow: u64, close: *const BridgeClose) {
    // SAFETY: the ABI hands back our context and a close.
    let (host, close) = unsafe { (host(context), *close) };
    host.closed(flow, true, close);
}

unsafe extern "C" fn udp_close(context: *mut c_void, flow: u64, close: *const BridgeClose) {
    // SAFETY: the ABI hands back our context and a close.
    let (host, close) = unsafe { (host(context), *close) };
    host.closed(flow, false, close);
}

unsafe extern "C" fn record_dns(context: *mut c_void, record: *const BridgeDnsRecord) {
    // SAFETY: the ABI hands back our context and a record.
    let (host, record) = unsafe { (host(context), &*record) };
    host.note((record.count, record.ttl));
}

unsafe extern "C" fn tcp_half_close(context: *mut c_void, flow: u64) {
    // SAFETY: the ABI hands back our context.
    unsafe { host(context) }.has(flow, true, "half-close");
}

unsafe extern "C" fn tcp_resume(context: *mut c_void, flow: u64, _: usize) {
    // SAFETY: the ABI hands back our context.
    unsafe { host(context) }.has(flow, true, "resume");
}

unsafe extern "C" fn wake(context: *mut c_void) {
    // SAFETY: the ABI hands back our context.
    unsafe { host(context) }.note("wake");
}

unsafe extern "C" fn resolve(context: *mut c_void, query: u64, _: *const c_char, family: u32) {
    // SAFETY: the ABI hands back our context.
    let host = unsafe { host(context) };
    host.note((query, family));
    host.state().query = query;
}
