//! A small JSON reader (RFC 8259) that keeps the line and column of every value and key.
//!
//! Scenario files are written by hand, so an error must point at the word that is wrong, and a failed expectation at the line
//! that expects. A reader that hands out values without their places cannot do either.

use std::collections::BTreeMap;

use super::decode::Problem;
use crate::base::diagnostic::Position;

/// Nesting beyond this is no scenario; the bound keeps hostile files from exhausting the stack.
const MAX_DEPTH: u32 = 64;

/// A JSON value and where it begins.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
}

/// The value itself.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    String(String),
    Array(Vec<Node>),
    Object(Vec<Member>),
}

/// One member of an object.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Member {
    pub(crate) key: String,
    pub(crate) key_at: Position,
    pub(crate) value: Node,
}

/// A key that an object holds twice. JSON readers disagree on which one counts, so neither is right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DuplicateKey {
    pub(crate) at: Position,
    pub(crate) first_at: Position,
    pub(crate) key: String,
}

/// Reads one JSON value; of a duplicate key the first member is kept.
pub(crate) fn parse(text: &str) -> Result<(Node, Vec<DuplicateKey>), Problem> {
    let mut parser = Parser::new(text);
    parser.skip_blanks();
    let node = parser.value(0)?;
    parser.skip_blanks();
    match parser.peek() {
        None => Ok((node, parser.duplicates)),
        Some(_) => Err(parser.unexpected("the end of the file")),
    }
}

impl Node {
    /// The member of an object by its key.
    pub(crate) fn member(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Object(members) => members
                .iter()
                .find(|member| member.key == key)
                .map(|member| &member.value),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_) => None,
        }
    }
}

struct Parser<'a> {
    rest: std::str::Chars<'a>,
    at: Position,
    duplicates: Vec<DuplicateKey>,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str) -> Self {
        // Editors on some systems put a byte-order mark before the text; it is no part of it.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Self {
            rest: text.chars(),
            at: Position { line: 1, column: 1 },
            duplicates: Vec::new(),
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.rest.next()?;
        if c == '\n' {
            self.at.line = self.at.line.saturating_add(1);
            self.at.column = 1;
        } else {
            self.at.column = self.at.column.saturating_add(1);
        }
        Some(c)
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\r' | '\n')) {
            self.next();
        }
    }

    fn error(&self, what: impl Into<String>) -> Problem {
        Problem::new(self.at, what)
    }

    /// What stands here instead of what was expected, with advice on the slips people make most.
    fn unexpected(&self, expected: &str) -> Problem {
        let (found, help) = match self.peek() {
            None => (
                "the end of the file".to_owned(),
                Some("a bracket, brace or quote is not closed"),
            ),
            Some('/' | '#') => (
                "a comment".to_owned(),
                Some("JSON has no comments; `title` is the place for words"),
            ),
            Some('\'') => (
                "`'`".to_owned(),
                Some("JSON strings stand in double quotes"),
            ),
            Some(c) if c.is_control() => (format!("`{}`", c.escape_debug()), None),
            Some(c) => (format!("`{c}`"), None),
        };
        Problem {
            help: help.map(str::to_owned),
            ..self.error(format!("expected {expected}, found {found}"))
        }
    }

    fn value(&mut self, depth: u32) -> Result<Node, Problem> {
        if depth > MAX_DEPTH {
            return Err(self.error(format!("nested deeper than {MAX_DEPTH} levels")));
        }
        let at = self.at;
        let value = match self.peek() {
            Some('{') => self.object(depth)?,
            Some('[') => self.array(depth)?,
            Some('"') => Value::String(self.string()?),
            Some('-' | '0'..='9') => self.number()?,
            Some('a'..='z' | 'A'..='Z') => self.word()?,
            _ => return Err(self.unexpected("a value")),
        };
        Ok(Node { at, value })
    }

    fn object(&mut self, depth: u32) -> Result<Value, Problem> {
        let mut members: Vec<Member> = Vec::new();
        let mut first_keys = BTreeMap::new();
        self.next();
        self.skip_blanks();
        while self.peek() != Some('}') {
            if self.peek() != Some('"') {
                return Err(self.unexpected("a key in double quotes or `}`"));
            }
            let key_at = self.at;
            let key = self.string()?;
            self.skip_blanks();
            if self.peek() != Some(':') {
                return Err(self.unexpected("`:`"));
            }
            self.next();
            self.skip_blanks();
            let value = self.value(depth + 1)?;
            match first_keys.get(&key) {
                Some(&first_at) => self.duplicates.push(DuplicateKey {
                    at: key_at,
                    first_at,
                    key,
                }),
                None => {
                    first_keys.insert(key.clone(), key_at);
                    members.push(Member { key, key_at, value });
                }
            }
            self.separator('}')?;
        }
        self.next();
        Ok(Value::Object(members))
    }

    fn array(&mut self, depth: u32) -> Result<Value, Problem> {
        let mut elements = Vec::new();
        self.next();
        self.skip_blanks();
        while self.peek() != Some(']') {
            elements.push(self.value(depth + 1)?);
            self.separator(']')?;
        }
        self.next();
        Ok(Value::Array(elements))
    }

    /// A comma with something behind it, or the closing character ahead.
    fn separator(&mut self, close: char) -> Result<(), Problem> {
        self.skip_blanks();
        match self.peek() {
            Some(',') => {
                let comma = self.at;
                self.next();
                self.skip_blanks();
                if self.peek() == Some(close) {
                    let what = format!("a comma before `{close}`");
                    return Err(Problem::new(comma, what).help("remove the comma"));
                }
                Ok(())
            }
            Some(c) if c == close => Ok(()),
            Some('"' | '{' | '[' | '0'..='9' | '-' | 'a'..='z') => {
                let error = self.unexpected(&format!("`,` or `{close}`"));
                Err(error.help("a comma is missing before this"))
            }
            _ => Err(self.unexpected(&format!("`,` or `{close}`"))),
        }
    }

    fn string(&mut self) -> Result<String, Problem> {
        let open = self.at;
        let mut text = String::new();
        self.next();
        loop {
            let at = self.at;
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape(at)?),
                None | Some('\n') => {
                    let what = "the string that begins here has no closing quote";
                    return Err(Problem::new(open, what));
                }
                Some(c) if c < ' ' => {
                    let what = format!("control character `{}` in a string", c.escape_debug());
                    let help = "write it as an escape such as \\t or \\u0000";
                    return Err(Problem::new(at, what).help(help));
                }
                Some(c) => text.push(c),
            }
        }
    }

    fn escape(&mut self, at: Position) -> Result<char, Problem> {
        let simple = match self.next() {
            Some('"') => '"',
            Some('\\') => '\\',
            Some('/') => '/',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('u') => return self.unicode_escape(at),
            _ => {
                let help = "the escapes are \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u0000";
                return Err(Problem::new(at, "unknown escape in a string").help(help));
            }
        };
        Ok(simple)
    }

    /// `\uXXXX`, or a pair of them for a character beyond the first plane (RFC 8259 section 7).
    fn unicode_escape(&mut self, at: Position) -> Result<char, Problem> {
        let invalid = || Problem::new(at, "`\\u` needs four hex digits that make a character");
        let first = self.four_hex_digits().ok_or_else(invalid)?;
        if !(0xD800..0xDC00).contains(&first) {
            return char::from_u32(first).ok_or_else(invalid);
        }
        if self.next() != Some('\\') || self.next() != Some('u') {
            return Err(invalid());
        }
        let second = self
            .four_hex_digits()
            .filter(|unit| (0xDC00..0xE000).contains(unit))
            .ok_or_else(invalid)?;
        char::from_u32(0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)).ok_or_else(invalid)
    }

    fn four_hex_digits(&mut self) -> Option<u32> {
        (0..4).try_fold(0, |unit, _| Some(unit * 16 + self.next()?.to_digit(16)?))
    }

    fn number(&mut self) -> Result<Value, Problem> {
        let at = self.at;
        let mut text = String::new();
        while let Some(c @ ('-' | '+' | '.' | 'e' | 'E' | '0'..='9')) = self.peek() {
            text.push(c);
            self.next();
        }
        text.parse().map(Value::Number).map_err(|_| {
            let shown = text.get(..40).map(|beginning| format!("{beginning}..."));
            let what = format!("`{}` is no JSON number", shown.as_ref().unwrap_or(&text));
            Problem::new(at, what)
        })
    }

    fn word(&mut self) -> Result<Value, Problem> {
        let at = self.at;
        let mut text = String::new();
        while let Some(c) = self
            .peek()
            .filter(|c| c.is_ascii_alphanumeric() || *c == '_')
        {
            text.push(c);
            self.next();
        }
        match text.as_str() {
            "null" => Ok(Value::Null),
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            _ => {
                let help = "words stand in double quotes, apart from true, false and null";
                Err(Problem::new(at, format!("expected a value, found `{text}`")).help(help))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(text: &str) -> String {
        let error = parse(text).unwrap_err();
        format!("{} {}", error.at, error.what)
    }

    #[test]
    fn every_value_knows_its_line_and_column() {
        let (root, _) = parse("{\n  \"é\": 1, \"b\": [true,\n null]\n}").unwrap();
        assert_eq!(root.at.to_string(), "1:1");
        assert_eq!(root.member("é").unwrap().at.to_string(), "2:8");
        let Value::Array(elements) = &root.member("b").unwrap().value else {
            panic!()
        };
        assert_eq!(
            elements
                .iter()
                .map(|node| node.at.to_string())
                .collect::<Vec<_>>(),
            ["2:17", "3:2"]
        );
    }

    #[test]
    fn what_is_read_is_what_serde_json_reads() {
        for text in [
            r#"{"a":[1,-2,3.5e2,18446744073709551615],"b":{},"c":[],"d":null,"e":false}"#,
            r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00 é""#,
            " [ ] ",
        ] {
            let ours = plain(&parse(text).unwrap().0);
            assert_eq!(
                ours,
                serde_json::from_str::<serde_json::Value>(text).unwrap()
            );
        }
    }

    fn plain(node: &Node) -> serde_json::Value {
        match &node.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => number.clone().into(),
            Value::String(text) => text.clone().into(),
            Value::Array(elements) => elements.iter().map(plain).collect(),
            Value::Object(members) => members
                .iter()
                .map(|m| (m.key.clone(), plain(&m.value)))
                .collect(),
        }
    }

    #[test]
    fn a_duplicate_key_is_reported_with_both_places() {
        let (_, duplicates) = parse("{\"a\": 1,\n \"a\": 2}").unwrap();
        let places: Vec<_> = duplicates
            .iter()
            .map(|d| (d.at.to_string(), d.first_at.to_string()))
            .collect();
        assert_eq!(places, [("2:2".to_owned(), "1:2".to_owned())]);
    }

    #[test]
    fn each_slip_is_named_where_it_is() {
        for (text, message) in [
            ("{\"a\": 1,}", "1:8 a comma before `}`"),
            ("{\"a\": 1 \"b\": 2}", "1:9 expected `,` or `}`, found `\"`"),
            ("[1 // one\n]", "1:4 expected `,` or `]`, found a comment"),
            (
                "{a: 1}",
                "1:2 expected a key in double quotes or `}`, found `a`",
            ),
            ("['a']", "1:2 expected a value, found `'`"),
            (
                "[\"a\n\"]",
                "1:2 the string that begins here has no closing quote",
            ),
            (
                "{\"a\": [1, 2",
                "1:12 expected `,` or `]`, found the end of the file",
            ),
            ("[01]", "1:2 `01` is no JSON number"),
            ("[yes]", "1:2 expected a value, found `yes`"),
            ("[\"\\x\"]", "1:3 unknown escape in a string"),
            (
                "[\"\\ud800\"]",
                "1:3 `\\u` needs four hex digits that make a character",
            ),
            ("{} {}", "1:4 expected the end of the file, found `{`"),
            ("", "1:1 expected a value, found the end of the file"),
        ] {
            assert_eq!(fails(text), message, "{text}");
        }
    }

    #[test]
    fn endless_nesting_is_an_error_not_a_crash() {
        assert!(fails(&"[".repeat(1_000_000)).ends_with("nested deeper than 64 levels"));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]{}\",:\\\\u0-9a-f /#\n.eE+-]{0,60}") {
            // Whatever one reader takes, the other takes; duplicates aside, serde_json is the judge.
            proptest::prop_assert_eq!(parse(&text).is_ok(), serde_json::from_str::<serde_json::Value>(&text).is_ok());
        }
    }
}
