//! The engine as a library, its heap counted while it works.

use std::net::SocketAddr;

use engine::{
    Config, ConfigError, Counters, Deadline, DialResult, Engine, FlowId, Micros, Misuse,
    PathChange, QueryId, RemoteEnd, Resolution,
};

use super::Stack;
use crate::heap::{self, AtWork};
use crate::runner::observe::Seen;

/// The engine itself.
#[derive(Debug)]
pub(super) struct Core(Engine);

impl Core {
    pub(super) fn new(config: Config) -> Result<Self, ConfigError> {
        heap::reset();
        let _counting = AtWork::begin();
        Engine::new(config).map(Self)
    }

    /// Calls the engine and counts what it allocates.
    fn at_work<T>(&mut self, call: impl FnOnce(&mut Engine) -> T) -> T {
        let _counting = AtWork::begin();
        call(&mut self.0)
    }
}

impl Stack for Core {
    fn mtu(&self) -> usize {
        self.0.config().mtu
    }

    fn handle_frames(&mut self, now: Micros, frames: &[&[u8]]) {
        self.at_work(|engine| engine.handle_frames(now, frames.iter().copied()));
    }

    fn handle_timeout(&mut self, now: Micros) {
        self.at_work(|engine| engine.handle_timeout(now));
    }

    fn path_changed(&mut self, now: Micros, change: PathChange) {
        self.at_work(|engine| engine.path_changed(now, change));
    }

    fn stop(&mut self, now: Micros) {
        self.at_work(|engine| engine.stop(now));
    }

    fn dial_result(&mut self, now: Micros, flow: FlowId, result: DialResult) -> Result<(), Misuse> {
        self.at_work(|engine| engine.dial_result(now, flow, result))
    }

    fn remote_data(&mut self, now: Micros, flow: FlowId, data: &[u8]) -> Result<usize, Misuse> {
        self.at_work(|engine| engine.remote_data(now, flow, data))
    }

    fn remote_datagram(&mut self, now: Micros, flow: FlowId, data: &[u8]) -> Result<bool, Misuse> {
        self.at_work(|engine| engine.remote_datagram(now, flow, data))
    }

    fn remote_datagram_from(
        &mut self,
        now: Micros,
        flow: FlowId,
        from: SocketAddr,
        data: &[u8],
    ) -> Result<bool, Misuse> {
        self.at_work(|engine| engine.remote_datagram_from(now, flow, from, data))
    }

    fn remote_blocked(&mut self, now: Micros, flow: FlowId) -> Result<(), Misuse> {
        self.at_work(|engine| engine.remote_blocked(now, flow))
    }

    fn remote_writable(&mut self, now: Micros, flow: FlowId) -> Result<(), Misuse> {
        self.at_work(|engine| engine.remote_writable(now, flow))
    }

    fn remote_closed(&mut self, now: Micros, flow: FlowId, end: RemoteEnd) -> Result<(), Misuse> {
        self.at_work(|engine| engine.remote_closed(now, flow, end))
    }

    fn resolved(
        &mut self,
        now: Micros,
        query: QueryId,
        resolution: Resolution,
    ) -> Result<(), Misuse> {
        self.at_work(|engine| engine.resolved(now, query, resolution))
    }

    fn drain(&mut self, now: Micros, most: usize, to: &mut Vec<Seen>) -> bool {
        loop {
            let counting = AtWork::begin();
            let output = self.0.poll_output(now);
            drop(counting);
            let Some(output) = output else { return true };
            Seen::keep(output, to);
            if to.len() > most {
                return false;
            }
        }
    }

    fn poll_timeout(&mut self) -> Option<Deadline> {
        self.at_work(Engine::poll_timeout)
    }

    fn counters(&self) -> Option<Counters> {
        Some(self.0.counters())
    }

    fn inspect(&mut self, now: Micros) -> String {
        self.at_work(|engine| engine.inspect(now).to_string())
    }
}
