//! Expectations renewed from a run: drafts beside scenarios, for a person to review.
//!
//! In: a scenario and what its runs showed (`witness`). Out: a draft file ([`draft`]) whose `expect` fits the run. A golden is never
//! replaced here without having been reviewed.

pub mod draft;
pub mod minimize;
pub mod record;
pub(crate) mod witness;
