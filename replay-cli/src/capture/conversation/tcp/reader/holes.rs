//! Holes: bytes that a side has acknowledged and no packet shows. They are bridged as soon as they are acknowledged, so
//! that nobody waits for them, and stand as zeros; a late copy gives them their content.

use super::Reader;
use crate::capture::conversation::tcp::{DeviceSegment, Marks};
use crate::packet::Flags;

impl Reader<'_, '_> {
    /// The far side has acknowledged the device up to `offset`: what lacks before that gets a segment of its own.
    pub(super) fn bridge_device(&mut self, offset: u64, now: u64) {
        let unseen = self.device.edge.fin.filter(|fin| fin + 1 == offset);
        let to = unseen.unwrap_or_else(|| self.before_fin(offset));
        if to > self.device.stream.contiguous()
            && to <= self.device.stream.highest().max(self.device.edge.bytes)
        {
            for (from, to) in self.device.stream.fill_to(to) {
                self.invent(from, to - from, Flags::ACK.with(Flags::PSH), now);
            }
            self.note_sent(now);
        }
        if let Some(fin) = unseen.filter(|fin| !self.device.fins.contains_key(fin)) {
            self.device.fins.insert(fin, now);
            self.device.fin_at = now;
            self.invent(fin, 0, Flags::ACK.with(Flags::FIN), now);
        }
    }

    /// The device has acknowledged the far side up to `offset`: what lacks before that counts as sent now.
    pub(super) fn bridge_far(&mut self, offset: u64, now: u64) {
        let unseen = self.far.edge.fin.filter(|fin| fin + 1 == offset);
        let fin = self.far.fins.range(..offset).next_back();
        let fin = fin
            .map(|(fin, _)| *fin)
            .filter(|fin| fin + 1 == offset && offset > self.far.stream.highest());
        let to = unseen.or(fin).unwrap_or(offset);
        let mut news = false;
        if to > self.far.stream.contiguous()
            && to <= self.far.stream.highest().max(self.far.edge.bytes)
        {
            self.far.stream.fill_to(to);
            self.far.high = self.far.high.max(1 + to);
            news = true;
        }
        if let Some(fin) = unseen.filter(|fin| !self.far.fins.contains_key(fin)) {
            let received = self.last_received();
            self.far.fins.insert(fin, received);
            self.far.high = self.far.high.max(2 + fin);
            news = true;
        }
        if news {
            self.report_far(now);
        }
    }

    /// `offset` without the unit of the device's FIN, if it stands right before it.
    fn before_fin(&self, offset: u64) -> u64 {
        let fin = self.device.fins.range(..offset).next_back();
        fin.map(|(fin, _)| *fin)
            .filter(|fin| fin + 1 == offset && offset > self.device.stream.highest())
            .unwrap_or(offset)
    }

    /// A segment of the device that no packet shows, under another one's header.
    fn invent(&mut self, from: u64, len: u64, flags: Flags, now: u64) {
        let (template, marks) = match (self.opening.template, self.opening.adopted) {
            (Some(template), _) => (Some(template), Marks::invented()),
            // Of the device no packet is there at all.
            (None, Some(_)) => (None, Marks::made_up()),
            (None, None) => return,
        };
        let last = self.device.segments.last();
        let segment = DeviceSegment {
            place: template.map_or(0, |template| template.span().place),
            at: 1 + from,
            acked: last.and_then(DeviceSegment::ack).unwrap_or(1).max(1),
            needs: self.device.needs.max(1),
            gap_us: now - self.device.last_at,
            at_us: now,
            number: template.map_or(0, |template| template.number),
            len: u32::try_from(len).unwrap_or(u32::MAX),
            window: last.map_or(0, |segment| segment.window),
            headers: template.map_or(0, |template| template.payload_at),
            flags,
            marks,
        };
        self.device.needs = segment.needs;
        let reset = self
            .device
            .segments
            .iter()
            .position(|segment| segment.flags.contains(Flags::RST));
        match reset {
            // Nothing comes after a reset; what was lost had been sent before it.
            Some(place) => {
                let at_us = self
                    .device
                    .segments
                    .get(place)
                    .map_or(now, |reset| reset.at_us);
                self.device.segments.insert(
                    place,
                    DeviceSegment {
                        gap_us: 0,
                        at_us,
                        ..segment
                    },
                );
            }
            None => {
                self.device.segments.push(segment);
                self.device.last_at = now;
            }
        }
    }
}
