//! The one seam between the runner and what it runs: everything a scenario can do to a packet-tunnel engine, whichever it is.
//!
//! `World` holds a `Box<dyn Stack>` and knows nothing else of the engine. `Core` is the engine as a
//! library; other ways to the same engine, and other engines, implement `Stack` and have a [`Via`].

use std::net::SocketAddr;
use std::sync::Arc;

use engine::{
    Counters, Deadline, DialResult, FlowId, Micros, Misuse, PathChange, QueryId, RemoteEnd,
    Resolution,
};

use crate::base::diagnostic::Diagnostic;
use crate::scenario::EngineSettings;
use event::Tracer;
use traced::Traced;

mod child;
mod core;
mod driven;
mod driver;
pub mod event;
mod external;
#[expect(unsafe_code, reason = "the C ABI is called as C calls it")]
mod ffi;
mod group;
mod owned_output;
mod program;
mod served;
mod traced;
mod watch;

pub(crate) use group::end_all;
pub use owned_output::DnsSeen;
pub(crate) use owned_output::OwnedOutput;
pub use program::StackProgram;
pub use served::serve_engine;
pub(crate) use watch::Watch;
pub use watch::{CLOSED, Exercised, TIME_WAIT};

/// The engine's clock at virtual time 0: smoltcp needs more than zero.
pub(crate) const EPOCH_US: u64 = 1_000_000;

/// How far times may be off by another way in than the core, microseconds: one interval of polling, and a millisecond.
pub(crate) const TOLERANCE_US: u64 = 6_000;

/// How a dial can end.
const DIAL_RESULTS: [DialResult; 6] = [
    DialResult::Connected,
    DialResult::Refused,
    DialResult::HostUnreachable,
    DialResult::NetworkUnreachable,
    DialResult::Denied,
    DialResult::TimedOut,
];

/// A packet-tunnel engine as the runner drives it: one input with its time, then a full drain, then wait for the deadline.
///
/// Times never run backwards.
pub(crate) trait Stack {
    /// The largest packet the device takes, bytes.
    fn mtu(&self) -> usize;

    /// Takes an input: how many bytes or datagrams of the far side it took, 0 of an input that brings none.
    fn input(&mut self, now: Micros, input: Input<'_>) -> Result<usize, Misuse>;

    /// How many bytes were waiting when the far side of a flow was last asked to take some, those that it took not counted;
    /// `None` if the way in does not tell.
    fn offered(&self, flow: FlowId) -> Option<usize> {
        let _ = flow;
        None
    }

    /// Appends all that comes out now, in order; false if `most` were taken and there is more.
    fn drain(&mut self, now: Micros, most: usize, to: &mut Vec<OwnedOutput>) -> bool;

    /// Bytes of an output that are of no more use: their place may serve for another one.
    fn give_back(&mut self, bytes: Vec<u8>) {
        drop(bytes);
    }

    /// When it wants [`Input::Timeout`], and what for.
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

    /// What it can be held to.
    fn traits(&self) -> Traits {
        Traits::CORE
    }

    /// When it stopped working, and why; nothing comes out of it from then on.
    fn broken(&self) -> Option<(u64, String)> {
        None
    }

    /// Something worth a note that is no failure.
    fn remarks(&self) -> Option<String> {
        None
    }

    /// Its counters, if it counts what the engine counts: they must add up.
    fn counters(&self) -> Option<Counters>;

    /// Its flows as a table, to explain a run that does not end.
    fn inspect(&mut self, now: Micros) -> String;

    /// What it does is noted from now on, by a way in that can say so: through the core.
    fn watch(&mut self, watch: Watch) {
        drop(watch);
    }
}

/// What the device, the dialer and the host give to a stack; each is a method of [`engine::Engine`].
#[derive(Clone, Debug)]
pub(crate) enum Input<'a> {
    /// Frames of the device, in order.
    Frames(&'a [&'a [u8]]),
    /// The deadline of [`Stack::poll_timeout`] has come, or the host has slept.
    Timeout,
    /// The path to the far side is another one, or an address of the device is gone.
    PathChange(PathChange),
    /// The host has no more use for the stack.
    Stop,
    /// A dial request is answered.
    DialResult(FlowId, DialResult),
    /// Bytes of the far side.
    Data(FlowId, &'a [u8]),
    /// A datagram of the server that was dialed, or of another source.
    Datagram(FlowId, Option<SocketAddr>, &'a [u8]),
    /// The far side takes no more bytes for the time being.
    Blocked(FlowId),
    /// The far side takes bytes again.
    Writable(FlowId),
    /// The far side takes the next bytes, so many, and no more until it is asked again.
    Take(FlowId, usize),
    /// The far side's stream has ended.
    RemoteEnd(FlowId, RemoteEnd),
    /// An intercepted query is answered.
    Resolved(QueryId, Resolution),
}

/// What a stack can be held to: of what it cannot tell, nothing is checked, and the checks left out are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing it can tell or not"
)]
pub(crate) struct Traits {
    /// How far times may be off, microseconds: none through the core.
    pub(crate) tolerance: u64,
    /// How much later than that a timer may ring, thousandths of its wait: kernels keep long timers coarsely.
    pub(crate) drift: u64,
    /// It is another engine than ours, or behaves as one: it may accept a connection before it asks for the dial, and has
    /// no counters.
    pub(crate) foreign: bool,
    /// Two runs must give the same.
    pub(crate) deterministic: bool,
    /// It tells when the device's FIN came.
    pub(crate) half_close: bool,
    /// It tells when a flow has ended.
    pub(crate) close: bool,
    /// It tells by whom.
    pub(crate) by: bool,
    /// It tells how.
    pub(crate) how: bool,
    /// Nothing of a flow leaves it after its close.
    pub(crate) last: bool,
    /// It reads DNS answers.
    pub(crate) dns: bool,
    /// It says when nothing but the end of idle flows is waited for.
    pub(crate) rests: bool,
}

impl Traits {
    /// Everything.
    pub(crate) const CORE: Self = Self {
        tolerance: 0,
        drift: 0,
        foreign: false,
        deterministic: true,
        half_close: true,
        close: true,
        by: true,
        how: true,
        last: true,
        dns: true,
        rests: true,
    };

    /// Whether what only the core can be held to is checked.
    pub(crate) const fn is_core(&self) -> bool {
        self.tolerance == 0 && !self.foreign
    }
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
    /// Another stack, in a process of its own.
    Stack(Arc<StackProgram>),
}

impl Via {
    /// Its name on the command line.
    #[must_use]
    pub fn label(&self) -> &str {
        match self {
            Self::Core => "core",
            Self::Driver => "driver",
            Self::Ffi => "ffi",
            Self::Stack(program) => &program.spec,
        }
    }

    /// The program of another stack.
    #[must_use]
    pub fn stack(&self) -> Option<&StackProgram> {
        match self {
            Self::Stack(program) => Some(program),
            _ => None,
        }
    }
}

/// Starts an engine with the settings of a scenario.
pub(crate) fn open(
    via: &Via,
    settings: &EngineSettings,
    tracer: Option<&Tracer>,
) -> Result<Box<dyn Stack>, Diagnostic> {
    let stack = open_untraced(via, settings)?;
    Ok(match tracer {
        None => stack,
        Some(tracer) => Box::new(Traced {
            stack,
            tracer: tracer.clone(),
        }),
    })
}

fn open_untraced(via: &Via, settings: &EngineSettings) -> Result<Box<dyn Stack>, Diagnostic> {
    let config = settings.config();
    match via {
        Via::Core => core::Core::new(config)
            .map(|core| Box::new(core) as Box<dyn Stack>)
            .map_err(|problem| Diagnostic::new(problem.to_string())),
        Via::Driver => driver::open(config)
            .map(|driver| Box::new(driver) as Box<dyn Stack>)
            .map_err(|problem| Diagnostic::new(problem.to_string())),
        Via::Ffi => ffi::open(&config).map(|ffi| Box::new(ffi) as Box<dyn Stack>),
        Via::Stack(program) => external::External::open(program, settings, config.mtu)
            .map(|stack| Box::new(stack) as Box<dyn Stack>),
    }
}
