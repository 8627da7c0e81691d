//! The engine: one `&mut self`, inputs with their time, outputs until none is left.

mod admission;
mod diagnostics;
mod dial;
mod dns;
mod expiry;
mod frames;
mod icmp;
mod merge;
mod path;
mod pump;
mod remote;
mod segment;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::api::batch::FrameBatch;
use crate::api::config::{Config, ConfigError};
use crate::api::counters::Counters;
use crate::api::log::{Log, Redactor};
use crate::api::output::{Close, Lent, Output};
use crate::api::time::{Clock, Micros};
use crate::dns::{DnsRecord, Names, Pending, QueryId, QueryKind};
use crate::flow::key::{FlowKey, PackedKey, Proto};
use crate::flow::room::{self, Room};
use crate::flow::table::{Entry, FlowId, FlowTable, Kind};
use crate::flow::timer::{Deadline, Timers};
use crate::ip::fragment::Identifications;
use crate::ip::icmp::{Errors, RateLimit};
use crate::ip::reassembly::{Limits, Reassembly};
use crate::tcp::Phase;
use crate::tcp::ring::Pool;
use crate::tcp::tombstone::Tombstones;
use crate::udp::datagrams::{DatagramArena, DatagramRange};

/// Frames in one [`Output::Frames`].
const BATCH: usize = 64;

/// A packet-tunnel engine without IO. See the crate's page for the contract.
///
/// A host feeds it, drains it, and waits as long as it says:
///
/// ```
/// use engine::{Config, Engine, Micros, Output};
///
/// let mut engine = Engine::new(Config { seed: Some(7), ..Config::phone() })?;
/// let now = Micros::from_secs(1);
/// // 60 bytes that are no IP packet: counted, and answered by nothing.
/// engine.handle_frames(now, [[0_u8; 60].as_slice()]);
/// while let Some(output) = engine.poll_output(now) {
///     if let Output::Frames(frames) = output {
///         println!("{} frames for the device", frames.len());
///     }
/// }
/// assert_eq!(engine.counters().frames_dropped(), 1);
/// assert_eq!(engine.poll_timeout(), None, "nothing is owed");
/// # Ok::<(), engine::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Engine {
    config: Config,
    clock: Clock,
    counters: Counters,
    /// Buffers of rings.
    pool: Pool,
    flows: FlowTable,
    tombstones: Tombstones,
    reassembly: Reassembly,
    timers: Timers,
    room: Room,
    /// Flows that may have something to emit or to hand over, in the order in which they became so.
    dirty: VecDeque<u32>,
    events: VecDeque<Event>,
    datagrams: DatagramArena,
    out: FrameBatch,
    identifications: Identifications,
    errors: Errors,
    /// What the last `Output::Data` lent: what was taken of it leaves the ring at the next call.
    lent: Option<Lending>,
    stopped: bool,
    log: Log,
    /// When the counters were last written to the log.
    metered: Option<Micros>,
    /// When the log last reported that a limit is reached.
    limit_logged: Option<Micros>,
    /// Names of addresses, out of DNS answers.
    names: Names,
    /// Intercepted queries.
    pending: Pending,
    /// The name lent by the last `Output::Dial` or `Output::Resolve`.
    lent_name: Option<Arc<str>>,
}

/// Bytes that a flow lends to the dialer.
#[derive(Clone, Copy, Debug)]
struct Lending {
    flow: FlowId,
    count: usize,
    /// How many of them the dialer took.
    taken: usize,
    /// The engine itself takes the dialer's place.
    local: bool,
}

/// Outputs that wait; `Data` and `Frames` are made when asked for.
#[derive(Debug)]
enum Event {
    Dial {
        flow: FlowId,
        key: FlowKey,
        name: Option<Arc<str>>,
    },
    Resolve {
        query: QueryId,
        name: Arc<str>,
        kind: QueryKind,
    },
    Datagram {
        flow: FlowId,
        to: SocketAddr,
        range: DatagramRange,
    },
    HalfClose {
        flow: FlowId,
    },
    Resume {
        flow: FlowId,
        space: usize,
    },
    Close {
        flow: FlowId,
        key: FlowKey,
        close: Close,
    },
    Dns {
        flow: Option<FlowId>,
        record: DnsRecord,
    },
    /// An intercepted connection is to be dialed. It never leaves the engine, whatever has become of the flow.
    LocalDial {
        flow: FlowId,
    },
    /// The same of the half-close of one.
    LocalHalfClose {
        flow: FlowId,
    },
}

impl Engine {
    /// An engine without flows.
    ///
    /// # Errors
    /// A setting out of its bounds, or [`Config::seed`] missing: a host draws it anew at every start.
    pub fn new(config: Config) -> Result<Self, ConfigError> {
        config.check()?;
        let seed = config.drawn_seed()?;
        #[cfg(feature = "seeded-fault")]
        let config = if crate::seeded_fault::is(crate::seeded_fault::Fault::EarlyIdle) {
            let tcp_idle = core::time::Duration::from_millis(20);
            Config { tcp_idle, ..config }
        } else {
            config
        };
        Ok(Self {
            clock: Clock::default(),
            counters: Counters::default(),
            pool: Pool::default(),
            flows: FlowTable::new(seed),
            tombstones: Tombstones::new(seed, config.tcp_limit.saturating_mul(2)),
            reassembly: Reassembly::new(Limits::default()),
            timers: Timers::default(),
            room: Room::new(config.byte_budget.unwrap_or(usize::MAX)),
            dirty: VecDeque::new(),
            events: VecDeque::new(),
            datagrams: DatagramArena::default(),
            out: FrameBatch::with_hop_limit(config.hop_limit),
            identifications: Identifications::new(u32::try_from(seed & 0xffff_ffff).unwrap_or(1)),
            errors: Errors::new(RateLimit::default(), config.mtu),
            lent: None,
            stopped: false,
            log: Log::new(
                config.log_level,
                config.log_mask,
                Redactor::new(seed, config.log_addresses),
            ),
            metered: None,
            limit_logged: None,
            names: Names::new(config.dns_names),
            pending: Pending::default(),
            lent_name: None,
            config,
        })
    }

    /// The settings in force.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Everything counted so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let mut counters = Counters::default();
        self.count_into(&mut counters);
        counters
    }

    /// As [`Engine::counters`], into counters that are there already: without an allocation.
    pub fn count_into(&self, counters: &mut Counters) {
        counters.clone_from(&self.counters);
        counters.tcp_flows = self.flows.count(Proto::Tcp) as u64;
        counters.udp_flows = self.flows.count(Proto::Udp) as u64;
        counters.tcp_dialing = self.room.dialing() as u64;
        counters.flow_bytes = self.room.used() as u64;
        counters.frames_waiting = self.out.len() as u64;
        counters.guard_hits = counters.guard_segments_repaired
            + counters.guard_syns_refused
            + counters.guard_stalls_nudged
            + counters.guard_endless_output;
        counters.dns_names = self.names.len() as u64;
        counters.dns_pending = self.pending.len() as u64;
        counters.fragment_bytes = self.reassembly.bytes() as u64;
    }

    /// The next thing to act upon, or `None` when there is nothing left. Call it after every input until then.
    pub fn poll_output(&mut self, now: Micros) -> Option<Output<'_>> {
        let now = self.clock.at(now);
        self.counters.polls += 1;
        self.settle(now);
        self.log_counters(now);
        if let Some(record) = self.log.pop() {
            return Some(Output::Log(record));
        }
        if let Some(Event::Datagram { flow, to, range }) = self.events.front() {
            // The most frequent event by far; it concerns only the host.
            let (flow, to, range) = (*flow, *to, *range);
            self.events.pop_front();
            return Some(self.datagram_output(flow, to, range));
        }
        // Events of an intercepted connection are answered here; each pass takes an event or bytes off.
        loop {
            if self.events.is_empty() {
                // Every pass takes a flow off the list; a flow comes back only with an event, a frame or bytes to lend.
                while self.out.len() < BATCH && self.events.is_empty() {
                    let Some(slot) = self.dirty.pop_front() else {
                        break;
                    };
                    self.lent = self.pump(now, slot);
                    if self.lent.is_some() {
                        break;
                    }
                }
            }
            if let Some(event) = self.events.pop_front() {
                // Bytes about to be lent wait for their turn behind the event.
                if let Some(lent) = self.lent.take() {
                    self.mark_dirty(lent.flow.slot);
                }
                let Some(event) = self.answer_event(now, event) else {
                    continue;
                };
                self.log_event(&event);
                return self.event_output(event);
            }
            match &mut self.lent {
                Some(lent) if lent.local => lent.taken = lent.count,
                _ => break,
            }
            self.settle(now);
        }
        if let Some(lent) = &mut self.lent
            && let Ok((_, live)) = self.flows.live(lent.flow)
        {
            let bytes = live.connection.peek();
            return Some(Output::Data {
                flow: lent.flow,
                bytes: Lent::new(bytes.get(..lent.count).unwrap_or(bytes), &mut lent.taken),
            });
        }
        if !self.out.is_empty() {
            let frames = self.out.take(BATCH);
            self.counters.frames_out += frames.len() as u64;
            self.counters.bytes_out += frames.bytes() as u64;
            return Some(Output::Frames(frames));
        }
        self.log.pop().map(Output::Log)
    }

    fn event_output(&mut self, event: Event) -> Option<Output<'_>> {
        Some(match event {
            Event::Dial { flow, key, name } => {
                self.lent_name = name;
                let name = self.lent_name.as_deref();
                Output::Dial { flow, key, name }
            }
            Event::Resolve { query, name, kind } => {
                let name = self.lent_name.insert(name);
                Output::Resolve { query, name, kind }
            }
            Event::Datagram { flow, to, range } => self.datagram_output(flow, to, range),
            Event::HalfClose { flow } => Output::HalfClose { flow },
            Event::Resume { flow, space } => Output::Resume { flow, space },
            Event::Close { flow, key, close } => Output::Close { flow, key, close },
            Event::Dns { flow, record } => Output::Dns { flow, record },
            Event::LocalDial { .. } | Event::LocalHalfClose { .. } => return None,
        })
    }

    fn datagram_output(
        &mut self,
        flow: FlowId,
        to: SocketAddr,
        range: DatagramRange,
    ) -> Output<'_> {
        self.counters.upstream_datagrams += 1;
        self.counters.udp_waiting -= 1;
        Output::Datagram {
            flow,
            to,
            payload: self.datagrams.take(range),
        }
    }

    /// When to call [`Engine::handle_timeout`], for what, and for which flow, by the clock of the latest input. `None`: not
    /// before the next input.
    ///
    /// After a clock that jumped forward everything overdue comes at once. One that went back is asked for what was left
    /// before: no limit gets longer, and none shorter.
    pub fn poll_timeout(&mut self) -> Option<Deadline> {
        let mut first = self.first_flow_deadline();
        for other in [self.resolve_deadline(), self.reassembly_deadline()] {
            if let Some(other) = other
                && first.as_ref().is_none_or(|first| other.at <= first.at)
            {
                first = Some(other);
            }
        }
        let first = first?;
        let at = self.clock.for_host(first.at)?;
        Some(Deadline { at, ..first })
    }

    /// A time before which [`Engine::poll_timeout`] does not come, found without a look at any flow: for loops that
    /// would ask at every turn while deadlines move on with every packet. At that time
    /// [`Engine::handle_timeout`] may find nothing due, and knows better afterwards.
    #[must_use]
    pub fn timeout_bound(&self) -> Option<Micros> {
        let flow = self.timers.bound();
        let others = [self.reassembly_deadline(), self.resolve_deadline()];
        let others = others.into_iter().flatten().map(|deadline| deadline.at);
        let first = others.chain(flow).min()?;
        self.clock.for_host(first)
    }

    fn mark_dirty(&mut self, slot: u32) {
        if let Some(entry) = self.flows.at(slot) {
            entry.flow.mark_dirty(&mut self.dirty);
        }
    }

    /// Ends a flow: out of the table, one close to the host, and nothing that waits in it goes anywhere any more.
    fn finish(&mut self, slot: u32, close: Close) -> Option<Entry> {
        let entry = self.detach(slot)?;
        if let Kind::Udp(udp) = &entry.kind {
            let queued = udp.queued_datagrams() as u64;
            self.counters.udp_waiting -= queued;
            self.counters.udp_given_up += queued;
        }
        self.report_close(&entry, close);
        Some(entry)
    }

    /// As [`Engine::finish`]; gives what a TCP flow leaves behind.
    fn finish_tcp(&mut self, slot: u32, close: Close) -> Option<(PackedKey, Phase)> {
        let entry = self.finish(slot, close)?;
        match entry.kind {
            Kind::Tcp(tcp) => Some((entry.flow.key, tcp.phase)),
            Kind::Udp(_) => None,
        }
    }

    /// Takes a flow out of the table, off the timers and the ledger; what waits in it goes with it.
    fn detach(&mut self, slot: u32) -> Option<Entry> {
        let entry = self.flows.remove(slot)?;
        self.timers.disarm(slot);
        self.room.release(entry.flow.cost);
        self.room.forget(slot);
        if let Kind::Tcp(tcp) = &entry.kind
            && let Phase::Live(_) = &tcp.phase
        {
            self.counters.tcp_connected -= 1;
            self.counters.ring_bytes -= entry.flow.cost.saturating_sub(room::SOCKET) as u64;
        }
        Some(entry)
    }

    /// Reports to the host that a flow has ended, unless it was the engine's own.
    fn report_close(&mut self, entry: &Entry, close: Close) {
        match &entry.kind {
            Kind::Tcp(_) => self.counters.tcp_closes += 1,
            Kind::Udp(_) => self.counters.udp_closes += 1,
        }
        let flow = entry.flow.id;
        if entry.flow.local {
            self.pending.forget(flow);
        } else {
            let key = entry.tuple();
            self.events.push_back(Event::Close { flow, key, close });
        }
    }
}
