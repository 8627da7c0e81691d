//! The driver's thread: a loop on tokio, as `replay live` has it, with processor time and heap counted.

use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use engine::Config;
use engine_driver::{BootClock, Handle, Host, Limits, Loop, Mailbox, Snapshot};

use crate::base::heap::AtWork;
use crate::load::stress::process::ThreadTime;

/// A loop that runs.
pub(crate) struct Driver {
    pub(crate) handle: Handle,
    pub(crate) time: ThreadTime,
    thread: JoinHandle<()>,
}

/// What the thread sends once it runs, or cannot.
type Begun = Result<(Handle, ThreadTime), String>;

impl Driver {
    /// Starts the loop. `host` is made on its thread, within its runtime.
    pub(crate) fn start<H: Host>(
        config: Config,
        limits: Limits,
        host: impl FnOnce(&Arc<Mailbox>) -> H + Send + 'static,
    ) -> Result<Self, String> {
        let (sender, begun) = mpsc::channel::<Begun>();
        let thread = thread::Builder::new().name("driver".to_owned());
        let work = move || {
            if let Err(what) = run(config, limits, host, &sender) {
                // The thread that waits for it reports the problem.
                let _ = sender.send(Err(what));
            }
        };
        let thread = thread
            .spawn(work)
            .map_err(|error| format!("no thread for the driver: {error}"))?;
        let begun = begun.recv();
        let ended = |_| Err("the driver's thread ended before it began".to_owned());
        let (handle, time) = begun.unwrap_or_else(ended)?;
        Ok(Self {
            handle,
            time,
            thread,
        })
    }

    /// The numbers of the last turn, then the end.
    pub(crate) fn stop(self) -> Result<Snapshot, String> {
        let snapshot = self.handle.snapshot();
        self.handle.stop();
        match self.thread.join() {
            Ok(()) => Ok(snapshot),
            Err(_) => Err("the driver's thread panicked: a bug".to_owned()),
        }
    }
}

fn run<H: Host>(
    config: Config,
    limits: Limits,
    host: impl FnOnce(&Arc<Mailbox>) -> H,
    begun: &mpsc::Sender<Begun>,
) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| format!("no runtime for the driver: {error}"))?;
    runtime.block_on(async {
        let _counting = AtWork::driver();
        let made = Loop::new(config, limits, Arc::new(BootClock::new()), |mailbox| {
            let _rest = AtWork::rest();
            host(mailbox)
        });
        let engine = made.map_err(|problem| problem.to_string())?;
        let _ = begun.send(Ok((engine.handle(), ThreadTime::of_this_thread())));
        engine.run().await;
        Ok(())
    })
}
