//! System calls, and the expressions that are their arguments and results.

use super::Misread;
use super::lexer::Token;
use super::parser::Parser;
use super::syntax::{Call, Expression};

/// How deep brackets may stand in each other.
const DEPTH: usize = 16;

/// `name(arguments) = result ERRNO (words)`.
pub(crate) fn call(parser: &mut Parser<'_>) -> Result<Call, Misread> {
    let name = parser.word("the name of a call")?;
    parser.sign('(')?;
    let mut arguments = Vec::new();
    if !parser.takes(')') {
        arguments = list(parser, ')', 0)?;
    }
    parser.sign('=')?;
    let result = expression(parser, 0)?;
    let mut error = None;
    // The name of an error, and then what it means in words; a note in words may stand alone.
    if let (Some(Token::Word(name)), Some(Token::Sign('('))) = (parser.peek(), parser.ahead(1)) {
        error = Some(name.clone());
        parser.pass();
    }
    if parser.takes('(') {
        while !parser.takes(')') {
            match parser.peek() {
                Some(Token::Word(_) | Token::Sign('-' | ',' | '|' | '\'' | '/')) => parser.pass(),
                _ => return Err(parser.expected("words, and `)` behind them")),
            }
        }
    }
    Ok(Call {
        name,
        arguments,
        result,
        error,
    })
}

/// Expressions with commas between them, and what closes them.
fn list(parser: &mut Parser<'_>, close: char, depth: usize) -> Result<Vec<Expression>, Misread> {
    let mut list = Vec::new();
    loop {
        list.push(expression(parser, depth)?);
        if parser.takes(close) {
            return Ok(list);
        }
        if !parser.takes(',') {
            return Err(parser.expected(format!("`,` or `{close}`")));
        }
    }
}

fn expression(parser: &mut Parser<'_>, depth: usize) -> Result<Expression, Misread> {
    if depth > DEPTH {
        return Err(parser.expected("brackets that stand in each other less often"));
    }
    let first = single(parser, depth + 1)?;
    let mut parts = vec![first];
    while parser.takes('|') {
        parts.push(single(parser, depth + 1)?);
    }
    match <[Expression; 1]>::try_from(parts) {
        Ok([only]) => Ok(only),
        Err(parts) => Ok(Expression::Or(parts)),
    }
}

fn single(parser: &mut Parser<'_>, depth: usize) -> Result<Expression, Misread> {
    let expected = "an argument: a number, a word, a string, `...`, `[...]` or `{...}`";
    let token = parser.peek().ok_or_else(|| parser.expected(expected))?;
    let one = match token {
        Token::Ellipsis => Expression::Any,
        Token::Integer(number) | Token::Hex(number) => Expression::Number(*number),
        Token::Float(text) | Token::Address(text) => Expression::Text(text.clone()),
        Token::Text(text) => {
            let mut text = text.clone();
            parser.pass();
            // Strings behind each other are one, and `...` repeats the last.
            while let Some(Token::Text(more)) = parser.peek() {
                text.push_str(more);
                parser.pass();
            }
            if parser.peek() == Some(&Token::Ellipsis) {
                parser.pass();
            }
            return Ok(Expression::Text(text));
        }
        Token::Word(word) => {
            parser.pass();
            // `htons(8080)`, `inet_addr("192.0.2.1")`: what stands in the brackets.
            if parser.takes('(') {
                let inner = list(parser, ')', depth)?;
                return Ok(inner.into_iter().next().unwrap_or(Expression::Any));
            }
            if parser.takes('=') {
                let value = expression(parser, depth)?;
                return Ok(Expression::Struct(vec![(Some(word.clone()), value)]));
            }
            return Ok(Expression::Word(word.clone()));
        }
        Token::Sign('[') => {
            parser.pass();
            let list = match parser.takes(']') {
                true => Vec::new(),
                false => list(parser, ']', depth)?,
            };
            return Ok(Expression::List(list));
        }
        Token::Sign('{') => {
            parser.pass();
            return fields(parser, depth);
        }
        _ => return Err(parser.expected(expected)),
    };
    parser.pass();
    Ok(one)
}

/// What stands in `{...}`.
fn fields(parser: &mut Parser<'_>, depth: usize) -> Result<Expression, Misread> {
    let mut fields = Vec::new();
    // Headers of tunnels have no commas of their own.
    if matches!(parser.peek(), Some(Token::Sign('(')))
        || matches!((parser.peek(), parser.ahead(1)), (Some(Token::Word(word)), Some(next)) if word.eq_ignore_ascii_case("flags") && !matches!(next, Token::Sign('=')))
    {
        while !parser.takes('}') {
            if parser.is_at_end() {
                return Err(parser.expected("`}`"));
            }
            parser.pass();
        }
        return Ok(Expression::Struct(fields));
    }
    loop {
        let mut name = None;
        if let (Some(Token::Word(word)), Some(Token::Sign('=' | '('))) =
            (parser.peek(), parser.ahead(1))
        {
            name = Some(word.clone());
            parser.pass();
            // `msg_iov(1)=[...]`
            if parser.takes('(') {
                list(parser, ')', depth)?;
            }
            parser.sign('=')?;
        }
        fields.push((name, expression(parser, depth)?));
        if parser.takes('}') {
            return Ok(Expression::Struct(fields));
        }
        if !parser.takes(',') {
            return Err(parser.expected("`,` or `}`"));
        }
    }
}
