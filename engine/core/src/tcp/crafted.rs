//! Segments that the engine shows smoltcp in the device's name: a window, a FIN, a reason to send again.

use std::net::{IpAddr, SocketAddr};

use crate::tcp::seq::Seq;

/// What a crafted segment says; its text is never new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crafted {
    pub(crate) seq: Seq,
    pub(crate) ack: Seq,
    /// The window field.
    pub(crate) window: u16,
    pub(crate) fin: bool,
    /// One octet of text, which makes smoltcp answer a segment that stands before its window.
    pub(crate) octet: bool,
}

impl Crafted {
    /// Writes the segment into `to`, which is overwritten. Checksums are left out: smoltcp is not told to look at
    /// those of received frames.
    pub(crate) fn write(self, to: &mut Vec<u8>, client: SocketAddr, server: SocketAddr) {
        to.clear();
        let octet = u8::from(self.octet);
        match (client.ip(), server.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                to.extend([0x45, 0, 0, 40 + octet, 0, 0, 0x40, 0, 64, 6, 0, 0]);
                to.extend(source.octets());
                to.extend(destination.octets());
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                to.extend([0x60, 0, 0, 0, 0, 20 + octet, 6, 64]);
                to.extend(source.octets());
                to.extend(destination.octets());
            }
            // A flow has one family.
            _ => return,
        }
        to.extend(client.port().to_be_bytes());
        to.extend(server.port().to_be_bytes());
        to.extend(self.seq.0.to_be_bytes());
        to.extend(self.ack.0.to_be_bytes());
        to.extend([5 << 4, 0x10 | u8::from(self.fin)]);
        to.extend(self.window.to_be_bytes());
        to.extend([0; 4]);
        if self.octet {
            to.push(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_fit_in_both_families_with_and_without_the_octet() {
        let ends = [
            ("10.0.0.2:1", "192.0.2.1:2"),
            ("[fd00::2]:1", "[2001:db8::1]:2"),
        ];
        for (client, server) in ends {
            for octet in [false, true] {
                let crafted = Crafted {
                    seq: Seq(7),
                    ack: Seq(8),
                    window: 9,
                    fin: false,
                    octet,
                };
                let mut frame = vec![1; 100];
                let (client, server) = (client.parse().unwrap(), server.parse().unwrap());
                crafted.write(&mut frame, client, server);
                let header = if client.is_ipv4() { 20 } else { 40 };
                assert_eq!(frame.len(), header + 20 + usize::from(octet));
                let stated = match client.ip() {
                    IpAddr::V4(_) => usize::from(u16::from_be_bytes([frame[2], frame[3]])),
                    IpAddr::V6(_) => 40 + usize::from(u16::from_be_bytes([frame[4], frame[5]])),
                };
                assert_eq!(stated, frame.len(), "{client}, octet: {octet}");
            }
        }
    }
}
