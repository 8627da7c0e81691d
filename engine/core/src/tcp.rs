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
mod timestamps;
pub(crate) mod tombstone;

use crate::api::config::Config;
use crate::api::output::{By, How, RemoteEnd};
use crate::api::time::Micros;
use crate::dns::Streams;
use crate::tcp::challenge::Allowance;
use crate::tcp::connection::Connection;
use crate::tcp::seq::Seq;
use crate::tcp::timestamps::Stamp;
use crate::tcp::tombstone::Tombstone;

/// One TCP flow.
#[derive(Debug)]
pub(crate) struct TcpFlow {
    pub(crate) phase: Phase,
    /// The dialer cannot take bytes for now.
    pub(crate) blocked: bool,
}

/// The state of a flow between SYN and close.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "the flow is boxed, and nearly every one is live"
)]
pub(crate) enum Phase {
    /// The dial is pending; nothing was answered yet.
    Dialing(HeldSyn),
    /// The dial connected, and the device has a connection with the engine.
    Live(Live),
}

/// What the newest SYN of a tuple asks for whose dial is pending.
#[derive(Debug)]
pub(crate) struct HeldSyn {
    pub(crate) isn: Seq,
    /// One past all it takes of the sequence space: a SYN may carry payload, which a reset acknowledges.
    pub(crate) end: Seq,
    pub(crate) mss: u16,
    /// The shift of its window fields, if it has the option.
    pub(crate) window_scale: Option<u8>,
    /// Selective acknowledgements are permitted.
    pub(crate) sack: bool,
    /// Its timestamp, if it has one.
    pub(crate) stamp: Option<Stamp>,
    pub(crate) since: Micros,
    /// The SYN as it came, if an ICMP error may have to quote it.
    pub(crate) quote: Box<[u8]>,
}

/// A flow with a connection, and what the engine knows of its far side.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) connection: Connection,
    /// How the remote's stream ended, and when.
    pub(crate) remote_end: Option<(RemoteEnd, Micros)>,
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
    /// When the last segment of the device came.
    pub(crate) last_segment: Micros,
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
            first_end: None,
            fin_relayed: false,
            challenges: Allowance::new(now),
            reset: false,
            starved: false,
            opened: now,
            last_activity: now,
            established: false,
            last_segment: now,
            probes: 0,
            dns: None,
        }
    }

    /// Whether the remote's stream came to its end in order.
    pub(crate) fn remote_closed(&self) -> bool {
        matches!(self.remote_end, Some((RemoteEnd::Eof, _)))
    }

    /// How the remote broke off, and when, if it did.
    pub(crate) fn remote_broke(&self) -> Option<(How, Micros)> {
        match self.remote_end? {
            (RemoteEnd::Reset, at) => Some((How::Reset, at)),
            (RemoteEnd::Error, at) => Some((How::Error, at)),
            (RemoteEnd::Eof, _) => None,
        }
    }

    /// Notes that a segment of the device was taken in; whether it is the one that completed the handshake.
    pub(crate) fn note_segment(&mut self, now: Micros) -> bool {
        self.last_activity = now;
        self.last_segment = now;
        self.probes = 0;
        if self.connection.device_closed() {
            self.first_end.get_or_insert(By::Device);
        }
        let first = !self.established && self.connection.is_established();
        self.established |= first;
        first
    }

    /// What answers late segments once the flow has ended in order.
    pub(crate) fn tombstone(&mut self, now: Micros, config: &Config) -> Tombstone {
        let time_wait = self.first_end == Some(By::Remote);
        let linger = if time_wait {
            config.time_wait
        } else {
            config.tombstone
        };
        let (next_out, next_in) = self.connection.numbers();
        Tombstone {
            next_out,
            next_in,
            window: self.connection.window_field(),
            timestamps: self.connection.timestamps(),
            time_wait,
            until: now.plus(linger),
        }
    }
}
