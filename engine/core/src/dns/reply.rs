//! Replies of the engine's own (RFC 1035 section 4.1, EDNS after RFC 6891).

use std::net::IpAddr;

use super::message::HEADER;
use super::{MAX_ADDRESSES, Query};

/// The outcome a reply carries (RFC 1035 section 4.1.1, RFC 6895 section 2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rcode {
    NoError = 0,
    FormErr = 1,
    ServFail = 2,
    NxDomain = 3,
    NotImp = 4,
    Refused = 5,
    BadVersion = 16,
}

/// What the engine takes in one datagram (DNS flag day 2020).
const OWN_SIZE: u16 = 1232;

/// Largest datagram for a device without EDNS (RFC 1035 section 2.3.4).
const PLAIN_SIZE: u16 = 512;

/// The longest message over TCP (RFC 1035 section 4.2.2).
const STREAM_SIZE: usize = 65_535;

const RESPONSE: u16 = 0x8000;
const TRUNCATED: u16 = 0x0200;
const RECURSION_DESIRED: u16 = 0x0100;
const RECURSION_AVAILABLE: u16 = 0x0080;
const CHECKING_DISABLED: u16 = 0x0010;
const OPCODE: u16 = 0x7800;

/// Builds the reply to `query`. `addresses` are those of the kind asked for. Over UDP (`datagram`: the most bytes the
/// path takes) what does not fit is left out and the reply marked as cut, so that the device asks again over TCP.
pub(crate) fn reply(
    query: &Query,
    rcode: Rcode,
    addresses: &[IpAddr],
    ttl: u32,
    datagram: Option<usize>,
) -> Vec<u8> {
    let question: &[u8] = query.question.as_ref().map_or(&[], |known| &known.wire);
    let opt = query.edns.map(|edns| opt(rcode, edns.wants_dnssec));
    let opt = opt.unwrap_or_default();
    let offered = query
        .edns
        .map_or(PLAIN_SIZE, |edns| edns.size.clamp(PLAIN_SIZE, OWN_SIZE));
    let limit = datagram.map_or(STREAM_SIZE, |most| most.min(offered.into()));
    let mut message =
        Vec::with_capacity(HEADER + question.len() + opt.len() + 28 * addresses.len());
    message.resize(HEADER, 0);
    message.extend_from_slice(question);
    let (mut count, mut cut) = (0u16, 0);
    for address in addresses.iter().take(MAX_ADDRESSES) {
        let length = if address.is_ipv4() { 4 } else { 16 };
        if message.len() + 12 + length + opt.len() > limit {
            cut = TRUNCATED;
            break;
        }
        count += 1;
        record(&mut message, *address, ttl);
    }
    message.extend_from_slice(&opt);
    let kept = query.flags & (OPCODE | RECURSION_DESIRED | CHECKING_DISABLED);
    let flags = RESPONSE | RECURSION_AVAILABLE | kept | cut | (rcode as u16 & 0xf);
    let words = [
        query.id,
        flags,
        u16::from(!question.is_empty()),
        count,
        0,
        u16::from(!opt.is_empty()),
    ];
    for (to, word) in message.chunks_mut(2).zip(words) {
        to.copy_from_slice(&word.to_be_bytes());
    }
    message
}

/// An address of the name in the question, which directly follows the header.
fn record(message: &mut Vec<u8>, address: IpAddr, ttl: u32) {
    const NAME: [u8; 2] = [0xc0, HEADER as u8];
    message.extend_from_slice(&NAME);
    let (kind, length): (u8, u8) = if address.is_ipv4() { (1, 4) } else { (28, 16) };
    message.extend_from_slice(&[0, kind, 0, 1]);
    message.extend_from_slice(&ttl.to_be_bytes());
    message.extend_from_slice(&[0, length]);
    match address {
        IpAddr::V4(a) => message.extend_from_slice(&a.octets()),
        IpAddr::V6(a) => message.extend_from_slice(&a.octets()),
    }
}

/// The OPT record that an EDNS query is owed (RFC 6891 section 6.1.1).
fn opt(rcode: Rcode, wants_dnssec: bool) -> Vec<u8> {
    let [high, low] = OWN_SIZE.to_be_bytes();
    let (extended, flags) = ((rcode as u16 >> 4) as u8, u8::from(wants_dnssec) << 7);
    vec![0, 0, 41, high, low, extended, 0, flags, 0, 0, 0]
}
