//! The engine as a library, its heap counted while it works.

use std::collections::BTreeMap;

use engine::{Config, ConfigError, Counters, Deadline, Engine, FlowId, Micros, Misuse, Output};

use super::{Input, Stack, Watch};
use crate::base::heap::{self, AtWork};
use crate::stack::OwnedOutput;

/// The engine itself.
#[derive(Debug)]
pub(crate) struct Core {
    engine: Engine,
    /// How much flows that take a counted number of bytes may still be given.
    takes: BTreeMap<FlowId, usize>,
    /// How much was left of what they were offered last.
    offered: BTreeMap<FlowId, usize>,
    spare: Vec<Vec<u8>>,
    /// Who wants to know what it does.
    watch: Option<Watch>,
}

/// Places for bytes that are kept for the outputs to come: of one drain, and of little memory.
const SPARE: usize = 256;

impl Core {
    pub(crate) fn new(config: Config) -> Result<Self, ConfigError> {
        heap::reset();
        let _counting = AtWork::begin();
        Ok(Self {
            engine: Engine::new(config)?,
            takes: BTreeMap::new(),
            offered: BTreeMap::new(),
            spare: Vec::new(),
            watch: None,
        })
    }

    /// Calls the engine and counts what it allocates.
    fn at_work<T>(&mut self, call: impl FnOnce(&mut Engine) -> T) -> T {
        let _counting = AtWork::begin();
        call(&mut self.engine)
    }

    fn look(&mut self, now: Micros) {
        if let Some(watch) = &self.watch {
            watch.look(self.engine.inspect(now), &self.engine.counters());
        }
    }

    /// How many of `len` bytes a flow takes: all, unless it counts them.
    fn takes(
        takes: &mut BTreeMap<FlowId, usize>,
        offered: &mut BTreeMap<FlowId, usize>,
        flow: FlowId,
        len: usize,
    ) -> usize {
        let Some(left) = takes.get_mut(&flow) else {
            return len;
        };
        let taken = len.min(*left);
        *left -= taken;
        offered.insert(flow, len - taken);
        taken
    }
}

impl Stack for Core {
    fn mtu(&self) -> usize {
        self.engine.config().mtu
    }

    fn input(&mut self, now: Micros, input: Input<'_>) -> Result<usize, Misuse> {
        let counted = match input {
            Input::Take(flow, count) => Some((flow, Some(count))),
            Input::Writable(flow) => Some((flow, None)),
            _ => None,
        };
        let taken = self.at_work(|engine| give(engine, now, input))?;
        match counted {
            Some((flow, Some(count))) => {
                self.takes.insert(flow, count);
                self.offered.insert(flow, 0);
            }
            Some((flow, None)) => drop(self.takes.remove(&flow)),
            None => {}
        }
        self.look(now);
        Ok(taken)
    }

    fn offered(&self, flow: FlowId) -> Option<usize> {
        self.offered.get(&flow).copied()
    }

    fn drain(&mut self, now: Micros, most: usize, to: &mut Vec<OwnedOutput>) -> bool {
        loop {
            self.look(now);
            let time_wait = self.engine.config().time_wait;
            let counting = AtWork::begin();
            let output = self.engine.poll_output(now);
            drop(counting);
            let Some(output) = output else { return true };
            if let (Some(watch), Output::Close { flow, key, close }) = (&self.watch, &output) {
                watch.ended(*flow, *key, *close, now.plus(time_wait));
            }
            OwnedOutput::keep(output, to, &mut self.spare, |flow, len| {
                Self::takes(&mut self.takes, &mut self.offered, flow, len)
            });
            if to.len() > most {
                return false;
            }
        }
    }

    fn give_back(&mut self, bytes: Vec<u8>) {
        if self.spare.len() < SPARE {
            self.spare.push(bytes);
        }
    }

    fn poll_timeout(&mut self) -> Option<Deadline> {
        self.at_work(Engine::poll_timeout)
    }

    fn counters(&self) -> Option<Counters> {
        Some(self.engine.counters())
    }

    fn inspect(&mut self, now: Micros) -> String {
        self.at_work(|engine| engine.inspect(now).to_string())
    }

    fn watch(&mut self, watch: Watch) {
        self.watch = Some(watch);
    }
}

/// Gives the engine an input.
fn give(engine: &mut Engine, now: Micros, input: Input<'_>) -> Result<usize, Misuse> {
    match input {
        Input::Frames(frames) => engine.handle_frames(now, frames.iter().copied()),
        Input::Timeout => engine.handle_timeout(now),
        Input::PathChange(change) => engine.path_changed(now, change),
        Input::Stop => engine.stop(now),
        Input::DialResult(flow, result) => engine.dial_result(now, flow, result)?,
        Input::Data(flow, data) => return engine.remote_data(now, flow, data),
        Input::Datagram(flow, from, data) => {
            let taken = match from {
                Some(from) => engine.remote_datagram_from(now, flow, from, data),
                None => engine.remote_datagram(now, flow, data),
            };
            return taken.map(usize::from);
        }
        Input::Blocked(flow) => engine.remote_blocked(now, flow)?,
        Input::Writable(flow) | Input::Take(flow, _) => engine.remote_writable(now, flow)?,
        Input::RemoteEnd(flow, end) => engine.remote_closed(now, flow, end)?,
        Input::Resolved(query, resolution) => engine.resolved(now, query, resolution)?,
    }
    Ok(0)
}
