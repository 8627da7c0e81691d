//! A line, word by word.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::{Garbage, VERSION};

/// What is left of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Words<'a> {
    rest: &'a str,
    empty: bool,
}

impl<'a> Words<'a> {
    pub(super) fn of(line: &'a str) -> Self {
        let rest = line.trim();
        Self {
            rest,
            empty: rest.is_empty(),
        }
    }

    pub(super) fn next_word(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let (word, rest) = self.rest.split_once(' ').unwrap_or((self.rest, ""));
        self.rest = rest.trim_start();
        Some(word)
    }

    pub(super) fn word(&mut self) -> Result<&'a str, Garbage> {
        let empty = self.empty;
        self.next_word().ok_or_else(|| {
            Garbage(
                if empty {
                    "an empty line"
                } else {
                    "the line ends too early"
                }
                .to_owned(),
            )
        })
    }

    pub(super) fn parse<T: FromStr>(&mut self) -> Result<T, Garbage> {
        number(self.word()?)
    }

    /// A word, or `-` for none.
    pub(super) fn dash_or<T: FromStr>(&mut self) -> Result<Option<T>, Garbage> {
        match self.word()? {
            "-" => Ok(None),
            word => number(word).map(Some),
        }
    }

    /// The bytes at the end of a line; none is none.
    pub(super) fn bytes(&mut self) -> Result<Vec<u8>, Garbage> {
        let word = self.next_word().unwrap_or("");
        if !word.len().is_multiple_of(2) {
            return Err(Garbage("an odd number of hexadecimal digits".to_owned()));
        }
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
        };
        let value = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        };
        word.as_bytes()
            .chunks(2)
            .map(value)
            .collect::<Option<_>>()
            .ok_or_else(|| Garbage(format!("`{}` is not hexadecimal", beginning(word))))
    }

    /// Addresses with commas between them, `-` for none.
    pub(super) fn addresses(&mut self) -> Result<Vec<IpAddr>, Garbage> {
        match self.word()? {
            "-" => Ok(Vec::new()),
            list => list.split(',').map(number).collect(),
        }
    }

    pub(super) fn version(&mut self) -> Result<(), Garbage> {
        let version: u32 = self.parse()?;
        if version == VERSION {
            return Ok(());
        }
        Err(Garbage(format!(
            "version {version} of the protocol; known is {VERSION}"
        )))
    }

    pub(super) const fn rest(&self) -> &'a str {
        self.rest
    }

    pub(super) fn end(&self) -> Result<(), Garbage> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(Garbage(format!("`{}` is too much", beginning(self.rest))))
    }
}

pub(super) fn number<T: FromStr>(word: &str) -> Result<T, Garbage> {
    word.parse()
        .map_err(|_| Garbage(format!("`{}` cannot be read here", beginning(word))))
}

/// The first characters of something long.
fn beginning(text: &str) -> String {
    text.chars().take(40).collect()
}

/// Bytes as hexadecimal digits.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
        let digits = self
            .0
            .iter()
            .flat_map(|value| [digit(value >> 4), digit(value & 15)]);
        f.write_str(&digits.collect::<String>())
    }
}

pub(super) fn or_dash<T: fmt::Display>(value: Option<&T>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

pub(super) fn addresses(list: &[IpAddr]) -> String {
    if list.is_empty() {
        return "-".to_owned();
    }
    let words: Vec<String> = list.iter().map(ToString::to_string).collect();
    words.join(",")
}
