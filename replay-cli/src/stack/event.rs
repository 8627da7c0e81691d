//! The events of a run: everything that crossed the stack's border, in order, with virtual time.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use engine::{Close, Config, DialResult, FlowId, FlowKey, RemoteEnd};

use super::DnsSeen;
use crate::scenario::FlowSpec;

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Virtual time, microseconds.
    pub at_us: u64,
    /// What happened.
    pub what: What,
    /// Of a frame of the device: where it comes from.
    pub source: Option<Source>,
    /// Of a frame for the device: the lines that it was held against.
    pub expected: Vec<Expectation>,
}

/// A line that a frame for the device was held against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The line.
    pub line: String,
    /// Where it stands, or its JSON pointer.
    pub place: String,
    /// Whether the frame is as it says, and came when it says.
    pub met: bool,
}

impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, place, met } = self;
        let word = if *met { "" } else { "not " };
        write!(f, "{word}as expected: {line}\nline {place}")
    }
}

/// Where a frame of the device comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A line of the scenario: its place, or its JSON pointer.
    Line(String),
    /// The capture's packet of this number, from 1.
    Packet(u32),
    /// The runner, as the device would have sent it.
    MadeUp,
}

impl Source {
    /// The line that it is, by its place.
    pub(crate) fn line(&mut self) -> Option<&mut String> {
        match self {
            Self::Line(place) => Some(place),
            Self::Packet(_) | Self::MadeUp => None,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(place) => write!(f, "line {place}"),
            Self::Packet(number) => write!(f, "packet {number} of the capture"),
            Self::MadeUp => f.write_str("made up as the device would have sent it"),
        }
    }
}

/// What happened at the border.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum What {
    /// A frame of the device went in.
    FrameIn(Vec<u8>),
    /// A frame for the device came out.
    FrameOut(Vec<u8>),
    /// The stack asked for a connection.
    Dial {
        /// The flow.
        flow: FlowId,
        /// Its tuple.
        key: FlowKey,
        /// The host name, if a DNS answer gave one.
        name: Option<String>,
    },
    /// The dial was answered.
    DialResult(FlowId, DialResult),
    /// Payload of the device, to the far side.
    Upstream(FlowId, Vec<u8>),
    /// A datagram of the device, to this address.
    UpstreamDatagram(FlowId, SocketAddr, Vec<u8>),
    /// Payload of the far side that the stack took; and how many bytes it was offered.
    Downstream(FlowId, Vec<u8>, usize),
    /// A datagram of the far side; whether the stack took it.
    DownstreamDatagram(FlowId, Vec<u8>, bool),
    /// The far side takes the next so many bytes.
    Take(FlowId, usize),
    /// The far side takes no more for the time being.
    Blocked(FlowId),
    /// The far side takes bytes again.
    Writable(FlowId),
    /// The far side may send again.
    Resume(FlowId),
    /// The device's stream has ended.
    HalfClose(FlowId),
    /// The far side's stream has ended.
    RemoteEnd(FlowId, RemoteEnd),
    /// The flow has ended.
    Close(FlowId, Close),
    /// A DNS answer was read.
    Dns(DnsSeen),
    /// The path changed, the host slept or stopped: in a word.
    Host(&'static str),
}

impl What {
    /// The flow it is of, unless it is a frame or of none.
    #[must_use]
    pub const fn flow(&self) -> Option<FlowId> {
        match self {
            Self::Dial { flow, .. }
            | Self::DialResult(flow, _)
            | Self::Upstream(flow, _)
            | Self::UpstreamDatagram(flow, ..)
            | Self::Downstream(flow, ..)
            | Self::DownstreamDatagram(flow, ..)
            | Self::Take(flow, _)
            | Self::Blocked(flow)
            | Self::Writable(flow)
            | Self::Resume(flow)
            | Self::HalfClose(flow)
            | Self::RemoteEnd(flow, _)
            | Self::Close(flow, _) => Some(*flow),
            Self::FrameIn(_) | Self::FrameOut(_) | Self::Dns(_) | Self::Host(_) => None,
        }
    }
}

/// The events of a run, or the last of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The names that the scenario has for flows.
    pub names: Vec<(String, FlowSpec)>,
    /// The engine's settings.
    pub config: Config,
    /// What the engine counted, but for zeros; empty of one that has no counters.
    pub counters: BTreeMap<&'static str, u64>,
    /// In order of time.
    pub events: VecDeque<Event>,
    /// How many earlier ones were let go.
    pub forgotten: u64,
    /// How many of these were frames for the device.
    forgotten_out: usize,
    /// Where the next frames of the device come from.
    sources: VecDeque<Source>,
    /// How many are kept at the most.
    limit: usize,
}

impl Trace {
    /// A trace that keeps the last `limit` events.
    #[must_use]
    pub fn last(limit: usize) -> Self {
        Self {
            limit,
            ..Self::default()
        }
    }

    fn push(&mut self, event: Event) {
        if self.events.len() == self.limit
            && let Some(oldest) = self.events.pop_front()
        {
            self.forgotten += 1;
            self.forgotten_out += usize::from(matches!(oldest.what, What::FrameOut(_)));
        }
        self.events.push_back(event);
    }

    /// Says what was expected of frames for the device, which are numbered from 0.
    pub(crate) fn expect(&mut self, expected: Vec<(usize, Expectation)>) {
        let out = |event: &&mut Event| matches!(event.what, What::FrameOut(_));
        let mut frames: Vec<&mut Event> = self.events.iter_mut().filter(out).collect();
        for (number, expectation) in expected {
            let index = number.checked_sub(self.forgotten_out);
            if let Some(frame) = index.and_then(|index| frames.get_mut(index)) {
                frame.expected.push(expectation);
            }
        }
    }
}

/// Where the events of a run go; clones share one trace.
#[derive(Clone, Debug)]
pub(crate) struct Tracer(Arc<Mutex<Trace>>);

impl Tracer {
    /// Keeps the last `limit` events.
    pub(crate) fn last(limit: usize) -> Self {
        Self(Arc::new(Mutex::new(Trace::last(limit))))
    }

    /// Says where the next frames of the device come from.
    pub(crate) fn come_from(&self, sources: impl IntoIterator<Item = Source>) {
        let mut trace = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trace.sources = sources.into_iter().collect();
    }

    pub(crate) fn note(&self, at_us: u64, what: What) {
        let mut trace = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let source = match what {
            What::FrameIn(_) => trace.sources.pop_front(),
            _ => None,
        };
        trace.push(Event {
            at_us,
            what,
            source,
            expected: Vec::new(),
        });
    }

    /// What has come so far, with the names and settings of its scenario.
    pub(crate) fn take(&self, names: Vec<(String, FlowSpec)>, config: Config) -> Trace {
        let mut trace = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Trace {
            names,
            config,
            ..std::mem::take(&mut *trace)
        }
    }
}
