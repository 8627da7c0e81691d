//! A script cut into its events, options, commands and code blocks, each with its place; comments taken out.

use crate::base::diagnostic::Position;

/// What a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A line that begins with a time.
    Event,
    /// `--name=value`.
    Option,
    /// A command in backquotes that stands before the first event.
    Shell,
    /// Code in `%{ }%`.
    Code,
}

/// One piece; what stood on several lines is on one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) kind: Kind,
    pub(crate) at: Position,
    pub(crate) text: String,
}

#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pub(crate) title: String,
    pub(crate) covers: Vec<(String, Position)>,
    pub(crate) pieces: Vec<Piece>,
}

/// How far a line's end is from the end of what it belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    Comment,
    Code,
    Shell,
}

pub(crate) fn split(text: &str) -> Pieces {
    let mut found = Pieces::default();
    let mut within = Within::Nothing;
    for (index, raw) in text.lines().enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let line = found.without_comments(raw, number, &mut within);
        let trimmed = line.trim();
        if trimmed.is_empty() {
            continue;
        }
        let column = line.chars().take_while(|c| c.is_whitespace()).count() + 1;
        let at = Position {
            line: number,
            column: u32::try_from(column).unwrap_or(u32::MAX),
        };
        match within {
            Within::Code | Within::Shell => {
                found.append(trimmed);
                let ended = match within {
                    Within::Code => trimmed.contains("}%"),
                    _ => trimmed.ends_with('`'),
                };
                if ended {
                    within = Within::Nothing;
                }
                continue;
            }
            Within::Nothing | Within::Comment => {}
        }
        let kind = kind_of(trimmed);
        match kind {
            Some(kind) => found.pieces.push(Piece {
                kind,
                at,
                text: trimmed.to_owned(),
            }),
            // It goes on with the event above.
            None => {
                if !found.append(trimmed) {
                    found.pieces.push(Piece {
                        kind: Kind::Event,
                        at,
                        text: trimmed.to_owned(),
                    });
                }
            }
        }
        if trimmed.contains("%{") && !trimmed.contains("}%") {
            within = Within::Code;
        } else if trimmed.matches('`').count() % 2 == 1 {
            within = Within::Shell;
        }
    }
    for piece in &mut found.pieces {
        // An event that is code or a command is one, whenever it happens.
        if piece.kind == Kind::Event && piece.text.contains("%{") {
            piece.kind = Kind::Code;
        } else if piece.kind == Kind::Event && piece.text.contains('`') {
            piece.kind = Kind::Shell;
        }
    }
    found
}

impl Pieces {
    /// Adds a line to the piece before it, if there is one it can belong to.
    fn append(&mut self, text: &str) -> bool {
        let Some(last) = self.pieces.last_mut() else {
            return false;
        };
        last.text.push(' ');
        last.text.push_str(text);
        true
    }

    /// A line without its comments, which may give the title and the requirements.
    fn without_comments(&mut self, line: &str, number: u32, within: &mut Within) -> String {
        let mut kept = String::new();
        let mut rest = line;
        loop {
            if *within == Within::Comment {
                let Some(end) = rest.find("*/") else {
                    self.comment(rest, number);
                    return kept;
                };
                let (comment, after) = rest.split_at(end);
                self.comment(comment, number);
                *within = Within::Nothing;
                rest = after.get(2..).unwrap_or_default();
            }
            if *within != Within::Nothing {
                kept.push_str(rest);
                return kept;
            }
            let line_comment = rest.find("//");
            // `#` is a comment only where an event could begin.
            let hash = rest.trim_start().starts_with('#') && kept.trim().is_empty();
            let block = rest.find("/*");
            match (line_comment, block) {
                _ if hash => {
                    self.comment(rest.trim_start().trim_start_matches('#'), number);
                    return kept;
                }
                (Some(at), block) if block.is_none_or(|block| at < block) => {
                    let (before, comment) = rest.split_at(at);
                    kept.push_str(before);
                    self.comment(comment.trim_start_matches('/'), number);
                    return kept;
                }
                (_, Some(at)) => {
                    let (before, comment) = rest.split_at(at);
                    kept.push_str(before);
                    *within = Within::Comment;
                    rest = comment.get(2..).unwrap_or_default();
                }
                (_, None) => {
                    kept.push_str(rest);
                    return kept;
                }
            }
        }
    }

    fn comment(&mut self, text: &str, number: u32) {
        let text = text.trim().trim_start_matches('*').trim();
        if let Some(names) = text.strip_prefix("covers:") {
            let at = Position {
                line: number,
                column: 1,
            };
            let names = names.split([',', ' ']).filter(|name| !name.is_empty());
            self.covers.extend(names.map(|name| (name.to_owned(), at)));
        } else if self.title.is_empty() && self.pieces.is_empty() {
            text.clone_into(&mut self.title);
        }
    }
}

/// What a line begins; nothing if it goes on with the line above.
fn kind_of(line: &str) -> Option<Kind> {
    let mut characters = line.chars();
    match (characters.next(), characters.next()) {
        (Some('-'), Some('-')) => Some(Kind::Option),
        (Some('`'), _) => Some(Kind::Shell),
        (Some('%'), Some('{')) => Some(Kind::Code),
        (Some('+' | '*'), _) => Some(Kind::Event),
        (Some('.'), Some(digit)) if digit.is_ascii_digit() => Some(Kind::Event),
        (Some(digit), _) if digit.is_ascii_digit() => Some(Kind::Event),
        _ => None,
    }
}
