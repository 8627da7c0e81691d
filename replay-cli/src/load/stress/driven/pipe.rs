//! Between the driver's thread and the load's: frames for the device, bytes for far sides, and each flow's room.
//!
//! It stands in for what a kernel does for a TUN and for sockets: it copies, it is bounded, and what it does not take stays
//! where it is. Its memory is taken when it is made.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::{Close, DnsRecord, FlowId, FlowKey, Frames, LogRecord};
use engine_driver::{Host, Notice};

use crate::base::heap::AtWork;

/// Bytes of frames that may wait for the device, of streams for far sides, and of datagrams beside them.
const WAITING: usize = 1 << 20;

/// Bytes of one stream that may wait for its far side, as a socket's buffer has them.
pub(crate) const SOCKET: u32 = 64 << 10;

/// Room that a far side must have before its flow is called writable again.
const WRITABLE: u32 = SOCKET / 4;

/// What happened to a flow.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    Dial(FlowId, FlowKey),
    /// So many bytes of its stream, the next ones of [`Parcel::bytes`].
    Data(FlowId, usize),
    /// A datagram of so many bytes.
    Datagram(FlowId, usize),
    HalfClose(FlowId),
    Resume(FlowId),
}

/// What the driver's thread has for the load's.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    frames: Vec<u8>,
    ends: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) events: Vec<Event>,
    /// Flows whose bytes were not all taken.
    short: Vec<FlowId>,
    /// Whether frames were not all taken.
    pub(crate) refused: bool,
    /// Notices of the driver, at most some of them.
    pub(crate) notices: Vec<String>,
}

impl Parcel {
    /// With its memory taken and touched.
    fn touched(flows: usize) -> Self {
        let mut parcel = Self {
            frames: vec![1; WAITING],
            ends: Vec::with_capacity(WAITING / 40),
            bytes: vec![1; 2 * WAITING],
            events: Vec::with_capacity(flows * 2 + WAITING / 512),
            short: Vec::with_capacity(flows),
            ..Self::default()
        };
        parcel.clear();
        parcel
    }

    pub(crate) fn frames(&self) -> impl Iterator<Item = &[u8]> {
        let starts = core::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, end)| self.frames.get(start..*end).unwrap_or_default())
    }

    fn clear(&mut self) {
        self.frames.clear();
        self.ends.clear();
        self.bytes.clear();
        self.events.clear();
        self.short.clear();
        self.refused = false;
        self.notices.clear();
    }

    fn is_empty(&self) -> bool {
        self.ends.is_empty() && self.events.is_empty() && self.short.is_empty() && !self.refused
    }
}

#[derive(Debug)]
struct Inner {
    parcel: Parcel,
    /// Room of each flow's far side, by the engine's slot.
    room: Vec<u32>,
    /// The load's thread sleeps.
    sleeps: bool,
}

/// Both ends hold it.
#[derive(Debug)]
pub(crate) struct Pipe {
    inner: Mutex<Inner>,
    news: Condvar,
}

impl Pipe {
    /// A pipe for so many flows, with another parcel to change for.
    pub(crate) fn new(flows: usize) -> (Arc<Self>, Parcel) {
        let inner = Inner {
            parcel: Parcel::touched(flows),
            room: vec![SOCKET; flows],
            sleeps: false,
        };
        let pipe = Self {
            inner: Mutex::new(inner),
            news: Condvar::new(),
        };
        (Arc::new(pipe), Parcel::touched(flows))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes `parcel` for what has come, and gives back room; whether anything had come. Flows in `shut` that have enough
    /// room for the driver to go on are moved to `open`.
    pub(crate) fn change(
        &self,
        parcel: &mut Parcel,
        read: &mut Vec<(FlowId, u32)>,
        shut: &mut Vec<FlowId>,
        open: &mut Vec<FlowId>,
    ) -> bool {
        parcel.clear();
        let mut inner = self.inner();
        for (flow, count) in read.drain(..) {
            if let Some(room) = inner.room.get_mut(flow.slot()) {
                *room = (*room + count).min(SOCKET);
            }
        }
        core::mem::swap(&mut inner.parcel, parcel);
        shut.append(&mut parcel.short);
        let Inner { room, .. } = &*inner;
        shut.retain(|flow| {
            let opens = room.get(flow.slot()).is_none_or(|room| *room >= WRITABLE);
            if opens {
                open.push(*flow);
            }
            !opens
        });
        !parcel.is_empty() || !open.is_empty()
    }

    /// Sleeps until something comes, or for so long.
    pub(crate) fn sleep(&self, span: Duration) {
        let mut inner = self.inner();
        if inner.parcel.is_empty() {
            inner.sleeps = true;
            let woken = self.news.wait_timeout(inner, span);
            inner = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
        inner.sleeps = false;
    }

    /// Something came: the load's thread is woken, if it sleeps.
    fn wake(&self, mut inner: MutexGuard<'_, Inner>) {
        let sleeps = core::mem::take(&mut inner.sleeps);
        drop(inner);
        if sleeps {
            self.news.notify_one();
        }
    }

    /// Frames for the device; how many it took.
    pub(crate) fn frames(&self, frames: Frames<'_>) -> usize {
        let mut inner = self.inner();
        let parcel = &mut inner.parcel;
        let mut taken = 0;
        for frame in frames {
            if parcel.frames.len() + frame.len() > WAITING {
                parcel.refused = true;
                break;
            }
            parcel.frames.extend_from_slice(frame);
            parcel.ends.push(parcel.frames.len());
            taken += 1;
        }
        self.wake(inner);
        taken
    }

    fn data(&self, flow: FlowId, bytes: &[u8]) -> usize {
        let mut inner = self.inner();
        let Inner { parcel, room, .. } = &mut *inner;
        let Some(room) = room.get_mut(flow.slot()) else {
            return bytes.len();
        };
        let space = (*room as usize).min(WAITING.saturating_sub(parcel.bytes.len()));
        let taken = bytes.get(..space).unwrap_or(bytes);
        *room -= taken.len() as u32;
        parcel.bytes.extend_from_slice(taken);
        if !taken.is_empty() {
            parcel.events.push(Event::Data(flow, taken.len()));
        }
        let count = taken.len();
        if count < bytes.len() {
            parcel.short.push(flow);
        }
        self.wake(inner);
        count
    }

    fn datagram(&self, flow: FlowId, payload: &[u8]) -> bool {
        let mut inner = self.inner();
        let parcel = &mut inner.parcel;
        let fits = parcel.bytes.len() + payload.len() <= 2 * WAITING;
        if fits {
            parcel.bytes.extend_from_slice(payload);
            parcel.events.push(Event::Datagram(flow, payload.len()));
        } else {
            parcel.short.push(flow);
        }
        self.wake(inner);
        fits
    }

    fn event(&self, event: Event) {
        let mut inner = self.inner();
        if let Event::Dial(flow, _) = event {
            let slot = flow.slot();
            if inner.room.len() <= slot {
                inner.room.resize(slot + 1, SOCKET);
            }
            if let Some(room) = inner.room.get_mut(slot) {
                *room = SOCKET;
            }
        }
        inner.parcel.events.push(event);
        self.wake(inner);
    }

    pub(crate) fn notice(&self, notice: &Notice) {
        let mut inner = self.inner();
        if inner.parcel.notices.len() < 3 {
            inner.parcel.notices.push(notice.to_string());
        }
    }
}

/// The driver's host in memory: everything goes into the pipe. What it allocates is not the driver's.
pub(crate) struct InMemory(pub(crate) Arc<Pipe>);

impl Host for InMemory {
    fn frames(&mut self, frames: Frames<'_>) -> usize {
        let _rest = AtWork::rest();
        self.0.frames(frames)
    }

    fn dial(&mut self, flow: FlowId, key: FlowKey, _name: Option<&str>) {
        let _rest = AtWork::rest();
        self.0.event(Event::Dial(flow, key));
    }

    fn data(&mut self, flow: FlowId, bytes: &[u8]) -> usize {
        let _rest = AtWork::rest();
        self.0.data(flow, bytes)
    }

    fn datagram(&mut self, flow: FlowId, _to: SocketAddr, payload: &[u8]) -> bool {
        let _rest = AtWork::rest();
        self.0.datagram(flow, payload)
    }

    fn half_close(&mut self, flow: FlowId) {
        let _rest = AtWork::rest();
        self.0.event(Event::HalfClose(flow));
    }

    fn resume(&mut self, flow: FlowId, _space: usize) {
        let _rest = AtWork::rest();
        self.0.event(Event::Resume(flow));
    }

    fn close(&mut self, _flow: FlowId, _key: FlowKey, _close: Close) {}

    fn dns(&mut self, _flow: Option<FlowId>, _record: &DnsRecord) {}

    fn log(&mut self, _record: &LogRecord) {}

    fn notice(&mut self, notice: &Notice) {
        let _rest = AtWork::rest();
        self.0.notice(notice);
    }
}
