//! What blocks of .xz files are checked by.

use flate2::Crc;
use sha2::{Digest as _, Sha256};

/// What a block is checked by (2.1.1.2, 3.4).
pub(super) enum Check {
    /// None, or one that is passed over: so many bytes.
    Skipped(usize),
    Crc32(Crc),
    Crc64(u64),
    Sha256(Box<Sha256>),
}

impl Check {
    pub(super) fn of(kind: u8) -> Self {
        match kind {
            0 => Self::Skipped(0),
            1 => Self::Crc32(Crc::new()),
            4 => Self::Crc64(u64::MAX),
            10 => Self::Sha256(Box::default()),
            2 | 3 => Self::Skipped(4),
            5 | 6 => Self::Skipped(8),
            7..=9 => Self::Skipped(16),
            11 | 12 => Self::Skipped(32),
            _ => Self::Skipped(64),
        }
    }

    pub(super) fn begin(&mut self) {
        match self {
            Self::Skipped(_) => {}
            Self::Crc32(crc) => crc.reset(),
            Self::Crc64(crc) => *crc = u64::MAX,
            Self::Sha256(hash) => **hash = Sha256::new(),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Skipped(_) => {}
            Self::Crc32(crc) => crc.update(bytes),
            Self::Crc64(crc) => {
                for byte in bytes {
                    let at = (*crc ^ u64::from(*byte)) & 0xff;
                    let entry = CRC64.get(at as usize).copied().unwrap_or_default();
                    *crc = entry ^ (*crc >> 8);
                }
            }
            Self::Sha256(hash) => hash.update(bytes),
        }
    }

    /// What must stand behind the block; `Err` is what may.
    pub(super) fn finish(&mut self) -> Result<Vec<u8>, usize> {
        match self {
            Self::Skipped(length) => Err(*length),
            Self::Crc32(crc) => Ok(crc.sum().to_le_bytes().to_vec()),
            Self::Crc64(crc) => Ok((!*crc).to_le_bytes().to_vec()),
            Self::Sha256(hash) => Ok(hash.finalize_reset().to_vec()),
        }
    }
}

/// The table of CRC-64 as in ECMA-182, reflected.
const CRC64: [u64; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u64;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                (crc >> 1) ^ 0xc96c_5795_d787_0f42
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checks_of_xz_are_those_of_its_definition() {
        // The values that CRC-32, CRC-64/XZ and SHA-256 have of "123456789".
        for (kind, want) in [
            (1, vec![0x26, 0x39, 0xf4, 0xcb]),
            (4, vec![0xfa, 0x39, 0x19, 0xdf, 0xbb, 0xc9, 0x5d, 0x99]),
        ] {
            let mut check = Check::of(kind);
            check.begin();
            check.update(b"123456789");
            assert_eq!(check.finish(), Ok(want));
        }
        let mut none = Check::of(3);
        assert_eq!(none.finish(), Err(4));
    }
}
