//! The load of a cell: the device of `replay::load`, the same for every stack, and far ends that verify what they get;
//! both timed, so that their cost can be taken out.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use engine::{FrameBatch, Micros};
use replay::load::{Device, FlowPlan, Pattern, Side, downstream, upstream};

use crate::clock::Meter;
use crate::workload::{DATAGRAM, Workload};

/// Frames handed in at a time.
pub const BATCH: usize = 64;
/// Bytes that a far end writes or reads at a time, as `tokio::io::copy_bidirectional` does.
pub const PIECE: usize = 8 << 10;
/// How often a device that has nothing to say is asked again, while others have their turn, before it takes the stack for
/// quiet and acknowledges single segments.
const QUIET_AFTER: u8 = 3;

/// What is out of the ordinary in a probe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Every SYN is said twice.
    pub double_syn: bool,
    /// Every so many frames, one changes places with the next; 0 for none.
    pub swaps: usize,
    /// Far ends take nothing.
    pub never_reads: bool,
    /// Far ends send as soon as they are there, not when they were asked.
    pub at_once: bool,
    /// Far ends send only so long after the device's end.
    pub late: Option<Duration>,
}

/// What a cell is to do, and how far it got.
#[derive(Debug)]
pub struct Load {
    device: Device,
    flows: usize,
    manner: Manner,
    /// After so long it is over, whatever was carried.
    end: Option<Duration>,
    /// What the device said, before it is tampered with.
    raw: FrameBatch,
    /// Frames since the last that changed places.
    in_order: usize,
    dials: u64,
    open_ends: usize,
    /// The farthest byte that the stack acknowledged.
    taken: u64,
    /// Connections begun, and to be had; none counts for datagrams.
    lives: (u64, u64),
    datagrams: u64,
    /// Bytes that far ends are to get.
    wanted: u64,
    meter: Arc<Meter>,
    began: Instant,
    idle: u8,
    frames_in: u64,
    waker: Option<Waker>,
}

/// A load that tasks share; only one of them runs at a time.
pub type Shared = Arc<Mutex<Load>>;

/// The lock; a task that panicked leaves nothing half-done that matters to a failed cell.
pub fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How the device's side stands after a refill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Frames were appended.
    Said,
    /// Nothing now; ask again once others had their turn.
    Soon,
    /// Nothing until something is heard or comes due.
    Silent,
}

impl Load {
    /// The device of a workload.
    #[must_use]
    pub fn new(
        workload: Workload,
        flows: usize,
        quick: bool,
        mtu: usize,
        meter: Arc<Meter>,
    ) -> Self {
        let units = workload.units(flows, quick);
        if workload == Workload::Udp {
            let mut load = Self::of_plans(Vec::new(), 0, mtu, meter);
            load.device.add_udp(flows, units, DATAGRAM);
            load.datagrams = units;
            return load;
        }
        let lives = if workload.churns() {
            units
        } else {
            flows as u64
        };
        Self::of_plans(vec![workload.plan(flows, quick); flows], lives, mtu, meter)
    }

    /// A device with these flows, each opened again until there were so many connections.
    #[must_use]
    pub fn of_plans(plans: Vec<FlowPlan>, lives: u64, mtu: usize, meter: Arc<Meter>) -> Self {
        let mut device = Device::new(mtu);
        let flows = plans.len();
        let once: u64 = plans.iter().map(|plan| plan.up).sum();
        let again = plans.first().map_or(0, |plan| plan.up);
        let wanted = once + again * lives.saturating_sub(flows as u64);
        device.add(plans);
        Self {
            device,
            flows,
            manner: Manner::default(),
            end: None,
            raw: FrameBatch::new(),
            in_order: 0,
            dials: 0,
            open_ends: 0,
            taken: 0,
            lives: (flows as u64, lives),
            datagrams: 0,
            wanted,
            meter,
            began: Instant::now(),
            idle: 0,
            frames_in: 0,
            waker: None,
        }
    }

    /// Sets what is out of the ordinary.
    pub fn set_manner(&mut self, manner: Manner) {
        self.manner = manner;
    }

    /// Sets after how long it is over, whatever was carried.
    pub fn set_end(&mut self, end: Duration) {
        self.end = Some(end);
    }

    /// The far end of the flow on this port of the device, which was dialed.
    pub fn dialed(&mut self, port: u16) -> Option<FarEnd> {
        let number = self.device.flow_on(port)?;
        let plan = *self.device.plan(number)?;
        self.dials += 1;
        self.open_ends += 1;
        Some(FarEnd::new(number, plan, self.manner))
    }

    /// A far end is done with.
    pub fn left(&mut self) {
        self.open_ends = self.open_ends.saturating_sub(1);
    }

    /// Flows that were dialed.
    #[must_use]
    pub fn dials(&self) -> u64 {
        self.dials
    }

    /// Far ends that are not done.
    #[must_use]
    pub fn open_ends(&self) -> usize {
        self.open_ends
    }

    /// The farthest byte that the stack acknowledged, where far ends take nothing.
    #[must_use]
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// The true time since the load was made, as the device counts it. To read the clock is the load's affair, whatever
    /// a stack's interface makes of it: once for a batch, or for each frame.
    #[must_use]
    pub fn clock(&self) -> Micros {
        let passed = self.meter.timed(|| self.began.elapsed());
        Micros::from_secs(1).plus(passed)
    }

    /// Who times it.
    #[must_use]
    pub fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// Frames that were said.
    #[must_use]
    pub fn frames_in(&self) -> u64 {
        self.frames_in
    }

    /// The device, to look at.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Appends what the device has to say, at most [`BATCH`] frames.
    pub fn speak(&mut self, now: Micros, out: &mut FrameBatch) -> Word {
        let meter = Arc::clone(&self.meter);
        meter.timed(|| self.speak_untimed(now, out))
    }

    fn speak_untimed(&mut self, now: Micros, out: &mut FrameBatch) -> Word {
        if self.lives.0 < self.lives.1 {
            for number in 0..self.flows as u32 {
                if self.lives.0 < self.lives.1 && self.device.is_closed(number) {
                    self.device.reopen(number, now);
                    self.lives.0 += 1;
                }
            }
        }
        let before = out.len();
        self.speak_tampered(now, BATCH, out);
        if out.len() == before {
            self.idle = self.idle.saturating_add(1);
            if self.idle < QUIET_AFTER {
                return Word::Soon;
            }
            if self.idle == QUIET_AFTER && self.device.quiet() {
                self.speak_tampered(now, BATCH, out);
            }
        }
        let said = out.len() - before;
        self.frames_in += said as u64;
        if said == 0 {
            return Word::Silent;
        }
        self.idle = 0;
        Word::Said
    }

    fn speak_tampered(&mut self, now: Micros, most: usize, out: &mut FrameBatch) {
        if !self.manner.double_syn && self.manner.swaps == 0 {
            self.device.emit(now, most, out);
            return;
        }
        self.device.emit(now, most, &mut self.raw);
        let mut frames = self.raw.take(usize::MAX).into_iter();
        while let Some(frame) = frames.next() {
            self.in_order += 1;
            if self.manner.swaps > 0
                && self.in_order >= self.manner.swaps
                && let Some(next) = frames.next()
            {
                self.in_order = 0;
                out.push(next);
            }
            out.push(frame);
            // The load's frames are IPv4 without options.
            if self.manner.double_syn && frame.get(33) == Some(&2) {
                out.push(frame);
            }
        }
    }

    /// Whom to wake when there is something to say again.
    pub fn wake_later(&mut self, waker: &Waker) {
        self.waker = Some(waker.clone());
    }

    /// Who waits, if the device may have something to say again.
    pub fn waiter(&mut self) -> Option<Waker> {
        self.waker.take()
    }

    /// Takes in frames of the stack.
    pub fn hear<'a>(&mut self, now: Micros, frames: impl IntoIterator<Item = &'a [u8]>) {
        self.idle = 0;
        let Self {
            meter,
            device,
            manner,
            taken,
            ..
        } = self;
        meter.timed(|| {
            for frame in frames {
                if !is_ipv4(frame) {
                    continue;
                }
                device.receive(now, frame);
                if manner.never_reads {
                    note_taken(taken, frame);
                }
            }
        });
    }

    /// Lets what is due happen; frames are appended. Says whether anything may have to be said.
    pub fn tick(&mut self, now: Micros, out: &mut FrameBatch) -> bool {
        let meter = Arc::clone(&self.meter);
        meter.timed(|| {
            if self.device.deadline().is_none_or(|at| at > now) {
                return false;
            }
            self.device.timeout(now, out);
            self.frames_in += out.len() as u64;
            self.idle = 0;
            true
        })
    }

    /// Whether all was carried.
    pub fn is_done(&mut self) -> bool {
        let meter = Arc::clone(&self.meter);
        if self.end.is_some_and(|end| self.began.elapsed() > end) {
            return true;
        }
        meter.timed(|| {
            if self.datagrams > 0 {
                return self.device.totals().datagrams.1 >= self.datagrams;
            }
            // A byte that is acknowledged has yet to be read.
            self.lives.0 >= self.lives.1 && meter.heard() >= self.wanted && self.device.is_done()
        })
    }

    /// A number that grows while the load gets anywhere.
    #[must_use]
    pub fn progress(&self) -> u64 {
        let totals = self.device.totals();
        totals.received + totals.served + totals.datagrams.1 + self.meter.heard()
    }

    /// Holds the run to its word.
    ///
    /// # Errors
    /// What was altered or lost.
    pub fn verdict(&self) -> Result<(), String> {
        if let Some(trouble) = self.device.troubles().first() {
            return Err(trouble.clone());
        }
        let totals = self.device.totals();
        let wanted = self.lives.1;
        if self.end.is_none() && totals.served != wanted {
            return Err(format!(
                "{} of {wanted} flows were served, {} were reset",
                totals.served, totals.resets
            ));
        }
        Ok(())
    }
}

/// lwIP looks for IPv6 routers of its own accord; the device of the load has none.
fn is_ipv4(frame: &[u8]) -> bool {
    frame.first().is_some_and(|byte| byte >> 4 == 4)
}

/// Takes note of what a segment acknowledges. The device's streams begin with sequence number 1001.
fn note_taken(taken: &mut u64, frame: &[u8]) {
    if let Some(&[a, b, c, d]) = frame.get(28..32) {
        let count = u32::from_be_bytes([a, b, c, d]).wrapping_sub(1001);
        if count < u32::MAX / 2 {
            *taken = (*taken).max(u64::from(count));
        }
    }
}

/// The far end of one flow: verifies what it gets, and has something to send.
#[derive(Debug)]
pub struct FarEnd {
    number: u64,
    plan: FlowPlan,
    got: u64,
    sent: u64,
    device_ended: bool,
    ended: bool,
    manner: Manner,
    trouble: Option<String>,
}

impl FarEnd {
    /// The far end of the flow with this number.
    #[must_use]
    pub const fn new(number: u64, plan: FlowPlan, manner: Manner) -> Self {
        Self {
            number,
            plan,
            got: 0,
            sent: 0,
            device_ended: false,
            ended: false,
            manner,
            trouble: None,
        }
    }

    /// Bytes from the device.
    pub fn hear(&mut self, meter: &Meter, pattern: &Pattern, bytes: &[u8]) {
        meter.timed(|| {
            for part in bytes.chunks(32_768) {
                if !pattern.holds(upstream(self.number), self.got, part) {
                    self.trouble.get_or_insert_with(|| {
                        format!("flow {}: bytes from {} on", self.number, self.got)
                    });
                }
                self.got += part.len() as u64;
            }
            meter.hear(bytes.len());
        });
    }

    /// The device's stream has ended.
    pub fn hear_end(&mut self) {
        self.device_ended = true;
        if self.got != self.plan.up {
            self.trouble.get_or_insert_with(|| {
                format!(
                    "flow {} ended after {} of {} bytes",
                    self.number, self.got, self.plan.up
                )
            });
        }
    }

    /// Whether the device's stream has ended.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.device_ended
    }

    /// Whether it takes anything.
    #[must_use]
    pub const fn reads(&self) -> bool {
        !self.manner.never_reads
    }

    /// Whether it may send: the first byte of a question is there, if there is one at all.
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        self.got > 0 || self.plan.up == 0 || self.manner.at_once
    }

    /// How long it waits with its answer from now on, if it does.
    #[must_use]
    pub fn waits(&self) -> Option<Duration> {
        self.manner.late.filter(|_| self.device_ended)
    }

    /// It has waited long enough.
    pub const fn release(&mut self) {
        self.manner.late = None;
    }

    /// The next bytes toward the device.
    #[must_use]
    pub fn next<'a>(&self, pattern: &'a Pattern) -> &'a [u8] {
        if self.manner.late.is_some() || !self.is_asked() {
            return &[];
        }
        let left = self.plan.down - self.sent;
        pattern.slice(
            downstream(self.number),
            self.sent,
            left.min(PIECE as u64) as usize,
        )
    }

    /// So many of them were taken.
    pub const fn sent(&mut self, count: usize) {
        self.sent += count as u64;
    }

    /// Whether it ends its stream now; says so once.
    pub fn ends_now(&mut self) -> bool {
        let now = self.ends_next();
        self.ended |= now;
        now
    }

    /// Whether [`FarEnd::ends_now`] would say so.
    #[must_use]
    pub fn ends_next(&self) -> bool {
        let all = self.sent == self.plan.down && self.got == self.plan.up;
        let turn = match self.plan.closes_first {
            Side::Device => self.device_ended,
            Side::Remote => !self.plan.stays_open,
        };
        all && turn && !self.ended
    }

    /// What was wrong.
    #[must_use]
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }
}
