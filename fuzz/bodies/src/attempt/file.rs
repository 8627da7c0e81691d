//! Capture files around packets that were made here.

/// A pcapng of raw IP packets and custom blocks.
#[derive(Debug)]
pub(crate) struct Pcapng(Vec<u8>);

impl Pcapng {
    pub(crate) fn new() -> Self {
        let mut file = Self(Vec::new());
        file.block(
            0x0a0d_0d0a,
            &[
                0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255,
            ],
        );
        // Link type RAW, microseconds.
        file.block(1, &[101, 0, 0, 0, 0, 0, 4, 0]);
        file
    }

    /// One packet at a time in microseconds.
    pub(crate) fn packet(&mut self, at: u64, bytes: &[u8], original: usize) {
        let mut body = vec![0; 4];
        body.extend(((at >> 32) as u32).to_le_bytes());
        body.extend((at as u32).to_le_bytes());
        body.extend((bytes.len() as u32).to_le_bytes());
        body.extend((original.max(bytes.len()) as u32).to_le_bytes());
        body.extend(bytes);
        self.block(6, &body);
    }

    /// A recorder's block.
    pub(crate) fn custom(&mut self, data: &[u8]) {
        let mut body = 32_473u32.to_le_bytes().to_vec();
        body.extend(data);
        self.block(0xbad, &body);
    }

    pub(crate) fn bytes(self) -> Vec<u8> {
        self.0
    }

    fn block(&mut self, kind: u32, body: &[u8]) {
        let padded = body.len().next_multiple_of(4);
        let length = (padded as u32 + 12).to_le_bytes();
        self.0.extend(kind.to_le_bytes());
        self.0.extend(length);
        self.0.extend(body);
        self.0.resize(self.0.len() + padded - body.len(), 0);
        self.0.extend(length);
    }
}
