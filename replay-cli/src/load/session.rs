//! The engine under load, in virtual time: one loop, as a driver would run it, without a socket.

use engine::{Config, ConfigError, DialResult, Engine, FlowId, FrameBatch, Micros, Misuse, Output};

use super::device::Device;
use super::far::Far;
use super::path::{LaneTotals, Path};
use super::remotes::{Border, Remotes};
use super::weather::{Way, Weather};

mod counted;

/// Frames handed in at a time.
const BATCH: usize = 64;
/// Bytes of far sides handed in before the engine is drained.
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
    remotes: Remotes,
    closes: u64,
    frames_in: u64,
    weather: Option<Weather>,
    path: Option<Path>,
    arrived: Micros,
}

impl Session {
    /// An engine with these settings between `device` and far sides that are opened as they are dialed. Without a seed it is
    /// the same one each time, so that runs are equal.
    ///
    /// # Errors
    /// A setting of the engine out of its bounds.
    pub fn new(mut config: Config, device: Device) -> Result<Self, ConfigError> {
        config.seed.get_or_insert(1);
        Ok(Self {
            engine: Engine::new(config)?,
            device,
            far: Far::default(),
            now: Micros::from_secs(1),
            frames: FrameBatch::new(),
            remotes: Remotes::default(),
            closes: 0,
            frames_in: 0,
            weather: None,
            path: None,
            arrived: Micros(0),
        })
    }

    /// Sets what goes wrong between the device and the engine, both ways.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = (weather.loss > 0 || weather.reorder > 0).then_some(weather);
    }

    /// Puts a path between the device and the engine. The device should know of it: [`Device::set_path`].
    pub fn set_path(&mut self, path: Path) {
        self.path = Some(path);
    }

    /// What became of frames on the path, those of the device first.
    #[must_use]
    pub fn path_totals(&self) -> Option<[LaneTotals; 2]> {
        self.path.as_ref().map(Path::totals)
    }

    /// When a byte reached a far side last, and when the device.
    #[must_use]
    pub fn arrived(&self) -> [Micros; 2] {
        [self.arrived, self.device.arrived()]
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

    /// Runs as long as `more` returns `true`.
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

    /// One turn at this instant; whether anything happened.
    pub fn turn(&mut self) -> bool {
        self.device.emit(self.now, BATCH, &mut self.frames);
        let count = self.frames.len();
        if count > 0 {
            let frames = self.frames.take(count);
            let frames = match &mut self.weather {
                None => frames,
                Some(weather) => weather.pass(Way::In, frames),
            };
            match &mut self.path {
                None => {
                    self.frames_in += count as u64;
                    counted::frames(&mut self.engine, self.now, frames);
                }
                Some(path) => path.send(Way::In, self.now, frames),
            }
        }
        let arrived = self.arrive();
        let drained = self.drain();
        let answered = self.answer();
        count > 0 || arrived || drained || answered
    }

    /// What has come to the end of the path: a batch for the engine, and one frame for the device, which may answer each.
    fn arrive(&mut self) -> bool {
        let Some(path) = &mut self.path else {
            return false;
        };
        let up = path.arrived(Way::In, self.now, BATCH);
        let count = up.len();
        if count > 0 {
            self.frames_in += count as u64;
            counted::frames(&mut self.engine, self.now, up);
        }
        let down = path.arrived(Way::Out, self.now, 1);
        let any = count > 0 || !down.is_empty();
        for frame in down {
            self.device.receive(self.now, frame);
        }
        any
    }

    /// Lets time pass until something is due.
    fn wait(&mut self) -> Result<(), Stalled> {
        let engine = counted::deadline(&mut self.engine).map(|deadline| deadline.at);
        let stalled = self.remotes.deadline();
        let path = self.path.as_ref().and_then(Path::deadline);
        let next = [engine, self.device.deadline(), stalled, path]
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
        let mut border = AtEngine(&mut self.engine, self.now);
        while let Some(flow) = self.remotes.due(self.now) {
            // A flow that has ended meanwhile reads nothing any more.
            let _ = border.writable(flow);
        }
        self.drain();
        Ok(())
    }

    fn drain(&mut self) -> bool {
        let mut any = false;
        while let Some(output) = counted::output(&mut self.engine, self.now) {
            any = true;
            match output {
                Output::Frames(frames) => {
                    let arrived = match &mut self.weather {
                        None => frames,
                        Some(weather) => weather.pass(Way::Out, frames),
                    };
                    if let Some(path) = &mut self.path {
                        path.send(Way::Out, self.now, arrived);
                        continue;
                    }
                    for frame in arrived {
                        self.device.receive(self.now, frame);
                    }
                }
                Output::Dial { flow, key, .. } => self.remotes.dialed(&self.device, flow, key),
                Output::Data { flow, bytes } => {
                    let Some(number) = self.remotes.number_of(flow) else {
                        continue;
                    };
                    let (taken, again) = self.far.reads(self.now, number, bytes.len());
                    if taken > 0 {
                        self.arrived = self.now;
                    }
                    let read = bytes.took(taken);
                    self.far.receive(self.device.pattern(), number, read);
                    self.remotes.may_send(flow, number);
                    if let Some(again) = again {
                        self.remotes.reads_at(again, flow);
                    }
                }
                Output::Datagram { flow, payload, .. } => {
                    self.far.check_datagram(self.device.pattern(), payload);
                    self.remotes.echo(&self.device, flow, payload);
                }
                Output::HalfClose { flow } => {
                    if let Some(number) = self.remotes.number_of(flow) {
                        self.far.receive_end(number);
                        self.remotes.may_send(flow, number);
                    }
                }
                Output::Resume { flow, .. } => {
                    if let Some(number) = self.remotes.number_of(flow) {
                        self.remotes.may_send(flow, number);
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
        let mut border = AtEngine(&mut self.engine, self.now);
        self.remotes
            .answer(self.now, &self.device, &mut self.far, &mut border, FED)
    }

    /// Lets the flows that hold their bytes back send them, both ways.
    pub fn release(&mut self) {
        self.device.release();
        self.far.release();
        self.remotes.all_may_send();
    }
}

/// The engine's calls for far sides, at an instant.
struct AtEngine<'a>(&'a mut Engine, Micros);

impl Border for AtEngine<'_> {
    fn connected(&mut self, flow: FlowId) -> Result<(), Misuse> {
        counted::dialed(self.0, self.1, flow, DialResult::Connected)
    }

    fn data(&mut self, flow: FlowId, bytes: &[u8]) -> Result<usize, Misuse> {
        counted::data(self.0, self.1, flow, bytes)
    }

    fn datagram(&mut self, flow: FlowId, payload: &[u8]) -> Result<bool, Misuse> {
        counted::datagram(self.0, self.1, flow, payload)
    }

    fn eof(&mut self, flow: FlowId) -> Result<(), Misuse> {
        counted::end(self.0, self.1, flow)
    }

    fn blocked(&mut self, flow: FlowId) -> Result<(), Misuse> {
        self.0.remote_blocked(self.1, flow)
    }

    fn writable(&mut self, flow: FlowId) -> Result<(), Misuse> {
        self.0.remote_writable(self.1, flow)
    }
}

#[cfg(test)]
mod tests;
