//! When the far side took no more: its window had no room for a segment of the device for so long that a user notices.

use super::{Reader, Received, place};
use crate::capture::conversation::raw::RawPacket;
use crate::capture::conversation::tcp::{FarEventKind, STALL_US, Stall};
use crate::packet::Flags;

/// The far side's window as the device sees it. Offsets are bytes of the device's stream.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// How far its window fields are shifted; `None`: not known, and only a window of zero says something.
    shift: Option<u8>,
    /// Bytes it has acknowledged.
    acked: u64,
    /// Where the window ends that it offered last; `None`: not known.
    edge: Option<u64>,
    /// The widest that it offered, bytes.
    widest: u64,
    /// That window was zero.
    zero: bool,
    /// The device's largest segment, bytes.
    largest: u64,
    /// Bytes the device has sent.
    sent: u64,
    /// When it sent the last of them.
    sent_at: u64,
    /// Since when there is no room.
    since: Option<u64>,
    /// The device, or the far side, has given up: what follows is no stall.
    over: bool,
    now: u64,
    /// When the device's last packet came.
    device_at: u64,
    stalls: Vec<Stall>,
}

/// No network card sends larger segments than this, whatever a capture before it shows.
const LARGEST: u64 = 1460;

impl Watch {
    pub(super) fn new(shift: Option<u8>) -> Self {
        Self {
            shift,
            ..Self::default()
        }
    }

    /// Whether more is known than a window of zero.
    pub(super) fn is_known(&self) -> bool {
        self.shift.is_some()
    }

    fn offer(&mut self, acked: u64, tcp: &RawPacket) {
        let syn = tcp.flags.contains(Flags::SYN);
        let shift = if syn { Some(0) } else { self.shift };
        let window = u64::from(tcp.window);
        self.acked = acked;
        self.zero = window == 0 && !syn;
        self.widest = self.widest.max(window << shift.unwrap_or(0));
        self.edge = match shift {
            Some(shift) => Some(acked + (window << shift)),
            None => self.zero.then_some(acked),
        };
    }

    /// Whether the window has no room for a segment, and not for want of an acknowledgement.
    fn is_full(&self) -> bool {
        let segment = self.largest.max(1);
        self.zero
            || self
                .edge
                .is_some_and(|edge| self.sent + segment > edge && self.acked + segment >= edge)
    }

    /// Looks at the window; true if it opened after a stall.
    fn settle(&mut self, now: u64) -> bool {
        self.now = now;
        if self.is_full() && !self.over {
            self.since.get_or_insert(now);
            return false;
        }
        if self.is_full() {
            self.end(Some(now));
            return false;
        }
        self.end(Some(now));
        // One that the device gave up in may end behind that.
        match self.stalls.last_mut() {
            Some(stall) if !stall.resumed => {
                stall.resumed = true;
                true
            }
            _ => false,
        }
    }

    fn end(&mut self, until_us: Option<u64>) {
        if let Some(from_us) = self.since.take()
            && self.now.saturating_sub(from_us) >= STALL_US
        {
            self.stalls.push(Stall {
                from_us,
                until_us,
                edge: self.sent,
                sent_us: self.sent_at.max(from_us),
                widest: self.widest,
                resumed: false,
                replayed: false,
            });
        }
    }

    pub(super) fn finish(mut self) -> Vec<Stall> {
        // A replay knows no more of the end than what the device sent.
        self.now = self.device_at;
        self.end(None);
        self.stalls
    }
}

impl Reader<'_, '_> {
    /// Looks at the far side's window after a packet, and tells when it opens after a stall.
    pub(super) fn watch_window(&mut self, tcp: &RawPacket, now: u64) {
        let ends = tcp.flags.contains(Flags::RST)
            || (tcp.is_from_client() && tcp.flags.contains(Flags::FIN));
        self.watch.over |= ends;
        if tcp.flags.contains(Flags::RST) {
            self.watch.settle(now);
            self.watch.zero = true;
            return;
        }
        if tcp.is_from_client() {
            self.watch.device_at = now;
            let segment = u64::from(tcp.payload_len).min(LARGEST);
            self.watch.largest = self.watch.largest.max(segment);
            if self.watch.sent < self.device.stream.highest() {
                (self.watch.sent, self.watch.sent_at) = (self.device.stream.highest(), now);
            }
        } else if tcp.flags.contains(Flags::ACK)
            && let Some(acked) = place(
                tcp.acknowledgement,
                self.opening.device_isn,
                self.device.stream.highest(),
            )
            && let Ok(acked) = u64::try_from(acked)
            && acked >= self.watch.acked
        {
            self.watch.offer(acked, tcp);
        }
        if self.watch.settle(now) {
            let received = Received {
                count: self.far.acked,
                fin: false,
            };
            self.event(FarEventKind::Unblock, now, received);
        }
    }
}
