//! The far side: what it answers and says.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use engine::DialResult;

/// The byte of a far side's stream.
pub(super) fn down(offset: u32) -> u8 {
    let [a, b, c, _] = offset.to_le_bytes();
    a.wrapping_mul(7) ^ b.wrapping_mul(31) ^ c ^ 0x55
}

pub(super) fn dial_result(number: u8) -> DialResult {
    match number % 8 {
        1 => DialResult::Refused,
        2 => DialResult::HostUnreachable,
        3 => DialResult::NetworkUnreachable,
        4 => DialResult::Denied,
        5 => DialResult::TimedOut,
        _ => DialResult::Connected,
    }
}

pub(super) fn stranger_of(server: SocketAddr, number: u8) -> SocketAddr {
    let mut from = server;
    match number % 4 {
        0 => {}
        1 => from.set_port(1),
        2 => from.set_ip(Ipv4Addr::new(192, 0, 2, number).into()),
        _ => from.set_ip(Ipv6Addr::new(0x2001, 0xdb8, 7, 0, 0, 0, 0, number.into()).into()),
    }
    from
}

/// An answer to a query with so many addresses, or to none.
pub(super) fn answer(
    query: Option<&Vec<u8>>,
    ttl: u8,
    addresses: u8,
    change: Option<(u8, u8)>,
) -> Vec<u8> {
    let mut message = query.cloned().unwrap_or_default();
    // Behind the question, whose name has two labels.
    message.truncate(27);
    let aaaa = message.get(24) == Some(&28);
    for (at, value) in [(2, 0x81), (3, 0x80), (7, addresses), (11, 0)] {
        if let Some(byte) = message.get_mut(at) {
            *byte = value;
        }
    }
    for at in 0..addresses {
        message.extend([
            0xc0,
            12,
            0,
            if aaaa { 28 } else { 1 },
            0,
            1,
            0,
            0,
            0,
            ttl,
            0,
        ]);
        if aaaa {
            message.extend([16, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, at]);
        } else {
            message.extend([4, 198, 51, 100, at]);
        }
    }
    if let Some((at, xor)) = change
        && let Some(byte) = message.get_mut(usize::from(at))
    {
        *byte ^= xor;
    }
    message
}
