//! The inboxes of live flows, by the slot of their handle: looked up without a search.

use engine::{FlowId, Proto};

use super::inbox::Inbox;

/// Live flows. The engine gives a slot again once its flow has ended, so the list is no longer than flows were live at
/// once; it shrinks from its end.
#[derive(Debug, Default)]
pub(crate) struct Flows {
    slots: Vec<Option<(FlowId, Inbox)>>,
    live: usize,
}

impl Flows {
    pub(crate) const fn len(&self) -> usize {
        self.live
    }

    pub(crate) fn get_mut(&mut self, flow: FlowId) -> Option<&mut Inbox> {
        let place = self.slots.get_mut(flow.slot())?.as_mut()?;
        (place.0 == flow).then_some(&mut place.1)
    }

    pub(crate) fn insert(&mut self, flow: FlowId, proto: Proto) {
        if self.slots.len() <= flow.slot() {
            self.slots.resize_with(flow.slot() + 1, || None);
        }
        if let Some(place) = self.slots.get_mut(flow.slot()) {
            let before = place.replace((flow, Inbox::new(proto)));
            self.live += usize::from(before.is_none());
        }
    }

    pub(crate) fn remove(&mut self, flow: FlowId) -> Option<Inbox> {
        let place = self.slots.get_mut(flow.slot())?;
        if place.as_ref()?.0 != flow {
            return None;
        }
        let removed = place.take();
        self.live -= 1;
        while self.slots.last().is_some_and(Option::is_none) {
            self.slots.pop();
        }
        if self.slots.capacity() > 2 * self.slots.len() + 64 {
            self.slots.shrink_to(self.slots.len() + 32);
        }
        removed.map(|removed| removed.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(slot: u64, generation: u64) -> FlowId {
        FlowId::from_bits(generation << 32 | slot)
    }

    #[test]
    fn a_handle_of_an_earlier_flow_finds_nothing() {
        let mut flows = Flows::default();
        flows.insert(id(3, 2), Proto::Tcp);
        assert!(flows.get_mut(id(3, 1)).is_none() && flows.remove(id(3, 1)).is_none());
        assert!(flows.get_mut(id(4, 2)).is_none() && flows.get_mut(id(3, 2)).is_some());
        assert!(flows.remove(id(3, 2)).is_some() && flows.remove(id(3, 2)).is_none());
        assert_eq!(flows.len(), 0);
    }

    #[test]
    fn many_flows_leave_no_memory_behind() {
        let mut flows = Flows::default();
        for slot in 0..10_000 {
            flows.insert(id(slot, 1), Proto::Tcp);
        }
        assert_eq!(flows.len(), 10_000);
        for slot in 0..10_000 {
            assert!(flows.remove(id(slot, 1)).is_some());
        }
        assert!(flows.slots.capacity() <= 64);
    }

    #[test]
    fn an_idle_flow_costs_no_more_than_its_place() {
        assert!(size_of::<Option<(FlowId, Inbox)>>() <= 96);
    }
}
