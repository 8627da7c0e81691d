//! A connection with the device: segments in, segments out, bytes lent and taken. Everything TCP is behind it.
//!
//! ```text
//!              segment()                      emit()
//!  device ───────────────┐            ┌───────────────────> device
//!                        v            │
//!          ┌───────── receiver     sender ─────────┐
//!          │ ring, holes, window   ring, window,   │
//!          │ what is owed          what is next    │
//!          │                   recovery  timers    │
//!          │                   congestion          │
//!          └──────────┬──────────────^─────────────┘
//!            peek(), consume()    offer(), finish()
//!                     v              │
//!                          dialer
//! ```

use core::time::Duration;

use crate::api::batch::FrameBatch;
use crate::api::config::Config;
use crate::api::drop_reason::DropReason;
use crate::api::time::Micros;
use crate::flow::key::PackedKey;
use crate::ip::packet::Segment;
use crate::tcp::HeldSyn;
use crate::tcp::isn;
use crate::tcp::receiver::{Arrival, Receiver};
use crate::tcp::ring::Pool;
use crate::tcp::segment::{self, Ends, Outgoing};
use crate::tcp::sender::{Ack, AckKind, Sender, Start};
use crate::tcp::seq::Seq;
use crate::tcp::timestamps::{self, Timestamps};

mod emission;

/// What all connections share.
pub(crate) struct Context<'a> {
    pub(crate) pool: &'a mut Pool,
    /// Where segments toward the device go.
    pub(crate) out: &'a mut FrameBatch,
}

/// What became of a segment, and what is to be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disposition {
    /// It was taken.
    Taken,
    /// It was taken, and its FIN was not, because its payload overran the window.
    WithoutFin,
    /// Nothing of it counts; it is answered with an acknowledgement.
    Answer,
    /// The same, within the connection's allowance (RFC 5961), and why it was dropped, if it was.
    Challenge(Option<DropReason>),
    /// A number that no SYN-ACK had: a reset (RFC 9293 section 3.10.7.4, fifth).
    Refuse,
    /// The device reset the connection.
    Reset,
    /// It is passed over.
    Drop(DropReason),
}

/// What [`Connection::emit`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Emission {
    /// Segments that had left before.
    pub(crate) again: u64,
    /// The batch is full, and there may be more to say.
    pub(crate) full: bool,
}

/// RFC 9293 section 3.3.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    SynReceived,
    Established,
    FinWait1,
    FinWait2,
    CloseWait,
    Closing,
    LastAck,
    TimeWait,
    Closed,
}

/// The SYN-ACK, as long as it is not acknowledged.
#[derive(Clone, Copy, Debug)]
struct SynAck {
    mss: u16,
    scale: Option<u8>,
    sent: u8,
    at: Micros,
}

/// A connection that was dialed.
#[derive(Debug)]
pub(crate) struct Connection {
    ends: Ends,
    device_isn: Seq,
    isn: Seq,
    syn_ack: Option<Box<SynAck>>,
    /// Selective acknowledgements are permitted.
    sack: bool,
    timestamps: Option<Timestamps>,
    receiver: Receiver,
    sender: Sender,
    /// Whose FIN came first, if both did: this side's.
    closed_first: bool,
    /// Bytes of the longest packet that reaches the device, once a router before it reported so (RFC 1191).
    path_mtu: Option<usize>,
    /// How long an acknowledgement may wait for something to leave with it.
    ack_delay: Option<Duration>,
    /// Since when one waits.
    ack_waits: Option<Micros>,
    /// When the device last acknowledged something new, or the first byte went out after all was acknowledged.
    progress: Micros,
    /// The time to answer after a sleep was granted, and nothing has progressed since.
    forgiven: bool,
}

impl Connection {
    /// A connection that a held SYN asks for.
    pub(crate) fn new(
        now: Micros,
        key: &PackedKey,
        held: &HeldSyn,
        isn: Seq,
        config: &Config,
    ) -> Self {
        let ends = Ends::new(key);
        let local = largest_segment(config.mtu, &ends);
        let timestamps = held.stamp.filter(|_| config.timestamps).map(|stamp| {
            let offset = isn::timestamp_offset(config.seed.unwrap_or_default(), key);
            Timestamps::new(now, offset, stamp.value)
        });
        let mss = held.mss.clamp(48, local.max(48)) - fixed_options(timestamps.as_ref());
        let (bound, most) = (config.rx_ring(), config.rx_most());
        // RFC 7323 section 2.2: only if both say so.
        let scale = held.window_scale.map(|_| scale_for(most));
        let start = Start {
            isn,
            device_isn: held.isn,
            mss,
            scale: held.window_scale.unwrap_or(0),
            sack: held.sack,
            bound: config.tx_ring(),
            most: config.tx_most(),
            nagle: config.nagle,
            controlled: config.congestion_control,
            probes: config.loss_probe,
            least_timeout: config.min_rto,
        };
        let reach = if scale.is_some() { most } else { 65_535 };
        let bounds = (bound.min(reach), most.min(reach));
        Self {
            ends,
            device_isn: held.isn,
            isn,
            syn_ack: Some(Box::new(SynAck {
                mss: local,
                scale,
                sent: 0,
                at: now,
            })),
            sack: held.sack,
            timestamps,
            receiver: Receiver::new(held.isn, bounds, scale.unwrap_or(0), usize::from(local)),
            sender: Sender::new(now, &start),
            closed_first: false,
            path_mtu: None,
            ack_delay: config.ack_delay,
            ack_waits: None,
            progress: now,
            forgiven: false,
        }
    }

    /// Whether the handshake is done.
    #[inline]
    pub(crate) fn is_established(&self) -> bool {
        self.syn_ack.is_none()
    }

    pub(crate) fn state(&self) -> State {
        let (sent, acknowledged) = (self.sender.fin_sent(), self.sender.fin_acknowledged());
        match (sent, acknowledged, self.receiver.is_closed()) {
            _ if !self.is_established() => State::SynReceived,
            (false, _, false) => State::Established,
            (false, _, true) => State::CloseWait,
            (true, false, false) => State::FinWait1,
            (true, true, false) => State::FinWait2,
            (true, false, true) if self.closed_first => State::Closing,
            (true, false, true) => State::LastAck,
            (true, true, true) if self.closed_first => State::TimeWait,
            (true, true, true) => State::Closed,
        }
    }

    /// Whether the device's FIN was received, and all before it.
    #[inline]
    pub(crate) fn device_closed(&self) -> bool {
        self.receiver.is_closed()
    }

    /// Whether both sides have ended, and each knows of the other.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        self.receiver.is_closed() && self.sender.fin_acknowledged()
    }

    /// Takes in a segment of the device.
    pub(crate) fn segment(
        &mut self,
        now: Micros,
        segment: &Segment<'_>,
        context: &mut Context<'_>,
    ) -> Disposition {
        if segment.rst {
            return self.reset_by(segment);
        }
        if segment.syn {
            let bare = segment.ack.is_none() && !segment.fin;
            let repeated = bare && segment.seq == self.device_isn;
            if repeated && self.syn_ack.is_some() {
                // RFC 9293 section 3.10.7.4: with the SYN-ACK that it got.
                self.write_syn_ack(now, context.out);
                return Disposition::Taken;
            }
            // RFC 5961 section 4: never believed, always challenged.
            return Disposition::Challenge(None);
        }
        let Some(ack) = segment.ack else {
            return Disposition::Drop(DropReason::Unsynchronised);
        };
        let mut echoed = None;
        let mut stamp = None;
        if let Some(timestamps) = &self.timestamps {
            let Some(received) = segment::stamp(segment.options) else {
                return Disposition::Drop(DropReason::TimestampMissing);
            };
            if timestamps.is_old(now, received) {
                return Disposition::Challenge(Some(DropReason::TimestampOld));
            }
            echoed = timestamps.round_trip(now, received);
            stamp = Some(received);
        }
        if self.is_established() {
            if ack.is_after(self.sender.highest()) {
                // RFC 9293 section 3.10.7.4, fifth.
                return Disposition::Challenge(Some(DropReason::AckOfUnsent));
            }
            let age = i64::from(self.sender.una().minus(ack));
            if age > i64::from(self.sender.max_window()) {
                // RFC 5961 section 5.2: older than any that can still be on its way.
                return Disposition::Challenge(Some(DropReason::AckTooOld));
            }
        }
        let len = segment.sequence_len();
        if !self.receiver.is_acceptable(segment.seq, len) {
            return self.unacceptable(segment, len);
        }
        if !self.is_established() {
            if ack != self.isn.plus(1) {
                return Disposition::Refuse;
            }
            self.establish(now);
        }
        if let (Some(timestamps), Some(stamp)) = (&mut self.timestamps, stamp)
            && self.receiver.reaches_back(segment.seq)
        {
            timestamps.note(now, stamp);
        }
        self.note_ack(now, (ack, echoed), segment, context);
        if len == 0 {
            return Disposition::Taken;
        }
        let open = !self.receiver.is_closed();
        let (arrival, without_fin) =
            self.receiver
                .accept(context.pool, segment.seq, segment.payload, segment.fin);
        self.closed_first |= open && self.receiver.is_closed() && self.sender.fin_sent();
        if arrival == Arrival::OutOfOrder {
            self.write_ack(now, context.out);
        }
        if without_fin {
            Disposition::WithoutFin
        } else {
            Disposition::Taken
        }
    }

    /// How a reset is judged by its sequence number (RFC 5961 section 3.2).
    fn reset_by(&self, segment: &Segment<'_>) -> Disposition {
        let expected = self.receiver.expected();
        let edge = self.receiver.edge().latest(expected.plus(1));
        if segment.seq == expected {
            Disposition::Reset
        } else if segment.seq.is_after(expected) && segment.seq.is_before(edge) {
            Disposition::Challenge(Some(DropReason::ResetOutOfPlace))
        } else {
            Disposition::Drop(DropReason::ResetOutOfPlace)
        }
    }

    /// What is outside the window is answered (RFC 9293 section 3.10.7.4, first): what asks whether the connection
    /// is alive within the allowance, copies of what was received always, because the device paces them.
    fn unacceptable(&mut self, segment: &Segment<'_>, len: u32) -> Disposition {
        let end = segment.seq.plus(len);
        if len > 0 && !end.is_after(self.receiver.expected()) {
            let payload = end.plus(0u32.wrapping_sub(u32::from(segment.fin)));
            self.receiver.note_duplicate(segment.seq, payload);
            return Disposition::Answer;
        }
        Disposition::Challenge(None)
    }

    fn establish(&mut self, now: Micros) {
        if let Some(syn_ack) = self.syn_ack.take() {
            // Karn: the acknowledgement of a segment that left twice gives no round trip.
            let once = syn_ack.sent <= 1;
            self.sender.established(once.then(|| now.since(syn_ack.at)));
        }
    }

    #[inline]
    fn note_ack(
        &mut self,
        now: Micros,
        (ack, echoed): (Seq, Option<Duration>),
        segment: &Segment<'_>,
        context: &mut Context<'_>,
    ) {
        let mut blocks = [(Seq(0), Seq(0)); 4];
        let mut count = 0;
        if self.sack && !segment.options.is_empty() {
            for (place, block) in blocks.iter_mut().zip(segment::sack_blocks(segment.options)) {
                *place = block;
                count += 1;
            }
        }
        let kind = self.sender.acknowledge(
            context.pool,
            now,
            &Ack {
                seq: segment.seq,
                ack,
                window: segment.window,
                bare: segment.payload.is_empty()
                    && !segment.fin
                    && segment.seq == self.receiver.expected(),
                blocks: blocks.get(..count).unwrap_or_default(),
                echoed,
            },
        );
        // A device that answers probes may keep its window closed for as long as it likes
        // (RFC 9293 section 3.8.6.1).
        if kind == AckKind::Advance || segment.window == 0 {
            self.progress = now;
            self.forgiven = false;
        }
    }

    /// Takes in a segment like the one before but for its payload, which follows: `false`, and nothing is taken, unless the
    /// connection is open, nothing is missing or out of order, and the segment is the next and within the window.
    #[inline]
    pub(crate) fn carry_on(&mut self, pool: &mut Pool, segment: &Segment<'_>) -> bool {
        self.is_established() && self.receiver.carry_on(pool, segment.seq, segment.payload)
    }

    /// Bytes of the device that the dialer has not taken.
    #[inline]
    pub(crate) fn unread(&self) -> usize {
        self.receiver.unread()
    }

    /// The next of them, as far as they lie in one piece.
    #[inline]
    pub(crate) fn peek(&self) -> &[u8] {
        self.receiver.peek()
    }

    /// Notes that the dialer has taken the next `count` bytes.
    #[inline]
    pub(crate) fn consume(&mut self, pool: &mut Pool, count: usize) {
        self.receiver.consume(pool, count);
    }

    /// Takes bytes of the dialer in, once the handshake is done; returns how many.
    pub(crate) fn offer(&mut self, now: Micros, pool: &mut Pool, bytes: &[u8]) -> usize {
        if !self.is_established() {
            return 0;
        }
        let waited = self.awaits_progress();
        let taken = self.sender.offer(pool, bytes);
        if taken > 0 && !waited {
            self.progress = now;
        }
        taken
    }

    /// By how many bytes its rings are to grow, if there is room for that.
    #[inline]
    pub(crate) fn wants_room(&self) -> usize {
        self.receiver.wants_room() + self.sender.wants_room()
    }

    /// Lets its rings grow by what [`Connection::wants_room`] returned.
    pub(crate) fn widen(&mut self) {
        let (rx, tx) = (self.receiver.wants_room(), self.sender.wants_room());
        if rx > 0 {
            self.receiver.widen(rx);
        }
        if tx > 0 {
            self.sender.widen(tx);
        }
    }

    /// Bytes that it takes, and how many that can be at the most.
    pub(crate) fn space(&self) -> (usize, usize) {
        (self.sender.space(), self.sender.bound())
    }

    /// Bytes of the dialer that the device has not acknowledged.
    pub(crate) fn queue(&self) -> usize {
        self.sender.queue()
    }

    /// Nothing follows what was taken in: the FIN leaves behind it.
    pub(crate) fn finish(&mut self) {
        self.sender.finish();
    }

    /// Whether every byte of the dialer left at least once.
    pub(crate) fn all_sent(&self) -> bool {
        self.sender.all_sent()
    }

    /// Whether something left that the device has not acknowledged.
    pub(crate) fn unacknowledged(&self) -> bool {
        self.sender.unacknowledged()
    }

    /// Whether a sequence number is that of something outstanding.
    pub(crate) fn is_outstanding(&self, seq: Seq) -> bool {
        !seq.is_before(self.sender.una()) && seq.is_before(self.sender.highest())
    }

    /// When the device last acknowledged something, or the first byte went out after all was acknowledged.
    pub(crate) fn progress(&self) -> Micros {
        self.progress
    }

    /// Whether the device owes an acknowledgement, sooner or later: of what left, and of what waits for its window.
    pub(crate) fn awaits_progress(&self) -> bool {
        self.sender.unacknowledged() || self.sender.queue() > 0
    }

    /// Lets the time without progress count from then, once until there is some: a host that sleeps again and again
    /// would keep a dead flow. Says whether it did.
    pub(crate) fn forgive(&mut self, progress: Micros) -> bool {
        let first = !self.forgiven;
        if first {
            self.forgiven = true;
            self.progress = progress;
        }
        first
    }

    /// When [`Connection::emit`] has something to do without anything coming.
    #[inline]
    pub(crate) fn deadline(&self) -> Option<Micros> {
        if self.syn_ack.is_some() {
            return Some(self.syn_ack_due());
        }
        let delayed = self
            .ack_waits
            .and_then(|since| Some(since.plus(self.ack_delay?)));
        match (self.sender.deadline(), delayed) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }

    /// No packet is longer than `mtu` bytes from now on; what is out is sent again at once.
    pub(crate) fn narrow(&mut self, mtu: usize) {
        self.path_mtu = Some(mtu);
        let options = fixed_options(self.timestamps.as_ref());
        let least = u32::from(largest_segment(mtu, &self.ends).saturating_sub(options));
        let mss = self.sender.mss().min(least);
        self.sender.narrow(u16::try_from(mss).unwrap_or(u16::MAX));
    }

    pub(crate) fn path_mtu(&self) -> Option<usize> {
        self.path_mtu
    }

    /// One past the last that the device may have had, and the next that is expected of it.
    pub(crate) fn numbers(&self) -> (Seq, Seq) {
        (self.sender.highest(), self.receiver.expected())
    }

    pub(crate) fn timestamps(&self) -> Option<Timestamps> {
        self.timestamps
    }

    /// The window field for a segment that leaves now.
    pub(crate) fn window_field(&mut self) -> u16 {
        self.receiver.window_field()
    }

    /// The reset that ends it, where the device will look at it.
    pub(crate) fn reset(&self) -> Outgoing<'static> {
        Outgoing::reset(self.sender.next_out(), Some(self.receiver.expected()))
    }
}

/// Bytes of payload that fit a packet without options.
fn largest_segment(mtu: usize, ends: &Ends) -> u16 {
    u16::try_from(mtu.saturating_sub(ends.headers())).unwrap_or(u16::MAX)
}

/// Bytes of options that every segment has.
fn fixed_options(timestamps: Option<&Timestamps>) -> u16 {
    timestamps.map_or(0, |_| timestamps::LEN)
}

/// The least shift of window fields that lets them cover a ring (RFC 7323 section 2.3).
fn scale_for(ring: usize) -> u8 {
    (0..14).find(|shift| ring >> shift <= 65_535).unwrap_or(14)
}
