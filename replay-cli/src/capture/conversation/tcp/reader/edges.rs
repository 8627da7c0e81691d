//! How far each side's stream is known to reach, before any segment is placed: what the capture lacks of it is a hole,
//! told from a forged number by what both sides say later.

use super::place;
use crate::capture::conversation::raw::RawPacket;
use crate::packet::{Flags, Seq};

/// How far one side's stream reaches. Offsets count from the first byte after the SYN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Edge {
    /// One past the last byte that is known to have been sent, whether the capture holds it or not.
    pub(super) bytes: u64,
    /// Where a FIN stood that no packet shows, only its acknowledgement.
    pub(super) fin: Option<u64>,
}

/// The other side's acknowledgements that count: a number that its last ones do not reach was forged.
const LAST: usize = 3;

/// The window that anybody may have offered, and its shift where the SYN is not in the capture.
const WINDOW: u64 = 65_535;
const SHIFT: u8 = 8;

/// What one side's packets show.
#[derive(Debug)]
struct Shown {
    /// One past the last byte that a packet holds.
    data: u64,
    /// The highest sequence number of a packet, empty ones included.
    next: u64,
    /// Where its last FIN stood.
    fin: Option<u64>,
    reset: bool,
    /// The last acknowledgements of the other side's bytes.
    acked: [u64; LAST],
    count: usize,
    window: u64,
    shift: u8,
}

impl Default for Shown {
    fn default() -> Self {
        Self {
            data: 0,
            next: 0,
            fin: None,
            reset: false,
            acked: [0; LAST],
            count: 0,
            window: WINDOW,
            shift: SHIFT,
        }
    }
}

impl Shown {
    fn packet(&mut self, tcp: &RawPacket, isn: Seq, other_isn: Seq) {
        let flags = tcp.flags;
        let syn = flags.contains(Flags::SYN);
        if flags.contains(Flags::RST) {
            self.reset = true;
            return;
        }
        if syn {
            self.shift = tcp.window_scale().unwrap_or(0).min(14);
        }
        self.window = self.window.max(tcp.window.into());
        if syn && tcp.sequence != isn {
            return;
        }
        let start = tcp.sequence.plus(u32::from(syn));
        if let Some(offset) = reached(start, isn, self.next) {
            let end = offset + u64::from(tcp.payload_len);
            self.next = self.next.max(end);
            if tcp.payload_len > 0 {
                self.data = self.data.max(end);
            }
            if flags.contains(Flags::FIN) {
                self.fin = self.fin.max(Some(end));
            }
        }
        if flags.contains(Flags::ACK)
            && let Some(acked) = reached(tcp.acknowledgement, other_isn, self.highest_ack())
        {
            let nth = self.count % LAST;
            if let Some(place) = self.acked.get_mut(nth) {
                *place = acked;
            }
            self.count += 1;
        }
    }

    fn highest_ack(&self) -> u64 {
        self.acked.iter().copied().max().unwrap_or(0)
    }

    fn widest(&self) -> u64 {
        self.window << self.shift
    }

    /// How far this side's stream reaches, given what the other one says of it.
    fn edge(&self, other: &Self) -> Edge {
        let acked = other.highest_ack();
        // No sender is further ahead of what it is known to have sent than the widest window.
        let acked = if acked <= self.next + 1 + other.widest() {
            acked
        } else {
            0
        };
        let reaches = self.next.max(acked);
        if self.fin.is_some() || reaches <= self.data {
            return Edge {
                bytes: self.data.max(self.fin.unwrap_or(0)),
                fin: None,
            };
        }
        // The last unit may be a FIN: one that is all that is missing, or the end of a connection that ended in order.
        let ended = other.fin.is_some() && !self.reset && !other.reset;
        if acked == reaches && (reaches == self.data + 1 || ended) {
            let bytes = reaches - 1;
            return Edge {
                bytes,
                fin: Some(bytes),
            };
        }
        Edge {
            bytes: reaches,
            fin: None,
        }
    }
}

fn reached(seq: Seq, isn: Seq, near: u64) -> Option<u64> {
    u64::try_from(place(seq, isn, near)?).ok()
}

/// How far the device's stream reaches, and the far side's.
pub(super) fn of(packets: &[RawPacket], device_isn: Seq, far_isn: Seq) -> (Edge, Edge) {
    let (mut device, mut far) = (Shown::default(), Shown::default());
    for tcp in packets {
        if tcp.is_from_client() {
            device.packet(tcp, device_isn, far_isn);
        } else {
            far.packet(tcp, far_isn, device_isn);
        }
    }
    (device.edge(&far), far.edge(&device))
}
