//! What came out of stress scenarios: the document that `replay stress --format json` prints.

use schemars::JsonSchema;
use serde::Serialize;

use super::measures::Measures;
use super::path::OnPath;

/// The document, schema 1.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Report {
    /// The version of this format: 1.
    pub schema: u32,
    /// By which way: `core` (virtual time) or `driver`.
    pub via: String,
    /// What dials against the driver: `memory` or `sockets`.
    pub dialer: Option<String>,
    /// Whether it was interrupted; what is there was measured until then.
    pub interrupted: bool,
    /// Scenarios that kept every limit.
    pub passed: usize,
    /// Scenarios that missed one, or lost a byte.
    pub missed: usize,
    /// Scenarios whose two runs in virtual time differed.
    pub unsteady: usize,
    /// Each scenario.
    pub results: Vec<Played>,
}

/// One scenario.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Played {
    /// Its name.
    pub scenario: String,
    /// What must hold.
    pub title: String,
    /// How long it took, seconds of wall time; in virtual time the mean of two runs.
    pub seconds: f64,
    /// Whether two runs gave the same; always true against the driver, where there is one.
    pub steady: bool,
    /// What came out.
    pub outcome: Outcome,
}

impl Played {
    /// The word for how it ended: `pass`, `miss`, or `stop` if it was interrupted.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match &self.outcome {
            outcome if outcome.interrupted => "stop",
            outcome if outcome.missed.is_empty() && self.steady => "pass",
            _ => "miss",
        }
    }
}

/// What a run did, and which limits it missed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, JsonSchema)]
pub struct Outcome {
    /// Virtual time the load took, microseconds; absent against the driver.
    pub virtual_us: Option<u64>,
    /// Flows that carried every byte both ways.
    pub flows_served: u64,
    /// Flows that should have.
    pub flows_wanted: u64,
    /// Bytes of streams that the far sides received, each verified.
    pub octets_up: u64,
    /// Bytes of streams that the device received, each verified.
    pub octets_down: u64,
    /// Datagrams sent, received by far sides, and come back, each verified.
    pub datagrams: [u64; 3],
    /// Frames handed to the engine.
    pub frames_in: u64,
    /// Frames the engine emitted.
    pub frames_out: u64,
    /// Frames and datagrams dropped by the engine, for whatever reason; against the driver also at its border.
    pub drops: u64,
    /// Segments sent again, by the device and by the engine.
    pub retransmissions: [u64; 2],
    /// The most heap the engine held, bytes, against the driver with ring and inboxes; absent if it is not counted.
    pub peak_heap: Option<u64>,
    /// Flows open at the end.
    pub open: u64,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// What the path did, and the goodput on it; absent without one.
    pub path: Option<OnPath>,
    /// Times and memory, against the driver.
    pub measures: Option<Measures>,
    /// What was missed: empty is a pass.
    pub missed: Vec<String>,
}
