//! The bytes of a connection: what the application reads, what is unread, and what becomes of it at the end.

use super::player::Player;
use super::sockets::Socket;
use crate::notation::pattern_bytes;
use crate::simulation::dialer::content::{Action, Content};
use crate::simulation::world::World;
use crate::stack::Input;

impl Player<'_> {
    /// The segment size toward the device.
    pub(super) fn segment_of(&self, index: usize) -> u16 {
        let mss = self.connections.get(index).and_then(|one| one.mss);
        mss.unwrap_or(536).min(self.settings.segment())
    }

    /// Whether the device's stream has ended, and all of it was read.
    pub(super) fn has_ended(&self, world: &World<'_>, index: usize) -> bool {
        let flow = self.flow(world, index);
        flow.is_some_and(|flow| flow.half_closed_by_device.is_some() || flow.closed.is_some())
    }

    /// Reads at most so many bytes; how many came.
    pub(super) fn read(&mut self, world: &mut World<'_>, index: usize, most: u64) -> u64 {
        let Some(one) = self.connections.get(index) else {
            return 0;
        };
        let (flow, consumed) = (one.flow, one.consumed);
        let there = come(world, flow).saturating_sub(consumed);
        if there < most && !take(world, flow, most - there) {
            steps(world, flow, [Action::Unblock, Action::Block]);
        }
        // No more than was asked for, whatever comes later.
        take(world, flow, 0);
        let got = come(world, flow).saturating_sub(consumed).min(most);
        if let Some(one) = self.connections.get_mut(index) {
            one.consumed += got;
        }
        got
    }

    /// How many bytes a read would find; `None` if that is not known without taking them.
    pub(super) fn unread(&self, world: &mut World<'_>, index: usize) -> Option<u64> {
        let one = self.connections.get(index)?;
        let (flow, consumed) = (one.flow, one.consumed);
        if self.is_of_datagrams(world, index) {
            return Some(self.next_datagram(world, index).unwrap_or(0));
        }
        let there = come(world, flow).saturating_sub(consumed);
        let Some(id) = self.flow(world, index).map(|flow| flow.id) else {
            return Some(there);
        };
        if self.is_closed(world, index) {
            return Some(there);
        }
        take(world, flow, 0);
        Some(there + world.engine.offered(id)? as u64)
    }

    /// The application is gone: unread bytes, or any that come later, are answered with a reset (RFC 9293 section 3.6.1).
    pub(super) fn close(&self, world: &mut World<'_>, index: usize, socket: &Socket) {
        let Some(one) = self.connections.get(index).cloned() else {
            return;
        };
        if self.is_of_datagrams(world, index) {
            return steps(world, one.flow, [Action::Shutdown]);
        }
        if socket.held > 0 {
            let bytes = pattern_bytes(0, one.written, usize::try_from(socket.held).unwrap_or(0));
            let content = Content::Owned(bytes.into());
            steps(world, one.flow, [Action::Send(content)]);
        }
        if socket.abortive {
            return steps(world, one.flow, [Action::Reset]);
        }
        steps(world, one.flow, [Action::Unblock]);
        if come(world, one.flow) > one.consumed {
            return steps(world, one.flow, [Action::Reset]);
        }
        let next = 1 + world.flows.get(one.flow).map_or(0, |flow| {
            flow.upstream.len().saturating_sub(flow.script.read)
        });
        if socket.write_shut {
            steps(world, one.flow, [Action::Read(next), Action::Reset]);
        } else {
            steps(
                world,
                one.flow,
                [Action::Shutdown, Action::Read(next), Action::Reset],
            );
        }
    }

    /// Connections that were not accepted go with the listener.
    pub(super) fn stop_listening(&self, world: &mut World<'_>) {
        let waiting = self.connections.iter().enumerate();
        for (index, one) in waiting.filter(|(_, one)| !one.taken && !one.turned) {
            if !self.is_closed(world, index) {
                steps(world, one.flow, [Action::Reset]);
            }
        }
    }
}

/// Bytes of the device that the dialer has.
fn come(world: &World<'_>, flow: usize) -> u64 {
    world.flows.get(flow).map_or(0, |flow| flow.upstream.len())
}

/// Lets the dialer take so many bytes more; false if the way in cannot say so.
fn take(world: &mut World<'_>, flow: usize, count: u64) -> bool {
    let known = world.flows.get(flow);
    let Some(id) = known
        .filter(|flow| flow.connected && flow.closed.is_none())
        .map(|flow| flow.id)
    else {
        return true;
    };
    let now = world.clock();
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let taken = world.engine.input(now, Input::Take(id, count)).is_ok();
    world.step("remote takes");
    world.go_on(flow);
    taken
}

/// Lets the dialer of a flow take steps at this instant.
pub(super) fn steps<const N: usize>(world: &mut World<'_>, flow: usize, steps: [Action; N]) {
    if let Some(flow) = world.flows.get_mut(flow) {
        flow.script.actions.extend(steps);
    }
    world.go_on(flow);
}
