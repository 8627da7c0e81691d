//! Looking at an engine: counters and statistics as of the end of its last turn, also after it was stopped.

use core::ffi::c_char;
use core::fmt::Write as _;

use engine::FlowId;
use engine_driver::Snapshot;

use crate::handle::{find, guard, guard_count};
use crate::read;
use crate::types::{BridgeDeadline, BridgeEngine, BridgeStatus};

/// The counters a host shows; `BridgeEngineGetStats` has all of them. They only grow, but for the number of flows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct BridgeCounters {
    /// `sizeof(BridgeCounters)` of the header the caller was compiled with, set before the call.
    pub size: u32,
    /// Zero.
    pub reserved: u32,
    /// Packets the device handed in, as far as the engine has looked at them.
    pub packets_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Packets for the device.
    pub packets_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Packets the device handed in that found no room.
    pub packets_lost: u64,
    /// Packets the engine dropped, for whatever reason.
    pub packets_dropped: u64,
    /// Bytes and payloads handed to the dialer.
    pub upstream_bytes: u64,
    /// Bytes and payloads taken from the dialer.
    pub downstream_bytes: u64,
    /// TCP flows open.
    pub tcp_flows: u64,
    /// UDP flows open.
    pub udp_flows: u64,
    /// TCP flows refused for want of room.
    pub tcp_admission_fail: u64,
    /// UDP flows refused for want of room.
    pub udp_admission_fail: u64,
    /// TCP dials that did not connect.
    pub tcp_dial_fail: u64,
    /// Datagrams dropped because a queue was full.
    pub udp_backpressure_drops: u64,
    /// Turns taken.
    pub turns: u64,
    /// The longest turn, microseconds.
    pub longest_turn_us: u64,
    /// Datagrams lost because `udp_send` refused them, or had refused one before and too many waited behind that.
    pub datagrams_refused: u64,
    /// UDP dials that did not connect.
    pub udp_dial_fail: u64,
    /// TCP flows closed because nothing moved for too long.
    pub tcp_idle_timeout: u64,
    /// UDP flows closed because nothing moved for too long.
    pub udp_idle_timeout: u64,
    /// Batches of packets that `emit_packets` did not take whole at once.
    pub host_refused_batches: u64,
    /// Bytes that `tcp_send` did not take at once.
    pub host_refused_bytes: u64,
}

/// Fills in the counters, as many as the caller's struct has room for. `BAD_LENGTH`: its `size` is below that of the first version.
///
/// # Safety
/// `counters` points to a struct of the size it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeEngineGetCounters(
    engine: *mut BridgeEngine,
    counters: *mut BridgeCounters,
) -> BridgeStatus {
    guard(|| {
        let snapshot = find(engine)?.last_run()?.snapshot();
        let (all, stats) = (&snapshot.counters, &snapshot.stats);
        let filled = BridgeCounters {
            size: 0,
            reserved: 0,
            packets_in: all.frames_in,
            bytes_in: all.bytes_in,
            packets_out: all.frames_out,
            bytes_out: all.bytes_out,
            packets_lost: stats.ring_overflow_frames,
            packets_dropped: all.frames_dropped(),
            upstream_bytes: all.upstream_bytes,
            downstream_bytes: all.downstream_bytes,
            tcp_flows: all.tcp_flows,
            udp_flows: all.udp_flows,
            tcp_admission_fail: all.tcp_admission_fail,
            udp_admission_fail: all.udp_admission_fail,
            tcp_dial_fail: all.tcp_dial_fail,
            udp_backpressure_drops: all.udp_backpressure_drops,
            turns: stats.turns,
            longest_turn_us: micros(stats.turn_duration.max()),
            datagrams_refused: stats.host_dropped_datagrams,
            udp_dial_fail: all.udp_dial_fail,
            tcp_idle_timeout: all.tcp_idle_timeout,
            udp_idle_timeout: all.udp_idle_timeout,
            host_refused_batches: stats.host_refused_batches,
            host_refused_bytes: stats.host_refused_bytes,
        };
        // SAFETY: as this call's own contract says.
        unsafe { read::fill(counters, &filled) }
    })
}

/// Host-driven: what the time that `BridgeEnginePoll` answered last is for, if no work was left then. A host that may sleep through idle
/// limits learns from it whether anything else is waited for.
///
/// `BAD_LENGTH`: its `size` is below that of this version. `REENTRANT` from within a callback of this engine, and for an engine that has a thread of its
/// own; `BUSY` while another thread polls it.
///
/// # Safety
/// `deadline` points to a struct of the size it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeEngineGetDeadline(
    engine: *mut BridgeEngine,
    deadline: *mut BridgeDeadline,
) -> BridgeStatus {
    guard(|| {
        let due = find(engine)?.deadline()?;
        let filled = due.map_or_else(BridgeDeadline::default, |due| BridgeDeadline {
            size: 0,
            timer: due.timer.into(),
            at_us: due.at.0,
            flow: due.flow.map_or(0, FlowId::to_bits),
        });
        // SAFETY: as this call's own contract says.
        unsafe { read::fill(deadline, &filled) }
    })
}

/// Every counter of the engine and every number of its loop, as one JSON object of flat names, UTF-8, with a zero at the end. Answers the length
/// without the zero; if `capacity` is not above it, nothing is written but the zero, if that has room: ask with 0 first, or bring 16 KiB.
///
/// # Safety
/// `buffer` points to room for `capacity` bytes, or is null and `capacity` is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeEngineGetStats(
    engine: *mut BridgeEngine,
    buffer: *mut c_char,
    capacity: usize,
) -> i64 {
    guard_count(|| {
        let text = json(&find(engine)?.last_run()?.snapshot());
        // SAFETY: as this call's own contract says.
        unsafe { read::give_text(buffer, capacity, &text) }
    })
}

/// Every counter of the engine in the text form of OpenMetrics 1.0, UTF-8, with a zero at the end, for whoever collects metrics. The
/// answer and the buffer are as those of `BridgeEngineGetStats`: ask with 0 first, or bring 64 KiB.
///
/// # Safety
/// `buffer` points to room for `capacity` bytes, or is null and `capacity` is zero.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn BridgeEngineOpenMetrics(
    engine: *mut BridgeEngine,
    buffer: *mut c_char,
    capacity: usize,
) -> i64 {
    guard_count(|| {
        let snapshot = find(engine)?.last_run()?.snapshot();
        let text = snapshot.counters.to_openmetrics();
        // SAFETY: as this call's own contract says.
        unsafe { read::give_text(buffer, capacity, &text) }
    })
}

fn json(snapshot: &Snapshot) -> String {
    let (counters, stats) = (&snapshot.counters, &snapshot.stats);
    let mut text = String::from("{");
    let spans = [
        ("turn_us_p50", micros(stats.turn_duration.quantile(0.5))),
        ("turn_us_p99", micros(stats.turn_duration.quantile(0.99))),
        ("turn_us_max", micros(stats.turn_duration.max())),
        ("lag_us_p50", micros(stats.lag.quantile(0.5))),
        ("lag_us_p99", micros(stats.lag.quantile(0.99))),
        ("lag_us_max", micros(stats.lag.max())),
    ];
    for (name, value) in counters.iter().chain(stats.counts()).chain(spans) {
        let comma = if text.len() > 1 { "," } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{comma}\"{name}\":{value}");
    }
    text.push('}');
    text
}

fn micros(time: core::time::Duration) -> u64 {
    time.as_micros().try_into().unwrap_or(u64::MAX)
}
