//! Segments as they leave: headers, options and payload written straight into the batch.

use crate::api::batch::FrameBatch;
use crate::flow::key::PackedKey;
use crate::ip::build::{
    Addresses, IPV4_HEADER_LEN, IPV6_HEADER_LEN, IpHeader, concatenate, protocol, whole_header,
};
use crate::ip::checksum::Sum;
use crate::tcp::seq::Seq;
use crate::tcp::timestamps::Stamp;

/// A TCP header without options.
const HEADER: usize = 20;
/// Bytes of a SACK block.
const BLOCK: usize = 8;
/// The most that options may take, bytes.
pub(crate) const MOST_OPTIONS: usize = 40;

/// The control bits of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) const ACK: Self = Self(0x10);
    const RST: Self = Self(0x04);
    const RST_ACK: Self = Self(0x14);
    pub(crate) const SYN_ACK: Self = Self(0x12);
    pub(crate) const FIN_ACK: Self = Self(0x11);
    pub(crate) const PUSH_ACK: Self = Self(0x18);
}

/// The contents of a segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    pub(crate) flags: Flags,
    /// The window field.
    pub(crate) window: u16,
    /// Whole words of options.
    pub(crate) options: &'a [u8],
    /// The payload, which may lie in two pieces.
    pub(crate) payload: [&'a [u8]; 2],
}

impl<'a> Outgoing<'a> {
    /// An acknowledgement and nothing else.
    pub(crate) fn bare_ack(seq: Seq, ack: Seq, window: u16, options: &'a Options) -> Self {
        Self {
            seq,
            ack,
            flags: Flags::ACK,
            window,
            options: options.as_slice(),
            payload: [&[], &[]],
        }
    }
}

impl Outgoing<'static> {
    /// A reset. It acknowledges nothing where it answers a segment that had an acknowledgement (RFC 9293 section 3.10.7.1).
    pub(crate) fn reset(seq: Seq, ack: Option<Seq>) -> Self {
        Self {
            seq,
            ack: ack.unwrap_or(Seq(0)),
            flags: ack.map_or(Flags::RST, |_| Flags::RST_ACK),
            window: 0,
            options: &[],
            payload: [&[], &[]],
        }
    }
}

/// The two ends of a connection, as every segment toward the device names them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ends {
    addresses: Addresses,
    server_port: u16,
    client_port: u16,
}

impl Ends {
    pub(crate) fn new(key: &PackedKey) -> Self {
        let addresses = key.toward_device();
        let key = key.unpack();
        Self {
            addresses,
            server_port: key.server.port(),
            client_port: key.client.port(),
        }
    }

    /// Bytes of a segment's headers without options.
    pub(crate) fn headers(&self) -> usize {
        self.addresses.header_len() + HEADER
    }

    /// Writes a segment into the batch.
    #[inline(always)]
    pub(crate) fn write(&self, out: &mut FrameBatch, segment: &Outgoing<'_>) {
        let [one, two] = segment.payload;
        let transport = HEADER + segment.options.len() + one.len() + two.len();
        // Within the MTU, so that no length is too long for its field.
        let header = whole_header(out.hop_limit(), &self.addresses, protocol::TCP, transport);
        let Ok(ip) = header else {
            return;
        };
        match ip {
            IpHeader::V4(ip) => self.push::<IPV4_HEADER_LEN>(out, &ip, segment, transport),
            IpHeader::V6(ip) => self.push::<IPV6_HEADER_LEN>(out, &ip, segment, transport),
        }
    }

    #[inline]
    fn push<const N: usize>(
        &self,
        out: &mut FrameBatch,
        ip: &[u8; N],
        segment: &Outgoing<'_>,
        transport: usize,
    ) {
        let header = self.header(segment);
        let [one, two] = segment.payload;
        let addresses = &self.addresses;
        out.push_with(N + transport, |space| {
            let Some((to, tcp)) = space.split_first_chunk_mut::<N>() else {
                return;
            };
            *to = *ip;
            if let Some((to, rest)) = tcp.split_first_chunk_mut::<HEADER>() {
                *to = header;
                if let Some(to) = rest.get_mut(..one.len())
                    && segment.options.is_empty()
                    && two.is_empty()
                {
                    // As nearly all of them.
                    to.copy_from_slice(one);
                } else {
                    concatenate(rest, [segment.options, one, two]);
                }
            }
            let sum = Sum::pseudo(addresses, protocol::TCP, transport)
                .add(tcp)
                .finish();
            #[cfg(feature = "seeded-fault")]
            let sum = sum
                ^ u16::from(
                    !one.is_empty()
                        && crate::seeded_fault::is(crate::seeded_fault::Fault::Checksum),
                );
            if let Some(field) = tcp.get_mut(16..18) {
                field.copy_from_slice(&sum.to_be_bytes());
            }
        });
    }

    fn header(&self, segment: &Outgoing<'_>) -> [u8; HEADER] {
        let [s0, s1] = self.server_port.to_be_bytes();
        let [d0, d1] = self.client_port.to_be_bytes();
        let [q0, q1, q2, q3] = segment.seq.0.to_be_bytes();
        let [a0, a1, a2, a3] = segment.ack.0.to_be_bytes();
        let [w0, w1] = segment.window.to_be_bytes();
        let words = (HEADER + segment.options.len()) / 4;
        let offset = u8::try_from(words).unwrap_or(5) << 4;
        let Flags(flags) = segment.flags;
        [
            s0, s1, d0, d1, q0, q1, q2, q3, a0, a1, a2, a3, offset, flags, w0, w1, 0, 0, 0, 0,
        ]
    }
}

/// Options under construction, in whole words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    bytes: [u8; MOST_OPTIONS],
    len: usize,
}

impl Options {
    pub(crate) const NONE: Self = Self {
        bytes: [0; MOST_OPTIONS],
        len: 0,
    };

    /// Those of a SYN-ACK: the segment size, and what the device offered as well.
    pub(crate) fn of_syn_ack(
        mss: u16,
        window_scale: Option<u8>,
        sack: bool,
        stamp: Option<Stamp>,
    ) -> Self {
        let mut options = Self::NONE;
        #[cfg(feature = "seeded-fault")]
        let mss = mss
            ^ u16::from(crate::seeded_fault::is(
                crate::seeded_fault::Fault::SegmentSize,
            ));
        let [high, low] = mss.to_be_bytes();
        options.push(&[2, 4, high, low]);
        if let Some(shift) = window_scale {
            options.push(&[3, 3, shift]);
        }
        if sack {
            options.push(&[4, 2]);
        }
        if let Some(stamp) = stamp {
            options.push(&[8, 10]);
            options.push_stamp(stamp);
        }
        // Ends with the end of the list.
        options.len = options.len.next_multiple_of(4);
        options
    }

    /// A timestamp (RFC 7323 section 3.2), padded ahead so that the numbers are aligned.
    pub(crate) fn of_stamp(stamp: Stamp) -> Self {
        let mut options = Self::NONE;
        options.push(&[1, 1, 8, 10]);
        options.push_stamp(stamp);
        options
    }

    fn push_stamp(&mut self, stamp: Stamp) {
        self.push(&stamp.value.to_be_bytes());
        self.push(&stamp.echo.to_be_bytes());
    }

    /// Adds blocks of received data (RFC 2018 section 3), as many as fit, padded likewise.
    pub(crate) fn push_blocks(&mut self, blocks: impl Iterator<Item = (Seq, Seq)>) {
        let start = self.len;
        self.push(&[1, 1, 5, 2]);
        let room = MOST_OPTIONS.saturating_sub(self.len) / BLOCK;
        for (left, right) in blocks.take(room) {
            self.push(&left.0.to_be_bytes());
            self.push(&right.0.to_be_bytes());
        }
        if self.len == start + 4 {
            self.len = start;
        } else if let Some(len) = self.bytes.get_mut(start + 3) {
            *len = u8::try_from(self.len - start - 2).unwrap_or(2);
        }
    }

    fn push(&mut self, bytes: &[u8]) {
        if let Some(space) = self.bytes.get_mut(self.len..self.len + bytes.len()) {
            space.copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// The SACK blocks of a segment that came, at most four (RFC 2018 section 3).
pub(crate) fn sack_blocks(options: &[u8]) -> impl Iterator<Item = (Seq, Seq)> + '_ {
    let blocks = find(options, 5).unwrap_or_default();
    blocks.chunks_exact(8).take(4).filter_map(|block| {
        let (left, right) = block.split_first_chunk::<4>()?;
        let right = right.first_chunk::<4>()?;
        Some((
            Seq(u32::from_be_bytes(*left)),
            Seq(u32::from_be_bytes(*right)),
        ))
    })
}

/// The timestamps of a segment that came.
#[inline]
pub(crate) fn stamp(options: &[u8]) -> Option<Stamp> {
    // As nearly every segment has it (RFC 7323 appendix A).
    let value = match options {
        [1, 1, 8, 10, value @ ..] => value,
        _ => find(options, 8).filter(|value| value.len() == BLOCK)?,
    };
    let (value, echo) = value.split_first_chunk::<4>()?;
    Some(Stamp {
        value: u32::from_be_bytes(*value),
        echo: u32::from_be_bytes(*echo.first_chunk::<4>()?),
    })
}

/// The maximum segment size of a SYN (RFC 9293 section 3.7.1).
pub(crate) fn mss(options: &[u8]) -> Option<u16> {
    let value = find(options, 2)?.try_into().ok()?;
    Some(u16::from_be_bytes(value))
}

/// The window scale of a SYN (RFC 7323 section 2.2), 14 at the most.
pub(crate) fn window_scale(options: &[u8]) -> Option<u8> {
    let [shift] = *find(options, 3)? else {
        return None;
    };
    Some(shift.min(14))
}

/// Whether a SYN permits selective acknowledgements.
pub(crate) fn permits_sack(options: &[u8]) -> bool {
    find(options, 4).is_some_and(<[u8]>::is_empty)
}

/// What the first option of a kind holds. The list ends before an option whose length is illegal (RFC 9293 MUST-7).
fn find(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    // Each option is at least one byte long: the walk ends.
    loop {
        options = match *options {
            [] | [0, ..] | [_] => return None,
            [1, ref rest @ ..] => rest,
            [kind, len, ..] => {
                let len = usize::from(len);
                let value = options.get(2..len)?;
                if kind == wanted {
                    return Some(value);
                }
                options.get(len..)?
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_written_as_they_are_read() {
        let blocks = [(Seq(1), Seq(2)), (Seq(u32::MAX), Seq(9))];
        let mut options = Options::NONE;
        options.push_blocks(core::iter::empty());
        assert_eq!(options.as_slice(), [0; 0]);
        options.push_blocks(blocks.into_iter());
        assert_eq!(options.as_slice().len(), 20);
        let read: Vec<_> = sack_blocks(options.as_slice()).collect();
        assert_eq!(read, blocks);
        assert_eq!(stamp(options.as_slice()), None);
    }

    #[test]
    fn three_blocks_fit_beside_a_timestamp() {
        let stamped = Stamp { value: 7, echo: 8 };
        let mut options = Options::of_stamp(stamped);
        options.push_blocks((0..9).map(|at| (Seq(at * 10), Seq(at * 10 + 1))));
        assert_eq!(options.as_slice().len(), MOST_OPTIONS);
        assert_eq!(sack_blocks(options.as_slice()).count(), 3);
        assert_eq!(stamp(options.as_slice()), Some(stamped));
        assert_eq!(stamp(&options.as_slice()[..11]), None);
        // Whatever stands before it.
        let odd = [4, 2, 8, 10, 0, 0, 0, 7, 0, 0, 0, 8, 0, 0];
        assert_eq!(stamp(&odd), Some(stamped));
        assert_eq!(stamp(&[8, 9, 0, 0, 0, 7, 0, 0, 0]), None);
    }

    #[test]
    fn options_of_a_syn_are_found_behind_others() {
        let options = [1, 3, 3, 7, 2, 4, 5, 180];
        assert_eq!(
            (mss(&options), window_scale(&options)),
            (Some(1460), Some(7))
        );
        assert_eq!(window_scale(&[3, 3, 200]), Some(14));
        assert_eq!((mss(&[8, 0, 0]), mss(&[2, 3, 5])), (None, None));
    }

    #[test]
    fn a_reset_has_the_numbers_and_the_checksum_that_it_should() {
        let client = "10.0.0.2:40000".parse().unwrap();
        let server = "93.184.216.34:443".parse().unwrap();
        let proto = crate::flow::key::Proto::Tcp;
        let key = crate::flow::key::FlowKey {
            proto,
            client,
            server,
        };
        let mut out = FrameBatch::new();
        Ends::new(&PackedKey::from(&key)).write(&mut out, &Outgoing::reset(Seq(77), None));
        Ends::new(&PackedKey::from(&key)).write(&mut out, &Outgoing::reset(Seq(0), Some(Seq(5))));
        let flags: Vec<_> = out
            .iter()
            .map(|frame| (frame[33], frame[27], frame[31]))
            .collect();
        assert_eq!(flags, [(0x04, 77, 0), (0x14, 0, 5)]);
        for frame in &out {
            let packet = etherparse::PacketHeaders::from_ip_slice(frame).unwrap();
            let Some(etherparse::TransportHeader::Tcp(tcp)) = packet.transport else {
                panic!("not TCP")
            };
            let Some(etherparse::NetHeaders::Ipv4(ip, _)) = packet.net else {
                panic!("not IPv4")
            };
            assert_eq!(tcp.calc_checksum_ipv4(&ip, &[]), Ok(tcp.checksum));
            assert_eq!((tcp.source_port, tcp.destination_port), (443, 40_000));
        }
    }

    #[test]
    fn a_list_of_options_ends_before_an_illegal_length() {
        assert!(permits_sack(&[2, 4, 5, 180, 1, 1, 4, 2]));
        assert!(!permits_sack(&[2, 4, 4, 2, 0, 4, 2]));
        assert!(!permits_sack(&[254, 1, 4, 2]));
        assert_eq!(sack_blocks(&[5, 200, 0, 0, 0, 1, 0, 0, 0, 2]).count(), 0);
        assert_eq!(sack_blocks(&[5, 5, 0, 0, 0]).count(), 0);
    }

    #[test]
    fn a_syn_ack_offers_what_the_device_offered() {
        let all = Options::of_syn_ack(1460, Some(7), true, None);
        assert_eq!(all.as_slice(), [2, 4, 5, 180, 3, 3, 7, 4, 2, 0, 0, 0]);
        let stamped = Options::of_syn_ack(1460, None, true, Some(Stamp { value: 1, echo: 2 }));
        assert_eq!(
            stamped.as_slice(),
            [2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2]
        );
        let least = Options::of_syn_ack(536, None, false, None);
        assert_eq!(least.as_slice(), [2, 4, 2, 24]);
    }
}
