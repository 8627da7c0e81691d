//! Making, starting, driving, stopping and freeing an engine.

use core::ffi::c_char;
use core::num::NonZero;
use core::time::Duration;
use std::path::PathBuf;

use engine::{Config, Martians, PathPolicy};
use engine_driver::Limits;
use engine_driver::recorder::Bounds;

use crate::bridge::{Bridge, Settings};
use crate::handle::{enter, find, guard, guard_count, leave};
use crate::host::Callbacks;
use crate::read;
use crate::types::{
    BRIDGE_ABI_VERSION, BridgeCallbacks, BridgeConfig, BridgeEngine, BridgePreset, BridgeRecording,
    BridgeStatus, BridgeStatusNumber,
};

/// The longest name of a setting and the longest value, bytes with the zero.
const SETTING: usize = 64;

/// The longest path, bytes.
const PATH: usize = 4096;

/// The version of the library's ABI: `BRIDGE_ABI_VERSION` of its own header.
#[unsafe(no_mangle)]
pub extern "C" fn BridgeVersion() -> u32 {
    BRIDGE_ABI_VERSION
}

/// Makes an engine; both structs are copied. Null: it could not be made, and `status`, unless null, says why:
/// `NULL_POINTER` (a struct or a required callback), `BAD_LENGTH` (a `size`), `BAD_ARGUMENT` (a setting out of its bounds).
///
/// The handle is the host's to free with `BridgeFreeEngine`.
///
/// # Safety
/// Both structs have the size they say; the callbacks are functions of their types.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeNewEngine(
    config: *const BridgeConfig,
    callbacks: *const BridgeCallbacks,
    status: *mut BridgeStatus,
) -> *mut BridgeEngine {
    let mut engine = core::ptr::null_mut();
    let made = guard(|| {
        // SAFETY: as this call's own contract says.
        let config = unsafe { read::sized(config) }?;
        // SAFETY: as this call's own contract says.
        let callbacks = Callbacks::new(&unsafe { read::sized(callbacks) }?)?;
        let (settings, host_driven) = (settings(&config)?, config.host_driven != 0);
        engine = enter(|number| Bridge::new(number, settings, callbacks, host_driven));
        Ok(())
    });
    // SAFETY: as this call's own contract says.
    unsafe { read::give(status, made) };
    engine
}

/// Changes a setting for the next start, those that `BridgeConfig` has no field for among them: any field of the engine's `Config` but
/// the log's level and mask, by its name in snake case (`tcp_idle`, `udp_mapping`), and `inbox_bytes`, the bytes of far sides that may wait
/// per flow. `value` is a text: durations in microseconds, sizes and counts in decimal, `true` or `false`, words with underscores
/// (`endpoint_independent`), `none` for what may be absent. A `seed` set so is kept, zero as well;
/// `none` has it drawn at each start.
///
/// A zero is a value like any other here, not the default: where it would let nothing through or never end (`inbox_bytes`, `metrics_interval`) it is
/// out of its bounds. `BAD_ARGUMENT`: no such setting, no such value, or out of its bounds; nothing changes then. `BAD_LENGTH`: a text beyond 63 bytes.
/// `ALREADY_STARTED`: stop it before. `REENTRANT` from within a callback of this engine.
///
/// # Safety
/// `name` and `value` end with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeEngineSet(
    engine: *mut BridgeEngine,
    name: *const c_char,
    value: *const c_char,
) -> BridgeStatus {
    guard(|| {
        let bridge = find(engine)?;
        // SAFETY: as this call's own contract says.
        let name = unsafe { read::text(name, SETTING) }?;
        // SAFETY: as this call's own contract says.
        let value = unsafe { read::text(value, SETTING) }?;
        bridge.change(|settings| {
            if name == "inbox_bytes" {
                let bytes = value.parse().map_err(|_| BridgeStatus::BadArgument)?;
                settings.limits.inbox_bytes = bytes;
                return Ok(());
            }
            let set = settings.config.set(&name, &value);
            set.then_some(()).ok_or(BridgeStatus::BadArgument)
        })
    })
}

/// Stops the engine if it runs, as `BridgeEngineStop` does, and forgets it: the handle is bad from then on. When it
/// returns, no callback runs and none comes any more.
///
/// From within a callback of this engine: `REENTRANT`, and nothing happens. A null or bad handle: `NULL_POINTER`, `BAD_HANDLE`.
#[unsafe(no_mangle)]
pub extern "C" fn BridgeFreeEngine(engine: *mut BridgeEngine) -> BridgeStatus {
    guard(|| {
        find(engine)?.not_from_a_callback()?;
        // Of two threads that free it, one finds it.
        let bridge = leave(engine).ok_or(BridgeStatus::BadHandle)?;
        // Not started, stopped or broken: all the same to one who frees it.
        let _ = bridge.stop();
        Ok(())
    })
}

/// Starts the engine, with a thread of its own unless it is host-driven. Once it was stopped it can be started again, with
/// no flow and new counters.
///
/// `ALREADY_STARTED`; `IO`: no thread could be made; `REENTRANT` from within a callback of this engine.
#[unsafe(no_mangle)]
pub extern "C" fn BridgeEngineStart(engine: *mut BridgeEngine) -> BridgeStatus {
    guard(|| find(engine)?.start())
}

/// Closes every flow (TCP toward the device with a reset, each with its `tcp_close` or `udp_close`), then ends the thread. Waits
/// for callbacks that run; when it returns, none runs and none comes any more. Packets the host does not take then are lost.
///
/// `NOT_STARTED`, `STOPPED`; `REENTRANT` from within a callback of this engine. A callback that waits for the thread that
/// calls this waits for ever.
#[unsafe(no_mangle)]
pub extern "C" fn BridgeEngineStop(engine: *mut BridgeEngine) -> BridgeStatus {
    guard(|| find(engine)?.stop())
}

/// Host-driven: lets the engine work at `now_us`, microseconds since an origin of the host's choice, above zero and never
/// running back (a smaller one counts as the last). Callbacks come from within the call. Answers when to call again unless something comes in before
/// that: a time on the same clock, not above `now_us` while work is left, or `BRIDGE_NO_DEADLINE`; or a status below zero.
///
/// The same calls with the same times give the same callbacks, if the seed is fixed.
///
/// `REENTRANT` from within a callback of this engine, and for an engine that has a thread of its own; `BUSY` while another thread polls it;
/// `BAD_ARGUMENT` for a time that cannot be.
#[unsafe(no_mangle)]
pub extern "C" fn BridgeEnginePoll(engine: *mut BridgeEngine, now_us: u64) -> i64 {
    guard_count(|| find(engine)?.poll(now_us))
}

/// Begins to record to the file at `path` what crosses the tunnel and what the dialer does, in a pcapng that Wireshark
/// opens and `replay import` makes a test of. It is bounded by `max_bytes` (zero: not at all; else at least 512 KiB) as a ring of two files,
/// the older one with `.1` before the extension; regular files of these names are replaced, by files of mode 0600. A null `path` ends the recording; so does stopping, and
/// a disk that is full. Before the start it waits for it; else it begins with the next turn.
///
/// Flows that are open by then cannot be replayed: begin it before the start to have all of them.
///
/// `IO`: the file cannot be made, or a link or something else that is no regular file is in its place; the log says why. `BAD_ARGUMENT`: a path that is not UTF-8, `BAD_LENGTH`: or beyond 4,095 bytes.
///
/// # Safety
/// `path` is null or ends with a zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeEngineRecord(
    engine: *mut BridgeEngine,
    path: *const c_char,
    max_bytes: u64,
) -> BridgeStatus {
    let options = BridgeRecording {
        max_bytes,
        ..BridgeRecording::default()
    };
    // SAFETY: as this call's own contract says.
    guard(|| unsafe { record(engine, path, options) })
}

/// As `BridgeEngineRecord`, with all options of a recording. Null `options` are those of a zeroed struct.
///
/// `BAD_LENGTH`: a `size` that is too short, too.
///
/// # Safety
/// `path` is null or ends with a zero; `options` is null or has the size it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeEngineRecordWith(
    engine: *mut BridgeEngine,
    path: *const c_char,
    options: *const BridgeRecording,
) -> BridgeStatus {
    guard(|| {
        let options = if options.is_null() {
            BridgeRecording::default()
        } else {
            // SAFETY: as this call's own contract says.
            unsafe { read::sized(options) }?
        };
        // SAFETY: as this call's own contract says.
        unsafe { record(engine, path, options) }
    })
}

/// # Safety
/// `path` is null or ends with a zero.
unsafe fn record(
    engine: *mut BridgeEngine,
    path: *const c_char,
    options: BridgeRecording,
) -> Result<(), BridgeStatus> {
    let bridge = find(engine)?;
    let bounds = Bounds {
        max_bytes: (options.max_bytes > 0).then_some(options.max_bytes),
        snap_length: NonZero::new(options.snap_length),
    };
    let path = if path.is_null() {
        None
    } else {
        // SAFETY: as this function's own contract says.
        Some(PathBuf::from(unsafe { read::text(path, PATH) }?))
    };
    bridge.record(path.as_deref(), bounds)
}

/// A status in English, for logs; never null, and never to be freed. An unknown number is "unknown status".
#[unsafe(no_mangle)]
pub extern "C" fn BridgeStatusText(status: BridgeStatusNumber) -> *const c_char {
    let text = match status {
        0.. => c"done",
        -1 => c"a required pointer is null",
        -2 => c"no engine has this handle",
        -3 => c"a length that cannot be",
        -4 => c"an argument out of its bounds",
        -5 => c"the engine was not started yet",
        -6 => c"the engine was started before",
        -7 => c"the engine was stopped",
        -8 => c"not from within a callback, or not of an engine with a thread",
        -9 => c"another thread polls this engine",
        -10 => c"no flow has this number",
        -11 => c"the call does not fit the flow's protocol",
        -12 => c"the dial was answered before",
        -13 => c"the dial is not answered yet",
        -14 => c"the far side has ended before",
        -15 => c"no room",
        -16 => c"a file or thread cannot be made",
        -17 => c"it took too long",
        -18 => c"no such name",
        -19 => c"the engine panicked",
        _ => c"unknown status",
    };
    text.as_ptr()
}

/// The engine's settings for those of C.
fn settings(config: &BridgeConfig) -> Result<Settings, BridgeStatus> {
    let BridgeConfig {
        size: _,
        mtu,
        packet_pool_bytes,
        per_flow_bytes,
        tcp_limit,
        udp_limit,
        seed,
        host_driven: _,
        close_on_path_change,
        dial_timeout_ms,
        admit_martians,
        dns_interception,
        preset,
        metrics_interval_ms,
        reserved: _,
    } = *config;
    const PHONE: u32 = BridgePreset::Phone as u32;
    const MANY_FLOWS: u32 = BridgePreset::ManyFlows as u32;
    const DESKTOP: u32 = BridgePreset::Desktop as u32;
    let (mut settings, mut limits) = match preset {
        0 => (Config::default(), Limits::default()),
        PHONE => (Config::phone(), Limits::phone()),
        MANY_FLOWS => (Config::many_flows(), Limits::many_flows()),
        DESKTOP => (Config::desktop(), Limits::desktop()),
        _ => return Err(BridgeStatus::BadArgument),
    };
    let number = |value: u64| usize::try_from(value).map_err(|_| BridgeStatus::BadArgument);
    for (field, value) in [
        (&mut settings.mtu, mtu.into()),
        (&mut settings.tcp_limit, tcp_limit.into()),
        (&mut settings.udp_limit, udp_limit.into()),
        (&mut limits.ring_bytes, packet_pool_bytes),
    ] {
        if value > 0 {
            *field = number(value)?;
        }
    }
    if per_flow_bytes > 0 {
        let half = Some(number(per_flow_bytes / 2)?);
        (settings.rx_buffer, settings.tx_buffer) = (half, half);
    }
    if seed > 0 {
        settings.seed = Some(seed);
    }
    if close_on_path_change > 0 {
        settings.path_policy = PathPolicy::Close;
    }
    if dial_timeout_ms > 0 {
        settings.dial_timeout = Duration::from_millis(dial_timeout_ms.into());
    }
    if admit_martians > 0 {
        settings.martians = Martians::Admit;
    }
    if metrics_interval_ms > 0 {
        settings.metrics_interval = Some(Duration::from_millis(metrics_interval_ms.into()));
    }
    settings.dns_interception = dns_interception > 0;
    let sound = limits.check(&settings);
    sound.map_err(|_| BridgeStatus::BadArgument)?;
    Ok(Settings {
        config: settings,
        limits,
    })
}
