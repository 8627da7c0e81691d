//! The kinds of failures, by the labels that reports and deviations have for them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::diagnostic::Place;

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
