//! Damage done to frames on the device's side, by rule and by seed.

use engine::FlowKey;

use super::world::flow_key;
use crate::packet::Packet;
use crate::scenario::{FaultAction, FaultAmount, FaultPoint, FlowSpec, Scenario};
use crate::simulation::dialer::key_of;

/// What becomes of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Pass,
    Drop,
    Twice,
    Altered(Vec<u8>),
    /// It goes on its way so many microseconds later.
    Later(u64),
}

/// A scenario's faults.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    rules: Vec<Rule>,
    frames_in: u64,
    frames_out: u64,
}

#[derive(Clone, Debug)]
struct Rule {
    point: FaultPoint,
    flow: Option<FlowKey>,
    frame: Option<u64>,
    nth: Option<u64>,
    /// Of 2^32 frames.
    rate: Option<u64>,
    state: u64,
    seen: u64,
    action: FaultAction,
    by: Option<FaultAmount>,
}

/// How long a reordered frame is held: long enough for what was sent with it to pass.
const REORDER_US: u64 = 1_000;

impl Faults {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        let rules = scenario.faults.iter().map(|fault| {
            let flow = fault.flow.as_ref().and_then(|name| scenario.flow(name));
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rate lies between 0 and 1"
            )]
            let rate = fault
                .rate
                .map(|rate| (rate.clamp(0.0, 1.0) * 4_294_967_296.0) as u64);
            Rule {
                point: fault.on,
                flow: flow.and_then(
                    |FlowSpec {
                         protocol,
                         client,
                         server,
                         ..
                     }| key_of(protocol, client, server),
                ),
                frame: fault.frame,
                nth: fault.nth,
                rate,
                state: fault.seed.unwrap_or(1),
                seen: 0,
                action: fault.action,
                by: fault.by,
            }
        });
        Self {
            rules: rules.collect(),
            frames_in: 0,
            frames_out: 0,
        }
    }

    /// Whether there is no rule.
    pub(crate) fn are_none(&self) -> bool {
        self.rules.is_empty()
    }

    pub(crate) fn input(&mut self, frame: &[u8]) -> Fate {
        self.frames_in += 1;
        self.fate(FaultPoint::Input, self.frames_in, frame)
    }

    pub(crate) fn output(&mut self, frame: &[u8]) -> Fate {
        self.frames_out += 1;
        self.fate(FaultPoint::Output, self.frames_out, frame)
    }

    /// The first rule that strikes decides; every rule counts.
    fn fate(&mut self, point: FaultPoint, number: u64, frame: &[u8]) -> Fate {
        if self.rules.is_empty() {
            return Fate::Pass;
        }
        let packet = Packet::whole(frame).ok();
        let key = packet
            .as_ref()
            .and_then(|packet| flow_key(packet, point == FaultPoint::Input));
        let mut fate = Fate::Pass;
        for rule in &mut self.rules {
            if rule.strikes(point, number, key.as_ref()) && fate == Fate::Pass {
                fate = rule.fate(frame, packet.as_ref());
            }
        }
        fate
    }
}

impl Rule {
    fn strikes(&mut self, point: FaultPoint, number: u64, key: Option<&FlowKey>) -> bool {
        if self.point != point || self.flow.as_ref().is_some_and(|flow| key != Some(flow)) {
            return false;
        }
        self.seen += 1;
        if self.frame.is_some_and(|frame| frame != number)
            || self.nth.is_some_and(|nth| nth != self.seen)
        {
            return false;
        }
        self.rate.is_none_or(|rate| self.draw() >> 32 < rate)
    }

    /// SplitMix64: the same sequence for the same seed on every machine.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ word >> 31
    }

    fn fate(&self, frame: &[u8], packet: Option<&Packet<'_>>) -> Fate {
        match self.action {
            FaultAction::Drop => Fate::Drop,
            FaultAction::Duplicate => Fate::Twice,
            FaultAction::Corrupt => {
                let mut bytes = frame.to_vec();
                let start = packet.map_or(0, |packet| packet.transport_offset);
                let offset = match self.by {
                    Some(FaultAmount::Count(offset)) => {
                        usize::try_from(offset).unwrap_or(usize::MAX)
                    }
                    _ => bytes.len().saturating_sub(1),
                };
                if let Some(byte) = bytes.get_mut(offset.max(start)) {
                    *byte ^= 0xff;
                }
                Fate::Altered(bytes)
            }
            FaultAction::Delay | FaultAction::Reorder => Fate::Later(match self.by {
                Some(FaultAmount::Time(time)) => time.as_micros(),
                Some(FaultAmount::Count(frames)) => frames.saturating_mul(REORDER_US),
                None => REORDER_US,
            }),
        }
    }
}
