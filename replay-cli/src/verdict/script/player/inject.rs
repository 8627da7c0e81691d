//! Packets of the device: how the dialer answers them, and what the application's connections make of them.

use super::super::plan::Injected;
use super::super::sockets::{Kind, Socket};
use super::{Connection, Player};
use crate::notation::Segment;
use crate::notation::packetdrill::syntax::Event;
use crate::scenario::failure::FailureKind;
use crate::simulation::timeline::run_until;
use crate::simulation::world::World;
use crate::stack::event::Source;

impl Player<'_> {
    pub(super) fn inject(
        &mut self,
        world: &mut World<'_>,
        event: &Event,
        segment: &Segment,
        packet: Injected,
    ) {
        self.refresh(world);
        let current = self.current(world);
        let known = current
            .and_then(|index| self.connections.get(index))
            .cloned();
        if packet.syn && packet.ack.is_none() && known.as_ref().is_none_or(|one| !one.established) {
            // With a listener it is connected, without one refused.
            let taken = self.sockets.listens() || packet.turned || self.is_connecting();
            answer(world, taken);
        }
        self.follow_lacks(world, event, known.as_ref(), packet);
        if self.tuple.of.datagram {
            // A bound socket takes it; without one the port is unreachable.
            let bound = self.sockets.any(|socket| socket.kind == Kind::Datagrams);
            let has_flow = |socket: &Socket| match socket.kind {
                Kind::Connection(index) => self.is_of_datagrams(world, index),
                _ => false,
            };
            if known.is_none() && !bound && self.sockets.any(has_flow) {
                self.lose(event, "another flow at a socket that has one".to_owned());
            }
            answer(world, bound);
        }
        // What others got before is not of this tuple.
        let emitted = world.emitted.len();
        self.cursors.entry(self.tuple).or_insert(emitted);
        let segment = self.named(world, segment);
        match self.frames(world, &segment) {
            Ok(frames) => {
                if world.tracer.is_some() {
                    let line = Source::Line(self.place(event).to_string());
                    world.sources.extend(frames.iter().map(|_| line.clone()));
                }
                world.inject(frames);
            }
            Err(problem) => self.fail(world, event, FailureKind::Stuck, problem),
        }
        self.used |= self.tuple.of.ports.is_none();
        // The dial is answered at the same instant.
        run_until(world, world.now);
        self.refresh(world);
        let Some(index) = self.current(world) else {
            return;
        };
        if self.tuple.of.datagram {
            return self.arrived(index);
        }
        let turned = packet.turned || self.is_connecting();
        let flow = self.flow(world, index);
        let answered = flow.is_some_and(|flow| flow.engine_isn().is_some());
        if let Some(one) = self.connections.get_mut(index) {
            if packet.syn && one.mss.is_none() {
                one.mss = packet.mss;
                one.turned = turned;
            }
            let acknowledges = packet.ack.and_then(|ack| u64::try_from(ack).ok());
            let in_range = acknowledges.is_some_and(|ack| (1..=one.written + 2).contains(&ack));
            one.established |= answered && in_range && !packet.rst && !packet.syn;
            if let Some(ack) = acknowledges.filter(|_| in_range && !packet.rst) {
                one.acked = one.acked.max(ack - 1);
            }
        }
        self.release(world, index);
        if turned {
            self.sockets.connected(&Kind::Connecting, index);
        }
    }

    /// A datagram has come: its flow is that of the socket which waits for one.
    fn arrived(&mut self, index: usize) {
        if let Some(one) = self.connections.get_mut(index).filter(|one| !one.taken) {
            one.taken = self.sockets.connected(&Kind::Datagrams, index);
        }
    }

    /// Lets go what waited for the acknowledgement of a small segment.
    fn release(&mut self, world: &mut World<'_>, index: usize) {
        let waits = |socket: &Socket| socket.held > 0 && !socket.corked && !socket.more;
        let number = self.sockets.number_of(index, waits);
        let one = self.connections.get(index);
        let free = one.is_some_and(|one| !one.has_small_one());
        if let Some(number) = number.filter(|_| free) {
            self.flush(world, number, index);
        }
    }

    pub(super) fn is_connecting(&self) -> bool {
        self.sockets.any(|socket| socket.kind == Kind::Connecting)
    }

    /// Where a packet makes a kernel do what its settings say, and no engine has such a setting: what follows is not compared.
    fn follow_lacks(
        &mut self,
        world: &World<'_>,
        event: &Event,
        known: Option<&Connection>,
        packet: Injected,
    ) {
        let lacks = self.settings.lacks;
        let flow = known.and_then(|one| world.flows.get(one.flow));
        let flow = flow.filter(|flow| flow.closed.is_none());
        // Outside of the window they are the same to everybody, and so is a reset at its left edge.
        let within = flow.is_some_and(|flow| {
            let left = i64::try_from(flow.down.acked).unwrap_or(i64::MAX);
            (left..left.saturating_add(self.settings.window)).contains(&packet.start)
        });
        let exact = flow.is_some_and(|flow| u64::try_from(packet.start) == Ok(flow.down.acked));
        let what = if packet.rst && lacks.loose_resets && within && !exact {
            "a reset anywhere in the window ends the connection there (insecure_rst=1)"
        } else if packet.syn && !packet.rst && packet.ack.is_none() && lacks.loose_syns && within {
            "a SYN in the window ends the connection there (insecure_syn=1)"
        } else if packet.syn && packet.fin && lacks.drops_syn_fin {
            "a SYN with a FIN is dropped there (drop_synfin=1)"
        } else {
            return;
        };
        self.lose(event, what.to_owned());
    }
}

/// How the dialer answers the next dial.
fn answer(world: &mut World<'_>, taken: bool) {
    world.rules.answer_with(match taken {
        true => engine::DialResult::Connected,
        false => engine::DialResult::Refused,
    });
}
