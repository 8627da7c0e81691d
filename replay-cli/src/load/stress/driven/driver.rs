//! The driver's thread: a loop on tokio, as `replay live` has it, with processor time and heap counted.

use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use engine::Config;
use engine_driver::{BootClock, Handle, Host, Limits, Loop, Mailbox, Snapshot};

use super::process::ThreadTime;
use crate::base::heap::AtWork;

/// A loop that runs.
pub(crate) struct Driver {
    pub(crate) handle: Handle,
    pub(crate) time: ThreadTime,
    thread: JoinHandle<()>,
}

/// What the thread says when it has begun.
type Begun = Result<(Handle, ThreadTime), String>;

impl Driver {
    /// Starts the loop. `host` is made on its thread, within its runtime.
    pub(crate) fn start<H: Host>(
        config: Config,
        limits: Limits,
        host: impl FnOnce(&Arc<Mailbox>) -> H + Send + 'static,
    ) -> Result<Self, String> {
        let (tell, told) = mpsc::channel::<Begun>();
        let thread = thread::Builder::new().name("driver".to_owned());
        let work = move || run(config, limits, host, &tell);
        let thread = thread
            .spawn(work)
            .map_err(|error| format!("no thread for the driver: {error}"))?;
        match told.recv() {
            Ok(Ok((handle, time))) => Ok(Self {
                handle,
                time,
                thread,
            }),
            Ok(Err(what)) => Err(what),
            Err(_) => Err("the driver's thread ended before it began".to_owned()),
        }
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
    tell: &mpsc::Sender<Begun>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = tell.send(Err(format!("no runtime for the driver: {error}")));
            return;
        }
    };
    runtime.block_on(async {
        let _counting = AtWork::driver();
        let made = Loop::new(config, limits, Arc::new(BootClock::new()), |mailbox| {
            let _rest = AtWork::rest();
            host(mailbox)
        });
        match made {
            Err(problem) => {
                let _ = tell.send(Err(problem.to_string()));
            }
            Ok(engine) => {
                let _ = tell.send(Ok((engine.handle(), ThreadTime::of_this_thread())));
                engine.run().await;
            }
        }
    });
}
