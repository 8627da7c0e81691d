//! A [`Turn`] on tokio: one task owns it, frames and dialer events wake it, timers follow its deadline.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use engine::{Config, Micros};
use tokio::time::{self, Instant, Sleep};

use crate::clock::{Clock, LOOK_AGAIN};
use crate::resolver::{self, Resolver};
use crate::stats::Snapshot;
use crate::turn::{Host, Limits, Mailbox, SettingsError, Tap, Turn};

/// The finest step of tokio's timers.
const GRAIN: Duration = Duration::from_millis(1);

/// The loop, before and while it runs. Spawn [`Loop::run`] on a runtime of one thread, or on any: only one task ever
/// has the engine.
///
/// It ends when [`Handle::stop`] was called, having closed every flow (TCP with a reset) and handed the host the outputs
/// of that. When the future is dropped before, the engine and everything in the mailbox go with it, without
/// a call of the host. Either way every handle of a flow is stale afterwards. To start again, make another loop.
///
/// `examples/tunnel.rs` is a whole program. The lines that matter:
///
/// ```no_run
/// # use std::sync::Arc;
/// # use engine_driver::{BootClock, Host, Limits, Loop, Mailbox};
/// # async fn serve<H: Host>(host: impl FnOnce(&Arc<Mailbox>) -> H) -> Result<(), engine_driver::SettingsError> {
/// let clock = Arc::new(BootClock::new());
/// let engine = Loop::new(engine::Config::desktop(), Limits::desktop(), clock, host)?;
/// let handle = engine.handle();
/// // Whoever reads the device calls `handle.mailbox().frame(..)`, and `handle.stop()` ends it.
/// let (_host, last) = engine.run().await;
/// println!("{}", last.counters.to_line());
/// # let _ = handle;
/// # Ok(())
/// # }
/// ```
pub struct Loop<H> {
    turn: Turn,
    host: H,
    clock: Arc<dyn Clock>,
    control: Arc<Control>,
}

impl<H> std::fmt::Debug for Loop<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Loop")
            .field("turn", &self.turn)
            .finish_non_exhaustive()
    }
}

/// Steers a [`Loop`] from any thread.
#[derive(Clone, Debug)]
pub struct Handle {
    mailbox: Arc<Mailbox>,
    control: Arc<Control>,
}

#[derive(Debug, Default)]
struct Control {
    signal: Signal,
    stopping: AtomicBool,
}

impl Handle {
    /// The way in.
    #[must_use]
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Asks the loop to end. It is safe to ask again, before it runs, and after it has ended.
    pub fn stop(&self) {
        self.control.stopping.store(true, Ordering::Release);
        self.control.signal.raise();
    }

    /// Whether [`Handle::stop`] was called.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.control.stopping.load(Ordering::Acquire)
    }

    /// Counters and statistics as of the last turn.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.mailbox.snapshot()
    }
}

impl<H: Host> Loop<H> {
    /// A loop around a new engine. `host` gets the mailbox that its dialer will answer into. With
    /// [`Config::dns_interception`], names that the host does not look up itself are looked up by the system.
    ///
    /// # Errors
    /// A setting of the engine or a limit out of its bounds.
    pub fn new(
        config: Config,
        limits: Limits,
        clock: Arc<dyn Clock>,
        host: impl FnOnce(&Arc<Mailbox>) -> H,
    ) -> Result<Self, SettingsError> {
        let control = Arc::new(Control::default());
        let woken = Arc::clone(&control);
        let intercepts = config.dns_interception;
        let mut turn = Turn::new(config, limits, Arc::clone(&clock), move || {
            woken.signal.raise();
        })?;
        if intercepts {
            let system = resolver::of_the_system(turn.mailbox(), Arc::clone(&clock));
            turn.set_resolver(Some(Arc::new(system)));
        }
        let host = host(turn.mailbox());
        Ok(Self {
            turn,
            host,
            clock,
            control,
        })
    }

    /// What steers the loop, also once it runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle {
            mailbox: Arc::clone(self.turn.mailbox()),
            control: Arc::clone(&self.control),
        }
    }

    /// Sets who is asked for names that the host does not look up itself, in place of the system, or removes it: see
    /// [`Turn::set_resolver`].
    pub fn set_resolver(&mut self, resolver: Option<Arc<dyn Resolver>>) {
        self.turn.set_resolver(resolver);
    }

    /// Sets who listens to what crosses the engine's border.
    pub fn set_tap(&mut self, tap: Option<Box<dyn Tap>>) {
        self.turn.set_tap(tap);
    }

    /// Runs until it is stopped; gives the host back, and the last numbers.
    ///
    /// The clock may count sleep, tokio's timers do not. Whatever wakes the loop after a sleep, its timers are set anew by
    /// the clock; if nothing does, a deadline that the sleep has passed is late by a minute of waking time at the most.
    pub async fn run(mut self) -> (H, Box<Snapshot>) {
        let mut alarm = Alarm::default();
        let signal = &self.control.signal;
        loop {
            // What was signalled before, the look at `stopping` and the turn find.
            signal.lower();
            if self.control.stopping.load(Ordering::Acquire) {
                break;
            }
            let now = self.clock.now();
            let next = self.turn.run(now, &mut self.host);
            match next {
                // Sockets and the device have their chance between two turns.
                Some(at) if at <= now => tokio::task::yield_now().await,
                Some(at) => {
                    let clock = &*self.clock;
                    poll_fn(|context| {
                        if signal.poll(context).is_ready() {
                            return Poll::Ready(());
                        }
                        alarm.poll(context, at, clock)
                    })
                    .await;
                }
                None => poll_fn(|context| signal.poll(context)).await,
            }
        }
        self.turn.stop(self.clock.now(), &mut self.host);
        // A task's result is moved at every poll, whether it is there or not: a box keeps it small.
        (self.host, Box::new(self.turn.mailbox().snapshot()))
    }
}

/// Wakes the one task that waits, from any thread. Raised before it waits, it is not lost.
#[derive(Debug, Default)]
struct Signal(Mutex<Raised>);

#[derive(Debug, Default)]
struct Raised {
    up: bool,
    /// Who waits.
    waker: Option<Waker>,
}

impl Signal {
    fn raise(&self) {
        let waker = {
            let mut raised = self.lock();
            raised.up = true;
            raised.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn lower(&self) {
        *self.lock() = Raised::default();
    }

    /// Ready, and lowered, if it was raised since it was lowered last.
    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut raised = self.lock();
        if core::mem::take(&mut raised.up) {
            return Poll::Ready(());
        }
        if let Some(waker) = &mut raised.waker {
            waker.clone_from(context.waker());
        } else {
            raised.waker = Some(context.waker().clone());
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, Raised> {
        // Every change is a single step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A timer of tokio's that is set anew only if it would ring too late: most deadlines move on with every packet, and it is
/// cheaper to find when it rings that there is time left.
///
/// What is compared is tokio's time. The clock may have jumped against it: the timer of a deadline that a sleep has passed
/// still waits for all that was left of it before the sleep, and would hide any later deadline.
#[derive(Default)]
struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
    /// Whether it is set, and has not rung.
    set: bool,
}

impl Alarm {
    /// Ready when the clock shows `deadline`.
    fn poll(&mut self, context: &mut Context<'_>, deadline: Micros, clock: &dyn Clock) -> Poll<()> {
        loop {
            let now = clock.now();
            if now >= deadline {
                return Poll::Ready(());
            }
            let ring = Instant::now() + deadline.since(now).min(LOOK_AGAIN);
            match &mut self.sleep {
                // Both clocks were read one after the other, and tokio rounds up to a millisecond.
                Some(sleep) if self.set && sleep.deadline() <= ring + GRAIN => {}
                Some(sleep) => sleep.as_mut().reset(ring),
                none => *none = Some(Box::pin(time::sleep_until(ring))),
            }
            self.set = true;
            if let Some(sleep) = &mut self.sleep {
                std::task::ready!(sleep.as_mut().poll(context));
            }
            self.set = false;
        }
    }
}
