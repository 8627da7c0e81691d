//! Scripts in packetdrill's own syntax, all of it: what its lexer and grammar take, and what FreeBSD's suite writes besides.
//!
//! Only what is written is read here. What a script means for an engine, whose far side its calls are, is
//! `crate::verdict::script`'s matter.

use std::path::Path;

use crate::base::diagnostic::{Diagnostic, Position};

mod call;
mod lexer;
mod packet;
mod parser;
pub(crate) mod syntax;

pub(crate) use syntax::Script;

/// Text that is no script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Misread {
    pub(crate) at: Position,
    expected: String,
    found: String,
}

impl Misread {
    fn new(at: Position, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            at,
            expected: expected.into(),
            found: found.into(),
        }
    }

    /// As a diagnostic about a file.
    pub(crate) fn in_file(&self, path: &Path) -> Diagnostic {
        Diagnostic::new(format!("expected {}, found {}", self.expected, self.found))
            .at(path, self.at)
            .help("docs/guides/packetdrill.md has the constructs that are read")
    }
}

/// Reads a script.
pub(crate) fn parse(text: &str) -> Result<Script, Misread> {
    parser::script(text)
}

#[cfg(test)]
mod tests;
