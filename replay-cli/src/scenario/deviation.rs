//! A requirement that is known not to be met, and how it shows.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::scenario::failure::FailureKind;

/// What a scenario is known to fail with. It counts as a deviation while it fails just so; when it passes, or fails otherwise, that
/// is a failure. The requirement it covers has a section in docs/DEVIATIONS.md.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Deviation {
    /// The kinds of the failures, all of them and no others, in any order.
    pub fails: Vec<FailureKind>,
    /// Why, in one sentence.
    pub why: String,
}

impl Deviation {
    /// Whether failures are the ones it names: each kind occurs, and no other.
    #[must_use]
    pub fn is(&self, mut kinds: impl Iterator<Item = FailureKind> + Clone) -> bool {
        self.fails
            .iter()
            .all(|kind| kinds.clone().any(|found| found == *kind))
            && kinds.all(|found| self.fails.contains(&found))
    }
}
