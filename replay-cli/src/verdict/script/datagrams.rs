//! Datagrams: what the application takes and sends one by one, and those that are too long for a packet.

use engine::Proto;

use super::calls::{Came, WOULD_BLOCK};
use super::player::Player;
use super::streams::steps;
use crate::notation::{Body, Line, Segment, pattern_bytes};
use crate::simulation::dialer::content::{Action, Content};
use crate::simulation::world::World;

impl Player<'_> {
    /// Whether a connection is a flow of datagrams.
    pub(super) fn is_of_datagrams(&self, world: &World<'_>, index: usize) -> bool {
        let flow = self.flow(world, index);
        flow.is_some_and(|flow| flow.key.proto == Proto::Udp)
    }

    /// The bytes of the next datagram that the application has not taken.
    pub(super) fn next_datagram(&self, world: &World<'_>, index: usize) -> Option<u64> {
        let taken = usize::try_from(self.connections.get(index)?.consumed).ok()?;
        let flow = self.flow(world, index)?;
        flow.datagram_lens.get(taken).map(|len| *len as u64)
    }

    /// Takes a datagram, at most so many bytes of it; the rest is lost, as everywhere.
    pub(super) fn receive(
        &mut self,
        world: &World<'_>,
        index: usize,
        most: u64,
        peek: bool,
    ) -> Came {
        if let Some(errors) = self.take_error(world, index) {
            return Came::Error(errors);
        }
        let Some(len) = self.next_datagram(world, index) else {
            return WOULD_BLOCK;
        };
        if let Some(one) = self.connections.get_mut(index).filter(|_| !peek) {
            one.consumed += 1;
        }
        Came::bytes(len.min(most))
    }

    /// Sends a datagram.
    pub(super) fn send_datagram(&self, world: &mut World<'_>, index: usize, count: u64) -> Came {
        let Some(flow) = self.connections.get(index).map(|one| one.flow) else {
            return Came::Error(&["EBADF"]);
        };
        if count > 65_507 {
            return Came::Error(&["EMSGSIZE"]);
        }
        let sent = |world: &World<'_>| world.flows.get(flow).map_or(0, |flow| flow.sent_datagrams);
        let before = sent(world);
        let bytes = pattern_bytes(0, 0, usize::try_from(count).unwrap_or(0));
        steps(world, flow, [Action::Send(Content::Owned(bytes.into()))]);
        match sent(world) > before {
            true => Came::bytes(count),
            false => Came::Error(&["EAGAIN", "ENOBUFS"]),
        }
    }

    /// The packets of the device that a line is: of a datagram longer than a packet may be, fragments.
    pub(super) fn frames(
        &mut self,
        world: &World<'_>,
        segment: &Segment,
    ) -> Result<Vec<Vec<u8>>, String> {
        let whole = self.build(world, segment)?;
        let mtu = self.settings.engine.config().mtu;
        let header = if self.settings.family == 6 { 40 } else { 20 };
        if whole.len() <= mtu.max(header) || !matches!(segment.body, Body::Udp { .. }) {
            return Ok(vec![whole]);
        }
        let payload = whole.len() - header;
        // An IPv6 fragment has a header of its own.
        let room = (mtu - header - if header == 40 { 8 } else { 0 }) / 8 * 8;
        self.datagrams += 1;
        let (id, len) = (self.datagrams, payload.saturating_sub(8));
        let starts = (0..payload).step_by(room.max(8));
        starts
            .map(|from| {
                let to = (from + room).min(payload);
                let more = if to < payload { "more " } else { "" };
                let text = format!(
                    "+0 < {} frag id {id} {from}:{to} {more}of udp {len}",
                    segment.flow
                );
                let line = Line::parse(&text).map_err(|problem| problem.what)?;
                match line.segment() {
                    Some((_, part)) => self.build(world, part),
                    None => Err(text),
                }
            })
            .collect()
    }
}
