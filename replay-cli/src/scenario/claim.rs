//! The kinds of things that a scenario checks, by the words it has for them.

/// A kind of thing that a scenario checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Claim {
    /// Dial requests.
    Dials,
    /// Emitted packets: `>` lines, `expect.packets`, `never`, silences.
    Packets,
    /// Byte streams.
    Streams,
    /// Half-closes.
    HalfCloses,
    /// Closes.
    Closes,
    /// DNS records.
    Dns,
    /// Counters.
    Counters,
}

impl Claim {
    /// Every kind, in the order of a scenario's fields.
    pub const ALL: [Self; 7] = [
        Self::Dials,
        Self::Packets,
        Self::Streams,
        Self::HalfCloses,
        Self::Closes,
        Self::Dns,
        Self::Counters,
    ];

    /// The word for it in scenarios.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Packets => "packets",
            Self::Streams => "streams",
            Self::Dials => "dials",
            Self::HalfCloses => "half_closes",
            Self::Closes => "closes",
            Self::Dns => "dns",
            Self::Counters => "counters",
        }
    }

    /// The kind that a word names.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|claim| claim.word() == word)
    }
}
