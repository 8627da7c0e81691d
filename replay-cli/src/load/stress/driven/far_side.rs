//! The far sides of a run against the driver: in memory, on the load's thread behind the pipe, or behind real sockets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Config, DialResult, FlowId, Micros, Misuse, RemoteEnd};
use engine_driver::{Limits, Mailbox};

use super::driver::Driver;
use super::pipe::{Event, InMemory, Parcel, Pipe};
use super::sockets::Server;
use crate::base::heap::AtWork;
use crate::load::stress::play::Load;
use crate::load::stress::{Stress, Way};
use crate::load::{Border, Device, Far, FarTotals, Remotes};

/// Bytes of streams toward the device handed in before the load looks elsewhere.
const FED: usize = 256 << 10;

/// Bytes that wait for a far side's app, by the engine's slot.
#[derive(Clone, Copy, Debug, Default)]
struct Unread {
    count: usize,
    /// It reads on by itself, at a time that is set.
    set: bool,
}

/// All far sides.
pub(crate) struct FarSide {
    far: Far,
    remotes: Remotes,
    unread: Vec<Unread>,
    /// What was read since the last change of parcels.
    read: Vec<(FlowId, u32)>,
    /// Flows whose bytes were not all taken, and have no room yet.
    shut: Vec<FlowId>,
    /// Those that have it now.
    open: Vec<FlowId>,
    /// Where they are if they are behind sockets.
    server: Option<Server>,
    heard: Instant,
}

impl FarSide {
    pub(crate) fn new(
        way: Way,
        device: &Device,
        stress: &Stress,
        flows: usize,
    ) -> Result<Self, String> {
        let sockets = stress.tcp_flows() + stress.udp_flows();
        let server = match way {
            Way::Sockets => Some(Server::start(device, sockets)?),
            Way::Core | Way::Memory => None,
        };
        let mut far = Far::default();
        far.reserve(stress.tcp_flows());
        let mut remotes = Remotes::default();
        remotes.reserve(flows);
        Ok(Self {
            far,
            remotes,
            unread: vec![Unread::default(); flows],
            read: Vec::with_capacity(flows),
            shut: Vec::with_capacity(flows),
            open: Vec::with_capacity(flows),
            server,
            heard: Instant::now(),
        })
    }

    /// The driver with its host.
    pub(crate) fn start(
        &self,
        config: Config,
        limits: Limits,
        pipe: &Arc<Pipe>,
    ) -> Result<Driver, String> {
        if let Some(server) = &self.server {
            return Driver::start(config, limits, server.host(pipe));
        }
        let host = InMemory(Arc::clone(pipe));
        Driver::start(config, limits, move |_| host)
    }

    /// Takes what has come, for the device and for the far sides; whether anything had.
    pub(crate) fn change(&mut self, pipe: &Pipe, parcel: &mut Parcel) -> bool {
        let came = pipe.change(parcel, &mut self.read, &mut self.shut, &mut self.open);
        if came {
            self.heard = Instant::now();
        }
        came
    }

    /// What far sides do about what came, and what they send by themselves; whether there was anything.
    pub(crate) fn answer(
        &mut self,
        now: Micros,
        device: &Device,
        mailbox: &Mailbox,
        parcel: &mut Parcel,
    ) -> bool {
        let mut place = 0;
        for event in parcel.events.drain(..) {
            match event {
                Event::Dial(flow, key) => {
                    // What the last flow in this slot had not read is gone with it.
                    if let Some(unread) = self.unread.get_mut(flow.slot()) {
                        *unread = Unread::default();
                    }
                    self.remotes.dialed(device, flow, key);
                }
                Event::Data(flow, count) => {
                    let bytes = parcel.bytes.get(place..place + count).unwrap_or_default();
                    place += count;
                    self.receive(now, device, flow, bytes);
                }
                Event::Datagram(flow, count) => {
                    let payload = parcel.bytes.get(place..place + count).unwrap_or_default();
                    place += count;
                    self.far.check_datagram(device.pattern(), payload);
                    self.remotes.echo(device, flow, payload);
                }
                Event::HalfClose(flow) => {
                    if let Some(number) = self.remotes.number_of(flow) {
                        self.far.receive_end(number);
                        self.remotes.may_send(flow, number);
                    }
                }
                Event::Resume(flow) => {
                    if let Some(number) = self.remotes.number_of(flow) {
                        self.remotes.may_send(flow, number);
                    }
                }
            }
        }
        while let Some(flow) = self.remotes.due(now) {
            // A flow that has ended since leaves the one that has its slot alone.
            if self.remotes.number_of(flow).is_some()
                && let Some(unread) = self.unread.get_mut(flow.slot())
            {
                unread.set = false;
            }
            self.read_on(now, flow);
        }
        let mut border = AtMailbox(mailbox);
        for flow in self.open.drain(..) {
            // A flow that has ended meanwhile writes nothing any more.
            let _ = border.writable(flow);
        }
        self.remotes
            .answer(now, device, &mut self.far, &mut border, FED)
    }

    fn receive(&mut self, now: Micros, device: &Device, flow: FlowId, bytes: &[u8]) {
        let Some(number) = self.remotes.number_of(flow) else {
            return;
        };
        self.far.receive(device.pattern(), number, bytes);
        self.remotes.may_send(flow, number);
        let slot = flow.slot();
        if self.unread.len() <= slot {
            self.unread.resize(slot + 1, Unread::default());
        }
        if let Some(unread) = self.unread.get_mut(slot) {
            unread.count += bytes.len();
        }
        self.read_on(now, flow);
    }

    /// The app reads what it may now.
    fn read_on(&mut self, now: Micros, flow: FlowId) {
        let Some(unread) = self.unread.get_mut(flow.slot()) else {
            return;
        };
        let Some(number) = self.remotes.number_of(flow).filter(|_| unread.count > 0) else {
            return;
        };
        if unread.set {
            return;
        }
        let (count, again) = self.far.reads(now, number, unread.count);
        unread.count -= count;
        if count > 0 {
            self.read.push((flow, count as u32));
        }
        if let Some(at) = again {
            unread.set = true;
            self.remotes.reads_at(at, flow);
        }
    }

    /// When the next app reads on.
    pub(crate) fn deadline(&self) -> Option<Micros> {
        self.remotes.deadline()
    }

    /// Whether room is to be given back, or a flow waits for it.
    pub(crate) fn has_read(&self) -> bool {
        !self.read.is_empty()
    }

    /// Every flow that was held back may send.
    pub(crate) fn release(&mut self) {
        self.far.release();
        self.remotes.all_may_send();
        if let Some(server) = &self.server {
            server.release();
        }
    }

    /// For how long nothing has come from the driver.
    pub(crate) fn quiet_for(&self) -> Duration {
        self.heard.elapsed()
    }

    /// Whether every byte that the device is to send has come.
    pub(crate) fn has_all(&self, load: &Load) -> bool {
        self.totals().received >= load.bytes[0]
    }

    pub(crate) fn totals(&self) -> FarTotals {
        match &self.server {
            None => self.far.totals(),
            Some(server) => server.totals(),
        }
    }

    /// A flow has got another port.
    pub(crate) fn moved(&self, number: u32, port: u16) {
        if let Some(server) = &self.server {
            server.moved(number, port);
        }
    }

    /// Datagrams that were lost between the dialer and the kernel.
    pub(crate) fn datagrams_lost(&self) -> u64 {
        self.server.as_ref().map_or(0, Server::datagrams_lost)
    }

    pub(crate) fn troubles(&self) -> Vec<String> {
        match &self.server {
            None => self.far.troubles().to_vec(),
            Some(server) => server.troubles(),
        }
    }
}

/// The mailbox as far sides see it. What it allocates is the driver's.
struct AtMailbox<'a>(&'a Mailbox);

impl Border for AtMailbox<'_> {
    fn connected(&mut self, flow: FlowId) -> Result<(), Misuse> {
        let _counting = AtWork::driver();
        self.0.dialed(flow, DialResult::Connected)
    }

    fn data(&mut self, flow: FlowId, bytes: &[u8]) -> Result<usize, Misuse> {
        let _counting = AtWork::driver();
        self.0.data(flow, bytes)
    }

    fn datagram(&mut self, flow: FlowId, payload: &[u8]) -> Result<bool, Misuse> {
        let _counting = AtWork::driver();
        self.0.datagram(flow, None, payload)
    }

    fn eof(&mut self, flow: FlowId) -> Result<(), Misuse> {
        let _counting = AtWork::driver();
        self.0.ended(flow, RemoteEnd::Eof)
    }

    /// The pipe's room is how much a far side takes.
    fn blocked(&mut self, _flow: FlowId) -> Result<(), Misuse> {
        Ok(())
    }

    fn writable(&mut self, flow: FlowId) -> Result<(), Misuse> {
        let _counting = AtWork::driver();
        self.0.writable(flow)
    }
}
