//! What must come out of the engine: the kinds of expectations, each with what is written of it, what types cannot say of that, and
//! the failures that it can give.
//!
//! What a kind does with a run stands in [`crate::verdict`], a file for each.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Checker;
use super::dialer::True;
use super::expected::Expected;
use super::flow::Protocol;
use super::list::{ClosedList, Named};
use crate::base::duration::{Micros, Size};

mod ending;
#[macro_use]
mod kinds;

pub use ending::{Direction, How, Side};
use kinds::{Element, Written, is_absent};

kinds! {
    /// Every dial request, free in order; closed.
    dials Dials: Option<ClosedList<DialExpectation>> {
        /// An expected dial did not come.
        MissingDial = "missing-dial",
        /// A dial came that is not in the closed list.
        UnexpectedDial = "unexpected-dial",
        /// A dial carried another name.
        WrongName = "wrong-name",
    }

    /// Emitted packets as lines, in order within a flow, closed for each flow named, pure acknowledgements excepted.
    packets Packets: Vec<String> {
        /// An expected packet did not come.
        MissingPacket = "missing-packet",
        /// A packet came at a place where another was expected.
        WrongPacket = "wrong-packet",
        /// A packet came after all that were expected of its flow.
        UnexpectedPacket = "unexpected-packet",
        /// A packet came at the wrong time.
        WrongTime = "wrong-time",
    }

    /// Packets that must not be emitted.
    never Never: Vec<Never> {
        /// A packet came that must never come.
        ForbiddenPacket = "forbidden-packet",
        /// Something came during a silence.
        BrokenSilence = "broken-silence",
    }

    /// The bytes of each flow in both directions.
    streams Streams: Named<StreamPair> {
        /// A stream has another length or content.
        WrongStream = "wrong-stream",
    }

    /// Every half-close, free in order; closed.
    half_closes HalfCloses: Option<ClosedList<HalfCloseExpectation>> {
        /// An expected half-close did not come.
        MissingHalfClose = "missing-half-close",
        /// A half-close came that is not in the closed list.
        UnexpectedHalfClose = "unexpected-half-close",
    }

    /// Every stall of half a second and more, free in order; closed: a time in which one side takes no more of the other's bytes, and its
    /// window has no room for a segment.
    stalls Stalls: Option<ClosedList<StallExpectation>> {
        /// An expected stall did not come.
        MissingStall = "missing-stall",
        /// A stall began or ended at another time.
        WrongStall = "wrong-stall",
        /// A stall came that is not in the closed list.
        UnexpectedStall = "unexpected-stall",
    }

    /// Every close, free in order; closed.
    closes Closes: Option<ClosedList<CloseExpectation>> {
        /// An expected close did not come.
        MissingClose = "missing-close",
        /// A flow ended in another way.
        WrongClose = "wrong-close",
        /// A close came that is not in the closed list.
        UnexpectedClose = "unexpected-close",
    }

    /// Every DNS record the engine reported, free in order; closed.
    dns Dns: Option<ClosedList<DnsExpectation>> {
        /// An expected DNS record did not come.
        MissingDns = "missing-dns",
        /// A DNS record came that is not in the closed list.
        UnexpectedDns = "unexpected-dns",
    }

    /// Counters by name: an exact value, or `{"min", "max"}`.
    counters Counters: Named<Expected<u64>> {
        /// A counter has another value.
        WrongCounter = "wrong-counter",
    }

    /// Ceilings on memory.
    memory Memory: Option<MemoryExpectation> {
        /// More memory than allowed.
        TooMuchMemory = "too-much-memory",
    }

    others {
        /// An always-on invariant is broken.
        Invariant = "invariant",
        /// An input never became due: what it waits for did not come.
        Stuck = "stuck",
        /// The run did not come to an end within its bound of steps.
        Livelock = "livelock",
        /// Two runs differ.
        Nondeterminism = "nondeterminism",
        /// An expectation names a flow that never was.
        UnknownFlow = "unknown-flow",
        /// A run by another way in than the core did what the core did not do.
        DiffersFromCore = "differs-from-core",
        /// Another stack ended, did not answer, or said what the protocol does not know.
        BrokenStack = "broken-stack",
        /// A scenario that is known to fail passed.
        UnexpectedPass = "unexpected-pass",
        /// A scenario that is known to fail failed in another way.
        WrongDeviation = "wrong-deviation",
    }
}

impl Expectations {
    /// Whether nothing is expected beyond what is always checked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        is_absent(self)
    }
}

/// One dial request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DialExpectation {
    /// The flow it is for.
    pub flow: String,
    /// When it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Expected<Micros>>,
    /// The name it carries, under which a DNS answer gave the address to the device; empty: none. Not compared if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Element for DialExpectation {
    fn check(&self, _: &str, pointer: &str, checker: &mut Checker<'_>) {
        checker.flow(&format!("{pointer}/flow"), &self.flow);
    }
}

/// A line of `packets`.
impl Element for String {
    fn check(&self, _: &str, pointer: &str, checker: &mut Checker<'_>) {
        if self.trim().is_empty() {
            checker.report(pointer, "the line is empty");
        }
    }
}

/// A packet that must not be emitted: one that meets every condition written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Never {
    /// The flow; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flow: Option<String>,
    /// The transport; any if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proto: Option<Protocol>,
    /// TCP flags that are all set, as packetdrill writes them: `S F R P E W .`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[SFRPEW.]+$"))]
    pub flags: Option<String>,
    /// The number of payload bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub length: Option<Expected<u64>>,
    /// The TCP window in bytes, after scaling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<Expected<u64>>,
    /// When it is emitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Expected<Micros>>,
}

impl Element for Never {
    fn check(&self, _: &str, pointer: &str, checker: &mut Checker<'_>) {
        if *self == Self::default() {
            checker.report(
                pointer,
                "the element has no condition, so it forbids every packet",
            );
        }
        if let Some(flow) = &self.flow {
            checker.flow(&format!("{pointer}/flow"), flow);
        }
        if let Some(flags) = &self.flags
            && (flags.is_empty() || !flags.chars().all(|flag| "SFRPEW.".contains(flag)))
        {
            checker.report(
                format!("{pointer}/flags"),
                format!("{flags:?} are no TCP flags; they are written S F R P E W ."),
            );
        }
    }
}

/// The bytes of a flow in both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamPair {
    /// What the dialer was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstream: Option<StreamExpectation>,
    /// What the device was given, each byte once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downstream: Option<StreamExpectation>,
}

/// The bytes of one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamExpectation {
    /// How many bytes: a number, or `{"min", "max"}`.
    pub bytes: Expected<u64>,
    /// Their SHA-256 as 64 lower-case hex digits; not compared if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub sha256: Option<String>,
}

impl Element for StreamPair {
    fn check(&self, flow: &str, pointer: &str, checker: &mut Checker<'_>) {
        checker.flow(pointer, flow);
        if *self == Self::default() {
            checker.report(
                pointer,
                "the streams of a flow need `upstream`, `downstream` or both",
            );
        }
        for (direction, stream) in self.sides() {
            let hex = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
            if let Some(digest) = &stream.sha256
                && !(digest.len() == 64 && digest.bytes().all(hex))
            {
                checker.report(
                    format!("{pointer}/{direction}/sha256"),
                    "a SHA-256 has 64 lower-case hex digits",
                );
            }
        }
    }
}

impl StreamPair {
    /// The directions that are written, with their words.
    pub(crate) fn sides(&self) -> impl Iterator<Item = (&'static str, &StreamExpectation)> {
        let sides = [
            ("upstream", &self.upstream),
            ("downstream", &self.downstream),
        ];
        sides
            .into_iter()
            .filter_map(|(side, stream)| Some((side, stream.as_ref()?)))
    }
}

/// One half-close: one side has ended its stream, the other still sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HalfCloseExpectation {
    /// The flow.
    pub flow: String,
    /// Who ended its stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Side>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Expected<Micros>>,
}

impl Element for HalfCloseExpectation {
    fn check(&self, _: &str, pointer: &str, checker: &mut Checker<'_>) {
        checker.flow(&format!("{pointer}/flow"), &self.flow);
    }
}

/// The least time that counts as a stall, microseconds: a user notices it.
pub const STALL_US: u64 = 500_000;

/// One stall: a side takes no more, and its window has no room for a segment of the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StallExpectation {
    /// The flow.
    pub flow: String,
    /// Which of its streams stood still.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// Who took no more: the remote of the upstream, the device of the downstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Side>,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Expected<Micros>>,
    /// How long it lasted: until the window opened, or one side gave up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Expected<Micros>>,
}

impl Element for StallExpectation {
    fn check(&self, _: &str, pointer: &str, checker: &mut Checker<'_>) {
        checker.flow(&format!("{pointer}/flow"), &self.flow);
        let own = self.direction.map(Direction::reader);
        if self.by.is_some() && own.is_some() && self.by != own {
            checker.report(
                format!("{pointer}/by"),
                "the upstream is stalled by the remote, and the downstream by the device",
            );
        }
    }
}

impl Direction {
    /// Who reads it.
    #[must_use]
    pub fn reader(self) -> Side {
        match self {
            Self::Upstream => Side::Remote,
            Self::Downstream => Side::Device,
        }
    }
}

/// One close, or with `open` that a flow has none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CloseExpectation {
    /// The flow.
    pub flow: String,
    /// Who ended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Side>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub how: Option<How>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Expected<Micros>>,
    /// The flow is still open at the end of the run; stands without `by`, `how` and `at`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<True>,
}

impl CloseExpectation {
    /// Whether the flow is expected to be open still at the end of the run.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

impl Element for CloseExpectation {
    fn check(&self, _: &str, pointer: &str, checker: &mut Checker<'_>) {
        let constrained = self.by.is_some() || self.how.is_some() || self.at.is_some();
        if self.is_open() && constrained {
            checker.report(
                format!("{pointer}/open"),
                "a flow that is `open` has no `by`, `how` or `at`",
            );
        }
        checker.flow(&format!("{pointer}/flow"), &self.flow);
    }

    /// Exactly one close per flow that ended: two for one flow can never both hold.
    fn check_all(closes: &[Self], pointer: &str, checker: &mut Checker<'_>) {
        let mut seen = BTreeSet::new();
        for (index, Self { flow, .. }) in closes.iter().enumerate() {
            if checker.find(flow).is_some_and(|spec| !seen.insert(spec)) {
                checker.report(
                    format!("{pointer}/{index}/flow"),
                    format!("`{flow}` has a close in this list already; a flow closes once"),
                );
            }
        }
    }
}

/// One DNS record the engine reported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DnsExpectation {
    /// The name asked for.
    pub name: String,
    /// The addresses answered; not compared if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addresses: Option<Vec<std::net::IpAddr>>,
    /// The time to live in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<Expected<u32>>,
    /// When it was reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Expected<Micros>>,
}

impl Element for DnsExpectation {
    fn check(&self, _: &str, pointer: &str, checker: &mut Checker<'_>) {
        if self.name.trim().is_empty() {
            checker.report(format!("{pointer}/name"), "the name is empty");
        }
    }
}

/// A counter's value.
impl Element for Expected<u64> {
    fn check(&self, name: &str, pointer: &str, checker: &mut Checker<'_>) {
        if name.trim().is_empty() {
            checker.report(pointer, "the counter has no name");
        }
    }
}

/// Ceilings on memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MemoryExpectation {
    /// The most heap the engine may have held at any time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak_heap: Option<Size>,
}

impl Written for Option<MemoryExpectation> {}
