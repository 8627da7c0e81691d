//! Recorded echo requests go in when their time has come, and the engine's answers are held against them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Device, inject};
use crate::capture::conversation::{Echo, EchoRequest};
use crate::packet::{Packet, Transport};
use crate::scenario::{Checksums, Timing};
use crate::simulation::invariant;
use crate::simulation::world::World;

/// Echo requests that wait for their answer, by ends, identifier and sequence number, and what became of the others.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    waiting: BTreeMap<(IpAddr, IpAddr, u16, u16), Vec<Waiting>>,
    seen: Vec<EchoSeen>,
}

/// A request without its answer so far.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    /// The echo it is of.
    echo: usize,
    /// Bytes of its data, which the answer must have.
    len: u32,
    /// Its number in the capture.
    number: u32,
}

impl Answers {
    /// A request goes in.
    fn ask(&mut self, index: usize, echo: &Echo, request: &EchoRequest) {
        if self.seen.len() <= index {
            self.seen.resize(index + 1, EchoSeen::default());
        }
        if let Some(seen) = self.seen.get_mut(index) {
            seen.asked.0 += 1;
            seen.asked.1 += u64::from(request.len);
        }
        let EchoRequest {
            identifier,
            sequence,
            len,
            packet,
            ..
        } = *request;
        let key = (echo.client, echo.server, identifier, sequence);
        self.waiting.entry(key).or_default().push(Waiting {
            echo: index,
            len,
            number: packet.number,
        });
    }

    /// Takes a packet that reached the device.
    pub(crate) fn note(&mut self, packet: &Packet<'_>) {
        let Transport::Icmp(icmp) = packet.transport else {
            return;
        };
        let reply = if packet.is_v4() { 0 } else { 129 };
        let (true, Some(&[a, b, c, d])) = (icmp.kind == reply, icmp.body.first_chunk()) else {
            return;
        };
        let (identifier, sequence) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let key = (packet.destination, packet.source, identifier, sequence);
        let Some(waiting) = self.waiting.get_mut(&key) else {
            return;
        };
        let len = icmp.body_len - 4;
        let mut requests = waiting.iter();
        if let Some(at) = requests.position(|request| request.len as usize == len) {
            let answered = waiting.swap_remove(at);
            if waiting.is_empty() {
                self.waiting.remove(&key);
            }
            if let Some(seen) = self.seen.get_mut(answered.echo) {
                seen.answered.0 += 1;
                seen.answered.1 += u64::from(answered.len);
            }
        }
    }
}

/// What became of the echo requests of one address to another.
#[derive(Clone, Debug, Default)]
pub(crate) struct EchoSeen {
    /// Requests that went in, and their data, bytes.
    pub(crate) asked: (u64, u64),
    /// Those that were answered, and the data of the answers, bytes.
    pub(crate) answered: (u64, u64),
}

impl Device<'_> {
    /// Puts the next request of an echo on the agenda.
    pub(super) fn schedule_echo(&mut self, now: u64, index: usize) {
        let Some(echo) = self.capture.echoes.get(index) else {
            return;
        };
        let head = self.asked.get(index).copied().unwrap_or(0);
        let request = echo.requests.get(head);
        let Some(request) = request.filter(|_| echo.unreplayable.is_none()) else {
            return;
        };
        let at = match self.play.timing {
            Timing::Asap => 0,
            Timing::Causal | Timing::Strict => self.capture.offset_us(request.time_ns),
        };
        self.agenda
            .insert((at.max(now), self.capture.flows.len() + index));
    }

    /// Hands over the next request of an echo.
    pub(super) fn ask(&mut self, world: &mut World<'_>, index: usize) {
        let (Some(echo), Some(head)) = (self.capture.echoes.get(index), self.asked.get_mut(index))
        else {
            return;
        };
        let (Some(request), Some(reader)) = (echo.requests.get(*head), world.reader.get_mut())
        else {
            return;
        };
        *head += 1;
        world.answers.ask(index, echo, request);
        let mut frame = reader.span(request.packet.span).to_vec();
        let header = Packet::whole(&frame).map_or(0, |packet| packet.transport_offset + 8);
        // What the snap length cut off stands as zeros.
        frame.resize(frame.len().max(header + request.len as usize), 0);
        let (mtu, number) = (world.engine.mtu(), request.packet.number);
        let frames = inject::datagram(frame, number, self.play.checksums, mtu);
        self.batch.extend(frames);
        self.schedule_echo(world.now, index);
    }

    /// Holds the answers against the requests that went in.
    pub(crate) fn hold_echoes(&self, world: &mut World<'_>) -> Vec<EchoSeen> {
        let Answers { waiting, mut seen } = std::mem::take(&mut world.answers);
        seen.resize(self.capture.echoes.len(), EchoSeen::default());
        // Another stack may answer none; what is spoiled or lost on the way is not answered.
        let owed = !world.engine.traits().foreign
            && world.faults.are_none()
            && self.play.checksums == Checksums::Repair;
        let unanswered = waiting.into_iter().filter(|_| owed);
        for ((client, server, identifier, sequence), requests) in unanswered {
            for Waiting { len, number, .. } in requests {
                let what = format!(
                    "icmp {client} > {server}: no answer to the echo request with identifier {identifier}, sequence {sequence} and {len} byte(s)"
                );
                let mut missing = invariant::failure(world.now, None, what);
                missing.frame = Some(number.into());
                if world.failures.len() < 100 {
                    world.failures.push(missing);
                }
            }
        }
        seen
    }
}
