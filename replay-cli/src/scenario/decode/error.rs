//! What goes wrong between JSON and types, and how it is reported to someone who writes JSON.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::{Problem, holder_of, key_in_object_at, name_of};
use crate::base::diagnostic::{Position, nearest};
use crate::scenario::json::Node;

/// What serde reports, with the position of the innermost value at fault.
#[derive(Debug)]
pub(crate) struct DecodeError {
    pub(super) at: Option<Position>,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    UnknownField {
        field: String,
        known: &'static [&'static str],
    },
    UnknownVariant {
        word: String,
        known: &'static [&'static str],
    },
    MissingField(&'static str),
    Mismatch {
        expected: String,
        found: String,
    },
    Other(String),
}

impl DecodeError {
    pub(super) fn or_at(mut self, at: Position) -> Self {
        self.at.get_or_insert(at);
        self
    }

    /// The innermost value at fault; an unknown field that was only known by its object is looked up in it.
    pub(super) fn position(&self, tree: &Node) -> Position {
        let at = self.at.unwrap_or(tree.at);
        match &self.kind {
            Kind::UnknownField { field, .. } => key_in_object_at(tree, at, field).unwrap_or(at),
            Kind::UnknownVariant { .. }
            | Kind::MissingField(_)
            | Kind::Mismatch { .. }
            | Kind::Other(_) => at,
        }
    }

    pub(super) fn into_problem(self, root: &Node, at: Position) -> Problem {
        let (what, help) = match self.kind {
            Kind::UnknownField { field, known } => unknown_key(root, at, &field, known),
            Kind::UnknownVariant { word, known } if holder_of(root, at).is_some() => {
                unknown_key(root, at, &word, known)
            }
            Kind::UnknownVariant { word, known } => {
                let of =
                    name_of(root, at).map_or_else(String::new, |name| format!(" for `{name}`"));
                (
                    format!("unknown value `{word}`{of}"),
                    Some(did_you_mean(&word, known)),
                )
            }
            Kind::MissingField(field) => {
                (format!("missing field `{field}`{}", within(root, at)), None)
            }
            Kind::Mismatch { expected, found } => {
                let name = name_of(root, at)
                    .map_or_else(|| "the file".to_owned(), |name| format!("`{name}`"));
                (format!("{name} should be {expected}, not {found}"), None)
            }
            Kind::Other(what) => (what, None),
        };
        Problem { at, what, help }
    }
}

fn unknown_key(root: &Node, at: Position, key: &str, known: &[&str]) -> (String, Option<String>) {
    let place = holder_of(root, at).map_or_else(String::new, |holder| within(root, holder));
    (
        format!("unknown field `{key}`{place}"),
        Some(did_you_mean(key, known)),
    )
}

fn within(root: &Node, at: Position) -> String {
    name_of(root, at).map_or_else(
        || " in the scenario".to_owned(),
        |name| format!(" in `{name}`"),
    )
}

fn did_you_mean(word: &str, known: &[&str]) -> String {
    match nearest(word, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "remove it".to_owned(),
        None => format!("it takes `{}`", known.join("`, `")),
    }
}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            at: None,
            kind: Kind::Other(message.to_string()),
        }
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let (expected, found) = (in_words(&expected.to_string()), describe(found));
        Self {
            at: None,
            kind: Kind::Mismatch { expected, found },
        }
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let expected = expected.to_string();
        let expected = match range(&expected) {
            Some(range) => format!("a whole number {range}"),
            None => in_words(&expected),
        };
        Self {
            at: None,
            kind: Kind::Mismatch {
                expected,
                found: describe(found),
            },
        }
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self {
            at: None,
            kind: Kind::UnknownVariant {
                word: word.to_owned(),
                known,
            },
        }
    }

    fn unknown_field(field: &str, known: &'static [&'static str]) -> Self {
        Self {
            at: None,
            kind: Kind::UnknownField {
                field: field.to_owned(),
                known,
            },
        }
    }

    fn missing_field(field: &'static str) -> Self {
        Self {
            at: None,
            kind: Kind::MissingField(field),
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.kind)
    }
}

impl std::error::Error for DecodeError {}

/// Serde's name of a type in the words of someone who writes JSON.
fn in_words(expected: &str) -> String {
    let words = match expected {
        text if range(text).is_some() => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "an object",
        "newtype variant" => "an object with one member, such as {\"read\": 78}",
        text if text.starts_with("struct ") => "an object",
        text => text,
    };
    words.to_owned()
}

/// The range of an integer type.
fn range(expected: &str) -> Option<&'static str> {
    match expected {
        "u8" => Some("from 0 to 255"),
        "u16" => Some("from 0 to 65535"),
        "u32" => Some("from 0 to 4294967295"),
        "u64" => Some("from 0"),
        _ => None,
    }
}

fn describe(found: Unexpected<'_>) -> String {
    match found {
        Unexpected::Bool(value) => value.to_string(),
        Unexpected::Unsigned(number) => number.to_string(),
        Unexpected::Signed(number) => number.to_string(),
        Unexpected::Float(number) => number.to_string(),
        Unexpected::Str(text) => format!("{text:?}"),
        Unexpected::Unit | Unexpected::Option => "null".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Map => "an object".to_owned(),
        Unexpected::UnitVariant => "a word alone".to_owned(),
        other => other.to_string(),
    }
}
