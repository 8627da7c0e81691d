//! Consecutive segments are coalesced into one, as GRO does: most of what a segment costs does not depend on its length,
//! and a device that uploads sends what its window holds at once.
//!
//! Only what the device could have sent as one segment is coalesced: the payload of an established stream, in order,
//! within the window, with the same acknowledgement, window and options in every header. Each frame is still verified and
//! counted by itself.

use crate::api::counters::Taken;
use crate::api::drop_reason::DropReason;
use crate::api::time::Micros;
use crate::engine::Engine;
use crate::flow::key::{PackedKey, Proto};
use crate::ip::build::{IPV4_HEADER_LEN, IPV6_HEADER_LEN, protocol};
use crate::ip::packet::{IpPacket, Segment};
use crate::tcp::Phase;
use crate::tcp::seq::Seq;

/// A TCP header without options.
const TCP: usize = 20;

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
    let (Some((one, segment)), Some((two, more))) = (
        frame.split_first_chunk::<IPV4_HEADER_LEN>(),
        next.split_first_chunk::<IPV4_HEADER_LEN>(),
    ) else {
        return false;
    };
    let whole = |header: &[u8; IPV4_HEADER_LEN], len: usize| {
        header[9] == protocol::TCP
            && u16::from_be_bytes([header[6], header[7]]) & 0x3fff == 0
            && usize::from(u16::from_be_bytes([header[2], header[3]])) == IPV4_HEADER_LEN + len
    };
    one[12..] == two[12..]
        && whole(one, segment.len())
        && whole(two, more.len())
        && payload_follows(segment, more)
}

#[inline]
fn follows_v6(frame: &[u8], next: &[u8]) -> bool {
    let (Some((one, segment)), Some((two, more))) = (
        frame.split_first_chunk::<IPV6_HEADER_LEN>(),
        next.split_first_chunk::<IPV6_HEADER_LEN>(),
    ) else {
        return false;
    };
    let whole = |header: &[u8; IPV6_HEADER_LEN], len: usize| {
        header[6] == protocol::TCP && usize::from(u16::from_be_bytes([header[4], header[5]])) == len
    };
    one[8..] == two[8..]
        && whole(one, segment.len())
        && whole(two, more.len())
        && payload_follows(segment, more)
}

/// The same for two TCP segments.
#[inline]
fn payload_follows(one: &[u8], two: &[u8]) -> bool {
    /// ACK, with PSH or without.
    const FLAGS: u8 = 0x10;
    const PUSH: u8 = 0x08;

    let (Some((header, payload)), Some((next, more))) = (
        one.split_first_chunk::<TCP>(),
        two.split_first_chunk::<TCP>(),
    ) else {
        return false;
    };
    let options = (usize::from(header[12] >> 4) * 4).saturating_sub(TCP);
    let place = |header: &[u8; TCP]| {
        Seq(u32::from_be_bytes([
            header[4], header[5], header[6], header[7],
        ]))
    };
    let plain = |header: &[u8; TCP]| header[13] & !PUSH == FLAGS;
    let len = payload.len().saturating_sub(options);
    plain(header)
        && plain(next)
        // Ports, acknowledgement, length of the header and window.
        && header[..4] == next[..4]
        && header[8..13] == next[8..13]
        && header[14..16] == next[14..16]
        && (options == 0 || payload.get(..options) == more.get(..options))
        && len > 0
        && more.len() > options
        && u32::try_from(len).is_ok_and(|len| place(header).plus(len) == place(next))
}

impl Engine {
    /// Takes `first`, and what carries on from it as one with it: `next`, which does by its header, and more of `frames`.
    /// Returns the first frame that was not taken.
    pub(super) fn coalesce<'a>(
        &mut self,
        now: Micros,
        first: &'a [u8],
        next: &'a [u8],
        frames: &mut impl Iterator<Item = &'a [u8]>,
    ) -> Option<&'a [u8]> {
        let (taken, key) = self.opening(now, first);
        self.account(now, 1, taken);
        let mut ahead = Some(next);
        if taken != Ok(Taken::Payload) {
            return ahead;
        }
        let partial = self.config.partial_checksums;
        let Some((flow, tcp)) = key.and_then(|key| self.flows.find_tcp(&key)) else {
            return ahead;
        };
        let Phase::Live(live) = &mut tcp.phase else {
            return ahead;
        };
        let (mut last, mut count, mut bytes) = (first, 0, 0);
        while let Some(next) = ahead {
            if count > 0 && !follows(last, next) {
                break;
            }
            // Its addresses are those of the first. What is malformed is dropped when it is read by itself.
            let segment = IpPacket::parse(next).and_then(|ip| Segment::parse(&ip, partial));
            let Ok(segment) = segment else {
                break;
            };
            if live.reset || !live.connection.carry_on(&mut self.pool, &segment) {
                break;
            }
            count += 1;
            bytes += next.len() as u64;
            last = next;
            ahead = frames.next();
        }
        if count > 0 {
            // The first may have been a copy that was answered at once, and asked for no turn.
            if live.note_segment(now) {
                self.room.forget(flow.id.slot);
            }
            flow.mark_dirty(&mut self.dirty);
        }
        self.counters.frames_in += count;
        self.counters.bytes_in += bytes;
        self.counters.taken_merged += count;
        self.counters.count_taken(Taken::Payload, count);
        ahead
    }

    /// Takes the first segment of those to be coalesced, and says of which flow it is.
    fn opening(
        &mut self,
        now: Micros,
        frame: &[u8],
    ) -> (Result<Taken, DropReason>, Option<PackedKey>) {
        let partial = self.config.partial_checksums;
        let read = self
            .packet(now, frame)
            .and_then(|ip| Segment::parse(&ip, partial).map(|segment| (ip, segment)));
        let (ip, segment) = match read {
            Ok(read) => read,
            Err(reason) => return (Err(reason), None),
        };
        let client = (ip.source, segment.source_port);
        let server = (ip.destination, segment.destination_port);
        let key = PackedKey::new(Proto::Tcp, client, server);
        (self.segment(now, &ip, &segment), Some(key))
    }
}
