//! What the driver and the C ABI have in common: inputs wait at the engine's border until it is given a turn.
//!
//! Each step of the runner is one input and then turns until no work is left, all at one instant: what comes out is in
//! the order in which the host was called.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use engine::{
    Counters, Deadline, DialResult, FlowId, FlowKey, Micros, Misuse, PathChange, QueryId,
    RemoteEnd, Resolution,
};

use super::{Input, Stack, TOLERANCE_US, Traits};
use crate::stack::OwnedOutput;

/// Turns at one instant beyond which the engine must be looping.
const TURNS: usize = 1_000_000;

/// Bytes that an inbox holds: more than a far side of a scenario sends at once, so that the stream is cut into segments
/// where the engine cuts it.
pub(crate) const INBOX: usize = 16 << 20;

/// A way across the engine's border. Calls without a time wait for the next turn.
pub(crate) trait Border {
    fn mtu(&self) -> usize;

    /// Frames of the device; says how many found room.
    fn frames(&mut self, frames: &[&[u8]]) -> usize;

    fn path_changed(&mut self, change: PathChange);

    fn dialed(&mut self, flow: FlowId, result: DialResult) -> Result<(), Misuse>;

    /// Bytes of the far side; says how many found room.
    fn data(&mut self, flow: FlowId, data: &[u8]) -> Result<usize, Misuse>;

    /// Room for bytes of the far side.
    fn room(&mut self, flow: FlowId) -> Result<usize, Misuse>;

    fn datagram(
        &mut self,
        flow: FlowId,
        from: Option<SocketAddr>,
        data: &[u8],
    ) -> Result<bool, Misuse>;

    fn ended(&mut self, flow: FlowId, end: RemoteEnd) -> Result<(), Misuse>;

    fn set_blocked(&mut self, flow: FlowId, blocked: bool) -> Result<(), Misuse>;

    fn resolved(&mut self, query: QueryId, resolution: Resolution);

    /// Closes every flow.
    fn stop(&mut self, now: Micros);

    /// One turn; says when the next is wanted.
    fn turn(&mut self, now: Micros) -> Option<Micros>;

    /// What the next turn is wanted for, if no work is left.
    fn deadline(&mut self) -> Option<Deadline>;

    fn counters(&self) -> Option<Counters>;

    /// What the host was told so far, and what it answers.
    fn with_host<T>(&mut self, act: impl FnOnce(&mut MockHost) -> T) -> T
    where
        Self: Sized;

    /// What went wrong outside of the engine.
    fn complaints(&self) -> &[String];
}

/// The host's end: keeps what it is told, and takes all bytes of the device unless it was told how many.
#[derive(Debug, Default)]
pub(crate) struct MockHost {
    pub(crate) seen: Vec<OwnedOutput>,
    pub(crate) complaints: Vec<String>,
    takes: BTreeMap<FlowId, usize>,
}

impl MockHost {
    pub(crate) fn frames<'a>(&mut self, frames: impl Iterator<Item = &'a [u8]>) -> usize {
        let mut count = 0;
        for frame in frames {
            self.seen.push(OwnedOutput::Frame(frame.to_vec()));
            count += 1;
        }
        self.seen.push(OwnedOutput::Batch(count));
        count
    }

    pub(crate) fn dial(&mut self, flow: FlowId, key: FlowKey, name: Option<&str>) {
        let name = name.map(str::to_owned);
        self.seen.push(OwnedOutput::Dial(flow, key, name));
    }

    pub(crate) fn data(&mut self, flow: FlowId, bytes: &[u8]) -> usize {
        let taken = match self.takes.get_mut(&flow) {
            None => bytes,
            Some(left) => {
                let taken = bytes.get(..*left).unwrap_or(bytes);
                *left -= taken.len();
                taken
            }
        };
        if !taken.is_empty() {
            self.seen.push(OwnedOutput::Data(flow, taken.to_vec()));
        }
        taken.len()
    }
}

/// A stack behind a border.
#[derive(Debug)]
pub(crate) struct Driven<B> {
    border: B,
    frames_lost: u64,
    /// Flows with bytes given that the engine may not have taken, how much room they had before, and whether a whole
    /// step has passed since.
    held: BTreeMap<FlowId, (usize, bool)>,
}

impl<B: Border> Driven<B> {
    pub(crate) fn new(border: B) -> Self {
        Self {
            border,
            frames_lost: 0,
            held: BTreeMap::new(),
        }
    }

    /// Looks whether the engine has taken what was given; a dialer that waited for that may go on.
    fn release(&mut self) {
        let border = &mut self.border;
        let mut released = Vec::new();
        self.held.retain(|flow, (before, waited)| {
            let Ok(room) = border.room(*flow) else {
                return false;
            };
            let taken = room >= *before;
            if taken && *waited {
                released.push((*flow, room));
            }
            *waited = true;
            !taken
        });
        self.border.with_host(|host| {
            let resumes = released.into_iter();
            host.seen
                .extend(resumes.map(|(flow, room)| OwnedOutput::Resume(flow, room)));
        });
    }
}

impl<B: Border> Stack for Driven<B> {
    fn mtu(&self) -> usize {
        self.border.mtu()
    }

    fn input(&mut self, now: Micros, input: Input<'_>) -> Result<usize, Misuse> {
        match input {
            Input::Frames(frames) => {
                let lost = frames.len() - self.border.frames(frames).min(frames.len());
                self.frames_lost += lost as u64;
            }
            // The turn of the drain that follows does it.
            Input::Timeout => {}
            Input::PathChange(change) => self.border.path_changed(change),
            Input::Stop => self.border.stop(now),
            Input::DialResult(flow, result) => self.border.dialed(flow, result)?,
            Input::Data(flow, data) => {
                if !self.held.contains_key(&flow) {
                    let room = self.border.room(flow)?;
                    self.held.insert(flow, (room, false));
                }
                let taken = self.border.data(flow, data);
                if taken.is_err() {
                    self.held.remove(&flow);
                }
                return taken;
            }
            Input::Datagram(flow, from, data) => {
                return self.border.datagram(flow, from, data).map(usize::from);
            }
            Input::Blocked(flow) => self.border.set_blocked(flow, true)?,
            Input::Writable(flow) => {
                self.border.with_host(|host| host.takes.remove(&flow));
                self.border.set_blocked(flow, false)?;
            }
            Input::Take(flow, count) => {
                self.border.set_blocked(flow, false)?;
                self.border.with_host(|host| host.takes.insert(flow, count));
            }
            Input::RemoteEnd(flow, end) => {
                self.held.remove(&flow);
                self.border.ended(flow, end)?;
            }
            Input::Resolved(query, resolution) => self.border.resolved(query, resolution),
        }
        Ok(0)
    }

    fn drain(&mut self, now: Micros, most: usize, to: &mut Vec<OwnedOutput>) -> bool {
        let ended = (0..TURNS).any(|_| self.border.turn(now).is_none_or(|next| next > now));
        self.release();
        self.border.with_host(|host| to.append(&mut host.seen));
        ended && to.len() <= most
    }

    fn poll_timeout(&mut self) -> Option<Deadline> {
        self.border.deadline()
    }

    fn holds(&self, flow: FlowId) -> bool {
        self.held.contains_key(&flow)
    }

    fn has_inboxes(&self) -> bool {
        true
    }

    fn frames_lost(&self) -> u64 {
        self.frames_lost
    }

    fn traits(&self) -> Traits {
        Traits {
            tolerance: TOLERANCE_US,
            ..Traits::CORE
        }
    }

    fn complaints(&self) -> &[String] {
        self.border.complaints()
    }

    fn counters(&self) -> Option<Counters> {
        self.border.counters()
    }

    fn inspect(&mut self, _now: Micros) -> String {
        let counters = self.border.counters();
        counters.map_or_else(String::new, |counters| counters.to_line())
    }
}
