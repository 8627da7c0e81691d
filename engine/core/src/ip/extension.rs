//! The IPv6 headers between base header and upper layer: walked in order, under limits, each option acted upon.
//!
//! ```text
//! base ── hop-by-hop ── destination options ── routing ── fragment ── destination options ── TCP, UDP, ICMPv6 ...
//!          first only     skip, drop, report    left: 0     stops the walk, unless the fragment is a whole datagram
//! ```

use crate::api::drop_reason::DropReason;
use crate::ip::build::IPV6_HEADER_LEN;
use crate::ip::fragment::{DESTINATION_OPTIONS, HOP_BY_HOP, HeaderChain, Link, ROUTING};
use crate::ip::icmp::Problem;

/// Extension headers of one packet. Each kind once, destination options twice, is five (RFC 8200 section 4.1).
const MAX_HEADERS: usize = 8;
/// Options of one header besides padding (RFC 8504 section 5.3 advises the same limit).
const MAX_OPTIONS: usize = 8;
/// Offset of the next header field in the base header.
const BASE_NEXT_HEADER: usize = 6;

/// Where a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    /// What begins at `offset`.
    pub(crate) protocol: u8,
    /// Offset of the payload in the packet.
    pub(crate) offset: usize,
    /// Offset of the next header field that names `protocol`.
    pub(crate) named_at: usize,
    /// Whether it ended before a Fragment header of a datagram in several pieces.
    pub(crate) fragment: bool,
}

/// Why a packet goes nowhere, and what is reported to its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) reason: DropReason,
    pub(crate) problem: Option<Problem>,
}

impl Fault {
    const fn silent(reason: DropReason) -> Self {
        Self {
            reason,
            problem: None,
        }
    }

    fn reported(reason: DropReason, code: u8, pointer: usize) -> Self {
        let pointer = u32::try_from(pointer).unwrap_or(u32::MAX);
        Self {
            reason,
            problem: Some(Problem::Parameter { code, pointer }),
        }
    }
}

/// Walks the headers of an IPv6 packet that is cut to its own length; `multicast` says whether its destination is.
pub(crate) fn walk(packet: &[u8], multicast: bool) -> Result<Reached, Fault> {
    const UNRECOGNIZED_NEXT_HEADER: u8 = 1;

    let cut = Fault::silent(DropReason::MalformedIp);
    let first = *packet.get(BASE_NEXT_HEADER).ok_or(cut)?;
    let mut chain = HeaderChain::new(first, IPV6_HEADER_LEN);
    let mut reached = Reached {
        protocol: first,
        offset: IPV6_HEADER_LEN,
        named_at: BASE_NEXT_HEADER,
        fragment: false,
    };
    let mut atomic = false;
    for _ in 0..=MAX_HEADERS {
        let (number, at) = (chain.next_header, chain.offset);
        if number == HOP_BY_HOP && at != IPV6_HEADER_LEN {
            // RFC 8200 section 4: it directly follows the base header or is not recognized.
            let (reason, code) = (DropReason::UnknownProtocol, UNRECOGNIZED_NEXT_HEADER);
            return Err(Fault::reported(reason, code, reached.named_at));
        }
        match chain.step(packet) {
            Link::Upper => {
                reached.protocol = number;
                reached.offset = at;
                return Ok(reached);
            }
            Link::Cut => return Err(cut),
            Link::Fragment if atomic => {
                return Err(Fault::silent(DropReason::FragmentRefused));
            }
            Link::Fragment => {
                let fragment = chain.enter_fragment(packet).ok_or(cut)?;
                if fragment.offset != 0 || fragment.more {
                    reached.fragment = true;
                    return Ok(reached);
                }
                // RFC 6946: a datagram in one piece, whatever else bears its identification.
                atomic = true;
            }
            Link::Extension => {
                let header = packet.get(at..chain.offset).ok_or(cut)?;
                match number {
                    HOP_BY_HOP | DESTINATION_OPTIONS => options(header, at, multicast)?,
                    ROUTING => routing(header, at)?,
                    _ => {}
                }
            }
        }
        reached.named_at = at;
    }
    Err(Fault::silent(DropReason::ExtensionHeaders))
}

/// Acts upon the options of a header that begins at `at` (RFC 8200 section 4.2).
///
/// None of them changes what the engine does, so every option counts as unknown: the two high bits of its type say
/// what that means.
fn options(header: &[u8], at: usize, multicast: bool) -> Result<(), Fault> {
    const PAD_1: u8 = 0;
    const PAD_N: u8 = 1;
    const UNRECOGNIZED_OPTION: u8 = 2;

    let mut offset = 2;
    let mut count = 0;
    // Each pass goes on by a byte at least, and the header is cut to its length.
    while let Some(&kind) = header.get(offset) {
        if kind == PAD_1 {
            offset += 1;
            continue;
        }
        let len = header.get(offset + 1).copied().map(usize::from);
        let end = len.map(|len| offset + 2 + len);
        let Some(end) = end.filter(|end| *end <= header.len()) else {
            return Err(Fault::silent(DropReason::MalformedIp));
        };
        if kind != PAD_N {
            count += 1;
            if count > MAX_OPTIONS {
                return Err(Fault::silent(DropReason::ExtensionHeaders));
            }
            let reason = DropReason::UnknownOption;
            match kind >> 6 {
                0 => {}
                1 => return Err(Fault::silent(reason)),
                3 if multicast => return Err(Fault::silent(reason)),
                _ => return Err(Fault::reported(reason, UNRECOGNIZED_OPTION, at + offset)),
            }
        }
        offset = end;
    }
    Ok(())
}

/// A routing header that is done with is passed over; one that is not would have the engine forward the packet
/// (RFC 8200 section 4.4, RFC 5095).
fn routing(header: &[u8], at: usize) -> Result<(), Fault> {
    const ERRONEOUS_FIELD: u8 = 0;

    match header.get(3) {
        Some(0) => Ok(()),
        _ => Err(Fault::reported(
            DropReason::SourceRouted,
            ERRONEOUS_FIELD,
            at + 2,
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A base header that names `first`, and what follows it.
    fn packet(first: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![
            0x60,
            0,
            0,
            0,
            0,
            u8::try_from(rest.len()).unwrap(),
            first,
            64,
        ];
        packet.extend([0xfd; 32]);
        packet.extend(rest);
        packet
    }

    fn options_of(rest: &[u8], multicast: bool) -> Result<(), Fault> {
        let mut header = vec![17, 0];
        header.extend(rest);
        options(&header, 40, multicast)
    }

    #[test]
    fn nine_headers_are_too_many() {
        let header = |next: u8| [next, 0, 1, 4, 0, 0, 0, 0];
        let mut rest: Vec<u8> = header(60).repeat(7);
        rest.extend(header(17));
        let reached = walk(&packet(60, &rest), false).unwrap();
        assert_eq!(
            (reached.protocol, reached.offset, reached.named_at),
            (17, 104, 96)
        );
        rest.splice(..0, header(60));
        let fault = walk(&packet(60, &rest), false).unwrap_err();
        assert_eq!(fault, Fault::silent(DropReason::ExtensionHeaders));
    }

    #[test]
    fn nine_options_are_too_many_and_padding_does_not_count() {
        let eight = [0x1e, 0].repeat(8);
        assert_eq!(options_of(&eight, false), Ok(()));
        assert_eq!(options_of(&[&eight[..], &[0; 6]].concat(), false), Ok(()));
        let nine = [0x1e, 0].repeat(9);
        let fault = Fault::silent(DropReason::ExtensionHeaders);
        assert_eq!(options_of(&nine, false), Err(fault));
    }

    #[test]
    fn the_report_points_at_the_option_that_is_not_known() {
        let reason = DropReason::UnknownOption;
        // Six bytes of padding, then an option that asks for a report to its sender (RFC 8200 section 4.2).
        let options = [&[1, 4, 0, 0, 0, 0][..], &[0x80 | 30, 0]].concat();
        let fault = Fault::reported(reason, 2, 40 + 8);
        assert_eq!(options_of(&options, false), Err(fault));
        let asks_unicast_only = [0xc0 | 30, 0];
        assert_eq!(
            options_of(&asks_unicast_only, true),
            Err(Fault::silent(reason))
        );
        let fault = Fault::reported(reason, 2, 40 + 2);
        assert_eq!(options_of(&asks_unicast_only, false), Err(fault));
    }

    #[test]
    fn an_option_beyond_its_header_is_malformed() {
        let fault = Fault::silent(DropReason::MalformedIp);
        assert_eq!(options_of(&[1, 5, 0, 0, 0, 0], false), Err(fault));
        assert_eq!(options_of(&[0, 0, 0, 0, 0, 1], false), Err(fault));
    }

    #[test]
    fn a_fragment_within_an_atomic_fragment_is_refused() {
        let atomic = |next: u8| [next, 0, 0, 0, 0, 0, 0, 9];
        let rest = [atomic(44), atomic(17)].concat();
        let fault = walk(&packet(44, &rest), false).unwrap_err();
        assert_eq!(fault, Fault::silent(DropReason::FragmentRefused));
    }
}
