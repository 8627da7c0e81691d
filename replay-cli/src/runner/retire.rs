//! Room for flows: once very many are open, those that are over end, so that what is open at once takes bounded memory.

use engine::Proto;

use super::captured::Device;
use super::inject;
use super::world::World;

/// Flows that may be open at once before those that are over make room: each takes the memory of its rings.
const OPEN: usize = 2_048;

/// Flows that are looked at in vain in one go to make room: others have their turn the next time.
const LOOKS: usize = 4;

/// Whether more flows are open than may be.
pub(super) fn is_crowded(world: &World<'_>) -> bool {
    world.by_id.len() > OPEN
}

impl Device<'_> {
    /// Ends flows that have nothing more to say, those that came first: the device resets a connection, the far side
    /// gives up a UDP flow. What both have got is what they would have in the end.
    pub(super) fn make_room(&mut self, world: &mut World<'_>) {
        let mut not_over = 0;
        while not_over < LOOKS && is_crowded(world) {
            let Some(index) = self.through.pop_front() else {
                return;
            };
            let open = self.state(world, index);
            let Some(state) = open.filter(|state| state.closed.is_none()) else {
                // One that was not dialed yet, or is waited for, may come to it; one that has ended has made room.
                if open.is_none() {
                    self.through.push_back(index);
                    not_over += 1;
                }
                continue;
            };
            let over = state.connected
                && state.script.actions.current(world.capture).is_none()
                && match state.key.proto {
                    Proto::Udp => true,
                    Proto::Tcp => {
                        let have = state.down.contiguous();
                        let ended = state.half_closed_by_device.is_some();
                        let handed_on = 1 + state.upstream.len() + u64::from(ended);
                        let acked = self.flows.get(index).map_or(0, |flow| flow.acked);
                        have > 0
                            && have == state.down.emitted
                            && acked >= have
                            && state.down.acked >= state.down.device_edge
                            && handed_on >= state.down.device_edge
                    }
                };
            if !over {
                self.through.push_back(index);
                not_over += 1;
                continue;
            }
            let (id, reset) = (state.id, inject::reset(state));
            let tcp = state.key.proto == Proto::Tcp;
            world.retire(id);
            match reset.filter(|_| tcp) {
                Some(reset) => world.inject(vec![reset]),
                None => world.give_up(id),
            }
            self.retired += 1;
        }
    }
}
