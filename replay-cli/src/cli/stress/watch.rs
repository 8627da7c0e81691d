//! A person at the terminal: sees how far the load is, and may interrupt it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::base::exit_code;
use crate::load::stress::{Seen, Watch};
use crate::report::html::stress::Curve;

/// Steps of the bar for each scenario.
const STEPS: u64 = 1000;

/// How long a run may take before progress is drawn.
const PATIENCE: Duration = Duration::from_millis(300);

/// Whether Ctrl-C was pressed.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// Listens for Ctrl-C: the first ends the run with what was measured, the second ends the process.
#[cfg(target_os = "linux")]
pub(super) fn listen() {
    let listener = std::thread::Builder::new().name("interrupt".to_owned());
    // Without the thread Ctrl-C ends the process as it always does.
    let _ = listener.spawn(|| {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let Ok(runtime) = runtime else {
            return;
        };
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if INTERRUPTED.swap(true, Ordering::Relaxed) {
                    std::process::exit(exit_code::INTERRUPTED.into());
                }
            }
        });
    });
}

/// Elsewhere Ctrl-C ends the process.
#[cfg(not(target_os = "linux"))]
pub(super) fn listen() {}

/// A bar over all scenarios, hidden unless there is a terminal and it took a while.
pub(super) struct Bar {
    bar: ProgressBar,
    hidden_since: Option<Instant>,
    done: u64,
    /// Whether the run is to be drawn, and how it went so far.
    draws: bool,
    curve: Curve,
}

impl Bar {
    pub(super) fn of(scenarios: usize, watched: bool) -> Self {
        let steps = scenarios as u64 * STEPS;
        let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::hidden());
        let bar = match ProgressStyle::with_template("{bar:40} {percent} %, {eta} left: {msg}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        Self {
            bar,
            hidden_since: watched.then(Instant::now),
            done: 0,
            draws: false,
            curve: Curve::default(),
        }
    }

    /// The next scenario begins; `drawn`: whether its curve will be asked for.
    pub(super) fn begin(&mut self, name: &str, drawn: bool) {
        self.bar.set_message(name.to_owned());
        self.draws = drawn;
        self.curve = Curve::default();
    }

    /// What comes is the same once more.
    pub(super) fn looks_away(&mut self) {
        self.draws = false;
    }

    /// It has ended: how it went over time.
    pub(super) fn end(&mut self) -> Curve {
        self.done += STEPS;
        self.goes_on(0.0);
        std::mem::take(&mut self.curve)
    }

    /// Text is to be printed where the bar is.
    pub(super) fn make_way<R>(&self, print: impl FnOnce() -> R) -> R {
        self.bar.suspend(print)
    }

    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Watch for Bar {
    fn stops(&self) -> bool {
        INTERRUPTED.load(Ordering::Relaxed)
    }

    fn sees(&mut self, look: &dyn Fn() -> Seen) {
        if self.draws {
            self.curve.add(look());
        }
    }

    fn goes_on(&mut self, share: f64) {
        let late = |since: &mut Instant| since.elapsed() > PATIENCE;
        if self.hidden_since.take_if(late).is_some() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        let step = (share.clamp(0.0, 1.0) * STEPS as f64) as u64;
        self.bar.set_position(self.done + step);
    }
}
