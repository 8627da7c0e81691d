//! Small captures built byte by byte, for tests.

/// An IPv4/UDP packet of 28 bytes whose last two bytes are `tag`.
pub(super) fn packet(tag: u16) -> Vec<u8> {
    let mut packet = vec![
        0x45, 0, 0, 28, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, 0, 53, 0, 53, 0, 8,
    ];
    packet.extend(tag.to_be_bytes());
    packet
}

/// Writes integers in one byte order.
#[derive(Clone, Copy)]
pub(super) struct Writer {
    pub(super) big: bool,
}

pub(super) const LITTLE: Writer = Writer { big: false };
pub(super) const BIG: Writer = Writer { big: true };

impl Writer {
    pub(super) fn u16(self, value: u16) -> [u8; 2] {
        if self.big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }

    pub(super) fn u32(self, value: u32) -> [u8; 4] {
        if self.big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    }

    pub(super) fn words(self, values: &[u32]) -> Vec<u8> {
        values.iter().flat_map(|value| self.u32(*value)).collect()
    }

    pub(super) fn pcap_header(self, magic: u32, minor: u16, link: u32) -> Vec<u8> {
        let version = [self.u16(2), self.u16(minor)].concat();
        [
            self.words(&[magic]),
            version,
            self.words(&[0, 0, 65_535, link]),
        ]
        .concat()
    }

    pub(super) fn pcap_record(self, seconds: u32, fraction: u32, data: &[u8]) -> Vec<u8> {
        let length = data.len() as u32;
        [
            self.words(&[seconds, fraction, length, length]),
            data.to_vec(),
        ]
        .concat()
    }

    /// A classic file of RAW packets tagged 1, 2, ... with one second between them.
    pub(super) fn pcap(self, count: u16) -> Vec<u8> {
        let mut file = self.pcap_header(0xa1b2_c3d4, 4, 101);
        for tag in 1..=count {
            file.extend(self.pcap_record(tag.into(), 7, &packet(tag)));
        }
        file
    }

    pub(super) fn block(self, kind: u32, body: &[u8]) -> Vec<u8> {
        let mut padded = body.to_vec();
        padded.resize(body.len().next_multiple_of(4), 0);
        let length = padded.len() as u32 + 12;
        [self.words(&[kind, length]), padded, self.words(&[length])].concat()
    }

    pub(super) fn option(self, code: u16, value: &[u8]) -> Vec<u8> {
        let mut option = [
            self.u16(code).to_vec(),
            self.u16(value.len() as u16).to_vec(),
            value.to_vec(),
        ]
        .concat();
        option.resize(option.len().next_multiple_of(4), 0);
        option
    }

    pub(super) fn section(self, options: &[u8]) -> Vec<u8> {
        let version = [self.u16(1), self.u16(0)].concat();
        let body = [
            self.words(&[0x1a2b_3c4d]),
            version,
            vec![0xff; 8],
            options.to_vec(),
        ]
        .concat();
        self.block(0x0a0d_0d0a, &body)
    }

    pub(super) fn interface(self, link: u16, snap_len: u32, options: &[u8]) -> Vec<u8> {
        let body = [
            self.u16(link).to_vec(),
            vec![0; 2],
            self.words(&[snap_len]),
            options.to_vec(),
        ]
        .concat();
        self.block(1, &body)
    }

    pub(super) fn enhanced(
        self,
        interface: u32,
        stamp: u64,
        data: &[u8],
        options: &[u8],
    ) -> Vec<u8> {
        let length = data.len() as u32;
        let mut body = self.words(&[
            interface,
            (stamp >> 32) as u32,
            stamp as u32,
            length,
            length,
        ]);
        body.extend(data);
        body.resize(body.len().next_multiple_of(4), 0);
        body.extend(options);
        self.block(6, &body)
    }

    /// A pcapng file of RAW packets tagged 1, 2, ... with one second between them.
    pub(super) fn pcapng(self, count: u16) -> Vec<u8> {
        let mut file = [self.section(&[]), self.interface(101, 0, &[])].concat();
        for tag in 1..=count {
            file.extend(self.enhanced(0, u64::from(tag) * 1_000_000, &packet(tag), &[]));
        }
        file
    }
}
