//! A script cut into tokens, each with its place; comments taken out, `#ifdef` followed.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::Misread;
use crate::base::diagnostic::Position;

/// What `#ifdef` asks for here: a stack that follows the RFCs, and nothing that one kernel does.
const DEFINED: &str = "STANDARD";

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token {
    Word(String),
    Integer(i64),
    /// `0x1f`.
    Hex(i64),
    /// A number with a point, as it is written.
    Float(String),
    Text(String),
    Command(String),
    Code,
    Address(String),
    /// `--name`.
    Option(String),
    /// `...`.
    Ellipsis,
    Sign(char),
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Word(word) | Self::Float(word) | Self::Address(word) => write!(f, "`{word}`"),
            Self::Integer(number) => write!(f, "`{number}`"),
            Self::Hex(number) => write!(f, "`0x{number:x}`"),
            Self::Text(_) => write!(f, "a string"),
            Self::Command(_) => write!(f, "a command in backquotes"),
            Self::Code => write!(f, "code in %{{ }}%"),
            Self::Option(name) => write!(f, "`--{name}`"),
            Self::Ellipsis => write!(f, "`...`"),
            Self::Sign(sign) => write!(f, "`{sign}`"),
        }
    }
}

/// A token, where it begins, and which bytes of the script it is.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) token: Token,
    pub(crate) at: Position,
    pub(crate) from: usize,
    pub(crate) to: usize,
}

/// The text of comments, and the tokens between them.
#[derive(Debug)]
pub(crate) struct Tokens {
    pub(crate) title: String,
    pub(crate) covers: Vec<(String, Position)>,
    pub(crate) engine: Option<(String, Position)>,
    pub(crate) tokens: Vec<Placed>,
    /// Behind the last of them.
    pub(crate) end: Position,
}

struct Lexer<'a> {
    text: &'a str,
    /// The byte that comes next.
    at: usize,
    place: Position,
    found: Tokens,
    /// Of each open `#ifdef`: whether its lines count.
    conditions: Vec<bool>,
}

/// Cuts a script into tokens.
pub(crate) fn tokens(text: &str) -> Result<Tokens, Misread> {
    let mut lexer = Lexer {
        text,
        at: 0,
        place: Position { line: 1, column: 1 },
        found: Tokens {
            title: String::new(),
            covers: Vec::new(),
            engine: None,
            tokens: Vec::new(),
            end: Position { line: 1, column: 1 },
        },
        conditions: Vec::new(),
    };
    while lexer.next()? {}
    lexer.found.end = lexer.place;
    if !lexer.conditions.is_empty() {
        return Err(Misread::new(
            lexer.place,
            "`#endif`",
            "the end of the script",
        ));
    }
    Ok(lexer.found)
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// Passes over the next `count` bytes, which end between characters.
    fn pass(&mut self, count: usize) -> &'a str {
        let rest = self.rest();
        let passed = rest.get(..count).unwrap_or(rest);
        self.at += passed.len();
        for character in passed.chars() {
            if character == '\n' {
                self.place.line += 1;
                self.place.column = 1;
            } else {
                self.place.column += 1;
            }
        }
        passed
    }

    /// Up to and with `end`; `what` is not closed if there is none.
    fn until(&mut self, open: usize, end: &str, what: &str) -> Result<&'a str, Misread> {
        let at = self.place;
        let found = self.rest().get(open..).and_then(|rest| rest.find(end));
        let Some(found) = found else {
            return Err(Misread::new(
                at,
                format!("`{end}`"),
                format!("{what} that goes on to the end"),
            ));
        };
        let all = self.pass(open + found + end.len());
        Ok(all.get(open..open + found).unwrap_or_default())
    }

    fn next(&mut self) -> Result<bool, Misread> {
        let rest = self.rest();
        let blank = rest.len() - rest.trim_start().len();
        if blank > 0 {
            self.pass(blank);
            return Ok(true);
        }
        let Some(first) = rest.chars().next() else {
            return Ok(false);
        };
        let before = self.text.get(..self.at).unwrap_or_default();
        let begins_line = before
            .rsplit('\n')
            .next()
            .is_none_or(|line| line.trim().is_empty());
        let line = rest.lines().next().unwrap_or_default();
        if first == '#' && begins_line {
            let place = self.place;
            self.pass(line.len());
            self.directive(line, place)?;
            return Ok(true);
        }
        if self.conditions.contains(&false) {
            self.pass(line.len().max(1));
            return Ok(true);
        }
        if rest.starts_with("//") {
            let place = self.place;
            self.pass(line.len());
            self.found.comment(line.trim_start_matches('/'), place);
            return Ok(true);
        }
        if rest.starts_with("/*") {
            let place = self.place;
            let comment = self.until(2, "*/", "a comment")?;
            for line in comment.lines() {
                self.found.comment(line, place);
            }
            return Ok(true);
        }
        let (at, from) = (self.place, self.at);
        let token = self.token(first, rest)?;
        let to = self.at;
        self.found.tokens.push(Placed {
            token,
            at,
            from,
            to,
        });
        Ok(true)
    }

    /// A line that begins with `#`: a condition, or a comment.
    fn directive(&mut self, line: &str, at: Position) -> Result<(), Misread> {
        let mut words = line.trim_start_matches('#').split_whitespace();
        match (words.next(), words.next()) {
            (Some("ifdef"), Some(name)) => self.conditions.push(name == DEFINED),
            (Some("ifndef"), Some(name)) => self.conditions.push(name != DEFINED),
            (Some("else"), None) => match self.conditions.last_mut() {
                Some(condition) => *condition = !*condition,
                None => return Err(Misread::new(at, "`#ifdef` before it", "`#else`")),
            },
            (Some("endif"), _) => {
                if self.conditions.pop().is_none() {
                    return Err(Misread::new(at, "`#ifdef` before it", "`#endif`"));
                }
            }
            _ => self.found.comment(line.trim_start_matches('#'), at),
        }
        Ok(())
    }

    fn token(&mut self, first: char, rest: &'a str) -> Result<Token, Misread> {
        match first {
            '"' => return self.quoted('"').map(Token::Text),
            '`' => return self.quoted('`').map(Token::Command),
            '%' if rest.starts_with("%{") => {
                self.until(2, "}%", "code")?;
                return Ok(Token::Code);
            }
            '.' if rest.starts_with("...") => {
                self.pass(3);
                return Ok(Token::Ellipsis);
            }
            _ => {}
        }
        let run = |keep: fn(char) -> bool| rest.find(|c| !keep(c)).unwrap_or(rest.len());
        if let Some(name) = rest.strip_prefix("--") {
            let len = name.find(|c: char| !is_word(c)).unwrap_or(name.len());
            if len > 0 {
                let all = self.pass(2 + len);
                return Ok(Token::Option(all.trim_start_matches('-').to_owned()));
            }
        }
        // Addresses look like numbers and ranges: only what is one as a whole is taken for one.
        let address = run(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.'));
        let word = rest.get(..address).unwrap_or_default();
        // One colon behind it ends a header.
        let bare = word.strip_suffix(':').filter(|bare| !bare.ends_with(':'));
        let word = bare.unwrap_or(word);
        let six = (word.contains("::") || word.matches(':').count() == 7)
            && word.parse::<Ipv6Addr>().is_ok();
        if six || (word.matches('.').count() == 3 && word.parse::<Ipv4Addr>().is_ok()) {
            return Ok(Token::Address(self.pass(word.len()).to_owned()));
        }
        let word = run(is_word);
        if let Some((len, token)) = number(rest).filter(|(len, _)| *len >= word) {
            self.pass(len);
            return Ok(token);
        }
        if word > 0 {
            let word = self.pass(word);
            if let Some(hex) = word.strip_prefix("0x")
                && let Ok(number) = i64::from_str_radix(hex, 16)
            {
                return Ok(Token::Hex(number));
            }
            return Ok(Token::Word(word.to_owned()));
        }
        self.pass(first.len_utf8());
        Ok(Token::Sign(first))
    }

    /// What stands between two quotes, a backslash before a quote that ends nothing.
    fn quoted(&mut self, quote: char) -> Result<String, Misread> {
        let mut escaped = false;
        let rest = self.rest();
        let end = rest.char_indices().skip(1).find(|(_, character)| {
            let ends = *character == quote && !escaped;
            escaped = *character == '\\' && !escaped;
            ends
        });
        let Some((end, _)) = end else {
            let what = if quote == '"' {
                "a string"
            } else {
                "a command"
            };
            return Err(Misread::new(
                self.place,
                format!("`{quote}`"),
                format!("{what} that goes on to the end"),
            ));
        };
        let all = self.pass(end + 1);
        Ok(all.get(1..end).unwrap_or_default().to_owned())
    }
}

impl Tokens {
    fn comment(&mut self, text: &str, at: Position) {
        let text = text.trim().trim_start_matches('*').trim();
        if let Some(names) = text.strip_prefix("covers:") {
            let names = names.split([',', ' ']).filter(|name| !name.is_empty());
            self.covers.extend(names.map(|name| (name.to_owned(), at)));
        } else if let Some(settings) = text.strip_prefix("engine:") {
            self.engine = Some((settings.trim().to_owned(), at));
        } else if self.title.is_empty() && self.tokens.is_empty() {
            text.clone_into(&mut self.title);
        }
    }

    /// Puts the values of `--define` in the place of their names, from a token on.
    pub(crate) fn substitute(&mut self, from: usize, defined: &BTreeMap<String, Token>) {
        for placed in self.tokens.iter_mut().skip(from) {
            if let Token::Word(word) = &placed.token
                && let Some(value) = defined.get(word)
            {
                placed.token = value.clone();
            }
        }
    }
}

/// The number that `text` begins with, and its length; digits too many for one are a word, as of a cookie.
fn number(text: &str) -> Option<(usize, Token)> {
    let sign = usize::from(text.starts_with('-'));
    let digits = |text: &str| {
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len())
    };
    let whole = digits(text.get(sign..)?);
    let len = sign + whole;
    let fraction = text.get(len..)?.strip_prefix('.').map_or(0, digits);
    if fraction > 0 {
        let len = len + 1 + fraction;
        return Some((len, Token::Float(text.get(..len)?.to_owned())));
    }
    let digits = text.get(..len).filter(|_| whole > 0)?;
    let number = digits.parse().map(Token::Integer);
    Some((
        len,
        number.unwrap_or_else(|_| Token::Word(digits.to_owned())),
    ))
}

fn is_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}
