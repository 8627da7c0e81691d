//! smoltcp alone, in a plain loop and virtual time: one interface, one set for all sockets, rings of the engine's defaults.
//! The loop tells it nothing it could not know, but looks only at the sockets that the frames of a turn were for, as an
//! embedder's dirty list would; what its own scans cost stays in.

use std::collections::{BTreeSet, VecDeque};

use engine::{Config, FrameBatch, Micros};
use smoltcp::iface::{self, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::socket::{tcp, udp};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::HardwareAddress;

use super::{Troubles, describe};
use crate::load::{FarEnd, Load, PIECE, Word};
use crate::workload::DATAGRAM;

/// Ports of the load's servers.
const TCP: u16 = 80;
const UDP: u16 = 7;
/// Datagrams that the socket holds each way.
const DATAGRAMS: usize = 512;

struct Flow {
    handle: SocketHandle,
    far: FarEnd,
}

/// Runs the load to its end; what is returned keeps the sockets' memory.
pub(crate) fn run(load: &mut Load) -> Result<SocketSet<'static>, String> {
    let config = Config::default();
    let (mut input, mut output) = (FrameBatch::new(), FrameBatch::new());
    let mut interface = {
        let mut card = Card {
            input: &mut input,
            output: &mut output,
            mtu: config.mtu,
        };
        Interface::new(
            iface::Config::new(HardwareAddress::Ip),
            &mut card,
            Instant::ZERO,
        )
    };
    interface.set_any_ip(true);
    let mut sockets = SocketSet::new(Vec::new());
    let datagrams = udp_socket(&mut sockets)?;
    let mut flows: Vec<Option<Flow>> = Vec::new();
    flows.resize_with(1 << 16, || None);
    // Sockets that the device has done with: TIME-WAIT keeps them in the set.
    let mut leaving: VecDeque<SocketHandle> = VecDeque::new();
    let mut dirty: Vec<u16> = Vec::new();
    let mut troubles = Vec::new();
    let mut now = Micros::from_secs(1);
    let mut payload = [0; DATAGRAM];
    loop {
        let word = load.speak(now, &mut input);
        admit(load, &input, &config, &mut sockets, &mut flows, &mut dirty)?;
        let at = Instant::from_micros(now.0 as i64);
        let mut moved = !input.is_empty();
        let mut card = Card {
            input: &mut input,
            output: &mut output,
            mtu: config.mtu,
        };
        interface.poll(at, &mut card, &mut sockets);
        let answers = output.take(usize::MAX);
        moved |= !answers.is_empty();
        load.hear(now, answers);
        let socket = sockets.get_mut::<udp::Socket<'_>>(datagrams);
        while socket.can_send()
            && let Ok((count, from)) = socket.recv_slice(&mut payload)
        {
            // The answer leaves from where the question went.
            let sent = socket.send_slice(payload.get(..count).unwrap_or_default(), from);
            moved |= sent.is_ok();
        }
        // Full rings empty into frames, which makes room: those flows stay dirty.
        let ports: BTreeSet<u16> = dirty.drain(..).collect();
        for port in ports {
            let Some(Some(flow)) = flows.get_mut(usize::from(port)) else {
                continue;
            };
            let socket = sockets.get_mut::<tcp::Socket<'_>>(flow.handle);
            let (any, more) = serve(load, socket, &mut flow.far);
            moved |= any;
            if more {
                dirty.push(port);
            }
            if matches!(
                socket.state(),
                tcp::State::Closed | tcp::State::TimeWait | tcp::State::LastAck
            ) && flow.far.is_ended()
            {
                troubles.extend(flow.far.trouble().map(str::to_owned));
                leaving.push_back(flow.handle);
                if let Some(place) = flows.get_mut(usize::from(port)) {
                    *place = None;
                }
            }
        }
        while let Some(handle) = leaving.front().copied() {
            if sockets.get::<tcp::Socket<'_>>(handle).state() != tcp::State::Closed {
                // Later ones may be closed already; they are found when they come to the front.
                leaving.rotate_left(1);
                break;
            }
            sockets.remove(handle);
            leaving.pop_front();
        }
        if moved || word == Word::Said {
            continue;
        }
        if load.is_done() {
            break;
        }
        if word == Word::Silent {
            let step = interface
                .poll_delay(at, &sockets)
                .filter(|delay| *delay > Duration::ZERO)
                .map_or(10_000, |delay| delay.total_micros().min(10_000));
            now = Micros(now.0 + step);
            load.tick(now, &mut input);
            if now > Micros::from_secs(600) {
                return Err("stalled: nothing moves any more".to_owned());
            }
        }
    }
    let troubles = Troubles::new(troubles.into());
    describe(load, &troubles)?;
    Ok(sockets)
}

fn udp_socket(sockets: &mut SocketSet<'static>) -> Result<SocketHandle, String> {
    let buffer = || {
        udp::PacketBuffer::new(
            vec![udp::PacketMetadata::EMPTY; DATAGRAMS],
            vec![0; DATAGRAMS * DATAGRAM],
        )
    };
    let mut socket = udp::Socket::new(buffer(), buffer());
    socket.bind(UDP).map_err(|problem| problem.to_string())?;
    Ok(sockets.add(socket))
}

/// Notes which flows the frames are for; a flow that begins gets a socket.
fn admit(
    load: &mut Load,
    input: &FrameBatch,
    config: &Config,
    sockets: &mut SocketSet<'static>,
    flows: &mut [Option<Flow>],
    dirty: &mut Vec<u16>,
) -> Result<(), String> {
    for frame in input {
        // The load's frames are IPv4 without options.
        let (Some(&6), Some(&[high, low]), Some(flags)) =
            (frame.get(9), frame.get(20..22), frame.get(33))
        else {
            continue;
        };
        let port = u16::from_be_bytes([high, low]);
        dirty.push(port);
        let Some(place) = flows.get_mut(usize::from(port)) else {
            continue;
        };
        if *flags != 2 || place.is_some() {
            continue;
        }
        let Some(far) = load.dialed(port) else {
            continue;
        };
        let mut socket = tcp::Socket::new(
            tcp::SocketBuffer::new(vec![0; config.rx_ring()]),
            tcp::SocketBuffer::new(vec![0; config.tx_ring()]),
        );
        socket.set_ack_delay(None);
        socket.set_nagle_enabled(false);
        socket.listen(TCP).map_err(|problem| problem.to_string())?;
        *place = Some(Flow {
            handle: sockets.add(socket),
            far,
        });
    }
    Ok(())
}

/// The far end of a flow; says whether anything moved, and whether it has more to send than had room.
fn serve(load: &Load, socket: &mut tcp::Socket<'_>, far: &mut FarEnd) -> (bool, bool) {
    let (meter, pattern) = (load.meter(), load.device().pattern());
    let mut moved = false;
    while let Ok(count) = socket.recv(|bytes| {
        if !bytes.is_empty() {
            far.hear(meter, pattern, bytes);
        }
        (bytes.len(), bytes.len())
    }) {
        if count == 0 {
            break;
        }
        moved = true;
    }
    if !far.is_ended() && socket.state() != tcp::State::SynReceived && !socket.may_recv() {
        far.hear_end();
        moved = true;
    }
    while socket.can_send() {
        let bytes = far.next(pattern);
        if bytes.is_empty() {
            break;
        }
        let sent = socket
            .send_slice(bytes.get(..PIECE).unwrap_or(bytes))
            .unwrap_or(0);
        if sent == 0 {
            break;
        }
        far.sent(sent);
        moved = true;
    }
    if socket.may_send() && far.ends_now() {
        socket.close();
        moved = true;
    }
    // An acknowledgement, which is a frame of the flow's, brings it back here.
    (moved, moved)
}

/// A network card: the frames of a turn in, frames out into a batch.
struct Card<'a> {
    input: &'a mut FrameBatch,
    output: &'a mut FrameBatch,
    mtu: usize,
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
        let frame = self.input.take(1).into_iter().next()?;
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

struct Incoming<'a>(&'a [u8]);

impl phy::RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

struct Outgoing<'a>(&'a mut FrameBatch);

impl phy::TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        self.0.push_with(len, f)
    }
}
