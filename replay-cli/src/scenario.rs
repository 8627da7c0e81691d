//! A scenario: what goes into the engine, how the far side behaves, and what must come out.
//!
//! One JSON file is one scenario. The types here are that file, field by field; unknown fields are errors, and what a file
//! leaves out is `None` or empty rather than a silent default, so that a file read and written again stays the same file.
//!
//! * [`Scenario`] and its parts: [`EngineSettings`], [`Input`], [`DialerScript`], [`Fault`], [`Expectations`].
//! * [`load`] reads a file and keeps the position of every value; [`discover`] finds the files.
//! * [`canonical`] prints a scenario in the one form files are stored in; [`schema`] describes it to editors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub mod bytes;
pub mod canonical;
pub mod catalogue;
mod check;
pub mod decap;
mod decode;
pub mod destination;
pub mod deviation;
pub mod dialer;
pub mod discover;
pub mod engine_settings;
pub mod expect;
pub mod expected;
pub mod failure;
pub mod fault;
pub mod files;
pub mod flow;
pub mod input;
mod json;
pub mod list;
pub mod load;
mod positions;
pub mod schema;
pub(crate) mod twins;

pub use bytes::{Bytes, Pattern};
pub use decap::{Decap, Tunnel};
pub use destination::Destination;
pub use deviation::Deviation;
pub use dialer::{
    Dial, DialResult, DialerScript, QueryKind, ResolverResult, ResolverRule, Rule, SendFrom, Step,
    True, When,
};
pub use engine_settings::{EngineSettings, Preset};
pub use expect::{
    CloseExpectation, DialExpectation, Direction, DnsExpectation, ExpectationKind, Expectations,
    HalfCloseExpectation, How, MemoryExpectation, Never, Side, StallExpectation, StreamExpectation,
    StreamPair,
};
pub use expected::Expected;
pub use fault::{Fault, FaultAction, FaultAmount, FaultPoint};
pub use flow::{FlowSpec, Protocol};
pub use input::{CaptureSettings, Checksums, Device, Input, Retransmissions, Timing};
pub use list::{ClosedList, Named};

/// The only schema number this version reads and writes.
pub const SCHEMA: u32 = 1;

/// One scenario file.
///
/// ```
/// use replay::scenario::load;
///
/// let loaded = load::load("../expectations/http/get.json".as_ref()).expect("a sound scenario");
/// assert_eq!(loaded.name, "http/get");
/// assert_eq!(loaded.scenario.to_canonical_string(), loaded.text);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(description = "One scenario file.")]
pub struct Scenario {
    /// The number of the file format; 1.
    #[schemars(extend("const" = 1))]
    pub schema: u32,
    /// What kind of scenario this is, if not one for `replay run`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// What the scenario shows, as a sentence.
    pub title: String,
    /// Identifiers of the requirements the scenario covers: of the conformance catalogue, or names of your own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub covers: Vec<String>,
    /// How the engine is known to fail the scenario, which states what the requirement asks for all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deviation: Option<Deviation>,
    /// Engine settings that differ from the defaults.
    #[serde(default, skip_serializing_if = "EngineSettings::is_default")]
    pub engine: EngineSettings,
    /// Short names for flows: `"get": "tcp 10.0.0.2:40000 > 93.184.216.34:80"`.
    #[serde(default, skip_serializing_if = "Named::is_empty")]
    pub flows: Named<FlowSpec>,
    /// What the device sends: a capture, or frames written by hand.
    pub input: Input,
    /// How the far side behaves.
    #[serde(default, skip_serializing_if = "DialerScript::is_default")]
    pub dialer: DialerScript,
    /// Damage done to frames on their way in or out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// What must come out. Stream integrity, the invariants and the second run are always checked.
    #[serde(default, skip_serializing_if = "Expectations::is_empty")]
    pub expect: Expectations,
}

/// A kind of scenario that `replay run` leaves to another command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A scenario of `replay stress`, which has a schema of its own.
    Stress,
}

impl Scenario {
    /// The flow a reference means: a name of `flows`, a name with `#n`, or a full tuple written out.
    #[must_use]
    pub fn flow(&self, reference: &str) -> Option<FlowSpec> {
        if let Some(spec) = self.flows.get(reference) {
            return Some(*spec);
        }
        if let Some((name, occurrence)) = reference.split_once('#')
            && let Some(spec) = self.flows.get(name.trim_end())
        {
            return Some(FlowSpec {
                occurrence: occurrence.parse().ok().filter(|n| *n > 0)?,
                ..*spec
            });
        }
        reference.parse().ok()
    }

    /// The name `flows` gives to a flow, if it gives one.
    #[must_use]
    pub fn flow_name(&self, flow: &FlowSpec) -> Option<&str> {
        self.flows
            .iter()
            .find(|(_, spec)| *spec == flow)
            .map(|(name, _)| name)
    }
}
