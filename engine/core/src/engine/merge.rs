//! Consecutive segments are coalesced into one, as GRO does: most of what a segment costs does not depend on its length,
//! and a device that uploads sends what its window holds at once.
//!
//! Only what the device could have sent as one segment is coalesced: the payload of an established stream, in order,
//! within the window, with the same acknowledgement and window in every header and no options. Each frame is still
//! verified and counted by itself.

use crate::api::time::Micros;
use crate::engine::Engine;
use crate::flow::key::{PackedKey, Proto};
use crate::ip::build::{IPV4_HEADER_LEN, IPV6_HEADER_LEN, protocol};
use crate::ip::packet::{IpPacket, Segment};
use crate::tcp::Phase;
use crate::tcp::seq::Seq;

/// A TCP header without options.
const TCP: usize = 20;
/// The headers of a segment without options, by family.
const V4: usize = IPV4_HEADER_LEN + TCP;
const V6: usize = IPV6_HEADER_LEN + TCP;

/// The longest IP packet.
const LONGEST: usize = 65_535;

/// Whether the payload of `next` follows that of `frame`, by what their headers say.
#[inline]
pub(super) fn follows(frame: &[u8], next: &[u8]) -> bool {
    match (frame.first(), next.first()) {
        (Some(0x45), Some(0x45)) => follows_v4(frame, next),
        (Some(one), Some(two)) if one >> 4 == 6 && two >> 4 == 6 => follows_v6(frame, next),
        _ => false,
    }
}

#[inline]
fn follows_v4(frame: &[u8], next: &[u8]) -> bool {
    let (Some((one, payload)), Some((two, more))) = (
        frame.split_first_chunk::<V4>(),
        next.split_first_chunk::<V4>(),
    ) else {
        return false;
    };
    let whole = |header: &[u8; V4], len: usize| {
        header[9] == protocol::TCP
            && u16::from_be_bytes([header[6], header[7]]) & 0x3fff == 0
            && usize::from(u16::from_be_bytes([header[2], header[3]])) == V4 + len
    };
    // Addresses and ports.
    one[12..24] == two[12..24]
        && whole(one, payload.len())
        && whole(two, more.len())
        && payload_follows(
            one.last_chunk::<TCP>(),
            two.last_chunk::<TCP>(),
            payload,
            more,
        )
}

#[inline]
fn follows_v6(frame: &[u8], next: &[u8]) -> bool {
    let (Some((one, payload)), Some((two, more))) = (
        frame.split_first_chunk::<V6>(),
        next.split_first_chunk::<V6>(),
    ) else {
        return false;
    };
    let whole = |header: &[u8; V6], len: usize| {
        header[6] == protocol::TCP
            && usize::from(u16::from_be_bytes([header[4], header[5]])) == TCP + len
    };
    one[8..44] == two[8..44]
        && whole(one, payload.len())
        && whole(two, more.len())
        && payload_follows(
            one.last_chunk::<TCP>(),
            two.last_chunk::<TCP>(),
            payload,
            more,
        )
}

/// The same for two TCP headers and the payload behind each.
#[inline]
fn payload_follows(
    one: Option<&[u8; TCP]>,
    two: Option<&[u8; TCP]>,
    payload: &[u8],
    more: &[u8],
) -> bool {
    /// ACK, with PSH or without.
    const FLAGS: u8 = 0x10;
    const PUSH: u8 = 0x08;
    const NO_OPTIONS: u8 = 5 << 4;

    let (Some(one), Some(two)) = (one, two) else {
        return false;
    };
    let place = |header: &[u8; TCP]| {
        Seq(u32::from_be_bytes([
            header[4], header[5], header[6], header[7],
        ]))
    };
    let plain = |header: &[u8; TCP]| header[12] == NO_OPTIONS && header[13] & !PUSH == FLAGS;
    plain(one)
        && plain(two)
        && one[8..12] == two[8..12]
        && one[14..16] == two[14..16]
        && !payload.is_empty()
        && !more.is_empty()
        && u32::try_from(payload.len()).is_ok_and(|len| place(one).plus(len) == place(two))
}

impl Engine {
    /// Takes `first`, coalesced with what follows if that is possible: `next`, which does by its header, and more of
    /// `frames`. Returns the first frame that was not taken.
    pub(super) fn coalesce<'a>(
        &mut self,
        now: Micros,
        first: &'a [u8],
        next: &'a [u8],
        frames: &mut impl Iterator<Item = &'a [u8]>,
    ) -> Option<&'a [u8]> {
        let opening = self
            .packet(now, first)
            .and_then(|ip| Segment::parse(&ip).map(|segment| (ip, segment)));
        let (ip, segment) = match opening {
            Ok(opening) => opening,
            Err(reason) => {
                self.account(now, 1, Err(reason));
                return Some(next);
            }
        };
        let Some(edge) = self.coalescing_edge(&ip, &segment) else {
            let taken = self.segment(now, &ip, &segment);
            self.account(now, 1, taken);
            return Some(next);
        };
        let mut coalesced = core::mem::take(&mut self.coalesced);
        coalesced.clear();
        coalesced.extend_from_slice(ip.frame);
        let len = |segment: &Segment<'_>| u32::try_from(segment.payload.len()).unwrap_or(u32::MAX);
        let mut end = segment.seq.plus(len(&segment));
        let (mut last, mut ahead, mut count) = (first, Some(next), 1);
        while let Some(next) = ahead {
            if count > 1 && !follows(last, next) {
                break;
            }
            // Its addresses are those of the first. A malformed frame is dropped when it is read by itself.
            let Some(more) = IpPacket::parse(next)
                .and_then(|ip| Segment::parse(&ip))
                .ok()
                .filter(|more| coalesced.len() + more.payload.len() <= LONGEST)
                .filter(|more| !end.plus(len(more)).is_after(edge))
            else {
                break;
            };
            coalesced.extend_from_slice(more.payload);
            end = end.plus(len(&more));
            self.count_frame(next);
            (last, count) = (next, count + 1);
            ahead = frames.next();
        }
        let taken = if count > 1 {
            set_length(&mut coalesced, ip.is_v6());
            let headers = ip.frame.len() - ip.payload.len();
            let ip = IpPacket {
                frame: &coalesced,
                payload: coalesced.get(headers..).unwrap_or_default(),
                ..ip
            };
            let segment = Segment {
                payload: ip.payload.get(TCP..).unwrap_or_default(),
                ..segment
            };
            self.segment(now, &ip, &segment)
        } else {
            self.segment(now, &ip, &segment)
        };
        if taken.is_ok() {
            self.counters.taken_merged += count - 1;
        }
        self.account(now, count, taken);
        self.coalesced = coalesced;
        ahead
    }

    /// Up to where payload may be coalesced with that of `segment`, if at all: the flow is established, its receiver is
    /// in order, and the segment is the next.
    fn coalescing_edge(&self, ip: &IpPacket<'_>, segment: &Segment<'_>) -> Option<Seq> {
        let client = (ip.source, segment.source_port);
        let server = (ip.destination, segment.destination_port);
        let key = PackedKey::new(Proto::Tcp, client, server);
        let Phase::Live(live) = &self.flows.peek_tcp(&key)?.phase else {
            return None;
        };
        if !live.established || live.reset {
            return None;
        }
        live.connection.coalesces(segment)
    }
}

/// Puts its own length into the header of a packet; the checksums were verified before.
fn set_length(packet: &mut [u8], v6: bool) {
    let (len, place) = if v6 {
        (packet.len() - IPV6_HEADER_LEN, 4..6)
    } else {
        (packet.len(), 2..4)
    };
    let len = u16::try_from(len).unwrap_or(u16::MAX);
    if let Some(field) = packet.get_mut(place) {
        field.copy_from_slice(&len.to_be_bytes());
    }
}
