//! The heart of every driver, without a thread: inputs that wait, the engine, a host; one fair turn at a time.
//!
//! ```text
//!   any thread                     the thread that owns the Turn
//!  ┌─────────┐  frames   ┌──────┐   ┌──────────────── run(now, host) ────────────────┐
//!  │ Mailbox ├──────────>│ ring ├──>│ 1 what the host did not take the last time     │
//!  │         ├──────────>│ inbox│   │ 2 a path change, timers that are due           │──> Host
//!  └─────────┘  dialer   └──────┘   │ 3 frames, 64 at a time   4 flows, each in turn │
//!       wake, once per look <───────│   a drain after each; all under a budget       │
//!                                   └──> when to call again ─────────────────────────┘
//! ```
//!
//! **Ownership.** The [`Turn`] owns the engine; only [`Turn::run`] and [`Turn::stop`] touch it, and only they call the
//! [`Host`], on their own thread. Everybody else has the [`Mailbox`]. No lock is held while the engine works or the
//! host is called, so the host may use the mailbox within its calls.
//!
//! **Order.** Frames reach the engine in the order in which they were handed in. Of one flow the engine hears the dial's
//! answer, then readiness, then bytes, then the end. Flows take turns in the order in which they got something to say.
//! Each call of the host happens in the order of the engine's outputs.
//!
//! **Determinism.** The same inputs with the same times in the same turns give the same calls of the host. The clock in
//! the mailbox only measures ([`Stats`]); nothing depends on it.
//!
//! **When to run again** is what [`Turn::run`] returns; a wake from the mailbox is earlier than that. An engine with
//! nothing owed asks for its idle limits only, so an idle device is not woken.

mod flows;
mod host;
mod inbox;
mod limits;
mod mailbox;
mod ring;
mod tap;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use engine::{
    Config, ConfigError, Counters, Deadline, DialResult, Engine, FlowId, FrameBatch, Frames,
    Micros, Misuse, Output, PathChange, RemoteEnd, TimerName,
};

pub use self::host::{Host, Notice};
pub use self::limits::Limits;
pub use self::mailbox::Mailbox;
pub use self::tap::{Crossing, Tap};

use self::inbox::News;
use self::mailbox::Losses;
use self::ring::Arena;
use crate::clock::Clock;
use crate::stats::Stats;

/// Frames given to the engine before it is drained.
const CHUNK: usize = 64;

/// Octets of far sides given to the engine before it is drained.
const FED: usize = 64 << 10;

/// How far off a deadline must be for its bound to do: so far that coming early wakes nobody who would have slept.
const FAR: Duration = Duration::from_secs(30);

/// Datagrams of one flow given to the engine before the next flow has its turn.
const DATAGRAMS: usize = 32;

/// The engine and what waits at its border. See the [module](self) for the rules.
pub struct Turn {
    engine: Engine,
    mailbox: Arc<Mailbox>,
    limits: Limits,
    stats: Stats,
    /// Losses that the host was told of.
    told: Losses,
    front: Arena,
    /// Frames that the host did not take.
    held: FrameBatch,
    /// The budget ended before the engine had said all.
    undrained: bool,
    /// Flows whose break waits behind bytes, until then.
    lingers: BTreeSet<(Micros, FlowId)>,
    /// When this turn was to come at the latest, as the last one said.
    due: Option<Micros>,
    tap: Option<Box<dyn Tap>>,
    /// Of bytes that wait for room in the engine, how many the tap has seen.
    offered: BTreeMap<FlowId, usize>,
}

impl std::fmt::Debug for Turn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Turn")
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}

impl Turn {
    /// An engine with empty ring and inbox. `wake` is called, on whatever thread posts, when something came and nothing
    /// had been waiting: it should make the owner call [`Turn::run`] soon. `clock` measures lag and durations.
    ///
    /// # Errors
    /// A setting of the engine out of its bounds.
    pub fn new(
        config: Config,
        limits: Limits,
        clock: Arc<dyn Clock>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            engine: Engine::new(config)?,
            mailbox: Arc::new(Mailbox::new(&limits, clock, Box::new(wake))),
            limits,
            stats: Stats::default(),
            told: Losses::default(),
            front: Arena::default(),
            held: FrameBatch::new(),
            undrained: false,
            lingers: BTreeSet::new(),
            due: None,
            tap: None,
            offered: BTreeMap::new(),
        })
    }

    /// The way in, for every thread.
    #[must_use]
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// The engine's counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.engine.counters()
    }

    /// The loop's own numbers.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The engine, to look at.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What the engine waits for now, and until when: the reason behind what [`Turn::run`] returned, if no work is left.
    pub fn deadline(&mut self) -> Option<Deadline> {
        let own = self.engine.poll_timeout();
        let linger = self.lingers.first().map(|(at, flow)| Deadline {
            at: *at,
            timer: TimerName::Linger,
            flow: Some(*flow),
        });
        own.into_iter().chain(linger).min_by_key(|due| due.at)
    }

    /// Sets who listens to what crosses the engine's border, or nobody.
    pub fn set_tap(&mut self, tap: Option<Box<dyn Tap>>) -> Option<Box<dyn Tap>> {
        core::mem::replace(&mut self.tap, tap)
    }

    /// One turn. Returns when to call again without an input: `now` while work is left, within
    /// [`Limits::poll_interval`] while the host has not taken a frame, else the engine's own deadline; `None`: not
    /// before the next input.
    pub fn run<H: Host + ?Sized>(&mut self, now: Micros, host: &mut H) -> Option<Micros> {
        let began = self.mailbox.now();
        self.measure_lag(now);
        let mut budget = self.limits.turn_outputs;
        if self.offer_held(now, host) && self.drain(now, host, &mut budget) {
            self.work(now, host, &mut budget);
        }
        let next = self.next(now);
        self.due = next;
        self.stats.turns += 1;
        self.stats
            .turn_duration
            .record(self.mailbox.now().since(began));
        if let Some(tap) = &mut self.tap {
            tap.turned();
        }
        self.publish(host);
        next
    }

    /// Closes every flow, TCP with a reset, and hands over what the engine says to that; the mailbox refuses
    /// everything from now on. Frames that the host does not take at once are lost.
    pub fn stop<H: Host + ?Sized>(&mut self, now: Micros, host: &mut H) {
        self.mailbox.state().stop();
        self.front = Arena::default();
        self.lingers.clear();
        self.engine.stop(now);
        // Each flow has one close and one reset at most; a refused batch is dropped instead of held.
        loop {
            self.offer_held(now, host);
            self.held.clear();
            let mut budget = usize::MAX;
            if self.drain(now, host, &mut budget) {
                break;
            }
        }
        if let Some(tap) = &mut self.tap {
            tap.turned();
        }
        self.publish(host);
    }

    /// Timers, frames and inboxes, while the budget lasts.
    fn work<H: Host + ?Sized>(&mut self, now: Micros, host: &mut H, budget: &mut usize) {
        let (path_changes, addresses_lost, resolutions) = {
            let mut state = self.mailbox.state();
            state.looked();
            state.turning = true;
            state.ring.refill(&mut self.front);
            let resolutions = core::mem::take(&mut state.resolutions);
            let addresses_lost = core::mem::take(&mut state.addresses_lost);
            (
                core::mem::take(&mut state.path_changes),
                addresses_lost,
                resolutions,
            )
        };
        for (query, resolution) in resolutions {
            // An answer that comes too late is for nobody: the device has heard of a failure.
            let _ = self.engine.resolved(now, query, resolution);
        }
        // Several at once are one: the last path counts.
        if path_changes > 0 {
            self.cross(now, Crossing::PathChanged);
            self.engine.path_changed(now, PathChange::Network);
        }
        for address in addresses_lost {
            self.cross(now, Crossing::AddressLost(address));
            self.engine
                .path_changed(now, PathChange::AddressLost(address));
        }
        self.expire_lingering(now);
        if self.engine.timeout_bound().is_some_and(|due| due <= now) {
            self.engine.handle_timeout(now);
        }
        let mut open = self.drain(now, host, budget);
        let mut frames = 0;
        while open && frames < self.limits.turn_frames && !self.front.is_empty() {
            let chunk = self.front.take(CHUNK);
            frames += chunk.len();
            if let Some(tap) = &mut self.tap {
                for frame in chunk {
                    tap.crossed(now, Crossing::FrameIn(frame));
                }
            }
            self.engine.handle_frames(now, chunk);
            open = self.drain(now, host, budget);
        }
        let (mut fed, mut told) = (0, 0);
        // A flow that comes back into the queue has its next turn behind those that stand there now.
        for _ in 0..self.limits.turn_flows {
            if !open {
                return;
            }
            if told >= self.limits.turn_bytes {
                break;
            }
            let Some((flow, news)) = self.next_inbox(now) else {
                break;
            };
            let count = self.tell(now, host, flow, news);
            fed += count;
            told += count;
            if fed >= FED {
                fed = 0;
                open = self.drain(now, host, budget);
            }
        }
        if open {
            self.drain(now, host, budget);
        }
    }

    fn next_inbox(&mut self, now: Micros) -> Option<(FlowId, News)> {
        let mut state = self.mailbox.state();
        loop {
            let (flow, since) = state.ready.pop_front()?;
            if let Some(inbox) = state.flows.get_mut(flow) {
                self.stats.inbox_wait.record(now.since(since));
                return Some((flow, inbox.take()));
            }
        }
    }

    /// Tells the engine what a flow's dialer said; returns how many octets that was.
    fn tell<H: Host + ?Sized>(
        &mut self,
        now: Micros,
        host: &mut H,
        flow: FlowId,
        mut news: News,
    ) -> usize {
        let mut fed = 0;
        let told = self.try_tell(now, flow, &mut news, &mut fed);
        if news.lingers {
            let until = now.plus(self.engine.config().linger);
            self.lingers.insert((until, flow));
        }
        if let Err(why) = told {
            // The engine may have ended the flow on its own account, and says so in the next drain.
            if why != Misuse::StaleFlow {
                host.notice(&Notice::Refused { flow, why });
            }
            news = News::default();
        }
        let mut state = self.mailbox.state();
        let Some(inbox) = state.flows.get_mut(flow) else {
            state.recycle(news.into_buffers());
            return fed;
        };
        inbox.waits |= news.has_stream();
        let before = inbox.held();
        let spare = inbox.put_back(news);
        let told = before.saturating_sub(inbox.held());
        state.held = state.held.saturating_sub(told);
        let limit = self.mailbox.inbox_limit(&state);
        let inbox = state.flows.get_mut(flow);
        let resume = inbox.and_then(|inbox| inbox.resumes(limit));
        state.recycle(spare);
        state.enqueue(flow, || now);
        drop(state);
        if let Some(space) = resume {
            host.resume(flow, space);
        }
        fed
    }

    /// The part of [`Turn::tell`] that can fail; takes off `news` what was told.
    fn try_tell(
        &mut self,
        now: Micros,
        flow: FlowId,
        news: &mut News,
        fed: &mut usize,
    ) -> Result<(), Misuse> {
        if let Some(result) = news.dial.take() {
            self.cross(now, Crossing::Dialed(flow, result));
            self.engine.dial_result(now, flow, result)?;
            if result != DialResult::Connected {
                return Ok(());
            }
        }
        match news.blocked.take() {
            Some(true) => {
                self.cross(now, Crossing::Blocked(flow));
                self.engine.remote_blocked(now, flow)?;
            }
            Some(false) => {
                self.cross(now, Crossing::Writable(flow));
                self.engine.remote_writable(now, flow)?;
            }
            None => {}
        }
        if news.has_stream() {
            if let Some(tap) = &mut self.tap {
                let seen = self.offered.remove(&flow).unwrap_or(0);
                if let Some(fresh) = news.data().get(seen..).filter(|fresh| !fresh.is_empty()) {
                    tap.crossed(now, Crossing::Data(flow, fresh));
                }
            }
            let taken = self.engine.remote_data(now, flow, news.data())?;
            if self.tap.is_some() && taken < news.data().len() {
                self.offered.insert(flow, news.data().len() - taken);
            }
            *fed += taken;
            news.took(taken);
        }
        for _ in 0..DATAGRAMS {
            let Some((from, payload)) = news.datagram() else {
                break;
            };
            cross(&mut self.tap, now, Crossing::Datagram(flow, from, payload));
            match from {
                Some(from) => self.engine.remote_datagram_from(now, flow, from, payload)?,
                None => self.engine.remote_datagram(now, flow, payload)?,
            };
            *fed += payload.len();
            news.told_datagram();
        }
        if news.is_told() {
            let eof = core::mem::take(&mut news.eof).then_some(RemoteEnd::Eof);
            for end in eof.into_iter().chain(news.broken.take()) {
                self.cross(now, Crossing::Ended(flow, end));
                self.engine.remote_closed(now, flow, end)?;
            }
        }
        Ok(())
    }

    /// Cuts what a device did not take for too long after its far side broke.
    fn expire_lingering(&mut self, now: Micros) {
        while let Some((until, flow)) = self.lingers.first().copied() {
            if until > now {
                return;
            }
            self.lingers.pop_first();
            let mut state = self.mailbox.state();
            if let Some(inbox) = state.flows.get_mut(flow)
                && inbox.waits
            {
                let lost = inbox.discard();
                state.held = state.held.saturating_sub(lost);
                self.stats.lingered_bytes += lost as u64;
                self.offered.remove(&flow);
                state.enqueue(flow, || now);
            }
        }
    }

    /// Hands over what the engine says until it has said all. `false`: the budget ended before, or the host took no
    /// more frames.
    fn drain<H: Host + ?Sized>(&mut self, now: Micros, host: &mut H, budget: &mut usize) -> bool {
        if !self.held.is_empty() {
            return false;
        }
        loop {
            if *budget == 0 {
                self.undrained = true;
                self.stats.budget_spent += 1;
                return false;
            }
            let Some(output) = self.engine.poll_output(now) else {
                self.undrained = false;
                return true;
            };
            *budget -= 1;
            let tap = &mut self.tap;
            let stats = &mut self.stats;
            // What the engine is to be told about the output, once it is no longer borrowed.
            let mut short = None;
            match output {
                Output::Frames(frames) => {
                    let taken = host.frames(frames).min(frames.len());
                    tap_frames(tap, now, frames, taken);
                    if taken < frames.len() {
                        stats.host_refused_batches += 1;
                        frames
                            .iter()
                            .skip(taken)
                            .for_each(|frame| self.held.push(frame));
                        return false;
                    }
                }
                Output::Dial { flow, key, name } => {
                    cross(tap, now, Crossing::Dial(flow, key));
                    self.mailbox.state().open(flow, key);
                    host.dial(flow, key, name);
                }
                Output::Data { flow, bytes } => {
                    let taken = host.data(flow, bytes).min(bytes.len());
                    if let Some(sent) = bytes.get(..taken).filter(|sent| !sent.is_empty()) {
                        cross(tap, now, Crossing::Sent(flow, sent));
                    }
                    if taken < bytes.len() {
                        stats.host_refused_bytes += (bytes.len() - taken) as u64;
                        cross(tap, now, Crossing::Blocked(flow));
                        short = Some(Short::Stream(flow, taken));
                    }
                }
                Output::Datagram { flow, to, payload } => {
                    if host.datagram(flow, to, payload) {
                        cross(tap, now, Crossing::DatagramSent(flow, to, payload));
                    } else {
                        stats.host_dropped_datagrams += 1;
                        cross(tap, now, Crossing::Blocked(flow));
                        host.notice(&Notice::DatagramRefused { flow });
                        short = Some(Short::Datagram(flow));
                    }
                }
                Output::HalfClose { flow } => {
                    cross(tap, now, Crossing::HalfClose(flow));
                    host.half_close(flow);
                }
                Output::Resume { flow, .. } => {
                    let mut state = self.mailbox.state();
                    if let Some(inbox) = state.flows.get_mut(flow) {
                        inbox.waits = false;
                    }
                    state.enqueue(flow, || now);
                }
                Output::Close { flow, key, close } => {
                    cross(tap, now, Crossing::Close(flow, close));
                    self.offered.remove(&flow);
                    self.mailbox.state().shut(flow);
                    host.close(flow, key, close);
                }
                Output::Dns { flow, record } => host.dns(flow, &record),
                Output::Resolve { query, name, kind } => host.resolve(query, name, kind),
                Output::Log(record) => host.log(&record),
                _ => {}
            }
            match short {
                // The flow can have ended only by what this very loop would have seen.
                Some(Short::Stream(flow, taken)) => {
                    let _ = self.engine.remote_took(now, flow, taken);
                }
                Some(Short::Datagram(flow)) => {
                    let _ = self.engine.remote_blocked(now, flow);
                }
                None => {}
            }
        }
    }

    /// Offers again what the host did not take; `false` while some of it is left.
    fn offer_held<H: Host + ?Sized>(&mut self, now: Micros, host: &mut H) -> bool {
        if self.held.is_empty() {
            return true;
        }
        let mut batch = core::mem::take(&mut self.held);
        let frames = batch.take(usize::MAX);
        let taken = host.frames(frames).min(frames.len());
        tap_frames(&mut self.tap, now, frames, taken);
        frames
            .iter()
            .skip(taken)
            .for_each(|frame| self.held.push(frame));
        self.held.is_empty()
    }

    fn next(&mut self, now: Micros) -> Option<Micros> {
        if !self.held.is_empty() {
            return Some(now.plus(self.limits.poll_interval));
        }
        if self.undrained || !self.front.is_empty() {
            return Some(now);
        }
        {
            let mut state = self.mailbox.state();
            if state.has_work() {
                return Some(now);
            }
            // Nothing waits: room counted for the frames that were read is free, and so is what a burst had needed.
            state.ring.refill(&mut self.front);
            state.ring.trim();
        }
        self.front.trim();
        // Idle limits move on with every packet: as long as none is near, it will do to be early.
        let bound = self.engine.timeout_bound();
        let own = if bound.is_some_and(|at| at.since(now) >= FAR) {
            bound
        } else {
            self.engine.poll_timeout().map(|due| due.at.max(now))
        };
        let linger = self.lingers.first().map(|(until, _)| (*until).max(now));
        own.into_iter().chain(linger).min()
    }

    fn measure_lag(&mut self, now: Micros) {
        let (ring, inbox) = {
            let state = self.mailbox.state();
            (state.ring.since(), state.since)
        };
        let due = self.due.filter(|due| *due <= now);
        let oldest = [self.front.since(), ring, inbox, due];
        if let Some(oldest) = oldest.into_iter().flatten().min() {
            self.stats.lag.record(now.since(oldest));
        }
    }

    /// Tells the host of new losses, and everybody of the numbers.
    fn publish<H: Host + ?Sized>(&mut self, host: &mut H) {
        let losses = {
            let mut state = self.mailbox.state();
            state.turning = false;
            state.losses
        };
        losses.tell(&mut self.stats);
        let told = core::mem::replace(&mut self.told, losses);
        let frames = losses.overflow_frames - told.overflow_frames;
        if frames > 0 {
            let bytes = losses.overflow_bytes - told.overflow_bytes;
            host.notice(&Notice::RingOverflow { frames, bytes });
        }
        let datagrams = losses.dropped_datagrams - told.dropped_datagrams;
        if datagrams > 0 {
            host.notice(&Notice::InboxOverflow { datagrams });
        }
        let mut published = self.mailbox.published();
        published.counters = self.engine.counters();
        published.stats.clone_from(&self.stats);
    }

    fn cross(&mut self, now: Micros, crossing: Crossing<'_>) {
        cross(&mut self.tap, now, crossing);
    }
}

impl Drop for Turn {
    /// Whoever still has the mailbox finds it stopped and empty.
    fn drop(&mut self) {
        self.mailbox.state().stop();
    }
}

/// What the host did not take.
enum Short {
    Stream(FlowId, usize),
    Datagram(FlowId),
}

fn cross(tap: &mut Option<Box<dyn Tap>>, now: Micros, crossing: Crossing<'_>) {
    if let Some(tap) = tap {
        tap.crossed(now, crossing);
    }
}

fn tap_frames(tap: &mut Option<Box<dyn Tap>>, now: Micros, frames: Frames<'_>, taken: usize) {
    if let Some(tap) = tap {
        for frame in frames.iter().take(taken) {
            tap.crossed(now, Crossing::FrameOut(frame));
        }
    }
}
