//! Who receives the outputs of the engine.

use core::fmt;
use std::net::SocketAddr;

use engine::{Close, DnsRecord, FlowId, FlowKey, Frames, LogRecord, QueryId, QueryKind};

/// Receives the outputs of a turn, in the engine's order, on the thread that runs the turn.
///
/// A host must not block. It may use the [`Mailbox`](crate::Mailbox) from within a call: what it posts there has its
/// effect in the next turn, which then follows at once. Slices are lent for the call.
///
/// Of each flow: `dial` first, `close` last and exactly once; between them `data` in stream order and `half_close`
/// after the last of it. After `close` the handle is dead, and the mailbox refuses it.
///
/// What has to be there, for a tunnel that refuses everything:
///
/// ```
/// use std::net::SocketAddr;
/// use std::sync::Arc;
/// use engine::{Close, DialResult, FlowId, FlowKey, Frames};
/// use engine_driver::{Host, Mailbox};
///
/// struct Refusing(Arc<Mailbox>);
///
/// impl Host for Refusing {
///     fn frames(&mut self, frames: Frames<'_>) -> usize {
///         frames.len()
///     }
///     fn dial(&mut self, flow: FlowId, _key: FlowKey, _name: Option<&str>) {
///         let _ = self.0.dialed(flow, DialResult::Refused);
///     }
///     fn data(&mut self, _flow: FlowId, bytes: &[u8]) -> usize {
///         bytes.len()
///     }
///     fn datagram(&mut self, _flow: FlowId, _to: SocketAddr, _payload: &[u8]) -> bool {
///         true
///     }
///     fn half_close(&mut self, _flow: FlowId) {}
///     fn resume(&mut self, _flow: FlowId, _space: usize) {}
///     fn close(&mut self, _flow: FlowId, _key: FlowKey, _close: Close) {}
/// }
/// ```
pub trait Host {
    /// Frames for the device, in order, 64 at most. Returns how many were taken, from the front; the others are offered
    /// again within [`Limits::poll_interval`](crate::Limits::poll_interval), and until all of them are taken the
    /// engine is asked for nothing else.
    fn frames(&mut self, frames: Frames<'_>) -> usize;

    /// Connect to `key.server`, and answer with [`Mailbox::dialed`](crate::Mailbox::dialed). `name` is the host name
    /// that the device had looked up for the address, if that was seen.
    fn dial(&mut self, flow: FlowId, key: FlowKey, name: Option<&str>);

    /// Stream bytes of the device. Returns how many were taken; if not all, the flow gives no more until
    /// [`Mailbox::writable`](crate::Mailbox::writable).
    fn data(&mut self, flow: FlowId, bytes: &[u8]) -> usize;

    /// One datagram of the device for `to`. Returns whether it was taken; if not, it is lost and counted
    /// ([`Stats::host_dropped_datagrams`](crate::Stats::host_dropped_datagrams)), and the flow gives no more until [`Mailbox::writable`](crate::Mailbox::writable).
    fn datagram(&mut self, flow: FlowId, to: SocketAddr, payload: &[u8]) -> bool;

    /// The device has sent its last byte: shut the write side down. Bytes of the far side still come.
    fn half_close(&mut self, flow: FlowId);

    /// A [`Mailbox::data`](crate::Mailbox::data) that was taken short may go on: `space` bytes would be taken now.
    fn resume(&mut self, flow: FlowId, space: usize);

    /// The flow has ended. A `close.how` other than `Fin` wants a reset toward the far side, if there still is a connection.
    fn close(&mut self, flow: FlowId, key: FlowKey, close: Close);

    /// The device learnt the addresses of a name: from an answer on `flow`, or from one of the engine's own.
    /// Nothing is done about it here.
    fn dns(&mut self, flow: Option<FlowId>, record: &DnsRecord) {
        let _ = (flow, record);
    }

    /// Find out the addresses of a name for an intercepted query, and answer with
    /// [`Mailbox::resolved`](crate::Mailbox::resolved). Comes only with
    /// [`Config::dns_interception`](engine::Config::dns_interception). Returns whether the host does so: if not, as here, the
    /// resolver of the turn is asked ([`Turn::set_resolver`](crate::Turn::set_resolver)), which the
    /// loop on tokio has of the system.
    fn resolve(&mut self, query: QueryId, name: &str, kind: QueryKind) -> bool {
        let _ = (query, name, kind);
        false
    }

    /// A line for the log; none unless [`Config::log_level`](engine::Config::log_level) asks for it.
    /// Nothing is done about it here.
    fn log(&mut self, record: &LogRecord) {
        let _ = record;
    }

    /// A problem that no other callback reports; [`Stats`](crate::Stats) counts them all, and here nothing more is done.
    fn notice(&mut self, notice: &Notice) {
        let _ = notice;
    }
}

/// What a log should report: losses outside the engine, each also counted in [`Stats`](crate::Stats).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The ring was full since the last turn.
    RingOverflow {
        /// Frames refused.
        frames: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// Datagrams of far sides were dropped since the last turn, because their flow's inbox was full.
    InboxOverflow {
        /// Datagrams dropped.
        datagrams: u64,
    },
    /// The host took no datagram of the device.
    DatagramRefused {
        /// Of which flow.
        flow: FlowId,
    },
    /// The engine refused what the mailbox had let in: a bug, here or there.
    Refused {
        /// Which flow it was for.
        flow: FlowId,
        /// The engine's reason.
        why: engine::Misuse,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RingOverflow { frames, bytes } => write!(
                f,
                "the frame ring was full: {frames} frames ({bytes} bytes) of the device are lost"
            ),
            Self::InboxOverflow { datagrams } => write!(
                f,
                "an inbox was full: {datagrams} datagrams of far sides are lost"
            ),
            Self::DatagramRefused { flow } => {
                write!(f, "{flow:?}: the dialer took no datagram; it is lost")
            }
            Self::Refused { flow, why } => {
                write!(f, "{flow:?}: the engine refused an input: {why}")
            }
        }
    }
}
