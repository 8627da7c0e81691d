//! What the next segment or datagram of a conversation waits for: its time, its cause, room in the window, another flow.

use super::{Device, inject};
use crate::capture::conversation::{Conversation, DeviceSegment, Talk};
use crate::packet::Flags;
use crate::scenario::{Retransmissions, Timing};
use crate::simulation::world::World;

/// Why a head does not go in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// It may, at this time.
    At(u64),
    /// Units of the far side are missing.
    Cause { needs: u64 },
    /// The engine has no room for it.
    Window { to: u64 },
    /// Another flow goes first.
    Order,
    /// There is none.
    Empty,
}

impl Device<'_> {
    /// What a conversation's head waits for.
    pub(crate) fn gate(&self, world: &World<'_>, index: usize) -> Gate {
        let (Some(flow), Some(conversation)) =
            (self.flows.get(index), self.capture.flows.get(index))
        else {
            return Gate::Empty;
        };
        if flow.key.is_none() || flow.stuck {
            return Gate::Empty;
        }
        let (gap, at_us) = match &conversation.talk {
            Talk::Tcp(tcp) => match tcp.device.get(flow.head) {
                Some(segment) => (segment.gap_us, segment.at_us),
                None => return Gate::Empty,
            },
            Talk::Udp(udp) => match udp.device.get(flow.head) {
                Some(datagram) => (datagram.gap_us, datagram.at_us),
                None => return Gate::Empty,
            },
        };
        if flow.head == 0 && !flow.impatient && !self.may_begin(world, index, conversation) {
            return Gate::Order;
        }
        let time = match self.play.timing {
            Timing::Asap => 0,
            Timing::Strict => conversation.start_us.saturating_add(at_us),
            Timing::Causal if flow.offset > 0 => world.now,
            Timing::Causal => match flow.last_at {
                Some(last) => last.saturating_add(gap),
                None => conversation.start_us,
            },
        };
        let time = time.max(flow.not_before);
        let Talk::Tcp(tcp) = &conversation.talk else {
            return Gate::At(time);
        };
        let Some(segment) = tcp.device.get(flow.head) else {
            return Gate::Empty;
        };
        let Some(state) = self.state(world, index) else {
            return Gate::At(time);
        };
        if state.closed.is_some() || segment.needs == 0 {
            return Gate::At(time);
        }
        if state.down.emitted < segment.needs {
            return Gate::Cause {
                needs: segment.needs,
            };
        }
        if segment.bytes() > 0 && !self.is_needless(world, index, segment) {
            let sent = flow.offset + inject::piece(world, segment, flow.offset);
            let end = segment.at + segment.bytes().min(sent);
            if end > state.down.room_to {
                return Gate::Window { to: end };
            }
        }
        Gate::At(time)
    }

    fn may_begin(&self, world: &World<'_>, index: usize, conversation: &Conversation) -> bool {
        if let Some(before) = self.before(index) {
            let state = self.state(world, before);
            let over = state.is_some_and(|state| state.closed.is_some());
            if !(self.is_through(before) && over) {
                return false;
            }
        }
        match conversation.after_dns {
            Some((other, nth)) if self.flows.get(other).is_some_and(|flow| !flow.stuck) => {
                let Some(state) = self.state(world, other) else {
                    return false;
                };
                state.down.datagrams > nth as u64 || state.closed.is_some()
            }
            _ => true,
        }
    }

    /// Whether a recorded retransmission has nothing to bring.
    pub(crate) fn is_needless(
        &self,
        world: &World<'_>,
        index: usize,
        segment: &DeviceSegment,
    ) -> bool {
        // What the stall rule sent ahead of the recording is repeated when its own segment comes.
        let brings = segment.bytes() > 0 || segment.flags.contains(Flags::FIN);
        if !(segment.is_repeated() || brings)
            || self.play.retransmissions == Retransmissions::AsRecorded
        {
            return false;
        }
        let Some(state) = self.state(world, index) else {
            return false;
        };
        if segment.flags.contains(Flags::SYN) {
            return state.down.engine_isn.is_some() || state.answered;
        }
        state.down.acked >= segment.end()
    }
}
