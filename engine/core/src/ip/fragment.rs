//! Fragments: what a received one says, and how the engine splits its own packets.
//!
//! The engine fragments only what it cannot cut itself: UDP datagrams of the far side and
//! echo replies longer than the device's MTU. TCP never needs it.

use crate::api::batch::FrameBatch;
use crate::ip::build::{
    Addresses, IPV4_HEADER_LEN, IPV6_HEADER_LEN, Unsendable, ip_header, protocol, push, whole,
    whole_header,
};

/// Length of the IPv6 Fragment header (RFC 8200 section 4.5).
pub(crate) const FRAGMENT_HEADER_LEN: usize = 8;

/// Extension headers (RFC 8200 section 4.1).
pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
pub(crate) const DESTINATION_OPTIONS: u8 = 60;

/// IPv4's More Fragments bit in the flags-and-offset field.
const MORE_FRAGMENTS_V4: u16 = 0x2000;

/// What a fragment header contains; lengths and offsets in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FragmentInfo {
    pub(crate) addresses: Addresses,
    /// IPv4's protocol, or the Fragment header's next header.
    pub(crate) protocol: u8,
    /// 16 bits on IPv4, 32 bits on IPv6.
    pub(crate) identification: u32,
    /// Where its payload belongs in the whole datagram's payload.
    pub(crate) offset: usize,
    /// Whether more fragments follow behind it.
    pub(crate) more: bool,
    /// Where its payload begins: behind the IPv4 options or the Fragment header.
    pub(crate) header_len: usize,
    pub(crate) payload_len: usize,
}

impl FragmentInfo {
    /// Reads a raw packet; nothing if it is no fragment or its headers are cut.
    ///
    /// An IPv6 packet with a Fragment header is a fragment even if it is whole (atomic).
    pub(crate) fn of(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Self::of_ipv4(packet),
            6 => Self::of_ipv6(packet),
            _ => None,
        }
    }

    /// Whether this is an IPv6 fragment that is a whole datagram (RFC 6946).
    pub(crate) const fn is_atomic(&self) -> bool {
        self.offset == 0 && !self.more
    }

    fn of_ipv4(packet: &[u8]) -> Option<Self> {
        let header: &[u8; IPV4_HEADER_LEN] = packet.first_chunk()?;
        let header_len = usize::from(header[0] & 0x0f) * 4;
        let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let flags_offset = u16::from_be_bytes([header[6], header[7]]);
        let more = flags_offset & MORE_FRAGMENTS_V4 != 0;
        let offset = usize::from(flags_offset & 0x1fff) * 8;
        let is_fragment = more || offset != 0;
        if !is_fragment || header_len < IPV4_HEADER_LEN || total_len > packet.len() {
            return None;
        }
        Some(Self {
            addresses: Addresses::of(packet)?,
            protocol: header[9],
            identification: u32::from(u16::from_be_bytes([header[4], header[5]])),
            offset,
            more,
            header_len,
            payload_len: total_len.checked_sub(header_len)?,
        })
    }

    fn of_ipv6(packet: &[u8]) -> Option<Self> {
        let header: &[u8; IPV6_HEADER_LEN] = packet.first_chunk()?;
        let total_len = IPV6_HEADER_LEN + usize::from(u16::from_be_bytes([header[4], header[5]]));
        let packet = packet.get(..total_len)?;
        let mut chain = HeaderChain::new(header[6], IPV6_HEADER_LEN);
        let fragment = loop {
            match chain.step(packet) {
                Link::Extension => {}
                Link::Fragment => break chain.enter_fragment(packet)?,
                Link::Upper | Link::Cut => return None,
            }
        };
        Some(Self {
            addresses: Addresses::of(packet)?,
            protocol: chain.next_header,
            identification: fragment.identification,
            offset: fragment.offset,
            more: fragment.more,
            header_len: chain.offset,
            payload_len: total_len.checked_sub(chain.offset)?,
        })
    }
}

/// What is found at a place of an IPv6 header chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// An extension header; the chain has stepped over it.
    Extension,
    /// A Fragment header; the chain stays in front of it.
    Fragment,
    /// Anything else: an upper-layer header, or none.
    Upper,
    /// An extension header that reaches beyond the packet.
    Cut,
}

/// A walk along an IPv6 header chain; each step forward is at least eight bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeaderChain {
    /// Which header is at `offset`.
    pub(crate) next_header: u8,
    /// Offset in the packet.
    pub(crate) offset: usize,
}

impl HeaderChain {
    pub(crate) const fn new(next_header: u8, offset: usize) -> Self {
        Self {
            next_header,
            offset,
        }
    }

    /// Looks at the header at hand and steps over it if it is an extension header.
    pub(crate) fn step(&mut self, packet: &[u8]) -> Link {
        const MOBILITY: u8 = 135;
        const HOST_IDENTITY: u8 = 139;
        const SHIM6: u8 = 140;

        // RFC 8200 counts in units of 8 bytes beyond the first, RFC 4302 in 4 beyond 2.
        let (unit, beyond) = match self.next_header {
            FRAGMENT => return Link::Fragment,
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS | MOBILITY | HOST_IDENTITY | SHIM6 => (8, 1),
            protocol::AUTHENTICATION => (4, 2),
            _ => return Link::Upper,
        };
        let header = packet.get(self.offset..).and_then(<[u8]>::first_chunk);
        let Some(&[next_header, len]) = header else {
            return Link::Cut;
        };
        let end = self.offset + (usize::from(len) + beyond) * unit;
        if end > packet.len() {
            return Link::Cut;
        }
        self.next_header = next_header;
        self.offset = end;
        Link::Extension
    }

    /// Steps over the Fragment header at hand; nothing if it is cut.
    pub(crate) fn enter_fragment(&mut self, packet: &[u8]) -> Option<FragmentHeader> {
        let header = packet.get(self.offset..)?.first_chunk()?;
        let [next_header, _, o0, o1, i0, i1, i2, i3]: [u8; FRAGMENT_HEADER_LEN] = *header;
        let field = u16::from_be_bytes([o0, o1]);
        self.next_header = next_header;
        self.offset += FRAGMENT_HEADER_LEN;
        Some(FragmentHeader {
            offset: usize::from(field & 0xfff8),
            more: field & 1 != 0,
            identification: u32::from_be_bytes([i0, i1, i2, i3]),
        })
    }
}

/// The fields of an IPv6 Fragment header; the offset in bytes.
pub(crate) struct FragmentHeader {
    pub(crate) offset: usize,
    pub(crate) more: bool,
    pub(crate) identification: u32,
}

/// The identification of the engine's next fragmented datagram.
///
/// One counter serves all destinations, so an identification returns only after 65,536
/// fragmented datagrams on IPv4 and 2^32 on IPv6 (RFC 6864 section 4.3). Its start comes
/// from the seed. Only the device sees it, so guessing it gains nothing (RFC 7739).
#[derive(Clone, Debug)]
pub(crate) struct Identifications {
    next: u32,
}

impl Identifications {
    pub(crate) const fn new(start: u32) -> Self {
        Self { next: start }
    }

    const fn draw(&mut self) -> u32 {
        let drawn = self.next;
        self.next = self.next.wrapping_add(1);
        drawn
    }
}

/// Emits an IP packet whose payload is the two parts one after the other, split if it exceeds `mtu`.
///
/// RFC 791 section 3.2 and RFC 8200 section 4.5: every fragment but the last carries a
/// multiple of eight bytes; all share one identification; IPv4 fragments have DF clear.
pub(crate) fn emit(
    batch: &mut FrameBatch,
    identifications: &mut Identifications,
    addresses: &Addresses,
    protocol: u8,
    parts: [&[u8]; 2],
    mtu: usize,
) -> Result<(), Unsendable> {
    let [head, tail] = parts;
    let len = head.len().saturating_add(tail.len());
    if addresses.header_len().saturating_add(len) <= mtu {
        return whole(batch, addresses, protocol, parts);
    }
    if len > addresses.max_payload() {
        return Err(Unsendable::TooLong);
    }
    let fragment_header_len = match addresses {
        Addresses::V4 { .. } => 0,
        Addresses::V6 { .. } => FRAGMENT_HEADER_LEN,
    };
    let overhead = addresses.header_len() + fragment_header_len;
    let chunk = mtu.saturating_sub(overhead) & !7;
    if chunk == 0 {
        return Err(Unsendable::MtuTooSmall);
    }

    let hop_limit = batch.hop_limit();
    // The field of IPv4 has 16 bits: the low half.
    let [i0, i1, i2, i3] = identifications.draw().to_be_bytes();
    for start in (0..len).step_by(chunk) {
        let end = len.min(start + chunk);
        let offset = u16::try_from(start).map_err(|_| Unsendable::TooLong)?;
        let more = end < len;
        let head_part = section(head, start, end);
        let tail_part = section(
            tail,
            start.saturating_sub(head.len()),
            end.saturating_sub(head.len()),
        );
        let payload_len = fragment_header_len + (end - start);
        match addresses {
            Addresses::V4 { .. } => {
                let identification = u16::from_be_bytes([i2, i3]);
                let more = if more { MORE_FRAGMENTS_V4 } else { 0 };
                let field = (offset / 8) | more;
                let header = ip_header(
                    hop_limit,
                    addresses,
                    protocol,
                    payload_len,
                    identification,
                    field,
                )?;
                push(batch, &header, [&[], head_part, tail_part]);
            }
            Addresses::V6 { .. } => {
                let [o0, o1] = (offset | u16::from(more)).to_be_bytes();
                let fragment = [protocol, 0, o0, o1, i0, i1, i2, i3];
                let header = whole_header(hop_limit, addresses, FRAGMENT, payload_len)?;
                push(batch, &header, [&fragment, head_part, tail_part]);
            }
        }
    }
    Ok(())
}

/// The bytes from `start` to `end`, as far as there are any.
fn section(bytes: &[u8], start: usize, end: usize) -> &[u8] {
    let end = end.min(bytes.len());
    bytes.get(start.min(end)..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip::build::{protocol, udp};
    use etherparse::defrag::IpDefragPool;
    use etherparse::{SlicedPacket, TransportSlice};
    use proptest::prelude::*;
    use std::net::SocketAddr;

    #[test]
    fn a_4000_byte_datagram_makes_three_ipv4_fragments_of_one_identification() {
        let frames = sent(false, 4000, 1500);
        let infos = infos(&frames);
        let shape: Vec<_> = infos.iter().map(|i| (i.offset, i.more)).collect();
        assert_eq!(shape, [(0, true), (1480, true), (2960, false)]);
        assert!(infos.iter().all(|i| i.identification == 7));
        assert!(frames.iter().all(|frame| frame[6] & 0x40 == 0), "DF is set");
    }

    #[test]
    fn a_4000_byte_datagram_makes_three_ipv6_fragments_of_one_identification() {
        let infos = infos(&sent(true, 4000, 1500));
        let shape: Vec<_> = infos.iter().map(|i| (i.offset, i.more)).collect();
        assert_eq!(shape, [(0, true), (1448, true), (2896, false)]);
        assert!(
            infos
                .iter()
                .all(|i| i.identification == 7 && i.protocol == 17)
        );
    }

    #[test]
    fn a_packet_of_exactly_the_mtu_is_not_split() {
        assert_eq!(sent(false, 1472, 1500).len(), 1);
        assert_eq!(sent(false, 1473, 1500).len(), 2);
        assert_eq!(sent(true, 1452, 1500).len(), 1);
        assert_eq!(sent(true, 1453, 1500).len(), 2);
    }

    #[test]
    fn the_next_datagram_has_another_identification() {
        let mut batch = FrameBatch::new();
        let mut ids = Identifications::new(u32::MAX);
        for _ in 0..2 {
            let (from, to) = ends(true);
            assert_eq!(
                udp(&mut batch, &mut ids, from, to, &[0; 1453], 1500),
                Ok(())
            );
        }
        let ids: Vec<_> = batch
            .iter()
            .map(|f| FragmentInfo::of(f).unwrap().identification)
            .collect();
        assert_eq!(ids, [u32::MAX, u32::MAX, 0, 0]);
    }

    #[test]
    fn an_mtu_without_room_for_eight_bytes_is_refused() {
        for (v6, mtu) in [(false, 27), (true, 55), (true, 0)] {
            let (from, to) = ends(v6);
            let (mut batch, mut ids) = (FrameBatch::new(), Identifications::new(0));
            let sent = udp(&mut batch, &mut ids, from, to, &[0; 100], mtu);
            assert_eq!(sent, Err(Unsendable::MtuTooSmall));
            assert!(batch.is_empty());
        }
    }

    #[test]
    fn extension_headers_before_the_fragment_header_are_stepped_over() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 24, 0, 64];
        packet.extend([0xfd; 32]);
        packet.extend([44, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend([17, 0, 0, 9, 0, 0, 0, 5]);
        packet.extend([0; 8]);
        let info = FragmentInfo::of(&packet).unwrap();
        assert_eq!((info.header_len, info.payload_len), (56, 8));
        assert_eq!(
            (info.offset, info.more, info.protocol),
            (8, true, protocol::UDP)
        );
    }

    #[test]
    fn an_authentication_header_is_measured_in_words_of_four_bytes() {
        let mut packet = vec![0x60, 0, 0, 0, 0, 40, 51, 64];
        packet.extend([0xfd; 32]);
        packet.extend([44, 4, 0, 0]);
        packet.extend([0; 20]);
        packet.extend([17, 0, 0, 9, 0, 0, 0, 5]);
        packet.extend([0; 8]);
        let info = FragmentInfo::of(&packet).unwrap();
        assert_eq!((info.header_len, info.identification), (72, 5));
    }

    #[test]
    fn a_packet_that_is_no_fragment_has_no_info() {
        assert_eq!(FragmentInfo::of(&sent(false, 10, 1500)[0]), None);
        assert_eq!(FragmentInfo::of(&sent(true, 10, 1500)[0]), None);
    }

    proptest! {
        #[test]
        fn the_oracle_reassembles_what_was_split(
            v6: bool, len in 0..65_000_usize, mtu in 576..9000_usize,
        ) {
            let frames = sent(v6, len, mtu);
            let mut pool = IpDefragPool::<(), ()>::new();
            let mut whole = None;
            for (index, frame) in frames.iter().enumerate() {
                prop_assert!(frame.len() <= mtu);
                let sliced = SlicedPacket::from_ip(frame).unwrap();
                if frames.len() == 1 {
                    let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("no UDP") };
                    whole = Some(udp.slice().to_vec());
                    break;
                }
                let done = pool.process_sliced_packet(&sliced, (), ()).unwrap();
                prop_assert_eq!(done.is_some(), index + 1 == frames.len());
                whole = done.map(|done| done.payload);
            }
            let whole = whole.unwrap();
            prop_assert_eq!(&whole[8..], &payload(len)[..]);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), version in 0..3) {
            if let (Some(first), 1..) = (bytes.first_mut(), version) {
                *first = if version == 1 { 0x45 } else { 0x60 };
            }
            if let Some(info) = FragmentInfo::of(&bytes) {
                prop_assert!(info.header_len + info.payload_len <= bytes.len());
            }
        }
    }

    fn ends(v6: bool) -> (SocketAddr, SocketAddr) {
        let (from, to) = if v6 {
            ("[2001:db8::1]:53", "[fd00::2]:5353")
        } else {
            ("192.0.2.1:53", "10.0.0.2:5353")
        };
        (from.parse().unwrap(), to.parse().unwrap())
    }

    fn payload(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at % 251) as u8).collect()
    }

    fn sent(v6: bool, len: usize, mtu: usize) -> Vec<Vec<u8>> {
        let (from, to) = ends(v6);
        let (mut batch, mut ids) = (FrameBatch::new(), Identifications::new(7));
        assert_eq!(
            udp(&mut batch, &mut ids, from, to, &payload(len), mtu),
            Ok(())
        );
        batch.iter().map(<[u8]>::to_vec).collect()
    }

    fn infos(frames: &[Vec<u8>]) -> Vec<FragmentInfo> {
        frames
            .iter()
            .map(|frame| FragmentInfo::of(frame).unwrap())
            .collect()
    }
}
