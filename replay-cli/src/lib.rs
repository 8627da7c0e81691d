//! Replays packet captures through the engine in virtual time and holds what comes out against expectations.
//!
//! ```text
//! capture ── capture ──┬─ import ─> scenario      scenario file ── scenario, notation
//!                      └────────────┬───────────────────┘
//!                                   v
//!              simulation: device and dialer around a stack ──> verdict ──> report, golden
//! ```
//! In a test of another project ([`check`]; `docs/examples/own_tests` is one, whole):
//!
//! ```
//! // What does not pass comes as the error, as `replay run` prints it.
//! replay::check("../expectations/http/get.json")?;
//! # Ok::<(), replay::Failed>(())
//! ```
//!
//! A dozen rooms. Each uses only those that stand before it here: `cargo xtask check` reads the order from this file.

pub mod base;

pub mod packet;

pub mod notation;

pub mod scenario;

pub mod capture;

pub mod stack;

pub mod simulation;

pub mod verdict;

pub mod golden;

pub mod load;

pub mod report;

pub mod cli;

pub use crate::report::check::{Failed, check};
