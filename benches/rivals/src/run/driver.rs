//! The engine in its driver's loop on tokio: a task that reads the device, the loop, a task for all far ends.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use engine::{
    Close, DialResult, DnsRecord, FlowId, FlowKey, FrameBatch, Frames, LogRecord, Proto, RemoteEnd,
};
use engine_driver::{Host, Loop, Mailbox, Notice, TokioClock};
use replay::load::Pattern;

use super::{Troubles, attend, describe};
use crate::clock::Meter;
use crate::contender::Preset;
use crate::load::{BATCH, FarEnd, Shared, Word, lock};

/// Pieces that the far ends send before others have their turn.
const TURN: usize = 16;

/// Far ends by the slot of their flow.
#[derive(Default)]
struct Fars {
    slots: Vec<Option<(FlowId, FarEnd)>>,
    ready: VecDeque<FlowId>,
    waker: Option<Waker>,
}

impl Fars {
    fn get(&mut self, flow: FlowId) -> Option<&mut FarEnd> {
        match self.slots.get_mut(flow.slot())? {
            Some((id, far)) if *id == flow => Some(far),
            _ => None,
        }
    }

    fn list(&mut self, flow: FlowId) {
        self.ready.push_back(flow);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// Runs the load to its end.
pub(crate) async fn run(
    preset: Preset,
    flows: usize,
    mtu: usize,
    shared: Shared,
) -> Result<engine_driver::Handle, String> {
    let fars = Arc::new(Mutex::new(Fars::default()));
    let troubles = Troubles::default();
    let pattern = Arc::new(lock(&shared).device().pattern().clone());
    let meter = Arc::clone(lock(&shared).meter());
    let mut config = preset.config(flows);
    config.mtu = mtu;
    let driver = Loop::new(
        config,
        preset.limits(),
        Arc::new(TokioClock::new()),
        |mailbox| Bench {
            mailbox: Arc::clone(mailbox),
            shared: Arc::clone(&shared),
            fars: Arc::clone(&fars),
            pattern: Arc::clone(&pattern),
            meter,
            troubles: Arc::clone(&troubles),
        },
    )
    .map_err(|problem| problem.to_string())?;
    let handle = driver.handle();
    tokio::spawn(driver.run());
    let (mailbox, device) = (Arc::clone(handle.mailbox()), Arc::clone(&shared));
    let mut frames = FrameBatch::new();
    tokio::spawn(poll_fn(move |context| -> Poll<()> {
        speak(&device, &mailbox, mtu, &mut frames, context)
    }));
    let (mailbox, far_ends) = (Arc::clone(handle.mailbox()), Arc::clone(&fars));
    tokio::spawn(poll_fn(move |context| -> Poll<()> {
        send(&far_ends, &mailbox, &pattern, context)
    }));
    let mailbox = Arc::clone(handle.mailbox());
    attend(&shared, |frames| {
        mailbox.frames(frames);
    })
    .await?;
    describe(&lock(&shared), &troubles)?;
    Ok(handle)
}

/// The reader of the device: a batch into the ring, then others have their turn.
fn speak(
    shared: &Shared,
    mailbox: &Mailbox,
    mtu: usize,
    frames: &mut FrameBatch,
    context: &Context<'_>,
) -> Poll<()> {
    let (most, bytes) = mailbox.chunk(BATCH, mtu);
    if !mailbox.has_room(most, bytes) {
        context.waker().wake_by_ref();
        return Poll::Pending;
    }
    let mut load = lock(shared);
    let now = load.clock();
    match load.speak(now, frames) {
        Word::Said => {
            mailbox.batch(frames);
            context.waker().wake_by_ref();
        }
        Word::Soon => context.waker().wake_by_ref(),
        Word::Silent => load.wake_later(context.waker()),
    }
    Poll::Pending
}

/// The far ends: pieces of each in its turn, as long as they are taken.
fn send(
    fars: &Mutex<Fars>,
    mailbox: &Mailbox,
    pattern: &Pattern,
    context: &Context<'_>,
) -> Poll<()> {
    let mut fars = lock(fars);
    for _ in 0..TURN {
        let Some(flow) = fars.ready.pop_front() else {
            fars.waker = Some(context.waker().clone());
            return Poll::Pending;
        };
        let Some(far) = fars.get(flow) else {
            continue;
        };
        let bytes = far.next(pattern);
        if !bytes.is_empty() {
            let Ok(taken) = mailbox.data(flow, bytes) else {
                continue;
            };
            far.sent(taken);
            if taken < bytes.len() {
                continue;
            }
        }
        if far.ends_now() {
            // A flow that is gone needs no end.
            let _ = mailbox.ended(flow, RemoteEnd::Eof);
        } else if !far.next(pattern).is_empty() {
            fars.ready.push_back(flow);
        }
    }
    context.waker().wake_by_ref();
    Poll::Pending
}

struct Bench {
    mailbox: Arc<Mailbox>,
    shared: Shared,
    fars: Arc<Mutex<Fars>>,
    pattern: Arc<Pattern>,
    meter: Arc<Meter>,
    troubles: Troubles,
}

impl Host for Bench {
    fn frames(&mut self, frames: Frames<'_>) -> usize {
        let mut load = lock(&self.shared);
        let now = load.clock();
        load.hear(now, frames);
        if let Some(waker) = load.waiter() {
            waker.wake();
        }
        frames.len()
    }

    fn dial(&mut self, flow: FlowId, key: FlowKey, _: Option<&str>) {
        // The flow is there: it was dialed just now.
        let _ = self.mailbox.dialed(flow, DialResult::Connected);
        if key.proto != Proto::Tcp {
            return;
        }
        let Some(far) = lock(&self.shared).dialed(key.client.port()) else {
            return;
        };
        let mut fars = lock(&self.fars);
        if fars.slots.len() <= flow.slot() {
            fars.slots.resize_with(flow.slot() + 1, || None);
        }
        if let Some(place) = fars.slots.get_mut(flow.slot()) {
            *place = Some((flow, far));
        }
        fars.list(flow);
    }

    fn data(&mut self, flow: FlowId, bytes: &[u8]) -> usize {
        let mut fars = lock(&self.fars);
        if let Some(far) = fars.get(flow) {
            if !far.reads() {
                return 0;
            }
            let asked = far.is_asked();
            far.hear(&self.meter, &self.pattern, bytes);
            if far.ends_next() || !asked {
                fars.list(flow);
            }
        }
        bytes.len()
    }

    fn datagram(&mut self, flow: FlowId, _: SocketAddr, payload: &[u8]) -> bool {
        // What has no room is lost and counted; the load notices.
        self.mailbox.datagram(flow, None, payload).is_ok()
    }

    fn half_close(&mut self, flow: FlowId) {
        let mut fars = lock(&self.fars);
        if let Some(far) = fars.get(flow) {
            far.hear_end();
            if let Some(trouble) = far.trouble() {
                lock(&self.troubles).push(trouble.to_owned());
            }
            if let Some(late) = far.waits() {
                let fars = Arc::clone(&self.fars);
                tokio::spawn(async move {
                    tokio::time::sleep(late).await;
                    let mut fars = lock(&fars);
                    if let Some(far) = fars.get(flow) {
                        far.release();
                        fars.list(flow);
                    }
                });
                return;
            }
            fars.list(flow);
        }
    }

    fn resume(&mut self, flow: FlowId, _: usize) {
        lock(&self.fars).list(flow);
    }

    fn close(&mut self, flow: FlowId, _: FlowKey, _: Close) {
        let mut fars = lock(&self.fars);
        if let Some(place) = fars.slots.get_mut(flow.slot()) {
            *place = None;
        }
    }

    fn dns(&mut self, _: Option<FlowId>, _: &DnsRecord) {}

    fn log(&mut self, _: &LogRecord) {}

    fn notice(&mut self, notice: &Notice) {
        lock(&self.troubles).push(notice.to_string());
    }
}
