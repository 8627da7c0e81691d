//! What was wrong in a run.

/// The first twenty descriptions of what was wrong.
#[derive(Clone, Debug, Default)]
pub(super) struct Troubles(Vec<String>);

impl Troubles {
    pub(super) fn add(&mut self, what: impl FnOnce() -> String) {
        if self.0.len() < 20 {
            self.0.push(what());
        }
    }

    pub(super) fn all(&self) -> &[String] {
        &self.0
    }
}
