//! The engine under load, in virtual time: one loop, as a driver would run it, without a socket.

use std::collections::VecDeque;

use engine::{Config, ConfigError, Engine, FlowId, FrameBatch, Micros, Output, Proto};

use super::device::Device;
use super::far::Far;
use super::weather::{Way, Weather};

mod counted;

/// Frames handed in at a time.
const BATCH: usize = 64;
/// Octets the far side offers at a time.
const CHUNK: usize = 16 << 10;
/// Octets of far sides handed in before the engine is drained.
const FED: usize = 64 << 10;

/// The load came to a stop with flows left: which, and the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nothing moves any more at {at:?}")]
pub struct Stalled {
    /// Virtual time.
    pub at: Micros,
}

/// An engine between a device and far sides.
#[derive(Debug)]
pub struct Session {
    /// The engine.
    pub engine: Engine,
    /// The device.
    pub device: Device,
    /// The far sides.
    pub far: Far,
    now: Micros,
    frames: FrameBatch,
    /// The flow number of each slot of the engine, with the handle that is in force.
    slots: Vec<(FlowId, u64)>,
    dials: Vec<(FlowId, Proto, u64)>,
    /// Far sides that may send: their handle and number.
    ready: VecDeque<(FlowId, u64)>,
    /// Far sides that read again later.
    stalled: Vec<(Micros, FlowId)>,
    echoes: FrameBatch,
    echo_to: Vec<FlowId>,
    closes: u64,
    frames_in: u64,
    weather: Option<Weather>,
}

const NONE: (FlowId, u64) = (FlowId::from_bits(u64::MAX), u64::MAX);

impl Session {
    /// An engine with these settings between `device` and far sides that are opened as they are dialed.
    ///
    /// # Errors
    /// A setting of the engine out of its bounds.
    pub fn new(config: Config, device: Device) -> Result<Self, ConfigError> {
        Ok(Self {
            engine: Engine::new(config)?,
            device,
            far: Far::default(),
            now: Micros::from_secs(1),
            frames: FrameBatch::new(),
            slots: Vec::new(),
            dials: Vec::new(),
            ready: VecDeque::new(),
            stalled: Vec::new(),
            echoes: FrameBatch::new(),
            echo_to: Vec::new(),
            closes: 0,
            frames_in: 0,
            weather: None,
        })
    }

    /// Sets what goes wrong between the device and the engine, both ways.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = (weather.loss > 0 || weather.reorder > 0).then_some(weather);
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.now
    }

    /// Flows that ended.
    #[must_use]
    pub fn closes(&self) -> u64 {
        self.closes
    }

    /// Frames the engine was given.
    #[must_use]
    pub fn frames_in(&self) -> u64 {
        self.frames_in
    }

    /// Runs until the device is done.
    ///
    /// # Errors
    /// Nothing moves any more, though flows are left.
    pub fn run(&mut self) -> Result<(), Stalled> {
        self.run_while(|session| !session.device.is_done())
    }

    /// Runs as long as `more` says so.
    ///
    /// # Errors
    /// Nothing moves any more.
    pub fn run_while(&mut self, mut more: impl FnMut(&mut Self) -> bool) -> Result<(), Stalled> {
        while more(self) {
            if self.turn() || self.device.quiet() {
                continue;
            }
            self.wait()?;
        }
        Ok(())
    }

    /// One turn at this instant; says whether anything happened.
    pub fn turn(&mut self) -> bool {
        self.device.speak(self.now, BATCH, &mut self.frames);
        let count = self.frames.len();
        if count > 0 {
            self.frames_in += count as u64;
            match &mut self.weather {
                None => counted::frames(&mut self.engine, self.now, self.frames.take(count)),
                Some(weather) => {
                    weather.pass(Way::In, self.frames.take(count));
                    counted::frames(&mut self.engine, self.now, weather.arrived(Way::In));
                }
            }
        }
        let drained = self.drain();
        let answered = self.answer();
        count > 0 || drained || answered
    }

    /// Lets time pass until something is due.
    fn wait(&mut self) -> Result<(), Stalled> {
        let engine = counted::deadline(&mut self.engine).map(|deadline| deadline.at);
        let stalled = self.stalled.iter().map(|(at, _)| *at).min();
        let next = [engine, self.device.deadline(), stalled]
            .into_iter()
            .flatten()
            .min();
        let Some(at) = next else {
            return Err(Stalled { at: self.now });
        };
        self.now = self.now.max(at);
        if engine.is_some_and(|at| at <= self.now) {
            counted::timeout(&mut self.engine, self.now);
        }
        self.device.timeout(self.now, &mut self.frames);
        let (now, engine) = (self.now, &mut self.engine);
        self.stalled.retain(|(until, flow)| {
            let over = *until <= now;
            if over {
                // A flow that has ended meanwhile reads nothing any more.
                let _ = engine.remote_writable(now, *flow);
            }
            !over
        });
        self.drain();
        Ok(())
    }

    fn number_of(&self, flow: FlowId) -> Option<u64> {
        let slot = (flow.to_bits() & u64::from(u32::MAX)) as usize;
        self.slots
            .get(slot)
            .filter(|(id, _)| *id == flow)
            .map(|(_, number)| *number)
    }

    fn drain(&mut self) -> bool {
        let mut any = false;
        while let Some(output) = counted::output(&mut self.engine, self.now) {
            any = true;
            match output {
                Output::Frames(frames) => {
                    let arrived = match &mut self.weather {
                        None => frames,
                        Some(weather) => {
                            weather.pass(Way::Out, frames);
                            weather.arrived(Way::Out)
                        }
                    };
                    for frame in arrived {
                        self.device.hear(self.now, frame);
                    }
                }
                Output::Dial { flow, key, .. } => {
                    let number = self.device.flow_on(key.client.port()).unwrap_or(u64::MAX);
                    self.dials.push((flow, key.proto, number));
                }
                Output::Data { flow, bytes } => {
                    let slot = (flow.to_bits() & u64::from(u32::MAX)) as usize;
                    if let Some((_, number)) = self.slots.get(slot).filter(|(id, _)| *id == flow) {
                        self.far.hear(self.device.pattern(), *number, bytes);
                        self.ready.push_back((flow, *number));
                    }
                }
                Output::Datagram { flow, payload, .. } => {
                    self.far.hear_datagram();
                    self.echoes.push(payload);
                    self.echo_to.push(flow);
                }
                Output::HalfClose { flow } => {
                    if let Some(number) = self.number_of(flow) {
                        self.far.hear_end(number);
                        self.ready.push_back((flow, number));
                    }
                }
                Output::Resume { flow, .. } => {
                    if let Some(number) = self.number_of(flow) {
                        self.ready.push_back((flow, number));
                    }
                }
                Output::Close { .. } => self.closes += 1,
                _ => {}
            }
        }
        any
    }

    /// What the far sides do in answer to the last drain.
    fn answer(&mut self) -> bool {
        let mut any = false;
        for (flow, proto, number) in core::mem::take(&mut self.dials) {
            any = true;
            if counted::dialed(&mut self.engine, self.now, flow).is_err() || proto == Proto::Udp {
                continue;
            }
            let slot = (flow.to_bits() & u64::from(u32::MAX)) as usize;
            if self.slots.len() <= slot {
                self.slots.resize(slot + 1, NONE);
            }
            if let Some(place) = self.slots.get_mut(slot) {
                *place = (flow, number);
            }
            if let Some(plan) = self.device.plan(number).copied() {
                self.far.open(number, plan);
                if plan.remote_stalls_until > self.now {
                    let _ = self.engine.remote_blocked(self.now, flow);
                    self.stalled.push((plan.remote_stalls_until, flow));
                }
            }
            self.ready.push_back((flow, number));
        }
        let echoes = self.echoes.len();
        if echoes > 0 {
            any = true;
            let payloads = self.echoes.take(echoes);
            for (payload, flow) in payloads.iter().zip(self.echo_to.drain(..)) {
                // What is not taken is counted by the engine.
                let _ = counted::datagram(&mut self.engine, self.now, flow, payload);
            }
        }
        let mut fed = 0;
        while fed < FED {
            let Some((flow, number)) = self.ready.pop_front() else {
                break;
            };
            any = true;
            let bytes = self.far.next(self.device.pattern(), number, CHUNK);
            if !bytes.is_empty() {
                let len = bytes.len();
                let Ok(taken) = counted::data(&mut self.engine, self.now, flow, bytes) else {
                    continue;
                };
                self.far.sent(number, taken);
                fed += taken;
                if taken < len {
                    continue;
                }
                if !self.far.next(self.device.pattern(), number, 1).is_empty() {
                    self.ready.push_back((flow, number));
                    continue;
                }
            }
            if self.far.ends_now(number) {
                let _ = counted::end(&mut self.engine, self.now, flow);
            }
        }
        any
    }
}

#[cfg(test)]
mod tests;
