//! Every way to run a load: the same device, another stack.

use std::sync::Arc;
use std::time::Duration;

use engine::{FrameBatch, Micros};

use crate::load::{Load, Shared, lock};

pub(crate) mod bare;
pub(crate) mod core;
pub(crate) mod driver;
pub(crate) mod rival;

/// How often the device's timers are looked at, and whether it is done.
const TICK: Duration = Duration::from_millis(2);
/// After so long without a byte that moved, a load is stuck.
const PATIENCE: Duration = Duration::from_secs(4);

/// Troubles of far ends.
pub(crate) type Troubles = Arc<std::sync::Mutex<Vec<String>>>;

/// Waits until the load is carried; timers and the end are looked at between `TICK`s. `late` gets frames that timers made.
pub(crate) async fn attend(
    shared: &Shared,
    mut late: impl FnMut(&FrameBatch),
) -> Result<(), String> {
    let mut frames = FrameBatch::new();
    let (mut seen, mut since) = (0, tokio::time::Instant::now());
    loop {
        tokio::time::sleep(TICK).await;
        let mut load = lock(shared);
        if load.is_done() {
            return Ok(());
        }
        let now: Micros = load.clock();
        if load.tick(now, &mut frames) {
            late(&frames);
            frames.take(usize::MAX);
            if let Some(waker) = load.waiter() {
                waker.wake();
            }
        }
        let progress = load.progress();
        if progress != seen {
            (seen, since) = (progress, tokio::time::Instant::now());
        } else if since.elapsed() > PATIENCE {
            let verdict = load.verdict().err();
            return Err(format!(
                "stalled: {}",
                verdict.unwrap_or_else(|| "connections do not close".to_owned())
            ));
        }
    }
}

/// What a load did that never got to its end, for a message.
pub(crate) fn describe(load: &Load, troubles: &Troubles) -> Result<(), String> {
    load.verdict()?;
    match lock(troubles).first() {
        Some(trouble) => Err(format!("at a far end: {trouble}")),
        None => Ok(()),
    }
}
