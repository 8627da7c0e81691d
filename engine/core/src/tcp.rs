//! A TCP flow: a held SYN while the dial is pending, a [`Connection`](connection::Connection) after it.
//!
//! ```text
//!   SYN ──> Dialing ──connected──> Live(SYN-RECEIVED) ──ACK──> Live(ESTABLISHED) ──> both closed ──> tombstone
//!              │                        │                          │
//!              └─ refused, RST: closed  └─ handshake timer: closed └─ reset, idle, limit: closed
//! ```
//! The rings of the connection are the only buffers of a flow. Of smoltcp they keep its assembler of ranges; its socket
//! has no way to read what waits to be acknowledged, so that no hole but the first could be repaired, and takes its
//! rings whole when it is made, so that they could neither grow with use nor be given back.

pub(crate) mod challenge;
mod congestion;
pub(crate) mod connection;
mod deadline;
pub(crate) mod isn;
mod receiver;
mod recovery;
pub(crate) mod ring;
pub(crate) mod segment;
mod sender;
pub(crate) mod seq;
mod timers;
pub(crate) mod tombstone;

use crate::api::output::{By, RemoteEnd};
use crate::api::time::Micros;
use crate::dns::Streams;
use crate::tcp::challenge::Allowance;
use crate::tcp::connection::Connection;
use crate::tcp::seq::Seq;

/// One TCP flow.
#[derive(Debug)]
pub(crate) struct TcpFlow {
    pub(crate) phase: Phase,
    /// The dialer cannot take bytes for now.
    pub(crate) blocked: bool,
}

/// Where the flow stands between SYN and close.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the flow is boxed, and nearly every one is live"
)]
pub(crate) enum Phase {
    /// The dial is pending; nothing was answered yet.
    Dialing(HeldSyn),
    /// The dial connected; the engine speaks with the device.
    Live(Live),
}

/// What the newest SYN of a tuple asks for whose dial is pending.
#[derive(Debug)]
pub(crate) struct HeldSyn {
    pub(crate) isn: Seq,
    pub(crate) mss: u16,
    /// The shift of its window fields, if it has the option.
    pub(crate) window_scale: Option<u8>,
    /// Selective acknowledgements are permitted.
    pub(crate) sack: bool,
    pub(crate) since: Micros,
    /// The SYN as it came, if an ICMP error may have to quote it.
    pub(crate) quote: Box<[u8]>,
}

/// A flow with a connection, and what the engine knows of its far side.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) connection: Connection,
    pub(crate) remote_end: Option<RemoteEnd>,
    pub(crate) ended_at: Option<Micros>,
    /// Who closed first, in order.
    pub(crate) first_end: Option<By>,
    /// The device's FIN was handed to the dialer.
    pub(crate) fin_relayed: bool,
    pub(crate) challenges: Allowance,
    /// The device reset the flow.
    pub(crate) reset: bool,
    /// The remote was refused room and waits for `Resume`.
    pub(crate) starved: bool,
    pub(crate) opened: Micros,
    pub(crate) last_activity: Micros,
    /// The handshake was seen done, and the flow no longer counts as half-open.
    pub(crate) established: bool,
    /// When the device was heard last.
    pub(crate) heard: Micros,
    /// Keep-alive probes sent since.
    pub(crate) probes: u32,
    /// Set while the port is 53.
    pub(crate) dns: Option<Box<Streams>>,
}

impl Live {
    pub(crate) fn new(now: Micros, connection: Connection) -> Self {
        Self {
            connection,
            remote_end: None,
            ended_at: None,
            first_end: None,
            fin_relayed: false,
            challenges: Allowance::new(now),
            reset: false,
            starved: false,
            opened: now,
            last_activity: now,
            established: false,
            heard: now,
            probes: 0,
            dns: None,
        }
    }
}
