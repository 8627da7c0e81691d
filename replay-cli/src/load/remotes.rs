//! The far sides at the border of a stack: which may send, which read on later, what is echoed.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use engine::{FlowId, FlowKey, FrameBatch, Micros, Misuse, Proto};

use super::device::Device;
use super::far::Far;

/// Bytes the far side offers at a time.
const CHUNK: usize = 16 << 10;

/// What far sides do at a stack.
pub trait Border {
    /// The dial has succeeded.
    ///
    /// # Errors
    /// The flow has ended.
    fn connected(&mut self, flow: FlowId) -> Result<(), Misuse>;

    /// Bytes of a stream; how many were taken.
    ///
    /// # Errors
    /// The flow has ended.
    fn data(&mut self, flow: FlowId, bytes: &[u8]) -> Result<usize, Misuse>;

    /// A datagram; `false` if it was dropped, and counted.
    ///
    /// # Errors
    /// The flow has ended.
    fn datagram(&mut self, flow: FlowId, payload: &[u8]) -> Result<bool, Misuse>;

    /// The end of a stream.
    ///
    /// # Errors
    /// The flow has ended.
    fn eof(&mut self, flow: FlowId) -> Result<(), Misuse>;

    /// The far side takes no more.
    ///
    /// # Errors
    /// The flow has ended.
    fn blocked(&mut self, flow: FlowId) -> Result<(), Misuse>;

    /// The far side takes bytes again.
    ///
    /// # Errors
    /// The flow has ended.
    fn writable(&mut self, flow: FlowId) -> Result<(), Misuse>;
}

/// The far sides of all flows of a stack.
#[derive(Debug, Default)]
pub struct Remotes {
    /// The flow number of each slot of the engine, with the handle that is in force.
    slots: Vec<(FlowId, u64)>,
    dials: Vec<(FlowId, Proto, u64)>,
    /// Far sides that may send: their handle and number.
    ready: VecDeque<(FlowId, u64)>,
    /// Far sides that read again later, the next one first.
    stalled: BinaryHeap<Reverse<(Micros, FlowId)>>,
    echoes: FrameBatch,
    echo_to: Vec<FlowId>,
}

const NONE: (FlowId, u64) = (FlowId::from_bits(u64::MAX), u64::MAX);

impl Remotes {
    /// Memory for so many flows is taken now.
    pub fn reserve(&mut self, flows: usize) {
        self.slots.resize(flows.max(self.slots.len()), NONE);
        self.dials.reserve(flows);
        self.ready.reserve(flows * 2);
    }

    /// The number of a flow that was dialed and has not ended.
    #[must_use]
    pub fn number_of(&self, flow: FlowId) -> Option<u64> {
        let slot = self.slots.get(flow.slot());
        slot.filter(|(id, _)| *id == flow)
            .map(|(_, number)| *number)
    }

    /// A flow is to be dialed: it is answered with the next [`Remotes::answer`].
    pub fn dialed(&mut self, device: &Device, flow: FlowId, key: FlowKey) {
        let number = device.flow_on(key.client.port()).unwrap_or(u64::MAX);
        self.dials.push((flow, key.proto, number));
    }

    /// Something changed for this flow: it may have something to send.
    pub fn may_send(&mut self, flow: FlowId, number: u64) {
        self.ready.push_back((flow, number));
    }

    /// Every flow may have something to send.
    pub fn all_may_send(&mut self) {
        let live = self.slots.iter().filter(|slot| **slot != NONE);
        self.ready.extend(live);
    }

    /// The flow reads on at that time.
    pub fn reads_at(&mut self, at: Micros, flow: FlowId) {
        self.stalled.push(Reverse((at, flow)));
    }

    /// A datagram is sent back, as often as the device's plan has it.
    pub fn echo(&mut self, device: &Device, flow: FlowId, payload: &[u8]) {
        for _ in 0..device.replies() {
            self.echoes.push(payload);
            self.echo_to.push(flow);
        }
    }

    /// When the next flow reads on.
    #[must_use]
    pub fn deadline(&self) -> Option<Micros> {
        self.stalled.peek().map(|Reverse((at, _))| *at)
    }

    /// The next flow that reads on by now.
    pub fn due(&mut self, now: Micros) -> Option<FlowId> {
        let Reverse((at, flow)) = *self.stalled.peek()?;
        if at > now {
            return None;
        }
        self.stalled.pop();
        Some(flow)
    }

    /// What the far sides send and end now, at most some `most` bytes of streams; whether there was anything.
    pub fn answer(
        &mut self,
        now: Micros,
        device: &Device,
        far: &mut Far,
        border: &mut impl Border,
        most: usize,
    ) -> bool {
        let mut any = false;
        for (flow, proto, number) in core::mem::take(&mut self.dials) {
            any = true;
            if border.connected(flow).is_err() || proto == Proto::Udp {
                continue;
            }
            self.connect(now, device, far, border, (flow, number));
        }
        let echoes = self.echoes.len();
        if echoes > 0 {
            any = true;
            let payloads = self.echoes.take(echoes);
            for (payload, flow) in payloads.iter().zip(self.echo_to.drain(..)) {
                // What is not taken is counted by the engine.
                let _ = border.datagram(flow, payload);
            }
        }
        let mut fed = 0;
        while fed < most {
            let Some((flow, number)) = self.ready.pop_front() else {
                break;
            };
            any = true;
            let bytes = far.next(device.pattern(), number, CHUNK);
            if !bytes.is_empty() {
                let len = bytes.len();
                let Ok(taken) = border.data(flow, bytes) else {
                    continue;
                };
                far.sent(number, taken);
                fed += taken;
                if taken < len {
                    continue;
                }
                if !far.next(device.pattern(), number, 1).is_empty() {
                    self.ready.push_back((flow, number));
                    continue;
                }
            }
            if far.ends_now(number) {
                let _ = border.eof(flow);
            }
        }
        any
    }

    fn connect(
        &mut self,
        now: Micros,
        device: &Device,
        far: &mut Far,
        border: &mut impl Border,
        (flow, number): (FlowId, u64),
    ) {
        let slot = flow.slot();
        if self.slots.len() <= slot {
            self.slots.resize(slot + 1, NONE);
        }
        if let Some(place) = self.slots.get_mut(slot) {
            *place = (flow, number);
        }
        if let Some(plan) = device.plan(number).copied() {
            far.open_at(now, number, plan);
            if plan.remote_stalls_until > now {
                let _ = border.blocked(flow);
                self.reads_at(plan.remote_stalls_until, flow);
            }
        }
        self.ready.push_back((flow, number));
    }
}
