//! TCP's sequence numbers and flags as types that cannot be misread.

use std::fmt;

/// A TCP sequence number: a place on a circle of 2^32 (RFC 9293 section 3.4).
///
/// It has no `Ord`: which of two comes first is only defined within half the circle, see [`Seq::before`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Seq(pub u32);

impl Seq {
    /// Whether this number comes before `other`, both within 2^31 of each other.
    #[must_use]
    pub fn before(self, other: Self) -> bool {
        self.minus(other) < 0
    }

    /// Whether this number comes after `other`, both within 2^31 of each other.
    #[must_use]
    pub fn after(self, other: Self) -> bool {
        other.before(self)
    }

    /// Signed distance in bytes from `other` to this number.
    #[must_use]
    pub fn minus(self, other: Self) -> i32 {
        self.0.wrapping_sub(other.0).cast_signed()
    }

    /// The number `bytes` further on.
    #[must_use]
    pub fn plus(self, bytes: u32) -> Self {
        Self(self.0.wrapping_add(bytes))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The eight control bits of a TCP header (RFC 9293 section 3.1, RFC 3168).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Flags(pub u8);

impl Flags {
    /// No more data from the sender.
    pub const FIN: Self = Self(0x01);
    /// Synchronise sequence numbers.
    pub const SYN: Self = Self(0x02);
    /// Reset the connection.
    pub const RST: Self = Self(0x04);
    /// Push.
    pub const PSH: Self = Self(0x08);
    /// The acknowledgement field counts.
    pub const ACK: Self = Self(0x10);
    /// The urgent pointer counts.
    pub const URG: Self = Self(0x20);
    /// Congestion echo.
    pub const ECE: Self = Self(0x40);
    /// Congestion window reduced.
    pub const CWR: Self = Self(0x80);

    /// Letters in the order they are printed: packetdrill's, the acknowledgement's dot near the end, `U` last.
    const LETTERS: [(Self, char); 8] = [
        (Self::SYN, 'S'),
        (Self::FIN, 'F'),
        (Self::RST, 'R'),
        (Self::PSH, 'P'),
        (Self::ECE, 'E'),
        (Self::CWR, 'W'),
        (Self::ACK, '.'),
        (Self::URG, 'U'),
    ];

    /// Whether every bit of `other` is set.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These bits and those of `other`.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These bits without those of `other`.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The flag a letter stands for: `S F R P E W .` or `U`.
    #[must_use]
    pub fn from_letter(letter: char) -> Option<Self> {
        Self::LETTERS
            .iter()
            .find(|(_, known)| *known == letter)
            .map(|(flag, _)| *flag)
    }

    /// Sequence numbers the SYN and FIN bits take.
    #[must_use]
    pub fn sequence_len(self) -> u32 {
        u32::from(self.contains(Self::SYN)) + u32::from(self.contains(Self::FIN))
    }
}

/// Prints packetdrill's letters; `-` for no flag at all.
impl fmt::Display for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(8);
        for (flag, letter) in Self::LETTERS {
            if self.contains(flag) {
                text.push(letter);
            }
        }
        f.pad(if text.is_empty() { "-" } else { &text })
    }
}
