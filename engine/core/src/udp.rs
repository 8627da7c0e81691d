//! A UDP flow: a mapping with a dial, a bounded queue and an idle timer. No smoltcp here.

use std::collections::VecDeque;

use crate::dns::Asked;
use crate::time::Micros;

/// Octets of a packet that an ICMPv6 error can quote (RFC 4443 section 2.4 (c)).
const QUOTED_V6: usize = 1280 - 48;
/// The same of ICMP (RFC 1812 section 4.3.2.3).
const QUOTED_V4: usize = 576 - 28;

/// One mapping of a device's port to a destination.
#[derive(Debug)]
pub(crate) struct UdpFlow {
    pub(crate) connected: bool,
    /// The dialer cannot take datagrams for now.
    pub(crate) blocked: bool,
    pub(crate) opened: Micros,
    pub(crate) last_activity: Micros,
    /// The device's latest packet, as far as an ICMP error quotes it.
    pub(crate) latest: Vec<u8>,
    /// Octets of the longest packet that reaches the device, once it or a router before it said so.
    pub(crate) path_mtu: Option<usize>,
    /// What was asked of resolvers, if any was.
    pub(crate) asked: Option<Box<Asked>>,
    queue: VecDeque<Vec<u8>>,
    queued: usize,
}

impl UdpFlow {
    pub(crate) fn new(now: Micros) -> Self {
        Self {
            connected: false,
            blocked: false,
            opened: now,
            last_activity: now,
            latest: Vec::new(),
            path_mtu: None,
            asked: None,
            queue: VecDeque::new(),
            queued: 0,
        }
    }

    /// Octets held for the dialer, bookkeeping included.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Datagrams held for the dialer.
    pub(crate) fn held(&self) -> usize {
        self.queue.len()
    }

    /// Keeps what an ICMP error would quote of `packet`.
    pub(crate) fn remember(&mut self, packet: &[u8]) {
        let v6 = packet.first().is_some_and(|first| first >> 4 == 6);
        let most = if v6 { QUOTED_V6 } else { QUOTED_V4 };
        self.latest.clear();
        self.latest
            .extend_from_slice(packet.get(..most).unwrap_or(packet));
    }

    /// Whether a datagram may pass at once.
    pub(crate) fn is_open(&self) -> bool {
        self.connected && !self.blocked && self.queue.is_empty()
    }

    /// Keeps a copy until the dialer can take it; `false` if `limit` octets are held already.
    pub(crate) fn hold(&mut self, payload: &[u8], limit: usize) -> bool {
        // An empty datagram costs something too, or a flood of them would be free.
        let cost = payload.len() + 64;
        // One datagram always fits: no limit makes the largest ones undeliverable.
        if self.queued > 0 && self.queued + cost > limit {
            return false;
        }
        self.queued += cost;
        self.queue.push_back(payload.to_vec());
        true
    }

    /// The next held datagram, if the dialer takes any.
    pub(crate) fn release(&mut self) -> Option<Vec<u8>> {
        if !self.connected || self.blocked {
            return None;
        }
        let payload = self.queue.pop_front()?;
        self.queued -= payload.len() + 64;
        Some(payload)
    }
}
