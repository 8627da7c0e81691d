//! Packets that other packets carry: 6in4, IP in IP, GRE, GTP-U and VXLAN are taken off where it is asked for.
//!
//! What is encrypted or authenticated by IPsec is no packet that a device could have sent into an engine's tunnel: it is a
//! reason of its own.

use super::byte_order::ByteOrder::Big;
use super::link::{self, IpBytes, SkipReason};
use crate::packet;
use crate::scenario::{Decap, Tunnel};

/// Takes tunnels off a packet; of one that is left in place as it was not asked for, returns which it is.
pub(super) fn take_off(
    outer: IpBytes<'_>,
    decap: Decap,
) -> Result<(IpBytes<'_>, Option<Tunnel>), SkipReason> {
    let mut ip = outer;
    for _ in 0..=MAX_DEPTH {
        let Some((tunnel, carried)) = carried(&ip)? else {
            return Ok((ip, None));
        };
        if !decap.takes_off(tunnel) {
            return Ok((ip, Some(tunnel)));
        }
        if carried.in_part {
            return Err(SkipReason::TunnelFragment);
        }
        let behind = |at| {
            let rest = ip.bytes.get(at..).ok_or(SkipReason::LinkHeaderCut);
            rest.map(|rest| (rest, ip.original_len.saturating_sub(at)))
        };
        let (rest, len) = behind(carried.at)?;
        ip = link::ip_packet(carried.link, rest, len)?;
    }
    Err(SkipReason::TooManyTunnels)
}

/// What a tunnel carries.
struct Carried {
    /// Where it begins in the packet.
    at: usize,
    /// Its link type.
    link: u16,
    /// The packet around it is a fragment.
    in_part: bool,
}

/// The tunnel that a packet is part of.
fn carried(ip: &IpBytes<'_>) -> Result<Option<(Tunnel, Carried)>, SkipReason> {
    let Some(outer) = Outer::of(ip.bytes) else {
        return Ok(None);
    };
    let Outer { at, in_part, .. } = outer;
    let whole = |tunnel, at, link| Ok(Some((tunnel, Carried { at, link, in_part })));
    match outer.protocol {
        ESP => Err(SkipReason::Esp),
        AH => Err(SkipReason::Ah),
        4 => whole(Tunnel::IpIp, at, IPV4),
        41 => whole(Tunnel::SixInFour, at, IPV6),
        47 if in_part => whole(Tunnel::Gre, at, IPV4),
        47 => match gre(ip.bytes, at)? {
            Some((at, link)) => whole(Tunnel::Gre, at, link),
            None => Ok(None),
        },
        packet::UDP if !in_part => {
            let payload = at + 8;
            let port = Big.u16(ip.bytes, at + 2);
            let found = match port {
                Some(2152) => gtp_u(ip.bytes, payload).map(|at| (Tunnel::GtpU, at, RAW)),
                // The flag for a network identifier, and none besides but that of group policies.
                Some(4789) if ip.bytes.get(payload).is_some_and(|flags| flags & 0x7f == 8) => {
                    Some((Tunnel::Vxlan, payload + 8, ETHERNET))
                }
                _ => None,
            };
            found.map_or(Ok(None), |(tunnel, at, link)| whole(tunnel, at, link))
        }
        _ => Ok(None),
    }
}

/// What an IP header leads to.
struct Outer {
    protocol: u8,
    /// Where that begins.
    at: usize,
    in_part: bool,
}

impl Outer {
    fn of(bytes: &[u8]) -> Option<Self> {
        let first = *bytes.first()?;
        if first >> 4 == 4 {
            return Some(Self {
                protocol: *bytes.get(9)?,
                at: usize::from(first & 0x0f) * 4,
                in_part: Big.u16(bytes, 6)? & 0x3fff != 0,
            });
        }
        let mut outer = Self {
            protocol: *bytes.get(6)?,
            at: 40,
            in_part: false,
        };
        for _ in 0..MAX_EXTENSIONS {
            // Hop-by-hop, routing and destination options; fragments.
            match outer.protocol {
                0 | 43 | 60 => {
                    let length = usize::from(*bytes.get(outer.at + 1)?);
                    outer.protocol = *bytes.get(outer.at)?;
                    outer.at += (length + 1) * 8;
                }
                44 => {
                    outer.in_part = Big.u16(bytes, outer.at + 2)? & 0xfff9 != 0;
                    outer.protocol = *bytes.get(outer.at)?;
                    outer.at += 8;
                }
                _ => break,
            }
        }
        Some(outer)
    }
}

/// Where GRE's payload begins, and its link type: version 0 of RFC 2784 and 2890, version 1 of PPTP (RFC 2637).
fn gre(bytes: &[u8], at: usize) -> Result<Option<(usize, u16)>, SkipReason> {
    let (Some(flags), Some(protocol)) = (Big.u16(bytes, at), Big.u16(bytes, at + 2)) else {
        return Err(SkipReason::LinkHeaderCut);
    };
    let field = |bit: u16| if flags & bit != 0 { 4 } else { 0 };
    let header = match flags & 7 {
        // Checksum, key, sequence number; source routing (RFC 1701) nobody sends.
        0 if flags & 0x4000 == 0 => 4 + field(0x8000) + field(0x2000) + field(0x1000),
        // The key is always there; without a sequence number it is an acknowledgement alone.
        1 if flags & 0x1000 == 0 => return Err(SkipReason::NoPacket),
        1 => 8 + field(0x1000) + field(0x0080),
        _ => return Ok(None),
    };
    let link = match protocol {
        0x0800 => IPV4,
        0x86dd => IPV6,
        0x6558 => ETHERNET,
        0x880b => PPP,
        other => return Err(SkipReason::Ethertype(other)),
    };
    Ok(Some((at + header, link)))
}

/// Where the packet of a GTP-U message begins; none if it is no user data. What the ports alone claim is no reason to skip.
fn gtp_u(bytes: &[u8], at: usize) -> Option<usize> {
    let flags = *bytes.get(at)?;
    if flags & 0xf0 != 0x30 || *bytes.get(at + 1)? != G_PDU {
        return None;
    }
    let mut end = at + 8;
    if flags & 7 != 0 {
        end += 4;
        let mut next = *bytes.get(end - 1)?;
        for _ in 0..MAX_EXTENSIONS {
            if next == 0 {
                break;
            }
            let length = usize::from(*bytes.get(end)?) * 4;
            if length == 0 {
                return None;
            }
            end += length;
            next = *bytes.get(end - 1)?;
        }
    }
    Some(end)
}

/// One tunnel in another, at the most.
const MAX_DEPTH: usize = 4;

/// Extension headers of IPv6 and of GTP-U that are followed.
const MAX_EXTENSIONS: usize = 8;

const ESP: u8 = 50;
const AH: u8 = 51;

/// The message type of user data.
const G_PDU: u8 = 255;

/// Link types.
const ETHERNET: u16 = 1;
const PPP: u16 = 9;
const RAW: u16 = 101;
const IPV4: u16 = 228;
const IPV6: u16 = 229;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::packet::build;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn datagram() -> Vec<u8> {
        build::udp(address("10.0.0.2:5000"), address("192.0.2.1:7"), b"carried")
    }

    fn datagram_v6() -> Vec<u8> {
        build::udp(
            address("[fd00::2]:5000"),
            address("[2001:db8::1]:7"),
            b"carried",
        )
    }

    fn packet(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let (from, to) = (
            address("198.51.100.1:0").ip(),
            address("203.0.113.1:0").ip(),
        );
        build::ip(from, to, protocol, 64, 0, payload)
    }

    fn packet_v6(protocol: u8, payload: &[u8]) -> Vec<u8> {
        let (from, to) = (
            address("[2001:db8::a]:0").ip(),
            address("[2001:db8::b]:0").ip(),
        );
        build::ip(from, to, protocol, 64, 0, payload)
    }

    fn to_port(port: u16, payload: &[u8]) -> Vec<u8> {
        let to = SocketAddr::new(address("203.0.113.1:0").ip(), port);
        build::udp(address("198.51.100.1:40000"), to, payload)
    }

    fn ethernet(ethertype: u16, packet: &[u8]) -> Vec<u8> {
        [[2; 12].as_slice(), &ethertype.to_be_bytes(), packet].concat()
    }

    fn look(outer: &[u8], decap: &str) -> Result<(Vec<u8>, Option<Tunnel>), SkipReason> {
        let ip = link::ip_packet(RAW, outer, outer.len()).unwrap();
        let (ip, left) = take_off(ip, decap.parse().unwrap())?;
        Ok((ip.bytes.to_vec(), left))
    }

    #[track_caller]
    fn carries(tunnel: Tunnel, outer: &[u8], inner: &[u8]) {
        for decap in ["auto", tunnel.as_str()] {
            assert_eq!(look(outer, decap), Ok((inner.to_vec(), None)), "{decap}");
        }
        assert_eq!(look(outer, "none"), Ok((outer.to_vec(), Some(tunnel))));
    }

    #[test]
    fn ip_in_ip_of_either_version_is_taken_off() {
        carries(
            Tunnel::SixInFour,
            &packet(41, &datagram_v6()),
            &datagram_v6(),
        );
        carries(Tunnel::IpIp, &packet(4, &datagram()), &datagram());
        carries(Tunnel::IpIp, &packet_v6(4, &datagram()), &datagram());
        carries(
            Tunnel::SixInFour,
            &packet_v6(41, &datagram_v6()),
            &datagram_v6(),
        );
        // With a destination option before it, as RFC 2473 has it.
        let option = [4, 0, 4, 1, 4, 1, 1, 0];
        let behind = [option.as_slice(), &datagram()].concat();
        carries(Tunnel::IpIp, &packet_v6(60, &behind), &datagram());
    }

    #[test]
    fn gre_with_and_without_its_optional_fields_is_taken_off() {
        let gre = |header: &[u8], inner: &[u8]| packet(47, &[header, inner].concat());
        carries(Tunnel::Gre, &gre(&[0, 0, 8, 0], &datagram()), &datagram());
        let all = [0xb0, 0, 0x86, 0xdd, 1, 2, 0, 0, 0, 0, 0, 7, 0, 0, 0, 1];
        carries(Tunnel::Gre, &gre(&all, &datagram_v6()), &datagram_v6());
        let bridged = ethernet(0x0800, &datagram());
        carries(
            Tunnel::Gre,
            &gre(&[0, 0, 0x65, 0x58], &bridged),
            &datagram(),
        );
        // PPTP: key, sequence number and acknowledgement, then PPP.
        let pptp = [0x30, 0x81, 0x88, 0x0b, 0, 37, 0, 1, 0, 0, 0, 5, 0, 0, 0, 4];
        let inner = [&[0xff, 3, 0, 0x21], datagram().as_slice()].concat();
        carries(Tunnel::Gre, &gre(&pptp, &inner), &datagram());
        let bare = [0x20, 0x81, 0x88, 0x0b, 0, 0, 0, 1, 0, 0, 0, 4];
        assert_eq!(look(&gre(&bare, &[]), "auto"), Err(SkipReason::NoPacket));
    }

    #[test]
    fn user_data_of_gtp_is_taken_off_and_the_rest_is_udp() {
        let plain = [0x30, 255, 0, 0, 0, 0, 0, 9];
        let inner = |header: &[u8]| to_port(2152, &[header, &datagram()].concat());
        carries(Tunnel::GtpU, &inner(&plain), &datagram());
        // A sequence number; an extension header of four bytes behind it.
        let more = [0x36, 255, 0, 0, 0, 0, 0, 9, 0, 1, 0, 0x85, 1, 0, 9, 0];
        carries(Tunnel::GtpU, &inner(&more), &datagram());
        let echo = to_port(2152, &[0x32, 1, 0, 4, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(look(&echo, "auto"), Ok((echo.clone(), None)));
    }

    #[test]
    fn vxlan_is_taken_off() {
        let header = [8, 0, 0, 0, 0, 0, 42, 0];
        let frame = ethernet(0x86dd, &datagram_v6());
        let outer = to_port(4789, &[header.as_slice(), &frame].concat());
        carries(Tunnel::Vxlan, &outer, &datagram_v6());
        let other = to_port(4789, b"no tunnel");
        assert_eq!(look(&other, "auto").unwrap().1, None);
    }

    #[test]
    fn tunnels_in_tunnels_are_taken_off_down_to_a_bound() {
        let mut outer = datagram();
        for depth in 0..8 {
            let found = look(&outer, "auto");
            if depth <= 4 {
                assert_eq!(found, Ok((datagram(), None)), "{depth}");
            } else {
                assert_eq!(found, Err(SkipReason::TooManyTunnels), "{depth}");
            }
            outer = packet(4, &outer);
        }
        // What is not asked for stays where it is.
        let mixed = packet(
            4,
            &packet(47, &[&[0, 0, 8, 0], datagram().as_slice()].concat()),
        );
        let (left, tunnel) = look(&mixed, "ipip").unwrap();
        assert_eq!((left.len(), tunnel), (mixed.len() - 20, Some(Tunnel::Gre)));
    }

    #[test]
    fn what_ipsec_covers_is_skipped_by_name() {
        for decap in ["none", "auto"] {
            let reason = |outer: Vec<u8>| look(&outer, decap).unwrap_err();
            assert_eq!(reason(packet(50, &[7; 40])), SkipReason::Esp);
            assert_eq!(reason(packet_v6(51, &[17; 40])), SkipReason::Ah);
        }
        let inside = packet(4, &packet(50, &[7; 40]));
        assert_eq!(look(&inside, "auto"), Err(SkipReason::Esp));
    }

    #[test]
    fn a_fragment_of_a_tunnel_s_packet_is_skipped_by_name() {
        let mut outer = packet(4, &datagram());
        outer[6] = 0x20;
        assert_eq!(look(&outer, "auto"), Err(SkipReason::TunnelFragment));
        assert_eq!(look(&outer, "none").unwrap().1, Some(Tunnel::IpIp));
    }

    #[test]
    fn no_packet_cut_anywhere_makes_a_panic() {
        let more = [0x37, 255, 0, 0, 0, 0, 0, 9, 0, 1, 0, 0x85, 1, 0, 9, 0x85];
        for outer in [
            packet(
                47,
                &[&[0xb0, 0, 8, 0], [0; 12].as_slice(), &datagram()].concat(),
            ),
            to_port(2152, &[more.as_slice(), &datagram()].concat()),
            to_port(4789, &[8; 40]),
            packet_v6(60, &[60; 64]),
        ] {
            for cut in 1..outer.len() {
                if let Ok(ip) = link::ip_packet(RAW, &outer[..cut], outer.len()) {
                    let _ = take_off(ip, "auto".parse().unwrap());
                }
            }
        }
    }
}
