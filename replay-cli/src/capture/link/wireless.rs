//! IEEE 802.11 and the headers that radios put before it. What is encrypted, or shares its frame, is not read.

use super::{Big, IpBytes, Little, Rest, SkipReason, dispatch, llc};

/// A frame from its frame control on; `padded` if its header is filled up to a multiple of four bytes.
pub(super) fn ieee80211(frame: Rest<'_>, padded: bool) -> Result<IpBytes<'_>, SkipReason> {
    let (control, flags) = (frame.u8(0)?, frame.u8(1)?);
    let wireless = |what| Err(SkipReason::Wireless(what));
    match (control >> 2) & 3 {
        0 => return wireless("management frame"),
        1 => return wireless("control frame"),
        2 => {}
        _ => return wireless("frame of another kind"),
    }
    if control & NO_DATA != 0 {
        return wireless("frame without data");
    }
    if flags & PROTECTED != 0 {
        return wireless("encrypted frame");
    }
    let fragment = frame.u16_little(22)? & 0x000f;
    if flags & MORE_FRAGMENTS != 0 || fragment != 0 {
        return wireless("fragment");
    }
    let mut header = 24;
    if flags & BOTH_SYSTEMS == BOTH_SYSTEMS {
        // The fourth address.
        header += 6;
    }
    if control & QOS != 0 {
        if frame.u8(header)? & AGGREGATE != 0 {
            return wireless("A-MSDU");
        }
        header += 2;
        if flags & HT_CONTROL != 0 {
            header += 4;
        }
    }
    if padded {
        header = header.next_multiple_of(4);
    }
    llc(frame.behind(header)?, 0)
}

/// Radiotap: version, padding, length and bits for the fields that follow, little endian.
pub(super) fn radiotap(frame: Rest<'_>) -> Result<IpBytes<'_>, SkipReason> {
    let length = usize::from(frame.u16_little(2)?);
    let present = frame.u32_little(4)?;
    let mut at = 8;
    // Bit 31 is set if another word of bits follows.
    let mut word = present;
    while word & 0x8000_0000 != 0 && at < length {
        word = frame.u32_little(at)?;
        at += 4;
    }
    if present & 1 != 0 {
        // The time, aligned to its eight bytes.
        at = at.next_multiple_of(8) + 8;
    }
    let flags = if present & 2 != 0 { frame.u8(at)? } else { 0 };
    if flags & BAD_CHECK_SEQUENCE != 0 {
        return Err(SkipReason::Wireless("frame with a bad check sequence"));
    }
    ieee80211(frame.behind(length.max(8))?, flags & DATA_PAD != 0)
}

/// The header of Prism cards, in the byte order of whoever captured; or AVS's, in network order, under the same number.
pub(super) fn prism(frame: Rest<'_>) -> Result<IpBytes<'_>, SkipReason> {
    let field =
        |order: super::ByteOrder, at| order.u32(frame.bytes, at).ok_or(SkipReason::LinkHeaderCut);
    let order = match field(Big, 0)? {
        avs if avs & 0xffff_f000 == 0x8021_1000 => Big,
        0x41 | 0x44 => Big,
        _ => Little,
    };
    let length = usize::try_from(field(order, 4)?).unwrap_or(usize::MAX);
    ieee80211(frame.behind(length.max(8))?, false)
}

/// Per-packet information: version, flags, length and the link type of what follows, little endian.
pub(super) fn ppi(frame: Rest<'_>) -> Result<IpBytes<'_>, SkipReason> {
    let length = usize::from(frame.u16_little(2)?);
    let inner = frame.u32_little(4)?;
    let inner = u16::try_from(inner).map_err(|_| SkipReason::LinkType(inner))?;
    dispatch(inner, frame.behind(length.max(8))?, false)
}

/// Bits of the frame control field's first byte: the subtype of a data frame.
const NO_DATA: u8 = 0x40;
const QOS: u8 = 0x80;

/// Bits of its second byte.
const BOTH_SYSTEMS: u8 = 0x03;
const MORE_FRAGMENTS: u8 = 0x04;
const PROTECTED: u8 = 0x40;
const HT_CONTROL: u8 = 0x80;

/// The bit of the QoS control field's first byte that is set if the frame holds several packets.
const AGGREGATE: u8 = 0x80;

/// Flags of radiotap.
const DATA_PAD: u8 = 0x20;
const BAD_CHECK_SEQUENCE: u8 = 0x40;
