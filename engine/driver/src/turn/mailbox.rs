//! What comes in from other threads, or from the host within its calls: bounded, ordered, without the engine.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use engine::{
    DialResult, FlowId, FrameBatch, Micros, Misuse, Proto, QueryId, RemoteEnd, Resolution,
};

use super::buffer::Buffer;
use super::flows::Flows;
use super::limits::Limits;
use super::queue::EventQueue;
use super::ring::FrameRing;
use crate::clock::Clock;
use crate::stats::{Snapshot, Stats};

/// Bytes of empty buffers that are kept for inboxes that need some, and how many of them at the most.
const SPARE: usize = 256 << 10;
const SPARES: usize = 256;

/// Answers to queries that may wait for a turn: far above any useful
/// [`Config::resolve_limit`](engine::Config::resolve_limit).
const RESOLUTIONS: usize = 65_536;

/// Lost addresses that may wait for a turn.
const ADDRESSES: usize = 1024;

/// Bytes that may wait for each flow though all inboxes together are full: without them a flow could starve.
const FLOOR: usize = 4 << 10;

/// The way in to a [`Turn`](crate::Turn), from any thread. Calls copy, wake the turn's owner if nothing was waiting
/// before and no turn runs, and return; none of them waits for a turn.
///
/// A flow is known from before its [`Host::dial`](crate::Host::dial) until its [`Host::close`](crate::Host::close);
/// any other handle, old or invented, is [`Misuse::StaleFlow`]. After the engine was stopped every handle is.
///
/// Order: frames keep theirs, and so do datagrams of all flows, and what belongs to one flow and one direction. Between
/// streams it is the order in which they got events.
///
/// ```no_run
/// use std::sync::Arc;
/// use engine::{DialResult, FlowId};
/// use engine_driver::Mailbox;
///
/// fn connected(mailbox: &Arc<Mailbox>, flow: FlowId, greeting: &[u8]) -> Result<(), engine::Misuse> {
///     mailbox.dialed(flow, DialResult::Connected)?;
///     let taken = mailbox.data(flow, greeting)?;
///     assert!(taken <= greeting.len(), "the rest after `resume`");
///     Ok(())
/// }
/// ```
pub struct Mailbox {
    state: Mutex<State>,
    published: Mutex<Snapshot>,
    wake: Box<dyn Fn() + Send + Sync>,
    clock: Arc<dyn Clock>,
    inbox_bytes: usize,
    inboxes_bytes: usize,
}

/// What the lock protects.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) ring: FrameRing,
    /// Live flows.
    pub(crate) flows: Flows,
    /// Bytes of memory that streams take in all of their inboxes.
    pub(crate) stream_memory: usize,
    /// Events of dialers.
    pub(crate) events: EventQueue,
    pub(crate) control: ControlEvents,
    /// When the first event came since the owner looked, other than frames.
    pub(crate) since: Option<Micros>,
    spare: Vec<Buffer>,
    /// Bytes that they hold on to.
    spare_bytes: usize,
    /// A turn runs.
    pub(crate) turning: bool,
    /// Whether the owner was woken since it looked last.
    signalled: bool,
    pub(crate) stopped: bool,
    pub(crate) losses: Losses,
}

/// What concerns the engine as a whole: each comes rarely.
#[derive(Debug, Default)]
pub(crate) struct ControlEvents {
    pub(crate) path_changed: bool,
    /// Addresses of the device that are gone.
    pub(crate) addresses_lost: BTreeSet<IpAddr>,
    /// Intercepted queries that the host has answered.
    pub(crate) resolutions: Vec<(QueryId, Resolution)>,
}

impl ControlEvents {
    pub(crate) fn is_empty(&self) -> bool {
        !self.path_changed && self.addresses_lost.is_empty() && self.resolutions.is_empty()
    }
}

/// Counted under the lock, read by the turn.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Losses {
    pub(crate) ring_frames: u64,
    pub(crate) overflow_frames: u64,
    pub(crate) overflow_bytes: u64,
    pub(crate) high_water: u64,
    pub(crate) refused_bytes: u64,
    pub(crate) dropped_datagrams: u64,
    pub(crate) frames_after_stop: u64,
}

impl Losses {
    pub(crate) fn copy_to(&self, stats: &mut Stats) {
        stats.ring_frames = self.ring_frames;
        stats.ring_overflow_frames = self.overflow_frames;
        stats.ring_overflow_bytes = self.overflow_bytes;
        stats.ring_high_water = self.high_water;
        stats.inbox_refused_bytes = self.refused_bytes;
        stats.inbox_dropped_datagrams = self.dropped_datagrams;
        stats.frames_after_stop = self.frames_after_stop;
    }
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailbox").finish_non_exhaustive()
    }
}

impl Mailbox {
    pub(crate) fn new(
        limits: &Limits,
        clock: Arc<dyn Clock>,
        wake: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            state: Mutex::new(State {
                ring: FrameRing::new(limits.ring_frames, limits.ring_bytes),
                flows: Flows::default(),
                stream_memory: 0,
                events: EventQueue::default(),
                control: ControlEvents::default(),
                since: None,
                spare: Vec::new(),
                spare_bytes: 0,
                turning: false,
                signalled: false,
                stopped: false,
                losses: Losses::default(),
            }),
            published: Mutex::default(),
            wake,
            clock,
            inbox_bytes: limits.inbox_bytes,
            inboxes_bytes: limits.inboxes_bytes,
        }
    }

    /// A frame of the device: one whole IP packet. `false` if the ring was full (or the frame longer than any
    /// packet): it is lost, counted, and the host gets a notice.
    pub fn frame(&self, frame: &[u8]) -> bool {
        self.frames([frame]) == 1
    }

    /// Several frames of the device under one lock. Returns how many were taken; after the first refusal the smaller
    /// ones may still have found room, and every refused one is lost and counted.
    pub fn frames<'a>(&self, frames: impl IntoIterator<Item = &'a [u8]>) -> usize {
        let mut state = self.state();
        let mut taken = 0;
        for frame in frames {
            if state.stopped {
                state.losses.frames_after_stop += 1;
            } else if state.ring.push(|| self.clock.now(), frame) {
                taken += 1;
            } else {
                state.losses.overflow_frames += 1;
                state.losses.overflow_bytes += frame.len() as u64;
            }
        }
        state.count_frames(taken);
        // A refusal is an event as well: its notice must not wait for the next frame.
        self.signal(state);
        taken
    }

    /// Counts frames as lost that a border could not even hand in, because they have no length that a packet has, or no bytes
    /// behind it: as if the ring had refused them.
    pub fn lost(&self, frames: usize) {
        if frames == 0 {
            return;
        }
        let mut state = self.state();
        if state.stopped {
            state.losses.frames_after_stop += frames as u64;
        } else {
            state.losses.overflow_frames += frames as u64;
        }
        self.signal(state);
    }

    /// Several frames of the device, without a copy where that is possible: the ring takes the batch as it is, and leaves
    /// an empty one for the next frames. Else it is as [`Mailbox::frames`] with all of them; the batch is empty afterwards
    /// in either case.
    pub fn batch(&self, batch: &mut FrameBatch) -> usize {
        let count = batch.len();
        if count == 0 {
            return 0;
        }
        {
            let mut state = self.state();
            if !state.stopped && state.ring.swap(|| self.clock.now(), batch) {
                state.count_frames(count);
                self.signal(state);
                return count;
            }
        }
        self.frames(batch.take(usize::MAX))
    }

    /// Whether `frames` of `bytes` bytes together would be taken now: for a reader that can leave them where they are.
    #[must_use]
    pub fn has_room(&self, frames: usize, bytes: usize) -> bool {
        self.state().ring.has_room(frames, bytes)
    }

    /// How many frames of up to `each` bytes a reader should bring at once, `most` at the most, and how many bytes they are:
    /// what [`Mailbox::has_room`] says yes to sooner or later. It never does to more than the ring holds.
    #[must_use]
    pub fn chunk(&self, most: usize, each: usize) -> (usize, usize) {
        self.state().ring.chunk(most, each)
    }

    /// What became of a dial.
    ///
    /// # Errors
    /// The flow has ended, or its dial was answered before.
    pub fn dialed(&self, flow: FlowId, result: DialResult) -> Result<(), Misuse> {
        let mut state = self.state();
        let inbox = state.flows.get_mut(flow).ok_or(Misuse::StaleFlow)?;
        if inbox.dialed(result)? {
            self.push(state, |events, at| events.dialed(at, flow, result));
        } else {
            self.enqueue(state, flow);
        }
        Ok(())
    }

    /// Bytes of the far side's stream. Returns how many were taken; the rest is to be offered again after
    /// [`Host::resume`](crate::Host::resume).
    ///
    /// # Errors
    /// The flow has ended, is UDP, is not connected, or its far side has ended before.
    pub fn data(&self, flow: FlowId, bytes: &[u8]) -> Result<usize, Misuse> {
        let mut state = self.state();
        let limit = self.inbox_limit(&state);
        let State {
            flows,
            stream_memory,
            spare,
            spare_bytes,
            losses,
            ..
        } = &mut *state;
        let inbox = flows.get_mut(flow).ok_or(Misuse::StaleFlow)?;
        let before = inbox.memory();
        let taken = inbox.push_data(bytes, limit, || {
            let buffer = spare.pop()?;
            *spare_bytes -= buffer.memory();
            Some(buffer)
        })?;
        *stream_memory += inbox.memory().saturating_sub(before);
        losses.refused_bytes += (bytes.len() - taken) as u64;
        self.enqueue(state, flow);
        Ok(taken)
    }

    /// Bytes that the next [`Mailbox::data`] will take of this flow: for a reader that can leave the rest where it is. If
    /// that is none, [`Host::resume`](crate::Host::resume) says when to ask again. It is none, and stays so, for a flow
    /// that is UDP, not connected, or whose far side has ended.
    ///
    /// # Errors
    /// The flow has ended.
    pub fn room(&self, flow: FlowId) -> Result<usize, Misuse> {
        let mut state = self.state();
        let limit = self.inbox_limit(&state);
        let inbox = state.flows.get_mut(flow).ok_or(Misuse::StaleFlow)?;
        Ok(inbox.promise(limit))
    }

    /// Bytes that each inbox may hold now.
    pub(crate) fn inbox_limit(&self, state: &State) -> usize {
        self.limit_beside(state.stream_memory + state.events.cost())
    }

    /// Bytes that each flow may have waiting beside `others`.
    fn limit_beside(&self, others: usize) -> usize {
        if others < self.inboxes_bytes {
            self.inbox_bytes
        } else {
            self.inbox_bytes.min(FLOOR)
        }
    }

    /// One datagram of the far side; `from` is its source if that is not the destination the flow was dialed to.
    /// `false` if too much waits already: it is lost and counted.
    ///
    /// # Errors
    /// The flow has ended, is TCP, is not connected, or its far side has ended before.
    pub fn datagram(
        &self,
        flow: FlowId,
        from: Option<SocketAddr>,
        payload: &[u8],
    ) -> Result<bool, Misuse> {
        let mut state = self.state();
        // Streams that wait do not count here: they would come again, a datagram is lost.
        let limit = self.limit_beside(state.events.cost());
        let epoch = state.events.epoch();
        let inbox = state.flows.get_mut(flow).ok_or(Misuse::StaleFlow)?;
        let taken = inbox.count_datagram(payload.len(), limit, epoch)?;
        if taken {
            self.push(state, |events, at| {
                events.datagram(at, flow, from, payload);
            });
        } else {
            state.losses.dropped_datagrams += 1;
        }
        Ok(taken)
    }

    /// The far side has ended. What it sent before still reaches the device. After an EOF the connection can still
    /// break.
    ///
    /// # Errors
    /// The flow has ended, is not connected, or its far side has ended before.
    pub fn ended(&self, flow: FlowId, end: RemoteEnd) -> Result<(), Misuse> {
        let mut state = self.state();
        let inbox = state.flows.get_mut(flow).ok_or(Misuse::StaleFlow)?;
        if inbox.ended(end)? {
            self.push(state, |events, at| events.ended(at, flow, end));
        } else {
            self.enqueue(state, flow);
        }
        Ok(())
    }

    /// The dialer takes no more of this flow until [`Mailbox::writable`].
    ///
    /// # Errors
    /// The flow has ended.
    pub fn blocked(&self, flow: FlowId) -> Result<(), Misuse> {
        self.set_blocked(flow, true)
    }

    /// The dialer takes bytes or datagrams of this flow again.
    ///
    /// # Errors
    /// The flow has ended.
    pub fn writable(&self, flow: FlowId) -> Result<(), Misuse> {
        self.set_blocked(flow, false)
    }

    /// What the host found out for [`Host::resolve`](crate::Host::resolve). `false` if so many answers wait already
    /// that it can be for no query of the engine's: it is passed over.
    pub fn resolved(&self, query: QueryId, resolution: Resolution) -> bool {
        let mut state = self.state();
        if state.stopped || state.control.resolutions.len() >= RESOLUTIONS {
            return false;
        }
        state.control.resolutions.push((query, resolution));
        self.signal_control(state);
        true
    }

    /// The network path changed (Wi-Fi to cellular, a new tunnel address).
    pub fn path_changed(&self) {
        let mut state = self.state();
        state.control.path_changed = true;
        self.signal_control(state);
    }

    /// The device's end of the tunnel lost this address: its flows are closed without a frame, because none could reach
    /// it. `false` if so many wait already that the device cannot have had them all: it is passed over.
    pub fn address_lost(&self, address: IpAddr) -> bool {
        let mut state = self.state();
        if state.stopped || state.control.addresses_lost.len() >= ADDRESSES {
            return false;
        }
        state.control.addresses_lost.insert(address);
        self.signal_control(state);
        true
    }

    /// Counters and statistics as of the end of the last turn; those of ring and inboxes as of now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let losses = self.state().losses;
        let mut snapshot = lock(&self.published).clone();
        losses.copy_to(&mut snapshot.stats);
        snapshot
    }

    /// Flows that are live as the host knows them: dialed and not closed.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.state().flows.len()
    }

    pub(crate) fn now(&self) -> Micros {
        self.clock.now()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(crate) fn published(&self) -> MutexGuard<'_, Snapshot> {
        lock(&self.published)
    }

    fn set_blocked(&self, flow: FlowId, blocked: bool) -> Result<(), Misuse> {
        let mut state = self.state();
        let inbox = state.flows.get_mut(flow).ok_or(Misuse::StaleFlow)?;
        inbox.set_blocked(blocked);
        self.enqueue(state, flow);
        Ok(())
    }

    /// Puts an event of a UDP flow behind those that came before.
    fn push(&self, mut state: MutexGuard<'_, State>, push: impl FnOnce(&mut EventQueue, Micros)) {
        let at = *state.since.get_or_insert_with(|| self.clock.now());
        push(&mut state.events, at);
        self.signal(state);
    }

    fn enqueue(&self, mut state: MutexGuard<'_, State>, flow: FlowId) {
        // Within a turn one look at the clock must do: the host answers for many flows at once.
        let earlier = state.since.filter(|_| state.turning);
        if let Some(at) = state.enqueue(flow, || earlier.unwrap_or_else(|| self.clock.now())) {
            state.since.get_or_insert(at);
            self.signal(state);
        }
    }

    fn signal_control(&self, mut state: MutexGuard<'_, State>) {
        state.since.get_or_insert_with(|| self.clock.now());
        self.signal(state);
    }

    /// Wakes the owner, once for everything that comes until it looks. The lock is released first: the owner may look
    /// at once, on this thread.
    fn signal(&self, mut state: MutexGuard<'_, State>) {
        if state.stopped {
            return;
        }
        if state.turning {
            // The turn looks once more before it ends, and returns that the next is to come at once.
            state.signalled = true;
            return;
        }
        let first = !core::mem::replace(&mut state.signalled, true);
        drop(state);
        if first {
            (self.wake)();
        }
    }
}

impl State {
    /// Counts frames that the ring took.
    fn count_frames(&mut self, taken: usize) {
        self.losses.ring_frames += taken as u64;
        self.losses.high_water = self.losses.high_water.max(self.ring.bytes() as u64);
    }

    /// Puts a flow into the queue if it has events and does not wait there; returns when, if it now does.
    pub(crate) fn enqueue(&mut self, flow: FlowId, now: impl FnOnce() -> Micros) -> Option<Micros> {
        let inbox = self.flows.get_mut(flow)?;
        if inbox.queued || !inbox.has_events() {
            return None;
        }
        inbox.queued = true;
        let at = now();
        self.events.push_ready(at, flow);
        Some(at)
    }

    pub(crate) fn open(&mut self, flow: FlowId, proto: Proto) {
        if !self.stopped {
            self.flows.insert(flow, proto);
        }
    }

    /// The engine stops: every handle is stale, nothing waits, no buffer is kept.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
        self.signalled = false;
        self.flows = Flows::default();
        self.stream_memory = 0;
        self.events = EventQueue::default();
        self.spare = Vec::new();
        self.spare_bytes = 0;
        self.ring.clear();
        self.control = ControlEvents::default();
        self.since = None;
    }

    /// Forgets a flow and its inbox; its events in the queue are obsolete.
    pub(crate) fn shut(&mut self, flow: FlowId) {
        if let Some(mut inbox) = self.flows.remove(flow) {
            self.stream_memory = self.stream_memory.saturating_sub(inbox.memory());
            self.recycle(inbox.take_buffer());
        }
    }

    /// Keeps empty buffers for the next inbox.
    pub(crate) fn recycle(&mut self, mut buffer: Buffer) {
        buffer.clear();
        let size = buffer.memory();
        if size > 0 && self.spare_bytes + size <= SPARE && self.spare.len() < SPARES {
            self.spare_bytes += size;
            self.spare.push(buffer);
        }
    }

    /// The owner has looked: the next event wakes it again.
    pub(crate) fn looked(&mut self) {
        self.signalled = false;
        self.since = None;
    }

    /// The turn ends: returns whether a wake came meanwhile.
    pub(crate) fn turned(&mut self) -> bool {
        // Without a look the owner was woken indeed.
        core::mem::take(&mut self.turning) && core::mem::take(&mut self.signalled)
    }

    /// Whether anything waits to be taken up.
    pub(crate) fn has_work(&self) -> bool {
        !self.ring.is_empty() || !self.events.is_empty() || !self.control.is_empty()
    }
}

/// A thread that panicked while it held the lock left nothing half-done: every change is a single step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
