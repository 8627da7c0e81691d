//! Stress scenarios: many flows at once, every byte verified, limits on what may be lost, held and waited for.
//!
//! A file of `"kind": "stress"` says which flows there are; [`run`] plays them with the device and far sides of
//! [`load`](crate::load), and holds the result against the limits. There are two [ways](Way): through the engine in virtual
//! time, where the same file gives the same result on every machine, and against the real driver on a thread of its own,
//! where time and memory are measured.

use std::path::Path;

use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};

use crate::base::diagnostic::{Diagnostic, Position};
use crate::base::duration::{Micros, Size};
pub use crate::load::plan::Side;
use crate::scenario::EngineSettings;

mod bounds;
#[cfg(target_os = "linux")]
mod driven;
mod limits;
mod measures;
mod outcome;
mod path;
mod plan;
mod play;
mod process;

pub use measures::{Border, CostRatio, Measures, Quantiles, Resident};
pub use outcome::{Outcome, Played, Report};
pub use path::{Bound, Bursts, Case, Goodput, GoodputLimit, OnPath, OnWay, PathPlan, WayPlan};
pub use play::{Seen, Watch, Way, run};

/// A stress scenario, schema 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Stress {
    /// The version of this format: 1.
    pub schema: u32,
    /// Always `stress`: such files are left out by `replay run`.
    pub kind: Kind,
    /// One sentence that says what must hold.
    pub title: String,
    /// Engine settings that differ from the defaults; the flow limits grow to what the load needs unless given.
    #[serde(default, skip_serializing_if = "EngineSettings::is_default")]
    pub engine: EngineSettings,
    /// TCP flows, in groups of a kind.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tcp: Vec<TcpGroup>,
    /// Datagrams that the far side sends back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub udp: Option<UdpGroup>,
    /// What goes wrong between the device and the engine.
    #[serde(default, skip_serializing_if = "Link::is_fine")]
    pub link: Link,
    /// The path between the device and the engine. It is in virtual time, so that such a scenario is not played against the
    /// driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathPlan>,
    /// Paths to play the scenario on, one after the other, in place of the one above.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cases: Vec<Case>,
    /// What the run is held against, beside every byte at its place.
    #[serde(default)]
    pub limits: Limits,
}

/// The word that marks these files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A stress scenario.
    Stress,
}

/// TCP flows of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TcpGroup {
    /// How many at a time, 1 to 20,000.
    #[schemars(range(min = 1, max = 20000))]
    pub flows: u32,
    /// Bytes of each from the device.
    #[serde(default)]
    pub up: Size,
    /// Bytes of each toward the device.
    #[serde(default)]
    pub down: Size,
    /// How many connections in all, each flow followed by another on a new port; absent: as many as `flows`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// How long after the ones before the next flows begin; absent: all at once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub every: Micros,
    /// How many begin together, `every` so often; absent: one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20000))]
    pub together: Option<u32>,
    /// By how much at most each begins later than that, each by another span.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub jitter: Micros,
    /// Whether no byte moves before every flow of the scenario that says so is connected.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub waits_for_all: bool,
    /// The most bytes of a segment, both ways: what the device's SYN offers, and what it sends. Absent: what the MTU allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 64, max = 65495))]
    pub segment: Option<u32>,
    /// In how many turns of question and answer both streams go: the device sends a part of `up`, and the next part once
    /// the same part of `down` has come. Absent: both streams at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000000))]
    pub turns: Option<u32>,
    /// How long the device thinks between two turns.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub think: Micros,
    /// Which side closes first.
    #[serde(default)]
    pub closes_first: Side,
    /// Whether the flows are left open once all bytes have arrived.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub stays_open: bool,
    /// Until when the apps on the device read nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub device_stalls_until: Micros,
    /// Until when the far sides read nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub remote_stalls_until: Micros,
    /// Bytes a second that each app on the device reads; absent: all that comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_reads: Option<Size>,
    /// Bytes a second that each far side reads; absent: all that comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote_reads: Option<Size>,
}

/// Datagrams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UdpGroup {
    /// How many sockets, 1 to 20,000.
    #[schemars(range(min = 1, max = 20000))]
    pub flows: u32,
    /// How many datagrams in all, shared out evenly, 1 to 100,000,000.
    #[schemars(range(min = 1, max = 100000000))]
    pub datagrams: u64,
    /// Bytes of each, 8 to 1,400.
    #[schemars(range(min = 8, max = 1400))]
    pub size: u32,
    /// How often the far side sends each back, 0 to 16; absent: once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 16))]
    pub replies: Option<u8>,
    /// How many a second go out, whatever comes back; absent: as many as `in_flight` lets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub per_second: Option<u64>,
    /// How many may be out without having come back, without `per_second`; absent: 256. What is not answered for half a
    /// second is given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub in_flight: Option<u32>,
}

/// The link between the device and the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Link {
    /// Frames lost out of a thousand, both ways.
    #[serde(default)]
    #[schemars(range(max = 500))]
    pub loss: u32,
    /// Frames held back behind the next batch, out of a thousand, both ways.
    #[serde(default)]
    #[schemars(range(max = 500))]
    pub reorder: u32,
    /// What decides which.
    #[serde(default)]
    pub seed: u64,
}

impl Link {
    fn is_fine(&self) -> bool {
        *self == Self::default()
    }
}

/// What a run is held against. Those that depend on the machine are judged against the driver only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Whether every datagram must arrive and come back, and no frame may be dropped.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub no_drops: bool,
    /// The most heap the engine may hold; against the driver: engine, ring and inboxes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_heap: Option<Size>,
    /// The longest the load may take in virtual time. Not judged against the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_time: Option<Micros>,
    /// The least goodput on a path. Needs `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goodput: Option<GoodputLimit>,
    /// The most that 99 of 100 turns of the driver may come late. Depends on the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lag_p99: Option<Micros>,
    /// The longest that 99 of 100 turns of the driver may take. Depends on the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_turn_p99: Option<Micros>,
    /// How much dearer a frame may be than with fewer flows. Depends on the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost_ratio: Option<CostLimit>,
    /// The most allocations of the driver's and the engine's for each frame, opening and closing of flows included. Judged
    /// against the driver.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub allocations_per_frame: Option<f64>,
    /// The most resident memory the process may have beyond what it had before the first flow, the load's own part
    /// included; looked at every 20 ms. Depends on the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_resident: Option<Size>,
    /// The most resident memory for each flow once all are connected and before a byte has moved: needs
    /// `waits_for_all`. Depends on the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident_per_idle_flow: Option<Size>,
    /// The same after all bytes have moved: needs `stays_open` as well. Depends on the machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident_per_used_flow: Option<Size>,
}

/// A limit on what a frame costs: processor time of the driver's thread for each frame, in and out together, divided by the
/// same of a baseline: this scenario once more, in the same process, with so many TCP flows that share the same bytes and
/// connections, and with so many UDP flows at the most.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CostLimit {
    /// TCP flows of the baseline, and its UDP flows at the most.
    #[schemars(range(min = 1, max = 20000))]
    pub flows: u32,
    /// How many times as dear a frame may be.
    #[schemars(range(min = 0))]
    pub at_most: f64,
}

impl Stress {
    /// TCP flows at a time.
    fn tcp_flows(&self) -> usize {
        self.tcp.iter().map(|group| group.flows as usize).sum()
    }

    fn udp_flows(&self) -> usize {
        self.udp.as_ref().map_or(0, |udp| udp.flows as usize)
    }
}

fn is_zero(span: &Micros) -> bool {
    *span == Micros::ZERO
}

/// Reads a stress scenario.
///
/// # Errors
/// Where the text is wrong, and how.
pub fn parse(path: &Path, text: &str) -> Result<Stress, Diagnostic> {
    let stress: Stress = serde_json::from_str(text).map_err(|error| {
        let place = Position {
            line: u32::try_from(error.line()).unwrap_or(u32::MAX),
            column: u32::try_from(error.column()).unwrap_or(u32::MAX),
        };
        let message = error.to_string();
        let what = message
            .split(" at line ")
            .next()
            .unwrap_or(&message)
            .to_owned();
        let help = nearest(&what).map_or_else(
            || "`replay schema stress` prints every field with its meaning".to_owned(),
            |word| format!("did you mean `{word}`? `replay schema stress` has them all"),
        );
        Diagnostic::new(what).at(path, place).help(help)
    })?;
    bounds::check(&stress).map_err(|what| {
        let help = "`replay schema stress` has the bounds of every field";
        Diagnostic::new(what).in_file(path).help(help)
    })?;
    Ok(stress)
}

/// Of the words that a message lists, the one nearest to the word it refuses.
fn nearest(message: &str) -> Option<&str> {
    let mut words = message.split('`').skip(1).step_by(2);
    let wrong = words.next()?;
    words
        .map(|word| (strsim::damerau_levenshtein(wrong, word), word))
        .filter(|(distance, word)| *distance <= word.len().div_ceil(3))
        .min()
        .map(|(_, word)| word)
}

/// The JSON Schema of stress scenarios, as the text of its file.
#[must_use]
pub fn schema_text() -> String {
    format!("{:#}\n", schema_for!(Stress).to_value())
}

/// The JSON Schema of what `replay stress --format json` prints, as the text of its file.
#[must_use]
pub fn report_schema_text() -> String {
    format!("{:#}\n", schema_for!(Report).to_value())
}

#[cfg(test)]
mod tests;
