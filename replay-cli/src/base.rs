//! What every room uses: diagnostics, durations, hashes, the terminal. Knows nothing of packets or scenarios.

pub(crate) mod align;
pub mod diagnostic;
pub mod duration;
pub mod exit_code;
pub(crate) mod hash;
pub mod heap;
pub(crate) mod hex;
pub(crate) mod index;
pub(crate) mod marked;
pub mod output;
pub(crate) mod sha256;
pub mod term;
pub(crate) mod threads;
pub(crate) mod wording;
