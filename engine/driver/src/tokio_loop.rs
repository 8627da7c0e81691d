//! A [`Turn`] on tokio: one task owns it, frames and dialer events wake it, timers follow its deadline.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use engine::{Config, ConfigError};
use tokio::sync::Notify;
use tokio::time::{self, Instant, Sleep};

use crate::clock::Clock;
use crate::stats::Snapshot;
use crate::turn::{Host, Limits, Mailbox, Tap, Turn};

/// The loop, before and while it runs. Spawn [`Loop::run`] on a runtime of one thread, or on any: only one task ever
/// has the engine.
///
/// It ends when [`Handle::stop`] was called, having closed every flow (TCP with a reset) and handed the host what the
/// engine said to that. When the future is dropped before, the engine and everything in the mailbox go with it, without
/// a word to the host. Either way every handle of a flow is stale afterwards. To start again, make another loop.
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
    wake: Notify,
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
        self.control.wake.notify_one();
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
    /// A loop around a new engine. `host` gets the mailbox that its dialer will answer into.
    ///
    /// # Errors
    /// A setting of the engine out of its bounds.
    pub fn new(
        config: Config,
        limits: Limits,
        clock: Arc<dyn Clock>,
        host: impl FnOnce(&Arc<Mailbox>) -> H,
    ) -> Result<Self, ConfigError> {
        let control = Arc::new(Control::default());
        let woken = Arc::clone(&control);
        let turn = Turn::new(config, limits, Arc::clone(&clock), move || {
            woken.wake.notify_one();
        })?;
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

    /// Sets who listens to what crosses the engine's border.
    pub fn set_tap(&mut self, tap: Option<Box<dyn Tap>>) {
        self.turn.set_tap(tap);
    }

    /// Runs until it is stopped; gives the host back, and the last numbers.
    ///
    /// The clock may count sleep, tokio's timers do not: after a sleep the loop takes up the true time with the first
    /// frame, event or timer that comes.
    pub async fn run(mut self) -> (H, Snapshot) {
        let mut alarm = Alarm::default();
        while !self.control.stopping.load(Ordering::Acquire) {
            let now = self.clock.now();
            let next = self.turn.run(now, &mut self.host);
            match next.map(|at| at.since(now)) {
                // Sockets and the device have their chance between two turns.
                Some(wait) if wait.is_zero() => tokio::task::yield_now().await,
                Some(wait) => tokio::select! {
                    biased;
                    () = self.control.wake.notified() => {}
                    () = alarm.until(Instant::now() + wait) => {}
                },
                None => self.control.wake.notified().await,
            }
        }
        self.turn.stop(self.clock.now(), &mut self.host);
        (self.host, self.turn.mailbox().snapshot())
    }
}

/// A timer of tokio's that is set anew only when a deadline is earlier than the last one: most deadlines move on with every
/// packet, and it is cheaper to find at the old one that there is time left.
#[derive(Default)]
struct Alarm {
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    async fn until(&mut self, deadline: Instant) {
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(time::sleep_until(deadline)));
        if sleep.is_elapsed() || sleep.deadline() > deadline {
            sleep.as_mut().reset(deadline);
        }
        poll_fn(|context| {
            loop {
                std::task::ready!(sleep.as_mut().poll(context));
                if sleep.deadline() >= deadline {
                    return std::task::Poll::Ready(());
                }
                sleep.as_mut().reset(deadline);
            }
        })
        .await;
    }
}
