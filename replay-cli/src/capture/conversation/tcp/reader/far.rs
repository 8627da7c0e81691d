//! The far side's segments: what came in order becomes an event, with what it had waited for.

use super::{Reader, Received, place};
use crate::capture::conversation::assembly::Added;
use crate::capture::conversation::raw::RawPacket;
use crate::capture::conversation::tcp::{DeviceSegment, FarEvent, FarEventKind};
use crate::packet::Flags;
use crate::scenario::DialResult;

impl Reader<'_, '_> {
    pub(crate) fn far_segment(&mut self, tcp: &RawPacket, now: u64) {
        let flags = tcp.flags;
        let (syn, rst) = (flags.contains(Flags::SYN), flags.contains(Flags::RST));
        if rst {
            let open = self.far.answered
                || (self.opening.missing_syn_ack && (self.device.answered || self.far.high > 0));
            if open || self.dial.is_some() {
                self.far.rst_at.get_or_insert(now);
            } else if self.opening.connects {
                self.far.early_resets += 1;
            } else {
                self.dial = Some((DialResult::Refused, now));
            }
            return;
        }
        if syn {
            if tcp.sequence != self.opening.far_isn {
                return;
            }
            self.far.answered = true;
            self.far.high = self.far.high.max(1);
            if self.dial.is_none() {
                self.dial = Some((DialResult::Connected, now));
                self.far.event_at = now;
            }
        }
        let start = tcp.sequence.plus(u32::from(syn));
        let Some(offset) = place(start, self.opening.far_isn, self.far.stream.highest()) else {
            self.outside += 1;
            return;
        };
        let mut received = Received::default();
        if flags.contains(Flags::ACK)
            && let Some(acked) = place(
                tcp.acknowledgement,
                self.opening.device_isn,
                self.device.stream.highest(),
            )
            && let Ok(acked) = u64::try_from(acked)
        {
            self.bridge_device(acked, now);
            let fin = self
                .device
                .fins
                .range(..acked)
                .next_back()
                .map(|(fin, _)| *fin)
                .filter(|_| acked > self.device.stream.highest());
            let count = fin.unwrap_or(acked);
            received = Received {
                count: count.min(self.device.stream.contiguous()),
                fin: fin.is_some(),
            };
            self.far.acked = self.far.acked.max(received.count);
        }
        let len = u64::from(tcp.payload_len);
        let (skip, from) = if offset < 0 {
            (offset.unsigned_abs(), 0)
        } else {
            (0, offset.unsigned_abs())
        };
        let fresh = len.saturating_sub(skip);
        if fresh > 0 {
            let captured = tcp.payload().behind(skip);
            if self.far.stream.insert(from, captured, fresh, self.bytes) == Added::New {
                self.far.received.entry(from).or_insert(received);
            }
            self.far.high = self.far.high.max(1 + from + fresh);
        }
        if flags.contains(Flags::FIN) {
            self.far.fins.entry(from + fresh).or_insert(received);
            self.far.high = self.far.high.max(2 + from + fresh);
        }
        self.report_far(now);
    }

    /// Turns what has come in order since the last time into events.
    pub(crate) fn report_far(&mut self, now: u64) {
        let to = self.far.stream.contiguous();
        if to > self.far.reported {
            // A FIN that its sender talked past was not the end.
            if self.far.fin_reported {
                // Nothing was sent after it.
                let fin = |event: &FarEvent| event.kind == FarEventKind::Fin;
                if let Some(at) = self.far.events.iter().rposition(fin) {
                    self.far.events.remove(at);
                }
                self.far.fin_reported = false;
                self.unacknowledge(1 + self.far.reported);
            }
            // Each piece waits for what its own segment acknowledged: one behind a hole may know more than the one
            // that fills it.
            let mut from = self.far.reported;
            while from < to {
                let end = self.far.received.range(from + 1..to).next();
                let end = end.map_or(to, |(end, _)| *end);
                let received = self.far.received.range(..=from).next_back();
                let received =
                    received.map_or_else(|| self.last_received(), |(_, received)| *received);
                self.event(FarEventKind::Send { from, to: end }, now, received);
                from = end;
            }
            while let Some(told) = self
                .far
                .received
                .first_entry()
                .filter(|entry| *entry.key() < to)
            {
                told.remove();
            }
            self.far.reported = to;
        }
        if let Some(received) = self.far.fins.get(&to).copied()
            && !self.far.fin_reported
        {
            self.far.fin_reported = true;
            self.event(FarEventKind::Fin, now, received);
        }
    }

    /// What the far side had received when it did what is reported last: so much at least for what no packet shows.
    pub(super) fn last_received(&self) -> Received {
        self.far
            .events
            .last()
            .map_or_else(Received::default, |event| Received {
                count: event.acked,
                fin: event.fin_acked,
            })
    }

    /// Limits to `units` what the device had acknowledged so far.
    pub(crate) fn unacknowledge(&mut self, units: u64) {
        self.device.needs = self.device.needs.min(units);
        // What stands before was limited to as much or less: each FIN stands behind the one before it.
        let since = std::mem::replace(&mut self.device.limited, self.device.segments.len());
        for segment in self.device.segments.iter_mut().skip(since) {
            segment.needs = segment.needs.min(units);
            if let Some(ack) = segment.ack() {
                segment.acked = ack.min(units);
            }
        }
    }

    pub(super) fn event(&mut self, kind: FarEventKind, now: u64, received: Received) {
        let mut cause = self.sent_by(received.count);
        if received.fin {
            cause = cause.max(self.device.fin_at);
        }
        self.push_event(kind, now, cause, received);
    }

    pub(crate) fn push_event(
        &mut self,
        kind: FarEventKind,
        now: u64,
        cause: u64,
        received: Received,
    ) {
        let wait_us = now.saturating_sub(cause.max(self.far.event_at));
        self.far.events.push(FarEvent {
            kind,
            acked: received.count,
            fin_acked: received.fin,
            wait_us,
        });
        self.far.event_at = now;
    }

    pub(crate) fn note_sent(&mut self, now: u64) {
        let edge = self.device.stream.contiguous();
        if self
            .device
            .reached
            .last()
            .is_none_or(|(last, _)| *last < edge)
        {
            self.device.reached.push((edge, now));
        }
    }

    /// When the device's stream had reached `bytes`.
    pub(crate) fn sent_by(&self, count: u64) -> u64 {
        let at = self
            .device
            .reached
            .partition_point(|(edge, _)| *edge < count);
        self.device.reached.get(at).map_or(0, |(_, at)| *at)
    }

    /// Takes back the ends that the device talked past: what has ended its stream, or reset the connection, has
    /// nothing more to send, so those were another's, or of another use of the tuple. Says how many there were.
    pub(crate) fn retract_ends(&mut self) -> u64 {
        let news = |segment: &DeviceSegment| {
            !(segment.is_repeated() || segment.is_invented())
                && (segment.len > 0 || segment.flags.contains(Flags::FIN))
        };
        let last = self.device.segments.iter().rposition(news).unwrap_or(0);
        let count = self.device.stream.contiguous();
        for event in &mut self.far.events {
            event.fin_acked &= event.acked >= count;
        }
        let end = 1 + count;
        let mut index = 0;
        let mut retracted = 0;
        self.device.segments.retain_mut(|segment| {
            index += 1;
            let rst = segment.flags.contains(Flags::RST);
            if segment.flags.contains(Flags::FIN) && segment.at + segment.bytes() < end {
                segment.flags = segment.flags.without(Flags::FIN);
                retracted += 1;
            }
            retracted += u64::from(rst && index <= last);
            !(rst && index <= last)
        });
        self.device.rst_at = self
            .device
            .segments
            .iter()
            .find(|segment| segment.flags.contains(Flags::RST))
            .map(|segment| segment.at_us);
        retracted
    }
}
