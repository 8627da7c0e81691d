//! The engine as a library, its heap counted while it works.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use engine::{
    Config, ConfigError, Counters, Deadline, DialResult, Engine, FlowId, Micros, Misuse, Output,
    PathChange, QueryId, RemoteEnd, Resolution,
};

use super::{Stack, Watch};
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

    /// The same for an input, which may change a flow's state.
    fn input<T>(&mut self, now: Micros, call: impl FnOnce(&mut Engine) -> T) -> T {
        let result = self.at_work(call);
        self.look(now);
        result
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

    fn handle_frames(&mut self, now: Micros, frames: &[&[u8]]) {
        self.input(now, |engine| {
            engine.handle_frames(now, frames.iter().copied());
        });
    }

    fn handle_timeout(&mut self, now: Micros) {
        self.input(now, |engine| engine.handle_timeout(now));
    }

    fn path_changed(&mut self, now: Micros, change: PathChange) {
        self.input(now, |engine| engine.path_changed(now, change));
    }

    fn stop(&mut self, now: Micros) {
        self.input(now, |engine| engine.stop(now));
    }

    fn dial_result(&mut self, now: Micros, flow: FlowId, result: DialResult) -> Result<(), Misuse> {
        self.input(now, |engine| engine.dial_result(now, flow, result))
    }

    fn remote_data(&mut self, now: Micros, flow: FlowId, data: &[u8]) -> Result<usize, Misuse> {
        self.input(now, |engine| engine.remote_data(now, flow, data))
    }

    fn remote_datagram(&mut self, now: Micros, flow: FlowId, data: &[u8]) -> Result<bool, Misuse> {
        self.input(now, |engine| engine.remote_datagram(now, flow, data))
    }

    fn remote_datagram_from(
        &mut self,
        now: Micros,
        flow: FlowId,
        from: SocketAddr,
        data: &[u8],
    ) -> Result<bool, Misuse> {
        self.input(now, |engine| {
            engine.remote_datagram_from(now, flow, from, data)
        })
    }

    fn remote_blocked(&mut self, now: Micros, flow: FlowId) -> Result<(), Misuse> {
        self.input(now, |engine| engine.remote_blocked(now, flow))
    }

    fn remote_writable(&mut self, now: Micros, flow: FlowId) -> Result<(), Misuse> {
        self.takes.remove(&flow);
        self.at_work(|engine| engine.remote_writable(now, flow))
    }

    fn remote_take(&mut self, now: Micros, flow: FlowId, count: usize) -> Result<(), Misuse> {
        self.at_work(|engine| engine.remote_writable(now, flow))?;
        self.takes.insert(flow, count);
        self.offered.insert(flow, 0);
        Ok(())
    }

    fn offered(&self, flow: FlowId) -> Option<usize> {
        self.offered.get(&flow).copied()
    }

    fn remote_closed(&mut self, now: Micros, flow: FlowId, end: RemoteEnd) -> Result<(), Misuse> {
        self.input(now, |engine| engine.remote_closed(now, flow, end))
    }

    fn resolved(
        &mut self,
        now: Micros,
        query: QueryId,
        resolution: Resolution,
    ) -> Result<(), Misuse> {
        self.input(now, |engine| engine.resolved(now, query, resolution))
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
