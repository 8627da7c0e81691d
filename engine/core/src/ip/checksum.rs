//! The Internet checksum (RFC 1071), eight bytes at a time.
//!
//! A ones-complement sum does not care for byte order or for the width of its words:
//! 64-bit words read little-endian are added up with their carries put back in,
//! and only the end folds the sum to 16 bits and swaps it to network order.

use crate::ip::build::Addresses;

/// A checksum under construction; parts may be added in any pieces, odd lengths included.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sum {
    /// Ones-complement sum of little-endian words.
    words: u64,
    /// Whether an odd number of bytes was added, so that the next one is a low-order byte.
    odd: bool,
}

impl Sum {
    /// Starts with the pseudo header of TCP, UDP and ICMPv6 (RFC 9293 section 3.1,
    /// RFC 8200 section 8.1) for an upper-layer packet of `len` bytes.
    pub(crate) fn pseudo(addresses: &Addresses, protocol: u8, len: usize) -> Self {
        let len = u64::from(u32::try_from(len).unwrap_or(u32::MAX).swap_bytes());
        // The protocol is in the last of four bytes; a 32-bit length has the same sum as IPv4's 16-bit one.
        let mut words = len + (u64::from(protocol) << 24);
        match addresses {
            Addresses::V4 {
                source,
                destination,
            } => {
                words += u64::from(u32::from_le_bytes(source.octets()));
                words += u64::from(u32::from_le_bytes(destination.octets()));
            }
            Addresses::V6 {
                source,
                destination,
            } => {
                for address in [source, destination] {
                    words = end_around(words, sum_words(&address.octets()));
                }
            }
        }
        Self { words, odd: false }
    }

    /// Starts with a sum that is known, of an even number of bytes: a word of them read little-endian.
    #[must_use]
    pub(crate) fn with_word(self, word: u64) -> Self {
        Self {
            words: end_around(self.words, word),
            odd: self.odd,
        }
    }

    /// Adds the next bytes.
    #[must_use]
    pub(crate) fn add(self, bytes: &[u8]) -> Self {
        let mut part = sum_words(bytes);
        if self.odd {
            part = u64::from(fold(part).swap_bytes());
        }
        Self {
            words: end_around(self.words, part),
            odd: self.odd ^ (bytes.len() % 2 == 1),
        }
    }

    /// The checksum: the complement of the sum, in host order.
    pub(crate) fn finish(self) -> u16 {
        !fold(self.words).swap_bytes()
    }
}

/// The checksum of `bytes` alone: IPv4 headers, ICMPv4 messages.
pub(crate) fn of(bytes: &[u8]) -> u16 {
    Sum::default().add(bytes).finish()
}

/// Whether an IPv4 header carries the right checksum.
#[inline]
pub(crate) fn ipv4_header_verifies(header: &[u8]) -> bool {
    match <&[u8; 20]>::try_from(header) {
        Ok(plain) => of_header(plain) == 0,
        Err(_) => verifies(header),
    }
}

/// The checksum of an IPv4 header without options.
#[inline]
pub(crate) fn of_header(header: &[u8; 20]) -> u16 {
    // Five words of 32 bits need no carries.
    let (words, _) = header.as_chunks::<4>();
    let sum = words
        .iter()
        .map(|word| u64::from(u32::from_le_bytes(*word)));
    !fold(sum.sum()).swap_bytes()
}

/// Whether bytes that contain their own checksum sum up to nothing.
pub(crate) fn verifies(bytes: &[u8]) -> bool {
    of(bytes) == 0
}

/// The checksum of a TCP segment, UDP datagram or ICMPv6 message whose checksum field is 0.
///
/// The sender of a UDP datagram replaces a result of 0 by 0xffff (RFC 768).
pub(crate) fn tcp_udp(addresses: &Addresses, protocol: u8, segment: &[u8]) -> u16 {
    Sum::pseudo(addresses, protocol, segment.len())
        .add(segment)
        .finish()
}

/// Whether a TCP segment, UDP datagram or ICMPv6 message carries the right checksum.
///
/// A UDP checksum of 0 means "none" on IPv4 and is wrong on IPv6: that is the caller's rule.
pub(crate) fn tcp_udp_verifies(addresses: &Addresses, protocol: u8, segment: &[u8]) -> bool {
    tcp_udp(addresses, protocol, segment) == 0
}

/// Whether `field` is the sum of the pseudo header of `len` bytes, and not its complement: what stands in the checksum
/// field of a segment whose sender left the rest to a device (virtio 1.2 section 5.1.6.2).
pub(crate) fn is_partial(addresses: &Addresses, protocol: u8, len: usize, field: u16) -> bool {
    let sum = !Sum::pseudo(addresses, protocol, len).finish();
    // In ones-complement both are zero.
    sum == field || (sum ^ field == 0xffff && (sum == 0 || field == 0))
}

/// Adds up little-endian words of 64 bits with the carry put back in, the last one padded with zeros.
fn sum_words(bytes: &[u8]) -> u64 {
    let (words, tail) = bytes.as_chunks::<8>();
    let (blocks, rest) = words.as_chunks::<16>();
    // Two sums beside each other: an addition waits for the carry of the one before it, and not for those of the other
    // sum.
    let (mut sum, mut other) = (0, 0);
    for block in blocks {
        if let ([one, two], _) = block.as_chunks::<8>() {
            sum = sum_run(sum, one);
            other = sum_run(other, two);
        }
    }
    sum = end_around(sum, other);
    let (fours, last) = rest.as_chunks::<4>();
    for four in fours {
        sum = sum_run(sum, four);
    }
    for word in last {
        sum = end_around(sum, u64::from_le_bytes(*word));
    }
    if tail.is_empty() {
        return sum;
    }
    end_around(sum, little_endian(tail))
}

/// Adds one chain of carries: an addition for every eight bytes and nothing else.
#[inline(always)]
fn sum_run<const N: usize>(mut sum: u64, words: &[[u8; 8]; N]) -> u64 {
    let mut carry = false;
    for word in words {
        (sum, carry) = sum.carrying_add(u64::from_le_bytes(*word), carry);
    }
    end_around(sum, u64::from(carry))
}

/// Up to seven bytes as a little-endian word.
fn little_endian(bytes: &[u8]) -> u64 {
    let (mut word, mut shift) = (0, 0);
    let (four, rest) = bytes.as_chunks::<4>();
    for four in four {
        word = u64::from(u32::from_le_bytes(*four));
        shift = 32;
    }
    let (two, rest) = rest.as_chunks::<2>();
    for two in two {
        word |= u64::from(u16::from_le_bytes(*two)) << shift;
        shift += 16;
    }
    for one in rest {
        word |= u64::from(*one) << shift;
    }
    word
}

/// The ones-complement sum of two words: a carry goes back in at the low end, where there is room for it.
const fn end_around(a: u64, b: u64) -> u64 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u64
}

/// Folds carries back in until 16 bits are left.
const fn fold(sum: u64) -> u16 {
    // 33 bits, then 18, then 17, then 16.
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 32) + ((sum >> 16) & 0xffff) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::checksum as oracle;
    use proptest::prelude::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// RFC 1071 as it is written: big-endian words, carries at the end.
    fn naive(bytes: &[u8]) -> u16 {
        let mut sum = 0_u64;
        for pair in bytes.chunks(2) {
            sum += u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
        }
        while sum >> 16 != 0 {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        !(sum as u16)
    }

    #[test]
    fn the_example_of_rfc_1071_sums_up() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(of(&bytes), !0xddf2);
    }

    #[test]
    fn carries_survive_the_longest_packet_of_ones() {
        let bytes = [0xff; 65_535];
        assert_eq!(of(&bytes), naive(&bytes));
        assert_eq!(of(&bytes[1..]), naive(&bytes[1..]));
    }

    #[test]
    fn the_pseudo_header_counts_a_length_above_65535() {
        let addresses = Addresses::V6 {
            source: Ipv6Addr::LOCALHOST,
            destination: Ipv6Addr::LOCALHOST,
        };
        let long = Sum::pseudo(&addresses, 17, 0x1_0002).finish();
        assert_eq!(long, Sum::pseudo(&addresses, 17, 3).finish());
    }

    proptest! {
        #[test]
        fn the_wide_sum_equals_the_naive_one(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(of(&bytes), naive(&bytes));
        }

        #[test]
        fn pieces_of_any_length_compose(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70), 0..8),
        ) {
            let sum = pieces.iter().fold(Sum::default(), |sum, piece| sum.add(piece));
            prop_assert_eq!(sum.finish(), naive(&pieces.concat()));
        }

        #[test]
        fn ipv4_pseudo_headers_match_the_oracle(
            a in any::<u32>(), b in any::<u32>(), bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let (source, destination) = (Ipv4Addr::from(a), Ipv4Addr::from(b));
            let expected = oracle::Sum16BitWords::new()
                .add_4bytes(source.octets())
                .add_4bytes(destination.octets())
                .add_2bytes([0, 6])
                .add_2bytes((bytes.len() as u16).to_be_bytes())
                .add_slice(&bytes)
                .ones_complement();
            let addresses = Addresses::V4 { source, destination };
            prop_assert_eq!(tcp_udp(&addresses, 6, &bytes), expected.to_be());
        }

        #[test]
        fn ipv6_pseudo_headers_match_the_oracle(
            a in any::<u128>(), b in any::<u128>(), bytes in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let (source, destination) = (Ipv6Addr::from(a), Ipv6Addr::from(b));
            let expected = oracle::Sum16BitWords::new()
                .add_16bytes(source.octets())
                .add_16bytes(destination.octets())
                .add_4bytes((bytes.len() as u32).to_be_bytes())
                .add_2bytes([0, 58])
                .add_slice(&bytes)
                .ones_complement();
            let addresses = Addresses::V6 { source, destination };
            prop_assert_eq!(tcp_udp(&addresses, 58, &bytes), expected.to_be());
        }

        #[test]
        fn a_stored_checksum_verifies_and_a_flipped_bit_does_not(
            mut bytes in prop::collection::vec(any::<u8>(), 8..300), at in any::<prop::sample::Index>(), bit in 0..8_u32,
        ) {
            bytes[6..8].fill(0);
            let check = of(&bytes).to_be_bytes();
            bytes[6..8].copy_from_slice(&check);
            prop_assert!(verifies(&bytes));
            let at = at.index(bytes.len());
            bytes[at] ^= 1_u8 << bit;
            prop_assert!(!verifies(&bytes));
        }
    }
}
