//! Recorded echo requests go in when their time has come, and the engine's answers are held against them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{Device, inject};
use crate::capture::conversation::{Echo, EchoRequest};
use crate::packet::{Packet, Transport};
use crate::scenario::{Checksums, Timing};
use crate::simulation::invariant;
use crate::simulation::world::World;

/// Echo replies that the device got: of each pair of ends, identifier and sequence number the lengths of their data.
#[derive(Debug, Default)]
pub(crate) struct Answers(BTreeMap<(IpAddr, IpAddr, u16, u16), Vec<usize>>);

impl Answers {
    /// Takes a packet that reached the device.
    pub(crate) fn note(&mut self, packet: &Packet<'_>) {
        let Transport::Icmp(icmp) = packet.transport else {
            return;
        };
        let reply = if packet.is_v4() { 0 } else { 129 };
        if let (true, Some(&[a, b, c, d])) = (icmp.kind == reply, icmp.body.first_chunk()) {
            let (identifier, sequence) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
            let key = (packet.destination, packet.source, identifier, sequence);
            self.0.entry(key).or_default().push(icmp.body_len - 4);
        }
    }

    /// Takes the answer to a request away, if there is one of its length.
    fn answered(&mut self, echo: &Echo, request: &EchoRequest) -> bool {
        let EchoRequest {
            identifier,
            sequence,
            len,
            ..
        } = *request;
        let key = (echo.client, echo.server, identifier, sequence);
        let Some(lens) = self.0.get_mut(&key) else {
            return false;
        };
        let at = lens.iter().position(|given| *given == len as usize);
        at.is_some_and(|at| {
            lens.swap_remove(at);
            true
        })
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
        let Some(request) = echo
            .requests
            .get(head)
            .filter(|_| echo.unreplayable.is_none())
        else {
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
        // Another stack may answer nobody; what is spoiled or lost on the way nobody answers.
        let owed = !world.engine.traits().foreign
            && world.faults.are_none()
            && self.play.checksums == Checksums::Repair;
        let mut all = Vec::with_capacity(self.capture.echoes.len());
        for (echo, head) in self.capture.echoes.iter().zip(&self.asked) {
            let mut seen = EchoSeen::default();
            for request in echo.requests.iter().take(*head) {
                let len = u64::from(request.len);
                seen.asked = (seen.asked.0 + 1, seen.asked.1 + len);
                if world.answers.answered(echo, request) {
                    seen.answered = (seen.answered.0 + 1, seen.answered.1 + len);
                } else if owed {
                    let mut missing = invariant::failure(
                        world.now,
                        None,
                        format!(
                            "{}: no answer to the echo request with identifier {}, sequence {} and {len} byte(s)",
                            echo.spec(),
                            request.identifier,
                            request.sequence
                        ),
                    );
                    missing.frame = Some(request.packet.number.into());
                    if world.failures.len() < 100 {
                        world.failures.push(missing);
                    }
                }
            }
            all.push(seen);
        }
        all
    }
}
