//! A packet-tunnel engine without IO: raw IP frames in, every TCP and UDP flow terminated, a dialer
//! asked for the real connection, bytes relayed both ways, frames out.
//!
//! **The contract.** *Feed one input with its time, drain [`Engine::poll_output`] until it yields `None`,
//! wait until [`Engine::poll_timeout`], repeat.* Time is an argument, randomness comes from
//! [`Config::seed`] alone, and the same inputs in the same batches give byte-identical outputs.
//!
//! ```
//! use engine::{Config, DialResult, Engine, Micros, Output};
//!
//! // Drawn anew at every start: `engine-driver` does so, and draws it from the system.
//! let seed = Some(0x5eed_5eed);
//! let mut engine = Engine::new(Config { seed, ..Config::phone() })?;
//! let now = Micros::from_secs(1);
//! let frames: [&[u8]; 0] = [];
//! engine.handle_frames(now, frames);
//! let mut dials = Vec::new();
//! while let Some(output) = engine.poll_output(now) {
//!     match output {
//!         Output::Frames(batch) => batch.iter().for_each(|frame| { /* hand to the device */ let _ = frame; }),
//!         Output::Dial { flow, .. } => dials.push(flow),
//!         Output::Data { bytes, .. } => { /* hand to the dialer */ bytes.took_all(); }
//!         Output::Datagram { .. } => { /* hand to the dialer */ }
//!         _ => {}
//!     }
//! }
//! for flow in dials {
//!     engine.dial_result(now, flow, DialResult::Connected).expect("the flow asked for it");
//! }
//! # Ok::<(), engine::ConfigError>(())
//! ```
//!
//! Where to look:
//! * [`Engine`]: inputs, outputs, deadline. `engine/` beside it holds one file per direction.
//! * [`Config`]: every limit and timer with unit, default and reason.
//! * [`Output`], [`Close`]: what the host must act upon.
//! * [`Counters`], [`DropReason`]: what happened, and why a frame went nowhere.
//! * `tcp` (private): a `Connection` for each flow, behind which everything TCP lives.

#![forbid(unsafe_code)]
// The calls that clippy.toml bans are one way into a hash map's order; a `for` over the map is the other.
#![deny(clippy::iter_over_hash_type)]

mod api;
mod dns;
mod engine;
mod flow;
mod ip;
#[cfg(feature = "seeded-fault")]
pub mod seeded_fault;
mod tcp;
mod udp;

pub use crate::api::batch::{FrameBatch, FrameIter, Frames};
pub use crate::api::config::{
    Config, ConfigError, DialFailure, Martians, PathPolicy, Refusal, Setting, UdpFiltering,
    UdpMapping, Unit,
};
pub use crate::api::counters::{CounterInfo, Counters, Mark};
pub use crate::api::drop_reason::DropReason;
pub use crate::api::inspection::{FlowInfo, Inspection};
pub use crate::api::log::{Breadcrumb, LogLevel, LogMask, LogRecord, Redacted, Redactor};
pub use crate::api::output::{
    By, Close, DialResult, How, Lent, Misuse, Output, PathChange, RemoteEnd,
};
pub use crate::api::time::Micros;
pub use crate::dns::{DnsRecord, QueryId, QueryKind, Resolution};
pub use crate::engine::Engine;
pub use crate::flow::key::{FlowKey, Proto};
pub use crate::flow::table::FlowId;
pub use crate::flow::timer::{Deadline, TimerName};
