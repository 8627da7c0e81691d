//! What a host sees: settings, outputs, counters, the log. No packet is looked at here.

pub(crate) mod batch;
pub(crate) mod config;
pub(crate) mod counters;
pub(crate) mod drop_reason;
pub(crate) mod export;
pub(crate) mod inspection;
pub(crate) mod json;
pub(crate) mod label;
pub(crate) mod log;
pub(crate) mod output;
pub(crate) mod time;
