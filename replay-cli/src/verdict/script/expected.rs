//! A `>` line against what comes out: in order, segments added up, each at its time.

use super::player::Player;
use crate::base::wording::seconds_of as seconds;
use crate::notation::{Bindings, Body, Direction, Num, Segment};
use crate::packet::{Flags, Packet};
use crate::scenario::failure::{Failure, FailureKind};
use crate::simulation::dialer::key_of;
use crate::simulation::matcher::describe;
use crate::simulation::timeline::{failure_at, window};
use crate::simulation::world::{World, flow_key};

impl Player<'_> {
    /// Waits for the segments that add up to the one that is expected.
    pub(super) fn await_segments(
        &mut self,
        world: &mut World<'_>,
        segment: &Segment,
        (from, to): (u64, u64),
    ) -> Result<u64, Box<Failure>> {
        let mut come = 0;
        loop {
            let wanted = self.named(world, segment);
            let Some(index) = self.next_frame(world, &wanted.flow, to) else {
                let what = format!("nothing came that matches, {}", window(from, to));
                let mut missing = failure_at(FailureKind::MissingPacket, what, Some(world.now));
                let last = world.emitted.len().checked_sub(1);
                missing.actual =
                    last.map(|last| format!("last emitted: {}", self.view(world).shown(last)));
                return Err(Box::new(missing));
            };
            self.cursors.insert(self.tuple, index + 1);
            let view = self.view(world);
            let shown = view.shown(index);
            let (Some(emitted), Some(spec)) = (world.emitted.get(index), view.spec(&wanted.flow))
            else {
                continue;
            };
            let at = emitted.at;
            let numbering = view.numbering(&spec);
            let Ok(mut packet) = Packet::whole(&emitted.bytes) else {
                continue;
            };
            // Fragments are what they are put together to.
            let datagram;
            if packet.fragment.is_some() {
                let Some(whole) = self.fragments.insert(&packet, ()) else {
                    continue;
                };
                datagram = whole.packet;
                let Ok(whole) = Packet::whole(&datagram) else {
                    continue;
                };
                packet = whole;
            }
            let (part, whole) = self.part(&wanted, &packet, come);
            let bindings = &mut Bindings::default();
            let differences = part.compare(&packet, Direction::FromEngine, &numbering, bindings);
            let in_time = (from..=to).contains(&at);
            self.held.push((index, differences.is_empty() && in_time));
            let wrong = |kind, what| {
                let mut failure = failure_at(kind, what, Some(at));
                failure.actual = Some(shown.clone());
                Err(Box::new(failure))
            };
            if !differences.is_empty() {
                return wrong(FailureKind::WrongPacket, describe(&differences).0);
            }
            if !in_time {
                let (at, due) = (seconds(at), window(from, to));
                let what = format!("it came at {at} s, expected {due}");
                return wrong(FailureKind::WrongTime, what);
            }
            if whole {
                return Ok(at);
            }
            come += u32::try_from(packet.tcp().map_or(0, |tcp| tcp.payload_len)).unwrap_or(0);
        }
    }

    /// The part of an expected segment that a frame must be, so many bytes of it having come, and whether it is the last.
    fn part(&self, wanted: &Segment, packet: &Packet<'_>, come: u32) -> (Segment, bool) {
        let mut part = wanted.clone();
        let (Body::Tcp(body), Some(tcp)) = (&mut part.body, packet.tcp()) else {
            return (part, true);
        };
        let got = u32::try_from(tcp.payload_len).unwrap_or(u32::MAX);
        let mut whole = true;
        if !self.settings.strict
            && let Some(range) = &mut body.range
            && let Num::Value(len) = range.len
        {
            let rest = len - i64::from(come);
            whole = got == 0 || i64::from(got) >= rest;
            if let Num::Value(start) = &mut range.start {
                *start += i64::from(come);
            }
            range.len = Num::Value(if whole { rest } else { i64::from(got) });
            if !whole {
                body.flags = body.flags.without(Flags::FIN);
            }
        }
        // Where a stack pushes is its own matter (RFC 9293 section 3.9.1.2), and whether a window that could open by less
        // than a segment does (section 3.8.6.2.2).
        if !self.settings.strict {
            let back = i64::from(self.settings.segment());
            if let Some(Num::Value(window)) = &mut body.window
                && (1..back).contains(&(*window - i64::from(tcp.window)))
                && tcp.window > 0
            {
                *window = i64::from(tcp.window);
            }
            let push = Flags(tcp.flags.0 & Flags::PSH.0);
            body.flags = body.flags.without(Flags::PSH).with(push);
        }
        (part, whole)
    }

    /// The next frame of the present tuple that has not been looked at, once it came, up to a time.
    fn next_frame(&mut self, world: &mut World<'_>, name: &str, to: u64) -> Option<usize> {
        let spec = self.timeline.scenario.flow(name)?;
        let key = key_of(spec.protocol, spec.client, spec.server);
        loop {
            let cursor = self.cursors.entry(self.tuple).or_default();
            while let Some(emitted) = world.emitted.get(*cursor) {
                let packet = Packet::whole(&emitted.bytes).ok();
                let of_tuple = packet.is_some_and(|packet| {
                    let own = flow_key(&packet, false);
                    own == key || own.is_none()
                });
                if of_tuple {
                    return Some(*cursor);
                }
                *cursor += 1;
            }
            let next = world.next();
            let idle = !world.has_tasks()
                && next.is_none_or(|next| next.timer.is_some_and(|(timer, _)| timer.is_idle()));
            let next = next.filter(|next| next.at <= to && !(idle && to == u64::MAX));
            let Some(next) = next.filter(|_| !world.livelock) else {
                if to != u64::MAX {
                    world.now = world.now.max(to);
                }
                return None;
            };
            world.run(next);
        }
    }
}
