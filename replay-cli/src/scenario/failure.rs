//! One thing that was not as expected, and whether it can be excused.

use crate::base::diagnostic::Place;

pub use super::expect::FailureKind;

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
