//! A TCP conversation: the device's segments with what each had to wait for, and the far side's stream with the
//! events that built it.
//!
//! Positions are counted in *units* of sequence space from the ISN: the SYN is unit 0, so "1" means the SYN was
//! sent, `1 + n` that n bytes were, and one more that the FIN was.

use super::store::Stream;
use crate::packet::{Flags, Seq};
use crate::scenario::DialResult;

mod backpressure;
mod reader;

pub use backpressure::Backpressure;
pub(crate) use backpressure::replay_stalls;
pub(crate) use reader::{dial_result_of, read};

/// What both sides of a connection sent.
#[derive(Debug)]
pub struct TcpConversation {
    /// The device's ISN in the capture.
    pub device_isn: Seq,
    /// The far side's ISN in the capture, as the device acknowledged it.
    pub far_isn: Seq,
    /// What the device sent, to be injected.
    pub device: Vec<DeviceSegment>,
    /// The device's stream.
    pub device_stream: Stream,
    /// Whether the device closed in order.
    pub device_fin: bool,
    /// Whether the device reset the connection.
    pub device_rst: bool,
    /// The far side's stream.
    pub far_stream: Stream,
    /// What the far side did, in stream order.
    pub far: Vec<FarEvent>,
    /// Bytes of the far side that the device acknowledged before it reset; more no replay owes it.
    pub device_took: Option<u64>,
    /// When the far side took no more, in order.
    pub stalls: Vec<Stall>,
    /// Bytes of the device that the dialer takes, if it never takes the rest.
    pub far_took: Option<u64>,
    /// Whether the far side's window is known: both sides' offers of a window scale, or that one made none, are in the
    /// capture.
    pub far_window_known: bool,
    /// Whether its handshake is not wholly in the capture, and made up as far as it is not.
    pub adopted: bool,
    /// The SYN that is made up.
    pub made_up: Option<MadeUp>,
    /// What the dial came to.
    pub dial: DialResult,
    /// How long that took, microseconds.
    pub dial_us: u64,
    /// The shift of the device's window field, after the handshake.
    pub window_shift: u8,
    /// Bytes of both streams that are not in the capture and stand as zeros.
    pub invented: u64,
}

/// One captured segment of the device: 64 bytes of memory, whatever it carries.
#[derive(Clone, Copy, Debug)]
pub struct DeviceSegment {
    /// Where its IP header begins.
    pub(crate) place: u64,
    /// Where it stands in the device's sequence space, units.
    pub at: u64,
    /// Units of the far side it acknowledges; [`NO_ACK`] for none.
    pub(crate) acked: u64,
    /// Units of the far side it cannot go in before.
    pub needs: u64,
    /// Microseconds since the device's segment before it.
    pub gap_us: u64,
    /// Microseconds since the flow's first packet.
    pub at_us: u64,
    /// Its number in the capture.
    pub number: u32,
    /// Bytes of payload on the wire.
    pub(crate) len: u32,
    /// The window it offers, bytes.
    pub window: u32,
    /// Bytes of its headers.
    pub(crate) headers: u16,
    /// Control bits to inject it with.
    pub flags: Flags,
    pub(crate) marks: Marks,
}

/// No acknowledgement that counts.
pub(crate) const NO_ACK: u64 = u64::MAX;

/// What else is known of a segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Marks(u8);

impl Marks {
    const REPEATED: u8 = 1;
    const FROM_SYN: u8 = 2;
    const SPOILED: u8 = 4;
    const INVENTED: u8 = 8;
    const MADE_UP: u8 = 16;

    pub(super) fn invented() -> Self {
        Self(Self::INVENTED)
    }

    /// Of a handshake made up.
    pub(super) fn made_up() -> Self {
        Self(Self::INVENTED | Self::MADE_UP)
    }

    pub(crate) fn new(repeated: bool, spoiled: bool) -> Self {
        let repeated = if repeated { Self::REPEATED } else { 0 };
        Self(repeated | if spoiled { Self::SPOILED } else { 0 })
    }

    pub(crate) fn and_from_syn(self) -> Self {
        Self(self.0 | Self::FROM_SYN)
    }
}

impl DeviceSegment {
    /// Units of the far side it acknowledges.
    #[must_use]
    pub fn ack(&self) -> Option<u64> {
        (self.acked != NO_ACK).then_some(self.acked)
    }

    /// Bytes of payload on the wire.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.len.into()
    }

    /// Whether all of its sequence space had been sent before.
    #[must_use]
    pub fn is_repeated(&self) -> bool {
        self.marks.0 & Marks::REPEATED != 0
    }

    /// Whether it is the payload of a SYN, to be sent again after the handshake.
    #[must_use]
    pub fn is_from_syn(&self) -> bool {
        self.marks.0 & Marks::FROM_SYN != 0
    }

    /// Whether no packet shows it, only what the far side said of it: its header is that of another segment.
    #[must_use]
    pub fn is_invented(&self) -> bool {
        self.marks.0 & Marks::INVENTED != 0
    }

    /// Whether it is of a handshake that is made up: no packet has a header for it.
    #[must_use]
    pub fn is_made_up(&self) -> bool {
        self.marks.0 & Marks::MADE_UP != 0
    }

    /// Whether its checksum is wrong in the capture; known only if [`ReadOptions::checksums`](super::ReadOptions) asks.
    #[must_use]
    pub fn is_spoiled(&self) -> bool {
        self.marks.0 & Marks::SPOILED != 0
    }

    /// One past its last unit.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.at
            + self.bytes()
            + u64::from(self.flags.contains(Flags::SYN))
            + u64::from(self.flags.contains(Flags::FIN))
    }
}

/// The SYN of a flow whose beginning is not in the capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadeUp {
    /// The maximum segment size that it offers, bytes: the far side's largest segment.
    pub mss: u16,
    /// How far the device's window fields must be shifted, as the far side made use of them.
    pub shift: u8,
    /// Whether it offers that shift: only a SYN-ACK that does as well tells that it did.
    pub scales: bool,
}

/// A time in which the far side's window had no room for a segment of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// When it began, microseconds since the flow's first packet.
    pub from_us: u64,
    /// When it ended, likewise: the window opened, or one side gave up. `None`: the capture ends before.
    pub until_us: Option<u64>,
    /// Bytes that the device had sent by its end: none beyond them had room.
    pub edge: u64,
    /// When it had sent the last of them, or when the stall began if that was later, microseconds.
    pub sent_us: u64,
    /// The widest window that the far side had offered, bytes.
    pub widest: u64,
    /// Whether the window opened again.
    pub resumed: bool,
    /// Whether a replay shows it to the device as well.
    pub replayed: bool,
}

/// The least time that counts as a stall, microseconds.
pub const STALL_US: u64 = crate::scenario::expect::STALL_US;

/// One thing the far side did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FarEvent {
    /// What.
    pub kind: FarEventKind,
    /// Bytes of the device it had acknowledged by then.
    pub acked: u64,
    /// Whether it had acknowledged the device's FIN.
    pub fin_acked: bool,
    /// Microseconds since what it waited for: the device's bytes, or its own event before.
    pub wait_us: u64,
}

/// What the far side did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FarEventKind {
    /// Sent the bytes of its stream from one offset to another.
    Send {
        /// First byte.
        from: u64,
        /// One past the last.
        to: u64,
    },
    /// Closed its direction.
    Fin,
    /// Reset the connection.
    Reset,
    /// Failed otherwise; only a recorded dialer can say so.
    Fail,
    /// Took so many more of the device's bytes, and no more.
    Take(u64),
    /// Took no more of the device's bytes.
    Block,
    /// Took them again.
    Unblock,
}
