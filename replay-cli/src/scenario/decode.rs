//! From a JSON tree with positions to typed values, with all errors of a file at once.
//!
//! Serde stops at the first error. Here the value at fault is then cut out of the tree and reading starts over, until the rest
//! is sound; what only fails because something was cut out of it is cut out in turn, without a word.

use serde::Deserialize;

use super::json::{Node, Value};
use crate::base::diagnostic::Position;

mod error;
mod tree;

/// More errors than this in one file are one error: it is another kind of file.
const MAX_PROBLEMS: usize = 50;

/// One thing that is wrong with a value, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) at: Position,
    pub(crate) what: String,
    pub(crate) help: Option<String>,
}

impl Problem {
    pub(crate) fn new(at: Position, what: impl Into<String>) -> Self {
        Self {
            at,
            what: what.into(),
            help: None,
        }
    }

    /// Adds what to write instead.
    pub(crate) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }
}

/// Reads a tree as a `T`, or lists everything that is wrong with it.
pub(crate) fn decode<T: for<'de> Deserialize<'de>>(root: &Node) -> Result<T, Vec<Problem>> {
    let mut tree = root.clone();
    let mut problems = Vec::new();
    let mut cut_open: Vec<Position> = Vec::new();
    loop {
        let error = match T::deserialize(&tree) {
            Ok(value) if problems.is_empty() => return Ok(value),
            Ok(_) => return Err(problems),
            Err(error) => error,
        };
        let at = error.position(&tree);
        if !cut_open.contains(&at) {
            problems.push(error.into_problem(root, at));
        }
        match cut(&mut tree, at) {
            Some(parent) if problems.len() < MAX_PROBLEMS => cut_open.push(parent),
            _ => return Err(problems),
        }
    }
}

/// Removes the member or element at a position from its parent and returns the position of that parent.
fn cut(node: &mut Node, at: Position) -> Option<Position> {
    match &mut node.value {
        Value::Array(elements) => {
            if let Some(index) = elements.iter().position(|element| element.at == at) {
                elements.remove(index);
                return Some(node.at);
            }
            elements.iter_mut().find_map(|element| cut(element, at))
        }
        Value::Object(members) => {
            if let Some(index) = members
                .iter()
                .position(|member| member.value.at == at || member.key_at == at)
            {
                members.remove(index);
                return Some(node.at);
            }
            members
                .iter_mut()
                .find_map(|member| cut(&mut member.value, at))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// The name of a value for a message: `expect`, `closes[0]`, or `None` for the whole file.
fn name_of(root: &Node, at: Position) -> Option<String> {
    fn search(node: &Node, name: &str, at: Position) -> Option<String> {
        match &node.value {
            _ if node.at == at => Some(name.to_owned()),
            Value::Array(elements) => {
                let numbered = |(index, element)| search(element, &format!("{name}[{index}]"), at);
                elements.iter().enumerate().find_map(numbered)
            }
            Value::Object(members) => members
                .iter()
                .find_map(|member| search(&member.value, &member.key, at)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }
    search(root, "", at).filter(|name| !name.is_empty())
}

/// The object that holds the key at a position.
fn holder_of(node: &Node, key_at: Position) -> Option<Position> {
    match &node.value {
        Value::Array(elements) => elements
            .iter()
            .find_map(|element| holder_of(element, key_at)),
        Value::Object(members) if members.iter().any(|member| member.key_at == key_at) => {
            Some(node.at)
        }
        Value::Object(members) => members
            .iter()
            .find_map(|member| holder_of(&member.value, key_at)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

/// The position of a key of the object that begins at `at`.
fn key_in_object_at(node: &Node, at: Position, key: &str) -> Option<Position> {
    match &node.value {
        Value::Array(elements) => elements
            .iter()
            .find_map(|element| key_in_object_at(element, at, key)),
        Value::Object(members) if node.at == at => members
            .iter()
            .find(|member| member.key == key)
            .map(|member| member.key_at),
        Value::Object(members) => members
            .iter()
            .find_map(|member| key_in_object_at(&member.value, at, key)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}
