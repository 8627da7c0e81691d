//! The one place, with `tcp::port`, that names smoltcp: one shared `Interface`, one `SocketSet` of one per flow.
//!
//! `poll_ingress_single` and `poll_egress` scan the set they are given; a set of one makes the scan a
//! constant. `Interface::poll` is never called: a peer can make one socket emit for ever.

use core::fmt;
use core::time::Duration;
use std::net::SocketAddr;

use smoltcp::iface::{Interface, SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;

use crate::api::batch::FrameBatch;
use crate::api::time::Micros;
use crate::tcp::isn;
use crate::tcp::port::{LONGEST, Port, interface};
use crate::tcp::seq::Seq;

pub(crate) use crate::tcp::port::{Emitted, LONGEST_ROW};
pub(crate) use smoltcp::socket::tcp::State;
pub(crate) use smoltcp::storage::Assembler;

/// Octets of rings that are kept for the flows to come. They are neither allocated nor cleared again.
const SPARE: usize = 256 << 10;
/// The same while flows come and go.
const SPARE_BUSY: usize = 2 << 20;
/// How long after the last of them that is over.
const BUSY: Duration = Duration::from_secs(1);

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
