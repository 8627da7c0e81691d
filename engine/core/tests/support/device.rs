//! The device's side of one flow, segment by segment.

use std::net::{IpAddr, SocketAddr};

use etherparse::PacketBuilder;

use super::{Seen, Tcp, tcp};

/// Which IP a test speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    pub(crate) const BOTH: [Self; 2] = [Self::V4, Self::V6];

    pub(crate) fn client(self) -> IpAddr {
        match self {
            Self::V4 => [10, 0, 0, 2].into(),
            Self::V6 => "2001:db8::2".parse().expect("an address"),
        }
    }

    pub(crate) fn server(self) -> IpAddr {
        match self {
            Self::V4 => [198, 51, 100, 7].into(),
            Self::V6 => "2001:db8:ffff::7".parse().expect("an address"),
        }
    }
}

/// A TCP client that sends what the test asks for and keeps what it received.
#[derive(Clone, Debug)]
pub(crate) struct Device {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    pub(crate) isn: u32,
    /// SND.NXT.
    pub(crate) next: u32,
    /// RCV.NXT.
    pub(crate) expected: u32,
    pub(crate) window: u16,
    pub(crate) syn_options: Vec<u8>,
    pub(crate) received: Vec<u8>,
    pub(crate) received_syn: usize,
    pub(crate) received_fin: bool,
    pub(crate) received_rst: bool,
    /// The window of the last segment received, bytes.
    pub(crate) offered: u32,
    /// By how much the engine's window fields are shifted.
    pub(crate) scale: u8,
    /// Its timestamp clock, and the timestamp it echoes, if it has any.
    pub(crate) stamps: Option<(u32, u32)>,
}

impl Device {
    pub(crate) fn new(family: Family) -> Self {
        Self::on_port(family, 40_000, 443)
    }

    pub(crate) fn on_port(family: Family, local: u16, remote: u16) -> Self {
        let isn = 0xffff_f000;
        Self {
            local: SocketAddr::new(family.client(), local),
            remote: SocketAddr::new(family.server(), remote),
            isn,
            next: isn,
            expected: 0,
            window: 65_535,
            // MSS 1400, SACK permitted, window scale 0.
            syn_options: vec![2, 4, 5, 120, 4, 2, 3, 3, 0, 0, 0, 0],
            received: Vec::new(),
            received_syn: 0,
            received_fin: false,
            received_rst: false,
            offered: 0,
            scale: 0,
            stamps: None,
        }
    }

    /// One that offers timestamps.
    pub(crate) fn stamped(family: Family) -> Self {
        Self {
            stamps: Some((1000, 0)),
            ..Self::new(family)
        }
    }

    /// A segment with flags out of `FSRP.`, behind its timestamp if it has one; nothing is remembered.
    pub(crate) fn raw(&self, flags: &str, seq: u32, options: &[u8], payload: &[u8]) -> Vec<u8> {
        let mut all = Vec::new();
        if let Some((clock, echo)) = self.stamps {
            all.extend([1, 1, 8, 10]);
            all.extend(clock.to_be_bytes());
            all.extend(echo.to_be_bytes());
        }
        all.extend(options);
        self.bare(flags, seq, &all, payload)
    }

    /// A segment with these options and no other.
    pub(crate) fn bare(&self, flags: &str, seq: u32, options: &[u8], payload: &[u8]) -> Vec<u8> {
        let ip = match (self.local.ip(), self.remote.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                PacketBuilder::ipv4(from.octets(), to.octets(), 64)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                PacketBuilder::ipv6(from.octets(), to.octets(), 64)
            }
            _ => unreachable!("one family"),
        };
        let mut builder = ip.tcp(self.local.port(), self.remote.port(), seq, self.window);
        for flag in flags.chars() {
            builder = match flag {
                'F' => builder.fin(),
                'S' => builder.syn(),
                'R' => builder.rst(),
                'P' => builder.psh(),
                '.' => builder.ack(self.expected),
                other => panic!("no flag {other}"),
            };
        }
        let builder = builder
            .options_raw(options)
            .expect("whole words of options");
        let mut frame = Vec::new();
        builder.write(&mut frame, payload).expect("a Vec takes all");
        frame
    }

    pub(crate) fn syn(&mut self) -> Vec<u8> {
        self.next = self.isn.wrapping_add(1);
        self.raw("S", self.isn, &self.syn_options, b"")
    }

    pub(crate) fn ack(&self) -> Vec<u8> {
        self.raw(".", self.next, b"", b"")
    }

    pub(crate) fn data(&mut self, payload: &[u8]) -> Vec<u8> {
        let frame = self.raw("P.", self.next, b"", payload);
        self.next = self.next.wrapping_add(payload.len() as u32);
        frame
    }

    pub(crate) fn fin(&mut self) -> Vec<u8> {
        let frame = self.raw("F.", self.next, b"", b"");
        self.next = self.next.wrapping_add(1);
        frame
    }

    pub(crate) fn rst(&self) -> Vec<u8> {
        self.raw("R.", self.next, b"", b"")
    }

    /// Takes in every segment for it, in order; what is out of order is passed over.
    pub(crate) fn receive(&mut self, seen: &[Seen]) {
        for segment in tcp(seen) {
            if segment.to == self.local && segment.from == self.remote {
                self.take(&segment);
            }
        }
    }

    pub(crate) fn take(&mut self, segment: &Tcp) {
        if segment.has('R') {
            self.received_rst = true;
            return;
        }
        self.note_stamp(segment);
        let scale = if segment.has('S') { 0 } else { self.scale };
        self.offered = u32::from(segment.window) << scale;
        if segment.has('S') {
            self.scale = segment.window_scale();
            self.received_syn += 1;
            self.expected = segment.end();
            return;
        }
        if segment.seq != self.expected || segment.end() == segment.seq {
            return;
        }
        self.received.extend(&segment.payload);
        self.received_fin |= segment.has('F');
        self.expected = segment.end();
    }
}

impl Device {
    /// Takes the timestamp to echo of a segment that may change it (RFC 7323 section 4.3); without one in the SYN-ACK
    /// there are none.
    pub(crate) fn note_stamp(&mut self, segment: &Tcp) {
        let stamp = segment.stamp();
        if segment.has('S') && stamp.is_none() {
            self.stamps = None;
        }
        let Some((_, echo)) = &mut self.stamps else {
            return;
        };
        let (value, _) = stamp.expect("a timestamp in every segment");
        let ahead = segment.seq.wrapping_sub(self.expected);
        let newer = value.wrapping_sub(*echo) < 1 << 31;
        if segment.has('S') || (newer && (ahead == 0 || ahead > 1 << 31)) {
            *echo = value;
        }
    }
}

/// A UDP client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Udp {
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

impl Udp {
    pub(crate) fn new(family: Family, local: u16, remote: u16) -> Self {
        Self {
            local: SocketAddr::new(family.client(), local),
            remote: SocketAddr::new(family.server(), remote),
        }
    }

    pub(crate) fn send(&self, payload: &[u8]) -> Vec<u8> {
        let ip = match (self.local.ip(), self.remote.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                PacketBuilder::ipv4(from.octets(), to.octets(), 64)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                PacketBuilder::ipv6(from.octets(), to.octets(), 64)
            }
            _ => unreachable!("one family"),
        };
        let mut frame = Vec::new();
        ip.udp(self.local.port(), self.remote.port())
            .write(&mut frame, payload)
            .expect("a Vec takes all");
        frame
    }
}
