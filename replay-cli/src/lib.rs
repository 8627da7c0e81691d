//! Replays packet captures through the engine in virtual time and holds what comes out against expectations.

mod align;
pub mod attempt;
pub mod capture;
pub mod catalogue;
mod check;
pub mod claim;
pub mod cli;
pub mod conformance;
pub mod conversation;
pub mod diagnostic;
pub mod draft;
pub mod duration;
mod endings;
pub mod exit_code;
mod hash;
pub mod heap;
pub mod import;
mod index;
pub mod inspect;
#[cfg(target_os = "linux")]
mod live;
pub mod load;
pub mod notation;
pub mod outcome;
pub mod packet;
mod packetdrill;
pub mod record;
pub mod recording;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod stress;
pub mod term;
mod threads;
pub mod vacuity;
