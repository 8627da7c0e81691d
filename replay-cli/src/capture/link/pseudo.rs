//! Headers that a system puts before packets which it hands out above the link: loopback, firewalls, tunnels.

use super::{Big, ByteOrder, IpBytes, Little, Rest, SkipReason, ip, version_of};

/// The address family, in either byte order.
pub(super) fn loopback(frame: Rest<'_>) -> Result<IpBytes<'_>, SkipReason> {
    let version = version_of(family(frame)?)?;
    ip(frame.behind(4)?, Some(version))
}

/// OpenBSD's enc: family in the byte order of the host, SPI, flags.
pub(super) fn enc(frame: Rest<'_>) -> Result<IpBytes<'_>, SkipReason> {
    let version = version_of(family(frame)?)?;
    ip(frame.behind(12)?, Some(version))
}

/// Families are small numbers: the order in which the value is small is the order it was written in.
fn family(frame: Rest<'_>) -> Result<u32, SkipReason> {
    let little = frame.u32_little(0)?;
    Ok(if little > 0xffff {
        little.swap_bytes()
    } else {
        little
    })
}

/// The log of pf: a length that leaves out the padding to four bytes, and the family.
pub(super) fn pflog(frame: Rest<'_>) -> Result<IpBytes<'_>, SkipReason> {
    let length = usize::from(frame.u8(0)?).next_multiple_of(4);
    let version = version_of(frame.u8(1)?.into())?;
    ip(frame.behind(length.max(4))?, Some(version))
}

/// Solaris's ipnet: version, family, hook, then the packet's length and four numbers more.
pub(super) fn ipnet(frame: Rest<'_>) -> Result<IpBytes<'_>, SkipReason> {
    let version = version_of(frame.u8(1)?.into())?;
    ip(frame.behind(24)?, Some(version))
}

/// Linux's netfilter log: family, version and group, then fields of which one is the packet. Their lengths and kinds are in
/// the byte order of the file, which shows by the one in which the fields fit.
pub(super) fn nflog(frame: Rest<'_>) -> Result<IpBytes<'_>, SkipReason> {
    let version = version_of(frame.u8(0)?.into())?;
    let fields = frame.behind(4)?;
    let payload = match nflog_payload(fields, Little) {
        Err(_) => nflog_payload(fields, Big)?,
        found => found?,
    };
    ip(payload, Some(version))
}

/// The field that holds the packet. A length has the field's four bytes of header in it, and not its padding.
fn nflog_payload(fields: Rest<'_>, order: ByteOrder) -> Result<Rest<'_>, SkipReason> {
    let mut rest = fields;
    while !rest.bytes.is_empty() {
        let field = |at| order.u16(rest.bytes, at).ok_or(SkipReason::LinkHeaderCut);
        let (length, kind) = (usize::from(field(0)?), field(2)?);
        if length < 4 || length > rest.original_len {
            return Err(SkipReason::LinkHeaderCut);
        }
        if kind == NFULA_PAYLOAD {
            return Ok(rest.behind(4)?.up_to(length - 4));
        }
        rest = rest.behind(length.next_multiple_of(4))?;
    }
    Err(SkipReason::NoPacket)
}

/// The field of a netfilter log that holds the packet from its IP header on.
const NFULA_PAYLOAD: u16 = 9;
