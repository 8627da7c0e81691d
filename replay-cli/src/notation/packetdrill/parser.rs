//! The grammar: options, an init command, events, and what a time is.

use std::collections::BTreeMap;

use super::lexer::{self, Placed, Token, Tokens};
use super::syntax::{Event, OptionLine, Script, What};
use super::{Misread, call, packet};
use crate::base::diagnostic::Position;
use crate::notation::TimeSpec;

/// Reads a script.
pub(crate) fn script(text: &str) -> Result<Script, Misread> {
    let mut tokens = lexer::tokens(text)?;
    let (options, defined, next) = options(&tokens)?;
    tokens.substitute(next, &defined);
    let mut parser = Parser {
        text,
        tokens: &tokens.tokens,
        at: next,
        end: tokens.end,
    };
    let mut events = Vec::new();
    while !parser.is_at_end() {
        events.push(event(&mut parser)?);
    }
    if events.is_empty() {
        return Err(parser.expected("an event, such as `+0 > . 1:1(0) ack 1`"));
    }
    let Tokens {
        title,
        covers,
        engine,
        ..
    } = tokens;
    Ok(Script {
        title,
        covers,
        engine,
        options,
        events,
    })
}

/// The option lines, what they define, and the token behind them.
#[expect(clippy::type_complexity, reason = "of one use")]
fn options(tokens: &Tokens) -> Result<(Vec<OptionLine>, BTreeMap<String, Token>, usize), Misread> {
    let mut parser = Parser {
        text: "",
        tokens: &tokens.tokens,
        at: 0,
        end: tokens.end,
    };
    let (mut options, mut defined) = (Vec::new(), BTreeMap::new());
    loop {
        let at = parser.place();
        let Some(Token::Option(name)) = parser.peek() else {
            return Ok((options, defined, parser.at));
        };
        let name = name.clone();
        parser.at += 1;
        let mut value = String::new();
        if parser.takes('=') {
            let first = parser.value()?;
            value = plain(&first);
            if parser.takes('=') {
                let second = parser.value()?;
                if name == "define" {
                    defined.insert(value.clone(), second.clone());
                }
                value = format!("{value}={}", plain(&second));
            }
        }
        options.push(OptionLine { at, name, value });
    }
}

/// A token as it is written.
fn plain(token: &Token) -> String {
    match token {
        Token::Word(text)
        | Token::Float(text)
        | Token::Text(text)
        | Token::Command(text)
        | Token::Address(text) => text.clone(),
        Token::Integer(number) | Token::Hex(number) => number.to_string(),
        other => other.to_string(),
    }
}

fn event(parser: &mut Parser<'_>) -> Result<Event, Misread> {
    let (at, first) = (parser.place(), parser.at);
    // A command may stand alone, before the first event and behind the last.
    if let Some(Token::Command(command)) = parser.peek() {
        let command = command.clone();
        parser.at += 1;
        return Ok(Event {
            at,
            text: parser.since(first),
            time: TimeSpec::Relative(0),
            end: None,
            what: What::Command(command),
        });
    }
    let time = time(parser)?;
    let (mut end, place) = (None, parser.place());
    let what = match parser.peek() {
        Some(Token::Sign('<' | '>')) => What::Packet(Box::new(packet::line(parser)?)),
        Some(Token::Command(command)) => {
            let command = command.clone();
            parser.at += 1;
            What::Command(command)
        }
        Some(Token::Code) => {
            parser.at += 1;
            What::Code
        }
        Some(Token::Word(_)) => What::Call(call::call(parser)?),
        Some(Token::Ellipsis) => {
            parser.at += 1;
            end = Some(seconds(parser)?);
            What::Call(call::call(parser)?)
        }
        _ => return Err(parser.expected("a packet (`<` or `>`), a call, a command or code")),
    };
    let outbound = matches!(&what, What::Packet(line) if !line.inbound);
    if !time.is_exact() && !outbound {
        let what = "a packet that is expected (`>`) behind a time that is a choice";
        return Err(Misread::new(place, what, "something else"));
    }
    Ok(Event {
        at,
        text: parser.since(first),
        time,
        end,
        what,
    })
}

fn time(parser: &mut Parser<'_>) -> Result<TimeSpec, Misread> {
    let at = parser.place();
    if parser.takes('*') {
        return Ok(TimeSpec::Any);
    }
    let relative = parser.takes('+');
    let from = match seconds(parser) {
        Ok(from) => from,
        Err(_) if !relative => {
            return Err(parser.expected("a time, such as `0.1`, `+.1`, `+.1~+.2` or `*`"));
        }
        Err(problem) => return Err(problem),
    };
    if !parser.takes('~') {
        return Ok(match relative {
            true => TimeSpec::Relative(from),
            false => TimeSpec::Absolute(from),
        });
    }
    if relative {
        parser.sign('+')?;
    }
    let to = seconds(parser)?;
    if to < from {
        return Err(Misread::new(
            at,
            "a range that ends after it begins",
            "one that does not",
        ));
    }
    Ok(match relative {
        true => TimeSpec::RangeRelative(from, to),
        false => TimeSpec::RangeAbsolute(from, to),
    })
}

/// Seconds, as microseconds.
fn seconds(parser: &mut Parser<'_>) -> Result<u64, Misread> {
    let text = match parser.peek() {
        Some(Token::Integer(whole)) => whole.to_string(),
        Some(Token::Float(text)) => text.clone(),
        _ => return Err(parser.expected("seconds")),
    };
    let micros = micros(&text)
        .ok_or_else(|| parser.expected("seconds, none below zero and no more than a year"))?;
    parser.at += 1;
    Ok(micros)
}

fn micros(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let whole: u64 = match whole {
        "" => 0,
        whole => whole.parse().ok()?,
    };
    // Digits beyond microseconds are cut off, as packetdrill does.
    let digits: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let fraction: u64 = digits.parse().ok()?;
    (whole <= 31_622_400).then(|| whole * 1_000_000 + fraction)
}

/// Where the reading stands.
pub(crate) struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Placed],
    at: usize,
    end: Position,
}

impl<'a> Parser<'a> {
    pub(crate) fn is_at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    pub(crate) fn peek(&self) -> Option<&'a Token> {
        self.ahead(0)
    }

    /// The token that comes after `count` others.
    pub(crate) fn ahead(&self, count: usize) -> Option<&'a Token> {
        self.tokens.get(self.at + count).map(|placed| &placed.token)
    }

    /// Passes over the next token.
    pub(crate) fn pass(&mut self) {
        self.at += 1;
    }

    pub(crate) fn place(&self) -> Position {
        self.tokens
            .get(self.at)
            .map_or(self.end, |placed| placed.at)
    }

    /// The error that something else was expected here.
    pub(crate) fn expected(&self, what: impl Into<String>) -> Misread {
        let found = match self.peek() {
            Some(token) => token.to_string(),
            None => "the end of the script".to_owned(),
        };
        Misread::new(self.place(), what, found)
    }

    /// The error that the token before should have been something else.
    pub(crate) fn refused(&self, what: impl Into<String>) -> Misread {
        let before = Parser {
            at: self.at.saturating_sub(1),
            ..*self
        };
        before.expected(what)
    }

    pub(crate) fn takes(&mut self, sign: char) -> bool {
        let is = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(is);
        is
    }

    pub(crate) fn sign(&mut self, sign: char) -> Result<(), Misread> {
        match self.takes(sign) {
            true => Ok(()),
            false => Err(self.expected(format!("`{sign}`"))),
        }
    }

    /// Whether the next token is this word, which is passed over then.
    pub(crate) fn takes_word(&mut self, word: &str) -> bool {
        let is = matches!(self.peek(), Some(Token::Word(known)) if known == word);
        self.at += usize::from(is);
        is
    }

    pub(crate) fn word(&mut self, what: &str) -> Result<String, Misread> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(word.clone())
            }
            _ => Err(self.expected(what)),
        }
    }

    /// A number from 0 to `most`.
    pub(crate) fn number<T: TryFrom<i64>>(&mut self, what: &str) -> Result<T, Misread> {
        let (Some(Token::Integer(number)) | Some(Token::Hex(number))) = self.peek() else {
            return Err(self.expected(what));
        };
        let number = T::try_from(*number).map_err(|_| self.expected(what))?;
        self.at += 1;
        Ok(number)
    }

    /// The value of an option.
    fn value(&mut self) -> Result<Token, Misread> {
        match self.peek() {
            Some(
                token @ (Token::Word(_)
                | Token::Integer(_)
                | Token::Hex(_)
                | Token::Float(_)
                | Token::Text(_)
                | Token::Command(_)
                | Token::Address(_)),
            ) => {
                self.at += 1;
                Ok(token.clone())
            }
            _ => Err(self.expected("a value")),
        }
    }

    /// The script's text from a token to where the reading stands, on one line.
    pub(crate) fn since(&self, first: usize) -> String {
        let of = |index: usize| self.tokens.get(index);
        let from = of(first).map_or(0, |placed| placed.from);
        let to = of(self.at.saturating_sub(1)).map_or(from, |placed| placed.to);
        let text = self.text.get(from..to).unwrap_or_default();
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
