//! Reads a connection's packets in capture order; `far` has the far side's segments, `summary` the end.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{DeviceSegment, FarEvent, Marks, NO_ACK, TcpConversation};
use crate::capture::conversation::assembly::{Added, Assembly};
use crate::capture::conversation::raw::{RawFlow, RawPacket};
use crate::capture::conversation::recorded::{Dialer, RawEvent};
use crate::capture::conversation::timeline::Timeline;
use crate::capture::conversation::{ByteReader, ReadOptions};
use crate::packet::{Flags, Seq};
use crate::scenario::DialResult;
use edges::Edge;
use opening::Opening;
use stalls::Watch;

mod edges;
mod far;
mod holes;
mod opening;
mod stalls;
mod summary;

pub(crate) use summary::dial_result_of;

/// Segments further than this from the stream are of another time or forged.
const FAR_AWAY: i64 = 100_000_000;

pub(crate) fn read(
    raw: &RawFlow,
    bytes: &mut ByteReader<'_>,
    options: &ReadOptions,
    notes: &mut Vec<String>,
) -> TcpConversation {
    let mut reader = Reader::new(raw, bytes, Patience::new(options));
    reader.open_adopted(raw);
    (reader.device.edge, reader.far.edge) = edges::of(
        &raw.packets,
        reader.opening.device_isn,
        reader.opening.far_isn,
    );
    if reader.opening.missing_syn_ack || raw.adopted {
        // Of a side that the capture does not show, neither its beginning nor a byte, nothing is made up.
        let shown = |of_client: bool| {
            let mut packets = raw.packets.iter();
            packets.any(|packet| packet.payload_len > 0 && packet.is_from_client() == of_client)
        };
        let mut forget = |edge: &mut Edge, of_client, whose: &str| {
            if !shown(of_client) && edge.bytes > 0 {
                notes.push(format!(
                    "no byte of the {whose} is in the capture, though {} were acknowledged: none is made up",
                    edge.bytes
                ));
                *edge = Edge::default();
            }
        };
        forget(&mut reader.device.edge, true, "device");
        forget(&mut reader.far.edge, false, "far side");
    }
    let mut events = raw.events.iter().peekable();
    for (index, packet) in raw.packets.iter().enumerate() {
        while let Some(event) = events.next_if(|event| event.after <= index) {
            reader.recorded(event);
        }
        let now = reader.time.at(packet.time_ns, reader.longest_silence());
        if packet.is_from_client() {
            reader.device_segment(packet, now);
        } else {
            reader.far_segment(packet, now);
        }
        reader.watch_window(packet, now);
    }
    events.for_each(|event| reader.recorded(event));
    reader.finish(raw, notes)
}

/// What a side had received of the other when it sent something.
#[derive(Clone, Copy, Debug, Default)]
struct Received {
    count: u64,
    fin: bool,
}

/// How long the engine waits in silence, by phase, microseconds.
struct Patience {
    dial: u64,
    handshake: u64,
    open: u64,
    half_closed: u64,
}

impl Patience {
    fn new(options: &ReadOptions) -> Self {
        let config = engine::Config::default();
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let open = options
            .tcp_idle_us
            .unwrap_or_else(|| micros(config.tcp_idle));
        Self {
            dial: open.min(micros(config.dial_timeout)),
            // An unanswered SYN-ACK is unacknowledged data.
            handshake: open.min(micros(config.retransmission_limit)),
            open,
            half_closed: open.min(micros(config.tcp_half_closed)),
        }
    }
}

struct Reader<'r, 'b> {
    /// The capture, for bytes that came more than once.
    bytes: &'r mut ByteReader<'b>,
    time: Timeline,
    patience: Patience,
    opening: Opening,
    device: DeviceSide,
    far: FarSide,
    dial: Option<(DialResult, u64)>,
    /// Segments far outside both streams.
    outside: u64,
    dialer: Dialer,
    watch: Watch,
}

/// What the device sent, and had received.
#[derive(Default)]
struct DeviceSide {
    segments: Vec<DeviceSegment>,
    stream: Assembly,
    /// When its stream reached which byte.
    reached: Vec<(u64, u64)>,
    /// Where its FINs stood, and when each first came.
    fins: BTreeMap<u64, u64>,
    fin_at: u64,
    rst_at: Option<u64>,
    syn_payload: Option<DeviceSegment>,
    edge: Edge,
    last_at: u64,
    last_data_at: u64,
    /// Bytes of the far side that it has acknowledged.
    acked: u64,
    /// It has acknowledged the SYN-ACK.
    answered: bool,
    needs: u64,
    /// Segments whose acknowledgements were limited when a FIN was taken back.
    limited: usize,
}

/// What the far side sent, and had received.
#[derive(Default)]
struct FarSide {
    events: Vec<FarEvent>,
    stream: Assembly,
    reported: u64,
    /// Where its FINs stood, and what each had received.
    fins: BTreeMap<u64, Received>,
    /// What it had received when it sent from a byte on, for what is not reported yet.
    received: BTreeMap<u64, Received>,
    fin_reported: bool,
    high: u64,
    /// Bytes of the device that it has acknowledged.
    acked: u64,
    event_at: u64,
    rst_at: Option<u64>,
    answered: bool,
    /// Resets before its SYN-ACK, at which the device did not give up.
    early_resets: u64,
    edge: Edge,
}

impl<'r, 'b> Reader<'r, 'b> {
    fn new(raw: &RawFlow, bytes: &'r mut ByteReader<'b>, patience: Patience) -> Self {
        let opening = Opening::of(raw);
        Self {
            bytes,
            time: Timeline::default(),
            patience,
            watch: Watch::new(opening.far_shift),
            opening,
            device: DeviceSide {
                reached: vec![(0, 0)],
                ..DeviceSide::default()
            },
            far: FarSide::default(),
            dial: None,
            outside: 0,
            dialer: Dialer::default(),
        }
    }

    /// Opens a flow that is adopted: its SYN and the acknowledgement of the answer stand before what is in the capture.
    fn open_adopted(&mut self, raw: &RawFlow) {
        if self.opening.adopted.is_none() {
            return;
        }
        let Some(first) = raw.packets.first() else {
            return;
        };
        let of_device = raw.packets.iter().find(|packet| packet.is_from_client());
        let window = of_device.map_or(u16::MAX, |packet| packet.window);
        let syn = DeviceSegment {
            place: 0,
            at: 0,
            acked: NO_ACK,
            needs: 0,
            gap_us: 0,
            at_us: 0,
            number: first.number,
            len: 0,
            window: u32::from(u16::MAX),
            headers: 0,
            flags: Flags::SYN,
            marks: Marks::made_up(),
        };
        let answer = DeviceSegment {
            at: 1,
            acked: 1,
            needs: 1,
            window: u32::from(window) << self.opening.device_shift,
            flags: Flags::ACK,
            ..syn
        };
        self.device.segments.extend([syn, answer]);
        self.device.needs = 1;
        self.dial = Some((DialResult::Connected, 0));
        self.device.answered = true;
    }

    /// An event of the dialer that a flight recorder kept.
    fn recorded(&mut self, event: &RawEvent) {
        let now = self.time.at(event.time_ns, self.longest_silence());
        self.dialer.event(&event.kind, now);
    }

    /// The longest silence the engine bears in the connection's present phase.
    fn longest_silence(&self) -> u64 {
        let Patience {
            dial,
            handshake,
            open,
            half_closed,
        } = self.patience;
        if self.dial.is_none() {
            dial
        } else if !self.device.answered {
            handshake
        } else if self.device.fins.is_empty() && self.far.fins.is_empty() {
            open
        } else {
            half_closed
        }
    }

    fn device_segment(&mut self, tcp: &RawPacket, now: u64) {
        let flags = tcp.flags;
        let (syn, rst) = (flags.contains(Flags::SYN), flags.contains(Flags::RST));
        let gap_us = now - self.device.last_at;
        if syn && tcp.sequence != self.opening.device_isn {
            self.outside += 1;
            return;
        }
        let start = tcp.sequence.plus(u32::from(syn));
        let Some(offset) = place(start, self.opening.device_isn, self.device.stream.highest())
        else {
            self.outside += 1;
            return;
        };
        // A keep-alive stands one byte before what was sent, and brings nothing.
        let len = if rst { 0 } else { u64::from(tcp.payload_len) };
        let (skip, from) = if offset < 0 {
            (offset.unsigned_abs(), 0)
        } else {
            (0, offset.unsigned_abs())
        };
        let fresh = len.saturating_sub(skip);
        let mut repeated = len > 0 || flags.contains(Flags::FIN);
        if fresh > 0 {
            let captured = tcp.payload().behind(skip);
            repeated &=
                self.device.stream.insert(from, captured, fresh, self.bytes) == Added::Repeated;
            self.device.last_data_at = now;
            self.note_sent(now);
        }
        if flags.contains(Flags::FIN) && !rst {
            repeated &= !self.note_device_fin(from + fresh, now);
        }
        if syn && !flags.contains(Flags::ACK) {
            repeated = !self.device.segments.is_empty();
        }
        let ack = self.note_ack(tcp, now);
        self.device.needs = if syn && !flags.contains(Flags::ACK) {
            0
        } else {
            self.needs_of(ack.filter(|_| !rst))
        };
        if rst && self.device.rst_at.is_none() {
            self.device.rst_at = Some(now);
        }
        // A SYN-ACK of the device (simultaneous open, split handshake) goes in as the acknowledgement it implies.
        let implied = syn && flags.contains(Flags::ACK);
        let opening = syn && !implied;
        let segment = DeviceSegment {
            place: tcp.span().place,
            number: tcp.number,
            headers: tcp.payload_at,
            flags: if implied { Flags::ACK } else { flags },
            at: if opening {
                0
            } else {
                from + 1 - u64::from(offset < 0)
            },
            len: if opening || implied || offset < 0 || rst {
                0
            } else {
                tcp.payload_len
            },
            acked: ack.unwrap_or(NO_ACK),
            needs: self.device.needs,
            window: if syn {
                u32::from(tcp.window)
            } else {
                u32::from(tcp.window) << self.opening.device_shift
            },
            gap_us,
            at_us: now,
            marks: Marks::new(repeated, tcp.is(RawPacket::SPOILED)),
        };
        if opening
            && len > 0
            && self.device.syn_payload.is_none()
            && self.device.segments.is_empty()
        {
            self.device.syn_payload = Some(DeviceSegment {
                flags: Flags::ACK.with(Flags::PSH),
                at: 1,
                len: tcp.payload_len,
                acked: 1,
                needs: 1,
                gap_us: 0,
                marks: segment.marks.and_from_syn(),
                ..segment
            });
        }
        self.device.segments.push(segment);
        self.device.last_at = now;
        if !opening && !rst {
            self.repeat_syn_payload(tcp, gap_us, now);
        }
    }

    /// What a SYN carried goes in once more, with what follows the handshake.
    fn repeat_syn_payload(&mut self, tcp: &RawPacket, gap_us: u64, now: u64) {
        let Some(mut again) = self.device.syn_payload.take() else {
            return;
        };
        again.window = u32::from(tcp.window) << self.opening.device_shift;
        again.at_us = now;
        // What the far side had answered already goes in before what acknowledges that.
        if self.device.needs > 1
            && let Some(follows) = self.device.segments.pop()
        {
            again.gap_us = gap_us;
            let follows = DeviceSegment {
                gap_us: 0,
                ..follows
            };
            self.device.segments.extend([again, follows]);
        } else {
            self.device.segments.push(again);
        }
    }

    /// How much of the far side a segment of the device answers, which acknowledges so much.
    fn needs_of(&self, ack: Option<u64>) -> u64 {
        match ack {
            Some(ack) => self.device.needs.max(ack.min(self.far.high.max(1))),
            // No acknowledgement that counts: it had seen whatever came before it.
            None if self.far.answered || self.opening.missing_syn_ack => {
                let come = self.far.stream.contiguous();
                let fin = u64::from(self.far.fins.contains_key(&come));
                self.device.needs.max(1 + come + fin)
            }
            None => 0,
        }
    }

    /// Takes a FIN of the device, at this place of its stream; whether it is the first one there.
    fn note_device_fin(&mut self, place: u64, now: u64) -> bool {
        let Entry::Vacant(entry) = self.device.fins.entry(place) else {
            return false;
        };
        entry.insert(now);
        self.device.fin_at = now;
        self.device.last_data_at = now;
        true
    }

    /// Takes the device's acknowledgement: bytes it has that no packet shows were lost to the capture.
    fn note_ack(&mut self, tcp: &RawPacket, now: u64) -> Option<u64> {
        if !tcp.flags.contains(Flags::ACK) {
            return None;
        }
        let offset = place(
            tcp.acknowledgement,
            self.opening.far_isn,
            self.far.stream.highest(),
        )?;
        let Ok(offset) = u64::try_from(offset) else {
            return Some(0);
        };
        if !tcp.flags.contains(Flags::RST) {
            self.bridge_far(offset, now);
        }
        let fin = self
            .far
            .fins
            .range(..offset)
            .next_back()
            .map(|(fin, _)| *fin)
            .filter(|_| offset > self.far.stream.highest());
        let count = fin.unwrap_or(offset);
        if !tcp.flags.contains(Flags::RST) || self.device.rst_at.is_none() {
            self.device.answered = true;
            self.device.acked = self
                .device
                .acked
                .max(count.min(self.far.stream.contiguous()));
        }
        Some(count + 1 + u64::from(fin.is_some()))
    }
}

/// Bytes from the first after the SYN to `seq`, unwrapped near `reference`; `None` if it lies absurdly far away.
fn place(seq: Seq, isn: Seq, reference: u64) -> Option<i64> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "sequence numbers are taken modulo 2^32"
    )]
    let base = isn.plus(1).plus(reference as u32);
    let distance = i64::from(seq.minus(base));
    let offset = i64::try_from(reference).ok()? + distance;
    (distance.abs() <= FAR_AWAY && offset >= -FAR_AWAY).then_some(offset)
}
