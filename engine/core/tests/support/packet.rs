//! An emitted frame, read by a parser that is not the engine's, with every checksum verified.

use std::net::{IpAddr, SocketAddr};

use etherparse::{Icmpv4Slice, Icmpv6Slice, IpSlice, TcpSlice, UdpSlice};

/// One emitted frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Tcp(Tcp),
    Udp {
        from: SocketAddr,
        to: SocketAddr,
        payload: Vec<u8>,
    },
    Icmp {
        from: IpAddr,
        to: IpAddr,
        kind: u8,
        code: u8,
        /// Everything behind the checksum.
        rest: Vec<u8>,
    },
    /// A fragment, as it is.
    Fragment(Vec<u8>),
}

/// One emitted segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tcp {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    /// Letters of `FSRP.`, in this order.
    pub(crate) flags: String,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) window: u16,
    pub(crate) options: Vec<u8>,
    pub(crate) payload: Vec<u8>,
}

impl Tcp {
    pub(crate) fn has(&self, flag: char) -> bool {
        self.flags.contains(flag)
    }

    /// The window scale option of a SYN-ACK; 0 without.
    pub(crate) fn window_scale(&self) -> u8 {
        let found = self.options.windows(3).find(|option| option[..2] == [3, 3]);
        found.map_or(0, |option| option[2])
    }

    /// The timestamps option, as it says them.
    pub(crate) fn stamp(&self) -> Option<(u32, u32)> {
        let word = |at: usize| {
            let bytes = self.options[at..at + 4].try_into().expect("four bytes");
            u32::from_be_bytes(bytes)
        };
        let mut at = 0;
        while at < self.options.len() {
            match self.options[at] {
                0 => break,
                1 => at += 1,
                8 => return Some((word(at + 2), word(at + 6))),
                _ => at += usize::from(self.options[at + 1]),
            }
        }
        None
    }

    /// One past the last sequence number it takes.
    pub(crate) fn end(&self) -> u32 {
        let length =
            self.payload.len() as u32 + u32::from(self.has('S')) + u32::from(self.has('F'));
        self.seq.wrapping_add(length)
    }
}

impl Packet {
    /// Reads a frame; anything wrong with it fails the test.
    pub(crate) fn read(frame: &[u8]) -> Self {
        let ip = IpSlice::from_slice(frame).expect("an IP packet");
        let payload = ip.payload();
        if let IpSlice::Ipv4(v4) = &ip {
            let header = v4.header().to_header();
            assert_eq!(
                header.header_checksum,
                header.calc_header_checksum(),
                "IPv4 checksum"
            );
            assert_eq!(
                usize::from(header.total_len),
                frame.len(),
                "nothing behind the packet"
            );
        }
        if payload.fragmented {
            return Self::Fragment(frame.to_vec());
        }
        let (from, to) = (ip.source_addr(), ip.destination_addr());
        match payload.ip_number.0 {
            6 => Self::Tcp(read_tcp(&ip, payload.payload)),
            17 => {
                let udp = UdpSlice::from_slice(payload.payload).expect("a UDP datagram");
                let sum =
                    match (from, to) {
                        (IpAddr::V4(from), IpAddr::V4(to)) => udp
                            .to_header()
                            .calc_checksum_ipv4_raw(from.octets(), to.octets(), udp.payload()),
                        (IpAddr::V6(from), IpAddr::V6(to)) => udp
                            .to_header()
                            .calc_checksum_ipv6_raw(from.octets(), to.octets(), udp.payload()),
                        _ => unreachable!("one family"),
                    };
                assert_eq!(sum.expect("short enough"), udp.checksum(), "UDP checksum");
                Self::Udp {
                    from: SocketAddr::new(from, udp.source_port()),
                    to: SocketAddr::new(to, udp.destination_port()),
                    payload: udp.payload().to_vec(),
                }
            }
            1 => {
                let icmp = Icmpv4Slice::from_slice(payload.payload).expect("an ICMP message");
                assert_eq!(folded(icmp.slice()), 0xffff, "ICMP checksum");
                Self::icmp(from, to, icmp.slice())
            }
            58 => {
                let icmp = Icmpv6Slice::from_slice(payload.payload).expect("an ICMPv6 message");
                let (IpAddr::V6(source), IpAddr::V6(destination)) = (from, to) else {
                    panic!("ICMPv6 over IPv4");
                };
                assert!(
                    icmp.is_checksum_valid(source.octets(), destination.octets()),
                    "ICMPv6 checksum"
                );
                Self::icmp(from, to, icmp.slice())
            }
            other => panic!("protocol {other} was never asked for"),
        }
    }

    fn icmp(from: IpAddr, to: IpAddr, message: &[u8]) -> Self {
        Self::Icmp {
            from,
            to,
            kind: message[0],
            code: message[1],
            rest: message[4..].to_vec(),
        }
    }
}

/// The one's complement sum (RFC 1071): all ones over a sound message.
fn folded(bytes: &[u8]) -> u32 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from));
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    (sum & 0xffff) + (sum >> 16)
}

fn read_tcp(ip: &IpSlice<'_>, segment: &[u8]) -> Tcp {
    let tcp = TcpSlice::from_slice(segment).expect("a TCP segment");
    let header = tcp.to_header();
    let sum = match (ip.source_addr(), ip.destination_addr()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            header.calc_checksum_ipv4_raw(from.octets(), to.octets(), tcp.payload())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            header.calc_checksum_ipv6_raw(from.octets(), to.octets(), tcp.payload())
        }
        _ => unreachable!("one family"),
    };
    assert_eq!(sum.expect("short enough"), tcp.checksum(), "TCP checksum");
    let flags = [
        ('F', tcp.fin()),
        ('S', tcp.syn()),
        ('R', tcp.rst()),
        ('P', tcp.psh()),
        ('.', tcp.ack()),
    ];
    Tcp {
        from: SocketAddr::new(ip.source_addr(), tcp.source_port()),
        to: SocketAddr::new(ip.destination_addr(), tcp.destination_port()),
        flags: flags
            .iter()
            .filter(|(_, set)| *set)
            .map(|(flag, _)| flag)
            .collect(),
        seq: tcp.sequence_number(),
        ack: tcp.acknowledgment_number(),
        window: tcp.window_size(),
        options: tcp.options().to_vec(),
        payload: tcp.payload().to_vec(),
    }
}
