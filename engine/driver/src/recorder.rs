//! The flight recorder: what crossed the tunnel and what the dialer did, in a bounded pcapng.
//!
//! A capture taken at the tunnel shows, as the far side, the engine's own output: a bug in the engine would be
//! learned as truth. The recorder keeps beside each frame what the dialer reported to the engine and what it took from
//! it, so that a replay has the real far side.
//!
//! ```text
//! section header, interface "tunnel" (RAW, 10^-6 s)
//! custom block: settings of the engine
//! enhanced packet | custom block, in the order in which they happened
//! ```
//!
//! **Bound.** A ring of two files that hold `max_bytes` together: when the file at `path` has reached half of it,
//! it becomes `NAME.1.EXT`, in place of the one before, and a new one begins with its own headers. So between half
//! and all of the bound is kept, always the newest. The older file first, the two can simply be concatenated:
//! sections follow one another in a pcapng. Of a flow that began before the older file nothing can be replayed.
//!
//! A [`Recorder`] is a [`Tap`] of the turn. **Crash.** [`Recorder::commit`] at the end of each turn hands all that was recorded to the operating system. A
//! process that dies within a turn loses that turn; a block that the disk cut ends the file, what stands before it
//! is whole.
//!
//! **Privacy.** The files are their owner's alone, and a snap length keeps payload out of them ([`Bounds::snap_length`]).
//!
//! **Cost.** One copy of each frame into a buffer that is kept, and one `write` a turn. A disk that is full ends the
//! recording, never the engine: see [`Recorder::status`].
//!
//! The layout of the custom blocks is in docs/FLIGHT_RECORDER.md.

mod block;
mod store;

use core::num::NonZero;
use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;

use engine::{Close, Config, DialResult, FlowId, FlowKey, Micros, RemoteEnd};

use crate::turn::{Crossing, Tap};

use block::{Blocks, Direction, Event, Payload};
pub use block::{ENTERPRISE, MAGIC, VERSION};
pub use store::{FileStore, Store};

/// The least bound, bytes: two files, each with room for a few of the largest blocks.
pub const MIN_BYTES: u64 = 512 * 1024;

/// The most bytes of a stream in one block; what comes at once beyond is split.
const MAX_BODY: usize = 65_536;

/// Bytes that wait in memory at the most before they are written, within a turn.
const BUFFER: usize = 256 * 1024;

/// Records a session; every call records what has just happened on the engine, with the engine's time.
///
/// ```no_run
/// use std::time::{Duration, SystemTime};
/// use engine_driver::recorder::Recorder;
/// use engine_driver::{BootClock, Clock, Limits, Turn};
///
/// let (config, clock) = (engine::Config::phone(), std::sync::Arc::new(BootClock::new()));
/// let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
/// // Two files of 5 MB at the most, of which the older one is replaced.
/// let recorder = Recorder::create("session.pcapng".as_ref(), Some(10 << 20), &config, clock.now(), wall)?;
/// let mut turn = Turn::new(config, Limits::phone(), clock, || {})?;
/// turn.set_tap(Some(Box::new(recorder)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Recorder {
    store: Box<dyn Store>,
    blocks: Blocks,
    /// The settings block's text, for each new file.
    settings: String,
    /// Bytes of each frame that are kept; 0: all, and those of the dialer as well.
    snap: u32,
    /// Half of the bound.
    half: u64,
    /// Bytes of the present file, those in `blocks` included.
    filled: u64,
    /// The engine's time and the wall clock at the start.
    origin: (Micros, Duration),
    flows: HashMap<FlowId, (FlowKey, u64)>,
    dials: u64,
    status: RecorderStatus,
}

/// How much of a session is kept. An `Option<u64>` alone bounds the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// The most bytes of all files together; less than [`MIN_BYTES`] counts as that. `None`: no bound.
    pub max_bytes: Option<u64>,
    /// The most bytes of each frame. Of what far sides sent then only the length is kept: the bytes are zero, so that no
    /// payload is in the file beyond what so many bytes of a frame show. `None`: frames and payloads are whole.
    pub snap_length: Option<NonZero<u32>>,
}

impl From<Option<u64>> for Bounds {
    fn from(max_bytes: Option<u64>) -> Self {
        Self {
            max_bytes,
            snap_length: None,
        }
    }
}

/// The state of a recording.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecorderStatus {
    /// Frames recorded, both ways.
    pub frames: u64,
    /// Events of the dialer recorded.
    pub events: u64,
    /// Events of flows that were dialed before the recording began, which are left out.
    pub strangers: u64,
    /// Bytes written, over all files.
    pub bytes: u64,
    /// How many times the older file was replaced or made.
    pub rotations: u64,
    /// Why the recording has ended, if it has: nothing is recorded any more.
    pub error: Option<String>,
}

impl Recorder {
    /// Begins a recording in `store`. `wall` is the time since the Unix epoch at the engine's `now`.
    ///
    /// # Errors
    /// The first blocks cannot be written.
    pub fn new(
        store: Box<dyn Store>,
        bounds: impl Into<Bounds>,
        config: &Config,
        now: Micros,
        wall: Duration,
    ) -> io::Result<Self> {
        let Bounds {
            max_bytes,
            snap_length,
        } = bounds.into();
        let mut new = Self {
            store,
            snap: snap_length.map_or(0, NonZero::get),
            blocks: Blocks::default(),
            settings: settings(config),
            half: max_bytes.map_or(u64::MAX, |bytes| bytes.max(MIN_BYTES) / 2),
            filled: 0,
            origin: (now, wall),
            flows: HashMap::new(),
            dials: 0,
            status: RecorderStatus::default(),
        };
        new.headers(now);
        new.flush()?;
        Ok(new)
    }

    /// Begins a recording in the file at `path`, which is replaced: see [`FileStore::create`].
    ///
    /// # Errors
    /// The file cannot be made or written.
    pub fn create(
        path: &std::path::Path,
        bounds: impl Into<Bounds>,
        config: &Config,
        now: Micros,
        wall: Duration,
    ) -> io::Result<Self> {
        let store = Box::new(FileStore::create(path)?);
        Self::new(store, bounds, config, now, wall)
    }

    /// The device's frame, as it goes into the engine.
    pub fn frame_in(&mut self, now: Micros, frame: &[u8]) {
        self.frame(now, frame, Direction::Inbound);
    }

    /// The engine's frame, as it goes to the device.
    pub fn frame_out(&mut self, now: Micros, frame: &[u8]) {
        self.frame(now, frame, Direction::Outbound);
    }

    /// The engine asked for a dial; `name` is the host name it knows for the destination.
    pub fn dial(&mut self, now: Micros, flow: FlowId, key: FlowKey, name: Option<&str>) {
        self.dials += 1;
        self.flows.insert(flow, (key, self.dials));
        self.event(now, flow, None, Event::Dial { name });
    }

    /// The dialer answered.
    pub fn dial_result(&mut self, now: Micros, flow: FlowId, result: DialResult) {
        self.event(now, flow, None, Event::DialResult(result));
    }

    /// The far side's next bytes, each once, when they are first offered to the engine: one that never takes them must not look
    /// as if they had not come.
    pub fn remote_data(&mut self, now: Micros, flow: FlowId, bytes: &[u8]) {
        for part in bytes.chunks(MAX_BODY) {
            let event = Event::RemoteData(self.payload(part));
            self.event(now, flow, None, event);
        }
    }

    /// A datagram of the far side; `from` is who sent it, if not the destination that was dialed.
    pub fn remote_datagram(
        &mut self,
        now: Micros,
        flow: FlowId,
        from: Option<SocketAddr>,
        payload: &[u8],
    ) {
        let event = Event::RemoteDatagram(self.payload(payload));
        self.event(now, flow, from, event);
    }

    /// The far side has ended.
    pub fn remote_closed(&mut self, now: Micros, flow: FlowId, end: RemoteEnd) {
        self.event(now, flow, None, Event::RemoteClosed(end));
    }

    /// The dialer took `count` bytes of the device's stream.
    pub fn took(&mut self, now: Micros, flow: FlowId, count: usize) {
        if count > 0 {
            self.event(now, flow, None, Event::Took(count as u64));
        }
    }

    /// The dialer was handed a datagram of the device of `len` bytes; `to` is where it goes, if not to the
    /// destination that was dialed.
    pub fn datagram(&mut self, now: Micros, flow: FlowId, to: Option<SocketAddr>, len: usize) {
        self.event(now, flow, to, Event::Datagram(len as u64));
    }

    /// The dialer got the end of the device's stream.
    pub fn half_close(&mut self, now: Micros, flow: FlowId) {
        self.event(now, flow, None, Event::HalfClose);
    }

    /// The dialer takes no more for now.
    pub fn blocked(&mut self, now: Micros, flow: FlowId) {
        self.event(now, flow, None, Event::Blocked);
    }

    /// The dialer takes bytes again.
    pub fn writable(&mut self, now: Micros, flow: FlowId) {
        self.event(now, flow, None, Event::Writable);
    }

    /// The engine closed the flow.
    pub fn close(&mut self, now: Micros, flow: FlowId, close: Close) {
        self.event(now, flow, None, Event::Close(close));
        self.flows.remove(&flow);
    }

    /// The host reported that the path has changed; `what` describes it.
    pub fn path_changed(&mut self, now: Micros, what: &str) {
        let at = self.wall(now);
        self.append(|blocks| blocks.event(at, None, 0, &Event::Path(what)));
        self.status.events += 1;
    }

    /// Hands what was recorded since the last call to the operating system. To be called at the end of each turn.
    pub fn commit(&mut self) {
        if let Err(error) = self.flush() {
            self.fail(&error);
        }
    }

    /// The state of the recording.
    #[must_use]
    pub fn status(&self) -> &RecorderStatus {
        &self.status
    }

    fn payload<'a>(&self, bytes: &'a [u8]) -> Payload<'a> {
        match self.snap {
            0 => Payload::Whole(bytes),
            _ => Payload::Length(bytes.len()),
        }
    }

    fn frame(&mut self, now: Micros, frame: &[u8], direction: Direction) {
        let (at, snap) = (self.wall(now), self.snap);
        self.append(|blocks| blocks.packet(at, frame, snap, direction));
        self.status.frames += 1;
    }

    fn event(&mut self, now: Micros, flow: FlowId, peer: Option<SocketAddr>, event: Event<'_>) {
        let Some((mut key, dial)) = self.flows.get(&flow).copied() else {
            self.status.strangers += 1;
            return;
        };
        key.server = peer.unwrap_or(key.server);
        let at = self.wall(now);
        self.append(|blocks| blocks.event(at, Some(&key), dial, &event));
        self.status.events += 1;
    }

    /// Appends a block, in a new file if the present one would pass its half of the bound.
    fn append(&mut self, write: impl FnOnce(&mut Blocks)) {
        if self.status.error.is_some() {
            return;
        }
        let before = self.blocks.bytes.len();
        write(&mut self.blocks);
        let added = (self.blocks.bytes.len() - before) as u64;
        if self.filled.saturating_add(added) > self.half {
            if let Err(error) = self.rotate(before) {
                return self.fail(&error);
            }
        } else {
            self.filled += added;
        }
        if self.blocks.bytes.len() > BUFFER {
            self.commit();
        }
    }

    /// Begins a new file with the blocks from `keep` on.
    fn rotate(&mut self, keep: usize) -> io::Result<()> {
        let first = self.blocks.bytes.split_off(keep);
        self.flush()?;
        self.store.rotate()?;
        self.status.rotations += 1;
        self.filled = 0;
        self.headers(self.origin.0);
        self.filled += first.len() as u64;
        self.blocks.bytes.extend_from_slice(&first);
        Ok(())
    }

    fn headers(&mut self, now: Micros) {
        let at = self.wall(now);
        let settings = std::mem::take(&mut self.settings);
        self.blocks.section(self.snap);
        self.blocks.event(at, None, 0, &Event::Settings(&settings));
        self.settings = settings;
        self.filled = self.blocks.bytes.len() as u64;
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.blocks.bytes.is_empty() || self.status.error.is_some() {
            return Ok(());
        }
        self.store.write(&self.blocks.bytes)?;
        self.status.bytes += self.blocks.bytes.len() as u64;
        self.blocks.bytes.clear();
        Ok(())
    }

    fn fail(&mut self, error: &io::Error) {
        self.status.error = Some(error.to_string());
        self.blocks = Blocks::default();
        self.flows = HashMap::new();
    }

    /// Microseconds since the Unix epoch at the engine's `now`.
    fn wall(&self, now: Micros) -> u64 {
        let (then, wall) = self.origin;
        let at = wall.saturating_add(now.since(then));
        u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
    }
}

impl Tap for Recorder {
    fn crossed(&mut self, now: Micros, crossing: Crossing<'_>) {
        match crossing {
            Crossing::FrameIn(frame) => self.frame_in(now, frame),
            Crossing::FrameOut(frame) => self.frame_out(now, frame),
            Crossing::Dial(flow, key) => self.dial(now, flow, key, None),
            Crossing::Dialed(flow, result) => self.dial_result(now, flow, result),
            Crossing::Data(flow, bytes) => self.remote_data(now, flow, bytes),
            Crossing::Datagram(flow, from, payload) => {
                self.remote_datagram(now, flow, from, payload);
            }
            Crossing::Ended(flow, end) => self.remote_closed(now, flow, end),
            Crossing::Blocked(flow) => self.blocked(now, flow),
            Crossing::Writable(flow) => self.writable(now, flow),
            Crossing::Sent(flow, bytes) => self.took(now, flow, bytes.len()),
            Crossing::DatagramSent(flow, to, payload) => {
                self.datagram(now, flow, Some(to), payload.len());
            }
            Crossing::HalfClose(flow) => self.half_close(now, flow),
            Crossing::Close(flow, close) => self.close(now, flow, close),
            Crossing::PathChanged => self.path_changed(now, "the host said so"),
            Crossing::AddressLost(address) => {
                self.path_changed(now, &format!("the device lost {address}"));
            }
        }
    }

    fn turned(&mut self) {
        self.commit();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.commit();
    }
}

/// The settings that a replay needs, a line each, named as in a scenario; durations in microseconds. The seed stays
/// out: it would let a reader of the file predict sequence numbers of the session.
fn settings(config: &Config) -> String {
    const RECORDED: [&str; 13] = [
        "mtu",
        "tcp_limit",
        "udp_limit",
        "rx_buffer",
        "tx_buffer",
        "martians",
        "dial_failure",
        "tcp_idle",
        "udp_idle",
        "dns_idle",
        "handshake_timeout",
        "dial_timeout",
        "tcp_half_closed",
    ];
    let (named, defaults) = (config.named(), Config::default().named());
    let line = |name: &str| {
        let setting = named.iter().find(|(known, _)| *known == name)?;
        // What may be absent, or came with a later version, is recorded only where it was set.
        let optional = matches!(name, "rx_buffer" | "tx_buffer" | "dial_failure");
        (!optional || !defaults.contains(setting)).then(|| format!("{name}={}", setting.1))
    };
    let lines: Vec<String> = RECORDED.into_iter().filter_map(line).collect();
    lines.join("\n")
}
