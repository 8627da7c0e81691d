//! Stress scenarios: many flows at once in virtual time, every octet verified, limits on what may be lost and held.
//!
//! A file of `"kind": "stress"` says which flows there are; [`run`] plays them through the engine with the device and
//! far sides of [`load`](crate::load), twice, and holds the result against the limits. Nothing here reads a clock: the
//! same file gives the same result on every machine.

use std::path::Path;

use schemars::{JsonSchema, schema_for};
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Position};
use crate::duration::{Micros, Size};
use crate::scenario::EngineSettings;

mod play;

pub use play::{Outcome, run};

/// A stress scenario, schema 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    /// What the run is held against, beside every octet at its place.
    #[serde(default)]
    pub limits: Limits,
}

/// The word that tells these files from others.
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
    /// Octets of each from the device.
    #[serde(default)]
    pub up: Size,
    /// Octets of each toward the device.
    #[serde(default)]
    pub down: Size,
    /// How many connections in all, each flow followed by another on a new port; absent: as many as `flows`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connections: Option<u32>,
    /// How long after the one before each flow begins.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub every: Micros,
    /// Which side closes first.
    #[serde(default)]
    pub closes_first: Side,
    /// Whether the flows are left open once all octets have arrived.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub stays_open: bool,
    /// Until when the apps on the device read nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub device_stalls_until: Micros,
    /// Until when the far sides read nothing.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub remote_stalls_until: Micros,
}

/// A side of a flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The device.
    #[default]
    Device,
    /// The far side.
    Remote,
}

/// Datagrams.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UdpGroup {
    /// How many sockets, 1 to 20,000.
    #[schemars(range(min = 1, max = 20000))]
    pub flows: u32,
    /// How many datagrams in all, shared out evenly.
    pub datagrams: u64,
    /// Octets of each, 8 to 1,400.
    #[schemars(range(min = 8, max = 1400))]
    pub size: u32,
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

/// What a run is held against.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Whether every datagram must come back and no frame may be dropped.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub no_drops: bool,
    /// The most heap the engine may hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_heap: Option<Size>,
    /// The longest the load may take in virtual time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_time: Option<Micros>,
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
        let said = error.to_string();
        let what = said.split(" at line ").next().unwrap_or(&said).to_owned();
        Diagnostic::new(what)
            .at(path, place)
            .help("`replay schema stress` prints every field with its meaning")
    })?;
    check(&stress).map_err(|what| Diagnostic::new(what).in_file(path))?;
    Ok(stress)
}

fn check(stress: &Stress) -> Result<(), String> {
    if stress.schema != 1 {
        return Err(format!(
            "schema {} is not known; this replay reads schema 1",
            stress.schema
        ));
    }
    if stress.tcp.is_empty() && stress.udp.is_none() {
        return Err("no load: give `tcp` or `udp`".to_owned());
    }
    let mut flows = 0_u64;
    for group in &stress.tcp {
        flows += u64::from(group.flows);
        if group.connections.is_some_and(|all| all < group.flows) {
            return Err("`connections` is below `flows`".to_owned());
        }
        if group.stays_open && group.connections.is_some() {
            return Err("flows that stay open are not followed by others: drop `connections` or `stays_open`".to_owned());
        }
    }
    if let Some(udp) = &stress.udp {
        flows += u64::from(udp.flows);
        if !(8..=1400).contains(&udp.size) {
            return Err(format!(
                "datagrams of {} octets; 8 to 1,400 can be sent",
                udp.size
            ));
        }
    }
    if !(1..=40_000).contains(&flows) {
        return Err(format!(
            "{flows} flows at a time; 1 to 40,000 fit the device's ports"
        ));
    }
    if stress.link.loss > 500 || stress.link.reorder > 500 {
        return Err("more than 500 frames of a thousand lost or held back".to_owned());
    }
    if stress.udp.is_some() && !stress.link.is_fine() {
        return Err(
            "datagrams are told by their order: `udp` and a `link` that loses exclude each other"
                .to_owned(),
        );
    }
    Ok(())
}

/// The JSON Schema of stress scenarios, as the text of its file.
#[must_use]
pub fn schema_text() -> String {
    format!("{:#}\n", schema_for!(Stress).to_value())
}

#[cfg(test)]
mod tests;
