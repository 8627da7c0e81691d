//! What the engine hands to its host, and how flows end.

use std::net::{IpAddr, SocketAddr};

use crate::api::batch::Frames;
use crate::api::label::labelled;
use crate::api::log::LogRecord;
use crate::dns::{DnsRecord, QueryId, QueryKind};
use crate::flow::key::FlowKey;
use crate::flow::table::FlowId;

/// One thing the host must act upon. Slices are lent until the next call on the engine.
///
/// ```no_run
/// use engine::Output;
///
/// # let (mut engine, now): (engine::Engine, engine::Micros) = unimplemented!();
/// while let Some(output) = engine.poll_output(now) {
///     match output {
///         Output::Frames(frames) => println!("{} frames for the device", frames.len()),
///         Output::Dial { flow, key, name } => println!("{flow:?}: connect to {} {name:?}", key.server),
///         Output::Data { flow, bytes } => println!("{flow:?}: {:?}", bytes.took_all()),
///         Output::Close { flow, close, .. } => println!("{flow:?}: {}", close.how.label()),
///         _ => {}
///     }
/// }
/// ```
#[derive(Debug)]
#[non_exhaustive]
pub enum Output<'a> {
    /// At most 64 frames for the device, in order.
    Frames(Frames<'a>),
    /// Connect to `key.server`; answer with [`Engine::dial_result`](crate::Engine::dial_result).
    Dial {
        /// The flow's handle from now until its [`Output::Close`].
        flow: FlowId,
        /// The tuple; its `server` is what to connect to.
        key: FlowKey,
        /// The name under which a DNS answer gave the server's address to the device, if one did and still holds.
        name: Option<&'a str>,
    },
    /// The next bytes of the device's stream: report with [`Lent::took`] how many the dialer took of them.
    Data {
        /// Which flow.
        flow: FlowId,
        /// Stream bytes, in order, each once.
        bytes: Lent<'a>,
    },
    /// One datagram from the device.
    Datagram {
        /// Which flow.
        flow: FlowId,
        /// Where to: the server that was dialed, unless [`Config::udp_mapping`](crate::Config::udp_mapping) gives
        /// one flow to all destinations of a port.
        to: SocketAddr,
        /// UDP payload.
        payload: &'a [u8],
    },
    /// The device sent FIN and every byte before it was handed over: shut the write side down.
    HalfClose {
        /// Which flow.
        flow: FlowId,
    },
    /// A short [`Engine::remote_data`](crate::Engine::remote_data) may be tried again.
    Resume {
        /// Which flow.
        flow: FlowId,
        /// Room in bytes.
        space: usize,
    },
    /// The flow has ended; its handle is dead. Exactly one for each dial request.
    Close {
        /// Which flow.
        flow: FlowId,
        /// The tuple it had.
        key: FlowKey,
        /// Who ended it, and how.
        close: Close,
    },
    /// The device learnt the addresses of a name.
    Dns {
        /// The flow its answer came on; none if the answer was a datagram of the engine's own.
        flow: Option<FlowId>,
        /// Its contents.
        record: DnsRecord,
    },
    /// Find out the addresses of a name, for an intercepted query; answer with
    /// [`Engine::resolved`](crate::Engine::resolved) within [`Config::resolve_timeout`](crate::Config::resolve_timeout).
    Resolve {
        /// The query's handle until it is answered.
        query: QueryId,
        /// Letters, digits, hyphens, underscores and dots, in lower case.
        name: &'a str,
        /// Which addresses.
        kind: QueryKind,
    },
    /// A line for the host's log; none unless [`Config::log_level`](crate::Config::log_level) asks for it.
    Log(LogRecord),
}

/// Bytes of the device, lent until the next call on the engine.
///
/// What the dialer takes of them is acknowledged to the device. The rest stays in the engine, and the flow is blocked
/// until [`Engine::remote_writable`](crate::Engine::remote_writable): the same goes for all of them if the host never
/// takes any, so that no byte is acknowledged that the dialer does not have.
///
/// ```no_run
/// # use engine::Output;
/// # let (mut engine, now): (engine::Engine, engine::Micros) = unimplemented!();
/// # let mut socket = std::net::TcpStream::connect("192.0.2.1:80")?;
/// if let Some(Output::Data { bytes, .. }) = engine.poll_output(now) {
///     // What the socket does not take now, the engine keeps.
///     let took = std::io::Write::write(&mut socket, &bytes).unwrap_or(0);
///     bytes.took(took);
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct Lent<'a> {
    bytes: &'a [u8],
    taken: &'a mut usize,
}

impl<'a> Lent<'a> {
    pub(crate) fn new(bytes: &'a [u8], taken: &'a mut usize) -> Self {
        Self { bytes, taken }
    }

    /// The dialer took the first `count` bytes, or all if there are fewer.
    pub fn took(self, count: usize) -> &'a [u8] {
        *self.taken = count.min(self.bytes.len());
        self.bytes.get(..count).unwrap_or(self.bytes)
    }

    /// The dialer took all of them.
    pub fn took_all(self) -> &'a [u8] {
        *self.taken = self.bytes.len();
        self.bytes
    }
}

impl core::ops::Deref for Lent<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes
    }
}

/// How a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Close {
    /// Whose doing it was; of an orderly close, whose FIN or EOF came first.
    pub by: By,
    /// The way it ended.
    pub how: How,
}

impl Close {
    pub(crate) const fn new(by: By, how: How) -> Self {
        Self { by, how }
    }
}

labelled! {
    /// Who ended a flow.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum By {
        /// The device.
        Device = "device",
        /// The far side, as the dialer reported it.
        Remote = "remote",
        /// The engine itself: a timer, a limit, a guard, its host.
        Engine = "engine",
    }
}

/// The way a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum How {
    /// Both directions closed in order.
    Fin,
    /// A reset.
    Reset,
    /// The dial failed with this result.
    Dial(DialResult),
    /// The dialer failed after it had connected.
    Error,
    /// The handshake with the device never completed.
    Handshake,
    /// Nothing moved for too long.
    Idle,
    /// Nothing moved for too long after one side had closed.
    HalfClosed,
    /// The device acknowledged nothing until the retransmission limit.
    Abandoned,
    /// The path changed and the policy is to close.
    Path,
    /// A guard stepped in.
    Guard,
    /// It had to make room for others, or there was none for its buffers.
    Admission,
    /// The host stopped the engine.
    Stopped,
}

impl How {
    /// Stable name in scenarios and reports.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Reset => "reset",
            Self::Dial(result) => result.label(),
            Self::Error => "error",
            Self::Handshake => "handshake",
            Self::Idle => "idle",
            Self::HalfClosed => "half_closed",
            Self::Abandoned => "abandoned",
            Self::Path => "path",
            Self::Guard => "guard",
            Self::Admission => "admission",
            Self::Stopped => "stopped",
        }
    }
}

labelled! {
    /// What became of a dial request.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub enum DialResult {
        /// The connection is established.
        Connected = "connected",
        /// The far host refused it.
        Refused = "refused",
        /// The far host cannot be reached.
        HostUnreachable = "host_unreachable",
        /// No route to the far network.
        NetworkUnreachable = "network_unreachable",
        /// A policy forbids it.
        Denied = "denied",
        /// The far host did not answer in time.
        TimedOut = "timed_out",
    }
}

/// What changed about the network (see [`Engine::path_changed`](crate::Engine::path_changed)).
///
/// ```no_run
/// # let (mut engine, now): (engine::Engine, engine::Micros) = unimplemented!();
/// // From Wi-Fi to cellular: what becomes of open flows is `Config::path_policy`.
/// engine.path_changed(now, engine::PathChange::Network);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PathChange {
    /// The way out is another one (Wi-Fi to cellular), or a sleep outlived the dialer's connections.
    Network,
    /// The device's end of the tunnel lost this address: nothing can reach its flows any more.
    AddressLost(IpAddr),
}

/// How the far side's stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RemoteEnd {
    /// End of file: the device gets a FIN, and may go on sending.
    Eof,
    /// The far side reset the connection: the device gets what was received before, then a RST.
    Reset,
    /// The dialer failed otherwise: like a reset to the device, but another in the close.
    Error,
}

/// A call that cannot be right. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The handle's flow has ended.
    #[error("the flow of this handle has ended")]
    StaleFlow,
    /// A stream call on a UDP flow, or a datagram call on a TCP flow.
    #[error("the call does not fit the flow's protocol")]
    WrongProtocol,
    /// The dial was answered before.
    #[error("the dial of this flow was answered before")]
    DialAnswered,
    /// The dial is still pending.
    #[error("the dial of this flow is still pending")]
    NotConnected,
    /// The far side's stream had ended before.
    #[error("the far side of this flow has ended before")]
    AfterEnd,
    /// The query was answered before, or too late.
    #[error("the query of this handle was answered before, or its time is over")]
    StaleQuery,
}
