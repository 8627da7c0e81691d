//! Listening to everything that crosses the engine's border.

use std::net::{IpAddr, SocketAddr};

use engine::{Close, DialResult, FlowId, FlowKey, Micros, RemoteEnd};

/// One thing that went into the engine or came out of it. Slices are lent for the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Crossing<'a> {
    /// A frame of the device, as the engine got it.
    FrameIn(&'a [u8]),
    /// A frame for the device, as the host took it.
    FrameOut(&'a [u8]),
    /// A dial request.
    Dial(FlowId, FlowKey),
    /// Its answer.
    Dialed(FlowId, DialResult),
    /// Bytes of the far side, when they are first offered to the engine: it may take them much later, or never.
    Data(FlowId, &'a [u8]),
    /// A datagram of the far side, and its source if that is not where the flow was dialed to.
    Datagram(FlowId, Option<SocketAddr>, &'a [u8]),
    /// The far side ended.
    Ended(FlowId, RemoteEnd),
    /// The dialer takes no more.
    Blocked(FlowId),
    /// The dialer takes bytes again.
    Writable(FlowId),
    /// Bytes of the device that the dialer took.
    Sent(FlowId, &'a [u8]),
    /// A datagram of the device that the dialer took.
    DatagramSent(FlowId, SocketAddr, &'a [u8]),
    /// The device's last byte was handed over.
    HalfClose(FlowId),
    /// The flow ended.
    Close(FlowId, Close),
    /// The path changed.
    PathChanged,
    /// The device's end lost an address.
    AddressLost(IpAddr),
}

/// Listens. Called in the order of events, on the thread that runs the turn; it must not block.
///
/// ```
/// use engine::Micros;
/// use engine_driver::turn::{Crossing, Tap};
///
/// /// Prints each dial.
/// struct Dials;
///
/// impl Tap for Dials {
///     fn crossed(&mut self, now: Micros, crossing: Crossing<'_>) {
///         if let Crossing::Dial(_, key) = crossing {
///             println!("{now:?}: {key}");
///         }
///     }
/// }
/// ```
pub trait Tap: Send {
    /// `crossing` happened at `now`.
    fn crossed(&mut self, now: Micros, crossing: Crossing<'_>);

    /// A turn has ended.
    fn turned(&mut self) {}
}

/// Calls the tap, if there is one.
pub(super) fn cross(tap: &mut Option<Box<dyn Tap>>, now: Micros, crossing: Crossing<'_>) {
    if let Some(tap) = tap {
        tap.crossed(now, crossing);
    }
}
