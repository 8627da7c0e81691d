//! What is measured against the driver, and depends on the machine.

use engine_driver::{Histogram, Snapshot};
use schemars::JsonSchema;
use serde::Serialize;

/// Times and memory of a run against the driver.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Measures {
    /// From the first frame to the last byte, seconds.
    pub seconds: f64,
    /// Bytes of streams a second from the device.
    pub octets_up_per_second: f64,
    /// Bytes of streams a second toward the device.
    pub octets_down_per_second: f64,
    /// Frames a second, in and out together.
    pub frames_per_second: f64,
    /// Processor time of the driver's thread, seconds; absent if the system does not tell.
    pub driver_seconds: Option<f64>,
    /// Processor time of the driver's thread for each frame, in and out together, nanoseconds.
    pub nanoseconds_per_frame: Option<f64>,
    /// How long turns took.
    pub turn_us: Quantiles,
    /// How late turns came.
    pub lag_us: Quantiles,
    /// How long flows with news from their far side stood in the queue.
    pub inbox_wait_us: Quantiles,
    /// How often engine and driver asked for heap; absent if nobody counts.
    pub allocations: Option<u64>,
    /// The same for each frame, opening and closing of flows included.
    pub allocations_per_frame: Option<f64>,
    /// Resident memory of the process.
    pub resident: Resident,
    /// What the driver's border refused, and how often it was full.
    pub border: Border,
    /// What a frame costs against the baseline of `limits.cost_ratio`.
    pub cost_ratio: Option<CostRatio>,
}

/// A histogram in microseconds; a quantile is at most a quarter too high.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Quantiles {
    /// How many were counted.
    pub count: u64,
    /// The median.
    pub p50: u64,
    /// 99 of 100 are no longer.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

impl From<&Histogram> for Quantiles {
    fn from(histogram: &Histogram) -> Self {
        let micros =
            |span: core::time::Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        Self {
            count: histogram.count(),
            p50: micros(histogram.quantile(0.5)),
            p99: micros(histogram.quantile(0.99)),
            max: micros(histogram.max()),
        }
    }
}

/// Resident memory in bytes. The load's own (clients of one size, buffers, tables) is taken and touched before the first
/// look, so that what comes on top belongs to the engine, the driver, and with sockets to the dialer and its server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Resident {
    /// Of the process before the first flow.
    pub before: Option<u64>,
    /// The most that came on top, looked at every 20 ms.
    pub peak_growth: Option<u64>,
    /// What came on top for each flow once all were connected and before a byte had moved (`waits_for_all`).
    pub per_idle_flow: Option<u64>,
    /// The same after all bytes had moved (`waits_for_all` and `stays_open`).
    pub per_used_flow: Option<u64>,
    /// Heap of engine and driver for each flow at these two looks.
    pub heap_per_flow: [Option<u64>; 2],
}

/// What happened at the driver's border.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Border {
    /// Frames of the device that a full ring refused, and which are lost.
    pub ring_overflow_frames: u64,
    /// The most bytes the ring held.
    pub ring_high_water: u64,
    /// Datagrams of far sides that a full inbox refused, and which are lost.
    pub inbox_dropped_datagrams: u64,
    /// Datagrams of the device that the dialer did not take, and which are lost.
    pub dialer_dropped_datagrams: u64,
    /// Bytes that the dialer did not take at once; they came later.
    pub dialer_refused_octets: u64,
    /// Batches that the device did not take at once; they came later.
    pub device_refused_batches: u64,
    /// Turns whose budget was spent with work left.
    pub budget_spent: u64,
}

impl From<&Snapshot> for Border {
    fn from(snapshot: &Snapshot) -> Self {
        let stats = &snapshot.stats;
        Self {
            ring_overflow_frames: stats.ring_overflow_frames,
            ring_high_water: stats.ring_high_water,
            inbox_dropped_datagrams: stats.inbox_dropped_datagrams,
            dialer_dropped_datagrams: stats.host_dropped_datagrams,
            dialer_refused_octets: stats.host_refused_bytes,
            device_refused_batches: stats.host_refused_batches,
            budget_spent: stats.budget_spent,
        }
    }
}

/// What a frame costs against a baseline; see `limits.cost_ratio` in the schema of stress scenarios.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, JsonSchema)]
pub struct CostRatio {
    /// TCP flows of the baseline.
    pub flows: u32,
    /// Nanoseconds of the driver's thread for each of its frames.
    pub baseline_nanoseconds_per_frame: f64,
    /// This scenario's divided by that.
    pub ratio: f64,
}
