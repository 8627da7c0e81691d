//! The way out for `wake`, which comes from whatever thread brought something in.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Open while the engine runs. Once it is shut nothing passes, and nothing is on its way through: a thread that was still
/// within a call when the engine stopped, or that of the system's resolver, must not use a context that is gone.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    empty: Condvar,
}

#[derive(Debug, Default)]
struct State {
    open: bool,
    inside: usize,
}

impl Gate {
    pub(crate) fn open(&self) {
        self.state().open = true;
    }

    /// Waits for those on their way through.
    pub(crate) fn shut(&self) {
        let mut state = self.state();
        state.open = false;
        let within = |state: &mut State| state.inside > 0;
        drop(self.empty.wait_while(state, within));
    }

    /// Makes a call if the gate is open. No lock is held meanwhile: the call may come here again.
    pub(crate) fn pass(&self, call: impl FnOnce()) {
        struct Out<'a>(&'a Gate);
        impl Drop for Out<'_> {
            fn drop(&mut self) {
                self.0.state().inside -= 1;
                self.0.empty.notify_all();
            }
        }
        let mut state = self.state();
        if !state.open {
            return;
        }
        state.inside += 1;
        drop(state);
        let _out = Out(self);
        call();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is a single step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn nothing_passes_a_shut_gate_and_shutting_waits_for_who_is_inside() {
        let (gate, mut passed) = (Gate::default(), 0);
        gate.pass(|| passed += 1);
        assert_eq!(passed, 0, "it is shut at first");
        gate.open();
        let (entered, enters) = channel();
        let (leave, leaves) = channel::<()>();
        let (shut, shuts) = channel();
        let gate = &gate;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                gate.pass(|| {
                    gate.pass(|| entered.send(()).expect("a receiver"));
                    leaves.recv().expect("a sender");
                });
            });
            enters.recv().expect("inside");
            scope.spawn(move || {
                gate.shut();
                shut.send(()).expect("a receiver");
            });
            while gate.state().open {
                std::thread::yield_now();
            }
            assert!(shuts.try_recv().is_err(), "one is inside");
            leave.send(()).expect("a receiver");
            shuts.recv().expect("shut");
        });
    }
}
