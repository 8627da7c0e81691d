//! The device's end of a TCP flow as emitted segments show it: what came, what was acknowledged, what may be sent.

use std::collections::BTreeMap;

use super::tape::Tape;
use crate::packet::{Flags, Seq, Tcp};

/// What the device knows of the engine's side. Units as in the conversation: SYN is 0, first byte 1.
#[derive(Debug, Default)]
pub(crate) struct Receiver {
    pub(crate) engine_isn: Option<Seq>,
    pub(crate) device_isn: Option<Seq>,
    /// The stream in order.
    pub(crate) bytes: Tape,
    /// Whether what comes is kept in `fresh`.
    pub(crate) keeps_fresh: bool,
    /// What came in order since it was taken last.
    pub(crate) fresh: Vec<u8>,
    /// Bytes that came ahead of a hole.
    ahead: BTreeMap<u64, Vec<u8>>,
    /// The unit of the FIN, once seen.
    pub(crate) fin: Option<u64>,
    pub(crate) reset: bool,
    pub(crate) datagrams: u64,
    /// One past the highest unit that left the engine, whether or not it arrived.
    pub(crate) emitted: u64,
    /// Units of the device that the engine has acknowledged.
    pub(crate) acked: u64,
    /// One past the last unit of the device that the engine has room for.
    pub(crate) room_to: u64,
    /// The engine's SYN-ACK carried a window scale.
    pub(crate) scaled: bool,
    /// How far the engine's window fields are shifted, if the device takes a shift.
    pub(crate) engine_shift: u8,
    /// The largest segment that the engine takes, bytes, and the largest window that it has offered.
    pub(crate) engine_mss: u64,
    pub(crate) widest: u64,
    pub(crate) sack_permitted: bool,
    pub(crate) timestamps: bool,
    /// The shift of the device's window field, if the engine takes one.
    pub(crate) device_shift: u8,
    /// The device's own window edge, highest so far, units; `None` before it offered one.
    pub(crate) offered_to: Option<u64>,
    /// The device's last window was zero.
    pub(crate) device_window_closed: bool,
    /// One past the highest unit the device has sent.
    pub(crate) device_edge: u64,
    /// The same, without what went beyond the window of its time: that is no part of the stream until it is sent again.
    pub(crate) device_within: u64,
    /// The unit of the first FIN of the device's stream: what it sends behind that is no part of it.
    pub(crate) device_fin: Option<u64>,
}

impl Receiver {
    /// By how much the device's window fields are shifted.
    pub(crate) fn shift(&self) -> u8 {
        if self.scaled { self.device_shift } else { 0 }
    }

    /// Units the device has received without a hole, SYN and FIN included.
    pub(crate) fn contiguous(&self) -> u64 {
        if self.engine_isn.is_none() {
            return 0;
        }
        let count = 1 + self.bytes.len();
        count + u64::from(self.fin == Some(count))
    }

    /// Notes what the engine sent, before any fault; where its payload stands.
    pub(crate) fn note_emitted(&mut self, tcp: &Tcp<'_>) -> Option<u64> {
        if tcp.flags.contains(Flags::SYN) {
            self.engine_isn = Some(tcp.sequence);
            self.scaled = tcp.options.window_scale.is_some();
            self.engine_shift = tcp.options.window_scale.unwrap_or(0).min(14);
            // RFC 9293 section 3.7.1: without the option 536.
            self.engine_mss = tcp.options.mss.map_or(536, u64::from);
            self.sack_permitted = tcp.options.sack_permitted;
            self.timestamps = tcp.options.timestamps.is_some();
        }
        let at = self.unit(tcp.sequence)?;
        self.emitted = self.emitted.max(at + u64::from(tcp.sequence_len()));
        Some(at)
    }

    /// The unit of one of the engine's sequence numbers.
    pub(crate) fn unit(&self, seq: Seq) -> Option<u64> {
        let isn = self.engine_isn?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "sequence numbers are taken modulo 2^32"
        )]
        let distance = seq.minus(isn.plus(self.emitted as u32));
        u64::try_from(i64::try_from(self.emitted).ok()? + i64::from(distance)).ok()
    }

    /// The unit of one of the device's sequence numbers.
    pub(crate) fn device_unit(&self, seq: Seq) -> Option<u64> {
        let isn = self.device_isn?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "sequence numbers are taken modulo 2^32"
        )]
        let distance = seq.minus(isn.plus(self.device_edge as u32));
        u64::try_from(i64::try_from(self.device_edge).ok()? + i64::from(distance)).ok()
    }

    /// Whether the device has no room for a segment: less than the largest, and than half of the widest window (RFC 9293
    /// section 3.8.6.2.1), though it is not at its end.
    pub(crate) fn is_stalled(&self) -> bool {
        let room = self.room_to.saturating_sub(self.device_edge);
        self.engine_isn.is_some()
            && !self.reset
            && self.device_fin.is_none()
            && room < self.engine_mss.min(self.widest / 2).max(1)
    }

    /// Whether a segment is a keep-alive (RFC 9293 section 3.8.4): the number before the next one, and no byte or one that is known.
    pub(crate) fn is_keep_alive(&self, at: u64, tcp: &Tcp<'_>) -> bool {
        tcp.flags.without(Flags::PSH) == Flags::ACK
            && tcp.payload_len <= 1
            && at + 1 == self.emitted
            && at < self.contiguous()
    }

    /// Takes in a segment that reached the device.
    pub(crate) fn receive(&mut self, at: u64, tcp: &Tcp<'_>) {
        if tcp.flags.contains(Flags::RST) {
            self.reset = true;
            return;
        }
        if tcp.flags.contains(Flags::ACK)
            && let Some(acked) = self.device_unit(tcp.acknowledgement)
        {
            self.acked = self.acked.max(acked);
            // The window of a SYN-ACK is never shifted (RFC 7323 section 2.2).
            let shift = if tcp.flags.contains(Flags::SYN) {
                0
            } else {
                self.engine_shift
            };
            let window = u64::from(tcp.window) << shift;
            self.widest = self.widest.max(window);
            self.room_to = self.room_to.max(acked + window);
        }
        let start = at + u64::from(tcp.flags.contains(Flags::SYN));
        if !tcp.payload.is_empty() {
            self.insert(start, tcp.payload);
        }
        if tcp.flags.contains(Flags::FIN) {
            self.fin = Some(start + tcp.payload.len() as u64);
        }
    }

    fn insert(&mut self, start: u64, payload: &[u8]) {
        let edge = 1 + self.bytes.len();
        if start > edge {
            let held = self.ahead.entry(start).or_default();
            if held.len() < payload.len() {
                *held = payload.to_vec();
            }
            return;
        }
        self.append(start, payload);
        while let Some(entry) = self.ahead.first_entry() {
            if *entry.key() > 1 + self.bytes.len() {
                return;
            }
            let (start, payload) = entry.remove_entry();
            self.append(start, &payload);
        }
    }

    fn append(&mut self, start: u64, payload: &[u8]) {
        let known = (1 + self.bytes.len()).saturating_sub(start);
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        self.take(payload.get(known..).unwrap_or(&[]));
    }

    /// Takes bytes that are next in order.
    pub(crate) fn take(&mut self, count: &[u8]) {
        self.bytes.push(count);
        if self.keeps_fresh {
            self.fresh.extend_from_slice(count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::Packet;
    use crate::packet::build::{TcpSpec, tcp};

    const ISN: Seq = Seq(u32::MAX - 2);

    /// A segment of the engine's whose first byte is this unit, received.
    fn receive(receiver: &mut Receiver, at: u32, flags: Flags, payload: &[u8]) {
        let ends = ["192.0.2.1:80", "10.0.0.2:40000"].map(|end| end.parse().unwrap());
        let bytes = tcp(&TcpSpec {
            sequence: ISN.plus(at),
            acknowledgement: Seq(1000),
            flags: Flags::ACK.with(flags),
            window: 500,
            payload,
            ..TcpSpec::new(ends[0], ends[1])
        });
        let packet = Packet::whole(&bytes).unwrap();
        let segment = packet.tcp().unwrap();
        let at = receiver.note_emitted(segment).unwrap();
        receiver.receive(at, segment);
    }

    fn opened() -> Receiver {
        let mut receiver = Receiver {
            device_isn: Some(Seq(999)),
            device_edge: 1,
            device_fin: None,
            ..Receiver::default()
        };
        assert_eq!(receiver.contiguous(), 0);
        receive(&mut receiver, 0, Flags::SYN, b"");
        receiver
    }

    #[test]
    fn bytes_in_any_order_and_any_cut_are_one_stream() {
        let orders: [&[(u32, &[u8])]; 4] = [
            &[(1, b"abc"), (4, b"def"), (7, b"g")],
            &[(7, b"g"), (4, b"def"), (1, b"abc")],
            // Again, longer, and over what is there.
            &[(4, b"d"), (4, b"def"), (4, b"d"), (1, b"abcd"), (6, b"fg")],
            &[(1, b"abcdefg"), (2, b"bc"), (7, b"g")],
        ];
        for order in orders {
            let mut receiver = opened();
            for (at, payload) in order {
                receive(&mut receiver, *at, Flags(0), payload);
            }
            assert_eq!(receiver.bytes.get(0, u64::MAX), b"abcdefg", "{order:?}");
            assert_eq!((receiver.contiguous(), receiver.emitted), (8, 8));
        }
    }

    #[test]
    fn a_fin_counts_once_all_before_it_is_there() {
        let mut receiver = opened();
        receive(&mut receiver, 4, Flags::FIN, b"de");
        assert_eq!((receiver.fin, receiver.contiguous()), (Some(6), 1));
        receive(&mut receiver, 1, Flags(0), b"abc");
        assert_eq!((receiver.contiguous(), receiver.emitted), (7, 7));
        receive(&mut receiver, 1, Flags::RST, b"");
        assert!(receiver.reset);
    }

    #[test]
    fn the_engines_acknowledgement_and_window_are_known_in_units_of_the_device() {
        let receiver = opened();
        assert_eq!((receiver.acked, receiver.room_to), (1, 501));
    }
}
