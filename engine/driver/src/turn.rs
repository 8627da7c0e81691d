//! The heart of every driver, without a thread: inputs that wait, the engine, a host; one fair turn at a time.
//!
//! ```text
//!   any thread                     the thread that owns the Turn
//!  ┌─────────┐  frames   ┌──────┐   ┌──────────────── run(now, host) ────────────────┐
//!  │ Mailbox ├──────────>│ ring ├──>│ 1 what the host did not take the last time     │
//!  │         │           └──────┘   │ 2 a path change, timers that are due           │──> Host
//!  │         ├──────────>│events├──>│ 3 frames  4 datagrams  5 streams, each in turn │
//!  └─────────┘  dialer   └──────┘   │   a drain after each; all under a budget       │
//!       wake, once per look <───────│                                                │
//!                                   └──> when to call again ─────────────────────────┘
//! ```
//!
//! **Ownership.** The [`Turn`] owns the engine; only [`Turn::run`] and [`Turn::stop`] touch it, and only they call the
//! [`Host`], on their own thread. Everybody else has the [`Mailbox`]. No lock is held while the engine works or the
//! host is called, so the host may use the mailbox within its calls.
//!
//! **Order.** Frames reach the engine in the order in which they were handed in. Of a TCP flow the engine hears the dial's
//! answer, then readiness, then bytes, then the end; these flows take turns in the order in which their events came.
//! Of UDP flows it hears dials' answers, datagrams and ends in the order in which they were handed in, whatever their flow:
//! a flow that floods holds others up by what it may have waiting ([`Limits::inbox_bytes`]), and streams by what a turn
//! takes of datagrams ([`Limits::turn_bytes`]).
//! Each call of the host happens in the order of the engine's outputs.
//!
//! **Determinism.** The same inputs with the same times in the same turns give the same calls of the host. The clock in
//! the mailbox only measures ([`Stats`]); nothing depends on it.
//!
//! **When to run again** is what [`Turn::run`] returns; a wake from the mailbox is earlier than that. An engine with
//! nothing owed asks for its idle limits only, so an idle device is not woken.

mod buffer;
mod event;
mod flows;
mod host;
mod inbox;
mod inward;
mod limits;
mod mailbox;
mod outward;
mod queue;
mod refused;
mod ring;
mod tap;

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::time::Duration;

use engine::{Config, Counters, Deadline, Engine, FlowId, FrameBatch, Micros, TimerName};

pub use self::host::{Host, Notice};
pub use self::limits::{Limits, SettingsError};
pub use self::mailbox::Mailbox;
pub use self::tap::{Crossing, Tap};

use self::mailbox::{ControlEvents, Losses};
use self::queue::Events;
use self::refused::Refused;
use self::ring::Front;
use self::tap::cross;
use crate::clock::Clock;
use crate::resolver::Resolver;
use crate::stats::Stats;

/// Frames given to the engine before it is drained.
const CHUNK: usize = 64;

/// Bytes of far sides given to the engine before it is drained.
const FED: usize = 64 << 10;

/// Beyond this a lower bound replaces the deadline: waking early costs little.
const FAR: Duration = Duration::from_secs(30);

/// Turns with input that are no farther apart belong to one burst.
const BRISK: Duration = Duration::from_millis(1);

/// The engine and what waits at its border. See the [module](self) for the rules.
///
/// Driven by hand, as a host with a loop of its own does:
///
/// ```
/// use std::sync::Arc;
/// use engine::{Config, Micros};
/// use engine_driver::{Limits, ManualClock, Turn};
/// # use engine::{Close, FlowId, FlowKey, Frames};
/// # use std::net::SocketAddr;
/// # struct Nobody;
/// # impl engine_driver::Host for Nobody {
/// #     fn frames(&mut self, frames: Frames<'_>) -> usize { frames.len() }
/// #     fn dial(&mut self, _: FlowId, _: FlowKey, _: Option<&str>) {}
/// #     fn data(&mut self, _: FlowId, bytes: &[u8]) -> usize { bytes.len() }
/// #     fn datagram(&mut self, _: FlowId, _: SocketAddr, _: &[u8]) -> bool { true }
/// #     fn half_close(&mut self, _: FlowId) {}
/// #     fn resume(&mut self, _: FlowId, _: usize) {}
/// #     fn close(&mut self, _: FlowId, _: FlowKey, _: Close) {}
/// # }
///
/// let now = Micros::from_secs(1);
/// let clock = Arc::new(ManualClock::new(now));
/// let wake = || println!("call `run` soon");
/// let mut turn = Turn::new(Config::phone(), Limits::phone(), clock, wake)?;
/// turn.mailbox().frame(&[0; 60]);
/// let next = turn.run(now, &mut Nobody);
/// assert_eq!(next, None, "not before the next input");
/// assert_eq!(turn.stats().ring_frames, 1);
/// # Ok::<(), engine_driver::SettingsError>(())
/// ```
pub struct Turn {
    engine: Engine,
    mailbox: Arc<Mailbox>,
    limits: Limits,
    stats: Stats,
    /// Losses that the host was notified of.
    reported: Losses,
    front: Front,
    /// Events of UDP flows, being delivered to the engine.
    events: Events,
    /// Frames that the host did not take.
    untaken: FrameBatch,
    /// Datagrams of flows whose host has refused one, until they are writable.
    refused: Refused,
    /// The engine may have outputs left: the budget ended before they did, or it is new.
    undrained: bool,
    /// Flows whose break waits behind bytes, until then.
    lingers: BTreeSet<(Micros, FlowId)>,
    /// When this turn was to come at the latest, as the last one returned.
    due: Option<Micros>,
    /// Something came in during this turn.
    busy: bool,
    /// When the last turn was in which something came in, and after which none had to come at once.
    busy_at: Option<Micros>,
    tap: Option<Box<dyn Tap>>,
    resolver: Option<Arc<dyn Resolver>>,
    /// The engine was left within a call: a panic came through it.
    broken: bool,
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
    /// had been waiting: it should make the owner call [`Turn::run`] soon. What comes while a turn runs shows in what it
    /// returns. `clock` measures lag and durations. A [`Config::seed`] that is not given is drawn from the system.
    ///
    /// # Errors
    /// A setting of the engine or a limit out of its bounds.
    pub fn new(
        mut config: Config,
        limits: Limits,
        clock: Arc<dyn Clock>,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> Result<Self, SettingsError> {
        limits.check(&config)?;
        config.seed.get_or_insert_with(entropy);
        Ok(Self {
            engine: Engine::new(config)?,
            mailbox: Arc::new(Mailbox::new(&limits, clock, Box::new(wake))),
            limits,
            stats: Stats::default(),
            reported: Losses::default(),
            front: Front::default(),
            events: Events::default(),
            untaken: FrameBatch::new(),
            refused: Refused::default(),
            undrained: true,
            lingers: BTreeSet::new(),
            due: None,
            busy: false,
            busy_at: None,
            tap: None,
            resolver: None,
            broken: false,
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

    /// Sets or removes the listener to what crosses the engine's border.
    pub fn set_tap(&mut self, tap: Option<Box<dyn Tap>>) -> Option<Box<dyn Tap>> {
        core::mem::replace(&mut self.tap, tap)
    }

    /// Sets who is asked for names that the host does not look up itself ([`Host::resolve`]); with `None` the
    /// device is answered at once that the lookup failed.
    pub fn set_resolver(&mut self, resolver: Option<Arc<dyn Resolver>>) {
        self.resolver = resolver;
    }

    /// One turn. Returns when to call again without an input: `now` while work is left, within
    /// [`Limits::poll_interval`] while the host has not taken a frame, else the engine's own deadline, or, after a turn
    /// with input, a time before one that is far off or may have moved on in a burst; `None`: not before the next input.
    pub fn run<H: Host + ?Sized>(&mut self, now: Micros, host: &mut H) -> Option<Micros> {
        self.broken = true;
        let mut budget = self.limits.turn_outputs;
        let ready = self.offer_untaken(now, host)
            && (!self.undrained || self.drain(now, host, &mut budget));
        let control = self.look(now, ready);
        if ready {
            self.work(now, host, &mut budget, control);
        }
        let (next, losses) = self.rest(now);
        self.due = next;
        self.stats.turns += 1;
        let ended = self.mailbox.now();
        self.stats.turn_duration.record_span(now, ended);
        if let Some(tap) = &mut self.tap {
            tap.turned();
        }
        self.publish(host, losses);
        self.broken = false;
        next
    }

    /// Closes every flow, TCP with a reset, and hands over the outputs of that; the mailbox refuses
    /// everything from now on. Frames that the host does not take at once are lost.
    pub fn stop<H: Host + ?Sized>(&mut self, now: Micros, host: &mut H) {
        self.mailbox.state().stop();
        self.broken = true;
        self.resolver = None;
        self.front = Front::default();
        self.events = Events::default();
        self.lingers.clear();
        self.engine.stop(now);
        // Each flow has one close and one reset at most; a refused batch is dropped instead of kept.
        loop {
            self.offer_untaken(now, host);
            self.untaken.clear();
            let mut budget = usize::MAX;
            if self.drain(now, host, &mut budget) {
                break;
            }
        }
        if let Some(tap) = &mut self.tap {
            tap.turned();
        }
        let losses = self.mailbox.state().losses;
        self.publish(host, losses);
        self.broken = false;
    }

    /// Measures how late the turn is. If it is to work, it takes up what waits: the back of ring and queue if their front
    /// is read, and what concerns the engine as a whole.
    fn look(&mut self, now: Micros, ready: bool) -> ControlEvents {
        let mut state = self.mailbox.state();
        let due = self.due.filter(|due| *due <= now);
        let oldest = [self.front.since(), state.ring.since(), state.since, due];
        if let Some(oldest) = oldest.into_iter().flatten().min() {
            self.stats.lag.record_span(oldest, now);
        }
        if !ready {
            return ControlEvents::default();
        }
        state.looked();
        state.turning = true;
        state.ring.refill(&mut self.front);
        if self.events.is_empty() {
            state.events.refill(&mut self.events);
            if let Some(since) = self.events.since() {
                self.stats.inbox_wait.record_span(since, now);
            }
        }
        core::mem::take(&mut state.control)
    }

    /// Path changes and the like, timers, frames, datagrams and inboxes, while the budget lasts.
    fn work<H: Host + ?Sized>(
        &mut self,
        now: Micros,
        host: &mut H,
        budget: &mut usize,
        control: ControlEvents,
    ) {
        let due = self.engine.timeout_bound().is_some_and(|due| due <= now);
        let said = due || !control.is_empty();
        self.deliver_control(now, control);
        self.expire_lingering(now);
        if due {
            self.engine.handle_timeout(now);
        }
        let mut open = !said || self.drain(now, host, budget);
        self.busy = !self.front.is_empty() || !self.events.is_empty();
        let mut frames = 0;
        while open && frames < self.limits.turn_frames && !self.front.is_empty() {
            let Some(chunk) = self.front.take(CHUNK) else {
                break;
            };
            frames += chunk.len();
            if let Some(tap) = &mut self.tap {
                for frame in chunk {
                    tap.crossed(now, Crossing::FrameIn(frame));
                }
            }
            self.engine.handle_frames(now, chunk);
            open = self.drain(now, host, budget);
        }
        if open && self.deliver_datagrams(now, host, budget) {
            self.deliver_inboxes(now, host, budget);
        }
    }

    /// Ends the work of a turn: returns when the next is to come, and what was lost so far.
    fn rest(&mut self, now: Micros) -> (Option<Micros>, Losses) {
        let left = self.undrained || !self.front.is_empty() || !self.events.is_empty();
        let (losses, left, woken) = {
            let mut state = self.mailbox.state();
            let woken = state.turned();
            let left = left || state.has_work();
            if !left && self.untaken.is_empty() {
                // Nothing waits: room counted for what was read is free, and so is what a burst had needed.
                state.ring.refill(&mut self.front);
                state.ring.trim();
                state.events.refill(&mut self.events);
                state.events.trim();
            }
            (state.losses, left, woken)
        };
        if !self.untaken.is_empty() {
            // What came may have been that the host takes frames again.
            let again = Some(now.plus(self.limits.poll_interval));
            return (if woken { Some(now) } else { again }, losses);
        }
        if left {
            return (Some(now), losses);
        }
        self.events.trim();
        // Deadlines move on with every packet: during a burst, or while none is near, a lower bound suffices. A
        // turn for nothing else than its time then finds the true deadline: an idle device is woken early once at the most.
        let bound = self.engine.timeout_bound().map(|at| at.max(now));
        let before = if self.busy {
            self.busy_at.replace(now)
        } else {
            None
        };
        let brisk = before.is_some_and(|before| now.since(before) <= BRISK);
        let own = if brisk || self.busy && bound.is_some_and(|at| at.since(now) >= FAR) {
            bound
        } else {
            self.engine.poll_timeout().map(|due| due.at.max(now))
        };
        let linger = self.lingers.first().map(|(until, _)| (*until).max(now));
        (own.into_iter().chain(linger).min(), losses)
    }

    /// Tells the host of new losses, and everybody of the numbers.
    fn publish<H: Host + ?Sized>(&mut self, host: &mut H, losses: Losses) {
        losses.copy_to(&mut self.stats);
        let reported = core::mem::replace(&mut self.reported, losses);
        let frames = losses.overflow_frames - reported.overflow_frames;
        if frames > 0 {
            let bytes = losses.overflow_bytes - reported.overflow_bytes;
            host.notice(&Notice::RingOverflow { frames, bytes });
        }
        let datagrams = losses.dropped_datagrams - reported.dropped_datagrams;
        if datagrams > 0 {
            host.notice(&Notice::InboxOverflow { datagrams });
        }
        self.show();
    }

    /// Tells everybody of the numbers.
    fn show(&mut self) {
        let mut published = self.mailbox.published();
        self.engine.count_into(&mut published.counters);
        self.stats.copy_into(&mut published.stats);
    }

    fn cross(&mut self, now: Micros, crossing: Crossing<'_>) {
        cross(&mut self.tap, now, crossing);
    }
}

/// A seed that cannot be guessed, from the keys that the standard library draws of the system for its hash maps.
fn entropy() -> u64 {
    RandomState::new().build_hasher().finish()
}

impl Drop for Turn {
    /// Whoever still has the mailbox finds it stopped and empty, and no flow among the numbers.
    fn drop(&mut self) {
        self.mailbox.state().stop();
        if self.broken {
            return;
        }
        let now = self.mailbox.now();
        self.engine.stop(now);
        // The host hears nothing of it; after a `stop` there is nothing left.
        while self.engine.poll_output(now).is_some() {}
        self.show();
    }
}
