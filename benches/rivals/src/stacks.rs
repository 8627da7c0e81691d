//! Three TUN stacks that run on tokio, behind one interface: a [`Wire`] is the device's end, streams and datagrams come
//! out of a [`Stack`].
//!
//! ```text
//!   Wire::poll_speak ──frames──> stack ──Stack::arrivals──> TCP streams (ipstack: UDP flows too)
//!   Wire::hear       <──frames── stack <─Stack::datagrams─> datagrams of all flows (not ipstack)
//! ```
//! ipstack calls `block_in_place`: use a runtime of several threads, one worker will do.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{Sink, Stream};
use tokio::io::{AsyncRead, AsyncWrite};

mod ipstack;
mod lwip;
mod netstack_smoltcp;
mod pump;

/// The device's end of the link to a stack.
pub trait Wire: Send + Unpin + 'static {
    /// The next frame for the stack: a whole IP packet. `None` if the device is gone; the stack is stopped then.
    fn poll_speak(&mut self, context: &mut Context<'_>) -> Poll<Option<&[u8]>>;

    /// A frame of the stack.
    fn hear(&mut self, frame: &[u8]);
}

/// Both directions of a stream.
pub trait Duplex: AsyncRead + AsyncWrite {}

impl<T: AsyncRead + AsyncWrite> Duplex for T {}

/// A stream of either protocol.
pub type BoxDuplex = Pin<Box<dyn Duplex + Send>>;

/// What a stack accepted.
pub struct Arrival {
    /// Whether it is a TCP stream; otherwise a UDP flow, where every read and write is a datagram.
    pub tcp: bool,
    /// The device's end.
    pub client: SocketAddr,
    /// Where the device wants to go.
    pub server: SocketAddr,
    /// Its bytes.
    pub stream: BoxDuplex,
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival")
            .field("tcp", &self.tcp)
            .field("client", &self.client)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// One UDP datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Its bytes.
    pub payload: Vec<u8>,
    /// Its source: the device's end when it is read, the far side's when it is sent.
    pub from: SocketAddr,
    /// Its destination.
    pub to: SocketAddr,
}

/// What was accepted, one after the other.
pub type Arrivals = Pin<Box<dyn Stream<Item = Arrival> + Send>>;
/// Datagrams of the device.
pub type DatagramReader = Pin<Box<dyn Stream<Item = Datagram> + Send>>;
/// Datagrams toward the device.
pub type DatagramWriter = Pin<Box<dyn Sink<Datagram, Error = io::Error> + Send>>;

/// A stack that runs.
pub struct Stack {
    /// What it accepts. A stack stops, at the latest, when this is dropped and its [`Wire`] is gone.
    pub arrivals: Arrivals,
    /// Where datagrams of all flows come and go; `None` for a stack whose UDP flows are among the arrivals.
    pub datagrams: Option<(DatagramReader, DatagramWriter)>,
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack").finish_non_exhaustive()
    }
}

/// Which stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// netstack-smoltcp.
    NetstackSmoltcp,
    /// ipstack.
    Ipstack,
    /// The `lwip` crate: lwIP in C. A process can have one of it.
    Lwip,
}

/// What of a stack is set by its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of the longest packet, either way. lwip's is 1500 whatever is asked.
    pub mtu: usize,
    /// Buffers and options.
    pub buffers: Buffers,
}

/// Buffers of a TCP flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Buffers {
    /// As the stack comes: netstack-smoltcp 327,660 bytes each way (and as much again before the stream), ipstack
    /// 16 KiB and no MSS option. lwip's cannot be set.
    Default,
    /// So many bytes each way, at most 65,535 where no window scaling exists (ipstack). ipstack gets the MSS option
    /// that the MTU allows.
    Bytes(u32),
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::NetstackSmoltcp, Self::Ipstack, Self::Lwip];

    /// The crate's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NetstackSmoltcp => "netstack-smoltcp",
            Self::Ipstack => "ipstack",
            Self::Lwip => "lwip",
        }
    }

    /// The stack whose crate has this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The version that is compiled in.
    #[must_use]
    pub const fn version(self) -> &'static str {
        match self {
            Self::NetstackSmoltcp => "0.2.4",
            Self::Ipstack => "1.0.1",
            Self::Lwip => "0.4.0",
        }
    }

    /// Starts the stack on the current runtime.
    ///
    /// # Errors
    /// What the stack says.
    ///
    /// # Panics
    /// There is no tokio runtime.
    pub fn start(self, settings: Settings, wire: impl Wire) -> io::Result<Stack> {
        match self {
            Self::NetstackSmoltcp => netstack_smoltcp::start(settings, wire),
            Self::Ipstack => ipstack::start(settings, wire),
            Self::Lwip => lwip::start(wire),
        }
    }
}
