//! Faults to be found, for tests of what finds faults. Only with the feature `seeded-fault`, and only where armed.

use core::cell::Cell;

/// One thing that an engine does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A short last piece of a far side's stream is taken and forgotten, so that the device gets its FIN one segment early.
    LastPiece,
    /// No window update leaves when a window opens again.
    WindowUpdate,
    /// The device's end of stream is not passed on.
    HalfClose,
    /// The first byte of what a far side sends comes twice.
    DoubledByte,
    /// A bare acknowledgement that comes after the end is answered with a reset.
    LateAck,
    /// Each dial is asked for twice.
    DialTwice,
    /// Flows are idle after 20 ms.
    EarlyIdle,
    /// The segment size that is offered is off by one.
    SegmentSize,
    /// A dialer that was refused room gets no `Resume` when there is some.
    Resume,
    /// Checksums of segments with payload are wrong.
    Checksum,
    /// Datagrams of a far side are taken and forgotten.
    Datagram,
}

thread_local! {
    static ARMED: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Arms or disarms the first of them for engines that run on this thread.
pub fn arm(armed: bool) {
    arm_one(armed.then_some(Fault::LastPiece));
}

/// Arms one of them for engines that run on this thread, or none.
pub fn arm_one(fault: Option<Fault>) {
    ARMED.set(fault);
}

/// Whether a fault is armed.
pub(crate) fn is(fault: Fault) -> bool {
    ARMED.get() == Some(fault)
}

/// Whether these bytes of a far side go nowhere.
pub(crate) fn loses(data: &[u8]) -> bool {
    is(Fault::LastPiece) && data.len() < 536
}
