//! Conversations that used one tuple after each other.

use engine::FlowKey;

use super::captured::Device;

/// No conversation.
pub(super) const NONE: u32 = u32::MAX;

impl Device<'_> {
    /// Puts a conversation behind those of its tuple.
    pub(super) fn place(&mut self, index: usize) {
        let flows = &self.flows;
        let of = |index: usize| flows.get(index).and_then(|flow| flow.key);
        let Some(key) = of(index) else { return };
        if let Some(before) = self.last.insert(&key, index, of) {
            let number = |index| u32::try_from(index).unwrap_or(NONE);
            if let Some(place) = self.beside.get_mut(index) {
                place[0] = number(before);
            }
            if let Some(place) = self.beside.get_mut(before) {
                place[1] = number(index);
            }
        }
    }

    /// The conversation before one on its tuple.
    pub(super) fn before(&self, index: usize) -> Option<usize> {
        let [before, _] = self.beside.get(index)?;
        (*before != NONE).then_some(*before as usize)
    }

    /// The conversation after one on its tuple.
    pub(super) fn after(&self, index: usize) -> Option<usize> {
        let [_, after] = self.beside.get(index)?;
        (*after != NONE).then_some(*after as usize)
    }

    /// The conversations of a tuple, the last one first.
    pub(crate) fn frames_of(&self, key: &FlowKey) -> impl Iterator<Item = usize> {
        let of = |index: usize| self.flows.get(index).and_then(|flow| flow.key);
        std::iter::successors(self.last.find(key, of), |index| self.before(*index))
    }
}
