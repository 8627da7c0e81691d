//! What a turn owes to the device, the dialer and its host.

#[path = "../../../core/tests/support/mod.rs"]
mod support;

mod fairness;
mod losses;
mod order;
mod resolve;
mod scene;
mod settings;
mod waking;
