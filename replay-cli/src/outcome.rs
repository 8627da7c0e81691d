//! What a run came to: the one source of every report.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Place};
use crate::runner::Via;
use crate::scenario::Deviation;

/// What became of one scenario.
#[derive(Clone, Debug)]
pub struct ScenarioOutcome {
    /// Its name: the path under expectations/ without `.json`, ` (ipv6)` behind it for a twin.
    pub name: String,
    /// The scenario file.
    pub path: std::path::PathBuf,
    /// The title it has.
    pub title: String,
    /// Requirements it covers.
    pub covers: Vec<String>,
    /// How it ended.
    pub verdict: Verdict,
    /// Everything that was not as expected, in order of virtual time; the first divergence first.
    pub failures: Vec<Failure>,
    /// Which way in was taken.
    pub via: Via,
    /// Expectations and invariants that were checked.
    pub checks: u64,
    /// Expectations that only a run through the core can be held to: an exact time, a counter of batches and instants,
    /// the heap. None of them on a run through the core.
    pub core_only: u64,
    /// How the run went, whatever its verdict.
    pub figures: Figures,
    /// What the runner had to do on its own, and what it left out: one line each.
    pub notes: Vec<String>,
}

/// How a scenario ended.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// All that was expected was met.
    Pass,
    /// An expectation or an invariant was not met.
    Fail,
    /// It failed just as the scenario says it is known to: the reason.
    Deviation(String),
    /// Two runs gave different outputs.
    Nondeterministic,
    /// The scenario or one of its files cannot be used.
    Invalid(Vec<Diagnostic>),
    /// It asks for what an engine between a device and a dialer does not have: each such thing, with its place.
    NotApplicable(Vec<Diagnostic>),
    /// It is not for this command: the reason.
    Left(String),
}

/// Numbers of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Virtual time from the first input to the end, microseconds.
    pub virtual_us: u64,
    /// Frames injected.
    pub frames_in: u64,
    /// Frames emitted.
    pub frames_out: u64,
    /// Frames the runner made up, as the device would have (see the stall rule).
    pub synthetic: u64,
    /// Recorded retransmissions left out because they were not needed.
    pub left_out: u64,
    /// Flows that were dialed.
    pub flows: u64,
    /// Steps of the run.
    pub steps: u64,
}

/// One thing that was not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Stable kind, such as `missing-packet`.
    pub kind: FailureKind,
    /// One sentence, a lower-case fragment.
    pub what: String,
    /// What was expected, in the line notation where it is a packet.
    pub expected: Option<String>,
    /// What came instead, likewise.
    pub actual: Option<String>,
    /// Bytes of a stream or a packet that show the difference, with words of what they are. Reports have them on demand only.
    pub payload: Option<String>,
    /// The flow's name or tuple.
    pub flow: Option<String>,
    /// Number of the capture's packet that had a part in it.
    pub frame: Option<u64>,
    /// Virtual time, microseconds.
    pub at_us: Option<u64>,
    /// Where the expectation is written.
    pub place: Option<Place>,
    /// What to do next.
    pub help: Option<String>,
}

macro_rules! kinds {
    ($($(#[$doc:meta])+ $name:ident = $label:literal,)+) => {
        /// The kinds of failures.
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum FailureKind { $($(#[$doc])+ $name,)+ }

        impl FailureKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Stable label in reports.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)+ }
            }
        }
    };
}

kinds! {
    /// An expected dial did not come.
    MissingDial = "missing-dial",
    /// A dial came that is not in the closed list.
    UnexpectedDial = "unexpected-dial",
    /// A dial carried another name.
    WrongName = "wrong-name",
    /// An expected packet did not come.
    MissingPacket = "missing-packet",
    /// A packet came at a place where another was expected.
    WrongPacket = "wrong-packet",
    /// A packet came after all that were expected of its flow.
    UnexpectedPacket = "unexpected-packet",
    /// A packet came at the wrong time.
    WrongTime = "wrong-time",
    /// A packet came that must never come.
    ForbiddenPacket = "forbidden-packet",
    /// Something came during a silence.
    BrokenSilence = "broken-silence",
    /// A stream has another length or content.
    WrongStream = "wrong-stream",
    /// An expected half-close did not come.
    MissingHalfClose = "missing-half-close",
    /// A half-close came that is not in the closed list.
    UnexpectedHalfClose = "unexpected-half-close",
    /// An expected close did not come.
    MissingClose = "missing-close",
    /// A flow ended in another way.
    WrongClose = "wrong-close",
    /// A close came that is not in the closed list.
    UnexpectedClose = "unexpected-close",
    /// An expected DNS record did not come.
    MissingDns = "missing-dns",
    /// A DNS record came that is not in the closed list.
    UnexpectedDns = "unexpected-dns",
    /// A counter has another value.
    WrongCounter = "wrong-counter",
    /// More memory than allowed.
    TooMuchMemory = "too-much-memory",
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

impl FailureKind {
    /// Whether a requirement can be known to fail this way. What must always hold cannot be excused.
    #[must_use]
    pub const fn may_deviate(self) -> bool {
        !matches!(
            self,
            Self::Invariant
                | Self::Livelock
                | Self::Nondeterminism
                | Self::DiffersFromCore
                | Self::BrokenStack
                | Self::UnknownFlow
                | Self::UnexpectedPass
                | Self::WrongDeviation
        )
    }
}

impl ScenarioOutcome {
    /// Whether nothing is wrong with it that is not known and accepted.
    #[must_use]
    pub fn passed(&self) -> bool {
        matches!(
            self.verdict,
            Verdict::Pass | Verdict::Deviation(_) | Verdict::NotApplicable(_) | Verdict::Left(_)
        )
    }

    /// Holds the failures against what the scenario is known to fail with, and sets the verdict.
    pub(crate) fn judge(&mut self, deviation: Option<&Deviation>, place: Option<Place>) {
        let kinds = self.failures.iter().map(|failure| failure.kind);
        self.verdict = match deviation {
            None if self.failures.is_empty() => Verdict::Pass,
            None => Verdict::Fail,
            Some(deviation) if deviation.is(kinds.clone()) => {
                Verdict::Deviation(deviation.why.clone())
            }
            Some(deviation) => {
                let list = |kinds: &mut dyn Iterator<Item = FailureKind>| {
                    let mut labels: Vec<&str> = kinds.map(FailureKind::label).collect();
                    labels.sort_unstable();
                    labels.dedup();
                    labels.join(", ")
                };
                let (kind, what, help) = if self.failures.is_empty() {
                    (
                        FailureKind::UnexpectedPass,
                        "the scenario is known to fail, and passed",
                        "take out `deviation`, and the section of docs/DEVIATIONS.md with it",
                    )
                } else {
                    (
                        FailureKind::WrongDeviation,
                        "the scenario is known to fail, but failed in another way",
                        "mend what is new, or say in `deviation.fails` what is so",
                    )
                };
                let expected = list(&mut deviation.fails.iter().copied());
                let actual = list(&mut kinds.clone());
                self.failures.push(Failure {
                    kind,
                    what: what.to_owned(),
                    expected: Some(expected),
                    actual: (!actual.is_empty()).then_some(actual),
                    payload: None,
                    flow: None,
                    frame: None,
                    at_us: None,
                    place,
                    help: Some(help.to_owned()),
                });
                Verdict::Fail
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_the_words_of_scenario_files() {
        for kind in FailureKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.label());
        }
    }
}
