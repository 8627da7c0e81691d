//! One engine behind the border: settings and callbacks, and between start and stop a turn with its thread.
//!
//! ```text
//! new ──start──> running ──stop──> stopped ──start──> running ...      free from anywhere
//! ```
//!
//! **Locks.** `life` serialises start, stop and free; `turn` belongs to whoever drives; neither is held for calls that
//! only bring something in, which go to the mailbox. Callbacks run under `turn` (host-driven) or under nothing (thread), so
//! that every call of the header but poll, start, stop and free can be made from within one; those four are refused there.

use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::thread::{self, JoinHandle};
use std::time::SystemTime;

use engine::{Config, Deadline, Micros};
use engine_driver::recorder::{Bounds, Recorder};
use engine_driver::resolver::of_the_system;
use engine_driver::turn::Tap;
use engine_driver::{BootClock, Clock, LOOK_AGAIN, Limits, Mailbox, Turn};

use crate::gate::Gate;
use crate::handle::{calling, is_calling};
use crate::host::Callbacks;
use crate::log;
use crate::types::{BRIDGE_NO_DEADLINE, BridgeStatus};

/// One engine.
#[derive(Debug)]
pub(crate) struct Bridge {
    number: usize,
    settings: Mutex<Settings>,
    callbacks: Callbacks,
    host_driven: bool,
    clock: Arc<BridgeClock>,
    life: Mutex<Life>,
    /// The way in to the present or last run; none before the first start.
    mailbox: RwLock<Option<Arc<Mailbox>>>,
    /// The turn, where the host drives.
    turn: Mutex<Option<Turn>>,
    /// Whether the last run is still on: what most calls ask, without `life`.
    running: AtomicBool,
    signal: Arc<Signal>,
    broken: Arc<AtomicBool>,
    tap: Arc<Mutex<Option<NextTap>>>,
    gate: Arc<Gate>,
}

/// What the next start is made with.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) limits: Limits,
}

/// The recorder that is to be set, or that there is to be none.
type NextTap = Option<Recorder>;

#[derive(Debug)]
enum Life {
    New,
    /// With its thread, unless the host drives.
    Running(Option<JoinHandle<()>>),
    Stopped,
}

/// What the thread waits for.
#[derive(Debug, Default)]
struct Signal {
    state: Mutex<Signalled>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Signalled {
    awake: bool,
    stop: bool,
}

impl Signal {
    fn reset(&self) {
        *lock(&self.state) = Signalled::default();
    }

    fn wake(&self) {
        lock(&self.state).awake = true;
        self.changed.notify_one();
    }

    fn stop(&self) {
        lock(&self.state).stop = true;
        self.changed.notify_one();
    }

    /// Waits until it is woken or `clock` shows `deadline`; returns whether to go on. The condition's own clock may stop in
    /// a sleep of the system, so `clock` is looked at every `look`.
    fn wait(&self, deadline: Option<Micros>, clock: &dyn Clock, look: Duration) -> bool {
        let mut state = lock(&self.state);
        while !state.awake && !state.stop {
            let time = match deadline {
                None => Duration::MAX,
                Some(at) => at.since(clock.now()).min(look),
            };
            if time.is_zero() {
                break;
            }
            let waited = self.changed.wait_timeout(state, time);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        state.awake = false;
        !state.stop
    }
}

/// The time: of the system, or the one that the host brings along.
#[derive(Debug)]
pub(crate) enum BridgeClock {
    /// Counting sleep: limits go on while the phone does not.
    System(BootClock),
    /// What the last poll returned.
    Host(AtomicU64),
}

impl Clock for BridgeClock {
    fn now(&self) -> Micros {
        match self {
            Self::System(clock) => clock.now(),
            Self::Host(now) => Micros(now.load(Ordering::Relaxed)),
        }
    }
}

impl Bridge {
    pub(crate) fn new(
        number: usize,
        settings: Settings,
        callbacks: Callbacks,
        host_driven: bool,
    ) -> Self {
        let clock = if host_driven {
            BridgeClock::Host(AtomicU64::new(1))
        } else {
            BridgeClock::System(BootClock::default())
        };
        Self {
            number,
            settings: Mutex::new(settings),
            callbacks,
            host_driven,
            clock: Arc::new(clock),
            life: Mutex::new(Life::New),
            mailbox: RwLock::new(None),
            turn: Mutex::new(None),
            running: AtomicBool::new(false),
            signal: Arc::default(),
            broken: Arc::new(AtomicBool::new(false)),
            tap: Arc::default(),
            gate: Arc::default(),
        }
    }

    /// Changes settings for the next start; nothing if what comes out cannot be.
    pub(crate) fn change(
        &self,
        change: impl FnOnce(&mut Settings) -> Result<(), BridgeStatus>,
    ) -> Result<(), BridgeStatus> {
        self.not_from_a_callback()?;
        let life = lock(&self.life);
        if matches!(*life, Life::Running(_)) {
            return Err(BridgeStatus::AlreadyStarted);
        }
        let mut settings = lock(&self.settings);
        let mut changed = settings.clone();
        change(&mut changed)?;
        let sound = changed.limits.check(&changed.config);
        sound.map_err(|_| BridgeStatus::BadArgument)?;
        *settings = changed;
        Ok(())
    }

    /// What the engine waits for, where the host drives it.
    pub(crate) fn deadline(&self) -> Result<Option<Deadline>, BridgeStatus> {
        self.not_from_a_callback()?;
        if !self.host_driven {
            return Err(BridgeStatus::Reentrant);
        }
        let mut turn = self.own_turn()?;
        Ok(turn.as_mut().ok_or(BridgeStatus::Stopped)?.deadline())
    }

    /// The turn of an engine that runs and that the host drives, if nobody has it.
    fn own_turn(&self) -> Result<MutexGuard<'_, Option<Turn>>, BridgeStatus> {
        self.running()?;
        match self.turn.try_lock() {
            Ok(turn) => Ok(turn),
            Err(TryLockError::Poisoned(turn)) => Ok(turn.into_inner()),
            Err(TryLockError::WouldBlock) => Err(BridgeStatus::Busy),
        }
    }

    pub(crate) fn start(&self) -> Result<(), BridgeStatus> {
        self.not_from_a_callback()?;
        let mut life = lock(&self.life);
        self.not_broken()?;
        if matches!(*life, Life::Running(_)) {
            return Err(BridgeStatus::AlreadyStarted);
        }
        let Settings { mut config, limits } = lock(&self.settings).clone();
        config.log_level = log::level();
        let clock: Arc<dyn Clock> = Arc::clone(&self.clock) as _;
        let wake: Box<dyn Fn() + Send + Sync> = if self.host_driven {
            let (number, callbacks) = (self.number, self.callbacks);
            let gate = Arc::clone(&self.gate);
            Box::new(move || gate.pass(|| calling(number, || callbacks.wake())))
        } else {
            let signal = Arc::clone(&self.signal);
            Box::new(move || signal.wake())
        };
        // The settings were checked when the engine was made.
        let resolves = config.dns_interception && !self.callbacks.resolves();
        let turn = Turn::new(config, limits, Arc::clone(&clock), wake);
        let mut turn = turn.map_err(|_| BridgeStatus::BadArgument)?;
        let mailbox = Arc::clone(turn.mailbox());
        if resolves {
            turn.set_resolver(Some(Arc::new(of_the_system(&mailbox, clock))));
        }
        *self.mailbox.write().unwrap_or_else(PoisonError::into_inner) = Some(mailbox);
        if self.host_driven {
            *lock(&self.turn) = Some(turn);
            self.gate.open();
            *life = Life::Running(None);
        } else {
            self.signal.reset();
            *life = Life::Running(Some(self.spawn(turn)?));
        }
        self.running.store(true, Ordering::Release);
        // A sink may make any call.
        drop(life);
        log::write(log::INFO, "engine started");
        Ok(())
    }

    fn spawn(&self, mut turn: Turn) -> Result<JoinHandle<()>, BridgeStatus> {
        let (number, mut callbacks) = (self.number, self.callbacks);
        let (clock, signal, broken, tap) = (
            Arc::clone(&self.clock),
            Arc::clone(&self.signal),
            Arc::clone(&self.broken),
            Arc::clone(&self.tap),
        );
        let run = move || {
            let ran = catch_unwind(AssertUnwindSafe(|| {
                calling(number, || {
                    loop {
                        take_tap(&mut turn, &tap);
                        let next = turn.run(clock.now(), &mut callbacks);
                        if !signal.wait(next, &*clock, LOOK_AGAIN) {
                            break;
                        }
                    }
                    turn.stop(clock.now(), &mut callbacks);
                });
            }));
            if ran.is_err() {
                fail(&broken);
            }
        };
        let thread = thread::Builder::new().name("engine".to_owned()).spawn(run);
        thread.map_err(|error| {
            log::write(log::ERROR, &format!("no thread for the engine: {error}"));
            BridgeStatus::Io
        })
    }

    pub(crate) fn stop(&self) -> Result<(), BridgeStatus> {
        self.not_from_a_callback()?;
        let mut life = lock(&self.life);
        match core::mem::replace(&mut *life, Life::Stopped) {
            Life::New => {
                *life = Life::New;
                return Err(BridgeStatus::NotStarted);
            }
            Life::Stopped => return Err(BridgeStatus::Stopped),
            Life::Running(Some(thread)) => {
                self.running.store(false, Ordering::Release);
                self.signal.stop();
                if thread.join().is_err() {
                    fail(&self.broken);
                }
            }
            Life::Running(None) => {
                self.running.store(false, Ordering::Release);
                self.gate.shut();
                let mut turn = lock(&self.turn);
                if let Some(mut turn) = turn.take() {
                    let (now, mut callbacks) = (self.clock.now(), self.callbacks);
                    // If it panics, that is remembered.
                    let _ = self.drive(|| {
                        turn.stop(now, &mut callbacks);
                        drop(turn);
                    });
                }
            }
        }
        *lock(&self.tap) = None;
        drop(life);
        log::write(log::INFO, "engine stopped");
        self.not_broken()
    }

    /// One turn at `now`; when the next one is due.
    pub(crate) fn poll(&self, now: u64) -> Result<i64, BridgeStatus> {
        self.not_from_a_callback()?;
        let BridgeClock::Host(clock) = &*self.clock else {
            return Err(BridgeStatus::Reentrant);
        };
        if now == 0 || i64::try_from(now).is_err() {
            return Err(BridgeStatus::BadArgument);
        }
        let mut turn = self.own_turn()?;
        let turn = turn.as_mut().ok_or(BridgeStatus::Stopped)?;
        // Time never runs back.
        let now = Micros(clock.fetch_max(now, Ordering::Relaxed).max(now));
        let mut callbacks = self.callbacks;
        let next = self.drive(|| {
            take_tap(turn, &self.tap);
            turn.run(now, &mut callbacks)
        })?;
        Ok(next.map_or(BRIDGE_NO_DEADLINE, |next| {
            i64::try_from(next.0).unwrap_or(BRIDGE_NO_DEADLINE)
        }))
    }

    /// Runs what may call back; a panic breaks the engine for good.
    fn drive<R>(&self, run: impl FnOnce() -> R) -> Result<R, BridgeStatus> {
        catch_unwind(AssertUnwindSafe(|| calling(self.number, run))).map_err(|_| {
            fail(&self.broken);
            BridgeStatus::Panicked
        })
    }

    /// The way in, while the engine runs.
    pub(crate) fn running(&self) -> Result<Arc<Mailbox>, BridgeStatus> {
        let mailbox = self.last_run()?;
        if !self.running.load(Ordering::Acquire) {
            return Err(BridgeStatus::Stopped);
        }
        Ok(mailbox)
    }

    /// The way in to the present or the last run, for its numbers.
    pub(crate) fn last_run(&self) -> Result<Arc<Mailbox>, BridgeStatus> {
        self.not_broken()?;
        let mailbox = self.mailbox.read().unwrap_or_else(PoisonError::into_inner);
        mailbox
            .as_ref()
            .map(Arc::clone)
            .ok_or(BridgeStatus::NotStarted)
    }

    /// Begins or, without a path, ends a recording, with the next turn.
    pub(crate) fn record(&self, path: Option<&Path>, bounds: Bounds) -> Result<(), BridgeStatus> {
        let recorder = |path: &Path| {
            let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let now = self.clock.now();
            let config = lock(&self.settings).config.clone();
            Recorder::create(path, bounds, &config, now, wall.unwrap_or_default())
        };
        let tap = path.map(recorder).transpose().map_err(|error| {
            log::write(log::WARN, &format!("no recording: {error}"));
            BridgeStatus::Io
        })?;
        *lock(&self.tap) = Some(tap);
        // The engine may be asleep for as long as nothing comes.
        self.signal.wake();
        Ok(())
    }

    pub(crate) fn not_from_a_callback(&self) -> Result<(), BridgeStatus> {
        if is_calling(self.number) {
            return Err(BridgeStatus::Reentrant);
        }
        Ok(())
    }

    fn not_broken(&self) -> Result<(), BridgeStatus> {
        if self.broken.load(Ordering::Acquire) {
            return Err(BridgeStatus::Panicked);
        }
        Ok(())
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        // Whoever freed it stopped it; nothing may be called any more.
        self.signal.stop();
    }
}

fn take_tap(turn: &mut Turn, tap: &Mutex<Option<NextTap>>) {
    if let Some(next) = lock(tap).take() {
        drop(turn.set_tap(next.map(|recorder| Box::new(recorder) as Box<dyn Tap>)));
    }
}

fn fail(broken: &AtomicBool) {
    broken.store(true, Ordering::Release);
    log::write(
        log::ERROR,
        "the engine panicked and is out of order; this is a bug in it",
    );
}

/// A thread that panicked under a lock left nothing half-done, or broke the engine, which is remembered elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine_driver::ManualClock;

    #[test]
    fn a_wait_ends_when_the_clock_has_jumped_past_the_deadline() {
        let (signal, clock) = (
            Arc::new(Signal::default()),
            Arc::new(ManualClock::new(Micros(1))),
        );
        let (waiting, shown) = (Arc::clone(&signal), Arc::clone(&clock));
        let hour = Micros::from_secs(3600);
        let thread =
            thread::spawn(move || waiting.wait(Some(hour), &*shown, Duration::from_millis(1)));
        // Not woken: the clock alone shows that the hour is over.
        clock.set(hour);
        assert!(thread.join().expect("no panic"), "it goes on");
        signal.stop();
        assert!(!signal.wait(None, &*clock, LOOK_AGAIN));
    }
}
