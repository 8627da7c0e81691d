//! smoltcp alone: one interface, one socket, the rings of the engine's defaults. What the engine adds is the difference.

use std::time::Duration;

use engine::{Config, FrameBatch, Frames, Micros};
use replay::load::{Device, Far, FlowPlan};
use smoltcp::iface::{self, Interface, PollResult, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::HardwareAddress;

use crate::counted;
use crate::workload::{Done, verify};

/// Frames handed in at a time, as to the engine.
const BATCH: usize = 64;
/// Bytes the far side offers at a time, as to the engine.
const CHUNK: usize = 16 << 10;
/// Rings of the engine's defaults, bytes each.
const RING: usize = 16 << 10;
/// What the device asks for.
const PORT: u16 = 80;

/// One stream through smoltcp, every byte verified.
pub(crate) fn run(plan: FlowPlan) -> Result<Done, String> {
    let config = Config::default();
    let mut device = Device::new(config.mtu);
    device.add([plan]);
    let mut far = Far::default();
    far.open(0, plan);
    let (mut input, mut output) = (FrameBatch::new(), FrameBatch::new());
    let mut iface = {
        let mut card = Card::new(&mut input, &mut output, config.mtu, 0);
        let settings = iface::Config::new(HardwareAddress::Ip);
        Interface::new(settings, &mut card, Instant::ZERO)
    };
    iface.set_any_ip(true);
    let mut socket = tcp::Socket::new(
        tcp::SocketBuffer::new(vec![0; RING]),
        tcp::SocketBuffer::new(vec![0; RING]),
    );
    socket.set_ack_delay(None);
    socket.set_nagle_enabled(config.nagle);
    socket.listen(PORT).map_err(|problem| problem.to_string())?;
    let mut sockets = SocketSet::new(Vec::with_capacity(1));
    let handle = sockets.add(socket);
    let (mut now, mut frames_in) = (Micros::from_secs(1), 0);
    let (mut ended, mut turns_at_rest) = (false, 0);
    while !device.is_done() {
        device.emit(now, BATCH, &mut input);
        let count = input.len();
        frames_in += count as u64;
        let mut card = Card::new(&mut input, &mut output, config.mtu, count);
        let at = Instant::from_micros(i64::try_from(now.0).unwrap_or(0));
        let polled = counted::poll(&mut iface, at, &mut card, &mut sockets);
        let mut moved = count > 0 || polled == PollResult::SocketStateChanged;
        for frame in output.take(usize::MAX) {
            device.receive(now, frame);
            moved = true;
        }
        loop {
            let bytes = counted::peek(&mut sockets, handle);
            let count = bytes.len();
            if count == 0 {
                break;
            }
            far.receive(device.pattern(), 0, bytes);
            counted::consume(&mut sockets, handle, count);
            moved = true;
        }
        let socket = sockets.get_mut::<tcp::Socket<'_>>(handle);
        if !ended && socket.state() == tcp::State::CloseWait {
            ended = true;
            far.receive_end(0);
        }
        if socket.may_send() {
            let bytes = far.next(device.pattern(), 0, CHUNK);
            let taken = counted::send(&mut sockets, handle, bytes);
            far.sent(0, taken);
            moved |= taken > 0;
            if far.ends_now(0) {
                sockets.get_mut::<tcp::Socket<'_>>(handle).close();
                moved = true;
            }
        }
        turns_at_rest = if moved || device.quiet() {
            0
        } else {
            turns_at_rest + 1
        };
        if turns_at_rest > 0 {
            now = now.plus(Duration::from_millis(10));
            device.timeout(now, &mut input);
        }
        if turns_at_rest > 10_000 {
            return Err(format!("nothing moves any more at {now:?}"));
        }
    }
    verify(&device, &far)?;
    let totals = device.totals();
    if totals.served != 1 {
        return Err("the flow was not served".to_owned());
    }
    Ok(Done {
        frames_in,
        frames_out: totals.frames,
        bytes: totals.received + far.totals().received,
        served: 1,
        ticks: 0,
    })
}

/// A network card: the frames of a turn in, frames out into a batch.
pub(crate) struct Card<'a> {
    input: core::iter::Take<engine::FrameIter<'a>>,
    output: &'a mut FrameBatch,
    mtu: usize,
}

impl<'a> Card<'a> {
    fn new(
        input: &'a mut FrameBatch,
        output: &'a mut FrameBatch,
        mtu: usize,
        count: usize,
    ) -> Self {
        let frames: Frames<'a> = input.take(count);
        Self {
            input: frames.into_iter().take(count),
            output,
            mtu,
        }
    }
}

impl phy::Device for Card<'_> {
    type RxToken<'t>
        = Incoming<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Outgoing<'t>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Incoming<'_>, Outgoing<'_>)> {
        let frame = self.input.next()?;
        Some((Incoming(frame), Outgoing(self.output)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(self.output))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

pub(crate) struct Incoming<'a>(&'a [u8]);

impl phy::RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

pub(crate) struct Outgoing<'a>(&'a mut FrameBatch);

impl phy::TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.0.push_with(len, f)
    }
}
