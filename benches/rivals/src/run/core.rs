//! The engine in a plain loop and virtual time: what it costs without a driver.

use std::collections::VecDeque;

use engine::{DialResult, Engine, FlowId, FrameBatch, Micros, Output, Proto, RemoteEnd};

use super::{Troubles, describe};
use crate::contender::Preset;
use crate::load::{FarEnd, Load, Word};

/// Bytes of far ends handed in before the engine is drained.
const FED: usize = 64 << 10;

/// The engine between a load and its far ends.
struct Session {
    engine: Engine,
    now: Micros,
    frames: FrameBatch,
    slots: Vec<Option<(FlowId, FarEnd)>>,
    dials: Vec<(FlowId, Proto, u16)>,
    ready: VecDeque<FlowId>,
    echoes: FrameBatch,
    echo_to: Vec<FlowId>,
    troubles: Vec<String>,
}

/// Runs the load to its end; what is returned keeps the engine's memory.
pub(crate) fn run(preset: Preset, flows: usize, load: &mut Load) -> Result<Engine, String> {
    let engine = Engine::new(preset.config(flows)).map_err(|problem| problem.to_string())?;
    let mut session = Session {
        engine,
        now: Micros::from_secs(1),
        frames: FrameBatch::new(),
        slots: Vec::new(),
        dials: Vec::new(),
        ready: VecDeque::new(),
        echoes: FrameBatch::new(),
        echo_to: Vec::new(),
        troubles: Vec::new(),
    };
    loop {
        let word = load.speak(session.now, &mut session.frames);
        session
            .engine
            .handle_frames(session.now, session.frames.take(usize::MAX));
        let moved = session.drain(load) | session.answer(load);
        if moved || word == Word::Said {
            continue;
        }
        if load.is_done() {
            break;
        }
        if word == Word::Silent {
            session.wait(load)?;
        }
    }
    let troubles = Troubles::new(session.troubles.into());
    describe(load, &troubles)?;
    Ok(session.engine)
}

impl Session {
    fn far(&mut self, flow: FlowId) -> Option<&mut FarEnd> {
        match self.slots.get_mut(flow.slot())? {
            Some((id, far)) if *id == flow => Some(far),
            _ => None,
        }
    }

    fn wait(&mut self, load: &mut Load) -> Result<(), String> {
        let engine = self.engine.poll_timeout().map(|deadline| deadline.at);
        let next = [engine, load.device().deadline()]
            .into_iter()
            .flatten()
            .min();
        let Some(at) = next else {
            return Err("stalled: nothing moves any more".to_owned());
        };
        self.now = self.now.max(at);
        self.engine.handle_timeout(self.now);
        load.tick(self.now, &mut self.frames);
        Ok(())
    }

    fn drain(&mut self, load: &mut Load) -> bool {
        let mut any = false;
        while let Some(output) = self.engine.poll_output(self.now) {
            any = true;
            match output {
                Output::Frames(frames) => load.hear(self.now, frames),
                Output::Dial { flow, key, .. } => {
                    self.dials.push((flow, key.proto, key.client.port()));
                }
                Output::Data { flow, bytes } => {
                    if let Some(Some((id, far))) = self.slots.get_mut(flow.slot())
                        && *id == flow
                    {
                        let asked = far.is_asked();
                        far.hear(load.meter(), load.device().pattern(), bytes.took_all());
                        if far.ends_next() || !asked {
                            self.ready.push_back(flow);
                        }
                    }
                }
                Output::Datagram { flow, payload, .. } => {
                    self.echoes.push(payload);
                    self.echo_to.push(flow);
                }
                Output::HalfClose { flow } => {
                    if let Some(Some((id, far))) = self.slots.get_mut(flow.slot())
                        && *id == flow
                    {
                        far.hear_end();
                        self.troubles.extend(far.trouble().map(str::to_owned));
                        self.ready.push_back(flow);
                    }
                }
                Output::Resume { flow, .. } => self.ready.push_back(flow),
                _ => {}
            }
        }
        any
    }

    fn answer(&mut self, load: &mut Load) -> bool {
        let mut any = false;
        for (flow, proto, port) in std::mem::take(&mut self.dials) {
            any = true;
            let known = self
                .engine
                .dial_result(self.now, flow, DialResult::Connected);
            if known.is_err() || proto == Proto::Udp {
                continue;
            }
            let Some(far) = load.dialed(port) else {
                continue;
            };
            if self.slots.len() <= flow.slot() {
                self.slots.resize_with(flow.slot() + 1, || None);
            }
            if let Some(place) = self.slots.get_mut(flow.slot()) {
                *place = Some((flow, far));
            }
            self.ready.push_back(flow);
        }
        let echoes = self.echoes.take(usize::MAX);
        any |= !echoes.is_empty();
        for (payload, flow) in echoes.into_iter().zip(self.echo_to.drain(..)) {
            // What is not taken is counted by the engine.
            let _ = self.engine.remote_datagram(self.now, flow, payload);
        }
        let mut fed = 0;
        while fed < FED {
            let Some(flow) = self.ready.pop_front() else {
                break;
            };
            any = true;
            let now = self.now;
            let Some(Some((_, far))) = self
                .slots
                .get_mut(flow.slot())
                .filter(|place| place.as_ref().is_some_and(|(id, _)| *id == flow))
            else {
                continue;
            };
            let bytes = far.next(load.device().pattern());
            if !bytes.is_empty() {
                let Ok(taken) = self.engine.remote_data(now, flow, bytes) else {
                    continue;
                };
                far.sent(taken);
                fed += taken;
                if taken < bytes.len() {
                    continue;
                }
            }
            let Some(far) = self.far(flow) else {
                continue;
            };
            if far.ends_now() {
                // A flow that is gone needs no end.
                let _ = self.engine.remote_closed(now, flow, RemoteEnd::Eof);
            } else if !far.next(load.device().pattern()).is_empty() {
                self.ready.push_back(flow);
            }
        }
        any
    }
}
