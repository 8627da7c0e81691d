//! A UDP flow: a mapping with a dial, a bounded queue and an idle timer.

pub(crate) mod datagrams;

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::api::config::{UdpFiltering, UdpMapping};
use crate::api::time::Micros;
use crate::dns::Asked;
use crate::flow::key::{PackedKey, Proto};

/// Bytes of a packet that an ICMPv6 error can quote (RFC 4443 section 2.4 (c)).
const QUOTED_V6: usize = 1280 - 48;
/// The same of ICMP (RFC 1812 section 4.3.2.3).
const QUOTED_V4: usize = 576 - 28;

/// Bytes of a packet that an error quotes once the far side has answered: headers, and more of the datagram than any
/// sender's host looks at (RFC 792: 64 bits). An error is about such a packet only if the far side goes away later,
/// and it would cost a copy of every datagram to have all of it.
const QUOTED_LATER: usize = 64;

/// Destinations that a mapping remembers for its filter; the one that was new longest ago is forgotten first.
const DESTINATIONS: usize = 64;

/// What a queued datagram costs beyond its payload, bytes: an empty one costs something too, or a flood of them
/// would be free.
const OVERHEAD: usize = 64;

/// One mapping of a device's port to a destination, or to all of them.
#[derive(Debug)]
pub(crate) struct UdpFlow {
    /// The first destination, which was dialed.
    pub(crate) server: SocketAddr,
    pub(crate) connected: bool,
    /// The dialer cannot take datagrams for now.
    pub(crate) blocked: bool,
    pub(crate) opened: Micros,
    pub(crate) last_activity: Micros,
    /// The device's latest packet, as far as an ICMP error quotes it.
    pub(crate) latest: Vec<u8>,
    /// The far side has sent something.
    pub(crate) answered: bool,
    /// Bytes of the longest packet that reaches the device, once it or a router before it reported so.
    pub(crate) path_mtu: Option<usize>,
    /// What was asked of resolvers, if any was.
    pub(crate) asked: Option<Box<Asked>>,
    queue: VecDeque<(SocketAddr, Vec<u8>)>,
    queued: usize,
    /// Destinations beyond the first, in the order in which they were new.
    others: VecDeque<SocketAddr>,
    /// Whether every destination so far had port 53.
    dns: bool,
}

impl UdpMapping {
    /// The tuple under which the flow of a datagram from `client` to `server` is found.
    #[inline]
    pub(crate) fn lookup(self, client: (IpAddr, u16), server: (IpAddr, u16)) -> PackedKey {
        let server = match (self, server.0) {
            (Self::AddressAndPortDependent, _) => server,
            (Self::EndpointIndependent, IpAddr::V4(_)) => (Ipv4Addr::UNSPECIFIED.into(), 0),
            (Self::EndpointIndependent, IpAddr::V6(_)) => (Ipv6Addr::UNSPECIFIED.into(), 0),
        };
        PackedKey::new(Proto::Udp, client, server)
    }
}

impl UdpFlow {
    pub(crate) fn new(now: Micros, server: SocketAddr) -> Self {
        Self {
            server,
            connected: false,
            blocked: false,
            opened: now,
            last_activity: now,
            latest: Vec::new(),
            answered: false,
            path_mtu: None,
            asked: None,
            queue: VecDeque::new(),
            queued: 0,
            others: VecDeque::new(),
            dns: server.port() == 53,
        }
    }

    /// Bytes that wait for the dialer, bookkeeping included.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Datagrams that wait for the dialer.
    pub(crate) fn queued_datagrams(&self) -> usize {
        self.queue.len()
    }

    /// Keeps what an ICMP error would quote of `packet`.
    #[inline]
    pub(crate) fn remember(&mut self, packet: &[u8]) {
        let v6 = packet.first().is_some_and(|first| first >> 4 == 6);
        let most = match v6 {
            _ if self.answered => QUOTED_LATER,
            true => QUOTED_V6,
            false => QUOTED_V4,
        };
        self.latest.clear();
        self.latest
            .extend_from_slice(packet.get(..most).unwrap_or(packet));
    }

    /// Notes that the device sends to `to`.
    #[inline]
    pub(crate) fn note_destination(&mut self, to: SocketAddr) {
        if to != self.server {
            self.note_other(to);
        }
    }

    fn note_other(&mut self, to: SocketAddr) {
        if self.others.contains(&to) {
            return;
        }
        if self.others.len() >= DESTINATIONS {
            self.others.pop_front();
        }
        self.others.push_back(to);
        self.dns &= to.port() == 53;
    }

    /// Whether the filter lets a datagram of `from` in.
    pub(crate) fn lets_in(&self, filtering: UdpFiltering, from: SocketAddr) -> bool {
        let mut known = core::iter::once(&self.server).chain(&self.others);
        match filtering {
            UdpFiltering::AddressAndPortDependent => known.any(|known| *known == from),
            UdpFiltering::AddressDependent => known.any(|known| known.ip() == from.ip()),
            UdpFiltering::EndpointIndependent => true,
        }
    }

    /// Whether it only asks name servers (RFC 4787 REQ-5 (a)).
    pub(crate) fn is_dns(&self) -> bool {
        self.dns
    }

    /// Whether a datagram may pass at once.
    pub(crate) fn is_open(&self) -> bool {
        self.connected && !self.blocked && self.queue.is_empty()
    }

    /// What a queued datagram costs, bytes.
    pub(crate) fn cost(payload: &[u8]) -> usize {
        payload.len() + OVERHEAD
    }

    /// Keeps a copy until the dialer can take it; `false` if `limit` bytes wait already.
    pub(crate) fn enqueue(&mut self, to: SocketAddr, payload: &[u8], limit: usize) -> bool {
        let cost = Self::cost(payload);
        // One datagram always fits: no limit makes the largest ones undeliverable.
        if self.queued > 0 && self.queued + cost > limit {
            return false;
        }
        self.queued += cost;
        self.queue.push_back((to, payload.to_vec()));
        true
    }

    /// The next queued datagram, if the dialer takes any.
    pub(crate) fn dequeue(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        if !self.connected || self.blocked {
            return None;
        }
        let next = self.queue.pop_front()?;
        self.queued -= Self::cost(&next.1);
        Some(next)
    }
}
