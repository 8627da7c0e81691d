//! The one seam between the runner and what it runs: everything a scenario can do to a packet-tunnel engine, whichever it is.
//!
//! [`World`](super::world::World) holds a `Box<dyn Stack>` and knows nothing else of the engine. [`core::Core`] is the engine as a
//! library; other ways to the same engine, and other engines, implement [`Stack`] and have a [`Via`].

use std::net::SocketAddr;

use engine::{
    Config, Counters, Deadline, DialResult, FlowId, Micros, Misuse, PathChange, QueryId, RemoteEnd,
    Resolution,
};

use super::observe::Seen;
use crate::diagnostic::Diagnostic;

mod core;
mod driven;
mod driver;
#[expect(unsafe_code, reason = "the C ABI is called as C calls it")]
mod ffi;

/// A packet-tunnel engine as the runner drives it: one input with its time, then a full drain, then wait for the deadline.
///
/// The calls mean what the methods of the same name of [`engine::Engine`] mean. Times never run backwards.
pub(crate) trait Stack {
    /// The largest packet the device takes, octets.
    fn mtu(&self) -> usize;

    /// Frames of the device, in order.
    fn handle_frames(&mut self, now: Micros, frames: &[&[u8]]);

    /// The deadline of [`poll_timeout`](Self::poll_timeout) has come, or the host has slept.
    fn handle_timeout(&mut self, now: Micros);

    /// The path to the far side is another one, or an address of the device is gone.
    fn path_changed(&mut self, now: Micros, change: PathChange);

    /// The host has no more use for it.
    fn stop(&mut self, now: Micros);

    /// A dial request is answered.
    fn dial_result(&mut self, now: Micros, flow: FlowId, result: DialResult) -> Result<(), Misuse>;

    /// Bytes of the far side: how many of them are taken.
    fn remote_data(&mut self, now: Micros, flow: FlowId, data: &[u8]) -> Result<usize, Misuse>;

    /// A datagram of the far side: whether it is taken.
    fn remote_datagram(&mut self, now: Micros, flow: FlowId, data: &[u8]) -> Result<bool, Misuse>;

    /// A datagram of another source: whether it is taken.
    fn remote_datagram_from(
        &mut self,
        now: Micros,
        flow: FlowId,
        from: SocketAddr,
        data: &[u8],
    ) -> Result<bool, Misuse>;

    /// The far side takes no more bytes for the time being.
    fn remote_blocked(&mut self, now: Micros, flow: FlowId) -> Result<(), Misuse>;

    /// The far side takes bytes again.
    fn remote_writable(&mut self, now: Micros, flow: FlowId) -> Result<(), Misuse>;

    /// The far side takes the next `count` bytes, and no more until it is asked again. Not every way in can say so.
    fn remote_take(&mut self, now: Micros, flow: FlowId, count: usize) -> Result<(), Misuse> {
        let _ = (now, flow, count);
        Err(Misuse::TookTooMuch)
    }

    /// The far side's stream has ended.
    fn remote_closed(&mut self, now: Micros, flow: FlowId, end: RemoteEnd) -> Result<(), Misuse>;

    /// An intercepted query is answered.
    fn resolved(
        &mut self,
        now: Micros,
        query: QueryId,
        resolution: Resolution,
    ) -> Result<(), Misuse>;

    /// Appends all that comes out now, in order; false if `most` were taken and there is more.
    fn drain(&mut self, now: Micros, most: usize, to: &mut Vec<Seen>) -> bool;

    /// When it wants [`handle_timeout`](Self::handle_timeout), and what for.
    fn poll_timeout(&mut self) -> Option<Deadline>;

    /// Whether bytes of the far side wait outside of the engine, which has no room for them: to a dialer that can do
    /// nothing but send, they are not sent.
    fn holds(&self, flow: FlowId) -> bool {
        let _ = flow;
        false
    }

    /// Whether what the far side sends may wait outside of the engine at all.
    fn has_inboxes(&self) -> bool {
        false
    }

    /// Frames of the device that were lost before they reached the engine.
    fn frames_lost(&self) -> u64 {
        0
    }

    /// What went wrong outside of the engine, each a sentence.
    fn complaints(&self) -> &[String] {
        &[]
    }

    /// Its counters, if it counts what the engine counts: they must add up.
    fn counters(&self) -> Option<Counters>;

    /// Its flows as a table, to explain a run that does not end.
    fn inspect(&mut self, now: Micros) -> String;
}

/// Which engine runs, and by which way in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Via {
    /// The engine as a library, without IO.
    #[default]
    Core,
    /// The driver's turns, as its loop takes them: inputs wait in a ring and in inboxes.
    Driver,
    /// The C ABI, driven by its host: the same turns behind handles, texts and callbacks.
    Ffi,
}

impl Via {
    /// Its name on the command line.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Driver => "driver",
            Self::Ffi => "ffi",
        }
    }
}

/// Starts an engine with the settings of a scenario.
pub(super) fn open(via: &Via, config: Config) -> Result<Box<dyn Stack>, Diagnostic> {
    match via {
        Via::Core => core::Core::new(config)
            .map(|core| Box::new(core) as Box<dyn Stack>)
            .map_err(|problem| Diagnostic::new(problem.to_string())),
        Via::Driver => driver::open(config)
            .map(|driver| Box::new(driver) as Box<dyn Stack>)
            .map_err(|problem| Diagnostic::new(problem.to_string())),
        Via::Ffi => ffi::open(&config).map(|ffi| Box::new(ffi) as Box<dyn Stack>),
    }
}
