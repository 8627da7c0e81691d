//! The one place that names smoltcp: one shared `Interface`, one `SocketSet` of one per flow.
//!
//! `poll_ingress_single` and `poll_egress` scan the set they are given; a set of one makes the scan a
//! constant. `Interface::poll` is never called: a peer can make one socket emit for ever.

use core::fmt;
use core::num::NonZeroUsize;
use core::time::Duration;
use std::net::SocketAddr;

use smoltcp::iface::{self, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::HardwareAddress;

use crate::batch::FrameBatch;
use crate::build::{Addresses, IPV4_HEADER_LEN, IPV6_HEADER_LEN, protocol};
use crate::checksum;
use crate::seq::Seq;
use crate::tcp::isn;
use crate::time::Micros;

pub(crate) use smoltcp::socket::tcp::State;
pub(crate) use smoltcp::storage::Assembler;

/// Octets of rings that are kept for the flows to come. They are neither allocated nor cleared again.
const SPARE: usize = 256 << 10;
/// The same while flows come and go.
const SPARE_BUSY: usize = 2 << 20;
/// How long after the last of them that is over.
const BUSY: Duration = Duration::from_secs(1);

/// The longest packet that smoltcp may make of several segments.
const LONGEST: usize = 65_535;

/// Octets of text that fit such a packet in either family: more would be cut where no segment ends.
pub(crate) const LONGEST_ROW: i32 = 65_000;

/// How smoltcp's segments leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// One, in a packet of the device's MTU at the most.
    One,
    /// One, in a packet of so many octets at the most.
    Within(usize),
    /// Several at once, each with so many octets of text at the most, cut apart on their way out as a card with
    /// segmentation offload does.
    Row(usize),
}

/// smoltcp's part that all flows share.
pub(crate) struct Stack {
    iface: Interface,
    /// The same for [`Cut::Row`]. smoltcp would drop a packet of IPv6 beyond the MTU, whoever cuts it apart, and count it
    /// as sent: this one's MTU is as long as any packet.
    offload: Interface,
    mtu: usize,
    rx_ring: usize,
    tx_ring: usize,
    nagle: bool,
    /// Closed sockets, the last one first: its rings are still in the caches.
    spare: Vec<Socket>,
    /// When one of them was kept last.
    spared: Micros,
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("mtu", &self.mtu)
            .finish_non_exhaustive()
    }
}

/// One flow's socket.
#[derive(Debug)]
pub(crate) struct Socket {
    set: SocketSet<'static>,
    handle: SocketHandle,
    /// What smoltcp's socket says of itself, noted after each call that may change it: it is asked for many times a
    /// packet, and lies deep.
    state: State,
    received: usize,
    queued: usize,
    /// Octets that the dialer has taken and that still stand in the receive ring.
    kept: usize,
    /// How many of them give up their room at once (RFC 9293 section 3.8.6.2.2): a segment, or half the ring. smoltcp
    /// would tell the device of every single octet.
    step: usize,
}

/// What smoltcp put on the wire in one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Emitted {
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) window: u16,
    pub(crate) payload: u32,
    pub(crate) syn: bool,
    pub(crate) fin: bool,
    pub(crate) rst: bool,
}

impl Stack {
    pub(crate) fn new(mtu: usize, rx_ring: usize, tx_ring: usize, nagle: bool) -> Self {
        Self {
            iface: interface(mtu, 0, false),
            offload: interface(LONGEST, 0, true),
            mtu,
            rx_ring,
            tx_ring,
            nagle,
            spare: Vec::new(),
            spared: Micros(0),
        }
    }

    fn socket(&self) -> Socket {
        let mut socket = tcp::Socket::new(
            tcp::SocketBuffer::new(vec![0; self.rx_ring]),
            tcp::SocketBuffer::new(vec![0; self.tx_ring]),
        );
        socket.set_ack_delay(None);
        socket.set_nagle_enabled(self.nagle);
        let mut set = SocketSet::new(Vec::with_capacity(1));
        let handle = set.add(socket);
        Socket {
            set,
            handle,
            state: State::Closed,
            received: 0,
            queued: 0,
            kept: 0,
            step: 0,
        }
    }

    /// Takes a socket back whose flow has ended, for another flow. smoltcp forgets all about it when it listens anew,
    /// but for what it does to send again: a socket that had to is not to be kept.
    pub(crate) fn keep(&mut self, now: Micros, mut socket: Socket) {
        if self.spare.len() < self.most_spare(SPARE_BUSY) {
            socket.tcp_mut().abort();
            self.spare.push(socket);
            self.spared = now;
        }
    }

    fn most_spare(&self, octets: usize) -> usize {
        octets / (self.rx_ring + self.tx_ring).max(1)
    }

    /// Gives kept sockets back to the allocator once no flow has ended for a while; a few stay.
    #[inline]
    pub(crate) fn trim(&mut self, now: Micros) {
        if self.spare.is_empty() || now <= self.spared.plus(BUSY) {
            return;
        }
        let most = self.most_spare(SPARE);
        if self.spare.len() > most {
            self.spare.truncate(most);
            self.spare.shrink_to_fit();
        }
    }

    /// Gives all kept sockets back to the allocator.
    pub(crate) fn release(&mut self) {
        self.spare = Vec::new();
    }

    /// Opens a socket on `server` and lets it see `syn`, so that its ISN is `isn`. `None` if smoltcp does
    /// not take the SYN.
    pub(crate) fn open(
        &mut self,
        now: Micros,
        syn: &[u8],
        server: SocketAddr,
        isn: Seq,
    ) -> Option<Socket> {
        let mut socket = self.spare.pop().unwrap_or_else(|| self.socket());
        let endpoint = (server.ip(), server.port());
        socket.tcp_mut().listen(endpoint).ok()?;
        // smoltcp draws the ISN from the interface that sees the SYN: this one exists for that draw.
        let mut once = interface(self.mtu, isn::seed_for(isn), false);
        let mut nowhere = FrameBatch::default();
        let mut port = Port {
            rx: Some(syn),
            out: &mut nowhere,
            mtu: self.mtu,
            floor: isn,
            offload: false,
            size: None,
            emitted: None,
        };
        once.poll_ingress_single(instant(now), &mut port, &mut socket.set);
        let headers = if server.is_ipv6() { 60 } else { 40 };
        socket.kept = 0;
        socket.step = (self.rx_ring / 2).min(self.mtu.saturating_sub(headers));
        socket.note();
        (socket.state == State::SynReceived).then_some(socket)
    }

    /// Feeds one frame; at most one answer goes to `out`. A bare acknowledgement before `floor` is lifted there:
    /// smoltcp rewinds its own number at a retransmission, and the device would discard what stands before its
    /// window.
    pub(crate) fn ingress(
        &mut self,
        now: Micros,
        socket: &mut Socket,
        frame: &[u8],
        floor: Seq,
        out: &mut FrameBatch,
    ) -> Option<Emitted> {
        let mut port = Port {
            rx: Some(frame),
            out,
            mtu: self.mtu,
            floor,
            offload: false,
            size: None,
            emitted: None,
        };
        self.iface
            .poll_ingress_single(instant(now), &mut port, &mut socket.set);
        let emitted = port.emitted;
        socket.note();
        emitted
    }

    /// Lets the socket send one segment, or a row of them, if it has any to send; `floor` as in [`Stack::ingress`].
    pub(crate) fn egress(
        &mut self,
        now: Micros,
        socket: &mut Socket,
        floor: Seq,
        out: &mut FrameBatch,
        cut: Cut,
    ) -> Option<Emitted> {
        let mut port = Port {
            rx: None,
            out,
            mtu: self.mtu,
            floor,
            offload: false,
            size: None,
            emitted: None,
        };
        let set = &mut socket.set;
        match cut {
            // Under Nagle's algorithm the MTU decides which segment is full.
            Cut::Row(size) if !self.nagle => {
                port.size = Some(size);
                self.offload.poll_egress(instant(now), &mut port, set)
            }
            Cut::One | Cut::Row(_) => self.iface.poll_egress(instant(now), &mut port, set),
            Cut::Within(mtu) => {
                // smoltcp has no call to lower a socket's segment size, but asks the interface for its MTU whenever it
                // cuts one. Such flows are rare: an interface for each segment costs less than keeping one for each.
                port.mtu = mtu;
                interface(mtu, 0, false).poll_egress(instant(now), &mut port, set)
            }
        };
        let emitted = port.emitted;
        socket.note();
        emitted
    }

    /// When the socket wants [`Stack::egress`] again.
    pub(crate) fn poll_at(&mut self, now: Micros, socket: &Socket) -> Option<Micros> {
        let at = self.iface.poll_at(instant(now), &socket.set)?;
        Some(Micros(u64::try_from(at.total_micros()).unwrap_or(0)))
    }
}

impl Socket {
    fn tcp(&self) -> &tcp::Socket<'static> {
        self.set.get(self.handle)
    }

    fn tcp_mut(&mut self) -> &mut tcp::Socket<'static> {
        self.set.get_mut(self.handle)
    }

    fn note(&mut self) {
        let tcp = self.tcp();
        let (state, received, queued) = (tcp.state(), tcp.recv_queue(), tcp.send_queue());
        (self.state, self.received, self.queued) = (state, received, queued);
    }

    /// Ends this side's stream.
    pub(crate) fn close(&mut self) {
        self.tcp_mut().close();
        self.note();
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Octets received in order that the dialer has not taken.
    #[inline]
    pub(crate) fn unread(&self) -> usize {
        self.received.saturating_sub(self.kept)
    }

    /// Octets that the transmit ring still has room for.
    pub(crate) fn send_space(&self) -> usize {
        self.tcp().send_capacity() - self.queued
    }

    pub(crate) fn send_capacity(&self) -> usize {
        self.tcp().send_capacity()
    }

    #[inline]
    pub(crate) fn send_queue(&self) -> usize {
        self.queued
    }

    /// How many octets [`Socket::peek`] gives.
    pub(crate) fn peek_len(&mut self) -> usize {
        let (kept, unread) = (self.kept, self.unread());
        let piece = self.tcp_mut().peek(usize::MAX).map_or(0, <[u8]>::len);
        if piece > kept { piece - kept } else { unread }
    }

    /// The next received octets, as far as they lie in one piece; by way of `aside` if the ring wraps just behind the
    /// kept ones.
    pub(crate) fn peek<'a>(&'a mut self, aside: &'a mut Vec<u8>) -> &'a [u8] {
        let (kept, unread) = (self.kept, self.unread());
        let tcp = self.set.get_mut::<tcp::Socket<'_>>(self.handle);
        let piece = tcp.peek(usize::MAX).map_or(0, <[u8]>::len);
        if piece > kept || unread == 0 {
            let piece = tcp.peek(usize::MAX).unwrap_or(&[]);
            return piece.get(kept..).unwrap_or(&[]);
        }
        if aside.len() < kept + unread {
            aside.resize(kept + unread, 0);
        }
        let space = aside.get_mut(..kept + unread).unwrap_or_default();
        let read = tcp.peek_slice(space).unwrap_or(0);
        aside.get(kept..read).unwrap_or(&[])
    }

    /// Notes that the dialer has taken the next `count` octets.
    pub(crate) fn consume(&mut self, count: usize) {
        self.kept += count.min(self.unread());
        if self.kept < self.step {
            return;
        }
        // At most two pieces: the ring wraps once.
        while self.kept > 0 {
            let kept = self.kept;
            let taken = self.tcp_mut().recv(|held| {
                let count = kept.min(held.len());
                (count, count)
            });
            // An error means there is nothing to take, which `unread` has said before.
            let Some(taken) = taken.ok().filter(|taken| *taken > 0) else {
                return;
            };
            self.kept -= taken;
            self.received -= taken;
        }
    }

    /// Puts octets into the transmit ring; says how many fitted.
    pub(crate) fn send(&mut self, data: &[u8]) -> usize {
        let taken = self.tcp_mut().send_slice(data).unwrap_or(0);
        self.queued += taken;
        taken
    }
}

fn instant(now: Micros) -> Instant {
    // Half of the range is left for smoltcp to add its delays to.
    Instant::from_micros(i64::try_from(now.0).unwrap_or(i64::MAX).min(i64::MAX / 2))
}

fn interface(mtu: usize, seed: u64, offload: bool) -> Interface {
    let mut config = iface::Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let mut nowhere = FrameBatch::default();
    let mut port = Port {
        rx: None,
        out: &mut nowhere,
        mtu,
        floor: Seq(0),
        offload,
        size: None,
        emitted: None,
    };
    let mut iface = Interface::new(config, &mut port, Instant::ZERO);
    iface.set_any_ip(true);
    iface
}

/// A network card of one call: at most one frame in, frames out into the batch.
struct Port<'a> {
    rx: Option<&'a [u8]>,
    out: &'a mut FrameBatch,
    mtu: usize,
    floor: Seq,
    /// Whether it cuts segments apart; smoltcp asks when it makes an interface.
    offload: bool,
    /// Octets of text in each segment that leaves, if packets may hold more than one.
    size: Option<usize>,
    emitted: Option<Emitted>,
}

impl Device for Port<'_> {
    type RxToken<'t>
        = Incoming<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Outgoing<'t>
    where
        Self: 't;

    fn receive(&mut self, _: Instant) -> Option<(Incoming<'_>, Outgoing<'_>)> {
        let frame = self.rx.take()?;
        Some((
            Incoming(frame),
            Outgoing {
                out: self.out,
                floor: self.floor,
                size: self.size,
                emitted: &mut self.emitted,
            },
        ))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing {
            out: self.out,
            floor: self.floor,
            size: self.size,
            emitted: &mut self.emitted,
        })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        // Received checksums were verified at the edge, where a failure has a reason and a counter; those of what it
        // emits are filled in by `Outgoing`, in wider words.
        capabilities.checksum.ipv4 = Checksum::None;
        capabilities.checksum.tcp = Checksum::None;
        if self.offload {
            capabilities.segmentation.tcpv4 = NonZeroUsize::new(LONGEST);
            capabilities.segmentation.tcpv6 = NonZeroUsize::new(LONGEST);
        }
        capabilities
    }
}

struct Incoming<'a>(&'a [u8]);

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(self.0)
    }
}

struct Outgoing<'a> {
    out: &'a mut FrameBatch,
    floor: Seq,
    size: Option<usize>,
    emitted: &'a mut Option<Emitted>,
}

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Self {
            out,
            floor,
            size,
            emitted,
        } = self;
        let hop_limit = out.hop_limit();
        let result = out.push_with(len, |frame| {
            let result = f(frame);
            *emitted = read_back(frame);
            if let Some(sent) = emitted
                && sent.is_bare()
                && sent.seq.is_before(floor)
            {
                sent.seq = floor;
            }
            if row(*emitted, size).is_none() {
                finish(frame, hop_limit, *emitted);
            }
            result
        });
        if let Some((size, sent)) = row(*emitted, size) {
            let text = usize::try_from(sent.payload).unwrap_or(len);
            let headers = len.saturating_sub(text);
            out.cut_last(headers, size, |frame, before, last| {
                finish_piece(frame, headers, last);
                let before = u32::try_from(before).unwrap_or(0);
                let seq = sent.seq.plus(before);
                finish(frame, hop_limit, Some(Emitted { seq, ..sent }));
            });
        }
        result
    }
}

/// What is to be cut apart, and at which size, if more than one segment was emitted.
fn row(emitted: Option<Emitted>, size: Option<usize>) -> Option<(usize, Emitted)> {
    let (sent, size) = (emitted?, size?);
    usize::try_from(sent.payload)
        .is_ok_and(|text| text > size)
        .then_some((size, sent))
}

/// Fills in what differs between a packet of several segments and each of them, but for what [`finish`] does: the length,
/// and that only the last one pushes.
fn finish_piece(frame: &mut [u8], headers: usize, last: bool) {
    let v6 = frame.first().is_some_and(|first| first >> 4 == 6);
    let (place, len, ip) = if v6 {
        (
            4..6,
            frame.len().saturating_sub(IPV6_HEADER_LEN),
            IPV6_HEADER_LEN,
        )
    } else {
        (2..4, frame.len(), IPV4_HEADER_LEN)
    };
    debug_assert!(headers >= ip + 20, "a TCP header");
    let len = u16::try_from(len).unwrap_or(u16::MAX);
    if let Some(field) = frame.get_mut(place) {
        field.copy_from_slice(&len.to_be_bytes());
    }
    if let Some(segment) = frame.get_mut(ip..) {
        if !last && let Some(flags) = segment.get_mut(13) {
            *flags &= !PUSH;
        }
        if let Some(checksum) = segment.get_mut(16..18) {
            checksum.fill(0);
        }
    }
}

/// The bit of the flag PSH.
const PUSH: u8 = 8;

impl Emitted {
    /// An acknowledgement and nothing else.
    fn is_bare(&self) -> bool {
        self.payload == 0 && !self.syn && !self.fin && !self.rst
    }
}

/// Fills in what smoltcp was told to leave out, the checksums, and what it has no setting for: the TTL or hop limit of
/// its answers, the sequence number of a segment that was lifted.
fn finish(frame: &mut [u8], hop_limit: u8, emitted: Option<Emitted>) {
    let Some(addresses) = Addresses::of(frame) else {
        return;
    };
    let header = match addresses {
        Addresses::V4 { .. } => {
            let Some(header) = frame.first_chunk_mut::<IPV4_HEADER_LEN>() else {
                return;
            };
            [header[8], header[10], header[11]] = [hop_limit, 0, 0];
            [header[10], header[11]] = checksum::of_header(header).to_be_bytes();
            IPV4_HEADER_LEN
        }
        Addresses::V6 { .. } => {
            if let Some(field) = frame.get_mut(7) {
                *field = hop_limit;
            }
            IPV6_HEADER_LEN
        }
    };
    let Some(segment) = frame.get_mut(header..) else {
        return;
    };
    if let Some(sent) = emitted
        && let Some(seq) = segment.get_mut(4..8)
    {
        seq.copy_from_slice(&sent.seq.0.to_be_bytes());
    }
    let [c0, c1] = checksum::tcp_udp(&addresses, protocol::TCP, segment).to_be_bytes();
    if let Some(field) = segment.get_mut(16..18) {
        field.copy_from_slice(&[c0, c1]);
    }
}

/// The fields of a segment smoltcp has written: plain headers, no extension.
fn read_back(frame: &[u8]) -> Option<Emitted> {
    let header = if frame.first()? >> 4 == 6 { 40 } else { 20 };
    let tcp = frame.get(header..)?;
    let [
        _,
        _,
        _,
        _,
        s0,
        s1,
        s2,
        s3,
        a0,
        a1,
        a2,
        a3,
        offset,
        flags,
        w0,
        w1,
        ..,
    ] = *tcp
    else {
        return None;
    };
    Some(Emitted {
        seq: Seq(u32::from_be_bytes([s0, s1, s2, s3])),
        ack: Seq(u32::from_be_bytes([a0, a1, a2, a3])),
        window: u16::from_be_bytes([w0, w1]),
        payload: u32::try_from(tcp.len().checked_sub(usize::from(offset >> 4) * 4)?).ok()?,
        syn: flags & 2 != 0,
        fin: flags & 1 != 0,
        rst: flags & 4 != 0,
    })
}
