//! From a scenario or a capture to a verdict: a run is made, and held against what is expected.
//!
//! In: a scenario file ([`run`]), a packetdrill script (`script`), a capture ([`attempt`]). Out: a [`ScenarioOutcome`](outcome::ScenarioOutcome)
//! or an [`Attempt`](attempt::Attempt) with every failure. It writes no file and prints nothing.

pub mod attempt;
pub(crate) mod check;
pub mod conformance;
pub mod coverage;
pub(crate) mod expect;
pub(crate) mod needs;
pub mod outcome;
pub mod run;
pub mod same;
#[cfg(test)]
pub(crate) mod samples;
pub(crate) mod script;
pub mod vacuity;
pub(crate) mod versus;
mod watch;
