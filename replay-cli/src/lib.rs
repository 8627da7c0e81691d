//! Replays packet captures through the engine in virtual time and holds what comes out against expectations.

pub mod capture;
pub mod diagnostic;
pub mod duration;
pub mod exit_code;
pub mod notation;
pub mod packet;
pub mod scenario;
