//! Payload bytes as a line writes them.

use std::fmt;

use super::cursor::{Fault, Span};
use super::number::parse_plain;
use crate::base::hex::Hex;

/// Payload as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// `hex:1a2b`.
    Hex(Vec<u8>),
    /// `text:'GET / HTTP/1.1\r\n'`.
    Text(String),
    /// `pattern:7`: bytes that depend on a seed and on their place in the stream.
    Pattern {
        /// The seed; 0 is what unwritten payload has.
        seed: u32,
    },
}

/// One byte of the pattern `seed` at a place in the stream, the first byte's being 0.
///
/// Neighbours, seeds and places 256 or 65,536 apart differ, so that shifted, swapped or repeated bytes show.
#[must_use]
pub fn pattern_byte(seed: u64, offset: u64) -> u8 {
    let word = mix(seed
        .wrapping_mul(0x9e37_79b9_7f4a_7c15)
        .wrapping_add(offset / 8));
    let [byte, ..] = (word >> (8 * (offset % 8))).to_le_bytes();
    byte
}

/// `length` bytes of the pattern `seed` from a place in the stream on.
#[must_use]
pub fn pattern_bytes(seed: u64, offset: u64, length: usize) -> Vec<u8> {
    (0..length as u64)
        .map(|index| pattern_byte(seed, offset.wrapping_add(index)))
        .collect()
}

/// A bijection that spreads every input bit over the word.
fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    word = (word ^ (word >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    word ^ (word >> 32)
}

impl Payload {
    /// Its own length, if it has one.
    pub(crate) fn len(&self) -> Option<usize> {
        match self {
            Self::Hex(bytes) => Some(bytes.len()),
            Self::Text(text) => Some(text.len()),
            Self::Pattern { .. } => None,
        }
    }

    /// The bytes, where a pattern has `length` of them from `offset` on.
    pub(crate) fn bytes(&self, offset: u64, length: usize) -> Vec<u8> {
        match self {
            Self::Hex(bytes) => bytes.clone(),
            Self::Text(text) => text.clone().into_bytes(),
            Self::Pattern { seed } => pattern_bytes(u64::from(*seed), offset, length),
        }
    }

    /// Reads a payload; none if the word is not one.
    pub(crate) fn parse(span: Span<'_>) -> Option<Result<Self, Fault>> {
        if let Some(digits) = span.strip_prefix("hex:") {
            return Some(parse_hex(digits).map(Self::Hex));
        }
        if let Some(quoted) = span.strip_prefix("text:") {
            return Some(parse_text(quoted).map(Self::Text));
        }
        if span.text == "pattern" {
            return Some(Ok(Self::Pattern { seed: 0 }));
        }
        let seed = span.strip_prefix("pattern:")?;
        Some(parse_plain(seed, u32::MAX).map(|seed| Self::Pattern { seed }))
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hex(bytes) => write!(f, "hex:{}", Hex(bytes)),
            Self::Text(text) => {
                write!(f, "text:'")?;
                for character in text.chars() {
                    match ESCAPES.iter().find(|(_, meant)| *meant == character) {
                        Some((letter, _)) if *letter != '"' => write!(f, "\\{letter}")?,
                        _ => write!(f, "{character}")?,
                    }
                }
                write!(f, "'")
            }
            Self::Pattern { seed } => write!(f, "pattern:{seed}"),
        }
    }
}

/// Reads pairs of hex digits.
pub(crate) fn parse_hex(span: Span<'_>) -> Result<Vec<u8>, Fault> {
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    let (pairs, odd) = span.text.as_bytes().as_chunks::<2>();
    let bytes = pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect();
    match bytes {
        Some(bytes) if odd.is_empty() => Ok(bytes),
        Some(_) => Err(span.fault("an odd number of hex digits")),
        None => Err(span
            .fault("not hex digits")
            .help("expected pairs of 0-9 and a-f")),
    }
}

/// Characters written after a backslash, and what they mean.
const ESCAPES: [(char, char); 6] = [
    ('r', '\r'),
    ('n', '\n'),
    ('t', '\t'),
    ('\\', '\\'),
    ('\'', '\''),
    ('"', '"'),
];

fn parse_text(span: Span<'_>) -> Result<String, Fault> {
    let inner = ['\'', '"']
        .iter()
        .find_map(|mark| span.text.strip_prefix(*mark)?.strip_suffix(*mark));
    let inner = inner.ok_or_else(|| {
        span.fault("text is not in quotes")
            .help("write text:'...', a quote inside as \\'")
    })?;
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            text.push(character);
            continue;
        }
        let escape = characters.next();
        let meant = ESCAPES.iter().find(|(letter, _)| Some(*letter) == escape);
        let (_, meant) = meant.ok_or_else(|| {
            span.fault("unknown escape in text")
                .help("escapes are \\r \\n \\t \\\\ \\' and \\\"")
        })?;
        text.push(*meant);
    }
    Ok(text)
}
