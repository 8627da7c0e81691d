//! A stress scenario against the real driver: its loop on a thread of its own, the device and the far sides on this one.
//!
//! ```text
//!   this thread                                   the driver's thread
//!  ┌──────────────────────┐   Mailbox: frames    ┌──────────────────┐
//!  │ Device (all clients) │ ───────────────────> │ Loop: Turn,      │
//!  │ Far (every far side) │ <─────────────────── │ engine, host     │
//!  └──────────────────────┘   Pipe: frames, data └──────────────────┘
//! ```
//! Time is the machine's. What is counted and verified is the same as in virtual time.

mod driver;
mod far_side;
mod pipe;
mod sockets;

use std::time::{Duration, Instant};

use engine::{Config, FrameBatch, Micros};
use engine_driver::Mailbox;

use self::driver::Driver;
use self::far_side::FarSide;
use self::pipe::{Parcel, Pipe};
use super::limits::{drops, hold};

use super::measures::{CostRatio, Measures, Resident};
use super::play::{Group, Load, groups};
use super::{Outcome, Seen, Stress, Watch, Way, plan, process};
use crate::base::duration::Size;
use crate::base::heap::{self, AtWork};
use crate::load::{self, Device, Weather};

/// Without progress for so long a client sends again: a queue in front of the engine is no loss (RFC 6298 section 2).
const PATIENCE: u64 = 1_000_000;

/// Frames handed in at a time, and how many such batches before the load looks elsewhere.
const BATCH: usize = 64;
const BATCHES: usize = 4;

/// How often memory, timers and progress are looked at.
const LOOK: Duration = Duration::from_millis(20);

/// For so long nothing has come when things are called quiet.
const QUIET: Duration = Duration::from_millis(100);

/// Looks for news before the thread sleeps.
const SPINS: u32 = 20;

/// Without a byte for so long, what the scenario itself waits for aside, the load has stalled.
const STALLED: Duration = Duration::from_secs(30);

/// Plays the scenario against the driver, and the baseline of its cost if it has a limit for that.
pub(crate) fn run(stress: &Stress, way: Way, watch: &mut dyn Watch) -> Result<Outcome, String> {
    let mut outcome = once(stress, way, watch)?;
    if let Some(limit) = stress.limits.cost_ratio
        && !outcome.interrupted
    {
        let baseline = once(&baseline(stress, limit.flows), way, &mut Silent(watch))?;
        outcome.interrupted |= baseline.interrupted;
        let cost = |outcome: &Outcome| outcome.measures.as_ref()?.nanoseconds_per_frame;
        let ratio = cost(&outcome)
            .zip(cost(&baseline))
            .map(|(mine, few)| CostRatio {
                flows: limit.flows,
                baseline_nanoseconds_per_frame: few,
                ratio: mine / few,
            });
        if let Some(measures) = &mut outcome.measures {
            measures.cost_ratio = ratio;
        }
        let missed = baseline.missed.into_iter();
        outcome
            .missed
            .extend(missed.map(|miss| format!("baseline of cost_ratio: {miss}")));
    }
    if !outcome.interrupted {
        hold(stress, &mut outcome);
    }
    Ok(outcome)
}

/// Whoever watches a baseline only may stop it.
struct Silent<'a>(&'a mut dyn Watch);

impl Watch for Silent<'_> {
    fn stops(&self) -> bool {
        self.0.stops()
    }
}

/// The same bytes and connections over fewer flows.
fn baseline(stress: &Stress, flows: u32) -> Stress {
    let mut few = stress.clone();
    let all = stress.tcp_flows() as u64;
    for group in &mut few.tcp {
        let before = u64::from(group.flows);
        // Each group keeps its share; at least one flow of it is left.
        let share = (u64::from(flows) * before / all.max(1)).clamp(1, before);
        group.flows = u32::try_from(share).unwrap_or(1);
        if group.connections.is_none() {
            group.up = Size(group.up.as_bytes() * before / share);
            group.down = Size(group.down.as_bytes() * before / share);
        }
    }
    if let Some(udp) = &mut few.udp {
        udp.flows = udp.flows.min(flows);
    }
    few.limits = super::Limits::default();
    few
}

/// One run, not yet held against anything.
fn once(stress: &Stress, way: Way, watch: &mut dyn Watch) -> Result<Outcome, String> {
    let mut config = plan::config(stress);
    // A connection that follows another may be dialed before the end of the other has been taken up.
    let tcp = stress.tcp_flows();
    if stress.engine.get("tcp_limit").is_none() {
        config.tcp_limit = config.tcp_limit.max(tcp + tcp / 4 + 64);
    }
    heap::reset_process();
    let mut bench = Bench::new(stress, way, config)?;
    let stalled = bench.carry(watch);
    watch.sees(&|| bench.seen());
    bench.outcome(stress, stalled)
}

/// Everything that takes part in one run.
struct Bench {
    driver: Driver,
    device: Device,
    far: FarSide,
    groups: Vec<Group>,
    load: Load,
    weather: Option<Weather>,
    pipe: std::sync::Arc<Pipe>,
    parcel: Parcel,
    frames: FrameBatch,
    /// The longest frame.
    mtu: usize,
    began: Instant,
    /// When the last byte came.
    done: Option<Instant>,
    looked: Instant,
    /// What the scenario itself may keep everything waiting for.
    waits: Duration,
    held_open: u64,
    resident: Resident,
    interrupted: bool,
    /// The ring had no room for a batch.
    full: bool,
    notices: Vec<String>,
}

impl Bench {
    fn new(stress: &Stress, way: Way, config: Config) -> Result<Self, String> {
        let load = Load::of(stress);
        let flows = config.tcp_limit + config.udp_limit;
        let (pipe, parcel) = Pipe::new(flows);
        let mut frames = FrameBatch::new();
        for _ in 0..BATCH {
            frames.push(&vec![1; config.mtu]);
        }
        frames.clear();
        let mtu = config.mtu;
        let device = plan::device(stress, Some(PATIENCE));
        let far = FarSide::new(way, &device, stress, flows)?;
        let limits = plan::driver_limits(stress);
        let driver = far.start(config, limits, &pipe)?;
        let link = &stress.link;
        let weather = Weather::new(link.loss, link.reorder, link.seed);
        let resident = Resident {
            before: process::resident(),
            ..Resident::default()
        };
        let now = Instant::now();
        Ok(Self {
            driver,
            device,
            far,
            groups: groups(stress),
            load,
            weather: (link.loss > 0 || link.reorder > 0).then_some(weather),
            pipe,
            parcel,
            frames,
            mtu,
            began: now,
            done: None,
            looked: now,
            waits: waits(stress),
            held_open: stress
                .tcp
                .iter()
                .filter(|group| group.waits_for_all)
                .map(|group| u64::from(group.flows))
                .sum(),
            resident,
            interrupted: false,
            full: false,
            notices: Vec::new(),
        })
    }

    fn now(&self) -> Micros {
        Micros(plan::EPOCH).plus(self.began.elapsed())
    }

    /// Carries the load; what is wrong if it comes to a stop with some of it left.
    fn carry(&mut self, watch: &mut dyn Watch) -> Option<String> {
        let (mut spins, mut stood) = (0, false);
        let mut moved = (Instant::now(), (0, 0, 0));
        let mut arrived = (0, 0, 0);
        loop {
            let now = self.now();
            if self.turn(now) {
                spins = 0;
            } else if self.device.quiet() {
                continue;
            } else if self.device.all_connected() && self.is_quiet() {
                self.look_at_memory(!stood);
                stood = true;
                self.device.release();
                self.far.release();
                continue;
            } else if self.is_done() {
                self.done.get_or_insert_with(Instant::now);
                if self.is_quiet() {
                    self.look_at_memory(false);
                    return None;
                }
            } else if spins < SPINS || self.full {
                // Nothing reports that the ring has room again: the reader of a TUN looks again and again as well.
                spins = spins.saturating_add(1);
                std::thread::yield_now();
                continue;
            } else {
                self.sleep(now);
            }
            if self.looked.elapsed() >= LOOK {
                self.look(watch);
                let far = self.far.totals();
                let seen = (far.received, far.sent, far.datagrams);
                if seen != moved.1 {
                    moved = (Instant::now(), seen);
                } else if moved.0.elapsed() > STALLED + self.waits {
                    // Frames alone are no progress: a window that stays closed is probed for ever.
                    let device = self.device.totals();
                    let seen = (device.received, device.served, device.datagrams.1);
                    if seen == arrived {
                        let seconds = moved.0.elapsed().as_secs();
                        return Some(format!("nothing has moved for {seconds} s"));
                    }
                    (arrived, moved.0) = (seen, Instant::now());
                }
                if self.interrupted {
                    return None;
                }
            }
        }
    }

    /// One round: what came, what the far sides and the device send. Whether there was anything.
    fn turn(&mut self, now: Micros) -> bool {
        let came = self.far.change(&self.pipe, &mut self.parcel);
        let mailbox = self.driver.handle.mailbox();
        if came {
            receive(&mut self.device, &mut self.weather, now, &self.parcel);
            self.notices.append(&mut self.parcel.notices);
            if self.parcel.refused {
                // The device has room again: the driver is woken, and offers again.
                mailbox.frames(core::iter::empty());
            }
        }
        let answered = self
            .far
            .answer(now, &self.device, mailbox, &mut self.parcel);
        for group in &mut self.groups {
            group.follow(&mut self.device, now, |number, port| {
                self.far.moved(number, port);
            });
        }
        let emitted = self.emit(now);
        came || answered || emitted || self.far.has_read()
    }

    /// Frames of the device, as long as the ring has room for them.
    fn emit(&mut self, now: Micros) -> bool {
        let mailbox = self.driver.handle.mailbox();
        let mut any = false;
        self.full = false;
        let (most, bytes) = mailbox.chunk(BATCH, self.mtu);
        for _ in 0..BATCHES {
            if !mailbox.has_room(most, bytes) {
                self.full = true;
                return any;
            }
            // What timers have sent again waits here as well.
            if self.frames.is_empty() {
                self.device.emit(now, most, &mut self.frames);
            }
            if self.frames.is_empty() {
                return any;
            }
            any = true;
            hand_in(mailbox, &mut self.weather, &mut self.frames);
        }
        any
    }

    fn is_quiet(&self) -> bool {
        self.far.quiet_for() >= QUIET
    }

    fn is_done(&self) -> bool {
        self.interrupted
            || (self.groups.iter().all(Group::is_done)
                && self.device.is_done()
                && self.far.has_all(&self.load))
    }

    fn sleep(&self, now: Micros) {
        let next = self.far.deadline();
        let longest = Duration::from_millis(1);
        let span = next.map_or(longest, |at| at.since(now).min(longest));
        self.pipe.sleep(span);
    }

    /// Timers, memory, progress.
    fn look(&mut self, watch: &mut dyn Watch) {
        self.looked = Instant::now();
        let now = self.now();
        if self.device.deadline().is_some_and(|at| at <= now) {
            self.device.timeout(now, &mut self.frames);
        }
        self.resident.peak_growth = self
            .resident
            .peak_growth
            .max(self.growth(process::resident_about()));
        let far = self.far.totals();
        watch.goes_on(self.load.share(far.received, far.sent, far.datagrams));
        watch.sees(&|| self.seen());
        self.interrupted |= watch.stops();
    }

    /// Resident memory beyond what there was before the first flow.
    fn growth(&self, now: Option<u64>) -> Option<u64> {
        Some(now?.saturating_sub(self.resident.before?))
    }

    fn seen(&self) -> Seen {
        let snapshot = self.driver.handle.snapshot();
        let far = self.far.totals();
        Seen {
            at_us: u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX),
            virtual_us: None,
            bytes: [far.received, self.device.totals().received],
            datagrams: far.datagrams,
            frames: snapshot.stats.ring_frames + snapshot.counters.frames_out,
            heap: heap::process().map(|heap| heap.held),
            resident: self.growth(process::resident_about()),
            lag: Some(snapshot.stats.lag),
        }
    }

    /// Resident memory for each flow that is held open, before their bytes or after.
    fn look_at_memory(&mut self, before_bytes: bool) {
        if self.held_open == 0 {
            return;
        }
        let on_top = self
            .growth(process::resident())
            .map(|all| all / self.held_open);
        let heap = heap::process().map(|heap| heap.held / self.held_open);
        if before_bytes {
            self.resident.per_idle_flow = on_top;
            self.resident.heap_per_flow[0] = heap;
        } else {
            self.resident.per_used_flow = on_top;
            self.resident.heap_per_flow[1] = heap;
        }
    }

    fn outcome(self, stress: &Stress, stalled: Option<String>) -> Result<Outcome, String> {
        let done = self.done.unwrap_or_else(Instant::now);
        let time = self.driver.time.nanoseconds();
        let heap = heap::process();
        let snapshot = self.driver.stop()?;
        let (counters, stats) = (&snapshot.counters, &snapshot.stats);
        let (device, far) = (self.device.totals(), self.far.totals());
        let seconds = (done - self.began).as_secs_f64().max(1e-9);
        let (frames_in, frames_out) = (stats.ring_frames, counters.frames_out);
        let frames = (frames_in + frames_out).max(1) as f64;
        let measures = Measures {
            seconds,
            octets_up_per_second: far.received as f64 / seconds,
            octets_down_per_second: device.received as f64 / seconds,
            frames_per_second: frames / seconds,
            driver_seconds: time.map(|time| time as f64 / 1e9),
            nanoseconds_per_frame: time.map(|time| time as f64 / frames),
            turn_us: (&stats.turn_duration).into(),
            lag_us: (&stats.lag).into(),
            inbox_wait_us: (&stats.inbox_wait).into(),
            allocations: heap.map(|heap| heap.allocations),
            allocations_per_frame: heap.map(|heap| heap.allocations as f64 / frames),
            resident: self.resident,
            border: (&snapshot).into(),
            ..Measures::default()
        };
        let border = &measures.border;
        let lost_at_the_border = border.ring_overflow_frames
            + border.inbox_dropped_datagrams
            + border.dialer_dropped_datagrams
            + self.far.datagrams_lost();
        let mut missed: Vec<String> = stalled.into_iter().collect();
        missed.extend(self.device.troubles());
        missed.extend(self.far.troubles());
        if stress.limits.no_drops {
            missed.extend(self.notices.iter().take(3).cloned());
        }
        Ok(Outcome {
            flows_served: device.served,
            flows_wanted: self.load.connections,
            octets_up: far.received,
            octets_down: device.received,
            datagrams: [device.datagrams.0, far.datagrams, device.datagrams.1],
            frames_in,
            frames_out,
            drops: drops(counters) + lost_at_the_border,
            retransmissions: [device.retransmissions, counters.tcp_retransmissions],
            peak_heap: heap.map(|heap| heap.peak),
            open: counters.tcp_flows + counters.udp_flows,
            interrupted: self.interrupted,
            measures: Some(measures),
            missed,
            ..Outcome::default()
        })
    }
}

/// Frames for the device, as the weather lets them through.
fn receive(device: &mut Device, weather: &mut Option<Weather>, now: Micros, parcel: &Parcel) {
    match weather {
        None => parcel.frames().for_each(|frame| device.receive(now, frame)),
        Some(weather) => {
            for frame in weather.pass(load::Way::Out, parcel.frames()) {
                device.receive(now, frame);
            }
        }
    }
}

/// Hands a batch of the device's frames to the driver, as the weather lets them through.
fn hand_in(mailbox: &Mailbox, weather: &mut Option<Weather>, frames: &mut FrameBatch) {
    let all = frames.take(BATCH);
    let _counting = AtWork::driver();
    match weather {
        None => mailbox.frames(all),
        Some(weather) => {
            let _rest = AtWork::rest();
            let through = weather.pass(load::Way::In, all);
            let _counting = AtWork::driver();
            mailbox.frames(through)
        }
    };
}

/// For how long the scenario itself may keep everything waiting.
fn waits(stress: &Stress) -> Duration {
    let group = |group: &super::TcpGroup| {
        let starts = group.every.as_micros()
            * u64::from(group.flows / group.together.unwrap_or(1).max(1) + 1);
        let stalls = group.device_stalls_until.max(group.remote_stalls_until);
        starts + group.jitter.as_micros() + group.think.as_micros() + stalls.as_micros()
    };
    Duration::from_micros(stress.tcp.iter().map(group).max().unwrap_or(0))
}
