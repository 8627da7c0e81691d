//! What the fuzz targets do with their input. Each body takes any bytes and panics only where the project is wrong.
//!
//! `fuzz/fuzz_targets` calls them under libFuzzer; `tests/corpora.rs` calls them on the committed corpora and on
//! inputs made up here, so that the gate needs no fuzzer. docs/FUZZING.md says how to run them and how to add one.

mod attempt;
mod capture;
mod dns;
mod engine;
mod ffi;
mod notation;
mod packetdrill;
mod recording;
mod scenario;
mod stack_protocol;
mod temporary;

pub use crate::attempt::attempt;
pub use crate::capture::capture;
pub use crate::dns::dns;
pub use crate::engine::engine;
pub use crate::ffi::ffi;
pub use crate::notation::notation;
pub use crate::packetdrill::packetdrill;
pub use crate::recording::recording;
pub use crate::scenario::scenario;
pub use crate::stack_protocol::stack_protocol;

/// A target: its name, as in fuzz/Cargo.toml, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: &[Target] = &[
    ("engine", engine),
    ("ffi", ffi),
    ("dns", dns),
    ("capture", capture),
    ("recording", recording),
    ("try", attempt),
    ("scenario", scenario),
    ("notation", notation),
    ("packetdrill", packetdrill),
    ("stack_protocol", stack_protocol),
];
