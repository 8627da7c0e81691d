//! A capture made of what an input says: both sides of a few flows, as a tap between them would see them.

use std::net::SocketAddr;

use arbitrary::Arbitrary;
use replay::packet::build::{self, TcpSpec};
use replay::packet::{Flags, Seq};

use super::file::Pcapng;

/// Packets that count.
const PACKETS: usize = 200;

/// Longest payload.
const LONGEST: u16 = 3_000;

#[derive(Arbitrary, Debug)]
pub(super) struct Made {
    packets: Vec<Seen>,
}

#[derive(Arbitrary, Debug)]
struct Seen {
    /// Which flow, and which side sends.
    tuple: u8,
    from_far: bool,
    gap: Gap,
    what: What,
    wrap: Wrap,
}

#[derive(Arbitrary, Debug)]
enum Gap {
    None,
    Micros(u16),
    Millis(u16),
    Seconds(u16),
    Back(u16),
}

#[derive(Arbitrary, Debug)]
enum What {
    /// The handshake's next step, or data, with honest numbers.
    Tcp {
        flags: u8,
        length: u16,
        off: i8,
        ack_off: i8,
        window: u16,
    },
    /// The sender says nothing new, but acknowledges.
    Ack,
    Udp {
        length: u16,
    },
    Dns {
        id: u8,
        addresses: u8,
    },
    Icmp {
        kind: u8,
        code: u8,
    },
}

#[derive(Arbitrary, Debug)]
enum Wrap {
    None,
    /// Not in the capture, though it was sent.
    Lost,
    Twice,
    /// Cut at the capture's snapshot length.
    Snapped(u8),
    Fragments(u8),
    /// Checksums as offload leaves them.
    Unsummed,
}

/// What the two sides of a tuple have sent.
#[derive(Debug, Default, Clone, Copy)]
struct Sides {
    next: [u32; 2],
}

impl Made {
    /// The capture as a file.
    pub(super) fn file(&self) -> Vec<u8> {
        let mut file = Pcapng::new();
        let mut at: u64 = 1_700_000_000_000_000;
        let first = |port: u32| Sides {
            next: [
                port.wrapping_mul(0x1fff_fff0),
                port.wrapping_mul(0x7123_4567),
            ],
        };
        let mut tuples: [Sides; 6] = std::array::from_fn(|port| first(port as u32 + 1));
        let mut last = Vec::new();
        for seen in self.packets.iter().take(PACKETS) {
            at = match seen.gap {
                Gap::None => at,
                Gap::Micros(micros) => at + u64::from(micros),
                Gap::Millis(millis) => at + u64::from(millis) * 1_000,
                Gap::Seconds(seconds) => at + u64::from(seconds) * 1_000_000,
                Gap::Back(millis) => at - u64::from(millis) * 1_000,
            };
            let number = seen.tuple % 6;
            let Some(sides) = tuples.get_mut(usize::from(number)) else {
                continue;
            };
            let packet = seen.packet(number, sides, &last);
            match seen.wrap {
                Wrap::None => file.packet(at, &packet, packet.len()),
                Wrap::Lost => {}
                Wrap::Twice => {
                    file.packet(at, &packet, packet.len());
                    file.packet(at, &packet, packet.len());
                }
                Wrap::Snapped(length) => {
                    let kept = packet.get(..usize::from(length)).unwrap_or(&packet);
                    file.packet(at, kept, packet.len());
                }
                Wrap::Fragments(size) => {
                    let size = 68 + usize::from(size) * 4;
                    for piece in build::fragments(&packet, size, u32::from(number)) {
                        file.packet(at, &piece, piece.len());
                    }
                }
                Wrap::Unsummed => {
                    let mut packet = packet.clone();
                    let tcp = if number.is_multiple_of(2) { 36 } else { 56 };
                    if let Some(sum) = packet.get_mut(tcp..tcp + 2) {
                        sum.fill(0x11);
                    }
                    file.packet(at, &packet, packet.len());
                }
            }
            last = packet;
        }
        file.bytes()
    }
}

impl Seen {
    fn packet(&self, number: u8, sides: &mut Sides, last: &[u8]) -> Vec<u8> {
        let (device, far) = ends(number, matches!(self.what, What::Dns { .. }));
        let (source, destination) = if self.from_far {
            (far, device)
        } else {
            (device, far)
        };
        let me = usize::from(self.from_far);
        let [mine, theirs] = [sides.next[me], sides.next[1 - me]];
        match self.what {
            What::Tcp {
                flags,
                length,
                off,
                ack_off,
                window,
            } => {
                let flags = Flags(flags);
                let length = length.min(LONGEST);
                let sequence = mine.wrapping_add_signed(off.into());
                let syn = u32::from(flags.contains(Flags::SYN));
                let text = sequence.wrapping_add(syn);
                let payload: Vec<u8> = (0..u32::from(length))
                    .map(|at| (text.wrapping_add(at) % 251) as u8)
                    .collect();
                if off == 0 {
                    let fin = u32::from(flags.contains(Flags::FIN));
                    sides.next[me] = text.wrapping_add(length.into()).wrapping_add(fin);
                }
                build::tcp(&TcpSpec {
                    sequence: Seq(sequence),
                    acknowledgement: Seq(theirs.wrapping_add_signed(ack_off.into())),
                    flags,
                    window,
                    payload: &payload,
                    ..TcpSpec::new(source, destination)
                })
            }
            What::Ack => build::tcp(&TcpSpec {
                sequence: Seq(mine),
                acknowledgement: Seq(theirs),
                flags: Flags::ACK,
                ..TcpSpec::new(source, destination)
            }),
            What::Udp { length } => build::udp(
                source,
                destination,
                &vec![number; length.min(LONGEST).into()],
            ),
            What::Dns { id, addresses } => {
                build::udp(source, destination, &dns(id, self.from_far, addresses))
            }
            What::Icmp { kind, code } => {
                let quoted = build::quote(last);
                build::icmp(source.ip(), destination.ip(), kind, code, [0; 4], quoted)
            }
        }
    }
}

fn ends(number: u8, dns: bool) -> (SocketAddr, SocketAddr) {
    let (device, far) = if number.is_multiple_of(2) {
        ("10.0.0.2", "203.0.113.7")
    } else {
        ("2001:db8::2", "2001:db8:1::7")
    };
    let at = |address: &str, port| SocketAddr::new(address.parse().expect("an address"), port);
    let port = if dns { 53 } else { 443 };
    (at(device, 40_000 + u16::from(number)), at(far, port))
}

fn dns(id: u8, answer: bool, addresses: u8) -> Vec<u8> {
    let count = if answer { addresses } else { 0 };
    let mut message = vec![
        0,
        id,
        if answer { 0x81 } else { 1 },
        0,
        0,
        1,
        0,
        count,
        0,
        0,
        0,
        0,
    ];
    message.extend(b"\x01a\x07example\0\x00\x01\x00\x01");
    for at in 0..count {
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, at]);
    }
    message
}
