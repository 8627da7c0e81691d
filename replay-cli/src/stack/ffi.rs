//! The engine by way of the C ABI, driven by its host: what include/bridge.h offers to a C program, and nothing else.
//!
//! Settings, times and inputs go in as numbers, strings and pointers; [`callbacks`] push what they are given into a queue behind
//! the context pointer. Whatever a call answers that no host could expect is a complaint, which fails the run.

use core::ptr::NonNull;
use std::collections::BTreeMap;
use std::ffi::CString;
use std::net::{IpAddr, SocketAddr};

use engine::{
    Config, Counters, Deadline, DialResult, FlowId, Micros, Misuse, PathChange, Proto, QueryId,
    RemoteEnd, Resolution, TimerName,
};
use engine_ffi::{
    BRIDGE_NO_DEADLINE, BridgeAddress, BridgeConfig, BridgeDeadline, BridgeDialResult, BridgeEnd,
    BridgeEngine, BridgeEngineGetDeadline, BridgeEngineGetStats, BridgeEngineHandlePackets,
    BridgeEngineOnAddressLost, BridgeEngineOnBlocked, BridgeEngineOnDialResult,
    BridgeEngineOnPathChange, BridgeEngineOnResolved, BridgeEngineOnTcpClose,
    BridgeEngineOnTcpReceive, BridgeEngineOnUdpClose, BridgeEngineOnUdpReceive,
    BridgeEngineOnWritable, BridgeEnginePoll, BridgeEngineSet, BridgeEngineStart, BridgeEngineStop,
    BridgeEngineTcpRoom, BridgeFreeEngine, BridgeNewEngine, BridgePacket, BridgeStatus,
    BridgeTimer,
};

use super::driven::{Border, Driven, INBOX, MockHost};
use crate::base::diagnostic::Diagnostic;
use callbacks::State;

mod callbacks;

/// The engine's handle and what its callbacks push into.
#[derive(Debug)]
pub(crate) struct Ffi {
    engine: *mut BridgeEngine,
    /// Made by a `Box`, given to the callbacks as their context, freed after the engine.
    state: NonNull<State>,
    mtu: usize,
    /// Whether the host stopped it: from then on it takes nothing, and says so.
    stopped: bool,
}

/// Makes an engine, sets every setting by its name, and starts it.
pub(crate) fn open(config: &Config) -> Result<Driven<Ffi>, Diagnostic> {
    let state = NonNull::from(Box::leak(Box::<State>::default()));
    let callbacks = callbacks::all(state);
    let settings = BridgeConfig {
        size: size::<BridgeConfig>(),
        host_driven: 1,
        ..BridgeConfig::default()
    };
    let mut status = BridgeStatus::Ok;
    // SAFETY: the structs have their sizes; the callbacks are those of this module, sound with a `State` as context.
    let engine =
        unsafe { BridgeNewEngine(&raw const settings, &raw const callbacks, &raw mut status) };
    // From here on it is freed with what it has.
    let ffi = Ffi {
        engine,
        state,
        mtu: config.mtu,
        stopped: false,
    };
    let failed = |what: &str, status| Diagnostic::new(format!("{what}: the C ABI says {status:?}"));
    if engine.is_null() {
        return Err(failed("the engine cannot be made", status));
    }
    let own = ("inbox_bytes", INBOX.to_string());
    for (name, value) in config.named().into_iter().chain([own]) {
        let (name, value) = (text(name), text(&value));
        // SAFETY: both texts end with a zero.
        let status = unsafe { BridgeEngineSet(engine, name.as_ptr(), value.as_ptr()) };
        if status != BridgeStatus::Ok {
            return Err(failed(
                &format!("setting {name:?} cannot be {value:?}"),
                status,
            ));
        }
    }
    match BridgeEngineStart(engine) {
        BridgeStatus::Ok => Ok(Driven::new(ffi)),
        status => Err(failed("the engine cannot be started", status)),
    }
}

impl Ffi {
    fn state(&self) -> &State {
        // SAFETY: it lives as long as `self`; the engine calls back only within calls that have `&mut self`, or none.
        unsafe { self.state.as_ref() }
    }

    fn state_mut(&mut self) -> &mut State {
        // SAFETY: as above; nothing else refers to it while no call of the engine runs.
        unsafe { self.state.as_mut() }
    }

    fn complain(&mut self, what: &str, status: i64) {
        let complaint = format!("{what}: the C ABI answers {status}");
        self.state_mut().host.complaints.push(complaint);
    }

    /// A status as the engine's own word.
    fn answer(&mut self, what: &str, status: BridgeStatus) -> Result<(), Misuse> {
        self.count(what, status as i64).map(|_| ())
    }

    /// A count, or a status below zero as the engine's own word.
    fn count(&mut self, what: &str, answer: i64) -> Result<usize, Misuse> {
        const STALE_FLOW: i64 = BridgeStatus::StaleFlow as i64;
        const WRONG_PROTOCOL: i64 = BridgeStatus::WrongProtocol as i64;
        const DIAL_ANSWERED: i64 = BridgeStatus::DialAnswered as i64;
        const NOT_CONNECTED: i64 = BridgeStatus::NotConnected as i64;
        const AFTER_END: i64 = BridgeStatus::AfterEnd as i64;
        Err(match answer {
            0.. => return Ok(usize::try_from(answer).unwrap_or(usize::MAX)),
            STALE_FLOW => Misuse::StaleFlow,
            WRONG_PROTOCOL => Misuse::WrongProtocol,
            DIAL_ANSWERED => Misuse::DialAnswered,
            NOT_CONNECTED => Misuse::NotConnected,
            AFTER_END => Misuse::AfterEnd,
            STOPPED if self.stopped => Misuse::StaleFlow,
            _ => {
                self.complain(what, answer);
                Misuse::StaleFlow
            }
        })
    }
}

impl Border for Ffi {
    fn mtu(&self) -> usize {
        self.mtu
    }

    fn frames(&mut self, frames: &[&[u8]]) -> usize {
        let packet = |frame: &&[u8]| BridgePacket {
            bytes: frame.as_ptr(),
            length: frame.len(),
        };
        let packets: Vec<_> = frames.iter().map(packet).collect();
        // SAFETY: the packets point to the frames, which live for the call.
        let taken =
            unsafe { BridgeEngineHandlePackets(self.engine, packets.as_ptr(), packets.len()) };
        self.count("packets", taken).unwrap_or(0)
    }

    fn path_changed(&mut self, change: PathChange) {
        let status = match change {
            PathChange::AddressLost(ip) => {
                let address = address(SocketAddr::new(ip, 0));
                // SAFETY: the address lives for the call.
                unsafe { BridgeEngineOnAddressLost(self.engine, &raw const address) }
            }
            _ => BridgeEngineOnPathChange(self.engine),
        };
        // A complaint is made of it by now.
        let _ = self.answer("path change", status);
    }

    fn dialed(&mut self, flow: FlowId, result: DialResult) -> Result<(), Misuse> {
        let number = match result {
            DialResult::Connected => BridgeDialResult::Connected,
            DialResult::Refused => BridgeDialResult::Refused,
            DialResult::HostUnreachable => BridgeDialResult::HostUnreachable,
            DialResult::NetworkUnreachable => BridgeDialResult::NetworkUnreachable,
            DialResult::Denied => BridgeDialResult::Denied,
            DialResult::TimedOut => BridgeDialResult::TimedOut,
        };
        let status = BridgeEngineOnDialResult(self.engine, flow.to_bits(), number as u32);
        self.answer("dial result", status)?;
        if let Some((_, answered)) = self.state_mut().flows.get_mut(&flow.to_bits()) {
            *answered = Some(result);
        }
        Ok(())
    }

    fn data(&mut self, flow: FlowId, data: &[u8]) -> Result<usize, Misuse> {
        let flow = flow.to_bits();
        // SAFETY: the bytes live for the call.
        let taken =
            unsafe { BridgeEngineOnTcpReceive(self.engine, flow, data.as_ptr(), data.len()) };
        self.count("bytes of the far side", taken)
    }

    fn room(&mut self, flow: FlowId) -> Result<usize, Misuse> {
        let room = BridgeEngineTcpRoom(self.engine, flow.to_bits());
        self.count("room", room)
    }

    fn datagram(
        &mut self,
        flow: FlowId,
        from: Option<SocketAddr>,
        data: &[u8],
    ) -> Result<bool, Misuse> {
        let from = from.map(address);
        let from = from.as_ref().map_or(core::ptr::null(), core::ptr::from_ref);
        let (flow, bytes) = (flow.to_bits(), data.as_ptr());
        // SAFETY: address and bytes live for the call.
        let status =
            unsafe { BridgeEngineOnUdpReceive(self.engine, flow, from, bytes, data.len()) };
        if status == BridgeStatus::Full {
            return Ok(false);
        }
        self.answer("datagram of the far side", status)?;
        Ok(true)
    }

    fn ended(&mut self, flow: FlowId, end: RemoteEnd) -> Result<(), Misuse> {
        let end = match end {
            RemoteEnd::Eof => BridgeEnd::Eof,
            RemoteEnd::Reset => BridgeEnd::Reset,
            RemoteEnd::Error => BridgeEnd::Error,
        };
        let flow = flow.to_bits();
        let status = match self.state().flows.get(&flow) {
            Some((Proto::Udp, _)) => BridgeEngineOnUdpClose(self.engine, flow, end as u32),
            _ => BridgeEngineOnTcpClose(self.engine, flow, end as u32),
        };
        self.answer("end of the far side", status)
    }

    fn set_blocked(&mut self, flow: FlowId, blocked: bool) -> Result<(), Misuse> {
        let status = if blocked {
            BridgeEngineOnBlocked(self.engine, flow.to_bits())
        } else {
            BridgeEngineOnWritable(self.engine, flow.to_bits())
        };
        self.answer("blocked or writable", status)
    }

    fn resolved(&mut self, query: QueryId, resolution: Resolution) {
        let (found, ttl, status) = match resolution {
            Resolution::Addresses { addresses, ttl } => (addresses, ttl, BridgeStatus::Ok),
            Resolution::NotFound => (Vec::new(), 0, BridgeStatus::NotFound),
            Resolution::Failed => (Vec::new(), 0, BridgeStatus::TimedOut),
        };
        let found = found.into_iter();
        let found: Vec<_> = found.map(|ip| address(SocketAddr::new(ip, 0))).collect();
        let (query, status) = (query.to_bits(), status as i32);
        let (first, count) = (found.as_ptr(), found.len());
        // SAFETY: the addresses live for the call.
        let status =
            unsafe { BridgeEngineOnResolved(self.engine, query, first, count, ttl, status) };
        // A complaint is made of it by now.
        let _ = self.answer("addresses of a name", status);
    }

    fn stop(&mut self, now: Micros) {
        // Stopping brings no time along: it is the last poll's.
        self.turn(now);
        let status = BridgeEngineStop(self.engine);
        self.stopped = true;
        if status != BridgeStatus::Ok {
            self.complain("stop", status as i64);
        }
    }

    fn turn(&mut self, now: Micros) -> Option<Micros> {
        let next = BridgeEnginePoll(self.engine, at(now));
        if next == BRIDGE_NO_DEADLINE || (next == STOPPED && self.stopped) {
            return None;
        }
        let Ok(next) = u64::try_from(next) else {
            self.complain("poll", next);
            return None;
        };
        Some(Micros(next))
    }

    fn deadline(&mut self) -> Option<Deadline> {
        let mut due = BridgeDeadline {
            size: size::<BridgeDeadline>(),
            ..BridgeDeadline::default()
        };
        // SAFETY: the struct has its size.
        let status = unsafe { BridgeEngineGetDeadline(self.engine, &raw mut due) };
        match status {
            BridgeStatus::Ok => {}
            BridgeStatus::Stopped if self.stopped => return None,
            status => {
                self.complain("deadline", status as i64);
                return None;
            }
        }
        Some(Deadline {
            at: Micros(due.at_us),
            timer: match due.timer {
                BridgeTimer::None => return None,
                BridgeTimer::Dial => TimerName::Dial,
                BridgeTimer::Handshake => TimerName::Handshake,
                BridgeTimer::RetransmissionLimit => TimerName::RetransmissionLimit,
                BridgeTimer::Linger => TimerName::Linger,
                BridgeTimer::Reassembly => TimerName::Reassembly,
                BridgeTimer::Resolve => TimerName::Resolve,
                BridgeTimer::KeepAlive => TimerName::KeepAlive,
                BridgeTimer::Idle => TimerName::Idle,
                BridgeTimer::HalfClosed => TimerName::HalfClosed,
                BridgeTimer::FinWait => TimerName::FinWait,
                BridgeTimer::Transmit | BridgeTimer::Other => TimerName::Transmit,
            },
            flow: (due.flow != 0).then(|| FlowId::from_bits(due.flow)),
        })
    }

    fn counters(&self) -> Option<Counters> {
        let mut stats = vec![0_u8; 64 << 10];
        let (to, room) = (stats.as_mut_ptr().cast(), stats.len());
        // SAFETY: the buffer has that much room.
        let length = unsafe { BridgeEngineGetStats(self.engine, to, room) };
        let stats = stats.get(..usize::try_from(length).ok()?)?;
        let stats: BTreeMap<String, u64> = serde_json::from_slice(stats).ok()?;
        let named = stats.iter().map(|(name, value)| (name.as_str(), *value));
        Some(Counters::from_named(named))
    }

    fn with_host<T>(&mut self, act: impl FnOnce(&mut MockHost) -> T) -> T {
        act(&mut self.state_mut().host)
    }

    fn complaints(&self) -> &[String] {
        &self.state().host.complaints
    }
}

impl Drop for Ffi {
    fn drop(&mut self) {
        // A null handle is nothing to free; after this no callback comes any more.
        let _ = BridgeFreeEngine(self.engine);
        // SAFETY: it was made by a box in `open`, and nothing refers to it any more.
        drop(unsafe { Box::from_raw(self.state.as_ptr()) });
    }
}

const STOPPED: i64 = BridgeStatus::Stopped as i64;

/// The ABI's time begins above zero.
fn at(now: Micros) -> u64 {
    now.0.max(1)
}

fn size<T>() -> u32 {
    size_of::<T>().try_into().unwrap_or(u32::MAX)
}

fn text(text: &str) -> CString {
    // Names and values of settings have no zeros; an empty text would be refused.
    CString::new(text).unwrap_or_default()
}

fn address(from: SocketAddr) -> BridgeAddress {
    let mut octets = [0; 16];
    let family = match from.ip() {
        IpAddr::V4(ip) => {
            let [a, b, c, d] = ip.octets();
            [octets[0], octets[1], octets[2], octets[3]] = [a, b, c, d];
            4
        }
        IpAddr::V6(ip) => {
            octets = ip.octets();
            6
        }
    };
    BridgeAddress {
        family,
        reserved: 0,
        port: from.port(),
        octets,
    }
}
