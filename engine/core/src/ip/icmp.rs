//! Makes ICMP and ICMPv6 messages: echo replies and errors, and decides when an error may go.
//!
//! An error quotes the offending packet as it came, byte for byte (RFC 1122 section 3.2.2,
//! RFC 4443 section 2.4): the device's kernel finds its socket by the quote.

use crate::api::batch::FrameBatch;
use crate::api::time::Micros;
use crate::ip::build::{Addresses, IPV4_HEADER_LEN, IPV6_HEADER_LEN, Unsendable, protocol, whole};
use crate::ip::checksum::{self, Sum};
use crate::ip::fragment::{self, HeaderChain, Identifications, Link};
use core::net::IpAddr;

pub(crate) mod incoming;

/// Length of type, code, checksum and the four bytes whose meaning the type decides.
const HEADER_LEN: usize = 8;

/// RFC 1812 section 4.3.2.3: quote as much as fits 576 bytes.
const MAX_ERROR_LEN_V4: usize = 576;
/// RFC 4443 section 2.4 (c): quote as much as fits the minimum MTU.
const MAX_ERROR_LEN_V6: usize = 1280;

/// What is wrong with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// No route: 3/0, ICMPv6 1/0.
    NetworkUnreachable,
    /// The host does not answer: 3/1, ICMPv6 1/3.
    HostUnreachable,
    /// Refused by policy: 3/13, ICMPv6 1/1.
    Prohibited,
    /// Nobody listens: 3/3, ICMPv6 1/4.
    PortUnreachable,
    /// The upper-layer protocol is unknown: 3/2; ICMPv6 4/1, which points at the next header
    /// field at this offset.
    ProtocolUnreachable { pointer: u32 },
    /// Longer than the path takes, with the MTU in bytes: 3/4, ICMPv6 2/0.
    TooBig { mtu: u32 },
    /// Fragments were missing for too long: 11/1, ICMPv6 3/1.
    ReassemblyTimeExceeded,
    /// A header field at this offset is wrong: 12/0, ICMPv6 4 with this code.
    Parameter { code: u8, pointer: u32 },
}

impl Problem {
    /// Type, code and the four bytes behind the checksum, on IPv4.
    const fn header_v4(self) -> (u8, u8, u32) {
        const UNREACHABLE: u8 = 3;
        match self {
            Self::NetworkUnreachable => (UNREACHABLE, 0, 0),
            Self::HostUnreachable => (UNREACHABLE, 1, 0),
            Self::ProtocolUnreachable { .. } => (UNREACHABLE, 2, 0),
            Self::PortUnreachable => (UNREACHABLE, 3, 0),
            // RFC 1191 section 4: the low 16 bits hold the MTU of the next hop.
            Self::TooBig { mtu } => (UNREACHABLE, 4, if mtu > 0xffff { 0xffff } else { mtu }),
            Self::Prohibited => (UNREACHABLE, 13, 0),
            Self::ReassemblyTimeExceeded => (11, 1, 0),
            // RFC 792: the first byte is the pointer.
            Self::Parameter { pointer, .. } => (12, 0, pointer << 24),
        }
    }

    /// Type, code and the four bytes behind the checksum, on IPv6.
    const fn header_v6(self) -> (u8, u8, u32) {
        const UNREACHABLE: u8 = 1;
        const PARAMETER: u8 = 4;
        match self {
            Self::NetworkUnreachable => (UNREACHABLE, 0, 0),
            Self::Prohibited => (UNREACHABLE, 1, 0),
            Self::HostUnreachable => (UNREACHABLE, 3, 0),
            Self::PortUnreachable => (UNREACHABLE, 4, 0),
            Self::TooBig { mtu } => (2, 0, mtu),
            Self::ReassemblyTimeExceeded => (3, 1, 0),
            Self::ProtocolUnreachable { pointer } => (PARAMETER, 1, pointer),
            Self::Parameter { code, pointer } => (PARAMETER, code, pointer),
        }
    }

    /// Whether IPv6 allows it about a packet to a multicast group (RFC 4443 section 2.4 (e.3)).
    const fn answers_multicast(self) -> bool {
        matches!(self, Self::TooBig { .. } | Self::Parameter { code: 2, .. })
    }
}

/// Why no message was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// The packet's headers are cut, or the families do not match.
    Malformed,
    /// Its source does not name a single host.
    Source,
    /// Its destination does not name a single host.
    Destination,
    /// It is an ICMP error itself, or of a type that may be one.
    ErrorMessage,
    /// It is a fragment other than the first.
    LaterFragment,
    /// Too many errors were sent lately.
    RateLimit,
    /// It is no echo request, or its checksum is wrong.
    NotEcho,
    /// The message cannot be built.
    Unsendable,
}

/// The sender of errors: applies the rules and the rate limit (RFC 4443 section 2.4 (f)).
#[derive(Clone, Debug)]
pub(crate) struct Errors {
    limit: RateLimit,
    /// Bytes of the longest packet toward the device.
    mtu: usize,
}

impl Errors {
    pub(crate) const fn new(limit: RateLimit, mtu: usize) -> Self {
        Self { limit, mtu }
    }

    /// Emits an error about the raw packet `original`, to its source and from the address
    /// `from`: normally the packet's destination.
    pub(crate) fn report(
        &mut self,
        now: Micros,
        batch: &mut FrameBatch,
        from: IpAddr,
        problem: Problem,
        original: &[u8],
    ) -> Result<(), Silence> {
        let about = may_report(problem, original)?;
        let addresses = Addresses::new(from, about.addresses.source()).ok_or(Silence::Malformed)?;
        if !is_single_host(from) {
            return Err(Silence::Destination);
        }
        if !self.limit.allow(now) {
            return Err(Silence::RateLimit);
        }
        let quote = original.get(..about.len).unwrap_or(original);
        error(batch, &addresses, problem, quote, self.mtu).map_err(|_| Silence::Unsendable)
    }
}

/// A token bucket in virtual time.
#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    per_second: u32,
    burst: u32,
    /// Millionths of a token: one microsecond earns `per_second` of them.
    credit: u64,
    /// When the credit was last brought up to date.
    updated: Micros,
}

impl RateLimit {
    const TOKEN: u64 = 1_000_000;

    /// Starts with a full bucket of `burst` tokens; 0 allows nothing.
    pub(crate) const fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second,
            burst,
            credit: burst as u64 * Self::TOKEN,
            updated: Micros(0),
        }
    }

    /// Takes a token if there is one. Time that runs back earns nothing.
    pub(crate) fn allow(&mut self, now: Micros) -> bool {
        let elapsed = now.0.saturating_sub(self.updated.0);
        let earned = elapsed.saturating_mul(u64::from(self.per_second));
        let full = u64::from(self.burst) * Self::TOKEN;
        self.credit = self.credit.saturating_add(earned).min(full);
        self.updated = self.updated.max(now);
        let Some(rest) = self.credit.checked_sub(Self::TOKEN) else {
            return false;
        };
        self.credit = rest;
        true
    }
}

/// 100 errors a second in bursts of 50: a resolver's or a scanner's failures pass, a flood
/// does not.
impl Default for RateLimit {
    fn default() -> Self {
        Self::new(100, 50)
    }
}

/// Emits the reply to an echo request, in fragments if it exceeds `mtu` bytes.
///
/// `request` is the message from its type to its last byte of data, without padding. The
/// reply comes from the address that was asked and returns identifier, sequence number
/// and all data (RFC 1122 section 3.2.2.6, RFC 4443 section 4.2).
pub(crate) fn echo_reply(
    batch: &mut FrameBatch,
    identifications: &mut Identifications,
    source: IpAddr,
    destination: IpAddr,
    request: &[u8],
    mtu: usize,
) -> Result<(), Silence> {
    if !is_single_host(source) {
        return Err(Silence::Source);
    }
    if !is_single_host(destination) {
        return Err(Silence::Destination);
    }
    let asked = Addresses::new(source, destination).ok_or(Silence::Malformed)?;
    let reply = Addresses::new(destination, source).ok_or(Silence::Malformed)?;
    let (header, data) = request
        .split_first_chunk::<HEADER_LEN>()
        .ok_or(Silence::NotEcho)?;
    let (protocol, request_type, reply_type, verified) = match asked {
        Addresses::V4 { .. } => (protocol::ICMP, 8, 0, checksum::verifies(request)),
        Addresses::V6 { .. } => {
            let verified = checksum::tcp_udp_verifies(&asked, protocol::ICMPV6, request);
            (protocol::ICMPV6, 128, 129, verified)
        }
    };
    if [header[0], header[1]] != [request_type, 0] || !verified {
        return Err(Silence::NotEcho);
    }
    let mut header = *header;
    header[0] = reply_type;
    stamp(&reply, &mut header, data);
    let parts = [&header[..], data];
    fragment::emit(batch, identifications, &reply, protocol, parts, mtu)
        .map_err(|_| Silence::Unsendable)
}

/// Whether an error about the raw packet `original` may be sent at all.
///
/// RFC 1122 section 3.2.2 and RFC 4443 section 2.4 (e): never about an ICMP error, a packet
/// to or from anything but a single host, or a fragment other than the first. Two cases of
/// IPv6 are exempt: what the RFC allows about multicast, and the Parameter Problems that
/// RFC 8200 section 4.5 wants about later fragments. Loopback counts as a single host here:
/// whether it may appear is decided before.
fn may_report(problem: Problem, original: &[u8]) -> Result<Upper, Silence> {
    let upper = Upper::of(original).ok_or(Silence::Malformed)?;
    let is_v6 = matches!(upper.addresses, Addresses::V6 { .. });
    if !is_single_host(upper.addresses.source()) {
        return Err(Silence::Source);
    }
    let exempt = is_v6 && problem.answers_multicast();
    if !is_single_host(upper.addresses.destination()) && !exempt {
        return Err(Silence::Destination);
    }
    let exempt = is_v6 && matches!(problem, Problem::Parameter { .. });
    if upper.later_fragment && !exempt {
        return Err(Silence::LaterFragment);
    }
    if !upper.later_fragment && upper.may_be_error(original) {
        return Err(Silence::ErrorMessage);
    }
    Ok(upper)
}

/// Where the upper-layer message of a raw packet is.
pub(crate) struct Upper {
    addresses: Addresses,
    /// Length of the packet in bytes, without padding.
    len: usize,
    protocol: u8,
    offset: usize,
    later_fragment: bool,
}

impl Upper {
    fn of(packet: &[u8]) -> Option<Self> {
        let addresses = Addresses::of(packet)?;
        match addresses {
            Addresses::V4 { .. } => {
                let header: &[u8; IPV4_HEADER_LEN] = packet.first_chunk()?;
                let flags_offset = u16::from_be_bytes([header[6], header[7]]);
                Some(Self {
                    addresses,
                    len: usize::from(u16::from_be_bytes([header[2], header[3]])),
                    protocol: header[9],
                    offset: usize::from(header[0] & 0x0f) * 4,
                    later_fragment: flags_offset & 0x1fff != 0,
                })
            }
            Addresses::V6 { .. } => {
                let header: &[u8; IPV6_HEADER_LEN] = packet.first_chunk()?;
                let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
                let mut chain = HeaderChain::new(header[6], IPV6_HEADER_LEN);
                let later_fragment = loop {
                    match chain.step(packet) {
                        Link::Extension => {}
                        Link::Fragment => match chain.enter_fragment(packet) {
                            Some(fragment) if fragment.offset == 0 => {}
                            Some(_) | None => break true,
                        },
                        Link::Upper | Link::Cut => break false,
                    }
                };
                Some(Self {
                    addresses,
                    len: IPV6_HEADER_LEN + len,
                    protocol: chain.next_header,
                    offset: chain.offset,
                    later_fragment,
                })
            }
        }
    }

    /// Whether it is an ICMP message of a type not known to be a query or an answer.
    fn may_be_error(&self, packet: &[u8]) -> bool {
        let message_type = packet.get(self.offset).copied();
        match (self.addresses, self.protocol) {
            // Echo, timestamp, information, address mask, router discovery.
            (Addresses::V4 { .. }, protocol::ICMP) => {
                !matches!(message_type, Some(0 | 8 | 9 | 10 | 13..=18))
            }
            // RFC 4443 section 2.1: errors have the high bit clear; (e.2): nor redirects.
            (Addresses::V6 { .. }, protocol::ICMPV6) => {
                !matches!(message_type, Some(128..=136 | 138..=255))
            }
            (Addresses::V4 { .. } | Addresses::V6 { .. }, _) => false,
        }
    }
}

/// Whether an address names one host: not unspecified, multicast, broadcast or reserved.
fn is_single_host(address: IpAddr) -> bool {
    match address {
        // 0/8 is "this network", 224/4 multicast, 240/4 reserved up to the broadcast address.
        IpAddr::V4(address) => (1..224).contains(&address.octets()[0]),
        IpAddr::V6(address) => !address.is_multicast() && !address.is_unspecified(),
    }
}

/// Emits an error message with as much of the quote as its size allows.
fn error(
    batch: &mut FrameBatch,
    addresses: &Addresses,
    problem: Problem,
    quote: &[u8],
    mtu: usize,
) -> Result<(), Unsendable> {
    let (protocol, (message_type, code, rest), max) = match addresses {
        Addresses::V4 { .. } => (protocol::ICMP, problem.header_v4(), MAX_ERROR_LEN_V4),
        Addresses::V6 { .. } => (protocol::ICMPV6, problem.header_v6(), MAX_ERROR_LEN_V6),
    };
    // A device with a smaller MTU than its family's least gets what it can take (RFC 4443 section 2.4 (c): no more than
    // the minimum MTU).
    let room = max
        .min(mtu)
        .saturating_sub(addresses.header_len() + HEADER_LEN);
    let quote = quote.get(..room).unwrap_or(quote);
    let [r0, r1, r2, r3] = rest.to_be_bytes();
    let mut header = [message_type, code, 0, 0, r0, r1, r2, r3];
    stamp(addresses, &mut header, quote);
    whole(batch, addresses, protocol, [&header, quote])
}

/// Writes the checksum; only ICMPv6 covers a pseudo header (RFC 4443 section 2.3).
fn stamp(addresses: &Addresses, header: &mut [u8; HEADER_LEN], data: &[u8]) {
    [header[2], header[3]] = [0; 2];
    let sum = match addresses {
        Addresses::V4 { .. } => Sum::default(),
        Addresses::V6 { .. } => Sum::pseudo(addresses, protocol::ICMPV6, HEADER_LEN + data.len()),
    };
    let check = sum.add(&header[..]).add(data).finish();
    [header[2], header[3]] = check.to_be_bytes();
}

#[cfg(test)]
mod tests;
