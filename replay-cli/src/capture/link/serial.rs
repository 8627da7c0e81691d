//! Serial links: PPP in all its framings, Cisco HDLC, frame relay.

use super::{IpBytes, Rest, SkipReason, ethertype, ip};

/// A PPP frame (RFC 1661): address and control may be left out, and so may the first byte of the protocol.
pub(super) fn ppp(rest: Rest<'_>) -> Result<IpBytes<'_>, SkipReason> {
    let rest = if rest.bytes.starts_with(&[0xff, UNNUMBERED]) {
        rest.behind(2)?
    } else {
        rest
    };
    let first = rest.u8(0)?;
    // The last byte of a protocol number is odd, every other one even.
    let (protocol, length) = if first & 1 == 1 {
        (first.into(), 1)
    } else {
        (rest.u16(0)?, 2)
    };
    match protocol {
        0x0021 => ip(rest.behind(length)?, Some(4)),
        0x0057 => ip(rest.behind(length)?, Some(6)),
        other => Err(SkipReason::PppProtocol(other)),
    }
}

/// A session packet of PPPoE: six bytes of header, the last two the length of what follows (RFC 2516 section 4), then PPP.
pub(super) fn pppoe(rest: Rest<'_>) -> Result<IpBytes<'_>, SkipReason> {
    ppp(rest.behind(6)?.up_to(rest.u16(4)?.into()))
}

/// PPP as Linux's pppd has it: the direction in place of the address, 0 for received and 1 for sent.
pub(super) fn pppd(frame: Rest<'_>) -> Result<IpBytes<'_>, SkipReason> {
    if matches!(frame.bytes, [0 | 1, UNNUMBERED, ..]) {
        ppp(frame.behind(2)?)
    } else {
        ppp(frame)
    }
}

/// Whether a frame begins as Cisco's HDLC does: unicast or broadcast, and a control byte of 0 (RFC 1547 section 4.3.1).
pub(super) fn is_cisco_hdlc(frame: Rest<'_>) -> bool {
    matches!(frame.bytes, [0x0f | 0x8f, 0, ..])
}

/// Cisco's HDLC: address, control, ethertype.
pub(super) fn cisco_hdlc(frame: Rest<'_>) -> Result<IpBytes<'_>, SkipReason> {
    ethertype(frame.u16(2)?, frame.behind(4)?, 0)
}

/// Frame relay: an address of two to four bytes, then a control byte and an NLPID (RFC 2427), or an ethertype as Cisco has it.
pub(super) fn frame_relay(frame: Rest<'_>) -> Result<IpBytes<'_>, SkipReason> {
    let mut address = 1;
    // The lowest bit is set in the last byte of the address.
    while frame.u8(address)? & 1 == 0 {
        address += 1;
        if address == FRAME_RELAY_ADDRESS {
            return Err(SkipReason::LinkHeaderCut);
        }
    }
    let rest = frame.behind(address + 1)?;
    if rest.u8(0)? != UNNUMBERED {
        return ethertype(rest.u16(0)?, rest.behind(2)?, 0);
    }
    // A byte of padding may stand before the NLPID.
    let rest = rest.behind(if rest.u8(1)? == 0 { 2 } else { 1 })?;
    let behind = rest.behind(1)?;
    match rest.u8(0)? {
        0xcc => ip(behind, Some(4)),
        0x8e => ip(behind, Some(6)),
        0xcf => ppp(behind),
        // SNAP, which has an ethertype for an OUI of 0.
        0x80 if behind.bytes.starts_with(&[0; 3]) => {
            ethertype(behind.u16(3)?, behind.behind(5)?, 0)
        }
        other => Err(SkipReason::Nlpid(other)),
    }
}

/// The control byte of frames without numbers.
const UNNUMBERED: u8 = 3;

/// The longest address of Q.922, bytes.
const FRAME_RELAY_ADDRESS: usize = 4;
