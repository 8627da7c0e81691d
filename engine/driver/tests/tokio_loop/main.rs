//! The loop in tokio's paused time: it wakes when it must, ends clean, and does the same twice.

#[path = "../../../core/tests/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::{
    Close, Config, DialResult, DnsRecord, FlowId, FlowKey, Frames, How, LogRecord, Micros, Misuse,
};
use engine_driver::{
    Clock, Handle, Host, LOOK_AGAIN, Limits, Loop, Mailbox, Notice, Snapshot, TokioClock,
};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time;

use support::{Device, Family, Packet};

/// What a mock dialer does: it answers after a while, and sends back what it was given, in its own task.
struct Echo {
    mailbox: Arc<Mailbox>,
    clock: TokioClock,
    delay: Duration,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Seen {
    frames: Vec<(Micros, Vec<u8>)>,
    dials: Vec<(Micros, FlowId)>,
    closes: Vec<(Micros, How)>,
}

impl Host for Echo {
    fn frames(&mut self, frames: Frames<'_>) -> usize {
        let now = self.clock.now();
        let mut seen = self.seen.lock().expect("no panic");
        seen.frames.extend(frames.iter().map(|f| (now, f.to_vec())));
        frames.len()
    }

    fn dial(&mut self, flow: FlowId, _key: FlowKey, _name: Option<&str>) {
        let now = self.clock.now();
        self.seen.lock().expect("no panic").dials.push((now, flow));
        let (mailbox, delay) = (Arc::clone(&self.mailbox), self.delay);
        tokio::spawn(async move {
            time::sleep(delay).await;
            // The device may have given up.
            let _ = mailbox.dialed(flow, DialResult::Connected);
        });
    }

    fn data(&mut self, flow: FlowId, bytes: &[u8]) -> usize {
        self.mailbox.data(flow, bytes).unwrap_or(bytes.len())
    }

    fn datagram(&mut self, _flow: FlowId, _to: SocketAddr, _payload: &[u8]) -> bool {
        true
    }

    fn half_close(&mut self, flow: FlowId) {
        self.mailbox
            .ended(flow, engine::RemoteEnd::Eof)
            .expect("the far side was open");
    }

    fn resume(&mut self, _flow: FlowId, _space: usize) {}

    fn close(&mut self, _flow: FlowId, _key: FlowKey, close: Close) {
        let now = self.clock.now();
        self.seen
            .lock()
            .expect("no panic")
            .closes
            .push((now, close.how));
    }

    fn dns(&mut self, _flow: Option<FlowId>, _record: &DnsRecord) {}

    fn log(&mut self, _record: &LogRecord) {}

    fn notice(&mut self, notice: &Notice) {
        panic!("{notice}");
    }
}

struct Scene {
    handle: Handle,
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<(Echo, Box<Snapshot>)>,
}

/// tokio's clock, and what the system has slept, which tokio's timers do not count.
#[derive(Clone)]
struct Sleeper(TokioClock, Arc<AtomicU64>);

impl Sleeper {
    fn sleep(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).expect("a test's time");
        self.1.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Clock for Sleeper {
    fn now(&self) -> Micros {
        Micros(self.0.now().0 + self.1.load(Ordering::Relaxed))
    }
}

fn start(delay: Duration) -> Scene {
    start_by(TokioClock::new(), |clock| Arc::new(clock), delay)
}

fn start_by(
    clock: TokioClock,
    shown: impl FnOnce(TokioClock) -> Arc<dyn Clock>,
    delay: Duration,
) -> Scene {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let host_seen = Arc::clone(&seen);
    // The same numbers in every run.
    let config = Config {
        seed: Some(1),
        ..Config::default()
    };
    let engine = Loop::new(config, Limits::default(), shown(clock), |mailbox| Echo {
        mailbox: Arc::clone(mailbox),
        clock,
        delay,
        seen: host_seen,
    })
    .expect("sound settings");
    Scene {
        handle: engine.handle(),
        seen,
        task: tokio::spawn(engine.run()),
    }
}

impl Scene {
    fn seen(&self) -> Seen {
        self.seen.lock().expect("no panic").clone()
    }

    /// Lets every task run at this instant, and a millisecond pass: tokio's timers have no finer grain.
    async fn settle(&self) {
        time::sleep(Duration::from_millis(1)).await;
    }

    fn receive(&self, device: &mut Device) {
        let frames = core::mem::take(&mut self.seen.lock().expect("no panic").frames);
        for (_, frame) in frames {
            if let Packet::Tcp(segment) = Packet::read(&frame)
                && segment.to == device.local
            {
                device.take(&segment);
            }
        }
    }

    async fn open(&self, device: &mut Device, delay: Duration) {
        self.handle.mailbox().frame(&device.syn());
        time::sleep(delay).await;
        self.settle().await;
        self.receive(device);
        self.handle.mailbox().frame(&device.ack());
        self.settle().await;
    }
}

fn paused() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime")
}

const DELAY: Duration = Duration::from_millis(40);

#[test]
fn a_session_runs_from_dial_to_close_in_virtual_time() {
    paused().block_on(async {
        let scene = start(DELAY);
        let mut device = Device::new(Family::V4);
        scene.open(&mut device, DELAY).await;
        scene.handle.mailbox().frame(&device.data(b"hello"));
        scene.handle.mailbox().frame(&device.fin());
        scene.settle().await;
        scene.receive(&mut device);
        assert_eq!(
            (&device.received[..], device.received_fin),
            (&b"hello"[..], true)
        );
        scene.handle.mailbox().frame(&device.ack());
        scene.settle().await;
        let closes = scene.seen().closes;
        assert_eq!(closes.len(), 1);
        assert_eq!(closes[0].1, How::Fin);
        scene.handle.stop();
        let (_, snapshot) = scene.task.await.expect("no panic");
        assert_eq!(snapshot.counters.tcp_closes, 1);
        assert_eq!(snapshot.counters.broken_law(), None);
    });
}

#[test]
fn two_runs_are_equal_frame_by_frame_and_time_by_time() {
    let run = || {
        paused().block_on(async {
            let scene = start(DELAY);
            let mut devices: Vec<_> = (0..20)
                .map(|n| Device::on_port(Family::V6, 40_000 + n, 443))
                .collect();
            for device in &mut devices {
                scene.handle.mailbox().frame(&device.syn());
            }
            time::sleep(DELAY).await;
            scene.settle().await;
            let first = scene.seen();
            for device in &mut devices {
                scene.receive(device);
            }
            for device in &mut devices {
                scene.handle.mailbox().frame(&device.data(b"to and fro"));
            }
            scene.settle().await;
            scene.handle.stop();
            let (host, snapshot) = scene.task.await.expect("no panic");
            drop(host);
            let last = scene.seen.lock().expect("no panic").clone();
            (first, last, snapshot.counters)
        })
    };
    let (first, second) = (run(), run());
    assert_eq!(first, second);
    assert_eq!(first.0.frames.len(), 20);
}

#[test]
fn a_dial_that_is_never_answered_times_out_by_the_engines_own_deadline() {
    paused().block_on(async {
        let scene = start(Duration::from_secs(3600));
        let mut device = Device::new(Family::V4);
        scene.handle.mailbox().frame(&device.syn());
        scene.settle().await;
        let turns = scene.handle.snapshot().stats.turns;
        time::sleep(Duration::from_secs(76)).await;
        let closes = scene.seen().closes;
        assert_eq!(closes[0].1, How::Dial(DialResult::TimedOut));
        let waited = closes[0].0.since(scene.seen().dials[0].0);
        assert!(waited >= Duration::from_secs(75));
        assert!(waited < Duration::from_millis(75_006), "{waited:?}");
        let spent = scene.handle.snapshot().stats.turns - turns;
        assert!(spent <= 3, "an idle loop was woken {spent} times");
    });
}

#[test]
fn what_the_host_posts_within_a_turn_takes_no_turn_more_than_it_needs() {
    paused().block_on(async {
        let scene = start(DELAY);
        let mut device = Device::new(Family::V4);
        scene.open(&mut device, DELAY).await;
        let turns = scene.handle.snapshot().stats.turns;
        scene.handle.mailbox().frame(&device.data(b"echo"));
        scene.settle().await;
        scene.receive(&mut device);
        assert_eq!(device.received, b"echo");
        // Streams come after frames: it was told in the same turn.
        assert_eq!(scene.handle.snapshot().stats.turns - turns, 1);
    });
}

#[test]
fn a_deadline_that_is_gone_when_its_time_comes_takes_no_turn() {
    paused().block_on(async {
        let scene = start(DELAY);
        let mut device = Device::new(Family::V4);
        scene.open(&mut device, DELAY).await;
        // Apart from the burst, so that the loop knows the true deadline.
        time::sleep(Duration::from_secs(1)).await;
        scene.handle.mailbox().frame(&device.ack());
        scene.settle().await;
        let turns = scene.handle.snapshot().stats.turns;
        // The time of the dial's deadline passes, for one.
        time::sleep(Duration::from_secs(80)).await;
        assert_eq!(scene.handle.snapshot().stats.turns, turns);
    });
}

#[test]
fn deadlines_after_a_sleep_of_the_system_do_not_wait_for_a_timer_set_before_it() {
    paused().block_on(async {
        let slept = Arc::new(AtomicU64::new(0));
        let sleeper = Sleeper(TokioClock::new(), slept);
        let shown = sleeper.clone();
        let scene = start_by(sleeper.0, |_| Arc::new(shown), DELAY);
        // A flow whose far limits are all that is waited for, and the system falls asleep.
        let mut idle = Device::on_port(Family::V4, 40_000, 443);
        scene.open(&mut idle, DELAY).await;
        time::sleep(Duration::from_secs(1)).await;
        scene.handle.mailbox().frame(&idle.ack());
        scene.settle().await;
        sleeper.sleep(Duration::from_secs(8000));
        // Awake again: a SYN, whose answer the device does not hear.
        let mut device = Device::on_port(Family::V4, 40_001, 443);
        scene.handle.mailbox().frame(&device.syn());
        time::sleep(DELAY).await;
        scene.settle().await;
        scene.seen.lock().expect("no panic").frames.clear();
        let began = sleeper.now();
        time::sleep(Duration::from_secs(40)).await;
        let frames = scene.seen().frames;
        let first = frames.first().expect("the SYN-ACK once more").0;
        let seconds = Micros(first.0 + sleeper.1.load(Ordering::Relaxed)).since(began);
        assert!(seconds < Duration::from_millis(1500), "{seconds:?}");
    });
}

#[test]
fn a_limit_that_a_sleep_of_the_system_has_passed_is_found_within_a_minute() {
    paused().block_on(async {
        let sleeper = Sleeper(TokioClock::new(), Arc::default());
        let shown = sleeper.clone();
        let scene = start_by(sleeper.0, |_| Arc::new(shown), DELAY);
        let mut idle = Device::on_port(Family::V4, 40_000, 443);
        scene.open(&mut idle, DELAY).await;
        time::sleep(Duration::from_secs(1)).await;
        scene.handle.mailbox().frame(&idle.ack());
        scene.settle().await;
        sleeper.sleep(Duration::from_secs(8000));
        // Nothing comes.
        time::sleep(LOOK_AGAIN + Duration::from_millis(2)).await;
        let closes = scene.seen().closes;
        assert_eq!(closes.first().map(|close| close.1), Some(How::Idle));
    });
}

#[test]
fn stopping_under_load_leaves_no_task_and_no_flow() {
    paused().block_on(async {
        let scene = start(DELAY);
        for n in 0..100 {
            let mut device = Device::on_port(Family::V4, 40_000 + n, 443);
            scene.handle.mailbox().frame(&device.syn());
        }
        time::sleep(DELAY / 2).await;
        let mailbox = Arc::clone(scene.handle.mailbox());
        assert_eq!(mailbox.flows(), 100);
        scene.handle.stop();
        let (host, snapshot) = scene.task.await.expect("no panic");
        assert_eq!(scene.seen.lock().expect("no panic").closes.len(), 100);
        drop(host);
        drop(scene.handle);
        time::sleep(DELAY).await;
        assert_eq!(
            tokio::runtime::Handle::current()
                .metrics()
                .num_alive_tasks(),
            0
        );
        assert_eq!((mailbox.flows(), Arc::strong_count(&mailbox)), (0, 1));
        assert_eq!(snapshot.counters.tcp_flows, 0);
        let late = Device::new(Family::V4).syn();
        assert!(!mailbox.frame(&late));
    });
}

#[test]
fn dropping_the_loop_makes_every_handle_stale() {
    paused().block_on(async {
        let scene = start(DELAY);
        let mut device = Device::new(Family::V4);
        scene.open(&mut device, DELAY).await;
        let flow = scene.seen().dials[0].1;
        let mailbox = Arc::clone(scene.handle.mailbox());
        assert_eq!(mailbox.data(flow, b"x"), Ok(1));
        scene.task.abort();
        assert!(scene.task.await.is_err_and(|error| error.is_cancelled()));
        assert_eq!(mailbox.data(flow, b"x"), Err(Misuse::StaleFlow));
        assert_eq!(mailbox.flows(), 0);
    });
}

#[test]
fn a_loop_can_be_started_again_and_stopped_before_it_runs() {
    paused().block_on(async {
        for _ in 0..3 {
            let scene = start(DELAY);
            scene.open(&mut Device::new(Family::V4), DELAY).await;
            assert_eq!(scene.handle.mailbox().flows(), 1);
            scene.handle.stop();
            scene.handle.stop();
            scene.task.await.expect("no panic");
        }
        let scene = start(DELAY);
        scene.handle.stop();
        let (_, snapshot) = scene.task.await.expect("no panic");
        assert_eq!(snapshot.stats.turns, 0);
        scene.handle.stop();
    });
}
