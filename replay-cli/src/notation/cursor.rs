//! Words of a line that remember where they stood, and the errors that point at them.

use std::fmt;

/// What is wrong with a line, where, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotationError {
    /// Character the trouble starts at, counted from 1.
    pub column: usize,
    /// What is wrong, a lower-case fragment.
    pub what: String,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

impl fmt::Display for NotationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}: {}", self.column, self.what)?;
        match &self.help {
            Some(help) => write!(f, "; {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for NotationError {}

/// An error while the whole line is out of sight: its place is a byte offset.
#[derive(Debug)]
pub(crate) struct Fault {
    at: usize,
    what: String,
    help: Option<String>,
}

impl Fault {
    /// Adds what to write instead.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The error for the reader of `line`.
    pub(crate) fn in_line(self, line: &str) -> NotationError {
        let before = line.get(..self.at).unwrap_or(line);
        NotationError {
            column: before.chars().count() + 1,
            what: self.what,
            help: self.help,
        }
    }
}

/// A piece of the line and its byte offset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span<'a> {
    /// The text.
    pub(crate) text: &'a str,
    at: usize,
}

impl<'a> Span<'a> {
    /// A fault that starts here.
    pub(crate) fn fault(self, what: impl Into<String>) -> Fault {
        Fault {
            at: self.at,
            what: what.into(),
            help: None,
        }
    }

    /// A fault about a word that is none of `known`, with the nearest of them.
    pub(crate) fn unknown(self, kind: &str, known: &[&str]) -> Fault {
        let fault = self.fault(format!("unknown {kind} '{}'", self.text));
        match nearest(self.text, known) {
            Some(near) => fault.help(format!("did you mean '{near}'?")),
            None => fault.help(format!("expected one of: {}", known.join(", "))),
        }
    }

    /// The rest after a prefix.
    pub(crate) fn strip_prefix(self, prefix: &str) -> Option<Self> {
        let text = self.text.strip_prefix(prefix)?;
        Some(Self {
            text,
            at: self.at + prefix.len(),
        })
    }

    /// The rest before a suffix.
    pub(crate) fn strip_suffix(self, suffix: &str) -> Option<Self> {
        Some(Self {
            text: self.text.strip_suffix(suffix)?,
            at: self.at,
        })
    }

    /// What stands before and after the first `separator`.
    pub(crate) fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let (left, right) = self.text.split_once(separator)?;
        let after = self.at + left.len() + separator.len_utf8();
        Some((
            Self {
                text: left,
                at: self.at,
            },
            Self {
                text: right,
                at: after,
            },
        ))
    }

    /// The pieces between commas, without the white space around them.
    pub(crate) fn list(self) -> impl Iterator<Item = Self> {
        let mut at = self.at;
        self.text.split(',').map(move |text| {
            let span = Self { text, at };
            at += text.len() + 1;
            span.trim()
        })
    }

    /// The text without white space around it.
    pub(crate) fn trim(self) -> Self {
        let text = self.text.trim_start();
        Self {
            text: text.trim_end(),
            at: self.at + self.text.len() - text.len(),
        }
    }

    /// Splits before the byte at `index`, which is a character's first.
    fn split_at(self, index: usize) -> (Self, Self) {
        let (left, right) = self.text.split_at_checked(index).unwrap_or((self.text, ""));
        (
            Self {
                text: left,
                at: self.at,
            },
            Self {
                text: right,
                at: self.at + left.len(),
            },
        )
    }
}

/// Reads a line word by word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: Span<'a>,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of a line.
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            rest: Span { text, at: 0 }.trim(),
        }
    }

    /// A cursor over the words within a span.
    pub(crate) fn within(span: Span<'a>) -> Self {
        Self { rest: span.trim() }
    }

    /// The next word without taking it.
    pub(crate) fn peek(&self) -> Option<Span<'a>> {
        let length = word_length(self.rest.text);
        (length > 0).then(|| self.rest.split_at(length).0)
    }

    /// Takes the next word.
    pub(crate) fn next(&mut self) -> Option<Span<'a>> {
        let (word, rest) = self.rest.split_at(word_length(self.rest.text));
        self.rest = rest.trim();
        (!word.text.is_empty()).then_some(word)
    }

    /// Takes the next word if it is `wanted`.
    pub(crate) fn take(&mut self, wanted: &str) -> bool {
        let found = self.peek().is_some_and(|word| word.text == wanted);
        if found {
            self.next();
        }
        found
    }

    /// Takes the next word; its absence is a fault that names what was expected.
    pub(crate) fn expect(&mut self, what: &str) -> Result<Span<'a>, Fault> {
        let end = self.rest;
        self.next()
            .ok_or_else(|| end.fault(format!("the line ends where {what} is expected")))
    }

    /// Takes the next word, which must be `wanted`; `help` shows the whole form, unless it is empty.
    pub(crate) fn keyword(&mut self, wanted: &str, help: &str) -> Result<(), Fault> {
        let word = self.expect(&format!("'{wanted}'"))?;
        if word.text == wanted {
            return Ok(());
        }
        let fault = word.fault(format!("expected '{wanted}', found '{}'", word.text));
        Err(if help.is_empty() {
            fault
        } else {
            fault.help(help)
        })
    }

    /// Everything not yet taken.
    pub(crate) fn rest(&mut self) -> Span<'a> {
        let rest = self.rest;
        self.rest = rest.split_at(rest.text.len()).1;
        rest
    }
}

/// Length in bytes of the first word: to the next white space, but a `<...>` group and quoted text are one word.
fn word_length(text: &str) -> usize {
    let group = text.starts_with('<')
        && text
            .chars()
            .nth(1)
            .is_some_and(|next| !next.is_whitespace());
    if group {
        return text.find('>').map_or(text.len(), |end| end + 1);
    }
    let mut quote = None;
    let mut escaped = false;
    for (index, character) in text.char_indices() {
        match quote {
            None if character.is_whitespace() => return index,
            None if matches!(character, '\'' | '"') => quote = Some(character),
            None => {}
            Some(_) if escaped => escaped = false,
            Some(_) if character == '\\' => escaped = true,
            Some(mark) if mark == character => quote = None,
            Some(_) => {}
        }
    }
    text.len()
}

/// The known word a wrong one was probably meant to be.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let lower = word.to_lowercase();
    known
        .iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&lower, &candidate.to_lowercase()),
                *candidate,
            )
        })
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len() / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
